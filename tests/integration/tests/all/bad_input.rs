//! Peers that misbehave: each is answered precisely and counted, and a bystander notices nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::mqtt_wire::{self, Mqtt, Version};
use crate::needs::{Need, needs};
use crate::program::{EVENTUALLY, SOON};
use crate::site::{ACCOUNT, Node, OWNER, PASSWORD, Plan, READER, SENSOR, Site};
use crate::terminal::Terminal;

/// A stream that flows through edge and hub while others misbehave.
pub struct Bystander {
    count: u64,
    publisher: Client,
    _board: Client,
}

impl Bystander {
    /// It says so many things, 50 in a second.
    pub fn start(site: &Site, count: u64) -> Self {
        let board = site.dashboard("board", &site.hub, "hall", json!({}));
        site.history.wait_mark("board ready", SOON);
        let ask = json!({ "stream": "s", "topic": "sensors/s", "qos": 2, "count": count, "rate": 50 });
        let publisher = site.client("publisher", "publish_paho.py", &site.edge, SENSOR, ask);
        site.history.wait_mark("s connected", SOON);
        Self { count, publisher, _board: board }
    }

    /// Waits until everything was delivered, once and in order, and nobody was cut.
    pub fn must_be_undisturbed(self, site: &Site) {
        self.publisher.finish(EVENTUALLY);
        site.history
            .wait("everything is delivered", EVENTUALLY, |ledger| ledger.delivered("board") == self.count);
        let ledger = site.history.ledger();
        assert!(ledger.verdict("board").is_clean(), "{:?}", ledger.verdict("board"));
        assert!(!ledger.has_mark("s cut"), "the bystander was cut");
        assert!(!ledger.has_mark("board closed 1006"), "the bystander's dashboard was cut");
    }
}

/// Sends bytes and reads until the far side closes. None when it does not close in time.
fn exchange(node: &Node, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut socket = TcpStream::connect((node.place.address(), node.mqtt)).expect("the port is open");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
    // The far side may close before it has read everything.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => Some(answer),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Some(answer),
        Err(_) => None,
    }
}

/// One MQTT packet from its first byte and its body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let low = u8::try_from(left % 128).expect("below 128");
        left /= 128;
        bytes.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// A CONNECT with a clean session and a keepalive of 30 s.
pub fn connect(level: u8, user: &str, password: &str) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    let body = [
        &text("MQTT")[..],
        &[level, 0xc2, 0, 30],
        properties,
        &text("misbehaving"),
        &text(user),
        &text(password),
    ];
    packet(0x10, &body.concat())
}

#[test]
fn malformed_mqtt_is_closed_and_disturbs_nobody() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let site = Site::start();
    let bystander = Bystander::start(&site, 200);
    let good = |level| connect(level, SENSOR, PASSWORD);
    let after = |level, rest: Vec<u8>| [good(level), rest].concat();
    let topic = |name: &str, id: &[u8]| [&text(name)[..], id, b"x"].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no MQTT at all", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("zeros", vec![0; 64]),
        ("a length of five bytes", vec![0x10, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        (
            "a protocol that is not MQTT",
            packet(0x10, &[&text("MQTX")[..], &[4, 2, 0, 30], &text("c")].concat()),
        ),
        ("a level that is unknown", packet(0x10, &[&text("MQTT")[..], &[9, 2, 0, 30], &text("c")].concat())),
        (
            "a reserved flag in CONNECT",
            packet(0x10, &[&text("MQTT")[..], &[4, 3, 0, 30], &text("c")].concat()),
        ),
        ("PUBLISH before CONNECT", packet(0x30, &topic("sensors/x", &[]))),
        ("CONNECT twice", after(4, good(4))),
        ("QoS 3", after(4, packet(0x36, &topic("sensors/x", &[0, 1])))),
        ("packet id 0", after(4, packet(0x32, &topic("sensors/x", &[0, 0])))),
        ("a wildcard in a topic", after(4, packet(0x32, &topic("sensors/+", &[0, 1])))),
        ("NUL in a topic", after(4, packet(0x32, &topic("sensors/\0", &[0, 1])))),
        ("a topic that is not UTF-8", after(4, packet(0x32, &[&[0, 2, 0xff, 0xfe][..], &[0, 1]].concat()))),
        ("an empty topic", after(4, packet(0x32, &topic("", &[0, 1])))),
        ("SUBSCRIBE without filters", after(4, packet(0x82, &[0, 1]))),
        (
            "SUBSCRIBE with flags of another packet",
            after(4, packet(0x80, &[&[0, 1][..], &text("a"), &[0]].concat())),
        ),
        ("CONNACK from a client", after(4, packet(0x20, &[0, 0]))),
        ("SUBACK from a client", after(5, packet(0x90, &[0, 1, 0, 0]))),
        ("UNSUBACK from a client", after(5, packet(0xb0, &[0, 1, 0, 0]))),
        ("PINGRESP from a client", after(4, packet(0xd0, &[]))),
        ("a packet of type 0", after(4, packet(0x00, &[]))),
        (
            "a packet over the limit",
            after(4, [vec![0x30, 0xff, 0xff, 0xff, 0x7f], vec![b'x'; 70_000]].concat()),
        ),
        ("a topic longer than its packet", after(4, packet(0x30, &[0xff, 0xff, b'a']))),
        (
            "a duplicate property",
            after(5, packet(0x32, &[&text("sensors/x")[..], &[0, 1, 4, 1, 0, 1, 0]].concat())),
        ),
    ];
    for node in [&site.edge, &site.hub] {
        for (what, bytes) in &cases {
            assert!(exchange(node, bytes).is_some(), "the {} kept {what} open", node.config.display());
        }
    }
    bystander.must_be_undisturbed(&site);
}

#[test]
fn stranger_is_told_so_in_mqtts_own_words() {
    needs!(Need::Program("curl"));
    let site = Site::start();
    for node in [&site.edge, &site.hub] {
        for (user, password) in [(SENSOR, "wrong"), ("nobody", PASSWORD), ("", "")] {
            let answer = exchange(node, &connect(4, user, password)).expect("a stranger is closed");
            assert_eq!(answer, [0x20, 2, 0, 5], "3.1.1: {user}");
            let answer = exchange(node, &connect(5, user, password)).expect("a stranger is closed");
            // CONNACK, no session, 0x86 bad user name or password.
            assert_eq!((answer[0], answer[2], answer[3]), (0x20, 0, 0x86), "5: {user}: {answer:?}");
        }
    }
}

#[test]
fn publication_that_may_not_be_is_refused_and_not_kept() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let site = Site::start();
    let ask =
        |stream: &str, topic: &str| json!({ "stream": stream, "topic": topic, "version": 5, "count": 3 });
    let unknown = ask("unknown", "attic/x");
    site.client("unknown", "publish_paho.py", &site.hub, OWNER, unknown).finish(SOON);
    let forbidden = ask("forbidden", "hall/x");
    site.client("forbidden", "publish_paho.py", &site.hub, READER, forbidden).finish(SOON);
    let ledger = site.history.ledger();
    for stream in ["unknown", "forbidden"] {
        assert_eq!((ledger.acked(stream), ledger.refused(stream).len()), (0, 3), "{}", ledger.summary());
    }
    let counted = site.hub.metric("riser_publications_refused", "");
    assert!(counted >= Some(6.0), "each is counted: {counted:?}");
    // An unknown room and a forbidden one look the same.
    assert_eq!(ledger.refused("unknown"), ledger.refused("forbidden"));
}

#[test]
fn misbehaving_websockets_are_told_what_would_be_right() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let site = Site::start();
    let bystander = Bystander::start(&site, 200);
    let room = format!("/{ACCOUNT}/hall");
    let long = "x".repeat(300);
    let case = |name: &str, send: Value| json!({ "name": name, "path": room, "login": true, "send": send });
    let first = |name: &str, send: Value| json!({ "name": name, "path": room, "send": send });
    let hello = |user: &str, password: &str| {
        json!({ "op": "hello", "id": 1, "credential": { "user": user, "password": password } }).to_string()
    };
    let publish =
        |channel: &str| json!({ "op": "publish", "id": 2, "channel": channel, "data": 1 }).to_string();
    let subscribe = |from: Value| {
        json!({ "op": "subscribe", "id": 2, "sub": 1, "channels": "#", "from": from }).to_string()
    };
    let elsewhere = "0123456789abcdef.0123456789abcdef.7";
    // The case, its answer, and how it ends.
    let cases: Vec<(Value, &str, &str)> = vec![
        (first("garbage first", json!(["{{{"])), "bye malformed", "closed 4100"),
        (first("bytes first", json!([{ "b64": "AAAA" }])), "bye malformed", "closed 4100"),
        (first("publish first", json!([publish("a")])), "bye wrong_state", "closed 4101"),
        (first("wrong password", json!([hello(OWNER, "wrong")])), "bye not_authorised", "closed 4103"),
        (first("unknown user", json!([hello("nobody", PASSWORD)])), "bye not_authorised", "closed 4103"),
        (first("much before hello", json!([{ "repeat": ["x", 20_000] }])), "bye too_large", "closed 4105"),
        (case("hello twice", json!([hello(OWNER, PASSWORD)])), "error wrong_state", "open"),
        (case("garbage", json!(["{{{"])), "bye malformed", "closed 4100"),
        (case("unknown op", json!([r#"{"op":"sing","id":2}"#])), "error malformed", "open"),
        (case("wildcard to publish", json!([publish("a/+")])), "error bad_name", "open"),
        (case("climbing channel", json!([publish("a/../b")])), "error bad_name", "open"),
        (case("long channel", json!([publish(&long)])), "error bad_name", "open"),
        (
            case("foreign position", json!([subscribe(json!({ "after": elsewhere }))])),
            "error unknown_position",
            "open",
        ),
        (case("future time", json!([subscribe(json!({ "time": 99_999_999_999_999u64 }))])), "", "open"),
        (
            case("half a time", json!([subscribe(json!({ "time": 1, "until": elsewhere }))])),
            "error malformed",
            "open",
        ),
        (case("no position", json!([subscribe(json!({ "after": "yesterday" }))])), "error bad_name", "open"),
        (case("oversize", json!([{ "repeat": ["x", 1_100_000] }])), "bye too_large", "closed 1009"),
    ];
    let items: Vec<&Value> = cases.iter().map(|(case, _, _)| case).collect();
    let url = format!("ws://127.0.0.1:{}/", site.hub.http);
    let asked = json!({ "url": url, "cases": items });
    site.client("misbehave", "misbehave.mjs", &site.hub, OWNER, asked).finish(EVENTUALLY);
    let mut wrong = Vec::new();
    for (case, answer, end) in &cases {
        let name = case["name"].as_str().expect("a case has a name");
        for expected in [answer, end].into_iter().filter(|expected| !expected.is_empty()) {
            if !site.history.ledger().has_mark(&format!("{name} {expected}")) {
                wrong.push(format!("{name}: not answered with {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), site.history.ledger().summary());
    bystander.must_be_undisturbed(&site);
}

#[tokio::test]
async fn who_asks_from_a_time_to_come_is_shown_nothing_of_the_past_over_a_cut_either() {
    let mut site = Site::laid_out(Plan::default());
    site.hub.start();
    let path = format!("/{ACCOUNT}/hall");
    let credential = json!({ "user": OWNER, "password": PASSWORD });
    let mut owner = Terminal::program(&site, &path, credential.clone()).await.expect("it is let in");
    let publish = |n: u32| json!({ "op": "publish", "channel": "a", "data": n });
    for n in 0..20 {
        assert!(owner.asks(publish(n)).await["ok"].is_object());
    }
    let subscribe = |from: &Value| json!({ "op": "subscribe", "sub": 1, "channels": "a", "from": from, "flow": "credit" });
    let time = 9_999_999_999_999u64;
    let mut from = json!({ "time": time });
    for round in 100..103 {
        let mut reader = Terminal::program(&site, &path, credential.clone()).await.expect("it is let in");
        let answer = reader.asks(subscribe(&from)).await["ok"].clone();
        assert_eq!(answer["complete"], "full", "{answer}");
        from = json!({ "after": answer["pos"], "time": time, "until": answer["until"] });
        assert!(owner.asks(publish(round)).await["ok"].is_object());
        let heard = loop {
            let next = reader.json().await;
            if next["ev"] == "msg" {
                break next["data"].clone();
            }
        };
        // What came while it was cut is news too: it goes on from where it began.
        assert_eq!(heard, 100);
    }
}

#[test]
fn unknown_room_and_forbidden_room_look_the_same() {
    needs!(Need::Program("curl"), Need::Node);
    let mut site = Site::laid_out(Plan::default());
    let text = std::fs::read_to_string(&site.hub.config).unwrap();
    let cellar = "name = \"cellar\"\n";
    let rights = "[\"publish\", \"subscribe\", \"admin\"]";
    let deny = format!("{cellar}grant = [{{ to = \"{READER}\", right = {rights}, deny = true }}]\n");
    assert!(text.contains(cellar));
    site.hub.write_config(&text.replace(cellar, &deny));
    site.hub.start();
    let at = |name: &str, path: String| json!({ "name": name, "path": path, "login": true });
    let cases = json!([
        at("forbidden room", format!("/{ACCOUNT}/cellar")),
        at("unknown room", format!("/{ACCOUNT}/attic")),
        at("unknown account", "/nobody/hall".to_owned()),
        at("bad name", format!("/{ACCOUNT}/UPPER")),
    ]);
    let asked = json!({ "url": format!("ws://127.0.0.1:{}/", site.hub.http), "cases": cases });
    site.client("misbehave", "misbehave.mjs", &site.hub, READER, asked).finish(EVENTUALLY);
    let ledger = site.history.ledger();
    assert!(ledger.has_mark("unknown room closed 4104"), "{}", ledger.summary());
    let said = |case: &str| {
        let all = ledger.marks().filter_map(|mark| mark.strip_prefix(case).map(str::to_owned));
        all.collect::<Vec<_>>()
    };
    assert_eq!(said("forbidden room"), said("unknown room"));
    assert!(ledger.has_mark("unknown account closed 4103"), "{}", ledger.summary());
    assert!(
        ledger.has_mark("bad name status 404") || ledger.has_mark("bad name status 400"),
        "{}",
        ledger.summary()
    );
}

#[test]
fn link_listener_closes_on_whatever_is_no_edge() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let site = Site::start();
    let bystander = Bystander::start(&site, 200);
    let link = |name: &str, send: Value| json!({ "name": name, "path": "/link", "protocol": "riser.link.v1", "send": send, "patience": 8000 });
    let cases = json!([
        link("text", json!(["hello"])),
        link("bytes", json!([{ "b64": "/////w==" }])),
        link("zeros", json!([{ "b64": "AAAAAAAAAAAAAAAAAAAAAAAAAAAA" }])),
        link("much", json!([{ "repeat": ["x", 20_000] }])),
        link("nothing", json!([])),
        { "name": "elsewhere", "path": "/house/hall", "protocol": "riser.v1.json" },
        { "name": "no protocol", "path": "/link", "protocol": "" },
    ]);
    let asked = json!({ "url": format!("ws://127.0.0.1:{}/", site.hub.link), "cases": cases });
    site.client("misbehave", "misbehave.mjs", &site.hub, OWNER, asked).finish(EVENTUALLY);
    let ledger = site.history.ledger();
    for name in ["text", "bytes", "zeros", "much", "nothing", "elsewhere", "no protocol"] {
        assert!(!ledger.has_mark(&format!("{name} open")), "{name} was left open: {}", ledger.summary());
    }
    drop(ledger);
    bystander.must_be_undisturbed(&site);
}

#[test]
fn two_devices_with_one_client_id_are_stopped_and_told_to_come_back_later() {
    needs!(Need::Program("curl"));
    let mut site = Site::laid_out(Plan::default());
    let user = format!("{ACCOUNT}/{OWNER}");
    for node in [&mut site.hub, &mut site.edge] {
        node.start();
        for version in [Version::Five, Version::Four] {
            let mut connect = Vec::new();
            mqtt_wire::text(&mut connect, "MQTT");
            connect.extend([if version == Version::Five { 5 } else { 4 }, 0xc2, 0, 60]);
            connect.extend((version == Version::Five).then_some(0));
            for text in [&format!("twin-{version:?}"), &user, PASSWORD] {
                mqtt_wire::text(&mut connect, text);
            }
            let comes = || Mqtt::begun(node.mqtt, version, &connect).welcomed();
            let (mut holder, mut taken) = (comes().unwrap(), 0);
            let refused = loop {
                match comes() {
                    Ok(newcomer) => {
                        let mut former = std::mem::replace(&mut holder, newcomer);
                        taken += 1;
                        assert!(taken <= 20, "they go on for ever");
                        let told = former.awaits(0xe0).map(|body| body[0]);
                        assert_eq!(told, (version == Version::Five).then_some(0x8e));
                    }
                    Err(code) => break code,
                }
            };
            // Some clients take any refusal for final: who may come back later is closed without one.
            assert_eq!((taken, refused), (10, None));
            assert_eq!(comes().err(), Some(None));
            holder.send(0xc0, &[]);
            assert!(holder.awaits(0xd0).is_some(), "who has the session keeps it");
        }
        let counted = node.metric("riser_turned_away", "code=\"too_many\"").unwrap_or_default();
        assert!(counted >= 4.0, "{counted}");
    }
}
