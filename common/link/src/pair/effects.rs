//! What senders and receivers want done, and how it is done here.

use super::{Event, OnFork, Pair, Victim};
use crate::{receivers, sender};
use riser_wire::link::{Above, DownAnswer, DownFrame, EdgeFrame, HubFrame, encode_edge, encode_hub};
use std::time::Duration;

impl Pair {
    /// One input for an edge's sender, and everything it then wants.
    pub(super) fn edge_input(&mut self, edge: usize, input: sender::Input) {
        let now = self.now;
        let Some(host) = self.edges.get_mut(edge) else { return };
        let outputs = host.handle(input, now);
        let generation = host.generation;
        for output in outputs {
            self.boundary();
            if self.edges.get(edge).is_none_or(|host| host.generation != generation) {
                return;
            }
            self.edge_output(edge, generation, output);
        }
    }

    fn edge_output(&mut self, edge: usize, generation: u64, output: sender::Output) {
        let now = self.now;
        let Some(host) = self.edges.get_mut(edge) else { return };
        match output {
            sender::Output::Connect { attempt } => {
                let after = self.net.latency(&mut self.dice);
                self.later(after, Event::Dialed { edge, generation, attempt });
            }
            sender::Output::Send { attempt, frame } => {
                let Some(connection) = self.net.connection(edge, attempt) else { return };
                let message = match DownFrame::of(frame.clone()).filter(|_| host.sends_down) {
                    Some(down) => encode_hub(&HubFrame::Down(down), |_| None),
                    None => encode_edge(&frame, |_| None),
                };
                for at in self.net.send_up(connection, message.len(), now.time, &mut self.dice) {
                    self.at(at, Event::ToHub { connection, message: message.clone() });
                }
                self.cut_by_chance(connection);
            }
            sender::Output::Close { attempt } => {
                if let Some(connection) = self.net.connection(edge, attempt) {
                    self.close(connection, Some(Victim::Edge(edge)));
                }
            }
            sender::Output::Read { number, from, bytes_max } => {
                self.later(
                    Duration::from_micros(50),
                    Event::EdgeRead { edge, generation, number, from, bytes_max },
                );
            }
            sender::Output::Moved { key, value, at_once } => {
                host.moved(key, value, at_once);
                self.edge_commit_soon(edge);
            }
            sender::Output::AppendCanary => {
                host.canary(now);
                self.edge_commit_soon(edge);
            }
            sender::Output::AppendAnchor(anchor) => {
                host.anchor(anchor, now);
                self.edge_commit_soon(edge);
            }
            sender::Output::NewEpoch { from } => match host.on_fork {
                OnFork::Relabel => {
                    let epoch = self.dice.u64(1..);
                    let reopened = host.reopen(epoch, from);
                    self.edge_input(edge, reopened);
                }
                OnFork::Reopen => {
                    host.commit();
                    self.crash(Victim::Edge(edge));
                    self.start(Victim::Edge(edge));
                }
                OnFork::Wait => {}
            },
            sender::Output::Reached { log, epoch, through } => {
                self.tell_middle(edge, receivers::Input::Reached { log, epoch, through });
            }
            sender::Output::Emit(event) => {
                self.said.push(format!("edge {edge}: {event:?}"));
                if let sender::LinkEvent::Above(Above { hops, logs }) = event {
                    self.tell_middle(edge, receivers::Input::Above(Above { hops: hops + 1, logs }));
                }
            }
        }
    }

    /// One input for a hub's receivers, and everything they then want.
    pub(super) fn hub_input(&mut self, hub: usize, input: receivers::Input) {
        let now = self.now;
        let Some(host) = self.hubs.get_mut(hub) else { return };
        let outputs = host.handle(input, now);
        let generation = host.generation;
        for output in outputs {
            self.boundary();
            if self.hubs.get(hub).is_none_or(|host| host.generation != generation) {
                return;
            }
            self.hub_output(hub, output);
        }
    }

    fn hub_output(&mut self, hub: usize, output: receivers::Output) {
        let now = self.now;
        match output {
            receivers::Output::Send { connection, frame } => {
                let message = match DownAnswer::of(frame.clone()).filter(|_| self.is_down(connection)) {
                    Some(answer) => encode_edge(&EdgeFrame::Down(answer), |_| None),
                    None => encode_hub(&frame, |_| None),
                };
                for at in self.net.send_down(connection, message.len(), now.time, &mut self.dice) {
                    self.at(at, Event::ToEdge { connection, message: message.clone() });
                }
                self.cut_by_chance(connection);
            }
            receivers::Output::Close { connection, .. } => self.close(connection, Some(Victim::Hub(hub))),
            receivers::Output::Welcomed { connection, .. } => self.net.welcomed(connection),
            receivers::Output::Lookup { connection, edge } => {
                let edge = self.hubs.get(hub).and_then(|host| host.directory(edge));
                self.hub_input(hub, receivers::Input::Found { connection, edge });
            }
            receivers::Output::Ingest(ingest) => {
                let takes = self.commit_takes;
                if self.hubs.get_mut(hub).is_some_and(|host| host.enqueue(*ingest)) {
                    self.hub_commit_soon(hub, takes);
                }
            }
            receivers::Output::Latest { items, definitions, connection, log, epoch, .. } => {
                let Some(host) = self.hubs.get_mut(hub) else { return };
                host.latest((connection, log, epoch), &items, &definitions, now);
                for present in std::mem::take(&mut host.presents) {
                    self.ask_middle(hub, sender::Input::Present(present));
                }
            }
            receivers::Output::Ask { log, epoch } => self.ask_middle(hub, sender::Input::Ask { log, epoch }),
            // Both directions on one socket are the cores' business.
            receivers::Output::Down { .. }
            | receivers::Output::GivenUp { .. }
            | receivers::Output::Tree { .. } => {}
            receivers::Output::CaughtUp { edge } => self.said.push(format!("hub {hub}: caught up {edge}")),
            receivers::Output::Emit { event, .. } => self.said.push(format!("hub {hub}: {event:?}")),
        }
    }
}
