//! A bus, its storage and its connections, one step at a time.

use super::storage::Storage;
use crate::{Bus, Changes, Config, Input, Output, Placed, Start};
use bytes::Bytes;
use riser_model::{
    AccountId, ClientId, ConnectionId, Epoch, Filter, Gap, Grants, History, LogId, Now, Position, Principal,
    Right, Room, RoomId, Route, RouteNumber, Seq, Stamp, SubscriptionId, Time, Wall,
    door::{Ask, Code, Delivery, Flow, From, Intake, Push, Showing, Subscribed, Target, Tell, Want},
    principal::Rule,
};
use riser_wire::entry::{Body, ContentType, Publication, frames};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use uuid::Uuid;

pub(super) const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));
pub(super) const LOG: LogId = LogId(77);

pub(super) fn room(name: &str, history: History) -> Room {
    Room {
        id: RoomId::of(ACCOUNT, name),
        account: ACCOUNT,
        account_name: "acme".parse().unwrap(),
        name: name.parse().unwrap(),
        kind: Default::default(),
        ready: Vec::new(),
        history,
        retention: Default::default(),
        quota: Default::default(),
        linked: false,
        down: false,
        archive: false,
        schema: None,
    }
}

pub(super) fn rule(room: Option<&str>, channels: &str, right: Right, deny: bool) -> Rule {
    let room = room.map(|name| RoomId::of(ACCOUNT, name));
    Rule { room, channels: channels.parse().unwrap(), right, deny }
}

/// May do everything in the account's rooms, except in channels that begin with `secret`.
pub(super) fn grants() -> Vec<Rule> {
    vec![
        rule(None, "#", Right::Publish, false),
        rule(None, "#", Right::Subscribe, false),
        rule(None, "secret/#", Right::Subscribe, true),
        rule(None, "secret/#", Right::Publish, true),
    ]
}

pub(super) fn principal(n: u128, rules: Vec<Rule>) -> Arc<Principal> {
    Arc::new(Principal {
        account: ACCOUNT,
        account_name: "acme".parse().unwrap(),
        client: ClientId(Uuid::from_u128(100 + n)),
        name: format!("user-{n}").parse().unwrap(),
        grants: Arc::new(Grants::new(rules)),
        home: None,
    })
}

/// Frames of QoS 1 publications: (alias, payload).
/// When a publication was made: anything, and the same for the same payload.
pub(super) fn wall(payload: &str) -> Wall {
    Wall(payload.bytes().fold(7, |sum, byte| (sum * 31 + i64::from(byte)) % 1009))
}

pub(super) fn entries(payloads: &[(u32, &str)], qos: u8) -> Bytes {
    let mut out = Vec::new();
    for (alias, payload) in payloads {
        let mut publication = Publication::new(ContentType::Text, payload.as_bytes());
        publication.qos = qos;
        let stamp = Stamp { wall: wall(payload), ..Now::default().stamp() };
        publication.write_frame(&mut out, RouteNumber(*alias), stamp);
    }
    out.into()
}

pub(super) fn payload(body: &Bytes) -> String {
    let body = Body::read(body).unwrap();
    String::from_utf8(Publication::read(&body).unwrap().payload.to_vec()).unwrap()
}

pub(super) struct World {
    pub(super) bus: Bus,
    pub(super) storage: Storage,
    pub(super) now: Now,
    pub(super) tells: BTreeMap<ConnectionId, VecDeque<Tell>>,
    /// The same in the order in which they were said; emptied by who looks.
    pub(super) heard: Vec<(ConnectionId, Tell)>,
    pub(super) done: Vec<(u64, Result<Placed, Code>)>,
    pub(super) events: Vec<Output>,
    /// What a table on disk was to have.
    pub(super) retained: Vec<Changes>,
    pub(super) archive: BTreeMap<RoomId, Seq>,
    /// Of which rooms it was to be counted how much is there.
    pub(super) counted: Vec<RoomId>,
    pub(super) rooms: Vec<Room>,
    pub(super) config: Config,
    pub(super) tickets: u64,
}

pub(super) fn c(n: u64) -> ConnectionId {
    ConnectionId(n)
}

impl World {
    /// Rooms `a` and `b` with history, `quiet` without.
    /// The system says nothing: then every seq is a publication's.
    pub(super) fn new(config: Config) -> Self {
        Self::speaking(Config { events_burst: 0, ..config })
    }

    /// As [`World::new`], with technical channels.
    pub(super) fn speaking(config: Config) -> Self {
        let rooms = vec![room("a", History::Log), room("b", History::Log), room("quiet", History::None)];
        let mut storage = Storage::default();
        let bus = Bus::new(config.clone(), storage.open(Epoch(1), rooms.clone()));
        Self {
            bus,
            storage,
            now: Now { time: Time(1_000_000), wall: Wall(5) },
            tells: BTreeMap::new(),
            heard: Vec::new(),
            done: Vec::new(),
            events: Vec::new(),
            retained: Vec::new(),
            archive: Default::default(),
            counted: Vec::new(),
            rooms,
            config,
            tickets: 0,
        }
    }

    /// A new process over the same log: what was not committed is gone, connections too.
    pub(super) fn restart(&mut self, epoch: Epoch) {
        let start: Start = self.storage.open(epoch, self.rooms.clone());
        self.bus = Bus::new(self.config.clone(), start);
        self.tells.clear();
    }

    pub(super) fn input(&mut self, input: Input) {
        self.now.time.0 += 1000;
        self.bus.handle(input, self.now);
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.bus.poll() {
            match output {
                Output::Tell { connection, tell } => {
                    self.heard.push((connection, tell.clone()));
                    self.tells.entry(connection).or_default().push_back(tell);
                }
                Output::Persist { ticket, batch, .. } => self.storage.waiting.push_back((ticket, batch)),
                Output::Read { ticket, read } => self.storage.reads.push_back((ticket, read)),
                Output::Done { token, result } => self.done.push((token, result)),
                Output::Committed { through } => assert_eq!(through, self.bus.committed()),
                Output::Retained(changes) => self.retained.push(changes),
                Output::Archive(rooms) => self.archive = rooms,
                Output::Count(rooms) => self.counted.extend(rooms.into_iter().map(|room| room.id)),
                Output::Joined { .. } | Output::Left { .. } | Output::Settled { .. } => {
                    self.events.push(output);
                }
            }
        }
    }

    pub(super) fn open(&mut self, n: u64) {
        self.open_as(n, grants());
    }

    pub(super) fn open_as(&mut self, n: u64, rules: Vec<Rule>) {
        self.input(Input::Open { connection: c(n), principal: principal(u128::from(n), rules) });
    }

    pub(super) fn ask(&mut self, n: u64, ask: Ask) {
        self.input(Input::Ask { connection: c(n), ask });
    }

    /// The next thing that a connection was told.
    pub(super) fn told(&mut self, n: u64) -> Option<Tell> {
        self.tells.get_mut(&c(n))?.pop_front()
    }

    /// Publishes one, at that time, and commits it.
    pub(super) fn publish_at(&mut self, n: u64, topic: &str, payload: &str, wall: Wall) {
        let mut out = Vec::new();
        let stamp = Stamp { wall, ..Now::default().stamp() };
        Publication::new(ContentType::Text, payload.as_bytes()).write_frame(&mut out, RouteNumber(0), stamp);
        self.tickets += 1;
        let aliases = vec![(0, Target::Topic(topic.into()))];
        let intake =
            Intake { ticket: self.tickets, seen: self.tickets - 1, aliases, entries: out.into(), count: 1 };
        self.ask(n, Ask::Publish(intake));
        self.now.time.0 += 100_000_000;
        self.input(Input::Deadline);
        self.commit();
    }

    /// Publishes one batch to topics, each with its own new meaning of an alias from 0 on.
    pub(super) fn send(&mut self, n: u64, publications: &[(&str, &str)], qos: u8) -> u64 {
        self.tickets += 1;
        let aliases =
            publications.iter().enumerate().map(|(i, (topic, _))| (i as u32, Target::Topic((*topic).into())));
        let payloads: Vec<(u32, &str)> =
            publications.iter().enumerate().map(|(i, (_, payload))| (i as u32, *payload)).collect();
        let entries = entries(&payloads, qos);
        let count = payloads.len() as u32;
        let intake = Intake {
            ticket: self.tickets,
            seen: self.tickets - 1,
            aliases: aliases.collect(),
            entries,
            count,
        };
        self.ask(n, Ask::Publish(intake));
        self.tickets
    }

    pub(super) fn commit(&mut self) {
        while self.commit_one() {}
    }

    /// The oldest waiting batch reaches the disk.
    pub(super) fn commit_one(&mut self) -> bool {
        let Some(ticket) = self.storage.commit() else { return false };
        self.input(Input::Persisted { ticket });
        true
    }

    /// The oldest waiting batch fails, and the log refuses what was numbered after it.
    pub(super) fn fail(&mut self, code: Code) {
        let Some(ticket) = self.storage.fail() else { return };
        self.input(Input::Failed { ticket, code });
    }

    pub(super) fn read(&mut self) {
        while self.read_one() {}
    }

    pub(super) fn read_one(&mut self) -> bool {
        let Some((ticket, found)) = self.storage.read() else { return false };
        let routes = std::mem::take(&mut self.storage.lent_routes);
        if !routes.is_empty() {
            self.input(Input::ArchivedRoutes(routes));
        }
        self.input(Input::Read { ticket, found });
        true
    }

    pub(super) fn trim(&mut self, oldest: u64, gaps: Vec<Gap>) {
        self.storage.oldest = Seq(oldest);
        self.storage.oldest_at = self.now.wall;
        self.input(Input::Trimmed { oldest: Seq(oldest), oldest_at: self.now.wall, gaps });
    }

    pub(super) fn publish(&mut self, n: u64, publications: &[(&str, &str)]) {
        self.send(n, publications, 1);
        self.commit();
    }

    pub(super) fn subscribe(&mut self, n: u64, id: u32, want: Want, from: From, flow: Flow) -> Subscribed {
        self.try_subscribe(n, id, want, from, flow).expect("the subscription is allowed")
    }

    pub(super) fn try_subscribe(
        &mut self,
        n: u64,
        id: u32,
        want: Want,
        from: From,
        flow: Flow,
    ) -> Result<Subscribed, Code> {
        let subscription = SubscriptionId(id);
        self.ask(
            n,
            Ask::Subscribe { subscription, want, from, flow, keep: None, retained: Showing::Nothing },
        );
        self.read();
        let tells = self.tells.entry(c(n)).or_default();
        let answer = tells.iter().position(|tell| matches!(tell, Tell::Subscribed { .. }));
        match tells.remove(answer.expect("a subscribe is answered")) {
            Some(Tell::Subscribed { result, .. }) => result.map_err(|refusal| refusal.code),
            other => panic!("{other:?}"),
        }
    }

    /// Pulls once.
    pub(super) fn pull(&mut self, n: u64, bytes: u32) -> (Vec<Push>, bool) {
        self.ask(n, Ask::Pull { bytes, stands: false });
        let tells = self.tells.entry(c(n)).or_default();
        let answer = tells.iter().position(|tell| matches!(tell, Tell::Deliver { .. }));
        match tells.remove(answer.expect("a pull is answered")) {
            Some(Tell::Deliver { pushes, more }) => (pushes, more),
            other => panic!("{other:?}"),
        }
    }

    /// Pulls and reads until nothing comes any more.
    pub(super) fn all(&mut self, n: u64) -> Vec<Push> {
        let mut all = Vec::new();
        loop {
            self.read();
            let (pushes, _) = self.pull(n, 4096);
            if pushes.is_empty() && self.storage.reads.is_empty() {
                return all;
            }
            all.extend(pushes);
        }
    }

    /// The payloads of [`World::all`].
    pub(super) fn payloads(&mut self, n: u64) -> Vec<String> {
        self.all(n).iter().filter_map(delivery).map(|delivery| payload(&delivery.content.body)).collect()
    }

    pub(super) fn ready(&mut self, n: u64) -> bool {
        let tells = self.tells.entry(c(n)).or_default();
        let before = tells.len();
        tells.retain(|tell| *tell != Tell::Ready);
        assert!(before - tells.len() <= 1, "Ready is told once");
        before > tells.len()
    }
}

pub(super) fn delivery(push: &Push) -> Option<&Delivery> {
    match push {
        Push::Publication(delivery) => Some(delivery),
        Push::Gap { .. } | Push::Wiped { .. } | Push::Through { .. } => None,
    }
}

pub(super) fn in_room(room: &str, filter: &str) -> Want {
    Want::Room(room.parse().unwrap(), filter.parse::<Filter>().unwrap())
}

pub(super) fn topic(filter: &str) -> Want {
    Want::Topic(filter.into())
}

pub(super) fn at(epoch: u64, seq: u64) -> Position {
    Position { log: LOG, epoch: Epoch(epoch), seq: Seq(seq) }
}

pub(super) fn route(room: &str, channel: &str, client: u128) -> Route {
    Route {
        room: RoomId::of(ACCOUNT, room),
        channel: channel.parse().unwrap(),
        client: ClientId(Uuid::from_u128(client)),
    }
}

/// (route number, payload) of every frame.
pub(super) fn listed(bytes: &Bytes) -> Vec<(u32, String)> {
    frames(bytes)
        .map(|frame| {
            let frame = frame.unwrap();
            assert!(frame.intact());
            (frame.route.0, payload(&bytes.slice_ref(frame.body)))
        })
        .collect()
}
