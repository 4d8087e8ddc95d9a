//! The way down in a [`Pair`]: the receiver brings the connection, and frames go the other way.

use super::{Event, HubHost, Pair, Victim};
use crate::{receivers, sender};
use riser_model::ConnectionId;
use riser_wire::link::{Bytes, DownFrame, EdgeFrame, HubFrame, Stage, decode_edge, decode_hub};
use std::time::Duration;

/// How often the receiver of a downlink looks whether it is connected.
const ATTACH_EVERY: Duration = Duration::from_millis(250);

impl Pair {
    /// The same the other way: what is an edge otherwise sends down, what is a hub takes it and brings the connection.
    pub fn down(seed: u64) -> Self {
        let mut pair = Self::new(seed);
        pair.crash(Victim::Edge(0));
        if let Some(host) = pair.edges.first_mut() {
            host.sends_down = true;
            host.disk.chain.clear();
        }
        pair.start(Victim::Edge(0));
        pair.later(ATTACH_EVERY, Event::Attach { edge: 0 });
        pair
    }

    pub(super) fn is_down(&self, connection: ConnectionId) -> bool {
        let ends = self.net.ends(connection);
        ends.and_then(|(edge, _)| self.edges.get(edge)).is_some_and(|host| host.sends_down)
    }

    /// Connects the two ends of a downlink if nothing does.
    pub(super) fn attach(&mut self, edge: usize) {
        self.later(ATTACH_EVERY, Event::Attach { edge });
        let Some(host) = self.edges.get(edge) else { return };
        let hub = host.address;
        let up = host.is_up() && self.hubs.get(hub).is_some_and(HubHost::is_up);
        let of_edge: Vec<ConnectionId> = self.net.of_host(Victim::Edge(edge)).collect();
        let of_hub: Vec<ConnectionId> = self.net.of_host(Victim::Hub(hub)).collect();
        if !up || self.net.faults.refuse_dials {
            return;
        }
        if let Some(connection) = of_edge.into_iter().chain(of_hub).next() {
            // Some time somebody notices that nothing gets through.
            if self.net.is_silent(connection) && self.dice.u8(0..20) == 0 {
                self.close(connection, None);
            }
            return;
        }
        self.attached += 1;
        let attempt = self.attached;
        let connection = self.net.opened(edge, hub, attempt);
        self.net.welcomed(connection);
        self.edge_input(edge, sender::Input::Ready { attempt });
    }

    pub(super) fn down_to_hub(&mut self, hub: usize, connection: ConnectionId, message: Bytes) {
        let input = match decode_hub(message, Stage::Welcomed, |_, _| None) {
            Ok(HubFrame::Down(DownFrame::Hello(hello))) => {
                let Some(from) = self.hubs.get(hub).and_then(|host| host.directory(hello.edge)) else {
                    return;
                };
                receivers::Input::Greeted { connection, hello, from, asked: self.now }
            }
            Ok(HubFrame::Down(DownFrame::Batch(batch))) => {
                receivers::Input::Frame { connection, frame: EdgeFrame::Batch(batch) }
            }
            Ok(frame) => receivers::Input::Malformed { connection, what: format!("{frame:?}") },
            Err(bad) => receivers::Input::Malformed { connection, what: bad.to_string() },
        };
        self.hub_input(hub, input);
    }

    pub(super) fn answer_to_edge(&mut self, edge: usize, attempt: u64, message: Bytes) {
        let frame = match decode_edge(message, Stage::Welcomed, |_, _| None) {
            Ok(EdgeFrame::Down(answer)) => answer.heard(),
            Ok(_) | Err(_) => None,
        };
        let input = match frame {
            Some(frame) => sender::Input::Frame { attempt, frame },
            None => sender::Input::Disconnected { attempt },
        };
        self.edge_input(edge, input);
    }
}
