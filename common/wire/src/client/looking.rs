//! Looks at the instance: how they are asked for, and what was seen, as JSON.
//!
//! ```text
//! -> {"op":"presence","id":3}
//! <- {"re":3,"ok":{"room":"hall","present":[{"client":"...","name":"ann","connection":7,"since":0}],"more":0}}
//! -> {"op":"statistics","id":4,"channels":"boiler/#"}
//! <- {"re":4,"ok":{"room":"hall","messages":9,"bytes":90,"last_s":{...},"last_min":{...},"channels":[...],"next":null}}
//! -> {"op":"quarantine","id":5,"list":{"most":10}}
//! <- {"re":5,"ok":{"detained":[{"pos":"...","code":"denied","room":"hall","channel":"a/b",...}],"next":null}}
//! -> {"op":"quarantine","id":6,"release":"<pos>","reason":"granted since"}
//! <- {"re":6,"ok":{"pos":"..."}}
//! -> {"op":"past","id":7,"channels":"#","before":"<pos>","most":20}
//! <- {"re":7,"ok":{"messages":[{"pos":"...","channel":"news","client":"...","time":0,"type":"text/plain","data":"x"}],"next":"..."}}
//! -> {"op":"edit","id":8,"pos":"<pos>","data":"y"}
//! <- {"re":8,"ok":{"pos":"..."}}
//! -> {"op":"devices","id":9}
//! <- {"re":9,"ok":{"devices":[{"client":"...","name":"pump","connections":1}]}}
//! ```
//!
//! **Who is in a room** comes in pages of 1,000 connections: `more` are after these, and `next` is what to give as `after` for
//! the following page. `incomplete` says that there were more behind edges than an instance keeps (16,384 in all rooms).
//!
//! **Statistics** have a row for each channel that may be read and has a newest value or had a publication since the process
//! started, by name, at most 512 (`most`) of those after the channel `after`; `next` names the last of a page that more come
//! after. `other` is what the room has beside these rows, and rates are kept of 512 channels of a room that were not quiet
//! for the last minute. The time of a value that is older than the process is that of its entry.
//!
//! **A page of the past** is what a room with history `log` has of channels before a position, or the newest without one:
//! at most 200 publications and about 1 MiB, the oldest first, those that the reader may read and no others. `next` is
//! the position to go on before; none where nothing is before it. A page that took many reads may hold fewer, or none,
//! and a `next` all the same. What is gone between them is told in `gaps`, as a subscription has it
//! (`[{"from":3,"to":4,"count":2,"cause":"damage"}]`), where there is any.
//!
//! **An edit** is a publication of its own, in the channel of the one that it replaces, and carries `replaces`, its
//! position: with every message that shows it, live and of the past. Only in a board, of a publication that is no edit,
//! by the client that published it or an admin of the room, and only where the log is that has it: the server looks before
//! it is stored. What it replaces stays in the log as it was.

use super::{
    answer::Hole,
    object::Object,
    published::{Payload, Published},
    request::{Text, parsed, read_payload},
};
use crate::entry::{Body, Publication};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use riser_model::{
    ChannelName, Filter, Position, RoomKind, RoomName,
    door::{Code, Refusal},
    look::{
        Care, ChannelTraffic, Detained, Device, Newest, Past, PastEntry, Present, Quarantine, ROWS_MAX,
        Rates, RoomTraffic, Seen, Waiting,
    },
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
    Presence {
        /// Without so many of the first connections.
        after: u64,
    },
    /// What goes through it.
    Statistics {
        /// Of which channels rows are wanted.
        channels: Filter,
        /// Those after this one.
        after: Option<ChannelName>,
        /// At most so many.
        most: u32,
    },
    /// What lies in the account's quarantine.
    Quarantine(Care),
    /// The newest of these channels before a position.
    Past {
        /// Which channels.
        channels: Filter,
        /// Before which; before what comes next without one.
        before: Option<Position>,
        /// At most so many.
        most: u32,
    },
    /// Another wording of what was said.
    Edit {
        /// Of which publication.
        entry: Position,
        /// What the payload is.
        content_type: String,
        /// The payload.
        payload: Bytes,
    },
    /// The devices that the room's admin reaches.
    Devices {
        /// Without so many of the first.
        after: u64,
    },
}

/// Reads what belongs to `op`.
pub(super) fn read(object: &mut Object<'_>, op: &str) -> Result<Looking, Refusal> {
    match op {
        "statistics" => {
            let want = "a channel in which a whole level may be + and the last level may be #";
            let channels = parsed::<Filter>(object, "channels", want)?.unwrap_or_else(Filter::all);
            let after = parsed::<ChannelName>(object, "after", "a channel, as `next` names it")?;
            let most = object.optional("most", "a number from 1 to 512")?.unwrap_or(ROWS_MAX);
            Ok(Looking::Statistics { channels, after, most: most.clamp(1, ROWS_MAX) })
        }
        "quarantine" => read_care(object).map(Looking::Quarantine),
        "past" => {
            let want = "a channel in which a whole level may be + and the last level may be #";
            let channels = parsed::<Filter>(object, "channels", want)?.unwrap_or_else(Filter::all);
            let before = parsed::<Position>(object, "before", WANT_POS)?;
            let most = object.optional("most", "a number from 1 to 200")?.unwrap_or(LISTED_MAX);
            Ok(Looking::Past { channels, before, most: most.clamp(1, LISTED_MAX) })
        }
        "edit" => {
            let entry = parsed::<Position>(object, "pos", WANT_POS)?;
            let entry = entry.ok_or_else(|| object.missing("pos", WANT_POS))?;
            let (content_type, payload) = read_payload(object)?;
            let payload = Bytes::from(payload.into_owned());
            Ok(Looking::Edit { entry, content_type: content_type.into_owned(), payload })
        }
        "devices" => {
            let after = object.optional("after", "how many devices there were before, as `next` says")?;
            Ok(Looking::Devices { after: after.unwrap_or(0) })
        }
        _ => {
            let after = object.optional("after", "how many connections there were before, as `next` says")?;
            Ok(Looking::Presence { after: after.unwrap_or(0) })
        }
    }
}

const WANT_POS: &str = "a position exactly as it was received (log.epoch.seq)";

fn read_care(object: &mut Object<'_>) -> Result<Care, Refusal> {
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
            let mut shown = json!({ "room": room, "present": present, "more": presence.more });
            if let Value::Object(fields) = &mut shown {
                if let Some(absent) = &presence.absent {
                    fields.insert("ready".into(), absent.is_empty().into());
                    fields.insert("absent".into(), json!(absent));
                }
                if let Some(next) = presence.next {
                    fields.insert("next".into(), next.into());
                }
                if presence.incomplete {
                    fields.insert("incomplete".into(), true.into());
                }
                if presence.kind != RoomKind::default() {
                    fields.insert("kind".into(), presence.kind.name().into());
                }
                if presence.administers {
                    fields.insert("administers".into(), true.into());
                }
                if !presence.gate.is_empty() || !presence.waiting.is_empty() {
                    let waiting: Vec<Value> = presence.waiting.iter().map(waiting).collect();
                    fields.insert("gate".into(), json!(presence.gate));
                    fields.insert("waiting".into(), json!(waiting));
                }
            }
            shown
        }
        Seen::Past(Past { entries, gaps, next }) => {
            let messages: Vec<Value> = entries.iter().filter_map(message).collect();
            let mut page = json!({ "messages": messages, "next": next.map(|position| position.to_string()) });
            if let Some(fields) = page.as_object_mut().filter(|_| !gaps.is_empty()) {
                let gaps: Vec<Hole> = gaps.iter().copied().map(Hole::from).collect();
                fields.insert("gaps".into(), json!(gaps));
            }
            page
        }
        Seen::Edited(position) => json!({ "pos": position.to_string() }),
        Seen::Devices { devices, more, next } => {
            let shown = |Device { client, name, connections }: &Device| json!({ "client": client, "name": name, "connections": connections });
            let mut page = json!({ "devices": devices.iter().map(shown).collect::<Vec<Value>>() });
            if let (Some(fields), Some(next)) = (page.as_object_mut(), next) {
                fields.insert("more".into(), (*more).into());
                fields.insert("next".into(), (*next).into());
            }
            page
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

/// As a subscription has it, but for what only that says. None for what is no publication.
fn message(one: &PastEntry) -> Option<Value> {
    let body = Body::read(&one.body).ok()?;
    let publication = Publication::read(&body).ok()?;
    let published = Published::new(Some(one.entry), one.channel.as_str(), one.client, &body, &publication);
    let published = published.uncertain(one.uncertain);
    serde_json::from_str(&format!("{{{}}}", published.fields())).ok()
}

fn waiting(one: &Waiting) -> Value {
    let Waiting { connection, name, account, acceptor, knocks, room } = one;
    // A visitor's name is none of this account's.
    let name = match (account, name) {
        (Some(account), Some(name)) => Some(format!("{account}/{name}")),
        (None, name) => name.as_ref().map(ToString::to_string),
        (Some(_), None) => None,
    };
    json!({ "connection": connection, "name": name, "acceptor": acceptor, "knocks": knocks, "room": room })
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
        ("newest", json!(traffic.newest.as_ref().map(newest))),
        ("channel_count", json!(traffic.channels)),
        ("partial", json!(traffic.partial)),
        ("at_least", json!(traffic.at_least)),
        ("void", json!(traffic.void)),
        ("other", json!(traffic.other.as_ref().map(rates))),
        ("channels", json!(channels)),
        ("next", json!(traffic.next)),
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
    shown.insert("connections".into(), json!(row.connections));
    show_value(&mut shown, row.value.as_ref());
    Value::Object(shown)
}

fn newest(newest: &Newest) -> Value {
    let mut shown = Map::from_iter([("channel".to_owned(), json!(newest.channel))]);
    show_value(&mut shown, newest.value.as_ref());
    Value::Object(shown)
}

fn show_value(shown: &mut Map<String, Value>, body: Option<&Bytes>) {
    let value = body.map(|body| payload(body, VALUE_BYTES_MAX)).filter(|value| !value.is_empty());
    if let Some(value) = value {
        shown.insert("value".into(), Value::Object(value));
    }
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
    let fields = Payload::new(&publication).fields();
    let shown = serde_json::from_str(&format!("{{{fields}}}")).or_else(|_| {
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
    use riser_model::{
        Cause, ClientId, ConnectionId, Epoch, Gap, LogId, RouteNumber, Seq, Stamp, Wall, look,
    };

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
        let rows = |channels: &str, after: Option<&str>, most| {
            let after = after.map(|name| name.parse().unwrap());
            Ok(Looking::Statistics { channels: channels.parse().unwrap(), after, most })
        };
        assert_eq!(looked(r#"{"op":"presence","id":1}"#), Ok(Looking::Presence { after: 0 }));
        assert_eq!(looked(r#"{"op":"presence","id":1,"after":1000}"#), Ok(Looking::Presence { after: 1000 }));
        assert_eq!(looked(r#"{"op":"statistics","id":1}"#), rows("#", None, 512));
        let some = looked(r#"{"op":"statistics","id":1,"channels":"a/+","after":"a/b","most":9999}"#);
        assert_eq!(some, rows("a/+", Some("a/b"), 512));
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
    fn the_past_and_other_wordings_are_asked_for() {
        let past = |more: &str| looked(&format!(r#"{{"op":"past","id":1{more}}}"#));
        let wanted = |channels: &str, before, most| {
            Ok(Looking::Past { channels: channels.parse().unwrap(), before, most })
        };
        assert_eq!(past(""), wanted("#", None, 200));
        let page = format!(r#","channels":"a/+","before":"{}","most":999"#, entry());
        assert_eq!(past(&page), wanted("a/+", Some(entry()), 200));
        assert_eq!(past(r#","most":0"#), wanted("#", None, 1));
        let edit = |more: &str| looked(&format!(r#"{{"op":"edit","id":1,"pos":"{}"{more}}}"#, entry()));
        let content_type = "text/plain".to_owned();
        let worded = Looking::Edit { entry: entry(), content_type, payload: Bytes::from_static(b"x") };
        assert_eq!(edit(r#","data":"x""#), Ok(worded));
        assert_eq!(looked(r#"{"op":"devices","id":1}"#), Ok(Looking::Devices { after: 0 }));
        for bad in [r#","before":"3""#, r#","most":-1"#, r#","channel":"a""#] {
            assert!(past(bad).is_err(), "{bad}");
        }
        for bad in ["", r#","data":"x","data_b64":"eA==""#, r#","data":"x","channel":"a""#] {
            assert!(edit(bad).is_err(), "{bad}");
        }
        assert!(looked(r#"{"op":"edit","id":1,"data":"x"}"#).is_err(), "of what?");
    }

    #[test]
    fn a_page_of_the_past_is_golden_and_an_edit_says_so_in_its_own_log_only() {
        let one = |publication: Publication<'_>| {
            let mut frame = Vec::new();
            publication.write_frame(&mut frame, RouteNumber(0), Stamp::default());
            let (channel, client) = ("a".parse().unwrap(), ClientId(uuid::Uuid::nil()));
            let body = Bytes::from(frame).slice(FRAME_HEADER_BYTES..);
            PastEntry { entry: entry(), channel, client, uncertain: false, body }
        };
        let said = Publication::new(ContentType::Text, b"x");
        let edit = |log| Publication { replaces: Some(Position { log, ..entry() }), ..said };
        let entries = vec![one(edit(LogId(1))), one(edit(LogId(9)))];
        let gap = Gap { from: Seq(3), to: Seq(4), cause: Cause::Damage };
        let lost = Past { gaps: vec![gap], ..Past::default() };
        assert_eq!(
            seen(&"hall".parse().unwrap(), &Seen::Past(lost)).to_string(),
            r#"{"gaps":[{"cause":"damage","count":2,"from":3,"to":4}],"messages":[],"next":null}"#
        );
        let past = Past { entries, gaps: Vec::new(), next: Some(entry()) };
        assert_eq!(
            seen(&"hall".parse().unwrap(), &Seen::Past(past)).to_string(),
            r#"{"messages":[{"channel":"a","client":"00000000-0000-0000-0000-000000000000","data":"x","pos":"0000000000000001.0000000000000002.3","replaces":"0000000000000001.0000000000000002.3","time":0,"type":"text/plain"},{"channel":"a","client":"00000000-0000-0000-0000-000000000000","data":"x","pos":"0000000000000001.0000000000000002.3","time":0,"type":"text/plain"}],"next":"0000000000000001.0000000000000002.3"}"#
        );
    }

    #[test]
    fn what_was_seen_is_golden() {
        let (client, name) = (ClientId(uuid::Uuid::nil()), "ann".parse().unwrap());
        let present = |connection, behind| {
            let (name, since) = (Clone::clone(&name), Wall(5));
            Present { client, name, connection: ConnectionId(connection), since, behind }
        };
        let behind = look::Behind { edge: Some("north".parse().unwrap()), log: LogId(10), cut_off: true };
        let presence = look::Presence {
            present: vec![present(1, None), present(2, Some(behind))],
            more: 3,
            next: Some(2),
            incomplete: true,
            ..Default::default()
        };
        assert_eq!(
            seen(&"hall".parse().unwrap(), &Seen::Presence(presence)).to_string(),
            r#"{"incomplete":true,"more":3,"next":2,"present":[{"client":"00000000-0000-0000-0000-000000000000","connection":1,"name":"ann","since":5},{"behind":{"cut_off":true,"edge":"north","log":"000000000000000a"},"client":"00000000-0000-0000-0000-000000000000","connection":2,"name":"ann","since":5}],"room":"hall"}"#
        );
        let mut frame = Vec::new();
        let publication = Publication::new(ContentType::Json, b"[1]");
        publication.write_frame(&mut frame, RouteNumber(0), Stamp::default());
        let value = Some(Bytes::from(frame).slice(FRAME_HEADER_BYTES..));
        let rates = Rates { messages: 4, bytes: 40, second: (1, 10), minute: (2, 20) };
        let channel = "a".parse().unwrap();
        let row = ChannelTraffic {
            channel,
            rates,
            last: Some(Wall(7)),
            value: value.clone(),
            subscribers: 2,
            connections: 1,
        };
        let traffic = RoomTraffic {
            rates,
            last: Some(Wall(7)),
            subscribers: 3,
            connections: 4,
            newest: Some(Newest { channel: "a".parse().unwrap(), value }),
            channels: 1,
            rows: vec![row],
            next: Some("b".parse().unwrap()),
            other: Some(Rates::default()),
            partial: false,
            at_least: true,
            void: 2,
        };
        assert_eq!(
            seen(&"hall".parse().unwrap(), &Seen::Statistics(Box::new(traffic))).to_string(),
            r#"{"at_least":true,"bytes":40,"channel_count":1,"channels":[{"bytes":40,"channel":"a","connections":1,"last":7,"last_min":{"bytes":20,"messages":2},"last_s":{"bytes":10,"messages":1},"messages":4,"subscribers":2,"value":{"data":[1],"type":"application/json"}}],"connections":4,"last":7,"last_min":{"bytes":20,"messages":2},"last_s":{"bytes":10,"messages":1},"messages":4,"newest":{"channel":"a","value":{"data":[1],"type":"application/json"}},"next":"b","other":{"bytes":0,"last_min":{"bytes":0,"messages":0},"last_s":{"bytes":0,"messages":0},"messages":0},"partial":false,"room":"hall","subscribers":3,"void":2}"#
        );
    }
}
