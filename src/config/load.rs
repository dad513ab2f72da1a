//! A file and `--set` overrides to a [`Config`].
//!
//! The overrides are applied to the table of the file before anything is judged, so there is one table
//! and no merging of configurations. All problems are reported at once, each with its place; only a
//! file that is not TOML stops at its first error. Rules on values are in [`check`].

use super::check::{self, EITHER};
use super::{Config, Key, SECTIONS, Section, write};
use serde::Deserialize;
use std::fmt;
use std::path::Path;
use toml::Value;
use toml::de::{DeTable, DeValue};

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<Problem>);

/// One thing that is wrong, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    /// `section.key`; empty where the problem is not one of a key.
    pub key: String,
    pub message: String,
    pub hint: String,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a file, counted from 1; no line where the file as a whole is meant.
    File { file: String, line: Option<usize> },
    /// The argument of a `--set`.
    Set(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.place {
            Place::File { file, line: Some(line) } => write!(f, "{file}:{line}: ")?,
            Place::File { file, line: None } => write!(f, "{file}: ")?,
            Place::Set(argument) => write!(f, "--set {argument}: ")?,
        }
        // An argument of --set has the key in it already.
        if !self.key.is_empty() && matches!(self.place, Place::File { .. }) {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}\n  hint: {}", self.message, self.hint)
    }
}

/// Reads the file at `path`, with `overrides` of the form `section.key=value` applied to it.
pub fn load(path: &Path, overrides: &[String]) -> Result<Config, ConfigError> {
    let file = path.display().to_string();
    let unreadable = |message: String, hint: &str| {
        let place = Place::File { file: file.clone(), line: None };
        ConfigError(vec![Problem { place, key: String::new(), message, hint: hint.into() }])
    };
    let bytes = std::fs::read(path).map_err(|e| {
        unreadable(
            format!("cannot be read: {e}"),
            "name a TOML file that exists; tune init ROWS > FILE makes one",
        )
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| unreadable("is not UTF-8 text".into(), "save it as UTF-8, or name another file"))?;
    from_text(&file, &text, overrides)
}

/// The defaults with `overrides` applied: a configuration where there is no file.
pub fn defaults(overrides: &[String]) -> Result<Config, ConfigError> {
    from_text("defaults", "", overrides)
}

/// As [`load`], from the text of the file that is called `file` in errors.
pub fn from_text(file: &str, text: &str, overrides: &[String]) -> Result<Config, ConfigError> {
    let mut reader = Reader::default();
    reader.read_file(file, text)?;
    for argument in overrides {
        reader.set(argument);
    }
    reader.exclude_rivals();
    let config = reader.config();
    for complaint in check::check(&config) {
        let place = reader.place_of(complaint.section, complaint.key, file);
        let key = format!("{}.{}", complaint.section, complaint.key);
        let hint = complaint.hint.into();
        reader.problems.push(Problem { place, key, message: complaint.message, hint });
    }
    reader.problems.sort_by_key(|problem| match problem.place {
        Place::File { line, .. } => line,
        Place::Set(_) => Some(usize::MAX),
    });
    if reader.problems.is_empty() { Ok(config) } else { Err(ConfigError(reader.problems)) }
}

/// A key of the registry with the value the user gave it.
struct Given {
    section: &'static str,
    key: &'static str,
    value: Value,
    place: Place,
}

/// What has been read so far: the good values, and the problems of the others.
#[derive(Default)]
struct Reader {
    given: Vec<Given>,
    problems: Vec<Problem>,
}

impl Reader {
    fn read_file(&mut self, file: &str, text: &str) -> Result<(), ConfigError> {
        let line_of = |offset: usize| text[..offset].matches('\n').count() + 1;
        let place_of = |offset: usize| Place::File { file: file.into(), line: Some(line_of(offset)) };
        let syntax = |e: toml::de::Error| {
            let place = place_of(e.span().map_or(0, |span| span.start));
            let line =
                e.span().and_then(|span| text.lines().nth(line_of(span.start) - 1)).unwrap_or_default();
            // The parser takes a missing value for text without quotes.
            let bare = |key: &&str| key.chars().all(|c| c.is_ascii_alphanumeric() || "_-. ".contains(c));
            let key = line.split('#').next().and_then(|line| line.trim_end().strip_suffix('='));
            let message = match key.filter(bare) {
                Some(key) => format!("{} has no value", key.trim()),
                None => e.message().replace('\n', ", "),
            };
            let rows = [".jsonl", ".json", ".csv", ".tsv"].iter().any(|ending| file.ends_with(ending));
            let hint = if rows {
                format!("rows go into a configuration: tune init {file} > tune.toml, then name that")
            } else {
                "TOML is lines of key = value under a [section]; text stands in quotes".into()
            };
            ConfigError(vec![Problem { place, key: String::new(), message, hint }])
        };
        // Parsed twice: one table has the places, the other plain values.
        let places = DeTable::parse(text).map_err(syntax)?;
        let mut values: toml::Table = text.parse().map_err(syntax)?;
        for (name, body) in places.get_ref() {
            let place = place_of(name.span().start);
            let name = name.get_ref().as_ref();
            let Some(Value::Table(section)) = values.remove(name) else {
                self.problem(place, name, "is in no section", lost_key(name));
                continue;
            };
            let Some(known) = SECTIONS.iter().find(|known| known.name == name) else {
                let near = nearest(name, SECTIONS.iter().map(|known| known.name));
                let names = SECTIONS.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
                let hint = near.map_or(format!("the sections are {names}"), did_you_mean);
                self.problem(place, name, "unknown section", hint);
                continue;
            };
            let DeValue::Table(keys) = body.get_ref() else { continue };
            for (key, value) in section {
                let span = keys.iter().find(|(k, _)| k.get_ref().as_ref() == key).map(|(k, _)| k.span());
                let place = place_of(span.map_or(0, |span| span.start));
                self.add(known, &key, value, place);
            }
        }
        Ok(())
    }

    /// Applies one `section.key=value`.
    fn set(&mut self, argument: &str) {
        let place = Place::Set(argument.into());
        let parts = argument.split_once('=').and_then(|(path, raw)| {
            let (section, key) = path.trim().split_once('.')?;
            Some((section.trim(), key.trim(), raw.trim()))
        });
        let Some((section, key, raw)) = parts else {
            let path = argument.split('=').next().unwrap_or_default().trim();
            let hint = if path.is_empty() { "for example --set lora.r=8".into() } else { lost_key(path) };
            return self.problem(place, "", "not of the form section.key=value", hint);
        };
        let Some(known) = SECTIONS.iter().find(|known| known.name == section) else {
            let near = nearest(section, SECTIONS.iter().map(|known| known.name));
            let hint = near.map_or_else(|| lost_key(key), |near| did_you_mean(&format!("{near}.{key}")));
            return self.problem(place, "", "unknown section", hint);
        };
        let Some(value) = set_value(raw) else {
            let hint = "VALUE is TOML; a bare word is a string".into();
            return self.problem(place, "", "the value is not complete", hint);
        };
        // Whatever the file or an earlier argument said of this key, or of its rival, no longer counts.
        let rival = EITHER.iter().find(|e| e.section == section).and_then(|e| match key {
            key if key == e.first => Some(e.second),
            key if key == e.second => Some(e.first),
            _ => None,
        });
        self.given.retain(|given| {
            let same = given.section == section && given.key == key;
            let displaced = given.section == section
                && Some(given.key) == rival
                && matches!(given.place, Place::File { .. });
            !same && !displaced
        });
        self.problems.retain(|problem| problem.key != format!("{section}.{key}"));
        self.add(known, key, value, place);
    }

    /// Takes a value in if its key is known and it has the right type.
    fn add(&mut self, section: &'static Section, key: &str, value: Value, place: Place) {
        let path = format!("{}.{key}", section.name);
        let Some(known) = section.keys.iter().find(|known| known.name == key) else {
            return self.problem(place, &path, "unknown key", unknown_key(section, key));
        };
        if !(known.accepts)(value.clone()) {
            let message = format!("expected {}, got {}", known.expects, in_words(&value));
            let hint = format!("for example {}", write::sample(known));
            return self.problem(place, &path, message, hint);
        }
        self.given.push(Given { section: section.name, key: known.name, value, place });
    }

    /// Complains of pairs of keys of which the user gave both, in one breath.
    fn exclude_rivals(&mut self) {
        for either in EITHER {
            let find = |key| self.given.iter().find(|g| g.section == either.section && g.key == key);
            if let (Some(_), Some(second)) = (find(either.first), find(either.second)) {
                let place = second.place.clone();
                let path = format!("{}.{}", either.section, either.second);
                let message = format!("{}.{} is given as well", either.section, either.first);
                let hint = format!("keep one of the two: {} or {}", either.first, either.second);
                self.problem(place, &path, message, hint);
            }
        }
    }

    /// The defaults with the good values in place.
    fn config(&mut self) -> Config {
        let mut table = toml::Table::new();
        for given in &self.given {
            let section = table.entry(given.section).or_insert_with(|| Value::Table(toml::Table::new()));
            if let Value::Table(section) = section {
                section.insert(given.key.into(), given.value.clone());
            }
        }
        Config::deserialize(table).unwrap_or_else(|e| {
            // Every value has passed its own type: only a fault in this file leads here.
            let place = Place::File { file: "config".into(), line: None };
            self.problem(place, "", e.message().to_owned(), "please report this as a bug".into());
            Config::default()
        })
    }

    /// Where `section.key` was given; the file as a whole where it was not.
    fn place_of(&self, section: &str, key: &str, file: &str) -> Place {
        let given = self.given.iter().find(|given| given.section == section && given.key == key);
        given.map_or(Place::File { file: file.into(), line: None }, |given| given.place.clone())
    }

    fn problem(&mut self, place: Place, key: &str, message: impl Into<String>, hint: String) {
        self.problems.push(Problem { place, key: key.into(), message: message.into(), hint });
    }
}

/// The value of a `--set`: TOML, else a bare word; `None` for TOML that is begun and not ended.
fn set_value(raw: &str) -> Option<Value> {
    match raw.parse::<Value>() {
        Ok(value) => Some(value),
        Err(_) if raw.is_empty() || raw.starts_with(['"', '\'', '[', '{']) => None,
        Err(_) => Some(Value::String(raw.into())),
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the string {text:?}"),
        Value::Table(_) => "a table".into(),
        Value::Array(_) => format!("the list {value}"),
        Value::Datetime(_) => format!("the date {value}"),
        other => other.to_string(),
    }
}

/// What other trainers call some keys.
const ALIASES: &[(&str, &str)] = &[
    ("gradient_accumulation_steps", "gradient_accumulation"),
    ("lora_alpha", "alpha"),
    ("lora_dropout", "dropout"),
    ("lora_r", "r"),
    ("lr", "learning_rate"),
    ("lr_scheduler_type", "schedule"),
    ("max_seq_length", "max_length"),
    ("max_steps", "steps"),
    ("num_epochs", "epochs"),
    ("num_train_epochs", "epochs"),
    ("per_device_train_batch_size", "batch_size"),
    ("rank", "r"),
    ("target_modules", "targets"),
    ("use_rslora", "rslora"),
];

/// What to say of a key that `section` does not have: first its own keys, then those of the others.
fn unknown_key(section: &Section, key: &str) -> String {
    let meant = ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, name)| *name);
    let own = || section.keys.iter().map(|known| known.name);
    let part = || own().find(|name| name.split('_').any(|word| word == meant));
    if let Some(near) = own().find(|name| *name == meant).or_else(|| nearest(key, own())).or_else(part) {
        return did_you_mean(&format!("{}.{near}", section.name));
    }
    match elsewhere(meant) {
        Some((other, known)) => did_you_mean(&format!("{}.{}", other.name, known.name)),
        None => format!("the keys of [{}] are {}", section.name, own().collect::<Vec<_>>().join(", ")),
    }
}

/// The key that is called `name`, here or by another trainer, with its section.
pub fn key_called(name: &str) -> Option<String> {
    let meant = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| *name);
    let (section, key) = elsewhere(meant)?;
    Some(format!("{}.{}", section.name, key.name))
}

/// What to say of a key that stands in no section.
fn lost_key(key: &str) -> String {
    let sections = || SECTIONS.iter().map(|section| section.name);
    if let Some(section) = SECTIONS.iter().find(|section| section.name == key) {
        let keys: Vec<_> = section.keys.iter().map(|known| known.name).collect();
        return format!("{key} is a section; its keys are {}", keys.join(", "));
    }
    match key_called(key) {
        Some(known) => did_you_mean(&known),
        None => format!("the sections are {}", sections().collect::<Vec<_>>().join(", ")),
    }
}

/// The key of any section that is called `name`, or nearly so.
fn elsewhere(name: &str) -> Option<(&'static Section, &'static Key)> {
    let all = || SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)));
    let near = nearest(name, all().map(|(_, key)| key.name))?;
    all().find(|(_, key)| key.name == near)
}

/// The candidate that is fewest slips of the keyboard away, if that is few enough.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = word.chars().count() / 3;
    candidates
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn did_you_mean(what: &str) -> String {
    format!("did you mean {what:?}?")
}

#[cfg(test)]
mod tests;
