//! The table of what channels retain: whatever its rows say, it is refused, or read and written as it was, and goes on with
//! what the log brings; and what entries make of it is on disk what it is in memory.
//!
//! Input: how many of the first bytes are rows (of 255 parts); then rows and entries back to back. A row is the length of
//! its key, that of its value in two bytes, the key and the value. The checksum of a value is made here: nobody guesses it.

use crate::outcome;
use bytes::Bytes;
use riser_model::{
    ChannelName, ClientId, Epoch, EpochSpan, LogId, Position, RoomId, Route, RouteNumber, Seq, Stamp, Wall,
};
use riser_rooms::{Changes, Retained, RetainedKey, RetainedTable, retained::Saved};
use riser_wire::entry::{Body, ContentType, Kind, Publication, frames, write_frame};
use std::collections::BTreeMap;
use uuid::Uuid;

const LOG: LogId = LogId(1);
const EPOCH: Epoch = Epoch(2);
const BYTES_MAX: usize = 4096;
const ROW_VERSION: u8 = 1;

pub fn run(input: &[u8]) {
    let [part, rest @ ..] = input else { return };
    let (rows, entries) = rest.split_at(rest.len() * usize::from(*part) / 255);
    let mut saved = Saved { through: None, rows: BTreeMap::new() };
    let mut rows = rows;
    while let Some((key, value, after)) = row(rows) {
        saved.rows.insert(key.to_vec(), sealed(value));
        rows = after;
    }
    let (mut table, _) = match RetainedTable::read(&saved) {
        Ok(read) => read,
        Err(why) => {
            assert!(why.row < saved.rows.len(), "the row that cannot be read is one of them");
            outcome::note("refused");
            return;
        }
    };
    outcome::note(("read", table.len().min(4)));
    assert_eq!(table.len(), saved.rows.len(), "each row is one of its own");
    on_disk_as_in_memory(&table);
    let chain = [EpochSpan { epoch: EPOCH, first: Seq(1), last: Seq(1 << 40) }];
    let through = Position { log: LOG, epoch: EPOCH, seq: Seq(7) };
    table.align(Some(through), LOG, &chain, Seq(3));
    for (n, frame) in (8..).zip(frames(entries).map_while(Result::ok)) {
        let route = route(frame.route);
        let before = table.discarded();
        table.apply(&frame, Position { log: LOG, epoch: EPOCH, seq: Seq(n) }, &route, BYTES_MAX);
        if table.discarded() > before {
            outcome::note("full");
            assert!(
                table.iter().all(|(key, _)| key != (route.room, route.channel.clone())),
                "none is better"
            );
        } else if Publication::is_retained(frame.body)
            && let Ok(body) = Body::read(frame.body)
            && let Ok(publication) = Publication::read(&body)
        {
            let newest = table.iter().find(|(key, _)| *key == (route.room, route.channel.clone()));
            let shown = newest.map(|(_, retained)| retained.body.clone());
            let wanted = (!publication.payload.is_empty()).then(|| Bytes::copy_from_slice(frame.body));
            assert_eq!(shown, wanted, "the newest, unless that takes it away");
        }
    }
    on_disk_as_in_memory(&table);
    // Of another log nothing is kept.
    table.align(Some(through), LogId(9), &[], Seq(1));
    assert!(table.is_empty() && table.bytes() == 0);
    assert!(table.take_changes().into_values().all(|retained| retained.is_none()));
}

/// What is written is read as it is here.
fn on_disk_as_in_memory(table: &RetainedTable) {
    let all: BTreeMap<RetainedKey, Retained> =
        table.iter().map(|(key, retained)| (key, retained.clone())).collect();
    let through = Position { log: LOG, epoch: EPOCH, seq: Seq(7) };
    let changed = all.iter().map(|(key, retained)| (key.clone(), Some(retained.clone()))).collect();
    let changes = Changes { through, changed };
    let rows = changes.rows().map(|(key, value)| (key, value.expect("it is retained"))).collect();
    let saved = Saved { through: Some(changes.through_row()), rows };
    let (read, seen) = RetainedTable::read(&saved).expect("what it wrote it reads");
    assert_eq!(seen, Some(through));
    assert_eq!((read.len(), read.bytes()), (table.len(), table.bytes()));
    assert!(read.iter().map(|(key, retained)| (key, retained.clone())).eq(all));
}

fn row(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&[key, high, low], rest) = bytes.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(key.into())?;
    let (value, rest) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
    Some((key, value, rest))
}

fn sealed(value: &[u8]) -> Vec<u8> {
    [&[ROW_VERSION][..], &crc32c::crc32c(value).to_le_bytes(), value].concat()
}

fn route(number: RouteNumber) -> Route {
    let channels = ["a/b", "a", "hall/temperature", "é"];
    let name = channels.get(number.0 as usize % channels.len()).copied().unwrap_or("a");
    let channel: ChannelName = name.parse().expect("these are channels");
    Route { room: RoomId(Uuid::nil()), channel, client: ClientId(Uuid::from_u128(number.0.into())) }
}

/// Entries that retain, one that takes away, one that expires, one too large, and one that is nothing of the kind.
fn entries() -> Vec<u8> {
    let stamp = Stamp { boot_us: 1, wall: Wall(5), uncertainty_ms: 3 };
    let mut out = Vec::new();
    let large = vec![b'x'; BYTES_MAX / 2];
    // Property 2 of MQTT 5 (section 3.3.2.3.3): the expiry, in seconds.
    let expiring: &[u8] = &[2, 0, 0, 0, 9];
    for (number, payload, properties) in
        [(0, &b"21.5"[..], &[][..]), (1, b"on", expiring), (2, &large, &[]), (3, &large, &[]), (0, b"", &[])]
    {
        let publication =
            Publication { retain: true, properties, ..Publication::new(ContentType::Text, payload) };
        publication.write_frame(&mut out, RouteNumber(number), stamp);
    }
    Publication::new(ContentType::Octets, b"live").write_frame(&mut out, RouteNumber(0), stamp);
    write_frame(&mut out, RouteNumber(1), Kind::Anchor, 0, stamp, |_| {});
    out
}

fn rows() -> Vec<u8> {
    let mut table = RetainedTable::default();
    for (n, frame) in (1..).zip(frames(&entries()).map_while(Result::ok).take(2)) {
        table.apply(&frame, Position { log: LOG, epoch: EPOCH, seq: Seq(n) }, &route(frame.route), BYTES_MAX);
    }
    let through = Position { log: LOG, epoch: EPOCH, seq: Seq(2) };
    let changes = Changes { through, changed: table.take_changes() };
    let row = |(key, value): (Vec<u8>, Option<Vec<u8>>)| {
        let value = value.unwrap_or_default();
        let value = value.get(5..).unwrap_or_default();
        let [high, low] = (value.len() as u16).to_be_bytes();
        [&[key.len() as u8, high, low][..], &key, value].concat()
    };
    changes.rows().flat_map(row).collect()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (rows, entries) = (rows(), entries());
    vec![
        [&[255][..], &rows].concat(),
        [&[0][..], &entries].concat(),
        // As many bytes of entries as there are of rows: the rest of the last one is cut off.
        [&[128][..], &rows, entries.get(..rows.len()).unwrap_or(&entries)].concat(),
    ]
}
