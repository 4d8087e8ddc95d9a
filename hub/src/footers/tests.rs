//! The history index beside the footers that it stands for, whatever befalls its files.

use super::*;
use riser_log::{Config, Entropy, OnFull, Reader, Writer, fault::FaultDisk};
use riser_model::{
    Batch, ChannelName, ClientId, Grants, Now, Read, Right, Route, RouteNumber, Selected, Selection, Stamp,
    principal::Rule,
};
use riser_wire::entry::{ContentType, Publication};
use std::sync::Arc;
use uuid::Uuid;

const ROOM: RoomId = RoomId(Uuid::from_u128(7));

fn route(n: u32) -> Route {
    let channel: ChannelName = format!("c/{n}").parse().unwrap();
    Route { room: ROOM, channel, client: ClientId(Uuid::from_u128(1)) }
}

/// A log of several small segments with twenty channels, of which `c/19` is quiet.
fn log() -> (Writer<FaultDisk>, Reader<FaultDisk>) {
    let config = Config { quota_bytes: 512 << 10, on_full: OnFull::DropOldest, ..Config::tiny() };
    let (mut writer, _) =
        Writer::<_, ()>::open(FaultDisk::new(1), config, Entropy(1), Now::default()).unwrap();
    for round in 0..90 {
        let mut entries = Vec::new();
        for n in 0..20 {
            let n = if n == 19 && round % 40 != 3 { 0 } else { n };
            let payload = [n as u8; 60];
            let publication = Publication::new(ContentType::Octets, &payload);
            publication.write_frame(&mut entries, RouteNumber(n), Stamp::default());
        }
        let routes = (0..20).map(|n| (RouteNumber(n), route(n))).collect();
        let batch =
            Batch { first: writer.next(), entries: entries.into(), count: 20, routes, ..Batch::default() };
        writer.stage(batch).unwrap();
        writer.commit(Now::default()).unwrap();
        while writer.prepare(Now::default()).unwrap() {}
    }
    let reader = writer.reader();
    (writer, reader)
}

fn interest(channels: &str) -> Arc<Interest> {
    let rule = Rule { room: None, channels: "#".parse().unwrap(), right: Right::Subscribe, deny: false };
    let selection = Selection { channels: channels.parse().unwrap(), since: None };
    Arc::new(Interest {
        rooms: [(ROOM, vec![selection])].into(),
        grants: Arc::new(Grants::new(vec![rule])),
        open: Default::default(),
    })
}

/// What is read from the log's beginning to its end.
fn replay(reader: &Reader<FaultDisk>, index: &mut dyn Index, channels: &str) -> Vec<Selected> {
    let (mut reader, mut all, mut from) = (reader.clone(), Vec::new(), Seq(1));
    loop {
        let found =
            reader.perform(&Read::Of { from, max_bytes: 4096, of: interest(channels) }, index).unwrap();
        if found.chunk.next == from {
            return all;
        }
        from = found.chunk.next;
        all.push(found);
    }
}

#[test]
fn index_answers_as_the_footers_do_and_is_filled_while_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (_writer, reader) = log();
    let mut footers = Footers::open(&dir.path().join("history"));
    let mut taught = 0;
    while reader.clone().teach(&mut footers).unwrap() {
        taught += 1;
    }
    assert!(taught > 5, "{taught} segments");
    for channels in ["c/19", "c/3", "c/+", "#", "none"] {
        assert_eq!(replay(&reader, &mut footers, channels), replay(&reader, &mut (), channels), "{channels}");
    }
    drop(footers);
    let mut again = Footers::open(&dir.path().join("history"));
    assert!(!reader.clone().teach(&mut again).unwrap(), "it remembers");
    assert_eq!(replay(&reader, &mut again, "c/19"), replay(&reader, &mut (), "c/19"));
}

#[test]
fn what_the_log_let_go_of_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (_writer, reader) = log();
    let mut footers = Footers::open(&dir.path().join("history"));
    while reader.clone().teach(&mut footers).unwrap() {}
    let rows = |footers: &Footers| footers.db.as_ref().unwrap().len();
    assert!(rows(&footers) > 100);
    footers.forget_before(Seq(u64::MAX));
    assert_eq!(rows(&footers), 0);
}

#[test]
fn an_index_that_is_bad_is_moved_aside_and_the_new_one_fills_while_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history");
    let (_writer, reader) = log();
    let mut footers = Footers::open(&path);
    while reader.clone().teach(&mut footers).unwrap() {}
    let rows = |footers: &Footers| footers.db.as_ref().unwrap().len();
    let all = rows(&footers);
    drop(footers);
    for file in ["conf", "db"] {
        fs::write(path.join(file), [0xa5; 100_000]).unwrap();
    }
    let mut footers = Footers::open(&path);
    assert!(path.with_extension("bad").join("db").exists(), "the bad one is kept for who wants to look");
    assert_eq!(rows(&footers), 0);
    while reader.clone().teach(&mut footers).unwrap() {}
    assert_eq!(rows(&footers), all);
    assert_eq!(replay(&reader, &mut footers, "c/19"), replay(&reader, &mut (), "c/19"));
    // Another one that is bad takes its place.
    drop(footers);
    fs::write(path.join("conf"), b"no database").unwrap();
    let footers = Footers::open(&path);
    assert_eq!((rows(&footers), path.with_extension("bad").exists()), (0, true));
}

#[test]
fn any_flipped_bit_is_survived_and_answers_nothing_wrong() {
    let (_writer, reader) = log();
    let right = replay(&reader, &mut (), "c/19");
    let mut rng = fastrand::Rng::with_seed(11);
    for round in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let mut footers = Footers::open(&path);
        while reader.clone().teach(&mut footers).unwrap() {}
        drop(footers);
        let file = path.join(if round % 4 == 0 { "conf" } else { "db" });
        let mut bytes = fs::read(&file).unwrap();
        // The database begins with its rows; what follows is zeros.
        let at = rng.usize(..bytes.len().min(if round % 2 == 0 { 4096 } else { 200_000 }));
        bytes[at] ^= 1 << rng.u8(..8);
        fs::write(&file, bytes).unwrap();
        let mut footers = Footers::open(&path);
        assert_eq!(replay(&reader, &mut footers, "c/19"), right, "bit {at} of {file:?}");
    }
}

#[test]
fn row_that_is_not_whole_is_not_used() {
    let row = save(&7u64);
    assert_eq!(load::<u64>(&row), Some(7));
    for at in 0..row.len() {
        let mut bad = row.clone();
        bad[at] ^= 1;
        assert_eq!(load::<u64>(&bad), None);
        assert_eq!(load::<u64>(&row[..at]), None);
    }
}
