//! Rows to learn from and rows to judge by: read, split, and turned into tokens.
//!
//! Host memory only: nothing here knows a tensor. The way of a row: [`read`] tells its form, [`split`]
//! its side, [`encode`] (with [`template`] for chats) makes tokens of it, and [`batch`] lays it beside
//! others. [`augment`] varies the prompts of training rows, [`near`] finds rows that say nearly the same,
//! and [`audit`] counts what came of it all.

pub mod audit;
pub mod augment;
pub mod batch;
mod csv;
pub mod encode;
pub mod error;
mod foreign;
mod forest;
mod guard;
pub mod near;
pub mod read;
pub mod split;
pub mod template;

pub use audit::{Audit, Source};
pub use augment::Augmenter;
pub use encode::Encoder;
pub use error::DataError;

use crate::config::{Data, Holdout};
use audit::Audited;
use encode::EncodeOptions;
use near::Sketch;
use read::{Body, Row};
use split::Share;
use std::path::{Path, PathBuf};

/// One row as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Whether token `i` carries loss, that is: whether predicting it from the tokens before it is trained. Same length as `ids`; the first is always false.
    pub loss_mask: Vec<bool>,
}

impl Example {
    /// Tokens that carry loss.
    pub fn loss_tokens(&self) -> usize {
        self.loss_mask.iter().filter(|&&on| on).count()
    }
}

/// Checksum (CRC-32) of rows as tokens, in their order: the same on every machine.
pub fn checksum(rows: &[Example]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for row in rows {
        crc.update(&(row.ids.len() as u64).to_le_bytes());
        for (id, &carries_loss) in row.ids.iter().zip(&row.loss_mask) {
            crc.update(&id.to_le_bytes());
            crc.update(&[u8::from(carries_loss)]);
        }
    }
    crc.finalize()
}

/// The three sides of a dataset.
#[derive(Clone, Debug, Default)]
pub struct Splits {
    pub train: Vec<Example>,
    pub valid: Vec<Example>,
    /// Empty where there is none.
    pub test: Vec<Example>,
}

/// A dataset, ready to train on.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    pub splits: Splits,
    /// Where the examples of each side came from, in their order.
    pub sources: Sources,
    /// The texts of the training examples, in their order.
    pub bodies: Vec<Body>,
    /// The files that were read: training rows first.
    pub files: Vec<PathBuf>,
    pub audit: Audit,
}

/// Where the examples of each side came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pub train: Vec<Source>,
    pub valid: Vec<Source>,
    pub test: Vec<Source>,
}

/// Reads, splits and encodes what `data` names. Examples of a side stand in the order of their file.
///
/// # Errors
/// When a file cannot be read, a row not be used, or the rows not be split as asked.
pub fn load(data: &Data, encoder: &Encoder) -> Result<Dataset, DataError> {
    let (dataset, faults) = survey(data, encoder)?;
    match faults.into_iter().next() {
        None => Ok(dataset),
        Some(fault) => Err(fault),
    }
}

/// As [`load`], but rows that cannot be encoded are left out, and come back as an error for each file.
///
/// # Errors
/// When a file cannot be read, or the rows not be split as asked.
pub fn survey(data: &Data, encoder: &Encoder) -> Result<(Dataset, Vec<DataError>), DataError> {
    let options = EncodeOptions { max_length: data.max_length, mask_prompt: data.mask_prompt };
    let mut files = vec![File::read(&data.train, "data.train")?];
    if let Holdout::File(path) = &data.valid {
        files.push(File::read(path, "data.valid")?);
    }
    if let Some(path) = &data.test {
        files.push(File::read(path, "data.test")?);
    }
    // What is common to all rows is told by all of them.
    let bodies: Vec<&Body> = files.iter().flat_map(|file| &file.rows).map(|row| &row.body).collect();
    let mut sketches = near::sketches(&bodies);
    let rows = &files[0].rows;
    let held_out = draw(data, rows, &near::pairs(&sketches[..rows.len()]))?;

    let mut faults = Vec::new();
    let mut encoded = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let sketches = sketches.drain(..file.rows.len()).collect();
        let (rows, fault) = encode_rows(encoder, options, file, number, sketches);
        encoded.push(rows);
        faults.extend(fault);
    }
    let mut encoded = encoded.into_iter();
    let (drawn, train) = divide(encoded.next().unwrap_or_default(), &held_out);
    let mut other = || encoded.next().unwrap_or_default().into_iter().flatten().collect::<Vec<_>>();
    let valid = if matches!(data.valid, Holdout::File(_)) { other() } else { drawn };
    let test = if data.test.is_some() { other() } else { Vec::new() };

    let audit = audit::audit(&train, &valid, &test);
    let bodies = bodies_of(&mut files[0], &train);
    let sources = |side: &[Audited]| side.iter().map(|row| row.source).collect();
    let sources = Sources { train: sources(&train), valid: sources(&valid), test: sources(&test) };
    let examples = |side: Vec<Audited>| side.into_iter().map(|row| row.encoded.example).collect();
    let splits = Splits { train: examples(train), valid: examples(valid), test: examples(test) };
    let files = files.into_iter().map(|file| file.path).collect();
    Ok((Dataset { splits, sources, bodies, files, audit }, faults))
}

/// The texts of the training rows, taken out of their file.
fn bodies_of(file: &mut File, train: &[Audited]) -> Vec<Body> {
    // Both in the order of the file.
    let mut lines = train.iter().map(|row| row.source.line).peekable();
    let rows = std::mem::take(&mut file.rows).into_iter();
    rows.filter(|row| lines.next_if_eq(&row.line).is_some()).map(|row| row.body).collect()
}

/// A file of rows.
struct File {
    path: PathBuf,
    rows: Vec<Row>,
}

impl File {
    fn read(path: &Path, key: &'static str) -> Result<Self, DataError> {
        Ok(Self { path: path.into(), rows: read::read(path, key)? })
    }
}

/// All rows of the file at `path`, in its order, and whether they had to be cut. `key` is what the user calls it.
pub fn load_rows(
    path: &Path,
    key: &'static str,
    encoder: &Encoder,
    options: EncodeOptions,
) -> Result<Vec<encode::Encoded>, DataError> {
    let rows = read::read(path, key)?;
    let bodies: Vec<&Body> = rows.iter().map(|row| &row.body).collect();
    let (mut encoded, mut faults) = (Vec::with_capacity(rows.len()), Vec::new());
    for (row, result) in rows.iter().zip(encoder.encode_all(&bodies, options)) {
        match result {
            Ok(example) => encoded.push(example),
            Err(fault) => faults.push((row.line, fault)),
        }
    }
    if faults.is_empty() { Ok(encoded) } else { Err(DataError::Rows { file: path.into(), faults }) }
}

/// For each row of the training file, whether it is held out.
fn draw(data: &Data, rows: &[Row], alike: &[(usize, usize)]) -> Result<Vec<bool>, DataError> {
    let share = match data.valid {
        Holdout::Fraction(share) => Share::Fraction(share),
        Holdout::Rows(number) => Share::Rows(number),
        Holdout::File(_) => return Ok(vec![false; rows.len()]),
    };
    split::hold_out(rows, alike, share, data.seed)
        .map_err(|fault| DataError::Split { file: data.train.clone(), fault })
}

/// The rows that are held out, and the others.
fn divide(rows: Vec<Option<Audited>>, held_out: &[bool]) -> (Vec<Audited>, Vec<Audited>) {
    let (mut held, mut kept) = (Vec::new(), Vec::new());
    for (row, held_out) in rows.into_iter().zip(held_out) {
        (if *held_out { &mut held } else { &mut kept }).extend(row);
    }
    (held, kept)
}

/// The rows of file number `number`, each in its place; all that cannot be encoded are reported together.
fn encode_rows(
    encoder: &Encoder,
    options: EncodeOptions,
    file: &File,
    number: usize,
    sketches: Vec<Option<Sketch>>,
) -> (Vec<Option<Audited>>, Option<DataError>) {
    let bodies: Vec<_> = file.rows.iter().map(|row| &row.body).collect();
    let mut faults = Vec::new();
    let mut audited = Vec::with_capacity(file.rows.len());
    for ((row, encoded), sketch) in file.rows.iter().zip(encoder.encode_all(&bodies, options)).zip(sketches) {
        let source = Source { file: number, line: row.line };
        let fingerprint = split::fingerprint(&row.body);
        let blank_answer = row.body.has_blank_answer();
        audited.push(match encoded {
            Ok(encoded) => Some(Audited { source, fingerprint, sketch, blank_answer, encoded }),
            Err(fault) => {
                faults.push((row.line, fault));
                None
            }
        });
    }
    let fault = (!faults.is_empty()).then(|| DataError::Rows { file: file.path.clone(), faults });
    (audited, fault)
}

#[cfg(test)]
mod tests {
    use super::encode::TokenizerFiles;
    use super::*;
    use std::fs;

    fn encoder() -> Encoder {
        Encoder::new(TokenizerFiles {
            tokenizer: include_bytes!("../model/base/tokenizer.json"),
            tokenizer_config: Some(include_str!("../model/base/tokenizer_config.json")),
            ..TokenizerFiles::default()
        })
        .unwrap()
    }

    /// A folder with the given files, and a configuration that trains on the first of them.
    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Data) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let data = Data { train: folder.path().join(files[0].0), ..Data::default() };
        (folder, data)
    }

    fn texts(n: usize) -> String {
        let rows: Vec<_> = (0..n).map(|i| format!("{{\"text\": \"Row number {i} of the file.\"}}")).collect();
        rows.join("\n")
    }

    fn lines(sources: &[Source]) -> Vec<usize> {
        sources.iter().map(|source| source.line).collect()
    }

    #[test]
    fn a_split_is_drawn_and_every_row_is_on_one_side() {
        let (_folder, mut data) = folder(&[("train.jsonl", &texts(20))]);
        data.valid = Holdout::Fraction(0.25);
        let dataset = load(&data, &encoder()).unwrap();
        let (train, valid) = (lines(&dataset.sources.train), lines(&dataset.sources.valid));
        assert_eq!((train.len(), valid.len()), (15, 5));
        assert!(train.is_sorted() && valid.is_sorted());
        let mut all = [train, valid.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (1..=20).collect::<Vec<_>>());
        // Example and source belong together.
        let row = encoder().tokenizer().decode(&dataset.splits.valid[0].ids, true).unwrap();
        assert_eq!(row, format!("Row number {} of the file.", valid[0] - 1));
        // What the model is and how rows are cut makes no difference to the split.
        data.max_length = 4;
        assert_eq!(load(&data, &encoder()).unwrap().sources, dataset.sources);
        data.seed = 1;
        assert_ne!(load(&data, &encoder()).unwrap().sources, dataset.sources);
    }

    #[test]
    fn held_out_files_are_read_and_leaks_counted() {
        let (folder, mut data) = folder(&[
            ("train.jsonl", &texts(4)),
            ("valid.jsonl", "\n{\"text\": \"row NUMBER 2 of the file.\"}\n{\"text\": \"new\"}\n"),
            ("test.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n"),
        ]);
        data.valid = Holdout::File(folder.path().join("valid.jsonl"));
        data.test = Some(folder.path().join("test.jsonl"));
        let dataset = load(&data, &encoder()).unwrap();
        let splits = &dataset.splits;
        assert_eq!((splits.train.len(), splits.valid.len(), splits.test.len()), (4, 2, 1));
        assert_eq!(dataset.files.len(), 3);
        let (row, twin) = (Source { file: 1, line: 2 }, Source { file: 0, line: 3 });
        assert_eq!(dataset.audit.leaks, [audit::Leak { row, twin, is_trained_on: true, likeness: 1.0 }]);
        assert_eq!(dataset.audit.test.rows, 1);
    }

    #[test]
    fn rows_that_cutting_empties_are_named() {
        let long = "A very long question about nothing. ".repeat(20);
        let row = format!("{{\"prompt\": \"{long}\", \"completion\": \"No.\"}}\n");
        let (_folder, mut data) =
            folder(&[("train.jsonl", &format!("{{\"prompt\": \"a\", \"completion\": \"b\"}}\n\n{row}"))]);
        data.max_length = 32;
        data.valid = Holdout::Rows(1);
        let error = load(&data, &encoder()).unwrap_err().to_string();
        let rest = error.strip_prefix(&data.train.display().to_string()).unwrap();
        assert!(rest.starts_with(":3: cut to 32 tokens, nothing to learn from is left: "), "{error}");
        assert!(
            rest.ends_with("\n  hint: raise data.max_length, or shorten what comes before the completion"),
            "{error}"
        );
    }

    #[test]
    fn a_split_that_cannot_be_is_named_with_its_file() {
        let (_folder, mut data) = folder(&[("train.jsonl", &texts(3))]);
        data.valid = Holdout::Fraction(0.1);
        let error = load(&data, &encoder()).unwrap_err().to_string();
        assert!(error.ends_with("train.jsonl: data.valid = 0.1 of 3 rows holds out none\n  hint: raise data.valid, or name a file of held-out rows"), "{error}");
    }

    #[test]
    fn the_dataset_of_the_repository_fits_the_built_in_model() {
        let mut data = Data::default();
        data.train = Path::new(env!("CARGO_MANIFEST_DIR")).join(data.train);
        let dataset = load(&data, &encoder()).unwrap();
        assert_eq!((dataset.splits.train.len(), dataset.splits.valid.len()), (450, 50));
        let audit = &dataset.audit;
        assert_eq!((audit.train.duplicates, audit.train.near_duplicates, audit.train.cut_rows), (0, 0, 0));
        assert!(audit.leaks.is_empty() && audit.blank_answers.is_empty());
        assert_eq!(dataset.audit.special_in_message, []);
    }
}
