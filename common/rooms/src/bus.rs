//! The bus itself: what it owns, and which input goes where.
//!
//! It always holds: nothing is shown to a reader before the commit that holds it returned; nothing is shown
//! that the reader's grants do not allow; every subscription is a cursor, and nothing is queued for it.
//!
//! The branches are in files of their own: [`publish`](crate::bus) takes entries in, `commit` learns that they
//! are on disk and wakes their readers, `subscribe` makes and ends cursors, `pull` serves them.

use crate::{
    chain::Chain,
    config::Config,
    conflate::Copies,
    connection::Connections,
    graph::{ChannelSlot, Graph, RoomSlot},
    input::{Input, Start},
    intake::Line,
    output::{Output, Wake},
    producers::Producers,
    publish::against,
    retained::RetainedTable,
    rounds::Rounds,
    routes::Routes,
    share::Shares,
    shelf::Shelf,
    statistics::{ChannelStatistics, Counters, RoomStatistics, Statistics},
    steps::Steps,
    subscription::{self, State},
    tail::Tail,
    technical::Technical,
    topics,
    warm::{Deferred, Warm},
};
use riser_model::{
    AccountId, AccountName, Binding, Chunk, ConnectionId, CursorKey, CursorValue, Epoch, History, LogId, Now,
    Position, Principal, Retention, Right, RoomId, RoomName, Route, RouteNumber, Seq, Time, Wall,
    door::{Ask, Code, Flow, Refusal, Target},
    event::Scope,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Reads of all connections, and what they hold.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub(crate) ticket: u64,
    pub(crate) asked: BTreeMap<u64, ConnectionId>,
    /// Who holds a chunk, by its arrival.
    pub(crate) held: BTreeMap<u64, ConnectionId>,
    pub(crate) bytes: usize,
    pub(crate) arrival: u64,
    /// Who tries again, and when.
    pub(crate) again: BTreeSet<(Time, ConnectionId)>,
}

/// The bus of an instance. One input, then [`Bus::poll`] until it is empty.
#[derive(Debug)]
pub struct Bus {
    pub(crate) config: Config,
    pub(crate) chain: Chain,
    pub(crate) routes: Routes,
    pub(crate) graph: Graph,
    pub(crate) tail: Tail,
    pub(crate) copies: Copies,
    pub(crate) retained: RetainedTable,
    pub(crate) producers: Producers,
    pub(crate) technical: Technical,
    pub(crate) shares: Shares,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) line: Line,
    pub(crate) connections: Connections,
    /// Connections that left while batches of theirs were on their way.
    pub(crate) left: BTreeMap<ConnectionId, u32>,
    pub(crate) reads: Reads,
    pub(crate) latest_bytes: usize,
    pub(crate) counters: Counters,
    pub(crate) outputs: VecDeque<Output>,
    /// Connections that have something and hear so in their turn.
    pub(crate) rounds: Rounds,
    pub(crate) closing: bool,
    /// As what publications are refused since a batch failed.
    pub(crate) failing: Option<Code>,
    /// When rooms tell next where their traffic stands.
    pub(crate) traffic_due: Time,
    /// Up to here [`Output::Committed`] was handed out.
    pub(crate) said: Seq,
    pub(crate) warm: Warm,
    pub(crate) shelf: Shelf,
    /// What was said last of which rooms are archived.
    pub(crate) archived_said: BTreeMap<RoomId, Seq>,
    /// The numbers of an archive's routes that the answer which comes next may use.
    pub(crate) archived_routes: Vec<RouteNumber>,
    pub(crate) steps: Steps,
    pub(crate) now: Now,
}

impl Bus {
    /// A bus over a log as it was opened.
    pub fn new(config: Config, start: Start) -> Self {
        let events = Retention { count: Some(config.events_kept), ..Retention::default() };
        let mut graph = Graph::default();
        graph.events = events;
        graph.remember(start.pasts, start.oldest);
        graph.declare(start.rooms, start.next);
        graph.set_archived(&start.archived);
        let mut routes = Routes::default();
        for (number, route) in start.routes {
            let channel = graph.add_routed(&route);
            routes.restore(number, route, channel);
        }
        for (number, origin) in start.origins {
            routes.restore_origin(number, origin);
        }
        let mut bus = Self {
            tail: Tail::new(start.next, config.tail_bytes_max),
            line: Line::new(start.epoch, start.next),
            chain: Chain::new(
                start.log,
                start.epoch,
                start.chain,
                start.next,
                (start.oldest, start.oldest_at),
                (start.gaps, start.trim_cause),
            ),
            config,
            routes,
            graph,
            copies: Copies::default(),
            retained: start.retained,
            producers: start.producers,
            technical: Technical::default(),
            shares: Shares::default(),
            bindings: start.bindings,
            connections: Connections::default(),
            left: BTreeMap::new(),
            reads: Reads::default(),
            latest_bytes: 0,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            rounds: Rounds::default(),
            closing: false,
            failing: None,
            traffic_due: Time::default(),
            said: start.next.prev(),
            warm: Warm::default(),
            shelf: Shelf::default(),
            archived_said: BTreeMap::new(),
            archived_routes: Vec::new(),
            steps: Steps::new(start.next),
            now: Now::default(),
        };
        bus.warm_up();
        bus
    }

    /// Whether a principal may do anything at all in a room of its account. What it may not enter looks like what
    /// is not there.
    pub fn reaches(&self, principal: &Principal, room: &RoomName) -> bool {
        self.reached(principal, room).is_some()
    }

    /// The room of that name, if the principal may do anything at all in it.
    pub fn reached(&self, principal: &Principal, room: &RoomName) -> Option<RoomId> {
        let known = self.graph.room_named(principal.account, room).map(|slot| self.graph.room(slot).id);
        let rights = [Right::Publish, Right::Subscribe, Right::Admin];
        known.filter(|id| rights.into_iter().any(|right| principal.grants.reach(right, *id)))
    }

    /// What a declared room is called.
    pub fn name_of(&self, room: RoomId) -> Option<&RoomName> {
        let slot = self.graph.room_of(room)?;
        self.graph.room(slot).declared.as_ref().map(|room| &room.name)
    }

    /// Whether a connection reads something in a room, or has published there.
    pub fn is_in(&self, connection: ConnectionId, room: RoomId) -> bool {
        let slot = self.graph.room_of(room);
        let known = self.connections.get(&connection);
        known.zip(slot).is_some_and(|(known, slot)| known.members.contains_key(&slot))
    }

    /// Whether that may be published in a room, as far as its schema says.
    pub fn check_payload(&self, room: RoomId, payload: &[u8]) -> Result<(), Refusal> {
        let declared = self.graph.room_of(room).and_then(|slot| self.graph.room(slot).declared.as_ref());
        match declared.and_then(|room| room.schema.as_ref()) {
            Some(schema) => against(schema, payload),
            None => Ok(()),
        }
    }

    /// The rooms of its account in which the principal may do anything, by name, and how many connections are in each.
    pub fn rooms_reached(&self, principal: &Principal) -> impl Iterator<Item = (RoomId, RoomName, u32)> {
        let rooms = self.graph.rooms_of(principal.account).filter_map(|slot| {
            let room = self.graph.room(slot);
            Some((room.id, room.declared.as_ref()?.name.clone(), room.members))
        });
        let rights = [Right::Publish, Right::Subscribe, Right::Admin];
        rooms.filter(move |(id, ..)| rights.into_iter().any(|right| principal.grants.reach(right, *id)))
    }

    /// The account of that name, by its name or its id; without one the only one that there is.
    pub fn account(&self, name: Option<&AccountName>) -> Option<AccountId> {
        let all = || self.graph.rooms().iter().filter_map(|room| room.declared.as_ref());
        let named = |name: &AccountName| {
            let is = |id: AccountId| id.0.as_hyphenated().to_string() == name.as_str();
            all().find(|one| one.account_name == *name || is(one.account)).map(|one| one.account)
        };
        match name {
            Some(name) => named(name),
            None => {
                let first = all().next()?.account;
                all().all(|one| one.account == first).then_some(first)
            }
        }
    }

    /// Where a publication of that principal would go, if it may publish there.
    pub fn route_to(&self, principal: &Principal, target: &Target) -> Result<Route, Refusal> {
        let (room, channel) = topics::target(&self.graph, &self.bindings, principal, target)?;
        Ok(Route { room: self.graph.room(room).id, channel, client: principal.client })
    }

    /// Whether what was said on technical channels is on disk, and everybody who listens there has pulled it.
    pub fn is_heard(&self) -> bool {
        let mut all = self.connections.all().flat_map(|reader| reader.subscriptions.values());
        self.events_are_stored() && all.all(|one| one.state == State::Idle || !self.is_technical(&one.scope))
    }

    /// What time it is, by a clock that no step of the wall clock moves while the process lives.
    pub fn steady(&self, now: Now) -> Wall {
        self.steps.steady(now)
    }

    /// The same for what was stamped before the process began: by the wall clock, if that is later.
    pub fn latest_clock(&self, now: Now) -> Wall {
        self.steps.latest(now)
    }

    /// When an entry of this log was stamped, by that clock.
    pub fn stamped(&self, seq: Seq, wall: Wall) -> Wall {
        self.steps.of(seq, wall)
    }

    /// Whether nothing waits for the disk.
    pub fn is_stored(&self) -> bool {
        self.line.bytes() == 0
    }

    pub(crate) fn is_technical(&self, scope: &subscription::Scope) -> bool {
        let speaks = |slot: RoomSlot| self.graph.room(slot).speaks.is_some();
        match scope {
            subscription::Scope::Channel(slot) => speaks(self.graph.channel(*slot).room),
            subscription::Scope::Rooms { rooms, .. } => rooms.keys().any(|slot| speaks(*slot)),
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: Now) {
        self.now = now;
        self.steps.look(self.line.next(), now);
        match input {
            Input::Open { connection, principal } => self.open(connection, principal, now),
            Input::Principal { connection, principal } => self.change_principal(connection, principal),
            Input::Ask { connection, ask } => self.ask(connection, ask, now),
            Input::Append(append) => self.append(append, now),
            Input::Ingest(ingest) => self.ingest(ingest, now),
            Input::Cursor { key, value, at_once } => self.ride(key, value, at_once, now),
            Input::Latest(latest) => self.latest(latest),
            Input::Share(change) => self.change_share(change),
            Input::Event { scope, event } => self.event(scope, event),
            Input::NameMembers => self.name_members(),
            Input::Rolls(rolls) => self.call_rolls(rolls),
            Input::Persisted { ticket } => self.persisted(ticket, now),
            Input::Failed { ticket, code } => self.failed(ticket, code),
            Input::Read { ticket, found } => self.read(ticket, found, now),
            Input::Trimmed { oldest, oldest_at, gaps } => self.trimmed((oldest, oldest_at), gaps),
            Input::Archived { rooms } => self.archived(&rooms),
            Input::ArchiveOpened(spans) => self.archive_opened(spans),
            Input::Pasts(pasts) => self.recall(pasts),
            Input::ArchivedRoutes(routes) => self.know_archived(routes),
            Input::Reconfigured { rooms, bindings } => self.reconfigure(rooms, bindings),
            Input::Deadline => {
                self.say_held();
                self.tell_traffic(now.time);
                self.try_again(now);
            }
            Input::Shutdown => self.shutdown(now),
        }
    }

    fn ask(&mut self, connection: ConnectionId, ask: Ask, now: Now) {
        if !self.connections.contains(&connection) {
            self.counters.strays += 1;
            return;
        }
        match ask {
            Ask::Publish(intake) => self.publish(connection, intake, now),
            Ask::Subscribe { subscription: id, want, from, flow, keep, retained } => {
                let deferred = |one: &Deferred| one.connection == connection && one.id == id;
                if let Some(reader) = self.connections.get_mut(&connection) {
                    // Its door says anew whether it holds nothing back.
                    reader.standing = 0;
                }
                self.graph.advance_floors(now);
                let waits = flow == Flow::Conflate || self.warm.deferred.iter().any(deferred);
                if waits && self.is_warming() {
                    let how = (from, flow, retained, keep.is_some());
                    self.warm.deferred.push_back(Deferred { connection, id, want, how });
                } else {
                    self.subscribe(connection, id, &want, (from, flow, retained, keep.is_some()));
                }
            }
            Ask::Unsubscribe { subscription } => self.unsubscribe(connection, subscription),
            Ask::Pause { subscription, paused } => self.pause(connection, subscription, paused),
            Ask::KeepSession => {
                if let Some(one) = self.connections.get_mut(&connection) {
                    one.session = true;
                }
            }
            Ask::Pull { bytes, stands } => self.pull(connection, bytes, stands),
            Ask::Settle { subscription, done, returned } => {
                self.settle_share((connection, subscription), &done, &returned);
            }
            Ask::Dropped { refusal, count } => self.dropped(connection, &refusal, count),
            Ask::Leave { cause, expiry_s: _ } => self.leave(connection, &cause),
            Ask::Part => self.part_all(connection),
            Ask::Visit { .. }
            | Ask::Enter { .. }
            | Ask::Answer(_)
            | Ask::Renew(_)
            | Ask::Move { .. }
            | Ask::Rooms
            | Ask::Decide { .. }
            | Ask::Run(_)
            | Ask::Release { .. }
            | Ask::HandOver { .. }
            | Ask::Look { .. }
            | Ask::Confirm { .. }
            | Ask::Delivered { .. }
            | Ask::Ticket { .. } => self.counters.strays += 1,
        }
    }

    fn ride(&mut self, key: CursorKey, value: CursorValue, at_once: bool, now: Now) {
        self.line.ride(key, value);
        if at_once || self.closing {
            self.line.hurry(now.time);
        }
    }

    /// The next effect.
    pub fn poll(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            let due = self.line.deadline(self.config.hold()).is_some_and(|at| at <= self.now.time);
            if due {
                return self.line.seal(&mut self.routes);
            }
            // After the batch, so that the disk works meanwhile.
            return self.deliver_due();
        }
        let output = self.outputs.pop_front();
        if let Some(Output::Committed { through }) = output {
            self.said = through;
        }
        output
    }

    /// When [`Input::Deadline`] is wanted, and what for.
    pub fn poll_timeout(&self) -> Option<(Time, Wake)> {
        let commit = self.line.deadline(self.config.hold()).map(|at| (at, Wake::Commit));
        let read = self.reads.again.first().map(|(at, _)| (*at, Wake::Read));
        let event = self.technical.due(self.failing.is_some()).map(|at| (at, Wake::Event));
        let round = self.rounds.deadline().map(|at| (at, Wake::Round));
        let traffic = self.traffic_deadline().map(|at| (at, Wake::Event));
        commit.into_iter().chain(read).chain(event).chain(round).chain(traffic).min_by_key(|(at, _)| *at)
    }

    /// The log.
    pub fn log(&self) -> LogId {
        self.chain.log
    }

    /// The epoch that is being written.
    pub fn epoch(&self) -> Epoch {
        self.chain.epoch
    }

    /// `last_added`: the newest seq that is on disk.
    pub fn committed(&self) -> Seq {
        self.chain.committed
    }

    /// The oldest seq that is still there.
    pub fn oldest(&self) -> Seq {
        self.chain.oldest
    }

    /// The position of a seq of this log.
    pub fn position(&self, seq: Seq) -> Position {
        self.chain.position(seq)
    }

    /// How topics become channels here.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// Whether uplinks carry a room.
    pub fn is_linked(&self, room: RoomId) -> bool {
        let declared = self.graph.room_of(room).and_then(|slot| self.graph.room(slot).declared.as_ref());
        declared.is_some_and(|declared| declared.linked)
    }

    /// Whose a configured room is.
    pub fn account_of(&self, room: RoomId) -> Option<AccountId> {
        Some(self.graph.room(self.graph.room_of(room)?).declared.as_ref()?.account)
    }

    /// Whether what is published in a room is for those only who are there, and they are all known here: it has no
    /// history, and neither goes up nor down.
    pub fn is_fleeting(&self, room: RoomId) -> bool {
        let declared = self.graph.room_of(room).and_then(|slot| self.graph.room(slot).declared.as_ref());
        declared.is_some_and(|one| one.history != History::Log && !one.linked && !one.down)
    }

    /// Whether any of these connections has a subscription that meets what has that route number.
    pub fn is_heard_by(&mut self, connections: &[ConnectionId], number: RouteNumber) -> bool {
        let Some(slot) = self.routes.known(number).map(|known| known.channel) else { return false };
        connections.iter().any(|connection| {
            let Some(one) = self.connections.get_mut(connection) else { return false };
            let principal = &one.principal;
            one.subscriptions.values_mut().any(|one| one.meets_channel(&self.graph, principal, slot))
        })
    }

    /// A publication of that room was addressed to a client that is not there.
    pub fn note_void(&mut self, room: RoomId) {
        if let Some(slot) = self.graph.room_of(room) {
            self.graph.room_mut(slot).void += 1;
            self.counters.void += 1;
        }
    }

    /// What a route number of this log means.
    pub fn route(&self, number: RouteNumber) -> Option<&Arc<Route>> {
        self.routes.known(number).map(|known| &known.route)
    }

    /// One past the highest route number that means something.
    pub fn routes_end(&self) -> u32 {
        // `routes_max` keeps them far below that.
        u32::try_from(self.routes.len()).unwrap_or(u32::MAX)
    }

    /// One past the highest origin number that means something.
    pub fn origins_end(&self) -> u32 {
        self.routes.origins_end()
    }

    /// An origin of which the log has nothing any more keeps the number by which somebody still names it. A start says so,
    /// before anything comes.
    pub fn recall_origin(&mut self, number: u32, origin: (LogId, Epoch)) {
        self.routes.recall_origin(number, origin);
    }

    /// What an origin number of this log means.
    pub fn origin(&self, number: u32) -> Option<(LogId, Epoch)> {
        self.routes.origin(number)
    }

    /// A piece of the log from memory, for uplinks: whole entries from `from` on, about `max_bytes` of them and
    /// at least one if there is one. None where the disk must be read.
    pub fn tail(&self, from: Seq, max_bytes: usize) -> Option<Chunk> {
        self.tail.chunk(from, max_bytes)
    }

    /// The first seq that [`Bus::tail`] has.
    pub fn tail_first(&self) -> Seq {
        self.tail.first()
    }

    /// Which publish ids are in the log.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// What channels retain.
    pub fn retained(&self) -> &RetainedTable {
        &self.retained
    }

    /// Subscriptions of an account's connections.
    pub fn subscriptions_of(&self, account: AccountId) -> usize {
        let own = self.connections.all().filter(|connection| connection.principal.account == account);
        own.map(|connection| connection.subscriptions.len()).sum()
    }

    /// What the channels of an account's rooms retain.
    pub fn retained_of(&self, account: AccountId) -> usize {
        let own = self.graph.rooms_of(account).map(|slot| self.graph.room(slot).id);
        own.map(|room| self.retained.count_of(room)).sum()
    }

    /// Everything that was counted.
    pub fn statistics(&self) -> Statistics {
        let configured = self.graph.rooms().iter().filter_map(|room| {
            let declared = room.declared.as_ref()?;
            Some(RoomStatistics {
                id: room.id,
                account: declared.account,
                name: declared.name.clone(),
                traffic: room.traffic,
                open: room.open,
                members: room.members,
                subscribers: room.subscribers,
                channels: room.channels.len() as u32,
                open_channels: room.channels.len() as u32 - room.addresses,
            })
        });
        Statistics {
            rooms: configured.collect(),
            connections: self.connections.len(),
            subscriptions: self.connections.all().map(|connection| connection.subscriptions.len()).sum(),
            routes: self.routes.len(),
            retained: self.retained.len(),
            tail_bytes: self.tail.bytes(),
            unstored_bytes: self.line.bytes(),
            chunks_bytes: self.reads.bytes,
            counters: self.counters.clone(),
        }
    }

    /// What was counted of the channels of a room that were ever published in.
    pub fn channels(&self, room: RoomId) -> impl Iterator<Item = ChannelStatistics> {
        let slots: &[ChannelSlot] =
            self.graph.room_of(room).map_or(&[], |slot| &self.graph.room(slot).channels);
        slots.iter().map(|slot| {
            let channel = self.graph.channel(*slot);
            let (name, traffic, subscribers) = (channel.name.clone(), channel.traffic, channel.subscribers);
            ChannelStatistics { name, traffic, subscribers }
        })
    }

    pub(crate) fn room_scope(&self, slot: RoomSlot) -> Scope {
        Scope::Room(self.graph.room(slot).id)
    }
}
