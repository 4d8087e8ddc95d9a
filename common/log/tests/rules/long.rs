//! What a log costs that holds much: at the start, and for who wants little of it (rule 6.6).

use crate::support::{Digest, frame, now, route};
use riser_log::{Config, Entropy, Writer, fault::FaultDisk};
use riser_model::{Batch, Grants, Interest, Read, RouteNumber, Run, Selection, Seq};
use riser_wire::entry::frames;
use std::sync::Arc;

const SEGMENT: u64 = 4 << 20;
const PAYLOAD: usize = 16 << 10;
/// Of so many entries one is in the quiet channel: there are segments without any.
const QUIET_EVERY: u64 = 300;

fn config() -> Config {
    Config { segment_bytes: SEGMENT, quota_bytes: 32 * SEGMENT, ..Config::tiny() }
}

/// A log of so many full segments and the beginning of another one.
fn long(segments: u64) -> FaultDisk {
    let disk = FaultDisk::new(1);
    let opened = Writer::<_, Digest>::open(disk.clone(), config(), Entropy(1), now(1));
    let mut log = opened.unwrap().0;
    let (first_segment, payload) = (log.segment(), vec![7; PAYLOAD]);
    while log.segment().zip(first_segment).is_none_or(|(now, first)| now < first + segments) {
        let (first, mut entries) = (log.next(), Vec::new());
        let number = if first.0 % QUIET_EVERY == 1 { 2 } else { 1 };
        frame(&mut entries, number, &payload);
        let routes =
            if first == Seq(1) { [1, 2].map(|n| (RouteNumber(n), route(n))).into() } else { Vec::new() };
        log.stage(Batch { first, entries: entries.into(), count: 1, routes, ..Batch::default() }).unwrap();
        log.commit(now(1)).unwrap();
        while log.prepare(now(1)).unwrap() {}
    }
    disk
}

/// Opens it; how many bytes that read.
fn opened(disk: &FaultDisk) -> (Writer<FaultDisk, Digest>, u64) {
    let before = disk.counts().bytes_read;
    let (log, found) = Writer::open(disk.clone(), config(), Entropy(2), now(2)).unwrap();
    assert_eq!((found.findings, found.oldest), (vec![], Seq(1)));
    (log, disk.counts().bytes_read - before)
}

#[test]
fn a_long_log_opens_by_its_last_segment_and_a_few_kib_of_each_other() {
    let (short, long) = (opened(&long(3)).1, opened(&long(18)).1);
    assert!(long <= short + 15 * (8 << 10), "{short} bytes of 3 segments, {long} of 18");
}

#[test]
fn a_quiet_channel_of_a_long_log_is_replayed_without_reading_what_does_not_concern_it() {
    let disk = long(18);
    let (log, _) = opened(&disk);
    let quiet = route(2);
    let one = Selection { channels: quiet.channel.clone().into(), since: None };
    let of = Arc::new(Interest {
        rooms: [(quiet.room, vec![one])].into(),
        open: [quiet.room].into(),
        grants: Arc::new(Grants::new(Vec::new())),
    });
    let (mut reader, before) = (log.reader(), disk.counts().bytes_read);
    let (mut at, mut found) = (Seq(1), 0);
    while at < log.next() {
        let read = Read::Of { from: at, max_bytes: 64 << 10, of: of.clone() };
        let part = reader.perform(&read, &mut ()).unwrap();
        assert!(part.chunk.next > at, "it goes on");
        at = part.chunk.next;
        for run in &part.chunk.runs {
            let Run::Entries { entries, .. } = run else { panic!("{run:?}") };
            found +=
                frames(entries).map(Result::unwrap).filter(|frame| frame.route == RouteNumber(2)).count();
        }
    }
    let (read, whole) = (disk.counts().bytes_read - before, 18 * SEGMENT);
    assert_eq!(found as u64, log.next().prev().0.div_ceil(QUIET_EVERY));
    assert!(found > 5 && read < whole / 16, "{read} bytes of {whole} for {found} entries");
}
