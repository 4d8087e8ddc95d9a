//! Sessions as a fold: what a commit holds is what a restart finds.

use super::*;
use riser_model::{Epoch, LogId, RouteNumber, Seq, Stamp};
use riser_wire::entry::{
    ContentType, ENVELOPE_BYTES, FRAME_HEADER_BYTES, Frame, Origin, PacketId, Publication,
};
use uuid::Uuid;

const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));
const PUMP: ClientId = ClientId(Uuid::from_u128(2));
const OTHER: ClientId = ClientId(Uuid::from_u128(3));

fn request(id: &str, clean: bool, expiry_s: u32) -> SessionRequest {
    SessionRequest { id: id.to_owned(), clean, expiry_s, will: None }
}

fn position(seq: u64) -> Position {
    Position { log: LogId(1), epoch: Epoch(1), seq: Seq(seq) }
}

const KEEP: Keep = Keep { options: 1, identifier: 7 };

/// A log of one session store: what is committed is applied to it and to what a restart folds.
#[derive(Default)]
struct Log {
    sessions: Sessions,
    entries: Vec<Vec<u8>>,
}

impl Log {
    fn commit(&mut self, record: Option<Record>) {
        if let Some(record) = record {
            let mut bytes = Vec::new();
            record.write_frame(&mut bytes, RouteNumber(0), Stamp::default());
            self.append(bytes);
        }
    }

    fn append(&mut self, bytes: Vec<u8>) {
        let (frame, _) = Frame::read(&bytes, 0).unwrap();
        self.sessions.apply(Seq(self.entries.len() as u64 + 1), &frame);
        self.entries.push(bytes);
    }

    fn publish(&mut self, session: u64, id: u16) {
        let mut bytes = Vec::new();
        let packet_id = Some(PacketId { session, id });
        let publication = Publication { qos: 2, packet_id, ..Publication::new(ContentType::Octets, b"x") };
        publication.write_frame(&mut bytes, RouteNumber(0), Stamp::default());
        self.append(bytes);
    }

    fn open(&mut self, client: ClientId, request: &SessionRequest) -> SessionState {
        let opening = self.sessions.open(request, ACCOUNT, client, Wall(0)).unwrap();
        self.commit(opening.record);
        opening.state
    }

    fn restart(&mut self) {
        let mut folded = Sessions::new();
        for (at, bytes) in self.entries.iter().enumerate() {
            folded.apply(Seq(at as u64 + 1), &Frame::read(bytes, 0).unwrap().0);
            folded = Sessions::load(&folded.save()).unwrap();
        }
        self.sessions = folded;
    }
}

#[test]
fn a_session_is_found_again_after_a_restart_with_all_it_held() {
    let mut log = Log::default();
    let state = log.open(PUMP, &request("pump", false, NEVER));
    assert!(!state.present && state.number > 0);
    let number = state.number;
    log.publish(number, 7);
    log.publish(number, 8);
    log.publish(number + 99, 9);
    log.commit(log.sessions.release(number, &[7, 7, 1000]));
    log.commit(log.sessions.set_subscription(number, "a/#", KEEP, Some(position(3))).unwrap());
    log.commit(log.sessions.set_subscription(number, "b", KEEP, Some(position(4))).unwrap());
    log.commit(
        log.sessions.confirm(number, &[("a/#".to_owned(), position(9)), ("z".to_owned(), position(1))]),
    );
    log.commit(log.sessions.remove_subscription(number, "b"));
    log.restart();
    let state = log.open(PUMP, &request("pump", false, NEVER));
    assert_eq!(state.number, number);
    assert!(state.present);
    assert_eq!(state.open_ids, [8]);
    assert_eq!(
        state.subscriptions,
        [SessionSubscription {
            filter: "a/#".to_owned(),
            keep: KEEP,
            through: Some(position(9)),
            showing: Showing::Nothing
        }]
    );
}

#[test]
fn a_session_belongs_to_its_participant_not_to_its_id() {
    let mut log = Log::default();
    let mine = log.open(PUMP, &request("pump", false, NEVER));
    let theirs = log.open(OTHER, &request("pump", false, NEVER));
    assert!(!theirs.present);
    assert_ne!(mine.number, theirs.number);
}

#[test]
fn what_came_from_another_log_speaks_of_other_sessions() {
    let mut log = Log::default();
    let number = log.open(PUMP, &request("pump", false, NEVER)).number;
    log.publish(number, 7);
    let carried = log.entries.pop().unwrap();
    log.restart();
    let (frame, _) = Frame::read(&carried, 0).unwrap();
    let origin = Some(Origin { number: 1, seq: Seq(9), wall: Wall(0), uncertain: false });
    log.sessions.apply(Seq(2), &Frame { origin, ..frame });
    assert!(log.sessions.state(number).unwrap().open_ids.is_empty());
    log.sessions.apply(Seq(3), &frame);
    assert_eq!(log.sessions.state(number).unwrap().open_ids, [7]);
}

#[test]
fn clean_forgets_and_numbers_are_never_reused() {
    let mut log = Log::default();
    let first = log.open(PUMP, &request("pump", false, NEVER));
    log.publish(first.number, 7);
    let second = log.open(PUMP, &request("pump", true, 60));
    assert!(!second.present && second.open_ids.is_empty());
    assert!(second.number > first.number);
    assert_eq!(log.sessions.len(), 1);
    let third = log.open(PUMP, &request("pump", true, 0));
    assert_eq!(third, SessionState::default());
    assert!(log.sessions.is_empty());
    log.restart();
    log.publish(first.number, 9);
    let fourth = log.open(PUMP, &request("pump", false, NEVER));
    assert!(fourth.number > second.number && fourth.open_ids.is_empty());
}

#[test]
fn a_session_expires_by_the_time_since_its_connection_ended() {
    let mut log = Log::default();
    let number = log.open(PUMP, &request("pump", false, 60)).number;
    assert_eq!(log.sessions.next_expiry(), None);
    log.commit(log.sessions.leave(number, None, Wall(1_000)));
    assert_eq!(log.sessions.next_expiry(), Some(Wall(61_000)));
    assert!(log.sessions.expire(Wall(60_999)).is_empty());
    let again = log.open(PUMP, &request("pump", false, 60));
    assert!(again.present);
    assert!(log.sessions.expire(Wall(i64::MAX)).is_empty(), "it has a connection");
    log.restart();
    for (_, record) in log.sessions.restarted(Wall(5_000)) {
        log.commit(Some(record));
    }
    for (_, number) in log.sessions.expire(Wall(65_000)) {
        let record = Record::Ended { number };
        log.commit(Some(record));
    }
    assert!(!log.open(PUMP, &request("pump", false, 60)).present);
}

#[test]
fn disconnect_may_change_the_expiry_and_never_costs_a_record_where_nothing_expires() {
    let mut log = Log::default();
    let number = log.open(PUMP, &request("pump", false, NEVER)).number;
    assert_eq!(log.sessions.leave(number, None, Wall(0)), None);
    assert!(log.sessions.restarted(Wall(0)).is_empty());
    log.commit(log.sessions.leave(number, Some(0), Wall(0)));
    assert!(log.sessions.is_empty());
    assert_eq!(log.sessions.leave(number, None, Wall(0)), None);
}

#[test]
fn what_changes_nothing_is_not_written() {
    let mut log = Log::default();
    let number = log.open(PUMP, &request("pump", false, NEVER)).number;
    assert_eq!(
        log.sessions.open(&request("pump", false, NEVER), ACCOUNT, PUMP, Wall(0)).unwrap().record,
        None
    );
    log.commit(log.sessions.set_subscription(number, "a", KEEP, Some(position(3))).unwrap());
    assert_eq!(log.sessions.set_subscription(number, "a", KEEP, Some(position(9))), Ok(None));
    assert_eq!(log.sessions.confirm(number, &[("a".to_owned(), position(3))]), None);
    assert_eq!(log.sessions.release(number, &[1]), None);
    assert_eq!(log.sessions.remove_subscription(number, "b"), None);
}

#[test]
fn a_changed_subscription_keeps_its_place() {
    let mut log = Log::default();
    let number = log.open(PUMP, &request("pump", false, NEVER)).number;
    log.commit(log.sessions.set_subscription(number, "a", KEEP, Some(position(3))).unwrap());
    let keep = Keep { options: 0, identifier: 0 };
    log.commit(log.sessions.set_subscription(number, "a", keep, Some(position(9))).unwrap());
    let held = log.sessions.state(number).unwrap().subscriptions;
    assert_eq!((held.len(), held[0].keep, held[0].through), (1, keep, Some(position(3))));
}

#[test]
fn bounds_hold() {
    let mut log = Log::default();
    let number = log.open(PUMP, &request("pump", false, NEVER)).number;
    for n in 0..SUBSCRIPTIONS_CEILING {
        log.commit(log.sessions.set_subscription(number, &n.to_string(), KEEP, None).unwrap());
    }
    let one_more = log.sessions.set_subscription(number, "more", KEEP, None);
    assert_eq!(one_more.unwrap_err().code, Code::TooMany);
    assert!(log.sessions.set_subscription(number, "0", Keep { options: 0, ..KEEP }, None).is_ok());
}

#[test]
fn what_was_asked_in_one_breath_and_committed_is_held_though_it_is_one_too_many() {
    let mut log = Log::default();
    let number = log.open(PUMP, &request("pump", false, NEVER)).number;
    for n in 1..SUBSCRIPTIONS_CEILING {
        log.commit(log.sessions.set_subscription(number, &n.to_string(), KEEP, None).unwrap());
    }
    let pair = ["x", "y"].map(|filter| log.sessions.set_subscription(number, filter, KEEP, None).unwrap());
    pair.into_iter().for_each(|record| log.commit(record));
    let held = log.sessions.state(number).unwrap().subscriptions;
    assert!(["x", "y"].iter().all(|filter| held.iter().any(|one| one.filter == *filter)), "SUBACK said so");
}

#[test]
fn one_client_does_not_take_every_place() {
    let mut log = Log::default();
    for n in 0..SESSIONS_PER_CLIENT_MAX {
        log.open(PUMP, &request(&n.to_string(), false, NEVER));
    }
    let one_more = request("more", false, NEVER);
    assert_eq!(log.sessions.open(&one_more, ACCOUNT, PUMP, Wall(0)).unwrap_err().code, Code::TooMany);
    assert!(
        log.sessions.open(&request("more", true, 0), ACCOUNT, PUMP, Wall(0)).is_ok(),
        "it takes no place"
    );
    assert!(log.open(PUMP, &request("0", false, NEVER)).present, "what is kept is found");
    log.open(OTHER, &one_more);
    log.open(PUMP, &request("1", true, 0));
    log.open(PUMP, &one_more);
}

#[test]
fn damaged_and_newer_bytes_are_not_taken_for_sessions() {
    let mut log = Log::default();
    let number = log.open(PUMP, &request("pump", false, NEVER)).number;
    log.publish(number, 3);
    let saved = log.sessions.save();
    for cut in 0..saved.len() {
        assert_eq!(Sessions::load(&saved[..cut]), None);
    }
    let mut newer = saved.clone();
    newer[0] += 1;
    assert_eq!(Sessions::load(&newer), None);
    assert_eq!(Sessions::load(&[saved, vec![0]].concat()), None);

    let mut bytes = log.entries[0].clone();
    bytes[FRAME_HEADER_BYTES + ENVELOPE_BYTES] = 99;
    log.append(bytes);
    assert_eq!((log.sessions.unreadable(), log.sessions.len()), (1, 1));
}

/// A checkpoint of each version that was ever written, newest last: a session that is away, with one QoS 2 id and one
/// delivery; a will that is due; a group.
fn golden() -> [Vec<u8>; 5] {
    let id = |n: u8| [&[16][..], &[0; 15], &[n]].concat();
    let key = [&id(1)[..], &id(2), b"\x04pump"].concat();
    let session = [&key[..], &[9, 1, 13, 2, 7, 128, 2], b"\x01\x03a/#", &[1, 172, 2, 1, 3, 4, 5]].concat();
    let showing = [&session[..], &[1]].concat();
    let delivered = [&[1, 3][..], b"\x03a/#", &[3, 4, 6, 1]].concat();
    let will = [&id(3)[..], b"\x01a", &id(2), &[1, 2, 1, b't', 1, 7, 2, 8, 9, 172, 2, 1]].concat();
    let wills = [&[1][..], &key, &will, &[1, 13]].concat();
    let shares = [&[1][..], &id(1), b"\x0a$share/g/a", &[1, 3, 4, 5, 1, 2, 2, 6, 172, 2]].concat();
    [
        [&[1, 5, 1, 2][..], &session, &[4]].concat(),
        [&[2, 5, 1, 2][..], &session, &delivered, &[3, 4], &wills].concat(),
        [&[3, 5, 1, 2][..], &session, &delivered, &[0, 1, 3, 4], &wills, &shares].concat(),
        [&[4, 5, 1, 2][..], &showing, &delivered, &[0, 1, 3, 4], &wills, &shares].concat(),
        [&[5, 5, 1, 2][..], &showing, &delivered, &[0, 1, 3, 4], &wills, &shares, &[172, 2, 1, 18]].concat(),
    ]
}

#[test]
fn what_is_left_over_at_qos_1_gives_no_id_back_that_a_peer_may_hold() {
    let mut log = Log::default();
    let number = log.open(PUMP, &request("pump", false, 300)).number;
    let filter = || "a/#".to_owned();
    let numbered = |ids: &[u16]| ids.iter().map(|id| (*id, filter(), position(u64::from(*id)))).collect();
    log.commit(Some(Record::HandedOver { number, sent: numbered(&[4, 5]), released: vec![] }));
    log.commit(Some(Record::LeftOver { number, sent: numbered(&[2, 3]) }));
    assert_eq!(log.sessions.state(number).unwrap().last_id, 5);
    log.commit(Some(Record::LeftOver { number, sent: numbered(&[3, 6]) }));
    assert_eq!(log.sessions.state(number).unwrap().last_id, 6);
    log.commit(Some(Record::HandedOver { number, sent: numbered(&[65_535, 1]), released: vec![] }));
    log.commit(Some(Record::LeftOver { number, sent: numbered(&[65_534]) }));
    assert_eq!(log.sessions.state(number).unwrap().last_id, 1, "they begin again at one");
}

#[test]
fn checkpoint_bytes_are_golden_and_every_version_is_read() {
    let key = SessionKey { account: ACCOUNT, client: PUMP, id: "pump".to_owned() };
    for (n, bytes) in golden().iter().enumerate() {
        let sessions = Sessions::load(bytes).unwrap_or_else(|| panic!("version {}", n + 1));
        let state = sessions.state(2).unwrap();
        let keep = Keep { options: 1, identifier: 300 };
        let showing = if n >= 3 { Showing::All } else { Showing::Nothing };
        let held = SessionSubscription { filter: "a/#".into(), keep, through: Some(at(5)), showing };
        assert_eq!((&state.open_ids[..], &state.subscriptions[..]), (&[7, 256][..], &[held][..]));
        assert_eq!(sessions.expire(Wall(9000)), [(key.clone(), 2)], "it left at -7");
        let times = [8, 1000].map(|wall| sessions.time_at_start(Wall(wall)).0);
        assert_eq!(times, if n == 4 { [9, 850] } else { [8, 1000] });
        assert_eq!((sessions.unreadable(), sessions.open.clone()), (4, counted(&key, 2)));
        let delivered = SessionDelivery {
            id: 3,
            filter: Some("a/#".into()),
            position: at(6),
            released: true,
            over: false,
            at_least_once: n >= 2,
            retained: false,
        };
        let since_2 = n > 0;
        assert_eq!(state.deliveries, if since_2 { vec![delivered] } else { vec![] });
        assert_eq!(state.last_id, if since_2 { 3 } else { 0 });
        assert_eq!(sessions.will(&key).map(|will| &will.payload[..]), since_2.then_some(&[8, 9][..]));
        assert_eq!(sessions.due_wills(Wall(0)).len(), usize::from(since_2));
        let shared = ShareChange::Kept {
            sessions: 1,
            state: riser_model::ShareState {
                key: ShareKey { account: ACCOUNT, filter: "$share/g/a".into() },
                cursor: at(5),
                open: vec![Seq(2)],
                taken: vec![Seq(6), Seq(300)],
            },
        };
        assert_eq!(sessions.shares(), if n >= 2 { vec![shared] } else { vec![] });
        assert_eq!(sessions.save() == *bytes, n == 4, "the newest is what is written");
    }
}

fn at(seq: u64) -> Position {
    Position { log: LogId(3), epoch: Epoch(4), seq: Seq(seq) }
}

fn counted(of: &SessionKey, count: usize) -> OpenIds {
    let mut open = OpenIds::default();
    open.add(of, count);
    open
}

#[test]
fn who_never_says_pubrel_is_told_and_what_is_released_or_ended_makes_room() {
    let mut log = Log::default();
    let sessions: Vec<u64> =
        (0..4).map(|n| log.open(PUMP, &request(&n.to_string(), false, NEVER)).number).collect();
    let other = log.open(OTHER, &request("other", false, NEVER)).number;
    let fill = |log: &mut Log, number| (1..=u16::MAX).for_each(|id| log.publish(number, id));
    for number in &sessions[..3] {
        assert_eq!(log.sessions.check_open_ids(*number), Ok(()));
        fill(&mut log, *number);
    }
    (1..=3).for_each(|id| log.publish(sessions[3], id));
    let refusal = log.sessions.check_open_ids(sessions[3]).unwrap_err();
    assert_eq!(refusal.code, Code::TooMany);
    assert!(refusal.want.contains("at most 196608"), "{refusal:?}");
    assert_eq!(log.sessions.check_open_ids(other), Ok(()), "the room of others is theirs");
    log.commit(log.sessions.release(sessions[3], &[2, 2, 9]));
    assert_eq!(log.sessions.check_open_ids(sessions[3]), Ok(()));
    log.publish(sessions[3], 2);
    log.publish(sessions[3], 4);
    assert!(log.sessions.check_open_ids(sessions[3]).is_err());
    fill(&mut log, other);
    assert!(log.sessions.check_open_ids(other).is_err(), "all together");
    assert_eq!(Sessions::load(&log.sessions.save()).unwrap(), log.sessions);
    log.commit(log.sessions.end(sessions[0]));
    assert_eq!(log.sessions.check_open_ids(other), Ok(()));
}

#[test]
fn what_is_remembered_by_itself_stays_when_the_place_passes_it() {
    let mut log = Log::default();
    let number = log.open(PUMP, &request("pump", false, NEVER)).number;
    log.commit(log.sessions.set_subscription(number, "a", KEEP, Some(position(3))).unwrap());
    let sent = vec![(1, "a".to_owned(), position(10)), (2, "a".to_owned(), position(11))];
    let by_itself = Loose { id: 1, position: position(10), at_least_once: false, retained: false };
    let loose = HandOver { loose: vec![by_itself], released: vec![1], ..HandOver::default() };
    for news in [HandOver { sent, ..HandOver::default() }, loose] {
        log.sessions.hand_over(number, news).into_iter().for_each(|record| log.commit(Some(record)));
    }
    log.commit(log.sessions.confirm(number, &[("a".to_owned(), position(11))]));
    log.restart();
    let kept = log.sessions.state(number).unwrap().deliveries;
    let kept: Vec<_> = kept.iter().map(|one| (one.id, one.filter.clone(), one.released)).collect();
    assert_eq!(kept, [(1, None, true)]);
}

#[test]
fn what_a_session_has_of_a_group_is_remembered_until_it_is_over_by_itself_whatever_was_confirmed() {
    const GROUP: &str = "$share/g/a";
    let mut log = Log::default();
    let number = log.open(PUMP, &request("pump", false, NEVER)).number;
    log.commit(log.sessions.set_subscription(number, GROUP, KEEP, Some(position(3))).unwrap());
    let sent = vec![(1, GROUP.to_owned(), position(10)), (2, GROUP.to_owned(), position(11))];
    for record in log.sessions.hand_over(number, HandOver { sent, ..HandOver::default() }) {
        log.commit(Some(record));
    }
    log.commit(log.sessions.confirm(number, &[(GROUP.to_owned(), position(30))]));
    log.restart();
    let ids = |log: &Log| -> Vec<u16> {
        log.sessions.state(number).unwrap().deliveries.iter().map(|one| one.id).collect()
    };
    assert_eq!(ids(&log), [1, 2]);
    for record in log.sessions.hand_over(number, HandOver { done: vec![1], ..HandOver::default() }) {
        log.commit(Some(record));
    }
    assert_eq!(ids(&log), [2]);
}

#[test]
fn what_a_session_had_begun_of_a_group_at_qos_2_is_counted_when_it_ends() {
    const GROUP: &str = "$share/g/a";
    let mut log = Log::default();
    let number = log.open(PUMP, &request("pump", false, NEVER)).number;
    log.commit(log.sessions.set_subscription(number, GROUP, KEEP, Some(position(3))).unwrap());
    let of = |filter: &str, ids: [u16; 4]| -> Vec<_> {
        ids.map(|id| (id, filter.to_owned(), position(u64::from(id)))).into()
    };
    let sent = [of(GROUP, [10, 11, 12, 13]), of("b", [20, 21, 22, 23])].concat();
    let (released, left) = (vec![11], of(GROUP, [14, 15, 16, 17]));
    for news in [
        HandOver { sent, ..HandOver::default() },
        HandOver { released, left, done: vec![12], ..HandOver::default() },
    ] {
        for record in log.sessions.hand_over(number, news) {
            log.commit(Some(record));
        }
    }
    log.restart();
    assert_eq!(log.sessions.take_unfinished().count(), 0);
    log.commit(log.sessions.end(number));
    let unfinished: Vec<_> = log.sessions.take_unfinished().collect();
    assert_eq!(
        unfinished,
        [(ACCOUNT, 2)],
        "neither what the peer has, nor what is over, nor what others get"
    );
    assert_eq!(log.sessions.take_unfinished().count(), 0);
}
