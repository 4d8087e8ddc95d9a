//! Lines, as they arrive in pieces, and the receipt for them.

use super::*;
use riser_model::{
    AccountId, ClientId, ConnectionId, Epoch, LogId, Principal,
    door::{Intake, SessionState},
    principal::Grants,
};
use riser_shell::Metrics;
use riser_wire::entry::{Body, frames};
use std::sync::Arc;

fn opened() -> Lines {
    let meter = Meter::new("s", &Arc::new(Metrics::new("edge", "0")));
    let mut lines = Lines::new(Mapping::anything(), meter);
    assert!(matches!(lines.poll(), Some(Output::Ask(Ask::Enter { .. }))) && !lines.may_read());
    let principal = Arc::new(Principal {
        account: AccountId(Default::default()),
        account_name: "a".parse().unwrap(),
        client: ClientId(Default::default()),
        name: "c".parse().unwrap(),
        grants: Arc::new(Grants::default()),
        home: None,
    });
    let session = SessionState::default();
    lines.handle(
        Input::Tell(Tell::Entered { principal, connection: ConnectionId(1), session, room: None }),
        Now::default(),
    );
    assert!(lines.may_read());
    lines
}

fn read(lines: &mut Lines, bytes: &[u8]) {
    lines.handle(Input::Bytes(bytes.to_vec().into()), Now::default());
}

fn ends(lines: &mut Lines) {
    lines.handle(Input::Gone(END), Now::default());
}

fn stored(lines: &mut Lines, ticket: u64, first: u64, refused: &[(u32, Code)]) {
    let refusal = |code| Refusal { code, what: "w".to_owned(), want: "v".to_owned() };
    let refused = refused.iter().map(|(index, code)| (*index, refusal(*code))).collect();
    let tell = Tell::Stored { ticket, log: LogId(1), epoch: Epoch(2), first: Seq(first), refused };
    lines.handle(Input::Tell(tell), Now::default());
}

fn intakes(lines: &mut Lines) -> Vec<Intake> {
    let intake = |output| match output {
        Output::Ask(Ask::Publish(intake)) => Some(intake),
        _ => None,
    };
    std::iter::from_fn(|| lines.poll()).filter_map(intake).collect()
}

fn is_done(lines: &mut Lines) -> bool {
    std::iter::from_fn(|| lines.poll()).any(|output| output == Output::Done)
}

/// Each entry's alias and payload.
fn payloads(intakes: &[Intake]) -> Vec<(u32, Vec<u8>)> {
    let entries = intakes.iter().flat_map(|intake| frames(&intake.entries));
    let entry = |frame: riser_wire::entry::Frame<'_>| {
        let body = Body::read(frame.body).unwrap();
        (frame.route.0, Publication::read(&body).unwrap().payload.to_vec())
    };
    entries.map(|frame| entry(frame.unwrap())).collect()
}

#[test]
fn lines_are_the_same_however_they_arrive() {
    let text = b"r/a\tone\n\nr/b\t\nr/a\ttwo\tand a tab \nr/a\t\xff\xfe\nr/a\tlast";
    let want = [(0, &b"one"[..]), (1, b""), (0, b"two\tand a tab "), (0, b"\xff\xfe"), (0, b"last")];
    for piece in [1, 2, 5, text.len()] {
        let mut lines = opened();
        let mut found = Vec::new();
        for bytes in text.chunks(piece) {
            read(&mut lines, bytes);
            found.extend(intakes(&mut lines));
            lines.storing.clear();
        }
        ends(&mut lines);
        found.extend(intakes(&mut lines));
        assert_eq!(payloads(&found), want.map(|(alias, payload)| (alias, payload.to_vec())), "{piece}");
        assert_eq!(lines.receipt().lines, 6);
    }
}

#[test]
fn the_end_waits_for_the_last_commit() {
    let mut lines = opened();
    read(&mut lines, b"r/a\t1\nr/a\t2\n");
    read(&mut lines, b"r/a\t3");
    ends(&mut lines);
    assert_eq!(intakes(&mut lines).len(), 2);
    stored(&mut lines, 1, 10, &[]);
    assert!(!is_done(&mut lines) && lines.receipt().stored == 2);
    stored(&mut lines, 2, 15, &[]);
    assert!(is_done(&mut lines) && lines.receipt().is_complete());
    let json = lines.receipt().json();
    assert_eq!((&json["lines"], &json["stored"], &json["complete"]), (&json!(3), &json!(3), &json!(true)));
    assert_eq!(json["first"], "0000000000000001.0000000000000002.10");
    assert_eq!(json["last"], "0000000000000001.0000000000000002.15");
}

#[test]
fn a_bad_line_is_named_with_its_number_and_the_others_are_taken() {
    let long = [b"r/a\t", &vec![b'x'; PUBLICATION_BYTES_MAX + 1][..], b"\n"].concat();
    let longer = [b"r/a\t", &vec![b'x'; LINE_BYTES_MAX * 3][..], b"\n"].concat();
    let topic = [&vec![b'x'; TOPIC_BYTES_MAX + 1][..], b"\tx\n"].concat();
    let text =
        [b"r/a\t1\nno tab here\nr/+\tx\n\tx\n\xff\tx\n", &long[..], &longer, &topic, b"r/a\t2\n"].concat();
    for piece in [1000, text.len()] {
        let mut lines = opened();
        let mut found = 0;
        for bytes in text.chunks(piece) {
            read(&mut lines, bytes);
            assert!(lines.partial.len() <= LINE_BYTES_MAX + 1);
            for intake in intakes(&mut lines) {
                found += intake.count;
                stored(&mut lines, intake.ticket, 1, &[]);
            }
        }
        ends(&mut lines);
        assert!(is_done(&mut lines) && found == 2);
        let receipt = lines.receipt();
        assert!(!receipt.is_complete() && receipt.ended);
        let faults: Vec<(u64, Code)> = receipt.faults.iter().map(|(line, why)| (*line, why.code)).collect();
        let want = [
            (2, Code::Malformed),
            (3, Code::BadName),
            (4, Code::BadName),
            (5, Code::BadName),
            (6, Code::TooLarge),
            (7, Code::TooLarge),
            (8, Code::BadName),
        ];
        assert_eq!((faults, receipt.lines, receipt.stored), (want.to_vec(), 9, 2));
    }
}

#[test]
fn what_the_bus_refuses_is_named_by_its_line() {
    let mut lines = opened();
    read(&mut lines, b"r/a\t1\nbad\nr/b\t2\nr/a\t3\n");
    ends(&mut lines);
    stored(&mut lines, 1, 5, &[(1, Code::Denied)]);
    let receipt = lines.receipt();
    let faults: Vec<u64> = receipt.faults.iter().map(|(line, _)| *line).collect();
    assert_eq!((faults, receipt.stored, receipt.refused), (vec![2, 3], 2, 2));
    assert_eq!(receipt.range.unwrap().1.seq, Seq(6));
}

#[test]
fn a_full_log_ends_the_reading_and_says_after_which_line() {
    let mut lines = opened();
    read(&mut lines, b"r/a\t1\nr/a\t2\n");
    read(&mut lines, b"r/a\t3\n");
    stored(&mut lines, 1, 5, &[(1, Code::QuotaExceeded)]);
    assert!(!lines.may_read() && !is_done(&mut lines), "the second batch waits for its commit");
    stored(&mut lines, 2, 6, &[]);
    assert!(is_done(&mut lines));
    let receipt = lines.receipt();
    assert!(!receipt.is_complete() && receipt.stopped.as_ref().unwrap().code == Code::QuotaExceeded);
    assert_eq!((receipt.faults[0].0, receipt.stored), (2, 2));
}

#[test]
fn no_more_is_read_while_something_waits_for_its_commit() {
    let mut lines = opened();
    read(&mut lines, b"r/a\t1\nr/a");
    assert!(!lines.may_read());
    stored(&mut lines, 1, 1, &[]);
    assert!(lines.may_read());
}

#[test]
fn a_stop_finishes_what_was_read_and_is_not_complete() {
    let mut lines = opened();
    read(&mut lines, b"r/a\t1\nr/a\t2");
    lines.stop(Refusal { code: Code::ShuttingDown, what: "w".to_owned(), want: "v".to_owned() });
    assert!(!lines.may_read() && !is_done(&mut lines));
    stored(&mut lines, 1, 1, &[]);
    assert!(is_done(&mut lines) && !lines.receipt().is_complete());
    assert_eq!((lines.receipt().lines, lines.receipt().stored), (1, 1), "half a line is none");
}

#[test]
fn who_may_not_enter_is_told_so() {
    let meter = Meter::new("s", &Arc::new(Metrics::new("edge", "0")));
    let mut lines = Lines::new(Mapping::anything(), meter);
    let refusal = Refusal { code: Code::NotAuthorised, what: "w".to_owned(), want: "v".to_owned() };
    lines.handle(Input::Tell(Tell::Refused(refusal.clone())), Now::default());
    assert!(is_done(&mut lines));
    assert_eq!(lines.receipt().stopped, Some(refusal));
}
