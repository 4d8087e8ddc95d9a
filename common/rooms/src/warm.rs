//! After a start: the newest values of channels, read from the end of the log, so that the present can be shown
//! before anything new is published.
//!
//! `conflate` subscriptions that come meanwhile are made when it is done. It is bounded in seqs, and an empty
//! read ends it.

use crate::{
    bus::Bus,
    graph::{ChannelSlot, Value},
    output::Output,
    replay::{Held, Item},
    subscribe::How,
};
use riser_model::{ConnectionId, Read, Selected, Seq, SubscriptionId, Wall, door::Want};
use std::collections::{BTreeMap, VecDeque};

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
    next: Seq,
    end: Seq,
    newest: BTreeMap<ChannelSlot, (Seq, Wall)>,
    pub(crate) deferred: VecDeque<Deferred>,
    /// The newest values of all channels are known if they are from here on.
    pub(crate) known: Seq,
}

impl Bus {
    /// Begins to read the end of the log, as it was opened.
    pub(crate) fn warm_up(&mut self) {
        let end = self.chain.committed.next();
        let from = Seq(end.0.saturating_sub(self.config.warm_seqs)).max(self.chain.oldest);
        self.warm = Warm { next: from, end, known: end, ..Warm::default() };
        if from < end {
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
            if self.warm.next < self.warm.end {
                self.ask_warm();
                return None;
            }
            self.warm.known =
                Seq(self.warm.end.0.saturating_sub(self.config.warm_seqs)).max(self.chain.oldest);
        }
        self.show_learned();
        for one in std::mem::take(&mut self.warm.deferred) {
            self.subscribe(one.connection, one.id, &one.want, one.how);
        }
        None
    }

    fn learn(&mut self, held: &Held) {
        let end = held.next().min(self.warm.end);
        let mut cursor = self.warm.next.prev();
        while let Some(item) = held.after(cursor).filter(|item| item.first() < end) {
            cursor = match item {
                Item::Gap(gap) => gap.to,
                Item::Skip(_, to) => to,
                Item::Entry(seq, ChannelSlot::NONE) => seq,
                Item::Entry(seq, slot) => {
                    if let Some(found) = held.get(seq) {
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
