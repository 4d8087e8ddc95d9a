//! Where tracing goes: standard error, as text or JSON, filtered by `[log]`.
//!
//! Not the durable log; that is `riser-log`. Fields carry no payloads and no secrets: the types that hold those
//! print nothing of them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, io, str::FromStr};
use tracing::Subscriber;
use tracing_subscriber::{Layer, Registry, filter::Targets, fmt::MakeWriter, layer::SubscriberExt};

/// `[log]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What is said: `error`, `warn`, `info`, `debug`, `trace`, or per module (`info,riser_link=debug`).
    pub level: Level,
    /// How it is said.
    pub format: LogFormat,
}

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// A filter that tracing understands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Level(String);

impl Default for Level {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

/// A text that is not a level.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "parse level {0:?}: want error, warn, info, debug or trace, or per module as in \"info,riser_link=debug\""
)]
pub struct NotALevel(String);

impl FromStr for Level {
    type Err = NotALevel;

    fn from_str(text: &str) -> Result<Self, NotALevel> {
        let known = |part: &str| {
            let (module, level) = part.rsplit_once('=').unwrap_or(("", part));
            let of_module =
                |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':' | '-');
            ["error", "warn", "info", "debug", "trace", "off"].contains(&level)
                && module.chars().all(of_module)
        };
        // A bare word that is no level is a module to tracing, which then says nothing at all.
        if text.split(',').all(known) && text.parse::<Targets>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotALevel(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Starts saying things on standard error. Once per process: a second call changes nothing.
pub fn start(config: &LogConfig) {
    let subscriber = subscriber(config, io::stderr);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::debug!("tracing was started already");
    }
}

/// What a configuration makes of spans and events, written to `writer`.
pub fn subscriber<W>(config: &LogConfig, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter: Targets = config.level.0.parse().expect("a level was parsed as one before");
    let base = tracing_subscriber::fmt::layer::<Registry>().with_writer(writer).with_ansi(false);
    let layer = match config.format {
        LogFormat::Text => base.with_filter(filter).boxed(),
        LogFormat::Json => base.json().flatten_event(true).with_filter(filter).boxed(),
    };
    Registry::default().with(layer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use riser_gate::{Hidden, TokenHash};
    use riser_model::door::{Credential, Secret};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn said(config: &LogConfig, say: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(config, move || writer.clone());
        tracing::subscriber::with_default(subscriber, say);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_below_the_level_is_not_said() {
        let config = LogConfig { level: "info,riser_shell=warn".parse().unwrap(), ..LogConfig::default() };
        let text = said(&config, || {
            tracing::info!("quiet");
            tracing::warn!(lag_ms = 7, "loud");
        });
        assert!(text.contains("loud") && text.contains("lag_ms=7") && !text.contains("quiet"), "{text}");
    }

    #[test]
    fn json_lines_are_objects_with_their_fields() {
        let config = LogConfig { format: LogFormat::Json, ..LogConfig::default() };
        let text = said(&config, || tracing::info!(lag_ms = 7, "loud"));
        assert!(text.starts_with('{') && text.contains("\"lag_ms\":7"), "{text}");
    }

    #[test]
    fn no_level_prints_a_secret() {
        let password = Secret(Bytes::from_static(b"canary"));
        let user = "ann".to_owned();
        let credentials = [
            Credential::Password { account: None, user, password: password.clone() },
            Credential::Token(password.clone()),
            Credential::Ticket(password.clone()),
            Credential::Cookie(password.clone()),
        ];
        for format in [LogFormat::Text, LogFormat::Json] {
            let config = LogConfig { level: "trace".parse().unwrap(), format };
            let text = said(&config, || {
                for credential in &credentials {
                    tracing::trace!(?credential, "shown");
                }
                tracing::trace!(hidden = ?Hidden::new("canary"), token = ?TokenHash::of(b"canary"), ?password);
            });
            assert!(text.contains("shown") && !text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn a_level_that_would_say_nothing_is_refused() {
        for text in ["", "verbose", "riser_link", "info,,", "riser=loud", "[=info"] {
            assert!(text.parse::<Level>().is_err(), "{text}");
        }
    }
}
