//! What can be wrong with data, in words: where it is, what it is, and what would be right.
//!
//! Nothing is judged here; `read`, `encode` and `split` find the faults.

use std::fmt;
use std::path::PathBuf;

/// Faults of a file that are printed; the others are counted.
const SHOWN: usize = 5;

/// Keys of a row that are named where none is known.
const KEYS_SHOWN: usize = 6;

/// Why a dataset cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{}: cannot be read: {error}\n  hint: {key} names a file of rows, JSON Lines or CSV, seen from the folder tune is started in", file.display())]
    Unreadable {
        file: PathBuf,
        key: &'static str,
        /// Not the error's source, which would be printed a second time, behind the hint.
        error: std::io::Error,
    },
    #[error("{}: {what}, not rows\n  hint: {how}", file.display())]
    Foreign { file: PathBuf, what: &'static str, how: &'static str },
    #[error("{}: no rows\n  hint: one JSON object a line is expected, such as {EXAMPLE}", file.display())]
    Empty { file: PathBuf },
    #[error("{}", RowList { file, faults })]
    Rows {
        file: PathBuf,
        /// Line, counted from 1, and fault; in the order of the file.
        faults: Vec<(usize, RowFault)>,
    },
    #[error(
        "{}: [augment] varies prompts, and rows of \"text\" have no prompts\n  \
         hint: augment.neftune_noise_alpha works on any row; or give rows of \"prompt\" and \"completion\"",
        file.display()
    )]
    NoPrompts { file: PathBuf },
    #[error("{}: {fault}", file.display())]
    Split { file: PathBuf, fault: SplitFault },
}

/// What a row looks like, for hints.
const EXAMPLE: &str =
    r#"{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}"#;

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    #[error("the file is one JSON array")]
    Array,
    #[error("{key}: the turn calls tools, which is not learnt")]
    Calls { key: String },
    #[error("{0}")]
    ChatTemplate(String),
    #[error(
        "cut to {max_length} tokens, nothing to learn from is left: the first such token is number {first}"
    )]
    CutAway { max_length: usize, first: usize },
    #[error("has {found} field{}, and the first line names {columns}", if *found == 1 { "" } else { "s" })]
    Fields { columns: usize, found: usize },
    #[error("{0:?} is missing")]
    Missing(&'static str),
    #[error("no assistant turn")]
    NoAssistantTurn,
    #[error("not a JSON object")]
    NotAnObject,
    #[error("not valid JSON: {0}")]
    NotJson(String),
    #[error("{key} is {found}, not a list of messages")]
    NotList { key: &'static str, found: &'static str },
    #[error("{key} is {found}, not a message")]
    NotMessage { key: String, found: &'static str },
    #[error("{key} is not a part of a message")]
    NotPart { key: String },
    #[error("{key} is {found}, not text")]
    NotText { key: String, found: &'static str },
    #[error("not UTF-8 text")]
    NotUtf8,
    #[error("nothing to learn from")]
    NothingToLearn,
    #[error("a quote is opened and never closed")]
    OpenQuote,
    #[error("a row of the form {found}, in a file of the form {expected}")]
    OtherForm { expected: &'static str, found: &'static str },
    #[error("{key} is of type {name:?}, not text")]
    OtherPart { key: String, name: String },
    #[error("the tokenizer fails: {0}")]
    Tokenizer(String),
    #[error("the chat template does not write assistant turn {turn} in a way that can be found again")]
    TurnNotFound { turn: usize },
    #[error("none of the keys of a known form, but {keys}")]
    UnknownForm { keys: String },
    #[error("the role {0:?} is not known")]
    UnknownRole(String),
}

impl RowFault {
    /// A row whose keys are none of those that are known.
    pub fn unknown_form(row: &serde_json::Map<String, serde_json::Value>) -> Self {
        let keys: Vec<String> = row.keys().take(KEYS_SHOWN).map(|key| format!("{key:?}")).collect();
        Self::UnknownForm { keys: if keys.is_empty() { "none at all".into() } else { keys.join(", ") } }
    }

    /// What would be right.
    ///
    /// Of a `table` the way is another one than of JSON Lines.
    pub fn hint(&self, table: bool) -> &'static str {
        match self {
            Self::NotUtf8 if table => {
                "save the file as UTF-8, as in iconv -f WINDOWS-1252 -t UTF-8 FILE > rows.csv"
            }
            Self::UnknownForm { .. } if table => {
                "rename the columns, in the first line: to prompt and completion, or instruction and output, or text"
            }
            Self::Array => "write one object a line (JSON Lines): jq -c '.[]' FILE > rows.jsonl",
            Self::Calls { .. } => {
                "leave the row out, or take the calls out of it: the texts alone are learnt then"
            }
            Self::ChatTemplate(_) => "bring the roles into the order that the model's chat template asks for",
            Self::CutAway { .. } => "raise data.max_length, or shorten what comes before the completion",
            Self::Fields { .. } | Self::OpenQuote => {
                "a field with a separator, a line break or a quote in it stands in double quotes, and a quote in it is doubled"
            }
            Self::Missing(_) => "every row has all the keys of its form, every message all of its own",
            Self::NoAssistantTurn => {
                "add a message with \"role\": \"assistant\"; {\"text\": ...} rows are learnt whole"
            }
            Self::NotAnObject | Self::NotJson(_) => "every line is one JSON object, on that line alone",
            Self::NotList { .. } | Self::NotMessage { .. } => {
                "each message is an object, such as {\"role\": \"user\", \"content\": \"...\"}"
            }
            Self::NotPart { .. } => {
                "each part of a content is an object, such as {\"type\": \"text\", \"text\": \"...\"}"
            }
            Self::OtherPart { .. } => "only text can be learnt: leave the row out, or that part of it",
            Self::NotText { .. } => "only text can be learnt: a string in quotes",
            Self::NotUtf8 => "save the file as UTF-8, as in iconv -f WINDOWS-1252 -t UTF-8 FILE > rows.jsonl",
            Self::NothingToLearn => "give the row some text, or take it out",
            Self::OtherForm { .. } => "the first row decides; keep one form in a file",
            Self::Tokenizer(_) => "check the model's tokenizer.json",
            Self::TurnNotFound { .. } => {
                "keep one assistant turn a row, without leading tags such as <think>, or set data.mask_prompt to false"
            }
            Self::UnknownForm { .. } => {
                "rename the keys, as in jq -c '{prompt: .question, completion: .answer}' FILE > rows.jsonl; a row has \"messages\", or \"prompt\" and \"completion\", or \"instruction\" and \"output\", \
                 or \"conversations\", or \"text\""
            }
            Self::UnknownRole(_) => "the roles are system, developer, user, assistant and tool",
        }
    }
}

/// Why rows cannot be divided as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SplitFault {
    #[error(
        "one row alone cannot be both learnt and held out\n  \
         hint: add rows, some hundreds for a start; or name a file of held-out rows as data.valid"
    )]
    OneRow,
    #[error(
        "data.valid = {asked} of {rows} rows holds out none\n  hint: raise data.valid, or name a file of held-out rows"
    )]
    Empty { asked: String, rows: usize },
    #[error(
        "data.valid = {asked} of {rows} rows leaves none to learn from\n  hint: lower data.valid, or add rows"
    )]
    NothingLeft { asked: String, rows: usize },
    #[error(
        "data.valid = {asked} holds out {target} row{}, but the smallest group of rows that belong together has {smallest}\n  \
         hint: rows with the same text or the same \"group\" stay on one side; raise data.valid to at least {smallest}",
        if *target == 1 { "" } else { "s" }
    )]
    GroupTooLarge { asked: String, target: usize, smallest: usize },
    #[error(
        "all {rows} rows belong together, so none can be held out\n  \
         hint: rows with the same text or the same \"group\" stay on one side; add others, or name a file as data.valid"
    )]
    OneGroup { rows: usize },
}

struct RowList<'a> {
    file: &'a PathBuf,
    faults: &'a [(usize, RowFault)],
}

impl fmt::Display for RowList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let table = super::csv::is_table(self.file);
        let shown = &self.faults[..self.faults.len().min(SHOWN)];
        for (i, (line, fault)) in shown.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{}:{line}: {fault}", self.file.display())?;
            // A hint that the next fault repeats is given once, after the last of them.
            if shown.get(i + 1).is_none_or(|(_, next)| next.hint(table) != fault.hint(table)) {
                write!(f, "\n  hint: {}", fault.hint(table))?;
            }
        }
        match self.faults.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, "\n... and {more} more"),
        }
    }
}
