//! What subscribers see: cursors over tail and disk, rights on every path, gaps, the newest value, events.

use super::script::*;
use crate::{Config, Input};
use riser_model::{
    Cause, Gap, Position, Right, Seq,
    door::{Ask, Code, Flow, From, Push, Showing, Technical, Want},
};

pub(super) fn small() -> Config {
    Config { tail_bytes_max: 1000, read_bytes: 300, ..Config::default() }
}

pub(super) fn world() -> World {
    let mut world = World::new(Config::default());
    world.open(1);
    world.open(2);
    world
}

/// Everything in a world whose tail holds only the newest of `n` publications `0..n` in `a/x`.
pub(super) fn deep(n: usize) -> World {
    let mut world = World::new(small());
    world.open(1);
    world.open(2);
    for i in 0..n {
        world.publish(1, &[("a/x", &i.to_string())]);
    }
    assert!(world.bus.tail_first() > Seq(2), "most of it is on the disk only");
    world
}

pub(super) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

pub(super) fn gaps(pushes: &[Push]) -> Vec<(u64, u64, Cause)> {
    let gap = |push: &Push| match push {
        Push::Gap { gap, pos, .. } => {
            assert_eq!(pos.seq, gap.to);
            Some((gap.from.0, gap.to.0, gap.cause))
        }
        Push::Publication(_) | Push::Wiped { .. } | Push::Through { .. } => None,
    };
    pushes.iter().filter_map(gap).collect()
}

#[test]
fn nothing_is_shown_before_its_commit() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "x"), From::Live, Flow::Credit);
    world.send(1, &[("a/x", "1")], 1);
    assert!(!world.ready(2));
    assert_eq!(world.pull(2, 1000), (vec![], false));
    world.commit();
    assert!(world.ready(2));
    assert_eq!(world.payloads(2), ["1"]);
}

#[test]
fn ready_is_told_once_until_everything_was_pulled() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "#"), From::Live, Flow::Credit);
    world.publish(1, &[("a/x", "1")]);
    assert!(world.ready(2));
    world.publish(1, &[("a/x", "2"), ("a/y", "3")]);
    assert!(!world.ready(2));
    let (pushes, more) = world.pull(2, 1);
    assert_eq!((pushes.len(), more), (1, true));
    assert!(!world.ready(2));
    assert_eq!(world.payloads(2), ["2", "3"]);
    world.publish(1, &[("a/x", "4")]);
    assert!(world.ready(2));
}

#[test]
fn quiet_channel_costs_nothing_for_the_traffic_of_others() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "quiet"), From::Live, Flow::Credit);
    world.subscribe(2, 2, in_room("a", "+/y"), From::Live, Flow::Credit);
    for _ in 0..10 {
        world.publish(1, &[("a/busy", "1"), ("b/x/y", "2")]);
    }
    assert!(!world.ready(2));
    world.publish(1, &[("a/x/y", "mine")]);
    assert!(world.ready(2));
    assert_eq!(world.payloads(2), ["mine"]);
}

#[test]
fn every_push_names_the_position_before_it() {
    let mut world = world();
    let subscribed = world.subscribe(2, 1, in_room("a", "x"), From::Live, Flow::Credit);
    let mut at = subscribed.at;
    for n in 0..5 {
        world.publish(1, &[("a/y", "other"), ("a/x", &n.to_string())]);
        for push in world.all(2) {
            let delivery = delivery(&push).unwrap();
            assert_eq!(delivery.prev, at);
            at = delivery.pos.unwrap();
        }
    }
    assert_eq!(at.seq, Seq(10));
    // A quiet subscription learns how far it is, and goes on from there.
    world.publish(1, &[("a/y", "other")]);
    world.now.time.0 += 30_000_000_000;
    let (pushes, more) = world.pull(2, 1000);
    let pos = Position { seq: Seq(11), ..at };
    assert_eq!(
        (pushes, more),
        (vec![Push::Through { subscription: riser_model::SubscriptionId(1), pos }], false)
    );
    world.publish(1, &[("a/x", "last")]);
    assert_eq!(delivery(&world.all(2)[0]).unwrap().prev, pos);
}

#[test]
fn replay_from_the_disk_meets_the_present_without_hole_or_double() {
    let mut world = deep(40);
    world.subscribe(2, 1, in_room("a", "x"), From::Start, Flow::Credit);
    let mut got = Vec::new();
    for n in 40..60 {
        world.publish(1, &[("a/x", &n.to_string())]);
        world.read_one();
        let (pushes, _) = world.pull(2, 200);
        got.extend(pushes.iter().filter_map(delivery).map(|delivery| payload(&delivery.content.body)));
    }
    got.extend(world.payloads(2));
    assert_eq!(got, numbers(0..60));
}

#[test]
fn live_traffic_goes_on_while_another_subscription_is_read_for() {
    let mut world = deep(40);
    world.subscribe(2, 1, in_room("a", "x"), From::Start, Flow::Credit);
    world.subscribe(2, 2, in_room("a", "now"), From::Live, Flow::Credit);
    world.pull(2, 100_000);
    assert_eq!(world.storage.reads.len(), 1, "one read at a time");
    world.publish(1, &[("a/now", "live")]);
    let (pushes, _) = world.pull(2, 100_000);
    assert!(pushes.iter().filter_map(delivery).any(|delivery| payload(&delivery.content.body) == "live"));
    assert_eq!(world.storage.reads.len(), 1);
}

#[test]
fn subscriptions_at_the_same_place_share_their_reads() {
    let mut world = deep(60);
    world.all(2);
    let reads = |world: &mut World, n: u64, subscriptions: u32| {
        world.open(n);
        for id in 0..subscriptions {
            let subscription = riser_model::SubscriptionId(id);
            let want = in_room("a", "x");
            world.ask(
                n,
                Ask::Subscribe {
                    subscription,
                    want,
                    from: From::Start,
                    flow: Flow::Credit,
                    keep: None,
                    retained: Showing::Nothing,
                },
            );
        }
        let (mut reads, mut pushes) = (0, 0);
        loop {
            reads += usize::from(world.read_one());
            let got = world.pull(n, 100_000).0.len();
            pushes += got;
            if got == 0 && world.storage.reads.is_empty() {
                break;
            }
        }
        assert_eq!(pushes, 60 * subscriptions as usize);
        reads
    };
    let one = reads(&mut world, 10, 1);
    let many = reads(&mut world, 11, 20);
    // The first of them is asked for before the others are there.
    assert!(many <= one + 1, "{many} reads for many, {one} for one");
}

#[test]
fn what_comes_next_is_read_while_the_chunk_before_it_is_shown() {
    let mut world = deep(60);
    world.subscribe(2, 1, in_room("a", "x"), From::Start, Flow::Credit);
    assert!(world.storage.reads.is_empty(), "one chunk is read ahead and no more");
    let held = world.bus.statistics().chunks_bytes;
    let mut got = Vec::new();
    let mut pulled = |world: &mut World| {
        let (pushes, more) = world.pull(2, 100);
        got.extend(pushes.iter().filter_map(delivery).map(|delivery| payload(&delivery.content.body)));
        (got.len(), more)
    };
    // Nothing is read meanwhile: what it is shown is what was there, of both.
    let mut shown = 0;
    while world.storage.reads.is_empty() {
        (shown, _) = pulled(&mut world);
    }
    assert!(world.bus.statistics().chunks_bytes < held, "it is through the first, and that is let go");
    let through_first = shown;
    loop {
        let (now, _) = pulled(&mut world);
        if now == shown {
            break;
        }
        shown = now;
    }
    assert_eq!(world.storage.reads.len(), 1, "one read at a time");
    assert!(shown > through_first, "{shown} of both, {through_first} when the third was asked for");
    assert_eq!(got, numbers(0..shown));
    got.extend(world.payloads(2));
    assert_eq!(got, numbers(0..60));
    assert_eq!(world.bus.statistics().chunks_bytes, 0);
}

#[test]
fn what_has_no_room_beside_what_is_shown_is_read_when_its_turn_comes() {
    let mut world = World::new(Config { chunks_bytes_max: 6000, ..small() });
    world.open(1);
    world.open(2);
    let large = "x".repeat(8000);
    let mut all = numbers(0..40);
    all.insert(20, large);
    for payload in &all {
        world.publish(1, &[("a/x", payload)]);
    }
    let want = in_room("a", "x");
    let (subscription, from) = (riser_model::SubscriptionId(1), From::Start);
    let (flow, retained) = (Flow::Credit, Showing::Nothing);
    world.ask(2, Ask::Subscribe { subscription, want, from, flow, keep: None, retained });
    let mut got = Vec::new();
    while got.len() < 35 {
        let reads = (0..100).take_while(|_| world.read_one()).count();
        assert!(reads < 10, "{reads} reads while nobody is shown anything");
        let (pushes, _) = world.pull(2, 100);
        got.extend(pushes.iter().filter_map(delivery).map(|delivery| payload(&delivery.content.body)));
    }
    assert!(world.bus.statistics().counters.chunks_discarded > 0);
    got.extend(world.payloads(2));
    assert_eq!(got, all);
}

#[test]
fn what_was_read_ahead_goes_with_who_it_was_for() {
    for leaves in [0, 1, 2] {
        let mut world = deep(60);
        world.subscribe(2, 1, in_room("a", "x"), From::Start, Flow::Credit);
        assert!(world.bus.statistics().chunks_bytes > 0);
        while world.storage.reads.is_empty() {
            world.pull(2, 100);
        }
        // With a read on its way, and with one that arrived.
        if leaves == 2 {
            world.read();
        }
        match leaves {
            0 => world.ask(2, Ask::Leave { cause: Default::default(), expiry_s: None }),
            _ => world.ask(2, Ask::Unsubscribe { subscription: riser_model::SubscriptionId(1) }),
        }
        world.read();
        assert_eq!(world.bus.statistics().chunks_bytes, 0, "{leaves}");
    }
}

#[test]
fn what_somebody_may_read_from_now_on_is_not_passed_over_in_what_was_read_before() {
    let mut world = World::new(small());
    world.open(1);
    for n in 0..60 {
        world.publish(1, &[(["a/x", "a/y"][n % 2], &n.to_string())]);
    }
    let may = |channels| vec![rule(None, channels, Right::Subscribe, false)];
    world.open_as(2, may("x"));
    world.subscribe(2, 1, in_room("a", "#"), From::Start, Flow::Credit);
    let (pushes, _) = world.pull(2, 1);
    assert_eq!(delivery(&pushes[0]).map(|one| payload(&one.content.body)).as_deref(), Some("0"));
    assert!(world.bus.statistics().chunks_bytes > 0, "more was read, of what it might read");
    world.input(Input::Principal { connection: c(2), principal: principal(2, may("#")) });
    assert_eq!(world.payloads(2), numbers(1..60));
    assert_eq!(world.bus.statistics().chunks_bytes, 0);
}

#[test]
fn what_cannot_be_read_ahead_is_asked_for_again_when_somebody_waits_for_it() {
    let mut world = deep(60);
    let want = in_room("a", "x");
    let (subscription, from) = (riser_model::SubscriptionId(1), From::Start);
    let (flow, retained) = (Flow::Credit, Showing::Nothing);
    world.ask(2, Ask::Subscribe { subscription, want, from, flow, keep: None, retained });
    assert!(world.read_one());
    let (ticket, read) = world.storage.reads.pop_front().expect("what comes next is read");
    world.input(Input::Read { ticket, found: read.nothing() });
    assert!(world.storage.reads.is_empty());
    assert_eq!(world.bus.poll_timeout(), None, "nobody waits for it");
    assert_eq!(world.payloads(2), numbers(0..60));
}

#[test]
fn slow_reader_costs_no_memory_but_a_bounded_chunk() {
    let mut world = World::new(Config { chunks_bytes_max: 2000, ..small() });
    world.open(1);
    for n in 0..60 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    for n in 10..40 {
        world.open(n);
        world.subscribe(n, 1, in_room("a", "x"), From::Start, Flow::Credit);
    }
    for n in 60..200 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    let statistics = world.bus.statistics();
    assert!(statistics.chunks_bytes <= 2000, "{}", statistics.chunks_bytes);
    assert!(statistics.tail_bytes <= 1200, "{}", statistics.tail_bytes);
    assert!(statistics.counters.chunks_discarded > 0);
    for n in 10..40 {
        assert_eq!(world.payloads(n), numbers(0..200), "reader {n} is complete for all that");
    }
    assert_eq!(world.bus.statistics().chunks_bytes, 0);
}

#[test]
fn pull_is_fair_between_the_subscriptions_of_a_connection() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "flood"), From::Live, Flow::Credit);
    world.subscribe(2, 2, in_room("a", "drop"), From::Live, Flow::Credit);
    for n in 0..300 {
        world.publish(1, &[("a/flood", &format!("{n:0>200}"))]);
    }
    world.publish(1, &[("a/drop", "me too")]);
    let (pushes, more) = world.pull(2, 20_000);
    assert!(more);
    assert!(pushes.iter().filter_map(delivery).any(|delivery| payload(&delivery.content.body) == "me too"));
}

#[test]
fn trimming_overtakes_a_slow_reader_with_a_counted_gap() {
    let mut world = deep(40);
    world.subscribe(2, 1, in_room("a", "x"), From::Start, Flow::Credit);
    let first = world.pull(2, 1).0;
    assert_eq!(delivery(&first[0]).unwrap().pos, Some(at(1, 1)));
    // The chunk that is held is served to its end; then the gap; then what is left.
    let quota = Gap { from: Seq(10), to: Seq(24), cause: Cause::Quota };
    world.trim(31, vec![quota]);
    let pushes = world.all(2);
    let got = gaps(&pushes);
    assert_eq!(got.last().unwrap().1, 30);
    assert!(got.iter().any(|gap| gap.2 == Cause::Quota) && got.iter().any(|gap| gap.2 == Cause::Retention));
    let delivered: Vec<u64> =
        pushes.iter().filter_map(delivery).map(|delivery| delivery.pos.unwrap().seq.0).collect();
    let gone: u64 = got.iter().map(|(from, to, _)| to - from + 1).sum();
    assert_eq!(1 + delivered.len() as u64 + gone, 40, "every seq is delivered or gapped");
    assert_eq!(world.bus.statistics().counters.gapped, gone);
}

#[test]
fn damage_that_a_read_meets_is_told_in_place() {
    let mut world = deep(40);
    world.storage.damaged = vec![(Seq(3), Seq(5))];
    world.subscribe(2, 1, in_room("a", "x"), From::Start, Flow::Credit);
    let pushes = world.all(2);
    assert_eq!(gaps(&pushes), [(3, 5, Cause::Damage)]);
    assert_eq!(pushes.len(), 38);
    assert!(matches!(pushes[2], Push::Gap { .. }));
}

#[test]
fn read_that_brings_nothing_is_tried_again_a_second_later() {
    let mut world = deep(40);
    let subscription = riser_model::SubscriptionId(1);
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
    world.input(Input::Read { ticket, found: read.nothing() });
    assert!(world.storage.reads.is_empty());
    let (at, _) = world.bus.poll_timeout().unwrap();
    assert_eq!(at.since(world.now.time).as_secs(), 1);
    world.now.time = at;
    world.input(Input::Deadline);
    assert_eq!(world.payloads(2), numbers(0..40));
    assert_eq!(world.bus.poll_timeout(), None);
}

#[test]
fn subscription_is_replaced_under_its_number_and_bounded_in_number() {
    let mut world = World::new(Config { subscriptions_max: 2, ..Config::default() });
    world.open(1);
    world.subscribe(1, 1, in_room("a", "x"), From::Live, Flow::Credit);
    world.subscribe(1, 2, in_room("a", "y"), From::Live, Flow::Credit);
    let third = world.try_subscribe(1, 3, in_room("a", "z"), From::Live, Flow::Credit);
    assert_eq!(third.err(), Some(Code::TooMany));
    world.subscribe(1, 1, in_room("b", "x"), From::Live, Flow::Credit);
    world.publish(1, &[("a/x", "old"), ("b/x", "new")]);
    assert_eq!(world.payloads(1), ["new"]);
    world.ask(1, Ask::Unsubscribe { subscription: riser_model::SubscriptionId(1) });
    world.publish(1, &[("b/x", "gone")]);
    assert_eq!(world.all(1), []);
    assert_eq!(world.bus.statistics().subscriptions, 1);
}

#[test]
fn what_is_left_behind_by_connections_is_nothing() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "only-read"), From::Live, Flow::Credit);
    world.subscribe(2, 2, topic("#"), From::Start, Flow::Credit);
    world.subscribe(2, 3, Want::Technical(Technical::of_account()), From::Live, Flow::Credit);
    world.ask(2, Ask::Leave { cause: "normal".into(), expiry_s: None });
    world.publish(1, &[("a/only-read", "1")]);
    let statistics = world.bus.statistics();
    assert_eq!((statistics.connections, statistics.subscriptions), (1, 0));
    let readers: Vec<u32> = statistics.rooms.iter().map(|room| room.subscribers).collect();
    assert_eq!(readers, [0, 0, 0]);
    assert_eq!(world.told(2), None);
}

#[test]
fn statistics_count_what_went_through() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "x"), From::Live, Flow::Credit);
    world.publish(1, &[("a/x", "1"), ("a/y", "22"), ("b/x", "3"), ("nowhere/x", "4")]);
    world.all(2);
    let statistics = world.bus.statistics();
    let rooms: Vec<_> = statistics
        .rooms
        .iter()
        .map(|room| {
            (room.name.as_str(), room.traffic.messages, room.members, room.subscribers, room.channels)
        })
        .collect();
    assert_eq!(rooms, [("a", 2, 2, 1, 2), ("b", 1, 1, 0, 1), ("quiet", 0, 0, 0, 0)]);
    let channels: Vec<_> = world
        .bus
        .channels(world.rooms[0].id)
        .map(|channel| (channel.name.as_str().to_owned(), channel.traffic.messages, channel.subscribers))
        .collect();
    assert_eq!(channels, [("x".to_owned(), 1, 1), ("y".to_owned(), 1, 0)]);
    assert_eq!(statistics.rooms[0].traffic.last, Some(world.now.wall));
    assert_eq!(statistics.counters.refused(Code::Denied), 1);
    assert_eq!((statistics.counters.committed, statistics.counters.delivered), (3, 1));
}

#[test]
fn what_concerns_nobody_is_not_read() {
    let mut world = World::new(small());
    world.open(1);
    world.open(2);
    world.publish(1, &[("a/rare", "0")]);
    for _ in 0..20 {
        world.publish(1, &[("a/x", "-"); 100]);
    }
    world.publish(1, &[("a/rare", "1")]);
    world.subscribe(2, 1, in_room("a", "rare"), From::Start, Flow::Credit);
    assert_eq!(world.payloads(2), ["0", "1"]);
    assert!(world.storage.brought < 10, "{} entries were read for two", world.storage.brought);
}
