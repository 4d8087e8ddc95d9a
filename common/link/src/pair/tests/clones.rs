//! Two machines with one identity (rule 7.5).

use super::*;

#[test]
fn a_clone_of_a_live_edge_is_refused_and_said() {
    let mut pair = Pair::new(31);
    pair.publish(0, 20);
    pair.run_for(ms(500));
    let clone = pair.edges[0].image();
    pair.edges.push(clone);
    pair.start(Victim::Edge(1));
    pair.publish(1, 5);
    for _ in 0..60 {
        pair.publish(0, 1);
        pair.run_for(ms(500));
    }
    assert!(said(&pair, "Clone {"), "{:?}", pair.said);
    assert!(!pair.edges[1].status(pair.now).unwrap().welcomed);
    let original = pair.edges[0].status(pair.now).unwrap();
    assert!(original.welcomed && original.lag() <= 2, "{original:?}");
    // The original goes away for good: the clone's own entries arrive, under its own epoch.
    pair.crash(Victim::Edge(0));
    assert!(pair.run_until(LONG, |pair| pair.edges[1].drained(pair.now)));
    pair.check_hub(0).unwrap();
    assert_eq!(pair.hubs[0].disk.entries.len(), 20 + 60 + 5);
}

#[test]
fn a_silent_original_is_replaced_after_five_seconds() {
    let mut pair = Pair::new(32);
    pair.publish(0, 20);
    pair.run_for(ms(500));
    let clone = pair.edges[0].image();
    pair.edges.push(clone);
    pair.cut(false);
    pair.crash(Victim::Edge(0));
    let since = pair.now.time;
    pair.start(Victim::Edge(1));
    pair.publish(1, 5);
    assert!(pair.run_until(LONG, |pair| pair.edges[1].drained(pair.now)));
    let took = pair.now.time.since(since);
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(7), "{took:?}");
    pair.check_hub(0).unwrap();
}

#[test]
fn the_newest_connection_of_one_machine_wins() {
    let mut pair = Pair::new(33);
    pair.publish(0, 20);
    pair.run_for(ms(500));
    // Only the edge sees the end: the hub still believes in the old connection.
    let open: Vec<_> = pair.net.open().collect();
    for connection in open {
        pair.net.silence(connection);
        pair.at(pair.now.time, Event::EdgeSees { connection });
    }
    pair.publish(0, 20);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.hubs[0].disk.entries.len(), 40, "no wait for one's own old connection");
    assert_eq!(pair.hubs[0].connections(), 1);
    drained(&mut pair);
}

#[test]
fn two_clones_that_never_give_up_lose_nothing_of_either() {
    let mut pair = Pair::new(34);
    pair.publish(0, 20);
    pair.run_for(ms(500));
    let clone = pair.edges[0].image();
    pair.edges.push(clone);
    pair.start(Victim::Edge(1));
    let mut dice = fastrand::Rng::with_seed(1);
    for _ in 0..200 {
        pair.publish(dice.usize(0..2), 3);
        if dice.u8(0..10) == 0 {
            pair.restart(Victim::Edge(dice.usize(0..2)));
        }
        if dice.u8(0..20) == 0 {
            pair.cut(dice.bool());
        }
        pair.run_for(ms(dice.u64(0..1500)));
        pair.check_hub(0).unwrap();
    }
    for at in [0, 1] {
        pair.crash(Victim::Edge(1 - at));
        pair.start(Victim::Edge(at));
        assert!(pair.run_until(LONG, |pair| pair.edges[at].drained(pair.now)), "{at}");
    }
    pair.start(Victim::Edge(0));
    pair.check_hub(0).unwrap();
    let published =
        pair.edges.iter().map(|edge| edge.accepted.iter().filter(|p| p.linked).count()).sum::<usize>();
    assert_eq!(pair.hubs[0].disk.entries.len(), published);
}
