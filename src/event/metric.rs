//! What the name of a metric tells: which way is better, and whether it is of single tokens.
//!
//! Names are cut into whole words, so that `accumulated_tokens` is no accuracy. What a loss is called is for
//! `ingest::names`.

/// Words of figures that rise as a model gets better.
const RISING: &[&str] = &[
    "acc",
    "accuracy",
    "accuracies",
    "auc",
    "auroc",
    "f1",
    "f1score",
    "fscore",
    "precision",
    "recall",
    "match",
    "exact",
    "em",
    "bleu",
    "sacrebleu",
    "chrf",
    "meteor",
    "rouge",
    "rougel",
    "rougelsum",
    "mcc",
    "map",
    "ap",
    "ndcg",
    "r2",
    "pearson",
    "spearman",
    "reward",
    "rewards",
    "pass",
];

/// Words of those that fall.
const FALLING: &[&str] = &["wer", "cer", "ter", "mae", "rmse"];

/// Whether a figure with this word (small letters) in its name is known to rise as a model gets better, or to fall;
/// `None` where the word does not tell.
pub fn word_rises(word: &str) -> Option<bool> {
    // `rouge2`, `bleu4`; but `f1` is a word of its own.
    let bare = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let is = |list: &[&str]| list.contains(&word) || list.contains(&bare);
    if is(FALLING) { Some(false) } else { is(RISING).then_some(true) }
}

/// Whether more of a metric is better; `None` where its name does not tell.
pub fn higher_is_better(name: &str) -> Option<bool> {
    words(name).find_map(|word| word_rises(&word.to_ascii_lowercase()))
}

/// Whether a metric is of single tokens, as TRL's `eval_mean_token_accuracy`: how often the right one comes first,
/// which says little about whole answers.
pub fn is_of_tokens(name: &str) -> bool {
    words(name).any(|word| word.eq_ignore_ascii_case("token") || word.eq_ignore_ascii_case("tokens"))
}

/// The words of a name: `evalRougeL` has three.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let mut small = false;
    name.split(move |c: char| !c.is_ascii_alphanumeric()).flat_map(move |part| {
        let turns = part.char_indices().filter(|(_, c)| {
            let turn = small && c.is_ascii_uppercase();
            small = c.is_ascii_lowercase();
            turn
        });
        let mut cuts: Vec<usize> = turns.map(|(at, _)| at).collect();
        cuts.insert(0, 0);
        cuts.push(part.len());
        cuts.windows(2).map(|cut| &part[cut[0]..cut[1]]).collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_which_way_is_better() {
        for name in [
            "eval_accuracy",
            "eval_f1_macro",
            "rougeL",
            "evalRougeL",
            "ROUGE2",
            "bleu4",
            "exact_match",
            "mAP50",
            "f1score",
        ] {
            assert_eq!(higher_is_better(name), Some(true), "{name}");
        }
        assert_eq!(higher_is_better("wer"), Some(false));
        let silent =
            ["eval_runtime", "samples_per_second", "accumulated_tokens", "embedding_norm", "terminated"];
        assert!(silent.iter().all(|name| higher_is_better(name).is_none()));
    }

    #[test]
    fn what_is_of_tokens_says_so() {
        assert!(
            is_of_tokens("eval_mean_token_accuracy") && is_of_tokens("token_acc") && is_of_tokens("perToken")
        );
        assert!(!is_of_tokens("eval_accuracy") && !is_of_tokens("tokenizer_f1"));
    }
}
