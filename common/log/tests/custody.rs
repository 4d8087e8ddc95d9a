//! What an uplink has confirmed makes room, and what it has not stays (rule 6.9).
#![allow(clippy::unwrap_used, reason = "tests")]

use riser_log::{Config, Entropy, Holds, Refused, Writer, fault::FaultDisk};
use riser_model::{
    Batch, CursorKey, CursorMove, CursorValue, HubIdentity, LogId, Now, PublicKey, RouteNumber, Run, Seq,
    Stamp,
};
use riser_wire::entry::{self, Kind};

const UPLINK: CursorKey = CursorKey::Uplink(HubIdentity { key: PublicKey([1; 32]), log: LogId(1) });

fn open() -> Writer<FaultDisk> {
    let holds = Holds { custodians: 1, views: None, ..Holds::default() };
    let config = Config { holds, ..Config::tiny() };
    let (writer, _) = Writer::open(FaultDisk::new(1), config, Entropy(1), Now::default()).unwrap();
    writer
}

/// Appends until the log is full, or as many entries as three logs have room for. How many fit.
fn fill(writer: &mut Writer<FaultDisk>, mut confirm: impl FnMut(Seq) -> Vec<CursorMove>) -> u64 {
    let most = 3 * Config::tiny().quota_bytes / 1024;
    for n in 0..most {
        let mut entries = Vec::new();
        entry::write_frame(&mut entries, RouteNumber::NONE, Kind::Canary, 0, Stamp::default(), |out| {
            out.extend([7; 1024]);
        });
        let first = writer.next();
        let cursors = confirm(first.prev());
        let batch = Batch { first, entries: entries.into(), count: 1, cursors, ..Batch::default() };
        match writer.stage(batch) {
            Ok(()) => {}
            Err(Refused::Quota { .. }) => return n,
            Err(refused) => panic!("{refused}"),
        }
        writer.commit(Now::default()).unwrap();
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
