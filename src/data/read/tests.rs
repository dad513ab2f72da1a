//! Every form of a row, and every way in which a file can be wrong.

use super::*;

fn rows(text: &str) -> Vec<Row> {
    parse(Path::new("d.jsonl"), text.as_bytes()).unwrap()
}

fn refused(bytes: impl AsRef<[u8]>, message: &str) {
    let error = parse(Path::new("d.jsonl"), bytes.as_ref()).unwrap_err();
    assert_eq!(error.to_string(), message);
}

fn turn(role: Role, content: &str) -> Message {
    Message { role, content: content.into() }
}

const CHAT: &str =
    r#"{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}"#;

#[test]
fn a_row_is_told_from_the_line_of_a_log() {
    assert!(is_row(br#"{"prompt": "a", "completion": "b"}"#) && is_row(br#"{"text": "a"}"#));
    for line in [r#"{"loss": 1.5, "step": 3}"#, r#"{"prompt": "a"}"#, "loss 1.5", ""] {
        assert!(!is_row(line.as_bytes()), "{line}");
    }
}

#[test]
fn a_table_has_the_forms_of_its_columns() {
    let read = |text: &str| parse(Path::new("d.CSV"), text.as_bytes());
    let rows = read("prompt,completion,group\nHow,\"So, and so\",a\n\nWhy,\"As\nit is\",b\n").unwrap();
    assert_eq!(
        rows.iter().map(|row| (row.line, row.group.as_deref())).collect::<Vec<_>>(),
        [(2, Some("a")), (4, Some("b"))]
    );
    assert_eq!(rows[0].body, Body::Completion { prompt: "How".into(), completion: "So, and so".into() });
    assert_eq!(read("Prompt,COMPLETION ,Group\nHow,\"So, and so\",a\n").unwrap()[0], rows[0]);
    let error = read("question,answer\na,b\nc,d\n").unwrap_err().to_string();
    assert!(
        error.starts_with(
            "d.CSV:1: none of the keys of a known form, but \"answer\", \"question\"\n  hint: rename the columns, "
        ),
        "{error}"
    );
    assert!(!error.contains(":2:"), "{error}");
}

#[test]
fn every_form_is_told_by_its_keys() {
    let chat = Body::Chat(vec![turn(Role::User, "hi"), turn(Role::Assistant, "ho")]);
    assert_eq!(rows(CHAT)[0].body, chat);
    let shared = r#"{"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]}"#;
    assert_eq!(rows(shared)[0].body, chat);
    let completion = Body::Completion { prompt: "a".into(), completion: "b".into() };
    assert_eq!(rows(r#"{"prompt": "a", "completion": "b", "text": "c"}"#)[0].body, completion);
    let instruction =
        |input: &str| Body::Instruction { instruction: "a".into(), input: input.into(), output: "b".into() };
    assert_eq!(rows(r#"{"instruction": "a", "input": "i", "output": "b"}"#)[0].body, instruction("i"));
    assert_eq!(rows(r#"{"instruction": "a", "output": "b"}"#)[0].body, instruction(""));
    assert_eq!(rows(r#"{"instruction": "a", "input": null, "output": "b"}"#)[0].body, instruction(""));
    assert_eq!(rows(r#"{"text": "a", "label": 3}"#)[0].body, Body::Text("a".into()));
}

#[test]
fn a_message_may_be_in_parts_of_text() {
    let part = |text: &str| format!(r#"{{"type": "text", "text": "{text}"}}"#);
    let row = |content: &str| {
        format!(
            r#"{{"messages": [{{"role": "user", "content": {content}}}, {{"role": "assistant", "content": [{}]}}]}}"#,
            part("ho")
        )
    };
    let parts = |parts: &[String]| row(&format!("[{}]", parts.join(", ")));
    assert_eq!(rows(&parts(&[part("h"), part("i")]))[0].body, rows(CHAT)[0].body);
    let image = r#"{"type": "image_url", "image_url": {"url": "a.png"}}"#.to_owned();
    refused(
        format!("{CHAT}\n{}", parts(&[part("What is it?"), image])),
        "d.jsonl:2: messages[0].content[1] is of type \"image_url\", not text\n  \
         hint: only text can be learnt: leave the row out, or that part of it",
    );
    for wrong in [r#""hi""#, r#"{"type": "text"}"#, r#"{"text": "hi"}"#] {
        refused(
            parts(&[wrong.to_owned()]),
            "d.jsonl:1: messages[0].content[0] is not a part of a message\n  \
             hint: each part of a content is an object, such as {\"type\": \"text\", \"text\": \"...\"}",
        );
    }
}

#[test]
fn a_turn_that_calls_tools_is_refused() {
    for (key, calls) in [
        ("tool_calls", r#""content": null, "tool_calls": [{"id": "a"}]"#),
        ("tool_calls", r#""tool_calls": [{"id": "a"}]"#),
        ("tool_calls", r#""content": "Let me look.", "tool_calls": [{"id": "a"}]"#),
        ("function_call", r#""content": null, "function_call": {"name": "a"}"#),
    ] {
        refused(
            format!(r#"{{"messages": [{{"role": "assistant", {calls}}}]}}"#),
            &format!(
                "d.jsonl:1: messages[0].{key}: the turn calls tools, which is not learnt\n  \
                 hint: leave the row out, or take the calls out of it: the texts alone are learnt then"
            ),
        );
    }
    let none = r#"{"messages": [{"role": "assistant", "content": "Hi.", "tool_calls": []}]}"#;
    assert_eq!(rows(&format!("{none}\n")).len(), 1);
}

#[test]
fn lines_are_counted_through_blank_ones() {
    let all = rows(
        "\u{feff}\r\n{\"text\": \"a\", \"group\": 7}\r\n \r\n{\"text\": \"b\", \"group\": \"7\"}\r\n\r\n",
    );
    assert_eq!(all.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(all[0].group.as_deref(), Some("7"));
    assert_eq!(all[0].group, all[1].group);
}

#[test]
fn bad_rows_are_named_with_line_and_hint() {
    refused(
        "{\"text\": \"a\"}\n{\"text\": \"b\"\n",
        "d.jsonl:2: not valid JSON: EOF while parsing an object at column 12\n  \
         hint: every line is one JSON object, on that line alone",
    );
    refused(
        r#"{"messages": [{"role": "user", "content": "hi"}]}"#,
        "d.jsonl:1: no assistant turn\n  \
         hint: add a message with \"role\": \"assistant\"; {\"text\": ...} rows are learnt whole",
    );
    refused(
        r#"{"messages": [{"role": "assistant", "content": null}]}"#,
        "d.jsonl:1: messages[0].content is null, not text\n  \
         hint: only text can be learnt: a string in quotes",
    );
    refused(
        format!("{CHAT}\n{{\"text\": \"a\"}}"),
        "d.jsonl:2: a row of the form {text}, in a file of the form {messages}\n  \
         hint: the first row decides; keep one form in a file",
    );
    refused(
        r#"{"instruction": "a", "output": "b"}{"x": 1}"#,
        "d.jsonl:1: not valid JSON: trailing characters at column 36\n  \
         hint: every line is one JSON object, on that line alone",
    );
    refused(
        r#"{"question": "a", "answer": "b"}"#,
        "d.jsonl:1: none of the keys of a known form, but \"answer\", \"question\"\n  \
         hint: rename the keys, as in jq -c '{prompt: .question, completion: .answer}' FILE > rows.jsonl; a row has \"messages\", or \"prompt\" and \"completion\", or \"instruction\" and \"output\", \
         or \"conversations\", or \"text\"",
    );
    refused(
        "[\n{\"text\": \"a\"},\n{\"text\": \"b\"}]",
        "d.jsonl:1: the file is one JSON array\n  hint: write one object a line (JSON Lines): jq -c '.[]' FILE > rows.jsonl",
    );
    refused(
        b"{\"text\": \"\xff\"}",
        "d.jsonl:1: not UTF-8 text\n  hint: save the file as UTF-8, as in iconv -f WINDOWS-1252 -t UTF-8 FILE > rows.jsonl",
    );
    refused(
        r#"{"messages": [{"role": "boss", "content": "hi"}]}"#,
        "d.jsonl:1: the role \"boss\" is not known\n  \
         hint: the roles are system, developer, user, assistant and tool",
    );
    refused(
        r#"{"messages": "hi"}"#,
        "d.jsonl:1: messages is a string, not a list of messages\n  \
         hint: each message is an object, such as {\"role\": \"user\", \"content\": \"...\"}",
    );
}

#[test]
fn an_empty_file_is_refused() {
    refused(
        "\n \r\n",
        "d.jsonl: no rows\n  hint: one JSON object a line is expected, such as \
         {\"messages\": [{\"role\": \"user\", \"content\": \"...\"}, {\"role\": \"assistant\", \"content\": \"...\"}]}",
    );
}

#[test]
fn many_bad_rows_are_counted() {
    let good = r#"{"text": "a"}"#;
    refused(
        format!("{good}\n{}{good}\n{{\"text\": 1}}\n", "{\n".repeat(3)),
        "d.jsonl:2: not valid JSON: EOF while parsing an object at column 1\n\
         d.jsonl:3: not valid JSON: EOF while parsing an object at column 1\n\
         d.jsonl:4: not valid JSON: EOF while parsing an object at column 1\n  \
         hint: every line is one JSON object, on that line alone\n\
         d.jsonl:6: text is a number, not text\n  \
         hint: only text can be learnt: a string in quotes",
    );
    let error = parse(Path::new("d.jsonl"), "1\n".repeat(12).as_bytes()).unwrap_err().to_string();
    assert!(error.ends_with("\n... and 7 more"), "{error}");
    assert_eq!(error.lines().count(), 7);
}

#[test]
fn a_missing_file_is_named() {
    assert_eq!(
        read(Path::new("no/such.jsonl"), "data.train").unwrap_err().to_string(),
        "no/such.jsonl: cannot be read: No such file or directory (os error 2)\n  \
         hint: data.train names a file of rows, JSON Lines or CSV, seen from the folder tune is started in"
    );
}
