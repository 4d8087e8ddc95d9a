//! What the hub remembers of edges across their connections: how far each epoch was taken, what was heard of,
//! which commits are outstanding, and which connection is the current one.

use crate::clock::Off;
use riser_model::{AccountId, ClientId, ConnectionId, CursorKey, CursorMove, CursorValue, Epoch, LogId, Seq};
use riser_wire::link::{CHAIN_MAX, Opening};
use std::collections::{BTreeMap, BTreeSet};

/// Of so many epochs of one log the cursors are kept, besides those that its edge names. Older ones only a disk could
/// name that was restored from an image of their time: what it has of them would come twice.
pub(crate) const EPOCHS_KEPT: usize = 4 * CHAIN_MAX;
/// Where the numbers of all forgotten epochs of a log lie together. No log has an epoch of this name.
pub const FORGOTTEN: Epoch = Epoch(0);

/// One edge.
#[derive(Debug, Default)]
pub(crate) struct Edge {
    /// Whose frames count.
    pub(crate) current: Option<ConnectionId>,
    /// A newcomer with another epoch, until the current one answered or not.
    pub(crate) waiting: Option<ConnectionId>,
    /// Commits that have not come back.
    pub(crate) outstanding: usize,
    /// How far its clock was told to be off.
    pub(crate) off: Off,
    /// The log and the live epoch that it showed last; before it showed any, the one that was heard of furthest.
    shown: Option<(LogId, Epoch)>,
}

/// How far a hub is with an edge: the four numbers of promise 3, as far as the hub has heard, for the log that the
/// edge is on, all its epochs together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// The newest epoch; none if nothing is known of the edge.
    pub epoch: Option<Epoch>,
    /// The newest seq that was heard of.
    pub heard: Seq,
    /// The newest seq that was taken.
    pub through: Seq,
    /// Seqs that the edge said it gave.
    pub accepted: u64,
    /// Seqs that the hub took.
    pub synced: u64,
    /// Seqs that it has not taken.
    pub queued: u64,
    /// Seqs under link gaps.
    pub gapped: u64,
}

/// Through whom a log comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Owner {
    edge: ClientId,
    /// Whether the log is that edge's own, and not one below it.
    own: bool,
}

/// All edges and all cursors.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    edges: BTreeMap<ClientId, Edge>,
    cursors: BTreeMap<(LogId, Epoch), CursorValue>,
    owners: BTreeMap<LogId, Owner>,
    /// By which name each cursor is on disk.
    keys: BTreeMap<(LogId, Epoch), CursorKey>,
    accounts: BTreeMap<ClientId, AccountId>,
    /// How often that changed.
    owned: u64,
    /// How many epochs of a log have a cursor.
    epochs: BTreeMap<LogId, usize>,
    /// Forgotten here, and not yet on disk.
    forgetting: BTreeMap<LogId, BTreeSet<Epoch>>,
}

impl Registry {
    /// From the hub's log: its `Ingest` cursors.
    pub(crate) fn new(cursors: impl IntoIterator<Item = (CursorKey, CursorValue)>) -> Self {
        let mut registry = Self::default();
        let mut furthest = BTreeMap::new();
        let mut newest: BTreeMap<LogId, (Seq, Seq)> = BTreeMap::new();
        for (key, value) in cursors {
            match key {
                CursorKey::Ingest(edge, log, epoch) | CursorKey::Relayed(edge, log, epoch) => {
                    let own = matches!(key, CursorKey::Ingest(..));
                    // One place has one name; were there two, the further one holds.
                    if registry.cursor(log, epoch).is_some_and(|known| known.through > value.through) {
                        continue;
                    }
                    let is_new = registry.cursors.insert((log, epoch), value).is_none();
                    registry.keys.insert((log, epoch), key);
                    let age = newest.entry(log).or_default();
                    if (value.first, value.through) >= *age {
                        *age = (value.first, value.through);
                        registry.owners.insert(log, Owner { edge, own });
                    }
                    if epoch == FORGOTTEN {
                        continue;
                    }
                    *registry.epochs.entry(log).or_default() += usize::from(is_new);
                    if !own {
                        continue;
                    }
                    let heard = furthest.entry(edge).or_insert(value.heard);
                    if value.heard >= *heard {
                        *heard = value.heard;
                        registry.edge(edge).shown = Some((log, epoch));
                    }
                }
                CursorKey::Uplink(_) | CursorKey::Downlink(_) | CursorKey::Former(_) => {}
            }
        }
        registry
    }

    pub(crate) fn edge(&mut self, edge: ClientId) -> &mut Edge {
        self.edges.entry(edge).or_default()
    }

    /// The committed cursor of an epoch, if anything of it is known.
    pub(crate) fn cursor(&self, log: LogId, epoch: Epoch) -> Option<CursorValue> {
        self.cursors.get(&(log, epoch)).copied()
    }

    /// A commit returned.
    pub(crate) fn committed(
        &mut self,
        key: CursorKey,
        place: (LogId, Epoch),
        through: Seq,
        crc: u32,
        gapped: u64,
    ) {
        self.keys.insert(place, key);
        let value = self.cursors.entry(place).or_default();
        if through >= value.through {
            (value.through, value.crc) = (through, crc);
        }
        value.gapped = value.gapped.saturating_add(gapped);
        value.heard = value.heard.max(through);
        if let CursorKey::Ingest(edge, log, _) = key {
            self.own(log, Owner { edge, own: true });
        }
    }

    fn own(&mut self, log: LogId, owner: Owner) {
        if self.owners.insert(log, owner) != Some(owner) {
            self.owned += 1;
        }
    }

    /// A commit with these moves of logs below returned.
    pub(crate) fn relayed(&mut self, moves: &[CursorMove]) {
        for (key, value) in moves {
            let (Some(value), CursorKey::Ingest(edge, log, epoch) | CursorKey::Relayed(edge, log, epoch)) =
                (value, *key)
            else {
                continue;
            };
            let known = self.cursors.get(&(log, epoch)).filter(|known| known.through > value.through);
            let value = known.copied().unwrap_or(*value);
            if self.cursors.insert((log, epoch), value).is_none() {
                *self.epochs.entry(log).or_default() += 1;
            }
            self.keys.insert((log, epoch), *key);
            self.own(log, Owner { edge, own: matches!(key, CursorKey::Ingest(..)) });
        }
    }

    /// By which name a cursor is on disk.
    pub(crate) fn key(&self, place: (LogId, Epoch)) -> Option<CursorKey> {
        self.keys.get(&place).copied()
    }

    /// Whether the edge by whose name a cursor is has a connection.
    pub(crate) fn is_there(&self, key: CursorKey) -> bool {
        match key {
            CursorKey::Ingest(edge, ..) | CursorKey::Relayed(edge, ..) => {
                self.edges.get(&edge).is_some_and(|edge| edge.current.is_some())
            }
            CursorKey::Uplink(_) | CursorKey::Downlink(_) | CursorKey::Former(_) => false,
        }
    }

    /// What came through edges from logs below theirs.
    pub(crate) fn relays(&self) -> impl Iterator<Item = (ClientId, LogId, Epoch, CursorValue)> {
        self.keys.iter().filter_map(|(place, key)| match key {
            CursorKey::Relayed(via, log, epoch) => Some((*via, *log, *epoch, *self.cursors.get(place)?)),
            CursorKey::Ingest(..) | CursorKey::Uplink(_) | CursorKey::Downlink(_) | CursorKey::Former(_) => {
                None
            }
        })
    }

    /// The epochs that are known of a log.
    pub(crate) fn epochs_of(&self, log: LogId) -> impl Iterator<Item = (Epoch, CursorValue)> + '_ {
        self.of_log(log).filter(|(epoch, _)| *epoch != FORGOTTEN)
    }

    /// Whose edges are which.
    pub(crate) fn know(&mut self, accounts: impl IntoIterator<Item = (ClientId, AccountId)>) {
        self.accounts.extend(accounts);
    }

    /// Whether an edge of that account may bring what is of this log: otherwise one could move the cursors of another's.
    pub(crate) fn may_bring(&self, log: LogId, account: AccountId) -> bool {
        let owner = self.owners.get(&log).and_then(|owner| self.accounts.get(&owner.edge));
        owner.is_none_or(|owner| *owner == account)
    }

    /// Whether an edge is not known to be of another account.
    pub(crate) fn may_be_of(&self, edge: ClientId, account: AccountId) -> bool {
        self.accounts.get(&edge).is_none_or(|known| *known == account)
    }

    /// The edge said that it has this much. `first` is the epoch's first seq, for one that is new here.
    pub(crate) fn heard(&mut self, log: LogId, epoch: Epoch, first: Seq, last: Seq) {
        let new = CursorValue { through: first.prev(), heard: first.prev(), crc: 0, first, gapped: 0 };
        let value = self.cursors.entry((log, epoch)).or_insert_with(|| {
            *self.epochs.entry(log).or_default() += 1;
            new
        });
        value.heard = value.heard.max(last);
    }

    /// Forgets the oldest epochs of a log beyond [`EPOCHS_KEPT`], none of those that its edge names, and keeps what
    /// they add up to. Says what the next commit is to make of it.
    pub(crate) fn forget(&mut self, edge: ClientId, log: LogId, named: &[Opening]) -> Vec<CursorMove> {
        let excess = self.epochs.get(&log).copied().unwrap_or_default().saturating_sub(EPOCHS_KEPT);
        if excess > 0 {
            let named: BTreeSet<Epoch> = named.iter().map(|opening| opening.span.epoch).collect();
            let mut oldest: Vec<(Seq, Epoch)> = self
                .of_log(log)
                .filter(|(epoch, _)| *epoch != FORGOTTEN && !named.contains(epoch))
                .map(|(epoch, value)| (value.first, epoch))
                .collect();
            oldest.sort_unstable();
            for (_, epoch) in oldest.into_iter().take(excess.min(EPOCHS_KEPT)) {
                self.forget_one(log, epoch);
            }
        }
        let Some(forgetting) = self.forgetting.get(&log) else { return Vec::new() };
        let key = |epoch| self.key((log, epoch)).unwrap_or(CursorKey::Ingest(edge, log, epoch));
        let forgotten = forgetting.iter().map(|epoch| (key(*epoch), None));
        let sum = (key(FORGOTTEN), self.cursor(log, FORGOTTEN));
        forgotten.chain([sum]).collect()
    }

    fn forget_one(&mut self, log: LogId, epoch: Epoch) {
        let Some(value) = self.cursors.remove(&(log, epoch)) else { return };
        let before = value.first.0.saturating_sub(1);
        let sum = self.cursors.entry((log, FORGOTTEN)).or_default();
        let plus = |sum: Seq, seq: Seq| Seq(sum.0.saturating_add(seq.0.saturating_sub(before)));
        (sum.through, sum.heard) = (plus(sum.through, value.through), plus(sum.heard, value.heard));
        sum.gapped = sum.gapped.saturating_add(value.gapped);
        if let Some(epochs) = self.epochs.get_mut(&log) {
            *epochs = epochs.saturating_sub(1);
        }
        self.forgetting.entry(log).or_default().insert(epoch);
    }

    /// A commit with what [`Registry::forget`] said returned.
    pub(crate) fn forgot(&mut self, log: LogId, moves: &[CursorMove]) {
        let Some(forgetting) = self.forgetting.get_mut(&log) else { return };
        for (key, value) in moves {
            if let (CursorKey::Ingest(_, _, epoch) | CursorKey::Relayed(_, _, epoch), None) = (key, value) {
                forgetting.remove(epoch);
                self.keys.remove(&(log, *epoch));
            }
        }
        if forgetting.is_empty() {
            self.forgetting.remove(&log);
        }
    }

    fn of_log(&self, log: LogId) -> impl Iterator<Item = (Epoch, CursorValue)> + '_ {
        let of_log = self.cursors.range((log, Epoch(0))..=(log, Epoch(u64::MAX)));
        of_log.map(|((_, epoch), value)| (*epoch, *value))
    }

    /// Whether something of this log may be kept: it is known, or there is room for one more.
    pub(crate) fn takes(&self, log: LogId, cursors_max: usize) -> bool {
        self.cursors.len() < cursors_max || self.of_log(log).next().is_some()
    }

    /// The edge speaks for this log now.
    pub(crate) fn shows(&mut self, edge: ClientId, log: LogId, live: Epoch) {
        self.edge(edge).shown = Some((log, live));
    }

    /// How far the log that an edge is on was taken.
    pub(crate) fn progress(&self, edge: ClientId) -> Progress {
        let Some((log, epoch)) = self.edges.get(&edge).and_then(|edge| edge.shown) else {
            return Progress::default();
        };
        let progress = Progress { epoch: Some(epoch), ..Progress::default() };
        self.of_log(log).fold(progress, |sum, (of, value)| {
            let before = value.first.0.saturating_sub(1);
            let past = |seq: Seq| seq.0.saturating_sub(before);
            Progress {
                epoch: sum.epoch,
                heard: if of == FORGOTTEN { sum.heard } else { sum.heard.max(value.heard) },
                through: if of == FORGOTTEN { sum.through } else { sum.through.max(value.through) },
                accepted: sum.accepted.saturating_add(past(value.heard)),
                synced: sum.synced.saturating_add(past(value.through).saturating_sub(value.gapped)),
                queued: sum.queued.saturating_add(past(value.heard).saturating_sub(past(value.through))),
                gapped: sum.gapped.saturating_add(value.gapped),
            }
        })
    }

    /// The log that an edge is on.
    pub(crate) fn shown(&self, edge: ClientId) -> Option<LogId> {
        self.edges.get(&edge).and_then(|edge| edge.shown).map(|(log, _)| log)
    }

    /// How far a log was taken, whichever way it came.
    pub(crate) fn taken(&self, log: LogId) -> Seq {
        self.epochs_of(log).map(|(_, value)| value.through).max().unwrap_or_default()
    }

    /// Whose log it is.
    pub(crate) fn owner(&self, log: LogId) -> Option<ClientId> {
        self.owners.get(&log).map(|owner| owner.edge)
    }

    /// The logs that are this edge's.
    pub(crate) fn logs_of(&self, edge: ClientId) -> impl Iterator<Item = LogId> {
        self.owners.iter().filter(move |(_, owner)| owner.edge == edge).map(|(log, _)| *log)
    }

    /// Each edge's own logs.
    pub(crate) fn own_logs(&self) -> impl Iterator<Item = (LogId, ClientId)> {
        self.owners.iter().filter(|(_, owner)| owner.own).map(|(log, owner)| (*log, owner.edge))
    }

    /// The own logs of an edge that it had before the one that it shows.
    pub(crate) fn former_logs(&self, edge: ClientId) -> impl Iterator<Item = LogId> {
        let shown = self.edges.get(&edge).and_then(|edge| edge.shown).map(|(log, _)| log);
        let of_edge = self.own_logs().filter(move |(_, owner)| *owner == edge).map(|(log, _)| log);
        of_edge.filter(move |log| shown.is_some_and(|shown| shown != *log))
    }

    /// Whether the log is this edge's: the first edge that shows it owns it. Otherwise one edge could move the
    /// cursors of another's log.
    pub(crate) fn owns(&mut self, log: LogId, edge: ClientId) -> bool {
        let own = Owner { edge, own: true };
        let account = self.accounts.get(&edge).copied();
        let mine = match self.owners.get(&log) {
            None => true,
            Some(owner) if owner.own => owner.edge == edge,
            // It came through another edge before: it may come by itself, in the same account.
            Some(_) => account.is_none_or(|account| self.may_bring(log, account)),
        };
        if mine && self.owners.insert(log, own) != Some(own) {
            self.owned += 1;
        }
        mine
    }

    /// How often it changed whose log one is.
    pub(crate) fn owned(&self) -> u64 {
        self.owned
    }
}
