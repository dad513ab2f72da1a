//! What is varied, what never is, and that the same is varied again.

use super::*;
use crate::config::Data;
use crate::data::encode::TokenizerFiles;

const PROMPT: &str =
    "Hello, my parcel HP-24417 has not arrived, said Bev. The shop was closed!\nPlease help me? \n";
const ANSWER: &str = "Dear Bev, HP-24417 is on its way.";

fn all(share: f64) -> Augment {
    Augment {
        word_dropout: share,
        typos: share,
        drop_punctuation: share,
        lowercase: share,
        shuffle_sentences: 0.0,
        neftune_noise_alpha: 0.0,
    }
}

/// The prompt as `augment` has it by the `seed`.
fn prompt(augment: &Augment, seed: u64) -> String {
    text(PROMPT, &names([ANSWER]), augment, &mut ChaCha8Rng::seed_from_u64(seed))
}

#[test]
fn nothing_changes_where_nothing_is_asked_for() {
    assert_eq!(prompt(&Augment::default(), 0), PROMPT);
    assert_eq!(prompt(&Augment { neftune_noise_alpha: 5.0, ..Augment::default() }, 0), PROMPT);
}

#[test]
fn each_variation_does_what_its_name_says() {
    let one = |change: fn(&mut Augment)| {
        let mut augment = Augment::default();
        change(&mut augment);
        prompt(&augment, 3)
    };
    // What the answer repeats stays.
    assert_eq!(one(|a| a.word_dropout = 1.0), " HP-24417 Bev. \n");
    assert_eq!(
        one(|a| a.lowercase = 1.0),
        "hello, my parcel HP-24417 has not arrived, said Bev. the shop was closed!\nplease help me? \n"
    );
    assert_eq!(
        one(|a| a.drop_punctuation = 1.0),
        "Hello my parcel HP-24417 has not arrived said Bev. The shop was closed\nPlease help me \n"
    );
    let typos = one(|a| a.typos = 1.0);
    let (before, after) = (PROMPT.split_whitespace(), typos.split_whitespace());
    for (before, after) in before.zip(after) {
        let long = before.chars().take_while(|c| c.is_alphabetic()).count() >= SHORTEST_TYPO;
        assert!(long || before == after, "{before} became {after}");
        assert_eq!(before.chars().next(), after.chars().next());
    }
    assert_ne!(typos, PROMPT);
    let sentences = one(|a| a.shuffle_sentences = 1.0);
    assert_eq!(
        sentences,
        "The shop was closed! Hello, my parcel HP-24417 has not arrived, said Bev.\nPlease help me? \n"
    );
}

#[test]
fn a_share_is_a_share() {
    let words = vec!["many"; 20_000].join(" ");
    let augment = Augment { word_dropout: 0.1, ..Augment::default() };
    let left = text(&words, &HashSet::new(), &augment, &mut ChaCha8Rng::seed_from_u64(0));
    let dropped = 1.0 - left.split_whitespace().count() as f64 / 20_000.0;
    assert!((dropped - 0.1).abs() < 0.01, "{dropped}");
}

#[test]
fn a_prompt_is_never_emptied() {
    let augment = Augment { word_dropout: 1.0, ..Augment::default() };
    let varied = text("Please help", &HashSet::new(), &augment, &mut ChaCha8Rng::seed_from_u64(0));
    assert_eq!(varied, "Please help");
}

/// Rows of each form with a prompt, in a file of its own; the configuration varies them heavily.
fn datasets() -> Vec<(tempfile::TempDir, Config)> {
    let forms = [
        serde_json::json!({"messages": [{"role": "system", "content": "Answer kindly, and shortly."},
            {"role": "user", "content": PROMPT}, {"role": "assistant", "content": ANSWER},
            {"role": "user", "content": PROMPT}, {"role": "assistant", "content": "Please wait, dear Bev."}]}),
        serde_json::json!({"prompt": PROMPT, "completion": ANSWER}),
        serde_json::json!({"instruction": "Please answer this letter.", "input": PROMPT, "output": ANSWER}),
    ];
    let dataset = |row: &serde_json::Value| {
        let folder = tempfile::tempdir().unwrap();
        let train = folder.path().join("train.jsonl");
        let rows: Vec<String> =
            (0..6).map(|i| row.to_string().replace("Please", &format!("Please{}", "e".repeat(i)))).collect();
        std::fs::write(&train, rows.join("\n")).unwrap();
        let data = Data { train, valid: crate::config::Holdout::Rows(2), ..Data::default() };
        (folder, Config { data, augment: all(0.3), ..Config::default() })
    };
    forms.iter().map(dataset).collect()
}

fn encoder() -> Encoder {
    Encoder::new(TokenizerFiles {
        tokenizer: include_bytes!("../../model/base/tokenizer.json"),
        tokenizer_config: Some(include_str!("../../model/base/tokenizer_config.json")),
        ..TokenizerFiles::default()
    })
    .unwrap()
}

#[test]
fn what_is_learnt_stays_and_what_is_asked_varies() {
    let encoder = encoder();
    for (_folder, config) in datasets() {
        let dataset = crate::data::load(&config.data, &encoder).unwrap();
        let augmenter = Augmenter::new(&config, &encoder, &dataset).unwrap().unwrap();
        assert_eq!(dataset.bodies.len(), 4);
        let mut varied = 0;
        for (row, plain) in dataset.splits.train.iter().enumerate() {
            for epoch in 0..10 {
                let example = augmenter.example(epoch, row);
                assert!(learnt(&example).eq(learnt(plain)));
                assert_eq!(example.ids.len(), example.loss_mask.len());
                varied += usize::from(*example != *plain);
                assert_eq!(example, augmenter.example(epoch, row), "the same epoch and row");
            }
            assert_ne!(augmenter.body(0, row), augmenter.body(1, row));
        }
        assert!(varied >= 38, "{varied} of 40");
    }
}

#[test]
fn instructions_of_the_system_are_not_varied() {
    let encoder = encoder();
    let (_folder, config) = datasets().swap_remove(0);
    let dataset = crate::data::load(&config.data, &encoder).unwrap();
    let augmenter = Augmenter::new(&config, &encoder, &dataset).unwrap().unwrap();
    for epoch in 0..10 {
        let (Body::Chat(varied), Body::Chat(plain)) = (augmenter.body(epoch, 0), &dataset.bodies[0]) else {
            panic!("not chats");
        };
        for (varied, plain) in varied.iter().zip(plain) {
            assert!(plain.role == Role::User || varied == plain);
        }
    }
}

#[test]
fn a_variation_that_cutting_would_rob_is_not_used() {
    let encoder = encoder();
    let (_folder, mut config) = datasets().swap_remove(1);
    let plain = crate::data::load(&config.data, &encoder).unwrap();
    // Exactly as long as the shortest row: a typo more, and the end of the answer would be cut.
    config.data.max_length = plain.splits.train.iter().map(|row| row.ids.len()).min().unwrap();
    config.augment = Augment { typos: 1.0, ..Augment::default() };
    let dataset = crate::data::load(&config.data, &encoder).unwrap();
    let augmenter = Augmenter::new(&config, &encoder, &dataset).unwrap().unwrap();
    for (row, plain) in dataset.splits.train.iter().enumerate() {
        for epoch in 0..20 {
            assert!(learnt(&augmenter.example(epoch, row)).eq(learnt(plain)));
        }
    }
}

#[test]
fn rows_without_prompts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let train = folder.path().join("train.jsonl");
    std::fs::write(&train, "{\"text\": \"one\"}\n{\"text\": \"two\"}\n{\"text\": \"three\"}\n").unwrap();
    let data = Data { train, valid: crate::config::Holdout::Rows(1), ..Data::default() };
    let config = Config { data, augment: all(0.1), ..Config::default() };
    let encoder = encoder();
    let dataset = crate::data::load(&config.data, &encoder).unwrap();
    let error = Augmenter::new(&config, &encoder, &dataset).unwrap_err().to_string();
    assert!(error.contains("no prompts") && error.contains("hint: "), "{error}");
}
