//! Small volumes that become one.

use crate::world::*;
use riser_log::archive::Step;

#[test]
fn small_volumes_become_one_and_nothing_of_them_is_lost_or_comes_twice() {
    let mut world = quiet(700);
    let segments = world.oldest() / 33;
    assert!(segments > 24, "{segments}");
    assert!((world.volumes().len() as u64) < segments / 2 + 8, "{} of {segments}", world.volumes().len());
    world.check();
    for from in (1..world.oldest() + 5).step_by(17) {
        assert_eq!(world.replay(from, &[1]), (world.expected(from, &[1]), vec![]), "from {from}");
    }
    assert!(world.open());
    assert_eq!(world.findings, []);
    world.check();
    // What of them is damaged stays as it is, and a gap as before.
    world.run(150);
    let volumes = world.volumes();
    // The oldest that is of one segment yet.
    let at = volumes.iter().rposition(|name| seqs(name) > 100).unwrap() + 1;
    let name = volumes[at].clone();
    assert!(world.disk.flip(&name, 200, 3));
    world.run(600);
    let volumes = world.volumes();
    let at = volumes
        .iter()
        .position(|volume| *volume == name)
        .expect("nothing that cannot be read whole is merged");
    // It alone stays: what follows it is merged, and fewer than are worth it are before it.
    assert!(seqs(&volumes[at + 1]) > 100, "{volumes:?}");
    let before = volumes[..at].iter().rev().take_while(|volume| seqs(volume) < 40).count();
    assert!(before < 8, "{volumes:?}");
}

/// Of how many seqs a volume speaks.
fn seqs(name: &str) -> u64 {
    let mut numbers = name.split('-').skip(1).map(|part| u64::from_str_radix(part, 16).unwrap());
    let first = numbers.next().unwrap();
    numbers.next().unwrap() - first + 1
}

#[test]
fn what_is_merged_is_never_much_of_what_the_archive_may_take() {
    let mut world = World::new(&[0, 1]);
    (world.quiet, world.quota) = (true, 6 * SEGMENT);
    assert!(world.open());
    world.run(1000);
    let largest = sizes(&world).into_values().max().unwrap();
    assert!(largest <= world.quota / 16, "{largest} of {}", world.quota);
    let volumes = world.volumes();
    let merged = volumes.iter().filter(|name| seqs(name) > 100).count();
    assert!(merged > 3 && begins(&world, 0) == Some(1), "{volumes:?}");
    world.check();
}

/// Publishes and archives until several volumes are to become one, and whether the disk refused that.
fn refused(world: &mut World) -> bool {
    for _ in 0..600 {
        world.publish();
        loop {
            let before = world.disk.counts().writes;
            world.disk.fail_write(before + 1);
            let step = world.archive.as_mut().unwrap().step(&world.writer.as_ref().unwrap().reader());
            world.disk.calm();
            let wrote = world.disk.counts().writes > before;
            match step {
                // Several that cannot become one stay as they are, and nobody is told.
                Ok(Step::Rests) if wrote => return true,
                Ok(Step::Rests) => break,
                // A segment's own volume is another matter.
                Ok(_) | Err(_) => assert!(
                    world.archive.as_mut().unwrap().step(&world.writer.as_ref().unwrap().reader()).is_ok()
                ),
            }
        }
    }
    false
}

#[test]
fn what_could_not_be_merged_is_tried_again_with_the_next_segment_and_not_before() {
    let mut world = quiet(300);
    assert!(refused(&mut world));
    let volumes = world.volumes();
    let before = world.disk.counts().writes;
    assert!(world.archive());
    assert_eq!((world.volumes(), world.disk.counts().writes), (volumes.clone(), before), "not at once");
    world.run(60);
    assert!(world.volumes().iter().any(|name| seqs(name) > 100 && !volumes.contains(name)), "then it is");
    world.check();
}

#[test]
fn what_a_room_keeps_is_counted_by_the_parts_that_a_volume_was_made_of() {
    let mut world = quiet(700);
    let held = world.expected(1, &[0]).len() as u64;
    let most = held * 2 / 3;
    let rooms = [declared(0, true, Retention { count: Some(most), ..Retention::default() })];
    let reader = world.writer.as_ref().unwrap().reader();
    let found = pasts(&rooms, &reader, world.reader.as_mut());
    let marks = &found[0].1;
    assert!(marks.len() > 5, "{}", marks.len());
    let counted: u64 = marks.iter().map(|mark| mark.count).sum();
    // No more than one part beyond what is named, and that part is what a segment held.
    assert!(counted >= most && counted - marks[0].count <= most, "{counted} of {most}");
    assert!(marks.iter().all(|mark| mark.count <= 12), "{marks:?}");
}

/// Publishers may call a channel as the one in which the system tells who came and went.
#[test]
fn what_is_published_in_a_channel_called_members_counts_in_the_log_in_volumes_and_in_those_made_of_several() {
    let channel = |client| Route { room: room(1), channel: "members".parse().unwrap(), client };
    let systems = channel(ClientId::SYSTEM);
    let mut world = quiet(0);
    for n in 0..1200 {
        world.publish();
        if n % 16 == 0 {
            world.publish_on(20, channel(route(1).client));
        }
        if n % 8 == 0 {
            world.publish_on(21, systems.clone());
        }
        if n % 3 == 0 {
            world.archive();
        }
    }
    world.archive();
    assert!(world.volumes().iter().any(|name| seqs(name) > 100));
    let rooms = [declared(1, true, Retention { count: Some(u64::MAX), ..Retention::default() })];
    for _ in 0..2 {
        let reader = world.writer.as_ref().unwrap().reader();
        let found = pasts(&rooms, &reader, world.reader.as_mut());
        let mut published = world.expected(1, &[1]);
        published.retain(|_, (route, ..)| *route != systems);
        let counted: u64 = found[0].1.iter().map(|mark| mark.count).sum();
        assert_eq!(counted, published.len() as u64);
        assert_eq!(found[0].1.last().map(|mark| mark.last.0), published.keys().last().copied());
        assert!(world.open());
    }
    world.check();
}

#[test]
fn power_loss_between_every_two_calls_of_a_merge_loses_and_doubles_nothing() {
    let mut world = quiet(0);
    // As it is right before the first merge.
    let disk = loop {
        let before = (world.disk.snapshot(), world.volumes().len());
        world.run(1);
        if world.volumes().len() < before.1 {
            break before.0;
        }
    };
    for call in 1.. {
        let fates = [Fate::Lost, Fate::Kept, Fate::Dice];
        let mut merged = false;
        for fate in fates {
            world.disk.restore(&disk);
            world.disk.set_fate(fate);
            assert!(world.open_archive());
            world.disk.crash_at(world.disk.counts().calls + call);
            world.archive();
            merged = world.disk.is_up();
            world.disk.crash();
            world.disk.restart();
            assert!(world.open_archive(), "it always starts");
            assert_eq!(world.findings, [], "call {call}");
            world.check();
            world.archive();
            world.check();
        }
        if merged {
            assert!(call > 20, "{call}");
            return;
        }
    }
}

#[test]
fn a_log_that_went_back_keeps_what_merged_volumes_have_from_before() {
    let mut world = quiet(300);
    let (image, acked) = (world.log.snapshot(), world.acked.clone());
    let before = world.oldest();
    world.run(700);
    assert!(world.oldest() > before + 300, "the log has nothing of what it had then");
    world.log.restore(&image);
    world.acked = acked;
    world.tried = world.acked.iter().map(|(seq, entry)| (*seq, [entry.clone()].into())).collect();
    assert!(world.open());
    assert!(!world.findings.is_empty());
    assert_eq!(begins(&world, 0), Some(1));
    world.run(60);
    world.check();
    assert!(world.open());
    assert_eq!(world.findings, []);
    world.check();
}
