//! The machine: what comes to an edge, and what it does about it.

use crate::{
    downlink,
    uplink::{Uplink, UplinkNumber},
};
use bytes::Bytes;
use riser_ingest::{Below, LinkInput as FromBelow, LinkOutput as ToBelow, TICKETS_FROM};
use riser_instance::{
    Core, Input as InstanceInput, Instance, Output as InstanceOutput,
    core::{Input, Output},
};
use riser_link::{
    Present,
    sender::{Down, Input as SenderInput, LinkEvent, Output as SenderOutput},
};
use riser_model::{
    AccountId, CursorKey, Gap, LogId, Now, RouteNumber, Run, Seq, Time,
    event::{Scope, SystemEvent},
    time::Anchor,
};
use riser_rooms::{Append, Input as RoomsInput};
use riser_wire::{
    entry::{self, Kind},
    link::{ABOVE_MAX, Above, EdgeFrame, GivenUp, HubFrame, Nonce, RefusedCode, TreeHeard},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

mod links;

/// How long a shutdown waits for the hub to confirm what is under way.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// What an uplink's socket brings.
#[derive(Debug)]
pub enum LinkInput {
    /// The attempt is connected, the WebSocket open.
    Connected {
        /// Whose.
        uplink: UplinkNumber,
        /// Which attempt.
        attempt: u64,
        /// The TLS exporter's bytes; empty without TLS.
        binding: Bytes,
        /// Fresh random bytes.
        nonce: Nonce,
    },
    /// A frame came.
    Frame {
        /// Whose.
        uplink: UplinkNumber,
        /// On which attempt's connection.
        attempt: u64,
        /// What.
        frame: HubFrame,
    },
    /// The attempt failed, or its connection is over.
    Disconnected {
        /// Whose.
        uplink: UplinkNumber,
        /// Which attempt.
        attempt: u64,
    },
    /// A route out of the site came up: try at once.
    RouteUp,
    /// Bytes came that are not a whole frame yet.
    Heard {
        /// Whose.
        uplink: UplinkNumber,
        /// On which attempt's connection.
        attempt: u64,
    },
    /// The wall clock was stepped by so many milliseconds.
    ClockStepped(i64),
    /// Of the link of an edge below.
    Below(FromBelow),
}

/// What an uplink's socket is to do.
#[derive(Debug)]
pub enum LinkOutput {
    /// Dial the hub.
    Connect {
        /// Whose.
        uplink: UplinkNumber,
        /// Rises.
        attempt: u64,
    },
    /// Send this.
    Send {
        /// Whose.
        uplink: UplinkNumber,
        /// On which attempt's connection.
        attempt: u64,
        /// What.
        frame: EdgeFrame,
    },
    /// Close after what was sent before.
    Close {
        /// Whose.
        uplink: UplinkNumber,
        /// Which attempt.
        attempt: u64,
    },
    /// What was given up of this edge's account.
    GivenUp {
        /// Whose hub says so.
        uplink: UplinkNumber,
        /// What.
        said: GivenUp,
    },
    /// The hub closed the link when it was asked what was given up: it may be older than that question.
    Unanswered {
        /// Whose.
        uplink: UplinkNumber,
        /// When it is asked again, from the next time that the link is up.
        again: Duration,
    },
    /// The hub closed the link when it was told of the edges below: it may be older than that.
    Untold {
        /// Whose.
        uplink: UplinkNumber,
        /// When it is told again, from the next time that the link is up.
        again: Duration,
    },
    /// What became of what the hub was told of the edges below. That some are not shown is said once for each reason, until a
    /// new link after a while.
    Told {
        /// Whose hub.
        uplink: UplinkNumber,
        /// What.
        heard: TreeHeard,
    },
    /// A hub has other entries under this epoch's name: the log has to be opened anew.
    Reopen {
        /// Whose hub.
        uplink: UplinkNumber,
    },
    /// For people.
    Event {
        /// Whose.
        uplink: UplinkNumber,
        /// What.
        event: LinkEvent,
    },
    /// For people: what was meant for this edge the hub no longer has.
    Missing {
        /// Whose hub.
        uplink: UplinkNumber,
        /// Which of its seqs, and why.
        gap: Gap,
    },
    /// For the link of an edge below.
    Below(ToBelow),
}

/// A parent of before, and what is known of it on disk until every uplink is past it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Former {
    /// Up to here it confirmed.
    pub through: Seq,
    /// The cursors that go with it.
    pub cursors: Vec<CursorKey>,
}

/// The first token of what comes down: smaller ones are of what comes from below, larger ones the instance's own.
const TOKENS_FROM: u64 = 1 << 62;

/// An edge.
#[derive(Debug)]
pub struct EdgeCore {
    instance: Instance,
    below: Below,
    uplinks: BTreeMap<UplinkNumber, Uplink>,
    /// Up to here the senders know of commits.
    told: Seq,
    /// Commits of what came down, by the rooms' token: whose, and the downlink's own.
    placing: BTreeMap<u64, (UplinkNumber, u64)>,
    tokens: u64,
    /// Parents of before that no uplink is past yet.
    former: Vec<Former>,
    outputs: VecDeque<Output<LinkOutput>>,
    stopping: bool,
}

impl EdgeCore {
    /// An edge over an instance, with these uplinks, and with these edges below it.
    pub fn new(instance: Instance, uplinks: impl IntoIterator<Item = Uplink>, below: Below) -> Self {
        let told = instance.bus().committed();
        let uplinks: BTreeMap<_, _> = (0..).map(UplinkNumber).zip(uplinks).collect();
        let below = if uplinks.is_empty() { below } else { below.passing_on() };
        Self {
            instance,
            below,
            uplinks,
            told,
            placing: BTreeMap::new(),
            tokens: TOKENS_FROM,
            former: Vec::new(),
            outputs: VecDeque::new(),
            stopping: false,
        }
    }

    /// The same, moved: these are its former parents.
    #[must_use]
    pub fn moved_from(self, former: Vec<Former>) -> Self {
        Self { former, ..self }
    }

    /// The instance, to look at.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// The edges below it, to look at.
    pub fn below(&self) -> &Below {
        &self.below
    }

    /// The uplinks, to look at.
    pub fn uplinks(&self) -> impl Iterator<Item = (UplinkNumber, &Uplink)> {
        self.uplinks.iter().map(|(number, uplink)| (*number, uplink))
    }

    /// Edges below that ask what was given up are told of these accounts: of others this edge does not know it.
    pub fn speak_for(&mut self, accounts: BTreeSet<AccountId>) {
        self.below.speak_for(accounts);
    }

    /// The commit of what came down returned, or failed.
    fn placed(&mut self, token: u64, durable: bool, now: Now) {
        if let Some((uplink, token)) = self.placing.remove(&token) {
            self.downlink(uplink, downlink::Input::Placed { token, durable }, now);
        }
    }

    /// From memory where that reaches, else from the disk.
    fn read(&mut self, number: UplinkNumber, read: u64, from: Seq, bytes_max: u32, now: Now) {
        match self.instance.bus().tail(from, bytes_max as usize) {
            Some(chunk) => self.sender(number, SenderInput::Read { number: read, chunk }, now),
            None => {
                if let Some(uplink) = self.uplinks.get_mut(&number) {
                    uplink.reading = Some(read);
                }
                let ticket = u64::from(number.0);
                self.outputs.push_back(Output::ReadForLink { ticket, from, max_bytes: bytes_max });
            }
        }
    }

    fn append(&mut self, kind: Kind, anchor: Option<Anchor>, now: Now) {
        let mut entries = Vec::new();
        entry::write_frame(&mut entries, RouteNumber::NONE, kind, 0, now.stamp(), |out| {
            if let Some(anchor) = anchor {
                out.extend(postcard::to_stdvec(&anchor).expect("plain values serialize into memory"));
            }
        });
        // Nobody waits for it: what depends on it depends on its commit.
        self.rooms(RoomsInput::Append(Append::unawaited(entries)), now);
    }

    fn emit(&mut self, number: UplinkNumber, event: LinkEvent, now: Now) {
        if let Some(uplink) = self.uplinks.get_mut(&number) {
            let queued = uplink.sender.status(now).lag();
            let (said, names) = (uplink.note(event.clone(), queued), uplink.names_members(&event));
            if let Some(said) = said {
                self.say(said, now);
            }
            if names {
                self.instance.name_members(now);
                self.below.call_rolls(&mut self.instance, now);
            }
        }
        self.out(LinkOutput::Event { uplink: number, event });
    }

    /// The system speaks on the instance's technical channel.
    pub fn say(&mut self, event: SystemEvent, now: Now) {
        self.rooms(RoomsInput::Event { scope: Scope::Instance, event }, now);
    }

    fn rooms(&mut self, input: RoomsInput, now: Now) {
        self.instance.handle(InstanceInput::Rooms(input), now);
    }

    fn out(&mut self, output: LinkOutput) {
        self.outputs.push_back(Output::Link(output));
    }

    /// A commit returned: every sender learns what it holds.
    fn committed(&mut self, through: Seq, now: Now) {
        self.tell_stored(now);
        while self.told < through {
            let Some(chunk) = self.instance.bus().tail(self.told.next(), usize::MAX) else {
                // A commit larger than the tail: the senders read it from the disk, and have no Latest of it.
                let (first, last) = (self.told.next(), through);
                self.every_sender(&SenderInput::Added { first, last, entries: Bytes::new() }, now);
                self.told = through;
                return;
            };
            for run in chunk.runs {
                match run {
                    Run::Entries { first, count, entries, .. } => {
                        let last = first.plus(u64::from(count)).prev();
                        self.every_sender(&SenderInput::Added { first, last, entries }, now);
                    }
                    Run::Gap(_) => {}
                }
            }
            self.told = chunk.next.prev().max(self.told.next());
        }
    }
}

impl Core for EdgeCore {
    type LinkInput = LinkInput;
    type LinkOutput = LinkOutput;

    fn handle(&mut self, input: Input<LinkInput>, now: Now) {
        match input {
            Input::Instance(input) => self.instance.handle(input, now),
            Input::Link(input) => self.link(input, now),
            Input::Changed { directory, rooms } => {
                // Before anything is said there.
                let linked = rooms.iter().filter(|room| room.linked).map(|room| room.id).collect();
                self.uplinks.values_mut().for_each(|uplink| uplink.carries(&linked));
                let changed = InstanceInput::Changed { directory: Arc::clone(&directory), rooms };
                self.instance.handle(changed, now);
                self.below.changed(directory, &mut self.instance, now);
            }
            Input::ReadForLink { ticket, chunk } if ticket >= TICKETS_FROM => {
                self.below.read_for_link(ticket, chunk, &mut self.instance, now);
            }
            Input::ReadForLink { ticket, chunk } => {
                let number = UplinkNumber(u32::try_from(ticket).unwrap_or(u32::MAX));
                let read = self.uplinks.get_mut(&number).and_then(|uplink| uplink.reading.take());
                if let Some(read) = read {
                    self.sender(number, SenderInput::Read { number: read, chunk }, now);
                }
            }
            Input::Lost(gaps) => {
                self.below.lost(&gaps, &mut self.instance, now);
                for gap in gaps {
                    self.every_sender(&SenderInput::Lost(gap), now);
                }
            }
            Input::Deadline => {
                self.instance.handle(InstanceInput::Deadline, now);
                self.below.deadline(&mut self.instance, now);
                let due =
                    |uplink: &Uplink| uplink.sender.poll_timeout().is_some_and(|(time, _)| time <= now.time);
                let numbers: Vec<UplinkNumber> = self
                    .uplinks
                    .iter()
                    .filter(|(_, uplink)| due(uplink))
                    .map(|(number, _)| *number)
                    .collect();
                for number in numbers {
                    self.sender(number, SenderInput::Deadline, now);
                }
                for number in self.uplinks.keys().copied().collect::<Vec<_>>() {
                    self.ask_given_up(number, now);
                }
                let due =
                    |uplink: &Uplink| uplink.downlink.poll_timeout().is_some_and(|time| time <= now.time);
                let numbers: Vec<UplinkNumber> = self
                    .uplinks
                    .iter()
                    .filter(|(_, uplink)| due(uplink))
                    .map(|(number, _)| *number)
                    .collect();
                for number in numbers {
                    self.downlink(number, downlink::Input::Deadline, now);
                }
            }
            Input::Shutdown => {
                self.stopping = true;
                self.below.stop(&mut self.instance, now);
                self.rooms(RoomsInput::Shutdown, now);
                self.below.farewell(&mut self.instance, now);
                self.every_sender(&SenderInput::Shutdown(DRAIN_WITHIN), now);
            }
        }
    }

    fn poll(&mut self, now: Now) -> Option<Output<LinkOutput>> {
        loop {
            while let Some((log, epoch)) = self.below.poll_asked() {
                self.every_sender(&SenderInput::Ask { log, epoch }, now);
            }
            while let Some(present) = self.below.poll_present() {
                self.pass_on(&present, now);
            }
            self.tell_tree(now);
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if let Some(output) = self.below.poll() {
                return Some(match output {
                    Output::Link(output) => Output::Link(LinkOutput::Below(output)),
                    Output::Instance(output) => Output::Instance(output),
                    Output::ReadForLink { ticket, from, max_bytes } => {
                        Output::ReadForLink { ticket, from, max_bytes }
                    }
                });
            }
            match self.instance.poll(now)? {
                InstanceOutput::Committed { through } => {
                    self.below.committed(through, &mut self.instance, now);
                    self.committed(through, now);
                }
                InstanceOutput::Done { token, result } if token >= TOKENS_FROM => {
                    self.placed(token, result.is_ok(), now);
                }
                InstanceOutput::Done { token, result } => {
                    self.below.placed(token, result, &mut self.instance, now);
                }
                output => return Some(Output::Instance(output)),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        let senders = self.uplinks.values().filter_map(|uplink| uplink.sender.poll_timeout());
        let downlinks = self.uplinks.values().filter_map(|uplink| uplink.downlink.poll_timeout());
        let asking = self.uplinks.values().filter_map(|uplink| uplink.asking.due_at());
        let changed = self.below.tree_changed();
        let telling = self.uplinks.values().filter_map(|uplink| uplink.telling.due_at(changed));
        let instance = self.instance.poll_timeout().map(|(time, _)| time);
        let below = self.below.poll_timeout();
        senders
            .map(|(time, _)| time)
            .chain(downlinks)
            .chain(asking)
            .chain(telling)
            .chain(instance)
            .chain(below)
            .min()
    }

    fn is_drained(&self) -> bool {
        let stopped = |uplink: &Uplink| matches!(uplink.last_event, Some(LinkEvent::Stopped { .. }));
        let settled = self.instance.is_settled() && self.below.is_settled();
        self.stopping && settled && self.uplinks.values().all(stopped)
    }
}
