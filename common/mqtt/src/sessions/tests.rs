//! Sessions as a fold: what a commit holds is what a restart finds.

use super::*;
use riser_model::{Epoch, LogId, RouteNumber, Stamp};
use riser_wire::entry::{ContentType, ENVELOPE_BYTES, FRAME_HEADER_BYTES, Origin, PacketId};
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
        [SessionSubscription { filter: "a/#".to_owned(), keep: KEEP, through: Some(position(9)) }]
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
    let origin = Some(Origin { number: 1, seq: Seq(9), wall: Wall(0) });
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
    for n in 0..SUBSCRIPTIONS_MAX {
        log.commit(log.sessions.set_subscription(number, &n.to_string(), KEEP, None).unwrap());
    }
    let one_more = log.sessions.set_subscription(number, "more", KEEP, None);
    assert_eq!(one_more.unwrap_err().code, Code::TooMany);
    assert!(log.sessions.set_subscription(number, "0", Keep { options: 0, ..KEEP }, None).is_ok());
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
