//! What a client is pushed: each push names the one before it, and pings say how far all is told.

use super::*;

#[test]
fn every_push_says_where_the_one_before_it_was() {
    let mut door = reading("");
    let outputs = tell(
        &mut door,
        deliver(vec![msg(5, 10, 11), through(5, 20), msg(5, 20, 21), gap(5, 22, 24), msg(5, 24, 25)]),
    );
    // The client does not hear of 20: to it, 21 follows 11.
    assert_eq!(steps(&outputs), [(11, 10), (21, 11), (25, 24)]);
    assert_eq!(texts(&outputs)[2]["count"], 3);
    let outputs = tell(&mut door, deliver(vec![msg(5, 11, 26)]));
    assert_eq!(steps(&outputs), [(26, 11)], "where the bus jumped, the client must see it");
}

#[test]
fn a_bus_that_goes_on_from_the_last_delivery_is_followed_too() {
    let mut door = reading("");
    let outputs = tell(&mut door, deliver(vec![msg(5, 10, 11), through(5, 20), msg(5, 11, 21)]));
    assert_eq!(steps(&outputs), [(11, 10), (21, 11)]);
}

#[test]
fn who_is_behind_asks_for_the_next_part_before_it_says_this_one_unless_its_window_decides_that() {
    let part = |door: &mut Envelope| tell(door, Tell::Deliver { pushes: vec![msg(5, 10, 11)], more: true });
    let behind = part(&mut reading(""));
    assert!(matches!(behind[..], [Output::Ask(Ask::Pull { bytes: 32_768, stands: true }), Output::Texts(_)]));
    let windowed = part(&mut reading(r#","credit":9"#));
    assert!(matches!(windowed[..], [Output::Texts(_), Output::Ask(Ask::Pull { stands: false, .. })]));
}

#[test]
fn pings_carry_how_far_everything_was_pushed_and_move_the_client_there() {
    let mut door = reading("");
    tell(&mut door, deliver(vec![msg(5, 10, 11)]));
    assert_eq!(door.poll_timeout(), Some(at(25_001).time));
    assert!(turn(&mut door, Input::Deadline, 25_000).is_empty());
    // How far a quiet subscription is, the bus says when it is asked.
    let outputs = turn(&mut door, Input::Deadline, 25_001);
    assert!(matches!(asks(&outputs)[..], [Ask::Pull { .. }]) && texts(&outputs).is_empty());
    let ping = tell(&mut door, deliver(vec![through(5, 20)]));
    assert_eq!(texts(&ping), [json!({"ev": "ping", "through": {"5": position(20).to_string()}})]);
    assert_eq!(door.poll_timeout(), Some(at(50_001).time));
    tell(&mut door, Tell::Ready);
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 20, 21)]))), [(21, 20)]);
    turn(&mut door, Input::Room(0), 3);
    assert!(turn(&mut door, Input::Deadline, 60_000).is_empty(), "a socket that takes nothing gets no pings");
}

#[test]
fn a_client_without_credit_is_pinged_too() {
    let mut door = reading(r#","credit":0"#);
    tell(&mut door, deliver(vec![msg(5, 10, 11)]));
    let ping = turn(&mut door, Input::Deadline, 25_001);
    assert_eq!(texts(&ping), [json!({"ev": "ping", "through": {"5": position(10).to_string()}})]);
}

#[test]
fn latest_is_shown_without_moving_the_position() {
    let mut door = reading(r#","flow":"conflate""#);
    let outputs = tell(&mut door, deliver(vec![msg(5, 10, 0), msg(5, 10, 11)]));
    assert_eq!(texts(&outputs)[0]["latest"], true);
    assert_eq!(steps(&outputs), [(0, 10), (11, 10)]);
}

#[test]
fn entries_that_are_no_publications_are_passed_over_and_damage_is_a_gap() {
    let mut door = reading("");
    let mut canary = Vec::new();
    let stamp = at(0).stamp();
    entry::write_frame(&mut canary, riser_model::RouteNumber(0), entry::Kind::Opened, 0, stamp, |_| {});
    let opened = Bytes::from(canary).slice(entry::FRAME_HEADER_BYTES..);
    let pushes =
        vec![delivery(5, 10, 11, opened), delivery(5, 11, 12, Bytes::from_static(b"?")), msg(5, 12, 13)];
    let outputs = tell(&mut door, deliver(pushes));
    let pushed = texts(&outputs);
    assert_eq!(
        (&pushed[0]["ev"], &pushed[0]["cause"], &pushed[0]["from"]),
        (&json!("gap"), &json!("damage"), &json!(12))
    );
    assert_eq!(steps(&outputs), [(13, 12)]);
}

#[test]
fn pushes_of_a_replaced_subscription_belong_to_nobody() {
    let mut door = reading("");
    let outputs = text(&mut door, r##"{"op":"subscribe","id":3,"sub":5,"channels":"#","from":"start"}"##);
    assert_eq!(asks(&outputs), [&subscribe(5, From::Start, Flow::Credit)]);
    assert!(texts(&tell(&mut door, deliver(vec![msg(5, 10, 11)]))).is_empty());
    assert_eq!(texts(&tell(&mut door, subscribed(5, 0)))[0]["re"], 3);
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 0, 1)]))), [(1, 0)]);

    let outputs = text(&mut door, r#"{"op":"unsubscribe","id":4,"sub":5}"#);
    assert_eq!((asks(&outputs), texts(&outputs).len()), (vec![&unsubscribe(5)], 0));
    assert!(texts(&tell(&mut door, deliver(vec![msg(5, 1, 2)]))).is_empty());
    let done = tell(&mut door, Tell::Unsubscribed { subscription: SubscriptionId(5) });
    assert_eq!(texts(&done), [json!({"re": 4, "ok": {}})]);
}

#[test]
fn subscriptions_are_counted_and_a_refused_one_frees_its_place() {
    let mut door = open();
    let request = |sub| format!(r##"{{"op":"subscribe","id":3,"sub":{sub},"channels":"#"}}"##);
    for sub in 0..SUBSCRIPTIONS_CEILING {
        assert_eq!(asks(&text(&mut door, &request(sub))).len(), 1);
    }
    assert_eq!(texts(&text(&mut door, &request(SUBSCRIPTIONS_CEILING)))[0]["error"]["code"], "too_many");
    assert_eq!(
        asks(&text(&mut door, &request(SUBSCRIPTIONS_CEILING - 1))).len(),
        1,
        "a replacement needs no place"
    );
    assert_eq!(texts(&tell(&mut door, not_subscribed(7, Code::Denied)))[0]["error"]["code"], "denied");
    assert_eq!(asks(&text(&mut door, &request(SUBSCRIPTIONS_CEILING))).len(), 1);
}
