//! A program that publishes over a WebSocket and wants each of its publications stored once: what it got no receipt for
//! it sends again, in order and under the same publish id, on its next connection.
//!
//! It knows what it was told and nothing else: a position and `dup` are receipts, everything else is none.

use crate::{journal::Key, post, site};
use riser_model::Time;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Without a word for so long it connects anew: the server pings every 25 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// Keys of writers begin here, those of devices below.
pub const FIRST_KEY: u32 = 1000;

/// What a writer does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Dials.
    Dial,
    /// Says this.
    Say(String),
    /// Leaves the socket.
    Hangup,
    /// Has a receipt: it is stored, or was before.
    Receipt {
        /// For what.
        key: Key,
        /// It was stored before.
        dup: bool,
    },
    /// Was told that it breaks its room's schema.
    Broken(Key),
    /// Was told that it may not publish there.
    Denied(Key),
    /// Was told that its room takes no more channels.
    Beyond(Key, String),
    /// Was told that its room takes no more for now; whether that is for what it has taken in a span.
    Over(Key, bool),
    /// Saw that something is not as it must be.
    Wrong(String),
}

/// What never changes of a writer.
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
    /// Its room takes so many channels and no more: what is beyond that it gives up.
    pub bounded: bool,
}

#[derive(Clone, Debug)]
struct Outgoing {
    key: Key,
    channel: String,
    payload: String,
    expires_s: Option<u32>,
}

/// One that it has to say.
#[derive(Clone, Debug)]
pub struct Saying {
    /// Its number.
    pub n: u32,
    /// Where.
    pub channel: String,
    /// What.
    pub payload: String,
    /// After how many seconds it is of no use.
    pub expires_s: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Off { retry_at: Time },
    Dialing,
    Greeting,
    On,
}

/// See the module.
#[derive(Debug)]
pub struct Writer {
    /// Who it is.
    pub identity: Identity,
    state: State,
    /// Without a receipt, in order.
    owed: VecDeque<Outgoing>,
    /// What each request has, by its id.
    asked: BTreeMap<u64, Vec<u32>>,
    heard_at: Time,
    tries: u32,
    /// How many were refused, for good or while what came after them may have been stored.
    refused: u32,
    acts: VecDeque<Act>,
}

impl Writer {
    /// One that dials at that time.
    pub fn new(identity: Identity, at: Time) -> Self {
        Self {
            identity,
            state: State::Off { retry_at: at },
            owed: VecDeque::new(),
            asked: BTreeMap::new(),
            heard_at: at,
            tries: 0,
            refused: 0,
            acts: VecDeque::new(),
        }
    }

    /// What it does next.
    pub fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// How many have no receipt.
    pub fn owes(&self) -> usize {
        self.owed.len()
    }

    /// Has these to say, in one request.
    pub fn publish(&mut self, all: Vec<Saying>) {
        let device = FIRST_KEY + self.identity.number;
        let all = all.into_iter().map(|Saying { n, channel, payload, expires_s }| Outgoing {
            key: Key { device, n },
            channel,
            payload,
            expires_s,
        });
        let from = self.owed.len();
        self.owed.extend(all);
        if self.state == State::On {
            self.say(from);
        }
    }

    /// Says those from that place on: one by itself, more in one request.
    fn say(&mut self, from: usize) {
        let messages: Vec<Value> = self.owed.iter().skip(from).map(|out| self.message(out)).collect();
        let Some(first) = self.owed.get(from) else { return };
        // Whoever answers is answered by the first one's number.
        let id = u64::from(first.key.n) + 1;
        self.asked.insert(id, self.owed.iter().skip(from).map(|out| out.key.n).collect());
        let request = match &messages[..] {
            [one] => {
                let mut one = one.clone();
                one["op"] = json!("publish");
                one["id"] = json!(id);
                one
            }
            _ => json!({"op": "publish", "id": id, "messages": messages}),
        };
        self.acts.push_back(Act::Say(request.to_string()));
    }

    fn message(&self, out: &Outgoing) -> Value {
        let id = json!({"producer": self.identity.number, "n": out.key.n});
        let mut message = json!({"channel": out.channel, "data": out.payload, "publish_id": id});
        if let Some(seconds) = out.expires_s {
            message["expires_s"] = json!(seconds);
        }
        message
    }

    /// The socket is open.
    pub fn connected(&mut self, now: Time) {
        (self.state, self.heard_at) = (State::Greeting, now);
        let Identity { user, password, .. } = &self.identity;
        let hello = json!({"op": "hello", "id": 0, "credential": {"user": user, "password": password}});
        self.acts.push_back(Act::Say(hello.to_string()));
    }

    /// The socket is gone, or never was.
    pub fn closed(&mut self, now: Time) {
        self.tries += 1;
        self.asked.clear();
        let pause = Duration::from_millis(200) * self.tries.min(20);
        self.state = State::Off { retry_at: now.plus(pause) };
    }

    /// A message came.
    pub fn heard(&mut self, text: &str, now: Time) {
        self.heard_at = now;
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return self.acts.push_back(Act::Wrong(format!("not JSON: {text}")));
        };
        match (message["re"].as_u64(), self.state) {
            (Some(0), State::Greeting) if message["ok"].is_object() => {
                (self.state, self.tries) = (State::On, 0);
                (0..self.owed.len()).step_by(7).for_each(|from| self.say_up_to(from, 7));
            }
            (Some(0), _) => self.hang_up(now),
            (Some(re), State::On) => self.answered(re, &message, now),
            (None | Some(_), _) => {}
        }
    }

    fn say_up_to(&mut self, from: usize, count: usize) {
        let rest = self.owed.split_off((from + count).min(self.owed.len()));
        self.say(from);
        self.owed.extend(rest);
    }

    /// A receipt for each that the request had.
    fn answered(&mut self, re: u64, message: &Value, now: Time) {
        let asked = self.asked.remove(&re).unwrap_or_default();
        let one = [json!({"pos": message["ok"]["pos"], "error": message["error"]})];
        let receipts = message["ok"]["receipts"].as_array().map_or(&one[..], |all| all);
        let (mut refused, mut pause) = (false, None);
        // What of one request the log refuses was counted until then, for the rest of it.
        let is_whole = !receipts.iter().any(|receipt| {
            let error = &receipt["error"];
            error["code"] == "log_failing" || error["what"].as_str().is_some_and(is_of_log)
        });
        for (n, receipt) in asked.into_iter().zip(receipts) {
            let code = receipt["error"]["code"].as_str();
            let what = receipt["error"]["what"].as_str().unwrap_or_default();
            match code {
                None | Some("dup") => self.receipt(n, code.is_some()),
                // A full spool is another matter than a full room, and says so.
                Some("quota_exceeded") if is_of_log(what) => {
                    // It is said again, but what came after it may have found room.
                    self.refused += 1;
                    refused = true;
                }
                Some("quota_exceeded") if self.identity.bounded => {
                    self.refused += 1;
                    let beyond = self.gives_up(n).map(|out| Act::Beyond(out.key, out.channel));
                    self.acts.extend(beyond);
                }
                Some("quota_exceeded") if self.identity.room == site::MARKET => {
                    let wait = wait_of(receipt["error"]["want"].as_str().unwrap_or_default());
                    pause = pause.max(Some(wait));
                    let key = Key { device: FIRST_KEY + self.identity.number, n };
                    self.acts.push_back(Act::Over(key, is_whole && what.contains(" in ")));
                }
                Some("log_failing" | "quota_exceeded" | "too_many" | "shutting_down") => refused = true,
                Some("malformed") => {
                    self.refused += 1;
                    let broken = self.gives_up(n).map(|out| Act::Broken(out.key));
                    self.acts.extend(broken);
                }
                Some("denied") if self.is_unnamed(n) => {
                    let denied = self.gives_up(n).map(|out| Act::Denied(out.key));
                    self.acts.extend(denied);
                    self.refused += 1;
                }
                // Four refusals later it is not known any more whether it was stored: it says so, and that is the end of it. Of
                // some the writer may not have heard.
                Some("wrong_state") if self.refused + self.may_be_refused(n) >= 4 => drop(self.gives_up(n)),
                Some(code) => self.acts.push_back(Act::Wrong(format!("{n} is refused: {code}"))),
            }
        }
        if refused || pause.is_some() {
            self.hang_up(now);
        }
        if let Some(pause) = pause {
            self.state = State::Off { retry_at: now.plus(pause) };
        }
    }

    /// Whether that is addressed to whom nobody may write.
    fn is_unnamed(&self, n: u32) -> bool {
        let unnamed = post::client_of(post::UNNAMED);
        let mut owed = self.owed.iter().filter(|out| out.key.n == n);
        owed.any(|out| post::addressee(&out.channel).is_some_and(|client| Some(client) == unnamed))
    }

    /// How many after that one may be refused for good whenever they are said, and may have been: for whom they are addressed
    /// to, for a schema, or for a channel that is one too many.
    fn may_be_refused(&self, n: u32) -> u32 {
        let in_yard = self.identity.room == site::YARD;
        let may_be = |n: u32| self.identity.bounded || in_yard && n.is_multiple_of(7) || self.is_unnamed(n);
        let later = self.owed.iter().filter(|out| out.key.n > n && may_be(out.key.n));
        u32::try_from(later.count()).unwrap_or(u32::MAX)
    }

    fn receipt(&mut self, n: u32, dup: bool) {
        let receipt = self.gives_up(n).map(|out| Act::Receipt { key: out.key, dup });
        self.acts.extend(receipt);
    }

    /// It does not owe that any more.
    fn gives_up(&mut self, n: u32) -> Option<Outgoing> {
        let at = self.owed.iter().position(|out| out.key.n == n)?;
        self.owed.remove(at)
    }

    fn hang_up(&mut self, now: Time) {
        self.acts.push_back(Act::Hangup);
        self.closed(now);
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
            State::Greeting | State::On if self.heard_at.plus(PATIENCE) <= now => self.hang_up(now),
            State::Off { .. } | State::Dialing | State::Greeting | State::On => {}
        }
    }
}

/// Whether it is the log that is full, and no room.
fn is_of_log(what: &str) -> bool {
    what.contains("the log's quota")
}

/// How long whoever was told that waits: as long as it says, and for a place a while.
fn wait_of(want: &str) -> Duration {
    let seconds = want.strip_prefix("come back in ").and_then(|rest| rest.strip_suffix(" s"));
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(5))
}
