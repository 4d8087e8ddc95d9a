//! What the payloads of a room have to be.
//!
//! A schema is a text (JSON Schema) that is compiled once, by whoever has a library for that; a room whose schema nobody
//! compiled takes whatever comes. Checking is bounded: by the size of a payload here, by the size of the schema where it is
//! declared.

use std::{fmt, sync::Arc};

/// The largest payload that a room with a schema takes, bytes.
pub const CHECKED_BYTES_MAX: usize = 32 << 10;

/// Says whether payloads are what a schema says. Always the same of the same bytes, and in bounded time.
pub trait Check: Send + Sync {
    /// Whether this one is.
    fn check(&self, payload: &[u8]) -> Result<(), Broken>;
}

/// What a payload breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Where in the payload: a JSON pointer, empty for all of it.
    pub path: String,
    /// Which rule: a JSON pointer into the schema, and what it wants.
    pub rule: String,
}

/// The schema of a room.
#[derive(Clone)]
pub struct Schema {
    text: Arc<str>,
    check: Option<Arc<dyn Check>>,
}

impl Schema {
    /// One that nobody compiled yet.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), check: None }
    }

    /// Its text, as it was declared.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same, compiled.
    #[must_use]
    pub fn compiled(self, check: Arc<dyn Check>) -> Self {
        Self { check: Some(check), ..self }
    }

    /// Whether a payload is what it says.
    pub fn check(&self, payload: &[u8]) -> Result<(), Broken> {
        let Some(check) = &self.check else { return Ok(()) };
        if payload.len() > CHECKED_BYTES_MAX {
            let rule = format!("at most {CHECKED_BYTES_MAX} bytes in a room with a schema");
            return Err(Broken { path: String::new(), rule });
        }
        check.check(payload)
    }
}

/// By what it says.
impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.check.is_some() == other.check.is_some()
    }
}

impl Eq for Schema {}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.text).finish()
    }
}
