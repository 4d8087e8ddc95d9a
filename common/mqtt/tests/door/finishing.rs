//! What was begun is finished, on the next connection too: after its subscription was given up, and of what channels
//! retain.

use crate::bench::*;
use riser_model::{
    SubscriptionId,
    door::{
        Ask, Input, Keep, Loose, Push, SessionDelivery, SessionState, SessionSubscription, Showing, Tell,
        Want,
    },
};
use riser_mqtt::Config;
use riser_wire::entry::Publication;

const FILTER: &str = "hall/#";
const BOTH: [u8; 2] = [4, 5];

/// A kept session that holds the subscription at QoS 2 and remembers these.
fn kept(level: u8, deliveries: Vec<SessionDelivery>) -> Bench {
    let held = SessionSubscription {
        filter: FILTER.to_owned(),
        keep: Keep { options: 2, identifier: 0 },
        through: Some(position(10)),
        showing: Showing::Nothing,
    };
    let subscriptions = vec![held];
    let state =
        SessionState { number: 42, present: true, deliveries, subscriptions, ..SessionState::default() };
    let mut bench = Bench::open_with(level, Config::default(), state);
    bench.input(Input::Room(100_000));
    bench.tell(Tell::Ready);
    bench
}

fn loose(id: u16, seq: u64, at_least_once: bool, retained: bool) -> SessionDelivery {
    let (filter, released, over) = (None, false, false);
    SessionDelivery { id, filter, position: position(seq), released, over, at_least_once, retained }
}

struct HandedOver {
    ticket: u64,
    released: Vec<u16>,
    loose: Vec<Loose>,
    done: Vec<u16>,
    /// Whether the subscription was given up after it.
    before_unsubscribe: bool,
}

fn handed_over(bench: &mut Bench) -> Vec<HandedOver> {
    let mut all: Vec<HandedOver> = Vec::new();
    for ask in bench.asks() {
        match ask {
            Ask::HandOver { ticket, released, loose, done, .. } => {
                all.push(HandedOver { ticket, released, loose, done, before_unsubscribe: false });
            }
            Ask::Unsubscribe { .. } => all.iter_mut().for_each(|one| one.before_unsubscribe = true),
            _ => {}
        }
    }
    all
}

fn retained(seq: u64, qos: u8) -> Push {
    match delivery(0, seq, "a", Publication { retain: true, ..plain(qos, b"r") }) {
        Push::Publication(mut delivery) => {
            (delivery.pos, delivery.retained) = (None, Some(position(seq)));
            Push::Publication(delivery)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_begun_is_the_sessions_before_it_forgets_the_subscription() {
    for level in BOTH {
        let mut bench = kept(level, vec![]);
        bench.subscribed(0, 10);
        let pushes = vec![delivery(0, 11, "a", plain(1, b"x")), delivery(0, 12, "a", plain(2, b"y"))];
        bench.tell(Tell::Deliver { pushes, more: false });
        let numbered = handed_over(&mut bench);
        bench.store(numbered[0].ticket, 0, &[]);
        bench.got();
        bench.send(&unsubscribe(level, 10, &[FILTER]));
        let handed = handed_over(&mut bench);
        let one = &handed[0];
        let begun =
            |id, seq, at_least_once| Loose { id, position: position(seq), at_least_once, retained: false };
        assert_eq!(one.loose, [begun(1, 11, true), begun(2, 12, false)]);
        assert!(one.before_unsubscribe);
        bench.store(one.ticket, 0, &[]);
        bench.send(&ack(0x40, 1));
        assert_eq!(handed_over(&mut bench)[0].done, [1]);
        bench.send(&ack(0x50, 2));
        let released = handed_over(&mut bench);
        assert_eq!(released[0].released, [2]);
        bench.got();
        (one.ticket + 1..=released[0].ticket).for_each(|ticket| bench.store(ticket, 0, &[]));
        assert_eq!(bench.got()[..4], [0x62, 2, 0, 2], "PUBREL when that is on disk");
        bench.send(&ack(0x70, 2));
        assert_eq!(handed_over(&mut bench)[0].done, [2]);
        assert_eq!(bench.closed, None);
    }
}

#[test]
fn the_next_connection_finishes_it_by_its_place_and_under_its_id() {
    for level in BOTH {
        let mut bench = kept(level, vec![loose(5, 3, true, false), loose(6, 4, false, true)]);
        let asks = bench.asks();
        let of = asks.iter().find_map(|ask| match ask {
            Ask::Subscribe { subscription, want: Want::Positions(of), .. } => {
                Some((*subscription, of.clone()))
            }
            _ => None,
        });
        assert_eq!(of, Some((SubscriptionId(1), vec![position(3), position(4)])));
        bench.subscribed(0, 10);
        bench.subscribed(1, 10);
        let pushes = vec![delivery(1, 3, "a", plain(2, b"x")), delivery(1, 4, "a", plain(2, b"y"))];
        bench.tell(Tell::Deliver { pushes, more: false });
        let got = bench.got();
        let (first, second) = got.split_at(got.len() / 2);
        assert_eq!((first[0], second[0]), (0x3a, 0x3d), "each at its QoS; the second was retained");
        assert_eq!((first[11], second[11]), (5, 6), "{got:?}");
        let asks = bench.asks();
        assert!(asks.contains(&Ask::Unsubscribe { subscription: SubscriptionId(1) }), "{asks:?}");
        bench.send(&ack(0x40, 5));
        assert_eq!(handed_over(&mut bench)[0].done, [5]);
    }
}

#[test]
fn what_is_not_to_be_had_any_more_is_counted_and_its_id_is_freed() {
    for level in BOTH {
        let mut bench = kept(level, vec![loose(5, 3, true, false), loose(6, 4, false, false)]);
        bench.asks();
        let gone = |seq| Push::Through { subscription: SubscriptionId(1), pos: position(seq) };
        bench.tell(Tell::Deliver { pushes: vec![gone(3), gone(4)], more: false });
        assert_eq!(bench.counters.gaps.total(), 2);
        assert_eq!(bench.got()[..4], [0x62, 2, 0, 6], "PUBREL: whoever holds that id lets go of it");
        assert_eq!(handed_over(&mut bench)[0].done, [5]);
        bench.send(&ack(0x70, 6));
        assert_eq!(handed_over(&mut bench)[0].done, [6]);
    }
}

#[test]
fn what_a_channel_retains_at_qos_2_is_remembered_until_it_is_done() {
    for level in BOTH {
        let mut bench = kept(level, vec![]);
        bench.subscribed(0, 10);
        bench.tell(Tell::Deliver { pushes: vec![retained(4, 2)], more: false });
        assert_eq!(bench.got(), b"", "its number is being stored");
        let handed = handed_over(&mut bench);
        let one = Loose { id: 1, position: position(4), at_least_once: false, retained: true };
        assert_eq!(handed[0].loose, [one]);
        bench.store(handed[0].ticket, 0, &[]);
        assert_eq!(bench.got()[0], 0x35, "QoS 2, retained");
        bench.send(&ack(0x50, 1));
        let released = handed_over(&mut bench);
        bench.store(released[0].ticket, 0, &[]);
        bench.got();
        bench.send(&ack(0x70, 1));
        assert_eq!(handed_over(&mut bench)[0].done, [1]);
    }
}

#[test]
fn what_a_channel_retains_at_qos_1_is_left_to_the_session_when_the_connection_ends() {
    for level in BOTH {
        let mut bench = kept(level, vec![]);
        bench.subscribed(0, 10);
        bench.tell(Tell::Deliver { pushes: vec![retained(4, 1), retained(5, 1)], more: false });
        bench.send(&ack(0x40, 1));
        bench.asks();
        bench.input(Input::Gone("cut"));
        let left = handed_over(&mut bench);
        let one = Loose { id: 2, position: position(5), at_least_once: true, retained: true };
        assert_eq!(left[0].loose, [one]);
    }
}

#[test]
fn no_pubrel_follows_a_pubrec_that_refuses_on_any_connection() {
    let mut bench = kept(5, vec![]);
    bench.subscribed(0, 10);
    bench.tell(Tell::Deliver { pushes: vec![delivery(0, 11, "a", plain(2, b"x"))], more: false });
    let numbered = handed_over(&mut bench);
    bench.store(numbered[0].ticket, 0, &[]);
    bench.got();
    bench.send(&packet(0x50, &[0, 1, 0x97]));
    let refused = handed_over(&mut bench);
    assert_eq!((&refused[0].done[..], &refused[0].released[..]), (&[1][..], &[][..]));
    bench.store(refused[0].ticket, 0, &[]);
    assert_eq!(bench.got(), b"");

    let filter = Some(FILTER.to_owned());
    let over = SessionDelivery { filter, over: true, ..loose(1, 11, false, false) };
    let mut next = kept(5, vec![over]);
    next.subscribed(0, 10);
    next.tell(Tell::Deliver { pushes: vec![delivery(0, 11, "a", plain(2, b"x"))], more: false });
    assert_eq!(next.got(), b"", "neither PUBREL nor the publication");
}

#[test]
fn what_was_begun_and_expired_since_goes_with_no_time_left() {
    const TEN_SECONDS: [u8; 5] = [2, 0, 0, 0, 10];
    let filter = Some(FILTER.to_owned());
    let mut bench = kept(5, vec![SessionDelivery { filter, ..loose(7, 11, false, false) }]);
    bench.subscribed(0, 10);
    bench.pass(std::time::Duration::from_secs(60));
    let mortal = Publication { properties: &TEN_SECONDS, ..plain(2, b"x") };
    bench.tell(Tell::Deliver { pushes: vec![delivery(0, 11, "a", mortal)], more: false });
    let got = bench.got();
    assert_eq!(got[got.len() - 7..], [5, 2, 0, 0, 0, 0, b'x'], "{got:?}");
}

#[test]
fn what_an_earlier_connection_said_is_finished_though_its_subscription_is_given_up_before_it_comes_again() {
    for level in BOTH {
        let remembered = |id, seq, at_least_once| SessionDelivery {
            filter: Some(FILTER.to_owned()),
            ..loose(id, seq, at_least_once, false)
        };
        let mut bench = kept(level, vec![remembered(5, 11, true), remembered(6, 12, false)]);
        bench.subscribed(0, 10);
        bench.asks();
        bench.send(&unsubscribe(level, 10, &[FILTER]));
        let handed = handed_over(&mut bench);
        let begun =
            |id, seq, at_least_once| Loose { id, position: position(seq), at_least_once, retained: false };
        assert_eq!(handed[0].loose, [begun(5, 11, true), begun(6, 12, false)]);
        assert!(handed[0].before_unsubscribe);
    }
}
