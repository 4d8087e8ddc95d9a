//! Golden messages of the envelope protocol, and what is said about every wrong one.

use super::*;
use crate::entry::{ContentType, Publication, PublishId};
use riser_model::{
    Cause, ClientId, ConnectionId, Epoch, Gap, LogId, Position, Seq, Wall,
    door::{Code, Completeness, Flow, From, Refusal, Secret, Subscribed},
    event::Scope,
};

fn read(text: &str) -> Op<'_> {
    Request::read(text).unwrap().op
}

fn position(seq: u64) -> Position {
    Position { log: LogId(0xabc), epoch: Epoch(u64::MAX), seq: Seq(seq) }
}

fn client() -> ClientId {
    ClientId("67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap())
}

fn refusal() -> Refusal {
    Refusal { code: Code::Denied, what: "no \"right\"".into(), want: "a grant".into() }
}

#[test]
fn every_request_is_read() {
    let hello = r##"{"op":"hello","id":1,"credential":{"user":"ann","password":"p\u0061ss"},
        "subscriptions":[{"sub":1,"channels":"a/+"},{"sub":2,"technical":"room"}]}"##;
    let Op::Hello(hello) = read(hello) else { panic!("not hello") };
    let password = Secret(bytes::Bytes::from_static(b"pass"));
    assert_eq!(hello.credential, Some(Shown::Password { user: "ann".into(), password }));
    assert_eq!(hello.subscriptions.len(), 2);
    assert_eq!(hello.subscriptions[0].from, From::Live);
    assert_eq!(hello.subscriptions[0].flow, Flow::Credit);
    assert_eq!(hello.subscriptions[1].channels, Channels::Technical(Technical::Room));

    let after = format!(
        r##"{{"op":"subscribe","id":2,"sub":7,"channels":"#","from":{{"after":"{}"}},"flow":"credit","credit":5}}"##,
        position(9)
    );
    let subscribe = Subscribe {
        sub: 7,
        channels: Channels::Filter("#".parse().unwrap()),
        from: From::After(position(9)),
        flow: Flow::Credit,
        credit: Some(5),
    };
    assert_eq!(read(&after), Op::Subscribe(subscribe));
    let onward = From::Onward { after: position(5), since: Wall(-7), until: position(9) };
    let onward_text = format!(r#"{{"after":"{}","time":-7,"until":"{}"}}"#, position(5), position(9));
    for (from, want) in [
        (r#""live""#, From::Live),
        (r#""start""#, From::Start),
        (r#"{"last":3}"#, From::Last(3)),
        (r#"{"time":-7}"#, From::Since(Wall(-7))),
        (&onward_text, onward),
    ] {
        let text =
            format!(r#"{{"op":"subscribe","id":2,"sub":7,"channels":"a","from":{from},"flow":"conflate"}}"#);
        let Op::Subscribe(read) = read(&text) else { panic!("not subscribe") };
        assert_eq!((read.from, read.flow), (want, Flow::Conflate));
    }
    assert_eq!(read(r#"{"op":"unsubscribe","id":0,"sub":7}"#), Op::Unsubscribe { sub: 7 });
    assert_eq!(read(r#"{"op":"credit","sub":7,"n":8}"#), Op::Credit { sub: 7, n: 8 });
    assert_eq!(read(r#"{"op":"ping","id":9007199254740991}"#), Op::Ping);
    let claim = r#"{"op":"hello","id":1,"credential":{"user":"pump","method":"ed25519"}}"#;
    let Op::Hello(hello) = read(claim) else { panic!("not hello") };
    let method = riser_model::door::Method::Key;
    assert_eq!(hello.credential, Some(Shown::Claim { user: "pump".into(), method }));
    let renew = r#"{"op":"renew","id":4,"credential":{"user":"pump","method":"ed25519"}}"#;
    assert_eq!(read(renew), Op::Renew(Shown::Claim { user: "pump".into(), method }));
    let proof = Secret(bytes::Bytes::from_static(b"AAAA"));
    assert_eq!(read(r#"{"op":"answer","proof":"AAAA"}"#), Op::Answer(proof));
    let decide = r#"{"op":"decide","id":3,"connection":7,"admit":true}"#;
    assert_eq!(read(decide), Op::Decide { connection: 7, room: None, admit: true });
    let there = r#"{"op":"decide","id":3,"connection":7,"room":"hall","admit":true}"#;
    assert_eq!(read(there), Op::Decide { connection: 7, room: Some("hall".parse().unwrap()), admit: true });
    for wrong in [r#"{"user":"a","method":"md5"}"#, r#"{"method":"ed25519"}"#] {
        let hello = format!(r#"{{"op":"hello","id":1,"credential":{wrong}}}"#);
        assert_eq!(Request::read(&hello).unwrap_err().refusal.code, Code::Malformed, "{wrong}");
    }
}

fn message(fields: &str) -> (String, Vec<u8>) {
    let text = format!(r#"{{"op":"publish","id":1,"channel":"c",{fields}}}"#);
    let Op::Publish(Publish::One(message)) = read(&text) else { panic!("not one message") };
    (message.content_type.into_owned(), message.payload.into_owned())
}

#[test]
fn payloads_keep_their_bytes() {
    for (fields, content_type, payload) in [
        (r#""data":"a\nb""#, "text/plain", &b"a\nb"[..]),
        (r#""data":{"a": 1.50}"#, "application/json", br#"{"a": 1.50}"#),
        (r#""data":null"#, "application/json", b"null"),
        (r#""data":"x","type":"application/json""#, "application/json", br#""x""#),
        (r#""data":[1],"type":"application/geo+json; v=1""#, "application/geo+json; v=1", b"[1]"),
        (r#""data":"<p>","type":"text/html""#, "text/html", b"<p>"),
        (r#""data_b64":"AP8=""#, "application/octet-stream", b"\x00\xff"),
        (r#""data_b64":"AP8=","type":"image/png""#, "image/png", b"\x00\xff"),
    ] {
        assert_eq!(message(fields), (content_type.into(), payload.to_vec()), "{fields}");
    }
}

#[test]
fn a_batch_and_its_publish_ids_are_read() {
    let text = r#"{"op":"publish","id":1,"messages":[{"channel":"a","data":1,
        "publish_id":{"producer":"18446744073709551615","n":2}},{"channel":"b","data":"x"}]}"#;
    let Op::Publish(Publish::Many(messages)) = read(text) else { panic!("not several") };
    assert_eq!(messages[0].publish_id, Some(PublishId { producer: u64::MAX, n: 2 }));
    assert_eq!(messages[1].channel.as_str(), "b");
}

#[test]
fn every_wrong_request_is_told_its_code_and_what_would_be_right() {
    let long = format!(r#"{{"op":"publish","id":4,"channel":"a","data":"{}"}}"#, "x".repeat(256 * 1024 + 1));
    let many = format!(r#"{{"op":"publish","id":4,"messages":[{}0]}}"#, "0,".repeat(4096));
    for (text, id, code, what, want) in [
        ("", None, Code::Malformed, "message is not a JSON object", "one JSON object"),
        ("[]", None, Code::Malformed, "message is not a JSON object", "one JSON object"),
        (r#"{"op":"ping","op":"ping","id":1}"#, None, Code::Malformed, "distinct fields", "one JSON object"),
        (r#"{"op":"ping"}"#, None, Code::Malformed, "lacks id", "id, a number"),
        (r#"{"op":"ping","id":9007199254740992}"#, None, Code::Malformed, "wrong id", "9007199254740991"),
        (r#"{"op":"ping","id":"1"}"#, None, Code::Malformed, "wrong id", "a number"),
        (r#"{"id":4}"#, Some(4), Code::Malformed, "lacks op", "hello, answer, renew, subscribe"),
        (
            r#"{"op":"publsh","id":4}"#,
            Some(4),
            Code::Malformed,
            "unknown op \"publsh\"",
            "publish, or another",
        ),
        (
            r#"{"op":"publish","id":4,"chanel":"a","channel":"a","data":1}"#,
            Some(4),
            Code::Malformed,
            "unknown field \"chanel\"",
            "channel, or another of: id, op, messages",
        ),
        (
            r#"{"op":"publish","id":4,"data":1}"#,
            Some(4),
            Code::Malformed,
            "publish lacks channel",
            "a channel",
        ),
        (
            r#"{"op":"publish","id":4,"channel":"a/#","data":1}"#,
            Some(4),
            Code::BadName,
            "wrong channel",
            "a channel",
        ),
        (r#"{"op":"publish","id":4,"channel":"a"}"#, Some(4), Code::Malformed, "lacks data", "data_b64"),
        (
            r#"{"op":"publish","id":4,"channel":"a","data":1,"data_b64":""}"#,
            Some(4),
            Code::Malformed,
            "wrong data_b64",
            "either",
        ),
        (
            r#"{"op":"publish","id":4,"channel":"a","data_b64":"?"}"#,
            Some(4),
            Code::Malformed,
            "wrong data_b64",
            "base64",
        ),
        (
            r#"{"op":"publish","id":4,"channel":"a","data":1,"type":"text/plain"}"#,
            Some(4),
            Code::Malformed,
            "wrong data",
            "a string",
        ),
        (
            r#"{"op":"publish","id":4,"channel":"a","data":"\ud800"}"#,
            Some(4),
            Code::Malformed,
            "wrong data",
            "a string",
        ),
        (
            r#"{"op":"publish","id":4,"channel":"a","data":1,"type":""}"#,
            Some(4),
            Code::Malformed,
            "wrong type",
            "visible ASCII",
        ),
        (
            r#"{"op":"publish","id":4,"channel":"a","data":1,"publish_id":{"producer":1}}"#,
            Some(4),
            Code::Malformed,
            "publish_id lacks n",
            "a number",
        ),
        (
            r#"{"op":"publish","id":4,"channel":"a","data":1,"publish_id":{"producer":"+1","n":1}}"#,
            Some(4),
            Code::Malformed,
            "wrong producer",
            "a number",
        ),
        (
            r#"{"op":"publish","id":4,"messages":[{"channel":"a","data":1},{"channel":"a","dat":1}]}"#,
            Some(4),
            Code::Malformed,
            "messages[1] lacks data",
            "data",
        ),
        (r#"{"op":"publish","id":4,"messages":[]}"#, Some(4), Code::Malformed, "wrong messages", "1 to 4096"),
        (
            r#"{"op":"publish","id":4,"messages":[],"channel":"a"}"#,
            Some(4),
            Code::Malformed,
            "wrong messages",
            "1 to 4096",
        ),
        (&many, Some(4), Code::TooMany, "wrong messages", "1 to 4096"),
        (&long, Some(4), Code::TooLarge, "262145 bytes", "at most 262144"),
        (
            r#"{"op":"subscribe","id":4,"channels":"a"}"#,
            Some(4),
            Code::Malformed,
            "lacks sub",
            "0 to 4294967294",
        ),
        (
            r#"{"op":"subscribe","id":4,"sub":-1,"channels":"a"}"#,
            Some(4),
            Code::Malformed,
            "wrong sub",
            "0 to 4294967294",
        ),
        (r#"{"op":"subscribe","id":4,"sub":1}"#, Some(4), Code::Malformed, "lacks channels", "technical"),
        (
            r#"{"op":"subscribe","id":4,"sub":1,"channels":"a","technical":"room"}"#,
            Some(4),
            Code::Malformed,
            "wrong technical",
            "either",
        ),
        (
            r#"{"op":"subscribe","id":4,"sub":1,"technical":"lobby"}"#,
            Some(4),
            Code::Malformed,
            "wrong technical",
            "room, account or hub",
        ),
        (
            r#"{"op":"subscribe","id":4,"sub":1,"channels":"a#"}"#,
            Some(4),
            Code::BadName,
            "wrong channels",
            "a whole level",
        ),
        (
            r#"{"op":"subscribe","id":4,"sub":1,"channels":"a","from":"now"}"#,
            Some(4),
            Code::Malformed,
            "unknown word",
            "live",
        ),
        (
            r#"{"op":"subscribe","id":4,"sub":1,"channels":"a","from":3}"#,
            Some(4),
            Code::Malformed,
            "wrong type",
            "live",
        ),
        (
            r#"{"op":"subscribe","id":4,"sub":1,"channels":"a","from":{}}"#,
            Some(4),
            Code::Malformed,
            "not one of its forms",
            "live",
        ),
        (
            r#"{"op":"subscribe","id":4,"sub":1,"channels":"a","from":{"after":"1.2.3"}}"#,
            Some(4),
            Code::BadName,
            "from has a wrong after",
            "exactly as it was received",
        ),
        (
            r#"{"op":"subscribe","id":4,"sub":1,"channels":"a","from":{"time":3,"until":"0000000000000abc.ffffffffffffffff.9"}}"#,
            Some(4),
            Code::Malformed,
            "from is not one of its forms",
            "\"until\":position",
        ),
        (
            r#"{"op":"subscribe","id":4,"sub":1,"channels":"a","from":{"lst":3}}"#,
            Some(4),
            Code::Malformed,
            "unknown field \"lst\"",
            "last, or",
        ),
        (
            r#"{"op":"subscribe","id":4,"sub":1,"channels":"a","flow":"fast"}"#,
            Some(4),
            Code::Malformed,
            "wrong flow",
            "credit or conflate",
        ),
        (
            r#"{"op":"subscribe","id":4,"sub":1,"channels":"a","flow":"conflate","credit":3}"#,
            Some(4),
            Code::Malformed,
            "wrong credit",
            "flow credit only",
        ),
        (r#"{"op":"credit","sub":1,"n":-3}"#, None, Code::Malformed, "wrong n", "how many"),
        (
            r#"{"op":"hello","id":4,"credential":{"user":"ann"}}"#,
            Some(4),
            Code::Malformed,
            "lacks password",
            "user and password",
        ),
        (
            r#"{"op":"hello","id":4,"credential":{"token":"a","user":"ann"}}"#,
            Some(4),
            Code::Malformed,
            "both",
            "or token",
        ),
        (
            r#"{"op":"hello","id":4,"credential":{}}"#,
            Some(4),
            Code::Malformed,
            "lacks user and password",
            "or token",
        ),
        (
            r#"{"op":"hello","id":4,"subscriptions":[{"sub":1,"channels":"a"},{"sub":1,"channels":"b"}]}"#,
            Some(4),
            Code::Malformed,
            "subscriptions[1] has a wrong sub",
            "its own sub",
        ),
    ] {
        let wrong = Request::read(text).unwrap_err();
        let shown = &text[..text.len().min(120)];
        assert_eq!((wrong.id, wrong.refusal.code), (id, code), "{shown}: {}", wrong.refusal.what);
        assert!(wrong.refusal.what.contains(what), "{shown}: {:?} lacks {what:?}", wrong.refusal.what);
        assert!(wrong.refusal.want.contains(want), "{shown}: {:?} lacks {want:?}", wrong.refusal.want);
    }
}

#[test]
fn every_cut_of_a_request_is_refused_and_repeats_no_secret() {
    let whole = r#"{"op":"hello","id":1,"credential":{"user":"ann","password":"hunter2"},"subscriptions":[{"sub":1,"channels":"a"}]}"#;
    assert!(Request::read(whole).is_ok());
    for cut in 0..whole.len() {
        assert!(Request::read(&whole[..cut]).is_err(), "{cut}");
    }
    for wrong in [
        r#"{"op":"hello","id":1,"credential":{"user":7,"password":"hunter2"}}"#,
        r#"{"op":"hello","id":1,"credential":"hunter2"}"#,
        r#"{"op":"hello","id":1,"credential":{"user":"ann","password":"hunter2","x":"hunter2"}}"#,
    ] {
        assert!(!format!("{:?}", Request::read(wrong).unwrap_err()).contains("hunter2"));
    }
    assert!(!format!("{:?}", Request::read(whole)).contains("hunter2"));
}

#[test]
fn replies_are_golden() {
    let gap = Gap { from: Seq(3), to: Seq(5), cause: Cause::Retention };
    let good = Started {
        sub: 1,
        result: Ok(Subscribed {
            completeness: Completeness::Partial,
            gaps: vec![gap],
            at: position(5),
            floor: None,
            until: None,
        }),
    };
    let bad = Started { sub: 2, result: Err(refusal()) };
    let entered = Done::Entered(Entered {
        account: &"acme".parse().unwrap(),
        room: &"plant".parse().unwrap(),
        client: client(),
        name: &"ann".parse().unwrap(),
        connection: ConnectionId(4),
        ping_s: 25,
        subscriptions: vec![good.clone(), bad],
    });
    assert_eq!(
        ok(Some(1), &entered),
        r#"{"re":1,"ok":{"account":"acme","room":"plant","client":"67e55044-10b1-426f-9247-bb680e5fe0c8","name":"ann","connection":4,"ping_s":25,"subscriptions":[{"sub":1,"complete":"partial","gaps":[{"from":3,"to":5,"count":3,"cause":"retention"}],"pos":"0000000000000abc.ffffffffffffffff.5"},{"sub":2,"error":{"code":"denied","what":"no \"right\"","want":"a grant"}}]}}"#
    );
    let since = good.result.clone().map(|good| Subscribed { until: Some(position(9)), gaps: vec![], ..good });
    assert_eq!(
        ok(Some(2), &Done::Subscribed(Started { sub: 1, result: since })),
        r#"{"re":2,"ok":{"sub":1,"complete":"partial","gaps":[],"pos":"0000000000000abc.ffffffffffffffff.5","until":"0000000000000abc.ffffffffffffffff.9"}}"#
    );
    assert_eq!(
        ok(Some(2), &Done::Subscribed(good)),
        r#"{"re":2,"ok":{"sub":1,"complete":"partial","gaps":[{"from":3,"to":5,"count":3,"cause":"retention"}],"pos":"0000000000000abc.ffffffffffffffff.5"}}"#
    );
    assert_eq!(
        ok(Some(3), &Done::Stored(Receipt(Ok(position(6))))),
        r#"{"re":3,"ok":{"pos":"0000000000000abc.ffffffffffffffff.6"}}"#
    );
    let receipts = vec![Receipt(Ok(position(6))), Receipt(Err(refusal()))];
    assert_eq!(
        ok(Some(4), &Done::StoredMany { receipts }),
        r#"{"re":4,"ok":{"receipts":[{"pos":"0000000000000abc.ffffffffffffffff.6"},{"error":{"code":"denied","what":"no \"right\"","want":"a grant"}}]}}"#
    );
    assert_eq!(ok(Some(5), &Done::Plain {}), r#"{"re":5,"ok":{}}"#);
    assert_eq!(
        error(None, &refusal()),
        r#"{"re":null,"error":{"code":"denied","what":"no \"right\"","want":"a grant"}}"#
    );
}

fn msg(content_type: ContentType<'_>, payload: &[u8]) -> String {
    let publication = Publication::new(content_type, payload);
    let published = Published {
        pos: Some(position(6)),
        channel: "a/b",
        client: client(),
        time: Wall(1_700_000_000_000),
        uncertain: false,
        replaces: None,
        payload: Payload::new(&publication),
    };
    let fields = published.fields();
    let fields = Fields::Worded(&fields);
    Msg { sub: 1, prev: position(5), skipped: 0, latest: false, session: None }.text(fields)
}

#[test]
fn pushes_are_golden() {
    let frame = |payload: &str| {
        format!(
            r#"{{"ev":"msg","sub":1,"prev":"0000000000000abc.ffffffffffffffff.5","pos":"0000000000000abc.ffffffffffffffff.6","channel":"a/b","client":"67e55044-10b1-426f-9247-bb680e5fe0c8","time":1700000000000,{payload}}}"#
        )
    };
    for (content_type, payload, shown) in [
        (ContentType::Json, &b"{\"a\": 1.50}"[..], r#""type":"application/json","data":{"a": 1.50}"#),
        (ContentType::Json, b"{\"a\": ", r#""type":"application/json","data_b64":"eyJhIjog""#),
        (ContentType::Json, b"", r#""type":"application/json","data_b64":"""#),
        (ContentType::Json, b"1} ", r#""type":"application/json","data_b64":"MX0g""#),
        (ContentType::Text, b"say \"hi\"", r#""type":"text/plain","data":"say \"hi\"""#),
        (ContentType::Text, b"\xff", r#""type":"text/plain","data_b64":"/w==""#),
        (ContentType::Octets, b"abc", r#""type":"application/octet-stream","data_b64":"YWJj""#),
        (ContentType::Other("image/png"), b"\x89", r#""type":"image/png","data_b64":"iQ==""#),
        (ContentType::Other("application/geo+json"), b"[1]", r#""type":"application/geo+json","data":[1]"#),
    ] {
        assert_eq!(msg(content_type, payload), frame(shown));
    }
    let published = Published {
        pos: None,
        channel: "a",
        client: client(),
        time: Wall(-1),
        uncertain: false,
        replaces: None,
        payload: Payload::new(&Publication::new(ContentType::Text, b"x")),
    };
    let fields = published.fields();
    let fields = Fields::Worded(&fields);
    let latest = Msg { sub: 1, prev: position(5), skipped: 3, latest: true, session: None };
    assert_eq!(
        latest.text(fields),
        r#"{"ev":"msg","sub":1,"prev":"0000000000000abc.ffffffffffffffff.5","channel":"a","client":"67e55044-10b1-426f-9247-bb680e5fe0c8","time":-1,"type":"text/plain","data":"x","skipped":3,"latest":true}"#
    );
    let hole = Gap { from: Seq(3), to: Seq(3), cause: Cause::Quota }.into();
    assert_eq!(
        Push::Gap { sub: 2, hole, pos: position(3) }.text(),
        r#"{"ev":"gap","sub":2,"from":3,"to":3,"count":1,"cause":"quota","pos":"0000000000000abc.ffffffffffffffff.3"}"#
    );
    let event = serde_json::value::RawValue::from_string(r#"{"type":"riser.joined"}"#.to_owned()).unwrap();
    let event = |sub, skipped| {
        let (pos, prev, scope) = (Some(position(4)), position(2), scope_name(Scope::Instance));
        Push::Event { sub, pos, prev, scope, skipped, event: &event }.text()
    };
    assert_eq!(
        event(Some(3), 2),
        r#"{"ev":"event","sub":3,"pos":"0000000000000abc.ffffffffffffffff.4","prev":"0000000000000abc.ffffffffffffffff.2","scope":"hub","skipped":2,"event":{"type":"riser.joined"}}"#
    );
    assert!(event(None, 0).starts_with(r#"{"ev":"event","pos":"#));
    let through = [(1, position(9).to_string())].into();
    assert_eq!(
        Push::Ping { through }.text(),
        r#"{"ev":"ping","through":{"1":"0000000000000abc.ffffffffffffffff.9"}}"#
    );
    assert_eq!(
        Push::End { sub: 1, error: (&refusal()).into() }.text(),
        r#"{"ev":"end","sub":1,"error":{"code":"denied","what":"no \"right\"","want":"a grant"}}"#
    );
    let down = Refusal { code: Code::ShuttingDown, what: "going down".into(), want: "come back".into() };
    assert_eq!(
        Push::bye(&down).text(),
        r#"{"ev":"bye","code":"shutting_down","what":"going down","want":"come back","close":4000,"after_ms":500}"#
    );
}

#[test]
fn embedded_json_is_whole_json_whatever_the_payload_claims() {
    // A payload that closes the envelope and opens its own must not become part of it.
    for payload in [&b"1,\"sub\":9"[..], b"1}", b"\"", b"{\"a\":1}}", b"nul", b"\"\xff\"", b"01"] {
        let text = msg(ContentType::Json, payload);
        assert!(text.contains("\"data_b64\""), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
    }
}

#[test]
fn what_a_client_publishes_comes_back_as_it_was() {
    let text = r#"{"op":"publish","id":1,"channel":"c","data":{"a":[1,2.50,"é"]}}"#;
    let Op::Publish(Publish::One(message)) = read(text) else { panic!("not one message") };
    let publication = Publication::new(ContentType::named(&message.content_type), &message.payload);
    let (payload, client) = (Payload::new(&publication), client());
    let fields = Published {
        pos: None,
        channel: "c",
        client,
        time: Wall(1),
        uncertain: true,
        replaces: None,
        payload,
    }
    .fields();
    assert!(fields.contains(r#","time":1,"time_uncertain":true,"#), "{fields}");
    assert!(fields.ends_with(r#""type":"application/json","data":{"a":[1,2.50,"é"]}"#), "{fields}");
}
