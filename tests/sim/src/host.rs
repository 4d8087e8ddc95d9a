//! A host: a machine with a disk and two clocks, and the process that may be running on it.
//!
//! The process is the program's wiring in virtual time: one task that owns a core, a log's two threads, and doors on
//! sockets. Everything it wants of the world is an [`Effect`]. It dies between any two of them when told to.

use crate::{
    disk::SimDisk,
    door::DoorEnd,
    held::Held,
    journal::{Journal, Lost},
    knobs::ROOMY_BYTES,
    mutant::Mutant,
    registrar::Registrar,
    site::{self, EdgeIdentity, Kept, Memory},
    storage::{Answer, Storage},
    table::{SAVE_EVERY, Table},
    tier::Tier,
};
use fastrand::Rng;
use riser_edge_core::LinkOutput as EdgeLink;
use riser_gate::{Caller, Directory, Policy, Verdict};
use riser_ingest::LinkOutput as HubLink;
use riser_instance::{Input as InstanceInput, LogFold, core::Input};
use riser_log::{Config as LogConfig, Entropy, Writer};
use riser_model::{
    Archived, ConnectionId, EpochSpan, LogId, Now, Read, Room, RoomId, Selected, Seq, Time, Wall, door::Ask,
};
use riser_rooms::Input as RoomsInput;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

mod accounts;
pub mod archive;
mod doors;
pub mod opening;
mod turns;
mod vouched;

use archive::Shelf;
use opening::Opening;
pub use vouched::Vouched;

/// 2026-01-01, roughly.
const WALL_BASE_MS: i64 = 1_767_225_600_000;
/// Arrivals that one turn of the core's task takes at most, as in the program.
const ARRIVALS_MAX: usize = 256;
const FOR_LINK: u64 = 1 << 63;
/// A deadline that has not moved after so many wake-ups never will.
const SPINS_MAX: u32 = 2000;

/// Something that happens inside a host, later.
#[derive(Debug)]
pub enum Later {
    /// The committing thread's next turn.
    Storage(u64),
    /// Storage answers.
    Answers(Vec<Answer>),
    /// The reading thread reads.
    Read(u64, Read),
    /// The reading thread counts how much of these rooms is there.
    Count(Vec<Room>),
    /// The archive's next step.
    Archive(u64),
    /// It took one: what it has.
    Archived(BTreeMap<RoomId, Archived>),
    /// It could be opened after the start only: the epochs of what is in it.
    ArchiveOpened(Vec<EpochSpan>),
    /// The core's task takes what waits.
    Inbox,
    /// The core's deadline, as it was armed.
    Wake(Time),
    /// A password was verified.
    Verified(ConnectionId, u64, Verdict),
    /// A change of accounts is saved, or could not be.
    AccountsSaved,
    /// What its hub gave up has its effect, or it is looked whether that was heard lately.
    Vouched(u64),
    /// A door hears what it was told.
    Tells(ConnectionId),
    /// A door's deadline, as it was armed.
    DoorWake(ConnectionId, Time),
    /// A shutdown has taken long enough.
    StopNow,
    /// Its wall clock's step was noticed.
    ClockStepped(i64),
    /// The table of what channels retain is to be written.
    SaveBegins,
    /// It is written.
    SaveEnds,
}

/// What a host wants of the world.
#[derive(Debug)]
pub enum Effect {
    /// Do this at that time, if the process still lives.
    At(Time, Later),
    /// A door says something.
    Say(usize, DoorSays),
    /// An edge's uplink.
    Edge(EdgeLink),
    /// A hub's links.
    Hub(HubLink),
    /// The power has failed.
    Crashed,
    /// The process is over, on purpose.
    Stopped,
    /// A change of accounts is in force.
    Changed,
    /// Something is not as it must be.
    Wrong(String),
    /// Something worth a line in the trace.
    Note(String),
}

/// What a door says on its socket.
#[derive(Debug)]
pub enum DoorSays {
    /// Bytes of a stream.
    Bytes(bytes::Bytes),
    /// A text message.
    Text(String),
    /// It closes.
    End,
}

#[derive(Debug)]
enum Arrival {
    Opened(ConnectionId, Box<Caller>),
    Asked(ConnectionId, Ask),
    Closed(ConnectionId),
}

/// What makes a host an edge or the hub.
#[derive(Clone, Debug)]
pub enum Role {
    /// An edge.
    Edge(EdgeIdentity),
    /// The hub.
    Hub,
}

/// What never changes of a host.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its number; the hub's is 0.
    pub number: usize,
    /// What it is.
    pub role: Role,
    /// Who exists there.
    pub directory: Arc<Directory>,
    /// Who may enter.
    pub policy: Arc<Policy>,
    /// The log's bounds.
    pub log: LogConfig,
    /// The quota that the ledger holds it to.
    pub quota: u64,
    /// An archive takes so much.
    pub archive_bytes: u64,
    /// The rooms' memory.
    pub memory: Memory,
    /// The host that its link leads to.
    pub parent: usize,
    /// By which edges below know it.
    pub secret: [u8; 32],
    /// By which it knows whoever is above.
    pub hub_secret: [u8; 32],
    /// The wrong variant of the run.
    pub mutant: Option<Mutant>,
}

/// See the module.
pub struct Host {
    /// What it is made with.
    pub setup: Setup,
    /// Its accounts, where they change.
    pub registrar: Option<Registrar>,
    /// Its accounts, where they hold by its hub's word.
    pub vouched: Option<Vouched>,
    /// Whether those who know passwords and keys elsewhere answer at once, and rightly.
    pub outside_is_well: bool,
    /// Connections of whom one of those said no and should have said yes.
    pub misjudged: BTreeSet<ConnectionId>,
    /// Its disk.
    pub disk: SimDisk,
    /// The one that its archive lies on.
    pub archive_disk: SimDisk,
    /// What that should have.
    pub held: Held,
    /// Whether that disk was made to fail, or the archive may be full.
    pub shelf_troubled: bool,
    /// What its log really holds.
    pub journal: Journal,
    /// What channels retain, on disk beside the log.
    pub table: Table,
    /// Up to here the core has heard that it is on disk.
    pub answered: Seq,
    /// Its log begins here.
    pub oldest: Seq,
    /// Its log's id, once there was one.
    pub log: Option<LogId>,
    /// What its log has lost.
    pub lost: Vec<Lost>,
    /// The process, if it runs.
    pub process: Option<Process>,
    /// Rises with every process.
    pub life: u64,
    /// How far its wall clock is off.
    pub skew_ms: i64,
    /// Whether damage was done to its disk: then entries may be gone.
    pub damaged: bool,
    /// Whether an old backup was put back.
    pub stale: bool,
    /// Whether its disk was made to fail or to be full.
    pub troubled: bool,
    /// Whether its log could not take something.
    pub refused: bool,
    /// Whether its wall clock was stepped.
    pub stepped: bool,
    /// When its processes ended.
    pub ended: Vec<Time>,
    /// How many publications each process that ended had counted as nobody's.
    void: Vec<(Time, Time, u64)>,
    /// When the core heard that the log begins there, in order.
    pub let_go: Vec<(Time, Seq)>,
    /// When how much was on disk, in order: up to that seq.
    pub commits: Vec<(Time, Seq)>,
    /// What each process began with, in order.
    pub openings: Vec<Opening>,
    booted_at: Time,
    boot: u64,
    rng: Rng,
    /// What it wants of the world.
    pub effects: VecDeque<Effect>,
}

/// A running process.
pub struct Process {
    /// The core.
    pub tier: Tier,
    /// The log's threads.
    pub storage: Storage,
    archive: Option<Shelf>,
    doors: BTreeMap<ConnectionId, DoorEnd>,
    inbox: VecDeque<Arrival>,
    inbox_due: bool,
    storage_due: Option<(Time, u64)>,
    storage_turns: u64,
    busy_until: Time,
    wake_at: Option<Time>,
    spins: u32,
    next_connection: u64,
    outputs_left: Option<u64>,
    /// It is going down on purpose.
    pub stopping: bool,
    over: bool,
}

impl Host {
    /// A machine that is switched on and runs nothing.
    pub fn new(setup: Setup, (disk, archive_disk): (SimDisk, SimDisk), mut rng: Rng) -> Self {
        Self {
            boot: rng.u64(1..),
            table: Table::new(Rng::with_seed(setup.number as u64), setup.mutant),
            registrar: None,
            vouched: None,
            outside_is_well: false,
            misjudged: BTreeSet::new(),
            disk,
            archive_disk,
            held: Held::default(),
            shelf_troubled: setup.archive_bytes < ROOMY_BYTES,
            setup,
            journal: Journal::default(),
            answered: Seq::ZERO,
            oldest: Seq::ZERO,
            log: None,
            lost: Vec::new(),
            process: None,
            life: 0,
            skew_ms: 0,
            damaged: false,
            stale: false,
            troubled: false,
            refused: false,
            stepped: false,
            ended: Vec::new(),
            void: Vec::new(),
            let_go: Vec::new(),
            commits: Vec::new(),
            openings: Vec::new(),
            booted_at: Time(0),
            rng,
            effects: VecDeque::new(),
        }
    }

    /// Its two clocks.
    pub fn now(&self, at: Time) -> Now {
        let time = Time(at.0 - self.booted_at.0 + 1_000_000_000);
        Now { time, wall: self.wall(at) }
    }

    /// What its wall clock shows, or would have shown before it booted.
    pub fn wall(&self, at: Time) -> Wall {
        Wall(WALL_BASE_MS + (at.0 / 1_000_000) as i64 + self.skew_ms)
    }

    /// A time of its monotonic clock as the world's, not in the past.
    fn world_time(&self, time: Time, now: Time) -> Time {
        Time((time.0 + self.booted_at.0).saturating_sub(1_000_000_000)).max(now)
    }

    /// A way down to an edge below it that has not passed everything.
    pub fn behind_downwards(&self, now: Time) -> Option<String> {
        let now = Now { time: now, wall: Wall::default() };
        self.process.as_ref().and_then(|process| process.tier.behind_downwards(now))
    }

    /// The oldest that is on disk.
    pub fn oldest_there(&self) -> Seq {
        self.process.as_ref().map_or(self.oldest, |process| process.storage.oldest())
    }

    /// Whether a process runs.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// The machine boots: its monotonic clock starts anew.
    pub fn reboot(&mut self, now: Time) {
        self.booted_at = now;
        self.boot = self.rng.u64(1..);
        self.disk.restart();
        self.archive_disk.restart();
    }

    /// Starts the process over its disk. False if it could not be, and should be tried again.
    pub fn start(&mut self, at: Time) -> bool {
        self.life += 1;
        if let Some(registrar) = &self.registrar {
            self.setup.directory = registrar.directory();
            self.setup.policy = site::policy(&self.setup.directory);
        }
        let now = self.now(at);
        self.open_vouched(at);
        let mutant = self.setup.mutant;
        let entropy = if mutant == Some(Mutant::EpochReused) { 7 } else { self.rng.u64(..) };
        let opened = Writer::<SimDisk, LogFold>::open(
            self.disk.clone(),
            self.setup.log.clone(),
            Entropy(entropy),
            now,
        );
        self.disk.take_cost();
        let (writer, mut recovered) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if self.disk.is_down() {
                    self.effects.push_back(Effect::Crashed);
                } else if self.troubled {
                    self.note(format!("host {} cannot start: {error}", self.setup.number));
                } else {
                    self.wrong(format!("host {} does not start: {error}", self.setup.number));
                }
                return false;
            }
        };
        for finding in &recovered.findings {
            self.note(format!("host {} found {finding:?}", self.setup.number));
            if self.is_wrong(finding) {
                self.wrong(format!("host {}: {finding:?} without injected damage", self.setup.number));
            }
        }
        if mutant == Some(Mutant::SessionsForgotten) {
            recovered.fold = LogFold::default();
        }
        let is_hub = matches!(self.setup.role, Role::Hub);
        if mutant == Some(Mutant::IdsInMemoryOnly) {
            recovered.fold.producers = Default::default();
        }
        if mutant == Some(Mutant::OutcomesForgotten) {
            recovered.fold.outcomes = Default::default();
        }
        let mut storage = Storage::new(self.disk.clone(), writer, &recovered, is_hub, mutant);
        self.log = Some(recovered.log);
        self.reconcile(&mut storage, &recovered);
        (self.answered, self.oldest) = (self.journal.next().prev(), recovered.oldest);
        // Nobody tells what was let go of while no process ran, or just before: the end is when that was.
        self.let_go.extend(self.ended.last().map(|ended| (*ended, recovered.oldest)));
        let retained = self.table.recover(&recovered, storage.reader());
        let Ok(archive) = self.open_archive(&recovered, &mut storage, at) else { return false };
        let pasts = self.count_past(&mut storage, recovered.next, at);
        let archived = match (&archive, self.setup.mutant) {
            (Some(shelf), mutant) if mutant != Some(Mutant::ArchiveUntold) => shelf.past(),
            _ => archive::Past::default(),
        };
        let (kept, memory) = (Kept { retained, pasts, archived }, self.setup.memory);
        self.disk.take_cost();
        let tier = match &self.setup.role {
            Role::Hub => {
                let hub =
                    site::hub(&recovered, &self.setup.directory, &self.setup.secret, (memory, kept), now);
                Tier::Hub(Box::new(hub))
            }
            Role::Edge(identity) => {
                let seeds = (self.boot, self.rng.u64(..));
                let secrets = (&self.setup.secret, &self.setup.hub_secret);
                let asks = self.vouched.as_ref().map(Vouched::ask_every);
                let log = (&recovered, self.setup.log.segment_bytes);
                let edge = site::edge(
                    log,
                    &self.setup.directory,
                    identity,
                    secrets,
                    seeds,
                    ((memory, kept), asks),
                    now,
                );
                Tier::Edge(Box::new(edge))
            }
        };
        self.note(format!(
            "host {} opened epoch {:x} at {} (oldest {})",
            self.setup.number, recovered.epoch.0, recovered.next.0, recovered.oldest.0
        ));
        if self.disk.is_down() {
            self.effects.push_back(Effect::Crashed);
            return false;
        }
        self.process = Some(Process {
            tier,
            storage,
            archive,
            doors: BTreeMap::new(),
            inbox: VecDeque::new(),
            inbox_due: false,
            storage_due: None,
            storage_turns: 0,
            busy_until: at,
            wake_at: None,
            spins: 0,
            next_connection: self.life << 32,
            outputs_left: None,
            stopping: false,
            over: false,
        });
        self.storage_soon(at);
        self.archive_soon(at);
        self.drain(at);
        true
    }

    /// The process ends at once. The sockets of its doors are what is left.
    pub fn end(&mut self, at: Time) -> Vec<usize> {
        self.life += 1;
        self.ended.push(at);
        self.held.opens(at);
        self.table.die();
        if let (Some(void), Some(opening)) = (self.void(), self.openings.last()) {
            self.void.push((opening.at, at, void));
        }
        if let Some(registrar) = &mut self.registrar {
            registrar.die(self.rng.bool());
        }
        let Some(process) = self.process.take() else { return Vec::new() };
        process.doors.values().map(|door| door.socket).collect()
    }

    /// How many publications the process says were addressed to nobody who is there.
    pub fn void(&self) -> Option<u64> {
        let void = self.process.as_ref()?.tier.instance().bus().statistics().counters.void;
        Some(match self.setup.mutant {
            Some(Mutant::VoidDoubled) => 2 * void,
            Some(Mutant::VoidUncounted) => void / 2,
            _ => void,
        })
    }

    /// From when to when each process ran, and how many it had counted: with the one that runs, up to now.
    pub fn voids(&self, running: Option<(Time, u64)>) -> Vec<(Time, Time, u64)> {
        let began = self.openings.last().map(|opening| opening.at);
        let runs = began.zip(running).map(|(began, (now, void))| (began, now, void));
        self.void.iter().copied().chain(runs).collect()
    }

    /// It dies after performing so many more outputs of its core.
    pub fn die_after(&mut self, outputs: u64) {
        if let Some(process) = &mut self.process {
            process.outputs_left = Some(outputs);
        }
    }

    fn note(&mut self, what: String) {
        self.effects.push_back(Effect::Note(what));
    }

    fn wrong(&mut self, what: String) {
        self.effects.push_back(Effect::Wrong(what));
    }

    fn later(&mut self, at: Time, later: Later) {
        self.effects.push_back(Effect::At(at, later));
    }

    /// A little while, drawn anew each time: threads and tasks do not switch in no time.
    fn moment(&mut self) -> Duration {
        Duration::from_nanos(self.rng.u64(500..60_000))
    }

    // Inputs.

    /// Something of the host's own has come to its time.
    pub fn happen(&mut self, later: Later, at: Time) {
        let now = self.now(at);
        match later {
            Later::Storage(turn) => self.storage_turn(turn, at),
            Later::Answers(answers) => {
                // A commit's answer comes before the next commit; a read's may come in between.
                if answers.iter().any(|answer| matches!(answer, Answer::Persisted(_))) {
                    self.answered = self.journal.next().prev();
                }
                for answer in answers {
                    if let Answer::Trimmed(oldest, ..) = &answer {
                        self.let_go.push((at, *oldest));
                        self.lets_go(*oldest);
                    }
                    self.answered(answer, now);
                }
                self.drain(at);
            }
            Later::Read(ticket, read) => {
                self.disk.take_cost();
                let Some(process) = &mut self.process else { return };
                if self.setup.mutant == Some(Mutant::ReadLost) && self.rng.u8(0..60) == 0 {
                    return;
                }
                let answers = process.storage.read(ticket, &read, now.time);
                if self.disk.is_down() || self.archive_disk.is_down() {
                    return self.effects.push_back(Effect::Crashed);
                }
                let cost = self.disk.take_cost();
                self.later(at.plus(cost), Later::Answers(answers));
            }
            Later::Count(rooms) => {
                self.disk.take_cost();
                let Some(process) = &mut self.process else { return };
                let pasts = process.storage.count(&rooms);
                let cost = self.disk.take_cost();
                self.later(at.plus(cost), Later::Answers(vec![Answer::Pasts(pasts)]));
            }
            Later::Archive(turn) => self.archive_step(turn, at),
            Later::Archived(rooms) => self.archived(rooms, at),
            Later::ArchiveOpened(spans) => {
                self.rooms(RoomsInput::ArchiveOpened(spans), now);
                self.drain(at);
            }
            Later::Inbox => self.take_inbox(at),
            Later::Wake(armed) => self.wake(armed, at),
            Later::Verified(connection, ticket, verdict) => {
                self.input(Input::Instance(InstanceInput::Verified { connection, ticket, verdict }), now);
                self.drain(at);
            }
            Later::AccountsSaved => self.accounts_saved(at),
            Later::Vouched(look) => self.look_vouched(look, at),
            Later::Tells(connection) => self.tells(connection, at),
            Later::DoorWake(connection, armed) => self.door_wake(connection, armed, at),
            Later::SaveBegins => {
                self.table.begin();
                self.later(at.plus(self.disk.sync_takes()), Later::SaveEnds);
            }
            Later::SaveEnds => {
                let (clean, more) = self.table.end(self.disk.is_failing());
                if let Some(process) = self.process.as_mut().filter(|_| clean) {
                    process.storage.hold_for_views(None);
                }
                if more {
                    self.later(at.plus(SAVE_EVERY), Later::SaveBegins);
                }
            }
            Later::StopNow => self.effects.push_back(Effect::Stopped),
            Later::ClockStepped(by_ms) => {
                if let Some(process) = &mut self.process {
                    process.tier.clock_stepped(by_ms, now);
                }
                self.drain(at);
            }
        }
    }

    fn input(&mut self, input: Input<std::convert::Infallible>, now: Now) {
        if let Some(process) = &mut self.process {
            process.tier.handle(input, now);
        }
    }

    fn rooms(&mut self, input: RoomsInput, now: Now) {
        self.input(Input::Instance(InstanceInput::Rooms(input)), now);
    }

    fn answered(&mut self, answer: Answer, now: Now) {
        match answer {
            Answer::Persisted(ticket) => self.rooms(RoomsInput::Persisted { ticket }, now),
            Answer::Failed(ticket, code) => {
                self.refused = true;
                self.rooms(RoomsInput::Failed { ticket, code }, now);
            }
            Answer::Read(ticket, Selected { chunk, .. }) if ticket & FOR_LINK != 0 => {
                self.input(Input::ReadForLink { ticket: ticket & !FOR_LINK, chunk }, now);
            }
            Answer::Read(ticket, found) => self.rooms(RoomsInput::Read { ticket, found }, now),
            Answer::Routes(routes) => self.rooms(RoomsInput::ArchivedRoutes(routes), now),
            Answer::Pasts(pasts) => self.rooms(RoomsInput::Pasts(pasts), now),
            Answer::Trimmed(oldest, oldest_at, gaps) => {
                self.oldest = oldest;
                self.input(Input::Lost(gaps.clone()), now);
                self.rooms(RoomsInput::Trimmed { oldest, oldest_at, gaps }, now);
            }
        }
    }

    /// A frame or an end of a link, as the core takes it.
    pub fn edge_link(&mut self, input: riser_edge_core::LinkInput, at: Time) {
        let now = self.now(at);
        if let Some(process) = &mut self.process {
            process.tier.edge_link(input, now);
        }
        self.drain(at);
    }

    /// The same at the hub.
    pub fn hub_link(&mut self, input: riser_ingest::LinkInput, at: Time) {
        let now = self.now(at);
        if let Some(process) = &mut self.process {
            process.tier.hub_link(input, now);
        }
        self.drain(at);
    }

    /// Goes down on purpose.
    pub fn shut_down(&mut self, at: Time) {
        let now = self.now(at);
        if let Some(process) = &mut self.process {
            process.stopping = true;
        }
        self.input(Input::Shutdown, now);
        self.later(at.plus(Duration::from_secs(8)), Later::StopNow);
        self.drain(at);
    }

    /// What was ordered is stored, at the end of a shutdown.
    pub fn finish(&mut self, at: Time) {
        let now = self.now(at);
        if let Some(process) = &mut self.process {
            process.storage.finish(now, &mut self.journal);
            self.commits.push((at, self.journal.next().prev()));
        }
        if !self.disk.is_down() && !self.disk.is_failing() {
            self.table.finish();
        }
        self.disk.take_cost();
    }
}
