//! The envelope door on the real bus, in random runs: whatever the socket's room, the credit, the disk and the
//! cuts do, a client that resumes from its own position ends with everything, once and in order.
//!
//! `RISER_ROOMS_SEEDS` runs more seeds than the default.

use super::script::{World, c, principal};
use crate::{
    Config, Input,
    door::{Envelope, Place, TicketSeed},
};
use fastrand::Rng;
use riser_model::{
    ConnectionId, Now,
    door::{Ask, Credential, Door, Input as Happens, Output, Tell},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PUBLISHER: u64 = 1;

/// A subscription as its client keeps it across connections.
#[derive(Default)]
struct Kept {
    position: Option<String>,
    /// What it got, by channel and altogether.
    got: Vec<String>,
    newest: BTreeMap<String, String>,
    /// For a window: what may still come.
    credit: u64,
}

struct Run {
    world: World,
    rng: Rng,
    door: Option<Envelope>,
    connection: u64,
    /// Hello was answered.
    entered: bool,
    kept: BTreeMap<u64, Kept>,
    published: Vec<(String, String)>,
    cuts: u32,
}

const COMPLETE: u64 = 1;
const WINDOW: u64 = 2;
const CONFLATE: u64 = 3;

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let config = Config {
            tail_bytes_max: rng.usize(300..4000),
            read_bytes: rng.u32(100..1500) * [1, 60][rng.usize(0..2)],
            through_every_ms: 0,
            ..Config::default()
        };
        let mut world = World::new(config);
        world.open(PUBLISHER);
        // Every run has some of the kinds, so that each is also alone on its connection.
        let kinds = 1 + rng.u64(0..7);
        let kept = [COMPLETE, WINDOW, CONFLATE].into_iter().filter(|kind| kinds & (1 << (kind - 1)) != 0);
        let kept = kept.map(|kind| (kind, Kept::default())).collect();
        Self {
            world,
            rng,
            door: None,
            connection: PUBLISHER,
            entered: false,
            kept,
            published: Vec::new(),
            cuts: 0,
        }
    }

    fn now(&self) -> Now {
        self.world.now
    }

    fn publish(&mut self) {
        for _ in 0..self.rng.u32(1..6) {
            let channel = ["x", "y", "deep/z"][self.rng.usize(0..3)];
            let length = if self.rng.u8(0..4) == 0 { 5000 } else { self.rng.usize(0..60) };
            let text = format!("{}{}", self.published.len(), ".".repeat(length));
            self.world.send(PUBLISHER, &[(&format!("a/{channel}"), &text)], 1);
            self.published.push((channel.into(), text));
        }
    }

    fn connect(&mut self) {
        self.connection += 1;
        self.entered = false;
        let place = Place {
            account: "acme".parse().unwrap(),
            room: "a".parse().unwrap(),
            credential: Credential::Anonymous,
            anonymous: true,
        };
        self.door = Some(Envelope::new(place, TicketSeed([7; 32]), self.now()));
        let subscriptions: Vec<Value> = self.kept.iter().map(|(sub, kept)| request(*sub, kept)).collect();
        self.happens(Happens::Text(
            json!({"op": "hello", "id": 1, "subscriptions": subscriptions}).to_string(),
        ));
    }

    fn cut(&mut self) {
        self.cuts += 1;
        self.happens(Happens::Gone("cut"));
        self.door = None;
    }

    fn happens(&mut self, what: Happens) {
        let now = self.now();
        let Some(door) = &mut self.door else { return };
        door.handle(what, now);
        while let Some(output) = self.door.as_mut().and_then(Door::poll) {
            match output {
                Output::Text(text) => self.hear(&serde_json::from_str(&text).unwrap()),
                Output::Texts(texts) => {
                    for text in texts.iter() {
                        self.hear(&serde_json::from_str(text).unwrap());
                    }
                }
                Output::Ask(Ask::Enter { .. }) => self.enter(),
                Output::Ask(ask) => self.world.ask(self.connection, ask),
                Output::Bytes(_) | Output::Close(_) | Output::Done => panic!("{output:?}"),
            }
        }
    }

    fn enter(&mut self) {
        let principal = principal(u128::from(self.connection), super::script::grants());
        let connection: ConnectionId = c(self.connection);
        self.world.input(Input::Open { connection, principal: principal.clone() });
        let entered = Tell::Entered { principal, connection, session: Default::default(), room: None };
        self.world.tells.entry(connection).or_default().push_front(entered);
    }

    fn told(&mut self) -> bool {
        let Some(tell) = self.world.told(self.connection).filter(|_| self.door.is_some()) else {
            return false;
        };
        self.happens(Happens::Tell(tell));
        true
    }

    /// What the client does with a message: checks that it follows, and counts.
    fn hear(&mut self, message: &Value) {
        assert!(message.get("error").is_none(), "{message}");
        if let Some(started) = message["ok"]["subscriptions"].as_array() {
            self.entered = true;
            for started in started {
                let kept = self.kept.get_mut(&started["sub"].as_u64().unwrap()).unwrap();
                kept.position = Some(started["pos"].as_str().unwrap().into());
            }
        }
        match message["ev"].as_str() {
            Some("msg") => self.message(message),
            Some("ping") => {
                for (sub, position) in message["through"].as_object().unwrap() {
                    let kept = self.kept.get_mut(&sub.parse().unwrap()).unwrap();
                    kept.position = Some(position.as_str().unwrap().into());
                }
            }
            Some(other) => panic!("{other}: {message}"),
            None => {}
        }
    }

    fn message(&mut self, message: &Value) {
        let sub = message["sub"].as_u64().unwrap();
        let kept = self.kept.get_mut(&sub).unwrap();
        assert_eq!(message["prev"].as_str(), kept.position.as_deref(), "{sub} follows its own position");
        kept.position = Some(message["pos"].as_str().unwrap().into());
        let text: String = message["data"].as_str().unwrap().into();
        kept.newest.insert(message["channel"].as_str().unwrap().into(), text.clone());
        kept.got.push(text);
        if sub == WINDOW {
            assert!(kept.credit > 0, "a window is not overdrawn");
            kept.credit -= 1;
        }
    }

    fn give_credit(&mut self, n: u64) {
        let Some(kept) = self.kept.get_mut(&WINDOW).filter(|_| self.door.is_some() && self.entered) else {
            return;
        };
        kept.credit += n;
        self.happens(Happens::Text(json!({"op": "credit", "sub": WINDOW, "n": n}).to_string()));
    }

    fn step(&mut self) {
        match self.rng.u8(0..14) {
            0 => self.publish(),
            1 => drop(self.world.commit_one()),
            2 => drop(self.world.read_one()),
            3..=7 => drop(self.told()),
            8 | 9 => {
                let most = if self.rng.u8(0..3) == 0 { 60_000 } else { 3000 };
                let room = self.rng.u32(0..most);
                self.happens(Happens::Room(room));
            }
            10 => {
                let n = self.rng.u64(0..4);
                self.give_credit(n);
            }
            11 => {
                self.world.now.time.0 += 26_000_000_000;
                self.happens(Happens::Deadline);
            }
            12 if self.rng.u8(0..8) == 0 && self.door.is_some() => self.cut(),
            _ if self.door.is_none() => self.connect(),
            _ => {}
        }
    }

    /// Everything goes well from here on, until nothing moves any more.
    fn heal(&mut self) {
        if self.door.is_none() {
            self.connect();
        }
        let mut still = 0;
        while still < 3 {
            still += 1;
            self.world.commit();
            self.world.read();
            while self.told() {
                still = 0;
            }
            self.happens(Happens::Room(100_000));
            self.give_credit(50);
        }
    }

    fn check(&self) {
        let all: Vec<&str> = self.published.iter().map(|(_, text)| text.as_str()).collect();
        for (sub, kept) in &self.kept {
            match *sub {
                CONFLATE => {
                    let newest: BTreeMap<_, _> = self.published.iter().cloned().collect();
                    assert_eq!(kept.newest, newest, "the present is shown");
                }
                _ => assert_eq!(kept.got, all, "{sub} got everything, once and in order"),
            }
        }
    }
}

fn request(sub: u64, kept: &Kept) -> Value {
    let mut request = json!({"sub": sub, "channels": "#", "from": "start"});
    if let Some(position) = &kept.position {
        request["from"] = json!({"after": position});
    }
    match sub {
        WINDOW => request["credit"] = json!(kept.credit),
        CONFLATE => request["flow"] = json!("conflate"),
        _ => {}
    }
    request
}

#[test]
fn a_client_that_resumes_from_its_own_position_gets_everything_once_and_in_order() {
    let seeds = std::env::var("RISER_ROOMS_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let (mut cuts, mut published) = (0, 0);
    for seed in 0..seeds {
        let result = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            (0..400).for_each(|_| run.step());
            run.heal();
            run.check();
            (run.cuts, run.published.len())
        });
        let Ok((cut, sent)) = result else { panic!("seed {seed} fails") };
        cuts += cut;
        published += sent;
    }
    assert!(cuts > 0 && published > 0, "a run in which nothing happens proves nothing");
}

#[test]
fn a_window_that_is_alone_does_not_leave_the_room_when_it_is_full() {
    let mut run = Run::new(1);
    run.kept = [(WINDOW, Kept::default())].into();
    run.connect();
    while run.told() {}
    run.publish();
    run.heal();
    let left = run.world.events.iter().any(|event| matches!(event, crate::Output::Left { .. }));
    assert!(!left && !run.kept[&WINDOW].got.is_empty());
}
