//! An MQTT device: publishes at QoS 0, 1 and 2 and resends exactly as MQTT says.
//!
//! It knows what it was told and nothing else: a publication counts as acknowledged when PUBACK or PUBREC came. What
//! was not acknowledged is sent again, in order, on the next connection; a QoS 2 exchange goes on where it was.

use crate::{
    journal::Key,
    mqtt::{self, Connect, Publish, Said},
};
use bytes::Bytes;
use riser_model::Time;
use std::{collections::VecDeque, time::Duration};

const KEEPALIVE: Duration = Duration::from_secs(20);
/// Without an answer for so long it connects anew.
const PATIENCE: Duration = Duration::from_secs(30);

/// A publication on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its name.
    pub key: Key,
    /// Where to.
    pub topic: String,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether it is to stay.
    pub retain: bool,
    /// What.
    pub payload: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Sent,
    /// PUBREC came, PUBREL was sent.
    Releasing,
}

#[derive(Debug)]
struct Flight {
    id: u16,
    what: Outgoing,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Off { retry_at: Time },
    Dialing,
    Greeting { since: Time },
    On,
}

/// What a device does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Dials its edge.
    Dial,
    /// Sends bytes.
    Send(Vec<u8>),
    /// Leaves the socket.
    Hangup,
    /// Was told that this one is safe.
    Acked(Key),
    /// Was told that this one was not taken, and gives up on it.
    Refused(Key),
    /// A kept session was not there any more.
    SessionLost,
}

/// What never changes of a device.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its number.
    pub number: u32,
    /// Its name and MQTT client id.
    pub user: String,
    /// Its password.
    pub password: String,
    /// MQTT 5 or 3.1.1.
    pub v5: bool,
    /// Whether it asks for a fresh session each time.
    pub clean: bool,
    /// How many publications it has under way.
    pub window: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Device {
    /// Who it is.
    pub identity: Identity,
    state: State,
    waiting: VecDeque<Outgoing>,
    flights: VecDeque<Flight>,
    next_id: u16,
    buffer: Vec<u8>,
    heard_at: Time,
    spoke_at: Time,
    /// Since when it waits for an answer to something.
    owed_since: Option<Time>,
    had_session: bool,
    tries: u32,
    acts: VecDeque<Act>,
}

impl Device {
    /// One that dials at that time.
    pub fn new(identity: Identity, at: Time) -> Self {
        Self {
            identity,
            state: State::Off { retry_at: at },
            waiting: VecDeque::new(),
            flights: VecDeque::new(),
            next_id: 1,
            buffer: Vec::new(),
            heard_at: at,
            spoke_at: at,
            owed_since: None,
            had_session: false,
            tries: 0,
            acts: VecDeque::new(),
        }
    }

    /// What it does next.
    pub fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// How many publications of QoS 1 and 2 it still owes.
    pub fn owes(&self) -> usize {
        self.flights.len() + self.waiting.iter().filter(|out| out.qos > 0).count()
    }

    /// Has something to say. At QoS 0 without a connection it is forgotten. Whether it was taken.
    pub fn publish(&mut self, out: Outgoing, now: Time) -> bool {
        if out.qos == 0 && self.state != State::On {
            return false;
        }
        self.waiting.push_back(out);
        self.fill(now);
        true
    }

    /// The socket is open.
    pub fn connected(&mut self, now: Time) {
        let Identity { user, password, v5, clean, .. } = &self.identity;
        let connect = Connect {
            v5: *v5,
            id: user,
            clean: *clean,
            keepalive_s: KEEPALIVE.as_secs() as u16,
            user,
            password,
            receive_max: None,
            will: None,
        };
        let packet = connect.bytes();
        self.buffer.clear();
        self.state = State::Greeting { since: now };
        self.send(packet, now);
    }

    /// The socket is gone, or never was.
    pub fn closed(&mut self, now: Time) {
        self.tries += 1;
        let pause = Duration::from_millis(300) * self.tries.min(20);
        self.state = State::Off { retry_at: now.plus(pause) };
        self.owed_since = None;
        if self.identity.clean {
            // Nothing is known any more of what was under way: it is sent again as new.
            while let Some(flight) = self.flights.pop_back() {
                if flight.stage == Stage::Sent {
                    self.waiting.push_front(flight.what);
                }
            }
        }
        self.waiting.retain(|out| out.qos > 0);
    }

    /// Bytes came.
    pub fn heard(&mut self, bytes: &[u8], now: Time) {
        self.heard_at = now;
        self.buffer.extend_from_slice(bytes);
        while let Some(said) = mqtt::take(&mut self.buffer, self.identity.v5) {
            self.said(said, now);
        }
        self.fill(now);
    }

    /// When it wants to be woken.
    pub fn wake_at(&self) -> Option<Time> {
        match self.state {
            State::Off { retry_at } => Some(retry_at),
            State::Dialing => None,
            State::Greeting { since } => Some(since.plus(PATIENCE)),
            State::On => {
                let ping = self.spoke_at.plus(KEEPALIVE / 2);
                Some(self.owed_since.map_or(ping, |since| ping.min(since.plus(PATIENCE))))
            }
        }
    }

    /// The time has come.
    pub fn wake(&mut self, now: Time) {
        match self.state {
            State::Off { retry_at } if retry_at <= now => {
                self.state = State::Dialing;
                self.acts.push_back(Act::Dial);
            }
            State::Greeting { since } if since.plus(PATIENCE) <= now => self.hang_up(now),
            State::On
                if self.owed_since.is_some_and(|since| since.max(self.heard_at).plus(PATIENCE) <= now) =>
            {
                self.hang_up(now);
            }
            State::On => {
                self.owed_since = self.owed_since.map(|since| since.max(self.heard_at));
                if self.spoke_at.plus(KEEPALIVE / 2) <= now {
                    self.owed(now);
                    self.send(mqtt::ping(), now);
                }
            }
            State::Off { .. } | State::Dialing | State::Greeting { .. } => {}
        }
    }

    fn hang_up(&mut self, now: Time) {
        self.acts.push_back(Act::Hangup);
        self.closed(now);
    }

    fn owed(&mut self, now: Time) {
        self.owed_since.get_or_insert(now);
    }

    fn send(&mut self, bytes: Vec<u8>, now: Time) {
        self.spoke_at = now;
        self.acts.push_back(Act::Send(bytes));
    }

    fn said(&mut self, said: Said, now: Time) {
        self.owed_since = None;
        match said {
            Said::Connected { present, code: 0 } => self.entered(present, now),
            Said::Connected { .. } | Said::Disconnected(_) => self.hang_up(now),
            Said::Acked(id, reason) => self.answered(id, 1, reason, now),
            Said::Received(id, reason) => self.answered(id, 2, reason, now),
            Said::Completed(id) => {
                self.flights.retain(|flight| flight.id != id || flight.stage != Stage::Releasing);
            }
            Said::Publish(_) | Said::Released(_) | Said::Subscribed(_) | Said::Pong | Said::Other => {}
        }
        if !self.flights.is_empty() {
            self.owed(now);
        }
    }

    fn entered(&mut self, present: bool, now: Time) {
        self.state = State::On;
        self.tries = 0;
        if !present && self.had_session {
            self.acts.push_back(Act::SessionLost);
        }
        if !present {
            // What was released is done; the rest is sent as new.
            self.flights.retain(|flight| flight.stage == Stage::Sent);
        }
        self.had_session = !self.identity.clean;
        let again: Vec<(u16, Stage, Outgoing)> =
            self.flights.iter().map(|f| (f.id, f.stage, f.what.clone())).collect();
        for (id, stage, what) in again {
            match stage {
                Stage::Sent => self.send_publish(id, &what, present, now),
                Stage::Releasing => self.send(mqtt::release(id), now),
            }
        }
    }

    fn answered(&mut self, id: u16, qos: u8, reason: u8, now: Time) {
        let Some(at) = self.flights.iter().position(|f| f.id == id && f.what.qos == qos) else {
            // PUBREC again, of one that is being released.
            return;
        };
        let Some(flight) = self.flights.get_mut(at) else { return };
        let news = flight.stage == Stage::Sent;
        let key = flight.what.key;
        let refused = reason >= 0x80;
        if news {
            self.acts.push_back(if refused { Act::Refused(key) } else { Act::Acked(key) });
        }
        if qos == 1 || refused {
            self.flights.remove(at);
        } else {
            flight.stage = Stage::Releasing;
            self.send(mqtt::release(id), now);
        }
    }

    fn fill(&mut self, now: Time) {
        while self.state == State::On && self.flights.len() < self.identity.window {
            let Some(out) = self.waiting.pop_front() else { return };
            if out.qos == 0 {
                self.send_publish(0, &out, false, now);
                continue;
            }
            let id = self.free_id();
            self.send_publish(id, &out, false, now);
            self.flights.push_back(Flight { id, what: out, stage: Stage::Sent });
            self.owed(now);
        }
    }

    fn free_id(&mut self) -> u16 {
        loop {
            let id = self.next_id;
            // Few, so that ids come round often.
            let ids = (2 * self.identity.window).clamp(40, 1000) as u16;
            self.next_id = if id >= ids { 1 } else { id + 1 };
            if self.flights.iter().all(|flight| flight.id != id) {
                return id;
            }
        }
    }

    fn send_publish(&mut self, id: u16, out: &Outgoing, dup: bool, now: Time) {
        let (topic, qos, retain, payload) = (&out.topic, out.qos, out.retain, &out.payload);
        let publish = Publish { v5: self.identity.v5, topic, qos, id, dup, retain, payload };
        let bytes = publish.bytes();
        self.send(bytes, now);
    }
}
