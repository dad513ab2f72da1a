//! What the values of the configuration are, in words, and those that may be written in more than one form.
//!
//! Whether a value is sensible is not judged here but in `check`.

use super::{Dtype, Schedule, StopRule};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;

/// What a type of the configuration is called in messages to the user.
pub(super) trait Kind {
    /// Follows "expected".
    const EXPECTS: &'static str;
    /// A value as written in the file; only asked of types that may be absent.
    const EXAMPLE: &'static str = "";
}

macro_rules! kinds {
    ($($Type:ty: $expects:literal $(, $example:literal)?;)*) => { $(
        impl Kind for $Type {
            const EXPECTS: &'static str = $expects;
            $(const EXAMPLE: &'static str = $example;)?
        }
    )* };
}

kinds! {
    bool: "true or false";
    usize: "a whole number";
    u64: "a whole number", "100";
    f64: "a number", "5.0";
    String: "a string";
    PathBuf: "a path in quotes", "\"path.jsonl\"";
    Dtype: "\"auto\", \"f32\" or \"bf16\"";
    Schedule: "\"constant\", \"linear\" or \"cosine\"";
    StopRule: "\"patience\", \"verdict\", \"gl\", \"pq\" or \"up\"";
    Targets: "\"all-linear\" or a list such as [\"q_proj\", \"v_proj\"]";
    Holdout: "a fraction such as 0.1, a number of rows such as 50, or a file";
}

impl<T: Kind> Kind for Option<T> {
    const EXPECTS: &'static str = T::EXPECTS;
    const EXAMPLE: &'static str = T::EXAMPLE;
}

/// Which matrices of a layer get an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Every linear layer of every block: `"all-linear"`.
    AllLinear,
    /// Those with these names, in every block: `["q_proj", "v_proj"]`.
    Named(Vec<String>),
}

const ALL_LINEAR: &str = "all-linear";

impl Serialize for Targets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::AllLinear => serializer.serialize_str(ALL_LINEAR),
            Self::Named(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Targets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TargetsVisitor;

        impl<'de> Visitor<'de> for TargetsVisitor {
            type Value = Targets;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(Targets::EXPECTS)
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Targets, E> {
                match value {
                    ALL_LINEAR => Ok(Targets::AllLinear),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Targets, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(Targets::Named(names))
            }
        }

        deserializer.deserialize_any(TargetsVisitor)
    }
}

/// What is held out to judge by.
#[derive(Clone, Debug, PartialEq)]
pub enum Holdout {
    /// This share of the rows, drawn by the seed: a number with a decimal point.
    Fraction(f64),
    /// This many rows, drawn by the seed: a whole number.
    Rows(u64),
    /// The rows of another file: a string.
    File(PathBuf),
}

impl Serialize for Holdout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fraction(share) => serializer.serialize_f64(*share),
            Self::Rows(rows) => serializer.serialize_u64(*rows),
            Self::File(path) => path.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Holdout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HoldoutVisitor;

        impl Visitor<'_> for HoldoutVisitor {
            type Value = Holdout;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(Holdout::EXPECTS)
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Holdout, E> {
                Ok(Holdout::Fraction(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Holdout, E> {
                u64::try_from(value)
                    .map(Holdout::Rows)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Holdout, E> {
                Ok(Holdout::Rows(value))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Holdout, E> {
                Ok(Holdout::File(value.into()))
            }
        }

        deserializer.deserialize_any(HoldoutVisitor)
    }
}
