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

    fn link(&mut self, input: LinkInput, now: Now) {
        match input {
            LinkInput::Connected { uplink, attempt, binding, nonce } => {
                self.sender(uplink, SenderInput::Connected { attempt, binding, nonce }, now);
            }
            LinkInput::Frame { uplink, attempt, frame: HubFrame::Down(frame) } => {
                self.sender(uplink, SenderInput::Heard { attempt }, now);
                if self.uplinks.get(&uplink).is_some_and(|one| one.attempt == attempt) {
                    self.downlink(uplink, downlink::Input::Frame(frame), now);
                }
            }
            LinkInput::Frame { uplink, attempt, frame: HubFrame::GivenUp(said) } => {
                self.sender(uplink, SenderInput::Heard { attempt }, now);
                // Only a hub that has proven who it is.
                if self.uplinks.get(&uplink).is_some_and(|one| one.attempt == attempt && one.is_up()) {
                    if let Some(one) = self.uplinks.get_mut(&uplink) {
                        one.asking.answered();
                    }
                    if said.more {
                        self.out(LinkOutput::Send { uplink, attempt, frame: EdgeFrame::GivenUp });
                    }
                    self.out(LinkOutput::GivenUp { uplink, said });
                }
            }
            LinkInput::Frame { uplink, attempt, frame: HubFrame::Tree(heard) } => {
                self.sender(uplink, SenderInput::Heard { attempt }, now);
                let one = self.uplinks.get_mut(&uplink).filter(|one| one.attempt == attempt && one.is_up());
                if one.is_some_and(|one| one.telling.answered(heard, now.time)) {
                    self.out(LinkOutput::Told { uplink, heard });
                }
            }
            LinkInput::Frame { uplink, attempt, frame } => {
                self.sender(uplink, SenderInput::Frame { attempt, frame }, now);
            }
            LinkInput::Disconnected { uplink, attempt } => {
                self.sender(uplink, SenderInput::Disconnected { attempt }, now);
            }
            LinkInput::RouteUp => self.every_sender(&SenderInput::RouteUp, now),
            LinkInput::Heard { uplink, attempt } => self.sender(uplink, SenderInput::Heard { attempt }, now),
            LinkInput::ClockStepped(by_ms) => self.say(SystemEvent::ClockStepped { by_ms }, now),
            LinkInput::Below(input) => self.below.handle(input, &mut self.instance, now),
        }
    }

    fn sender(&mut self, number: UplinkNumber, input: SenderInput, now: Now) {
        let Some(uplink) = self.uplinks.get_mut(&number) else { return };
        uplink.tell_numbers(self.instance.bus(), self.below.receivers(), now);
        uplink.sender.handle(input, now);
        while let Some(output) = self.uplinks.get_mut(&number).and_then(|uplink| uplink.sender.poll()) {
            self.said_by_sender(number, output, now);
        }
    }

    fn every_sender(&mut self, input: &SenderInput, now: Now) {
        let numbers: Vec<UplinkNumber> = self.uplinks.keys().copied().collect();
        for number in numbers {
            self.sender(number, input.clone(), now);
        }
    }

    fn said_by_sender(&mut self, number: UplinkNumber, output: SenderOutput, now: Now) {
        let uplink = number;
        match output {
            SenderOutput::Connect { attempt } => {
                if let Some(one) = self.uplinks.get_mut(&number) {
                    one.attempt = attempt;
                }
                self.out(LinkOutput::Connect { uplink, attempt });
            }
            SenderOutput::Send { attempt, frame } => self.out(LinkOutput::Send { uplink, attempt, frame }),
            SenderOutput::Close { attempt } => self.out(LinkOutput::Close { uplink, attempt }),
            SenderOutput::Read { number: read, from, bytes_max } => {
                self.read(number, read, from, bytes_max, now)
            }
            SenderOutput::Moved { key, value, at_once } => {
                self.rooms(RoomsInput::Cursor { key, value, at_once }, now);
                self.forget_former(now);
            }
            SenderOutput::Reached { log, epoch, through } => {
                self.below.reached((log, epoch), through, &mut self.instance, now);
            }
            SenderOutput::AppendCanary => self.append(Kind::Canary, None, now),
            SenderOutput::AppendAnchor(anchor) => self.append(Kind::Anchor, Some(anchor), now),
            SenderOutput::NewEpoch { .. } => {
                let others: Vec<_> = self.uplinks.keys().copied().filter(|other| *other != number).collect();
                for other in others {
                    self.sender(other, SenderInput::Forked, now);
                }
                self.out(LinkOutput::Reopen { uplink });
            }
            SenderOutput::Emit(event) => {
                let input = match &event {
                    LinkEvent::Up { .. } => Some(downlink::Input::LinkUp),
                    LinkEvent::Down(_) => Some(downlink::Input::LinkDown),
                    LinkEvent::Refused(_)
                    | LinkEvent::WrongHub { .. }
                    | LinkEvent::Above(_)
                    | LinkEvent::OtherHub { .. }
                    | LinkEvent::Rewound { .. }
                    | LinkEvent::Forked { .. }
                    | LinkEvent::Gap { .. }
                    | LinkEvent::Awaits { .. }
                    | LinkEvent::CaughtUp { .. }
                    | LinkEvent::Stopped { .. } => None,
                };
                if let LinkEvent::Above(above) = &event {
                    self.above(number, above, now);
                }
                let not_understood = matches!(
                    event,
                    LinkEvent::Down(Down::Refused(RefusedCode::Malformed | RefusedCode::Version))
                );
                self.emit(number, event, now);
                match (&input, self.uplinks.get_mut(&number)) {
                    (Some(downlink::Input::LinkUp), Some(uplink)) => {
                        uplink.asking.up(now.time);
                        uplink.telling.up(now.time);
                        self.ask_given_up(number, now);
                    }
                    (Some(downlink::Input::LinkDown), Some(uplink)) => {
                        let (asked, told) =
                            (uplink.asking.down(now.time), uplink.telling.down(not_understood, now.time));
                        if let Some(again) = asked {
                            self.out(LinkOutput::Unanswered { uplink: number, again });
                        }
                        if let Some(again) = told {
                            self.out(LinkOutput::Untold { uplink: number, again });
                        }
                    }
                    _ => {}
                }
                if let Some(input) = input {
                    self.downlink(number, input, now);
                }
            }
        }
    }

    /// The hub is asked what was given up of this edge's account, if that is due.
    fn ask_given_up(&mut self, number: UplinkNumber, now: Now) {
        if let Some(uplink) = self.uplinks.get_mut(&number)
            && uplink.asking.asks(now.time)
        {
            let (attempt, frame) = (uplink.attempt, EdgeFrame::GivenUp);
            self.out(LinkOutput::Send { uplink: number, attempt, frame });
        }
    }

    /// Hubs are told of the edges below, as far as that is due.
    fn tell_tree(&mut self, now: Now) {
        let changed = self.below.tree_changed();
        let is_due = |uplink: &Uplink| uplink.telling.due_at(changed).is_some_and(|at| at <= now.time);
        let due: Vec<UplinkNumber> =
            self.uplinks.iter().filter(|(_, uplink)| is_due(uplink)).map(|(number, _)| *number).collect();
        for number in due {
            let tree = self.below.tree(now);
            let Some(uplink) = self.uplinks.get_mut(&number) else { continue };
            if let Some(said) = uplink.telling.next(tree, changed, now.time) {
                let (attempt, frame) = (uplink.attempt, EdgeFrame::Tree(said));
                self.out(LinkOutput::Send { uplink: number, attempt, frame });
            }
        }
    }

    /// Edges below that ask what was given up are told of these accounts: of others this edge does not know it.
    pub fn speak_for(&mut self, accounts: BTreeSet<AccountId>) {
        self.below.speak_for(accounts);
    }

    /// What lies above this edge, over all uplinks. Of one that is down it is what was heard last.
    fn above(&mut self, number: UplinkNumber, heard: &Above, now: Now) {
        if let Some(uplink) = self.uplinks.get_mut(&number) {
            uplink.above = Some(heard.clone());
        }
        let all = || self.uplinks.values().filter_map(|uplink| uplink.above.as_ref());
        let logs: BTreeSet<LogId> = all().flat_map(|above| above.logs.iter().copied()).collect();
        let hops = all().map(|above| above.hops.saturating_add(1)).max().unwrap_or_default();
        let above = Above { hops, logs: logs.into_iter().take(ABOVE_MAX - 1).collect() };
        self.below.above(above, &mut self.instance, now);
    }

    /// What an edge below shows beside its backlog is shown above as well.
    fn pass_on(&mut self, present: &Present, now: Now) {
        let carries = |uplink: &Uplink| uplink.linked.contains(&present.route.room);
        let numbers: Vec<UplinkNumber> =
            self.uplinks.iter().filter(|(_, uplink)| carries(uplink)).map(|(number, _)| *number).collect();
        for number in numbers {
            self.sender(number, SenderInput::Present(present.clone()), now);
        }
    }

    /// What was shown is an entry here by now: it goes its way as one.
    fn tell_stored(&mut self, now: Now) {
        let shown: Vec<_> = self
            .uplinks
            .iter()
            .flat_map(|(number, uplink)| uplink.sender.presents().map(|place| (*number, place)))
            .collect();
        for (number, (log, epoch)) in shown {
            if let Some(cursor) = self.below.receivers().cursor(log, epoch) {
                self.sender(number, SenderInput::Stored { log, epoch, through: cursor.through }, now);
            }
        }
    }

    /// The cursor of a former parent goes with the commit that takes the last uplink past it, or a later one.
    fn forget_former(&mut self, now: Now) {
        let through = |uplink: &Uplink| uplink.sender.cursor().map_or(Seq::ZERO, |(_, value)| value.through);
        let confirmed = self.uplinks.values().map(through).min().unwrap_or_default();
        let cursors: Vec<_> = self
            .former
            .extract_if(.., |former| former.through <= confirmed)
            .flat_map(|former| former.cursors)
            .map(|key| (key, None))
            .collect();
        if !cursors.is_empty() {
            // Nobody waits for it.
            self.rooms(RoomsInput::Append(Append::of_cursors(cursors)), now);
        }
    }

    fn downlink(&mut self, number: UplinkNumber, input: downlink::Input, now: Now) {
        let Some(uplink) = self.uplinks.get_mut(&number) else { return };
        let (own, below) = (self.instance.bus().log(), self.below.receivers());
        // What is this edge's own, or came up through it, is here. An edge that was below it once may be elsewhere now.
        let taken = |log, epoch| below.cursor(log, epoch).map_or(Seq::ZERO, |cursor| cursor.through);
        let is_here = |log, epoch, seq| log == own || seq <= taken(log, epoch);
        uplink.downlink.handle(input, (&uplink.linked, &is_here), now);
        while let Some(output) = self.uplinks.get_mut(&number).and_then(|uplink| uplink.downlink.poll()) {
            match output {
                downlink::Output::Say(answer) => {
                    let attempt = self.uplinks.get(&number).map_or(0, |uplink| uplink.attempt);
                    let frame = EdgeFrame::Down(answer);
                    self.out(LinkOutput::Send { uplink: number, attempt, frame });
                }
                downlink::Output::Place(ingest) => {
                    self.tokens += 1;
                    self.placing.insert(self.tokens, (number, ingest.token));
                    self.rooms(
                        RoomsInput::Ingest(riser_rooms::Ingest { token: self.tokens, ..*ingest }),
                        now,
                    );
                }
                downlink::Output::Missing(gap) => self.out(LinkOutput::Missing { uplink: number, gap }),
            }
        }
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
            let (said, names) = (uplink.note(event.clone()), uplink.names_members(&event));
            if let Some(said) = said {
                self.say(said, now);
            }
            if names {
                self.instance.name_members(now);
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
