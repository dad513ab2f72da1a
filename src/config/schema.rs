//! The configuration as a JSON Schema, for editors that complete and check what is typed.
//!
//! Made of [`SECTIONS`] alone: what a key accepts is found by asking it, so that a schema cannot say
//! anything else than the reader of the file does. Rules across keys are in `check` only.

use super::{Key, SECTIONS};
use serde_json::{Map, Value, json};

/// The schema (JSON Schema 2020-12) of a configuration file.
pub fn schema() -> Value {
    let properties = |entries: Vec<(&str, Value)>| -> Map<String, Value> {
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let sections = SECTIONS.iter().map(|section| {
        let keys = section.keys.iter().map(|key| (key.name, describe(key))).collect();
        let value = json!({
            "description": text(section.doc),
            "type": "object",
            "additionalProperties": false,
            "properties": properties(keys),
        });
        (section.name, value)
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run of tune",
        "type": "object",
        "additionalProperties": false,
        "properties": properties(sections.collect()),
    })
}

fn describe(key: &Key) -> Value {
    let mut of = Map::new();
    of.insert("description".into(), text(key.doc).into());
    let accepts = |value: toml::Value| (key.accepts)(value);
    let samples = [
        ("boolean", toml::Value::Boolean(true)),
        ("integer", toml::Value::Integer(1)),
        ("number", toml::Value::Float(0.5)),
        ("array", toml::Value::Array(vec!["a".into()])),
        ("string", "a".into()),
    ];
    let mut types: Vec<&str> =
        samples.into_iter().filter(|(_, sample)| accepts(sample.clone())).map(|(name, _)| name).collect();
    // A whole number is a number.
    if types.contains(&"number") {
        types.retain(|name| *name != "integer");
    }
    let words: Vec<&str> = quoted(key.expects).filter(|word| accepts((*word).into())).collect();
    let only_words = !words.is_empty() && !types.contains(&"string");
    match (&types[..], only_words) {
        ([], true) => drop(of.insert("enum".into(), words.into())),
        ([one], false) => drop(of.insert("type".into(), (*one).into())),
        (_, false) => drop(of.insert("type".into(), types.clone().into())),
        (_, true) => drop(of.insert("anyOf".into(), json!([{"type": types}, {"enum": words}]))),
    }
    if types.iter().any(|name| matches!(*name, "integer" | "number")) && !accepts(toml::Value::Integer(-1)) {
        of.insert("minimum".into(), 0.into());
    }
    if let Some(default) = (key.default)().and_then(|value| serde_json::to_value(value).ok()) {
        of.insert("default".into(), default);
    }
    Value::Object(of)
}

/// The words in quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// Documentation lines, which start with a space, as one text.
fn text(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_what_it_accepts() {
        let schema = schema();
        let key = |section: &str, key: &str| schema["properties"][section]["properties"][key].clone();
        assert_eq!(key("lora", "r")["type"], "integer");
        assert_eq!((&key("lora", "r")["minimum"], &key("lora", "r")["default"]), (&json!(0), &json!(16)));
        assert_eq!(key("model", "dtype")["enum"], json!(["auto", "f32", "bf16"]));
        assert_eq!(key("data", "valid")["type"], json!(["number", "string"]));
        assert_eq!(key("lora", "targets")["anyOf"][0]["type"], json!(["array"]));
        assert!(
            key("lora", "targets")["anyOf"][1]["enum"].as_array().unwrap().contains(&"all-linear".into())
        );
        assert_eq!(
            (&key("train", "steps")["type"], key("train", "steps").get("default")),
            (&json!("integer"), None)
        );
        for (name, section) in schema["properties"].as_object().unwrap() {
            for (key, of) in section["properties"].as_object().unwrap() {
                assert!(!of["description"].as_str().unwrap().is_empty(), "{name}.{key}");
                assert!(["type", "enum", "anyOf"].iter().any(|what| of.get(what).is_some()), "{name}.{key}");
            }
        }
    }
}
