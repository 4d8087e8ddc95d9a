//! Shared subscriptions, as the door asks for them and settles what it was given.

use crate::bench::*;
use riser_model::{
    Position, Seq, SubscriptionId,
    door::{Ask, Input, Keep, Push, SessionDelivery, SessionState, SessionSubscription, Showing, Tell, Want},
};
use riser_mqtt::Config;

const FILTER: &str = "$share/g/hall/#";
const BOTH: [u8; 2] = [4, 5];

/// Subscribed to the group at this QoS, with room.
fn member(level: u8, qos: u8, state: SessionState) -> Bench {
    let mut bench = Bench::open_with(level, Config::default(), state);
    bench.send(&subscribe(level, 9, &[(FILTER, qos)]));
    bench.subscribed(0, 10);
    bench.input(Input::Room(100_000));
    bench.tell(Tell::Ready);
    bench.asks();
    bench.got();
    bench
}

fn kept(deliveries: Vec<SessionDelivery>, options: u8) -> SessionState {
    let held = SessionSubscription {
        filter: FILTER.to_owned(),
        keep: Keep { options, identifier: 0 },
        through: Some(position(10)),
        showing: Showing::Nothing,
    };
    SessionState {
        number: 42,
        present: true,
        deliveries,
        subscriptions: vec![held],
        ..SessionState::default()
    }
}

#[test]
fn who_published_hears_what_its_peer_has_when_it_has_it_and_not_what_it_refuses() {
    for level in BOTH {
        let mut bench = member(level, 2, clean());
        let reported = |bench: &mut Bench| {
            let mut all = Vec::new();
            for ask in bench.asks() {
                if let Ask::Delivered { at } = ask {
                    all.extend(at.into_iter().map(|at| at.seq.0));
                }
            }
            all
        };
        let deliver = |bench: &mut Bench, seqs: &[u64], qos: u8| {
            let pushes = seqs.iter().map(|seq| {
                let mut push = delivery(0, *seq, "a", plain(qos, &[*seq as u8]));
                if let Push::Publication(delivery) = &mut push {
                    delivery.reported = *seq != 12;
                }
                push
            });
            bench.tell(Tell::Deliver { pushes: pushes.collect(), more: false });
        };
        deliver(&mut bench, &[11, 12], 0);
        assert_eq!(reported(&mut bench), [11], "at QoS 0 when it is written");
        deliver(&mut bench, &[13, 14], 1);
        assert_eq!(reported(&mut bench), [0; 0]);
        bench.send(&ack(0x40, 2));
        assert_eq!(reported(&mut bench), [14], "at QoS 1 when it is acknowledged");
        if level == 5 {
            bench.send(&packet(0x40, &[0, 1, 0x97]));
            assert_eq!(reported(&mut bench), [0; 0], "and not refused");
        }
        bench.got();
    }
}

fn clean() -> SessionState {
    SessionState::default()
}

fn deliver(bench: &mut Bench, seqs: &[u64], qos: u8) {
    let pushes = seqs.iter().map(|seq| delivery(0, *seq, "a", plain(qos, &[*seq as u8]))).collect();
    bench.tell(Tell::Deliver { pushes, more: false });
}

/// What was settled since the last time: done and returned.
fn settled(bench: &mut Bench) -> (Vec<u64>, Vec<u64>) {
    let (mut all_done, mut all_returned) = (Vec::new(), Vec::new());
    for ask in bench.asks() {
        if let Ask::Settle { subscription, done, returned } = ask {
            assert_eq!(subscription, SubscriptionId(0));
            all_done.extend(done.into_iter().map(|seq| seq.0));
            all_returned.extend(returned.into_iter().map(|seq| seq.0));
        }
    }
    (all_done, all_returned)
}

fn wanted(bench: &mut Bench) -> (String, String, u16, bool, Vec<Position>) {
    let asks = bench.asks();
    let mut shared = asks.iter().filter_map(|ask| match ask {
        Ask::Subscribe { want: Want::Shared(want), retained, .. } => {
            assert_eq!(*retained, Showing::Nothing, "what channels retain is not for groups");
            Some((want.filter.clone(), want.topic.clone(), want.most, want.kept, want.own.clone()))
        }
        _ => None,
    });
    shared.next().expect("it is asked for")
}

#[test]
fn a_group_is_asked_for_by_its_name_with_as_much_as_its_member_takes() {
    for level in BOTH {
        let mut bench = Bench::open_with(level, Config { inflight_max: 7, ..Config::default() }, clean());
        bench.send(&subscribe(level, 9, &[(FILTER, 1)]));
        assert_eq!(wanted(&mut bench), (FILTER.to_owned(), "hall/#".to_owned(), 7, false, vec![]));
        bench.subscribed(0, 10);
        assert_eq!(bench.got().last(), Some(&1), "its granted QoS");
    }
}

#[test]
fn no_local_on_a_group_is_a_protocol_error() {
    let mut bench = Bench::open(5);
    bench.send(&subscribe(5, 9, &[("hall/a", 4), (FILTER, 4)]));
    let got = bench.got();
    assert_eq!((got[0], got[2]), (0xe0, 0x82), "DISCONNECT, protocol error");
    assert!(bench.closed.is_some());
}

#[test]
fn groups_without_a_name_or_a_filter_are_refused_each_for_itself() {
    for (level, code) in [(4, 0x80), (5, 0x8f)] {
        let mut bench = Bench::open(level);
        for filter in ["$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/g+/a", "$share/#/a"] {
            bench.send(&subscribe(level, 9, &[(filter, 1)]));
            assert_eq!(bench.asks(), [], "{filter}");
            assert_eq!(bench.got().last(), Some(&code), "{filter}");
        }
    }
}

#[test]
fn what_is_said_is_settled_at_each_qos_in_its_time() {
    for level in BOTH {
        let mut bench = member(level, 2, clean());
        deliver(&mut bench, &[11, 12], 0);
        assert_eq!(settled(&mut bench), (vec![11, 12], vec![]), "at QoS 0 when it is said");
        deliver(&mut bench, &[13, 14], 1);
        assert_eq!(settled(&mut bench).0, vec![0_u64; 0]);
        bench.send(&ack(0x40, 2));
        assert_eq!(settled(&mut bench).0, [14], "at QoS 1 when it is acknowledged");
        deliver(&mut bench, &[15], 2);
        assert_eq!(settled(&mut bench).0, [15], "begun at QoS 2 it is for nobody else");
        bench.got();
    }
}

#[test]
fn what_its_peer_refuses_goes_to_nobody() {
    let mut bench = member(5, 1, clean());
    deliver(&mut bench, &[11], 1);
    bench.got();
    bench.send(&packet(0x40, &[0, 1, 0x97]));
    assert_eq!(settled(&mut bench), (vec![11], vec![]));
}

#[test]
fn what_was_given_back_may_come_after_what_is_newer() {
    for level in BOTH {
        let mut bench = member(level, 1, clean());
        deliver(&mut bench, &[20, 12], 1);
        assert_eq!(bench.got().iter().filter(|byte| **byte == 0x32).count(), 2);
    }
}

#[test]
fn who_gives_a_group_up_returns_what_was_not_said() {
    for level in BOTH {
        let mut bench = Bench::open_with(level, Config { inflight_max: 1, ..Config::default() }, clean());
        bench.send(&subscribe(level, 9, &[(FILTER, 1)]));
        bench.subscribed(0, 10);
        bench.input(Input::Room(100_000));
        bench.tell(Tell::Ready);
        deliver(&mut bench, &[11, 12, 13], 1);
        bench.asks();
        bench.send(&unsubscribe(level, 10, &[FILTER]));
        assert_eq!(settled(&mut bench), (vec![], vec![12, 13]));
        deliver(&mut bench, &[14], 1);
        assert_eq!(settled(&mut bench).1, [14], "what the bus had on its way");
        bench.tell(Tell::Unsubscribed { subscription: SubscriptionId(0) });
        bench.send(&ack(0x40, 1));
        assert_eq!(settled(&mut bench).0, [11], "what was said is its peer's to acknowledge");
        assert_eq!(bench.closed, None);
    }
}

#[test]
fn a_kept_member_finds_what_it_had_in_flight_under_its_ids() {
    for level in BOTH {
        let delivery_of = |id, seq, released, at_least_once| SessionDelivery {
            id,
            filter: Some(FILTER.to_owned()),
            position: position(seq),
            released,
            over: false,
            at_least_once,
            retained: false,
        };
        let remembered = vec![
            delivery_of(5, 11, false, true),
            delivery_of(6, 12, false, false),
            delivery_of(7, 13, true, false),
        ];
        let mut bench = Bench::open_with(level, Config::default(), kept(remembered, 2));
        let own = vec![position(11), position(12)];
        assert_eq!(wanted(&mut bench), (FILTER.to_owned(), "hall/#".to_owned(), 100, true, own));
        assert_eq!(bench.got()[..4], [0x62, 2, 0, 7], "PUBREL for what its peer has");
        bench.subscribed(0, 30);
        bench.input(Input::Room(100_000));
        bench.tell(Tell::Ready);
        let pushes = vec![
            delivery(0, 11, "a", plain(1, b"x")),
            Push::Through { subscription: SubscriptionId(0), pos: position(12) },
        ];
        bench.tell(Tell::Deliver { pushes, more: false });
        let got = bench.got();
        assert_eq!((got[0], &got[got.len() - 1..]), (0x3a, &b"x"[..]), "again, as a duplicate");
        assert_eq!(bench.counters.gaps.total(), 1, "the other one is not to be had any more");
        bench.asks();
        bench.send(&[ack(0x40, 5), ack(0x70, 7)].concat());
        assert_eq!(settled(&mut bench).0, [11, 13]);
        bench.pass(std::time::Duration::from_secs(2));
        let through = bench.asks().into_iter().find_map(|ask| match ask {
            Ask::Confirm { through, .. } => Some(through.seq),
            _ => None,
        });
        assert_eq!(
            through,
            Some(Seq(11)),
            "nothing of it is in flight: its session forgets up to what was said"
        );
    }
}

#[test]
fn what_a_kept_member_has_finished_is_over_by_itself() {
    for level in BOTH {
        let remembered = |id, seq, at_least_once, released| SessionDelivery {
            id,
            filter: Some(FILTER.to_owned()),
            position: position(seq),
            released,
            over: false,
            at_least_once,
            retained: false,
        };
        let state = kept(vec![remembered(5, 11, true, false), remembered(6, 12, false, true)], 1);
        let mut bench = Bench::open_with(level, Config::default(), state);
        bench.subscribed(0, 30);
        bench.input(Input::Room(100_000));
        bench.tell(Tell::Ready);
        deliver(&mut bench, &[11], 1);
        bench.asks();
        bench.send(&[ack(0x40, 5), ack(0x70, 6)].concat());
        let mut over = Vec::new();
        for ask in bench.asks() {
            if let Ask::HandOver { done, .. } = ask {
                over.extend(done);
            }
        }
        assert_eq!(over, [5, 6], "nothing else frees them");
    }
}
