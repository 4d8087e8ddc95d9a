//! What an instance says of the edges below it, as metrics.

use riser_ingest::{Below, BranchStatus, EdgeStatus};
use riser_link::{Progress, Status as LinkStatus, Tally, receivers::Dropped};
use riser_model::{ClientId, LogId, Now};
use riser_shell::{
    Metrics,
    metrics::{ByBranch, ByEdge, Equation, EquationOf},
};
use std::collections::BTreeMap;

/// One look at the edges below an instance.
#[derive(Clone, Debug)]
pub struct BelowLook {
    /// The edges, connected or not.
    pub edges: Vec<EdgeStatus>,
    /// The edges below those, as they say.
    pub branches: Vec<BranchStatus>,
    not_shown: u64,
    /// Those that are none any more.
    former: Vec<ClientId>,
    /// How each way down stands, and the numbers of all epochs together.
    pub downlinks: Vec<(ClientId, LinkStatus, Tally)>,
    /// Publications of which nobody would hear any more that an edge never had them.
    forgotten: u64,
    /// How far the logs below those of the edges are, all epochs of each together, by the edge that brings them.
    pub relayed: BTreeMap<(ClientId, LogId), Equation>,
    /// The same, epoch by epoch.
    origins: Vec<(EquationOf, Equation)>,
    dropped: Dropped,
}

impl BelowLook {
    /// Takes it.
    pub fn at(below: &Below, now: Now) -> Self {
        let mut downlinks: Vec<_> =
            below.downlinks().statuses(now).map(|(edge, status)| (edge, status, Tally::default())).collect();
        for (edge, _, tally) in below.downlinks().tallies() {
            if let Some((.., sum)) = downlinks.iter_mut().find(|(of, ..)| *of == edge) {
                sum.accepted += tally.accepted;
                sum.synced += tally.synced;
                sum.queued += tally.queued;
                sum.gapped += tally.gapped;
            }
        }
        let (mut relayed, mut origins) = (BTreeMap::new(), Vec::new());
        for (via, log, epoch, cursor) in below.receivers().relays() {
            let accepted = cursor.through.0.saturating_sub(cursor.first.prev().0);
            let (synced, gapped) = (accepted.saturating_sub(cursor.gapped), cursor.gapped);
            let sum: &mut Equation = relayed.entry((via, log)).or_default();
            sum.accepted += accepted;
            sum.synced += synced;
            sum.gapped += gapped;
            let of = EquationOf { name: format!("{:016x}", log.0), epoch };
            origins.push((of, Equation { accepted, synced, queued: 0, gapped }));
        }
        let dropped = below.receivers().dropped();
        let former = below.former().collect();
        let (edges, branches) = (below.edges().collect(), below.branches(now).collect());
        let (not_shown, forgotten) = (below.not_shown(), below.downlinks().forgotten());
        Self { edges, branches, not_shown, former, downlinks, forgotten, relayed, origins, dropped }
    }

    /// Writes it into metrics.
    pub fn meter(&self, metrics: &Metrics) {
        let mut equations = Vec::new();
        for edge in &self.former {
            let by = ByEdge { edge: edge.to_string() };
            metrics.edge_up.get_or_create(&by).set(0);
            metrics.edge_backlog.get_or_create(&by).set(0);
            metrics.downlinks.up.get_or_create(&by).set(0);
        }
        for edge in &self.edges {
            let by = ByEdge { edge: edge.client.to_string() };
            metrics.edge_up.get_or_create(&by).set(u64::from(edge.online));
            metrics.edge_backlog.get_or_create(&by).set(edge.backlog());
            if let Some(epoch) = edge.progress.epoch {
                let of = EquationOf { name: edge.client.to_string(), epoch };
                equations.push((of, equation(edge.progress)));
            }
        }
        // One that is below several is there where its link is; one that is below none any more is not shown.
        metrics.tree.up.clear();
        metrics.tree.queued.clear();
        for branch in &self.branches {
            let (edge, account) = (branch.status.client.to_string(), branch.status.account.to_string());
            let by = ByBranch { edge, account };
            let up = metrics.tree.up.get_or_create(&by);
            up.set(up.get().max(u64::from(branch.status.online)));
            let queued = metrics.tree.queued.get_or_create(&by);
            queued.set(queued.get().max(branch.status.backlog()));
        }
        let not_shown = &metrics.tree.not_shown;
        not_shown.inc_by(self.not_shown.saturating_sub(not_shown.get()));
        metrics.edges(equations);
        metrics.origins(self.origins.iter().cloned());
        let Dropped { again, own } = self.dropped;
        metrics.relayed_again.inc_by(again.saturating_sub(metrics.relayed_again.get()));
        metrics.relayed_own.inc_by(own.saturating_sub(metrics.relayed_own.get()));
        let forgotten = &metrics.downlinks.forgotten;
        forgotten.inc_by(self.forgotten.saturating_sub(forgotten.get()));
        for (edge, status, tally) in &self.downlinks {
            let by = ByEdge { edge: edge.to_string() };
            let down = &metrics.downlinks;
            down.up.get_or_create(&by).set(u64::from(status.welcomed));
            down.synced.get_or_create(&by).set(tally.synced);
            down.queued.get_or_create(&by).set(tally.queued);
            down.gapped.get_or_create(&by).set(tally.gapped);
            down.lag.get_or_create(&by).set(status.oldest_waits.unwrap_or_default().as_secs_f64());
        }
        let quarantined: u64 = self.edges.iter().map(|edge| edge.quarantined).sum();
        metrics.quarantined.inc_by(quarantined.saturating_sub(metrics.quarantined.get()));
    }
}

/// As metrics say it.
fn equation(progress: Progress) -> Equation {
    let Progress { accepted, synced, queued, gapped, .. } = progress;
    Equation { accepted, synced, queued, gapped }
}
