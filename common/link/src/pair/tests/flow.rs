//! Flow, Latest, canaries, silence and what the link says about itself.

use super::*;
use crate::sender::Wake;

#[test]
fn a_silent_link_is_pinged_and_closed_within_twelve_seconds_and_comes_back() {
    let mut pair = Pair::new(41);
    pair.publish(0, 5);
    pair.run_for(Duration::from_secs(3));
    pair.cut(false);
    let since = pair.now.time;
    assert!(pair.run_until(LONG, |pair| !pair.edges[0].status(pair.now).unwrap().welcomed));
    let took = pair.now.time.since(since);
    assert!(took <= Duration::from_secs(12), "{took:?}");
    drained(&mut pair);
}

#[test]
fn an_idle_link_stays_up_on_pings_and_proves_flow_with_few_canaries() {
    let mut pair = Pair::new(42);
    pair.publish(0, 5);
    pair.run_for(ms(500));
    let before = pair.edges[0].disk.last().0;
    pair.run_for(Duration::from_secs(600));
    let canaries = pair.edges[0].disk.last().0 - before;
    assert!((9..=15).contains(&canaries), "{canaries} in ten minutes");
    assert_eq!(pair.said.iter().filter(|line| line.contains("edge 0: Up {")).count(), 1, "never reconnected");
    assert_eq!(pair.hubs[0].disk.entries.len(), 5, "canaries are stored nowhere");
    drained(&mut pair);
}

#[test]
fn a_link_that_does_not_flow_says_so_even_when_nobody_publishes() {
    let mut pair = Pair::new(43);
    pair.run_for(Duration::from_secs(1));
    pair.net.faults.refuse_dials = true;
    pair.cut(true);
    pair.run_for(Duration::from_secs(60));
    let status = pair.edges[0].status(pair.now).unwrap();
    assert!(!status.welcomed && status.since_flow > Duration::from_secs(30), "{status:?}");
    assert_eq!(status.lag(), 1, "one canary, not one per attempt");
}

#[test]
fn latest_is_there_within_a_second_of_welcome_and_beside_the_backlog() {
    let mut pair = Pair::new(44);
    pair.net.faults.refuse_dials = true;
    pair.run_for(ms(100));
    for _ in 0..60 {
        pair.publish(0, 200);
        pair.run_for(ms(1000));
    }
    pair.net.faults.refuse_dials = false;
    pair.net.faults.bytes_per_s = 200_000;
    assert!(pair.run_until(LONG, |pair| pair.edges[0].status(pair.now).unwrap().welcomed));
    let welcomed = pair.now.time;
    assert!(pair.run_until(LONG, |pair| !pair.hubs[0].latest.is_empty()));
    let took = pair.now.time.since(welcomed);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(pair.hubs[0].latest[0].0.n, 12_000, "the newest");
    let newest = pair.edges[0].disk.last();
    assert!((pair.hubs[0].disk.entries.len() as u64) < newest.0 / 2, "the backlog is still under way");
    let published = pair.now;
    pair.publish(0, 1);
    assert!(pair.run_until(LONG, |pair| pair.hubs[0].latest.last().is_some_and(|(p, _)| p.n == 12_001)));
    let took = pair.now.time.since(published.time);
    assert!(took < Duration::from_secs(1), "what is new waited for {took:?}");
    drained(&mut pair);
    pair.run_for(Duration::from_secs(1));
    assert!(said(&pair, "CaughtUp {") && said(&pair, "hub 0: caught up"));
    let sent = pair.hubs[0].latest.len();
    pair.publish(0, 10);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.hubs[0].latest.len(), sent, "caught up: no Latest");
}

#[test]
fn status_tells_lag_rate_and_when_it_will_be_drained() {
    let mut pair = Pair::new(45);
    pair.net.faults.refuse_dials = true;
    pair.publish(0, 20_000);
    pair.run_for(ms(100));
    pair.net.faults.refuse_dials = false;
    pair.net.faults.bytes_per_s = 200_000;
    pair.run_for(Duration::from_secs(8));
    let status = pair.edges[0].status(pair.now).unwrap();
    let eta = status.drained_in.unwrap();
    let began = pair.now.time;
    assert!(status.lag() > 1000 && status.drain_per_s.unwrap() > 500, "{status:?}");
    assert!(pair.run_until(LONG, |pair| pair.edges[0].drained(pair.now)));
    let took = pair.now.time.since(began);
    assert!(took < eta * 3 / 2 && took > eta / 2, "said {eta:?}, took {took:?}");
    drained(&mut pair);
}

#[test]
fn unconfirmed_bytes_are_bounded_by_time() {
    let mut pair = Pair::new(46);
    pair.net.faults.refuse_dials = true;
    pair.publish(0, 20_000);
    pair.run_for(ms(100));
    pair.net.faults.refuse_dials = false;
    pair.net.faults.bytes_per_s = 100_000;
    pair.run_for(Duration::from_secs(10));
    for _ in 0..50 {
        let up = pair.net.bytes_up;
        pair.run_for(ms(20));
        let ahead = pair.net.queued_up(pair.now.time);
        assert!(ahead < ms(600), "{ahead:?} of the link is queued");
        assert!(pair.net.bytes_up - up < 60_000);
    }
    drained(&mut pair);
}

#[test]
fn a_route_that_comes_up_is_tried_at_once() {
    let mut pair = Pair::new(47);
    pair.net.faults.refuse_dials = true;
    pair.run_for(Duration::from_secs(120));
    pair.net.faults.refuse_dials = false;
    pair.edge_input(0, sender::Input::RouteUp);
    pair.run_for(ms(100));
    assert!(pair.edges[0].status(pair.now).unwrap().welcomed);
}

#[test]
fn attempts_back_off_to_five_seconds_and_no_further() {
    let mut pair = Pair::new(48);
    pair.net.faults.refuse_dials = true;
    pair.run_for(Duration::from_secs(600));
    let attempts = pair.said.iter().filter(|line| line.contains("Down(")).count();
    // Full jitter under a cap of 5 s: every 2.5 s on average.
    assert!((180..350).contains(&attempts), "{attempts}");
}

#[test]
fn a_hub_that_goes_down_says_when_to_come_back() {
    let mut pair = Pair::new(49);
    pair.run_for(ms(500));
    pair.hub_input(0, receivers::Input::Shutdown { after_ms: 4000 });
    pair.run_for(ms(100));
    let (at, wake) = pair.edges[0].sender().unwrap().poll_timeout().unwrap();
    assert!(matches!(wake, Wake::Retry | Wake::Canary));
    assert!(at.since(pair.now.time) > ms(3500), "{:?}", at.since(pair.now.time));
    pair.edge_input(0, sender::Input::RouteUp);
    pair.run_for(ms(3000));
    assert!(
        !pair.edges[0].status(pair.now).unwrap().welcomed,
        "a route does not change what the hub asked for"
    );
    pair.run_for(ms(1500));
    assert!(pair.edges[0].status(pair.now).unwrap().welcomed);
}

#[test]
fn stamps_are_corrected_by_the_hubs_clock() {
    let mut pair = Pair::new(50);
    pair.edges[0].wall_off_ms = -3_600_000;
    pair.crash(Victim::Edge(0));
    pair.start(Victim::Edge(0));
    pair.run_for(Duration::from_secs(1));
    let at = pair.now.wall.0;
    pair.publish(0, 1);
    pair.run_for(Duration::from_secs(1));
    let wall = pair.hubs[0].disk.entries[0].wall.0;
    assert!((wall - at).abs() < 50, "{} ms off", wall - at);
    // Taken while the hub was away, in a boot that had met it before, delivered in the next boot.
    pair.net.faults.refuse_dials = true;
    pair.cut(true);
    pair.run_for(Duration::from_secs(600));
    let at = pair.now.wall.0;
    pair.publish(0, 1);
    pair.run_for(Duration::from_secs(60));
    pair.restart(Victim::Edge(0));
    drained(&mut pair);
    let wall = pair.hubs[0].disk.entries[1].wall.0;
    assert!((wall - at).abs() < 50, "{} ms off", wall - at);
}

#[test]
fn a_steady_trickle_shares_batches_and_does_not_wait_long() {
    let mut pair = Pair::new(11);
    pair.commit_takes = Duration::from_micros(100);
    pair.publish(0, 1);
    pair.run_for(ms(2000));
    let (messages, before) = (pair.net.messages, pair.hubs[0].disk.entries.len());
    for _ in 0..1000 {
        pair.publish(0, 1);
        pair.run_for(Duration::from_micros(200));
    }
    assert!(pair.net.messages - messages < 500, "{} messages", pair.net.messages - messages);
    pair.run_for(ms(500));
    assert_eq!(pair.hubs[0].disk.entries.len() - before, 1000);
    drained(&mut pair);
}
