//! The machine: what comes from the edges below, and what is done about it.

use crate::{
    downlinks::Downlinks,
    edges::{Edge, EdgeStatus},
    placing::{self, Place, Placed, Table},
    refused::Refused,
    tree::Trees,
};
use riser_gate::{Directory, accounts::Walk};
use riser_instance::{Input as InstanceInput, Instance, core::Output};
use riser_link::{
    FORGOTTEN, Ingest, Present, Receivers, Registered,
    receivers::{Input as ReceiversInput, Output as ReceiversOutput},
    sender::{Input as SenderInput, Opened},
};
use riser_model::{
    AccountId, ClientId, ConnectionId, CursorKey, CursorMove, Epoch, LogId, Now, Seq, Time,
    door::Code,
    event::{Scope, SystemEvent},
};
use riser_rooms::{Append, Ingest as RoomsIngest, Input as RoomsInput, Placed as RoomsPlaced};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

mod given_up;
mod links;
mod passing;
mod sites;
mod tree;
mod ways_down;

pub use links::{LinkInput, LinkOutput};

/// When edges are told to come back after a shutdown.
const BACK_AFTER_MS: u32 = 1000;
/// After so long whoever brings a log another way has said so.
const ORPHANS_AFTER: Duration = Duration::from_secs(300);
/// Quarantine events per batch: the channel itself holds every entry.
const QUARANTINE_EVENTS_MAX: usize = 4;

/// An ingest that the rooms have and the disk has not.
#[derive(Debug)]
struct Outstanding {
    edge: ClientId,
    seqs: u64,
    quarantined: u64,
    /// How far logs are with it.
    reached: Vec<(LogId, Seq)>,
    /// It says who came or went.
    says_who: bool,
}

/// The edges below one instance, which is lent for each input: whoever owns both hands the one's answers to the other.
#[derive(Debug)]
pub struct Below {
    receivers: Receivers,
    downlinks: Downlinks,
    directory: Arc<Directory>,
    /// No edges come here, whatever accounts say.
    closed: bool,
    /// Those that were edges since the process started, and are none any more.
    former: BTreeSet<ClientId>,
    tables: BTreeMap<ConnectionId, Table>,
    /// Whose each welcomed connection is.
    welcomed: BTreeMap<ConnectionId, ClientId>,
    edges: BTreeMap<ClientId, Edge>,
    /// What they say of those below them.
    trees: Trees,
    /// What people were told of what is not shown of that.
    warned: tree::Warned,
    /// How often something of the edges themselves changed that whoever is above is to be told, and how often a number did.
    tree_changes: u64,
    tree_counts: u64,
    /// How far those who asked were told what was given up of their accounts.
    told: BTreeMap<ConnectionId, Walk>,
    /// The accounts of which it is known what was given up: all, unless said otherwise.
    speaks_for: Option<BTreeSet<AccountId>>,
    /// By the receivers' token, which is the rooms' token too.
    outstanding: BTreeMap<u64, Outstanding>,
    /// What edges refused and is read from the disk, by ticket.
    refused: BTreeMap<u64, Refused>,
    /// How far logs below were taken above is to be asked, of whoever is.
    asked: BTreeSet<(LogId, Epoch)>,
    /// What edges show goes on to whoever is above.
    passes_on: bool,
    /// Whoever is above is to be told who is behind the logs below.
    rolls_due: bool,
    /// When logs below an edge that is none any more are looked at.
    orphans_due: Option<Time>,
    presents: VecDeque<Present>,
    outputs: VecDeque<Output<LinkOutput>>,
}

impl Below {
    /// Over an instance and its log as it was opened, for the edges of a directory.
    pub fn new(
        mut receivers: Receivers,
        directory: Arc<Directory>,
        opened: &Opened,
        instance: &mut Instance,
        now: Now,
    ) -> Self {
        let edges = directory.edges().map(|edge| {
            let principal = edge.principal;
            (principal.client, Edge::new(principal.client, principal.name.clone(), principal.account, now))
        });
        receivers.know(directory.edges().map(|edge| (edge.principal.client, edge.principal.account)));
        let downlinks = Downlinks::new(&directory, opened, now);
        let orphans = downlinks.orphans(opened).into_iter().map(|key| (key, None)).collect::<Vec<_>>();
        let mut below = Self {
            edges: edges.collect(),
            trees: Trees::default(),
            warned: tree::Warned::default(),
            tree_changes: 0,
            tree_counts: 0,
            receivers,
            downlinks,
            directory,
            closed: false,
            former: BTreeSet::new(),
            tables: BTreeMap::new(),
            welcomed: BTreeMap::new(),
            told: BTreeMap::new(),
            speaks_for: None,
            outstanding: BTreeMap::new(),
            refused: BTreeMap::new(),
            asked: BTreeSet::new(),
            passes_on: false,
            rolls_due: false,
            orphans_due: Some(now.time.plus(ORPHANS_AFTER)),
            presents: VecDeque::new(),
            outputs: VecDeque::new(),
        };
        if !orphans.is_empty() {
            // Nobody waits for it.
            let append = Append::of_cursors(orphans);
            instance.handle(InstanceInput::Rooms(RoomsInput::Append(append)), now);
        }
        below.wishes(instance, now);
        let links = below.links();
        below.edges.keys().for_each(|client| below.know_sites(*client, &links, instance));
        below.end_removed(instance, now);
        below
    }

    /// The same where no edges come, whatever accounts say.
    #[must_use]
    pub fn closed(self) -> Self {
        Self { closed: true, ..self }
    }

    /// Accounts changed: an edge that is known no more, or by another key, is cut off; what the others may do is looked up
    /// again, for what they bring and for what goes down to them.
    pub fn changed(&mut self, directory: Arc<Directory>, instance: &mut Instance, now: Now) {
        if self.closed {
            return;
        }
        let before = std::mem::replace(&mut self.directory, directory);
        let directory = Arc::clone(&self.directory);
        let revoked: Vec<ClientId> = before
            .edges()
            .filter(|edge| {
                let stays = directory.edge(edge.principal.client);
                // Whether it may relay was said to its link when that began.
                stays.is_none_or(|stays| {
                    let same = stays.principal.account == edge.principal.account;
                    !same || stays.key != edge.key || stays.relays != edge.relays
                })
            })
            .map(|edge| edge.principal.client)
            .collect();
        for edge in revoked {
            self.tell(ReceiversInput::Revoked { edge }, instance, now);
        }
        self.former.extend(self.edges.keys());
        self.former.retain(|client| directory.edge(*client).is_none());
        self.edges.retain(|client, _| directory.edge(*client).is_some());
        for edge in directory.edges() {
            let who = edge.principal;
            let known = self.edges.entry(who.client);
            let new = || Edge::new(who.client, who.name.clone(), who.account, now);
            let known = known.or_insert_with(new);
            if known.account() != who.account {
                *known = new();
            }
            known.rename(who.name.clone());
        }
        self.orphans_due = Some(now.time.plus(ORPHANS_AFTER));
        self.keep_trees(instance, now);
        self.tree_changes += 1;
        self.receivers.know(directory.edges().map(|edge| (edge.principal.client, edge.principal.account)));
        for (connection, table) in &mut self.tables {
            if let Some(edge) = self.welcomed.get(connection) {
                table.changed(*edge, &directory);
            }
        }
        self.tell_given_up();
        let orphans = self.downlinks.changed(&directory, (instance.bus(), &self.receivers), now);
        if !orphans.is_empty() {
            let cursors = orphans.into_iter().map(|key| (key, None)).collect();
            let append = Append::of_cursors(cursors);
            instance.handle(InstanceInput::Rooms(RoomsInput::Append(append)), now);
        }
        self.wishes(instance, now);
        let links = self.links();
        self.edges.keys().for_each(|client| self.know_sites(*client, &links, instance));
        self.end_removed(instance, now);
    }

    /// The receiving end of their links, to look at.
    pub fn receivers(&self) -> &Receivers {
        &self.receivers
    }

    /// The ways down, to look at.
    pub fn downlinks(&self) -> &Downlinks {
        &self.downlinks
    }

    /// The edges of the directory, connected or not.
    pub fn edges(&self) -> impl Iterator<Item = EdgeStatus> {
        self.edges.values().map(|edge| edge.status(self.receivers.progress(edge.client)))
    }

    /// Those that were edges since the process started, and are none any more.
    pub fn former(&self) -> impl Iterator<Item = ClientId> {
        self.former.iter().copied()
    }

    /// What it wants done next: something for a link's socket, or a read of the log.
    pub fn poll(&mut self) -> Option<Output<LinkOutput>> {
        self.outputs.pop_front()
    }

    /// When it wants [`Below::deadline`].
    pub fn poll_timeout(&self) -> Option<Time> {
        let receivers = self.receivers.poll_timeout().map(|(time, _)| time);
        let watched = self.edges.values().filter_map(Edge::watch_at).min();
        let downlinks = self.downlinks.poll_timeout();
        [receivers, downlinks, watched, self.trees.watch_at(), self.orphans_due].into_iter().flatten().min()
    }

    /// Whether everything that was taken is on disk, or failed.
    pub fn is_settled(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// What a link's socket brings.
    pub fn handle(&mut self, input: LinkInput, instance: &mut Instance, now: Now) {
        match input {
            LinkInput::Opened { connection, binding, nonce } => {
                self.tell(ReceiversInput::Opened { connection, binding, nonce }, instance, now);
            }
            LinkInput::Frame { connection, frame } => {
                self.tell(ReceiversInput::Frame { connection, frame }, instance, now);
            }
            LinkInput::Heard { connection } => self.tell(ReceiversInput::Heard { connection }, instance, now),
            LinkInput::Malformed { connection, what } => {
                self.tell(ReceiversInput::Malformed { connection, what }, instance, now);
            }
            LinkInput::Closed { connection } => {
                self.gone(connection, instance, now);
                self.tell(ReceiversInput::Closed { connection }, instance, now);
            }
        }
    }

    fn gone(&mut self, connection: ConnectionId, instance: &mut Instance, now: Now) {
        self.tables.remove(&connection);
        self.told.remove(&connection);
        self.trees.gone(connection);
        let Some(client) = self.welcomed.remove(&connection) else { return };
        self.downlinks.gone(client, connection, (instance.bus(), &self.receivers), now);
        self.wishes(instance, now);
        // A newer connection may have taken its place.
        let is_replaced = self.welcomed.values().any(|other| *other == client);
        if let Some(edge) = self.edges.get_mut(&client) {
            self.tree_changes += u64::from(edge.set_online(is_replaced, now));
        }
        if !is_replaced {
            self.trees.away(client, now);
        }
        self.know_sites(client, &self.links(), instance);
    }

    /// An edge that came with another log of its own has lost the one before, with everybody who was behind that.
    fn end_former(&self, client: ClientId, instance: &mut Instance, now: Now) {
        for log in self.receivers.former_logs(client).collect::<Vec<_>>() {
            instance.end_site(log, "replaced", now);
        }
    }

    /// Who is no edge any more has nobody behind it. What came through it of others may come another way
    /// ([`Below::end_orphans`]).
    fn end_removed(&self, instance: &mut Instance, now: Now) {
        let removed = |(_, edge): &(LogId, ClientId)| self.directory.edge(*edge).is_none();
        for (log, _) in self.receivers.own_logs().filter(removed).collect::<Vec<_>>() {
            instance.end_site(log, "removed", now);
        }
    }

    /// Whether an edge is behind, for those who listen.
    fn watch(&mut self, client: ClientId, instance: &mut Instance, now: Now) {
        let progress = self.receivers.progress(client);
        let Some(edge) = self.edges.get_mut(&client) else { return };
        if let Some((account, event)) = edge.watch(progress, now) {
            emit(account, event, instance, now);
        }
    }

    fn tell(&mut self, input: ReceiversInput, instance: &mut Instance, now: Now) {
        self.receivers.handle(input, now);
        while let Some(output) = self.receivers.poll() {
            self.said_by_receivers(output, instance, now);
        }
    }

    fn said_by_receivers(&mut self, output: ReceiversOutput, instance: &mut Instance, now: Now) {
        match output {
            ReceiversOutput::Send { connection, frame } => self.out(LinkOutput::Send { connection, frame }),
            ReceiversOutput::Close { connection, code } => {
                self.gone(connection, instance, now);
                self.out(LinkOutput::Close { connection, code });
            }
            ReceiversOutput::Lookup { connection, edge } => {
                let edge = self.directory.edge(edge).map(|edge| Registered {
                    key: edge.key,
                    name: edge.principal.name.clone(),
                    account: edge.principal.account,
                    relays: edge.relays,
                });
                self.receivers.handle(ReceiversInput::Found { connection, edge }, now);
            }
            ReceiversOutput::Welcomed { connection, edge } => {
                self.tables.insert(connection, Table::default());
                self.welcomed.insert(connection, edge);
                if let Some(edge) = self.edges.get_mut(&edge) {
                    edge.set_online(true, now);
                }
                // What it shows may be new, too.
                self.tree_changes += 1;
                self.know_sites(edge, &self.links(), instance);
                self.end_former(edge, instance, now);
                self.watch(edge, instance, now);
                self.out(LinkOutput::Welcomed { connection });
            }
            ReceiversOutput::Ingest(ingest) => self.ingest(*ingest, instance, now),
            ReceiversOutput::Latest { connection, edge, log, epoch, items, definitions } => {
                self.latest((connection, edge), (log, epoch), &items, definitions, instance, now);
            }
            ReceiversOutput::Down { connection, edge, answer } => {
                let attempt = connection.0;
                let input = match answer.heard() {
                    None => SenderInput::Ready { attempt },
                    Some(frame) => SenderInput::Frame { attempt, frame },
                };
                self.downlink(edge, input, instance, now);
            }
            ReceiversOutput::GivenUp { connection, edge } => self.asked_given_up(connection, edge),
            ReceiversOutput::Tree { connection, edge, tree, left_out, why } => {
                self.told_tree((connection, edge), tree, (left_out, why), instance, now);
            }
            ReceiversOutput::CaughtUp { .. } => {}
            ReceiversOutput::Ask { log, epoch } => {
                self.asked.insert((log, epoch));
            }
            ReceiversOutput::Emit { account, event } => emit(account, event, instance, now),
        }
    }

    fn ingest(&mut self, ingest: Ingest, instance: &mut Instance, now: Now) {
        let Ingest {
            token,
            connection,
            edge,
            account,
            log,
            epoch,
            items,
            foreign,
            definitions,
            cursors,
            clock,
        } = ingest;
        let seqs = match (items.first(), items.last()) {
            (Some(first), Some(last)) => last.last().next().0.saturating_sub(first.first().0),
            (None, _) | (_, None) => 0,
        };
        if let Some(known) = self.edges.get(&edge) {
            instance.know_site(log, known.name(), true);
        }
        self.tree_counts += 1;
        let reached = reached(&cursors);
        self.know_below(edge, &definitions, instance);
        let table = self.tables.entry(connection).or_default();
        table.define(definitions, edge, &self.directory);
        let (receivers, table) = (&self.receivers, &*table);
        let relays = self.directory.edge(edge).is_some_and(|edge| edge.relays);
        // Of a log that is nobody's yet something is under way on this link, or whoever has it below has said so.
        let trees = &self.trees;
        let is_coming = |below| table.brings(below) || trees.logs_below(edge).any(|log| log == below);
        let comes_by_it = |below| receivers.owner(below).map_or_else(|| is_coming(below), |via| via == edge);
        let place = Place {
            from: (log, epoch),
            account,
            edge,
            // What came another way since is not its to say any more.
            may_call: &|below| below != log && relays && comes_by_it(below),
        };
        let Placed { runs, routes, origins, elsewhere, quarantined, says_who } =
            table.place((items, &foreign), place);
        for (seq, reason) in quarantined.iter().take(QUARANTINE_EVENTS_MAX) {
            let event = SystemEvent::Quarantined {
                edge,
                seq: *seq,
                code: reason.code().to_owned(),
                reason: reason.words().to_owned(),
            };
            emit(account, event, instance, now);
        }
        let quarantined = quarantined.len() as u64;
        let outstanding = Outstanding { edge, seqs, quarantined, reached, says_who };
        self.outstanding.insert(token, outstanding);
        rooms(
            RoomsInput::Ingest(RoomsIngest {
                token,
                log,
                runs,
                routes,
                origins,
                elsewhere,
                overflow: placing::overflow(account, edge),
                counted: true,
                cursors,
                clock,
            }),
            instance,
            now,
        );
    }

    /// The deadline that [`Below::poll_timeout`] named has come.
    pub fn deadline(&mut self, instance: &mut Instance, now: Now) {
        self.downlinks.deadline((instance.bus(), &self.receivers), now);
        self.wishes(instance, now);
        if self.receivers.poll_timeout().is_some_and(|(time, _)| time <= now.time) {
            self.tell(ReceiversInput::Deadline, instance, now);
        }
        if self.orphans_due.take_if(|due| *due <= now.time).is_some() {
            self.end_orphans(instance, now);
        }
        let due = |edge: &&Edge| edge.watch_at().is_some_and(|at| at <= now.time);
        let due: Vec<ClientId> = self.edges.values().filter(due).map(|edge| edge.client).collect();
        due.into_iter().for_each(|client| self.watch(client, instance, now));
        let said = self.trees.deadline(now);
        self.say_all(said, instance, now);
    }

    /// The instance goes down on purpose: the ways down stop. The rooms finish what they have before the edges are told
    /// ([`Below::farewell`]).
    pub fn stop(&mut self, instance: &mut Instance, now: Now) {
        self.downlinks.shutdown((instance.bus(), &self.receivers), now);
        self.wishes(instance, now);
    }

    /// All edges are told to come back later.
    pub fn farewell(&mut self, instance: &mut Instance, now: Now) {
        self.tell(ReceiversInput::Shutdown { after_ms: BACK_AFTER_MS }, instance, now);
    }

    /// The commit with that token returned, or failed.
    pub fn placed(
        &mut self,
        token: u64,
        result: Result<RoomsPlaced, Code>,
        instance: &mut Instance,
        now: Now,
    ) {
        let Some(outstanding) = self.outstanding.remove(&token) else { return };
        let Ok(placed) = result else {
            self.tell(ReceiversInput::Failed { token }, instance, now);
            return self.call_due(instance, now);
        };
        if let Some(edge) = self.edges.get_mut(&outstanding.edge) {
            let quarantined = outstanding.quarantined + u64::from(placed.quarantined);
            edge.taken(outstanding.seqs, quarantined, now);
        }
        self.tell(ReceiversInput::Ingested { token, refused: Vec::new() }, instance, now);
        self.watch(outstanding.edge, instance, now);
        self.tree_taken(&outstanding.reached, instance, now);
        self.call_due(instance, now);
    }

    fn out(&mut self, output: LinkOutput) {
        self.outputs.push_back(Output::Link(output));
    }
}

/// How far logs are with these moves. What a log's forgotten epochs add up to is no place in it.
fn reached(moves: &[CursorMove]) -> Vec<(LogId, Seq)> {
    let reached = |(key, value): &CursorMove| match (key, value) {
        (CursorKey::Ingest(_, _, FORGOTTEN) | CursorKey::Relayed(_, _, FORGOTTEN), _) => None,
        (CursorKey::Ingest(_, log, _) | CursorKey::Relayed(_, log, _), Some(value)) => {
            Some((*log, value.through))
        }
        (CursorKey::Ingest(..) | CursorKey::Relayed(..), None)
        | (CursorKey::Uplink(_) | CursorKey::Downlink(_) | CursorKey::Former(_), _) => None,
    };
    moves.iter().filter_map(reached).collect()
}

/// The system speaks on an account's technical channel.
fn emit(account: AccountId, event: SystemEvent, instance: &mut Instance, now: Now) {
    rooms(RoomsInput::Event { scope: Scope::Account(account), event }, instance, now);
}

fn rooms(input: RoomsInput, instance: &mut Instance, now: Now) {
    instance.handle(InstanceInput::Rooms(input), now);
}
