//! Session history: replayed to whoever joins, as long as its connection lasts.

use super::{
    ingested::ingest,
    readers::{numbers, small},
    script::*,
    writers::stored,
};
use crate::{Config, Input, behind::Kept};
use riser_model::{
    ConnectionId, Epoch, History, Right, Seq, SubscriptionId,
    door::{Ask, Code, Completeness, Flow, From, Keep, Push, Showing, Want},
    principal::Rule,
    share::ShareWant,
};

/// Room `a` offers session history; connections 1 and 2 have it, 3 has not, 9 only reads.
fn world() -> World {
    world_of(small())
}

fn world_of(config: Config) -> World {
    let mut world = World::new(config);
    world.rooms[0].history = History::Session;
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    for n in [1, 2, 3, 9] {
        world.open(n);
    }
    world.ask(1, Ask::KeepSession);
    world.ask(2, Ask::KeepSession);
    world
}

fn join(world: &mut World, n: u64) {
    world.subscribe(n, 1, in_room("a", "#"), From::Live, Flow::Credit);
}

fn leave(world: &mut World, n: u64) {
    world.ask(n, Ask::Leave { cause: "cut".into(), expiry_s: None });
}

fn wiped(pushes: &[Push]) -> Vec<u64> {
    let wiped = |push: &Push| match push {
        Push::Wiped { session, .. } => Some(session.connection.0),
        Push::Publication(_) | Push::Gap { .. } | Push::Through { .. } => None,
    };
    pushes.iter().filter_map(wiped).collect()
}

#[test]
fn who_joins_is_shown_what_sessions_published_and_then_the_present() {
    let mut world = world();
    world.publish(1, &[("a/x", "1")]);
    world.publish(3, &[("a/x", "not kept")]);
    for n in 0..40 {
        world.publish(2, &[("a/y", &n.to_string()), ("b/x", "other room")]);
    }
    join(&mut world, 9);
    world.publish(3, &[("a/x", "present")]);
    let mut meant = vec!["1".to_owned()];
    meant.extend(numbers(0..40));
    meant.push("present".into());
    assert_eq!(world.payloads(9), meant, "from the disk too, and in order");
    world.publish(1, &[("a/x", "2")]);
    assert_eq!(world.payloads(9), ["2"], "those who are there do not get the rest again");
}

#[test]
fn what_a_session_published_is_wiped_when_it_ends_and_who_was_shown_it_is_told() {
    let mut world = world();
    world.subscribe(3, 1, in_room("a", "#"), From::Live, Flow::Credit);
    world.publish(1, &[("a/x", "1")]);
    world.publish(2, &[("a/x", "2")]);
    join(&mut world, 9);
    assert_eq!(world.payloads(9), ["1", "2"]);
    assert_eq!(world.payloads(3), ["1", "2"]);
    leave(&mut world, 1);
    assert_eq!(wiped(&world.all(9)), [1]);
    assert_eq!(wiped(&world.all(3)), [0; 0], "it was there: nothing was replayed to it");
    assert_eq!(wiped(&world.all(9)), [0; 0], "once");
    world.open(10);
    join(&mut world, 10);
    assert_eq!(world.payloads(10), ["2"]);
}

#[test]
fn who_was_cut_and_goes_on_is_told_when_a_session_ends_that_it_was_shown() {
    let mut world = world();
    world.publish(1, &[("a/x", "1")]);
    let Some(Push::Publication(shown)) = ({
        join(&mut world, 9);
        world.all(9).pop()
    }) else {
        panic!("it is shown what there is")
    };
    let after = From::After(shown.pos.unwrap());
    leave(&mut world, 9);
    world.publish(2, &[("a/x", "2")]);
    for (n, rules) in [(10, grants()), (11, denied("y")), (12, denied("x"))] {
        world.open_as(n, rules);
        world.subscribe(n, 1, in_room("a", "#"), after, Flow::Credit);
        world.payloads(n);
    }
    leave(&mut world, 1);
    assert_eq!(wiped(&world.all(10)), [1], "what it was shown is over");
    assert_eq!(wiped(&world.all(11)), [1]);
    assert_eq!(wiped(&world.all(12)), [0; 0], "it never learns that anything was published there");
    leave(&mut world, 2);
    assert_eq!(wiped(&world.all(10)), [2], "and what it is shown since");
    assert_eq!(wiped(&world.all(10)), [0; 0], "once");
}

/// May read everything but these channels.
fn denied(channels: &str) -> Vec<Rule> {
    vec![rule(None, "#", Right::Subscribe, false), rule(None, channels, Right::Subscribe, true)]
}

#[test]
fn who_may_read_some_of_a_room_and_goes_on_is_told_what_ends_that_left_the_tail_long_ago() {
    let mut world = world();
    world.publish(1, &[("a/x", "1")]);
    world.publish(2, &[("a/y", "2")]);
    let after = From::After(world.bus.position(world.bus.committed()));
    for n in 0..40 {
        world.publish(3, &[("b/x", &n.to_string())]);
    }
    assert!(world.bus.tail(Seq(2), usize::MAX).is_none(), "the tail went on");
    for (n, rules) in [(10, grants()), (11, denied("y")), (12, denied("x"))] {
        world.open_as(n, rules);
        world.subscribe(n, 1, in_room("a", "#"), after, Flow::Credit);
    }
    for owner in [1, 2] {
        leave(&mut world, owner);
    }
    let told = [10, 11, 12].map(|n| wiped(&world.all(n)));
    assert_eq!(told, [vec![1, 2], vec![1], vec![2]]);
}

#[test]
fn who_goes_on_is_told_what_ends_behind_an_edge_over_a_restart_too() {
    let mut world = world();
    world.input(Input::Ingest(ingest(3, 11, &[(0, "quarantined"), (0, "1")])));
    world.commit();
    let (room, seq, origin) = (world.rooms[0].id, world.bus.committed(), 1);
    let kept = Kept { room, seq, owner: (origin, ConnectionId(7)), is_listed: true };
    let channel = world.storage.routes[&world.storage.entries.last().unwrap().route].channel.to_string();
    for epoch in [1, 2] {
        if epoch > 1 {
            world.restart(Epoch(epoch));
        }
        world.bus.list_behind(&kept);
        for (n, rules) in [(11, denied("elsewhere")), (12, denied(&channel))] {
            world.open_as(n, rules);
            let after = From::After(world.bus.position(world.bus.committed()));
            world.subscribe(n, 1, in_room("a", "#"), after, Flow::Credit);
        }
        world.bus.end_behind(kept.owner);
        assert_eq!(wiped(&world.all(11)), [7]);
        // Where it published is not known any more: better one that has nothing to take away than one that has and does not.
        assert_eq!(wiped(&world.all(12)).len(), epoch as usize - 1);
        for n in [11, 12] {
            leave(&mut world, n);
        }
    }
}

#[test]
fn who_goes_out_of_its_room_takes_its_session_with_it() {
    let mut world = world();
    world.publish(1, &[("a/x", "1")]);
    join(&mut world, 9);
    assert_eq!(world.payloads(9), ["1"]);
    world.send(1, &[("a/x", "on its way")], 1);
    world.ask(1, Ask::Part);
    assert_eq!(wiped(&world.all(9)), [1]);
    world.commit();
    world.open(10);
    join(&mut world, 10);
    assert_eq!(world.payloads(10), [""; 0], "nor is what was stored after it had left");
    world.publish(1, &[("a/x", "without one")]);
    world.open(11);
    join(&mut world, 11);
    assert_eq!(world.payloads(11), [""; 0], "another room, another session");
}

#[test]
fn who_joins_while_another_is_shown_a_replay_that_two_owners_go_on_with_is_shown_each_once() {
    let mut world = world();
    world.open(10);
    for n in 0..30 {
        world.publish(1 + n % 2, &[("a/x", &n.to_string())]);
    }
    join(&mut world, 9);
    let shown = |pushes: &[Push]| -> Vec<String> {
        pushes.iter().filter_map(delivery).map(|one| payload(&one.content.body)).collect()
    };
    let (pushes, more) = world.pull(9, 1);
    let mut first = shown(&pushes);
    assert!(more && first.len() < 30, "{}", first.len());
    for n in 30..40 {
        world.publish(1 + n % 2, &[("a/x", &n.to_string())]);
    }
    join(&mut world, 10);
    for n in 40..50 {
        world.publish(1 + n % 2, &[("a/x", &n.to_string())]);
    }
    first.extend(shown(&world.all(9)));
    assert_eq!(first, numbers(0..50));
    assert_eq!(world.payloads(10), numbers(0..50));
    leave(&mut world, 2);
    for n in [9, 10] {
        assert_eq!(wiped(&world.all(n)), [2]);
    }
}

#[test]
fn owner_that_drops_during_a_replay_is_replayed_no_further() {
    let mut world = world();
    for n in 0..30 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    world.publish(2, &[("a/x", "of another")]);
    join(&mut world, 9);
    let (pushes, more) = world.pull(9, 1);
    assert!(more && pushes.len() < 30, "{}", pushes.len());
    leave(&mut world, 1);
    let rest = world.all(9);
    assert_eq!(wiped(&rest), [1]);
    let shown = rest.iter().filter_map(|push| match push {
        Push::Publication(delivery) => Some(payload(&delivery.content.body)),
        Push::Gap { .. } | Push::Wiped { .. } | Push::Through { .. } => None,
    });
    let shown: Vec<String> = shown.collect();
    assert_eq!(shown, ["of another"]);
}

#[test]
fn clone_of_an_owner_has_a_session_of_its_own() {
    let mut world = world();
    world.input(Input::Open { connection: ConnectionId(11), principal: principal(1, grants()) });
    world.ask(11, Ask::KeepSession);
    world.publish(1, &[("a/x", "first")]);
    world.publish(11, &[("a/x", "clone")]);
    leave(&mut world, 1);
    join(&mut world, 9);
    assert_eq!(world.payloads(9), ["clone"]);
    leave(&mut world, 11);
    assert_eq!(wiped(&world.all(9)), [11]);
}

#[test]
fn publication_beyond_the_bound_is_refused_and_there_is_room_again_when_a_session_ends() {
    let mut world = world_of(Config { session_max: 3, ..small() });
    world.publish(1, &[("a/x", "1"), ("a/x", "2")]);
    world.send(2, &[("a/x", "3"), ("a/x", "4"), ("b/x", "elsewhere")], 1);
    world.commit();
    world.told(1);
    assert_eq!(stored(world.told(2)).2, vec![(1, Code::SessionFull)]);
    world.publish(3, &[("a/x", "without a session")]);
    leave(&mut world, 1);
    world.publish(2, &[("a/x", "5")]);
    join(&mut world, 9);
    assert_eq!(world.payloads(9), ["3", "5"]);
}

#[test]
fn what_was_not_stored_is_not_replayed_and_holds_no_place() {
    let mut world = world_of(Config { session_max: 2, ..small() });
    world.send(1, &[("a/x", "lost"), ("a/x", "lost")], 1);
    world.fail(Code::LogFailing);
    world.told(1);
    world.publish(1, &[("a/x", "1"), ("a/x", "2")]);
    join(&mut world, 9);
    assert_eq!(world.payloads(9), ["1", "2"]);
}

#[test]
fn what_waits_behind_a_batch_that_fails_is_replayed_from_its_own_place() {
    let mut world = world();
    world.send(3, &[("b/x", "fails"), ("b/x", "fails"), ("b/x", "fails")], 1);
    // Nobody waits for it: it is not on its way yet.
    world.send(1, &[("a/x", "of the session")], 0);
    world.fail(Code::LogFailing);
    for n in [1, 3] {
        world.told(n);
    }
    world.now.time.0 += 100_000_000;
    world.input(Input::Deadline);
    world.commit();
    world.publish(3, &[("a/x", "of nobody"), ("a/x", "of nobody")]);
    join(&mut world, 9);
    assert_eq!(world.payloads(9), ["of the session"]);
}

#[test]
fn reader_that_goes_on_where_it_was_is_told_what_ends_of_what_it_was_shown() {
    let mut world = world();
    world.publish(1, &[("a/x", "1")]);
    world.publish(2, &[("a/x", "2")]);
    join(&mut world, 9);
    assert_eq!(world.payloads(9), ["1", "2"]);
    let end = world.bus.position(world.bus.committed());
    world.subscribe(9, 1, in_room("a", "#"), From::After(end), Flow::Credit);
    leave(&mut world, 1);
    assert_eq!(wiped(&world.all(9)), [1]);
    world.subscribe(9, 1, in_room("a", "#"), From::Live, Flow::Credit);
    assert_eq!(world.payloads(9), ["2"]);
}

#[test]
fn who_leaves_before_its_publication_is_on_disk_is_not_replayed() {
    let mut world = world();
    world.send(1, &[("a/x", "1")], 1);
    leave(&mut world, 1);
    world.commit();
    join(&mut world, 9);
    assert_eq!(world.payloads(9), [""; 0]);
}

#[test]
fn who_comes_back_is_shown_what_it_missed_of_sessions_that_are_still_there() {
    let mut world = world();
    world.publish(1, &[("a/x", "1"), ("a/x", "2")]);
    world.publish(2, &[("a/x", "of one that ends")]);
    world.publish(3, &[("a/x", "not kept")]);
    leave(&mut world, 2);
    for flow in [Flow::Credit, Flow::Conflate] {
        let subscribed = world.subscribe(9, 1, in_room("a", "#"), From::After(at(1, 1)), flow);
        assert_eq!(subscribed.completeness, Completeness::Partial, "no position brings back what was wiped");
        let shown: &[&str] = if flow == Flow::Credit { &["2"] } else { &[] };
        assert_eq!(world.payloads(9), shown, "{flow:?}");
    }
    let end = world.bus.position(world.bus.committed());
    let subscribed = world.subscribe(9, 1, in_room("a", "#"), From::After(end), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Full, "it missed nothing");
    world.publish(3, &[("a/x", "new")]);
    assert_eq!(world.payloads(9), ["new"]);
}

#[test]
fn queue_of_a_kept_session_is_no_replay() {
    let mut world = world();
    world.publish(1, &[("a/x", "1")]);
    world.publish(3, &[("a/x", "2")]);
    leave(&mut world, 1);
    let keep = Some(Keep { options: 1, identifier: 0 });
    let (subscription, want, from) = (SubscriptionId(1), in_room("a", "#"), From::After(at(1, 0)));
    world.ask(
        9,
        Ask::Subscribe { subscription, want, from, flow: Flow::Credit, keep, retained: Showing::Nothing },
    );
    assert_eq!(world.payloads(9), ["1", "2"], "it was subscribed when they were published");
}

#[test]
fn member_of_a_group_that_comes_later_takes_nothing_from_the_others() {
    let mut world = world();
    world.open(10);
    let shared = || {
        let (filter, topic) = ("g/a/#".to_owned(), "a/#".to_owned());
        Want::Shared(Box::new(ShareWant { filter, topic, most: 100, kept: false, own: vec![] }))
    };
    world.subscribe(9, 1, shared(), From::Live, Flow::Credit);
    for n in 0..30 {
        world.publish(3, &[("a/x", &n.to_string())]);
    }
    world.subscribe(10, 1, shared(), From::Live, Flow::Credit);
    let mut shown: Vec<String> = world.payloads(9);
    shown.extend(world.payloads(10));
    shown.sort_by_key(|text| text.parse::<u32>().unwrap());
    assert_eq!(shown, numbers(0..30));
}

#[test]
fn restart_ends_the_sessions_of_its_connections() {
    let mut world = world();
    world.publish(1, &[("a/x", "1")]);
    world.restart(Epoch(2));
    world.open(9);
    join(&mut world, 9);
    assert_eq!(world.payloads(9), [""; 0]);
}

#[test]
fn filters_over_all_rooms_and_rights_hold_in_a_replay_too() {
    let mut world = world();
    world.publish(1, &[("a/x", "1"), ("a/secret/x", "denied"), ("b/x", "before")]);
    world.subscribe(9, 1, topic("#"), From::Live, Flow::Credit);
    world.publish(3, &[("b/x", "after")]);
    assert_eq!(world.payloads(9), ["1", "after"]);
    world.subscribe(9, 2, topic("#"), From::Start, Flow::Credit);
    assert_eq!(world.payloads(9), ["1", "before", "after"]);
    let shown = world.subscribe(9, 3, in_room("a", "x"), From::Last(1), Flow::Credit);
    assert_eq!(shown.completeness, Completeness::Full);
    assert_eq!(world.payloads(9), ["1"]);
    leave(&mut world, 1);
    let told: Vec<SubscriptionId> = world
        .all(9)
        .iter()
        .filter_map(|push| match push {
            Push::Wiped { subscription, .. } => Some(*subscription),
            Push::Publication(_) | Push::Gap { .. } | Push::Through { .. } => None,
        })
        .collect();
    assert_eq!(told.len(), 3, "each subscription that was shown it");
}

#[test]
fn what_came_over_a_link_is_replayed_until_it_ends_and_what_found_no_place_is_a_gap() {
    let mut world = world();
    let from_edge = [(0, "quarantined"), (0, "1"), (0, "2"), (0, "3"), (0, "4"), (0, "not kept")];
    world.input(Input::Ingest(ingest(3, 11, &from_edge)));
    world.commit();
    let (room, origin, first) = (world.rooms[0].id, 1, world.bus.committed().0 - 4);
    for n in 0..4 {
        let (owner, is_listed) = ((origin, ConnectionId(n % 2)), n < 2);
        world.bus.list_behind(&Kept { room, seq: Seq(first + n), owner, is_listed });
    }
    join(&mut world, 9);
    let pushes = world.all(9);
    let shown = |push: &Push| match push {
        Push::Publication(delivery) => payload(&delivery.content.body),
        Push::Gap { gap, .. } => format!("{} missing: {}", gap.count(), gap.cause.name()),
        Push::Wiped { .. } | Push::Through { .. } => String::new(),
    };
    let all: Vec<String> = pushes.iter().map(shown).collect();
    assert_eq!(all, ["1", "2", "1 missing: hub_quota", "1 missing: hub_quota"]);
    world.bus.end_behind((origin, ConnectionId(0)));
    assert_eq!(wiped(&world.all(9)), [0]);
    world.open(10);
    join(&mut world, 10);
    let all: Vec<String> = world.all(10).iter().map(shown).collect();
    assert_eq!(all, ["2", "1 missing: hub_quota"], "of another owner");
}

#[test]
fn what_found_no_place_is_a_gap_for_who_reads_several_rooms_too() {
    let mut world = world();
    let from_edge =
        [(0, "quarantined"), (0, "1"), (0, "not kept"), (0, "not either"), (0, "2"), (0, "nor this")];
    world.input(Input::Ingest(ingest(3, 11, &from_edge)));
    world.commit();
    let (room, origin, first) = (world.rooms[0].id, 1, world.bus.committed().0 - 4);
    for n in 0..5 {
        let is_listed = n == 0 || n == 3;
        world.bus.list_behind(&Kept {
            room,
            seq: Seq(first + n),
            owner: (origin, ConnectionId(1)),
            is_listed,
        });
    }
    // Of the other room everything is kept.
    world.publish(3, &[("b/x", "3")]);
    let shown = |world: &mut World, n| {
        let pushes = world.all(n).into_iter().map(|push| match push {
            Push::Publication(delivery) => payload(&delivery.content.body),
            Push::Gap { gap, .. } => format!("{} missing: {}", gap.count(), gap.cause.name()),
            Push::Wiped { .. } | Push::Through { .. } => String::new(),
        });
        pushes.collect::<Vec<_>>()
    };
    let all = ["1", "2 missing: hub_quota", "2", "1 missing: hub_quota"];
    join(&mut world, 9);
    assert_eq!(shown(&mut world, 9), all);
    world.open(10);
    world.subscribe(10, 1, topic("#"), From::Start, Flow::Credit);
    assert_eq!(shown(&mut world, 10), [&all[..], &["3"]].concat());
    world.publish(1, &[("a/x", "now")]);
    assert_eq!(shown(&mut world, 10), ["now"]);
}

#[test]
fn what_sessions_behind_an_edge_are_named_by_outlives_what_the_log_has_of_them() {
    let mut world = world();
    world.input(Input::Ingest(ingest(3, 11, &[(0, "quarantined"), (0, "1")])));
    world.commit();
    let (room, seq, origin) = (world.rooms[0].id, world.bus.committed(), 1);
    let of = world.bus.origin(origin).unwrap();
    // The log let go of all that came from there, not of what came from elsewhere since, and was opened anew.
    let since = (origin + 1, (riser_model::LogId(78), Epoch(78)));
    world.storage.origins = [since].into();
    world.restart(Epoch(2));
    assert_eq!(world.bus.origin(origin), None);
    world.bus.recall_origin(origin, of);
    let other = (riser_model::LogId(77), Epoch(77));
    world.bus.recall_origin(origin, other);
    assert_eq!(world.bus.origin(origin), Some(of), "a number goes on standing for what it stands for");
    world.bus.list_behind(&Kept { room, seq, owner: (origin, ConnectionId(0)), is_listed: true });
    world.open(9);
    join(&mut world, 9);
    assert_eq!(world.payloads(9), ["1"]);
    world.input(Input::Ingest(ingest(5, 11, &[(0, "2")])));
    world.commit();
    assert!(
        world.storage.origins.iter().map(|(n, of)| (*n, *of)).eq([(origin, of), since]),
        "under the same number, though the log knows a higher one"
    );
    world.bus.end_behind((origin, ConnectionId(0)));
    assert_eq!(wiped(&world.all(9)), [0]);
}
