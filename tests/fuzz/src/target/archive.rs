//! An archive on a medium on which somebody has written. It opens or says why not; what it shows is what was archived there, or a
//! gap; every seq is spoken of once; it goes on archiving; and a look at it breaks nothing.
//!
//! Input: changes of 6 bytes each: which file, where in it (3 bytes), how, and a byte.

use bytes::Bytes;
use riser_log::{
    Config, Entropy, OnFull, Writer,
    archive::{Archive, ArchiveSurvey, Step},
    fault::{FaultDisk, Image},
};
use riser_model::{
    Batch, Cause, ClientId, EpochSpan, Filter, Grants, Interest, LogId, Now, Read, RoomId, Route,
    RouteNumber, Run, Selection, Seq, Stamp, Time, Wall,
};
use riser_wire::entry::{ContentType, Publication, frames};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};
use uuid::Uuid;

const ROOMS: u32 = 3;

/// A log and its archive as they were left, and the checksum of what was published at each seq.
struct Written {
    log: Image,
    archive: Image,
    id: LogId,
    chain: Vec<EpochSpan>,
    crcs: BTreeMap<u64, u32>,
}

pub fn run(input: &[u8]) {
    static WRITTEN: OnceLock<Written> = OnceLock::new();
    let written = WRITTEN.get_or_init(written);
    let mut image = written.archive.clone();
    for change in input.chunks_exact(6).take(16) {
        apply(&mut image, change);
    }
    let (log, disk) = (FaultDisk::new(1), FaultDisk::new(2));
    log.restore(&written.log);
    disk.restore(&image);
    let _ = ArchiveSurvey::of(&disk, true);
    let opened = Writer::<_, ()>::open(log, config(), Entropy(99), now(99));
    let (writer, recovered) = opened.expect("nobody wrote on the log");
    let mut log = writer.reader();
    let mut chain = written.chain.clone();
    chain.extend(recovered.chain.last());
    let Ok((mut archive, _)) = Archive::open(disk, written.id, &chain, log.oldest(), 1 << 20) else { return };
    archive.want(wanted(), &log);
    for _ in 0..20 {
        if matches!(archive.step(&log), Ok(Step::Rests) | Err(_)) {
            break;
        }
    }
    let mut reader = archive.reader();
    let all = || vec![Selection { channels: Filter::all(), since: None }];
    let rooms: BTreeMap<RoomId, Vec<Selection>> =
        archive.rooms().into_keys().map(|room| (room, all())).collect();
    let open = rooms.keys().copied().collect();
    let of = Arc::new(Interest { rooms, grants: Arc::new(Grants::new(Vec::new())), open });
    let (mut at, last) = (Seq(1), log.last());
    while at <= last {
        let read = Read::Of { from: at, max_bytes: 4096, of: Arc::clone(&of) };
        let Ok(found) = reader.perform(&mut log, &read, &mut ()) else { break };
        let mut pieces: Vec<(Seq, Seq)> = found.skips.clone();
        for run in &found.chunk.runs {
            pieces.push((run.first(), last_of(run)));
            check(run, &written.crcs);
        }
        pieces.sort();
        for (first, end) in pieces {
            assert_eq!(first, at, "every seq is spoken of once");
            at = end.next();
        }
        assert_eq!(found.chunk.next, at);
        if found.chunk.runs.is_empty() && found.skips.is_empty() {
            break;
        }
    }
    let mut before = last.next();
    for _ in 0..1_000 {
        let read = Read::Before { before, of: Arc::clone(&of) };
        let Ok(found) = reader.perform(&mut log, &read, &mut ()) else { break };
        found.chunk.runs.iter().for_each(|run| check(run, &written.crcs));
        let first = found.chunk.runs.first().map_or(found.chunk.next, Run::first);
        if first >= before {
            break;
        }
        before = first;
    }
    reader.visit(last.next(), |_, _| true);
}

fn last_of(run: &Run) -> Seq {
    match run {
        Run::Entries { first, count, .. } => Seq(first.0 + u64::from(*count)).prev(),
        Run::Gap(gap) => gap.to,
    }
}

fn check(run: &Run, crcs: &BTreeMap<u64, u32>) {
    let Run::Entries { first, count, entries, .. } = run else { return };
    let mut seq = *first;
    for frame in frames(entries) {
        let frame = frame.expect("whole frames are shown");
        assert!(frame.intact(), "{} is shown as it was, or as damage", seq.0);
        if let Some(crc) = crcs.get(&seq.0) {
            assert_eq!(frame.crc, *crc, "{} is another entry than was published", seq.0);
        }
        seq = seq.next();
    }
    assert_eq!(seq.0 - first.0, u64::from(*count));
}

fn apply(image: &mut Image, change: &[u8]) {
    let [file, a, b, c, how, byte] = *change else { return };
    let names: Vec<String> = image.keys().cloned().collect();
    let Some(name) = names.get(usize::from(file) % names.len().max(1)) else { return };
    let at = usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(0);
    if how % 8 == 7 {
        // Another file is called so, or there is none.
        let bytes = image.remove(name).unwrap_or_default();
        let other = names.get(at % names.len()).cloned().unwrap_or_default();
        if byte & 1 == 0 {
            image.insert(other, bytes);
        }
        return;
    }
    let Some(bytes) = image.get_mut(name) else { return };
    let at = at % bytes.len().max(1);
    match how % 8 {
        0..=2 => {
            if let Some(place) = bytes.get_mut(at) {
                *place ^= byte;
            }
        }
        3 => bytes.truncate(at),
        4 => {
            let end = (at + usize::from(byte)).min(bytes.len());
            if let Some(range) = bytes.get_mut(at..end) {
                range.fill(0);
            }
        }
        5 => {
            let from = usize::from(byte) * 64 % bytes.len().max(1);
            let length = 64.min(bytes.len() - at).min(bytes.len() - from);
            bytes.copy_within(from..from + length, at);
        }
        _ => {
            // Whoever writes on it may know how it is checked: of a short file the checksum is at the end.
            if let Some(place) = bytes.get_mut(at) {
                *place ^= byte;
            }
            if let Some((said, crc)) = bytes.split_last_chunk_mut::<4>() {
                *crc = crc32c::crc32c(said).to_le_bytes();
            }
        }
    }
}

fn config() -> Config {
    Config {
        segment_bytes: 16 << 10,
        quota_bytes: 64 << 10,
        on_full: OnFull::DropOldest,
        trim_cause: Cause::HubQuota,
        ..Config::tiny()
    }
}

fn wanted() -> BTreeMap<RoomId, Seq> {
    [0, 1].map(|n| (route(n).room, Seq::ZERO)).into()
}

fn route(n: u32) -> Route {
    Route {
        room: RoomId(Uuid::from_u128(u128::from(n % ROOMS))),
        channel: format!("c/{n}").parse().expect("letters are a channel"),
        client: ClientId(Uuid::from_u128(7)),
    }
}

fn now(ms: u64) -> Now {
    Now { time: Time(ms * 1_000_000), wall: Wall(1_700_000_000_000 + ms as i64) }
}

fn written() -> Written {
    let (log, disk) = (FaultDisk::new(1), FaultDisk::new(2));
    let (mut crcs, mut chain, mut id) = (BTreeMap::new(), Vec::new(), LogId(0));
    for opened in 1..=2 {
        let writer = Writer::<_, ()>::open(log.clone(), config(), Entropy(opened), now(opened));
        let (mut writer, recovered) = writer.expect("the disk works");
        (id, chain) = (recovered.log, recovered.chain);
        let opened = Archive::open(disk.clone(), id, &chain, writer.reader().oldest(), 1 << 20);
        let mut archive = opened.expect("the disk works").0;
        archive.want(wanted(), &writer.reader());
        for n in 0..90_u32 {
            publish(&mut writer, n, &mut crcs);
            while !matches!(archive.step(&writer.reader()).expect("the disk works"), Step::Rests) {}
            writer.set_archived(archive.through(&writer.reader()));
        }
        if let Some(span) = chain.last_mut() {
            span.last = writer.reader().last();
        }
    }
    Written { log: log.snapshot(), archive: disk.snapshot(), id, chain, crcs }
}

fn publish(writer: &mut Writer<FaultDisk>, n: u32, crcs: &mut BTreeMap<u64, u32>) {
    let (mut entries, first) = (Vec::new(), writer.next());
    for part in 0..3_u32 {
        let payload = format!("{} {}", first.0 + u64::from(part), "x".repeat((n * 37 % 400) as usize));
        let publication = Publication::new(ContentType::Text, payload.as_bytes());
        publication.write_frame(&mut entries, RouteNumber((n + part) % 6), Stamp::default());
    }
    for (seq, frame) in (first.0..).zip(frames(&entries).map_while(Result::ok)) {
        crcs.insert(seq, frame.crc);
    }
    let routes = if n == 0 { (0..6).map(|n| (RouteNumber(n), route(n))).collect() } else { Vec::new() };
    let batch = Batch { first, entries: Bytes::from(entries), count: 3, routes, ..Batch::default() };
    writer.stage(batch).expect("there is room: what is archived is recycled");
    writer.commit(now(u64::from(n))).expect("the disk works");
    while writer.prepare(now(u64::from(n))).expect("the disk works") {}
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0, 0, 0, 0, 0, 1],
        vec![0, 9, 0, 0, 6, 3, 1, 40, 1, 0, 3, 0],
        vec![2, 200, 3, 0, 4, 60, 3, 0, 0, 0, 7, 1],
        vec![1, 2, 0, 0, 7, 0, 2, 9, 2, 0, 5, 3],
        vec![0; 6],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undamaged_archive_has_what_the_log_let_go_of() {
        let written = written();
        let volumes = written.archive.keys().filter(|name| name.starts_with("volume")).count();
        let rooms = written.archive.keys().filter(|name| name.starts_with("rooms-")).count();
        assert!(volumes > 0 && rooms == 1, "{:?}", written.archive.keys());
    }
}
