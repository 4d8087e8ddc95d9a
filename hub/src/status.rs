//! What a hub says about its edges and rooms: as metrics, and as JSON for the page.

use riser_host::{BelowLook, InstanceLook, InstanceMeter};
use riser_hub_core::HubCore;
use riser_ingest::EdgeStatus;
use riser_link::Progress;
use riser_model::{ClientId, Now, Principal, Right, Wall};
use riser_rooms::statistics::RoomStatistics;
use riser_shell::{Metrics, metrics::Equation};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

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
        let edges = self.below.edges.iter().filter(|edge| edge.account == principal.account);
        let rooms = self.instance.statistics.rooms.iter().filter(|room| sees(room));
        json!({
            "now": self.at.wall,
            "edges": edges.map(|edge| self.edge(edge)).collect::<Vec<_>>(),
            "rooms": rooms.map(|room| json!({
                "name": room.name,
                "channels": room.channels,
                "messages": room.traffic.messages,
                "bytes": room.traffic.bytes,
                "members": room.members,
                "subscribers": room.subscribers,
                "last": room.traffic.last.map(|Wall(ms)| ms),
            })).collect::<Vec<_>>(),
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

    /// The logs of the edges below an edge. What they have taken and it has not brought, nobody here knows.
    fn edges_below(&self, via: ClientId) -> Vec<Value> {
        let all = self.below.relayed.iter().filter(|((of, _), _)| *of == via);
        all.map(|((_, log), Equation { accepted, synced, gapped, .. })| {
            json!({ "log": format!("{:016x}", log.0), "accepted": accepted, "synced": synced, "gapped": gapped })
        })
        .collect()
    }
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
