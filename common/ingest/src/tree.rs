//! The edges below the edges: who they are, what their links do, and how far they are, as the edges above them say.
//!
//! It owns what was said, in memory only: an edge says all of it again on each connection. What always holds: there are at
//! most [`TREE_MAX`] below one edge, whatever it says; of what lies below an edge that is away nobody knows anything from
//! that moment on; and each change of a link is told to those who listen once, by the name of the edge whose link it is.

use crate::edges::{Edge, EdgeStatus};
use riser_link::Progress;
use riser_model::{
    AccountId, AccountName, ClientId, ConnectionId, Epoch, LogId, Now, Seq, Time, event::SystemEvent,
};
use riser_wire::link::{Branch, BranchLink, NotShown, TREE_MAX, Tree, TreeHeard};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Where an edge is below another one: the edges between, and itself.
type Place = Vec<ClientId>;

/// For the account's technical channel.
pub(crate) type Said = Vec<(AccountId, SystemEvent)>;

/// One edge below an edge, as it is known at the moment.
#[derive(Clone, Debug)]
pub struct BranchStatus {
    /// The edge that says it: one whose link comes here.
    pub via: ClientId,
    /// The edges between that one and this.
    pub path: Vec<ClientId>,
    /// The log that it showed last; none if it never came.
    pub log: Option<LogId>,
    /// What its own link does.
    pub link: BranchLink,
    /// For so long.
    pub link_for: Duration,
    /// What is known of it as of any edge.
    pub status: EdgeStatus,
}

#[derive(Debug)]
struct Leaf {
    edge: Edge,
    /// Its number on the connection on which it was told; none if it was not told on the newest.
    number: Option<u32>,
    log: Option<(LogId, Epoch)>,
    link: BranchLink,
    /// For how long that had been so, when.
    since: (Duration, Time),
    /// Whether its link was up when that was known last.
    was_up: bool,
    /// It came, and had something that is not here yet or may have: that all of it is here is to be told.
    owes: bool,
    tail: Seq,
    taken: Seq,
}

/// What one connection said.
#[derive(Debug)]
struct Session {
    via: ClientId,
    numbers: BTreeMap<u32, Place>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    all: BTreeMap<ClientId, BTreeMap<Place, Leaf>>,
    /// Whose logs they are.
    logs: BTreeMap<LogId, BTreeSet<(ClientId, Place)>>,
    sessions: BTreeMap<ConnectionId, Session>,
    not_shown: u64,
    changes: u64,
    counts: u64,
}

impl Trees {
    /// An edge said a part of what is below it. `taken` says how far a log is here.
    pub(crate) fn told(
        &mut self,
        (connection, via, name): (ConnectionId, ClientId, &AccountName),
        tree: Tree,
        (mut refused, mut why): (u32, Option<NotShown>),
        taken: impl Fn(LogId) -> Seq,
        now: Now,
    ) -> (TreeHeard, Said) {
        let mut said = Said::new();
        self.begin(connection, via);
        for branch in tree.edges {
            let log = branch.log.map(|(log, _)| log);
            if !self.branch(connection, branch, log.map_or(Seq::ZERO, &taken), name, &mut said, now) {
                refused = refused.saturating_add(1);
                why = why.or(Some(NotShown::TooMany));
            }
        }
        for (number, tail) in tree.tails {
            let Some(leaf) = self.numbered(connection, number) else { continue };
            leaf.tail = tail;
            said.extend(leaf.look(now));
            self.counts += 1;
        }
        for number in tree.gone {
            let session = self.sessions.get_mut(&connection);
            if let Some(place) = session.and_then(|session| session.numbers.remove(&number)) {
                self.remove(via, &place);
            }
        }
        if tree.whole {
            let untold = |(place, leaf): (&Place, &Leaf)| leaf.number.is_none().then(|| place.clone());
            let untold: Vec<Place> = self.all.get(&via).into_iter().flatten().filter_map(untold).collect();
            untold.iter().for_each(|place| self.remove(via, place));
        }
        self.not_shown = self.not_shown.saturating_add(u64::from(refused));
        let shown = self.all.get(&via).map_or(0, BTreeMap::len);
        (TreeHeard { shown: u32::try_from(shown).unwrap_or(u32::MAX), refused, why }, said)
    }

    /// A connection that says something for the first time: what earlier ones called their edges is void.
    fn begin(&mut self, connection: ConnectionId, via: ClientId) {
        if !self.sessions.contains_key(&connection) {
            self.sessions.retain(|_, session| session.via != via);
            self.sessions.insert(connection, Session { via, numbers: BTreeMap::new() });
            for leaf in self.all.entry(via).or_default().values_mut() {
                leaf.number = None;
            }
        }
    }

    /// Takes one edge. False if there are too many.
    fn branch(
        &mut self,
        connection: ConnectionId,
        branch: Branch,
        taken: Seq,
        teller: &AccountName,
        said: &mut Said,
        now: Now,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&connection) else { return false };
        let (via, number) = (session.via, branch.number);
        let place: Place = branch.path.iter().copied().chain([branch.edge]).collect();
        let below = self.all.entry(via).or_default();
        if !below.contains_key(&place) && below.len() >= TREE_MAX {
            return false;
        }
        let leaf = below.entry(place.clone()).or_insert_with(|| Leaf::new(&branch, now));
        // One edge has one number, and one number one edge: there are no more numbers than edges.
        if let Some(before) = leaf.number.replace(number).filter(|before| *before != number) {
            session.numbers.remove(&before);
        }
        let log_before = leaf.log.map(|(log, _)| log);
        leaf.told(&branch, taken, teller, said, now);
        let other = session.numbers.insert(number, place.clone()).filter(|other| *other != place);
        if let Some(other) = other.and_then(|other| below.get_mut(&other)) {
            other.number = None;
        }
        self.changes += 1;
        let log = branch.log.map(|(log, _)| log);
        if log_before != log {
            self.forget_log(log_before, (via, place.clone()));
        }
        if let Some(log) = log {
            self.logs.entry(log).or_default().insert((via, place));
        }
        true
    }

    fn numbered(&mut self, connection: ConnectionId, number: u32) -> Option<&mut Leaf> {
        let session = self.sessions.get(&connection)?;
        let place = session.numbers.get(&number)?;
        self.all.get_mut(&session.via)?.get_mut(place)
    }

    fn remove(&mut self, via: ClientId, place: &Place) {
        let Some(leaf) = self.all.get_mut(&via).and_then(|below| below.remove(place)) else { return };
        self.forget_log(leaf.log.map(|(log, _)| log), (via, place.clone()));
        self.changes += 1;
    }

    fn forget_log(&mut self, log: Option<LogId>, key: (ClientId, Place)) {
        let Some(log) = log else { return };
        if let Some(places) = self.logs.get_mut(&log) {
            places.remove(&key);
            if places.is_empty() {
                self.logs.remove(&log);
            }
        }
    }

    /// That connection is over.
    pub(crate) fn gone(&mut self, connection: ConnectionId) {
        self.sessions.remove(&connection);
    }

    /// An edge has no connection any more: of what is below it nobody knows anything from here on.
    pub(crate) fn away(&mut self, via: ClientId, now: Now) {
        for leaf in self.all.get_mut(&via).into_iter().flat_map(BTreeMap::values_mut) {
            leaf.set_link(BranchLink::Unknown, Duration::ZERO, now);
            self.changes += 1;
        }
    }

    /// Only what these edges say stays.
    pub(crate) fn keep(&mut self, stays: impl Fn(ClientId) -> bool) {
        let gone: Vec<ClientId> = self.all.keys().copied().filter(|via| !stays(*via)).collect();
        for via in gone {
            for place in
                self.all.get(&via).map(|below| below.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
            {
                self.remove(via, &place);
            }
            self.all.remove(&via);
        }
    }

    /// A commit returned: a log is here up to there.
    pub(crate) fn taken(&mut self, log: LogId, through: Seq, now: Now) -> Said {
        let mut said = Said::new();
        for (via, place) in self.logs.get(&log).into_iter().flatten() {
            let Some(leaf) = self.all.get_mut(via).and_then(|below| below.get_mut(place)) else { continue };
            let more = through.0.saturating_sub(leaf.taken.0);
            if more > 0 {
                leaf.taken = through;
                leaf.edge.taken(more, 0, now);
                said.extend(leaf.look(now));
            }
        }
        said
    }

    /// When [`Trees::deadline`] is due.
    pub(crate) fn watch_at(&self) -> Option<Time> {
        self.all.values().flat_map(BTreeMap::values).filter_map(|leaf| leaf.edge.watch_at()).min()
    }

    /// Whoever has been behind for long is told to be.
    pub(crate) fn deadline(&mut self, now: Now) -> Said {
        let due = |leaf: &&mut Leaf| leaf.edge.watch_at().is_some_and(|at| at <= now.time);
        self.all
            .values_mut()
            .flat_map(BTreeMap::values_mut)
            .filter(due)
            .flat_map(|leaf| leaf.look(now))
            .collect()
    }

    /// The name of the edge with that log below that one, and whether its link is up.
    pub(crate) fn site(&self, log: LogId, via: ClientId) -> Option<(&AccountName, bool)> {
        let (_, place) = self.logs.get(&log)?.iter().find(|(of, _)| *of == via)?;
        let leaf = self.all.get(&via)?.get(place)?;
        Some((leaf.edge.name(), leaf.link == BranchLink::Up))
    }

    /// All of them: below each edge in an order in which each comes behind the one above it.
    pub(crate) fn statuses(&self, now: Now) -> impl Iterator<Item = BranchStatus> {
        self.all.iter().flat_map(move |(via, below)| {
            below.iter().map(move |(place, leaf)| {
                let path = place.split_last().map(|(_, path)| path.to_vec()).unwrap_or_default();
                let log = leaf.log.map(|(log, _)| log);
                let status = leaf.edge.status(leaf.progress());
                let (link, link_for) = (leaf.link, leaf.link_for(now));
                BranchStatus { via: *via, path, log, link, link_for, status }
            })
        })
    }

    /// All of them, to be told to whoever is above.
    pub(crate) fn branches(&self, now: Now) -> impl Iterator<Item = Branch> {
        self.all.iter().flat_map(move |(via, below)| {
            below.iter().filter_map(move |(place, leaf)| {
                let (edge, between) = place.split_last()?;
                Some(Branch {
                    number: 0,
                    edge: *edge,
                    account: leaf.edge.account(),
                    name: leaf.edge.name().clone(),
                    path: [*via].into_iter().chain(between.iter().copied()).collect(),
                    log: leaf.log,
                    link: leaf.link,
                    for_ms: ms(leaf.link_for(now)),
                    tail: leaf.tail,
                })
            })
        })
    }

    /// How often something other than a number changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// How often a number did.
    pub(crate) fn counts(&self) -> u64 {
        self.counts
    }

    /// How many edges were told and are not shown, since the start.
    pub(crate) fn not_shown(&self) -> u64 {
        self.not_shown
    }
}

impl Leaf {
    fn new(branch: &Branch, now: Now) -> Self {
        Self {
            edge: Edge::new(branch.edge, branch.name.clone(), branch.account, now),
            number: None,
            log: None,
            link: BranchLink::Unknown,
            since: (Duration::ZERO, now.time),
            was_up: false,
            owes: false,
            tail: Seq::ZERO,
            taken: Seq::ZERO,
        }
    }

    fn told(&mut self, branch: &Branch, taken: Seq, teller: &AccountName, said: &mut Said, now: Now) {
        self.edge.rename(branch.name.clone());
        if self.log.map(|(log, _)| log) != branch.log.map(|(log, _)| log) {
            self.taken = Seq::ZERO;
        }
        (self.log, self.tail, self.taken) = (branch.log, branch.tail, self.taken.max(taken));
        self.set_link(branch.link, Duration::from_millis(branch.for_ms), now);
        let (edge, name) = (branch.edge, branch.name.clone());
        match (branch.link, self.was_up) {
            (BranchLink::Up, false) => {
                (self.was_up, self.owes) = (true, true);
                let epoch = branch.log.map_or(Epoch(0), |(_, epoch)| epoch);
                let online = SystemEvent::EdgeOnline { edge, name, epoch, backlog: self.progress().queued };
                said.push((branch.account, online));
            }
            (BranchLink::Down, true) => {
                (self.was_up, self.owes) = (false, false);
                let cause = format!("said by {teller}");
                said.push((branch.account, SystemEvent::EdgeSilent { edge, name, cause }));
            }
            (BranchLink::Up, true) | (BranchLink::Down, false) | (BranchLink::Unknown, _) => {}
        }
        said.extend(self.look(now));
    }

    fn set_link(&mut self, link: BranchLink, for_so_long: Duration, now: Now) {
        // What is unknown is so since it was first.
        if link != BranchLink::Unknown || self.link != link {
            self.since = (for_so_long, now.time);
        }
        self.link = link;
        self.edge.set_online(link == BranchLink::Up, now);
    }

    fn link_for(&self, now: Now) -> Duration {
        let (before, at) = self.since;
        before.saturating_add(now.time.since(at))
    }

    /// What there is to tell of how far it is.
    fn look(&mut self, now: Now) -> Said {
        let progress = self.progress();
        let mut said: Said = self.edge.watch(progress, now).into_iter().collect();
        if self.owes && self.link == BranchLink::Up && progress.queued == 0 {
            self.owes = false;
            let (edge, name) = (self.edge.client, self.edge.name().clone());
            said.push((self.edge.account(), SystemEvent::CaughtUp { edge, name, through: self.taken }));
        }
        said
    }

    /// As far as it is known here: what is gone of it is counted by its log ([`Receivers`](riser_link::Receivers)).
    fn progress(&self) -> Progress {
        Progress {
            epoch: self.log.map(|(_, epoch)| epoch),
            // What is here was told, too: entries may come before the number does.
            heard: self.tail.max(self.taken),
            through: self.taken,
            accepted: self.tail.max(self.taken).0,
            synced: self.taken.0,
            queued: self.tail.0.saturating_sub(self.taken.0),
            gapped: 0,
        }
    }
}

pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
