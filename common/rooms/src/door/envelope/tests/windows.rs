//! Windows: what a client has credit for, and what waits beside it.

use super::*;

#[test]
fn nothing_is_pulled_beyond_the_sockets_room() {
    let mut door = reading("");
    let big = "x".repeat(70_000);
    let push = publication(5, 10, 11, ContentType::Text, big.as_bytes());
    let outputs = tell(&mut door, deliver(vec![push]));
    assert_eq!((texts(&outputs).len(), asks(&outputs).len()), (1, 0), "the room is used up");
    assert!(tell(&mut door, Tell::Ready).is_empty());
    assert_eq!(asks(&turn(&mut door, Input::Room(500), 2)), [&Ask::Pull { bytes: 500, stands: true }]);
    assert!(turn(&mut door, Input::Room(500), 2).is_empty(), "one pull at a time");
    let some = Tell::Deliver { pushes: vec![msg(5, 11, 12)], more: true };
    assert_eq!(asks(&tell(&mut door, some)).len(), 1, "there is more, and there is room");
    assert!(tell(&mut door, deliver(vec![])).is_empty(), "when nothing more waits the bus says when");
    assert_eq!(asks(&tell(&mut door, Tell::Ready)).len(), 1);
}

#[test]
fn a_window_is_never_overdrawn() {
    let mut door = reading(r#","credit":2"#);
    let outputs = tell(&mut door, deliver((11..15).map(|seq| msg(5, seq - 1, seq)).collect()));
    assert_eq!((steps(&outputs), asks(&outputs).len()), (vec![(11, 10), (12, 11)], 0));
    assert!(tell(&mut door, Tell::Ready).is_empty(), "nothing is pulled that could only be parked");
    let outputs = text(&mut door, r#"{"op":"credit","sub":5,"n":1}"#);
    assert_eq!((steps(&outputs), asks(&outputs).len()), (vec![(13, 12)], 0));
    let outputs = text(&mut door, r#"{"op":"credit","id":9,"sub":5,"n":2}"#);
    assert_eq!(steps(&outputs), [(14, 13)]);
    assert!(matches!(asks(&outputs)[..], [Ask::Pull { .. }]), "it goes on where it stopped");
    assert_eq!(texts(&outputs)[1], json!({"re": 9, "ok": {}}));
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 14, 15), msg(5, 15, 16)]))), [(15, 14)]);
}

/// A subscription with a window beside one without, both at position 10.
fn beside(window: &str) -> Envelope {
    let mut door = reading(window);
    text(&mut door, r##"{"op":"subscribe","id":3,"sub":6,"channels":"#","flow":"conflate"}"##);
    tell(&mut door, subscribed(6, 10));
    door
}

fn pause(sub: u32, paused: bool) -> Ask {
    Ask::Pause { subscription: SubscriptionId(sub), paused }
}

#[test]
fn a_full_window_does_not_hold_the_others_and_goes_on_where_it_stopped() {
    let mut door = beside(r#","credit":1"#);
    let outputs = tell(&mut door, deliver((11..14).map(|seq| msg(5, seq - 1, seq)).collect()));
    assert_eq!((steps(&outputs), asks(&outputs)), (vec![(11, 10)], vec![&pause(5, true)]));
    assert!(matches!(asks(&tell(&mut door, Tell::Ready))[..], [Ask::Pull { .. }]), "it is let rest once");
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(6, 10, 14)]))), [(14, 10)]);

    let outputs = text(&mut door, r#"{"op":"credit","sub":5,"n":1}"#);
    assert_eq!(
        (steps(&outputs), asks(&outputs).len()),
        (vec![(12, 11)], 0),
        "there is more than it may have"
    );
    let outputs = text(&mut door, r#"{"op":"credit","sub":5,"n":2}"#);
    assert_eq!((steps(&outputs), asks(&outputs)), (vec![(13, 12)], vec![&pause(5, false)]));
    tell(&mut door, Tell::Ready);
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 13, 14), msg(5, 14, 15)]))), [(14, 13)]);
}

#[test]
fn what_the_system_says_does_not_wait_behind_a_full_window() {
    let mut door = reading(r#","credit":0"#);
    text(&mut door, r#"{"op":"subscribe","id":3,"sub":6,"technical":"room"}"#);
    tell(&mut door, subscribed(6, 0));
    let outputs = tell(&mut door, deliver(vec![msg(5, 10, 11)]));
    assert_eq!(asks(&outputs), [&pause(5, true)]);
    assert!(matches!(asks(&tell(&mut door, Tell::Ready))[..], [Ask::Pull { .. }]));
    assert_eq!(texts(&tell(&mut door, deliver(vec![event(6, 0, 12)])))[0]["ev"], "event");
}

#[test]
fn what_is_parked_is_bounded_and_read_again() {
    let big = vec![b'x'; 10_000];
    let pushes = || (11..20).map(|seq| publication(5, seq - 1, seq, ContentType::Text, &big)).collect();
    for mut door in [reading(r#","credit":0"#), beside(r#","credit":0"#)] {
        assert!(texts(&tell(&mut door, deliver(pushes()))).is_empty());
        let outputs = text(&mut door, r#"{"op":"credit","sub":5,"n":100}"#);
        assert_eq!(steps(&outputs), [(11, 10), (12, 11)]);
        assert_eq!(asks(&outputs), [&subscribe(5, From::After(position(12)), Flow::Credit)]);
        tell(&mut door, subscribed(5, 12));
        tell(&mut door, Tell::Ready);
        assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 12, 13)]))), [(13, 12)]);
    }
}

#[test]
fn a_window_that_began_at_a_time_is_read_again_by_that_time() {
    let big = vec![b'x'; 10_000];
    let mut door = reading("");
    text(&mut door, r#"{"op":"subscribe","id":4,"sub":5,"channels":"a","from":{"time":20},"credit":0}"#);
    let Tell::Subscribed { subscription, result: Ok(good) } = subscribed(5, 10) else { unreachable!() };
    let until = Some(position(99));
    let outputs =
        tell(&mut door, Tell::Subscribed { subscription, result: Ok(door::Subscribed { until, ..good }) });
    assert_eq!(texts(&outputs)[0]["ok"]["until"], json!(position(99).to_string()));
    let pushes = (11..15).map(|seq| publication(5, seq - 1, seq, ContentType::Text, &big)).collect();
    tell(&mut door, deliver(pushes));
    let outputs = text(&mut door, r#"{"op":"credit","sub":5,"n":100}"#);
    let from = From::Onward { after: position(12), since: Wall(20), until: position(99) };
    assert!(
        matches!(&asks(&outputs)[..], [Ask::Subscribe { from: asked, .. }] if *asked == from),
        "{outputs:?}"
    );
}

#[test]
fn a_window_that_is_read_again_tells_what_went_missing_meanwhile_or_why_it_ends() {
    let big = vec![b'x'; 10_000];
    let overrun = || {
        let mut door = beside(r#","credit":0"#);
        let pushes = (11..15).map(|seq| publication(5, seq - 1, seq, ContentType::Text, &big)).collect();
        tell(&mut door, deliver(pushes));
        text(&mut door, r#"{"op":"credit","sub":5,"n":100}"#);
        door
    };
    let mut door = overrun();
    let outputs = tell(&mut door, subscribed_after_gap(5, 13, 30));
    assert_eq!((&texts(&outputs)[0]["ev"], &texts(&outputs)[0]["count"]), (&json!("gap"), &json!(18)));
    tell(&mut door, Tell::Ready);
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 30, 31)]))), [(31, 30)]);

    let mut door = overrun();
    let outputs = tell(&mut door, not_subscribed(5, Code::Denied));
    assert_eq!(
        texts(&outputs),
        [json!({"ev": "end", "sub": 5, "error": {"code": "denied", "what": "no", "want": "yes"}})]
    );
}
