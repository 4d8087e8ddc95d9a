//! After a start: the newest values of channels, read from the end of the log, so that the present can be shown
//! before anything new is published.
//!
//! `conflate` subscriptions that come meanwhile are made when it is done. It goes back from the end in steps, each of which
//! is read forward, so that it is bounded in seqs and in bytes, whatever entries are there; and an empty read ends it.

use crate::{
    bus::Bus,
    graph::{ChannelSlot, Value},
    output::Output,
    replay::{Held, Item},
    subscribe::How,
};
use riser_model::{ConnectionId, Read, Selected, Seq, SubscriptionId, Wall, door::Want};
use std::collections::{BTreeMap, VecDeque};

/// The first step, seqs. Where entries are small each is twice the one before.
const STEP: u64 = 256;
/// A step that takes less than this part of what may be read is a small one.
const STEPS_AT_LEAST: usize = 8;

/// A subscription that waits for the newest values.
#[derive(Debug)]
pub(crate) struct Deferred {
    pub(crate) connection: ConnectionId,
    pub(crate) id: SubscriptionId,
    pub(crate) want: Want,
    pub(crate) how: How,
}

#[derive(Debug, Default)]
pub(crate) struct Warm {
    /// The read that is on its way; none when it is over.
    ticket: Option<u64>,
    /// From here on it is looked at.
    floor: Seq,
    /// The step: from here
    from: Seq,
    /// to before here,
    to: Seq,
    /// of which this is read next.
    next: Seq,
    width: u64,
    /// What was read of it.
    step_bytes: usize,
    /// What was read before it.
    bytes: usize,
    newest: BTreeMap<ChannelSlot, (Seq, Wall)>,
    pub(crate) deferred: VecDeque<Deferred>,
    /// The newest values of all channels are known if they are from here on.
    pub(crate) known: Seq,
}

impl Bus {
    /// Begins to read the end of the log, as it was opened.
    pub(crate) fn warm_up(&mut self) {
        let end = self.chain.committed.next();
        let floor = Seq(end.0.saturating_sub(self.config.warm_seqs)).max(self.chain.oldest);
        self.warm = Warm { floor, width: STEP, known: end, ..Warm::default() };
        self.step_back();
    }

    /// The next step, if there is one.
    fn step_back(&mut self) {
        let warm = &mut self.warm;
        if warm.step_bytes < self.config.warm_bytes / STEPS_AT_LEAST && warm.bytes > 0 {
            warm.width = warm.width.saturating_mul(2);
        }
        if warm.known > warm.floor && warm.bytes < self.config.warm_bytes {
            (warm.to, warm.step_bytes) = (warm.known, 0);
            warm.from = Seq(warm.to.0.saturating_sub(warm.width)).max(warm.floor);
            warm.next = warm.from;
            self.ask_warm();
        }
    }

    fn ask_warm(&mut self) {
        self.reads.ticket += 1;
        let ticket = self.reads.ticket;
        self.warm.ticket = Some(ticket);
        let (from, max_bytes) = (self.warm.next, self.config.read_bytes);
        self.outputs.push_back(Output::Read { ticket, read: Read::All { from, max_bytes } });
    }

    /// Whether the newest values are still being read.
    pub(crate) fn is_warming(&self) -> bool {
        self.warm.ticket.is_some()
    }

    /// Takes a chunk if it is the one that was asked for here.
    pub(crate) fn warm(&mut self, ticket: u64, found: Selected) -> Option<Selected> {
        if self.warm.ticket != Some(ticket) {
            return Some(found);
        }
        self.warm.ticket = None;
        let missing = |from, to| self.chain.missing(from, to);
        if let Some(held) = Held::new(self.warm.next, found, &self.routes, missing, 0) {
            self.learn(&held);
            self.warm.step_bytes += held.bytes;
            if self.warm.next < self.warm.to {
                self.ask_warm();
                return None;
            }
            self.warm.known = self.warm.from;
            self.warm.bytes += self.warm.step_bytes.max(1);
            self.step_back();
            if self.is_warming() {
                return None;
            }
        }
        self.show_learned();
        for one in std::mem::take(&mut self.warm.deferred) {
            self.subscribe(one.connection, one.id, &one.want, one.how);
        }
        None
    }

    fn learn(&mut self, held: &Held) {
        let end = held.next().min(self.warm.to);
        let mut cursor = self.warm.next.prev();
        while let Some(item) = held.after(cursor).filter(|item| item.first() < end) {
            cursor = match item {
                Item::Gap(gap) => gap.to,
                Item::Skip(_, to) => to,
                Item::Entry(seq, ChannelSlot::NONE) => seq,
                Item::Entry(seq, slot) => {
                    // What was learned of it in an earlier step is newer.
                    let is_news = self.warm.newest.get(&slot).is_none_or(|(known, _)| *known < seq);
                    if let Some(found) = held.get(seq).filter(|_| is_news) {
                        if let Some((before, _)) = self.warm.newest.insert(slot, (seq, found.wall)) {
                            self.copies.remove(before);
                        }
                        self.copies.keep(seq, found, self.config.copies_bytes_max);
                    }
                    seq
                }
            };
        }
        self.warm.next = held.next();
    }

    /// Channels that were not published in since show what was found, in its order, before all that is newer.
    fn show_learned(&mut self) {
        let newest = std::mem::take(&mut self.warm.newest);
        let mut learned: Vec<(Seq, ChannelSlot, Wall)> =
            newest.into_iter().map(|(slot, (seq, wall))| (seq, slot, wall)).collect();
        learned.sort_unstable();
        for (turn, (seq, slot, wall)) in learned.into_iter().enumerate() {
            self.graph.learn_last(slot, wall);
            if self.graph.channel(slot).value.is_none() {
                self.graph.show_at(slot, Value::Log(seq), turn as u64 + 1);
            } else {
                self.copies.remove(seq);
            }
        }
    }
}
