//! One instance, driven by hand: who gets in, what waits for a commit, and who has a session.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use riser_gate::{
    AccountConfig, Directory, GrantConfig, Policy, RoomConfig, UserConfig,
    config::{Rights, Whom},
};
use riser_instance::{Input, Instance, Output};
use riser_model::{
    AccountId, ConnectionId, Epoch, History, LogId, Now, Right, Seq, Time, Wall,
    door::{Ask, Code, Credential, Intake, SessionRequest, Tell},
};
use riser_mqtt::Sessions;
use riser_rooms::{Bus, Config, Input as BusInput, Start};
use std::sync::Arc;
use uuid::Uuid;

const C1: ConnectionId = ConnectionId(1);
const C2: ConnectionId = ConnectionId(2);

/// An instance with the rooms `hall` and `vault`; everybody enters as `guest`, who may publish in `hall` and nothing else.
struct World {
    instance: Instance,
    policy: Arc<Policy>,
    /// Batches that were given to the disk and are not answered.
    waiting: Vec<u64>,
    tells: Vec<(ConnectionId, Tell)>,
    now: Now,
}

impl World {
    fn new() -> Self {
        let now = Now { time: Time(1_000_000_000), wall: Wall(1_700_000_000_000) };
        let account = AccountId(Uuid::from_u128(1));
        let mut config = AccountConfig::new("acme".parse().unwrap(), account);
        config.room =
            ["hall", "vault"].map(|name| RoomConfig::new(name.parse().unwrap(), History::Log)).into();
        config.user = vec![UserConfig::new("guest".parse().unwrap())];
        config.room[0].grant = vec![GrantConfig {
            to: Whom::Named("guest".parse().unwrap()),
            right: Rights(vec![Right::Publish]),
            channels: "#".parse().unwrap(),
            deny: false,
        }];
        let directory = Arc::new(Directory::compile(&[config]).unwrap());
        let policy = Arc::new(Policy::new(&directory, Some("acme/guest"), "listen").unwrap());
        let start = Start {
            log: LogId(1),
            epoch: Epoch(1),
            chain: Vec::new(),
            next: Seq(1),
            oldest: Seq(1),
            gaps: Vec::new(),
            routes: Default::default(),
            origins: Default::default(),
            rooms: directory.rooms().to_vec(),
            bindings: Vec::new(),
        };
        let instance = Instance::new(Bus::new(Config::default(), start), Sessions::new(), now);
        Self { instance, policy, waiting: Vec::new(), tells: Vec::new(), now }
    }

    fn input(&mut self, input: Input) {
        self.instance.handle(input, self.now);
        while let Some(output) = self.instance.poll(self.now) {
            match output {
                Output::Persist { ticket, .. } => self.waiting.push(ticket),
                Output::Tell { connection, tell } => self.tells.push((connection, tell)),
                Output::Verify { .. }
                | Output::Read { .. }
                | Output::Done { .. }
                | Output::Committed { .. }
                | Output::Refused { .. } => {}
            }
        }
    }

    fn ask(&mut self, connection: ConnectionId, ask: Ask) {
        self.input(Input::Ask { connection, ask });
    }

    fn open(&mut self, connection: ConnectionId) {
        self.input(Input::Opened { connection, policy: Arc::clone(&self.policy) });
    }

    fn enter(&mut self, connection: ConnectionId, session: Option<SessionRequest>, room: Option<&str>) {
        self.open(connection);
        let room = room.map(|name| name.parse().unwrap());
        let session = session.map(Box::new);
        self.ask(connection, Ask::Enter { credential: Credential::Anonymous, session, room });
    }

    /// The disk has everything that it was given.
    fn commit(&mut self) {
        for ticket in std::mem::take(&mut self.waiting) {
            self.input(Input::Rooms(BusInput::Persisted { ticket }));
        }
    }

    fn told(&mut self, connection: ConnectionId) -> Vec<Tell> {
        let (own, others) =
            std::mem::take(&mut self.tells).into_iter().partition(|(to, _)| *to == connection);
        self.tells = others;
        let own: Vec<(ConnectionId, Tell)> = own;
        own.into_iter().map(|(_, tell)| tell).collect()
    }

    fn refused(&mut self, connection: ConnectionId) -> Option<Code> {
        self.told(connection).into_iter().find_map(|tell| match tell {
            Tell::Refused(refusal) => Some(refusal.code),
            _ => None,
        })
    }

    fn entered(&mut self, connection: ConnectionId) -> bool {
        self.told(connection).iter().any(|tell| matches!(tell, Tell::Entered { .. }))
    }
}

fn session() -> SessionRequest {
    SessionRequest { id: "sensor".to_owned(), clean: false, expiry_s: 3600, will: None }
}

fn nothing(ticket: u64) -> Ask {
    Ask::Publish(Intake { ticket, aliases: Vec::new(), entries: Default::default(), count: 0 })
}

#[test]
fn room_without_a_right_looks_like_a_room_that_is_not() {
    let mut world = World::new();
    for room in ["vault", "attic"] {
        world.enter(C1, None, Some(room));
        assert_eq!(world.refused(C1), Some(Code::Denied), "{room}");
        world.input(Input::Closed { connection: C1 });
    }
    world.enter(C2, None, Some("hall"));
    assert!(world.entered(C2));
}

#[test]
fn nothing_is_taken_from_whom_no_gate_let_in() {
    let mut world = World::new();
    world.open(C1);
    world.ask(C1, nothing(1));
    assert_eq!(world.refused(C1), Some(Code::WrongState));
    world.enter(C2, None, None);
    assert!(world.entered(C2));
    world.ask(C2, Ask::Enter { credential: Credential::Anonymous, session: None, room: None });
    assert_eq!(world.refused(C2), Some(Code::WrongState), "nobody enters twice");
}

#[test]
fn kept_session_is_durable_before_its_connection_enters() {
    let mut world = World::new();
    world.enter(C1, Some(session()), None);
    assert_eq!((world.told(C1), world.waiting.len()), (Vec::new(), 1));
    world.commit();
    assert!(world.entered(C1));
}

#[test]
fn session_that_cannot_be_kept_lets_nobody_in() {
    let mut world = World::new();
    world.enter(C1, Some(session()), None);
    let ticket = world.waiting.pop().unwrap();
    world.input(Input::Rooms(BusInput::Failed { ticket, code: Code::LogFailing }));
    assert_eq!(world.refused(C1), Some(Code::LogFailing));
}

#[test]
fn newcomer_takes_a_session_over_when_nothing_of_the_former_waits() {
    let mut world = World::new();
    world.enter(C1, Some(session()), None);
    world.commit();
    assert!(world.entered(C1));
    world.ask(C1, Ask::Release { ticket: 1, ids: vec![7] });
    world.enter(C2, Some(session()), None);
    assert!(world.told(C1).iter().any(|tell| matches!(tell, Tell::Refused(r) if r.code == Code::TakenOver)));
    world.input(Input::Closed { connection: C1 });
    world.commit();
    world.commit();
    let told = world.told(C2);
    assert!(
        matches!(&told[..], [Tell::Entered { session, .. }] if session.present && session.number == 1),
        "{told:?}"
    );
}

#[test]
fn everything_is_settled_when_everybody_has_left() {
    let mut world = World::new();
    world.enter(C1, Some(session()), None);
    world.commit();
    assert!(!world.instance.is_settled());
    world.ask(C1, Ask::Leave { cause: "normal".to_owned(), expiry_s: Some(0) });
    world.input(Input::Closed { connection: C1 });
    world.commit();
    assert!(world.instance.is_settled());
    assert_eq!(world.instance.sessions(), 0, "it gave its session up");
}
