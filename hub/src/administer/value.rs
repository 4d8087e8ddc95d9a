//! What a command is given, as values of a configuration.

use anyhow::Context;
use riser_gate::config::Rights;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// `publish,subscribe` as a list.
pub(super) fn rights(text: &str) -> anyhow::Result<Rights> {
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    serde_json::from_value(json!(words)).context("RIGHT: publish, subscribe or admin")
}

/// A value as in a configuration file, or as JSON.
pub(super) fn value(text: &str) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}"));
    let value = parsed.map_err(|error| error.message().to_owned())?.remove("value");
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// A value of a configuration as an argument.
pub(super) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(json!(text)).map_err(|error| error.to_string())
}
