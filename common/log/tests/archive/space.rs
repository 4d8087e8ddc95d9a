//! Quotas, full disks, and archives that cannot be written.

use crate::world::*;

#[test]
fn an_archive_that_cannot_be_written_holds_the_log_within_a_bound_and_what_is_lost_then_is_a_gap() {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(30);
    // Some more than the quota is held, and nothing is lost by it.
    let mut most = 0;
    for _ in 0..40 {
        world.publish();
        assert!(!broken(&mut world) || most == 0);
        let status = world.writer.as_ref().unwrap().status();
        most = most.max(status.bytes);
        assert!(!status.failing);
    }
    assert!(most > QUOTA && most <= QUOTA + QUOTA / 2, "{most}");
    assert!(world.archive());
    world.check();
    for _ in 0..20 {
        world.writer.as_mut().unwrap().prepare(now(9)).unwrap();
    }
    assert!(world.writer.as_ref().unwrap().status().bytes <= QUOTA, "what was taken is given back");
    world.run(20);
    world.check();
    // Beyond the bound the log goes on, and says what that costs.
    for _ in 0..200 {
        assert!(world.publish(), "nobody is refused");
        broken(&mut world);
    }
    assert!(world.writer.as_ref().unwrap().status().bytes <= QUOTA + QUOTA / 2);
    assert!(world.archive());
    let (found, gaps) = world.replay(1, &[0, 1]);
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap.cause == Cause::HubQuota), "{gaps:?}");
    let is_gone = |seq: &u64| gaps.iter().any(|gap| (gap.from.0..=gap.to.0).contains(seq));
    let mut expected = world.expected(1, &[0, 1]);
    expected.retain(|seq, _| !is_gone(seq));
    assert_eq!(found, expected);
}

#[test]
fn on_a_full_disk_the_oldest_goes_for_the_newest_and_not_before_the_log_would_lose_that() {
    let mut world = filled();
    let before = world.volumes();
    world.disk.set_capacity(Some(world.disk.used() + 600));
    // The log has what is not archived: nothing goes.
    while world.writer.as_ref().unwrap().status().bytes <= QUOTA && world.volumes().len() == before.len() {
        world.publish();
        world.archive();
        let sealed = world.writer.as_ref().unwrap().reader().footers().count() - 1;
        assert!(world.volumes().len() == before.len() || sealed > 2);
    }
    for _ in 0..150 {
        assert!(world.publish());
        world.archive();
    }
    assert!(world.volumes()[0] > before[0], "the oldest went");
    let oldest = begins(&world, 0).unwrap();
    assert!(oldest > 1 && oldest < world.oldest());
    let (found, gaps) = world.replay(oldest, &[0, 1]);
    assert_eq!((found, gaps), (world.expected(oldest, &[0, 1]), vec![]), "and nothing after it is missing");
}

#[test]
fn who_fills_the_disk_for_a_time_costs_the_archive_no_more_than_one_volume_needs() {
    let mut world = filled();
    while world.volumes().len() < 12 {
        world.run(20);
    }
    let image: Vec<String> = world.volumes();
    // Whatever it frees is taken by somebody else.
    for _ in 0..60 {
        world.disk.set_capacity(Some(world.disk.used()));
        world.publish();
        world.archive();
    }
    let gone = image.iter().filter(|name| !world.volumes().contains(name)).count();
    let new = world.volumes().iter().filter(|name| !image.contains(name)).count();
    assert!(gone > 0 && gone <= 2 * (new + 1), "{gone} of {}, {new} new", image.len());
    world.disk.set_capacity(None);
    assert!(world.archive());
    world.run(30);
    assert!(world.archive.as_ref().unwrap().rooms()[&room(0)].oldest < Seq(world.oldest()));
}

#[test]
fn a_volume_that_cannot_be_removed_is_there_still_and_goes_later() {
    let mut world = filled();
    world.quota = world.disk.used() - 100;
    assert!(world.open_archive());
    let (volumes, rooms) = (world.volumes(), world.archive.as_ref().unwrap().rooms());
    // Since when rooms are archived is on disk: what comes first is the removal.
    world.disk.fail_call(world.disk.counts().calls + 1, Failure::Io);
    assert!(!world.archive());
    assert_eq!((world.volumes(), world.archive.as_ref().unwrap().rooms()), (volumes.clone(), rooms));
    world.check();
    assert!(world.archive());
    assert_eq!(world.volumes(), volumes[1..]);
}

#[test]
fn the_quota_costs_the_oldest_volumes_and_a_floor_what_nobody_shows() {
    let mut world = World::new(&[0, 1]);
    world.quota = 40_000;
    assert!(world.open());
    world.run(300);
    assert!(world.disk.used() <= 40_000, "{}", world.disk.used());
    let oldest = world.archive.as_ref().unwrap().rooms()[&room(0)].oldest.0;
    assert!(oldest > 1 && oldest < world.oldest());
    assert_eq!(world.replay(oldest, &[0, 1]), (world.expected(oldest, &[0, 1]), vec![]));
    // A room that still shows all keeps what another does not show any more.
    let floor = world.oldest() - 1;
    world.wanted.insert(room(0), Seq(floor));
    world.want();
    world.archive();
    assert_eq!(world.archive.as_ref().unwrap().rooms()[&room(1)].oldest.0, oldest);
    world.wanted.insert(room(1), Seq(floor));
    world.want();
    world.archive();
    assert!(world.archive.as_ref().unwrap().rooms()[&room(1)].oldest.0 > floor - 100);
    assert!(world.archive.as_ref().unwrap().rooms()[&room(1)].oldest.0 > oldest);
    // A room that is archived no more loses nothing by that: a directory that cannot be read must not cost a past.
    let before = world.volumes();
    world.wanted.clear();
    world.want();
    world.archive();
    assert_eq!(world.volumes(), before);
}

#[test]
fn a_log_that_took_more_for_an_archive_gives_it_back_without_one() {
    let mut world = filled();
    (0..40).for_each(|_| {
        assert!(world.publish());
        broken(&mut world);
    });
    let mut writer = world.writer.take().unwrap();
    assert!(writer.status().bytes > QUOTA);
    writer.set_archived(None);
    while writer.prepare(now(9)).unwrap() {}
    assert!(writer.status().bytes <= QUOTA, "{}", writer.status().bytes);
}
