//! The edge's end of an uplink's way down: what its hub sends becomes entries of this log, in one commit with the
//! cursor that remembers it.
//!
//! It owns the taking machine and what the hub's numbers mean on this connection. What always holds: an entry goes where
//! its route says, or nowhere: a room that this edge does not have is refused, and the hub is told. What cannot be
//! committed stops the way down alone: the way up goes on, and after a while the edge says again that it is ready.
//!
//! One input, then [`Downlink::poll`] until it is empty, then the next.

use bytes::{Bytes, BytesMut};
use riser_link::{
    Receivers, Registered,
    receivers::{Ingest as LinkIngest, Input as ReceiversInput, Output as ReceiversOutput, Progress},
};
use riser_model::{
    AccountId, Cause, ClientId, ConnectionId, Epoch, Gap, LogId, Now, PublicKey, RoomId, Route, RouteNumber,
    Run, Seq, Time, event::SystemEvent,
};
use riser_rooms::Ingest;
use riser_wire::{
    entry::{Body, Frame, Kind, frames, set_route},
    link::{Definitions, DownAnswer, DownFrame, EdgeFrame, Item, Refused, RefusedCode},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// After what could not be committed.
const READY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The rooms that the link carries, and whose entries are here without it.
pub(crate) type Site<'a> = (&'a BTreeSet<RoomId>, &'a dyn Fn(LogId, Epoch, Seq) -> bool);

/// What happens to a downlink.
#[derive(Debug)]
pub(crate) enum Input {
    /// The hub welcomed the uplink.
    LinkUp,
    /// The uplink's connection is over.
    LinkDown,
    /// The hub says something of the way down.
    Frame(DownFrame),
    /// The commit of [`Output::Place`] returned, or failed.
    Placed { token: u64, durable: bool },
    /// The deadline that [`Downlink::poll_timeout`] named has come.
    Deadline,
}

/// What a downlink wants done.
#[derive(Debug)]
pub(crate) enum Output {
    /// Say this to the hub.
    Say(DownAnswer),
    /// Commit this. Answered by `Placed` with its token.
    Place(Box<Ingest>),
    /// The hub no longer has what was meant for this edge.
    Missing(Gap),
}

/// One uplink's way down.
#[derive(Debug)]
pub struct Downlink {
    receivers: Receivers,
    hub: Registered,
    edge: ClientId,
    /// What the hub's numbers mean on this connection.
    routes: BTreeMap<RouteNumber, Route>,
    origins: BTreeMap<u32, (LogId, Epoch)>,
    /// Rises with every Hello.
    connection: ConnectionId,
    is_up: bool,
    asked: Option<Now>,
    again_at: Option<Time>,
    /// What of an outstanding commit was refused.
    refused: BTreeMap<u64, Vec<Gap>>,
    counted: Counted,
    outputs: VecDeque<Output>,
}

/// What came down since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Entries that were given to the log.
    pub entries: u64,
    /// Entries for rooms that are not here.
    pub refused: u64,
    /// Seqs that the hub no longer had.
    pub missing: u64,
    /// Entries that came from this edge or from below it, and were dropped.
    pub returned: u64,
}

impl Downlink {
    /// The way down from the hub with that key to this edge; see `Receivers::of_downlink`.
    pub fn new(receivers: Receivers, hub: PublicKey, edge: ClientId) -> Self {
        // Nobody is asked who the hub is: its key is pinned, and the uplink's handshake has shown it.
        let name = "hub".parse().expect("three letters are a name");
        let account = AccountId(hub.client().0);
        Self {
            receivers,
            hub: Registered { key: hub, name, account, relays: true },
            edge,
            routes: BTreeMap::new(),
            origins: BTreeMap::new(),
            connection: ConnectionId(0),
            is_up: false,
            asked: None,
            again_at: None,
            refused: BTreeMap::new(),
            counted: Counted::default(),
            outputs: VecDeque::new(),
        }
    }

    /// How far the hub's log was taken, in its seqs, and what was heard of.
    pub fn progress(&self) -> Progress {
        self.receivers.progress(self.hub.key.client())
    }

    /// What came down since the start.
    pub fn counted(&self) -> Counted {
        self.counted
    }

    pub(crate) fn handle(&mut self, input: Input, site: Site<'_>, now: Now) {
        match input {
            Input::LinkUp => {
                self.is_up = true;
                self.ready(now);
            }
            Input::LinkDown => {
                (self.is_up, self.asked, self.again_at) = (false, None, None);
                self.receivers.handle(ReceiversInput::Closed { connection: self.connection }, now);
            }
            Input::Frame(DownFrame::Hello(hello)) => self.greeted(hello, now),
            Input::Frame(DownFrame::Batch(batch)) => {
                let frame = EdgeFrame::Batch(batch);
                self.receivers.handle(ReceiversInput::Frame { connection: self.connection, frame }, now);
            }
            Input::Placed { token, durable: true } => {
                let refused = self.refused.remove(&token).unwrap_or_default();
                self.receivers.handle(ReceiversInput::Ingested { token, refused }, now);
            }
            Input::Placed { token, durable: false } => {
                self.refused.remove(&token);
                self.receivers.handle(ReceiversInput::Failed { token }, now);
            }
            Input::Deadline => {
                if self.again_at.is_some_and(|at| at <= now.time) {
                    self.ready(now);
                }
            }
        }
        while let Some(output) = self.receivers.poll() {
            self.said(output, site, now);
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.again_at
    }

    fn ready(&mut self, now: Now) {
        (self.asked, self.again_at) = (Some(now), None);
        self.outputs.push_back(Output::Say(DownAnswer::Ready));
    }

    fn greeted(&mut self, mut hello: Box<riser_wire::link::Hello>, now: Now) {
        let Some(asked) = self.asked.filter(|_| self.is_up) else { return };
        if hello.edge != self.edge {
            let refused = Refused {
                code: RefusedCode::NotAuthorised,
                what: "a hello for another edge".into(),
                want: "this edge's id".into(),
                after_ms: None,
            };
            return self.outputs.push_back(Output::Say(DownAnswer::Refused(refused)));
        }
        hello.edge = self.hub.key.client();
        self.connection = ConnectionId(self.connection.0.saturating_add(1));
        (self.routes, self.origins) = (BTreeMap::new(), BTreeMap::new());
        let (connection, from) = (self.connection, self.hub.clone());
        self.receivers.handle(ReceiversInput::Greeted { connection, hello, from, asked }, now);
    }

    fn said(&mut self, output: ReceiversOutput, site: Site<'_>, now: Now) {
        match output {
            ReceiversOutput::Send { frame, .. } => {
                self.outputs.extend(DownAnswer::of(frame).filter(|_| self.is_up).map(Output::Say));
            }
            ReceiversOutput::Close { connection, .. } => {
                if connection == self.connection && self.is_up {
                    self.again_at = Some(now.time.plus(READY_AGAIN_AFTER));
                }
            }
            ReceiversOutput::Ingest(ingest) => {
                let placed = self.place(*ingest, site);
                self.outputs.push_back(Output::Place(Box::new(placed)));
            }
            ReceiversOutput::Emit { event: SystemEvent::LinkGap { gap, .. }, .. } => {
                if gap.cause != Cause::Refused {
                    self.counted.missing = self.counted.missing.saturating_add(gap.count());
                    self.outputs.push_back(Output::Missing(gap));
                }
            }
            // The uplink says that the link is up or down, and nobody else connects.
            ReceiversOutput::Emit { .. }
            | ReceiversOutput::Welcomed { .. }
            | ReceiversOutput::Lookup { .. }
            | ReceiversOutput::Latest { .. }
            | ReceiversOutput::Ask { .. }
            | ReceiversOutput::CaughtUp { .. }
            | ReceiversOutput::Down { .. }
            | ReceiversOutput::GivenUp { .. }
            | ReceiversOutput::Tree { .. } => {}
        }
    }

    /// What the hub's items are in this log's terms.
    fn place(&mut self, ingest: LinkIngest, (rooms, is_here): Site<'_>) -> Ingest {
        let LinkIngest { token, log, epoch, items, definitions, cursors, clock, .. } = ingest;
        self.define(definitions);
        let mut placing = Placing {
            routes: &self.routes,
            origins: &self.origins,
            rooms,
            is_here,
            returned: 0,
            numbers: BTreeMap::new(),
            placed: Vec::new(),
            runs: Vec::new(),
            refused: Vec::new(),
            epoch,
        };
        for item in items {
            match item {
                Item::Entries { first, frames, .. } => placing.entries(first, &frames),
                Item::Gap(gap) => placing.runs.push(Run::Gap(gap)),
                Item::Skip { .. } => {}
            }
        }
        let Placing { placed: routes, runs, refused, returned, .. } = placing;
        self.counted.returned += returned;
        let entries = runs.iter().map(|run| match run {
            Run::Entries { count, .. } => u64::from(*count),
            Run::Gap(_) => 0,
        });
        self.counted.entries += entries.sum::<u64>();
        self.counted.refused += refused.iter().map(Gap::count).sum::<u64>();
        self.refused.insert(token, refused);
        let origins = self.origins.iter().map(|(number, origin)| (*number, *origin)).collect();
        // Where no number is left for a channel, an entry is kept where nobody reads it.
        let channel = "too-many/channels".parse().expect("lower-case letters and a slash are a channel");
        let overflow = Route { room: RoomId(self.edge.0), channel, client: self.edge };
        Ingest {
            token,
            log,
            runs,
            routes,
            origins,
            elsewhere: Vec::new(),
            overflow,
            // The hub counted it when it was published. Here nobody would hear what became of what is beyond.
            counted: false,
            cursors,
            clock,
        }
    }

    fn define(&mut self, definitions: Definitions) {
        if definitions.forget {
            (self.routes, self.origins) = (BTreeMap::new(), BTreeMap::new());
        }
        self.routes.extend(definitions.routes);
        self.origins.extend(definitions.origins);
    }
}

struct Placing<'a> {
    routes: &'a BTreeMap<RouteNumber, Route>,
    origins: &'a BTreeMap<u32, (LogId, Epoch)>,
    rooms: &'a BTreeSet<RoomId>,
    is_here: &'a dyn Fn(LogId, Epoch, Seq) -> bool,
    returned: u64,
    /// The link's numbers as indices into `placed`.
    numbers: BTreeMap<RouteNumber, RouteNumber>,
    placed: Vec<Route>,
    runs: Vec<Run>,
    refused: Vec<Gap>,
    epoch: Epoch,
}

impl Placing<'_> {
    fn entries(&mut self, first: Seq, bytes: &Bytes) {
        let (mut all, mut seq) = (frames(bytes), first);
        let mut open = (first, BytesMut::new(), 0);
        loop {
            let at = all.at();
            let Some(Ok(frame)) = all.next() else { break };
            let origin =
                frame.origin.and_then(|origin| Some((origin.seq, self.origins.get(&origin.number)?)));
            if origin.is_some_and(|(seq, (log, epoch))| (self.is_here)(*log, *epoch, seq)) {
                self.returned += 1;
                self.close(std::mem::replace(&mut open, (seq.next(), BytesMut::new(), 0)));
                seq = seq.next();
                continue;
            }
            match self.number(&frame) {
                Some(number) => {
                    let to = open.1.len();
                    open.1.extend_from_slice(bytes.get(at..all.at()).unwrap_or_default());
                    set_route(&mut open.1, to, number);
                    open.2 += 1;
                }
                None => {
                    self.close(std::mem::replace(&mut open, (seq.next(), BytesMut::new(), 0)));
                    self.refuse(seq);
                }
            }
            seq = seq.next();
        }
        self.close(open);
    }

    fn close(&mut self, (first, entries, count): (Seq, BytesMut, u32)) {
        if count > 0 {
            let (epoch, entries) = (self.epoch, entries.freeze());
            self.runs.push(Run::Entries { first, count, epoch, entries });
        }
    }

    fn refuse(&mut self, seq: Seq) {
        match self.refused.last_mut() {
            Some(gap) if gap.to.next() == seq => gap.to = seq,
            Some(_) | None => self.refused.push(Gap { from: seq, to: seq, cause: Cause::Refused }),
        }
    }

    /// The number of its route, if its room is here and its kind is one that links carry.
    fn number(&mut self, frame: &Frame<'_>) -> Option<RouteNumber> {
        match Body::read(frame.body).ok()?.kind {
            Kind::Publication | Kind::Other(_) => {}
            Kind::Canary
            | Kind::Anchor
            | Kind::Release
            | Kind::Session
            | Kind::Opened
            | Kind::Closed
            | Kind::Quarantined
            | Kind::Settled
            | Kind::Passed
            | Kind::Departed
            | Kind::Roll => return None,
        }
        if let Some(number) = self.numbers.get(&frame.route) {
            return Some(*number);
        }
        let route = self.routes.get(&frame.route).filter(|route| self.rooms.contains(&route.room))?;
        // A batch has at most a few thousand entries, and so routes.
        let number = RouteNumber(u32::try_from(self.placed.len()).ok()?);
        self.placed.push(route.clone());
        self.numbers.insert(frame.route, number);
        Some(number)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
