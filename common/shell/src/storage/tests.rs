//! Workers over disks that fail.

use super::*;
use riser_log::{Config, Entropy, Holds, OnFull, fault::FaultDisk};
use riser_model::{HubIdentity, LogId, Now, PublicKey, RouteNumber, Stamp, Time};
use riser_wire::entry::{self, Kind};
use std::sync::mpsc;

fn route() -> Route {
    Route {
        room: RoomId(uuid::Uuid::from_u128(1)),
        channel: "a".parse().unwrap(),
        client: riser_model::ClientId(uuid::Uuid::from_u128(2)),
    }
}

/// A segment has three of them.
fn publish(writer: &mut Writer<FaultDisk>, count: u32) {
    for _ in 0..count {
        let mut entries = Vec::new();
        let publication = entry::Publication::new(entry::ContentType::Octets, &[7; 4000]);
        publication.write_frame(&mut entries, RouteNumber(0), Stamp::default());
        let (first, entries) = (writer.next(), entries.into());
        let routes = if first == Seq(1) { vec![(RouteNumber(0), route())] } else { Vec::new() };
        writer.stage(Batch { first, entries, count: 1, routes, ..Batch::default() }).unwrap();
        writer.commit(Now::default()).unwrap();
        writer.prepare(Now::default()).unwrap();
    }
}

/// A log with some sealed segments, an archive's disk, and what opens that.
fn archived() -> (Writer<FaultDisk>, FaultDisk, Open<FaultDisk>, BTreeMap<RoomId, Seq>) {
    let (disk, archive) = (FaultDisk::new(1), FaultDisk::new(2));
    let config = Config { on_full: OnFull::DropOldest, ..Config::tiny() };
    let opened = Writer::<_, ()>::open(disk, config, Entropy(1), Now::default());
    let (mut writer, recovered) = opened.unwrap();
    publish(&mut writer, 12);
    let (log, mut chain, on) = (recovered.log, recovered.chain, archive.clone());
    chain.iter_mut().for_each(|span| span.last = Seq(1 << 20));
    let open: Open<FaultDisk> = Box::new(move || {
        Archive::open(on.clone(), log, &chain, Seq(1), 1 << 30)
            .map(|(archive, found)| (archive, found.len() as u64))
    });
    (writer, archive, open, [(route().room, Seq::ZERO)].into())
}

/// What an archive said last that it has.
fn rooms_of(answers: &mpsc::Receiver<Answer>) -> BTreeMap<RoomId, Archived> {
    let rooms = |answer| match answer {
        Answer::Archived { rooms, .. } => Some(rooms),
        _ => None,
    };
    answers.try_iter().filter_map(rooms).last().unwrap()
}

#[test]
fn a_room_that_was_archived_no_more_while_the_folder_was_shut_begins_anew() {
    let (mut writer, disk, mut open, wanted) = archived();
    let (mut archive, _) = open().unwrap();
    archive.want(wanted.clone(), &writer.reader());
    for _ in 0..40 {
        while archive.step(&writer.reader()).unwrap() != riser_log::archive::Step::Rests {}
        writer.set_archived(archive.through(&writer.reader()));
        publish(&mut writer, 1);
    }
    let (begins, room) = (writer.reader().oldest(), route().room);
    assert!(begins > Seq(20) && archive.rooms()[&room].oldest == Seq(1));
    drop(archive);
    let image = disk.snapshot();
    // It is not archived for a time; or all that comes is where nothing of it is shown any more.
    for (between, oldest) in [(BTreeMap::new(), begins), ([(room, Seq(5))].into(), Seq(1))] {
        disk.restore(&image);
        let (said, answers) = mpsc::channel();
        let folder = ArchiveFolder { archive: None, open, wanted: wanted.clone() };
        let answer = move |answer| said.send(answer).unwrap();
        let mut archiving = Archiving::new(folder, Late::default(), writer.reader(), answer);
        disk.fail_call(disk.counts().calls + 1, riser_log::fault::Failure::Io);
        assert!(matches!(archiving.step(), archiving::Next::Wait(Some(_))));
        for rooms in [wanted.clone(), between, wanted.clone()] {
            assert!(archiving.take(archiving::Order::Rooms(rooms)));
        }
        while matches!(archiving.step(), archiving::Next::Step) {}
        assert_eq!(rooms_of(&answers)[&room].oldest, oldest);
        open = archiving.folder.open;
    }
}

#[test]
fn a_disk_that_stays_full_is_told_once() {
    let (mut writer, disk, mut open, wanted) = archived();
    let (mut archive, _) = open().unwrap();
    archive.want(wanted.clone(), &writer.reader());
    let (said, answers) = mpsc::channel();
    let folder = ArchiveFolder { archive: Some(archive), open, wanted };
    let answer = move |answer| said.send(answer).unwrap();
    let mut archiving = Archiving::new(folder, Late::default(), writer.reader(), answer);
    let (mut told, mut written) = (Vec::new(), 0);
    for _ in 0..8 {
        // There is space for what the log is about to let go of, and not for more.
        loop {
            disk.set_capacity(Some(disk.used() + (18 << 10)));
            if matches!(archiving.step(), archiving::Next::Wait(_)) {
                break;
            }
        }
        for answer in answers.try_iter() {
            let Answer::Archived { failing, status, .. } = answer else { continue };
            written = status.volumes;
            if told.last() != Some(&failing) {
                told.push(failing);
            }
        }
        writer.set_archived(archiving.through());
        publish(&mut writer, 3);
    }
    assert!(written > 4, "{written}");
    assert_eq!(told, [None, Some(Failing::DiskFull)]);
    disk.set_capacity(None);
    while matches!(archiving.step(), archiving::Next::Step) {}
    assert!(matches!(answers.try_iter().last(), Some(Answer::Archived { failing: None, .. })));
}

#[test]
fn a_folder_that_cannot_be_opened_is_tried_again_and_read_when_it_can_be() {
    let (writer, disk, open, wanted) = archived();
    let (said, answers) = mpsc::channel();
    let answer = move |answer| said.send(answer).unwrap();
    let late = Late::default();
    let folder = ArchiveFolder { archive: None, open, wanted };
    let mut archiving = Archiving::new(folder, Arc::clone(&late), writer.reader(), answer.clone());
    let next = disk.counts().calls;
    (1..=3).for_each(|call| disk.fail_call(next + call, riser_log::fault::Failure::Io));
    for _ in 0..3 {
        assert!(matches!(archiving.step(), archiving::Next::Wait(Some(_))));
        assert_eq!(archiving.through(), Some(Seq::ZERO), "the log holds all of it");
        let failing = |answer| matches!(answer, Answer::Archived { failing: Some(Failing::Disk), .. });
        assert!(answers.try_iter().all(failing) && late.lock().unwrap().is_none());
    }
    while matches!(archiving.step(), archiving::Next::Step) {}
    let all: Vec<Answer> = answers.try_iter().collect();
    assert!(matches!(all[0], Answer::ArchiveOpened { amiss: 0, .. }), "{all:?}");
    let Some(Answer::Archived { rooms, failing: None, .. }) = all.last() else { panic!("{all:?}") };
    assert_eq!(rooms.len(), 1);
    assert!(archiving.through().unwrap() > Seq::ZERO);
    // Who reads finds it.
    let mut reading = Reading::new(writer.reader(), None, late, Box::new(()), answer);
    reading.answer(&Asked::Count(Vec::new()));
    assert!(reading.archived.is_some());
}

#[test]
fn a_volume_that_cannot_be_read_for_half_a_minute_is_told_as_damage() {
    let (writer, disk, mut open, wanted) = archived();
    let (mut archive, _) = open().unwrap();
    archive.want(wanted, &writer.reader());
    while archive.step(&writer.reader()).unwrap() != riser_log::archive::Step::Rests {}
    let answer = |_| {};
    let archived = Some(archive.reader());
    let mut reading = Reading::new(writer.reader(), archived, Late::default(), Box::new(()), answer);
    let of = riser_model::Interest {
        rooms: [(route().room, Vec::new())].into(),
        grants: Arc::new(riser_model::Grants::new(Vec::new())),
        open: Default::default(),
    };
    let of = Arc::new(of);
    // How much is asked for at once says nothing.
    let bytes = std::cell::Cell::new(0);
    let reads = |from| {
        bytes.set(bytes.get() + 1);
        Read::Of { from: Seq(from), max_bytes: bytes.get(), of: of.clone() }
    };
    // Whether it could be read when the disk fails, at some second; what one volume has is seq 1 and 2.
    let fails = |reading: &mut Reading<FaultDisk, _>, from: u64, second: u64| {
        let next = disk.counts().calls;
        (1..20).for_each(|call| disk.fail_call(next + call, riser_log::fault::Failure::Full));
        let found = reading.archived.as_mut().unwrap().read_of(Seq(from), Seq(3), 1, &of);
        disk.calm();
        if let Err(error) = &found {
            reading.failed_at(error.at, &reads(from), Time(second * 1_000_000_000));
        }
        found.is_err()
    };
    // A disk may take long for each answer.
    for second in [100, 112, 124] {
        assert!(fails(&mut reading, 1, second), "{second}");
    }
    // It could be read in between: it waits anew. What others read there says nothing.
    reading.succeeded(&reads(1));
    for second in [125, 140, 154] {
        assert!(fails(&mut reading, 1, second), "{second}");
        reading.succeeded(&reads(2));
    }
    // Whoever read there is gone for long. Another one that fails minutes later has a trouble of its own.
    assert!(fails(&mut reading, 2, 1000) && fails(&mut reading, 1, 1300));
    for second in [1310, 1320, 1331] {
        assert!(fails(&mut reading, 1, second), "{second}");
        reading.succeeded(&reads(2));
    }
    assert!(!fails(&mut reading, 1, 1332), "then it is a gap");
    reading.wait_again(Time(1900 * 1_000_000_000));
    assert!(!fails(&mut reading, 1, 1900));
    reading.wait_again(Time(1932 * 1_000_000_000));
    assert!(fails(&mut reading, 1, 1932), "it is waited for again");
}

#[test]
fn every_batch_of_a_failed_commit_is_answered() {
    let disk = FaultDisk::new(1);
    let opened = Writer::<_, ()>::open(disk.clone(), Config::tiny(), Entropy(1), Now::default());
    let writer = opened.unwrap().0;
    let (said, answers) = mpsc::channel();
    let mut committing = Committing::new(writer, move |answer| said.send(answer).unwrap());
    (1..10).for_each(|n| disk.fail_sync(disk.counts().syncs + n));
    let hub = CursorKey::Uplink(HubIdentity { key: PublicKey([0; 32]), log: LogId(1) });
    let alone =
        Batch { first: Seq(1), cursors: vec![(hub, Some(CursorValue::default()))], ..Batch::default() };
    let mut entries = Vec::new();
    entry::write_frame(&mut entries, RouteNumber::NONE, Kind::Canary, 0, Stamp::default(), |_| {});
    let entry = Batch { first: Seq(1), entries: entries.into(), count: 1, ..Batch::default() };
    for (ticket, batch) in [(1, alone), (2, entry)] {
        committing.take(Order::Persist { ticket, batch, connections: 1 });
    }
    committing.commit();
    let failed = |answer| match answer {
        Answer::Failed { ticket, .. } => ticket,
        answer => panic!("{answer:?}"),
    };
    assert_eq!(answers.try_iter().map(failed).collect::<Vec<_>>(), [1, 2]);
}

type Said = Box<dyn Fn(Answer)>;

/// A log that has taken as much as fits, and more: what nobody has confirmed goes. What is stored next, and what it answers.
fn full(disk: &FaultDisk) -> (Committing<FaultDisk, (), Said>, Seq, mpsc::Receiver<Answer>) {
    let holds = Holds { custodians: 1, ..Holds::default() };
    let config = Config { on_full: OnFull::DropOldest, holds, ..Config::tiny() };
    let (mut writer, _) = Writer::open(disk.clone(), config, Entropy(1), Now::default()).unwrap();
    publish(&mut writer, 40);
    let (next, (said, answers)) = (writer.next(), mpsc::channel());
    (Committing::new(writer, Box::new(move |answer| said.send(answer).unwrap())), next, answers)
}

/// One publication, to be stored as that.
fn one(first: Seq) -> Order {
    let mut entries = Vec::new();
    let publication = entry::Publication::new(entry::ContentType::Octets, &[7; 4000]);
    publication.write_frame(&mut entries, RouteNumber(0), Stamp::default());
    let batch = Batch { first, entries: entries.into(), count: 1, ..Batch::default() };
    Order::Persist { ticket: first.0, batch, connections: 1 }
}

/// What says that the oldest goes is written while nobody waits for a commit.
#[test]
fn a_log_whose_writes_failed_between_commits_is_tried_again_and_takes_what_comes() {
    let disk = FaultDisk::new(1);
    let (mut committing, mut next, answers) = full(&disk);
    let rests = |committing: &mut Committing<_, _, _>| while let Pause::None = committing.pause() {};
    for _ in 0..6 {
        let syncs = disk.counts().syncs;
        (1..=20).for_each(|n| disk.fail_sync(syncs + n));
        rests(&mut committing);
        disk.calm();
        committing.take(one(next));
        committing.commit();
        // Whoever waits for a second try waits a second for it.
        for _ in 0..3 {
            rests(&mut committing);
            committing.work();
        }
        next = if answers.try_iter().any(|answer| matches!(answer, Answer::Persisted { .. })) {
            next.next()
        } else {
            next
        };
    }
    committing.take(one(next));
    committing.commit();
    let last: Vec<Answer> = answers.try_iter().collect();
    assert!(last.iter().any(|answer| matches!(answer, Answer::Persisted { .. })), "{last:?}");
}

/// What says that the oldest goes is written before what needs its room is staged.
#[test]
fn a_log_whose_writes_failed_before_a_commit_is_tried_again_and_takes_what_comes() {
    let disk = FaultDisk::new(1);
    let (mut committing, mut next, answers) = full(&disk);
    let mut refused = 0;
    for _ in 0..40 {
        let syncs = disk.counts().syncs;
        (1..=20).for_each(|n| disk.fail_sync(syncs + n));
        committing.take(one(next));
        disk.calm();
        committing.commit();
        if answers.try_iter().any(|answer| matches!(answer, Answer::Persisted { .. })) {
            next = next.next();
        } else {
            refused += 1;
            committing.work();
        }
    }
    assert!(
        (1..20).contains(&refused),
        "{refused} of 40: each time the disk failed, and once more to hear of it"
    );
}
