//! Devices and dashboards: what they do, and when they are woken.

use super::{Event, World};
use crate::{
    device::{Act as DeviceAct, Outgoing},
    floors::Moment,
    journal::Key,
    knobs::DeviceKnobs,
    ledger::Offer,
    post,
    reading::{Log, Reading, Window},
    site,
    subscriber::{self, Act as ReaderAct, Told},
    wires::{Client, Message, Road, Way, Wire, WireId},
};
use bytes::Bytes;
use riser_model::{Seq, Time};
use std::time::Duration;

const DIAL_FOR: Duration = Duration::from_secs(10);

impl World {
    pub(super) fn device_acts(&mut self, n: usize) {
        while let Some(act) = self.devices[n].device.poll() {
            let wire = self.devices[n].wire;
            match act {
                DeviceAct::Dial => {
                    let edge = self.devices[n].edge;
                    self.trace.line(self.now, || format!("device {n} dials"));
                    let id = self.dial(Client::Device(n), edge, Road::Site(edge), DIAL_FOR);
                    self.devices[n].wire = Some(id);
                }
                DeviceAct::Send(bytes) => {
                    let bytes = self.twist_publish(bytes);
                    if let Some(id) = wire {
                        self.net.send(id, Way::Up, Message::Bytes(Bytes::from(bytes)), self.now);
                    }
                }
                DeviceAct::Hangup => {
                    self.trace.line(self.now, || format!("device {n} hangs up"));
                    self.devices[n].wire = None;
                    if let Some(id) = wire {
                        self.end_client(id);
                    }
                }
                DeviceAct::Acked(key) => {
                    self.trace.line(self.now, || format!("device {n} acked {}", key.n));
                    self.ledger.acked.insert(key);
                    self.ledger.counts.acked += 1;
                }
                DeviceAct::Refused(key) => {
                    self.trace.line(self.now, || format!("device {n} refused {}", key.n));
                    self.ledger.refused.insert(key);
                    self.ledger.counts.refused += 1;
                }
                DeviceAct::SessionLost => self.session_lost(n),
            }
        }
        self.arm_device(n);
    }

    fn session_lost(&mut self, n: usize) {
        let edge = self.devices[n].edge;
        self.ledger.sessions_lost.push((self.now, n as u32));
        if !self.hosts[edge].damaged && !self.hosts[edge].stale {
            self.wrong(format!("device {n}: its kept session was not there any more"));
        }
    }

    pub(super) fn arm_device(&mut self, n: usize) {
        let seat = &mut self.devices[n];
        if let Some(at) = due(seat.device.wake_at(), &mut seat.armed, self.now) {
            self.queue.put(at, Event::Device(n, at));
        }
    }

    pub(super) fn wake_device(&mut self, n: usize, armed: Time) {
        if self.devices[n].armed.take_if(|due| *due == armed).is_none() {
            return;
        }
        self.devices[n].device.wake(self.now);
        self.device_acts(n);
    }

    /// The device's next few publications.
    pub(super) fn speak(&mut self, n: usize) {
        let knobs = self.knobs.devices[n].clone();
        if let Some(every) = knobs.every {
            return self.speak_on(n, (&knobs, every));
        }
        let later = self.knobs.second.map_or(0, |second| second.publications);
        let most = knobs.publications.saturating_add(later);
        let burst = self.devices[n].rng.u32(1..=knobs.burst);
        for _ in 0..burst {
            if self.devices[n].said < most {
                self.publish(n, knobs.padding);
            }
            if self.devices[n].said < most && self.devices[n].stays.u8(0..5) == 0 {
                self.publish_to_stay(n, knobs.padding);
            }
        }
        self.device_acts(n);
        let (lasts, publications) = match self.knobs.second {
            Some(second) if self.devices[n].said >= knobs.publications => (second.lasts, second.publications),
            Some(_) | None => (self.knobs.first_act(), knobs.publications),
        };
        let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let mean = lasts * u64::from(knobs.burst + 1) / 2 / u64::from(publications);
        if self.devices[n].said < most {
            let pause = self.devices[n].rng.u64(1..=mean.max(1) * 2 * 9 / 10);
            self.after(Duration::from_millis(pause), Event::Speak(n));
        }
    }

    /// The next one of a device that goes on for as long as the run does.
    fn speak_on(&mut self, n: usize, (knobs, every): (&DeviceKnobs, Duration)) {
        if self.healed {
            return;
        }
        if self.devices[n].device.owes() < knobs.window {
            self.publish(n, knobs.padding);
            self.device_acts(n);
        }
        self.after(every, Event::Speak(n));
    }

    fn publish(&mut self, n: usize, padding: usize) {
        let (now, in_house) = (self.now, self.knobs.house.is_some());
        let seat = &mut self.devices[n];
        seat.said += 1;
        let key = Key { device: n as u32, n: seat.said };
        let topic = match seat.rng.u8(0..16) {
            draw if self.knobs.post && draw < 6 => {
                let room = if draw < 3 { site::YARD } else { site::PLANT };
                format!(
                    "{room}/{}/dev{n}",
                    post::address(if draw % 3 == 0 { post::SCREEN } else { post::KEPT })
                )
            }
            draw if in_house => format!("{}/dev{n}", site::VAULTS[usize::from(draw) % site::VAULTS.len()]),
            0 => format!("{}/dev{n}", site::YARD),
            1 => format!("{}/dev{n}", site::SHED),
            2 => format!("{}/{}/dev{n}", site::PLANT, site::SECRET),
            3 => format!("{}/{}/dev{n}", site::PLANT, site::FORBIDDEN),
            4 => format!("legacy/dev{n}"),
            5..8 => format!("{}/dev{n}/b", site::PLANT),
            _ => format!("{}/dev{n}/a", site::PLANT),
        };
        let qos = match seat.rng.u8(0..8) {
            0 => 0,
            1..5 => 1,
            _ => 2,
        };
        let padding: String = (0..padding).map(|_| seat.rng.lowercase()).collect();
        let payload = Bytes::from(format!("{}:{}:{padding}", key.device, key.n));
        self.say_to(n, Outgoing { key, topic, qos, retain: false, payload }, now);
    }

    /// Publishes something that its channel is to retain, or takes that away.
    fn publish_to_stay(&mut self, n: usize, padding: usize) {
        let now = self.now;
        let seat = &mut self.devices[n];
        seat.said += 1;
        let key = Key { device: n as u32, n: seat.said };
        let topic = match seat.stays.u8(0..10) {
            0 => format!("{}/dev{n}/stays", site::YARD),
            1 => format!("{}/dev{n}/stays", site::SHED),
            2 => format!("{}/{}/dev{n}/stays", site::PLANT, site::SECRET),
            3 => format!("{}/{}/dev{n}/stays", site::PLANT, site::FORBIDDEN),
            other => format!("{}/dev{n}/stays/{}", site::PLANT, other % 4),
        };
        let clears = seat.stays.u8(0..4) == 0;
        let qos = if clears { 1 } else { seat.stays.u8(1..3) };
        let padding: String = (0..padding).map(|_| seat.stays.lowercase()).collect();
        let payload = format!("{}:{}:{padding}", key.device, key.n);
        let payload = if clears { Bytes::new() } else { Bytes::from(payload) };
        self.say_to(n, Outgoing { key, topic, qos, retain: true, payload }, now);
    }

    fn say_to(&mut self, n: usize, outgoing: Outgoing, now: Time) {
        let Outgoing { key, topic, qos, retain, payload } = outgoing.clone();
        if self.devices[n].device.publish(outgoing, now) {
            self.ledger.counts.offered += 1;
            self.trace.line(now, || format!("device {n} publishes {} to {topic} at qos {qos}", key.n));
            self.ledger.offers.insert(key, Offer { topic, payload, qos, retain });
        }
    }

    pub(super) fn subscriber_acts(&mut self, n: usize) {
        while let Some(act) = self.subscribers[n].subscriber.poll() {
            let wire = self.subscribers[n].wire;
            match act {
                ReaderAct::Dial => {
                    let id = self.dial(Client::Subscriber(n), 0, Road::Reader(n), DIAL_FOR);
                    self.subscribers[n].wire = Some(id);
                    self.subscribers[n].said.clear();
                }
                ReaderAct::Say(text) => {
                    if let Some(id) = wire {
                        self.net.send(id, Way::Up, Message::Text(text), self.now);
                    }
                }
                ReaderAct::Hangup => {
                    self.subscribers[n].wire = None;
                    if let Some(id) = wire {
                        self.end_client(id);
                    }
                }
                ReaderAct::Wrong(what) => self.wrong(what),
            }
        }
        self.read_on(n);
        self.arm_subscriber(n);
    }

    /// A door says something to a dashboard or a writer.
    pub(super) fn reader_told(&mut self, wire: WireId, text: &str) {
        if self.knobs.post {
            self.screen_told(wire, text);
        }
        if self.floors.is_none() && self.market.is_none() && !self.knobs.chronicle {
            return;
        }
        let Some((client, host)) = self.net.wires.get(&wire).map(|wire| (wire.client, wire.server)) else {
            return;
        };
        let moment = Moment { at: self.now, life: self.hosts[host].life };
        match client {
            Client::Subscriber(n) => {
                let seat = &mut self.subscribers[n];
                // What is said to a connection that was left does not arrive.
                seat.said.extend((seat.wire == Some(wire)).then_some(moment));
                let in_market = self.subscribers[n].subscriber.identity.room == site::MARKET;
                if in_market && text.contains("\"subscriptions\":[") {
                    self.visitor_told(wire, text);
                }
            }
            Client::Writer(n) => {
                let seat = &mut self.writers[n];
                seat.told.extend((seat.wire == Some(wire)).then_some(moment));
            }
            _ => {}
        }
    }

    /// What is written to a dashboard's socket is delivered to it: nobody acknowledges it there.
    fn screen_told(&mut self, wire: WireId, text: &str) {
        let client = self.net.wires.get(&wire).map(|wire| wire.client);
        if let (Some(Client::Subscriber(_)), Some(key)) = (client, subscriber::published(text)) {
            self.ledger.heard.entry((0, key)).or_insert(self.now);
        }
    }

    /// Whether somebody who wants to read in the market has a place.
    fn visitor_told(&mut self, wire: WireId, text: &str) {
        let now = self.now;
        let open = self.net.wires.values().filter(|wire| wire.server_open && self.is_in_market(wire)).count();
        let Some(market) = &mut self.market else { return };
        let wrong = if text.contains("quota_exceeded") {
            self.ledger.counts.over += 1;
            market.turns_away(open, now)
        } else if text.contains("\"error\":{") {
            None
        } else {
            market.lets_in(wire)
        };
        if let Some(wrong) = wrong {
            self.wrong(wrong);
        }
    }

    /// Whether it is a connection to the hub's market.
    pub(super) fn is_in_market(&self, wire: &Wire) -> bool {
        let is_there = match wire.client {
            Client::Subscriber(n) => self.subscribers[n].subscriber.identity.room == site::MARKET,
            Client::Writer(n) => self.writers[n].writer.identity.room == site::MARKET,
            _ => false,
        };
        is_there && wire.server == 0
    }

    /// What a dashboard was told is judged at once: by what was so when it was said.
    fn read_on(&mut self, n: usize) {
        for told in std::mem::take(&mut self.subscribers[n].subscriber.told) {
            if let Told::Event(event) = &told {
                self.heard_of(event);
            }
            let seat = &mut self.subscribers[n];
            let (hub, who) = (&self.hosts[0], &seat.subscriber.identity);
            // A full disk costs the oldest; what was archived by then is there all the same, or was kept from that.
            let let_go = if hub.troubled || hub.shelf_troubled { hub.oldest_there() } else { Seq::ZERO };
            let said_at = seat.heard.map_or(self.now, |when| when.at);
            let held = (who.room == site::CHRONICLE && !hub.held.was_closed(said_at)).then_some(&hub.held);
            let log = Log { meddled: hub.stale || hub.damaged, let_go, held };
            if let Some(floors) = self.floors.as_mut().filter(|_| who.room == site::ATTIC) {
                floors.look(hub);
            }
            let floors = self.floors.as_ref().filter(|_| who.room == site::ATTIC);
            let window = floors.zip(seat.heard).map(|(floors, when)| Window { floors, hub, when });
            if let Some(wrong) = seat.reading.told(who, &told, (&hub.journal, log), window) {
                self.trace.wrong(self.now, wrong);
            }
        }
        let sum = |of: fn(&Reading) -> u64| self.subscribers.iter().map(|seat| of(&seat.reading)).sum();
        self.ledger.counts.delivered = sum(|reading| reading.messages);
        self.ledger.counts.floors = sum(|reading| reading.floors);
    }

    pub(super) fn arm_subscriber(&mut self, n: usize) {
        let seat = &mut self.subscribers[n];
        if let Some(at) = due(seat.subscriber.wake_at(), &mut seat.armed, self.now) {
            self.queue.put(at, Event::Subscriber(n, at));
        }
    }

    pub(super) fn wake_subscriber(&mut self, n: usize, armed: Time) {
        if self.subscribers[n].armed.take_if(|due| *due == armed).is_none() {
            return;
        }
        self.subscribers[n].subscriber.wake(self.now);
        self.subscriber_acts(n);
    }
}

/// When to wake somebody, if that is earlier than they will be.
pub(super) fn due(wake_at: Option<Time>, armed: &mut Option<Time>, now: Time) -> Option<Time> {
    let due = wake_at?.max(now.plus(Duration::from_micros(1)));
    if armed.is_some_and(|armed| armed <= due) {
        return None;
    }
    *armed = Some(due);
    Some(due)
}
