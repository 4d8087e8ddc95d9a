//! What the hub remembers of edges across their connections: how far each epoch was taken, what was heard of,
//! which commits are outstanding, and which connection is the current one.

use riser_model::{ClientId, ConnectionId, CursorKey, CursorValue, Epoch, LogId, Seq};
use std::collections::BTreeMap;

/// One edge.
#[derive(Debug, Default)]
pub(crate) struct Edge {
    /// Whose frames count.
    pub(crate) current: Option<ConnectionId>,
    /// A newcomer with another epoch, until the current one answered or not.
    pub(crate) waiting: Option<ConnectionId>,
    /// Commits that have not come back.
    pub(crate) outstanding: usize,
}

/// All edges and all cursors.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    edges: BTreeMap<ClientId, Edge>,
    cursors: BTreeMap<(LogId, Epoch), CursorValue>,
    owners: BTreeMap<LogId, ClientId>,
}

impl Registry {
    /// From the hub's log: its `Ingest` cursors, and whose logs they are as far as that is known.
    pub(crate) fn new(
        cursors: impl IntoIterator<Item = (CursorKey, CursorValue)>,
        owners: impl IntoIterator<Item = (LogId, ClientId)>,
    ) -> Self {
        let ingest = |(key, value)| match key {
            CursorKey::Ingest(log, epoch) => Some(((log, epoch), value)),
            CursorKey::Uplink(_) | CursorKey::Downlink(_) => None,
        };
        Self {
            edges: BTreeMap::new(),
            cursors: cursors.into_iter().filter_map(ingest).collect(),
            owners: owners.into_iter().collect(),
        }
    }

    pub(crate) fn edge(&mut self, edge: ClientId) -> &mut Edge {
        self.edges.entry(edge).or_default()
    }

    /// The committed cursor of an epoch, if anything of it is known.
    pub(crate) fn cursor(&self, log: LogId, epoch: Epoch) -> Option<CursorValue> {
        self.cursors.get(&(log, epoch)).copied()
    }

    /// A commit returned.
    pub(crate) fn committed(&mut self, log: LogId, epoch: Epoch, through: Seq, crc: u32) {
        let value = self.cursors.entry((log, epoch)).or_default();
        value.through = through;
        value.crc = crc;
        value.heard = value.heard.max(through);
    }

    /// The edge said that it has this much. `first` is the epoch's first seq, for one that is new here.
    pub(crate) fn heard(&mut self, log: LogId, epoch: Epoch, first: Seq, last: Seq) {
        let new = CursorValue { through: first.prev(), heard: first.prev(), crc: 0 };
        let value = self.cursors.entry((log, epoch)).or_insert(new);
        value.heard = value.heard.max(last);
    }

    /// Whether the log is this edge's: the first edge that shows it owns it. Otherwise one edge could move the
    /// cursors of another's log.
    pub(crate) fn owns(&mut self, log: LogId, edge: ClientId) -> bool {
        *self.owners.entry(log).or_insert(edge) == edge
    }
}
