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
    /// Under which time it is among those that are looked at again.
    watched: Option<Time>,
}

/// What is known here of a log by itself.
#[derive(Clone, Copy)]
pub(crate) struct Here<'a> {
    /// How far it is here.
    pub(crate) taken: &'a dyn Fn(LogId) -> Seq,
    /// Whether its edge has a link to here.
    pub(crate) linked: &'a dyn Fn(LogId) -> bool,
}

/// What is new by what an edge said, or by its end.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// For the technical channels.
    pub(crate) said: Said,
    /// The logs of which another name is known now, or another link.
    pub(crate) turned: BTreeSet<LogId>,
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
    /// Who is to be looked at again, and when: the core asks for the first of them on each turn.
    watched: BTreeSet<(Time, ClientId, Place)>,
    not_shown: u64,
    changes: u64,
    counts: u64,
}

impl Trees {
    /// An edge said a part of what is below it, and what of that is not its to say: of this nothing stays. A frame that says
    /// nothing new changes nothing.
    pub(crate) fn told(
        &mut self,
        (connection, via, name): (ConnectionId, ClientId, &AccountName),
        tree: Tree,
        (left_out, mut why): (Vec<Branch>, Option<NotShown>),
        here: Here<'_>,
        now: Now,
    ) -> (TreeHeard, News) {
        let mut news = News::default();
        self.begin(connection, via);
        let mut refused = u32::try_from(left_out.len()).unwrap_or(u32::MAX);
        for branch in left_out {
            self.release(connection, branch.number);
            self.remove(via, &place(&branch), here.linked, &mut news);
        }
        for branch in tree.edges {
            if !self.branch((connection, via), branch, name, here, &mut news, now) {
                refused = refused.saturating_add(1);
                why = why.or(Some(NotShown::TooMany));
            }
        }
        for (number, tail) in tree.tails {
            self.tail(connection, number, tail, &mut news, now);
        }
        for number in tree.gone {
            if let Some(place) = self.release(connection, number) {
                self.remove(via, &place, here.linked, &mut news);
            }
        }
        if tree.whole && self.has_untold(connection, via) {
            let untold = |(place, leaf): (&Place, &Leaf)| leaf.number.is_none().then(|| place.clone());
            let untold: Vec<Place> = self.all.get(&via).into_iter().flatten().filter_map(untold).collect();
            untold.iter().for_each(|place| self.remove(via, place, here.linked, &mut news));
        }
        self.not_shown = self.not_shown.saturating_add(u64::from(refused));
        let shown = self.all.get(&via).map_or(0, BTreeMap::len);
        (TreeHeard { shown: u32::try_from(shown).unwrap_or(u32::MAX), refused, why }, news)
    }

    /// Each number stands for one edge, so that only a look at all of them says which.
    fn has_untold(&self, connection: ConnectionId, via: ClientId) -> bool {
        let told = self.sessions.get(&connection).map_or(0, |session| session.numbers.len());
        self.all.get(&via).is_some_and(|below| below.len() > told)
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
        (connection, via): (ConnectionId, ClientId),
        branch: Branch,
        teller: &AccountName,
        here: Here<'_>,
        news: &mut News,
        now: Now,
    ) -> bool {
        let (number, place) = (branch.number, place(&branch));
        let known = self.all.get(&via).and_then(|below| below.get(&place));
        if known.is_some_and(|leaf| leaf.edge.account() != branch.account) {
            self.remove(via, &place, here.linked, news);
        }
        let Some(session) = self.sessions.get_mut(&connection) else { return false };
        let below = self.all.entry(via).or_default();
        let is_new = !below.contains_key(&place);
        if is_new && below.len() >= TREE_MAX {
            self.release(connection, number);
            return false;
        }
        let leaf = below.entry(place.clone()).or_insert_with(|| Leaf::new(&branch, now));
        // One edge has one number, and one number one edge: there are no more numbers than edges.
        let before = leaf.number.replace(number);
        if let Some(before) = before.filter(|before| *before != number) {
            session.numbers.remove(&before);
        }
        let changes = is_new || !leaf.is_as(&branch);
        self.counts += u64::from(leaf.tail != branch.tail);
        let (log_before, log) = (leaf.log.map(|(log, _)| log), branch.log.map(|(log, _)| log));
        let taken = log.map_or(Seq::ZERO, here.taken);
        let silent = leaf.told(&branch, taken, &mut news.said, now);
        leaf.watch(&mut self.watched, via, &place);
        let other = session.numbers.insert(number, place.clone()).filter(|other| *other != place);
        if let Some(other) = other.and_then(|other| below.get_mut(&other)) {
            other.number = None;
            news.turned.extend(other.log.map(|(log, _)| log));
        }
        self.changes += u64::from(changes);
        if changes || before.is_none() {
            news.turned.extend(log_before.into_iter().chain(log));
        }
        if log_before != log {
            self.forget_log(log_before, (via, place.clone()));
            if let Some(log) = log {
                self.logs.entry(log).or_default().insert((via, place));
            }
        }
        if silent && !self.is_up(log, branch.account, here.linked) {
            let (edge, name, cause) = (branch.edge, branch.name, format!("said by {teller}"));
            news.said.push((branch.account, SystemEvent::EdgeSilent { edge, name, cause }));
        }
        true
    }

    /// How far a log goes by now.
    fn tail(&mut self, connection: ConnectionId, number: u32, tail: Seq, news: &mut News, now: Now) {
        let Some(session) = self.sessions.get(&connection) else { return };
        let Some(place) = session.numbers.get(&number) else { return };
        let leaf = self.all.get_mut(&session.via).and_then(|below| below.get_mut(place));
        let Some(leaf) = leaf.filter(|leaf| leaf.tail != tail) else { return };
        leaf.tail = tail;
        news.said.extend(leaf.look(now));
        leaf.watch(&mut self.watched, session.via, place);
        self.counts += 1;
    }

    /// A number stands for nothing any more. What it stood for.
    fn release(&mut self, connection: ConnectionId, number: u32) -> Option<Place> {
        let session = self.sessions.get_mut(&connection)?;
        let place = session.numbers.remove(&number)?;
        if let Some(leaf) = self.all.get_mut(&session.via).and_then(|below| below.get_mut(&place)) {
            leaf.number = None;
        }
        Some(place)
    }

    fn remove(&mut self, via: ClientId, place: &Place, linked: &dyn Fn(LogId) -> bool, news: &mut News) {
        let Some(mut leaf) = self.all.get_mut(&via).and_then(|below| below.remove(place)) else { return };
        if let Some(number) = leaf.number {
            let of_via = self.sessions.values_mut().filter(|session| session.via == via);
            of_via.for_each(|session| drop(session.numbers.remove(&number)));
        }
        leaf.unwatch(&mut self.watched, via, place);
        let (log, account) = (leaf.log.map(|(log, _)| log), leaf.edge.account());
        self.forget_log(log, (via, place.clone()));
        self.changes += 1;
        news.turned.extend(log);
        if leaf.was_up && !self.is_up(log, account, linked) {
            let (edge, name, cause) =
                (leaf.edge.client, leaf.edge.name().clone(), "below no more".to_owned());
            news.said.push((account, SystemEvent::EdgeSilent { edge, name, cause }));
        }
    }

    /// Whether the edge with that log is up, whichever way.
    fn is_up(&self, log: Option<LogId>, account: AccountId, linked: &dyn Fn(LogId) -> bool) -> bool {
        let is_up = |log| self.leaves(log, account).any(|(_, leaf)| leaf.link == BranchLink::Up);
        log.is_some_and(|log| linked(log) || is_up(log))
    }

    /// Who has that log in this account, and below whom.
    fn leaves(&self, log: LogId, account: AccountId) -> impl Iterator<Item = (ClientId, &Leaf)> {
        let places = self.logs.get(&log).into_iter().flatten();
        let leaves = places.filter_map(|(via, place)| Some((*via, self.all.get(via)?.get(place)?)));
        leaves.filter(move |(_, leaf)| leaf.edge.account() == account)
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

    /// That connection is over: who was told on it is told on none.
    pub(crate) fn gone(&mut self, connection: ConnectionId) {
        let Some(session) = self.sessions.remove(&connection) else { return };
        let Some(below) = self.all.get_mut(&session.via) else { return };
        for place in session.numbers.values() {
            if let Some(leaf) = below.get_mut(place) {
                leaf.number = None;
            }
        }
    }

    /// An edge has no connection any more: of what is below it nobody knows anything from here on.
    pub(crate) fn away(&mut self, via: ClientId, now: Now) {
        for (place, leaf) in self.all.get_mut(&via).into_iter().flatten() {
            self.changes += u64::from(leaf.link != BranchLink::Unknown);
            leaf.set_link(BranchLink::Unknown, Duration::ZERO, now);
            leaf.watch(&mut self.watched, via, place);
        }
    }

    /// Only those stay of which it is so: of an edge in an account below another one.
    pub(crate) fn keep(
        &mut self,
        stays: impl Fn(ClientId, ClientId, AccountId) -> bool,
        linked: &dyn Fn(LogId) -> bool,
    ) -> News {
        let mut news = News::default();
        let each = self.all.iter().flat_map(|(via, below)| below.iter().map(move |one| (*via, one)));
        let gone: Vec<(ClientId, Place)> = each
            .filter(|(via, (_, leaf))| !stays(*via, leaf.edge.client, leaf.edge.account()))
            .map(|(via, (place, _))| (via, place.clone()))
            .collect();
        gone.iter().for_each(|(via, place)| self.remove(*via, place, linked, &mut news));
        self.all.retain(|_, below| !below.is_empty());
        news
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
                leaf.watch(&mut self.watched, *via, place);
            }
        }
        said
    }

    /// When [`Trees::deadline`] is due.
    pub(crate) fn watch_at(&self) -> Option<Time> {
        self.watched.first().map(|(at, ..)| *at)
    }

    /// Whoever has been behind for long is told to be.
    pub(crate) fn deadline(&mut self, now: Now) -> Said {
        let due = self.watched.iter().take_while(|(at, ..)| *at <= now.time);
        let due: Vec<(ClientId, Place)> = due.map(|(_, via, place)| (*via, place.clone())).collect();
        let mut said = Said::new();
        for (via, place) in due {
            let Some(leaf) = self.all.get_mut(&via).and_then(|below| below.get_mut(&place)) else { continue };
            said.extend(leaf.look(now));
            leaf.watch(&mut self.watched, via, &place);
        }
        said
    }

    /// The name of the edge with that log in an account, and whether it is up. None if nobody ever said whose log it is.
    ///
    /// It is up where any edge says so. Else `via`, by which it came last, is believed: it says that the edge is not up; or it
    /// says nothing on its present connection, and then all of its logs are as it is itself.
    pub(crate) fn site(
        &self,
        log: LogId,
        account: AccountId,
        (via, online): (ClientId, bool),
    ) -> Option<(&AccountName, bool)> {
        let is_told = |leaf: &Leaf| leaf.number.is_some();
        let is_up = |leaf: &Leaf| is_told(leaf) && leaf.link == BranchLink::Up;
        let best =
            self.leaves(log, account).max_by_key(|(of, leaf)| (is_up(leaf), is_told(leaf), *of == via));
        let (_, best) = best?;
        let says_not = || self.leaves(log, account).any(|(of, leaf)| of == via && is_told(leaf));
        Some((best.edge.name(), is_up(best) || (online && !says_not())))
    }

    /// Whether anybody said whose log it is.
    pub(crate) fn knows(&self, log: LogId) -> bool {
        self.logs.contains_key(&log)
    }

    /// The logs of those below an edge.
    pub(crate) fn logs_below(&self, via: ClientId) -> impl Iterator<Item = LogId> {
        let below = self.all.get(&via).into_iter().flat_map(BTreeMap::values);
        below.filter_map(|leaf| leaf.log.map(|(log, _)| log))
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

fn place(branch: &Branch) -> Place {
    branch.path.iter().copied().chain([branch.edge]).collect()
}

impl Leaf {
    fn new(branch: &Branch, now: Now) -> Self {
        Self {
            edge: Edge::new(branch.edge, branch.name.clone(), branch.account, now),
            number: None,
            log: None,
            link: BranchLink::Unknown,
            since: (Duration::from_millis(branch.for_ms), now.time),
            was_up: false,
            owes: false,
            tail: Seq::ZERO,
            taken: Seq::ZERO,
            watched: None,
        }
    }

    /// Whether that is known of it, numbers and times aside.
    fn is_as(&self, branch: &Branch) -> bool {
        self.edge.name() == &branch.name && self.log == branch.log && self.link == branch.link
    }

    /// Says whether it went down.
    fn told(&mut self, branch: &Branch, taken: Seq, said: &mut Said, now: Now) -> bool {
        self.edge.rename(branch.name.clone());
        if self.log.map(|(log, _)| log) != branch.log.map(|(log, _)| log) {
            self.taken = Seq::ZERO;
        }
        (self.log, self.tail, self.taken) = (branch.log, branch.tail, self.taken.max(taken));
        self.set_link(branch.link, Duration::from_millis(branch.for_ms), now);
        let silent = branch.link == BranchLink::Down && self.was_up;
        match (branch.link, self.was_up) {
            (BranchLink::Up, false) => {
                (self.was_up, self.owes) = (true, true);
                let epoch = branch.log.map_or(Epoch(0), |(_, epoch)| epoch);
                let (edge, name, backlog) = (branch.edge, branch.name.clone(), self.progress().queued);
                said.push((branch.account, SystemEvent::EdgeOnline { edge, name, epoch, backlog }));
            }
            (BranchLink::Down, true) => (self.was_up, self.owes) = (false, false),
            (BranchLink::Up, true) | (BranchLink::Down, false) | (BranchLink::Unknown, _) => {}
        }
        said.extend(self.look(now));
        silent
    }

    /// It is looked at again when it is to be.
    fn watch(&mut self, watched: &mut BTreeSet<(Time, ClientId, Place)>, via: ClientId, place: &Place) {
        let at = self.edge.watch_at();
        if self.watched != at {
            self.unwatch(watched, via, place);
            watched.extend(at.map(|at| (at, via, place.clone())));
            self.watched = at;
        }
    }

    fn unwatch(&mut self, watched: &mut BTreeSet<(Time, ClientId, Place)>, via: ClientId, place: &Place) {
        if let Some(at) = self.watched.take() {
            watched.remove(&(at, via, place.clone()));
        }
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
