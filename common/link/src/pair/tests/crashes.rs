//! A host dies at every boundary: between any two effects, before any message.

use super::*;

/// What one run does; short, so that every boundary of it can be tried.
fn scenario(pair: &mut Pair) {
    for n in 0..6 {
        pair.publish(0, 5);
        pair.publish_local(0, 1);
        pair.run_for(ms(15));
        if n == 3 {
            pair.cut(true);
        }
    }
    pair.run_for(ms(1500));
}

fn crash_everywhere(victim: Victim) {
    let mut calm = Pair::new(11);
    scenario(&mut calm);
    let boundaries = calm.boundaries;
    assert!(boundaries > 60, "{boundaries}");
    for at in 1..=boundaries {
        let mut pair = Pair::new(11);
        pair.crash_at = Some((at, victim));
        scenario(&mut pair);
        drained(&mut pair);
        assert!(pair.hubs[0].disk.gaps.is_empty(), "crash at {at}: {:?}", pair.hubs[0].disk.gaps);
    }
}

#[test]
fn edge_crashes_at_every_boundary() {
    crash_everywhere(Victim::Edge(0));
}

#[test]
fn hub_crashes_at_every_boundary() {
    crash_everywhere(Victim::Hub(0));
}

#[test]
fn connections_are_cut_at_every_boundary() {
    for noticed in [true, false] {
        let mut calm = Pair::new(12);
        scenario(&mut calm);
        for at in 1..=calm.boundaries {
            let mut pair = Pair::new(12);
            pair.publish(0, 5);
            while pair.boundaries < at {
                let until = pair.now.time.plus(ms(5));
                pair.step(until);
                pair.run_for(ms(1));
            }
            pair.cut(noticed);
            scenario(&mut pair);
            drained(&mut pair);
        }
    }
}

#[test]
fn reconnect_with_a_commit_outstanding_waits_for_it() {
    let mut pair = Pair::new(13);
    pair.run_for(ms(500));
    pair.publish(0, 10);
    pair.run_for(ms(3));
    pair.commit_takes = Duration::from_secs(3);
    pair.run_for(ms(100));
    assert!(pair.hubs[0].disk.entries.is_empty());
    pair.cut(true);
    pair.run_for(Duration::from_secs(2));
    assert!(!pair.edges[0].status(pair.now).unwrap().welcomed, "a commit is outstanding");
    pair.commit_takes = ms(2);
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 10);
}

#[test]
fn an_edge_that_restarts_is_not_a_clone_of_its_dead_connection() {
    let mut pair = Pair::new(14);
    pair.run_for(ms(500));
    pair.cut(false);
    pair.restart(Victim::Edge(0));
    pair.publish(0, 1);
    assert!(pair.run_until(Duration::from_secs(8), |pair| {
        pair.edges[0].status(pair.now).is_some_and(|s| s.welcomed)
    }));
    assert!(!said(&pair, "Clone"));
    drained(&mut pair);
}
