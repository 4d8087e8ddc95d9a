//! A connection to a broker, byte by byte: what is asked of the bus, what the broker is told, and when.

use super::*;
use crate::config::SourceConfig;
use riser_model::{
    AccountId, ClientId, ConnectionId, Epoch, LogId, Principal, Seq,
    door::{Intake, Target},
    principal::Grants,
};
use riser_shell::Metrics;
use riser_wire::entry::{Body, PacketId, Publication, frames};
use rumqttc::mqttbytes::v4::{PubRel, Publish};

/// One connection of a source between a bus and a broker that the test plays.
struct Line {
    subscriber: Subscriber,
    now: Now,
}

/// What a connection did.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Did {
    Said(Vec<u8>),
    Asked(Ask),
    Closed(Code),
}

/// Of an edge that can keep nothing beside its log.
fn setup(qos: u8, room: Option<&str>) -> Arc<Setup> {
    setup_in(std::path::Path::new("/nowhere"), (qos, ["a/#", "é/+"]), room)
}

fn setup_in(folder: &std::path::Path, (qos, filters): (u8, [&str; 2]), room: Option<&str>) -> Arc<Setup> {
    let broker = BrokerConfig {
        url: "mqtt://127.0.0.1".parse().unwrap(),
        client_id: "x".parse().unwrap(),
        filters: filters.map(|filter| filter.parse().unwrap()).into(),
        qos,
        user: Some("u".to_owned()),
        password_file: None,
        ca: None,
        insecure: false,
        keepalive: riser_shell::config::Duration::seconds(20),
    };
    let config = SourceConfig {
        name: "s".parse().unwrap(),
        principal: "a/c".to_owned(),
        room: room.map(|room| room.parse().unwrap()),
        strip: u8::from(room.is_some()),
        prefix: String::new(),
        stdin: false,
        mqtt: Some(broker.clone()),
    };
    let meter = Meter::new("s", &Arc::new(Metrics::new("edge", "0")));
    let mark = Mark::new(folder, "s", &broker);
    Arc::new(Setup::new(broker, Mapping::new(&config), meter, mark))
}

impl Line {
    fn new(setup: &Arc<Setup>) -> Self {
        let now = Now::default();
        Self { subscriber: Subscriber::new(Arc::clone(setup), Some("p".into()), now), now }
    }

    fn did(&mut self) -> Vec<Did> {
        let did = |output| match output {
            Output::Bytes(bytes) => Did::Said(bytes.to_vec()),
            Output::Ask(ask) => Did::Asked(ask),
            Output::Close(refusal) => Did::Closed(refusal.code),
            Output::Texts(_) | Output::Text(_) | Output::Done => panic!("{output:?}"),
        };
        std::iter::from_fn(|| self.subscriber.poll()).map(did).collect()
    }

    fn hears(&mut self, bytes: &[u8]) -> Vec<Did> {
        self.subscriber.handle(Input::Bytes(bytes.to_vec().into()), self.now);
        self.did()
    }

    fn told(&mut self, tell: Tell) -> Vec<Did> {
        self.subscriber.handle(Input::Tell(tell), self.now);
        self.did()
    }

    fn stored(&mut self, ticket: u64, refused: &[(u32, Code)]) -> Vec<Did> {
        let refusal = |code| Refusal { code, what: "w".to_owned(), want: "v".to_owned() };
        let refused = refused.iter().map(|(index, code)| (*index, refusal(*code))).collect();
        self.told(Tell::Stored { ticket, log: LogId(1), epoch: Epoch(1), first: Seq(1), refused })
    }

    fn passes(&mut self, seconds: u64) -> Vec<Did> {
        self.now.time = self.now.time.plus(Duration::from_secs(seconds));
        self.subscriber.handle(Input::Deadline, self.now);
        self.did()
    }

    /// Let in by the bus, with these ids open.
    fn enters(&mut self, number: u64, open_ids: &[u16]) -> Vec<Did> {
        let principal = Arc::new(Principal {
            account: AccountId(Default::default()),
            account_name: "a".parse().unwrap(),
            client: ClientId(Default::default()),
            name: "c".parse().unwrap(),
            grants: Arc::new(Grants::default()),
            home: None,
        });
        let session = SessionState { number, open_ids: open_ids.to_vec(), ..SessionState::default() };
        self.told(Tell::Entered { principal, connection: ConnectionId(1), session, room: None })
    }

    /// As far as messages flow; the broker had no session.
    fn open(setup: &Arc<Setup>, number: u64) -> Self {
        let mut line = Self::new(setup);
        line.did();
        line.enters(number, &[]);
        line.hears(&CONNACK_NEW);
        assert_eq!(line.hears(&SUBACK), []);
        assert_eq!(setup.meter.up.get(), 1);
        line
    }
}

const CONNACK_NEW: [u8; 4] = [0x20, 2, 0, 0];
const CONNACK_PRESENT: [u8; 4] = [0x20, 2, 1, 0];
const SUBACK: [u8; 6] = [0x90, 4, 0, 1, 2, 2];

fn publish(topic: &str, qos: QoS, id: u16, dup: bool) -> Vec<u8> {
    let mut publish = Publish::new(topic, qos, format!("payload {id}"));
    (publish.pkid, publish.dup) = (id, dup);
    let mut bytes = BytesMut::new();
    publish.write(&mut bytes).unwrap();
    bytes.to_vec()
}

fn qos_1(id: u16) -> Vec<u8> {
    publish("a/b", QoS::AtLeastOnce, id, false)
}

fn qos_2(id: u16) -> Vec<u8> {
    publish("a/b", QoS::ExactlyOnce, id, false)
}

fn pubrel(id: u16) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    PubRel::new(id).write(&mut bytes).unwrap();
    bytes.to_vec()
}

fn acks(first: u8, ids: &[u16]) -> Did {
    Did::Said(ids.iter().flat_map(|id| [first, 2, (id >> 8) as u8, *id as u8]).collect())
}

/// The intake among what was done, and the packet id of each of its entries.
fn intake(did: &[Did]) -> (Intake, Vec<Option<PacketId>>) {
    let asked = did.iter().find_map(|did| match did {
        Did::Asked(Ask::Publish(intake)) => Some(intake.clone()),
        Did::Asked(_) | Did::Said(_) | Did::Closed(_) => None,
    });
    let intake = asked.unwrap_or_else(|| panic!("{did:?}"));
    let ids = frames(&intake.entries).map(|frame| {
        let body = Body::read(frame.unwrap().body).unwrap();
        Publication::read(&body).unwrap().packet_id
    });
    let ids = ids.collect();
    (intake, ids)
}

#[test]
fn it_enters_the_bus_before_it_says_a_word() {
    let setup = setup(1, None);
    let mut line = Line::new(&setup);
    let enter = Ask::Enter { credential: Credential::Anonymous, session: None, room: None };
    assert_eq!(line.did(), [Did::Asked(enter)]);
    let [Did::Said(connect)] = &line.enters(0, &[])[..] else { panic!() };
    // Not a clean session, user and password, a keepalive of 20 s, and the one client id.
    assert_eq!(connect[2..], *b"\0\x04MQTT\x04\xc0\0\x14\0\x01x\0\x01u\0\x01p");
    let [Did::Said(subscribe)] = &line.hears(&CONNACK_NEW)[..] else { panic!() };
    assert_eq!(subscribe[2..], *"\0\x01\0\x03a/#\x01\0\x04é/+\x01".as_bytes());
    assert_eq!((line.hears(&SUBACK), setup.meter.up.get()), (vec![], 1));
}

#[test]
fn nothing_is_acknowledged_before_its_commit_and_all_of_it_in_order() {
    let setup = setup(1, Some("hall"));
    let mut line = Line::open(&setup, 0);
    let first = line.hears(&[qos_1(5), publish("a/c", QoS::AtMostOnce, 0, false), qos_1(6)].concat());
    let (first, ids) = intake(&first);
    assert_eq!((first.ticket, first.count, ids), (1, 3, vec![None; 3]));
    let channel = |name: &str| Target::Channel("hall".parse().unwrap(), name.parse().unwrap());
    assert_eq!(first.aliases, [(0, channel("b")), (1, channel("c"))]);
    // The next batch waits for the first.
    assert_eq!((line.hears(&qos_1(7)), line.hears(&qos_1(8))), (vec![], vec![]));
    let did = line.stored(1, &[]);
    let (second, _) = intake(&did);
    assert_eq!((second.ticket, second.count, second.aliases.len()), (2, 2, 0));
    assert_eq!(did.last(), Some(&acks(0x40, &[5, 6])));
    assert_eq!(line.stored(2, &[]), [acks(0x40, &[7, 8])]);
    let meter = &setup.meter;
    assert_eq!((meter.received.get(), meter.stored.get(), meter.acknowledged.get()), (5, 5, 4));
}

#[test]
fn what_can_never_be_stored_is_refused_once_and_blocks_nothing() {
    let setup = setup(1, Some("hall"));
    let mut line = Line::open(&setup, 0);
    let long = format!("a/{}", "x".repeat(300));
    let topics = [("a/b", 1), (long.as_str(), 2), ("other/b", 3), ("a/c", 4), ("a/d", 5)];
    let packets = topics.map(|(topic, id)| publish(topic, QoS::AtLeastOnce, id, false)).concat();
    let (intake, _) = intake(&line.hears(&packets));
    assert_eq!(intake.count, 3, "the name that is no channel, and what nobody asked for, are not in it");
    let did = line.stored(1, &[(1, Code::Denied)]);
    assert_eq!(did, [acks(0x40, &[1, 2, 3, 4, 5])]);
    assert_eq!((setup.meter.stored.get(), setup.meter.acknowledged.get()), (2, 5));
}

#[test]
fn what_cannot_be_stored_now_stays_with_the_broker_and_so_does_what_comes_after_it() {
    let setup = setup(1, None);
    let mut line = Line::open(&setup, 0);
    line.hears(&[qos_1(1), qos_1(2), qos_1(3)].concat());
    assert_eq!(line.hears(&qos_1(4)), [], "it is not stored before what came before it");
    let did = line.stored(1, &[(1, Code::QuotaExceeded)]);
    let leave = Ask::Leave { cause: "quota_exceeded".to_owned(), expiry_s: None };
    let want = [Did::Said(vec![0x40, 2, 0, 1, 0xe0, 0]), Did::Asked(leave), Did::Closed(Code::QuotaExceeded)];
    assert_eq!(did, want);
    assert_eq!(line.stored(2, &[]), [], "nothing is acknowledged past it");
    assert_eq!((setup.meter.up.get(), setup.standing().was_up), (0, true));
}

#[test]
fn no_more_is_heard_than_two_batches_hold() {
    let setup = setup(1, None);
    let mut line = Line::open(&setup, 0);
    line.hears(&qos_1(1));
    let mut large = Publish::new("a/b", QoS::AtMostOnce, vec![0; 60_000]);
    large.pkid = 0;
    let mut bytes = BytesMut::new();
    large.write(&mut bytes).unwrap();
    let mut heard = 0;
    while !line.subscriber.is_full() && heard < 100 {
        line.hears(&bytes);
        heard += 1;
    }
    assert_eq!(heard, 5);
    line.stored(1, &[]);
    assert!(!line.subscriber.is_full());
}

#[test]
fn what_is_shed_at_qos_0_disturbs_nobody() {
    let setup = setup(1, None);
    let mut line = Line::open(&setup, 0);
    line.hears(&[publish("a/b", QoS::AtMostOnce, 0, false), qos_1(2)].concat());
    assert_eq!(line.stored(1, &[(0, Code::QuotaExceeded)]), [acks(0x40, &[2])]);
}

#[test]
fn a_publication_that_is_too_large_is_passed_over_and_forgotten() {
    let setup = setup(1, None);
    let mut line = Line::open(&setup, 0);
    let mut large = Publish::new("a/b", QoS::AtLeastOnce, vec![0; 2 << 20]);
    large.pkid = 9;
    let mut bytes = BytesMut::new();
    large.write(&mut bytes).unwrap();
    bytes.extend_from_slice(&qos_1(10));
    let did: Vec<Did> = bytes.chunks(60_000).flat_map(|piece| line.hears(piece)).collect();
    let (intake, _) = intake(&did);
    assert!(intake.entries.len() < 200);
    let said: Vec<Did> = did.into_iter().filter(|did| matches!(did, Did::Said(_))).collect();
    assert_eq!(said, [acks(0x40, &[9])]);
    assert_eq!(line.stored(1, &[]), [acks(0x40, &[10])]);
}

#[test]
fn qos_2_is_recorded_and_released_on_disk_before_the_broker_hears_of_it() {
    let setup = setup(2, None);
    let mut line = Line::new(&setup);
    let [Did::Asked(Ask::Enter { session: Some(session), .. })] = &line.did()[..] else { panic!() };
    assert_eq!((session.clean, session.expiry_s), (false, u32::MAX));
    line.enters(7, &[]);
    line.hears(&CONNACK_NEW);
    line.hears(&SUBACK);
    let (first, ids) = intake(&line.hears(&[qos_2(1), qos_2(2)].concat()));
    let id = |id| Some(PacketId { session: 7, id });
    assert_eq!((first.ticket, ids), (1, vec![id(1), id(2)]));
    assert_eq!(line.hears(&publish("a/b", QoS::ExactlyOnce, 1, true)), [], "it is being stored");
    assert_eq!(line.stored(1, &[]), [acks(0x50, &[1, 2])]);
    assert_eq!(
        line.hears(&publish("a/b", QoS::ExactlyOnce, 1, true)),
        [acks(0x50, &[1])],
        "it is here already"
    );
    // A release, and what comes after it in the same read.
    let did = line.hears(&[pubrel(1), pubrel(2), qos_2(3)].concat());
    assert_eq!(did, [Did::Asked(Ask::Release { ticket: 2, ids: vec![1, 2] })]);
    let did = line.stored(2, &[]);
    assert_eq!((intake(&did).0.ticket, did.last()), (3, Some(&acks(0x70, &[1, 2]))));
    assert_eq!(line.stored(3, &[]), [acks(0x50, &[3])]);
    // The id is free again: what bears it is new.
    assert_eq!(intake(&line.hears(&qos_2(1))).1, [id(1)]);
    assert_eq!(setup.meter.resent.get(), 2);
}

#[test]
fn an_id_that_is_given_out_anew_is_a_new_publication() {
    let setup = setup(2, None);
    let mut line = Line::new(&setup);
    line.did();
    line.enters(7, &[1, 2]);
    line.hears(&CONNACK_PRESENT);
    line.hears(&SUBACK);
    // Sent again it is known; sent for the first time it cannot be.
    let packets = [publish("a/b", QoS::ExactlyOnce, 2, true), qos_2(1)].concat();
    let did = line.hears(&packets);
    assert_eq!((intake(&did).0.count, did.last()), (1, Some(&acks(0x50, &[2]))));
    assert_eq!(line.stored(1, &[]), [acks(0x50, &[1])]);
}

#[test]
fn a_broker_that_does_not_wait_for_pubcomp_is_understood() {
    let setup = setup(2, None);
    let mut line = Line::open(&setup, 7);
    line.hears(&qos_2(1));
    line.stored(1, &[]);
    assert_eq!(line.hears(&pubrel(1)), [Did::Asked(Ask::Release { ticket: 2, ids: vec![1] })]);
    assert_eq!(line.hears(&qos_2(1)), [], "a new publication, after the release");
    let did = line.stored(2, &[]);
    assert_eq!((intake(&did).0.count, did.last()), (1, Some(&acks(0x70, &[1]))));
    assert_eq!(line.hears(&publish("a/b", QoS::ExactlyOnce, 1, true)), [], "and this repeats it");
    assert_eq!(line.stored(3, &[]), [acks(0x50, &[1])]);
    assert_eq!(line.hears(&pubrel(1)), [Did::Asked(Ask::Release { ticket: 4, ids: vec![1] })]);
}

#[test]
fn after_a_restart_a_repetition_is_answered_and_an_unknown_release_completed() {
    let setup = setup(2, None);
    let mut line = Line::new(&setup);
    line.did();
    line.enters(7, &[1]);
    line.hears(&CONNACK_PRESENT);
    // What the session held may come before SUBACK.
    assert_eq!(line.hears(&publish("a/b", QoS::ExactlyOnce, 1, true)), [acks(0x50, &[1])]);
    // It was released, and that was on disk; only PUBCOMP was lost.
    assert_eq!(line.hears(&pubrel(2)), [acks(0x70, &[2])]);
    line.hears(&SUBACK);
    assert_eq!(line.hears(&pubrel(1)), [Did::Asked(Ask::Release { ticket: 1, ids: vec![1] })]);
    assert_eq!(line.stored(1, &[]), [acks(0x70, &[1])]);
}

#[test]
fn ids_of_a_session_that_the_broker_has_forgotten_mean_nothing() {
    let setup = setup(2, None);
    let mut line = Line::new(&setup);
    line.did();
    line.enters(7, &[1, 4]);
    let did = line.hears(&CONNACK_NEW);
    assert!(did.contains(&Did::Asked(Ask::Release { ticket: 1, ids: vec![1, 4] })), "{did:?}");
    line.hears(&SUBACK);
    assert_eq!(line.hears(&qos_2(1)), []);
    let (intake, ids) = intake(&line.stored(1, &[]));
    assert_eq!((intake.ticket, ids), (2, vec![Some(PacketId { session: 7, id: 1 })]));
}

#[test]
fn a_release_that_cannot_be_stored_is_not_completed() {
    let setup = setup(2, None);
    let mut line = Line::open(&setup, 7);
    line.hears(&qos_2(1));
    line.stored(1, &[]);
    line.hears(&pubrel(1));
    let did = line.stored(2, &[(0, Code::LogFailing)]);
    assert_eq!(did.first(), Some(&Did::Said(DISCONNECT.to_vec())), "{did:?}");
    assert_eq!(did.last(), Some(&Did::Closed(Code::LogFailing)));
}

#[test]
fn it_subscribes_again_only_where_the_broker_has_forgotten() {
    let setup = setup(1, None);
    drop(Line::open(&setup, 0));
    let mut again = Line::new(&setup);
    again.did();
    again.enters(0, &[]);
    assert_eq!(
        (again.hears(&CONNACK_PRESENT), setup.meter.up.get()),
        (vec![], 1),
        "nothing retained comes again"
    );
    let mut forgotten = Line::new(&setup);
    forgotten.did();
    forgotten.enters(0, &[]);
    assert!(matches!(&forgotten.hears(&CONNACK_NEW)[..], [Did::Said(subscribe)] if subscribe[0] == 0x82));
}

#[test]
fn a_broker_that_refuses_is_left_with_the_reason() {
    for (connack, word) in [([0x20, 2, 0, 4], "BadUserNamePassword"), ([0x20, 2, 0, 2], "BadClientId")] {
        let setup = setup(1, None);
        let mut line = Line::new(&setup);
        line.did();
        line.enters(0, &[]);
        assert_eq!(line.hears(&connack).last(), Some(&Did::Closed(Code::NotAuthorised)));
        assert!(setup.standing().end.contains(word) && !setup.standing().was_up, "{}", setup.standing().end);
    }
    let setup = setup(1, None);
    let mut line = Line::new(&setup);
    line.did();
    line.enters(0, &[]);
    line.hears(&CONNACK_NEW);
    assert_eq!(line.hears(&[0x90, 4, 0, 1, 0x80, 0x80]).last(), Some(&Did::Closed(Code::Denied)));
    assert!(setup.standing().end.contains("every subscription"));
}

#[test]
fn one_refused_filter_leaves_the_others_flowing() {
    let setup = setup(1, None);
    let mut line = Line::new(&setup);
    line.did();
    line.enters(0, &[]);
    line.hears(&CONNACK_NEW);
    assert_eq!((line.hears(&[0x90, 4, 0, 1, 1, 0x80]), setup.meter.up.get()), (vec![], 1));
    assert!(!setup.standing().subscribed, "the next connection asks for it again");
}

#[test]
fn a_silent_broker_is_pinged_and_then_left() {
    let setup = setup(1, None);
    let mut line = Line::open(&setup, 0);
    assert_eq!(line.subscriber.poll_timeout(), Some(line.now.time.plus(Duration::from_secs(10))));
    assert_eq!(line.passes(10), [Did::Said(PINGREQ.to_vec())]);
    line.hears(&[0xd0, 0]);
    assert_eq!(line.passes(10), [Did::Said(PINGREQ.to_vec())]);
    assert_eq!(line.passes(10).last(), Some(&Did::Closed(Code::Timeout)));
    assert!(setup.standing().end.contains("silent"));
}

#[test]
fn a_slow_disk_is_no_silent_broker() {
    let setup = setup(1, None);
    let mut line = Line::open(&setup, 0);
    line.hears(&qos_1(1));
    for _ in 0..20 {
        assert_eq!(line.passes(10), [Did::Said(PINGREQ.to_vec())], "the broker hears from us all the same");
    }
    assert_eq!(line.stored(1, &[]), [acks(0x40, &[1])]);
    assert_eq!(line.passes(10).last(), Some(&Did::Closed(Code::Timeout)));
}

#[test]
fn answers_that_do_not_come_end_it() {
    let setup = setup(1, None);
    let mut line = Line::new(&setup);
    line.did();
    assert_eq!(line.subscriber.poll_timeout(), None);
    line.enters(0, &[]);
    assert_eq!(line.passes(10).last(), Some(&Did::Closed(Code::Timeout)));
    let mut line = Line::new(&setup);
    line.did();
    line.enters(0, &[]);
    line.hears(&CONNACK_NEW);
    assert_eq!(line.passes(9), []);
    assert_eq!(line.passes(1).last(), Some(&Did::Closed(Code::Timeout)));
}

#[test]
fn what_is_not_mqtt_ends_it_without_another_word() {
    for bytes in [&b"HTTP/1.1 400"[..], &CONNACK_NEW, &[0x90, 3, 0, 1, 0], &[0x40, 2, 0, 1]] {
        let setup = setup(1, None);
        let mut line = Line::open(&setup, 0);
        let did = line.hears(bytes);
        assert!(!did.iter().any(|did| matches!(did, Did::Said(_))), "{did:?}");
        assert_eq!(did.last(), Some(&Did::Closed(Code::Malformed)), "{bytes:02x?}");
        assert_eq!(line.hears(&qos_1(1)), []);
    }
}

#[test]
fn a_stop_acknowledges_what_is_on_disk_and_says_goodbye() {
    let setup = setup(1, None);
    let mut line = Line::open(&setup, 0);
    line.hears(&qos_1(1));
    line.stored(1, &[]);
    let stop = Refusal { code: Code::ShuttingDown, what: "w".to_owned(), want: "v".to_owned() };
    let leave = Ask::Leave { cause: NORMAL.to_owned(), expiry_s: None };
    let want = [Did::Said(DISCONNECT.to_vec()), Did::Asked(leave), Did::Closed(Code::ShuttingDown)];
    assert_eq!(line.told(Tell::Refused(stop)), want);
}

/// What a connection of an edge that has just started says to that CONNACK.
fn says_after_a_restart(setup: &Arc<Setup>, connack: &[u8]) -> Vec<Did> {
    let mut line = Line::new(setup);
    line.did();
    line.enters(0, &[]);
    line.hears(connack)
}

fn is_subscribe(did: &[Did]) -> bool {
    matches!(did, [Did::Said(subscribe)] if subscribe[0] == 0x82)
}

#[test]
fn after_a_restart_the_filters_are_asked_for_again_only_where_the_broker_s_session_has_not_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (filters, others) = (["a/#", "é/+"], ["a/#", "é/#"]);
    for qos in [1, 2] {
        Line::open(&setup_in(folder.path(), (qos, filters), None), 0);
        let again = setup_in(folder.path(), (qos, filters), None);
        assert_eq!(says_after_a_restart(&again, &CONNACK_PRESENT), [], "nothing retained comes twice");
        let again = setup_in(folder.path(), (qos, filters), None);
        assert_eq!(says_after_a_restart(&again, &CONNACK_PRESENT), [], "nor after the next one");
        let changed = setup_in(folder.path(), (qos, others), None);
        assert!(is_subscribe(&says_after_a_restart(&changed, &CONNACK_PRESENT)), "other filters");
        Line::open(&setup_in(folder.path(), (qos, filters), None), 0);
        let forgotten = setup_in(folder.path(), (qos, filters), None);
        assert!(is_subscribe(&says_after_a_restart(&forgotten, &CONNACK_NEW)), "the session is another one");
    }
    Line::open(&setup_in(folder.path(), (0, filters), None), 0);
    let again = setup_in(folder.path(), (0, filters), None);
    assert!(is_subscribe(&says_after_a_restart(&again, &CONNACK_PRESENT)), "at QoS 0 nothing is kept");
}

#[test]
fn who_ends_before_connack_believes_nothing_of_the_session_that_the_broker_has_then() {
    let folder = tempfile::tempdir().unwrap();
    for restarts in [false, true] {
        let setup = setup_in(folder.path(), (1, ["a/#", "é/+"]), None);
        Line::open(&setup, 0);
        let mut cut = Line::new(&setup);
        cut.did();
        // CONNECT is said: a broker that had forgotten the session has a new one from here on.
        cut.enters(0, &[]);
        drop(cut);
        let setup = if restarts { setup_in(folder.path(), (1, ["a/#", "é/+"]), None) } else { setup };
        assert!(is_subscribe(&says_after_a_restart(&setup, &CONNACK_PRESENT)), "restarts: {restarts}");
    }
}
