//! Somebody in a room with session history: comes, listens, may have what it publishes replayed for as long as its connection
//! lasts, and goes again.
//!
//! It keeps what it was told, in order, for whoever judges it, and sends nothing twice: what it has no answer for when its
//! connection ends may be stored or not.

use crate::journal::Key;
use base64::{Engine, engine::general_purpose::STANDARD};
use riser_model::{Position, Seq, Time};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Without a word for so long it connects anew: the server pings every 25 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// Keys of talkers begin here.
pub const FIRST_KEY: u32 = 3000;
/// What its requests are known by: publications bear what is beyond.
const HELLO: u64 = 0;
const KEEP: u64 = 1;
const FIRST_ID: u64 = 2;

/// What never changes of a talker.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The room.
    pub room: String,
    /// Where it goes.
    pub host: usize,
    /// Whether what it publishes is to be replayed.
    pub keeps: bool,
}

/// What it was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// It is in.
    Joined,
    /// A publication.
    Message {
        /// Where.
        at: Position,
        /// What.
        payload: String,
    },
    /// Something is missing.
    Gap {
        /// The first of it.
        from: Seq,
        /// The last of it.
        to: Seq,
        /// Why.
        cause: String,
    },
    /// It was told everything up to here.
    Through(Position),
    /// A session ended of which it was shown something when it came.
    Wiped(String),
}

/// What a talker does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Dials.
    Dial,
    /// Says this.
    Say(String),
    /// Leaves the socket.
    Hangup,
    /// Has a receipt.
    Receipt(Key),
    /// Was told that sessions have no place for one more publication, which it asked for then.
    Full(Time),
    /// Saw that something is not as it must be.
    Wrong(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Off {
        retry_at: Time,
    },
    Dialing,
    Greeting,
    /// In; what it publishes is kept from now on, if it wanted that.
    On,
}

/// See the module.
#[derive(Debug)]
pub struct Talker {
    /// Who it is.
    pub identity: Identity,
    /// What it was told.
    pub told: Vec<Told>,
    state: State,
    kept: bool,
    said: u32,
    /// Without an answer, by request.
    asked: BTreeMap<u64, (Key, Time)>,
    /// When it knew of others that they have no answer, or none that they are stored.
    failed: Vec<Time>,
    heard_at: Time,
    tries: u32,
    acts: VecDeque<Act>,
}

impl Talker {
    /// One that dials at that time.
    pub fn new(identity: Identity, at: Time) -> Self {
        Self {
            identity,
            told: Vec::new(),
            state: State::Off { retry_at: at },
            kept: false,
            said: 0,
            asked: BTreeMap::new(),
            failed: Vec::new(),
            heard_at: at,
            tries: 0,
            acts: VecDeque::new(),
        }
    }

    /// What it does next.
    pub fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// Whether it is in, and what it says is kept if it wanted that.
    pub fn is_in(&self) -> bool {
        self.state == State::On && (self.kept || !self.identity.keeps)
    }

    /// How many publications that are to be replayed may have been on their way at some time since then, besides those
    /// that are stored.
    pub fn under_way(&self, since: Time) -> usize {
        let failed = self.failed.iter().filter(|at| **at >= since).count();
        if self.identity.keeps { self.asked.len() + failed } else { 0 }
    }

    /// Publishes one more. What it is, and where.
    pub fn publish(&mut self, now: Time) -> (Key, String, String) {
        self.said += 1;
        let key = Key { device: FIRST_KEY + self.identity.number, n: self.said };
        let (channel, payload) = (format!("talk/{}", self.said % 3), format!("{}:{}:", key.device, key.n));
        let id = FIRST_ID + u64::from(self.said);
        self.asked.insert(id, (key, now));
        let request = json!({"op": "publish", "id": id, "channel": channel, "data": payload});
        self.acts.push_back(Act::Say(request.to_string()));
        (key, channel, payload)
    }

    /// Goes, and comes back at that time.
    pub fn leave(&mut self, now: Time, back_at: Time) {
        self.acts.push_back(Act::Hangup);
        self.closed(now);
        self.state = State::Off { retry_at: back_at };
    }

    /// The socket is open.
    pub fn connected(&mut self, now: Time) {
        (self.state, self.heard_at, self.kept) = (State::Greeting, now, false);
        let Identity { user, password, .. } = &self.identity;
        let hello = json!({
            "op": "hello", "id": HELLO,
            "credential": {"user": user, "password": password},
            "subscriptions": [{"sub": 1, "channels": "#", "from": "live"}],
        });
        self.acts.push_back(Act::Say(hello.to_string()));
    }

    /// The socket is gone, or never was.
    pub fn closed(&mut self, now: Time) {
        self.tries += 1;
        self.failed.extend(std::mem::take(&mut self.asked).into_values().map(|_| now));
        let pause = Duration::from_millis(200) * self.tries.min(20);
        self.state = State::Off { retry_at: now.plus(pause) };
    }

    /// A message came.
    pub fn heard(&mut self, text: &str, now: Time) {
        self.heard_at = now;
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return self.acts.push_back(Act::Wrong(format!("not JSON: {text}")));
        };
        let position = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        match message["ev"].as_str() {
            Some("msg") => match position(&message["pos"]) {
                Some(at) => self.told.push(Told::Message { at, payload: payload(&message) }),
                None => self.acts.push_back(Act::Wrong(format!("no position: {message}"))),
            },
            Some("gap") => {
                let seq = |name: &str| Seq(message[name].as_u64().unwrap_or(u64::MAX));
                let cause = message["cause"].as_str().unwrap_or_default().to_owned();
                self.told.push(Told::Gap { from: seq("from"), to: seq("to"), cause });
            }
            Some("wiped") => {
                self.told.push(Told::Wiped(message["session"].as_str().unwrap_or_default().to_owned()));
            }
            Some("ping") => self.told.extend(position(&message["through"]["1"]).map(Told::Through)),
            Some(_) => {}
            None => self.answered(&message, now),
        }
    }

    fn answered(&mut self, message: &Value, now: Time) {
        let Some(re) = message["re"].as_u64() else { return };
        match (re, self.state) {
            (HELLO, State::Greeting) if message["ok"]["subscriptions"][0]["pos"].is_string() => {
                (self.state, self.tries) = (State::On, 0);
                self.told.push(Told::Joined);
                if self.identity.keeps {
                    self.acts.push_back(Act::Say(json!({"op": "session", "id": KEEP}).to_string()));
                }
            }
            (HELLO, _) => {
                self.acts.push_back(Act::Hangup);
                self.closed(now);
            }
            (KEEP, _) => self.kept = message["ok"].is_object(),
            _ => {
                let Some((key, asked_at)) = self.asked.remove(&re) else { return };
                match message["error"]["code"].as_str() {
                    None => self.acts.push_back(Act::Receipt(key)),
                    Some("session_full") => self.acts.push_back(Act::Full(asked_at)),
                    // Until then it had a place.
                    Some("log_failing" | "quota_exceeded" | "too_many" | "shutting_down") => {
                        self.failed.push(now);
                    }
                    Some(code) => self.acts.push_back(Act::Wrong(format!("{} is refused: {code}", key.n))),
                }
            }
        }
    }

    /// When it wants to be woken.
    pub fn wake_at(&self) -> Option<Time> {
        match self.state {
            State::Off { retry_at } => Some(retry_at),
            State::Dialing => None,
            State::Greeting | State::On => Some(self.heard_at.plus(PATIENCE)),
        }
    }

    /// The time has come.
    pub fn wake(&mut self, now: Time) {
        match self.state {
            State::Off { retry_at } if retry_at <= now => {
                self.state = State::Dialing;
                self.acts.push_back(Act::Dial);
            }
            State::Greeting | State::On if self.heard_at.plus(PATIENCE) <= now => {
                self.acts.push_back(Act::Hangup);
                self.closed(now);
            }
            State::Off { .. } | State::Dialing | State::Greeting | State::On => {}
        }
    }
}

/// What came, as text: payloads of no known type come in base64.
fn payload(message: &Value) -> String {
    match message["data_b64"].as_str() {
        Some(text) => {
            STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
        }
        None => message["data"].as_str().unwrap_or_default().to_owned(),
    }
}
