//! An MQTT client that comes and goes: it is shown what is retained, keeps a session at QoS 2, or leaves a will.
//!
//! It is written from the specification and knows what it was told and nothing else. What it does and hears is handed
//! out in order, for the ledger.

use crate::mqtt::{self, Connect, Published, Said, Will};
use fastrand::Rng;
use riser_model::Time;
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

const KEEPALIVE: Duration = Duration::from_secs(20);
/// Without a word for so long, though it asks twice as often, it connects anew.
const PATIENCE: Duration = Duration::from_secs(25);
/// Who wants to be shown everything stays so long after SUBACK, at least.
const LOOKS: Duration = Duration::from_secs(30);

/// What it comes for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comes {
    /// Late, again and again, with a fresh session: to be shown what is retained.
    Late,
    /// To hear everything, once, in a session that is kept.
    ToKeep,
    /// To hear everything as long as it is there, with a fresh session each time.
    ToHear,
    /// To leave a will.
    ToLeave,
    /// To hear some of what others of its group do not; its session is kept, or ends with each connection.
    ToShare {
        /// Whether it is kept.
        kept: bool,
    },
}

/// How it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goes {
    /// With a DISCONNECT.
    Goodbye,
    /// With a DISCONNECT that wants the will published.
    WithWill,
    /// Without a word; or it was left, or lost.
    Cut,
}

/// What it does, and what it was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Dials its host.
    Dial,
    /// Sends bytes.
    Send(Vec<u8>),
    /// Leaves the socket.
    Hangup,
    /// Says CONNECT.
    Knocks {
        /// With this will.
        will: Option<Will>,
        /// For a fresh session.
        fresh: bool,
    },
    /// Heard CONNACK.
    Entered {
        /// Whether its session was there.
        present: bool,
        /// Whether it should have been.
        kept: bool,
    },
    /// Heard something.
    Heard,
    /// Says SUBSCRIBE.
    Subscribes,
    /// Heard SUBACK.
    Subscribed(u8),
    /// Heard a publication; at QoS 2 not one that it has already.
    Told(Published),
    /// Was there long enough to have been shown everything.
    HasSeen,
    /// Goes.
    Leaves(Goes),
}

/// What never changes of a guest.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its MQTT client id.
    pub id: String,
    /// Its user name.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Where it goes.
    pub host: usize,
    /// What for.
    pub comes: Comes,
    /// MQTT 5 or 3.1.1.
    pub v5: bool,
    /// The room that it subscribes in.
    pub room: String,
    /// Its channels.
    pub filter: String,
    /// The group with which it shares its subscription.
    pub group: Option<String>,
    /// Its subscription's QoS.
    pub qos: u8,
    /// How many it takes unacknowledged, with MQTT 5.
    pub receive_max: u16,
    /// From then on it stays, or does not come again.
    pub settles_at: Time,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Off { retry_at: Time },
    Dialing,
    Greeting,
    On { until: Option<Time>, goes: Goes },
    Over,
}

/// See the module.
#[derive(Debug)]
pub struct Guest {
    /// Who it is.
    pub identity: Identity,
    state: State,
    rng: Rng,
    buffer: Vec<u8>,
    /// Ids of QoS 2 that it has and that were not released.
    has: BTreeSet<u16>,
    had_session: bool,
    subscribed: bool,
    subscribed_at: Option<Time>,
    pinged_at: Time,
    heard_at: Time,
    visits: u32,
    acts: VecDeque<Act>,
}

impl Guest {
    /// One that dials at that time.
    pub fn new(identity: Identity, at: Time, rng: Rng) -> Self {
        Self {
            identity,
            state: State::Off { retry_at: at },
            rng,
            buffer: Vec::new(),
            has: BTreeSet::new(),
            had_session: false,
            subscribed: false,
            subscribed_at: None,
            pinged_at: at,
            heard_at: at,
            visits: 0,
            acts: VecDeque::new(),
        }
    }

    /// What it does next.
    pub fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// Whether it is where it ends up.
    pub fn is_settled(&self) -> bool {
        match self.identity.comes {
            Comes::Late => true,
            Comes::ToKeep | Comes::ToHear | Comes::ToShare { .. } => self.subscribed,
            Comes::ToLeave => self.state == State::Over,
        }
    }

    /// The socket is open.
    pub fn connected(&mut self, now: Time) {
        self.visits += 1;
        let will = (self.identity.comes == Comes::ToLeave && self.rng.u8(0..6) > 0).then(|| self.will());
        let fresh = match self.identity.comes {
            Comes::Late | Comes::ToHear => true,
            Comes::ToKeep => false,
            Comes::ToShare { kept } => !kept,
            Comes::ToLeave => self.rng.u8(0..3) == 0,
        };
        let identity = &self.identity;
        let connect = Connect {
            v5: identity.v5,
            id: &identity.id,
            clean: fresh,
            keepalive_s: KEEPALIVE.as_secs() as u16,
            user: &identity.user,
            password: &identity.password,
            receive_max: Some(identity.receive_max).filter(|_| identity.v5),
            will: will.as_ref(),
        };
        let bytes = connect.bytes();
        self.buffer.clear();
        if fresh {
            self.has.clear();
            self.had_session = false;
        }
        (self.subscribed_at, self.heard_at, self.pinged_at) = (None, now, now);
        self.state = State::Greeting;
        self.acts.push_back(Act::Knocks { will, fresh });
        self.acts.push_back(Act::Send(bytes));
    }

    fn will(&mut self) -> Will {
        let delay_s = match self.rng.u8(0..3) {
            _ if !self.identity.v5 => 0,
            0 => 0,
            1 => self.rng.u32(1..10),
            _ => self.rng.u32(10..60),
        };
        Will {
            topic: format!("{}/{}/will", self.identity.room, self.identity.id),
            qos: self.rng.u8(0..3),
            retain: self.rng.bool(),
            delay_s,
            payload: format!("will:{}:{}", self.identity.id, self.visits).into_bytes(),
        }
    }

    /// The socket is gone, or never was.
    pub fn closed(&mut self, now: Time) {
        if matches!(self.state, State::On { .. } | State::Greeting) {
            self.acts.push_back(Act::Leaves(Goes::Cut));
        }
        self.rest(now);
    }

    /// It is not there for a while, or for good.
    fn rest(&mut self, now: Time) {
        let over = now >= self.identity.settles_at
            && match (self.identity.comes, self.state) {
                (Comes::Late, _) => true,
                (Comes::ToLeave, State::On { .. }) => true,
                (Comes::ToLeave | Comes::ToKeep | Comes::ToHear | Comes::ToShare { .. }, _) => false,
            };
        let pause = match (self.identity.comes, self.rng.u8(0..3)) {
            (_, 0) => self.rng.u64(10..1500),
            (Comes::ToLeave, 1) => self.rng.u64(1500..10_000),
            (Comes::ToLeave | Comes::ToKeep | Comes::ToHear | Comes::ToShare { .. }, _) => {
                self.rng.u64(1500..60_000)
            }
            (Comes::Late, _) => self.rng.u64(1500..40_000),
        };
        let retry_at = now.plus(Duration::from_millis(pause));
        self.state = if over { State::Over } else { State::Off { retry_at } };
    }

    /// Bytes came.
    pub fn heard(&mut self, bytes: &[u8], now: Time) {
        self.heard_at = now;
        self.acts.push_back(Act::Heard);
        self.buffer.extend_from_slice(bytes);
        while let Some(said) = mqtt::take(&mut self.buffer, self.identity.v5) {
            if matches!(self.state, State::Off { .. } | State::Over) {
                return;
            }
            self.said(said, now);
        }
    }

    fn said(&mut self, said: Said, now: Time) {
        match said {
            Said::Connected { present, code: 0 } => self.entered(present, now),
            Said::Connected { .. } | Said::Disconnected(_) => self.go(Goes::Cut, now),
            Said::Subscribed(code) => {
                self.subscribed = code < 3;
                self.subscribed_at = Some(now);
                self.acts.push_back(Act::Subscribed(code));
            }
            Said::Publish(published) => self.told(published),
            Said::Released(id) => {
                self.has.remove(&id);
                self.send(mqtt::complete(id));
            }
            Said::Pong => {
                // Whoever was refused while the log was full asks again.
                if self.is_listener() && !self.subscribed && self.subscribed_at.is_some() {
                    self.subscribe();
                }
                // Nothing that was said before this is still under way.
                if self.subscribed_at.is_some_and(|at| self.pinged_at.since(at) >= LOOKS) {
                    self.acts.push_back(Act::HasSeen);
                }
            }
            Said::Acked(..) | Said::Received(..) | Said::Completed(_) | Said::Other => {}
        }
    }

    fn entered(&mut self, present: bool, now: Time) {
        self.acts.push_back(Act::Entered { present, kept: self.had_session });
        if !present {
            self.has.clear();
            self.subscribed = false;
        }
        self.had_session = matches!(self.identity.comes, Comes::ToKeep | Comes::ToShare { kept: true });
        let settled = now >= self.identity.settles_at;
        let stays = match self.identity.comes {
            Comes::Late => Some(self.rng.u64(1..90_000)),
            Comes::ToKeep | Comes::ToHear | Comes::ToShare { .. } if settled => None,
            Comes::ToKeep | Comes::ToHear | Comes::ToShare { .. } => Some(self.rng.u64(100..200_000)),
            Comes::ToLeave => Some(self.rng.u64(10..40_000)),
        };
        let goes = match self.rng.u8(0..4) {
            0 | 1 => Goes::Cut,
            2 if self.identity.v5 && self.identity.comes == Comes::ToLeave => Goes::WithWill,
            _ => Goes::Goodbye,
        };
        self.state = State::On { until: stays.map(|ms| now.plus(Duration::from_millis(ms))), goes };
        let again = self.is_listener() && self.rng.u8(0..4) == 0;
        if self.identity.comes != Comes::ToLeave && (!self.subscribed || again || !present) {
            self.subscribe();
        }
    }

    /// Whether it wants to hear everything, or its part of it.
    fn is_listener(&self) -> bool {
        matches!(self.identity.comes, Comes::ToKeep | Comes::ToHear | Comes::ToShare { .. })
    }

    fn subscribe(&mut self) {
        let group = match &self.identity.group {
            Some(group) => format!("$share/{group}/"),
            None => String::new(),
        };
        let filter = format!("{group}{}/{}", self.identity.room, self.identity.filter);
        // Who keeps a session does not want to be shown what is retained, where it can say so.
        let unshown = self.identity.v5 && self.identity.comes == Comes::ToKeep;
        let options = self.identity.qos | if unshown { 0x20 } else { 0 };
        self.acts.push_back(Act::Subscribes);
        self.send(mqtt::subscribe(self.identity.v5, 1, &filter, options));
    }

    fn told(&mut self, published: Published) {
        let id = published.id;
        match published.qos {
            0 => self.acts.push_back(Act::Told(published)),
            1 => {
                self.acts.push_back(Act::Told(published));
                self.send(mqtt::ack(id));
            }
            _ => {
                if self.has.insert(id) {
                    self.acts.push_back(Act::Told(published));
                }
                self.send(mqtt::received(id));
            }
        }
    }

    fn send(&mut self, bytes: Vec<u8>) {
        self.acts.push_back(Act::Send(bytes));
    }

    fn go(&mut self, goes: Goes, now: Time) {
        match goes {
            Goes::Goodbye => self.send(mqtt::disconnect()),
            Goes::WithWill => self.send(mqtt::disconnect_with_will()),
            Goes::Cut => {}
        }
        self.acts.push_back(Act::Leaves(goes));
        self.acts.push_back(Act::Hangup);
        self.rest(now);
    }

    fn silent_at(&self) -> Time {
        self.heard_at.plus(PATIENCE)
    }

    fn ping_at(&self) -> Time {
        self.pinged_at.plus(KEEPALIVE / 2)
    }

    /// When it wants to be woken.
    pub fn wake_at(&self) -> Option<Time> {
        match self.state {
            State::Off { retry_at } => Some(retry_at),
            State::Dialing | State::Over => None,
            State::Greeting => Some(self.silent_at()),
            State::On { until, .. } => {
                let next = self.silent_at().min(self.ping_at());
                Some(until.map_or(next, |until| until.min(next)))
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
            State::Greeting | State::On { .. } if self.silent_at() <= now => self.go(Goes::Cut, now),
            State::On { until: Some(until), goes } if until <= now => self.go(goes, now),
            State::On { .. } if self.ping_at() <= now => {
                self.pinged_at = now;
                self.send(mqtt::ping());
            }
            State::Off { .. } | State::Dialing | State::Greeting | State::On { .. } | State::Over => {}
        }
    }
}
