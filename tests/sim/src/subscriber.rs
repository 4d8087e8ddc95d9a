//! A dashboard: one envelope connection with one subscription, resumed from its own position.
//!
//! It keeps what it was told, in order, for the ledger; it judges nothing but that every push follows its own
//! position, since that is what a client can see.

use crate::{journal::Key, site};
use base64::{Engine, engine::general_purpose::STANDARD};
use riser_model::{Position, Time};
use serde_json::{Value, json};
use std::{collections::VecDeque, time::Duration};

/// Without a word for so long it connects anew: the server pings every 25 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where there was no place it comes again after so long.
const NO_PLACE_FOR: Duration = Duration::from_secs(3);

/// How it reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reads {
    /// Everything, in order.
    Credit,
    /// Everything, in order, with a window of so many.
    Window(u32),
    /// The newest per channel.
    Conflate,
    /// What the system says of the account.
    Technical,
}

/// What it was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// Where it starts, or goes on.
    Starts {
        /// Where.
        at: Position,
        /// From where it asked to go on.
        after: Option<Position>,
        /// Whether nothing is missing.
        full: bool,
        /// What is missing, with the cause.
        gaps: Vec<(u64, u64, String)>,
        /// Up to where the past that it asked for is not there whole.
        floor: Option<Position>,
    },
    /// A publication.
    Message {
        /// Where it is; none for Latest.
        at: Option<Position>,
        /// In which channel.
        channel: String,
        /// Which.
        key: Option<Key>,
        /// The payload.
        payload: String,
    },
    /// Something is missing.
    Gap {
        /// From this seq.
        from: u64,
        /// To this one.
        to: u64,
        /// Why.
        cause: String,
        /// Where it goes on.
        at: Position,
    },
    /// It is told up to here.
    Through(Position),
    /// An event.
    Event(Value),
}

/// What a subscriber does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Dials.
    Dial,
    /// Says this.
    Say(String),
    /// Leaves the socket.
    Hangup,
    /// Saw that something is not as it must be.
    Wrong(String),
}

/// What never changes of a subscriber.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The room.
    pub room: String,
    /// Which channels.
    pub filter: String,
    /// How.
    pub reads: Reads,
    /// Whether it begins with the oldest.
    pub from_start: bool,
    /// Whether it does so each time that it comes.
    pub forgets: bool,
    /// How long it stays, and is away then; none: it stays.
    pub visits: Option<(Duration, Duration)>,
    /// Whoever comes from then on stays.
    pub settles_at: Time,
}

/// See the module.
#[derive(Debug)]
pub struct Subscriber {
    /// Who it is.
    pub identity: Identity,
    /// What it was told.
    pub told: Vec<Told>,
    /// Its position.
    pub position: Option<Position>,
    state: State,
    heard_at: Time,
    leaves_at: Option<Time>,
    credit: u32,
    tries: u32,
    acts: VecDeque<Act>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Off { retry_at: Time },
    Dialing,
    On { welcome: bool },
}

impl Subscriber {
    /// One that dials at that time.
    pub fn new(identity: Identity, at: Time) -> Self {
        Self {
            identity,
            told: Vec::new(),
            position: None,
            state: State::Off { retry_at: at },
            heard_at: at,
            leaves_at: None,
            credit: 0,
            tries: 0,
            acts: VecDeque::new(),
        }
    }

    /// What it does next.
    pub fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// The socket is open.
    pub fn connected(&mut self, now: Time) {
        self.state = State::On { welcome: false };
        self.heard_at = now;
        if self.identity.forgets {
            self.position = None;
        }
        let Identity { user, password, filter, reads, from_start, .. } = &self.identity;
        let mut subscription = json!({"sub": 1});
        if *reads == Reads::Technical {
            subscription["technical"] = json!("account");
        } else {
            subscription["channels"] = json!(filter);
            subscription["from"] = match self.position {
                Some(position) => json!({"after": position.to_string()}),
                None => json!(if *from_start { "start" } else { "live" }),
            };
        }
        match reads {
            Reads::Conflate => subscription["flow"] = json!("conflate"),
            Reads::Window(window) => {
                subscription["credit"] = json!(window);
                self.credit = *window;
            }
            Reads::Credit | Reads::Technical => {}
        }
        let hello = json!({
            "op": "hello", "id": 1,
            "credential": {"user": user, "password": password},
            "subscriptions": [subscription],
        });
        self.acts.push_back(Act::Say(hello.to_string()));
    }

    /// Whether it was let in: before that it may ask for nothing else.
    pub fn is_welcome(&self) -> bool {
        self.state == State::On { welcome: true }
    }

    /// The socket is gone, or never was.
    pub fn closed(&mut self, now: Time) {
        self.tries += 1;
        let pause = Duration::from_millis(200) * self.tries.min(20);
        self.state = State::Off { retry_at: now.plus(pause) };
        self.leaves_at = None;
    }

    /// A message came.
    pub fn heard(&mut self, text: &str, now: Time) {
        self.heard_at = now;
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return self.wrong(format!("not JSON: {text}"));
        };
        match message["ev"].as_str() {
            Some("msg") => self.message(&message, now),
            Some("gap") => self.gap(&message),
            Some("ping") => {
                if let Some(position) = message["through"]["1"].as_str().and_then(|text| text.parse().ok()) {
                    self.position = Some(position);
                    self.told.push(Told::Through(position));
                }
            }
            Some("event") => self.told.push(Told::Event(message["event"].clone())),
            Some(_) => {}
            None if message["re"] == 1 => self.started(&message, now),
            None => {}
        }
    }

    fn started(&mut self, message: &Value, now: Time) {
        let started = &message["ok"]["subscriptions"][0];
        if started["error"].is_object() || message["error"].is_object() {
            self.acts.push_back(Act::Hangup);
            self.closed(now);
            let code =
                message["error"]["code"].as_str().or(started["error"]["code"].as_str()).unwrap_or_default();
            if code == "quota_exceeded" && self.identity.room == site::MARKET {
                self.state = State::Off { retry_at: now.plus(NO_PLACE_FOR) };
            } else if !matches!(code, "shutting_down" | "log_failing" | "timeout" | "too_slow") {
                self.wrong(format!("refused: {message}"));
            }
            return;
        }
        self.tries = 0;
        self.state = State::On { welcome: true };
        let visits = self.identity.visits.filter(|_| now < self.identity.settles_at);
        self.leaves_at = visits.map(|(stays, _)| now.plus(stays));
        let Some(at) = position(&started["pos"]) else {
            return self.wrong(format!("no position: {message}"));
        };
        let holes = started["gaps"].as_array().cloned().unwrap_or_default();
        let gaps = holes
            .iter()
            .map(|hole| (number(&hole["from"]), number(&hole["to"]), word(&hole["cause"])))
            .collect();
        let full = started["complete"] == "full";
        let floor = position(&started["floor"]);
        self.told.push(Told::Starts { at, after: self.position, full, gaps, floor });
        if self.identity.reads != Reads::Technical {
            self.position = Some(at);
        }
    }

    fn message(&mut self, message: &Value, now: Time) {
        let at = position(&message["pos"]);
        let prev = position(&message["prev"]);
        if self.identity.reads != Reads::Conflate && prev != self.position {
            self.wrong(format!("prev is {prev:?}, own position is {:?}: {message}", self.position));
        }
        let payload = payload(message);
        let key = Key::of(payload.as_bytes());
        self.told.push(Told::Message { at, channel: word(&message["channel"]), key, payload });
        if at.is_some() {
            self.position = at;
        }
        if let Reads::Window(window) = self.identity.reads {
            if self.credit == 0 {
                self.wrong("a window was overdrawn".to_owned());
            }
            self.credit = self.credit.saturating_sub(1);
            if self.credit == 0 {
                self.credit = window;
                self.acts.push_back(Act::Say(json!({"op": "credit", "sub": 1, "n": window}).to_string()));
            }
        }
        self.heard_at = now;
    }

    fn gap(&mut self, message: &Value) {
        let Some(at) = position(&message["pos"]) else { return };
        let (from, to) = (number(&message["from"]), number(&message["to"]));
        self.told.push(Told::Gap { from, to, cause: word(&message["cause"]), at });
        self.position = Some(at);
    }

    fn wrong(&mut self, what: String) {
        self.acts.push_back(Act::Wrong(format!("{}: {what}", self.identity.user)));
    }

    /// When it wants to be woken.
    pub fn wake_at(&self) -> Option<Time> {
        match self.state {
            State::Off { retry_at } => Some(retry_at),
            State::Dialing => None,
            State::On { .. } => {
                let silent_at = self.heard_at.plus(PATIENCE);
                Some(self.leaves_at.map_or(silent_at, |leaves_at| leaves_at.min(silent_at)))
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
            State::On { .. } if self.heard_at.plus(PATIENCE) <= now => {
                self.acts.push_back(Act::Hangup);
                self.closed(now);
            }
            State::On { .. } if self.leaves_at.is_some_and(|leaves_at| leaves_at <= now) => {
                let away = self.identity.visits.map_or(Duration::ZERO, |(_, away)| away);
                self.acts.push_back(Act::Hangup);
                self.closed(now);
                self.state = State::Off { retry_at: now.plus(away) };
            }
            State::Off { .. } | State::Dialing | State::On { .. } => {}
        }
    }
}

/// Which publication a message to a dashboard is.
pub fn published(text: &str) -> Option<Key> {
    let message: Value = serde_json::from_str(text).ok().filter(|message: &Value| message["ev"] == "msg")?;
    Key::of(payload(&message).as_bytes())
}

/// What came, as text: payloads of no known type come in base64.
fn payload(message: &Value) -> String {
    match message["data_b64"].as_str() {
        Some(text) => {
            STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
        }
        None => word(&message["data"]),
    }
}

fn position(value: &Value) -> Option<Position> {
    value.as_str()?.parse().ok()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
