//! Why a configuration was not accepted: which file, which key, what is wrong and what to do.
//!
//! No message ever repeats a value that figment or toml would quote: it could be a secret in the wrong place.

use figment::{
    Figment, Profile, Provider,
    error::{Actual, Kind},
    value::{Dict, Tag, Value},
};
use riser_gate::{Invalid, nearest};
use std::{fmt, io, path::PathBuf};

/// Why there is no configuration to run on.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no file at all.
    #[error(
        "find a configuration: no --config was given and there is no {}; \
         give one with --config, or put the commented example of {program} there",
        standard.display()
    )]
    NoFile {
        /// `edge` or `hub`.
        program: &'static str,
        /// Where it would be without `--config`.
        standard: PathBuf,
    },
    /// The file cannot be read.
    #[error("read {}: {source}; make it a file that this user may read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("read {}: line {line}, column {column}: {what}; correct the TOML there", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// Keys or values are wrong.
    #[error("{}", Lines(.0))]
    Wrong(Vec<Problem>),
}

/// One thing that is wrong, and who said it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The file, `environment` or `command line`.
    pub source: String,
    /// The key, what is wrong and what to do.
    pub invalid: Invalid,
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { source, invalid }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{source}: {invalid}")?;
        }
        Ok(())
    }
}

/// The problems that an extraction ended with.
pub(super) fn of_extraction(figment: &Figment, error: figment::Error) -> ConfigError {
    let problems = error.into_iter().map(|error| {
        let mut path = error.path;
        let (name, what, want) = explain(error.kind);
        path.extend(name);
        Problem { source: source(figment, &path), invalid: Invalid::new(key(&path), what, want) }
    });
    ConfigError::Wrong(problems.collect())
}

/// The problems that a check of values against each other ended with.
pub(super) fn of_check(figment: &Figment, invalid: Vec<Invalid>) -> ConfigError {
    let problem = |invalid: Invalid| {
        let path: Vec<String> = top(&invalid.key).map(str::to_owned).into_iter().collect();
        Problem { source: source(figment, &path), invalid }
    };
    ConfigError::Wrong(invalid.into_iter().map(problem).collect())
}

fn top(key: &str) -> Option<&str> {
    key.split(['.', '[']).next()
}

/// `a.0.b` as `a[0].b`.
fn key(path: &[String]) -> String {
    let mut key = String::new();
    for part in path {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            key += &format!("[{part}]");
        } else {
            let dot = if key.is_empty() { "" } else { "." };
            key += &format!("{dot}{part}");
        }
    }
    if key.is_empty() { "(the whole file)".to_owned() } else { key }
}

/// What is wrong and what to do; the first is the key itself where it is missing, and so not in the path.
fn explain(kind: Kind) -> (Option<String>, String, String) {
    match kind {
        Kind::Message(text) => {
            // The parsers of our own values end with what would be right.
            let (what, want) = text.split_once("; ").or_else(|| text.split_once(": ")).unwrap_or((&text, ""));
            let want = if want.is_empty() { "correct it" } else { want };
            (None, what.to_owned(), want.to_owned())
        }
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            (None, format!("found {}", kind_of(&actual)), format!("want {expected}"))
        }
        Kind::InvalidLength(actual, expected) => {
            (None, format!("found {actual} elements"), format!("want {expected}"))
        }
        Kind::UnknownVariant(found, known) => {
            let want = meant(&found, known).unwrap_or_else(|| format!("want one of {}", known.join(", ")));
            (None, format!("{found:?} is not known here"), want)
        }
        Kind::UnknownField(name, known) => {
            let want = meant(&name, known).unwrap_or_else(|| format!("known here: {}", known.join(", ")));
            (None, "no such key".to_owned(), want)
        }
        Kind::MissingField(name) => {
            (Some(name.clone().into_owned()), "missing".to_owned(), format!("add {name}"))
        }
        Kind::DuplicateField(name) => (None, format!("{name} is said twice"), "say it once".to_owned()),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => {
            (None, "out of range".to_owned(), "give a smaller number".to_owned())
        }
        Kind::Unsupported(actual) => {
            (None, format!("{} is not supported", kind_of(&actual)), "give a text or a number".to_owned())
        }
        Kind::UnsupportedKey(actual, expected) => {
            (None, format!("{} cannot be a key", kind_of(&actual)), format!("use {expected}"))
        }
    }
}

fn meant(found: &str, known: &[&str]) -> Option<String> {
    nearest(found, known.iter().copied()).map(|name| format!("did you mean {name}?"))
}

/// The type without the value.
fn kind_of(actual: &Actual) -> &'static str {
    match actual {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "a whole number",
        Actual::Float(_) => "a fraction",
        Actual::Char(_) | Actual::Str(_) => "a text",
        Actual::Bytes(_) => "bytes",
        Actual::Unit | Actual::Option => "nothing",
        Actual::Seq => "a list",
        Actual::Map | Actual::NewtypeStruct => "a table",
        Actual::Enum
        | Actual::UnitVariant
        | Actual::NewtypeVariant
        | Actual::TupleVariant
        | Actual::StructVariant
        | Actual::Other(_) => "something else",
    }
}

/// Who said the value at that path, or the nearest one around it.
fn source(figment: &Figment, path: &[String]) -> String {
    let tag = merged(figment).and_then(|whole| deepest_tag(&whole, path));
    let metadata = tag.and_then(|tag| figment.get_metadata(tag));
    match metadata {
        Some(metadata) => match metadata.source.as_ref().and_then(|source| source.file_path()) {
            Some(path) => path.display().to_string(),
            None => metadata.name.to_string(),
        },
        None => "configuration".to_owned(),
    }
}

/// Everything that was said, by whoever said it last.
pub(super) fn merged(figment: &Figment) -> Option<Dict> {
    figment.data().ok()?.remove(&Profile::Default)
}

fn deepest_tag(whole: &Dict, path: &[String]) -> Option<Tag> {
    let (first, rest) = path.split_first()?;
    let mut value = whole.get(first)?;
    for part in rest {
        let inner = match value {
            Value::Dict(_, dict) => dict.get(part),
            Value::Array(_, array) => part.parse().ok().and_then(|index: usize| array.get(index)),
            Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) => None,
        };
        match inner {
            Some(inner) => value = inner,
            None => break,
        }
    }
    Some(value.tag())
}
