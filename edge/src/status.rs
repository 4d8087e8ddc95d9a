//! What an edge says about its uplinks: as metrics, and as JSON for people and pages.

use riser_edge_core::{EdgeCore, downlink::Counted as CameDown};
use riser_host::{BelowLook, InstanceLook, InstanceMeter};
use riser_link::{Status as LinkStatus, Tally};
use riser_model::{Epoch, Now};
use riser_shell::{
    Metrics,
    metrics::{ByUplink, Equation, EquationOf},
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A link that has carried nothing it should have carried for so long is not flowing (promise 5).
const FLOWING_WITHIN: Duration = Duration::from_secs(3);

/// Its name, its link, the equation of each epoch, and what came down.
type UplinkLook = (String, LinkStatus, Vec<(Epoch, Tally)>, CameDown);

/// One look at an edge's core.
#[derive(Clone, Debug)]
pub struct Look {
    uplinks: Vec<UplinkLook>,
    below: BelowLook,
    instance: InstanceLook,
}

impl Look {
    /// Takes it.
    pub fn at(core: &EdgeCore, now: Now) -> Self {
        let uplinks = core.uplinks().map(|(_, uplink)| {
            let tallies = uplink.sender.tallies().collect();
            (uplink.name.to_string(), uplink.sender.status(now), tallies, uplink.downlink.counted())
        });
        Self {
            uplinks: uplinks.collect(),
            below: BelowLook::at(core.below(), now),
            instance: InstanceLook::at(core.instance()),
        }
    }

    /// Writes it into metrics.
    pub fn meter(&self, metrics: &Metrics, instance: &mut InstanceMeter) {
        instance.read(metrics, &self.instance);
        let mut equations = Vec::new();
        for (name, status, tallies, came_down) in &self.uplinks {
            let by = ByUplink { uplink: name.clone() };
            metrics.uplink_up.get_or_create(&by).set(u64::from(status.welcomed));
            metrics.uplink_silence.get_or_create(&by).set(status.since_flow.as_secs_f64());
            metrics.uplink_awaits.get_or_create(&by).set(u64::from(status.awaits.is_some()));
            metrics.uplink_lag.get_or_create(&by).set(status.oldest_waits.unwrap_or_default().as_secs_f64());
            let CameDown { entries, refused, missing, returned } = *came_down;
            let down = &metrics.downlinks;
            for (family, count) in [
                (&down.entries, entries),
                (&down.refused, refused),
                (&down.missing, missing),
                (&down.returned, returned),
            ] {
                let counter = family.get_or_create(&by);
                counter.inc_by(count.saturating_sub(counter.get()));
            }
            for (epoch, tally) in tallies {
                let Tally { accepted, synced, queued, gapped } = *tally;
                let of = EquationOf { name: name.clone(), epoch: *epoch };
                equations.push((of, Equation { accepted, synced, queued, gapped }));
            }
        }
        metrics.uplinks(equations);
        self.below.meter(metrics);
    }

    fn json(&self, connections: usize) -> Value {
        let uplinks: Vec<Value> =
            self.uplinks.iter().map(|(name, status, tallies, _)| uplink(name, status, tallies)).collect();
        let rooms: Vec<Value> = self
            .instance
            .statistics
            .rooms
            .iter()
            .map(|room| {
                json!({
                    "name": room.name,
                    "messages": room.traffic.messages,
                    "bytes": room.traffic.bytes,
                    "subscribers": room.subscribers,
                    "channels": room.channels,
                })
            })
            .collect();
        json!({ "uplinks": uplinks, "rooms": rooms, "connections": connections, "sessions": self.instance.sessions })
    }
}

fn uplink(name: &str, status: &LinkStatus, tallies: &[(Epoch, Tally)]) -> Value {
    let sum = |part: fn(&Tally) -> u64| tallies.iter().map(|(_, tally)| part(tally)).sum::<u64>();
    json!({
        "name": name,
        "state": state(status),
        "lag_ms": u64::try_from(status.oldest_waits.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
        "last_added": status.last_added,
        "last_synced": status.last_synced,
        "backlog": status.lag(),
        "awaits": status.awaits,
        "drain_per_s": status.drain_per_s,
        "eta_s": status.drained_in.map(|left| left.as_secs()),
        "accepted": sum(|t| t.accepted),
        "synced": sum(|t| t.synced),
        "queued": sum(|t| t.queued),
        "gapped": sum(|t| t.gapped),
    })
}

/// The link's state in one word.
fn state(status: &LinkStatus) -> &'static str {
    match (status.welcomed, status.since_flow) {
        (false, _) => "offline",
        (true, since) if since > FLOWING_WITHIN => "silent",
        (true, _) if status.lag() > 0 && status.oldest_waits > Some(FLOWING_WITHIN) => "behind",
        (true, _) => "flowing",
    }
}

/// The newest look, shared with the HTTP door.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<Mutex<Option<Look>>>);

impl Status {
    /// Replaces it.
    pub fn set(&self, look: Look) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
    }

    /// It as JSON.
    pub fn json(&self, connections: usize) -> Value {
        let look = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look.as_ref().map_or(Value::Null, |look| look.json(connections))
    }
}
