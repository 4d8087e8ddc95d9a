//! Turns of events that are rare and must not be wrong.

use super::{present::*, readers::*, script::*, writers::stored};
use crate::{Config, Input, Output};
use riser_model::{
    AccountId, Cause, Chunk, Epoch, Gap, History, Read, Run, Seq, SubscriptionId,
    door::{Ask, Code, Completeness, Flow, From, Push, Showing, Tell},
};

#[test]
fn what_the_disk_has_before_the_bus_knows_is_not_shown_early_and_not_twice() {
    let mut world = deep(40);
    world.send(1, &[("a/x", "40"), ("a/x", "41")], 1);
    // The block is durable, but its answer is still on its way.
    let ticket = world.storage.commit().unwrap();
    world.subscribe(2, 1, in_room("a", "x"), From::Start, Flow::Credit);
    assert_eq!(world.payloads(2), numbers(0..40));
    world.input(Input::Persisted { ticket });
    assert_eq!(world.payloads(2), numbers(40..42));
}

#[test]
fn chunk_reaching_past_what_is_known_is_cut_there() {
    let mut world = World::new(Config { read_bytes: 100_000, ..small() });
    world.open(1);
    world.open(2);
    for i in 0..40 {
        world.publish(1, &[("a/x", &i.to_string())]);
    }
    world.send(1, &[("a/x", "40")], 1);
    let ticket = world.storage.commit().unwrap();
    // The whole log comes in one chunk; the tail is pushed out while it is held.
    world.subscribe(2, 1, in_room("a", "x"), From::Start, Flow::Credit);
    world.pull(2, 1);
    assert_eq!(world.payloads(2), numbers(1..40));
    world.input(Input::Persisted { ticket });
    assert_eq!(world.payloads(2), ["40"]);
}

#[test]
fn tail_holds_all_of_a_commit_that_is_larger_than_it_until_the_next() {
    let mut world = World::new(Config { batch_bytes_max: 300, ..small() });
    world.open(1);
    let long = "x".repeat(200);
    for _ in 0..10 {
        world.send(1, &[("a/x", &long)], 1);
    }
    let last = std::iter::from_fn(|| world.storage.commit()).last().unwrap();
    world.input(Input::Persisted { ticket: last });
    assert_eq!(world.bus.tail(Seq(1), usize::MAX).map(|chunk| chunk.next), Some(Seq(11)));
    world.publish(1, &[("a/x", "next")]);
    assert_eq!(world.bus.tail(Seq(1), usize::MAX), None);
}

#[test]
fn what_is_still_open_moves_up_when_what_was_before_it_fails() {
    let mut world = World::new(Config::default());
    world.open(1);
    world.open(2);
    world.send(1, &[("a/x", "lost"), ("a/x", "lost")], 1);
    world.send(2, &[("a/y", "kept")], 0);
    world.fail(Code::LogFailing);
    assert_eq!(stored(world.told(1)).2.len(), 2);
    world.send(1, &[("a/x", "next")], 1);
    world.commit();
    assert_eq!(stored(world.told(2)), (2, 1, vec![]));
    assert_eq!(stored(world.told(1)).1, 2);
}

#[test]
fn hole_between_runs_is_a_gap() {
    let mut world = deep(40);
    let subscription = SubscriptionId(1);
    let want = in_room("a", "x");
    world.ask(
        2,
        Ask::Subscribe {
            subscription,
            want,
            from: From::Start,
            flow: Flow::Credit,
            keep: None,
            retained: Showing::Nothing,
        },
    );
    let (ticket, read) = world.storage.reads.pop_front().unwrap();
    assert!(matches!(read, Read::Of { from: Seq(1), .. }));
    let entry = |seq: u64| Run::Entries {
        first: Seq(seq),
        count: 1,
        epoch: Epoch(1),
        entries: world.storage.entries[seq as usize - 1].frame.clone(),
    };
    let chunk = Chunk { runs: vec![entry(2), entry(5)], next: Seq(6) };
    world.input(Input::Read { ticket, found: chunk.into() });
    let (pushes, _) = world.pull(2, 10_000);
    assert_eq!(gaps(&pushes), [(1, 1, Cause::Retention), (3, 4, Cause::Retention)]);
    assert_eq!(pushes.len(), 4);
    assert_eq!(world.payloads(2), numbers(5..40));
}

#[test]
fn search_reaches_the_very_oldest() {
    let mut world = World::new(Config { read_bytes: 100_000, ..small() });
    world.open(1);
    world.open(2);
    for _ in 0..8 {
        world.publish(1, &[("a/x", "-"); 200]);
    }
    // The oldest is one below a full first window.
    let oldest = world.bus.tail_first().0 - 1024 - 1;
    world.trim(oldest, vec![]);
    let subscribed = world.subscribe(2, 1, in_room("a", "x"), From::Last(4000), Flow::Credit);
    assert_eq!(subscribed.at.seq, Seq(oldest - 1));
}

#[test]
fn value_gets_its_position_when_the_backlog_reaches_it() {
    let mut world = World::new(Config::default());
    world.open(2);
    world.subscribe(2, 1, in_room("a", "t"), From::Live, Flow::Conflate);
    world.input(latest(500, "now"));
    assert_eq!(delivery(&world.all(2)[0]).unwrap().pos, None);
    world.input(backlog(1, 500, &["now"]));
    world.commit();
    let pushes = world.all(2);
    assert_eq!(shown(&pushes), values(&[("now", 0)]));
    assert_eq!(delivery(&pushes[0]).unwrap().pos.unwrap().seq, Seq(1));
    assert_eq!(world.bus.latest_bytes, 0, "it takes no room beside the log any more");
}

#[test]
fn newest_values_come_in_the_order_in_which_they_were_published() {
    let mut world = World::new(Config::default());
    world.open(1);
    world.open(2);
    world.subscribe(2, 1, in_room("a", "#"), From::Live, Flow::Conflate);
    for (channel, value) in [("a/x", "1"), ("a/y", "2"), ("a/x", "3"), ("a/z", "4"), ("a/y", "5")] {
        world.publish(1, &[(channel, value)]);
    }
    assert_eq!(shown(&world.all(2)), values(&[("3", 1), ("4", 0), ("5", 1)]));
    let room = world.bus.graph.room_of(world.rooms[0].id).unwrap();
    assert_eq!(world.bus.graph.room(room).recent.len(), 3);
}

#[test]
fn copies_go_with_the_value_they_copy() {
    let mut world = World::new(small());
    world.open(1);
    world.publish(1, &[("a/rare", "old")]);
    for n in 0..50 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    assert_eq!(world.bus.copies.len(), 1);
    world.publish(1, &[("a/rare", "new")]);
    assert_eq!(world.bus.copies.len(), 0);
}

#[test]
fn room_that_changed_hands_is_not_read_on() {
    let mut world = World::new(Config::default());
    world.open(1);
    world.open(2);
    world.subscribe(2, 1, in_room("a", "x"), From::Live, Flow::Credit);
    world.subscribe(2, 2, in_room("a", "#"), From::Live, Flow::Credit);
    world.subscribe(2, 3, in_room("a", "#"), From::Live, Flow::Conflate);
    world.send(1, &[("a/x", "on its way")], 1);
    let mut rooms = world.rooms.clone();
    rooms[0].account = AccountId(uuid::Uuid::from_u128(2));
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    world.commit();
    assert_eq!(world.all(2), []);
}

#[test]
fn publisher_stays_in_a_room_that_it_stops_reading() {
    let mut world = World::new(Config::default());
    world.open(1);
    world.publish(1, &[("a/x", "1")]);
    world.subscribe(1, 1, in_room("a", "x"), From::Live, Flow::Credit);
    world.ask(1, Ask::Unsubscribe { subscription: SubscriptionId(1) });
    assert_eq!(world.bus.statistics().rooms[0].members, 1);
    assert_eq!(world.events.len(), 1);
}

#[test]
fn resume_lists_the_causes_that_the_log_knows() {
    let mut world = deep(40);
    world.trim(21, vec![Gap { from: Seq(1), to: Seq(10), cause: Cause::Quota }]);
    let subscribed = world.subscribe(2, 1, in_room("a", "x"), From::After(at(1, 5)), Flow::Credit);
    let gap = |from, to, cause| Gap { from: Seq(from), to: Seq(to), cause };
    assert_eq!(subscribed.gaps, [gap(6, 10, Cause::Quota), gap(11, 20, Cause::Retention)]);
}

#[test]
fn restart_goes_on_with_numbers_and_meanings() {
    let mut world = deep(40);
    world.restart(Epoch(2));
    world.open(1);
    world.open(2);
    world.subscribe(2, 1, topic("#"), From::Start, Flow::Credit);
    // The storage checks that numbers keep their meaning.
    world.publish(1, &[("a/new", "40"), ("a/x", "41")]);
    assert_eq!(world.payloads(2), numbers(0..42));
    let last = world.storage.routes.len();
    assert_eq!(last, 2);
}

#[test]
fn quiet_subscriptions_of_a_room_without_history_are_told_how_far_they_are() {
    let mut world = World::new(Config::default());
    world.open(1);
    world.open(2);
    assert_eq!(world.rooms[2].history, History::None);
    world.subscribe(2, 1, in_room("quiet", "x"), From::Live, Flow::Credit);
    world.publish(1, &[("a/x", "1")]);
    world.now.time.0 += 30_000_000_000;
    let (pushes, _) = world.pull(2, 100);
    assert_eq!(pushes, [Push::Through { subscription: SubscriptionId(1), pos: at(1, 1) }]);
    assert_eq!(world.pull(2, 100).0, [], "said once");
}

#[test]
fn present_is_shown_after_a_restart_too() {
    for copies_bytes_max in [4096, 0] {
        let mut world = World::new(Config { copies_bytes_max, ..small() });
        world.open(1);
        world.publish(1, &[("a/rare", "old"), ("a/rare", "rare"), ("b/other", "other")]);
        for n in 0..40 {
            world.publish(1, &[("a/x", &n.to_string())]);
        }
        world.restart(Epoch(2));
        world.open(1);
        world.open(2);
        // What is published before the past is read is newer than all of it.
        world.publish(1, &[("a/x", "40"), ("a/y", "41")]);
        let subscription = SubscriptionId(7);
        let want = in_room("b", "other");
        world.ask(
            2,
            Ask::Subscribe {
                subscription,
                want,
                from: From::Live,
                flow: Flow::Conflate,
                keep: None,
                retained: Showing::Nothing,
            },
        );
        world.ask(2, Ask::Unsubscribe { subscription });
        let refused = |tell| matches!(tell, Some(Tell::Subscribed { result: Err(_), .. }));
        assert!(refused(world.told(2)), "it is answered, and not made");
        world.subscribe(2, 1, topic("#"), From::Live, Flow::Conflate);
        let pushes = world.all(2);
        assert_eq!(shown(&pushes), values(&[("rare", 0), ("other", 0), ("40", 0), ("41", 0)]));
        assert_eq!(delivery(&pushes[0]).unwrap().pos, Some(at(1, 2)));
        let subscribed = world.subscribe(2, 2, topic("#"), From::After(at(1, 2)), Flow::Conflate);
        assert_eq!(subscribed.completeness, Completeness::Full);
        assert_eq!(shown(&world.all(2)), values(&[("other", 0), ("40", 0), ("41", 0)]));
    }
}

#[test]
fn present_that_lies_too_far_back_is_not_promised() {
    let mut world = World::new(Config { warm_seqs: 5, ..Config::default() });
    world.open(1);
    world.publish(1, &[("a/rare", "rare")]);
    world.publish(1, &[("a/x", "0"); 10]);
    world.restart(Epoch(2));
    world.open(2);
    let mut resume = |seq| {
        let from = From::After(at(1, seq));
        world.subscribe(2, 1, topic("#"), from, Flow::Conflate).completeness
    };
    assert_eq!(resume(3), Completeness::Partial);
    assert_eq!(resume(6), Completeness::Full);
}

#[test]
fn present_behind_too_many_bytes_is_not_promised_and_what_is_nearer_is_the_newest() {
    let start = |warm_bytes| {
        let mut world = World::new(Config { warm_bytes, ..small() });
        world.open(1);
        world.publish(1, &[("a/rare", "rare")]);
        world.publish(1, &[("a/twice", "old")]);
        for _ in 0..80 {
            world.publish(1, &[("a/x", "0123456789"); 10]);
        }
        world.publish(1, &[("a/twice", "new")]);
        world.restart(Epoch(2));
        world.open(2);
        let from = From::After(at(1, 2));
        let completeness = world.subscribe(2, 1, topic("#"), from, Flow::Conflate).completeness;
        world.subscribe(2, 2, topic("a/twice"), From::Live, Flow::Conflate);
        (completeness, shown(&world.all(2)), world.storage.brought)
    };
    let (completeness, all, whole) = start(64 << 20);
    assert_eq!(completeness, Completeness::Full);
    assert!(all.contains(&("new".to_owned(), 0)) && !all.contains(&("old".to_owned(), 0)), "{all:?}");
    let (completeness, near, part) = start(1000);
    assert_eq!(completeness, Completeness::Partial);
    assert!(near.contains(&("new".to_owned(), 0)), "{near:?}");
    assert!(2 * part < whole, "{part} of {whole}");
}

#[test]
fn ready_is_not_told_again_while_more_is_known_to_wait() {
    let mut world = World::new(Config::default());
    world.open(1);
    world.open(2);
    world.subscribe(2, 1, in_room("a", "x"), From::Live, Flow::Credit);
    world.subscribe(2, 2, in_room("a", "y"), From::Live, Flow::Credit);
    world.publish(1, &[("a/x", "1"), ("a/x", "2")]);
    assert!(world.ready(2));
    assert!(world.pull(2, 1).1);
    world.publish(1, &[("a/y", "3")]);
    assert!(!world.ready(2));
}

#[test]
fn present_beside_a_backlog_wakes_nobody_who_wants_everything() {
    let mut world = World::new(Config::default());
    world.open(2);
    world.subscribe(2, 1, in_room("a", "#"), From::Live, Flow::Credit);
    world.input(latest(500, "now"));
    assert!(!world.ready(2));
}

#[test]
fn who_rests_holds_nobody_up_stays_in_the_room_and_goes_on_where_it_was() {
    let mut world = World::new(Config { tail_bytes_max: 400, read_bytes: 300, ..Config::default() });
    world.open(1);
    world.open(2);
    for n in 0..30 {
        world.publish(1, &[("a/x", &format!("{n}"))]);
    }
    let all: Vec<String> = (0..31).map(|n| n.to_string()).collect();
    for id in [1, 2] {
        world.subscribe(2, id, in_room("a", "#"), From::Start, Flow::Credit);
    }
    let of = |world: &mut World, id: u32| -> Vec<String> {
        let pushes = world.all(2);
        let mine = pushes.iter().filter_map(delivery).filter(|one| one.subscription == SubscriptionId(id));
        mine.map(|one| payload(&one.content.body)).collect()
    };
    let pause = |world: &mut World, id, paused| {
        world.ask(2, Ask::Pause { subscription: SubscriptionId(id), paused });
    };
    pause(&mut world, 1, true);
    pause(&mut world, 1, true);
    assert_eq!(of(&mut world, 2), all[..30]);
    world.publish(1, &[("a/x", "30")]);
    assert_eq!(of(&mut world, 2), all[30..]);
    pause(&mut world, 1, false);
    assert_eq!(of(&mut world, 1), all);
    // One that waited for the next is not woken while it rests.
    pause(&mut world, 1, true);
    world.publish(1, &[("a/x", "31")]);
    assert_eq!(of(&mut world, 2), ["31"]);
    pause(&mut world, 1, false);
    assert_eq!(of(&mut world, 1), ["31"]);
    assert!(!world.events.iter().any(|event| matches!(event, Output::Left { .. })));
}
