//! The house rules, checked on the source as text: who may know whom, and what must not occur.
//!
//! Comments and the words of string literals are set aside first, so that a rule is about code. The
//! rules themselves are explained in `src/lib.rs`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// All modules before it.
const ANY: &[&str] = &["*"];

/// Every module at the top of `src`, in layer order, and the ones that it may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("config", &[]),
    ("fmt", &[]),
    ("files", &[]),
    ("device", &[]),
    ("kernel", &[]),
    ("data", &["config"]),
    ("model", &["config", "files", "device", "kernel"]),
    ("train", &["event", "config", "files", "device", "kernel", "data", "model"]),
    ("curve", &["event"]),
    ("diagnosis", &["event", "fmt", "curve"]),
    ("monitor", &["event", "fmt", "curve", "diagnosis"]),
    ("report", &["event", "fmt", "curve", "diagnosis", "monitor"]),
    ("store", &["event", "files"]),
    ("ingest", &["event"]),
    ("dashboard", &["event", "fmt", "curve", "diagnosis", "monitor"]),
    ("cli", ANY),
];

/// The same records in, the same bytes out: where these words may not occur.
const PURE: &[&str] = &[
    "src/curve/",
    "src/diagnosis/",
    "src/monitor",
    "src/report/",
    "src/train/schedule.rs",
    "src/train/plan.rs",
    "src/train/likeness.rs",
    "src/dashboard/message.rs",
    "src/dashboard/update.rs",
    "src/dashboard/viewport.rs",
    "src/dashboard/export.rs",
    "src/dashboard/view",
];
const IMPURE: &str = "std::fs std::io std::env std::net std::process std::thread fs:: Instant SystemTime \
    HashMap rand:: rand_chacha:: rayon:: jiff:: print! println! eprint! eprintln!";

/// Words, and the only places where they may be written.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("Instant::now", &["src/cli/", "src/dashboard/mod.rs", "tests/"]),
    ("SystemTime", &["src/cli/", "tests/"]),
    ("ratatui", &["src/dashboard/", "tests/it/dashboard"]),
    ("crossterm", &["src/dashboard/", "tests/it/dashboard"]),
    ("clap", &["src/cli/"]),
    ("cuda", &["src/device.rs", "src/kernel/"]),
    ("candle_core", &["src/device.rs", "src/kernel/", "src/model/", "src/train/", "tests/it/families.rs"]),
    ("candle_nn", &["src/model/oracle.rs", "src/model/tests.rs"]),
    ("unsafe", &["src/kernel/cpu/", "src/model/weights.rs", "src/main.rs"]),
    ("println!", &[]),
    ("eprintln!", &[]),
    ("dbg!", &[]),
    ("todo!", &[]),
    ("unimplemented!", &[]),
    ("#[ignore", &[]),
    ("#[allow(", &[]),
    ("#![allow(", &[]),
];

/// The length at which a file is asked why it is not two.
const LONG: usize = 450;
/// Those that have an answer.
const MAY_BE_LONG: &[(&str, &str)] =
    &[("tests/it/cli.rs", "one program to drive, and a story a test: nothing between them to cut at")];

/// A source file: its path with `/` on every system, its text, and its text without words.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into(), code: code(text) }
    }

    /// The module at the top of `src` that the file belongs to; none for `lib.rs` and `main.rs`.
    fn module(&self) -> Option<&str> {
        let name = self.path.strip_prefix("src/")?.split('/').next()?;
        let name = name.strip_suffix(".rs").unwrap_or(name);
        (name != "lib" && name != "main").then_some(name)
    }

    /// The number of the line at byte `at` of the code.
    fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Where `word` occurs in the code, not as a part of a longer name.
    fn places(&self, word: &str) -> Vec<usize> {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let bounded = |at: usize| {
            let (before, after) =
                (self.code[..at].chars().next_back(), self.code[at + word.len()..].chars().next());
            let open = word.starts_with(is_name) && before.is_some_and(is_name);
            let close = word.ends_with(is_name) && after.is_some_and(is_name);
            !open && !close
        };
        self.code.match_indices(word).map(|(at, _)| at).filter(|&at| bounded(at)).collect()
    }

    /// The top modules that the file names as `crate::module` or in a `crate::{a, b::c}`.
    fn named_modules(&self) -> Vec<(usize, String)> {
        let name = |text: &str| -> String {
            text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        let mut found = Vec::new();
        for at in self.places("crate::") {
            let rest = &self.code[at + "crate::".len()..];
            let Some(group) = rest.strip_prefix('{') else {
                found.push((self.line(at), name(rest)));
                continue;
            };
            let (mut depth, mut fresh) = (1, true);
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 1 => break,
                    '}' => depth -= 1,
                    ',' if depth == 1 => fresh = true,
                    c if fresh && !c.is_whitespace() => {
                        found.push((self.line(at), name(&group[i..])));
                        fresh = false;
                    }
                    _ => {}
                }
            }
        }
        found
    }
}

/// `text` with comments and the contents of literals turned into spaces; lines stay where they are.
fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    let blank =
        |out: &mut String, part: &[char]| out.extend(part.iter().map(|&c| if c == '\n' { c } else { ' ' }));
    while i < chars.len() {
        let rest = &chars[i..];
        let follows_name = i > 0 && (chars[i - 1].is_alphanumeric() || chars[i - 1] == '_');
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
            ['r', '"' | '#', ..] if !follows_name => raw_string(rest),
            ['b', 'r', '"' | '#', ..] if !follows_name => 1 + raw_string(&rest[1..]),
            ['"', ..] => quoted(rest, '"'),
            // A character, not a lifetime.
            ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
            _ => 0,
        };
        if length == 0 {
            out.push(chars[i]);
            i += 1;
        } else {
            blank(&mut out, &rest[..length]);
            i += length;
        }
    }
    out
}

/// The length of a literal that opens and closes with `mark`.
fn quoted(rest: &[char], mark: char) -> usize {
    let mut i = 1;
    while i < rest.len() && rest[i] != mark {
        i += if rest[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(rest.len())
}

/// The length of a raw string, 0 if it is none (`r#name`).
fn raw_string(rest: &[char]) -> usize {
    let marks = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + marks) != Some(&'"') {
        return 0;
    }
    let mut i = 2 + marks;
    while i < rest.len() {
        if rest[i] == '"' && rest[i + 1..].iter().take(marks).filter(|&&c| c == '#').count() == marks {
            return i + 1 + marks;
        }
        i += 1;
    }
    rest.len()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the project but this one, which has to write down what it forbids.
fn sources() -> Vec<Source> {
    let mut folders = vec![root().join("src"), root().join("tests")];
    let mut found: BTreeSet<PathBuf> = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.insert(path);
            }
        }
    }
    let sources: Vec<Source> = found
        .iter()
        .map(|path| {
            let name = path.strip_prefix(root()).expect("below the root");
            let parts: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
            let text = std::fs::read_to_string(path).expect("UTF-8");
            Source::new(&parts.join("/"), &text.replace("\r\n", "\n"))
        })
        .filter(|source| source.path != "tests/it/tidy.rs")
        // A program of its own, which takes the parsers in by path.
        .filter(|source| !source.path.starts_with("tests/fuzz/"))
        .collect();
    assert!(sources.len() > 50, "the source tree was not found in {}", root().display());
    sources
}

fn under(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

fn arrows(source: &Source) -> Vec<String> {
    let Some(module) = source.module() else { return Vec::new() };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: {module} is not in the table of modules", source.path)];
    };
    let known = |name: &str| ARROWS.iter().any(|(module, _)| *module == name);
    source
        .named_modules()
        .into_iter()
        .filter(|(_, name)| known(name) && name != module)
        .filter(|(_, name)| *allowed != ANY && !allowed.contains(&name.as_str()))
        .map(|(line, name)| format!("{}:{line}: {module} may not know {name}", source.path))
        .collect()
}

fn purity(source: &Source) -> Vec<String> {
    if !under(&source.path, PURE) {
        return Vec::new();
    }
    let breach = |word| {
        let first = *source.places(word).first()?;
        Some(format!("{}:{}: {word} in a module that has to be pure", source.path, source.line(first)))
    };
    IMPURE.split_whitespace().filter_map(breach).collect()
}

fn confined(source: &Source) -> Vec<String> {
    let breach = |(word, places): &(&str, &[&str])| {
        let first = *source.places(word).first()?;
        let only =
            if places.is_empty() { "nowhere".into() } else { format!("only in {}", places.join(", ")) };
        let (path, line) = (&source.path, source.line(first));
        (!under(path, places)).then(|| format!("{path}:{line}: {word} is allowed {only}"))
    };
    ONLY_IN.iter().filter_map(breach).collect()
}

fn opening(source: &Source) -> Vec<String> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![format!("{}:1: does not open with a `//!` line that says what it is for", source.path)]
}

fn length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let excused = MAY_BE_LONG.iter().any(|(path, _)| *path == source.path);
    if lines <= LONG || excused {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines, and {LONG} is long: split it where the interface is small", source.path)]
}

/// Fails with every breach of a rule that is in the tree.
fn hold(rule: fn(&Source) -> Vec<String>) {
    let breaches: Vec<String> = sources().iter().flat_map(rule).collect();
    let mut list = String::new();
    for breach in &breaches {
        let _ = write!(list, "\n  {breach}");
    }
    assert!(breaches.is_empty(), "{} breaches of a house rule (see src/lib.rs):{list}", breaches.len());
}

#[test]
fn modules_know_only_whom_they_may() {
    hold(arrows);
}

#[test]
fn judgement_and_views_are_pure() {
    hold(purity);
}

#[test]
fn words_stay_where_they_belong() {
    hold(confined);
}

#[test]
fn files_say_what_they_are_for() {
    hold(opening);
}

#[test]
fn files_are_short() {
    hold(length);
    for (path, reason) in MAY_BE_LONG {
        let lines = std::fs::read_to_string(root().join(path)).map_or(0, |text| text.lines().count());
        assert!(lines > LONG, "{path} need not be excused any more ({reason})");
    }
}

#[test]
fn no_file_is_forgotten() {
    let sources = sources();
    let declares = |path: &str, name: &str| {
        let parent = |source: &&Source| source.path == path;
        let declared = |source: &Source| !source.places(&format!("mod {name};")).is_empty();
        sources.iter().find(parent).is_some_and(declared)
    };
    for source in &sources {
        let path =
            source.path.strip_suffix("/mod.rs").or(source.path.strip_suffix(".rs")).expect("a Rust file");
        let (folder, name) = path.rsplit_once('/').expect("below src or tests");
        // The root of a crate: `src/kernel` is one of its own.
        if name == "lib" || name == "main" || path == "src/kernel" {
            continue;
        }
        let parents = ["lib", "main", "mod"].map(|root| format!("{folder}/{root}.rs"));
        let declared =
            parents.iter().any(|parent| declares(parent, name)) || declares(&format!("{folder}.rs"), name);
        assert!(declared, "{}: no `mod {name};` names it, so it is never compiled", source.path);
    }
}

#[test]
fn the_table_is_the_module_list() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let listed: Vec<&str> = lib
        .lines()
        .filter_map(|line| {
            line.strip_prefix("pub mod ").or(line.strip_prefix("pub use tune_kernel as "))?.strip_suffix(';')
        })
        .collect();
    let table: Vec<&str> = ARROWS.iter().map(|(module, _)| *module).collect();
    assert_eq!(listed, table, "src/lib.rs and tests/it/tidy.rs have the modules in layer order");
    for (i, (module, allowed)) in ARROWS.iter().enumerate() {
        for name in allowed.iter().filter(|_| *allowed != ANY) {
            assert!(table[..i].contains(name), "{module} may know {name}, which comes after it");
        }
    }
}

#[test]
fn the_pure_modules_are_those_of_the_page() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let (_, list) = lib.split_once("No files, clock, randomness or printing in ").expect("the rule");
    let (list, _) = list.split_once(": the same records").expect("its end");
    let listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let module = |path: &&str| {
        path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches('/').replace('/', "::")
    };
    assert_eq!(listed, PURE.iter().map(module).collect::<Vec<_>>(), "src/lib.rs and tests/it/tidy.rs");
}

#[test]
fn what_every_reader_looks_for_is_there() {
    for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(root().join(file).is_file(), "{file} is missing");
    }
}

/// The rules themselves: each must be able to fail, and comments and literals must not make it.
#[test]
fn each_rule_can_be_broken() {
    let breaks =
        |rule: fn(&Source) -> Vec<String>, path: &str, text: &str| rule(&Source::new(path, text)).len();
    for (text, expected) in [
        ("use crate::store::RunDir;", 1),
        ("use crate::{event::Event, store::{RunDir, log}, cli};", 2),
        ("use crate::data::Splits; // crate::cli", 0),
        ("let a = \"crate::cli\"; let b = r#\"crate::cli \"\"#; let c = '\"'; use crate::curve;", 1),
        ("use super::step; use crate::train::loss;", 0),
    ] {
        assert_eq!(breaks(arrows, "src/train/mod.rs", text), expected, "{text}");
    }
    assert_eq!(breaks(arrows, "src/extra.rs", ""), 1, "a module outside the table");
    assert_eq!(breaks(arrows, "src/main.rs", "tune::cli"), 0);
    for word in IMPURE.split_whitespace() {
        let text = format!("let x = {word} 1;");
        assert!(breaks(purity, "src/monitor.rs", &text) > 0, "{word}");
        assert_eq!(breaks(purity, "src/cli/run.rs", &text), 0, "{word}");
    }
    assert_eq!(breaks(purity, "src/curve/mod.rs", "fn operand::f() {} // std::fs"), 0, "a part of a name");
    for (word, places) in ONLY_IN {
        assert!(breaks(confined, "src/curve/mod.rs", &format!("x\n {word} y")) > 0, "{word}");
        for place in *places {
            assert_eq!(breaks(confined, &format!("{place}x.rs"), word), 0, "{word} in {place}");
        }
    }
    assert_eq!(breaks(confined, "src/curve/mod.rs", "/// unsafe\nlet cuda_free = \"unsafe\";"), 0);
    assert_eq!(breaks(opening, "src/a.rs", "use std::fmt;"), 1);
    assert_eq!(breaks(opening, "src/a.rs", "//! What it is for."), 0);
    assert_eq!(breaks(length, "src/a.rs", &"\n".repeat(LONG)), 0);
    assert_eq!(breaks(length, "src/a.rs", &"\n".repeat(LONG + 1)), 1);
}
