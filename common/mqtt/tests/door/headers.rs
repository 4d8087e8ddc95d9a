//! Fixed headers, flags, lengths and strings: what every packet has in common.

use crate::bench::*;
use riser_model::door::{Ask, Code, Want};

/// The last word of MQTT 5, or the silence of MQTT 3.1.1.
fn must_end(bench: &mut Bench, code: Code, reason: u8, what: &str) {
    assert_eq!(bench.code(), Some(code), "{what}");
    let got = bench.got();
    let right = if bench.level == 5 { got[0] == 0xe0 && got[2] == reason } else { got.is_empty() };
    assert!(right, "{what}: {got:x?}");
    assert!(matches!(&bench.asks()[..], [Ask::Leave { .. }]), "{what}: nothing came of it");
}

#[test]
fn reserved_bits_of_every_first_byte_end_the_connection() {
    for level in BOTH {
        for first in 0x10..=0xff_u8 {
            let wanted = match first >> 4 {
                // PUBLISH has no reserved bits; these are a server's, whatever their bits.
                2 | 3 | 9 | 11 | 13 => continue,
                6 | 8 | 10 => 2,
                _ => 0,
            };
            if first & 0x0f == wanted {
                continue;
            }
            let body = match first >> 4 {
                8 => [&[0, 1][..], &[0][..usize::from(level == 5)], &string("hall/a"), &[0]].concat(),
                10 => [&[0, 1][..], &[0][..usize::from(level == 5)], &string("hall/a")].concat(),
                4..=7 => vec![0, 1],
                _ => vec![],
            };
            let mut bench = Bench::open(level);
            bench.send(&packet(first, &body));
            must_end(&mut bench, Code::Malformed, 0x81, &format!("{first:#x}"));
        }
    }
}

#[test]
fn qos_3_and_a_repetition_of_qos_0_end_the_connection() {
    for level in BOTH {
        for flags in [0x06, 0x07, 0x0e, 0x0f, 0x08, 0x09] {
            let mut bench = Bench::open(level);
            bench.send(&publish_with(level, "hall/a", flags, 1, &[], b"x"));
            must_end(&mut bench, Code::Malformed, 0x81, &format!("{flags:#x}"));
        }
    }
}

#[test]
fn packet_id_0_ends_the_connection() {
    for level in BOTH {
        for bytes in [
            publish(level, "hall/a", 1, 0, b"x"),
            publish(level, "hall/a", 2, 0, b"x"),
            ack(0x40, 0),
            ack(0x50, 0),
            ack(0x62, 0),
            ack(0x70, 0),
            subscribe(level, 0, &[("hall/a", 0)]),
            unsubscribe(level, 0, &["hall/a"]),
        ] {
            let mut bench = Bench::open(level);
            bench.send(&bytes);
            must_end(&mut bench, Code::Malformed, 0x81, &format!("{bytes:x?}"));
        }
    }
}

/// Texts that are no MQTT strings, with their lengths.
const BAD_TEXTS: [&[u8]; 4] = [
    &[0, 3, b'a', b'/', 0xff],
    &[0, 5, b'a', b'/', 0xed, 0xa0, 0x80],
    &[0, 3, b'a', b'/', 0],
    &[0, 4, b'a', b'/', 0xc0, 0x80],
];

#[test]
fn strings_that_are_not_utf8_or_hold_nul_end_the_connection_wherever_they_stand() {
    for text in BAD_TEXTS {
        let good = string("k");
        let v5 = [
            (0x82, [&[0, 1, 0][..], text, &[0]].concat()),
            (0xa2, [&[0, 1, 0][..], text].concat()),
            (0x30, [text, &[0]].concat()),
            (0x30, publishing(&[&[3][..], text].concat())),
            (0x30, publishing(&[&[8][..], text].concat())),
            (0x30, publishing(&[&[38][..], text, &good].concat())),
            (0x30, publishing(&[&[38][..], &good, text].concat())),
            (0xe0, [&[0, text.len() as u8 + 1, 31][..], text].concat()),
            (0x40, [&[0, 1, 0, text.len() as u8 + 1, 31][..], text].concat()),
        ];
        let v4 = [
            (0x82, [&[0, 1][..], text, &[0]].concat()),
            (0xa2, [&[0, 1][..], text].concat()),
            (0x30, text.to_vec()),
        ];
        let v5 = v5.map(|(first, body)| (5, first, body));
        for (level, first, body) in v5.into_iter().chain(v4.map(|(first, body)| (4, first, body))) {
            let mut bench = Bench::open(level);
            bench.send(&packet(first, &body));
            must_end(&mut bench, Code::Malformed, 0x81, &format!("{level}: {first:#x} {body:x?}"));
        }
    }
}

/// The body of a PUBLISH at QoS 0 with these properties.
fn publishing(properties: &[u8]) -> Vec<u8> {
    [&string("hall/a")[..], &[properties.len() as u8], properties].concat()
}

#[test]
fn a_byte_order_mark_is_a_character_like_any_other() {
    for level in BOTH {
        let marked = "\u{feff}hall/\u{feff}a";
        let mut bench = Bench::open(level);
        bench.send(&publish(level, marked, 0, 0, b"x"));
        assert_eq!(entries(&bench.intake(), &mut vec![])[0].topic, marked);
        bench.send(&subscribe(level, 1, &[(marked, 0)]));
        let asks = bench.asks();
        assert!(matches!(&asks[..], [Ask::Subscribe { want: Want::Topic(topic), .. }] if topic == marked));
    }
}

#[test]
fn names_are_told_apart_byte_by_byte() {
    // Composed and decomposed, upper and lower case, with and without a last empty level.
    let names = ["hall/\u{e9}", "hall/e\u{301}", "hall/A", "hall/a", "hall/a/"];
    for level in BOTH {
        let mut bench = Bench::open(level);
        let stream: Vec<u8> = names.iter().flat_map(|name| publish(level, name, 0, 0, b"")).collect();
        bench.send(&stream);
        let topics: Vec<_> =
            entries(&bench.intake(), &mut vec![]).into_iter().map(|entry| entry.topic).collect();
        assert_eq!(topics, names);
        bench.send(&subscribe(level, 1, &names.map(|name| (name, 0))));
        let filters = bench.asks().into_iter().map(|ask| match ask {
            Ask::Subscribe { want: Want::Topic(topic), .. } => topic,
            other => panic!("{other:?}"),
        });
        assert_eq!(filters.collect::<Vec<_>>(), names);
    }
}

#[test]
fn filters_with_wildcards_in_wrong_places_are_refused_each_for_itself() {
    for (level, refused) in [(4, 0x80), (5, 0x8f)] {
        let wrong = ["a/#/b", "a#", "#/a", "a/b#", "a+", "+a/b", "a/+b/c", "++", "a/++"];
        let mut bench = Bench::open(level);
        bench.send(&subscribe(level, 1, &wrong.map(|filter| (filter, 0))));
        assert_eq!((bench.asks(), bench.closed.clone()), (vec![], None));
        let got = bench.got();
        assert_eq!(got[got.len() - wrong.len()..], [refused; 9]);
        let right = ["#", "a/#", "+", "+/a", "a/+", "a/+/b", "+/+/#"];
        bench.send(&subscribe(level, 2, &right.map(|filter| (filter, 0))));
        assert_eq!(bench.asks().len(), right.len(), "the bus decides what they name");
    }
}

#[test]
fn numbers_in_more_bytes_than_they_need_are_malformed() {
    for (first, body) in [
        (0x30, [&string("hall/a")[..], &[0x80, 0]].concat()),
        (0x82, [&[0, 1, 3, 11, 0x81, 0][..], &string("hall/a"), &[0]].concat()),
        (0xa2, [&[0, 1, 0x80, 0][..], &string("hall/a")].concat()),
        (0xe0, vec![0, 0x80, 0]),
    ] {
        let mut bench = Bench::open(5);
        bench.send(&packet(first, &body));
        must_end(&mut bench, Code::Malformed, 0x81, &format!("{first:#x} {body:x?}"));
    }
}
