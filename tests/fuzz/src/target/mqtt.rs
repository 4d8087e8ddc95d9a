//! Two connections of one client, MQTT 3.1.1 or 5, in pieces of any size.
//!
//! Input: where the second connection begins (of 255 parts), the size of a read, then the bytes.

use super::site::{Said, Site, now};
use bytes::Bytes;
use riser_model::{
    Epoch, LogId, Position, Seq,
    door::{Input, Keep, SessionDelivery, SessionState, SessionSubscription, Showing},
};
use riser_mqtt::{Config, Counters, MqttDoor};
use std::sync::Arc;

pub fn run(input: &[u8]) {
    let [part, size, bytes @ ..] = input else { return };
    let (first, second) = bytes.split_at(bytes.len() * usize::from(*part) / 255);
    let kept = SessionState {
        number: 1,
        present: true,
        last_id: 0,
        open_ids: vec![1, 2],
        deliveries: vec![SessionDelivery {
            id: 3,
            filter: Some("hall/#".to_owned()),
            position: Position { log: LogId(1), epoch: Epoch(1), seq: Seq(1) },
            released: true,
            over: false,
            at_least_once: false,
            retained: false,
        }],
        tally: Default::default(),
        subscriptions: vec![SessionSubscription {
            filter: "hall/#".to_owned(),
            keep: Keep { options: 1, identifier: 0 },
            through: None,
            showing: Showing::All,
        }],
    };
    connection(first, usize::from(*size), SessionState::default());
    connection(second, usize::from(*size), kept);
}

fn connection(bytes: &[u8], size: usize, session: SessionState) {
    let config = Config { allow_anonymous: true, ..Config::default() };
    let door = MqttDoor::new(Arc::new(config), Arc::new(Counters::default()), 7, now());
    let mut site = Site::new(door, session);
    site.input(Input::Room(64 * 1024));
    for piece in bytes.chunks(size.max(1)) {
        site.input(Input::Bytes(Bytes::copy_from_slice(piece)));
    }
    site.input(Input::Gone("cut"));
    for said in &site.said {
        match said {
            Said::Bytes(bytes) => assert!(!bytes.is_empty(), "a door says something or nothing"),
            Said::Text(_) => panic!("an MQTT door says bytes only"),
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let of = |level: u8| {
        let five = level == 5;
        let none: &[u8] = if five { &[0] } else { &[] };
        let string = |text: &str| [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat();
        let connect =
            packet(0x10, &[&string("MQTT"), &[level, 0x02, 0, 60][..], none, &string("pump")].concat());
        let will = [none, &string("hall/will"), &string("gone")].concat();
        let connect_with_will = packet(
            0x10,
            &[
                &string("MQTT"),
                &[level, 0xc6, 0, 60][..],
                none,
                &string("pump"),
                &will,
                &string("u"),
                &string("p"),
            ]
            .concat(),
        );
        let publish = |qos: u8, id: &[u8]| {
            packet(0x30 | qos << 1, &[&string("hall/temperature"), id, none, b"21.5"].concat())
        };
        let subscribe =
            packet(0x82, &[&[0, 9], none, &string("hall/+/x"), &[1][..], &string("#"), &[0]].concat());
        let unsubscribe = packet(0xa2, &[&[0, 10], none, &string("#")].concat());
        let acks =
            [packet(0x62, &[0, 3]), packet(0x40, &[0, 1]), packet(0x50, &[0, 1]), packet(0x70, &[0, 1])];
        let aliased = packet(
            0x32,
            &[&string("hall/a")[..], &[0, 4, 14, 35, 0, 1, 1, 1, 2, 0, 0, 0, 9, 8, 0, 1, b'r'], b"x"]
                .concat(),
        );
        let end = [packet(0xc0, &[]), packet(0xe0, none)].concat();
        let mut stream = [
            connect,
            publish(0, &[]),
            publish(1, &[0, 2]),
            publish(2, &[0, 3]),
            acks.concat(),
            subscribe,
            unsubscribe,
        ]
        .concat();
        if five {
            stream.extend(aliased);
        }
        stream.extend(end);
        [stream, connect_with_will]
    };
    // Challenged, in, and challenged anew.
    let anew = {
        let string = |text: &str| [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat();
        let method = [&[21][..], &string("ed25519")].concat();
        let answer = [&[22][..], &string("proof")].concat();
        let properties = |list: &[u8]| [&[list.len() as u8][..], list].concat();
        let auth = |reason: u8, list: &[u8]| packet(0xf0, &[&[reason][..], &properties(list)].concat());
        let head = [&string("MQTT"), &[5, 0x82, 0, 60][..], &properties(&method)].concat();
        let connect = packet(0x10, &[head, string("pump"), string("acme/pump")].concat());
        let publish = packet(0x32, &[&string("hall/a")[..], &[0, 2, 0], b"x"].concat());
        let answers = auth(0x18, &[&method[..], &answer].concat());
        [connect, auth(0x19, &method), publish, answers, auth(0x19, &method)].concat()
    };
    let [four, four_will] = of(4);
    let [five, five_will] = of(5);
    let both = |stream: &[u8]| [&[127, 200], stream, stream].concat();
    vec![
        both(&four),
        both(&five),
        [&[255, 1][..], &four].concat(),
        [&[255, 3][..], &five].concat(),
        [&[255, 255][..], &four_will].concat(),
        [&[255, 255][..], &five_will].concat(),
        [&[255, 255][..], &anew].concat(),
    ]
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        bytes.push((left % 128) as u8 | if left > 127 { 0x80 } else { 0 });
        left /= 128;
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}
