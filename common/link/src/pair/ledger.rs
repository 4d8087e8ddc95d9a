//! The ledger of a [`Pair`](super::Pair): what was accepted against what the hub has.

use super::Pair;
use riser_model::{Epoch, LogId, Seq};
use std::collections::{BTreeMap, BTreeSet};

/// What one publication says: never twice the same in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Payload {
    /// Who published it.
    pub host: u8,
    /// Rises.
    pub n: u64,
    /// Whether the hub is to have it.
    pub linked: bool,
}

/// Enough bytes to be worth a window.
const PAYLOAD_BYTES: usize = 150;

pub(super) fn bytes_of(payload: Payload) -> Vec<u8> {
    let mut bytes = vec![payload.host, u8::from(payload.linked)];
    bytes.extend_from_slice(&payload.n.to_le_bytes());
    bytes.resize(PAYLOAD_BYTES, payload.n as u8);
    bytes
}

impl Payload {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let ([host, linked], rest) = bytes.split_first_chunk()?;
        let n = u64::from_le_bytes(*rest.first_chunk()?);
        Some(Self { host: *host, n, linked: *linked == 1 })
    }
}

impl Pair {
    /// Whether everything is where it should be; otherwise what is not. Edges are to be drained.
    pub fn check(&self) -> Result<(), String> {
        for hub in 0..self.hubs.len() {
            self.check_hub(hub)?;
        }
        (0..self.edges.len()).try_for_each(|edge| self.check_edge(edge))
    }

    /// What a hub has: nothing twice, in order, nothing that nobody published, nothing under a gap.
    pub fn check_hub(&self, hub: usize) -> Result<(), String> {
        let Some(host) = self.hubs.get(hub) else { return Ok(()) };
        let accepted: BTreeSet<_> =
            self.edges.iter().flat_map(|edge| edge.accepted.iter().copied()).collect();
        let mut payloads = BTreeSet::new();
        let mut ends: BTreeMap<(LogId, Epoch), Seq> = BTreeMap::new();
        for stored in &host.disk.entries {
            if !payloads.insert(stored.payload) {
                return Err(format!("twice: {stored:?}"));
            }
            if !accepted.contains(&stored.payload) || !stored.payload.linked {
                return Err(format!("never accepted for this hub: {stored:?}"));
            }
            let end = ends.entry((stored.log, stored.epoch)).or_insert(Seq::ZERO);
            if stored.seq <= *end {
                return Err(format!("out of order: {stored:?} after {end}"));
            }
            *end = stored.seq;
        }
        for (log, epoch, gap) in &host.disk.gaps {
            let under = |s: &&super::Stored| {
                (s.log, s.epoch) == (*log, *epoch) && gap.from <= s.seq && s.seq <= gap.to
            };
            if let Some(stored) = host.disk.entries.iter().find(under) {
                return Err(format!("under the gap {gap:?}: {stored:?}"));
            }
        }
        Ok(())
    }

    /// What an edge has: at its hub, or under a gap there; its equation, and what it says it gave.
    pub(super) fn check_edge(&self, edge: usize) -> Result<(), String> {
        let Some(host) = self.edges.get(edge) else { return Ok(()) };
        let Some(hub) = self.hubs.get(host.address) else { return Ok(()) };
        let there: BTreeMap<_, _> =
            hub.disk.entries.iter().map(|s| ((s.log, s.epoch, s.seq), s.payload)).collect();
        let log = host.disk.log;
        let gapped = |epoch: Epoch, seq: Seq| {
            hub.disk
                .gaps
                .iter()
                .any(|(l, e, gap)| (*l, *e) == (log, epoch) && gap.from <= seq && seq <= gap.to)
        };
        for (seq, (payload, _)) in (1..).map(Seq).zip(&host.disk.entries) {
            let epoch = host.disk.epoch(seq);
            match there.get(&(log, epoch, seq)) {
                Some(stored) if stored != payload => {
                    return Err(format!("edge {edge} {seq}: {payload:?} became {stored:?}"));
                }
                Some(_) => {}
                None if payload.linked && !gapped(epoch, seq) => {
                    return Err(format!("edge {edge} {epoch} {seq}: {payload:?} is lost"));
                }
                None => {}
            }
        }
        for (epoch, tally) in host.tallies() {
            if !tally.holds() || tally.queued > 0 {
                return Err(format!("edge {edge} {epoch}: {tally:?}"));
            }
        }
        Ok(())
    }
}
