//! QoS 2: stored once, over repetitions and reconnects; released durably before PUBCOMP.

use crate::bench::*;
use riser_model::door::{Ask, Code, SessionState};
use riser_mqtt::Config;

fn kept(level: u8, open_ids: &[u16]) -> Bench {
    let state = SessionState {
        number: 42,
        present: true,
        last_id: 0,
        deliveries: vec![],
        open_ids: open_ids.to_vec(),
        subscriptions: vec![],
        tally: Default::default(),
    };
    Bench::open_with(level, Config::default(), state)
}

#[test]
fn an_exchange_is_stored_once_and_released_durably() {
    for level in BOTH {
        let mut bench = kept(level, &[]);
        bench.send(&publish(level, "hall/a", 2, 7, b"x"));
        let intake = bench.intake();
        assert_eq!(entries(&intake, &mut vec![])[0].packet_id, Some((42, 7)));
        assert_eq!(bench.got(), b"");
        bench.store(1, 1, &[]);
        assert_eq!(bench.got(), [0x50, 2, 0, 7]);
        bench.send(&ack(0x62, 7));
        assert_eq!(bench.asks(), [Ask::Release { ticket: 2, ids: vec![7] }]);
        assert_eq!(bench.got(), b"", "PUBCOMP waits for the release's commit");
        bench.store(2, 0, &[]);
        assert_eq!(bench.got(), [0x70, 2, 0, 7]);
        bench.send(&publish(level, "hall/a", 2, 7, b"y"));
        assert_eq!(bench.intake().count, 1, "the id is free for the next");
    }
}

#[test]
fn a_session_without_a_future_needs_no_ids_in_the_log() {
    let mut bench = Bench::open(4);
    bench.send(&publish(4, "hall/a", 2, 7, b"x"));
    assert_eq!(entries(&bench.intake(), &mut vec![])[0].packet_id, None);
    bench.store(1, 1, &[]);
    bench.send(&publish_with(4, "hall/a", 12, 7, &[], b"x"));
    bench.send(&ack(0x62, 7));
    assert_eq!(bench.asks(), []);
    assert_eq!(bench.got(), [0x50, 2, 0, 7, 0x50, 2, 0, 7, 0x70, 2, 0, 7]);
}

#[test]
fn what_comes_again_on_the_next_connection_is_answered_and_not_stored() {
    for level in BOTH {
        let mut bench = kept(level, &[7, 9]);
        let again = [publish_with(level, "hall/a", 12, 7, &[], b"x"), publish(level, "hall/a", 2, 8, b"y")];
        bench.send(&again.concat());
        let read = entries(&bench.intake(), &mut vec![]);
        assert_eq!((read.len(), read[0].packet_id), (1, Some((42, 8))));
        assert_eq!(bench.got(), [0x50, 2, 0, 7]);
        assert_eq!(bench.counters.duplicates.total(), 1);
        bench.store(1, 1, &[]);
        assert_eq!(bench.got(), [0x50, 2, 0, 8]);
        bench.send(&[ack(0x62, 7), ack(0x62, 9), ack(0x62, 8)].concat());
        assert_eq!(bench.asks(), [Ask::Release { ticket: 2, ids: vec![7, 9, 8] }]);
        bench.store(2, 0, &[]);
        assert_eq!(bench.acks(), [(0x70, 7, 0), (0x70, 9, 0), (0x70, 8, 0)]);
    }
}

#[test]
fn a_repetition_shares_the_answer_of_what_is_being_stored() {
    let mut bench = kept(5, &[]);
    bench.send(&publish(5, "hall/a", 2, 7, b"x"));
    bench.send(&publish_with(5, "hall/a", 12, 7, &[], b"x"));
    assert_eq!(bench.intake().count, 1);
    bench.store(1, 1, &[]);
    assert_eq!(bench.acks(), [(0x50, 7, 0)]);
    bench.send(&ack(0x62, 7));
    bench.send(&ack(0x62, 7));
    assert_eq!(bench.asks(), [Ask::Release { ticket: 2, ids: vec![7] }]);
    bench.store(2, 0, &[]);
    assert_eq!(bench.acks(), [(0x70, 7, 0)]);
}

#[test]
fn an_unknown_release_is_answered_at_once_but_in_order() {
    for (level, reason) in [(4, 0), (5, 0x92)] {
        let mut bench = kept(level, &[]);
        bench.send(&ack(0x62, 5));
        assert_eq!(bench.acks(), [(0x70, 5, reason)]);
        bench.send(&[publish(level, "hall/a", 1, 1, b""), ack(0x62, 6)].concat());
        assert_eq!(bench.got(), b"");
        bench.store(1, 1, &[]);
        assert_eq!(bench.acks(), [(0x40, 1, 0), (0x70, 6, reason)]);
    }
}

#[test]
fn a_refused_publication_leaves_its_id_free() {
    let mut bench = kept(5, &[]);
    bench.send(&publish(5, "hall/a", 2, 7, b"x"));
    bench.asks();
    bench.store(1, 1, &[(0, Code::QuotaExceeded)]);
    assert_eq!(bench.acks(), [(0x50, 7, 0x97)]);
    bench.send(&publish(5, "hall/a", 2, 7, b"y"));
    assert_eq!(bench.intake().count, 1);
    bench.store(2, 1, &[]);
    assert_eq!(bench.acks(), [(0x50, 7, 0)]);
}

#[test]
fn a_release_that_was_not_stored_is_never_said_to_be_complete() {
    for level in BOTH {
        let mut bench = kept(level, &[7, 9]);
        bench.send(&[ack(0x62, 7), ack(0x62, 9)].concat());
        assert_eq!(bench.asks(), [Ask::Release { ticket: 1, ids: vec![7, 9] }]);
        bench.store(1, 0, &[(0, Code::LogFailing), (1, Code::LogFailing)]);
        assert!(!bench.got().starts_with(&[0x70]), "the device has to come back and release it again");
        assert!(bench.closed.is_some());
    }
}

#[test]
fn tickets_follow_the_order_of_packets() {
    let mut bench = kept(5, &[1, 2]);
    let stream = [
        publish(5, "hall/a", 1, 10, b""),
        ack(0x62, 1),
        publish(5, "hall/a", 2, 11, b""),
        ack(0x62, 2),
        publish(5, "hall/a", 1, 12, b""),
    ];
    bench.send(&stream.concat());
    let asks = bench.asks();
    assert!(
        matches!(&asks[..], [Ask::Publish(a), Ask::Release { ticket: 2, ids }, Ask::Publish(b)]
            if (a.ticket, a.count) == (1, 1) && *ids == [1, 2] && (b.ticket, b.count) == (3, 2)),
        "{asks:?}"
    );
    bench.store(1, 1, &[]);
    assert_eq!(bench.acks(), [(0x40, 10, 0)]);
    bench.store(2, 0, &[]);
    assert_eq!(bench.acks(), [(0x70, 1, 0)], "the next waits for a later batch");
    bench.store(3, 2, &[]);
    assert_eq!(bench.acks(), [(0x50, 11, 0), (0x70, 2, 0), (0x40, 12, 0)]);
}

#[test]
fn an_id_in_use_names_no_other_publication() {
    for level in BOTH {
        let mut bench = kept(level, &[7]);
        bench.send(&[ack(0x62, 7), publish(level, "hall/a", 2, 7, b"new")].concat());
        assert!(matches!(&bench.asks()[..], [Ask::Release { .. }]), "it is not stored under a released id");
        bench.store(1, 0, &[]);
        match level {
            5 => assert_eq!(bench.acks(), [(0x70, 7, 0), (0x50, 7, 0x91)]),
            _ => assert_eq!((bench.got(), bench.code()), (vec![0x70, 2, 0, 7], Some(Code::WrongState))),
        }
    }
}

#[test]
fn a_release_before_its_pubrec_is_an_error() {
    let mut bench = kept(5, &[]);
    bench.send(&[publish(5, "hall/a", 2, 7, b""), ack(0x62, 7)].concat());
    assert_eq!(bench.code(), Some(Code::WrongState));
}
