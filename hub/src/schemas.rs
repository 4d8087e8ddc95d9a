//! Rooms' schemas, compiled once each: JSON Schema (draft 2020-12 unless one says otherwise), offline, with regular
//! expressions that take time in proportion to what they look at.

use jsonschema::{PatternOptions, Validator};
use riser_gate::{Directory, Invalid};
use riser_model::schema::{Broken, Check};
use serde_json::Value;
use std::sync::Arc;

/// The most that a regular expression may compile to, bytes.
const PATTERN_BYTES_MAX: usize = 256 << 10;
/// So much of what a rule says is repeated to whoever broke it.
const SAID_CHARS_MAX: usize = 120;

/// A compiled one.
struct Compiled(Validator);

impl Check for Compiled {
    fn check(&self, payload: &[u8]) -> Result<(), Broken> {
        let value: Value = serde_json::from_slice(payload).map_err(|error| Broken {
            path: String::new(),
            rule: format!("JSON, which ends at line {}, column {}", error.line(), error.column()),
        })?;
        self.0.validate(&value).map_err(|error| {
            // Without the value: it may be long, and whoever reads the refusal has it.
            let said: String = error.masked().to_string().chars().take(SAID_CHARS_MAX).collect();
            Broken {
                path: error.instance_path().to_string(),
                rule: format!("{}: {said}", error.schema_path()),
            }
        })
    }
}

/// What could not be compiled lets nothing pass.
struct Unreadable;

impl Check for Unreadable {
    fn check(&self, _: &[u8]) -> Result<(), Broken> {
        let rule = "the room's schema cannot be read: ask who administers it".to_owned();
        Err(Broken { path: String::new(), rule })
    }
}

fn compile(text: &str) -> Result<Arc<dyn Check>, String> {
    let schema: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    let validator = jsonschema::options().with_pattern_options(patterns).build(&schema);
    validator.map(|one| Arc::new(Compiled(one)) as Arc<dyn Check>).map_err(|error| error.to_string())
}

/// The directory with its rooms' schemas compiled; what is wrong with those that are none. In their rooms nothing passes.
pub(crate) fn compiled(directory: Arc<Directory>) -> (Arc<Directory>, Vec<Invalid>) {
    if directory.rooms().iter().all(|room| room.schema.is_none()) {
        return (directory, Vec::new());
    }
    let mut directory = Arc::unwrap_or_clone(directory);
    let mut wrong = Vec::new();
    directory.compile_schemas(|key, text| {
        compile(text).unwrap_or_else(|error| {
            let want = "a JSON Schema that refers to nothing outside itself";
            wrong.push(Invalid::new(key, error.chars().take(SAID_CHARS_MAX).collect::<String>(), want));
            Arc::new(Unreadable)
        })
    });
    (Arc::new(directory), wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn payload_that_breaks_a_schema_is_told_where_and_which_rule() {
        let schema = json!({
            "type": "object", "required": ["celsius"], "additionalProperties": false,
            "properties": { "celsius": { "$ref": "#/$defs/t" }, "at": { "type": "string", "pattern": "^[a-z]+$" } },
            "$defs": { "t": { "type": "number", "minimum": -50 } },
        });
        let check = compile(&schema.to_string()).unwrap();
        assert_eq!(check.check(br#"{"celsius":21.5,"at":"cellar"}"#), Ok(()));
        for (payload, path, rule) in [
            (&br#"{"celsius":"warm"}"#[..], "/celsius", "/type"),
            (br#"{"celsius":-51}"#, "/celsius", "/minimum"),
            (br#"{}"#, "", "/required"),
            (br#"{"celsius":1,"at":"B1"}"#, "/at", "/properties/at/pattern"),
            (br#"{"celsius":1,"x":1}"#, "", "/additionalProperties"),
            (b"21.5 C", "", "JSON"),
            (b"", "", "JSON"),
            (b"\xff\xfe", "", "JSON"),
        ] {
            let broken = check.check(payload).unwrap_err();
            assert!(broken.path == path && broken.rule.contains(rule), "{broken:?}");
        }
        let secret = check.check(br#"{"celsius":"hunter2"}"#).unwrap_err();
        assert!(!secret.rule.contains("hunter2"), "{secret:?}");
    }

    #[test]
    fn schema_that_is_none_or_reaches_out_does_not_compile() {
        for schema in [
            json!({ "type": "nonsense" }),
            json!({ "$ref": "https://example.org/x.json" }),
            json!({ "properties": { "a": { "pattern": "(" } } }),
            json!({ "pattern": "(a{1000}){1000}" }),
            json!({ "pattern": "(?=a)b" }),
        ] {
            assert!(compile(&schema.to_string()).is_err(), "{schema}");
        }
    }

    #[test]
    fn expression_that_others_take_for_ever_on_comes_to_an_end() {
        let check = compile(&json!({ "pattern": "^(a+)+$" }).to_string()).unwrap();
        // One that tries every way to part the letters is not done with forty of them in a lifetime.
        let text = serde_json::to_vec(&format!("{}b", "a".repeat(30_000))).unwrap();
        assert!(check.check(&text).is_err());
    }
}
