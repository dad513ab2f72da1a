//! Rows of JSON Lines or of a table, in every accepted form; errors name file and line.
//!
//! The keys of the first row tell the form of the file. Nothing is tokenised here, and whether a row
//! fits a model is found out in `encode`.

use super::error::{DataError, RowFault};
use super::{csv, foreign};
use serde_json::{Map, Value};
use std::path::Path;

/// One row of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Line in the file, counted from 1.
    pub line: usize,
    pub body: Body,
    /// Rows of one group stay on one side of the split.
    pub group: Option<String>,
}

/// What a row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Turns, of which the assistant's are learnt.
    Chat(Vec<Message>),
    /// The completion is learnt.
    Completion { prompt: String, completion: String },
    /// The output is learnt; `input` is empty where there is none.
    Instruction { instruction: String, input: String, output: String },
    /// All of it is learnt.
    Text(String),
}

impl Body {
    /// All texts of the row, in reading order.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Chat(messages) => messages.iter().map(|message| message.content.as_str()).collect(),
            Self::Completion { prompt, completion } => vec![prompt, completion],
            Self::Instruction { instruction, input, output } => vec![instruction, input, output],
            Self::Text(text) => vec![text],
        }
    }

    /// Whether what is to be learnt is blank, or a part of it: nothing but the end of the text is taught.
    pub fn has_blank_answer(&self) -> bool {
        let blank = |text: &str| text.trim().is_empty();
        match self {
            Self::Chat(messages) => {
                messages.iter().any(|message| message.role == Role::Assistant && blank(&message.content))
            }
            Self::Completion { completion, .. } => blank(completion),
            Self::Instruction { output, .. } => blank(output),
            Self::Text(text) => blank(text),
        }
    }
}

/// One turn of a chat.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

impl Role {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "system" => Self::System,
            "developer" => Self::Developer,
            // The second and third names are those of `conversations` rows.
            "user" | "human" => Self::User,
            "assistant" | "gpt" | "model" | "bot" | "chatgpt" => Self::Assistant,
            "tool" | "function" => Self::Tool,
            _ => return None,
        })
    }
}

/// The rows of the file at `path`, which the configuration calls `key`. Blank lines are passed over.
pub fn read(path: &Path, key: &'static str) -> Result<Vec<Row>, DataError> {
    let unreadable = |error| DataError::Unreadable { file: path.into(), key, error };
    parse(path, &std::fs::read(path).map_err(unreadable)?)
}

/// As [`read`], from the bytes of the file; all its bad rows are reported together.
pub fn parse(file: &Path, bytes: &[u8]) -> Result<Vec<Row>, DataError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    let mut form = None;
    let table = csv::is_table(file);
    if let Some((what, how)) = foreign::kind(bytes, table) {
        return Err(DataError::Foreign { file: file.into(), what, how });
    }
    let objects: Box<dyn Iterator<Item = csv::Line>> = if table {
        Box::new(csv::rows(bytes).into_iter().map(|(line, row)| (line, row.map(|row| small(&row)))))
    } else {
        Box::new(lines(bytes))
    };
    for (line, object) in objects {
        match object.and_then(|object| row(&object, &mut form)) {
            Ok((body, group)) => rows.push(Row { line, body, group }),
            Err(fault) => {
                // Every further line would only repeat it.
                let whole_file = matches!(fault, RowFault::Array | RowFault::UnknownForm { .. });
                // The keys of a table are in its first line.
                let line = if table && whole_file { 1 } else { line };
                faults.push((line, fault));
                if whole_file {
                    break;
                }
            }
        }
    }
    if !faults.is_empty() {
        return Err(DataError::Rows { file: file.into(), faults });
    }
    if rows.is_empty() {
        return Err(DataError::Empty { file: file.into() });
    }
    Ok(rows)
}

/// The forms of a row, in the order in which they are recognised.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Messages,
    Conversations,
    Completion,
    Instruction,
    Text,
}

const FORMS: &[(Form, &str, &[&str])] = &[
    (Form::Messages, "{messages}", &["messages"]),
    (Form::Conversations, "{conversations}", &["conversations"]),
    (Form::Completion, "{prompt, completion}", &["prompt", "completion"]),
    (Form::Instruction, "{instruction, output}", &["instruction", "output"]),
    (Form::Text, "{text}", &["text"]),
];

/// Keys beside those that tell the form.
const OTHER_KEYS: [&str; 2] = ["input", "group"];

impl Form {
    fn of(row: &Map<String, Value>) -> Option<Self> {
        let has = |keys: &[&str]| keys.iter().all(|key| row.contains_key(*key));
        FORMS.iter().find(|(_, _, keys)| has(keys)).map(|(form, _, _)| *form)
    }

    fn name(self) -> &'static str {
        FORMS.iter().find(|(form, _, _)| *form == self).map_or("", |(_, name, _)| name)
    }

    fn keys(self) -> &'static [&'static str] {
        FORMS.iter().find(|(form, _, _)| *form == self).map_or(&[], |(_, _, keys)| keys)
    }
}

/// Whether a line of JSON Lines is a row, of whichever form.
pub fn is_row(line: &[u8]) -> bool {
    object(line, false).is_ok_and(|row| Form::of(&row).is_some())
}

/// Whether a line names columns that make rows of whichever form: the first line of a table.
pub fn is_header(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let names = line.split([',', ';', '\t']).map(|name| name.trim().trim_matches('"'));
    let is_word = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let row: Map<String, Value> = names.map(|name| (name.to_owned(), Value::Null)).collect();
    row.len() > 1 && row.keys().all(|name| is_word(name)) && Form::of(&small(&row)).is_some()
}

/// A row of a table whose known columns are in small letters, as keys are: `Prompt` is `prompt`.
fn small(row: &Map<String, Value>) -> Map<String, Value> {
    let known =
        |name: &str| OTHER_KEYS.contains(&name) || FORMS.iter().any(|(_, _, keys)| keys.contains(&name));
    let rename = |name: &String| {
        let small = name.trim().to_lowercase();
        (small != *name && known(&small) && !row.contains_key(&small)).then_some(small)
    };
    row.iter().map(|(name, value)| (rename(name).unwrap_or_else(|| name.clone()), value.clone())).collect()
}

/// The lines that are not blank.
fn lines(bytes: &[u8]) -> impl Iterator<Item = csv::Line> {
    let mut first = true;
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    lines
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(move |(index, line)| (index + 1, object(line, std::mem::replace(&mut first, false))))
}

/// One line. Only of the `first` can it be told that the whole file is one array.
fn object(line: &[u8], first: bool) -> Result<Map<String, Value>, RowFault> {
    let text = std::str::from_utf8(line).map_err(|_| RowFault::NotUtf8)?;
    match serde_json::from_str(text) {
        Ok(Value::Object(row)) => Ok(row),
        Ok(Value::Array(_)) if first => Err(RowFault::Array),
        Ok(_) => Err(RowFault::NotAnObject),
        Err(_) if first && text.trim_start().starts_with('[') => Err(RowFault::Array),
        Err(e) => Err(RowFault::NotJson(e.to_string().replace("at line 1 column", "at column"))),
    }
}

/// One row; the first good one sets `form`.
fn row(row: &Map<String, Value>, form: &mut Option<Form>) -> Result<(Body, Option<String>), RowFault> {
    let own = Form::of(row);
    let Some(expected) = form.or(own) else { return Err(RowFault::unknown_form(row)) };
    *form = Some(expected);
    if let Some(missing) = expected.keys().iter().find(|key| !row.contains_key(**key)) {
        return Err(match own {
            Some(own) => RowFault::OtherForm { expected: expected.name(), found: own.name() },
            None => RowFault::Missing(missing),
        });
    }
    let body = match expected {
        Form::Messages => chat(row, "messages", "role", "content")?,
        Form::Conversations => chat(row, "conversations", "from", "value")?,
        Form::Completion => {
            Body::Completion { prompt: text_of(row, "prompt")?, completion: text_of(row, "completion")? }
        }
        Form::Instruction => Body::Instruction {
            instruction: text_of(row, "instruction")?,
            input: match row.get("input") {
                None | Some(Value::Null) => String::new(),
                Some(_) => text_of(row, "input")?,
            },
            output: text_of(row, "output")?,
        },
        Form::Text => Body::Text(text_of(row, "text")?),
    };
    let group = match row.get("group") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(other) => return Err(not_text("group".into(), other)),
    };
    Ok((body, group))
}

fn chat(
    row: &Map<String, Value>,
    list: &'static str,
    who: &'static str,
    what: &'static str,
) -> Result<Body, RowFault> {
    let Value::Array(turns) = &row[list] else {
        let found = kind(&row[list]);
        return Err(RowFault::NotList { key: list, found });
    };
    let mut messages = Vec::with_capacity(turns.len());
    for (i, turn) in turns.iter().enumerate() {
        let Value::Object(turn) = turn else {
            return Err(RowFault::NotMessage { key: format!("{list}[{i}]"), found: kind(turn) });
        };
        let path = |key: &str| format!("{list}[{i}].{key}");
        let name = match turn.get(who) {
            Some(Value::String(name)) => name,
            Some(other) => return Err(not_text(path(who), other)),
            None => return Err(RowFault::Missing(who)),
        };
        let role = Role::of(name).ok_or_else(|| RowFault::UnknownRole(name.clone()))?;
        // Of what the model is to say, a part would be missing.
        if let Some(key) = calls(turn) {
            return Err(RowFault::Calls { key: path(key) });
        }
        let content = match turn.get(what) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => joined(parts, &path(what))?,
            Some(other) => return Err(not_text(path(what), other)),
            None => return Err(RowFault::Missing(what)),
        };
        messages.push(Message { role, content });
    }
    if messages.iter().all(|message| message.role != Role::Assistant) {
        return Err(RowFault::NoAssistantTurn);
    }
    Ok(Body::Chat(messages))
}

/// The text of a message in parts, as `OpenAI` has them: `[{"type": "text", "text": "..."}, ...]`.
fn joined(parts: &[Value], key: &str) -> Result<String, RowFault> {
    let mut content = String::new();
    for (i, part) in parts.iter().enumerate() {
        let key = format!("{key}[{i}]");
        match (&part["type"], &part["text"]) {
            (Value::String(name), Value::String(text)) if name == "text" => content.push_str(text),
            (Value::String(name), _) if name != "text" => {
                return Err(RowFault::OtherPart { key, name: name.clone() });
            }
            _ => return Err(RowFault::NotPart { key }),
        }
    }
    Ok(content)
}

/// The key by which a turn calls tools, if it does: that of today, or the one before it.
fn calls(turn: &Map<String, Value>) -> Option<&'static str> {
    let is_call = |calls: &Value| !calls.is_null() && calls.as_array().is_none_or(|calls| !calls.is_empty());
    ["tool_calls", "function_call"].into_iter().find(|key| turn.get(*key).is_some_and(is_call))
}

fn text_of(row: &Map<String, Value>, key: &str) -> Result<String, RowFault> {
    match &row[key] {
        Value::String(text) => Ok(text.clone()),
        other => Err(not_text(key.into(), other)),
    }
}

fn not_text(key: String, value: &Value) -> RowFault {
    RowFault::NotText { key, found: kind(value) }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
