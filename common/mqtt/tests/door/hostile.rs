//! What no honest client sends: cuts at every byte, packets of servers, noise.

use crate::bench::*;
use riser_model::door::{Ask, Input, SessionState};
use riser_mqtt::Config;

/// One of every packet that a client may send, whole.
fn all(level: u8) -> Vec<Vec<u8>> {
    let mut packets = vec![
        connect(level, false, 60, 10),
        publish(level, "hall/a", 0, 0, b"payload"),
        publish(level, "hall/a", 1, 1, b"payload"),
        publish(level, "hall/a", 2, 2, b""),
        ack(0x40, 1),
        ack(0x50, 900),
        ack(0x62, 900),
        ack(0x70, 1),
        subscribe(level, 9, &[("hall/a", 1), ("hall/+/#", 0)]),
        unsubscribe(level, 10, &["hall/a", "x"]),
        vec![0xc0, 0],
        vec![0xe0, 0],
    ];
    if level == 5 {
        let properties = [
            1, 1, 2, 0, 0, 0, 9, 3, 0, 1, b't', 8, 0, 1, b'r', 9, 0, 1, 255, 35, 0, 3, 38, 0, 1, b'k', 0, 1,
            b'v',
        ];
        packets.extend([
            publish_with(5, "hall/a", 2, 1, &properties, b"payload"),
            packet(0x40, &[0, 1, 0x10, 5, 31, 0, 2, b'o', b'k']),
            packet(0x62, &[0, 1, 0x92]),
            packet(
                0x82,
                &[&[0, 9, 9, 11, 3, 38, 0, 1, b'k', 0, 1, b'v'][..], &string("hall/a"), &[0x15]].concat(),
            ),
            packet(0xa2, &[&[0, 9, 7, 38, 0, 1, b'k', 0, 1, b'v'][..], &string("hall/a")].concat()),
            packet(0xe0, &[0x81, 8, 17, 0, 0, 0, 9, 31, 0, 0]),
        ]);
    }
    packets
}

fn door_for(level: u8, packet: &[u8]) -> Bench {
    if packet[0] == 0x10 {
        return Bench::new(level);
    }
    let config = Config { allow_anonymous: true, ..Config::default() };
    Bench::open_with(level, config, SessionState { number: 1, ..SessionState::default() })
}

fn accepted(bench: &Bench) -> bool {
    !matches!(bench.closed, Some(Err(_)))
}

#[test]
fn whole_packets_are_taken_and_every_prefix_waits_for_the_rest() {
    for level in BOTH {
        for packet in all(level) {
            let mut bench = door_for(level, &packet);
            bench.send(&packet);
            assert!(accepted(&bench), "{packet:x?}");
            for cut in 1..packet.len() {
                let mut bench = door_for(level, &packet);
                bench.send(&packet[..cut]);
                assert!(bench.asks.is_empty() && bench.bytes.is_empty(), "{cut} of {packet:x?}");
                assert!(accepted(&bench), "{cut} of {packet:x?}");
                bench.send(&packet[cut..]);
                assert!(accepted(&bench), "{cut} of {packet:x?}");
            }
        }
    }
}

/// The lengths at which what is left of a packet's body is a packet again.
fn whole_at(level: u8, packet: &[u8]) -> Vec<usize> {
    let body = &packet[2..];
    let text = |at: usize| 2 + usize::from(body[at]) * 256 + usize::from(body[at + 1]);
    let section = |at: usize| if level == 5 { 1 + usize::from(body[at]) } else { 0 };
    match packet[0] {
        0x30..=0x3f => {
            let id = text(0) + if packet[0] & 6 == 0 { 0 } else { 2 };
            (id + section(id)..body.len()).collect()
        }
        0x82 | 0xa2 => {
            let options = usize::from(packet[0] == 0x82);
            let first = 2 + section(2);
            let ends = std::iter::successors(Some(first), |at| {
                Some(at + text(*at) + options).filter(|end| *end < body.len())
            });
            ends.skip(1).collect()
        }
        0x40..=0x7f => [2, 3].into_iter().filter(|cut| *cut < body.len()).collect(),
        0xe0 => [0, 1].into_iter().filter(|cut| *cut < body.len()).collect(),
        _ => vec![],
    }
}

#[test]
fn every_packet_truncated_at_every_byte_is_malformed_or_a_shorter_packet() {
    for level in BOTH {
        for whole in all(level) {
            let (body, whole_at) = (&whole[2..], whole_at(level, &whole));
            for length in 0..body.len() {
                let cut = packet(whole[0], &body[..length]);
                let mut bench = door_for(level, &cut);
                bench.send(&cut);
                assert_eq!(accepted(&bench), whole_at.contains(&length), "{cut:x?}");
                bench.send(&[0xc0, 0]);
                let in_sync = bench.bytes.ends_with(&[0xd0, 0]) || bench.closed.is_some();
                assert!(in_sync, "{cut:x?}");
            }
        }
    }
}

#[test]
fn bytes_behind_the_end_of_a_packet_are_malformed() {
    for level in BOTH {
        for whole in all(level).into_iter().filter(|packet| packet[0] >> 4 != 3) {
            let longer = packet(whole[0], &[&whole[2..], &[0xff]].concat());
            let mut bench = door_for(level, &longer);
            bench.send(&longer);
            assert!(!accepted(&bench), "{longer:x?}");
            assert!(bench.asks.iter().all(|ask| matches!(ask, Ask::Leave { .. })), "{longer:x?}");
        }
    }
}

#[test]
fn a_server_only_packet_ends_the_connection() {
    for level in BOTH {
        for whole in [
            vec![0x20, 2, 0, 0],
            vec![0x20, 3, 0, 0, 0],
            vec![0x90, 3, 0, 1, 0],
            vec![0xb0, 2, 0, 1],
            vec![0xb0, 4, 0, 1, 0, 0],
            vec![0xd0, 0],
            vec![0x00, 0],
            vec![0xf0, 0],
            vec![0xf0, 2, 0x18, 0],
            connect(level, true, 0, 0),
        ] {
            let mut bench = Bench::open(level);
            bench.send(&whole);
            assert!(!accepted(&bench), "{whole:x?}");
            let mut bench = Bench::new(level);
            bench.send(&whole);
            assert!(whole[0] == 0x10 || !accepted(&bench), "{whole:x?} first");
        }
    }
}

#[test]
fn a_text_message_is_not_mqtt() {
    let mut bench = Bench::open(4);
    bench.input(Input::Text("hello".to_owned()));
    assert!(!accepted(&bench));
}

/// A small seeded generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// How many frames of noise: a longer run is a variable away.
fn frames() -> u64 {
    std::env::var("RISER_MQTT_FRAMES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000)
}

#[test]
fn noise_never_panics_and_never_gets_past_its_end() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut closed = 0;
    for n in 0..frames() {
        let level = 4 + (n % 2) as u8;
        let mut bytes = if n % 3 == 0 {
            // Plausible first bytes around noise.
            let firsts = [0x10, 0x30, 0x32, 0x34, 0x3d, 0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xc0, 0xe0, 0xf0];
            let noise: Vec<u8> = (0..random.below(40)).map(|_| random.next() as u8 & 0x1f).collect();
            packet(firsts[random.below(firsts.len())], &noise)
        } else {
            let mut all = all(level);
            let at = random.below(all.len());
            all.swap_remove(at)
        };
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        let mut bench = door_for(level, &bytes);
        let cut = random.below(bytes.len() + 1);
        bench.send(&bytes[..cut]);
        bench.send(&bytes[cut..]);
        bench.send(&bytes);
        bench.store(1, 1, &[]);
        closed += u64::from(!accepted(&bench));
    }
    assert!(closed > frames() / 10 && closed < frames(), "{closed}");
}
