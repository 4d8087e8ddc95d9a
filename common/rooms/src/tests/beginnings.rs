//! Where a subscription begins: the last n, a position, a time; and what it is told of what is gone.

use super::{readers::*, script::*};
use crate::Config;
use riser_model::{
    Cause, Epoch, Gap, LogId, Position, Seq, Wall,
    door::{Ask, Code, Completeness, Flow, From, Showing, Subscribed},
};

#[test]
fn last_n_are_found_in_the_tail_and_on_the_disk() {
    let mut world = deep(40);
    for (id, n) in [(1, 1), (2, 3), (3, 30), (4, 1000)] {
        let subscribed = world.subscribe(2, id, in_room("a", "x"), From::Last(n), Flow::Credit);
        assert_eq!((subscribed.completeness, subscribed.floor), (Completeness::Full, None));
        assert_eq!(world.payloads(2), numbers(40 - (n as usize).min(40)..40), "last {n}");
        world.ask(2, Ask::Unsubscribe { subscription: riser_model::SubscriptionId(id) });
    }
    let subscribed = world.subscribe(2, 9, in_room("a", "never"), From::Last(3), Flow::Credit);
    assert_eq!(subscribed.at.seq, Seq(40));
    assert_eq!(world.payloads(2), [""; 0]);
}

#[test]
fn who_asks_for_more_than_is_looked_for_is_told_that_it_is_not_all() {
    let mut world = World::new(Config { last_max: 10, ..small() });
    (1..=2).for_each(|n| world.open(n));
    for n in 0..40 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    for (id, channel, n, complete) in [
        (1, "x", 10, Completeness::Full),
        (2, "x", 11, Completeness::Partial),
        // As many are not there: those that are, are all.
        (3, "never", 11, Completeness::Full),
    ] {
        let subscribed = world.subscribe(2, id, in_room("a", channel), From::Last(n), Flow::Credit);
        assert_eq!(subscribed.completeness, complete, "last {n} of {channel}");
        world.payloads(2);
    }
}

#[test]
fn last_n_goes_back_over_many_windows() {
    let mut world = World::new(Config { read_bytes: 100_000, ..small() });
    world.open(1);
    world.open(2);
    world.publish(1, &[("a/rare", "0")]);
    for round in 0..40 {
        let batch = vec![("a/x", "-"); 200];
        world.publish(1, &batch);
        if round % 20 == 0 {
            world.publish(1, &[("a/rare", &(round + 1).to_string())]);
        }
    }
    world.subscribe(2, 1, in_room("a", "rare"), From::Last(2), Flow::Credit);
    assert_eq!(world.payloads(2), ["1", "21"]);
    world.subscribe(2, 2, topic("+/rare"), From::Last(3), Flow::Credit);
    assert_eq!(world.payloads(2), ["0", "1", "21"]);
}

#[test]
fn search_for_the_last_is_bounded_and_says_so() {
    let mut world = World::new(Config { seek_seqs_max: 1000, ..small() });
    world.storage.blunt = true;
    world.open(1);
    world.open(2);
    world.publish(1, &[("a/rare", "0")]);
    for _ in 0..10 {
        world.publish(1, &vec![("a/x", "-"); 200]);
    }
    let subscribed = world.subscribe(2, 1, in_room("a", "rare"), From::Last(1), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial);
    // What was published while it was sought is not lost.
    let subscription = riser_model::SubscriptionId(2);
    let want = in_room("a", "rare");
    world.ask(
        2,
        Ask::Subscribe {
            subscription,
            want,
            from: From::Last(1),
            flow: Flow::Credit,
            keep: None,
            retained: Showing::Nothing,
        },
    );
    world.publish(1, &[("a/rare", "meanwhile")]);
    assert_eq!(world.payloads(2), ["meanwhile", "meanwhile"]);
}

#[test]
fn room_without_history_replays_nothing_but_resumes() {
    let mut world = world();
    world.publish(1, &[("quiet/x", "1"), ("quiet/x", "2")]);
    for from in [From::Start, From::Last(5)] {
        let subscribed = world.subscribe(2, 1, in_room("quiet", "x"), from, Flow::Credit);
        assert_eq!((subscribed.completeness, subscribed.at.seq), (Completeness::None, Seq(2)));
        assert_eq!(world.all(2), []);
    }
    let subscribed = world.subscribe(2, 1, in_room("quiet", "x"), From::After(at(1, 1)), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Full);
    assert_eq!(world.payloads(2), ["2"]);
    // Over all rooms, it is silent about its past and the others are not.
    world.publish(1, &[("a/x", "3")]);
    world.subscribe(2, 2, topic("#"), From::Start, Flow::Credit);
    assert_eq!(world.payloads(2), ["3"]);
    world.publish(1, &[("quiet/x", "4")]);
    assert_eq!(world.payloads(2), ["4", "4"]);
}

#[test]
fn resume_below_the_oldest_is_partial_and_lists_what_is_gone() {
    let mut world = deep(40);
    world.trim(11, vec![]);
    let subscribed = world.subscribe(2, 1, in_room("a", "x"), From::After(at(1, 4)), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial);
    assert_eq!(subscribed.gaps, [Gap { from: Seq(5), to: Seq(10), cause: Cause::Retention }]);
    assert_eq!(subscribed.at.seq, Seq(10));
    assert_eq!(world.payloads(2), numbers(10..40));
}

#[test]
fn positions_of_forks_are_partial_and_those_of_other_logs_refused() {
    let mut world = deep(40);
    world.restart(Epoch(2));
    world.open(1);
    world.open(2);
    world.publish(1, &[("a/x", "40")]);
    let mut resume = |position| {
        let result = world.try_subscribe(2, 1, in_room("a", "x"), From::After(position), Flow::Credit);
        result.map(|subscribed| (subscribed.completeness, subscribed.at, world.payloads(2).len()))
    };
    assert_eq!(resume(at(1, 40)), Ok((Completeness::Full, at(1, 40), 1)));
    assert_eq!(resume(at(2, 41)), Ok((Completeness::Full, at(2, 41), 0)));
    // The first epoch once went on to 45; that history is lost.
    assert_eq!(resume(at(1, 45)), Ok((Completeness::Partial, at(1, 40), 1)));
    assert_eq!(resume(at(2, 45)), Ok((Completeness::Partial, at(2, 41), 0)));
    assert_eq!(resume(at(99, 20)), Ok((Completeness::Partial, at(1, 0), 41)));
    let other = Position { log: LogId(1), ..at(1, 1) };
    assert_eq!(resume(other), Err(Code::UnknownPosition));
}

/// Publishes at each of these times in turn, and says which that was.
fn publish_at_each(world: &mut World, walls: &[i64]) {
    for wall in walls {
        world.publish_at(1, "a/x", &wall.to_string(), Wall(*wall));
    }
}

#[test]
fn subscription_from_a_time_has_what_was_published_since_and_all_that_is_news() {
    let mut world = World::new(small());
    world.open(1);
    world.open(2);
    // A backlog came late: order of position is not order of time.
    publish_at_each(&mut world, &[10, 20, 30, 5, 15, 25, 40]);
    for from in 0..30 {
        publish_at_each(&mut world, &[100 + from]);
    }
    let since = From::Since(Wall(20));
    let subscribed = world.subscribe(2, 1, in_room("a", "x"), since, Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Full);
    publish_at_each(&mut world, &[7]);
    let mut meant: Vec<String> = [20, 30, 25, 40].iter().map(i64::to_string).collect();
    meant.extend((100..130).map(|wall| wall.to_string()));
    meant.push("7".into());
    assert_eq!(world.payloads(2), meant);
}

#[test]
fn who_goes_on_with_what_began_at_a_time_is_shown_nothing_from_before_it() {
    let mut world = World::new(small());
    world.open(1);
    world.open(2);
    publish_at_each(&mut world, &[10, 20, 30, 5, 15, 25]);
    let begun = world.subscribe(2, 1, in_room("a", "x"), From::Since(Wall(20)), Flow::Credit);
    let until = begun.until.expect("it began at a time");
    assert_eq!(until.seq, Seq(6));
    world.payloads(2);
    // It was cut behind 30, and meanwhile something came that was late.
    publish_at_each(&mut world, &[7]);
    let onward = |after| From::Onward { after, since: Wall(20), until };
    let again = world.subscribe(2, 1, in_room("a", "x"), onward(at(1, 3)), Flow::Credit);
    assert_eq!((again.completeness, again.at, again.until), (Completeness::Full, at(1, 3), Some(until)));
    assert_eq!(world.payloads(2), ["25", "7"]);
    // Of a time that is yet to come nothing was shown, and it was cut before anything was.
    let begun = world.subscribe(2, 2, in_room("a", "x"), From::Since(Wall(1000)), Flow::Credit);
    assert_eq!(world.payloads(2), [""; 0]);
    let onward = From::Onward { after: begun.at, since: Wall(1000), until: begun.until.unwrap() };
    let again = world.subscribe(2, 2, in_room("a", "x"), onward, Flow::Credit);
    assert_eq!(again.completeness, Completeness::Full);
    publish_at_each(&mut world, &[8]);
    assert_eq!(world.payloads(2), ["8", "8"], "what comes is news to both");
    // What began elsewhere has no such end.
    for from in [From::Live, From::Start, From::Last(3), From::After(begun.at)] {
        assert_eq!(world.subscribe(2, 3, in_room("a", "x"), from, Flow::Credit).until, None);
    }
    let other = Position { log: LogId(1), ..until };
    let onward = From::Onward { after: begun.at, since: Wall(1000), until: other };
    let refused = world.try_subscribe(2, 3, in_room("a", "x"), onward, Flow::Credit).err();
    assert_eq!(refused, Some(Code::UnknownPosition));
}

#[test]
fn who_goes_on_with_a_time_misses_nothing_of_what_was_let_go_of_before_it() {
    let mut world = deep(40);
    world.now.wall = Wall(1000);
    let begin = |world: &mut World, wall| {
        world.subscribe(2, 1, in_room("a", "x"), From::Since(Wall(wall)), Flow::Credit)
    };
    let (late, early) = (begin(&mut world, 2000), begin(&mut world, 0));
    world.trim(11, vec![]);
    let mut onward = |wall, begun: &Subscribed| {
        let from = From::Onward { after: begun.at, since: Wall(wall), until: begun.until.unwrap() };
        let again = world.subscribe(2, 1, in_room("a", "x"), from, Flow::Credit);
        (again.completeness, again.gaps)
    };
    assert_eq!(onward(2000, &late), (Completeness::Full, vec![]));
    let gone = Gap { from: Seq(1), to: Seq(10), cause: Cause::Retention };
    assert_eq!(onward(0, &early), (Completeness::Partial, vec![gone]));
}

#[test]
fn time_of_what_may_be_gone_is_answered_partial_and_says_what_is_gone() {
    let mut world = deep(40);
    world.now.wall = Wall(1000);
    world.trim(11, vec![]);
    let since = |wall| From::Since(Wall(wall));
    let subscribed = world.subscribe(2, 1, in_room("a", "x"), since(999), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial);
    assert_eq!(subscribed.gaps, [Gap { from: Seq(1), to: Seq(10), cause: Cause::Retention }]);
    let subscribed = world.subscribe(2, 1, in_room("a", "x"), since(1000), Flow::Credit);
    assert_eq!((subscribed.completeness, subscribed.gaps), (Completeness::Full, vec![]));
}
