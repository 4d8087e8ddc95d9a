//! Where a configuration comes from: a file, the environment, the command line; the later wins.
//!
//! Only the file that is named is read, never one of the same name in a folder above.

use super::problem::ConfigError;
use figment::{
    Error, Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What the name of every environment variable that counts begins with.
pub const ENVIRONMENT_PREFIX: &str = "RISER_";

/// Everything that can say something about a configuration.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// The file, if one was named.
    pub file: Option<PathBuf>,
    /// The environment, as `RISER_LOG__LEVEL` and its value; other names are ignored.
    pub environment: Vec<(String, String)>,
    /// `key.path` and its value, from the command line.
    pub flags: Vec<(String, String)>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        let keys = |pairs: &[(String, String)]| pairs.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("environment", &keys(&self.environment))
            .field("flags", &keys(&self.flags))
            .finish()
    }
}

impl Sources {
    /// Only that file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), ..Self::default() }
    }

    /// That file, if any, and this process's environment.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        // A variable that is not UTF-8 cannot be one of ours with a value that means something.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let environment = std::env::vars_os()
            .filter_map(text)
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .collect();
        Self { file, environment, flags }
    }

    /// The file that was named, or the standard one if it is there.
    pub(super) fn path(&self, program: &'static str, standard: &Path) -> Result<PathBuf, ConfigError> {
        match &self.file {
            Some(path) => Ok(path.clone()),
            None if standard.exists() => Ok(standard.to_owned()),
            None => Err(ConfigError::NoFile { program, standard: standard.to_owned() }),
        }
    }

    /// The file under environment and command line.
    pub(super) fn figment(&self, path: &Path) -> Result<Figment, ConfigError> {
        let text = read(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let dict = parse(&text).map_err(|error| syntax(path, &text, &error))?;
        Ok(self.over(path, dict))
    }

    /// Environment and command line over what that file said.
    pub(super) fn over(&self, path: &Path, dict: Dict) -> Figment {
        let environment = self.environment.iter().filter_map(|(name, value)| {
            let path = name.strip_prefix(ENVIRONMENT_PREFIX)?.to_ascii_lowercase();
            Some((path.split("__").map(str::to_owned).collect(), value.as_str()))
        });
        let flags = self
            .flags
            .iter()
            .map(|(key, value)| (key.split('.').map(str::to_owned).collect(), value.as_str()));
        Figment::from(Layer { metadata: Metadata::from("file", path), dict })
            .merge(Layer { metadata: Metadata::named("environment (RISER_...)"), dict: nest(environment) })
            .merge(Layer { metadata: Metadata::named("command line"), dict: nest(flags) })
    }
}

/// The largest file that is read, bytes: more is not a configuration.
const FILE_BYTES_MAX: u64 = 16 << 20;

fn read(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("it is not a file of at most 16 MiB"));
    }
    fs::read_to_string(path)
}

pub(super) fn parse(text: &str) -> Result<Dict, toml::de::Error> {
    toml::from_str(text)
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let what = error.message().replace('\n', ", ");
    ConfigError::Syntax { path: path.to_owned(), line, column, what }
}

/// One source's say, already parsed.
struct Layer {
    metadata: Metadata,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// Flat paths with values in figment's short syntax (`true`, `5`, `text`, `[a, b]`, `{k = v}`) as nested tables.
fn nest<'a>(pairs: impl Iterator<Item = (Vec<String>, &'a str)>) -> Dict {
    let mut whole = Dict::new();
    for (path, text) in pairs {
        let value: Value = match text.parse() {
            Ok(value) => value,
            Err(never) => match never {},
        };
        insert(&mut whole, &path, value);
    }
    whole
}

fn insert(dict: &mut Dict, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            dict.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = dict.entry(first.clone()).or_insert_with(|| Value::from(Dict::new()));
            if !matches!(inner, Value::Dict(..)) {
                *inner = Value::from(Dict::new());
            }
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
