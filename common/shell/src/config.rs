//! The configuration of a program: found, merged, extracted, checked, printed and remembered.
//!
//! Defaults, then the file, then `RISER_` variables (`__` separates), then flags: the later wins. An unknown key
//! is an error that names the nearest known one. The last configuration that a program came up with is kept
//! beside its data as `last-good.toml`; a program whose new one is bad runs on that and says so (promise 4).
//!
//! The sections that both programs have are here, one file each; the programs compose them.

pub mod binding;
pub mod last_good;
pub mod limits;
pub mod listen;
pub mod problem;
pub mod sources;
mod terms;
pub mod uplink;

pub use binding::BindingConfig;
pub use limits::LimitsConfig;
pub use listen::{
    AdminListener, HttpListener, LinkListener, Listeners, MqttListener, OperationsListener, TlsConfig,
    TlsFiles,
};
pub use problem::{ConfigError, Problem};
pub use sources::Sources;
pub use terms::Terms;
pub use uplink::{UplinkConfig, UplinkUrl};

pub use riser_model::{duration::Duration, size::ByteSize};

use figment::{Figment, value::Dict};
use riser_gate::Invalid;
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// The configuration type of a program. Implemented by the edge's and the hub's.
pub trait Program: Serialize + DeserializeOwned {
    /// `edge` or `hub`.
    const NAME: &'static str;

    /// The folder that holds everything this program keeps.
    fn data(&self) -> &Path;

    /// What its values say against each other: everything that is wrong.
    fn check(&self) -> Vec<Invalid>;

    /// Where its file is unless another is named.
    fn standard_file() -> PathBuf {
        Path::new("/etc/riser").join(format!("{}.toml", Self::NAME))
    }

    /// Where its data is unless it says otherwise.
    fn standard_data() -> PathBuf {
        Path::new("/var/lib/riser").join(Self::NAME)
    }
}

/// A configuration that can be run.
#[derive(Debug)]
pub struct Loaded<P> {
    /// It.
    pub config: P,
    /// The file that it came from.
    pub file: PathBuf,
    /// Why the given one was not taken and this is the last good one instead.
    pub refused: Option<ConfigError>,
    /// Everything that was said, defaults aside, secrets included.
    said: Said,
}

/// Never printed.
struct Said(Dict);

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

impl<P: Program> Loaded<P> {
    /// The configuration that the sources give, or why there is none.
    pub fn strictly(sources: &Sources) -> Result<Self, ConfigError> {
        let file = sources.path(P::NAME, &P::standard_file())?;
        let figment = sources.figment(&file)?;
        Self::extract(&figment, file)
    }

    /// The same, and where that fails the last good one, if there is one: then `refused` says why.
    pub fn or_last_good(sources: &Sources) -> Result<Self, ConfigError> {
        Self::strictly(sources).or_else(|error| {
            let file = last_good::path(&last_good::data_folder::<P>(sources));
            let only = Sources::file(&file);
            match only.figment(&file).and_then(|figment| Self::extract(&figment, file)) {
                Ok(loaded) => Ok(Self { refused: Some(error), ..loaded }),
                Err(_) => Err(error),
            }
        })
    }

    fn extract(figment: &Figment, file: PathBuf) -> Result<Self, ConfigError> {
        let config: P = figment.extract().map_err(|error| problem::of_extraction(figment, error))?;
        let wrong = config.check();
        if !wrong.is_empty() {
            return Err(problem::of_check(figment, wrong));
        }
        let said = Said(problem::merged(figment).unwrap_or_default());
        Ok(Self { config, file, refused: None, said })
    }

    /// Takes some of the keys of another one, which `set` moves over: what a program takes while it runs. It is as if all that
    /// it has now had been said at once, and nothing was refused.
    pub fn take(&mut self, mut other: Self, keys: &[&str], set: impl FnOnce(&mut P, P)) {
        for key in keys {
            match other.said.0.remove(*key) {
                Some(value) => drop(self.said.0.insert((*key).to_owned(), value)),
                None => drop(self.said.0.remove(*key)),
            }
        }
        set(&mut self.config, other.config);
        self.refused = None;
    }

    /// Keeps it as the last good one, beside its data. To be called once the program has come up with it; does
    /// nothing when this *is* the last good one.
    pub fn keep(&self) -> std::io::Result<()> {
        match self.refused {
            Some(_) => Ok(()),
            None => last_good::write(self.config.data(), &self.said.0),
        }
    }

    /// The whole of it, defaults included, as a file would say it; secrets are shown as `(hidden)`.
    pub fn print(&self) -> String {
        print(&self.config)
    }
}

/// A configuration as a file would say it; secrets are shown as `(hidden)`.
pub fn print<P: Program>(config: &P) -> String {
    toml::to_string(config).expect("every configuration type is tables, lists and plain values")
}

#[cfg(test)]
pub(crate) mod tests;
