//! Which rooms are archived, since when, and how much of them is there.

use crate::world::*;

#[test]
fn a_room_is_archived_from_what_the_log_has_when_that_is_wanted_and_begins_anew_after_a_time_without() {
    let mut world = World::new(&[0]);
    assert!(world.open());
    world.run(80);
    let begins = world.oldest();
    world.wanted.insert(room(1), Seq::ZERO);
    world.want();
    world.run(80);
    assert!(world.oldest() > begins + 20);
    let rooms = world.archive.as_ref().unwrap().rooms();
    assert_eq!((rooms[&room(0)].oldest, rooms[&room(1)].oldest), (Seq(1), Seq(begins)));
    assert_eq!(world.replay(1, &[0]), (world.expected(1, &[0]), vec![]));
    assert_eq!(world.replay(begins, &[1]), (world.expected(begins, &[1]), vec![]));
    // Not any more, and again: what it had in between is gone.
    world.wanted.remove(&room(1));
    world.want();
    world.run(150);
    let again = world.oldest();
    world.wanted.insert(room(1), Seq::ZERO);
    world.want();
    world.run(80);
    assert_eq!(world.archive.as_ref().unwrap().rooms()[&room(1)].oldest, Seq(again));
    assert_eq!(world.replay(again, &[1]), (world.expected(again, &[1]), vec![]));
    assert_eq!(world.replay(1, &[0]), (world.expected(1, &[0]), vec![]));
}

#[test]
fn the_only_archived_room_that_was_not_for_a_time_shows_nothing_of_what_was_archived_before() {
    let mut world = World::new(&[1]);
    assert!(world.open());
    world.run(120);
    assert_eq!(begins(&world, 1), Some(1));
    let anew = world.oldest();
    assert!(anew > 60);
    not_for_a_time(&mut world);
    assert!(begins(&world, 1).is_none_or(|oldest| oldest == anew), "before anything else is done");
    world.run(80);
    assert_eq!(begins(&world, 1), Some(anew));
    assert_eq!(world.replay(anew, &[1]), (world.expected(anew, &[1]), vec![]));
    let (found, gaps) = world.replay(1, &[1]);
    assert_eq!(found, world.expected(world.oldest(), &[1]), "nothing archived is shown to who asks before");
    assert!(gaps.iter().all(|gap| gap.cause == Cause::HubQuota), "{gaps:?}");
    // After a restart, and one in which it is not archived.
    assert!(world.open());
    assert_eq!(begins(&world, 1), Some(anew));
    let later = world.oldest();
    let wanted = std::mem::take(&mut world.wanted);
    assert!(world.open());
    world.archive();
    world.wanted = wanted;
    assert!(world.open());
    world.run(80);
    assert_eq!(begins(&world, 1), Some(later));
}

#[test]
fn since_when_a_room_is_archived_survives_power_loss_at_every_call() {
    let files = |world: &World| -> Vec<String> {
        world.disk.snapshot().into_keys().filter(|file| file.starts_with("rooms-")).collect()
    };
    for call in 1.. {
        let mut world = World::new(&[1]);
        assert!(world.open());
        world.run(60);
        let anew = world.oldest();
        world.disk.set_fate(Fate::Dice);
        let before = world.disk.counts().calls;
        world.disk.crash_at(before + call);
        not_for_a_time(&mut world);
        world.archive();
        let done = world.disk.is_up();
        world.log.crash();
        world.disk.crash();
        world.log.restart();
        world.disk.restart();
        assert!(world.open());
        assert_eq!(world.findings, []);
        world.archive();
        let begins = begins(&world, 1);
        assert!(begins == Some(anew) || (!done && begins == Some(1)), "call {call}: {begins:?}");
        // One that a crash brought back goes with the next change.
        assert!(files(&world).len() <= 2, "{:?}", files(&world));
        if done {
            return;
        }
    }
}

#[test]
fn damage_of_what_says_since_when_rooms_are_archived_and_of_the_accounts_hides_nothing() {
    let mut world = World::new(&[0, 1]);
    assert!(world.open());
    world.run(120);
    let file = world.disk.snapshot().into_keys().find(|file| file.starts_with("rooms-")).unwrap();
    assert!(world.disk.flip(&file, 9, 3));
    assert!(world.open());
    assert_eq!(world.findings, [ArchiveFinding::RoomsLost { file }]);
    world.run(20);
    world.check();
    assert!(world.open());
    assert_eq!((world.findings.len(), begins(&world, 1)), (0, Some(1)));
    // Who says which rooms there are cannot read all of them, and later not even that it could not.
    let wanted = world.wanted.clone();
    world.archive.as_mut().unwrap().expect_misses();
    world.wanted.remove(&room(1));
    world.want();
    world.archive();
    for _ in 0..2 {
        assert!(world.open());
        world.archive();
    }
    world.wanted = wanted;
    world.want();
    world.run(20);
    world.check();
}

#[test]
fn a_room_that_is_taken_out_after_accounts_were_lost_begins_anew_when_it_is_back() {
    let mut world = World::new(&[1]);
    assert!(world.open());
    world.run(120);
    // The accounts lost something, and these rooms are what they still name.
    world.archive.as_mut().unwrap().expect_misses();
    world.want();
    assert_eq!(begins(&world, 1), Some(1));
    let anew = world.oldest();
    not_for_a_time(&mut world);
    assert!(anew > 60 && world.open());
    world.run(80);
    assert_eq!(begins(&world, 1), Some(anew));
}

#[test]
fn a_past_is_counted_over_the_seam_and_no_further_than_a_room_keeps() {
    let mut world = filled();
    let count = |world: &mut World, n, archive, most: u64| -> (u64, u64) {
        let rooms = [declared(n, archive, Retention { count: Some(most), ..Retention::default() })];
        let reader = world.writer.as_ref().unwrap().reader();
        let before = world.disk.counts().calls;
        let found = pasts(&rooms, &reader, world.reader.as_mut());
        let sum = found[0].1.iter().map(|mark| mark.count).sum();
        let last = found[0].1.last().unwrap().last;
        // What is written to says what it held a while ago.
        let footer = reader.footers().next().unwrap().unwrap();
        assert!(last <= footer.last);
        (sum, world.disk.counts().calls - before)
    };
    let (all, calls) = count(&mut world, 0, true, u64::MAX);
    let held = world.expected(1, &[0]).len() as u64;
    assert!(all <= held && held - all < 20, "{all} of {held}");
    let (some, fewer) = count(&mut world, 0, true, held / 2);
    assert!(some >= held / 2 && some < all, "{some} of {all}");
    assert!(fewer < calls, "{fewer} calls, {calls} for all");
    let (log, none) = count(&mut world, 0, false, u64::MAX);
    let oldest = world.oldest();
    assert!(log <= world.expected(oldest, &[0]).len() as u64 && none == 0);
}
