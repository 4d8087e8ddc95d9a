//! A JSON object whose fields are taken one by one, so that what is wrong can be said by name.
//!
//! Knows which fields were asked for; what is left over is an error that names the nearest of them. Never
//! repeats a value, for it may be a secret.

use riser_model::door::{Code, Refusal};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Fields in the order they came, and which of them were asked for.
#[derive(Debug)]
pub(super) struct Object<'a> {
    place: String,
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// Reads one object; `place` is what errors call it.
    pub(super) fn read(text: &'a str, place: impl Into<String>) -> Result<Self, Refusal> {
        let place = place.into();
        match serde_json::from_str::<Fields<'a>>(text) {
            Ok(fields) => Ok(Self { place, fields: fields.0, known: Vec::new() }),
            Err(wrong) => Err(Refusal {
                code: Code::Malformed,
                what: format!("{place} is not a JSON object with distinct fields (byte {})", wrong.column()),
                want: "one JSON object in one text message".into(),
            }),
        }
    }

    /// What errors call it from here on.
    pub(super) fn rename(&mut self, place: impl Into<String>) {
        self.place = place.into();
    }

    /// Whether there is such a field.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// The field as it stands, if it is there.
    pub(super) fn raw(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.known.push(name);
        let at = self.fields.iter().position(|(field, _)| field == name)?;
        Some(self.fields.remove(at).1)
    }

    /// The field, if it is there; `want` says what it must be.
    pub(super) fn optional<T: Deserialize<'a>>(
        &mut self,
        name: &'static str,
        want: &str,
    ) -> Result<Option<T>, Refusal> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let value = serde_json::from_str(raw.get());
        value.map(Some).map_err(|_| self.wrong(name, want))
    }

    /// The field; `want` says what it must be.
    pub(super) fn required<T: Deserialize<'a>>(
        &mut self,
        name: &'static str,
        want: &str,
    ) -> Result<T, Refusal> {
        self.optional(name, want)?.ok_or_else(|| self.missing(name, want))
    }

    /// The refusal of a field whose value is not what it must be.
    pub(super) fn wrong(&self, name: &str, want: &str) -> Refusal {
        self.refuse(format!("{} has a wrong {name}", self.place), want)
    }

    /// The refusal of what lacks a field.
    pub(super) fn missing(&self, name: &str, want: &str) -> Refusal {
        self.refuse(format!("{} lacks {name}", self.place), want)
    }

    /// Any refusal of this object.
    pub(super) fn refuse(&self, what: String, want: &str) -> Refusal {
        Refusal { code: Code::Malformed, what, want: want.into() }
    }

    /// Refuses it if it has fields that nobody asked for.
    pub(super) fn finish(&self) -> Result<(), Refusal> {
        let Some((name, _)) = self.fields.first() else { return Ok(()) };
        let what = format!("{} has an unknown field {:?}", self.place, shown(name));
        Err(self.refuse(what, &suggestion(name, &self.known)))
    }
}

/// A peer's word, short enough to repeat.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(32).collect()
}

/// The nearest of the known words, then all of them.
pub(super) fn suggestion(word: &str, known: &[&str]) -> String {
    let word = shown(word);
    let nearest = known.iter().min_by_key(|name| distance(&word, name)).copied().unwrap_or_default();
    format!("{nearest}, or another of: {}", known.join(", "))
}

/// How many characters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let replace = corner + usize::from(from != to);
            corner = *cell;
            left = replace.min(corner + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Every field of an object, unread; a field that comes twice is an error.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// The most fields that any object of the protocol could be given by mistake.
const FIELDS_MAX: usize = 32;

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(8);
        while let Some((Key(name), value)) = map.next_entry()? {
            if fields.len() == FIELDS_MAX || fields.iter().any(|(field, _)| *field == name) {
                return Err(serde::de::Error::custom("a field came twice, or too many fields"));
            }
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }
}

/// A field's name, borrowed where it holds no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("chanel", "channel", 1),
            ("sbu", "sub", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn a_field_that_comes_twice_is_refused() {
        assert!(Object::read(r#"{"a":1,"a":2}"#, "x").is_err());
        assert!(Object::read(r#"{"a":1,"\u0061":2}"#, "x").is_err());
        assert!(Object::read(r#"{"a":1,"b":2}"#, "x").is_ok());
    }
}
