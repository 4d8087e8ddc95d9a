//! Who gets in.

use super::*;

#[test]
fn hub_speaks_first_and_welcomes_who_proves_to_be_a_registered_edge() {
    let mut hub = Hub::new();
    hub.open(C1);
    assert!(matches!(hub.outputs[..], [Output::Send { frame: HubFrame::Nonce { .. }, .. }]));
    let frame = hub.signed(C1, &hello());
    assert!(matches!(hub.frame(C1, frame), [Output::Lookup { connection: C1, .. }]));
    assert!(welcomed(hub.found(C1), C1));
    let Some(Output::Send { frame: HubFrame::Welcome(welcome, signature), .. }) =
        hub.outputs.iter().find(|o| matches!(o, Output::Send { frame: HubFrame::Welcome(..), .. }))
    else {
        panic!("{:?}", hub.outputs)
    };
    let bytes = sign::welcome_bytes(welcome, &hello(), Nonce([1; 32]), b"tls");
    assert!(handshake::holds(hub.receivers.identity().key, &bytes, *signature));
}

#[test]
fn captured_hello_cannot_be_replayed() {
    let mut hub = Hub::new();
    hub.open(C1);
    let captured = hub.signed(C1, &hello());
    hub.frame(C1, captured.clone());
    assert!(welcomed(hub.found(C1), C1));
    hub.open(C2);
    hub.frame(C2, captured);
    assert_eq!(closed(hub.found(C2), C2), Some(RefusedCode::NotAuthorised));
    // The original is not disturbed.
    assert_eq!(ingests(hub.frame(C1, EdgeFrame::Batch(batch(5, 1, 2)))).len(), 1);
}

#[test]
fn wrong_keys_unknown_edges_and_other_bindings_look_the_same() {
    let refuse = |sign_with: Key, edge: Option<Registered>, binding: &[u8]| {
        let mut hub = Hub::new();
        hub.open(C1);
        let bytes = sign::hello_bytes(&hello(), hub.receivers.identity(), Nonce([1; 32]), binding);
        hub.frame(C1, EdgeFrame::Hello(Box::new(hello()), sign_with.sign(&bytes)));
        hub.input(Input::Found { connection: C1, edge }).to_vec()
    };
    let other = Registered { key: Key::from_secret(&[8; 32]).public(), ..registered() };
    let refusals = [
        refuse(Key::from_secret(&[8; 32]), Some(registered()), b"tls"),
        refuse(edge_key(), Some(other), b"tls"),
        refuse(edge_key(), None, b"tls"),
        refuse(edge_key(), Some(registered()), b"another connection"),
        refuse(edge_key(), Some(registered()), b""),
    ];
    for refusal in &refusals {
        assert_eq!(closed(refusal, C1), Some(RefusedCode::NotAuthorised));
        assert_eq!(refusal, &refusals[0]);
    }
    assert!(welcomed(&refuse(edge_key(), Some(registered()), b"tls"), C1));
}

#[test]
fn signed_for_another_hub_is_refused() {
    let mut hub = Hub::new();
    hub.open(C1);
    for other in [
        HubIdentity { log: LogId(78), ..hub.receivers.identity() },
        HubIdentity { key: edge_key().public(), ..hub.receivers.identity() },
    ] {
        let connection = ConnectionId(other.log.0);
        hub.open(connection);
        let nonce = Nonce([connection.0 as u8; 32]);
        let signature = edge_key().sign(&sign::hello_bytes(&hello(), other, nonce, b"tls"));
        hub.frame(connection, EdgeFrame::Hello(Box::new(hello()), signature));
        assert_eq!(closed(hub.found(connection), connection), Some(RefusedCode::NotAuthorised));
    }
}

#[test]
fn no_hello_within_five_seconds_closes() {
    let mut hub = Hub::new();
    hub.open(C1);
    assert_eq!(hub.receivers.poll_timeout(), Some((later(5000).time, Wake::Hello)));
    hub.input(Input::Heard { connection: C1 });
    assert_eq!(closed(hub.deadline_in(4999), C1), None);
    assert_eq!(closed(hub.deadline_in(1), C1), Some(RefusedCode::Timeout));
    assert_eq!(hub.receivers.connections(), 0);
    assert_eq!(hub.receivers.poll_timeout(), None);
}

#[test]
fn anything_but_hello_comes_too_early() {
    let frames = [
        EdgeFrame::Batch(batch(5, 1, 1)),
        EdgeFrame::Latest(batch(5, 1, 1)),
        EdgeFrame::CaughtUp { epoch: Epoch(5), through: Seq(1) },
        EdgeFrame::Ping(1),
        EdgeFrame::Pong(1),
        EdgeFrame::Bye { last_added: Seq(1) },
    ];
    for frame in frames {
        let mut hub = Hub::new();
        hub.open(C1);
        assert_eq!(closed(hub.frame(C1, frame.clone()), C1), Some(RefusedCode::WrongState), "{frame:?}");
        assert!(ingests(&hub.outputs).is_empty());
        hub.open(C2);
        let greeting = hub.signed(C2, &hello());
        hub.frame(C2, greeting);
        assert_eq!(
            closed(hub.frame(C2, frame), C2),
            Some(RefusedCode::WrongState),
            "before the directory answered"
        );
    }
}

#[test]
fn a_second_hello_closes() {
    let mut hub = Hub::new();
    hub.greet(C1, &hello());
    let again = hub.signed(C1, &hello());
    assert_eq!(closed(hub.frame(C1, again), C1), Some(RefusedCode::WrongState));
}

#[test]
fn chains_that_no_log_has_are_malformed() {
    let opening = |epoch, first, last| Opening {
        span: EpochSpan { epoch: Epoch(epoch), first: Seq(first), last: Seq(last) },
        anchor: None,
    };
    let bad = [
        vec![],
        vec![opening(5, 0, 10)],
        vec![opening(4, 1, 5), opening(5, 5, 10)],
        vec![opening(4, 1, 5), opening(5, 7, 10)],
        vec![opening(5, 1, 5), opening(5, 6, 10)],
        vec![opening(5, 1, 5), opening(4, 6, 10)],
        vec![opening(5, 12, 10)],
        vec![opening(5, 1, 9)],
        vec![opening(5, 1, u64::MAX)],
    ];
    for chain in bad {
        let mut hub = Hub::new();
        let hello = Hello { chain, ..hello() };
        hub.open(C1);
        let frame = hub.signed(C1, &hello);
        assert_eq!(closed(hub.frame(C1, frame), C1), Some(RefusedCode::Malformed), "{hello:?}");
    }
}

#[test]
fn welcome_waits_for_the_commits_of_the_connection_before() {
    let mut hub = Hub::new();
    hub.greet(C1, &hello());
    hub.frame(C1, EdgeFrame::Batch(batch(5, 1, 4)));
    let token = ingests(&hub.outputs)[0].token;
    hub.input(Input::Closed { connection: C1 });
    assert!(!welcomed(hub.greet(C2, &hello()), C2));
    let outputs = hub.input(Input::Ingested { token, refused: Vec::new() }).to_vec();
    assert!(welcomed(&outputs, C2));
    let taken = outputs.iter().find_map(|o| match o {
        Output::Send { frame: HubFrame::Welcome(welcome, _), .. } => welcome.taken.first().copied(),
        _ => None,
    });
    assert_eq!(taken.map(|taken| taken.cursor.through), Some(Seq(4)));
}

#[test]
fn frames_of_a_replaced_connection_are_not_taken() {
    let mut hub = Hub::new();
    hub.greet(C1, &hello());
    let outputs = hub.greet(C2, &hello()).to_vec();
    assert_eq!(closed(&outputs, C1), Some(RefusedCode::Replaced));
    assert!(welcomed(&outputs, C2));
    assert_eq!(hub.frame(C1, EdgeFrame::Batch(batch(5, 1, 4))), []);
    assert_eq!(ingests(hub.frame(C2, EdgeFrame::Batch(batch(5, 1, 4)))).len(), 1);
}

fn other_epoch() -> Hello {
    let span = EpochSpan { epoch: Epoch(6), first: Seq(1), last: Seq(10) };
    Hello { chain: vec![Opening { span, anchor: None }], live: Epoch(6), ..hello() }
}

fn ping(outputs: &[Output]) -> Option<u64> {
    outputs.iter().find_map(|o| match o {
        Output::Send { connection: C1, frame: HubFrame::Ping(n) } => Some(*n),
        _ => None,
    })
}

#[test]
fn a_newcomer_with_another_epoch_is_a_clone_if_the_old_one_answers() {
    let mut hub = Hub::new();
    hub.greet(C1, &hello());
    let asked = ping(hub.greet(C2, &other_epoch())).unwrap();
    assert!(!welcomed(&hub.outputs, C2));
    // Anything else may have been under way before the question.
    assert_eq!(closed(hub.frame(C1, EdgeFrame::Ping(9)), C2), None);
    assert_eq!(closed(hub.frame(C1, EdgeFrame::Pong(asked - 1)), C2), None);
    let outputs = hub.frame(C1, EdgeFrame::Pong(asked));
    assert_eq!(closed(outputs, C2), Some(RefusedCode::Clone));
    assert!(outputs.iter().any(|o| matches!(o, Output::Emit { event: SystemEvent::Clone { .. }, .. })));
    assert_eq!(closed(hub.deadline_in(5000), C1), None, "it answered");
}

#[test]
fn a_newcomer_with_another_epoch_replaces_one_that_does_not_answer() {
    let mut hub = Hub::new();
    hub.greet(C1, &hello());
    hub.deadline_in(100);
    assert!(ping(hub.greet(C2, &other_epoch())).is_some());
    // Frames without the answer do not count, nor do further newcomers give it more time.
    hub.deadline_in(3000);
    hub.frame(C1, EdgeFrame::Ping(9));
    let c3 = ConnectionId(3);
    assert_eq!(closed(hub.greet(c3, &other_epoch()), C2), Some(RefusedCode::Replaced));
    hub.deadline_in(1999);
    assert_eq!(closed(&hub.outputs, C1), None);
    let outputs = hub.deadline_in(1);
    assert_eq!(closed(outputs, C1), Some(RefusedCode::Replaced));
    assert!(welcomed(outputs, c3));
}

#[test]
fn a_newcomer_gets_in_as_soon_as_the_old_one_is_gone() {
    let mut hub = Hub::new();
    hub.greet(C1, &hello());
    hub.greet(C2, &other_epoch());
    assert!(welcomed(hub.input(Input::Closed { connection: C1 }), C2));
}

#[test]
fn the_same_machine_coming_anew_shows_that_the_newcomer_is_a_clone() {
    let mut hub = Hub::new();
    hub.greet(C1, &hello());
    hub.greet(C2, &other_epoch());
    let c3 = ConnectionId(3);
    let outputs = hub.greet(c3, &hello());
    assert_eq!(closed(outputs, C1), Some(RefusedCode::Replaced));
    assert_eq!(closed(outputs, C2), Some(RefusedCode::Clone));
    assert!(welcomed(outputs, c3));
}

#[test]
fn an_edge_cannot_speak_for_the_log_of_another() {
    let mut hub = Hub::new();
    hub.greet(C1, &hello());
    let thief = Hello { edge: ClientId(Uuid::from_bytes([4; 16])), ..hello() };
    assert_eq!(closed(hub.greet(C2, &thief), C2), Some(RefusedCode::Clone));
    assert_eq!(ingests(hub.frame(C1, EdgeFrame::Batch(batch(5, 1, 1)))).len(), 1);
}

#[test]
fn a_log_stays_its_edges_over_a_restart() {
    let cursor = CursorValue { through: Seq(3), heard: Seq(10), crc: 0, first: Seq(1), gapped: 0 };
    let mut hub = Hub::over([(CursorKey::Ingest(EDGE, LogId(1), Epoch(5)), cursor)]);
    let thief = Hello { edge: ClientId(Uuid::from_bytes([4; 16])), ..hello() };
    assert_eq!(closed(hub.greet(C2, &thief), C2), Some(RefusedCode::Clone));
    assert!(welcomed(hub.greet(C1, &hello()), C1));
}

#[test]
fn going_back_within_an_epoch_is_a_fork() {
    let cursor = CursorValue { through: Seq(8), heard: Seq(12), crc: 99, ..CursorValue::default() };
    let known = |cursor| [(CursorKey::Ingest(EDGE, LogId(1), Epoch(5)), cursor)];
    let mut heard_more = Hub::over(known(cursor));
    assert_eq!(closed(heard_more.greet(C1, &hello()), C1), Some(RefusedCode::Forked));
    let cursor = CursorValue { heard: Seq(10), ..cursor };
    let at =
        |crc| Hello { cursor: CursorValue { through: Seq(8), crc, ..CursorValue::default() }, ..hello() };
    assert_eq!(closed(Hub::over(known(cursor)).greet(C1, &at(98)), C1), Some(RefusedCode::Forked));
    assert!(welcomed(Hub::over(known(cursor)).greet(C1, &at(99)), C1));
    assert!(welcomed(Hub::over(known(cursor)).greet(C1, &at(0)), C1));
    // In an epoch that is over nothing can be renamed any more: refusing would be for ever.
    let opening = |epoch, first, last| Opening {
        span: EpochSpan { epoch: Epoch(epoch), first: Seq(first), last: Seq(last) },
        anchor: None,
    };
    let over = Hello { chain: vec![opening(5, 1, 8), opening(6, 9, 10)], live: Epoch(6), ..at(98) };
    assert!(welcomed(Hub::over(known(cursor)).greet(C1, &over), C1));
}

#[test]
fn revoked_edges_and_shutdowns_close() {
    let mut hub = Hub::new();
    hub.greet(C1, &hello());
    let edge = hello().edge;
    assert_eq!(closed(hub.input(Input::Revoked { edge }), C1), Some(RefusedCode::NotAuthorised));
    hub.greet(C1, &hello());
    hub.open(C2);
    let outputs = hub.input(Input::Shutdown { after_ms: 500 });
    for connection in [C1, C2] {
        assert_eq!(closed(outputs, connection), Some(RefusedCode::ShuttingDown));
    }
    assert!(outputs.iter().any(|o| {
        matches!(o, Output::Send { frame: HubFrame::Refused(Refused { after_ms: Some(500), .. }), .. })
    }));
    assert_eq!(hub.receivers.poll_timeout(), None);
}

#[test]
fn silence_is_pinged_after_five_seconds_and_closed_after_twelve() {
    let mut hub = Hub::new();
    hub.greet(C1, &hello());
    assert!(ping(hub.deadline_in(5000)).is_some());
    hub.input(Input::Heard { connection: C1 });
    assert!(ping(hub.deadline_in(5000)).is_some());
    assert_eq!(closed(hub.deadline_in(6999), C1), None);
    let outputs = hub.deadline_in(1);
    assert_eq!(closed(outputs, C1), Some(RefusedCode::Timeout));
    assert!(outputs.iter().any(|o| matches!(o, Output::Emit { event: SystemEvent::EdgeSilent { .. }, .. })));
}

#[test]
fn a_log_that_is_new_is_turned_away_where_segments_have_no_room_for_its_cursors_and_one_that_is_known_is_not()
{
    let cursor = |log| (CursorKey::Ingest(EDGE, log, Epoch(5)), CursorValue::default());
    let mut hub = Hub::over([cursor(LogId(70)), cursor(LogId(71))]);
    hub.receivers.config.cursors_max = 2;
    let said = hub.greet(C1, &hello()).to_vec();
    assert_eq!(closed(&said, C1), Some(RefusedCode::TooMany));
    let told = |o: &Output| matches!(o, Output::Emit { event: SystemEvent::EdgeRefused { code, .. }, .. } if code == "too_many");
    assert!(said.iter().any(told), "{said:?}");
    let late = |o: &Output| matches!(o, Output::Send { frame: HubFrame::Refused(refused), .. } if refused.after_ms == Some(60_000));
    assert!(said.iter().any(late), "{said:?}");
    let known = Hello { log: LogId(71), ..hello() };
    assert!(welcomed(hub.greet(C2, &known), C2));
    hub.receivers.config.cursors_max = 4;
    assert!(welcomed(hub.greet(ConnectionId(3), &hello()), ConnectionId(3)));
}

#[test]
fn an_edge_whose_clock_is_wrong_when_it_greets_is_told_to_be_and_when_it_is_right_again() {
    let mut hub = Hub::new();
    let clock = hello().clock;
    let told = |outputs: &[Output]| -> Vec<(i64, bool)> {
        let of_clock = |output: &Output| match output {
            Output::Emit { event: SystemEvent::EdgeClock { edge: EDGE, off_ms, right, .. }, .. } => {
                Some((*off_ms, *right))
            }
            _ => None,
        };
        outputs.iter().filter_map(of_clock).collect()
    };
    let mut greet = |connection, off_ms| {
        let wall = Wall(later(0).wall.0 + off_ms);
        let hello = Hello { clock: Stamp { wall, ..clock }, ..hello() };
        told(hub.greet(ConnectionId(connection), &hello))
    };
    assert_eq!(greet(1, 9_000), []);
    assert_eq!(greet(2, -3_600_000), [(-3_600_000, false)]);
    assert_eq!(greet(3, -3_600_500), [], "it was told");
    assert_eq!(greet(4, 3), [(3, true)]);
    assert_eq!(greet(5, 0), []);
}
