//! What a broker that the site already has sends to its subscriber, in pieces of any size: nothing is stored that it did not
//! publish, and nothing acknowledged that it did not ask for; what it is told is whole packets of a client.
//!
//! Input: the size of a read, and whether the edge knows QoS 2 ids from before; then the bytes.

use super::site::{Said, Site, now};
use bytes::Bytes;
use riser_edge::{config::SourceConfig, sources::broker_door};
use riser_model::door::{Input, SessionState};
use riser_shell::Metrics;
use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(|| Arc::new(Metrics::new("edge", "0")));

pub fn run(input: &[u8]) {
    let [size, how, bytes @ ..] = input else { return };
    // What is subscribed at QoS 0 leaves no mark in a folder.
    let mqtt = serde_json::json!({ "url": "mqtt://127.0.0.1", "client_id": "x", "filters": ["a/#", "\u{e9}/+"], "qos": 0 });
    let room = (how & 2 != 0).then_some("hall");
    let config = serde_json::json!({ "name": "old", "as": "acme/pump", "mqtt": mqtt, "room": room });
    let config: SourceConfig = serde_json::from_value(config).expect("it is a source");
    let session = match how & 1 {
        0 => SessionState::default(),
        _ => SessionState { number: 1, present: true, open_ids: vec![1, 7], ..SessionState::default() },
    };
    let door = broker_door(&config, Path::new("/nowhere"), &METRICS, now()).expect("it is a broker");
    let mut site = Site::new(door, session);
    site.input(Input::Room(64 * 1024));
    for piece in bytes.chunks(usize::from(*size).max(1)) {
        site.input(Input::Bytes(Bytes::copy_from_slice(piece)));
    }
    site.input(Input::Gone("cut"));
    let mut said = Vec::new();
    for part in &site.said {
        match part {
            Said::Bytes(bytes) => said.extend_from_slice(bytes),
            Said::Text(_) => panic!("a broker is told bytes only"),
        }
    }
    let (sent, told) = (packets(bytes), packets(&said));
    assert_eq!(told.iter().map(|packet| packet.2).sum::<usize>(), said.len(), "whole packets");
    let count =
        |packets: &[Packet<'_>], kind: u8| packets.iter().filter(|(first, ..)| first >> 4 == kind).count();
    let [connects, subscribes, received] =
        [1, 8, 3].map(|kind| count(if kind == 3 { &sent } else { &told }, kind));
    assert!((connects, subscribes) == (1, 0) || (connects, subscribes) == (1, 1), "it says who it is once");
    assert!(site.published.len() <= received && count(&told, 4) + count(&told, 5) <= received);
    assert!(count(&told, 7) <= count(&sent, 6), "a release is answered once");
    assert!(
        told.iter().all(|(first, ..)| matches!(first >> 4, 1 | 4 | 5 | 7 | 8 | 12 | 14)),
        "as a client does"
    );
    let mut sent = sent.iter().filter(|(first, ..)| first >> 4 == 3);
    for payload in &site.published {
        assert!(sent.any(|(_, body, _)| body.ends_with(payload)), "what is stored was published, in order");
    }
}

/// The first byte, the rest behind the fixed header, and the size of all of it.
type Packet<'a> = (u8, &'a [u8], usize);

/// The packets of a stream, up to what is none.
fn packets(mut bytes: &[u8]) -> Vec<Packet<'_>> {
    let mut packets = Vec::new();
    while let Some((first, mut rest)) = bytes.split_first() {
        let (mut length, mut shift) = (0, 0);
        let whole = loop {
            let Some((byte, after)) = rest.split_first().filter(|_| shift < 28) else { break false };
            length |= usize::from(byte & 0x7f) << shift;
            (rest, shift) = (after, shift + 7);
            if byte & 0x80 == 0 {
                break true;
            }
        };
        let Some((body, after)) = rest.split_at_checked(length).filter(|_| whole) else { break };
        packets.push((*first, body, bytes.len() - after.len()));
        bytes = after;
    }
    packets
}

pub fn seeds() -> Vec<Vec<u8>> {
    let publish = |qos: u8, id: &[u8], topic: &str, payload: &[u8]| {
        let body = [&(topic.len() as u16).to_be_bytes()[..], topic.as_bytes(), id, payload].concat();
        [&[0x30 | qos << 1, body.len() as u8][..], &body].concat()
    };
    let begins: [&[u8]; 2] = [&[0x20, 2, 0, 0], &[0x90, 4, 0, 1, 0, 2]];
    let streams = [
        publish(0, &[], "a/b", b"21.5"),
        publish(1, &[0, 2], "a/\u{e9}", b"x"),
        publish(2, &[0, 7], "\u{e9}/t", b"y"),
        vec![0x62, 2, 0, 7],
        vec![0xd0, 0],
        publish(1, &[0, 3], "other", b"of no filter"),
        publish(2, &[0, 8], "a//b", b""),
        vec![0x62, 2, 0, 9],
    ];
    // Of a publication that is larger than any may be, the head.
    let huge = [0x32, 0xff, 0xff, 0x7f, 0, 3, b'a', b'/', b'b', 0, 4];
    let stream = [begins.concat(), streams.concat()].concat();
    let mut seeds: Vec<Vec<u8>> =
        [(1, 0), (3, 1), (255, 1), (200, 3)].map(|(size, how)| [&[size, how][..], &stream].concat()).to_vec();
    seeds.push([&[255, 0][..], &begins.concat(), &huge].concat());
    seeds.push(vec![1, 0, 0x20, 2, 0, 5]);
    seeds
}
