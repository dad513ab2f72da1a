//! A configuration as text: the commented file of all defaults, and the resolved file of a run.
//!
//! Both are made from [`SECTIONS`], in its order. Nothing here writes to a disk.

use super::{Config, Key, SECTIONS, check};
use std::fmt::Write;

/// Every key with its documentation and its default; keys that are absent by default are commented out.
pub fn template() -> String {
    template_with("Every key of a run, with its default. A key that is left out keeps its default.", &[])
}

/// As [`template`], with another first line and other values: section, key, value.
pub fn template_with(title: &str, values: &[(&str, &str, toml::Value)]) -> String {
    let mut out = format!("# {title}\n");
    let given = |section: &str, key: &str| {
        values.iter().find(|(of, name, _)| (*of, *name) == (section, key)).map(|(_, _, value)| value.clone())
    };
    for section in SECTIONS {
        out.push('\n');
        comment(&mut out, section.doc);
        let _ = writeln!(out, "[{}]", section.name);
        for key in section.keys {
            comment(&mut out, key.doc);
            let _ = match given(section.name, key.name).or_else(key.default) {
                Some(value) => writeln!(out, "{} = {value}", key.name),
                None => writeln!(out, "# {} = {}", key.name, key.example),
            };
        }
    }
    out
}

/// `lines` are doc comments, which start with a space.
fn comment(out: &mut String, lines: &[&str]) {
    for line in lines {
        let _ = writeln!(out, "#{line}");
    }
}

/// A key with a value that is right for it, as written in the file.
pub(super) fn sample(key: &Key) -> String {
    let value = (key.default)().map_or(key.example.into(), |value| value.to_string());
    format!("{} = {value}", key.name)
}

impl Config {
    /// The configuration as a file that reads back to the same values.
    ///
    /// Fails on what TOML cannot hold: a path that is not Unicode, a seed above 2^63.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let table = toml::Table::try_from(self)?;
        let mut out = String::new();
        for section in SECTIONS {
            let Some(values) = table.get(section.name).and_then(toml::Value::as_table) else { continue };
            if !out.is_empty() {
                out.push('\n');
            }
            let _ = writeln!(out, "[{}]", section.name);
            for key in section.keys {
                // Of two keys that exclude each other the file names the one in force: the second is
                // absent by default, so it is in force wherever it is present.
                let displaced = check::EITHER.iter().any(|either| {
                    either.section == section.name
                        && either.first == key.name
                        && values.contains_key(either.second)
                });
                if let (Some(value), false) = (values.get(key.name), displaced) {
                    let _ = writeln!(out, "{} = {value}", key.name);
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::from_text;
    use crate::config::{Holdout, Schedule, Targets};

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/default.toml");

    #[test]
    fn the_file_of_defaults_is_the_template() {
        if std::env::var_os("TUNE_BLESS").is_some() {
            std::fs::write(FILE, template()).unwrap();
        }
        let file = std::fs::read_to_string(FILE).unwrap();
        assert!(file == template(), "configs/default.toml is out of date: run this test with TUNE_BLESS=1");
    }

    #[test]
    fn the_template_loads_to_the_defaults() {
        assert_eq!(from_text("t", &template(), &[]), Ok(Config::default()));
        // The commented keys are right too, once the keys that they displace are gone.
        let bare: String = template()
            .lines()
            .filter(|line| !line.starts_with("epochs") && !line.starts_with("every_epochs"))
            .map(|line| match line.strip_prefix("# ") {
                Some(key) if key.contains(" = ") => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let config = from_text("t", &bare, &[]).unwrap();
        assert_eq!((config.train.steps, config.eval.every_steps), (Some(100), Some(100)));
        assert_eq!(config.data.test, Some("path.jsonl".into()));
    }

    #[test]
    fn a_resolved_config_reads_back_to_the_same_values() {
        let mut config = Config::default();
        let back = |config: &Config| from_text("t", &config.to_toml().unwrap(), &[]);
        assert_eq!(back(&config), Ok(config.clone()));
        config.model.path = "a \"quoted\"\npath\\".into();
        config.lora.targets = Targets::Named(vec!["q_proj".into(), "v_proj".into()]);
        config.data.valid = Holdout::Rows(20);
        config.data.test = Some("test.jsonl".into());
        config.train.steps = Some(600);
        config.train.learning_rate = 3.3e-7;
        config.train.schedule = Schedule::Linear;
        config.eval.every_steps = Some(7);
        assert_eq!(back(&config), Ok(config.clone()));
        assert!(!config.to_toml().unwrap().contains("epochs"), "both of a pair were written");
        config.data.valid = Holdout::File("valid.jsonl".into());
        assert_eq!(back(&config), Ok(config));
    }
}
