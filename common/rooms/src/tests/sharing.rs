//! Shared subscriptions: each entry for one member, and none for nobody.

use super::script::*;
use crate::{Config, Input};
use riser_model::{
    Epoch, Position, Retention, Right, Seq, ShareChange, ShareKey, ShareState, ShareWant, SubscriptionId,
    door::{Ask, Flow, From, Push, Tell, Want},
};

const FILTER: &str = "$share/g/a/#";

fn shared(most: u16, own: Vec<Position>) -> Want {
    let (filter, topic) = (FILTER.to_owned(), "a/#".to_owned());
    Want::Shared(Box::new(ShareWant { filter, topic, most, kept: false, own }))
}

fn key() -> ShareKey {
    ShareKey { account: ACCOUNT, filter: FILTER.to_owned() }
}

/// A world with a publisher (9) and members from 1 on.
fn world(members: u64, most: u16) -> World {
    let mut world = World::new(Config::default());
    world.open(9);
    for n in 1..=members {
        world.open(n);
        world.subscribe(n, 1, shared(most, vec![]), From::Live, Flow::Credit);
    }
    world
}

fn publish(world: &mut World, payloads: std::ops::Range<u64>) {
    for n in payloads {
        world.publish(9, &[("a/a", &n.to_string())]);
    }
}

fn seqs(pushes: &[Push]) -> Vec<Seq> {
    pushes.iter().filter_map(delivery).filter_map(|one| Some(one.pos?.seq)).collect()
}

fn settle(world: &mut World, n: u64, done: &[Seq], returned: &[Seq]) {
    let (done, returned) = (done.to_vec(), returned.to_vec());
    world.ask(n, Ask::Settle { subscription: SubscriptionId(1), done, returned });
}

/// Everybody takes and settles until nothing comes: what each got.
fn work(world: &mut World, members: std::ops::RangeInclusive<u64>) -> Vec<(u64, String)> {
    let mut got = Vec::new();
    loop {
        let before = got.len();
        for n in members.clone() {
            world.read();
            let (pushes, _) = world.pull(n, 4096);
            got.extend(pushes.iter().filter_map(delivery).map(|one| (n, payload(&one.content.body))));
            settle(world, n, &seqs(&pushes), &[]);
        }
        if got.len() == before && world.storage.reads.is_empty() {
            return got;
        }
    }
}

fn sorted(got: &[(u64, String)]) -> Vec<u64> {
    let mut all: Vec<u64> = got.iter().map(|(_, payload)| payload.parse().unwrap()).collect();
    all.sort_unstable();
    all
}

#[test]
fn each_entry_goes_to_one_member_and_all_have_a_part() {
    let mut world = world(3, 100);
    world.open(8);
    world.subscribe(8, 1, topic("a/#"), From::Live, Flow::Credit);
    publish(&mut world, 0..60);
    let got = work(&mut world, 1..=3);
    assert_eq!(sorted(&got), (0..60).collect::<Vec<_>>());
    for n in 1..=3 {
        assert!(got.iter().filter(|(of, _)| *of == n).count() >= 10, "{n}: {got:?}");
    }
    assert_eq!(world.payloads(8).len(), 60, "who shares nothing gets all");
}

#[test]
fn who_waits_longest_is_told_first() {
    let mut world = world(3, 100);
    let mut got = Vec::new();
    for n in 0..6_u64 {
        world.publish(9, &[("a/a", &n.to_string())]);
        // As doors do: whoever hears of it first is the first to ask.
        let first = world.heard.iter().find(|(_, tell)| *tell == Tell::Ready).map(|(of, _)| of.0);
        world.heard.clear();
        let first = first.expect("somebody hears of it");
        got.extend(work(&mut world, first..=first));
        work(&mut world, 1..=3);
    }
    let order: Vec<u64> = got.iter().map(|(of, _)| *of).collect();
    assert_eq!(order, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn a_member_that_is_full_or_asleep_holds_up_nobody() {
    let mut world = world(2, 5);
    publish(&mut world, 0..40);
    let mut kept = Vec::new();
    for _ in 0..10 {
        kept.extend(seqs(&world.pull(1, 4096).0));
    }
    assert_eq!(kept.len(), 5, "as much as it takes");
    let got = work(&mut world, 2..=2);
    assert_eq!(got.len(), 35);
    publish(&mut world, 40..41);
    assert_eq!(work(&mut world, 2..=2).len(), 1);
    settle(&mut world, 1, &kept, &[]);
    publish(&mut world, 41..42);
    assert_eq!(work(&mut world, 1..=1).len(), 1, "it has settled, and takes again");
}

#[test]
fn what_a_member_leaves_behind_is_for_another() {
    let mut world = world(2, 100);
    publish(&mut world, 0..10);
    let (pushes, _) = world.pull(1, 4096);
    let (first, rest) = seqs(&pushes).split_first().map(|(first, rest)| (*first, rest.to_vec())).unwrap();
    assert!(!rest.is_empty());
    settle(&mut world, 1, &[first], &[]);
    world.ask(1, Ask::Leave { cause: "cut".into(), expiry_s: None });
    let got = work(&mut world, 2..=2);
    assert_eq!(got.len(), 9, "all but what was settled: {got:?}");
}

#[test]
fn who_gives_up_returns_what_was_not_said_and_settles_the_rest() {
    let mut world = world(2, 100);
    publish(&mut world, 0..10);
    let (pushes, _) = world.pull(1, 4096);
    let given = seqs(&pushes);
    world.ask(1, Ask::Unsubscribe { subscription: SubscriptionId(1) });
    let others = work(&mut world, 2..=2).len();
    assert_eq!(others + given.len(), 10, "in flight is not for others yet");
    settle(&mut world, 1, &given[1..], &given[..1]);
    assert_eq!(work(&mut world, 2..=2).len(), 1);
    world.ask(1, Ask::Leave { cause: "cut".into(), expiry_s: None });
    assert_eq!(work(&mut world, 2..=2).len(), 0);
}

#[test]
fn rights_are_each_members_own_and_what_one_may_not_read_is_for_another() {
    let mut world = World::new(Config::default());
    world.open(9);
    let narrow = vec![rule(None, "#", Right::Subscribe, false), rule(None, "b/#", Right::Subscribe, true)];
    world.open_as(1, narrow);
    world.open(2);
    world.subscribe(1, 1, shared(100, vec![]), From::Live, Flow::Credit);
    world.subscribe(2, 1, shared(100, vec![]), From::Live, Flow::Credit);
    for n in 0..20_u64 {
        world.publish(9, &[(if n % 2 == 0 { "a/a" } else { "a/b/x" }, &n.to_string())]);
    }
    let own = work(&mut world, 1..=1);
    assert_eq!(sorted(&own), (0..20).step_by(2).collect::<Vec<_>>(), "alone it takes what it may");
    let others = work(&mut world, 2..=2);
    assert_eq!(sorted(&others), (1..20).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_group_ends_with_its_last_member_unless_a_session_holds_it() {
    let mut world = world(1, 100);
    publish(&mut world, 0..1);
    world.ask(1, Ask::Unsubscribe { subscription: SubscriptionId(1) });
    assert_eq!(world.bus.shares(), 0);
    publish(&mut world, 1..2);
    world.subscribe(1, 1, shared(100, vec![]), From::Live, Flow::Credit);
    let state = world.bus.share(&key()).unwrap();
    world.input(Input::Share(ShareChange::Kept { sessions: 1, state }));
    world.ask(1, Ask::Unsubscribe { subscription: SubscriptionId(1) });
    publish(&mut world, 2..5);
    world.subscribe(1, 1, shared(100, vec![]), From::Live, Flow::Credit);
    assert_eq!(sorted(&work(&mut world, 1..=1)), [2, 3, 4], "it stood where it was");
}

#[test]
fn a_group_goes_on_after_a_restart_where_the_log_says() {
    let mut world = world(1, 100);
    publish(&mut world, 0..10);
    let (pushes, _) = world.pull(1, 4096);
    let given = seqs(&pushes);
    assert_eq!(given.len(), 10);
    let state = world.bus.share(&key()).unwrap();
    assert_eq!(state.open, given);
    world.restart(Epoch(9));
    let restored = ShareState {
        // Its members had settled all but two, a session has another one, and one more it took after that.
        cursor: Position { seq: given[7], ..state.cursor },
        open: vec![given[2], given[5]],
        taken: vec![given[8]],
        key: key(),
    };
    world.input(Input::Share(ShareChange::Kept { sessions: 1, state: restored }));
    world.open(1);
    let own = Position { seq: given[8], ..state.cursor };
    world.subscribe(1, 1, shared(100, vec![own]), From::Live, Flow::Credit);
    let got = work(&mut world, 1..=1);
    let payloads: Vec<&str> = got.iter().map(|(_, payload)| payload.as_str()).collect();
    assert_eq!(payloads, ["8", "2", "5", "9"], "its own first, then what is nobody's, then what is new");
    world.input(Input::Share(ShareChange::Returned { key: key(), seqs: vec![given[8]] }));
    assert_eq!(sorted(&work(&mut world, 1..=1)), [8], "its session ended");
}

#[test]
fn single_entries_come_by_their_places_and_what_is_gone_is_passed_over() {
    let mut world = world(1, 100);
    publish(&mut world, 0..10);
    let first = world.bus.committed().0 - 9;
    world.open(2);
    world.trim(first + 2, vec![]);
    let places = [first, first + 4, first + 9].map(|seq| world.bus.position(Seq(seq)));
    let forked = Position { epoch: Epoch(99), ..world.bus.position(Seq(first + 5)) };
    let want = Want::Positions(places.into_iter().chain([forked]).collect());
    world.subscribe(2, 1, want, From::Live, Flow::Credit);
    publish(&mut world, 10..12);
    let all = world.all(2);
    let told: Vec<String> = all
        .iter()
        .map(|push| match push {
            Push::Publication(one) => payload(&one.content.body),
            Push::Through { pos, .. } => format!("no {}", pos.seq.0 - first),
            Push::Gap { .. } | Push::Wiped { .. } => panic!("{push:?}"),
        })
        .collect();
    assert_eq!(told, ["no 0", "4", "no 5", "9"]);
}

/// A member (1) that may not read `a/b/#`, and one (2) that may.
fn narrow_and_wide(config: Config) -> World {
    let mut world = World::new(config);
    world.open(9);
    let narrow = vec![rule(None, "#", Right::Subscribe, false), rule(None, "b/#", Right::Subscribe, true)];
    world.open_as(1, narrow);
    world.open(2);
    world.subscribe(1, 1, shared(2000, vec![]), From::Live, Flow::Credit);
    world.subscribe(2, 1, shared(2000, vec![]), From::Live, Flow::Credit);
    world
}

fn open(world: &World) -> usize {
    world.bus.share(&key()).unwrap().open.len()
}

#[test]
fn what_waits_for_somebody_and_is_gone_from_the_log_is_counted_and_waits_no_more() {
    let mut world = narrow_and_wide(Config::default());
    for n in 0..10_u64 {
        world.publish(9, &[("a/b/x", &n.to_string())]);
    }
    assert_eq!(work(&mut world, 1..=1), []);
    assert_eq!(open(&world), 10);
    let committed = world.bus.committed().0;
    world.trim(committed + 1, vec![]);
    world.publish(9, &[("a/a", "10")]);
    let all = world.all(1);
    let told: u64 =
        all.iter().map(|push| if let Push::Gap { gap, .. } = push { gap.count() } else { 0 }).sum();
    assert_eq!(told, 10, "{all:?}");
    assert_eq!(seqs(&all).len(), 1);
    assert_eq!(open(&world), 1, "what it was given and has not settled");
}

#[test]
fn what_waits_for_somebody_and_its_room_does_not_show_any_more_is_counted_and_waits_no_more() {
    let mut world = narrow_and_wide(Config::default());
    world.rooms[0].retention = Retention { count: Some(20), ..Retention::default() };
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    for n in 0..10_u64 {
        world.publish(9, &[("a/b/x", &n.to_string())]);
    }
    assert_eq!(work(&mut world, 1..=1), []);
    assert_eq!(open(&world), 10);
    publish(&mut world, 10..60);
    work(&mut world, 1..=1);
    assert_eq!(open(&world), 0);
}

#[test]
fn who_may_not_read_what_comes_next_stops_when_too_much_waits_for_others_and_goes_on_when_there_is_room() {
    let mut world = narrow_and_wide(Config::default());
    for n in 0..1500_u64 {
        world.publish(9, &[("a/b/x", &n.to_string())]);
    }
    world.publish(9, &[("a/a", "1500")]);
    assert_eq!(work(&mut world, 1..=1), []);
    assert_eq!(open(&world), 1024);
    assert_eq!(sorted(&work(&mut world, 1..=2)), (0..=1500).collect::<Vec<_>>());
}
