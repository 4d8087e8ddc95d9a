//! Single entries, as `log inspect --entries` lists them.

use base64::{Engine, engine::general_purpose::STANDARD};
use riser_log::{Disk, Survey};
use riser_model::{Gap, RouteNumber, Run, Seq};
use riser_wire::entry::{Body, Frame, Kind, Publication, frames};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, io, str::FromStr};

/// How much is read at once.
const READ_BYTES: usize = 256 * 1024;

/// Seqs, both ends inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    pub from: Seq,
    pub to: Seq,
}

/// Text that names no seqs.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no range of seqs; want FROM..TO such as 100..200, 100.. or ..200")]
pub struct BadRange(String);

impl FromStr for Range {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, BadRange> {
        let bad = || BadRange(text.to_owned());
        let (from, to) = text.split_once("..").ok_or_else(bad)?;
        let number = |text: &str, otherwise| match text {
            "" => Ok(otherwise),
            text => text.parse().map_err(|_| bad()),
        };
        let range = Self { from: Seq(number(from, 1)?), to: Seq(number(to, u64::MAX)?) };
        if range.from > range.to { Err(bad()) } else { Ok(range) }
    }
}

/// One line of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listed {
    /// An entry.
    Entry(Map<String, Value>),
    /// Seqs that are gone.
    Gap(Gap),
}

/// Hands out the entries and gaps of a range, in order.
pub fn each<D: Disk>(
    survey: &mut Survey<D>,
    range: Range,
    payload: bool,
    mut take: impl FnMut(Listed) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut at = range.from;
    while at <= range.to {
        let chunk = survey.read(at, READ_BYTES)?;
        if chunk.runs.is_empty() {
            break;
        }
        at = chunk.next;
        let routes: BTreeMap<_, _> = survey.routes.iter().map(|(number, route)| (*number, route)).collect();
        for run in &chunk.runs {
            match run {
                Run::Gap(gap) if gap.from <= range.to => {
                    take(Listed::Gap(Gap { to: gap.to.min(range.to), ..*gap }))?;
                }
                Run::Gap(_) => {}
                Run::Entries { first, epoch, entries, .. } => {
                    let wanted = (first.0..=range.to.0).map(Seq);
                    for (seq, frame) in wanted.zip(frames(entries).map_while(Result::ok)) {
                        let mut fields = Map::new();
                        fields.insert("seq".into(), seq.0.into());
                        fields.insert("epoch".into(), format!("{:016x}", epoch.0).into());
                        describe(&mut fields, &frame, payload);
                        if let Some(route) = routes.get(&frame.route) {
                            fields.insert("room".into(), route.room.to_string().into());
                            fields.insert("channel".into(), route.channel.as_str().into());
                            fields.insert("client".into(), route.client.to_string().into());
                        } else if frame.route != RouteNumber::NONE {
                            fields.insert("unknown_route".into(), frame.route.0.into());
                        }
                        take(Listed::Entry(fields))?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn describe(fields: &mut Map<String, Value>, frame: &Frame<'_>, payload: bool) {
    if let Some(origin) = frame.origin {
        fields.insert("origin".into(), json!({ "number": origin.number, "seq": origin.seq.0 }));
    }
    fields.insert("intact".into(), frame.intact().into());
    let Ok(body) = Body::read(frame.body) else { return };
    fields.insert("kind".into(), kind(body.kind).into());
    fields.insert("wall_ms".into(), body.stamp.wall.0.into());
    fields.insert("bytes".into(), frame.body.len().into());
    if body.kind != Kind::Publication {
        return;
    }
    let Ok(publication) = Publication::read(&body) else { return };
    fields.insert("qos".into(), publication.qos.into());
    fields.insert("content_type".into(), publication.content_type.name().into());
    fields.insert("payload_bytes".into(), publication.payload.len().into());
    if payload {
        match std::str::from_utf8(publication.payload) {
            Ok(text) => fields.insert("data".into(), text.into()),
            Err(_) => fields.insert("data_b64".into(), STANDARD.encode(publication.payload).into()),
        };
    }
}

fn kind(kind: Kind) -> String {
    let name = match kind {
        Kind::Publication => "publication",
        Kind::Canary => "canary",
        Kind::Anchor => "anchor",
        Kind::Release => "release",
        Kind::Session => "session",
        Kind::Opened => "opened",
        Kind::Closed => "closed",
        Kind::Quarantined => "quarantined",
        Kind::Settled => "settled",
        Kind::Passed => "passed",
        Kind::Departed => "departed",
        Kind::Roll => "roll",
        Kind::Other(number) => return format!("kind {number}"),
    };
    name.to_owned()
}
