//! Logs and archives that went back, were lost, or are another's.

use crate::world::*;

#[test]
fn a_log_that_went_back_does_not_know_what_the_archive_has_of_its_lost_future() {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(60);
    let (image, acked) = (world.log.snapshot(), world.acked.clone());
    world.run(60);
    world.log.restore(&image);
    world.acked = acked;
    // What came of the lost future is not matched by its number.
    world.tried = world.acked.iter().map(|(seq, entry)| (*seq, [entry.clone()].into())).collect();
    assert!(world.open());
    let aside = |finding: &ArchiveFinding| matches!(finding, ArchiveFinding::SetAside { .. });
    assert!(world.findings.iter().any(aside), "{:?}", world.findings);
    world.run(60);
    world.check();
    assert!(world.open());
    assert_eq!(world.findings, []);
    world.check();
}

#[test]
fn an_archive_that_went_back_is_a_gap_from_there_to_what_the_log_has() {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(60);
    let image = world.disk.snapshot();
    world.run(150);
    world.disk.restore(&image);
    assert!(world.open());
    world.archive();
    let (found, gaps) = world.replay(1, &[0, 1]);
    assert_eq!((gaps.len(), gaps[0].cause), (1, Cause::HubQuota));
    let mut expected = world.expected(1, &[0, 1]);
    expected.retain(|seq, _| !(gaps[0].from.0..=gaps[0].to.0).contains(seq));
    assert_eq!(found, expected);
}

#[test]
fn a_log_that_went_back_before_a_room_was_archived_anew_shows_it_from_where_the_log_begins() {
    let mut world = World::new(&[1]);
    assert!(world.open());
    world.run(60);
    let (image, oldest) = (world.log.snapshot(), world.oldest());
    world.run(80);
    not_for_a_time(&mut world);
    world.archive();
    world.log.restore(&image);
    assert!(world.open());
    world.run(60);
    assert_eq!(begins(&world, 1), Some(oldest));
}

#[test]
fn what_a_log_that_was_lost_has_archived_is_set_aside_and_never_deleted() {
    let mut world = filled();
    let volumes = world.volumes();
    // The folder of the log is not there any more, and another one begins.
    world.log = FaultDisk::new(3);
    (world.acked, world.tried) = Default::default();
    assert!(world.open());
    assert_eq!((world.volumes(), world.findings.len()), (vec![], volumes.len()));
    world.run(120);
    world.check();
    let files = world.disk.snapshot();
    assert!(volumes.iter().all(|volume| files.contains_key(&format!("aside-0-{volume}"))), "{files:?}");
    let status = world.archive.as_ref().unwrap().status();
    let volumes = files.iter().filter(|(file, _)| !file.starts_with("rooms-"));
    let used: usize = volumes.map(|(_, bytes)| bytes.len()).sum();
    assert!(status.aside > 0 && status.bytes + status.aside == used as u64);
}

#[test]
fn what_was_set_aside_costs_nothing_that_can_be_read() {
    let mut world = filled();
    world.log = FaultDisk::new(3);
    (world.acked, world.tried) = Default::default();
    world.quota = world.disk.used() / 2;
    assert!(world.open());
    world.run(30);
    assert!(world.volumes().len() > 1 && world.archive.as_ref().unwrap().status().aside > world.quota);
    world.check();
}
