//! A hub of a [`Pair`](super::Pair): a reference log as simple as can be, and the process over it.

use super::{
    edge::{identity, linked_route},
    ledger::Payload,
};
use crate::{
    Key, Present, Receivers, Registered,
    receivers::{Config, Ingest, Input, LIMITS, Others, Output},
};
use riser_model::{
    AccountId, Cause, ClientId, ConnectionId, CursorKey, CursorValue, Epoch, EpochSpan, Gap, LogId, Now,
    RouteNumber, Seq, Time, Wall,
};
use riser_wire::entry::{Body, Publication};
use riser_wire::link::{Above, Bytes, Definitions, Item, items::numbered};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use uuid::Uuid;

/// An entry in a hub's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Where it came from.
    pub log: LogId,
    /// Its epoch there.
    pub epoch: Epoch,
    /// Its seq there.
    pub seq: Seq,
    /// What it says.
    pub payload: Payload,
    /// Its stamp by the hub's clock.
    pub wall: Wall,
}

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub struct HubDisk {
    /// Its epochs.
    pub chain: Vec<EpochSpan>,
    /// Entries, in their order.
    pub entries: Vec<Stored>,
    /// Gaps of edges' logs.
    pub gaps: Vec<(LogId, Epoch, Gap)>,
    /// Skips of edges' logs.
    pub skips: Vec<(LogId, Epoch, Seq, Seq)>,
    /// Cursors, as of the last commit.
    pub cursors: BTreeMap<CursorKey, CursorValue>,
}

/// What a hub does with an entry that it may not place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Poison {
    /// Takes it into quarantine: it is stored.
    Quarantine,
    /// Quarantine is full: a gap.
    Refuse,
}

/// An entry as whoever sends it on puts it into its own log.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) place: (LogId, Epoch),
    pub(super) seq: Seq,
    pub(super) payload: Option<Payload>,
    pub(super) crc: u32,
    pub(super) body: Bytes,
}

/// A machine that is a hub.
#[derive(Debug)]
pub struct HubHost {
    /// What survives.
    pub disk: HubDisk,
    /// Payload numbers that it may not place.
    pub poison: BTreeMap<u64, Poison>,
    /// Whether commits fail.
    pub failing: bool,
    /// Edges that it does not know.
    pub revoked: BTreeSet<u8>,
    /// Whether what it takes goes on from here.
    pub relays: bool,
    /// What the last commit took, for who sends it on.
    pub(super) taken: Vec<Taken>,
    /// What came beside a backlog, for who sends it on.
    pub(super) presents: Vec<Present>,
    /// Newest values that came beside the backlog: payload and when.
    pub latest: Vec<(Payload, Now)>,
    pub(super) key: u8,
    pub(super) generation: u64,
    log: LogId,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    receivers: Receivers,
    queue: VecDeque<Ingest>,
    committing: bool,
    /// What follows a failed commit on its connection fails too.
    failed: BTreeSet<ConnectionId>,
    routes: BTreeMap<ConnectionId, BTreeSet<RouteNumber>>,
    origins: BTreeMap<ConnectionId, BTreeMap<u32, (LogId, Epoch)>>,
}

impl HubHost {
    pub(super) fn new(key: u8, log: u64) -> Self {
        Self {
            disk: HubDisk::default(),
            poison: BTreeMap::new(),
            failing: false,
            revoked: BTreeSet::new(),
            relays: false,
            taken: Vec::new(),
            presents: Vec::new(),
            latest: Vec::new(),
            key,
            generation: 0,
            log: LogId(log),
            process: None,
        }
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.process.as_ref().map_or(0, |process| process.receivers.connections())
    }

    pub(super) fn start(&mut self, epoch: u64) {
        if self.process.is_some() {
            return;
        }
        self.generation += 1;
        let first = Seq(self.disk.entries.len() as u64 + 1);
        self.disk.chain.push(EpochSpan { epoch: Epoch(epoch), first, last: first.prev() });
        let config = Config {
            key: Key::from_secret(&[self.key; 32]),
            log: self.log,
            chain: self.disk.chain.clone(),
            limits: LIMITS,
            others: if self.relays { Others::Relayed } else { Others::All },
            cursors_max: usize::MAX,
        };
        let mut receivers = Receivers::new(config, self.disk.cursors.clone());
        if self.relays {
            // Somebody is above, though it is not known yet who.
            let above = Above { hops: 1, logs: Vec::new() };
            receivers.handle(Input::Above(above), Now::default());
        }
        let (queue, routes, failed) = (VecDeque::new(), BTreeMap::new(), BTreeSet::new());
        let origins = BTreeMap::new();
        self.process = Some(Process { receivers, queue, committing: false, failed, routes, origins });
    }

    pub(super) fn crash(&mut self) {
        self.process = None;
        self.taken.clear();
        self.generation += 1;
    }

    pub(super) fn handle(&mut self, input: Input, now: Now) -> Vec<Output> {
        let Some(process) = &mut self.process else { return Vec::new() };
        process.receivers.handle(input, now);
        std::iter::from_fn(|| process.receivers.poll()).collect()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.process.as_ref()?.receivers.poll_timeout().map(|(at, _)| at)
    }

    pub(super) fn directory(&self, edge: ClientId) -> Option<Registered> {
        let number = *edge.0.as_bytes().first()?;
        let (client, key) = identity(number);
        let known = client == edge && !self.revoked.contains(&number);
        known.then(|| Registered {
            key: key.public(),
            name: format!("edge-{number}").parse().expect("edge- and a number is a name"),
            account: AccountId(Uuid::nil()),
            relays: true,
        })
    }

    /// Queues a commit; whether it was there to take it.
    pub(super) fn enqueue(&mut self, ingest: Ingest) -> bool {
        let Some(process) = &mut self.process else { return false };
        let routes = process.routes.entry(ingest.connection).or_default();
        define(routes, &ingest.definitions);
        let origins = process.origins.entry(ingest.connection).or_default();
        if ingest.definitions.forget {
            origins.clear();
        }
        origins.extend(ingest.definitions.origins.iter().copied());
        for item in &ingest.items {
            if let Item::Entries { first, frames, .. } = item {
                for entry in numbered(*first, frames) {
                    let (seq, frame) = entry.expect("receivers checked every frame");
                    let known = payload_of(frame.body).is_none() || routes.contains(&frame.route);
                    assert!(known, "route of {seq} is not defined");
                }
            }
        }
        process.queue.push_back(ingest);
        true
    }

    pub(super) fn latest(
        &mut self,
        (connection, log, epoch): (ConnectionId, LogId, Epoch),
        items: &[Item],
        definitions: &Definitions,
        now: Now,
    ) {
        let Some(process) = &mut self.process else { return };
        define(process.routes.entry(connection).or_default(), definitions);
        let origins = process.origins.entry(connection).or_default();
        if definitions.forget {
            origins.clear();
        }
        origins.extend(definitions.origins.iter().copied());
        for item in items {
            if let Item::Entries { first, frames, .. } = item {
                for (seq, frame) in numbered(*first, frames).map_while(Result::ok) {
                    let origin = frame.origin.and_then(|o| Some((*origins.get(&o.number)?, o.seq)));
                    let ((log, epoch), seq) = origin.unwrap_or(((log, epoch), seq));
                    let (crc, body) = (frame.crc, frames.slice_ref(frame.body));
                    let (wall, route) = (now.wall, linked_route());
                    self.presents.push(Present { log, epoch, seq, wall, route, crc, body });
                    self.latest.extend(payload_of(frame.body).map(|payload| (payload, now)));
                }
            }
        }
    }

    pub(super) fn commit_due(&mut self) -> Option<u64> {
        let process = self.process.as_mut()?;
        let due = !process.committing && !process.queue.is_empty();
        process.committing |= due;
        due.then_some(self.generation)
    }

    /// One commit: entries, gaps and cursors, all or nothing.
    pub(super) fn commit(&mut self) -> Option<Input> {
        let process = self.process.as_mut()?;
        process.committing = false;
        let ingest = process.queue.pop_front()?;
        if self.failing || process.failed.contains(&ingest.connection) {
            process.failed.insert(ingest.connection);
            return Some(Input::Failed { token: ingest.token });
        }
        let (log, epoch) = (ingest.log, ingest.epoch);
        let mut refused = Vec::new();
        for item in &ingest.items {
            match item {
                Item::Gap(gap) => self.disk.gaps.push((log, epoch, *gap)),
                Item::Skip { from, to } => self.disk.skips.push((log, epoch, *from, *to)),
                Item::Entries { first, frames, .. } => {
                    for entry in numbered(*first, frames) {
                        let (seq, frame) = entry.expect("receivers checked every frame");
                        let origins = process.origins.get(&ingest.connection);
                        let origin = frame
                            .origin
                            .and_then(|origin| Some((*origins?.get(&origin.number)?, origin.seq)));
                        let ((log, epoch), seq) = origin.unwrap_or(((log, epoch), seq));
                        let payload = payload_of(frame.body);
                        if self.relays {
                            let (crc, body) = (frame.crc, frames.slice_ref(frame.body));
                            self.taken.push(Taken { place: (log, epoch), seq, payload, crc, body });
                        }
                        let Some(payload) = payload else {
                            assert!(self.relays, "only who sends them on keeps seqs that are no entries");
                            continue;
                        };
                        if self.poison.get(&payload.n) == Some(&Poison::Refuse) {
                            refused.push(Gap { from: seq, to: seq, cause: Cause::Refused });
                            continue;
                        }
                        let stamp = Body::read(frame.body).expect("an entry of this pair").stamp;
                        let wall = ingest.clock.corrected(stamp).wall;
                        self.disk.entries.push(Stored { log, epoch, seq, payload, wall });
                    }
                }
            }
        }
        self.disk.gaps.extend(refused.iter().map(|gap| (log, epoch, *gap)));
        for (key, value) in &ingest.cursors {
            match value {
                Some(value) => drop(self.disk.cursors.insert(*key, *value)),
                None => drop(self.disk.cursors.remove(key)),
            }
        }
        Some(Input::Ingested { token: ingest.token, refused })
    }
}

fn define(routes: &mut BTreeSet<RouteNumber>, definitions: &Definitions) {
    if definitions.forget {
        routes.clear();
    }
    routes.extend(definitions.routes.iter().map(|(number, _)| *number));
}

fn payload_of(body: &[u8]) -> Option<Payload> {
    let body = Body::read(body).ok()?;
    Payload::read(Publication::read(&body).ok()?.payload)
}
