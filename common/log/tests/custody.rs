//! What an uplink has confirmed makes room, and what it has not stays (rule 6.9).
#![allow(clippy::unwrap_used, reason = "tests")]

use riser_log::{Committed, Config, Entropy, Holds, OnFull, Refused, Writer, fault::FaultDisk};
use riser_model::{
    Batch, Cause, CursorKey, CursorMove, CursorValue, HubIdentity, LogId, Now, PublicKey, RouteNumber, Run,
    Seq, Stamp,
};
use riser_wire::entry::{self, Kind};

const UPLINK: CursorKey = CursorKey::Uplink(HubIdentity { key: PublicKey([1; 32]), log: LogId(1) });

fn open() -> Writer<FaultDisk> {
    open_for(1, OnFull::Reject)
}

fn open_for(custodians: usize, on_full: OnFull) -> Writer<FaultDisk> {
    let holds = Holds { custodians, ..Holds::default() };
    let config = Config { holds, on_full, ..Config::tiny() };
    let (writer, _) = Writer::open(FaultDisk::new(1), config, Entropy(1), Now::default()).unwrap();
    writer
}

/// Commits one entry of a KiB, with what was confirmed.
fn append(writer: &mut Writer<FaultDisk>, cursors: Vec<CursorMove>) -> Result<Committed, Refused> {
    let mut entries = Vec::new();
    entry::write_frame(&mut entries, RouteNumber::NONE, Kind::Canary, 0, Stamp::default(), |out| {
        out.extend([7; 1024]);
    });
    let batch =
        Batch { first: writer.next(), entries: entries.into(), count: 1, cursors, ..Batch::default() };
    writer.stage(batch)?;
    Ok(writer.commit(Now::default()).unwrap())
}

/// Appends until the log is full, or as many entries as three logs have room for. How many fit.
fn fill(writer: &mut Writer<FaultDisk>, mut confirm: impl FnMut(Seq) -> Vec<CursorMove>) -> u64 {
    let most = 3 * Config::tiny().quota_bytes / 1024;
    for n in 0..most {
        let cursors = confirm(writer.next().prev());
        match append(writer, cursors) {
            Ok(_) => {}
            Err(Refused::Quota { .. }) => return n,
            Err(refused) => panic!("{refused}"),
        }
    }
    most
}

#[test]
fn what_an_uplink_confirmed_makes_room_for_ever() {
    let confirmed = |through| vec![(UPLINK, Some(CursorValue { through, ..CursorValue::default() }))];
    assert_eq!(fill(&mut open(), confirmed), 3 * Config::tiny().quota_bytes / 1024);
}

#[test]
fn a_full_log_takes_new_work_when_a_refused_batch_says_what_was_confirmed() {
    let mut writer = open();
    fill(&mut writer, |_| Vec::new());
    let confirmed = |through| vec![(UPLINK, Some(CursorValue { through, ..CursorValue::default() }))];
    // The first one may only make the room that the next one finds.
    fill(&mut writer, confirmed);
    assert_eq!(fill(&mut writer, confirmed), 3 * Config::tiny().quota_bytes / 1024);
}

/// Nobody says it again: whoever confirmed it has confirmed everything.
#[test]
fn what_was_confirmed_makes_room_though_the_commit_that_brought_it_failed() {
    let disk = FaultDisk::new(1);
    let config = Config { holds: Holds { custodians: 1, ..Holds::default() }, ..Config::tiny() };
    let (mut writer, _) = Writer::open(disk.clone(), config, Entropy(1), Now::default()).unwrap();
    fill(&mut writer, |_| Vec::new());
    let through = writer.next().prev();
    let cursors = vec![(UPLINK, Some(CursorValue { through, ..CursorValue::default() }))];
    writer.stage(Batch { first: writer.next(), cursors, ..Batch::default() }).unwrap();
    // In the segment at hand, and in the next one.
    (1..=2).for_each(|n| disk.fail_sync(disk.counts().syncs + n));
    writer.commit(Now::default()).unwrap_err();
    writer.retry(Now::default()).unwrap();
    let most = Config::tiny().quota_bytes / 1024 / 4;
    let fitted = (0..most).take_while(|_| append(&mut writer, Vec::new()).is_ok()).count() as u64;
    assert_eq!(fitted, most, "all that was there is confirmed");
}

/// The hub's disk was replaced: the same key, another log, and the cursor of the former log never moves again.
#[test]
fn the_former_log_of_a_hub_holds_nothing() {
    let replaced = CursorKey::Uplink(HubIdentity { key: PublicKey([1; 32]), log: LogId(2) });
    let mut writer = open();
    fill(&mut writer, |_| Vec::new());
    let at = |key, through| vec![(key, Some(CursorValue { through, ..CursorValue::default() }))];
    fill(&mut writer, |_| at(UPLINK, Seq(5)));
    fill(&mut writer, |through| at(replaced, through));
    let most = 3 * Config::tiny().quota_bytes / 1024;
    assert_eq!(fill(&mut writer, |through| at(replaced, through)), most);
}

/// The new log has nothing yet: what the former one confirmed is its due.
#[test]
fn another_log_of_a_hub_is_due_everything() {
    let replaced = CursorKey::Uplink(HubIdentity { key: PublicKey([1; 32]), log: LogId(2) });
    let mut writer = open();
    let at = |key, through| vec![(key, Some(CursorValue { through, ..CursorValue::default() }))];
    let fitted =
        fill(
            &mut writer,
            |through| {
                if through < Seq(20) { at(UPLINK, through) } else { at(replaced, Seq::ZERO) }
            },
        );
    assert!(fitted < Config::tiny().quota_bytes / 1024, "{fitted}");
    assert!(matches!(writer.reader().read(Seq(1), 10).unwrap().runs[0], Run::Entries { .. }));
}

#[test]
fn until_an_uplink_has_met_its_hub_nothing_goes() {
    let mut writer = open();
    let fitted = fill(&mut writer, |_| Vec::new());
    assert!(fitted < Config::tiny().quota_bytes / 1024);
    let mut reader = writer.reader();
    assert!(reader.read(Seq(1), 10).unwrap().next > Seq(1));
}

const DEAD: CursorKey = CursorKey::Uplink(HubIdentity { key: PublicKey([2; 32]), log: LogId(2) });

/// One hub has everything up to there, the other was met once and had five.
fn one_dead(through: Seq) -> Vec<CursorMove> {
    let at = |through| Some(CursorValue { through, ..CursorValue::default() });
    vec![(UPLINK, at(through)), (DEAD, at(through.min(Seq(5))))]
}

#[test]
fn of_two_uplinks_the_dead_one_keeps_what_it_is_due_until_it_comes_back() {
    let mut writer = open_for(2, OnFull::Reject);
    let fitted = fill(&mut writer, one_dead);
    assert!(fitted < Config::tiny().quota_bytes / 1024, "{fitted}");
    let Run::Entries { first, .. } = writer.reader().read(Seq(6), 10).unwrap().runs[0] else {
        panic!("what it is due is there")
    };
    assert_eq!(first, Seq(6));
    let both = |through| {
        let value = Some(CursorValue { through, ..CursorValue::default() });
        vec![(UPLINK, value), (DEAD, value)]
    };
    fill(&mut writer, both);
    assert_eq!(fill(&mut writer, both), 3 * Config::tiny().quota_bytes / 1024);
}

#[test]
fn of_two_uplinks_of_a_ring_the_dead_one_loses_what_is_said_and_the_other_nothing() {
    let mut writer = open_for(2, OnFull::DropOldest);
    let mut lost = Vec::new();
    for _ in 0..3 * Config::tiny().quota_bytes / 1024 {
        let through = writer.next().prev();
        lost.extend(append(&mut writer, one_dead(through)).unwrap().gaps);
    }
    let mut next = Seq(6);
    for record in &lost {
        assert_eq!((record.gap.cause, record.gap.from), (Cause::Quota, next), "all of it, in order");
        next = record.gap.to.next();
    }
    assert_eq!(next, writer.reader().oldest());
    assert!(next > Seq(100), "{next}");
}
