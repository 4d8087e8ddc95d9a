//! Workers over disks that fail.

use super::*;
use riser_log::{Config, Entropy, fault::FaultDisk};
use riser_model::{HubIdentity, LogId, Now, PublicKey, RouteNumber, Stamp, Time};
use riser_wire::entry::{self, Kind};
use std::sync::mpsc;

/// A log with some sealed segments, an archive's disk, and what opens that.
fn archived() -> (Writer<FaultDisk>, FaultDisk, Open<FaultDisk>, BTreeMap<RoomId, Seq>) {
    let (disk, archive) = (FaultDisk::new(1), FaultDisk::new(2));
    let opened = Writer::<_, ()>::open(disk, Config::tiny(), Entropy(1), Now::default());
    let (mut writer, recovered) = opened.unwrap();
    let route = Route {
        room: RoomId(uuid::Uuid::from_u128(1)),
        channel: "a".parse().unwrap(),
        client: riser_model::ClientId(uuid::Uuid::from_u128(2)),
    };
    for n in 0..12 {
        let mut entries = Vec::new();
        let publication = entry::Publication::new(entry::ContentType::Octets, &[7; 4000]);
        publication.write_frame(&mut entries, RouteNumber(0), Stamp::default());
        let routes = if n == 0 { vec![(RouteNumber(0), route.clone())] } else { Vec::new() };
        let (first, entries) = (writer.next(), entries.into());
        writer.stage(Batch { first, entries, count: 1, routes, ..Batch::default() }).unwrap();
        writer.commit(Now::default()).unwrap();
        writer.prepare(Now::default()).unwrap();
    }
    let (log, chain, on) = (recovered.log, recovered.chain, archive.clone());
    let open: Open<FaultDisk> = Box::new(move || {
        Archive::open(on.clone(), log, &chain, Seq(1), 1 << 30)
            .map(|(archive, found)| (archive, found.len() as u64))
    });
    (writer, archive, open, [(route.room, Seq::ZERO)].into())
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
    let read = |fails_at: u64, reading: &mut Reading<FaultDisk, _>| {
        let next = disk.counts().calls;
        (1..20).for_each(|call| disk.fail_call(next + call, riser_log::fault::Failure::Full));
        let of = riser_model::Interest {
            rooms: [(RoomId(uuid::Uuid::from_u128(1)), Vec::new())].into(),
            grants: Arc::new(riser_model::Grants::new(Vec::new())),
            open: Default::default(),
        };
        let found = reading.archived.as_mut().unwrap().read_of(Seq(1), Seq(2), 1, &of);
        disk.calm();
        if let Err(error) = &found {
            reading.failed_at(error.at, Time(fails_at * 1_000_000_000));
        }
        found.is_ok()
    };
    // It could be read in between: it waits anew.
    assert!(!read(100, &mut reading) && !read(105, &mut reading) && !read(140, &mut reading));
    for second in 141..170 {
        assert!(!read(second, &mut reading), "{second}");
    }
    assert!(!read(170, &mut reading));
    assert!(read(171, &mut reading), "then it is a gap");
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
