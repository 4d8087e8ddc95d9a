//! A log on a medium on which somebody has written. It opens or says why not; what can be read afterwards is what was
//! written, or is missing with a cause; and it takes more.
//!
//! Input: changes of 6 bytes each: which file, where in it (3 bytes), how, and a byte.

use bytes::Bytes;
use riser_log::{
    Config, Entropy, Writer,
    fault::{FaultDisk, Image},
};
use riser_model::{
    Batch, ClientId, CursorKey, CursorValue, HubIdentity, LogId, Now, PublicKey, RoomId, Route, RouteNumber,
    Run, Seq, Stamp, Time, Wall,
};
use riser_wire::entry::{ContentType, Publication, frames};
use std::{collections::BTreeMap, sync::OnceLock};
use uuid::Uuid;

/// A log as it was left, and the checksum of what lies at each seq.
struct Written {
    image: Image,
    crcs: BTreeMap<u64, u32>,
}

pub fn run(input: &[u8]) {
    static WRITTEN: OnceLock<Written> = OnceLock::new();
    let written = WRITTEN.get_or_init(written);
    let mut image = written.image.clone();
    for change in input.chunks_exact(6).take(16) {
        apply(&mut image, change);
    }
    let disk = FaultDisk::new(1);
    disk.restore(&image);
    let Ok((mut writer, _)) = Writer::<_, ()>::open(disk, Config::tiny(), Entropy(2), now(1_000)) else {
        return;
    };
    let last = writer.next();
    let (mut at, mut reader) = (reader_start(&writer), writer.reader());
    while at < last {
        let Ok(chunk) = reader.read(at, 1 << 16) else { break };
        for run in &chunk.runs {
            let Run::Entries { first, entries, .. } = run else { continue };
            let mut seq = *first;
            for frame in frames(entries).map_while(Result::ok) {
                if let Some(crc) = written.crcs.get(&seq.0) {
                    assert!(
                        frame.crc == *crc || !frame.intact(),
                        "{} is another entry than was written",
                        seq.0
                    );
                }
                seq = seq.next();
            }
        }
        assert!(chunk.next > at, "a reader gets on");
        at = chunk.next;
    }
    if writer.stage(batch(last, 1, true)).is_ok() {
        // A medium may be full; then it says so.
        let _ = writer.commit(now(2_000));
    }
}

fn reader_start(writer: &Writer<FaultDisk>) -> Seq {
    writer.reader().oldest()
}

fn apply(image: &mut Image, change: &[u8]) {
    let [file, a, b, c, how, byte] = *change else { return };
    let names: Vec<String> = image.keys().cloned().collect();
    let Some(name) = names.get(usize::from(file) % names.len().max(1)) else { return };
    let Some(bytes) = image.get_mut(name) else { return };
    let at = usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(0) % bytes.len().max(1);
    match how % 8 {
        0..=3 => {
            if let Some(place) = bytes.get_mut(at) {
                *place ^= byte;
            }
        }
        4 => bytes.truncate(at),
        5 => {
            let end = (at + usize::from(byte)).min(bytes.len());
            if let Some(range) = bytes.get_mut(at..end) {
                range.fill(0);
            }
        }
        6 => {
            let from = usize::from(byte) * 512 % bytes.len().max(1);
            let length = 512.min(bytes.len() - at).min(bytes.len() - from);
            bytes.copy_within(from..from + length, at);
        }
        _ => drop(image.remove(name)),
    }
}

fn now(ms: u64) -> Now {
    Now { time: Time(ms * 1_000_000), wall: Wall(1_700_000_000_000 + ms as i64) }
}

fn batch(first: Seq, count: u32, defines: bool) -> Batch {
    let mut entries = Vec::new();
    for n in 0..count {
        let payload = format!("{} {}", first.0 + u64::from(n), "x".repeat(first.0 as usize * 37 % 700));
        let publication = Publication::new(ContentType::Text, payload.as_bytes());
        publication.write_frame(&mut entries, RouteNumber(0), Stamp::default());
    }
    let route = Route {
        room: RoomId(Uuid::from_u128(1)),
        channel: "a/b".parse().expect("letters are a channel"),
        client: ClientId(Uuid::from_u128(2)),
    };
    let uplink = CursorKey::Uplink(HubIdentity { key: PublicKey([9; 32]), log: LogId(4) });
    let through = Seq(first.0.saturating_sub(5));
    Batch {
        first,
        entries: Bytes::from(entries),
        count,
        routes: if defines { vec![(RouteNumber(0), route)] } else { Vec::new() },
        cursors: vec![(uplink, Some(CursorValue { through, ..CursorValue::default() }))],
        ..Batch::default()
    }
}

fn written() -> Written {
    let disk = FaultDisk::new(7);
    let opened = Writer::<_, ()>::open(disk.clone(), Config::tiny(), Entropy(1), now(0));
    let mut writer = opened.expect("an empty disk is a new log").0;
    let mut crcs = BTreeMap::new();
    for n in 0..60 {
        let batch = batch(writer.next(), n % 4 + 1, n == 0);
        for (seq, frame) in (batch.first.0..).zip(frames(&batch.entries).map_while(Result::ok)) {
            crcs.insert(seq, frame.crc);
        }
        writer.stage(batch).expect("there is room: what was confirmed is recycled");
        writer.commit(now(u64::from(n))).expect("the disk works");
        while writer.prepare(now(u64::from(n))).expect("the disk works") {}
    }
    Written { image: disk.snapshot(), crcs }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0, 0, 0, 0, 0, 1],
        vec![1, 8, 2, 0, 4, 0, 0, 104, 0, 0, 1, 255],
        vec![2, 0, 4, 0, 6, 3],
        vec![0; 6],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undamaged_log_is_read_to_its_end() {
        let written = written();
        let disk = FaultDisk::new(1);
        disk.restore(&written.image);
        let opened = Writer::<_, ()>::open(disk, Config::tiny(), Entropy(2), now(1_000));
        let writer = opened.expect("it is whole").0;
        let oldest = writer.reader().oldest();
        let chunk = writer.reader().read(oldest, 1 << 20).expect("it can be read");
        assert!(written.crcs.contains_key(&oldest.0) && chunk.next.0 - oldest.0 > 30, "{oldest:?} {chunk:?}");
    }
}
