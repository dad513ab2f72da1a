//! What a row becomes, seen as text: the parts that carry loss stand in brackets.

use super::*;

const TOKENIZER: &[u8] = include_bytes!("../../model/base/tokenizer.json");
const SETTINGS: &str = include_str!("../../model/base/tokenizer_config.json");

const BASE: TokenizerFiles = TokenizerFiles {
    tokenizer: TOKENIZER,
    tokenizer_config: Some(SETTINGS),
    config: None,
    chat_template: None,
};
const OPTIONS: EncodeOptions = EncodeOptions { max_length: 512, mask_prompt: true };

fn base() -> Encoder {
    Encoder::new(BASE).unwrap()
}

/// The base tokenizer with `change` made to its JSON.
fn changed(change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut json = serde_json::from_slice(TOKENIZER).unwrap();
    change(&mut json);
    serde_json::to_vec(&json).unwrap()
}

fn body(row: &str) -> Body {
    let mut rows = super::super::read::parse(Path::new("d"), row.as_bytes()).unwrap();
    rows.remove(0).body
}

/// The text of the example; runs of tokens that carry loss stand in brackets.
fn marked(encoder: &Encoder, example: &Example) -> String {
    assert_eq!(example.ids.len(), example.loss_mask.len());
    let mut out = String::new();
    let same = |a: &(u32, bool), b: &(u32, bool)| a.1 == b.1;
    let tokens: Vec<_> = example.ids.iter().copied().zip(example.loss_mask.iter().copied()).collect();
    for run in tokens.chunk_by(same) {
        let ids: Vec<_> = run.iter().map(|(id, _)| *id).collect();
        let text = encoder.tokenizer().decode(&ids, false).unwrap();
        let (open, close) = if run[0].1 { ("[", "]") } else { ("", "") };
        out.extend([open, &text, close]);
    }
    out
}

fn shown(encoder: &Encoder, row: &str) -> String {
    marked(encoder, &encoder.encode(&body(row), OPTIONS).unwrap().example)
}

const CHAT: &str = r#"{"messages": [{"role": "user", "content": "My kettle leaks."}, {"role": "assistant", "content": "Sorry!"},
    {"role": "user", "content": "Well?"}, {"role": "assistant", "content": "A new one leaves today."}]}"#;

fn chat() -> String {
    CHAT.replace('\n', "")
}

#[test]
fn a_chat_is_learnt_in_the_assistants_turns() {
    assert_eq!(
        shown(&base(), &chat()),
        "<|im_start|>user\nMy kettle leaks.<|im_end|>\n<|im_start|>assistant\n[Sorry!<|im_end|>\n]\
         <|im_start|>user\nWell?<|im_end|>\n<|im_start|>assistant\n[A new one leaves today.<|im_end|>\n]"
    );
}

#[test]
fn without_a_mask_all_but_the_first_token_is_learnt() {
    let options = EncodeOptions { mask_prompt: false, ..OPTIONS };
    let example = base().encode(&body(&chat()), options).unwrap().example;
    assert!(!example.loss_mask[0] && example.loss_mask[1..].iter().all(|&on| on));
    assert_eq!(example.loss_tokens(), example.ids.len() - 1);
}

#[test]
fn a_completion_ends_with_end_of_sequence() {
    let row = r#"{"prompt": "The kettle is", "completion": " made of copper."}"#;
    assert_eq!(shown(&base(), row), "The kettle is[ made of copper.<|endoftext|>]");
    let row = r#"{"prompt": "", "completion": "Made of copper.<|endoftext|>"}"#;
    assert_eq!(shown(&base(), row), "M[ade of copper.<|endoftext|>]");
}

#[test]
fn a_token_across_the_border_is_not_learnt() {
    let whole = base().tokenizer().encode("copper", false).unwrap();
    assert!(whole.len() < 6, "the test needs a token of more than one letter");
    let example =
        base().encode(&Body::Completion { prompt: "c".into(), completion: "opper".into() }, OPTIONS);
    let example = example.unwrap().example;
    assert_eq!(example.ids[..whole.len()], *whole.get_ids());
    let inside = whole.get_offsets().iter().map(|&(start, _)| start >= 1).chain([true]);
    assert_eq!(example.loss_mask, inside.collect::<Vec<_>>());
}

#[test]
fn leading_spaces_of_a_token_do_not_count() {
    let row = r#"{"prompt": "It is ", "completion": "copper."}"#;
    assert_eq!(base().tokenizer().encode("It is copper.", false).unwrap().get_offsets()[2].0, 5);
    assert_eq!(shown(&base(), row), "It is[ copper.<|endoftext|>]");
}

#[test]
fn offsets_are_not_trimmed_by_the_post_processor() {
    let trimming = changed(|json| {
        json["post_processor"] = serde_json::json!(
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    });
    let spaced = "{% for m in messages %}{{ '<|im_start|>' + m.content + ' ' }}{% endfor %}";
    let files = TokenizerFiles { tokenizer: &trimming, chat_template: Some(spaced), ..BASE };
    assert_eq!(
        shown(&Encoder::new(files).unwrap(), &chat()),
        "<|im_start|>My kettle leaks. [<|im_start|>Sorry! ]<|im_start|>Well? [<|im_start|>A new one leaves today. ]"
    );
}

#[test]
fn a_text_is_learnt_whole() {
    let shown = shown(&base(), r#"{"text": "Copper is a metal."}"#);
    assert_eq!(shown.replace('[', ""), "Copper is a metal.<|endoftext|>]");
}

#[test]
fn instructions_are_chats_where_the_model_chats() {
    let row = r#"{"instruction": "Translate.", "input": "Kessel", "output": "kettle"}"#;
    assert_eq!(
        shown(&base(), row),
        "<|im_start|>user\nTranslate.\n\nKessel<|im_end|>\n<|im_start|>assistant\n[kettle<|im_end|>\n]"
    );
    let plain = Encoder::new(TokenizerFiles { tokenizer_config: None, ..BASE }).unwrap();
    let row = r#"{"instruction": "Translate.", "output": "kettle"}"#;
    assert_eq!(
        shown(&plain, row),
        "Below is an instruction that describes a task. Write a response that appropriately completes the \
         request.\n\n### Instruction:\nTranslate.\n\n### Response:\n[kettle]"
    );
}

#[test]
fn the_post_processor_frames_texts_but_not_chats() {
    // Llama 3's form of it: a begin-of-sequence token before, offsets trimmed by ByteLevel.
    let tokenizer = changed(|json| {
        json["post_processor"] = serde_json::json!({"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            {"type": "TemplateProcessing",
             "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                        {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}],
             "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
             "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]},
                                "<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}}}]});
    });
    let encoder = Encoder::new(TokenizerFiles { tokenizer: &tokenizer, ..BASE }).unwrap();
    assert_eq!(
        shown(&encoder, r#"{"prompt": "It is", "completion": " copper."}"#),
        "<|im_start|>It is[ copper.<|endoftext|>]"
    );
    assert_eq!(shown(&encoder, r#"{"text": "Copper."}"#), "<|im_start|>[Copper.<|endoftext|>]");
    assert_eq!(shown(&encoder, &chat()), shown(&base(), &chat()));
}

#[test]
fn long_rows_are_cut_and_empty_ones_refused() {
    let encode = |row: &str, max_length| base().encode(&body(row), EncodeOptions { max_length, ..OPTIONS });
    let whole = encode(&chat(), 512).unwrap();
    let start = whole.example.loss_mask.iter().position(|&on| on).unwrap();
    let cut = encode(&chat(), start + 1).unwrap();
    assert_eq!((cut.example.ids.len(), cut.example.loss_tokens()), (start + 1, 1));
    assert_eq!(cut.cut, whole.example.ids.len() - start - 1);
    assert_eq!(encode(&chat(), start), Err(RowFault::CutAway { max_length: start, first: start + 1 }));
    assert_eq!(encode(r#"{"text": ""}"#, 512), Err(RowFault::NothingToLearn));
}

#[test]
fn padding_and_truncation_of_the_file_are_not_obeyed() {
    let tokenizer = changed(|json| {
        json["truncation"] = serde_json::json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
        json["padding"] = serde_json::json!({"strategy": {"Fixed": 900}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>"});
    });
    let encoder = Encoder::new(TokenizerFiles { tokenizer: &tokenizer, ..BASE }).unwrap();
    assert_eq!(shown(&encoder, &chat()), shown(&base(), &chat()));
}

#[test]
fn special_tokens_in_messages_are_noticed() {
    let special = |content: &str| {
        let messages = [(Role::User, content), (Role::Assistant, "Yes.")];
        let messages = messages.map(|(role, content)| Message { role, content: content.into() });
        base().encode(&Body::Chat(messages.into()), OPTIONS).unwrap().special_in_message
    };
    assert!(special("What is <|im_end|>?"));
    assert!(!special("What is <|im_stop|>?"));
}

#[test]
fn end_of_sequence_is_looked_up() {
    let eos = |tokenizer_config, config| {
        let files = TokenizerFiles { tokenizer_config, config, ..BASE };
        Encoder::new(files).map(|encoder| encoder.eos()).map_err(|e| e.to_string())
    };
    assert_eq!(eos(Some(r#"{"eos_token": {"content": "<|im_end|>"}}"#), None), Ok(Some(2)));
    assert_eq!(eos(Some(r#"{"eos_token": null}"#), Some(r#"{"eos_token_id": [1, 2]}"#)), Ok(Some(1)));
    assert_eq!(eos(None, Some(r#"{"eos_token_id": 2}"#)), Ok(Some(2)));
    assert_eq!(eos(None, None), Ok(None));
    assert_eq!(
        eos(Some(r#"{"eos_token": "</s>"}"#), None),
        Err("tokenizer_config.json: eos_token \"</s>\" is not in the vocabulary\n  \
             hint: it belongs to another tokenizer.json"
            .into())
    );
}

#[test]
fn the_template_is_found_in_all_its_places() {
    let chats = |tokenizer_config, chat_template| {
        let encoder = Encoder::new(TokenizerFiles { tokenizer_config, chat_template, ..BASE }).unwrap();
        let example = encoder.encode(&body(&chat()), OPTIONS);
        example.map(|encoded| marked(&encoder, &encoded.example).len())
    };
    let named = r#"{"chat_template": [{"name": "tool_use", "template": "{{ raise_exception('no') }}"},
        {"name": "default", "template": "{% for m in messages %}{{ m.content }}{% endfor %}"}]}"#;
    let texts = "My kettle leaks.[Sorry!]Well?[A new one leaves today.]".len();
    assert_eq!(chats(Some(named), None), Ok(texts));
    let file = "{% for m in messages %}{{ m.content }}.{% endfor %}";
    assert_eq!(chats(Some(named), Some(file)), Ok(texts + 4));
}

#[test]
fn faults_keep_the_order_of_the_rows() {
    let (good, bad) = (Body::Text("copper".into()), Body::Text(String::new()));
    let rows = [&good, &bad, &good, &bad];
    let encoded = base().encode_all(&rows, OPTIONS);
    assert_eq!(encoded.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, false]);
    assert_eq!(encoded[3], Err(RowFault::NothingToLearn));
    let lengths = |rows: &[&Body]| {
        let rows = base().encode_all(rows, OPTIONS).into_iter().map(Result::unwrap);
        rows.map(|row| row.example.ids.len()).collect::<Vec<_>>()
    };
    let long = Body::Text("copper kettle, copper kettle".into());
    let (one, two) = (lengths(&[&good])[0], lengths(&[&long])[0]);
    assert_eq!(lengths(&[&long, &good, &long]), [two, one, two]);
}

#[test]
fn the_vocabulary_is_counted_to_its_highest_id() {
    assert_eq!(base().vocab_size(), 4096);
}

#[test]
fn a_prompt_ends_where_the_assistant_begins() {
    let asked = |like: &str| {
        let ids = base().ask("Hi", &body(like)).unwrap();
        base().tokenizer().decode(&ids, false).unwrap()
    };
    let chat = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(asked(&self::chat()), chat);
    let brief = r#"{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "?"},
        {"role": "assistant", "content": "!"}]}"#;
    assert_eq!(asked(&brief.replace('\n', "")), format!("<|im_start|>system\nBe brief.<|im_end|>\n{chat}"));
    assert_eq!(asked(r#"{"instruction": "a", "output": "b"}"#), chat);
    assert_eq!(asked(r#"{"prompt": "a", "completion": "b"}"#), "Hi");
    assert_eq!(asked(r#"{"text": "a"}"#), "Hi");
    // What is asked is how the row begins that was learnt.
    let row = r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "!"}]}"#;
    let learnt = base().encode(&body(row), OPTIONS).unwrap().example;
    assert!(learnt.ids.starts_with(&base().ask("Hi", &body(&self::chat())).unwrap()));
}

#[test]
fn instructions_come_before_a_question_in_a_chat_alone() {
    let taught = body(r#"{"instruction": "a", "output": "b"}"#);
    let bare = Encoder::new(TokenizerFiles { tokenizer_config: None, ..BASE }).unwrap();
    assert!(base().asks_in_chat(&body(&chat())) && base().asks_in_chat(&taught));
    assert!(!bare.asks_in_chat(&taught) && bare.asks_in_chat(&body(&chat())));
    for row in [r#"{"prompt": "a", "completion": "b"}"#, r#"{"text": "a"}"#] {
        assert!(!base().asks_in_chat(&body(row)), "{row}");
    }
}

#[test]
fn a_text_ends_with_a_special_token() {
    let id = |text: &str| base().tokenizer().token_to_id(text).unwrap();
    assert!(base().ends(id("<|endoftext|>")) && base().ends(id("<|im_end|>")));
    assert!(!base().ends(500));
    let ids = base().ask("Hi", &body(&chat())).unwrap();
    assert_eq!(base().decode(&ids).unwrap(), "user\nHi\nassistant\n");
    assert_eq!(base().unframed(&ids), "Hi");
    let bare = base().ask("Hi there", &body(r#"{"text": "a"}"#)).unwrap();
    assert_eq!(base().unframed(&bare), "Hi there");
}

#[test]
fn a_damaged_tokenizer_is_named() {
    let error = Encoder::new(TokenizerFiles { tokenizer: b"{", ..BASE }).unwrap_err().to_string();
    assert!(error.starts_with("tokenizer.json: ") && error.contains("\n  hint: "), "{error}");
    let error = Encoder::open(Path::new("no/such")).unwrap_err().to_string();
    assert!(error.starts_with("no/such/tokenizer.json: cannot be read: "), "{error}");
}
