//! Session history, held against what really is: which sessions last, as their host's doors and its log say, and what those
//! who come are told of them.
//!
//! [`Sessions`] is what a host should know. Its own connections' last as long as their doors do; those behind edges until the
//! edge's entries say otherwise: that a connection closed, that the edge began anew, or, when it says everybody anew, that
//! one was not among them. [`Listening`] is what one connection was told.

use crate::{
    journal::{Journal, Logged},
    site,
    talker::Told,
};
use riser_model::{Cause, ConnectionId, Epoch, LogId, Seq, SessionId, Time};
use riser_wire::{
    entry::{Body, Kind},
    membership::{ALL, ANEW, Membership, NOBODY},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A host hears that a connection ended, and ends its session, within so long.
const HEARS_WITHIN: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub struct Sessions {
    /// Its own connections that are open, or when they ended.
    own: BTreeMap<SessionId, Option<Time>>,
    /// Those behind edges that have published something, or when it was seen that they ended.
    behind: BTreeMap<SessionId, Option<Time>>,
    /// The newest epoch of each edge.
    edges: BTreeMap<LogId, Epoch>,
    /// Whom an edge that says everybody anew has not named yet.
    doubted: BTreeMap<Epoch, BTreeSet<ConnectionId>>,
    /// What came before its edge had said that a new epoch began, for its log had no room for that: it is live only.
    live_only: BTreeSet<Seq>,
    /// Up to here its log was looked through.
    through: Seq,
    /// Those whose end is on disk, at that seq, which its core had not heard of at the last look: a sync may be slow.
    unheard: BTreeMap<SessionId, Seq>,
    /// How many publications of each session its log has, and how many of those it took itself.
    places: BTreeMap<SessionId, (usize, usize)>,
    /// Up to here they were counted.
    counted: Seq,
}

impl Sessions {
    /// A connection of its own opened.
    pub fn opened(&mut self, session: SessionId) {
        self.own.insert(session, None);
    }

    /// A connection of its own ended.
    pub fn closed(&mut self, session: SessionId, now: Time) {
        self.own.entry(session).or_default().get_or_insert(now);
    }

    /// Looks through what its log has since the last time, of which its core has heard so much. In these epochs a log refused
    /// something.
    pub fn look(&mut self, (journal, answered): (&Journal, Seq), refusing: &BTreeSet<Epoch>, now: Time) {
        for (seq, entry) in journal.entries.range(self.through.next()..) {
            self.through = *seq;
            self.entry(*seq, entry, refusing, now);
        }
        for session in self.unheard.keys() {
            self.behind.insert(*session, Some(now));
        }
        self.unheard.retain(|_, seq| *seq > answered);
    }

    fn entry(&mut self, seq: Seq, entry: &Logged, refusing: &BTreeSet<Epoch>, now: Time) {
        let lounge = site::room(site::LOUNGE);
        let Some((log, epoch, _)) = entry.origin else { return };
        let is_here = entry.room == Some(lounge);
        match entry.kind {
            Kind::Publication if is_here => {
                // Who opened it may be lost with the edge's quota: the epoch that follows ends it all the same.
                let said = *self.edges.entry(log).or_insert(epoch);
                if let Some(connection) = entry.session() {
                    if said != epoch && refusing.contains(&epoch) {
                        self.live_only.insert(seq);
                    }
                    self.behind.entry(SessionId { epoch, connection }).or_default();
                }
            }
            Kind::Opened | Kind::Closed => {
                let Ok(body) = Body::read(&entry.body) else { return };
                if let Ok(membership) = Membership::read(&body) {
                    self.moved((seq, entry.kind, is_here), epoch, &membership, now);
                }
            }
            _ => {}
        }
    }

    /// Who comes or goes in any room says that a new epoch began; what else it says is of its room.
    fn moved(&mut self, (seq, kind, is_here): (Seq, Kind, bool), epoch: Epoch, said: &Membership, now: Time) {
        let before = self.edges.insert(said.log, epoch).filter(|before| *before != epoch);
        let mut gone: Vec<SessionId> = Vec::new();
        if let Some(before) = before {
            gone.extend(self.behind.keys().filter(|session| session.epoch == before));
        }
        match kind {
            _ if !is_here => {}
            Kind::Closed if said.connection == NOBODY && said.cause == ANEW => {
                let lasting =
                    self.behind.iter().filter(|(session, ended)| session.epoch == epoch && ended.is_none());
                self.doubted.insert(epoch, lasting.map(|(session, _)| session.connection).collect());
            }
            Kind::Closed if said.connection == NOBODY && said.cause == ALL => {
                let unnamed = self.doubted.remove(&epoch).unwrap_or_default();
                gone.extend(unnamed.into_iter().map(|connection| SessionId { epoch, connection }));
            }
            Kind::Closed => gone.push(SessionId { epoch, connection: said.connection }),
            _ => {
                if let Some(doubted) = self.doubted.get_mut(&epoch) {
                    doubted.remove(&said.connection);
                }
            }
        }
        for session in gone {
            if let Some(ended @ None) = self.behind.get_mut(&session) {
                *ended = Some(now);
                self.unheard.insert(session, seq);
            }
        }
    }

    /// When a session ended. None: it lasts. Whatever nobody knows of never was.
    fn ended(&self, session: SessionId) -> Option<Time> {
        self.own.get(&session).or_else(|| self.behind.get(&session)).copied().unwrap_or(Some(Time(0)))
    }

    /// How many publications of its own connections' sessions that last have places; and how many of any sessions had one at
    /// some time since then.
    pub fn kept(&mut self, journal: &Journal, since: Time) -> (usize, usize) {
        let through = journal.next().prev();
        for (_, entry) in in_lounge(journal, self.counted.next(), through) {
            let Some(session) = session(entry) else { continue };
            let (all, own) = self.places.entry(session).or_default();
            *all += 1;
            *own += usize::from(entry.origin.is_none());
        }
        self.counted = through;
        let (mut lasting, mut lately) = (0, 0);
        for (session, (all, own)) in &self.places {
            match self.ended(*session) {
                None => {
                    lasting += own;
                    lately += all;
                }
                Some(at) if at.plus(HEARS_WITHIN) > since => lately += all,
                Some(_) => {}
            }
        }
        (lasting, lately)
    }
}

/// The publications of the room between two seqs.
fn in_lounge(journal: &Journal, from: Seq, to: Seq) -> impl Iterator<Item = (Seq, &Logged)> {
    let lounge = site::room(site::LOUNGE);
    let is_one = move |entry: &&Logged| entry.room == Some(lounge) && entry.kind == Kind::Publication;
    journal
        .entries
        .range(from..to.next().max(from))
        .map(|(seq, entry)| (*seq, entry))
        .filter(move |(_, entry)| is_one(entry))
}

/// The session that an entry belongs to, if its publisher asked for one.
fn session(entry: &Logged) -> Option<SessionId> {
    let epoch = entry.origin.map_or(entry.epoch, |(_, epoch, _)| epoch);
    Some(SessionId { epoch, connection: entry.session()? })
}

/// The log that a session is replayed from.
#[derive(Debug)]
pub struct Log<'a> {
    /// What it really holds.
    pub journal: &'a Journal,
    /// Where it begins.
    pub oldest: Seq,
    /// Why what is below that is gone.
    pub cause: Cause,
}

/// What one connection was told of the room. See the module.
#[derive(Debug)]
pub struct Listening {
    /// What the core had on disk when it asked to come in, for sure, and when that was.
    asked: (Seq, Time),
    /// What was on disk when it knew that it is in.
    joined: Option<Seq>,
    at: Seq,
    /// Sessions of which it was shown something that was there before it, and of which it may have been.
    shown: BTreeSet<SessionId>,
    maybe: BTreeSet<SessionId>,
    /// Messages that were there before it.
    pub replayed: u64,
    /// Sessions that it was told have ended.
    pub wiped: u64,
}

impl Listening {
    /// Somebody asks to come in.
    pub fn new(answered: Seq, now: Time) -> Self {
        Self {
            asked: (answered, now),
            joined: None,
            at: Seq::ZERO,
            shown: BTreeSet::new(),
            maybe: BTreeSet::new(),
            replayed: 0,
            wiped: 0,
        }
    }

    /// Takes what it was told by a host with that log. Says what is wrong with it.
    pub fn told(
        &mut self,
        told: &Told,
        sessions: &Sessions,
        log @ Log { journal, .. }: &Log<'_>,
    ) -> Option<String> {
        match told {
            Told::Joined => {
                self.joined = Some(journal.next().prev());
                None
            }
            Told::Message { at, payload } => {
                let Some(entry) = journal.entries.get(&at.seq) else {
                    return Some(format!("{at} is not in the log"));
                };
                if entry.epoch != at.epoch || entry.payload().unwrap_or_default() != payload.as_bytes() {
                    return Some(format!("{at} is not {payload}"));
                }
                if at.seq <= self.at {
                    return Some(format!("{at} comes after {}", self.at.0));
                }
                let missing = self.walk(at.seq.prev(), sessions, journal);
                self.at = at.seq;
                missing.or_else(|| self.shown(at.seq, entry, sessions))
            }
            Told::Through(at) => self.walk(at.seq, sessions, journal),
            // A session is replayed from the log, and what that let go of is told as gone; what is before that is due.
            Told::Gap { from, to, cause } if *to < log.oldest && cause == log.cause.name() => {
                let missing = self.walk(from.prev(), sessions, journal);
                self.at = self.at.max(*to);
                missing
            }
            Told::Gap { from, to, cause } => {
                Some(format!("{} to {} are gone, by {cause}, and are there", from.0, to.0))
            }
            Told::Wiped(session) => self.wiped(session, sessions),
        }
    }

    /// What was there before it may only be of a session that lasts, or did until a moment ago.
    fn shown(&mut self, seq: Seq, entry: &Logged, sessions: &Sessions) -> Option<String> {
        let session = session(entry);
        if seq <= self.asked.0 {
            self.replayed += 1;
            let Some(session) = session else {
                return Some(format!("{} was there before and belongs to no session", seq.0));
            };
            let ended = sessions.ended(session).filter(|at| at.plus(HEARS_WITHIN) < self.asked.1);
            if let Some(ended) = ended {
                return Some(format!("{} is of {session}, which ended at {} ms", seq.0, ended.0 / 1_000_000));
            }
            self.shown.insert(session);
        } else if self.joined.is_none_or(|joined| seq <= joined) {
            self.maybe.extend(session);
        }
        None
    }

    /// It was told everything up to here. What lies between, and should have been told, is missing.
    fn walk(&mut self, to: Seq, sessions: &Sessions, journal: &Journal) -> Option<String> {
        let missing = self.missing(to, sessions, journal);
        self.at = self.at.max(to);
        missing.map(|seq| format!("{} was not told", seq.0))
    }

    fn missing(&self, to: Seq, sessions: &Sessions, journal: &Journal) -> Option<Seq> {
        let joined = self.joined?;
        let due = |seq: Seq, entry: &Logged| {
            let lasts = || session(entry).is_some_and(|session| sessions.ended(session).is_none());
            seq > joined || (!sessions.live_only.contains(&seq) && lasts())
        };
        let mut between = in_lounge(journal, self.at.next(), to);
        between.find(|(seq, entry)| due(*seq, entry)).map(|(seq, _)| seq)
    }

    fn wiped(&mut self, name: &str, sessions: &Sessions) -> Option<String> {
        self.wiped += 1;
        let known = self.shown.iter().chain(&self.maybe).find(|session| session.to_string() == name).copied();
        let Some(session) = known else {
            return Some(format!(
                "{name} was wiped, of which it was shown nothing, or which was wiped before"
            ));
        };
        self.shown.remove(&session);
        self.maybe.remove(&session);
        sessions.ended(session).is_none().then(|| format!("{name} was wiped and lasts"))
    }

    /// What it should have been told for so long and was not.
    pub fn owed(
        &self,
        sessions: &Sessions,
        journal: &Journal,
        (now, within): (Time, Duration),
    ) -> Option<String> {
        self.joined?;
        let over = |session: &&SessionId| sessions.ended(**session).is_some_and(|at| at.plus(within) < now);
        if let Some(session) = self.shown.iter().find(over) {
            return Some(format!("that {session} ended"));
        }
        Some(self.missing(journal.next().prev(), sessions, journal)?.0.to_string())
    }

    /// That a session ended, of which it was shown something, so long ago, and it was not told.
    pub fn unwiped(&self, sessions: &Sessions, (now, within): (Time, Duration)) -> Option<SessionId> {
        let over = |session: &&SessionId| sessions.ended(**session).is_some_and(|at| at.plus(within) < now);
        self.shown.iter().find(over).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use riser_model::{RouteNumber, Stamp};
    use riser_wire::entry::{ContentType, Frame, Publication};

    /// What a connection that wants to be replayed has published.
    fn publication(connection: ConnectionId) -> Logged {
        let mut publication = Publication::new(ContentType::Text, b"x");
        publication.session = Some(connection);
        let mut bytes = Vec::new();
        publication.write_frame(&mut bytes, RouteNumber(1), Stamp::default());
        let (frame, _) = Frame::read(&bytes, 0).unwrap();
        let body = Bytes::copy_from_slice(frame.body);
        let mut logged = Logged::of((Epoch(1), None), None, (body, true));
        logged.room = Some(site::room(site::LOUNGE));
        logged
    }

    #[test]
    fn a_gap_is_believed_of_what_a_log_let_go_of_for_its_cause_and_hides_nothing_before_it() {
        let connection = ConnectionId(7);
        let mut journal = Journal::default();
        journal.entries.extend((1..=6).map(|seq| (Seq(seq), publication(connection))));
        let log = Log { journal: &journal, oldest: Seq(4), cause: Cause::HubQuota };
        let mut sessions = Sessions::default();
        sessions.opened(SessionId { epoch: Epoch(1), connection });
        let hears = |from: u64, to: u64, cause: Cause| {
            let mut listening = Listening::new(Seq(6), Time(0));
            assert_eq!(listening.told(&Told::Joined, &sessions, &log), None);
            let gap = Told::Gap { from: Seq(from), to: Seq(to), cause: cause.name().to_owned() };
            listening.told(&gap, &sessions, &log)
        };
        assert_eq!(hears(1, 3, Cause::HubQuota), None);
        for (from, to, cause) in [(1, 3, Cause::Retention), (1, 4, Cause::HubQuota), (3, 3, Cause::HubQuota)]
        {
            assert!(hears(from, to, cause).is_some(), "{from} to {to}, {cause:?}");
        }
    }
}
