//! A room's schema as it is declared: JSON Schema, as text or as a table, within bounds.
//!
//! What always holds of one that was read: it is an object, small, and refers to parts of itself only and never in a circle.
//! Written out with all that it refers to it has a bounded size, and so each payload is checked in bounded time. Whether it is
//! a schema at all, a library says that compiles it elsewhere.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use std::fmt;

/// The longest schema, bytes.
pub const SCHEMA_BYTES_MAX: usize = 16 << 10;
/// The most objects that a schema has, written out with all that it refers to.
pub const SCHEMA_PARTS_MAX: usize = 500;
/// How deep they lie in each other at most.
pub const SCHEMA_DEPTH_MAX: usize = 32;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SchemaText(String);

impl SchemaText {
    /// Reads one.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(format!("a schema of {} bytes; want at most {SCHEMA_BYTES_MAX}", text.len()));
        }
        let schema: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
        if !schema.is_object() {
            return Err("no object; want a JSON Schema such as {\"type\":\"object\"}".to_owned());
        }
        weigh(&schema, &schema, &mut Vec::new(), &mut 0)?;
        Ok(Self(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Counts the parts of a schema, each reference as what it refers to. `within` are the references that it lies within.
fn weigh<'a>(
    part: &'a Value,
    schema: &'a Value,
    within: &mut Vec<&'a str>,
    count: &mut usize,
) -> Result<(), String> {
    descend(part, schema, within, count, 0)
}

fn descend<'a>(
    part: &'a Value,
    schema: &'a Value,
    within: &mut Vec<&'a str>,
    count: &mut usize,
    depth: usize,
) -> Result<(), String> {
    if depth > SCHEMA_DEPTH_MAX {
        return Err(format!(
            "parts in each other; want at most {SCHEMA_DEPTH_MAX} levels, references written out"
        ));
    }
    match part {
        Value::Object(fields) => {
            *count += 1;
            if *count > SCHEMA_PARTS_MAX {
                let want = format!("want at most {SCHEMA_PARTS_MAX}, references written out");
                return Err(format!("a schema of too many parts; {want}"));
            }
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("$ref", Value::String(to)) => refer(to, schema, within, count, depth)?,
                    ("$dynamicRef" | "$recursiveRef" | "$anchor" | "$dynamicAnchor", Value::String(_)) => {
                        return Err(format!(
                            "{key}; want \"$ref\" with a pointer into this schema: \"#/$defs/...\""
                        ));
                    }
                    ("$id" | "id", Value::String(_)) if depth > 0 => {
                        return Err("an $id below the top; want one schema, for itself".to_owned());
                    }
                    (_, value) => descend(value, schema, within, count, depth + 1)?,
                }
            }
            Ok(())
        }
        Value::Array(items) => {
            items.iter().try_for_each(|item| descend(item, schema, within, count, depth + 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn refer<'a>(
    to: &'a str,
    schema: &'a Value,
    within: &mut Vec<&'a str>,
    count: &mut usize,
    depth: usize,
) -> Result<(), String> {
    let pointer = to.strip_prefix('#').filter(|pointer| pointer.starts_with('/'));
    let pointer = pointer
        .ok_or("a $ref out of this schema, or to all of it; want \"#/$defs/...\": nothing is fetched")?;
    if within.contains(&to) {
        return Err("references in a circle; want a schema that ends".to_owned());
    }
    let part = schema.pointer(pointer).ok_or("a $ref to nothing; want a part of this schema")?;
    within.push(to);
    descend(part, schema, within, count, depth + 1)?;
    within.pop();
    Ok(())
}

impl Serialize for SchemaText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SchemaText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTable;

        impl<'de> de::Visitor<'de> for TextOrTable {
            type Value = SchemaText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON Schema, as text or as a table")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SchemaText, E> {
                SchemaText::read(text).map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<SchemaText, A::Error> {
                let table = Value::deserialize(de::value::MapAccessDeserializer::new(map))?;
                SchemaText::read(&table.to_string()).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(TextOrTable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn why(schema: &Value) -> Option<String> {
        SchemaText::read(&schema.to_string()).err()
    }

    #[test]
    fn schema_is_read_as_text_and_as_a_table() {
        let schema = json!({ "type": "object", "properties": { "celsius": { "$ref": "#/$defs/t" } },
            "$defs": { "t": { "type": "number" } } });
        let text: SchemaText = serde_json::from_value(json!(schema.to_string())).unwrap();
        let table: SchemaText = serde_json::from_value(schema.clone()).unwrap();
        assert_eq!((&text, table.as_str()), (&table, &*schema.to_string()));
        let again: SchemaText = serde_json::from_str(&serde_json::to_string(&text).unwrap()).unwrap();
        assert_eq!(again, text);
    }

    #[test]
    fn schema_that_could_take_long_or_reach_out_is_refused() {
        let mut nested = json!({ "type": "null" });
        for _ in 0..40 {
            nested = json!({ "not": nested });
        }
        // Each refers to the next twice: 2^40 parts, written out.
        let mut doubling = serde_json::Map::new();
        for n in 0..40 {
            let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
            doubling.insert(format!("d{n}"), json!({ "anyOf": [next, next] }));
        }
        doubling.insert("d40".to_owned(), json!({}));
        for (schema, part) in [
            (json!([]), "no object"),
            (json!({ "$ref": "https://example.org/x.json" }), "nothing is fetched"),
            (json!({ "properties": { "a": { "$ref": "file:///etc/passwd" } } }), "nothing is fetched"),
            (json!({ "properties": { "a": { "$ref": "#" } } }), "to all of it"),
            (
                json!({ "$ref": "#/$defs/a", "$defs": { "a": { "items": { "$ref": "#/$defs/a" } } } }),
                "circle",
            ),
            (json!({ "$ref": "#/$defs/a" }), "to nothing"),
            (json!({ "$dynamicRef": "#x" }), "$dynamicRef"),
            (json!({ "properties": { "a": { "$id": "x" } } }), "$id"),
            (nested, "levels"),
            (json!({ "$ref": "#/$defs/d0", "$defs": doubling }), "levels"),
            (json!({ "enum": vec![json!({}); SCHEMA_PARTS_MAX + 1] }), "too many parts"),
            (json!({ "title": "x".repeat(SCHEMA_BYTES_MAX) }), "bytes"),
        ] {
            let said = why(&schema).unwrap_or_default();
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(SchemaText::read("{").unwrap_err().contains("no JSON"));
    }
}
