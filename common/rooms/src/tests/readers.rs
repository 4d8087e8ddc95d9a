//! What subscribers see: cursors over tail and disk, rights on every path, gaps, the newest value, events.

use super::{present::body, script::*, writers::ingest};
use crate::{Config, Input, Latest};
use riser_model::{
    Cause, Epoch, Gap, History, LogId, Position, Retention, Right, RoomId, Seq, Wall,
    door::{Ask, Code, Completeness, Flow, From, Push, Showing, Technical, Want},
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

#[test]
fn rights_hold_on_every_path() {
    let rules =
        || vec![rule(None, "#", Right::Subscribe, false), rule(None, "hidden/#", Right::Subscribe, true)];
    for from in [From::Live, From::Start, From::Last(10), From::After(at(1, 0))] {
        for flow in [Flow::Credit, Flow::Conflate] {
            for want in
                [topic("#"), topic("a/#"), topic("+/hidden/x"), in_room("a", "hidden/+"), in_room("a", "#")]
            {
                let mut world = deep(40);
                for _ in 0..3 {
                    world.publish(1, &[("a/hidden/x", "hidden"), ("a/open", "open")]);
                }
                for _ in 0..30 {
                    world.publish(1, &[("b/open", "open")]);
                }
                world.open_as(5, rules());
                world.subscribe(5, 1, want.clone(), from, flow);
                world.publish(1, &[("a/hidden/x", "hidden"), ("a/open", "open")]);
                let latest = Latest {
                    log: LogId(9),
                    epoch: Epoch(1),
                    seq: Seq(1),
                    route: route("a", "hidden/x", 3),
                    body: body("hidden"),
                };
                world.input(Input::Latest(latest));
                assert!(!world.payloads(5).contains(&"hidden".to_owned()), "{want:?} {from:?} {flow:?}");
            }
        }
    }
}

#[test]
fn exact_subscription_without_the_right_is_denied_like_an_unknown_room() {
    let mut world = world();
    world.open_as(5, vec![rule(Some("a"), "open/#", Right::Subscribe, false)]);
    let mut denied = |want| world.try_subscribe(5, 1, want, From::Live, Flow::Credit).err();
    assert_eq!(denied(in_room("a", "closed")), Some(Code::Denied));
    assert_eq!(denied(in_room("b", "#")), Some(Code::Denied));
    assert_eq!(denied(in_room("nowhere", "#")), Some(Code::Denied));
    assert_eq!(denied(topic("nowhere/x")), Some(Code::Denied));
    assert_eq!(denied(Want::Technical(Technical::of_room("b".parse().unwrap()))), Some(Code::Denied));
    assert_eq!(denied(topic("room")), Some(Code::BadName));
    assert_eq!(denied(topic("$SYS/#")), Some(Code::BadName));
    assert_eq!(denied(in_room("a", "#")), None);
}

#[test]
fn rooms_of_other_accounts_are_out_of_reach() {
    let mut world = world();
    let mut other = room("theirs", History::Log);
    other.account = riser_model::AccountId(uuid::Uuid::from_u128(2));
    other.id = RoomId::of(other.account, "theirs");
    let rooms = [world.rooms.clone(), vec![other]].concat();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    assert_eq!(
        world.try_subscribe(1, 1, topic("theirs/x"), From::Live, Flow::Credit).err(),
        Some(Code::Denied)
    );
    world.subscribe(1, 1, topic("#"), From::Start, Flow::Credit);
    let mut foreign = ingest(1, 5, &[(0, "theirs")]);
    foreign.elsewhere.clear();
    foreign.routes[0].room = RoomId::of(riser_model::AccountId(uuid::Uuid::from_u128(2)), "theirs");
    world.input(Input::Ingest(foreign));
    world.commit();
    assert_eq!(world.storage.entries.len(), 1);
    assert_eq!(world.all(1), []);
}

#[test]
fn filters_over_all_rooms_meet_later_rooms_and_lose_removed_ones() {
    let mut world = world();
    world.subscribe(2, 1, topic("+/x"), From::Live, Flow::Credit);
    world.publish(1, &[("a/x", "1"), ("b/x", "2"), ("b/y", "3")]);
    assert_eq!(world.payloads(2), ["1", "2"]);
    let rooms = vec![room("b", History::Log), room("later", History::Log)];
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    world.publish(1, &[("a/x", "4"), ("b/x", "5"), ("later/x", "6")]);
    assert_eq!(world.payloads(2), ["5", "6"]);
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

#[test]
fn subscription_from_a_time_has_what_was_published_since_and_all_that_is_news() {
    let mut world = World::new(small());
    world.open(1);
    world.open(2);
    let publish = |world: &mut World, walls: &[i64]| {
        for wall in walls {
            world.publish_at(1, "a/x", &wall.to_string(), Wall(*wall));
        }
    };
    // A backlog came late: order of position is not order of time.
    publish(&mut world, &[10, 20, 30, 5, 15, 25, 40]);
    for from in 0..30 {
        publish(&mut world, &[100 + from]);
    }
    let since = From::Since(Wall(20));
    let subscribed = world.subscribe(2, 1, in_room("a", "x"), since, Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Full);
    publish(&mut world, &[7]);
    let mut meant: Vec<String> = [20, 30, 25, 40].iter().map(i64::to_string).collect();
    meant.extend((100..130).map(|wall| wall.to_string()));
    meant.push("7".into());
    assert_eq!(world.payloads(2), meant);
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

/// Room `a` keeps its newest twenty; a hundred were published, and as many in room `b`.
fn shallow() -> World {
    let mut world = World::new(small());
    world.rooms[0].retention = Retention { count: Some(20), ..Retention::default() };
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    world.open(1);
    world.open(2);
    for n in 0..100 {
        world.publish(1, &[("a/x", &n.to_string()), ("b/x", "-")]);
    }
    world
}

#[test]
fn room_shows_the_past_that_its_retention_names_and_no_more() {
    let mut world = shallow();
    for (id, from) in [(1, From::Start), (2, From::Last(90)), (3, From::Since(Wall(0)))] {
        let subscribed = world.subscribe(2, id, in_room("a", "x"), from, Flow::Credit);
        let payloads = world.payloads(2);
        let floor = subscribed.floor.expect("it says that there was more");
        assert!(floor.seq >= Seq(2 * 77) && floor.seq <= subscribed.at.seq, "{subscribed:?}");
        assert!((20..=22).contains(&payloads.len()), "{from:?}: {payloads:?}");
        assert_eq!(payloads, numbers(100 - payloads.len()..100), "{from:?}");
        world.ask(2, Ask::Unsubscribe { subscription: riser_model::SubscriptionId(id) });
    }
    let subscribed = world.subscribe(2, 4, in_room("b", "x"), From::Start, Flow::Credit);
    assert_eq!((world.payloads(2).len(), subscribed.floor), (100, None), "the other room keeps all");
    let subscribed = world.subscribe(2, 5, in_room("a", "x"), From::Live, Flow::Credit);
    assert_eq!(subscribed.floor, None, "who asks for nothing of the past misses nothing of it");
}

#[test]
fn position_below_the_floor_of_a_room_is_partial_and_says_what_is_gone() {
    let mut world = shallow();
    let subscribed = world.subscribe(2, 1, in_room("a", "x"), From::After(at(1, 10)), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial);
    let [gap] = subscribed.gaps[..] else { panic!("{subscribed:?}") };
    assert_eq!((gap.from, gap.to, gap.cause), (Seq(11), subscribed.at.seq, Cause::Retention));
    let payloads = world.payloads(2);
    assert_eq!(payloads, numbers(100 - payloads.len()..100));
    let subscribed = world.subscribe(2, 1, in_room("a", "x"), From::After(at(1, 190)), Flow::Credit);
    assert_eq!((subscribed.completeness, subscribed.gaps), (Completeness::Full, vec![]));
    let subscribed = world.subscribe(2, 2, topic("#"), From::After(at(1, 10)), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial, "of one of the rooms");
}

#[test]
fn reader_whom_the_floor_overtakes_is_told_what_it_missed() {
    let mut world = shallow();
    world.subscribe(2, 1, in_room("a", "x"), From::Live, Flow::Credit);
    for n in 100..200 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    let pushes = world.all(2);
    let [(from, to, Cause::Retention)] = gaps(&pushes)[..] else { panic!("{:?}", gaps(&pushes)) };
    assert_eq!(from, 201);
    assert!((276..=280).contains(&to), "{to}");
    assert_eq!(pushes.len() as u64, 1 + 300 - to);
}

#[test]
fn what_one_of_several_rooms_keeps_no_more_is_told_to_who_comes_back_for_it() {
    let mut world = shallow();
    let from = From::After(at(1, 10));
    let subscribed = world.subscribe(2, 1, topic("#"), from, Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial);
    let pushes = world.all(2);
    let gone: u64 = gaps(&pushes).iter().map(|(from, to, _)| to - from + 1).sum();
    let there = pushes.iter().filter(|push| matches!(push, Push::Publication(_))).count() as u64;
    assert_eq!(gone + there, 190, "each is shown or told");
    assert!((75..=80).contains(&gone), "{gone} of the first room");
    world.subscribe(2, 2, topic("#"), From::Start, Flow::Credit);
    assert_eq!(gaps(&world.all(2)), [], "who comes anew misses nothing");
}
