//! Session history: what a connection publishes in a room is replayed to whoever joins, for as long as that
//! connection lasts; be it here or behind an edge.
//!
//! Of what came over a link and found no place the list knows where it is missing: a replay has a gap there. Where much is
//! missing the gaps grow together over what lies between, as long as nothing of that is replayed.
//!
//! What always holds: the list names entries of the log by their places and buffers none of them; what one connection
//! published is in it from its commit until that connection ends, and not a moment longer; who was shown any of it in
//! a replay is told when it is wiped, once, over a cut of its own connection too. The bytes stay on disk until the log lets
//! them go.

use crate::{
    behind::{Behind, Kept},
    bus::Bus,
    connection,
    graph::{ChannelSlot, Key},
    subscription::{Scope, State},
    topics,
};
use riser_model::{ConnectionId, Principal, Right, Seq, SessionId};
use std::collections::{BTreeMap, BTreeSet};

/// So many places where something is missing are kept apart, besides as many as there are entries.
const MISSING_MAX: usize = 1024;
/// In so many channels of a room it is known that a session published; of one that did in more it may be any.
const CHANNELS_MAX: usize = 32;

/// What of a room is replayed.
#[derive(Debug, Default)]
pub(crate) struct SessionHistory {
    owned: BTreeMap<Seq, SessionId>,
    owners: BTreeMap<SessionId, Owner>,
    /// What found no place, by its first seq.
    missing: BTreeMap<Seq, Missing>,
    /// Publications on their way to the disk, which will be in it.
    under_way: usize,
}

/// Something that is missing: up to this seq, of these.
#[derive(Debug)]
struct Missing {
    to: Seq,
    of: BTreeSet<SessionId>,
}

#[derive(Debug, Default)]
struct Owner {
    seqs: BTreeSet<Seq>,
    channels: Channels,
    /// Who was shown any of them in a replay.
    shown: BTreeSet<Key>,
}

/// Where a session published.
#[derive(Debug)]
enum Channels {
    /// In these, and what came first in each.
    These(BTreeMap<ChannelSlot, Seq>),
    /// In more than are remembered, or somewhere that is not known.
    Any,
}

impl Default for Channels {
    fn default() -> Self {
        Self::These(BTreeMap::new())
    }
}

impl Channels {
    fn add(&mut self, channel: Option<ChannelSlot>, seq: Seq) {
        let Self::These(known) = self else { return };
        match channel {
            Some(channel) if known.len() < CHANNELS_MAX || known.contains_key(&channel) => {
                let first = known.entry(channel).or_insert(seq);
                *first = seq.min(*first);
            }
            Some(_) | None => *self = Self::Any,
        }
    }
}

impl Owner {
    /// Whether any of it is at that seq or before, in a channel that passes.
    fn has_to(&self, seq: Seq, mut passes: impl FnMut(ChannelSlot) -> bool) -> bool {
        self.seqs.first().is_some_and(|first| *first <= seq)
            && match &self.channels {
                Channels::Any => true,
                Channels::These(known) => {
                    known.iter().any(|(channel, first)| *first <= seq && passes(*channel))
                }
            }
    }
}

impl SessionHistory {
    /// Keeps a place for one more publication, if there is one.
    pub(crate) fn reserve(&mut self, most: usize) -> bool {
        let fits = self.owned.len() + self.under_way < most;
        self.under_way += usize::from(fits);
        fits
    }

    /// A place that was kept is not needed.
    pub(crate) fn release(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// A publication for which a place was kept is on disk.
    pub(crate) fn add(&mut self, seq: Seq, channel: ChannelSlot, owner: SessionId) {
        self.release();
        self.list(seq, Some(channel), owner);
    }

    /// A publication is on disk that came over a link, in that channel if it is known.
    pub(crate) fn list(&mut self, seq: Seq, channel: Option<ChannelSlot>, owner: SessionId) {
        self.owned.insert(seq, owner);
        let owner = self.owners.entry(owner).or_default();
        owner.seqs.insert(seq);
        owner.channels.add(channel, seq);
    }

    /// Whose an entry is.
    pub(crate) fn owner(&self, seq: Seq) -> Option<SessionId> {
        self.owned.get(&seq).copied()
    }

    /// The same, for which there is no place.
    pub(crate) fn miss(&mut self, seq: Seq, owner: SessionId) {
        if let Some(mut last) = self.missing.last_entry()
            && last.get().to.next() == seq
            && last.get().of.iter().eq([&owner])
        {
            last.get_mut().to = seq;
        } else {
            self.missing.insert(seq, Missing { to: seq, of: BTreeSet::from([owner]) });
        }
        if self.missing.len() > MISSING_MAX + self.owned.len() {
            self.merge_missing();
        }
    }

    /// Between two that stay apart something is replayed: so there are no more than of that, and one.
    fn merge_missing(&mut self) {
        for (first, Missing { to, of }) in std::mem::take(&mut self.missing) {
            match self.missing.last_entry() {
                Some(mut last) if self.owned.range(last.get().to..first).next().is_none() => {
                    last.get_mut().to = to;
                    last.get_mut().of.extend(of);
                }
                Some(_) | None => drop(self.missing.insert(first, Missing { to, of })),
            }
        }
    }

    /// The first entry after that one.
    pub(crate) fn after(&self, seq: Seq) -> Option<Seq> {
        self.owned.range(seq.next()..).next().map(|(seq, _)| *seq)
    }

    /// What is missing first after that one, if nothing that is there comes before it.
    pub(crate) fn missing_after(&self, seq: Seq) -> Option<(Seq, Seq)> {
        let first = self.missing.range(seq.next()..).next().map(|(from, missing)| (*from, missing.to))?;
        self.after(seq).is_none_or(|owned| owned > first.0).then_some(first)
    }

    /// What is missing first from that one on, whatever is there.
    pub(crate) fn missing_from(&self, seq: Seq) -> Option<(Seq, Seq)> {
        let before = self.missing.range(..seq).next_back().filter(|(_, missing)| missing.to >= seq);
        let within = before.map(|(_, missing)| (seq, missing.to));
        within.or_else(|| self.missing.range(seq..).next().map(|(from, missing)| (*from, missing.to)))
    }

    /// An entry is shown in a replay.
    pub(crate) fn show(&mut self, seq: Seq, to: Key) {
        if let Some(owner) = self.owned.get(&seq).and_then(|owner| self.owners.get_mut(owner)) {
            owner.shown.insert(to);
        }
    }

    /// Whose entries there may be up to that one in channels that pass. Each channel is asked about once.
    fn owners_to(&self, seq: Seq, passes: impl Fn(ChannelSlot) -> bool) -> Vec<SessionId> {
        let mut verdicts = BTreeMap::new();
        let mut passes = |channel| *verdicts.entry(channel).or_insert_with(|| passes(channel));
        let passing = self.owners.iter().filter(|(_, owner)| owner.has_to(seq, &mut passes));
        passing.map(|(id, _)| *id).collect()
    }

    /// A subscription is no more, or another one.
    pub(crate) fn forget(&mut self, key: Key) {
        for owner in self.owners.values_mut() {
            owner.shown.remove(&key);
        }
    }

    /// A connection ended: nothing of it is replayed any more. Who is to be told.
    pub(crate) fn wipe(&mut self, owner: SessionId) -> BTreeSet<Key> {
        self.missing.retain(|_, missing| {
            missing.of.remove(&owner);
            !missing.of.is_empty()
        });
        let Some(gone) = self.owners.remove(&owner) else { return BTreeSet::new() };
        for seq in gone.seqs {
            self.owned.remove(&seq);
        }
        gone.shown
    }
}

impl Bus {
    /// A connection of this instance with session history, as others are told of it.
    pub(crate) fn session_id(&self, connection: ConnectionId) -> SessionId {
        SessionId { epoch: self.chain.epoch, connection }
    }

    /// What a connection behind an edge published is on disk, and replayed from now on.
    pub fn list_behind(&mut self, kept: &Kept) {
        let Some(owner) = self.owner_behind(kept.owner) else { return };
        let Some(slot) = self.graph.room_of(kept.room) else { return };
        // What was before the process began is in no tail.
        let found = self.tail.get(kept.seq);
        let channel = found.and_then(|found| self.routes.known(found.route)).map(|known| known.channel);
        let Some(session) = &mut self.graph.room_mut(slot).session else { return };
        if kept.is_listed {
            session.list(kept.seq, channel, owner);
        } else {
            session.miss(kept.seq, owner);
        }
    }

    /// A connection behind an edge ended that had session history.
    pub fn end_behind(&mut self, owner: Behind) {
        if let Some(owner) = self.owner_behind(owner) {
            self.end_session(owner);
        }
    }

    fn owner_behind(&self, (origin, connection): Behind) -> Option<SessionId> {
        let (_, epoch) = self.routes.origin(origin)?;
        Some(SessionId { epoch, connection })
    }

    /// A connection ended that had session history: who was shown any of it is told.
    pub(crate) fn end_session(&mut self, owner: SessionId) {
        for (reader, id) in self.graph.wipe(owner) {
            let subscription =
                self.connections.get_mut(&reader).and_then(|reader| reader.subscriptions.get_mut(&id));
            let Some(subscription) = subscription else { continue };
            subscription.wiped.push_back(owner);
            if subscription.state == State::Idle {
                connection::stop(&mut self.graph, subscription, (reader, id));
                self.look(reader, id);
            }
        }
    }

    /// The first entry that is replayed in any of these rooms, or where the first would be; none where no room offers
    /// session history.
    pub(crate) fn first_of_sessions(&self, scope: &Scope) -> Option<Seq> {
        let rooms = scope.rooms(&self.graph);
        let sessions = rooms.into_iter().filter_map(|room| self.graph.room(room).session.as_ref());
        let first = |one: &SessionHistory| {
            let missing = one.missing_after(Seq::ZERO).map(|(from, _)| from);
            missing.or(one.after(Seq::ZERO)).unwrap_or(self.chain.committed.next())
        };
        sessions.map(first).min()
    }

    /// An entry was shown to a subscription that joined after it was published.
    pub(crate) fn note_shown(&mut self, scope: &Scope, seq: Seq, to: Key) {
        for room in scope.rooms(&self.graph) {
            if let Some(session) = &mut self.graph.room_mut(room).session {
                session.show(seq, to);
            }
        }
    }

    /// A subscription goes on from there that another connection began: nobody knows what that one was shown of the sessions
    /// that last. So it is told of each of which it may have been shown something; who was shown nothing of one has nothing to
    /// take away. Of a session that is known to have published only what it may not read it is told nothing.
    pub(crate) fn note_shown_before(
        &mut self,
        scope: &Scope,
        cursor: Seq,
        (principal, to): (&Principal, Key),
    ) {
        for slot in scope.rooms(&self.graph) {
            let room = self.graph.room(slot);
            let Some(session) = &room.session else { continue };
            let is_whole = principal.grants.whole(Right::Subscribe, room.id);
            let may_read = |channel: ChannelSlot| {
                let name = &self.graph.channel(channel).name;
                is_whole || topics::readable(&self.graph, principal, slot, name)
            };
            let owners = session.owners_to(cursor, may_read);
            if let Some(session) = &mut self.graph.room_mut(slot).session {
                for owner in owners {
                    session.owners.entry(owner).or_default().shown.insert(to);
                }
            }
        }
    }

    /// A subscription is no more: it need not be told anything.
    pub(crate) fn forget_shown(&mut self, scope: &Scope, key: Key) {
        for room in scope.rooms(&self.graph) {
            if let Some(session) = &mut self.graph.room_mut(room).session {
                session.forget(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::Epoch;

    fn owner(n: u64) -> SessionId {
        SessionId { epoch: Epoch(1), connection: ConnectionId(n) }
    }

    #[test]
    fn who_comes_back_costs_a_look_at_each_session_and_not_at_each_publication() {
        let mut history = SessionHistory::default();
        let channel = |n: u64| ChannelSlot(n as u32 % 2);
        for n in 1..=3000 {
            history.list(Seq(n), Some(channel(n % 3)), owner(n % 3));
        }
        let asked = std::cell::Cell::new(0);
        let of = |seq, passing| {
            history.owners_to(Seq(seq), |channel| {
                asked.set(asked.get() + 1);
                channel == ChannelSlot(passing)
            })
        };
        assert_eq!(of(3000, 0), [owner(0), owner(2)]);
        assert_eq!(asked.take(), 2, "once for each channel");
        assert_eq!(of(3000, 1), [owner(1)]);
        assert_eq!(of(2, 0), [owner(2)], "what came later was not shown");
        assert_eq!(of(0, 0), []);
    }

    #[test]
    fn session_that_published_in_more_channels_than_are_remembered_may_have_in_any() {
        let mut history = SessionHistory::default();
        let most = CHANNELS_MAX as u32;
        for round in 0..2 {
            for n in 0..most {
                history.list(Seq(u64::from(round * most + n + 1)), Some(ChannelSlot(n)), owner(1));
            }
        }
        let seq = Seq(1000);
        assert_eq!(history.owners_to(seq, |channel| channel == ChannelSlot(most)), []);
        history.list(seq, Some(ChannelSlot(most)), owner(1));
        assert_eq!(history.owners_to(seq, |_| false), [owner(1)]);
        assert_eq!(history.owners_to(Seq::ZERO, |_| true), []);
    }

    #[test]
    fn what_is_missing_takes_bounded_memory_and_never_hides_what_is_replayed() {
        let mut history = SessionHistory::default();
        let rounds = 50 * MISSING_MAX as u64;
        for n in 0..rounds {
            history.miss(Seq(10 * n + 1), owner(n % 3));
            if n % 100 == 0 {
                history.list(Seq(10 * n + 5), None, owner(9));
            }
            assert!(history.missing.len() <= MISSING_MAX + history.owned.len());
        }
        // A replay meets each entry, and a gap before all that follows one.
        let (mut at, mut listed, mut gaps) = (Seq::ZERO, 0, 0);
        loop {
            if let Some((from, to)) = history.missing_after(at) {
                assert!(history.owned.range(from..=to).next().is_none());
                (at, gaps) = (to, gaps + 1);
            } else if let Some(seq) = history.after(at) {
                (at, listed) = (seq, listed + 1);
            } else {
                break;
            }
        }
        assert_eq!(listed, history.owned.len());
        assert!(gaps >= listed, "{gaps}");
        // It is over with the last of those whose it was.
        (0..2).for_each(|n| drop(history.wipe(owner(n))));
        assert!(!history.missing.is_empty());
        history.wipe(owner(2));
        assert!(history.missing.is_empty());
    }
}
