//! What the system says, as a CloudEvent: the payload of an entry in a technical channel.
//!
//! CloudEvents 1.0 in its JSON format. Which kinds there are and what each carries is in `riser-model`'s `event`.

use crate::entry::PublishId;
use riser_model::{
    ClientId, Epoch, LogId, Position, Wall,
    event::{PublishedAs, Scope, SystemEvent},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// The content type of such a payload.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// What of a CloudEvent is not the event itself.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The log that it is an entry of.
    pub log: LogId,
    /// The epoch in which it was said, and its ordinal there: its `id`.
    pub id: (Epoch, u64),
    /// In whose technical channel.
    pub scope: Scope,
    /// The name of the room or account that it speaks of; none for the instance.
    pub name: Option<&'a str>,
    /// When.
    pub wall: Wall,
    /// How many of its kind it stands for, at least 1.
    pub count: u64,
}

/// The payload.
pub fn payload(about: About<'_>, event: &SystemEvent) -> Vec<u8> {
    #[derive(Serialize)]
    struct Form<'a> {
        specversion: &'static str,
        id: String,
        source: String,
        #[serde(rename = "type")]
        kind: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        time: String,
        datacontenttype: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
        data: &'a Value,
    }
    let what = match about.scope {
        Scope::Room(_) => "room",
        Scope::Account(_) => "account",
        Scope::Instance => "hub",
    };
    let form = Form {
        specversion: "1.0",
        id: format!("{:016x}-{}", about.id.0.0, about.id.1),
        source: format!("urn:riser:{:016x}", about.log.0),
        kind: format!("riser.{}", event.kind()),
        subject: about.name.map(|name| format!("{what}/{name}")),
        time: timestamp(about.wall),
        datacontenttype: "application/json",
        count: (about.count > 1).then_some(about.count),
        data: &data(event),
    };
    serde_json::to_vec(&form).expect("events have string keys and serialize without errors")
}

/// A payload as JSON that can be put into other JSON as it is; none if it is no JSON.
pub fn embedded(payload: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(payload).ok()
}

/// What an event says became of a publication.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Its kind, without the `riser.` before it.
    pub kind: String,
    /// Whose log it was an entry of first.
    pub log: LogId,
    /// Where what it speaks of was an entry first.
    pub entry: Position,
    /// Who published that.
    pub client: ClientId,
    /// As what.
    pub id: PublishId,
    /// Why, where it failed.
    pub code: Option<String>,
}

/// Reads a payload that says what became of a publication; none if it says anything else.
pub fn outcome(payload: &[u8]) -> Option<Outcome> {
    #[derive(Deserialize)]
    struct Form<'a> {
        source: &'a str,
        #[serde(rename = "type")]
        kind: &'a str,
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        entry: String,
        client: ClientId,
        publish_id: PublishedAs,
        #[serde(default)]
        code: Option<String>,
    }
    let Form { source, kind, data } = serde_json::from_slice(payload).ok()?;
    let log = LogId(u64::from_str_radix(source.strip_prefix("urn:riser:")?, 16).ok()?);
    let PublishedAs { producer, n } = data.publish_id;
    let entry = data.entry.parse().ok()?;
    let kind = kind.strip_prefix("riser.")?.to_owned();
    Some(Outcome { kind, log, entry, client: data.client, id: PublishId { producer, n }, code: data.code })
}

/// The event's fields as clients read them: log and epoch ids as in positions, for JavaScript would round them.
fn data(event: &SystemEvent) -> Value {
    let mut value =
        serde_json::to_value(event).expect("events have string keys and serialize without errors");
    if let Value::Object(fields) = &mut value {
        fields.remove("type");
        for name in ["log", "epoch"] {
            if let Some(id) = fields.get_mut(name)
                && let Some(number) = id.as_u64()
            {
                *id = Value::String(format!("{number:016x}"));
            }
        }
    }
    value
}

/// A wall clock's time as RFC 3339 has it, in UTC, with milliseconds. Years outside 0 to 9999 are held at those.
pub fn timestamp(wall: Wall) -> String {
    const DAY_MS: i64 = 86_400_000;
    const FIRST_MS: i64 = -62_167_219_200_000;
    const LAST_MS: i64 = 253_402_300_799_999;
    let ms = wall.0.clamp(FIRST_MS, LAST_MS);
    let (days, of_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", of_day % 1000)
}

/// The date that lies so many days after 1970-01-01, in the Gregorian calendar: years are counted from March, so that
/// the leap day is the last, in eras of 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{AccountId, Cause, Gap, Seq};

    #[test]
    fn an_event_is_a_cloud_event_byte_for_byte() {
        let scope = Scope::Account(AccountId(uuid::Uuid::nil()));
        let about = About {
            log: LogId(0xabc),
            id: (Epoch(7), 9),
            scope,
            name: Some("acme"),
            wall: Wall(1_769_860_800_123),
            count: 3,
        };
        let event = SystemEvent::LinkGap {
            edge: ClientId(uuid::Uuid::nil()),
            log: LogId(u64::MAX),
            epoch: Epoch(1),
            gap: Gap { from: Seq(1), to: Seq(2), cause: Cause::EdgeLost },
            at_least: true,
        };
        assert_eq!(
            String::from_utf8(payload(about, &event)).unwrap(),
            r#"{"specversion":"1.0","id":"0000000000000007-9","source":"urn:riser:0000000000000abc","type":"riser.link_gap","subject":"account/acme","time":"2026-01-31T12:00:00.123Z","datacontenttype":"application/json","count":3,"data":{"at_least":true,"edge":"00000000-0000-0000-0000-000000000000","epoch":"0000000000000001","gap":{"cause":"edge_lost","from":1,"to":2},"log":"ffffffffffffffff"}}"#
        );
        let about = About { scope: Scope::Instance, name: None, count: 1, ..about };
        assert_eq!(
            String::from_utf8(payload(about, &SystemEvent::LogRecovered)).unwrap(),
            r#"{"specversion":"1.0","id":"0000000000000007-9","source":"urn:riser:0000000000000abc","type":"riser.log_recovered","time":"2026-01-31T12:00:00.123Z","datacontenttype":"application/json","data":{}}"#
        );
    }

    #[test]
    fn what_became_of_a_publication_is_read_back() {
        let scope = Scope::Account(AccountId(uuid::Uuid::nil()));
        let (log, id, name) = (LogId(0xabc), (Epoch(7), 9), Some("hall"));
        let about = About { log, id, scope, name, wall: Wall(0), count: 1 };
        let client = ClientId(uuid::Uuid::from_u128(4));
        let publish_id = PublishedAs { producer: u64::MAX, n: 3 };
        let entry = Position { log: LogId(1), epoch: Epoch(2), seq: Seq(3) };
        let to = "lamp".parse().unwrap();
        let said = payload(about, &SystemEvent::Delivered { entry, client, publish_id, to });
        let text = String::from_utf8(said.clone()).unwrap();
        assert!(text.contains(r#""publish_id":{"n":3,"producer":"18446744073709551615"}"#), "{text}");
        let id = PublishId { producer: u64::MAX, n: 3 };
        assert_eq!(
            outcome(&said),
            Some(Outcome { kind: "delivered".into(), log, entry, client, id, code: None })
        );
        assert_eq!(outcome(&payload(about, &SystemEvent::LogRecovered)), None);
        assert!((0..said.len()).all(|cut| outcome(&said[..cut]).is_none()));
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (i64::MIN, "0000-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(timestamp(Wall(ms)), text);
        }
    }
}
