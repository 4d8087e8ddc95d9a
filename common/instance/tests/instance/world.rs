//! An instance, its disk and its doors, driven by hand.

use bytes::Bytes;
use riser_gate::{
    AcceptorConfig, AccountConfig, Caller, DeviceKey, Directory, GateConfig, GrantConfig, IssuerConfig,
    JwkConfig, Policy, Proof, RoomConfig, Sequence, TokenHash, UserConfig,
    acceptor::{Acceptor, schedule::Schedule},
    config::{Rights, Role, Whom},
    issuer::Algorithm,
};
use riser_instance::{Input, Instance, LogFold, Output, Wanted};
use riser_log::Fold;
use riser_model::{
    AccountId, Audited, Batch, Cause, Chunk, ConnectionId, Epoch, EpochSpan, Gap, History, LogId, Now, Read,
    Right, Room, RoomKind, Route, RouteNumber, Run, Seq, SubscriptionId, Time, Wall,
    door::{
        Ask, Code, Credential, Flow, From, Intake, Prompt, Push, Secret, SessionRequest, Showing, Technical,
        Tell, Want,
    },
    time::Clock,
};
use riser_rooms::{Bus, Config, Ingest, Input as BusInput, RetainedTable, Start};
use riser_wire::entry::{Body, Frame, Kind, Publication, frames};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use uuid::Uuid;

pub const C1: ConnectionId = ConnectionId(1);
pub const C2: ConnectionId = ConnectionId(2);

/// An instance with the rooms `hall` and `vault`; everybody enters as `guest`, who may publish and subscribe in `hall` and nothing else.
pub struct World {
    pub instance: Instance,
    config: AccountConfig,
    directory: Arc<Directory>,
    policy: Arc<Policy>,
    /// Batches that were given to the disk and are not answered.
    pub waiting: Vec<u64>,
    pub tells: Vec<(ConnectionId, Tell)>,
    /// Proofs that are not verified.
    pub verifying: Vec<u64>,
    /// All that ever were to be verified.
    pub proofs: Vec<Proof>,
    /// What is written down.
    pub audited: Vec<Audited>,
    /// Errands that are not done.
    pub running: Vec<(ConnectionId, Wanted)>,
    pub now: Now,
    /// Channel and payload of each publication that is on disk.
    pub published: Vec<(String, Vec<u8>)>,
    /// Their seqs.
    publications: Vec<Seq>,
    given: BTreeMap<u64, Batch>,
    routes: BTreeMap<RouteNumber, Route>,
    /// What a restart finds.
    disk: LogFold,
    /// Reads that are not answered.
    reads: Vec<(u64, Read)>,
    /// What is on disk, oldest first.
    stored: Vec<(Seq, Bytes, u32)>,
    /// Batches that cannot be read any more, by their first seq.
    pub damaged: Vec<Seq>,
    next: Seq,
}

impl World {
    /// An edge behind that log brings that run, in which these routes are new.
    pub fn brings(&mut self, log: LogId, run: Run, routes: Vec<Route>, overflow: Route) {
        let Run::Entries { first, .. } = run else { panic!("a run of entries") };
        let ingest = Ingest {
            token: first.0,
            log,
            runs: vec![run],
            routes,
            origins: Vec::new(),
            elsewhere: Vec::new(),
            overflow,
            counted: true,
            cursors: Vec::new(),
            clock: Clock::Unanchored,
        };
        self.input(Input::Rooms(BusInput::Ingest(ingest)));
        self.wait(1);
    }

    pub fn new() -> Self {
        Self::gated("[]", "")
    }

    /// With gates before the hall and the account, as a configuration says them; and with a room `cellar` that has none,
    /// with `boss`, who administers all, and with `stranger`, who may do nothing.
    pub fn gated(hall: &str, account_gate: &str) -> Self {
        let now = Now { time: Time(1_000_000_000), wall: Wall(1_700_000_000_000) };
        let account = AccountId(Uuid::from_u128(1));
        let mut config = AccountConfig::new("acme".parse().unwrap(), account);
        config.room = ["hall", "vault", "cellar"]
            .map(|name| RoomConfig::new(name.parse().unwrap(), History::Log))
            .into();
        let boss = UserConfig { role: Some(Role::Owner), ..UserConfig::new("boss".parse().unwrap()) };
        let guest = UserConfig {
            keys: vec![DeviceKey([1; 32])],
            secret: Some("AAECAwQFBgcICQoLDA0ODw".parse().unwrap()),
            ..UserConfig::new("guest".parse().unwrap())
        };
        config.user = vec![guest, boss, UserConfig::new("stranger".parse().unwrap())];
        for user in &mut config.user {
            user.tokens = vec![TokenHash::of(format!("acme/{}", user.name).as_bytes())];
        }
        for room in [0, 2] {
            config.room[room].grant = vec![GrantConfig {
                to: Whom::Named("guest".parse().unwrap()),
                right: Rights(vec![Right::Publish, Right::Subscribe]),
                channels: "#".parse().unwrap(),
                deny: false,
            }];
        }
        // What was said there may be said otherwise, and it waits for its guest.
        config.room[2].kind = RoomKind::Board;
        config.room[2].ready = vec!["guest".parse().unwrap()];
        config.room[0].gate = gate(hall);
        config.gate = gate(account_gate);
        let (alg, x) = (Algorithm::EdDSA, Some("A".repeat(43)));
        config.issuer = vec![IssuerConfig {
            issuer: "sso".to_owned(),
            audience: "riser".to_owned(),
            claim: "sub".to_owned(),
            key: vec![JwkConfig { kid: None, alg, x, y: None, n: None, e: None, k: None }],
            key_set: None,
            discover: false,
            ca: None,
            page: None,
        }];
        let directory = Arc::new(Directory::compile(std::slice::from_ref(&config)).unwrap());
        let policy = Arc::new(Policy::new(&directory, Some("acme/guest"), "listen").unwrap());
        let (next, routes) = (Seq(1), BTreeMap::new());
        Self {
            instance: instance(&directory, LogFold::default(), next, &routes, now, 0),
            config,
            directory,
            policy,
            waiting: Vec::new(),
            tells: Vec::new(),
            verifying: Vec::new(),
            proofs: Vec::new(),
            running: Vec::new(),
            audited: Vec::new(),
            now,
            published: Vec::new(),
            publications: Vec::new(),
            given: BTreeMap::new(),
            routes,
            disk: LogFold::default(),
            reads: Vec::new(),
            damaged: Vec::new(),
            stored: Vec::new(),
            next,
        }
    }

    /// The same, with what the system says.
    pub fn speaking(mut self) -> Self {
        self.instance = instance(&self.directory, LogFold::default(), self.next, &self.routes, self.now, 16);
        self
    }

    /// The same, with a second account of that name and gate and a room `shed`, whose owner `eve` has a key.
    pub fn beside(mut self, name: &str, account_gate: &str) -> Self {
        let mut other = AccountConfig::new(name.parse().unwrap(), AccountId(Uuid::from_u128(2)));
        other.gate = gate(account_gate);
        other.room = vec![RoomConfig::new("shed".parse().unwrap(), History::Log)];
        let role = Some(Role::Owner);
        let keys = vec![DeviceKey([2; 32])];
        let tokens = vec![TokenHash::of(format!("{name}/eve").as_bytes())];
        other.user = vec![UserConfig { role, keys, tokens, ..UserConfig::new("eve".parse().unwrap()) }];
        self.directory = Arc::new(Directory::compile(&[self.config.clone(), other]).unwrap());
        self.policy = Arc::new(Policy::new(&self.directory, Some("acme/guest"), "listen").unwrap());
        self.instance = instance(&self.directory, LogFold::default(), self.next, &self.routes, self.now, 0);
        self
    }

    /// Somebody stands before the lobby of an account, and shows the token that is called as it is.
    pub fn visit(&mut self, connection: ConnectionId, name: &str, lobby: &str) {
        self.open(connection);
        self.ask(connection, Ask::Visit { lobby: lobby.parse().unwrap() });
        let credential = Credential::Token(Secret(name.to_owned().into()));
        self.ask(connection, Ask::Enter { credential, session: None, room: None });
    }

    /// The process dies, and another one finds what is on disk.
    pub fn restart(&mut self) {
        self.waiting.clear();
        self.given.clear();
        self.tells.clear();
        self.instance = instance(&self.directory, self.disk.clone(), self.next, &self.routes, self.now, 0);
        self.drain();
    }

    /// The account changes while everything runs.
    pub fn change(&mut self, change: impl FnOnce(&mut AccountConfig)) {
        change(&mut self.config);
        self.directory = Arc::new(Directory::compile(std::slice::from_ref(&self.config)).unwrap());
        self.policy = Arc::new(self.policy.renewed(&self.directory));
        let (directory, rooms) = (Arc::clone(&self.directory), rooms(&self.directory));
        self.input(Input::Changed { directory, rooms });
    }

    /// Somebody shows this credential.
    pub fn show(
        &mut self,
        connection: ConnectionId,
        credential: Credential,
        session: Option<SessionRequest>,
    ) {
        self.open(connection);
        self.ask(connection, Ask::Enter { credential, session: session.map(Box::new), room: None });
    }

    /// All rooms are ones that uplinks carry.
    pub fn link_rooms(&mut self) {
        let directory = Arc::clone(&self.directory);
        let rooms = directory.rooms().iter().map(|room| Room { linked: true, ..room.clone() }).collect();
        self.input(Input::Changed { directory, rooms });
    }

    /// The disk fails with everything that it was given.
    pub fn fail(&mut self) {
        self.given.clear();
        for ticket in std::mem::take(&mut self.waiting) {
            self.input(Input::Rooms(BusInput::Failed { ticket, code: Code::LogFailing }));
        }
    }

    /// Time goes by, and what is due happens and is on disk.
    pub fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now.time = self.now.time.plus(Duration::from_secs(1));
            self.now.wall = self.now.wall.plus_s(1);
            self.input(Input::Deadline);
            self.commit();
        }
    }

    /// At most so many connections of one client.
    pub fn limit(&mut self, most: usize) {
        self.instance.limit_connections_of_client(most);
    }

    pub fn input(&mut self, input: Input) {
        self.instance.handle(input, self.now);
        self.drain();
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.instance.poll(self.now) {
            match output {
                Output::Persist { ticket, batch, .. } => {
                    self.waiting.push(ticket);
                    self.given.insert(ticket, batch);
                }
                Output::Tell { connection, tell } => self.tells.push((connection, tell)),
                Output::Verify { ticket, proof, .. } => {
                    self.verifying.push(ticket);
                    self.proofs.push(proof);
                }
                Output::Run { connection, wanted } => self.running.push((connection, *wanted)),
                Output::Read { ticket, read } => self.reads.push((ticket, read)),
                Output::Audited(audited) => self.audited.push(audited),
                Output::Done { .. }
                | Output::Committed { .. }
                | Output::Retained(_)
                | Output::Archive(_)
                | Output::Count(_)
                | Output::Refused { .. } => {}
            }
        }
    }

    pub fn ask(&mut self, connection: ConnectionId, ask: Ask) {
        self.input(Input::Ask { connection, ask });
    }

    pub fn open(&mut self, connection: ConnectionId) {
        self.input(Input::Opened { connection, policy: Arc::clone(&self.policy), caller: Caller::default() });
    }

    /// Whoever comes from here on comes to a listener with these acceptors.
    pub fn listening(&mut self, any: Vec<Acceptor>) {
        let front = Arc::new(Sequence::of(any));
        let mut policy = Policy::clone(&self.policy);
        policy.front = front;
        self.policy = Arc::new(policy);
    }

    /// Behind a listener with a chat bot.
    pub fn open_from(&mut self, connection: ConnectionId, address: &str) {
        let policy = Policy::new(&self.directory, None, "listen").unwrap().with_words(&Arc::default());
        let caller = Caller { address: Some(address.parse().unwrap()), ..Caller::default() };
        self.input(Input::Opened { connection, policy: Arc::new(policy), caller });
    }

    /// As somebody else than `guest`.
    pub fn enter_as(&mut self, connection: ConnectionId, name: &str, room: Option<&str>) {
        self.enter_with(connection, name, None, room);
    }

    pub fn enter_with(
        &mut self,
        connection: ConnectionId,
        name: &str,
        session: Option<SessionRequest>,
        room: Option<&str>,
    ) {
        let policy = Policy::new(&self.directory, Some(&format!("acme/{name}")), "listen").unwrap();
        let (policy, caller) = (Arc::new(policy), Caller::default());
        self.input(Input::Opened { connection, policy, caller });
        let room = room.map(|name| name.parse().unwrap());
        let session = session.map(Box::new);
        self.ask(connection, Ask::Enter { credential: Credential::Anonymous, session, room });
    }

    pub fn enter(&mut self, connection: ConnectionId, session: Option<SessionRequest>, room: Option<&str>) {
        self.open(connection);
        let room = room.map(|name| name.parse().unwrap());
        let session = session.map(Box::new);
        self.ask(connection, Ask::Enter { credential: Credential::Anonymous, session, room });
    }

    /// The disk has everything that it was given.
    pub fn commit(&mut self) {
        for ticket in std::mem::take(&mut self.waiting) {
            if let Some(batch) = self.given.remove(&ticket) {
                self.store(&batch);
            }
            self.input(Input::Rooms(BusInput::Persisted { ticket }));
        }
    }

    /// The disk answers what it was asked to read.
    pub fn read(&mut self) {
        for (ticket, read) in std::mem::take(&mut self.reads) {
            let runs: Vec<_> = match read {
                Read::All { from, .. } | Read::Of { from, .. } => {
                    let is_after =
                        |(first, _, count): &&(Seq, Bytes, u32)| first.plus(u64::from(*count)) > from;
                    self.stored.iter().filter(is_after).collect()
                }
                // One batch at a time.
                Read::Before { before, .. } => {
                    self.stored.iter().rev().find(|(first, ..)| *first < before).into_iter().collect()
                }
            };
            let runs = runs.into_iter().map(|(first, entries, count)| {
                if self.damaged.contains(first) {
                    let to = first.plus(u64::from(*count)).prev();
                    return Run::Gap(Gap { from: *first, to, cause: Cause::Damage });
                }
                Run::Entries { first: *first, count: *count, epoch: Epoch(1), entries: entries.clone() }
            });
            let found = Chunk { runs: runs.collect(), next: self.next }.into();
            self.input(Input::Rooms(BusInput::Read { ticket, found }));
        }
    }

    fn store(&mut self, batch: &Batch) {
        self.routes.extend(batch.routes.iter().cloned());
        self.stored.push((self.next, batch.entries.clone(), batch.count));
        for frame in frames(&batch.entries).map(Result::unwrap) {
            self.disk.apply(self.next, &frame, self.routes.get(&frame.route));
            let seq = self.next;
            self.next = seq.next();
            let body = Body::read(frame.body).unwrap();
            if body.kind == Kind::Publication {
                let publication = Publication::read(&body).unwrap();
                let channel = self.routes[&frame.route].channel.as_str().to_owned();
                self.published.push((channel, publication.payload.to_vec()));
                self.publications.push(seq);
            }
        }
    }

    /// What is on disk, commit by commit: the kind of each entry, and the rest of its body as text.
    pub fn batches(&self) -> Vec<Vec<(Kind, String)>> {
        let entry = |frame: Frame<'_>| {
            let body = Body::read(frame.body).unwrap();
            (body.kind, String::from_utf8_lossy(body.rest).into_owned())
        };
        let of =
            |(_, entries, _): &(Seq, Bytes, u32)| frames(entries).map(Result::unwrap).map(entry).collect();
        self.stored.iter().map(of).collect()
    }

    /// It hears from here on what the system says of its account.
    pub fn listens(&mut self, connection: ConnectionId) {
        self.listens_to(connection, Technical::of_account());
    }

    pub fn listens_to(&mut self, connection: ConnectionId, technical: Technical) {
        let ask = Ask::Subscribe {
            subscription: SubscriptionId(1),
            want: Want::Technical(technical),
            from: From::Live,
            flow: Flow::Credit,
            keep: None,
            retained: Showing::Nothing,
        };
        self.ask(connection, ask);
    }

    /// What it has heard since, as text.
    pub fn heard(&mut self, connection: ConnectionId) -> String {
        self.commit();
        self.wait(1);
        self.ask(connection, Ask::Pull { bytes: 64 * 1024, stands: false });
        let pushes = self.told(connection).into_iter().flat_map(|tell| match tell {
            Tell::Deliver { pushes, .. } => pushes,
            _ => Vec::new(),
        });
        let said = pushes.map(|push| match push {
            Push::Publication(delivery) => String::from_utf8_lossy(&delivery.content.body).into_owned(),
            Push::Gap { .. } | Push::Wiped { .. } | Push::Through { .. } => String::new(),
        });
        said.collect()
    }

    pub fn account(&self) -> AccountId {
        AccountId(Uuid::from_u128(1))
    }

    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    /// Where the last publication is that is on disk.
    pub fn last_published(&self) -> Seq {
        *self.publications.last().unwrap()
    }

    /// Whoever comes from here on shows a token.
    pub fn listening_to_tokens(&mut self) {
        self.policy = Arc::new(Policy::new(&self.directory, None, "listen").unwrap());
    }

    pub fn is_publication(&self, seq: Seq) -> bool {
        self.publications.contains(&seq)
    }

    pub fn told(&mut self, connection: ConnectionId) -> Vec<Tell> {
        let (own, others) =
            std::mem::take(&mut self.tells).into_iter().partition(|(to, _)| *to == connection);
        self.tells = others;
        let own: Vec<(ConnectionId, Tell)> = own;
        own.into_iter().map(|(_, tell)| tell).collect()
    }

    pub fn refused(&mut self, connection: ConnectionId) -> Option<Code> {
        self.told(connection).into_iter().find_map(|tell| match tell {
            Tell::Refused(refusal) => Some(refusal.code),
            _ => None,
        })
    }

    pub fn entered(&mut self, connection: ConnectionId) -> bool {
        self.told(connection).iter().any(|tell| matches!(tell, Tell::Entered { .. }))
    }
}

pub fn gate(text: &str) -> GateConfig {
    let words = text.trim_matches(['[', ']']);
    let one = |word: &str| match word {
        "'key'" => AcceptorConfig::Key,
        "'key or knock'" => AcceptorConfig::Any(vec![AcceptorConfig::Key, AcceptorConfig::Knock]),
        "'secret'" => AcceptorConfig::Secret,
        "'knock'" => AcceptorConfig::Knock,
        "{ seats = 1 }" => AcceptorConfig::Seats(1),
        // As it is at first, for less than two hours.
        "'tuesdays'" => AcceptorConfig::Schedule(Schedule(vec!["tue 00:00-24:00".parse().unwrap()])),
        other => panic!("{other}"),
    };
    GateConfig(words.split(", ").filter(|word| !word.is_empty()).map(one).collect())
}

fn instance(
    directory: &Directory,
    fold: LogFold,
    next: Seq,
    routes: &BTreeMap<RouteNumber, Route>,
    now: Now,
    events_burst: u32,
) -> Instance {
    let start = Start {
        log: LogId(1),
        epoch: Epoch(next.0),
        // One opening before this one.
        chain: Vec::from([EpochSpan { epoch: Epoch(1), first: Seq(1), last: next.prev() }]),
        next,
        oldest: Seq(1),
        oldest_at: Wall(0),
        pasts: Vec::new(),
        archived: Default::default(),
        gaps: Vec::new(),
        trim_cause: Cause::Retention,
        routes: routes.iter().map(|(number, route)| (*number, route.clone())).collect(),
        origins: Vec::new(),
        rooms: rooms(directory),
        bindings: Vec::new(),
        retained: RetainedTable::default(),
        producers: Default::default(),
    };
    // Where nothing is said, every batch is one that a test made.
    let config = Config { events_burst, ..Config::default() };
    Instance::new(Bus::new(config, start), fold, now)
}

fn rooms(directory: &Directory) -> Vec<Room> {
    directory.rooms().iter().map(|room| Room { linked: false, ..room.clone() }).collect()
}

pub fn session() -> SessionRequest {
    SessionRequest { id: "sensor".to_owned(), clean: false, expiry_s: 3600, will: None }
}

/// Of a peer that is forgotten when it goes.
pub fn brief() -> SessionRequest {
    SessionRequest { clean: true, expiry_s: 0, ..session() }
}

/// A token of the issuer's that says that this is its `guest`, good for so many seconds, and a minute between clocks.
pub fn of_issuer(world: &World, seconds: i64) -> Credential {
    let until = world.now.wall.0 / 1000 + seconds;
    let part = |text: String| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text);
    let claims = format!(r#"{{"iss":"sso","aud":"riser","sub":"guest","exp":{until}}}"#);
    let signed = [part(r#"{"alg":"EdDSA"}"#.into()), part(claims), part("x".into())].join(".");
    Credential::Token(Secret(signed.into()))
}

/// By which tests subscribe.
pub const SUB: SubscriptionId = SubscriptionId(1);

/// What it is answered that subscribes there.
pub fn subscribe(world: &mut World, connection: ConnectionId, topic: &str) -> Result<(), Code> {
    world.told(connection);
    let ask = Ask::Subscribe {
        subscription: SUB,
        want: Want::Topic(topic.to_owned()),
        from: From::Live,
        flow: Flow::Credit,
        keep: None,
        retained: Showing::Nothing,
    };
    world.ask(connection, ask);
    world.commit();
    let told = world.told(connection).into_iter().find_map(|tell| match tell {
        Tell::Subscribed { result, .. } => Some(result.map(|_| ()).map_err(|refusal| refusal.code)),
        _ => None,
    });
    told.expect("a subscribe is answered")
}

pub fn may_read(world: &mut World, connection: ConnectionId, topic: &str) -> bool {
    subscribe(world, connection, topic).is_ok()
}

/// The last that its gate has said to it.
pub fn prompt(world: &mut World, connection: ConnectionId) -> Prompt {
    let prompts = world.told(connection).into_iter().filter_map(|tell| match tell {
        Tell::Prompt(prompt) => Some(prompt),
        _ => None,
    });
    prompts.last().expect("the gate says something")
}

pub fn nothing(ticket: u64) -> Ask {
    Ask::Publish(Intake {
        ticket,
        seen: ticket - 1,
        aliases: Vec::new(),
        entries: Default::default(),
        count: 0,
    })
}
