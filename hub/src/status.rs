//! What a hub says about its edges and rooms: as metrics, and as JSON for the page.

use riser_host::{BelowLook, InstanceLook, InstanceMeter};
use riser_hub_core::HubCore;
use riser_ingest::{BranchStatus, EdgeStatus, LinkState};
use riser_link::Progress;
use riser_model::{ClientId, LogId, Now, Principal, Right, Wall};
use riser_rooms::statistics::RoomStatistics;
use riser_shell::{Metrics, metrics::Equation};
use riser_wire::link::BranchLink;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// One look at a hub's core.
#[derive(Clone, Debug)]
pub struct Look {
    below: BelowLook,
    instance: InstanceLook,
    /// When it was taken.
    pub at: Now,
}

impl Look {
    /// Takes it.
    pub fn at(core: &HubCore, now: Now) -> Self {
        let below = BelowLook::at(core.below(), now);
        Self { below, instance: InstanceLook::at(core.instance()), at: now }
    }

    /// Writes it into metrics.
    pub fn meter(&self, metrics: &Metrics, instance: &mut InstanceMeter) {
        instance.read(metrics, &self.instance);
        self.below.meter(metrics);
    }

    /// What a principal may see of it.
    fn json(&self, principal: &Principal) -> Value {
        let sees = |room: &RoomStatistics| {
            room.account == principal.account && principal.grants.reach(Right::Subscribe, room.id)
        };
        let rooms: Vec<_> = self.instance.statistics.rooms.iter().filter(|room| sees(room)).collect();
        // As the account's technical channel, they are for who may read any of its rooms.
        let hears = |edge: &&EdgeStatus| edge.account == principal.account && !rooms.is_empty();
        let edges = self.below.edges.iter().filter(hears);
        json!({
            "now": self.at.wall,
            "edges": edges.map(|edge| self.edge(edge)).collect::<Vec<_>>(),
            "rooms": rooms.iter().map(|room| Self::room(room, principal)).collect::<Vec<_>>(),
        })
    }

    /// A room, with how much went through as much of it as is all the principal's to read: of what may not be read nobody
    /// learns even that.
    fn room(room: &RoomStatistics, principal: &Principal) -> Value {
        let has_whole = |right| principal.grants.whole(right, room.id);
        let counted = match (has_whole(Right::Subscribe), has_whole(Right::Admin)) {
            (true, true) => Some((room.channels, room.traffic)),
            (true, false) => Some((room.open_channels, room.open)),
            (false, _) => None,
        };
        json!({
            "name": room.name,
            "channels": counted.map(|(channels, _)| channels),
            "messages": counted.map(|(_, traffic)| traffic.messages),
            "bytes": counted.map(|(_, traffic)| traffic.bytes),
            "members": room.members,
            "subscribers": room.subscribers,
            "last": counted.and_then(|(_, traffic)| traffic.last).map(|Wall(ms)| ms),
        })
    }

    fn edge(&self, edge: &EdgeStatus) -> Value {
        let since_flow = self.at.time.since(edge.flowed_at);
        let (backlog, rate) = (edge.backlog(), edge.drain_per_s(self.at));
        let Progress { heard, through, accepted, synced, queued, gapped, .. } = edge.progress;
        // Of an edge that is away nobody here knows what it has taken since.
        let caught_up = edge.online && backlog == 0;
        let lag_ms = (through.0 > 0).then_some(if caught_up { 0 } else { since_flow.as_millis() as u64 });
        json!({
            "name": edge.name,
            "client": edge.client,
            "state": edge.state(self.at).name(),
            "since": self.before(self.at.time.since(edge.since)),
            "lag_ms": lag_ms,
            "last_added": heard,
            "last_synced": through,
            "backlog": backlog,
            "drain_per_s": rate,
            "eta_s": (edge.online && (backlog == 0 || rate > 0)).then(|| backlog as f64 / rate.max(1) as f64),
            "accepted": accepted,
            "synced": synced,
            "queued": queued,
            "gapped": gapped,
            "down": self.down(edge.client),
            "below": self.edges_below(edge.client),
        })
    }

    /// The way down to an edge, while its link is up.
    fn down(&self, edge: ClientId) -> Option<Value> {
        let (_, status, _) = self.below.downlinks.iter().find(|(of, ..)| *of == edge)?;
        let waits = status.oldest_waits.unwrap_or_default().as_millis() as u64;
        status.welcomed.then(|| json!({ "queued": status.lag(), "lag_ms": waits }))
    }

    /// The edges below an edge, each behind the one above it, and at last the logs of which nobody says whose they are: what
    /// these have taken and it has not brought, nobody here knows.
    fn edges_below(&self, via: ClientId) -> Vec<Value> {
        let named = || self.below.branches.iter().filter(move |branch| branch.via == via);
        let logs: BTreeSet<LogId> = named().filter_map(|branch| branch.log).collect();
        let nameless = self.below.relayed.iter().filter(|((of, log), _)| *of == via && !logs.contains(log));
        let nameless = nameless.map(|((_, log), Equation { accepted, synced, gapped, .. })| {
            json!({ "log": name(*log), "accepted": accepted, "synced": synced, "gapped": gapped })
        });
        named().map(|branch| self.branch(branch)).chain(nameless).collect()
    }

    fn branch(&self, branch: &BranchStatus) -> Value {
        let BranchStatus { via, path, log, link, link_for, status } = branch;
        let known = log.and_then(|log| self.below.relayed.get(&(*via, log)));
        let Progress { heard, through, queued, .. } = status.progress;
        let (synced, gapped) = known.map_or((through.0, 0), |known| (known.synced, known.gapped));
        let state = if *link == BranchLink::Unknown { LinkState::Unknown } else { status.state(self.at) };
        let is_up = *link == BranchLink::Up;
        let since_flow = self.at.time.since(status.flowed_at).as_millis() as u64;
        let lag_ms = (through.0 > 0).then_some(if is_up && queued == 0 { 0 } else { since_flow });
        let rate = status.drain_per_s(self.at);
        json!({
            "log": log.map(name),
            "name": status.name,
            "client": status.client,
            "path": path,
            "state": state.name(),
            "since": self.before(*link_for),
            "lag_ms": lag_ms,
            "last_added": heard,
            "last_synced": through,
            "backlog": queued,
            "drain_per_s": rate,
            "eta_s": (is_up && (queued == 0 || rate > 0)).then(|| queued as f64 / rate.max(1) as f64),
            "accepted": synced.saturating_add(queued).saturating_add(gapped),
            "synced": synced,
            "queued": queued,
            "gapped": gapped,
        })
    }

    /// The wall clock's milliseconds so long ago.
    fn before(&self, ago: Duration) -> i64 {
        let Wall(now) = self.at.wall;
        now.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A log as people see it.
fn name(log: LogId) -> String {
    format!("{:016x}", log.0)
}

/// The newest look, shared with the HTTP doors.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<Mutex<Option<Look>>>);

impl Status {
    /// Replaces it.
    pub fn set(&self, look: Look) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
    }

    /// What a principal may see of it, as JSON.
    pub fn json(&self, principal: &Principal) -> Value {
        let look = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look.as_ref().map_or(Value::Null, |look| look.json(principal))
    }
}
