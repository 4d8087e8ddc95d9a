//! What was offered, what was promised, and what was said of what is gone: kept by the world as it happens, from
//! the outside.

use crate::journal::Key;
use bytes::Bytes;
use riser_model::{Cause, Epoch, Gap, LogId, Seq, Time};
use riser_wire::link::{Item, Items};
use std::collections::{BTreeMap, BTreeSet};

/// A publication as its device offered it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether it is to stay.
    pub retain: bool,
}

/// What an edge said of a seq to whoever is above it, last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// Here it is.
    Entry,
    /// It is gone.
    Gap(Cause),
    /// It is not for the hub.
    Skip,
}

/// What is counted over a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Publications offered.
    pub offered: u64,
    /// Acknowledged ones of QoS 1 and 2.
    pub acked: u64,
    /// Refused ones.
    pub refused: u64,
    /// Messages delivered to readers.
    pub delivered: u64,
    /// Times that somebody was shown what channels retain, and it was judged whole.
    pub shows: u64,
    /// Messages at QoS 2 to those whose sessions are kept.
    pub kept: u64,
    /// Wills that were published.
    pub wills: u64,
    /// Publications that a writer sent again and that were stored already.
    pub dups: u64,
    /// Messages to those who come to a house.
    pub heard: u64,
    /// Times that somebody was let into a vault.
    pub entries: u64,
    /// Times that somebody was refused, or told to go.
    pub turned_away: u64,
    /// Those who were told all of a vault at the end.
    pub whole: u64,
    /// Publications of sessions that were replayed to who came.
    pub replayed: u64,
    /// Times that somebody was told that a session ended.
    pub wiped: u64,
    /// Times that somebody was told that sessions have no place for one more.
    pub full: u64,
    /// Messages to those who share a subscription.
    pub shared: u64,
    /// Of those, what came again.
    pub shared_again: u64,
    /// Publications that a writer was told are beyond a room's quota.
    pub over: u64,
    /// Times that a reader was told that a room keeps no more of its past.
    pub floors: u64,
    /// Changes of accounts.
    pub changes: u64,
    /// Roads cut.
    pub cuts: u64,
    /// Machines and processes that died.
    pub crashes: u64,
    /// Other faults.
    pub others: u64,
    /// Entries in the hub's log that came up a link.
    pub hub_entries: u64,
    /// Entries in edges' logs that came down a link.
    pub came_down: u64,
    /// Times that an edge said what became of a publication.
    pub outcomes: u64,
    /// Publications that a writer was told break a schema, or the room's quota of channels.
    pub broken: u64,
    /// Times that somebody went from a vault into another one, or back to the lobby.
    pub steps: u64,
    /// Times somebody said anew who it is, and it was taken.
    pub renewed: u64,
    /// Times that an annex had to know that somebody or something was given up.
    pub given_up: u64,
    /// Publications that hosts counted as nobody's.
    pub void: u64,
    /// Publications to whom nobody may write that were refused.
    pub denied: u64,
    /// Seqs under link gaps.
    pub gapped: u64,
    /// Committed entries that went with a disk.
    pub disk_lost: u64,
    /// Events of the queue.
    pub events: u64,
}

impl Counts {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.acked += other.acked;
        self.refused += other.refused;
        self.delivered += other.delivered;
        self.shows += other.shows;
        self.kept += other.kept;
        self.wills += other.wills;
        self.dups += other.dups;
        self.heard += other.heard;
        self.entries += other.entries;
        self.turned_away += other.turned_away;
        self.whole += other.whole;
        self.replayed += other.replayed;
        self.wiped += other.wiped;
        self.full += other.full;
        self.shared += other.shared;
        self.shared_again += other.shared_again;
        self.over += other.over;
        self.floors += other.floors;
        self.changes += other.changes;
        self.cuts += other.cuts;
        self.crashes += other.crashes;
        self.others += other.others;
        self.hub_entries += other.hub_entries;
        self.came_down += other.came_down;
        self.outcomes += other.outcomes;
        self.broken += other.broken;
        self.steps += other.steps;
        self.renewed += other.renewed;
        self.given_up += other.given_up;
        self.void += other.void;
        self.denied += other.denied;
        self.gapped += other.gapped;
        self.disk_lost += other.disk_lost;
        self.events += other.events;
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By name.
    pub offers: BTreeMap<Key, Offer>,
    /// Those that a device was told are safe.
    pub acked: BTreeSet<Key>,
    /// Those that a device was told are not taken.
    pub refused: BTreeSet<Key>,
    /// Those that a writer has a receipt for.
    pub receipts: BTreeSet<Key>,
    /// Which host each device publishes to.
    pub homes: BTreeMap<u32, usize>,
    /// Devices that ask for a fresh session each time: to them QoS 2 is no promise over connections.
    pub fleeting: BTreeSet<u32>,
    /// Devices whose kept session was gone, and when.
    pub sessions_lost: Vec<(Time, u32)>,
    /// By the edge's log and epoch.
    pub claims: BTreeMap<(LogId, Epoch), BTreeMap<Seq, Claim>>,
    /// What each edge was told is gone of what was meant for it: seqs of the log above it.
    pub missing: BTreeMap<usize, Vec<Gap>>,
    /// What devices at each edge were told of what goes down, and when first.
    pub heard: BTreeMap<(usize, Key), Time>,
    /// After how many seconds a publication is of no use.
    pub expires: BTreeMap<Key, u32>,
    /// The vaults go down to edges.
    pub vaults_down: bool,
    /// The yard has a schema at the hub.
    pub schema: bool,
    /// The yard takes so many channels at the hub.
    pub channels: Option<u32>,
    /// Forks that edges were told of.
    pub forks: u64,
    /// The counts.
    pub counts: Counts,
}

impl Ledger {
    /// A batch arrived at the hub.
    pub fn claimed(&mut self, log: LogId, epoch: Epoch, first: Seq, items: Bytes) {
        let claims = self.claims.entry((log, epoch)).or_default();
        for item in Items::new(first, items).map_while(Result::ok) {
            let claim = match &item {
                Item::Entries { .. } => Claim::Entry,
                Item::Gap(gap) => Claim::Gap(gap.cause),
                Item::Skip { .. } => Claim::Skip,
            };
            for seq in item.first().0..=item.last().0 {
                claims.insert(Seq(seq), claim);
            }
        }
    }

    /// Why edges said that something is gone.
    pub fn causes(&self) -> impl Iterator<Item = &'static str> {
        self.claims.values().flat_map(BTreeMap::values).filter_map(|claim| match claim {
            Claim::Gap(cause) => Some(cause.name()),
            Claim::Entry | Claim::Skip => None,
        })
    }

    /// What was said of a seq, last.
    pub fn claim(&self, log: LogId, epoch: Epoch, seq: Seq) -> Option<Claim> {
        self.claims.get(&(log, epoch))?.get(&seq).copied()
    }
}
