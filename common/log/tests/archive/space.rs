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
    let (whole, largest) = (sizes(&world).values().sum::<u64>(), *sizes(&world).values().max().unwrap());
    assert!(whole > 3 * SEGMENT, "{whole}");
    // Whatever it frees is taken by somebody else, at once.
    for _ in 0..60 {
        world.publish();
        for _ in 0..20 {
            world.disk.set_capacity(Some(world.disk.used()));
            let reader = world.writer.as_ref().unwrap().reader();
            let _ = world.archive.as_mut().unwrap().step(&reader);
        }
    }
    assert!(world.volumes().iter().all(|name| image.contains(name)), "nothing new found space");
    let gone = whole - sizes(&world).values().sum::<u64>();
    assert!(gone > 0 && gone <= SEGMENT + largest, "{gone} of {whole}");
    world.disk.set_capacity(None);
    assert!(world.archive());
    world.run(30);
    assert!(world.archive.as_ref().unwrap().rooms()[&room(0)].oldest < Seq(world.oldest()));
}

#[test]
fn nothing_goes_for_a_full_disk_where_all_that_may_go_would_not_make_space() {
    let mut world = quiet(100);
    let (volumes, whole) = (world.volumes(), sizes(&world).values().sum::<u64>());
    assert!(volumes.len() > 2 && whole < 2 * SEGMENT, "{} of {whole}", volumes.len());
    // What comes is of archived rooms, and takes far more than they had.
    world.quiet = false;
    world.wanted = (0..9).map(|n| (room(n), Seq::ZERO)).collect();
    world.want();
    let (mut steps, old) = (0, world.disk.used());
    for _ in 0..150 {
        world.publish();
        world.disk.set_capacity(Some(old));
        steps += u32::from(!world.archive());
    }
    assert!(steps > 0 && volumes.len() > 2);
    assert_eq!(world.volumes(), volumes, "it would not have been enough");
}

#[test]
fn where_archived_rooms_say_little_little_goes_for_them() {
    let mut world = filled();
    while world.volumes().len() < 12 {
        world.run(20);
    }
    // The log is full of what is not archived.
    world.quiet = true;
    broken(&mut world);
    while world.writer.as_ref().unwrap().status().bytes <= QUOTA {
        world.publish();
    }
    let image = world.volumes();
    world.disk.set_capacity(Some(world.disk.used()));
    world.archive();
    for _ in 0..8 {
        world.publish();
        world.archive();
    }
    let gone = image.iter().filter(|name| !world.volumes().contains(name)).count();
    assert!((1..=3).contains(&gone), "{gone} of {}", image.len());
    assert!(world.volumes().iter().any(|name| !image.contains(name)), "and they are archived");
}

#[test]
fn on_a_full_disk_no_volume_goes_for_a_segment_that_is_older() {
    let mut world = World::new(&[0]);
    assert!(world.open());
    while world.volumes().len() < 2 {
        world.publish();
        world.archive();
    }
    let volumes = world.volumes();
    assert!(volumes.len() >= 2 && world.oldest() == 1, "all of it is in the log still: {volumes:?}");
    world.wanted.insert(room(1), Seq::ZERO);
    world.want();
    world.disk.set_capacity(Some(world.disk.used()));
    for _ in 0..3 {
        assert!(!world.archive());
    }
    assert_eq!(world.volumes(), volumes, "their segments are those that wait");
    // A room more cost nobody anything: it is archived when there is space.
    world.disk.set_capacity(None);
    assert!(world.archive());
    world.run(60);
    world.check();
}

#[test]
fn on_a_full_disk_on_which_nothing_can_be_saved_what_is_too_much_goes_all_the_same() {
    let mut world = filled();
    world.quota = world.disk.used() - 100;
    assert!(world.open_archive());
    world.wanted.remove(&room(1));
    world.want();
    world.disk.set_capacity(Some(0));
    let before = world.volumes();
    world.archive();
    assert_eq!(world.volumes(), before[1..]);
    // And what the log is about to let go of finds space.
    let mut world = filled();
    let before = world.volumes();
    broken(&mut world);
    while world.writer.as_ref().unwrap().status().bytes <= QUOTA {
        world.publish();
    }
    world.wanted.remove(&room(1));
    world.want();
    world.disk.set_capacity(Some(world.disk.used()));
    world.archive();
    assert!(!world.volumes().contains(&before[0]));
    assert!(world.volumes().iter().any(|name| !before.contains(name)));
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
