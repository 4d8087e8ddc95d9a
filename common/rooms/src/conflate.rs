//! The newest value per channel, for subscriptions that want the present and not the past.
//!
//! A channel shows its newest entry, or a newer value that came beside a backlog (section 7.7). It never steps
//! back: entries of a backlog that are older than what was shown in its place are counted as skipped.
//!
//! What an archive alone has is the past: a channel that was published in nowhere else has no place in the graph, and gets
//! none for being looked at. There are at most as many places as the log has routes, and an archive of years has no such
//! bound.

use crate::{
    graph::{Channel, ChannelSlot, Present, Value},
    replay::Item,
    routes::Routes,
    subscription::{Newest, Next, Scope, Subscription, View},
    tail::Found,
    topics,
};
use riser_model::{Epoch, LogId, Position, Seq, SubscriptionId};
use std::collections::BTreeMap;

/// Bodies up to this size are kept when they fall out of the tail; larger ones are read from the disk.
const COPY_BYTES_MAX: usize = 4096;

/// What a subscription has shown.
#[derive(Debug)]
pub(crate) struct Conflation {
    /// Channels whose newest value has a turn up to this one are done.
    pub(crate) turn: u64,
    /// Entries up to here are not shown: the peer has them.
    pub(crate) since: Seq,
    /// How many publications a channel had when it was last shown.
    seen: BTreeMap<ChannelSlot, u64>,
}

impl Conflation {
    pub(crate) fn new(turn: u64, since: Seq) -> Self {
        Self { turn, since, seen: BTreeMap::new() }
    }

    /// Takes the publications of a channel that the peer has, or that came before it.
    pub(crate) fn start(&mut self, slot: ChannelSlot, channel: &Channel) {
        let after = if self.since == Seq::ZERO { 0 } else { channel.count_after(self.since) };
        self.seen.insert(slot, channel.total - after);
    }

    /// The channel's newest value was told.
    pub(crate) fn shown(&mut self, slot: ChannelSlot, channel: &Channel) {
        self.turn = channel.turn;
        self.seen.insert(slot, channel.total);
    }
}

/// Bodies of newest values that fell out of the tail.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    by_seq: BTreeMap<Seq, Found>,
    bytes: usize,
}

impl Copies {
    /// Keeps a value; lets the oldest go beyond `bytes_max`. The body is copied: it must not hold its batch.
    pub(crate) fn keep(&mut self, seq: Seq, found: Found, bytes_max: usize) {
        if found.body.len() > COPY_BYTES_MAX {
            return;
        }
        let body = bytes::Bytes::copy_from_slice(&found.body);
        self.bytes += body.len();
        self.by_seq.insert(seq, Found { body, ..found });
        while self.bytes > bytes_max {
            let Some((_, gone)) = self.by_seq.pop_first() else { break };
            self.bytes -= gone.body.len();
        }
    }

    /// The value is not the newest any more.
    pub(crate) fn body(&self, seq: Seq) -> Option<bytes::Bytes> {
        self.by_seq.get(&seq).map(|found| found.body.clone())
    }

    pub(crate) fn remove(&mut self, seq: Seq) {
        if let Some(gone) = self.by_seq.remove(&seq) {
            self.bytes -= gone.body.len();
        }
    }

    /// The log let go of everything below `oldest`.
    pub(crate) fn trim(&mut self, oldest: Seq) {
        while self.by_seq.first_key_value().is_some_and(|(seq, _)| *seq < oldest) {
            let Some((_, gone)) = self.by_seq.pop_first() else { break };
            self.bytes -= gone.body.len();
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_seq.len()
    }

    fn get(&self, seq: Seq) -> Option<Found> {
        self.by_seq.get(&seq).cloned()
    }
}

/// The next channel whose newest value was not shown.
pub(crate) fn look(subscription: &mut Subscription, view: &View<'_>) -> Next {
    loop {
        let Some(slot) = next_channel(subscription, view) else {
            subscription.cursor = view.chain.committed;
            if let Some(conflation) = &mut subscription.conflation {
                conflation.turn = view.graph.turn;
            }
            return Next::Nothing;
        };
        let channel = view.graph.channel(slot);
        let Some(conflation) = &mut subscription.conflation else { return Next::Nothing };
        let newest = match channel.value {
            Some(Value::Log(seq)) if seq > conflation.since.max(view.graph.room(channel.room).floor) => {
                logged(view, seq, subscription.id)
            }
            Some(Value::Latest(log)) => channel.presents.get(&log).map(|present| {
                Ok(Newest::Latest { route: present.route.clone(), body: present.body.clone() })
            }),
            Some(Value::Log(_)) | None => None,
        };
        match newest {
            // What is the newest for another one is not shown, nor what was before it.
            Some(Ok(Newest::Log { body, .. }))
                if !topics::is_told(view.graph, view.principal, slot, &body) =>
            {
                conflation.turn = channel.turn;
            }
            Some(Ok(value)) => {
                let own = u64::from(matches!(channel.value, Some(Value::Log(_))));
                let seen = conflation.seen.get(&slot).copied().unwrap_or(0);
                let skipped = channel.total.saturating_sub(seen + own);
                return Next::Newest { channel: slot, value, skipped };
            }
            Some(Err(blocked)) => {
                subscription.wanted = blocked;
                return Next::Blocked;
            }
            None => conflation.turn = channel.turn,
        }
    }
}

fn next_channel(subscription: &mut Subscription, view: &View<'_>) -> Option<ChannelSlot> {
    let turn = subscription.conflation.as_ref()?.turn;
    let rooms = match &mut subscription.scope {
        Scope::Channel(slot) => {
            let channel = view.graph.channel(*slot);
            return (channel.turn > turn && channel.value.is_some()).then_some(*slot);
        }
        Scope::Rooms { rooms, .. } => rooms,
    };
    let mut next: Option<(u64, ChannelSlot)> = None;
    for (room, scope) in rooms {
        let changed = view.graph.room(*room).recent.range(turn.max(scope.floor_turn) + 1..);
        let mut older = changed.take_while(|(at, _)| next.is_none_or(|(best, _)| **at < best));
        let met = older.find(|(_, slot)| scope.meets(view.graph, view.principal, view.graph.channel(**slot)));
        next = met.map(|(at, slot)| (*at, *slot)).or(next);
    }
    next.map(|(_, slot)| slot)
}

/// A value in the log; none if its route is unknown; the seq to be read if it is not in memory.
fn logged(view: &View<'_>, seq: Seq, reader: SubscriptionId) -> Option<Result<Newest, Seq>> {
    let held = view.held.filter(|held| held.covers(seq, reader));
    let found = view.tail.get(seq).or_else(|| view.copies.get(seq)).or_else(|| held?.get(seq));
    let Some(Found { epoch, route, body, wall, uncertain }) = found else {
        let gap =
            held.is_some_and(|held| matches!(held.after(seq.prev()), Some(Item::Gap(_) | Item::Skip(..))));
        let gone = gap || seq < view.chain.oldest;
        return Some(if gone { Ok(Newest::Gone(seq)) } else { Err(seq) });
    };
    let route = view.routes.known(route)?.route.clone();
    let position = Position { log: view.chain.log, epoch, seq };
    Some(Ok(Newest::Log { position, route, body, wall, uncertain }))
}

/// Whether an entry is newer than what its channel shows beside the backlog it came with; then that is done.
pub(crate) fn overtakes(
    channel: &mut Channel,
    routes: &Routes,
    origin: Option<(u32, Seq)>,
) -> Option<Present> {
    let (number, seq) = origin?;
    let (log, epoch) = routes.origin(number)?;
    let present = channel.presents.get(&log)?;
    let passed = if present.epoch == epoch {
        seq >= present.seq
    } else {
        // Epochs of one log arrive in the order of their numbers; one that never arrived is yet to come.
        routes.origin_number((log, present.epoch)).is_some_and(|shown| number > shown)
    };
    if passed { channel.presents.remove(&log) } else { None }
}

/// Whether an entry is older than what its channel shows in its place.
pub(crate) fn outdated(channel: &Channel, routes: &Routes, origin: Option<(u32, Seq)>) -> bool {
    let Some((log, _)) = origin.and_then(|(number, _)| routes.origin(number)) else { return false };
    channel.presents.contains_key(&log)
}

/// Whether a value that comes beside a backlog is newer than everything known of its channel from that log.
pub(crate) fn is_news(channel: &Channel, routes: &Routes, log: LogId, epoch: Epoch, seq: Seq) -> bool {
    let stored = channel.origin.is_some_and(|(number, stored)| match routes.origin(number) {
        Some((of, at)) if of == log && at == epoch => stored >= seq,
        Some((of, _)) if of == log => {
            routes.origin_number((log, epoch)).is_some_and(|arrived| arrived < number)
        }
        Some(_) | None => false,
    });
    let shown = channel.presents.get(&log).is_some_and(|shown| shown.epoch == epoch && shown.seq >= seq);
    !stored && !shown
}
