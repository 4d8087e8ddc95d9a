//! What hosts want of the world, and how they start and end.

use super::{Event, World};
use crate::{
    fault::Death,
    host::{DoorSays, Effect},
    wires::{Client, Far, Message, Road, Way, WireId},
};
use riser_edge_core::LinkOutput as EdgeLink;
use riser_ingest::LinkOutput as HubLink;
use riser_link::LinkEvent;
use riser_wire::link::{DownAnswer, DownFrame, EdgeFrame, HubFrame, encode_edge, encode_hub};
use std::time::Duration;

/// An uplink's socket is dialed for so long: TCP, TLS and the WebSocket, each within 5 s.
const DIAL_FOR: Duration = Duration::from_secs(6);

impl World {
    /// Does what a host wants, until it wants nothing.
    pub(super) fn settle(&mut self, n: usize) {
        while let Some(effect) = self.hosts[n].effects.pop_front() {
            match effect {
                Effect::At(at, later) => {
                    let life = self.hosts[n].life;
                    self.queue.put(at.max(self.now), Event::Host(n, life, later));
                }
                Effect::Say(wire, says) => self.say(wire, says),
                Effect::Edge(output) => self.edge_wants(n, output),
                Effect::Hub(output) => self.hub_wants(n, output),
                Effect::Crashed => {
                    self.hosts[n].effects.clear();
                    let death = self.machines[n].dies.take().unwrap_or(Death::Power);
                    self.die(n, death);
                }
                Effect::Stopped => self.stopped(n),
                Effect::Changed => self.change_answered(),
                Effect::Wrong(what) => self.wrong(what),
                Effect::Note(what) => self.trace.line(self.now, || what),
            }
        }
    }

    fn say(&mut self, wire: WireId, says: DoorSays) {
        if self.net.wires.get(&wire).is_none_or(|wire| !wire.server_open) {
            return;
        }
        match says {
            DoorSays::Bytes(bytes) => self.net.send(wire, Way::Down, Message::Bytes(bytes), self.now),
            DoorSays::Text(text) => {
                self.caller_told(wire, &text);
                self.reader_told(wire, &text);
                self.net.send(wire, Way::Down, Message::Text(text), self.now);
            }
            DoorSays::End => return self.end_server(wire),
        }
        self.written(wire);
    }

    fn edge_wants(&mut self, n: usize, output: EdgeLink) {
        match output {
            EdgeLink::Connect { uplink, attempt } => {
                self.leave_uplink(n);
                let life = self.hosts[n].life;
                let client = Client::Edge { host: n, life, uplink, attempt };
                let id = self.dial(client, self.hosts[n].setup.parent, Road::Uplink(n), DIAL_FOR);
                self.uplinks.insert(n, (attempt, id));
            }
            EdgeLink::Send { attempt, frame, .. } => {
                let Some(id) = self.uplink(n, attempt) else { return };
                self.trace.line(self.now, || format!("edge {n} says {}", shown_edge(&frame)));
                let message = Message::Bytes(encode_edge(&frame, |_| None));
                self.net.send(id, Way::Up, message, self.now);
            }
            EdgeLink::Close { attempt, .. } => {
                if self.uplink(n, attempt).is_some() {
                    self.leave_uplink(n);
                }
            }
            EdgeLink::Reopen { .. } => {
                self.ledger.forks += 1;
                self.trace.line(self.now, || format!("edge {n} is to open its log anew"));
                if !std::mem::replace(&mut self.machines[n].reopening, true) {
                    self.hosts[n].shut_down(self.now);
                }
            }
            EdgeLink::Below(output) => self.hub_wants(n, output),
            EdgeLink::GivenUp { said, .. } => self.hosts[n].hear_given_up(said, self.now),
            EdgeLink::Unanswered { .. } => {}
            EdgeLink::Untold { .. } => {
                self.trace.line(self.now, || format!("edge {n} does not tell its tree for a while"))
            }
            EdgeLink::Told { heard, .. } => {
                self.trace.line(self.now, || format!("edge {n} told its tree: {heard:?}"))
            }
            EdgeLink::Missing { gap, .. } => {
                self.ledger.missing.entry(n).or_default().push(gap);
                self.trace.line(self.now, || format!("edge {n} misses {gap:?} of the hub's log"));
            }
            EdgeLink::Event { event, .. } => {
                self.trace.line(self.now, || format!("edge {n} link {event:?}"));
                if let LinkEvent::Forked { .. } = event {
                    self.forked(n);
                }
            }
        }
    }

    /// A log is told apart from what the hub knows only if a disk was meddled with.
    fn forked(&mut self, n: usize) {
        let linked = |host: &crate::host::Host| {
            host.setup.number == n
                || host.setup.parent == n
                || host.setup.number == self.hosts[n].setup.parent
        };
        if !self.hosts.iter().any(|host| linked(host) && (host.damaged || host.stale)) {
            self.wrong(format!("edge {n} is called forked, and no disk was meddled with"));
        }
    }

    fn hub_wants(&mut self, n: usize, output: HubLink) {
        match output {
            HubLink::Send { connection, mut frame } => {
                self.twist_down(connection, &mut frame);
                let Some(id) = self.links.get(&connection).copied() else { return };
                self.trace.line(self.now, || format!("host {n} says on wire {id} {}", shown_hub(&frame)));
                let message = Message::Bytes(encode_hub(&frame, |_| None));
                self.net.send(id, Way::Down, message, self.now);
            }
            HubLink::Reopen { edge } => {
                self.ledger.forks += 1;
                self.forked(n);
                self.trace.line(self.now, || format!("host {n} is to open its log anew, because of {edge}"));
                if !std::mem::replace(&mut self.machines[n].reopening, true) {
                    self.hosts[n].shut_down(self.now);
                }
            }
            HubLink::NotShown { edge, count, why } => {
                self.wrong(format!("{count} edges below {edge} are not shown: {}", why.name()));
            }
            HubLink::Down { edge, event } => {
                self.trace.line(self.now, || format!("the way down to {edge}: {event:?}"));
            }
            HubLink::Welcomed { connection } => {
                if let Some(wire) = self.links.get(&connection).and_then(|id| self.net.wires.get_mut(id)) {
                    wire.trusted = true;
                }
            }
            HubLink::Close { connection, .. } => {
                let Some(id) = self.links.get(&connection).copied() else { return };
                self.end_server(id);
                let life = self.hosts[n].life;
                self.after(Duration::from_micros(50), Event::LinkGone(n, life, connection));
            }
        }
    }

    // Starting and ending.

    /// The machine is switched on, if it is not, and the process is started.
    pub fn boot(&mut self, n: usize) {
        if !self.machines[n].up {
            self.machines[n].up = true;
            self.hosts[n].reboot(self.now);
            self.trace.line(self.now, || format!("host {n} boots"));
        }
        self.start(n);
    }

    pub(super) fn start(&mut self, n: usize) {
        self.machines[n].starting = false;
        if !self.machines[n].up || self.hosts[n].is_up() {
            return;
        }
        let before = self.ledger.counts.crashes;
        let started = self.hosts[n].start(self.now);
        self.settle(n);
        let ended = self.by_hand && self.ledger.counts.crashes > before;
        if !started && !ended && self.machines[n].up {
            self.start_in(n, Duration::from_secs(1));
        }
    }

    fn start_in(&mut self, n: usize, pause: Duration) {
        if !std::mem::replace(&mut self.machines[n].starting, true) {
            self.after(pause, Event::Start(n));
        }
    }

    /// A host dies, and comes back later.
    pub fn die(&mut self, n: usize, death: Death) {
        if !self.machines[n].up {
            return;
        }
        self.ledger.counts.crashes += 1;
        self.trace.line(self.now, || format!("host {n} dies: {death:?}"));
        self.thaw(n);
        self.hosts[n].end(self.now);
        self.hosts[n].effects.clear();
        self.machines[n].reopening = false;
        self.leave_all(n, death == Death::Kill);
        let pause = if self.healed { 2_000 } else { self.rng.u64(100..90_000) };
        match death {
            Death::Power => {
                self.hosts[n].disk.crash();
                self.hosts[n].archive_disk.crash();
                self.machines[n].up = false;
                if !self.by_hand {
                    self.after(Duration::from_millis(pause), Event::Boot(n));
                }
            }
            Death::Kill => {
                self.hosts[n].disk.kill();
                self.hosts[n].archive_disk.kill();
                if self.by_hand {
                    return;
                }
                self.start_in(n, Duration::from_millis(pause / 10 + 50));
            }
        }
    }

    /// A process ended on purpose.
    fn stopped(&mut self, n: usize) {
        if !self.hosts[n].is_up() {
            return;
        }
        self.hosts[n].finish(self.now);
        self.hosts[n].effects.clear();
        self.hosts[n].end(self.now);
        self.hosts[n].disk.kill();
        self.hosts[n].archive_disk.kill();
        self.leave_all(n, true);
        self.trace.line(self.now, || format!("host {n} stopped"));
        let reopening = std::mem::take(&mut self.machines[n].reopening);
        let pause = if reopening { 5 } else { self.rng.u64(50..20_000) };
        if self.by_hand && !reopening {
            return;
        }
        if self.hosts[n].disk.is_down() || self.hosts[n].archive_disk.is_down() {
            self.machines[n].up = false;
            return self.after(Duration::from_millis(pause), Event::Boot(n));
        }
        self.start_in(n, Duration::from_millis(pause));
    }

    /// All sockets of a host are gone; a machine that lives says so.
    fn leave_all(&mut self, n: usize, said: bool) {
        let ids: Vec<WireId> = self.net.wires.keys().copied().collect();
        for id in ids {
            let Some(wire) = self.net.wires.get(&id) else { continue };
            let dialed = matches!(wire.client, Client::Edge { host, .. } if host == n);
            let (server, client) = (wire.server == n && wire.server_open, dialed);
            if server && said {
                self.end_server(id);
            } else if server {
                self.net.died(id, Way::Down);
                self.drop_server(id);
            }
            if client && said {
                self.end_client(id);
            } else if client {
                self.net.died(id, Way::Up);
                self.drop_client(id);
            }
        }
        self.uplinks.remove(&n);
    }

    fn uplink(&self, n: usize, attempt: u64) -> Option<WireId> {
        self.uplinks.get(&n).filter(|(current, _)| *current == attempt).map(|(_, id)| *id)
    }

    fn leave_uplink(&mut self, n: usize) {
        if let Some((_, id)) = self.uplinks.remove(&n) {
            self.end_client(id);
        }
    }

    /// What a wire is at its server.
    pub(super) fn far(&self, id: WireId) -> Option<(usize, Far)> {
        self.net.wires.get(&id).map(|wire| (wire.server, wire.far))
    }
}

fn shown_edge(frame: &EdgeFrame) -> String {
    match frame {
        EdgeFrame::Hello(hello, _) => {
            format!(
                "hello live {:x} last {} cursor {}",
                hello.live.0, hello.last_added.0, hello.cursor.through.0
            )
        }
        EdgeFrame::Batch(batch) => {
            format!("batch {:x} from {} ({} bytes)", batch.epoch.0, batch.first.0, batch.items.len())
        }
        EdgeFrame::Latest(batch) => format!("latest ({} bytes)", batch.items.len()),
        EdgeFrame::CaughtUp { through, .. } => format!("caught up {}", through.0),
        EdgeFrame::Ping(_) => "ping".to_owned(),
        EdgeFrame::Pong(_) => "pong".to_owned(),
        EdgeFrame::Down(DownAnswer::Welcome(welcome)) => format!("takes, has {:?}", welcome.taken),
        EdgeFrame::Down(answer) => format!("of the way down: {answer:?}"),
        EdgeFrame::Above => "above?".to_owned(),
        EdgeFrame::Reached { log, epoch } => format!("how far is {:x} of {:x}?", epoch.0, log.0),
        EdgeFrame::GivenUp => "given up?".to_owned(),
        EdgeFrame::Tree(tree) => format!("below are {} more, {} numbers", tree.edges.len(), tree.tails.len()),
        EdgeFrame::Bye { last_added } => format!("bye {}", last_added.0),
    }
}

fn shown_hub(frame: &HubFrame) -> String {
    match frame {
        HubFrame::Nonce { .. } => "nonce".to_owned(),
        HubFrame::Welcome(welcome, _) => {
            let taken = welcome.taken.iter().map(|t| format!("{:x}:{}", t.epoch.0, t.cursor.through.0));
            format!("welcome {}", taken.collect::<Vec<_>>().join(" "))
        }
        HubFrame::Synced { epoch, through, refused } => {
            format!("synced {:x} {} refused {}", epoch.0, through.0, refused.len())
        }
        HubFrame::Refused(refused) => format!("refused {}: {}", refused.code.name(), refused.what),
        HubFrame::Down(DownFrame::Hello(hello)) => format!("has to {}", hello.last_added.0),
        HubFrame::Down(DownFrame::Batch(batch)) => {
            format!("batch {} of {} bytes", batch.first.0, batch.items.len())
        }
        HubFrame::Ping(_) => "ping".to_owned(),
        HubFrame::Pong(_) => "pong".to_owned(),
        HubFrame::Above(above) => format!("above are {above:?}"),
        HubFrame::Reached { epoch, through, .. } => format!("{:x} is there to {}", epoch.0, through.0),
        HubFrame::GivenUp(said) => format!("given up: {} and {}", said.credentials.len(), said.ids.len()),
        HubFrame::Tree(heard) => format!("shows {} below, not {}", heard.shown, heard.refused),
    }
}
