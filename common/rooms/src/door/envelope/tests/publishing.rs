//! What a client publishes: receipts, and what is wrong with a request.

use super::*;

#[test]
fn a_receipt_leaves_only_after_the_commit() {
    let mut door = open();
    let request =
        r#"{"op":"publish","id":4,"channel":"a/b","data":{"x":1},"publish_id":{"producer":"9","n":1}}"#;
    let outputs = text(&mut door, request);
    assert!(texts(&outputs).is_empty());
    let [Ask::Publish(intake)] = asks(&outputs)[..] else { panic!("{outputs:?}") };
    let channel = Target::Channel("plant".parse().unwrap(), "a/b".parse().unwrap());
    assert_eq!((intake.ticket, &intake.aliases), (1, &vec![(0, channel)]));
    assert_eq!(
        entries(asks(&outputs)[0]),
        [(0, 1, "application/json".into(), b"{\"x\":1}".to_vec(), Some(9))]
    );

    let again = text(&mut door, r#"{"op":"publish","id":5,"channel":"a/b","data":"t"}"#);
    let [Ask::Publish(intake)] = asks(&again)[..] else { panic!("{again:?}") };
    assert_eq!((intake.ticket, intake.aliases.len()), (2, 0), "a channel is named once");

    assert_eq!(
        texts(&tell(&mut door, stored(1, 7, vec![]))),
        [json!({"re": 4, "ok": {"pos": position(7).to_string()}})]
    );
    let refused = tell(&mut door, stored(2, 8, vec![(0, no(Code::QuotaExceeded))]));
    assert_eq!(
        texts(&refused),
        [json!({"re": 5, "error": {"code": "quota_exceeded", "what": "no", "want": "yes"}})]
    );
    assert!(tell(&mut door, stored(2, 8, vec![])).is_empty(), "a ticket is answered once");
}

#[test]
fn a_batch_gets_a_receipt_each() {
    let mut door = open();
    let outputs = text(
        &mut door,
        r#"{"op":"publish","id":4,"messages":[{"channel":"a","data":1},{"channel":"b","data":2},{"channel":"a","data":3}]}"#,
    );
    let aliases: Vec<u32> = entries(asks(&outputs)[0]).into_iter().map(|entry| entry.0).collect();
    assert_eq!(aliases, [0, 1, 0]);
    let outputs = tell(&mut door, stored(1, 7, vec![(1, no(Code::Denied))]));
    let receipts = json!([
        {"pos": position(7).to_string()},
        {"error": {"code": "denied", "what": "no", "want": "yes"}},
        {"pos": position(8).to_string()},
    ]);
    assert_eq!(texts(&outputs), [json!({"re": 4, "ok": {"receipts": receipts}})]);
}

#[test]
fn what_is_wrong_with_a_request_does_not_disturb_the_others() {
    let mut door = open();
    for (request, code) in [
        (r#"{"op":"publish","id":4,"channel":"a/#","data":1}"#, "bad_name"),
        (r#"{"op":"publish","id":4,"chanel":"a","data":1}"#, "malformed"),
        (r#"{"op":"hello","id":4}"#, "wrong_state"),
        (r#"{"op":"unsubscribe","id":4,"sub":1}"#, "wrong_state"),
        (r#"{"op":"credit","id":4,"sub":1,"n":1}"#, "wrong_state"),
    ] {
        let outputs = text(&mut door, request);
        assert_eq!((outputs.len(), &texts(&outputs)[0]["re"]), (1, &json!(4)), "{request}");
        assert_eq!(texts(&outputs)[0]["error"]["code"], code, "{request}");
    }
    assert_eq!(texts(&text(&mut door, r#"{"op":"ping","id":6}"#)), [json!({"re": 6, "ok": {}})]);
}

#[test]
fn what_no_reply_could_name_closes() {
    for input in
        [Input::Text("[1]".into()), Input::Text(r#"{"op":"ping"}"#.into()), Input::Bytes(Bytes::new())]
    {
        let mut door = open();
        let outputs = turn(&mut door, input, 1);
        assert_eq!(closed(&outputs), Some(Code::Malformed));
        assert_eq!(asks(&outputs), [&Ask::Leave { cause: "malformed".into(), expiry_s: None }]);
    }
}

#[test]
fn a_batch_that_fits_into_no_commit_is_refused_whole() {
    let mut door = open();
    let data = "x".repeat(250 * 1024);
    let message = format!(r#"{{"channel":"a","data":"{data}"}}"#);
    let batch = format!(r#"{{"op":"publish","id":4,"messages":[{}]}}"#, vec![message; 5].join(","));
    let outputs = text(&mut door, &batch);
    assert_eq!(texts(&outputs)[0]["error"]["code"], "too_large");
    assert!(asks(&outputs).is_empty());
    // Its channel was not named to the bus, so the next one must be.
    let outputs = text(&mut door, r#"{"op":"publish","id":5,"channel":"a","data":1}"#);
    let [Ask::Publish(intake)] = asks(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!((intake.ticket, intake.aliases.len()), (1, 1));
}

#[test]
fn channels_without_end_are_numbered_anew() {
    let mut door = open();
    for round in 0..3 {
        let messages: Vec<_> =
            (0..4096).map(|i| format!(r#"{{"channel":"{round}/{i}","data":1}}"#)).collect();
        let outputs =
            text(&mut door, &format!(r#"{{"op":"publish","id":4,"messages":[{}]}}"#, messages.join(",")));
        let [Ask::Publish(intake)] = asks(&outputs)[..] else { panic!("no intake") };
        let first = if round == 1 { 4096 } else { 0 };
        assert_eq!((intake.aliases.len(), intake.aliases[0].0), (4096, first), "{round}");
        tell(&mut door, stored(round + 1, 1, vec![]));
    }
}
