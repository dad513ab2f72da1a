//! The dataset in the repository: its form, and that no two of its e-mails say the same thing.

use std::collections::{HashMap, HashSet};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/support-emails.jsonl");

/// Words in a run that two texts may share.
const GRAM: usize = 5;

/// The customer's words and the shop's, a pair a row.
fn emails() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(FILE).expect("the dataset is in the repository");
    text.lines().map(|line| email(&serde_json::from_str(line).expect("a JSON row"))).collect()
}

fn email(row: &serde_json::Value) -> (String, String) {
    let messages = row["messages"].as_array().expect("messages");
    let roles: Vec<_> = messages.iter().map(|m| m["role"].as_str()).collect();
    assert_eq!(roles, [Some("user"), Some("assistant")], "in {row}");
    let words = |i: usize| messages[i]["content"].as_str().expect("text").to_owned();
    (words(0), words(1))
}

fn grams(text: &str) -> HashSet<Vec<String>> {
    let lower = text.to_lowercase();
    let words: Vec<_> = lower
        .split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    words.windows(GRAM).map(<[String]>::to_vec).collect()
}

/// The largest share of 5-grams that two texts have in common, over the smaller set, and which two.
fn closest(texts: &[&str]) -> (f64, usize, usize) {
    let sets: Vec<_> = texts.iter().map(|text| grams(text)).collect();
    let mut holders: HashMap<&[String], Vec<usize>> = HashMap::new();
    for (i, set) in sets.iter().enumerate() {
        for gram in set {
            holders.entry(gram).or_default().push(i);
        }
    }
    // Only texts that share a gram are ever compared.
    let mut shared: HashMap<(usize, usize), usize> = HashMap::new();
    for rows in holders.values() {
        for (n, &a) in rows.iter().enumerate() {
            for &b in &rows[n + 1..] {
                *shared.entry((a, b)).or_default() += 1;
            }
        }
    }
    let share = |(&(a, b), &n): (&(usize, usize), &usize)| {
        (n as f64 / sets[a].len().min(sets[b].len()) as f64, a + 1, b + 1)
    };
    shared.iter().map(share).max_by(|x, y| x.0.total_cmp(&y.0)).unwrap_or_default()
}

#[test]
fn holds_500_emails_with_replies() {
    let emails = emails();
    assert_eq!(emails.len(), 500);
    for (email, reply) in &emails {
        assert!((10..=200).contains(&email.split_whitespace().count()), "{email}");
        assert!((15..=200).contains(&reply.split_whitespace().count()), "{reply}");
    }
}

#[test]
fn no_two_emails_share_a_third_of_their_5_grams() {
    let emails = emails();
    let sides = [
        ("e-mails", emails.iter().map(|(email, _)| email.as_str()).collect::<Vec<_>>()),
        ("replies", emails.iter().map(|(_, reply)| reply.as_str()).collect()),
    ];
    for (name, texts) in sides {
        let (share, a, b) = closest(&texts);
        assert!(share <= 1.0 / 3.0, "the {name} of lines {a} and {b} share {share:.2} of their {GRAM}-grams");
    }
}

#[test]
fn the_measure_sees_a_template() {
    let (share, a, b) = closest(&[
        "My kettle arrived broken this morning and I want a new one",
        "Nothing to do with it at all, only a question about boots",
        "My lamp arrived broken this morning and I want a new one",
    ]);
    assert_eq!((a, b), (1, 3));
    assert!(share > 1.0 / 3.0, "{share}");
}
