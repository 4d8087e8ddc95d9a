//! A publication in JSON, as everybody who gets it reads it, and the message around it for one of them.
//!
//! The one thing a server says a million times in a second: it is worded by hand, in one piece, and what serde words is
//! its test. A payload that is declared JSON is checked to be, whole, before it becomes a part of a message.

use super::request::is_json;
use crate::entry::{Body, Publication};
use base64::{Engine, engine::general_purpose::STANDARD};
use riser_model::{ClientId, Position, SessionId, Wall};
use serde_json::value::RawValue;
use std::{fmt::Write, ops::Range};
use uuid::fmt::Hyphenated;

/// The fields without channel, type and payload.
const FLAT_BYTES: usize = 256;

/// What a message says of its publication, the same to everybody who gets it.
#[derive(Clone, Debug)]
pub struct Published<'a> {
    /// Where it is. Latest has no position and moves none.
    pub pos: Option<Position>,
    /// In which channel.
    pub channel: &'a str,
    /// Whose.
    pub client: ClientId,
    /// When, milliseconds since 1970 by the wall clock of the host that took it.
    pub time: Wall,
    /// That clock never met a hub's: the time may be any.
    pub uncertain: bool,
    /// Of which publication it is another wording.
    pub replaces: Option<Position>,
    /// What, and as what.
    pub payload: Payload<'a>,
}

impl<'a> Published<'a> {
    /// A publication as it lies in a log. What names another log than its own was checked by nobody here.
    pub fn new(
        pos: Option<Position>,
        channel: &'a str,
        client: ClientId,
        body: &Body<'a>,
        publication: &Publication<'a>,
    ) -> Self {
        let replaces = publication.replaces.filter(|replaced| pos.is_some_and(|pos| pos.log == replaced.log));
        let payload = Payload::new(publication);
        Self { pos, channel, client, time: body.stamp.wall, uncertain: false, replaces, payload }
    }

    /// The same; whether its time is uncertain.
    #[must_use]
    pub fn uncertain(self, uncertain: bool) -> Self {
        Self { uncertain, ..self }
    }

    /// The fields of the message, without the braces around them: made once for all who get it.
    pub fn fields(&self) -> String {
        let mut text = String::with_capacity(FLAT_BYTES + self.channel.len() + self.payload.size());
        self.write(&mut text);
        text
    }

    /// Appends the same.
    pub fn write(&self, out: &mut String) {
        if let Some(pos) = self.pos {
            write_position(out, r#""pos":""#, pos);
            out.push(',');
        }
        out.push_str(r#""channel":"#);
        write_text(out, self.channel);
        out.push_str(r#","client":""#);
        out.push_str(self.client.0.as_hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]));
        write!(out, r#"","time":{}"#, self.time.0).expect("a String takes whatever is written");
        if self.uncertain {
            out.push_str(r#","time_uncertain":true"#);
        }
        if let Some(replaces) = self.replaces {
            write_position(out, r#","replaces":""#, replaces);
        }
        out.push(',');
        self.payload.write(out);
    }
}

/// What a message says to one subscription.
#[derive(Clone, Debug)]
pub struct Msg {
    /// For which subscription.
    pub sub: u32,
    /// The subscription's position before it: a client whose own differs resumes from its own.
    pub prev: Position,
    /// How many of this channel were passed over since the last one (`conflate`).
    pub skipped: u64,
    /// Whether it is shown ahead of the log, while a backlog drains.
    pub latest: bool,
    /// The session that it belongs to, if it is replayed to others until that ends.
    pub session: Option<SessionId>,
}

/// What a message says of its publication.
#[derive(Clone, Copy, Debug)]
pub enum Fields<'a> {
    /// As it was worded for all.
    Worded(&'a str),
    /// It is worded for this one.
    Of(&'a Published<'a>),
}

impl Msg {
    /// The text message.
    pub fn text(&self, fields: Fields<'_>) -> String {
        let mut text = String::new();
        self.write(fields, &mut text);
        text
    }

    /// Appends the same. Where in there its fields are.
    pub fn write(&self, fields: Fields<'_>, text: &mut String) -> Range<usize> {
        let Self { sub, prev, skipped, latest, session } = self;
        let size = match fields {
            Fields::Worded(fields) => fields.len(),
            Fields::Of(published) => FLAT_BYTES + published.channel.len() + published.payload.size(),
        };
        text.reserve(size + 160);
        write!(text, r#"{{"ev":"msg","sub":{sub},"#).expect("a String takes whatever is written");
        write_position(text, r#""prev":""#, *prev);
        text.push(',');
        let from = text.len();
        match fields {
            Fields::Worded(fields) => text.push_str(fields),
            Fields::Of(published) => published.write(text),
        }
        let same = from..text.len();
        if *skipped > 0 {
            write!(text, r#","skipped":{skipped}"#).expect("a String takes whatever is written");
        }
        if *latest {
            text.push_str(r#","latest":true"#);
        }
        if let Some(session) = session {
            write!(text, r#","session":"{session}""#).expect("a String takes whatever is written");
        }
        text.push('}');
        same
    }
}

/// A payload in JSON.
#[derive(Clone, Debug)]
pub struct Payload<'a> {
    content_type: &'a str,
    form: Form<'a>,
}

#[derive(Clone, Debug)]
enum Form<'a> {
    Json(&'a RawValue),
    Text(&'a str),
    Octets(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// A publication's payload; what is not what it is declared to be goes as octets.
    pub fn new(publication: &Publication<'a>) -> Self {
        let content_type = publication.content_type.name();
        let utf8 = || std::str::from_utf8(publication.payload).ok();
        let form = if is_json(content_type) {
            utf8().and_then(|text| serde_json::from_str(text).ok()).map(Form::Json)
        } else if content_type.starts_with("text/") {
            utf8().map(Form::Text)
        } else {
            None
        };
        Self { content_type, form: form.unwrap_or(Form::Octets(publication.payload)) }
    }

    /// Its fields, without the braces around them.
    pub fn fields(&self) -> String {
        let mut text = String::with_capacity(FLAT_BYTES + self.size());
        self.write(&mut text);
        text
    }

    /// About how long it is.
    fn size(&self) -> usize {
        match self.form {
            Form::Json(json) => json.get().len(),
            Form::Text(text) => text.len(),
            Form::Octets(octets) => octets.len() / 3 * 4 + 4,
        }
    }

    /// Appends its fields.
    fn write(&self, out: &mut String) {
        out.push_str(r#""type":"#);
        write_text(out, self.content_type);
        match self.form {
            Form::Json(json) => {
                out.push_str(r#","data":"#);
                out.push_str(json.get());
            }
            Form::Text(text) => {
                out.push_str(r#","data":"#);
                write_text(out, text);
            }
            Form::Octets(octets) => {
                out.push_str(r#","data_b64":""#);
                STANDARD.encode_string(octets, out);
                out.push('"');
            }
        }
    }
}

/// A field whose value is a position, up to the end of that.
fn write_position(out: &mut String, field: &str, position: Position) {
    out.push_str(field);
    write!(out, "{position}\"").expect("a String takes whatever is written");
}

/// A string. Almost none has anything to escape.
fn write_text(out: &mut String, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::to_string(text).expect("a string serializes without errors"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::ContentType;
    use riser_model::{Epoch, LogId, Seq};
    use serde_json::{Value, json};

    #[test]
    fn what_is_worded_by_hand_is_what_serde_words() {
        let position = |seq| Position { log: LogId(1), epoch: Epoch(2), seq: Seq(seq) };
        let client = ClientId(uuid::Uuid::from_u128(7));
        let odd = "quotes \" and \\ and\nlines, \u{1} \u{7f} é \u{2028}";
        for channel in ["a/b", odd] {
            for text in ["plain", odd, ""] {
                for content_type in [ContentType::Text, ContentType::Other("text/\"odd\"")] {
                    let published = Published {
                        pos: Some(position(1)),
                        channel,
                        client,
                        time: Wall(-5),
                        uncertain: false,
                        replaces: Some(position(2)),
                        payload: Payload::new(&Publication::new(content_type, text.as_bytes())),
                    };
                    let read: Value = serde_json::from_str(&format!("{{{}}}", published.fields())).unwrap();
                    let said = json!({
                        "pos": position(1).to_string(), "channel": channel, "client": client.0.to_string(),
                        "time": -5, "replaces": position(2).to_string(), "type": content_type.name(), "data": text,
                    });
                    assert_eq!(read, said);
                    let fields = published.fields();
                    let msg = |fields| {
                        let prev = position(1);
                        let mut text = "before".to_owned();
                        let message = Msg { sub: 1, prev, skipped: 3, latest: true, session: None };
                        let same = message.write(fields, &mut text);
                        (text[same].to_owned(), text)
                    };
                    assert_eq!(msg(Fields::Worded(&fields)), msg(Fields::Of(&published)));
                    assert_eq!(msg(Fields::Of(&published)).0, fields);
                }
            }
        }
    }
}
