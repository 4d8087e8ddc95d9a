//! Looks at the instance: how they are asked for, and what was seen, as JSON.
//!
//! ```text
//! -> {"op":"presence","id":3}
//! <- {"re":3,"ok":{"room":"hall","present":[{"client":"...","name":"ann","connection":7,"since":0}],"more":0}}
//! -> {"op":"statistics","id":4,"channels":"boiler/#"}
//! <- {"re":4,"ok":{"room":"hall","messages":9,"bytes":90,"last_s":{...},"last_min":{...},"channels":[...]}}
//! -> {"op":"quarantine","id":5,"list":{"most":10}}
//! <- {"re":5,"ok":{"detained":[{"pos":"...","code":"denied","room":"hall","channel":"a/b",...}],"next":null}}
//! -> {"op":"quarantine","id":6,"release":"<pos>","reason":"granted since"}
//! <- {"re":6,"ok":{"pos":"..."}}
//! ```

use super::{
    answer::Payload,
    object::Object,
    request::{Text, parsed},
};
use crate::entry::{Body, Publication};
use base64::{Engine, engine::general_purpose::STANDARD};
use riser_model::{
    Filter, Position, RoomName,
    door::{Code, Refusal},
    look::{Care, ChannelTraffic, Detained, Present, Quarantine, Rates, RoomTraffic, Seen},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The largest reason that is kept, bytes.
const REASON_BYTES_MAX: usize = 200;
/// The most entries of the quarantine in one answer.
const LISTED_MAX: u32 = 200;
/// A value that is larger is not shown in statistics, bytes.
const VALUE_BYTES_MAX: usize = 256;

/// What is looked at, in the connection's room and account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Looking {
    /// Who is in the room.
    Presence,
    /// What goes through it.
    Statistics(Filter),
    /// What lies in the account's quarantine.
    Quarantine(Care),
}

/// Reads what belongs to `op`.
pub(super) fn read(object: &mut Object<'_>, op: &str) -> Result<Looking, Refusal> {
    match op {
        "statistics" => {
            let want = "a channel in which a whole level may be + and the last level may be #";
            let channels = parsed::<Filter>(object, "channels", want)?.unwrap_or_else(Filter::all);
            Ok(Looking::Statistics(channels))
        }
        "quarantine" => read_care(object).map(Looking::Quarantine),
        _ => Ok(Looking::Presence),
    }
}

fn read_care(object: &mut Object<'_>) -> Result<Care, Refusal> {
    const WANT_POS: &str = "a position exactly as it was received (log.epoch.seq)";
    let want =
        "one of: list (an object, empty or with after and most), inspect, release, drop (a position each)";
    let list = object.raw("list").map(|raw| {
        let mut list = Object::read(raw.get(), "list")?;
        let after = parsed::<Position>(&mut list, "after", WANT_POS)?;
        let most = list.optional("most", "a number from 1 to 200")?.unwrap_or(LISTED_MAX);
        list.finish()?;
        Ok(Care::List { after, most: most.clamp(1, LISTED_MAX) })
    });
    let list: Option<Care> = list.transpose()?;
    let inspect = parsed::<Position>(object, "inspect", WANT_POS)?;
    let release = parsed::<Position>(object, "release", WANT_POS)?;
    let drop = parsed::<Position>(object, "drop", WANT_POS)?;
    let needs_reason = release.is_some() || drop.is_some();
    let reason = if needs_reason { read_reason(object)? } else { String::new() };
    match (list, inspect, release, drop) {
        (Some(list), None, None, None) => Ok(list),
        (None, Some(entry), None, None) => Ok(Care::Inspect { entry }),
        (None, None, Some(entry), None) => Ok(Care::Release { entry, reason }),
        (None, None, None, Some(entry)) => Ok(Care::Drop { entry, reason }),
        (None, None, None, None) => Err(object.missing("what to do", want)),
        (_, _, _, _) => Err(object.refuse("quarantine is asked for several things at once".into(), want)),
    }
}

fn read_reason(object: &mut Object<'_>) -> Result<String, Refusal> {
    let want =
        "reason, 1 to 200 bytes of text without control characters: who reads the event wants to know why";
    let text = object.required::<Text<'_>>("reason", want)?.into_inner();
    let good = (1..=REASON_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if good {
        Ok(text.into_owned())
    } else {
        Err(Refusal { code: Code::Malformed, ..object.wrong("reason", want) })
    }
}

/// What was seen, as an answer says it. `room` is the one that was asked for.
pub fn seen(room: &RoomName, seen: &Seen) -> Value {
    match seen {
        Seen::Presence(presence) => {
            let present: Vec<Value> = presence.present.iter().map(present).collect();
            json!({ "room": room, "present": present, "more": presence.more })
        }
        Seen::Statistics(traffic) => statistics(room, traffic),
        Seen::Quarantine(Quarantine { detained: all, next }) => {
            let detained: Vec<Value> = all.iter().map(|one| Value::Object(detained(one))).collect();
            json!({ "detained": detained, "next": next.map(|position| position.to_string()) })
        }
        Seen::Detained(one, body) => {
            let mut shown = detained(one);
            shown.extend(payload(body, usize::MAX));
            Value::Object(shown)
        }
        Seen::Released(position) => json!({ "pos": position.to_string() }),
        Seen::Dropped => json!({}),
    }
}

fn present(one: &Present) -> Value {
    let Present { client, name, connection, since, behind } = one;
    let mut shown = json!({ "client": client, "name": name, "connection": connection, "since": since });
    if let (Some(behind), Value::Object(fields)) = (behind, &mut shown) {
        let log = format!("{:016x}", behind.log.0);
        fields.insert("behind".into(), json!({ "edge": behind.edge, "log": log, "cut_off": behind.cut_off }));
    }
    shown
}

fn rates(rates: &Rates) -> Map<String, Value> {
    let lately = |(messages, bytes): (u64, u64)| json!({ "messages": messages, "bytes": bytes });
    [
        ("messages".to_owned(), rates.messages.into()),
        ("bytes".to_owned(), rates.bytes.into()),
        ("last_s".to_owned(), lately(rates.second)),
        ("last_min".to_owned(), lately(rates.minute)),
    ]
    .into_iter()
    .collect()
}

fn statistics(room: &RoomName, traffic: &RoomTraffic) -> Value {
    let mut shown = rates(&traffic.rates);
    let channels: Vec<Value> = traffic.rows.iter().map(row).collect();
    for (name, value) in [
        ("room", json!(room)),
        ("last", json!(traffic.last)),
        ("subscribers", json!(traffic.subscribers)),
        ("connections", json!(traffic.connections)),
        ("channel_count", json!(traffic.channels)),
        ("partial", json!(traffic.partial)),
        ("void", json!(traffic.void)),
        ("other", json!(traffic.other.as_ref().map(rates))),
        ("channels", json!(channels)),
    ] {
        shown.insert(name.to_owned(), value);
    }
    Value::Object(shown)
}

fn row(row: &ChannelTraffic) -> Value {
    let mut shown = rates(&row.rates);
    shown.insert("channel".into(), json!(row.channel));
    shown.insert("last".into(), json!(row.last));
    shown.insert("subscribers".into(), json!(row.subscribers));
    let value =
        row.value.as_ref().map(|body| payload(body, VALUE_BYTES_MAX)).filter(|value| !value.is_empty());
    if let Some(value) = value {
        shown.insert("value".into(), Value::Object(value));
    }
    Value::Object(shown)
}

fn detained(one: &Detained) -> Map<String, Value> {
    let Detained { entry, code, meant, client, time, bytes } = one;
    let (room, channel) = meant.as_ref().map_or((None, None), |(room, channel)| (Some(room), Some(channel)));
    let shown = json!({
        "pos": entry.to_string(), "code": code, "room": room, "channel": channel, "client": client, "time": time,
        "bytes": bytes,
    });
    match shown {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// A publication's payload in the fields of an object; none if it is no publication, or too large.
fn payload(body: &[u8], bytes_max: usize) -> Map<String, Value> {
    let Ok(body) = Body::read(body) else { return Map::new() };
    let Ok(publication) = Publication::read(&body) else { return Map::new() };
    if publication.payload.len() > bytes_max {
        return Map::new();
    }
    #[derive(Serialize)]
    struct Octets<'a> {
        r#type: &'a str,
        data_b64: String,
    }
    let shown = serde_json::to_value(Payload::new(&publication)).or_else(|_| {
        let (r#type, data_b64) = (publication.content_type.name(), STANDARD.encode(publication.payload));
        serde_json::to_value(Octets { r#type, data_b64 })
    });
    match shown {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Op, Request};
    use crate::entry::{ContentType, FRAME_HEADER_BYTES};
    use riser_model::{ClientId, ConnectionId, Epoch, LogId, RouteNumber, Seq, Stamp, Wall, look};

    fn looked(text: &str) -> Result<Looking, Refusal> {
        match Request::read(text) {
            Ok(Request { op: Op::Look(looking), .. }) => Ok(looking),
            Ok(other) => panic!("{other:?}"),
            Err(wrong) => Err(wrong.refusal),
        }
    }

    fn entry() -> Position {
        Position { log: LogId(1), epoch: Epoch(2), seq: Seq(3) }
    }

    #[test]
    fn looks_are_read_and_what_is_wrong_with_them_is_told() {
        assert_eq!(looked(r#"{"op":"presence","id":1}"#), Ok(Looking::Presence));
        assert_eq!(looked(r#"{"op":"statistics","id":1}"#), Ok(Looking::Statistics(Filter::all())));
        let some = looked(r#"{"op":"statistics","id":1,"channels":"a/+"}"#);
        assert_eq!(some, Ok(Looking::Statistics("a/+".parse().unwrap())));
        let quarantine = |more: &str| looked(&format!(r#"{{"op":"quarantine","id":1{more}}}"#));
        let list = |after, most| Ok(Looking::Quarantine(Care::List { after, most }));
        assert_eq!(quarantine(r#","list":{}"#), list(None, 200));
        let after = format!(r#","list":{{"after":"{}","most":100000}}"#, entry());
        assert_eq!(quarantine(&after), list(Some(entry()), 200));
        let release = format!(r#","release":"{}","reason":"granted"}}"#, entry());
        let care = Care::Release { entry: entry(), reason: "granted".into() };
        assert_eq!(quarantine(release.trim_end_matches('}')), Ok(Looking::Quarantine(care)));
        let long = format!(r#","drop":"{}","reason":"{}""#, entry(), "x".repeat(201));
        let both = format!(r#","drop":"{0}","inspect":"{0}","reason":"x""#, entry());
        let bare = format!(r#","drop":"{}""#, entry());
        for bad in ["", r#","list":3"#, r#","inspect":"3""#, &long, &both, &bare] {
            assert!(quarantine(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_seen_is_golden() {
        let (client, name) = (ClientId(uuid::Uuid::nil()), "ann".parse().unwrap());
        let present = |connection, behind| {
            let (name, since) = (Clone::clone(&name), Wall(5));
            Present { client, name, connection: ConnectionId(connection), since, behind }
        };
        let behind = look::Behind { edge: Some("north".parse().unwrap()), log: LogId(10), cut_off: true };
        let presence = look::Presence { present: vec![present(1, None), present(2, Some(behind))], more: 3 };
        assert_eq!(
            seen(&"hall".parse().unwrap(), &Seen::Presence(presence)).to_string(),
            r#"{"more":3,"present":[{"client":"00000000-0000-0000-0000-000000000000","connection":1,"name":"ann","since":5},{"behind":{"cut_off":true,"edge":"north","log":"000000000000000a"},"client":"00000000-0000-0000-0000-000000000000","connection":2,"name":"ann","since":5}],"room":"hall"}"#
        );
        let mut frame = Vec::new();
        let publication = Publication::new(ContentType::Json, b"[1]");
        publication.write_frame(&mut frame, RouteNumber(0), Stamp::default());
        let value = Some(bytes::Bytes::from(frame).slice(FRAME_HEADER_BYTES..));
        let rates = Rates { messages: 4, bytes: 40, second: (1, 10), minute: (2, 20) };
        let channel = "a".parse().unwrap();
        let row = ChannelTraffic { channel, rates, last: Some(Wall(7)), value, subscribers: 2 };
        let traffic = RoomTraffic {
            rates,
            last: Some(Wall(7)),
            subscribers: 3,
            connections: 4,
            channels: 1,
            rows: vec![row],
            other: Some(Rates::default()),
            partial: false,
            void: 2,
        };
        assert_eq!(
            seen(&"hall".parse().unwrap(), &Seen::Statistics(Box::new(traffic))).to_string(),
            r#"{"bytes":40,"channel_count":1,"channels":[{"bytes":40,"channel":"a","last":7,"last_min":{"bytes":20,"messages":2},"last_s":{"bytes":10,"messages":1},"messages":4,"subscribers":2,"value":{"data":[1],"type":"application/json"}}],"connections":4,"last":7,"last_min":{"bytes":20,"messages":2},"last_s":{"bytes":10,"messages":1},"messages":4,"other":{"bytes":0,"last_min":{"bytes":0,"messages":0},"last_s":{"bytes":0,"messages":0},"messages":0},"partial":false,"room":"hall","subscribers":3,"void":2}"#
        );
    }
}
