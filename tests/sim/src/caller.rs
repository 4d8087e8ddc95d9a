//! Somebody who comes to a house: shows what it has, answers what a gate asks, reads for a while, and leaves. Some visits
//! are hostile, or ill-mannered: they show what is wrong or was revoked, answer nothing, or more than was asked.
//!
//! It speaks the envelope protocol, to a room or to the lobby. It judges nothing; what it was told is the world's to judge.

use crate::{house::Means, proofs, proofs::Token, site};
use fastrand::Rng;
use riser_model::Time;
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

/// Nobody waits longer than this for a gate: an admin has two minutes.
const PATIENCE: Duration = Duration::from_secs(400);

/// What is shown first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shows {
    /// A credential of its own, as it is or was.
    Own(Token),
    /// What the directory server knows, or not.
    Directory {
        /// The right password.
        right: bool,
    },
    /// A token of the issuer's.
    Jwt {
        /// Good for so long, seconds.
        lasts_s: i64,
        /// Signed by the issuer.
        right: bool,
    },
    /// A ticket.
    Ticket(String),
    /// A password that nobody has.
    Wrong,
}

/// How what a gate asks is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// As it should be.
    Honest,
    /// With something else.
    Wrong,
    /// Not at all.
    Silent,
    /// Twice.
    Twice,
}

/// Where somebody goes who is in a vault, or in the lobby.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Into that vault.
    Into(usize),
    /// Back to the lobby.
    Leaves,
}

/// What its requests to go on are known by.
const FIRST_STEP: u64 = 100;
/// What its request to say anew who it is is known by.
pub const ANEW: u64 = 5;

/// One visit, as it is meant to go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Through the lobby, or straight to the vault.
    pub lobby: bool,
    /// Which vault.
    pub vault: usize,
    /// What is shown.
    pub shows: Shows,
    /// How is answered.
    pub manner: Manner,
    /// How long it stays, once in.
    pub stays: Duration,
    /// What it shows anew in the middle of its stay.
    pub anew: Option<Shows>,
    /// Where it goes from there, one after another.
    pub steps: Vec<Step>,
    /// Whether it has a ticket made.
    pub asks_ticket: bool,
    /// What answers a challenge by key, and one by secret.
    pub answers: [Option<Token>; 2],
}

/// What it does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Wants to come: [`Caller::comes`] says how.
    Dial,
    /// Says this.
    Say(String),
    /// Has proven this.
    Proven(Token),
    /// Has a ticket.
    Ticket(String),
    /// Wants to say anew who it is: [`Caller::says_anew`].
    Anew,
    /// Leaves the socket.
    Hangup,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Off {
        retry_at: Time,
    },
    Dialing,
    /// Waits for an answer, since then.
    Waits(Time),
    /// Reads, until then.
    In(Time),
    /// Wants to be somewhere else, since then, and reads where it is meanwhile.
    Goes(Time),
    /// Says anew who it is, since then, and reads meanwhile.
    Anew(Time),
    /// In the lobby, until then.
    Out(Time),
}

/// See the module.
#[derive(Debug)]
pub struct Caller {
    /// Which person it is.
    pub person: usize,
    /// Where it comes to.
    pub host: usize,
    /// Its name.
    pub name: String,
    /// The visit.
    pub plan: Option<Plan>,
    /// What it was told in this visit: seqs.
    pub told: BTreeSet<u64>,
    /// Messages in all visits.
    pub messages: u64,
    /// It has a ticket to show.
    pub ticket: Option<String>,
    /// Whether it stays until it was told everything.
    pub last: bool,
    /// How many steps of this visit it has taken.
    steps: usize,
    /// It has said anew who it is in this visit.
    was_anew: bool,
    state: State,
    pub(crate) rng: Rng,
    acts: VecDeque<Act>,
}

impl Caller {
    /// One that comes at that time.
    pub fn new((person, host): (usize, usize), name: String, at: Time, rng: Rng) -> Self {
        let (told, acts) = (BTreeSet::new(), VecDeque::new());
        let state = State::Off { retry_at: at };
        Self {
            person,
            host,
            name,
            plan: None,
            told,
            messages: 0,
            ticket: None,
            last: false,
            steps: 0,
            was_anew: false,
            state,
            rng,
            acts,
        }
    }

    /// What it does next.
    pub fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// How this visit is meant to go.
    pub fn comes(&mut self, plan: Plan) {
        self.told.clear();
        (self.steps, self.was_anew) = (0, false);
        self.plan = Some(plan);
    }

    /// It is in.
    pub fn is_in(&self) -> bool {
        matches!(self.state, State::In(_))
    }

    /// The socket is open.
    pub fn connected(&mut self, now: Time, wall_s: i64) {
        let Some(plan) = self.plan.clone() else { return };
        self.state = State::Waits(now);
        let credential = self.credential(&plan, &plan.shows, wall_s);
        let mut hello = json!({"op": "hello", "id": 1, "events": false});
        if !credential.is_null() {
            hello["credential"] = credential;
        }
        if !plan.lobby {
            hello["subscriptions"] = json!([{"sub": 1, "channels": "#", "from": "start"}]);
        }
        self.say(&hello);
        if plan.manner == Manner::Twice {
            self.say(&json!({"op": "answer", "proof": "AAAA"}));
        }
    }

    /// What shows that, as it is said; nothing where that is said elsewhere.
    fn credential(&self, plan: &Plan, shows: &Shows, wall_s: i64) -> Value {
        let user = if plan.lobby { format!("{}/{}", site::ACCOUNT, self.name) } else { self.name.clone() };
        match shows {
            Shows::Own(token) => match token.means {
                Means::Token => json!({"token": token.text()}),
                Means::Key => json!({"user": user, "method": "ed25519"}),
                Means::Secret => json!({"user": user, "method": "hmac-sha256"}),
                Means::Password | Means::Directory | Means::Jwt => {
                    json!({"user": user, "password": token.text()})
                }
            },
            Shows::Directory { right: true } => {
                json!({"user": user, "password": proofs::directory_password(&self.name)})
            }
            Shows::Directory { right: false } | Shows::Wrong => json!({"user": user, "password": "guessed"}),
            Shows::Jwt { lasts_s, right } => {
                json!({"token": proofs::jwt(&self.name, wall_s + lasts_s, *right)})
            }
            Shows::Ticket(_) => Value::Null,
        }
    }

    /// Says anew who it is.
    pub fn says_anew(&mut self, wall_s: i64) {
        let Some(plan) = self.plan.clone() else { return };
        let Some(shows) = &plan.anew else { return };
        let credential = self.credential(&plan, shows, wall_s);
        self.say(&json!({"op": "renew", "id": ANEW, "credential": credential}));
    }

    fn say(&mut self, message: &Value) {
        self.acts.push_back(Act::Say(message.to_string()));
    }

    /// The socket is gone, or never was.
    pub fn closed(&mut self, now: Time) {
        let most = if self.last { 3_000 } else { 30_000 };
        let pause = Duration::from_millis(self.rng.u64(200..most));
        self.state = State::Off { retry_at: now.plus(pause) };
        self.plan = None;
    }

    /// A message came.
    pub fn heard(&mut self, text: &str, now: Time) {
        let (Ok(message), Some(plan)) = (serde_json::from_str::<Value>(text), self.plan.clone()) else {
            return;
        };
        match message["ev"].as_str() {
            Some("challenge") => self.challenged(&plan, &message),
            Some("msg") => {
                let seq: Option<u64> =
                    message["pos"].as_str().and_then(|at| at.rsplit('.').next()?.parse().ok());
                self.told.extend(seq);
                self.messages += 1;
            }
            // Who goes on is told that what it read has ended; and who was on its way when it ended hears the rest.
            Some("end") if matches!(self.state, State::Goes(_) | State::Out(_)) => {}
            Some("end" | "bye") => self.hang_up(now),
            Some(_) => {}
            None if message["re"].as_u64().is_some_and(|re| re >= FIRST_STEP) => {
                self.went(&plan, &message, now)
            }
            None if message["ok"].is_object() => self.answered(&plan, &message, now),
            None => self.hang_up(now),
        }
    }

    fn answered(&mut self, plan: &Plan, message: &Value, now: Time) {
        match message["re"].as_u64() {
            Some(1) if plan.lobby => {
                self.state = State::Waits(now);
                self.say(&json!({"op": "move", "id": 2, "room": site::VAULTS[plan.vault]}));
            }
            Some(1 | 2) => {
                let stays = if plan.anew.is_some() { plan.stays / 2 } else { plan.stays };
                self.state = State::In(now.plus(stays));
                if plan.lobby {
                    self.say(
                        &json!({"op": "subscribe", "id": 3, "sub": 1, "channels": "#", "from": "start"}),
                    );
                } else if message["ok"]["subscriptions"][0]["error"].is_object() {
                    return self.hang_up(now);
                }
                if plan.asks_ticket {
                    self.say(&json!({"op": "ticket", "id": 4}));
                }
            }
            Some(4) => {
                if let Some(ticket) = message["ok"]["ticket"].as_str() {
                    self.ticket = Some(ticket.to_owned());
                    self.acts.push_back(Act::Ticket(ticket.to_owned()));
                }
            }
            Some(ANEW) => self.state = State::In(now.plus(plan.stays / 2)),
            Some(_) | None => {}
        }
    }

    /// Goes on, or hangs up after the last step.
    fn goes(&mut self, now: Time) {
        let says_anew = self.plan.as_ref().is_some_and(|plan| plan.anew.is_some());
        if says_anew && !std::mem::replace(&mut self.was_anew, true) {
            self.state = State::Anew(now);
            return self.acts.push_back(Act::Anew);
        }
        let plan = self.plan.as_ref().filter(|_| !self.last);
        let Some(step) = plan.and_then(|plan| plan.steps.get(self.steps)).copied() else {
            return self.hang_up(now);
        };
        let id = FIRST_STEP + self.steps as u64;
        self.steps += 1;
        match (step, self.state) {
            (Step::Leaves, State::Out(_)) => self.goes(now),
            (Step::Leaves, _) => {
                self.state = State::Goes(now);
                self.say(&json!({"op": "leave", "id": id}));
            }
            (Step::Into(vault), _) => {
                self.state = State::Goes(now);
                self.say(&json!({"op": "enter", "id": id, "room": site::VAULTS[vault]}));
            }
        }
    }

    /// It is where it wanted to go, or stays where it was.
    fn went(&mut self, plan: &Plan, message: &Value, now: Time) {
        let until = now.plus(plan.stays / 2);
        let is_in = message["ok"]["room"].is_string();
        match (message["ok"].is_object(), is_in) {
            (true, true) => {
                self.state = State::In(until);
                self.told.clear();
                self.say(&json!({"op": "subscribe", "id": 3, "sub": 1, "channels": "#", "from": "start"}));
            }
            (true, false) => self.state = State::Out(until),
            // It may be in the lobby: what it does next is the same.
            (false, _) => self.state = State::In(until),
        }
    }

    fn challenged(&mut self, plan: &Plan, message: &Value) {
        let nonce = message["nonce"].as_str().unwrap_or_default();
        let own = plan.answers[usize::from(message["method"] == "hmac-sha256")];
        let name = format!("{}/{}", site::ACCOUNT, self.name);
        let right = own.map(|token| token.answer(&name, nonce));
        let (proof, count) = match (plan.manner, right) {
            (Manner::Silent, _) => return,
            (Manner::Wrong, Some(right)) => (right.chars().rev().collect(), 1),
            // Who proves it twice has proven it, and may be in when the second comes.
            (Manner::Honest | Manner::Twice, Some(right)) => {
                self.acts.extend(own.map(Act::Proven));
                (right, if plan.manner == Manner::Twice { 2 } else { 1 })
            }
            (_, None) => ("AAAA".to_owned(), 1),
        };
        for _ in 0..count {
            self.say(&json!({"op": "answer", "proof": proof}));
        }
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
            State::Waits(since) | State::Goes(since) | State::Anew(since) => Some(since.plus(PATIENCE)),
            State::In(until) | State::Out(until) => Some(until),
        }
    }

    /// The time has come.
    pub fn wake(&mut self, now: Time) {
        match self.state {
            State::Off { retry_at } if retry_at <= now => {
                self.state = State::Dialing;
                self.acts.push_back(Act::Dial);
            }
            State::Waits(since) | State::Goes(since) | State::Anew(since) if since.plus(PATIENCE) <= now => {
                self.hang_up(now);
            }
            State::In(until) | State::Out(until) if until <= now => self.goes(now),
            State::Off { .. }
            | State::Dialing
            | State::Waits(_)
            | State::In(_)
            | State::Goes(_)
            | State::Anew(_)
            | State::Out(_) => {}
        }
    }
}
