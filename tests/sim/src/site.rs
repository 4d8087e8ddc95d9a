//! Who exists in a run, and how an edge and a hub are put together over an opened log: what the two programs do.

use crate::{dice::Dice, host::archive::Past, journal::Key as PublicationKey, mutant::Mutant, post};
use riser_edge_core::{Downlink, EdgeCore, Uplink};
use riser_gate::{
    AccountConfig, ClientConfig, Directory, GrantConfig, PasswordHash, Policy, Role, RoomConfig, SchemaText,
    UserConfig,
    config::{Rights, Whom},
    key::KeyText,
};
use riser_hub_core::HubCore;
use riser_ingest::{Below, downlinks, placing};
use riser_instance::{Instance, LogFold};
use riser_link::{
    Key, Receivers, Sender,
    receivers::{Config as ReceiversConfig, Input as ReceiversInput, LIMITS, Others, relay_limits},
    sender::{Config as SenderConfig, Opened, Way},
};
use riser_log::Recovered;
use riser_model::{
    AccountId, Binding, BootId, ClientId, CursorKey, EpochSpan, History, Mark, Now, PublicKey, Quota,
    Retention, Right, Room, RoomId, RoomName,
    duration::Duration as Span,
    event::Scope,
    schema::{Broken, Check},
    size::ByteSize,
};
use riser_rooms::{Bus, Config as RoomsConfig, RetainedTable, Start};
use riser_wire::link::{Above, Opening};
use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
    time::Duration,
};
use uuid::Uuid;

/// The tenant of every run.
pub const ACCOUNT: &str = "acme";
/// A linked room with history.
pub const PLANT: &str = "plant";
/// A linked room without history, which goes down too.
pub const YARD: &str = "yard";
/// A room that stays on site.
pub const SHED: &str = "shed";
/// Channels of the plant that a limited subscriber may not read.
pub const SECRET: &str = "secret";
/// Channels of the plant that no edge may publish in: the hub quarantines them.
pub const FORBIDDEN: &str = "forbidden";
/// The user who may not read what is secret.
pub const LIMITED: &str = "bob";

/// A linked room with session history.
pub const LOUNGE: &str = "lounge";
/// A linked room that keeps only so much of its past.
pub const ATTIC: &str = "attic";
/// A linked room of which all is archived.
pub const CHRONICLE: &str = "chronicle";
/// A linked room that takes only so much.
pub const MARKET: &str = "market";

/// A room that keeps nothing and stays where it is.
pub const CELLAR: &str = "cellar";

/// Linked rooms of a house, with history, each behind a gate at the hub.
pub const VAULTS: [&str; 3] = ["vault-0", "vault-1", "vault-2"];
/// Who looks after the account, and answers who knocks.
pub const OPERATOR: &str = "operator";

/// Who reads at an edge.
pub const VIEWER: &str = "viewer";
/// Who publishes over WebSockets, at the hub and at edges.
pub const SCRIBE: &str = "scribe";
/// Who shares a subscription.
pub const CREW: &str = "dan";
/// Who leaves wills, at the hub and at edges.
pub const MOURNER: &str = "mourner";

/// The tenant's id.
pub fn account() -> AccountId {
    AccountId(Uuid::from_u128(0xacce))
}

/// The id of a room of the tenant. Those of a run are asked for with each entry, and made once.
pub fn room(name: &str) -> RoomId {
    static KNOWN: LazyLock<Vec<(&str, RoomId)>> = LazyLock::new(|| {
        let names = [PLANT, YARD, SHED, LOUNGE, ATTIC, MARKET, CHRONICLE, CELLAR].into_iter().chain(VAULTS);
        names.map(|name| (name, RoomId::of(account(), name))).collect()
    });
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| RoomId::of(account(), name), |(_, id)| *id)
}

/// The tenant's quarantine.
pub fn quarantine() -> RoomId {
    static KNOWN: LazyLock<RoomId> = LazyLock::new(|| placing::quarantine(account()));
    *KNOWN
}

/// The room of the log in which events of a room are. Judges ask it of each entry.
pub fn events_of(room: RoomId) -> RoomId {
    static KNOWN: LazyLock<Vec<(RoomId, RoomId)>> = LazyLock::new(|| {
        let names = [PLANT, YARD, SHED, LOUNGE, ATTIC, MARKET, CHRONICLE, CELLAR].into_iter().chain(VAULTS);
        names.map(self::room).map(|room| (room, Scope::Room(room).room())).collect()
    });
    let known = KNOWN.iter().find(|(known, _)| *known == room);
    known.map_or_else(|| Scope::Room(room).room(), |(_, events)| *events)
}

/// Everybody's password.
pub fn password(user: &str) -> String {
    format!("password of {user}")
}

/// A hash that names its password: nothing is hashed in a simulation.
pub fn hash(password: &str) -> PasswordHash {
    let hex: String = password.bytes().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0${hex:a<22}");
    text.parse().expect("that is the form of a hash")
}

/// What an edge is known by.
#[derive(Clone, Debug)]
pub struct EdgeIdentity {
    /// Its name at the hub.
    pub name: String,
    /// Its secret.
    pub secret: [u8; 32],
    /// Its id.
    pub client: ClientId,
}

impl EdgeIdentity {
    /// The n-th edge of a run.
    pub fn new(dice: Dice, n: usize) -> Self {
        let mut secret = [0; 32];
        dice.stream("edge key", n as u64).fill(&mut secret);
        let client = ClientId(Uuid::from_u128(0xed6e_0000 + n as u128));
        Self { name: format!("edge-{n}"), secret, client }
    }
}

/// The secret by which a host is known to the edges below it.
pub fn link_secret(dice: Dice, host: usize) -> [u8; 32] {
    let mut secret = [0; 32];
    dice.stream("hub key", host as u64).fill(&mut secret);
    secret
}

fn user(name: &str, role: Role) -> UserConfig {
    let name = name.parse().expect("the names of a run are names");
    UserConfig {
        password: Some(hash(&password(&format!("{name}")))),
        role: Some(role),
        ..UserConfig::new(name)
    }
}

fn denies(to: &str, right: Right, channels: &str) -> GrantConfig {
    GrantConfig {
        to: Whom::Named(to.parse().expect("the names of a run are names")),
        right: Rights(vec![right]),
        channels: format!("{channels}/#").parse().expect("a channel and # are a filter"),
        deny: true,
    }
}

/// Which rooms there are beside the plant, the yard and the shed, and how some of them are at the hub.
#[derive(Clone, Copy, Debug)]
pub struct Rooms {
    /// The yard has a schema.
    pub schema: bool,
    /// The yard takes so many channels.
    pub channels: Option<u32>,
    /// There are vaults.
    pub vaults: bool,
    /// There is a lounge.
    pub lounge: bool,
    /// There is an attic, which keeps so much.
    pub attic: Option<Retention>,
    /// There is a chronicle, which is archived.
    pub chronicle: bool,
    /// There is a market, which takes so much at the hub, and at edges too if that is said.
    pub market: Option<(Quota, bool)>,
    /// There are lamps, to which one may write, and a cellar.
    pub post: bool,
}

fn rooms(beside: &Rooms) -> Vec<RoomConfig> {
    let make = |name: &str, history, linked| RoomConfig {
        linked,
        down: name == YARD,
        ..RoomConfig::new(name.parse::<RoomName>().expect("the names of a run are names"), history)
    };
    let mut all = vec![
        make(PLANT, History::Log, true),
        make(YARD, History::None, true),
        make(SHED, History::Log, false),
    ];
    all.extend(beside.post.then(|| make(CELLAR, History::None, false)));
    all.extend(beside.lounge.then(|| make(LOUNGE, History::Session, true)));
    let chronicle = || RoomConfig { archive: true, ..make(CHRONICLE, History::Log, true) };
    all.extend(beside.chronicle.then(chronicle));
    all.extend(beside.market.map(|(quota, _)| RoomConfig { quota, ..make(MARKET, History::Log, true) }));
    all.extend(beside.attic.map(|retention| RoomConfig { retention, ..make(ATTIC, History::Log, true) }));
    all
}

/// A vault without its gate.
pub fn vault(name: &str, down: bool) -> RoomConfig {
    let name = name.parse::<RoomName>().expect("the names of a run are names");
    RoomConfig { id: Some(room(name.as_str())), down, ..RoomConfig::new(name, History::Log) }
}

/// An edge as whoever is above declares it.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Which.
    pub edge: EdgeIdentity,
    /// Whether there are edges below it.
    pub relays: bool,
}

impl Declared {
    fn client(&self) -> ClientConfig {
        ClientConfig {
            id: Some(self.edge.client),
            key: Some(KeyText(Key::from_secret(&self.edge.secret).public())),
            role: Some(Role::Member),
            relays: self.relays,
            ..ClientConfig::new(self.edge.name.parse().expect("the names of a run are names"))
        }
    }
}

/// An edge's account as its file declares it: its devices, a viewer, and the edges below it.
pub fn edge_account(
    devices: &[String],
    below: &[Declared],
    beside: &Rooms,
    mutant: Option<Mutant>,
) -> AccountConfig {
    let mut config = AccountConfig::new(ACCOUNT.parse().expect("it is a name"), account());
    config.room = rooms(beside);
    if beside.vaults {
        config.room.extend(VAULTS.map(|name| vault(name, false)));
    }
    let at_edges = beside.market.is_some_and(|(_, at_edges)| at_edges);
    for market in config.room.iter_mut().filter(|room| !at_edges && room.name.as_str() == MARKET) {
        market.quota = Quota::default();
    }
    config.user = devices.iter().map(|name| user(name, Role::Member)).collect();
    config.user.push(user(VIEWER, Role::Reader));
    config.user.push(user(MOURNER, Role::Member));
    config.user.push(user(SCRIBE, Role::Member));
    config.client = below.iter().map(Declared::client).collect();
    if beside.post {
        post::declare(&mut config, devices, true, mutant);
    }
    config
}

/// Who exists where an account is declared.
pub fn directory(config: AccountConfig) -> Arc<Directory> {
    Arc::new(Directory::compile(&[config]).expect("a run's directory is valid"))
}

/// Who exists at the hub. With a schema, the yard there wants of payloads what [`fits`] says.
pub fn hub_directory(
    edges: &[Declared],
    devices: &[String],
    beside: &Rooms,
    mutant: Option<Mutant>,
) -> Arc<Directory> {
    let mut config = hub_account(edges, devices, beside, mutant);
    for market in config.room.iter_mut().filter(|room| room.name.as_str() == MARKET) {
        let Quota { messages, bytes, .. } = market.quota;
        market.quota = match mutant {
            Some(Mutant::QuotaIgnored) => Quota::default(),
            Some(Mutant::QuotaHalved) => Quota {
                messages: messages.map(|most| most / 2),
                bytes: bytes.map(|most| ByteSize(most.0 / 2)),
                ..market.quota
            },
            _ => market.quota,
        };
    }
    for attic in config.room.iter_mut().filter(|room| room.name.as_str() == ATTIC) {
        attic.retention = mutated(attic.retention, mutant);
    }
    for yard in config.room.iter_mut().filter(|room| room.name.as_str() == YARD) {
        yard.schema = beside.schema.then(|| SchemaText::read("{}").expect("it is a schema"));
        yard.quota.channels = beside.channels.filter(|_| mutant != Some(Mutant::ChannelsUncounted));
    }
    let mut directory = Directory::compile(&[config]).expect("a run's directory is valid");
    if mutant != Some(Mutant::SchemaIgnored) {
        directory.compile_schemas(|_, _| Arc::new(YardSchema));
    }
    Arc::new(directory)
}

/// What a room keeps where a wrong variant says so.
fn mutated(retention: Retention, mutant: Option<Mutant>) -> Retention {
    match mutant {
        Some(Mutant::RetentionIgnored) => Retention::default(),
        Some(Mutant::RetentionHalved) => Retention {
            count: retention.count.map(|most| most / 2),
            bytes: retention.bytes.map(|most| ByteSize(most.0 / 2)),
            age: retention.age.map(|age| Span(age.0 / 2)),
        },
        _ => retention,
    }
}

/// Whether the yard takes a payload, in a run in which it has a schema: one that is there, and whose number is no multiple
/// of seven.
pub fn fits(payload: &[u8]) -> bool {
    !payload.is_empty() && PublicationKey::of(payload).is_none_or(|key| !key.n.is_multiple_of(7))
}

struct YardSchema;

impl Check for YardSchema {
    fn check(&self, payload: &[u8]) -> Result<(), Broken> {
        let broken = || Broken { path: String::new(), rule: "no multiple of seven".to_owned() };
        if fits(payload) { Ok(()) } else { Err(broken()) }
    }
}

/// The hub's account, as its file declares it.
pub fn hub_account(
    edges: &[Declared],
    devices: &[String],
    beside: &Rooms,
    mutant: Option<Mutant>,
) -> AccountConfig {
    let mut config = AccountConfig::new(ACCOUNT.parse().expect("it is a name"), account());
    config.room = rooms(beside);
    config.user = devices.iter().map(|name| user(name, Role::Member)).collect();
    config.user.extend(["ann", LIMITED, "eve", "cleo", "dan"].map(|name| user(name, Role::Reader)));
    config.user.push(user(OPERATOR, Role::Owner));
    config.user.push(user(MOURNER, Role::Member));
    config.user.push(user(SCRIBE, Role::Member));
    let mut denials = vec![denies(LIMITED, Right::Subscribe, SECRET)];
    for declared in edges {
        config.client.push(declared.client());
        denials.push(denies(&declared.edge.name, Right::Publish, FORBIDDEN));
    }
    if mutant != Some(Mutant::DenialsIgnored)
        && let Some(plant) = config.room.first_mut()
    {
        plant.grant = denials;
    }
    if beside.post {
        post::declare(&mut config, devices, false, mutant);
    }
    config
}

/// The policy of every listener of doors.
pub fn policy(directory: &Arc<Directory>) -> Arc<Policy> {
    Arc::new(Policy::new(directory, None, "listen").expect("nobody is let in by name"))
}

/// The memory that the rooms may use: small, so that readers meet the disk.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The shared tail, bytes.
    pub tail_bytes: usize,
    /// One read, bytes.
    pub read_bytes: u32,
    /// Publications of sessions that a room replays.
    pub session_max: usize,
}

/// How much a log has of rooms that keep only so much.
pub type Pasts = Vec<(RoomId, Vec<Mark>)>;

/// What a host has beside what its log says of itself.
#[derive(Debug, Default)]
pub struct Kept {
    /// What channels retain.
    pub retained: RetainedTable,
    /// How much of which room is there.
    pub pasts: Pasts,
    /// What is archived.
    pub archived: Past,
}

fn instance(
    recovered: &Recovered<LogFold>,
    rooms: Vec<Room>,
    bindings: Vec<Binding>,
    memory: Memory,
    Kept { retained, pasts, archived }: Kept,
    now: Now,
) -> Instance {
    let config = RoomsConfig {
        tail_bytes_max: memory.tail_bytes,
        read_bytes: memory.read_bytes,
        session_max: memory.session_max,
        batch_bytes_max: recovered.batch_bytes_max,
        ..RoomsConfig::default()
    };
    // Epochs that only the archive knows come before those of the log.
    let unknown = |span: &&EpochSpan| recovered.chain.iter().all(|known| known.epoch != span.epoch);
    let start = Start {
        log: recovered.log,
        epoch: recovered.epoch,
        chain: archived.spans.iter().filter(unknown).chain(&recovered.chain).copied().collect(),
        next: recovered.next,
        oldest: recovered.oldest,
        oldest_at: recovered.oldest_at,
        pasts,
        archived: archived.rooms,
        gaps: recovered.gaps.iter().map(|record| record.gap).collect(),
        trim_cause: recovered.trim_cause,
        routes: recovered.routes.clone(),
        origins: recovered.origins.clone(),
        rooms,
        bindings,
        retained,
        producers: recovered.fold.producers.clone(),
    };
    Instance::new(Bus::new(config, start), recovered.fold.clone(), now)
}

/// An edge over its log: the secrets are its own, by which edges below know it, and that of whoever is above.
pub fn edge(
    (recovered, segment_bytes): (&Recovered<LogFold>, u64),
    directory: &Arc<Directory>,
    identity: &EdgeIdentity,
    (own_secret, hub_secret): (&[u8; 32], &[u8; 32]),
    (boot, seed): (u64, u64),
    ((memory, kept), asks): ((Memory, Kept), Option<Duration>),
    now: Now,
) -> EdgeCore {
    let bindings = vec![Binding {
        topics: "legacy/#".parse().expect("it is a filter"),
        room: PLANT.parse().expect("it is a name"),
        strip: 1,
        prefix: "old/{client}".to_owned(),
    }];
    let mut instance = instance(recovered, directory.rooms().to_vec(), bindings, memory, kept, now);
    let linked: BTreeSet<RoomId> =
        directory.rooms().iter().filter(|room| room.linked).map(|room| room.id).collect();
    let opened = Opened {
        log: recovered.log,
        boot: BootId(boot),
        chain: recovered
            .chain
            .iter()
            .map(|span| Opening { span: *span, anchor: recovered.fold.anchors.of(*span) })
            .collect(),
        cursors: recovered.cursors.clone(),
        gaps: recovered.gaps.iter().map(|record| record.gap).collect(),
    };
    let (key, hub) = (Key::from_secret(&identity.secret), Key::from_secret(hub_secret).public());
    let log = (recovered.log, segment_bytes);
    let receivers = Receivers::of_downlink(key.clone(), log, hub, recovered.cursors.iter().copied());
    let downlink = Downlink::new(receivers, hub, identity.client);
    let config =
        SenderConfig { edge: identity.client, way: Way::Up { key: key.clone(), hub }, seed, waits: true };
    let sender = Sender::new(config, opened, now);
    let name = "up".parse().expect("it is a name");
    let below = below((recovered, segment_bytes), directory, (own_secret, hub), &mut instance, now);
    let uplink = Uplink::new(name, sender, downlink, linked).asking(asks);
    EdgeCore::new(instance, [uplink], below)
}

/// What an edge has for those below it; what came down from its hub is not from there.
fn below(
    (recovered, segment_bytes): (&Recovered<LogFold>, u64),
    directory: &Arc<Directory>,
    (secret, hub): (&[u8; 32], PublicKey),
    instance: &mut Instance,
    now: Now,
) -> Below {
    let from_below = |key: &CursorKey| match key {
        CursorKey::Ingest(client, ..) => *client != hub.client(),
        CursorKey::Relayed(..) => true,
        CursorKey::Uplink(_) | CursorKey::Downlink(_) | CursorKey::Former(_) => false,
    };
    let mut receivers = Receivers::new(
        ReceiversConfig {
            key: Key::from_secret(secret),
            log: recovered.log,
            chain: recovered.chain.clone(),
            limits: relay_limits(segment_bytes),
            others: Others::Relayed,
            cursors_max: usize::MAX,
        },
        recovered.cursors.iter().copied().filter(|(key, _)| from_below(key)),
    );
    receivers.handle(ReceiversInput::Above(Above { hops: 1, logs: Vec::new() }), now);
    let gaps = recovered.gaps.iter().map(|record| record.gap).collect();
    let opened = downlinks::opened(recovered.log, &recovered.chain, &recovered.cursors, gaps);
    Below::new(receivers, Arc::clone(directory), &opened, instance, now)
}

/// The rooms of a hub: those that are declared, and what is not let in anywhere else.
pub fn hub_rooms(directory: &Directory) -> Vec<Room> {
    let mut rooms = directory.rooms().to_vec();
    for (name, id) in directory.accounts() {
        rooms.push(Room {
            id: placing::quarantine(id),
            account: id,
            account_name: name.clone(),
            name: placing::quarantine_name(),
            kind: Default::default(),
            ready: Vec::new(),
            history: History::Log,
            retention: Default::default(),
            quota: Default::default(),
            linked: false,
            down: false,
            archive: false,
            schema: None,
        });
    }
    rooms
}

/// A hub over its log.
pub fn hub(
    recovered: &Recovered<LogFold>,
    directory: &Arc<Directory>,
    secret: &[u8; 32],
    (memory, kept): (Memory, Kept),
    now: Now,
) -> HubCore {
    let instance = instance(recovered, hub_rooms(directory), Vec::new(), memory, kept, now);
    let config = ReceiversConfig {
        key: Key::from_secret(secret),
        log: recovered.log,
        chain: recovered.chain.clone(),
        limits: LIMITS,
        others: Others::All,
        cursors_max: usize::MAX,
    };
    let receivers = Receivers::new(config, recovered.cursors.iter().copied());
    let gaps = recovered.gaps.iter().map(|record| record.gap).collect();
    let opened = downlinks::opened(recovered.log, &recovered.chain, &recovered.cursors, gaps);
    HubCore::new(instance, receivers, Arc::clone(directory), &opened, now)
}
