//! The world of a run: machines, roads, devices and dashboards, moved by one queue of events.
//!
//! It decides nothing of the product's: it carries what hosts want to whom it is meant for, breaks what the plan
//! says, and has the ledger written. All randomness comes from the seed, all order from the queue.

use crate::{
    book::{Book, Fact},
    caller::Caller,
    device::{Device, Identity},
    dice::Dice,
    disk::SimDisk,
    fault::{Death, Fault},
    floors::{Floors, Moment},
    guest::Guest,
    host::{Host, Later, Role, Setup},
    house::Change,
    journal::Journal,
    knobs::Knobs,
    ledger::Ledger,
    market::Market,
    mutant::Mutant,
    post::Post,
    queue::Queue,
    reading::Reading,
    registrar::Registrar,
    sessions::Sessions,
    sharing::Sharing,
    site::{self, Declared, EdgeIdentity},
    statutes,
    subscriber::{Identity as ReaderIdentity, Subscriber},
    talker::{FIRST_KEY as FIRST_TALKER, Talker},
    trace::Trace,
    wires::{Network, Quality, Road, Way, WireId},
    writer::{FIRST_KEY, Writer},
};
use fastrand::Rng;
use riser_gate::{Account, Accounts};
use riser_log::fault::Image;
use riser_model::{ConnectionId, Time};
use riser_mqtt::{Config as MqttConfig, Counters as MqttCounters};
use riser_rooms::retained::Saved;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

mod actors;
mod annex;
mod breaking;
mod callers;
mod changes;
mod frozen;
mod guests;
mod hosts;
mod sockets;
mod talkers;
mod twisting;
mod writers;

pub use annex::Vouching;
pub use callers::{CallerSeat, Visits};
pub use changes::Changing;
pub use guests::GuestSeat;
pub use talkers::TalkerSeat;
pub use writers::WriterSeat;

/// Something that happens.
#[derive(Debug)]
pub enum Event {
    /// A host's own.
    Host(usize, u64, Later),
    /// Something arrives.
    Arrive(WireId, Way),
    /// Somebody knocks.
    Knock(WireId),
    /// A door is open.
    Opened(WireId),
    /// A door does not open.
    Unopened(WireId),
    /// A door may write again.
    Offer(WireId),
    /// A door's writing may have been stuck for too long.
    Stall(WireId),
    /// A WebSocket's peer may have been silent for too long.
    Silent(WireId),
    /// A link's socket is gone, says its task.
    LinkGone(usize, u64, ConnectionId),
    /// A device's deadline.
    Device(usize, Time),
    /// A dashboard's deadline.
    Subscriber(usize, Time),
    /// A guest's deadline.
    Guest(usize, Time),
    /// A writer's deadline.
    Writer(usize, Time),
    /// A caller's deadline.
    Caller(usize, Time),
    /// A talker's deadline.
    Talker(usize, Time),
    /// A talker says something, or goes.
    Talk(usize),
    /// A caller's gate must have ended.
    GateDue(WireId),
    /// Somebody sat down in a vault.
    Seated(usize, usize),
    /// It is looked what the annex must know by now.
    AnnexDue,
    /// The annex has heard that something is given up, a while ago.
    AnnexKnows(Fact),
    /// The operator decides about somebody who knocks, at that vault.
    Decide(u64, Option<usize>, bool),
    /// The plan's next change of accounts.
    Change(usize),
    /// Whoever asked for a change and has no answer asks again.
    AskForChange,
    /// A writer has something to say.
    Write(usize),
    /// A device has something to say.
    Speak(usize),
    /// The plan's next fault.
    Fault(usize),
    /// A road is mended.
    Mend(Road),
    /// A disk is well again.
    MendDisk(usize),
    /// An archive's disk is well again.
    MendShelf,
    /// A machine is switched on.
    Boot(usize),
    /// A process is started.
    Start(usize),
}

/// A machine around a host.
#[derive(Debug, Default)]
pub struct Machine {
    /// Whether it has power.
    pub up: bool,
    /// How it dies when its host says so.
    dies: Option<Death>,
    /// It is stopping to open its log anew.
    reopening: bool,
    /// A start is on its way.
    starting: bool,
    /// What its disk was, and what its log held.
    backup: Option<(Image, Journal, Saved)>,
}

/// A device and where it is.
#[derive(Debug)]
pub struct DeviceSeat {
    /// The device.
    pub device: Device,
    /// Which host it publishes to.
    pub edge: usize,
    wire: Option<WireId>,
    armed: Option<Time>,
    rng: Rng,
    said: u32,
    /// What it says to stay.
    stays: Rng,
}

/// A dashboard and where it is.
#[derive(Debug)]
pub struct SubscriberSeat {
    /// The dashboard.
    pub subscriber: Subscriber,
    /// What it was told, judged.
    pub reading: Reading,
    wire: Option<WireId>,
    armed: Option<Time>,
    /// When what is on its way to it was said.
    said: VecDeque<Moment>,
    /// When what it heard last was said.
    heard: Option<Moment>,
}

/// See the module.
pub struct World {
    /// How the run is.
    pub knobs: Knobs,
    /// The time.
    pub now: Time,
    /// What is wanted of the network.
    pub net: Network,
    /// The hub first.
    pub hosts: Vec<Host>,
    /// Around each host.
    pub machines: Vec<Machine>,
    /// The devices.
    pub devices: Vec<DeviceSeat>,
    /// The dashboards.
    pub subscribers: Vec<SubscriberSeat>,
    /// Who comes and goes.
    pub guests: Vec<GuestSeat>,
    /// Who publishes over WebSockets.
    pub writers: Vec<WriterSeat>,
    /// Who comes to a house.
    pub callers: Vec<CallerSeat>,
    /// Who is in a room with session history.
    pub talkers: Vec<TalkerSeat>,
    /// What each host should know of their sessions.
    pub sessions: Vec<Sessions>,
    /// What those are told who share a subscription.
    pub sharing: Sharing,
    /// What the market takes, if there is one.
    pub market: Option<Market>,
    /// Which clients were connected where, whom one may write to.
    pub post: Post,
    /// What the attic may show and hide, if there is one.
    pub floors: Option<Floors>,
    /// What is known of callers' connections.
    pub visits: Visits,
    /// Who may what in a house.
    pub book: Book,
    /// The same of the annex: by what its file says, and what its hub gave up since.
    pub annex: Book,
    /// What the annex must hear of its hub.
    pub vouching: Vouching,
    /// Changes that wait.
    changes_asked: VecDeque<Change>,
    /// The change that is on its way.
    changing: Option<Changing>,
    /// Roads that were broken, and when.
    pub broken: Vec<(Time, Road)>,
    /// Roads that were cut and mended, and when last.
    mended: BTreeMap<Road, Time>,
    /// What was promised.
    pub ledger: Ledger,
    /// What is said.
    pub trace: Trace,
    queue: Queue<Event>,
    mutant: Option<Mutant>,
    mqtt: (Arc<MqttConfig>, Arc<MqttCounters>),
    rng: Rng,
    links: BTreeMap<ConnectionId, WireId>,
    uplinks: BTreeMap<usize, (u64, WireId)>,
    /// Wires whose door has written and was not told that it may again, and since when it is stuck.
    unoffered: BTreeMap<WireId, Option<Time>>,
    links_made: u64,
    /// A message that a wrong variant holds back.
    held: Option<String>,
    /// How many messages a wrong variant has seen.
    twists: u64,
    healed: bool,
    /// Whoever ends is started by nobody here: a timeline says when.
    pub by_hand: bool,
    /// Whose processes stand still, and what waits for them.
    frozen: BTreeMap<usize, Vec<Event>>,
}

impl World {
    /// The world of a seed, before anything happened.
    pub fn new(seed: u64, knobs: Knobs, mutant: Option<Mutant>, traced: bool) -> Self {
        let dice = Dice(seed);
        let mut world = Self {
            now: Time(0),
            net: Network::new(dice.stream("network", 0)),
            hosts: Vec::new(),
            machines: Vec::new(),
            devices: Vec::new(),
            subscribers: Vec::new(),
            guests: Vec::new(),
            writers: Vec::new(),
            callers: Vec::new(),
            talkers: Vec::new(),
            sessions: Vec::new(),
            sharing: Sharing::default(),
            market: knobs.market.map(|(quota, at_edges)| Market::new(quota, at_edges)),
            post: Post::default(),
            floors: knobs.attic.map(|retention| Floors::new(site::room(site::ATTIC), retention)),
            visits: Visits::default(),
            book: Book::default(),
            annex: Book::default(),
            vouching: Vouching::default(),
            changes_asked: VecDeque::new(),
            changing: None,
            broken: Vec::new(),
            mended: BTreeMap::new(),
            ledger: Ledger::default(),
            trace: Trace::new(traced),
            queue: Queue::default(),
            mutant,
            mqtt: (Arc::new(MqttConfig::default()), Arc::new(MqttCounters::default())),
            rng: dice.stream("world", 0),
            links: BTreeMap::new(),
            uplinks: BTreeMap::new(),
            unoffered: BTreeMap::new(),
            links_made: 1 << 62,
            held: None,
            twists: 0,
            healed: false,
            by_hand: false,
            frozen: BTreeMap::new(),
            knobs,
        };
        world.build(dice);
        world
    }

    fn build(&mut self, dice: Dice) {
        let knobs = self.knobs.clone();
        let identities: Vec<EdgeIdentity> = (1..=knobs.edges).map(|n| EdgeIdentity::new(dice, n)).collect();
        let name = |n: usize| format!("dev-{n}");
        let all: Vec<String> = (0..knobs.devices.len()).map(name).collect();
        let declared = |parent: usize| -> Vec<Declared> {
            let below = identities.iter().zip(&knobs.parents).enumerate();
            let below = below.filter(|(_, (_, at))| **at == parent);
            below
                .map(|(n, (edge, _))| Declared {
                    edge: edge.clone(),
                    relays: knobs.parents.contains(&(n + 1)),
                })
                .collect()
        };
        self.add(dice, Role::Hub, site::hub_directory(&declared(0), &all, &knobs.rooms(), self.mutant), 0);
        (self.ledger.schema, self.ledger.channels) = (knobs.yard, knobs.channels);
        if let Some(house) = &knobs.house {
            let account = site::hub_account(&declared(0), &all, &knobs.rooms(), self.mutant);
            let account = statutes::account(account, house, self.mutant);
            self.hosts[0].registrar = Some(Registrar::new(Accounts::of([Account::new(account)])));
            self.book = Book::new(house);
            self.ledger.vaults_down = house.annex.is_some();
        }
        for ((n, identity), parent) in (1..).zip(&identities).zip(&knobs.parents) {
            let on_site = knobs.devices.iter().enumerate().filter(|(_, device)| device.edge == n);
            let names: Vec<String> = on_site.map(|(number, _)| name(number)).collect();
            let account = site::edge_account(&names, &declared(n), &knobs.rooms(), self.mutant);
            let annex = knobs.house.as_ref().and_then(|house| Some((house, house.annex.as_ref()?)));
            if let Some((house, annex)) = annex.filter(|(_, annex)| annex.host == n) {
                self.add_annex((dice, identity, *parent), account, (house, annex));
            } else {
                self.add(dice, Role::Edge(identity.clone()), site::directory(account), *parent);
            }
            self.net.build(Road::Uplink(n), knobs.uplink);
            self.net.build(Road::Site(n), knobs.site);
        }
        for (n, device) in knobs.devices.iter().enumerate() {
            self.ledger.homes.insert(n as u32, device.edge);
            if device.clean {
                self.ledger.fleeting.insert(n as u32);
            }
            let identity = Identity {
                number: n as u32,
                user: name(n),
                password: site::password(&name(n)),
                v5: device.v5,
                clean: device.clean,
                window: device.window,
            };
            let mut rng = dice.stream("device", n as u64);
            let at = Time(0).plus(Duration::from_millis(rng.u64(100..5000)));
            let device_seat = DeviceSeat {
                device: Device::new(identity, at),
                edge: device.edge,
                wire: None,
                armed: None,
                rng,
                said: 0,
                stays: dice.stream("stays", n as u64),
            };
            self.devices.push(device_seat);
            self.arm_device(n);
            self.queue.put(at, Event::Speak(n));
        }
        for reader in &knobs.readers {
            let delay = Duration::from_millis(self.rng.u64(1..100));
            let rate = self.rng.u64(5_000..1_000_000);
            let at = Time(0).plus(Duration::from_millis(self.rng.u64(0..60_000)));
            self.seat(reader.clone(), at, Quality { delay, jitter: delay, rate });
        }
        for (n, guest) in knobs.guests.iter().enumerate() {
            let road = Road::Guest(n);
            let mut rng = dice.stream("guest", n as u64);
            let delay = Duration::from_millis(rng.u64(1..100));
            self.net.build(road, Quality { delay, jitter: delay, rate: rng.u64(10_000..1_000_000) });
            let at = Time(0).plus(Duration::from_millis(rng.u64(0..60_000)));
            let mut guest = guest.clone();
            if self.mutant == Some(Mutant::MembersApart) {
                guest.group = guest.group.map(|group| format!("{group}-{n}"));
            }
            self.guests.push(GuestSeat::new(Guest::new(guest, at, rng), road));
            self.guest_acts(n);
        }
        for (n, writer) in knobs.writers.iter().enumerate() {
            let mut rng = dice.stream("writer", n as u64);
            let delay = Duration::from_millis(rng.u64(1..200));
            let road = Quality { delay, jitter: delay, rate: rng.u64(5_000..1_000_000) };
            self.net.build(Road::Writer(n), road);
            self.ledger.homes.insert(FIRST_KEY + n as u32, writer.host);
            let at = Time(0).plus(Duration::from_millis(rng.u64(0..60_000)));
            self.writers.push(WriterSeat::new(Writer::new(writer.clone(), at), rng));
            self.writer_acts(n);
            self.queue.put(at, Event::Write(n));
        }
        let annex = knobs.house.as_ref().and_then(|house| Some((house, house.annex.as_ref()?.host)));
        let at_hub = knobs.house.iter().flat_map(|house| house.people.iter().enumerate().map(|one| (0, one)));
        let at_annex = annex
            .into_iter()
            .flat_map(|(house, host)| house.people.iter().enumerate().map(move |one| (host, one)));
        for (n, (host, (person, known))) in at_hub.chain(at_annex).enumerate() {
            let mut rng = dice.stream("caller", n as u64);
            let delay = Duration::from_millis(rng.u64(1..200));
            let road = Quality { delay, jitter: delay, rate: rng.u64(20_000..1_000_000) };
            self.net.build(Road::Caller(n), road);
            let at = Time(0).plus(Duration::from_millis(rng.u64(2_000..60_000)));
            let caller = Caller::new((person, host), known.name.clone(), at, rng);
            let anew = dice.stream("anew", n as u64);
            self.callers.push(CallerSeat { caller, done: false, wire: None, armed: None, anew });
            self.caller_acts(n);
        }
        for (n, talker) in knobs.talkers.iter().enumerate() {
            let mut rng = dice.stream("talker", n as u64);
            let delay = Duration::from_millis(rng.u64(1..100));
            self.net
                .build(Road::Talker(n), Quality { delay, jitter: delay, rate: rng.u64(100_000..1_000_000) });
            self.ledger.homes.insert(FIRST_TALKER + n as u32, talker.host);
            let at = Time(0).plus(Duration::from_millis(rng.u64(0..30_000)));
            self.talkers.push(TalkerSeat::new(Talker::new(talker.clone(), at), rng));
            self.talker_acts(n);
            self.queue.put(at, Event::Talk(n));
        }
        for (n, (at, _)) in knobs.house.iter().flat_map(|house| &house.changes).enumerate() {
            self.queue.put(*at, Event::Change(n));
        }
        for (n, (at, _)) in knobs.faults.iter().enumerate() {
            self.queue.put(*at, Event::Fault(n));
        }
    }

    /// One more dashboard, which dials at that time.
    pub fn seat(&mut self, reader: ReaderIdentity, at: Time, road: Quality) {
        let n = self.subscribers.len();
        self.net.build(Road::Reader(n), road);
        let subscriber = Subscriber::new(reader, at);
        let seat = SubscriberSeat {
            subscriber,
            reading: Reading::default(),
            wire: None,
            armed: None,
            said: VecDeque::new(),
            heard: None,
        };
        self.subscribers.push(seat);
        self.arm_subscriber(n);
    }

    fn add(&mut self, dice: Dice, role: Role, directory: Arc<riser_gate::Directory>, parent: usize) {
        let number = self.hosts.len();
        let is_hub = matches!(role, Role::Hub);
        let log = if is_hub { self.knobs.hub_log.clone() } else { self.knobs.edge_log.clone() };
        let quota = log.quota_bytes;
        let log = match self.mutant {
            Some(Mutant::QuotaDoubled) if !is_hub => {
                riser_log::Config { quota_bytes: 2 * log.quota_bytes, ..log }
            }
            Some(Mutant::RingInstead) if !is_hub => riser_log::Config {
                on_full: riser_log::OnFull::DropOldest,
                quota_bytes: 4 * log.segment_bytes,
                ..log
            },
            _ => log,
        };
        let setup = Setup {
            number,
            role,
            policy: site::policy(&directory),
            directory,
            log,
            quota,
            archive_bytes: self.knobs.archive_bytes,
            memory: self.knobs.memory,
            parent,
            secret: site::link_secret(dice, number),
            hub_secret: site::link_secret(dice, parent),
            mutant: self.mutant,
        };
        let disk = SimDisk::new(dice.stream("disk", number as u64), self.knobs.sync, self.mutant);
        self.sessions.push(Sessions::default());
        let archive = SimDisk::new(dice.stream("archive disk", number as u64), self.knobs.sync, self.mutant);
        self.hosts.push(Host::new(setup, (disk, archive), dice.stream("host", number as u64)));
        self.machines.push(Machine { up: true, ..Machine::default() });
        let at = Time(0).plus(Duration::from_millis(self.rng.u64(0..2000)));
        self.queue.put(at, Event::Start(number));
    }

    /// Lets everything happen that happens until then.
    pub fn run_until(&mut self, until: Time) {
        while let Some((at, event)) = self.queue.take(until) {
            self.now = at;
            self.ledger.counts.events += 1;
            if let Some(event) = self.unless_frozen(event) {
                self.happen(event);
            }
            for (at, id, way) in std::mem::take(&mut self.net.arrivals) {
                self.queue.put(at, Event::Arrive(id, way));
            }
        }
        self.now = until;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Host(n, life, later) => {
                if self.hosts[n].life == life {
                    self.hosts[n].happen(later, self.now);
                    self.settle(n);
                }
            }
            Event::Arrive(id, way) => self.arrive(id, way),
            Event::Knock(id) => self.knock(id),
            Event::Opened(id) => self.opened(id),
            Event::Unopened(id) => self.unopened(id),
            Event::Offer(id) => self.offer(id),
            Event::Stall(id) => self.stalled(id),
            Event::Silent(id) => self.silent(id),
            Event::LinkGone(n, life, connection) => {
                if self.hosts[n].life == life {
                    let input = riser_ingest::LinkInput::Closed { connection };
                    self.hosts[n].hub_link(input, self.now);
                    self.settle(n);
                }
            }
            Event::Device(n, armed) => self.wake_device(n, armed),
            Event::Subscriber(n, armed) => self.wake_subscriber(n, armed),
            Event::Guest(n, armed) => self.wake_guest(n, armed),
            Event::Writer(n, armed) => self.wake_writer(n, armed),
            Event::Caller(n, armed) => self.wake_caller(n, armed),
            Event::Talker(n, armed) => self.wake_talker(n, armed),
            Event::Talk(n) => self.talk(n),
            Event::GateDue(id) => self.gate_due(id),
            Event::Seated(host, vault) => self.seated(host, vault),
            Event::AnnexDue => self.annex_due(),
            Event::AnnexKnows(fact) => self.annex_knows(fact),
            Event::Decide(connection, vault, admit) => self.decide(connection, vault, admit),
            Event::Change(n) => self.change_is_due(n),
            Event::AskForChange => self.ask_for_change(),
            Event::Write(n) => self.write(n),
            Event::Speak(n) => self.speak(n),
            Event::Fault(n) => {
                if let Some((_, fault)) = self.knobs.faults.get(n).cloned() {
                    self.suffer(fault);
                }
            }
            Event::Mend(road) => self.mend(road),
            Event::MendDisk(n) => self.mend_disk(n),
            Event::MendShelf => self.mend_shelf(),
            Event::Boot(n) => self.boot(n),
            Event::Start(n) => self.start(n),
        }
    }

    pub(crate) fn suffer(&mut self, fault: Fault) {
        if !self.healed {
            self.trace.line(self.now, || format!("fault {fault:?}"));
            self.break_something(fault);
        }
    }

    fn after(&mut self, pause: Duration, event: Event) {
        self.queue.put(self.now.plus(pause), event);
    }

    fn wrong(&mut self, what: String) {
        self.trace.wrong(self.now, what);
    }
}
