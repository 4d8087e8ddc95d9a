//! Connections: dialed, opened, carried, closed.

use super::{Event, World};
use crate::{
    mutant::Mutant,
    site,
    wires::{Client, Far, KERNEL_BYTES, Message, Road, Way, WireId},
};
use bytes::Bytes;
use riser_edge_core::LinkInput as EdgeInput;
use riser_gate::Caller;
use riser_ingest::LinkInput as HubInput;
use riser_model::{
    ConnectionId,
    door::{Credential, Door, Input as DoorInput},
};
use riser_mqtt::MqttDoor;
use riser_rooms::door::{Envelope, Place, TicketSeed};
use riser_wire::link::{EdgeFrame, HubFrame, Nonce, Stage, decode_edge, decode_hub};
use std::{sync::Arc, time::Duration};

/// A writer whose peer takes nothing for so long is left.
const STALLED_AFTER: Duration = Duration::from_secs(30);

impl World {
    /// Somebody dials a host.
    pub(super) fn dial(&mut self, client: Client, server: usize, road: Road, lasts: Duration) -> WireId {
        let id = self.net.open(client, server, road, self.now.plus(lasts));
        let delay = self.net.delay(road);
        self.after(delay, Event::Knock(id));
        id
    }

    /// The first packet is at the host, if the road lets it through.
    pub(super) fn knock(&mut self, id: WireId) {
        let Some(wire) = self.net.wires.get(&id) else { return };
        let (server, road, client, far) = (wire.server, wire.road, wire.client, wire.far);
        let Far::Dialing { until } = far else { return };
        let delay = self.net.delay(road);
        if self.net.is_reset(road) {
            return self.after(delay, Event::Unopened(id));
        }
        // The kernel of a machine takes what its process, standing still, does not answer.
        let passes = !self.net.is_cut(road, Way::Up)
            && !self.net.is_cut(road, Way::Down)
            && !self.frozen.contains_key(&server);
        if !passes || !self.machines[server].up {
            let again = self.now.plus(Duration::from_millis(self.rng.u64(900..1100)));
            let event = if again < until { Event::Knock(id) } else { Event::Unopened(id) };
            return self.queue.put(again.min(until), event);
        }
        let far = match client {
            Client::Edge { .. } => self.take_link(server, id),
            Client::Device(_)
            | Client::Subscriber(_)
            | Client::Guest(_)
            | Client::Writer(_)
            | Client::Caller(_)
            | Client::Talker(_) => self.take_door(server, id, client),
        };
        let Some(far) = far else { return self.after(delay, Event::Unopened(id)) };
        if let Some(wire) = self.net.wires.get_mut(&id) {
            wire.far = far;
            wire.server_open = true;
            wire.opening = true;
        }
        self.net.not_before(id, Way::Down, self.now.plus(delay + Duration::from_nanos(1)));
        self.after(delay, Event::Opened(id));
        self.settle(server);
    }

    fn take_link(&mut self, server: usize, id: WireId) -> Option<Far> {
        if self.hosts[server].process.as_ref().is_none_or(|process| process.stopping) {
            return None;
        }
        self.links_made += 1;
        let connection = ConnectionId(self.links_made);
        self.links.insert(connection, id);
        let nonce = self.nonce();
        self.hosts[server].hub_link(HubInput::Opened { connection, binding: Bytes::new(), nonce }, self.now);
        Some(Far::Link(connection))
    }

    fn take_door(&mut self, server: usize, id: WireId, client: Client) -> Option<Far> {
        let now = self.hosts[server].now(self.now);
        let mut from = Caller::default();
        let door: Box<dyn Door> = match client {
            Client::Caller(_) => {
                let door;
                (door, from) = self.caller_door(id, now)?;
                door
            }
            Client::Subscriber(n) => {
                let room = &self.subscribers[n].subscriber.identity.room;
                Box::new(Envelope::new(place(room)?, TicketSeed([0; 32]), now))
            }
            Client::Writer(n) => Box::new(Envelope::new(
                place(&self.writers[n].writer.identity.room)?,
                TicketSeed([0; 32]),
                now,
            )),
            Client::Talker(n) => Box::new(Envelope::new(
                place(&self.talkers[n].talker.identity.room)?,
                TicketSeed([0; 32]),
                now,
            )),
            Client::Device(_) | Client::Guest(_) | Client::Edge { .. } => {
                let (config, counters) = (Arc::clone(&self.mqtt.0), Arc::clone(&self.mqtt.1));
                Box::new(MqttDoor::new(config, counters, self.rng.u64(..), now))
            }
        };
        let connection = self.hosts[server].open_door(id, door, from, self.now)?;
        if let Client::Talker(_) = client {
            self.talker_session(server, connection, true);
        }
        Some(Far::Door(connection))
    }

    fn nonce(&mut self) -> Nonce {
        let mut bytes = [0; 32];
        self.rng.fill(&mut bytes);
        Nonce(bytes)
    }

    /// Whether whoever dialed still waits for that.
    fn is_awaited(&self, id: WireId, client: Client) -> bool {
        match client {
            Client::Device(n) => self.devices[n].wire == Some(id),
            Client::Subscriber(n) => self.subscribers[n].wire == Some(id),
            Client::Guest(n) => self.guests[n].wire == Some(id),
            Client::Writer(n) => self.writers[n].wire == Some(id),
            Client::Caller(n) => self.callers[n].wire == Some(id),
            Client::Talker(n) => self.talkers[n].wire == Some(id),
            Client::Edge { host, life, attempt, .. } => {
                self.hosts[host].life == life && self.uplinks.get(&host) == Some(&(attempt, id))
            }
        }
    }

    pub(super) fn opened(&mut self, id: WireId) {
        let Some(client) = self.net.wires.get(&id).map(|wire| wire.client) else { return };
        if let Some(wire) = self.net.wires.get_mut(&id) {
            wire.client_open = true;
            wire.opening = false;
        }
        if !self.is_awaited(id, client) {
            return self.end_client(id);
        }
        match client {
            Client::Device(n) => {
                self.devices[n].device.connected(self.now);
                self.device_acts(n);
            }
            Client::Subscriber(n) => {
                self.subscribers[n].subscriber.connected(self.now);
                self.subscriber_acts(n);
            }
            Client::Guest(n) => {
                self.guests[n].guest.connected(self.now);
                self.guest_acts(n);
            }
            Client::Writer(n) => {
                self.writers[n].writer.connected(self.now);
                self.writer_acts(n);
            }
            Client::Caller(n) => {
                let host = self.callers[n].caller.host;
                let wall_s = self.hosts[host].now(self.now).wall.0.div_euclid(1000);
                self.callers[n].caller.connected(self.now, wall_s);
                self.caller_acts(n);
            }
            Client::Talker(n) => self.talker_comes(n),
            Client::Edge { host, uplink, attempt, .. } => {
                let nonce = self.nonce();
                let input = EdgeInput::Connected { uplink, attempt, binding: Bytes::new(), nonce };
                self.hosts[host].edge_link(input, self.now);
                self.settle(host);
            }
        }
    }

    pub(super) fn unopened(&mut self, id: WireId) {
        let Some(wire) = self.net.wires.remove(&id) else { return };
        if self.is_awaited(id, wire.client) {
            self.tell_gone(id, wire.client);
        }
    }

    /// The client's end learns that it is over.
    fn tell_gone(&mut self, id: WireId, client: Client) {
        match client {
            Client::Device(n) => {
                self.devices[n].wire = None;
                self.devices[n].device.closed(self.now);
                self.device_acts(n);
            }
            Client::Subscriber(n) => {
                self.subscribers[n].wire = None;
                self.subscribers[n].subscriber.closed(self.now);
                self.subscriber_acts(n);
            }
            Client::Guest(n) => {
                self.guests[n].wire = None;
                self.guests[n].guest.closed(self.now);
                self.guest_acts(n);
            }
            Client::Writer(n) => {
                self.writers[n].wire = None;
                self.writers[n].writer.closed(self.now);
                self.writer_acts(n);
            }
            Client::Caller(n) => {
                self.callers[n].wire = None;
                self.callers[n].caller.closed(self.now);
                self.caller_acts(n);
            }
            Client::Talker(n) => self.talker_gone(n),
            Client::Edge { host, uplink, attempt, .. } => {
                self.uplinks.retain(|_, (_, wire)| *wire != id);
                self.hosts[host].edge_link(EdgeInput::Disconnected { uplink, attempt }, self.now);
                self.settle(host);
            }
        }
    }

    // What travels.

    pub(super) fn arrive(&mut self, id: WireId, way: Way) {
        let Some(message) = self.net.arrive(id, way) else { return };
        match way {
            Way::Up => self.arrive_up(id, message),
            Way::Down => self.arrive_down(id, message),
        }
    }

    fn arrive_up(&mut self, id: WireId, message: Message) {
        let Some(wire) = self.net.wires.get(&id) else { return };
        let (server, far, open, trusted) = (wire.server, wire.far, wire.server_open, wire.trusted);
        if !open {
            // A machine that lives says that there is no such connection.
            if message != Message::End && self.machines[server].up {
                self.net.send(id, Way::Down, Message::End, self.now);
            }
            return;
        }
        match (far, message) {
            (Far::Door(connection), Message::Bytes(bytes)) => {
                self.hosts[server].door_input(connection, DoorInput::Bytes(bytes), self.now);
            }
            (Far::Door(connection), Message::Text(text)) => {
                self.caller_said(id, &text);
                let Some(text) = self.twist_step(id, text) else { return };
                self.hosts[server].door_input(connection, DoorInput::Text(text), self.now);
            }
            (Far::Door(connection), Message::End) => {
                self.drop_server(id);
                self.hosts[server].door_input(connection, DoorInput::Gone("peer_closed"), self.now);
            }
            (Far::Link(connection), Message::Bytes(bytes)) => {
                self.hub_hears(id, (server, connection), bytes, trusted);
            }
            (Far::Link(connection), Message::End | Message::Text(_)) => {
                self.drop_server(id);
                self.hosts[server].hub_link(HubInput::Closed { connection }, self.now);
            }
            (Far::Dialing { .. }, _) => {}
        }
        self.settle(server);
    }

    fn hub_hears(
        &mut self,
        id: WireId,
        (server, connection): (usize, ConnectionId),
        bytes: Bytes,
        trusted: bool,
    ) {
        let stage = if trusted { Stage::Welcomed } else { Stage::Unauthenticated };
        let mut frame = match decode_edge(bytes, stage, |_, _| None) {
            Ok(frame) => frame,
            Err(bad) => return self.wrong(format!("host {server} cannot read what an edge said: {bad}")),
        };
        if let EdgeFrame::Batch(batch) = &mut frame {
            self.twist_batch(batch);
            self.claimed(id, batch);
        }
        self.hosts[server].hub_link(HubInput::Frame { connection, frame }, self.now);
    }

    fn claimed(&mut self, id: WireId, batch: &riser_wire::link::Batch) {
        let client = self.net.wires.get(&id).map(|wire| wire.client);
        let Some(Client::Edge { host, .. }) = client else { return };
        if let Some(log) = self.hosts[host].log {
            self.ledger.claimed(log, batch.epoch, batch.first, batch.items.clone());
        }
    }

    fn arrive_down(&mut self, id: WireId, message: Message) {
        let Some(wire) = self.net.wires.get(&id) else { return };
        let (client, open) = (wire.client, wire.client_open);
        if !open {
            if message != Message::End {
                self.net.send(id, Way::Up, Message::End, self.now);
            }
            return;
        }
        if message == Message::End {
            self.drop_client(id);
            self.trace.line(self.now, || format!("{client:?} is left"));
            if self.is_awaited(id, client) {
                self.tell_gone(id, client);
            }
            return;
        }
        self.moved(id);
        match (client, message) {
            (Client::Device(n), Message::Bytes(bytes)) => {
                self.trace.line(self.now, || format!("device {n} hears {:.24?}", &bytes[..]));
                self.devices[n].device.heard(&bytes, self.now);
                self.device_acts(n);
            }
            (Client::Guest(n), Message::Bytes(bytes)) => {
                self.trace.line(self.now, || format!("guest {n} hears {:.24?}", &bytes[..]));
                self.guests[n].guest.heard(&bytes, self.now);
                self.guest_acts(n);
            }
            (Client::Subscriber(n), Message::Text(text)) => {
                let seat = &mut self.subscribers[n];
                seat.heard = seat.said.pop_front().or(seat.heard);
                for text in self.twisted(text) {
                    self.trace.line(self.now, || format!("subscriber {n} hears {text:.160}"));
                    self.subscribers[n].subscriber.heard(&text, self.now);
                }
                self.subscriber_acts(n);
            }
            (Client::Writer(n), Message::Text(text)) => {
                let seat = &mut self.writers[n];
                seat.heard = seat.told.pop_front().or(seat.heard);
                self.trace.line(self.now, || format!("writer {n} hears {text:.160}"));
                self.writers[n].writer.heard(&text, self.now);
                self.writer_acts(n);
            }
            (Client::Caller(n), Message::Text(text)) => {
                self.trace.line(self.now, || format!("caller {n} hears {text:.160}"));
                if self.callers[n].wire == Some(id) {
                    self.callers[n].caller.heard(&text, self.now);
                    self.caller_acts(n);
                }
            }
            (Client::Talker(n), Message::Text(text)) => {
                self.trace.line(self.now, || format!("talker {n} hears {text:.160}"));
                let is_lost = self.mutant == Some(Mutant::WipedUntold) && text.contains("\"ev\":\"wiped\"");
                if self.talkers[n].wire == Some(id) && !is_lost {
                    self.talkers[n].talker.heard(&text, self.now);
                    self.talker_acts(n);
                }
            }
            (Client::Edge { host, uplink, attempt, .. }, Message::Bytes(bytes)) => {
                match decode_hub(bytes, Stage::Welcomed, |_, _| None) {
                    Ok(frame) => {
                        if let HubFrame::GivenUp(said) = &frame {
                            self.annex_hears(host, said);
                        }
                        self.hosts[host].edge_link(EdgeInput::Frame { uplink, attempt, frame }, self.now);
                        self.settle(host);
                    }
                    Err(bad) => self.wrong(format!("an edge cannot read what the hub said: {bad}")),
                }
            }
            (client, message) => self.wrong(format!("{client:?} heard {message:?}")),
        }
    }

    // A door's writing.

    /// A door wrote: it may write again when the kernel has taken that.
    pub(super) fn written(&mut self, id: WireId) {
        let full = self.net.wires.get(&id).is_some_and(|wire| wire.bytes_down() > KERNEL_BYTES);
        let known = self.unoffered.contains_key(&id);
        if full && self.unoffered.get(&id).copied().flatten().is_none() {
            self.unoffered.insert(id, Some(self.now));
            self.after(STALLED_AFTER, Event::Stall(id));
        } else if !known {
            self.unoffered.insert(id, None);
            self.after(Duration::from_micros(20), Event::Offer(id));
        }
    }

    fn moved(&mut self, id: WireId) {
        if let Some(stuck) = self.unoffered.get_mut(&id) {
            *stuck = stuck.map(|_| self.now);
            self.after(Duration::from_micros(20), Event::Offer(id));
        }
    }

    pub(super) fn offer(&mut self, id: WireId) {
        let Some(wire) = self.net.wires.get(&id) else { return };
        if wire.bytes_down() > KERNEL_BYTES || !wire.server_open || self.unoffered.remove(&id).is_none() {
            return;
        }
        if let Far::Door(connection) = wire.far {
            let server = wire.server;
            let room = DoorInput::Room(crate::door::WRITE_BYTES_MAX);
            self.hosts[server].door_input(connection, room, self.now);
            self.settle(server);
        }
    }

    pub(super) fn stalled(&mut self, id: WireId) {
        let Some(Some(since)) = self.unoffered.get(&id).copied() else { return };
        let due = since.plus(STALLED_AFTER);
        if due > self.now {
            return self.queue.put(due, Event::Stall(id));
        }
        let Some((server, Far::Door(connection))) = self.far(id) else { return };
        self.end_server(id);
        self.hosts[server].door_input(connection, DoorInput::Gone("stalled"), self.now);
        self.settle(server);
    }

    /// Nothing comes any more of what the network has forgotten: its WebSocket was pinged, and nobody answered.
    pub(super) fn silent(&mut self, id: WireId) {
        if self.net.wires.get(&id).is_some_and(|wire| wire.forgotten && wire.server_open)
            && let Some((server, Far::Door(connection))) = self.far(id)
        {
            self.end_server(id);
            self.hosts[server].door_input(connection, DoorInput::Gone("silent"), self.now);
            self.settle(server);
        }
    }

    /// Every connection of a road is reset at both of its ends, and what was under way is gone.
    pub fn reset(&mut self, road: Road) {
        let on_road = |(id, wire): (&WireId, &crate::wires::Wire)| (wire.road == road).then_some(*id);
        let ids: Vec<WireId> = self.net.wires.iter().filter_map(on_road).collect();
        for id in ids {
            let Some(wire) = self.net.wires.get_mut(&id) else { continue };
            wire.forgotten = true;
            let (client, server, far) = (wire.client, wire.server, wire.far);
            let (at_server, at_client) = (wire.server_open, wire.client_open);
            if at_server {
                self.drop_server(id);
                match far {
                    Far::Link(connection) => {
                        self.hosts[server].hub_link(HubInput::Closed { connection }, self.now);
                    }
                    Far::Door(connection) => {
                        self.hosts[server].door_input(connection, DoorInput::Gone("reset"), self.now);
                    }
                    Far::Dialing { .. } => {}
                }
                self.settle(server);
            }
            if at_client {
                self.drop_client(id);
                if self.is_awaited(id, client) {
                    self.tell_gone(id, client);
                }
            }
        }
    }

    // Ends.

    /// The server's end closes and says so.
    pub(super) fn end_server(&mut self, id: WireId) {
        if self.net.wires.get(&id).is_some_and(|wire| wire.server_open) {
            self.net.send(id, Way::Down, Message::End, self.now);
            self.drop_server(id);
        }
    }

    /// The server's end is not there any more.
    pub(super) fn drop_server(&mut self, id: WireId) {
        self.unoffered.remove(&id);
        self.talker_left(id);
        if let Some(Client::Guest(n)) = self.net.wires.get(&id).map(|wire| wire.client) {
            self.sharing.leaves(n, self.now);
        }
        self.post.gone(id, self.now);
        let in_market = self.net.wires.get(&id).is_some_and(|wire| self.is_in_market(wire));
        if let Some(market) = self.market.as_mut().filter(|_| in_market) {
            market.leaves(id, self.now);
        }
        if let Some(wire) = self.net.wires.get_mut(&id) {
            wire.server_open = false;
            if let Far::Link(connection) = wire.far {
                self.links.remove(&connection);
            }
        }
        self.net.sweep(id);
    }

    /// The client's end closes and says so.
    pub(super) fn end_client(&mut self, id: WireId) {
        if self.net.wires.get(&id).is_some_and(|wire| wire.client_open) {
            self.net.send(id, Way::Up, Message::End, self.now);
            self.drop_client(id);
        }
    }

    /// The client's end is not there any more.
    pub(super) fn drop_client(&mut self, id: WireId) {
        if let Some(wire) = self.net.wires.get_mut(&id) {
            wire.client_open = false;
        }
        self.net.sweep(id);
    }
}

/// The address of a room.
fn place(room: &str) -> Option<Place> {
    let (account, room) = (site::ACCOUNT.parse().ok()?, room.parse().ok()?);
    Some(Place { account, room, credential: Credential::Anonymous, anonymous: false })
}
