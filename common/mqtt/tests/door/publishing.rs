//! PUBLISH in, entries out, acknowledgements after the commit and in receive order.

use crate::bench::*;
use riser_model::door::{Ask, Code, Target};
use riser_mqtt::Config;
use riser_wire::limits::{BATCH_ENTRIES_MAX, PUBLICATION_BYTES_MAX};

#[test]
fn one_read_is_one_batch_and_acks_leave_after_its_commit() {
    for level in BOTH {
        let mut bench = Bench::open(level);
        let stream = [
            publish(level, "hall/a", 1, 1, b"one"),
            publish(level, "hall/b", 0, 0, b"two"),
            publish_with(level, "hall/a", 3, 2, &[], b""),
        ]
        .concat();
        bench.send(&stream);
        let intake = bench.intake();
        assert_eq!((intake.ticket, intake.count), (1, 3));
        let read = entries(&intake, &mut vec![]);
        let wanted =
            [("hall/a", false, 1, &b"one"[..]), ("hall/b", false, 0, b"two"), ("hall/a", true, 1, b"")];
        for (entry, (topic, retain, qos, payload)) in read.iter().zip(wanted) {
            assert_eq!((entry.topic.as_str(), entry.retain, entry.qos), (topic, retain, qos));
            assert_eq!(
                (&entry.payload[..], entry.content_type.as_str()),
                (payload, "application/octet-stream")
            );
            assert_eq!(entry.packet_id, None);
        }
        assert_eq!(bench.got(), b"", "not before the commit");
        bench.store(1, 3, &[]);
        assert_eq!(bench.got(), [0x40, 2, 0, 1, 0x40, 2, 0, 2]);
    }
}

#[test]
fn the_stream_may_be_cut_anywhere() {
    let stream = [publish(5, "hall/a", 1, 1, &[7; 300]), publish(5, "hall/b", 1, 2, b"x")].concat();
    for cut in 0..stream.len() {
        let mut bench = Bench::open(5);
        bench.send(&stream[..cut]);
        bench.send(&stream[cut..]);
        let mut aliases = vec![];
        let mut read = vec![];
        for ask in bench.asks() {
            let Ask::Publish(intake) = ask else {
                panic!("{ask:?}");
            };
            read.extend(entries(&intake, &mut aliases));
        }
        let read: Vec<_> = read.iter().map(|entry| (entry.topic.as_str(), entry.payload.len())).collect();
        assert_eq!(read, [("hall/a", 300), ("hall/b", 1)], "{cut}");
    }
}

#[test]
fn topics_are_numbered_once_and_densely() {
    let mut bench = Bench::open(4);
    let mut aliases = vec![];
    for round in 0..3 {
        let stream: Vec<u8> = (0..5).flat_map(|n| publish(4, &format!("hall/{n}"), 0, 0, b"")).collect();
        bench.send(&stream);
        let intake = bench.intake();
        assert_eq!(intake.aliases.len(), if round == 0 { 5 } else { 0 });
        let topics: Vec<_> = entries(&intake, &mut aliases).into_iter().map(|entry| entry.topic).collect();
        assert_eq!(topics, ["hall/0", "hall/1", "hall/2", "hall/3", "hall/4"]);
    }
}

#[test]
fn a_connection_with_many_topics_begins_to_number_anew_and_names_no_other_topic() {
    let mut bench = Bench::open(4);
    let mut aliases = vec![];
    let mut named = 0;
    for round in 0..30u32 {
        let topics: Vec<String> = (0..100).map(|n| format!("hall/{}", round * 50 + n)).collect();
        let stream: Vec<u8> = topics.iter().flat_map(|topic| publish(4, topic, 0, 0, b"")).collect();
        bench.send(&stream);
        let intake = bench.intake();
        named += intake.aliases.len();
        let read: Vec<_> = entries(&intake, &mut aliases).into_iter().map(|entry| entry.topic).collect();
        assert_eq!(read, topics);
        assert!(aliases.len() <= 1124, "{}", aliases.len());
    }
    assert!(named > 1550, "some were named twice: {named}");
}

#[test]
fn topics_of_publications_that_are_not_stored_get_no_number() {
    let mut bench = Bench::open(5);
    bench.send(&publish(5, "hall/a", 2, 7, b"x"));
    bench.store(1, 1, &[]);
    for n in 0..10 {
        bench.send(&publish(5, &format!("again/{n}"), 2, 7, b"x"));
        bench.send(&publish(5, &format!("large/{n}"), 1, 8, &vec![0; PUBLICATION_BYTES_MAX + 1]));
    }
    bench.asks();
    bench.send(&publish(5, "hall/b", 1, 9, b"x"));
    assert_eq!(bench.intake().aliases, [(1, Target::Topic("hall/b".to_owned()))]);
}

#[test]
fn acks_keep_the_order_of_their_packets_through_refusals() {
    let mut bench = Bench::open(5);
    let first: Vec<u8> = (1..=4).flat_map(|id| publish(5, "hall/a", 1 + (id % 2) as u8, id, b"x")).collect();
    bench.send(&first);
    bench.send(&publish(5, "hall/a", 1, 5, b"x"));
    bench.asks();
    bench.store(1, 4, &[(1, Code::QuotaExceeded), (2, Code::Denied)]);
    assert_eq!(bench.acks(), [(0x50, 1, 0), (0x40, 2, 0x97), (0x50, 3, 0x87), (0x40, 4, 0)]);
    bench.store(2, 1, &[(0, Code::LogFailing)]);
    assert_eq!(bench.acks(), [(0x40, 5, 0x80)]);
    assert_eq!(bench.closed, None);
}

#[test]
fn every_refusal_has_its_reason_code_in_mqtt_5() {
    for (code, reason) in [
        (Code::Denied, 0x87),
        (Code::BadName, 0x90),
        (Code::QuotaExceeded, 0x97),
        (Code::LogFailing, 0x80),
        (Code::Malformed, 0x99),
        (Code::TooLarge, 0x83),
    ] {
        for (qos, first) in [(1, 0x40), (2, 0x50)] {
            let mut bench = Bench::open(5);
            bench.send(&publish(5, "hall/a", qos, 9, b"x"));
            bench.store(1, 1, &[(0, code)]);
            assert_eq!(bench.acks(), [(first, 9, reason)]);
        }
    }
}

#[test]
fn mqtt_3_has_no_word_for_a_refusal_so_the_connection_closes_without_an_ack() {
    for code in [Code::Denied, Code::BadName, Code::QuotaExceeded, Code::LogFailing] {
        for qos in [1, 2] {
            let mut bench = Bench::open(4);
            bench.send(&[publish(4, "hall/a", qos, 1, b""), publish(4, "hall/b", qos, 2, b"")].concat());
            bench.asks();
            bench.store(1, 2, &[(1, code)]);
            assert_eq!(
                bench.got(),
                [if qos == 1 { 0x40 } else { 0x50 }, 2, 0, 1],
                "what is stored is acknowledged"
            );
            assert_eq!(bench.code(), Some(code));
            assert!(matches!(&bench.asks()[..], [Ask::Leave { cause, .. }] if cause == code.name()));
        }
    }
}

#[test]
fn what_a_device_of_mqtt_3_sends_and_no_room_ever_takes_is_acknowledged_counted_and_told() {
    for (qos, first) in [(1, 0x40), (2, 0x50)] {
        let mut bench = Bench::open(4);
        bench.send(&[publish(4, "hall/a", qos, 1, b""), publish(4, "hall/b", qos, 2, b"")].concat());
        bench.asks();
        bench.store(1, 2, &[(0, Code::Malformed)]);
        assert_eq!(bench.acks(), [(first, 1, 0), (first, 2, 0)]);
        assert_eq!(bench.asks(), [Ask::Dropped { refusal: refusal(Code::Malformed), count: 1 }]);
        assert_eq!((bench.closed.clone(), bench.counters.given_up.total()), (None, 1));
    }
}

#[test]
fn more_unacknowledged_than_the_receive_maximum_are_counted_in_every_version() {
    for level in BOTH {
        let config = Config { receive_maximum: 4, ..Config::default() };
        let mut bench = Bench::open_with(level, config, Default::default());
        let many: Vec<u8> = (1..=10).flat_map(|id| publish(level, "hall/a", 1, id, b"")).collect();
        bench.send(&many);
        assert_eq!((bench.closed.clone(), bench.counters.over_receive_maximum.total()), (None, 6), "{level}");
    }
}

#[test]
fn qos_0_is_shed_for_want_of_space_and_counted_and_what_is_never_stored_is_counted_and_told() {
    for level in BOTH {
        let mut bench = Bench::open(level);
        let stream = [publish(level, "hall/a", 0, 0, b"x"), publish(level, "hall/a", 1, 3, b"x")].concat();
        bench.send(&stream);
        bench.store(1, 2, &[(0, Code::QuotaExceeded)]);
        assert_eq!(bench.acks(), [(0x40, 3, 0)]);
        assert_eq!((bench.closed.clone(), bench.counters.shed.total()), (None, 1));
        bench.send(&stream);
        bench.asks();
        for (n, code) in [Code::Denied, Code::BadName, Code::Malformed].into_iter().enumerate() {
            bench.store(2 + n as u64, 2, &[(0, code)]);
            assert_eq!(bench.acks(), [(0x40, 3, 0)]);
            assert_eq!((bench.closed.clone(), bench.counters.given_up.total()), (None, n as u64 + 1));
            assert_eq!(bench.asks(), [Ask::Dropped { refusal: refusal(code), count: 1 }]);
            bench.send(&stream);
            bench.asks();
        }
    }
}

#[test]
fn what_travels_is_kept_byte_for_byte_and_the_rest_is_not() {
    let mut bench = Bench::open(5);
    let travels =
        [&[1, 1][..], &[2, 0, 0, 0, 9], &[8, 0, 1, b'r'], &[9, 0, 2, 0, 255], &[38, 0, 1, b'k', 0, 1, b'v']];
    let content_type = [&[3, 0, 16][..], b"application/json"].concat();
    let alias = [35, 0, 1];
    let sent = [travels[0], &alias, travels[1], &content_type, travels[2], travels[3], travels[4]].concat();
    bench.send(&publish_with(5, "hall/a", 2, 1, &sent, b"{}"));
    let read = entries(&bench.intake(), &mut vec![]);
    assert_eq!(read[0].properties, travels.concat());
    assert_eq!(read[0].content_type, "application/json");
}

#[test]
fn a_content_type_without_a_place_in_the_entry_travels_as_a_property() {
    let long = [&[3, 1, 44][..], &[b'x'; 300]].concat();
    let mut bench = Bench::open(5);
    let body = [&string("hall/a")[..], &[0, 1], &[0xaf, 0x02], &long, b"payload"].concat();
    bench.send(&packet(0x32, &body));
    let read = entries(&bench.intake(), &mut vec![]);
    assert_eq!((&read[0].properties, &read[0].payload[..]), (&long, &b"payload"[..]));
    let octets = [&[3, 0, 24][..], b"application/octet-stream"].concat();
    let mut bench = Bench::open(5);
    bench.send(&publish_with(5, "hall/a", 0, 0, &octets, b"payload"));
    assert_eq!(
        entries(&bench.intake(), &mut vec![])[0].properties,
        octets,
        "what is named is not as if it were not"
    );
}

#[test]
fn topic_aliases_stand_for_their_topics() {
    let mut bench = Bench::open(5);
    let stream = [
        publish_with(5, "hall/a", 0, 0, &[35, 0, 1], b"1"),
        publish_with(5, "", 0, 0, &[35, 0, 1], b"2"),
        publish_with(5, "hall/b", 0, 0, &[35, 0, 1], b"3"),
        publish_with(5, "", 0, 0, &[35, 0, 1], b"4"),
        publish_with(5, "hall/c", 0, 0, &[35, 0, 32], b"5"),
    ]
    .concat();
    bench.send(&stream);
    let topics: Vec<_> = entries(&bench.intake(), &mut vec![]).into_iter().map(|entry| entry.topic).collect();
    assert_eq!(topics, ["hall/a", "hall/a", "hall/b", "hall/b", "hall/c"]);
    for (alias, reason) in [(33u8, 0x94), (2, 0x82), (0, 0x94)] {
        let mut bench = Bench::open(5);
        bench.send(&publish_with(5, "", 0, 0, &[35, 0, alias], b""));
        let last = bench.got();
        assert_eq!((last[0], last[2]), (0xe0, reason), "{alias}");
    }
}

#[test]
fn bad_topics_end_the_connection_and_long_ones_are_refused() {
    for level in BOTH {
        for (topic, reason) in [("", 0x82), ("a/#", 0x90), ("+/b", 0x90), ("a\0b", 0x81)] {
            let mut bench = Bench::open(level);
            bench.send(&publish(level, topic, 1, 1, b""));
            assert_eq!(bench.code(), Some(Code::Malformed), "{topic:?}");
            let said = bench.got().get(2).copied();
            assert_eq!(said, (level == 5).then_some(reason), "{topic:?}");
        }
        let mut bench = Bench::open(level);
        let body = [&[0, 2, 0xc3, 0x28, 0, 1][..], &[0; 3][..usize::from(level == 5)]].concat();
        bench.send(&packet(0x32, &body));
        assert_eq!(bench.code(), Some(Code::Malformed), "not UTF-8");
        let mut bench = Bench::open(level);
        bench.send(&publish(level, "/é/ü//x y", 1, 1, b""));
        assert_eq!(
            entries(&bench.intake(), &mut vec![])[0].topic,
            "/é/ü//x y",
            "the bus decides what it names"
        );
        let mut bench = Bench::open(level);
        bench.send(&publish(level, &"x".repeat(1000), 1, 1, b""));
        if level == 5 {
            assert!(bench.asks.iter().all(|ask| !matches!(ask, Ask::Publish(_))));
            assert_eq!(bench.acks(), [(0x40, 1, 0x90)]);
        } else {
            // It has no word for it: what to do with it is the bus's to say.
            let targets = bench.intake().aliases;
            assert!(matches!(&targets[..], [(0, Target::Device(topic))] if topic.len() < 600), "{targets:?}");
            bench.store(1, 1, &[]);
            assert_eq!(bench.got(), [0x40, 2, 0, 1]);
        }
    }
}

#[test]
fn long_names_of_a_device_take_one_number_however_many_there_are() {
    let mut bench = Bench::open(4);
    for n in 0..100_u16 {
        bench.send(&publish(4, &format!("{}é{n}", "x".repeat(511)), 1, n + 1, b""));
        let aliases = bench.intake().aliases.len();
        assert_eq!(aliases, usize::from(n == 0), "{n}");
    }
    bench.send(&publish(4, &format!("{}/#", "x".repeat(600)), 1, 200, b""));
    assert_eq!(bench.code(), Some(Code::Malformed), "all of it is looked at");
}

#[test]
fn a_refusal_of_our_own_keeps_its_place_among_the_acks() {
    let mut bench = Bench::open(5);
    let stream = [
        publish(5, "hall/a", 1, 1, b""),
        publish(5, &"x".repeat(1000), 1, 2, b""),
        publish(5, "hall/a", 1, 3, b""),
    ];
    bench.send(&stream.concat());
    assert_eq!(bench.intake().count, 2);
    assert_eq!(bench.got(), b"");
    bench.store(1, 2, &[]);
    assert_eq!(bench.acks(), [(0x40, 1, 0), (0x40, 2, 0x90), (0x40, 3, 0)]);
}

#[test]
fn a_publication_larger_than_an_entry_may_be_is_refused_where_that_is_heard_and_given_up_elsewhere() {
    let large = vec![0; PUBLICATION_BYTES_MAX + 1];
    let mut bench = Bench::open(5);
    bench.send(&publish(5, "hall/a", 1, 1, &large));
    assert_eq!(bench.acks(), [(0x40, 1, 0x83)]);
    bench.send(&publish(5, "hall/a", 1, 2, &large[1..]));
    assert_eq!(bench.intake().count, 1);
    let (small, behind) = (b"x".as_slice(), 7);
    for (level, qos, first) in [(4, 0, 0), (5, 0, 0), (4, 1, 0x40), (4, 2, 0x50)] {
        let mut bench = Bench::open(level);
        let stream = [
            publish(level, "hall/a", qos, 1, &large),
            publish(level, "hall/a", qos, 2, &large),
            publish(level, "hall/a", 1, behind, small),
        ];
        bench.send(&stream.concat());
        let asks = bench.asks();
        let stored: Vec<_> = asks
            .iter()
            .filter_map(|ask| if let Ask::Publish(intake) = ask { Some(intake.count) } else { None })
            .collect();
        assert_eq!((&stored[..], bench.closed.clone()), (&[1][..], None), "what is behind it gets through");
        let told: Vec<_> = asks
            .iter()
            .filter_map(|ask| match ask {
                Ask::Dropped { refusal, count } => Some((refusal.code, *count)),
                _ => None,
            })
            .collect();
        assert_eq!(told, [(Code::TooLarge, 2)]);
        bench.store(1, 1, &[]);
        let heard = if qos == 0 { vec![] } else { vec![(first, 1, 0), (first, 2, 0)] };
        assert_eq!(bench.acks(), [heard, vec![(0x40, behind, 0)]].concat());
        assert_eq!(bench.counters.given_up.total(), 2);
        if qos == 2 {
            bench.send(&ack(0x62, 1));
            assert_eq!(bench.acks(), [(0x70, 1, 0)]);
        }
    }
    let mut bench = Bench::with(4, Config { packet_bytes_max: 100, ..Config::default() });
    bench.send(&connect(4, true, 0, 0));
    bench.tell(entered(Default::default()));
    bench.send(&publish(4, "hall/a", 1, 1, &[0; 100])[..2]);
    assert_eq!(bench.code(), Some(Code::TooLarge), "refused at its fixed header");
}

#[test]
fn batches_are_bounded_and_their_tickets_rise() {
    let mut bench = Bench::open(4);
    let one = publish(4, "a", 0, 0, b"");
    bench.send(&one.repeat(2 * BATCH_ENTRIES_MAX + 1));
    let asks: Vec<_> = bench
        .asks()
        .into_iter()
        .map(|ask| match ask {
            Ask::Publish(intake) => (intake.ticket, intake.count as usize),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(asks, [(1, BATCH_ENTRIES_MAX), (2, BATCH_ENTRIES_MAX), (3, 1)]);
    let large = publish(4, "a", 0, 0, &vec![0; 200_000]);
    bench.send(&large.repeat(8));
    assert!(
        bench.asks().iter().all(|ask| matches!(ask, Ask::Publish(intake) if intake.entries.len() <= 1 << 20))
    );
}

#[test]
fn the_receive_maximum_is_told_and_violators_are_tolerated_by_a_margin() {
    let config = Config { receive_maximum: 4, ..Config::default() };
    for qos in [1, 2] {
        let mut bench = Bench::open_with(5, config.clone(), Default::default());
        let many = |ids: std::ops::RangeInclusive<u16>| -> Vec<u8> {
            ids.flat_map(|id| publish(5, "hall/a", qos, id, b"")).collect()
        };
        bench.send(&many(1..=500));
        assert_eq!((bench.closed.clone(), bench.counters.over_receive_maximum.total()), (None, 496));
        bench.send(&many(501..=65_535));
        assert_eq!(bench.closed, None);
        bench.send(&publish(5, "hall/a", 1, 1, b""));
        assert_eq!(bench.code(), Some(Code::TooMany), "QoS {qos}: there are no more packet ids");
        let last = bench.got();
        assert_eq!(last[last.iter().position(|b| *b == 0xe0).unwrap() + 2], 0x93);
    }
    let mut bench = Bench::open_with(4, config, Default::default());
    (1..=500).for_each(|id| bench.send(&publish(4, "hall/a", 1, id, b"")));
    assert_eq!(bench.closed, None, "MQTT 3.1.1 was told no maximum");
    assert_eq!(bench.counters.over_receive_maximum.total(), 496, "and is counted all the same");
}

#[test]
fn what_came_whole_before_a_fault_is_stored() {
    for level in BOTH {
        let mut bench = Bench::open(level);
        bench.send(&[publish(level, "hall/a", 1, 1, b"x"), vec![0x20, 0]].concat());
        assert!(matches!(&bench.asks()[..], [Ask::Publish(intake), Ask::Leave { .. }] if intake.count == 1));
        assert_eq!(bench.code(), Some(Code::WrongState));
    }
}
