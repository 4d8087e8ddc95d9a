//! An edge of a [`Pair`](super::Pair): a reference log as simple as can be, and the process over it.

use super::{
    hub::Taken,
    ledger::{self, Payload},
};
use crate::{
    Key, Sender, Status, Tally,
    sender::{Config, Input, Opened, Output, Way},
};
use riser_model::{
    BootId, Cause, Chunk, ClientId, CursorKey, CursorValue, Epoch, EpochSpan, Gap, HubIdentity, LogId, Now,
    PublicKey, RoomId, Route, RouteNumber, Run, Seq, Time, time::Anchor,
};
use riser_wire::entry::{ContentType, Frame, Kind, Origin, Publication, write_frame};
use riser_wire::link::{Bytes, Opening};
use std::sync::Arc;
use uuid::Uuid;

/// What survives a crash. Clone it for an image, assign it for a restore.
#[derive(Clone, Debug)]
pub struct EdgeDisk {
    /// The log's id.
    pub log: LogId,
    /// Its epochs.
    pub chain: Vec<Opening>,
    /// Every entry there ever was in this lineage: what it says, and its frame. Seqs begin at 1.
    pub entries: Vec<(Payload, Bytes)>,
    /// Everything up to here was dropped.
    pub floor: Seq,
    /// What of it was dropped before a hub had it.
    pub gaps: Vec<Gap>,
    /// What its numbers of logs below mean, from 1.
    pub origins: Vec<(LogId, Epoch)>,
    /// The saved cursor: of the hub that was met last.
    pub cursor: Option<(HubIdentity, CursorValue)>,
    /// Those of former parents.
    pub former: Vec<(HubIdentity, CursorValue)>,
}

impl EdgeDisk {
    pub(super) fn new(log: u64) -> Self {
        Self {
            log: LogId(log),
            chain: Vec::new(),
            entries: Vec::new(),
            floor: Seq::ZERO,
            gaps: Vec::new(),
            origins: Vec::new(),
            cursor: None,
            former: Vec::new(),
        }
    }

    /// The newest seq.
    pub fn last(&self) -> Seq {
        Seq(self.entries.len() as u64)
    }

    /// The epoch of a seq.
    pub fn epoch(&self, seq: Seq) -> Epoch {
        self.chain.iter().rev().find(|o| o.span.first <= seq).map(|o| o.span.epoch).unwrap_or_default()
    }

    pub(super) fn read(&self, from: Seq, bytes_max: u32) -> Chunk {
        let mut runs = Vec::new();
        let mut next = from;
        if next <= self.floor {
            let unsynced = self.gaps.iter().find(|gap| gap.to >= next);
            match unsynced {
                Some(gap) if gap.from <= next => runs.push(Run::Gap(Gap { from: next, ..*gap })),
                Some(gap) => {
                    runs.push(Run::Gap(Gap { from: next, to: gap.from.prev(), cause: Cause::Retention }));
                }
                None => runs.push(Run::Gap(Gap { from: next, to: self.floor, cause: Cause::Retention })),
            }
            if let Some(Run::Gap(gap)) = runs.last() {
                next = gap.to.next();
            }
            return Chunk { runs, next };
        }
        let (mut frames, mut count) = (Vec::new(), 0);
        let epoch = self.epoch(next);
        let first = next;
        for (_, frame) in self.entries.iter().skip(usize::try_from(next.0 - 1).unwrap_or(usize::MAX)) {
            if frames.len() >= bytes_max as usize || self.epoch(next) != epoch {
                break;
            }
            frames.extend_from_slice(frame);
            count += 1;
            next = next.next();
        }
        if count > 0 {
            runs.push(Run::Entries { first, count, epoch, entries: frames.into() });
        }
        Chunk { runs, next }
    }

    /// Drops everything up to `through`; the gaps this makes for the slowest hub.
    pub(super) fn drop_oldest(&mut self, through: Seq) -> Vec<Gap> {
        let through = through.min(self.last());
        let synced = self.cursor.map_or(Seq::ZERO, |(_, cursor)| cursor.through);
        let from = self.floor.max(synced).next();
        self.floor = self.floor.max(through);
        if from > through {
            return Vec::new();
        }
        let gap = Gap { from, to: through, cause: Cause::Quota };
        self.gaps.push(gap);
        vec![gap]
    }
}

/// A machine that is an edge.
#[derive(Debug)]
pub struct EdgeHost {
    /// What survives.
    pub disk: EdgeDisk,
    /// The hub whose address it dials.
    pub address: usize,
    /// The payload of each entry that this host ever committed under its present lineage or an earlier one.
    pub accepted: Vec<Payload>,
    /// What it does when its log is called forked.
    pub on_fork: OnFork,
    /// How far its wall clock is off.
    pub wall_off_ms: i64,
    /// Whether it waits for what former parents have.
    pub waits: bool,
    /// Whether it sends down: then the other host dials.
    pub(super) sends_down: bool,
    pub(super) generation: u64,
    identity: u8,
    pinned: u8,
    boot: u64,
    published: u64,
    process: Option<Process>,
}

/// What becomes of a log that is called forked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFork {
    /// What was not delivered gets a new epoch's name.
    Relabel,
    /// It is opened anew: a new epoch begins at its end.
    Reopen,
    /// Nothing, for now.
    Wait,
}

#[derive(Debug)]
struct Process {
    sender: Sender,
    waiting: Vec<(Payload, Bytes)>,
    committing: bool,
    rides: Option<(HubIdentity, CursorValue)>,
    /// What rides does not wait for entries.
    hurried: bool,
}

const LINKED: RouteNumber = RouteNumber(0);
const LOCAL: RouteNumber = RouteNumber(1);

/// The hub whose cursor it is; that of a downlink is nobody's here.
fn hub_of(key: CursorKey) -> HubIdentity {
    match key {
        CursorKey::Uplink(hub) | CursorKey::Former(hub) => hub,
        CursorKey::Downlink(_) | CursorKey::Ingest(..) | CursorKey::Relayed(..) => {
            HubIdentity { key: PublicKey([0; 32]), log: LogId(0) }
        }
    }
}

/// The channel of a linked room.
pub(super) fn linked_route() -> Arc<Route> {
    let channel = "a/b".parse().expect("a/b is a channel");
    let client = ClientId(Uuid::nil());
    Arc::new(Route { room: RoomId(Uuid::from_bytes([LINKED.0 as u8; 16])), channel, client })
}

/// The id and the key of an edge by its number.
pub(super) fn identity(number: u8) -> (ClientId, Key) {
    (ClientId(Uuid::from_bytes([number; 16])), Key::from_secret(&[number; 32]))
}

impl EdgeHost {
    pub(super) fn client(&self) -> ClientId {
        identity(self.identity).0
    }

    pub(super) fn new(identity: u8, disk: EdgeDisk, address: usize, pinned: u8) -> Self {
        Self {
            disk,
            address,
            accepted: Vec::new(),
            on_fork: OnFork::Relabel,
            wall_off_ms: 0,
            waits: true,
            sends_down: false,
            generation: 0,
            identity,
            pinned,
            boot: 0,
            published: 0,
            process: None,
        }
    }

    pub(super) fn link_to(&mut self, hub: usize, pinned: u8) {
        (self.address, self.pinned) = (hub, pinned);
    }

    /// The machine's clone: the same disk, the same identity, not running.
    pub fn image(&self) -> Self {
        let mut image = Self::new(self.identity, self.disk.clone(), self.address, self.pinned);
        image.published = self.published + 1_000_000;
        image.boot = self.boot + 1000;
        image.sends_down = self.sends_down;
        image
    }

    fn key(&self, hub: HubIdentity) -> CursorKey {
        if self.sends_down { CursorKey::Downlink(self.client()) } else { CursorKey::Uplink(hub) }
    }

    /// The sender, while it runs.
    pub fn sender(&self) -> Option<&Sender> {
        self.process.as_ref().map(|process| &process.sender)
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// The link's state; none while it is down.
    pub fn status(&self, now: Now) -> Option<Status> {
        self.process.as_ref().map(|process| process.sender.status(now))
    }

    /// The equation; empty while it is down.
    pub fn tallies(&self) -> Vec<(Epoch, Tally)> {
        self.process.iter().flat_map(|process| process.sender.tallies()).collect()
    }

    /// Whether the hub has everything.
    pub fn drained(&self, now: Now) -> bool {
        let Some(process) = &self.process else { return false };
        let status = process.sender.status(now);
        process.waiting.is_empty() && status.welcomed && status.last_synced >= self.disk.last()
    }

    /// An image of the running machine: its disk, and what the process knows beyond it.
    pub fn snapshot(&self) -> EdgeDisk {
        let mut disk = self.disk.clone();
        if let Some((key, value)) = self.process.as_ref().and_then(|p| p.sender.cursor()) {
            disk.cursor = Some((hub_of(key), value));
        }
        disk
    }

    /// Goes back to a snapshot without a restart, as a virtual machine does: the process keeps its epoch.
    pub fn rewind(&mut self, disk: EdgeDisk, now: Now) {
        self.disk = disk;
        self.generation += 1;
        self.open(now);
    }

    pub(super) fn start(&mut self, epoch: u64, now: Now) {
        if self.process.is_some() {
            return;
        }
        self.boot += 1;
        self.generation += 1;
        let first = self.disk.last().next();
        if let Some(before) = self.disk.chain.last_mut() {
            before.span.last = first.prev();
        }
        let span = EpochSpan { epoch: Epoch(epoch), first, last: first.prev() };
        self.disk.chain.push(Opening { span, anchor: None });
        self.open(now);
    }

    fn open(&mut self, now: Now) {
        let (edge, key) = identity(self.identity);
        let hub = Key::from_secret(&[self.pinned; 32]).public();
        let last = self.disk.last();
        if let Some(live) = self.disk.chain.last_mut() {
            live.span.last = last;
        }
        self.remember_former(hub);
        let opened = Opened {
            log: self.disk.log,
            boot: BootId(self.boot),
            chain: self.disk.chain.clone(),
            cursors: self.cursors(),
            gaps: self.disk.gaps.clone(),
        };
        let way = if self.sends_down { Way::Down } else { Way::Up { key, hub } };
        let config = Config { edge, way, seed: self.generation, waits: self.waits };
        let mut sender = Sender::new(config, opened, now);
        // A downlink is not told what it does not carry.
        let routes =
            [(LINKED, true), (LOCAL, false)].into_iter().filter(|(_, linked)| *linked || !self.sends_down);
        for (number, linked) in routes {
            let room = RoomId(Uuid::from_bytes([number.0 as u8; 16]));
            let channel = "a/b".parse().expect("a/b is a channel");
            let route = Arc::new(Route { room, channel, client: edge });
            sender.handle(Input::Route { number, route, linked }, now);
        }
        for (number, (log, epoch)) in (1..).zip(self.disk.origins.iter().copied()) {
            sender.handle(Input::Origin { number, log, epoch, carried: true }, now);
        }
        self.process =
            Some(Process { sender, waiting: Vec::new(), committing: false, rides: None, hurried: false });
    }

    /// The hub that was met last is a former parent of one that is moved; not if nobody was above it.
    fn remember_former(&mut self, pinned: PublicKey) {
        if self.sends_down {
            return;
        }
        let is_other = |(hub, _): &(HubIdentity, CursorValue)| hub.key != pinned;
        self.disk.former.extend(self.disk.cursor.take_if(|cursor| is_other(cursor)));
        self.disk.former.retain(|former| is_other(former) && former.1.gapped == 0);
    }

    fn cursors(&self) -> Vec<(CursorKey, CursorValue)> {
        let own = self.disk.cursor.map(|(hub, value)| (self.key(hub), value));
        let former = self.disk.former.iter().map(|(hub, value)| (CursorKey::Former(*hub), *value));
        own.into_iter().chain(former).collect()
    }

    pub(super) fn crash(&mut self) {
        self.process = None;
        self.generation += 1;
    }

    pub(super) fn handle(&mut self, input: Input, now: Now) -> Vec<Output> {
        let now = self.clock(now);
        let Some(process) = &mut self.process else { return Vec::new() };
        process.sender.handle(input, now);
        for (epoch, tally) in process.sender.tallies() {
            assert!(tally.holds(), "equation of {epoch}: {tally:?}");
        }
        std::iter::from_fn(|| process.sender.poll()).collect()
    }

    fn clock(&self, now: Now) -> Now {
        Now { wall: riser_model::Wall(now.wall.0 + self.wall_off_ms), ..now }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.process.as_ref()?.sender.poll_timeout().map(|(at, _)| at)
    }

    pub(super) fn publish(&mut self, linked: bool, now: Now) {
        let now = self.clock(now);
        let Some(process) = &mut self.process else { return };
        self.published += 1;
        let payload = Payload { host: self.identity, n: self.published, linked };
        let mut frame = Vec::new();
        let (route, bytes) = (if linked { LINKED } else { LOCAL }, ledger::bytes_of(payload));
        Publication::new(ContentType::Octets, &bytes).write_frame(&mut frame, route, now.stamp());
        process.waiting.push((payload, frame.into()));
    }

    pub(super) fn canary(&mut self, now: Now) {
        self.system(Kind::Canary, now);
    }

    pub(super) fn anchor(&mut self, anchor: Anchor, now: Now) {
        if let Some(live) = self.disk.chain.last_mut() {
            live.anchor = Some(anchor);
        }
        self.system(Kind::Anchor, now);
    }

    fn system(&mut self, kind: Kind, now: Now) {
        let Some(process) = &mut self.process else { return };
        let mut frame = Vec::new();
        write_frame(&mut frame, RouteNumber(u32::MAX), kind, 0, now.stamp(), |_| {});
        process.waiting.push((Payload { host: self.identity, n: 0, linked: false }, frame.into()));
    }

    pub(super) fn moved(&mut self, key: CursorKey, value: CursorValue, at_once: bool) {
        if let Some(process) = &mut self.process {
            process.rides = Some((hub_of(key), value));
            process.hurried |= at_once;
        }
    }

    pub(super) fn commit_due(&mut self) -> Option<u64> {
        let process = self.process.as_mut()?;
        let due = !process.committing && (process.hurried || !process.waiting.is_empty());
        process.committing |= due;
        due.then_some(self.generation)
    }

    pub(super) fn commit(&mut self) -> Option<Input> {
        let process = self.process.as_mut()?;
        process.committing = false;
        process.hurried = false;
        let first = self.disk.last().next();
        let mut entries = Vec::new();
        for (payload, frame) in process.waiting.drain(..) {
            entries.extend_from_slice(&frame);
            self.accepted.push(payload);
            self.disk.entries.push((payload, frame));
        }
        self.disk.cursor = process.rides.take().or(self.disk.cursor);
        let last = self.disk.last();
        if let Some(live) = self.disk.chain.last_mut() {
            live.span.last = last;
        }
        (last >= first).then(|| Input::Added { first, last, entries: entries.into() })
    }

    /// What a link below brought is committed here. Its stamp stays as it is.
    pub(super) fn relay(&mut self, taken: Vec<Taken>, now: Now) -> Option<Input> {
        let first = self.disk.last().next();
        let mut entries = Vec::new();
        for Taken { place, seq, payload, crc, body } in taken {
            let known = self.disk.origins.iter().position(|known| *known == place);
            let at = known.unwrap_or_else(|| {
                self.disk.origins.push(place);
                self.disk.origins.len() - 1
            });
            let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
            if known.is_none()
                && let Some(process) = &mut self.process
            {
                let (log, epoch) = place;
                process.sender.handle(Input::Origin { number, log, epoch, carried: true }, now);
            }
            let route = if payload.is_some() { LINKED } else { RouteNumber::NONE };
            let origin = Some(Origin { number, seq, wall: now.wall, uncertain: false });
            let mut frame = Vec::new();
            Frame { route, origin, crc, body: &body }.write(&mut frame);
            entries.extend_from_slice(&frame);
            // It is not this host's to account for.
            let payload = payload.unwrap_or(Payload { host: self.identity, n: 0, linked: false });
            self.disk.entries.push((Payload { linked: false, ..payload }, frame.into()));
        }
        let last = self.disk.last();
        if let Some(live) = self.disk.chain.last_mut() {
            live.span.last = last;
        }
        (last >= first).then(|| Input::Added { first, last, entries: entries.into() })
    }

    /// A new epoch in the running process, whose name everything from `from` on carries.
    pub(super) fn reopen(&mut self, epoch: u64, from: Seq) -> Input {
        let last = self.disk.last();
        self.disk.chain.retain(|opening| opening.span.first < from);
        if let Some(before) = self.disk.chain.last_mut() {
            before.span.last = from.prev();
        }
        let span = EpochSpan { epoch: Epoch(epoch), first: from, last };
        self.disk.chain.push(Opening { span, anchor: None });
        Input::Reopened(self.disk.chain.clone())
    }
}
