//! Random runs against a plain list: every complete subscription is a contiguous slice of what it may read.
//!
//! `RISER_ROOMS_SEEDS` runs more seeds than the default; a failing one is named in the panic's output.

use super::script::*;
use crate::{Config, chain::Resume};
use fastrand::Rng;
use riser_model::{
    Cause, Epoch, Position, Seq, SubscriptionId, Wall,
    door::{Ask, Code, Completeness, Flow, From, Push, Showing, Tell},
};
use std::collections::BTreeMap;

const ROOMS: [&str; 3] = ["a", "b", "quiet"];
const CHANNELS: [&str; 5] = ["x", "y", "deep/x", "deep/y", "secret/x"];
const FILTERS: [&str; 6] = ["x", "deep/x", "#", "deep/+", "+", "secret/#"];

/// A complete subscription as its peer keeps track of it.
struct Follower {
    room: Option<&'static str>,
    filter: &'static str,
    /// The place up to which it knows everything that it may.
    at: Option<Position>,
    /// Only entries of rooms with history up to here.
    floor: Seq,
    from: From,
    /// What was committed when it was asked for.
    asked: Seq,
}

struct Entry {
    room: String,
    channel: String,
    text: String,
    wall: Wall,
}

struct Run {
    world: World,
    rng: Rng,
    committed: Vec<Entry>,
    followers: BTreeMap<(u64, u32), Follower>,
    /// Where peers were when they were cut off.
    left: Vec<Follower>,
    connections: Vec<u64>,
    next_connection: u64,
    next_text: u64,
    epoch: u64,
    delivered: usize,
    gapped: u64,
}

impl Follower {
    fn wants(&self, seq: Seq, entry: &Entry) -> bool {
        let room = self.room.is_none_or(|room| room == entry.room);
        let filter: riser_model::Filter = self.filter.parse().unwrap();
        let past = seq > self.floor || entry.room != "quiet";
        let since = match self.from {
            From::Since(wall) => seq > self.asked || entry.wall >= wall,
            From::Onward { since, until, .. } => seq > until.seq || entry.wall >= since,
            From::Live | From::After(_) | From::Last(_) | From::Start => true,
        };
        // Everybody here is denied `secret`.
        room && past
            && since
            && filter.matches(&entry.channel.parse().unwrap())
            && !entry.channel.starts_with("secret")
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let config = Config {
            tail_bytes_max: rng.usize(300..4000),
            read_bytes: rng.u32(100..1500),
            chunks_bytes_max: rng.usize(200..4000),
            batch_bytes_max: rng.usize(200..2000),
            ..Config::default()
        };
        Self {
            world: World::new(config),
            rng,
            committed: Vec::new(),
            followers: BTreeMap::new(),
            left: Vec::new(),
            connections: Vec::new(),
            next_connection: 1,
            next_text: 0,
            epoch: 1,
            delivered: 0,
            gapped: 0,
        }
    }

    fn step(&mut self) {
        match self.rng.u8(0..100) {
            0..8 => self.open(),
            8..33 => self.publish(),
            33..58 => {
                self.world.commit_one();
            }
            58..60 => self.world.fail(Code::LogFailing),
            60..68 => self.subscribe(),
            68..82 => self.pull(),
            82..94 => {
                self.world.read_one();
            }
            94..96 => self.unsubscribe(),
            96..97 => self.leave(),
            97..98 => self.trim(),
            98..99 => self.damage(),
            _ if self.rng.u8(0..8) == 0 => self.restart(),
            _ => self.pull(),
        }
        self.learn();
    }

    fn any(&mut self) -> Option<u64> {
        if self.connections.is_empty() {
            None
        } else {
            Some(self.connections[self.rng.usize(..self.connections.len())])
        }
    }

    fn open(&mut self) {
        if self.connections.len() < 6 {
            let n = self.next_connection;
            self.next_connection += 1;
            self.world.open(n);
            self.connections.push(n);
        }
    }

    fn publish(&mut self) {
        let Some(n) = self.any() else { return };
        let mut texts = Vec::new();
        for _ in 0..self.rng.usize(1..6) {
            let topic = format!("{}/{}", ROOMS[self.rng.usize(..3)], CHANNELS[self.rng.usize(..5)]);
            self.next_text += 1;
            texts.push((topic, format!("{:0>1$}", self.next_text, self.rng.usize(1..40))));
        }
        let publications: Vec<(&str, &str)> = texts.iter().map(|(t, p)| (t.as_str(), p.as_str())).collect();
        self.world.send(n, &publications, self.rng.u8(0..2));
    }

    /// Takes over what the storage has, once the bus knows it.
    fn learn(&mut self) {
        while (self.committed.len() as u64) < self.world.bus.committed().0 {
            let entry = &self.world.storage.entries[self.committed.len()];
            let route = &self.world.storage.routes[&entry.route];
            let room = self.world.rooms.iter().find(|room| room.id == route.room).unwrap();
            let text = listed(&entry.frame).remove(0).1;
            let (room, channel) = (room.name.to_string(), route.channel.to_string());
            let wall = wall(&text);
            self.committed.push(Entry { room, channel, text, wall });
        }
    }

    fn subscribe(&mut self) {
        let Some(n) = self.any() else { return };
        self.hear();
        let id = self.rng.u32(0..5);
        let resumed = if self.rng.bool() { self.left.pop() } else { None };
        let (room, filter, from) = match resumed {
            Some(Follower { room, filter, at: Some(at), from, asked, .. }) => {
                let until = self.world.bus.position(asked);
                // What is gone of a time is told by when it was committed, and here that is always the same.
                let is_there = at.seq.next() >= self.world.bus.oldest();
                let onward = match from {
                    From::Since(since) if is_there => From::Onward { after: at, since, until },
                    From::Onward { since, until, .. } if is_there => From::Onward { after: at, since, until },
                    From::Since(_) | From::Onward { .. } => From::After(at),
                    From::Live | From::After(_) | From::Last(_) | From::Start => From::After(at),
                };
                (room, filter, onward)
            }
            Some(_) | None => {
                let room = if self.rng.u8(0..3) == 0 { None } else { Some(ROOMS[self.rng.usize(..3)]) };
                let from = match self.rng.u8(0..5) {
                    0 => From::Live,
                    1 => From::Start,
                    2 => From::Last(self.rng.u32(1..30)),
                    3 => From::Since(Wall(self.rng.i64(0..1009))),
                    _ => From::After(Position {
                        log: LOG,
                        epoch: Epoch(self.rng.u64(1..=self.epoch)),
                        seq: Seq(self.rng.u64(0..=self.committed.len() as u64)),
                    }),
                };
                (room, FILTERS[self.rng.usize(..6)], from)
            }
        };
        let want = match room {
            Some(room) if self.rng.bool() => in_room(room, filter),
            Some(room) => topic(&format!("{room}/{filter}")),
            None => topic(&format!("+/{filter}")),
        };
        let asked = self.world.bus.committed();
        let follower = Follower { room, filter, at: None, floor: Seq::ZERO, from, asked };
        self.followers.insert((n, id), follower);
        let subscription = SubscriptionId(id);
        self.world.ask(
            n,
            Ask::Subscribe {
                subscription,
                want,
                from,
                flow: Flow::Credit,
                keep: None,
                retained: Showing::Nothing,
            },
        );
        self.hear();
    }

    fn unsubscribe(&mut self) {
        let Some(n) = self.any() else { return };
        self.hear();
        let id = self.rng.u32(0..5);
        self.world.ask(n, Ask::Unsubscribe { subscription: SubscriptionId(id) });
        self.followers.remove(&(n, id));
    }

    fn leave(&mut self) {
        let Some(n) = self.any() else { return };
        self.hear();
        self.world.ask(n, Ask::Leave { cause: "normal".into(), expiry_s: None });
        self.connections.retain(|one| *one != n);
        let gone: Vec<_> = self.followers.keys().copied().filter(|(of, _)| *of == n).collect();
        self.left.extend(gone.iter().filter_map(|key| self.followers.remove(key)));
        self.world.tells.remove(&c(n));
    }

    fn trim(&mut self) {
        // Only what nobody waits for is trimmed in a run without gaps of interest; here anything may go.
        let from = self.world.storage.oldest.0;
        let to = self.world.bus.committed().0;
        if to > from + 20 {
            let oldest = self.rng.u64(from..to - 10);
            self.world.trim(oldest, vec![]);
        }
    }

    fn damage(&mut self) {
        let to = self.world.bus.committed().0;
        if to > 60 {
            let at = self.rng.u64(1..to - 50);
            self.world.storage.damaged.push((Seq(at), Seq(at + self.rng.u64(0..4))));
        }
    }

    fn restart(&mut self) {
        self.hear();
        self.learn();
        self.left.extend(std::mem::take(&mut self.followers).into_values());
        self.connections.clear();
        self.epoch += 1;
        self.world.restart(Epoch(self.epoch));
    }

    fn pull(&mut self) {
        let Some(n) = self.any() else { return };
        let stands = self.rng.u32(0..2) == 0;
        self.world.ask(n, Ask::Pull { bytes: self.rng.u32(1..3000), stands });
        self.hear();
    }

    /// Reads what connections were told, and holds every subscription to its promise.
    fn hear(&mut self) {
        self.learn();
        for n in self.connections.clone() {
            for tell in self.world.tells.remove(&c(n)).unwrap_or_default() {
                match tell {
                    Tell::Subscribed { subscription, result } => match result {
                        Ok(subscribed) => self.begun(n, subscription.0, &subscribed),
                        Err(refusal) if refusal.code == Code::WrongState => {}
                        Err(refusal) => {
                            let gone = self.followers.remove(&(n, subscription.0)).unwrap();
                            assert_eq!(refusal.code, Code::Denied, "{refusal:?}");
                            assert_eq!((gone.filter, gone.room), ("secret/#", gone.room));
                        }
                    },
                    Tell::Deliver { pushes, .. } => pushes.iter().for_each(|push| self.pushed(n, push)),
                    Tell::Stored { .. } | Tell::Ready | Tell::Unsubscribed { .. } => {}
                    Tell::Entered { .. }
                    | Tell::System { .. }
                    | Tell::Refused(_)
                    | Tell::Prompt(_)
                    | Tell::Renewed { .. }
                    | Tell::Moved { .. }
                    | Tell::Seen { .. }
                    | Tell::Rooms(_)
                    | Tell::Finished(_)
                    | Tell::Ticketed(_)
                    | Tell::Decided { .. } => panic!("{tell:?}"),
                }
            }
        }
    }

    fn begun(&mut self, n: u64, id: u32, subscribed: &riser_model::door::Subscribed) {
        let oldest = self.world.bus.oldest();
        let mut follower = self.followers.remove(&(n, id)).unwrap();
        let matching = |follower: &Follower, after: Seq| {
            let wanted = |(i, entry): (usize, &Entry)| follower.wants(Seq(i as u64 + 1), entry);
            let all = self.committed.iter().enumerate().take(follower.asked.0 as usize);
            all.skip(after.0 as usize).filter(|entry| wanted(*entry)).count()
        };
        match follower.from {
            From::Live => assert_eq!(subscribed.at.seq, follower.asked),
            From::Start | From::Since(_) => {
                follower.floor = follower.asked;
                let history = follower.room != Some("quiet");
                assert_eq!(subscribed.at.seq, if history { oldest.prev() } else { follower.asked });
            }
            From::Last(wanted) => {
                follower.floor = follower.asked;
                // What damage took cannot be counted here.
                let found = matching(&follower, subscribed.at.seq);
                let more = matching(&follower, oldest.prev().min(subscribed.at.seq));
                let untouched = self.world.storage.damaged.is_empty();
                let all = more.min(wanted as usize);
                let quiet = follower.room == Some("quiet");
                assert!(!untouched || quiet || found == all, "{found} of {wanted}, of {all} that are there");
            }
            From::After(position) | From::Onward { after: position, .. } => {
                let known = self.world.bus.position(position.seq) == position;
                if known {
                    let below = position.seq.next() < oldest;
                    let expected = if below { Completeness::Partial } else { Completeness::Full };
                    assert_eq!(subscribed.completeness, expected);
                    assert_eq!(subscribed.at.seq, position.seq.max(oldest.prev()));
                    let gone: u64 = subscribed.gaps.iter().map(riser_model::Gap::count).sum();
                    assert_eq!(gone, subscribed.at.seq.0 - position.seq.0);
                } else if self.world.bus.chain.resume(position) == Resume::Unknown {
                    assert_eq!(subscribed.completeness, Completeness::Partial);
                    follower.floor = follower.asked;
                }
            }
        }
        follower.at = Some(subscribed.at);
        self.followers.insert((n, id), follower);
    }

    fn pushed(&mut self, n: u64, push: &Push) {
        let subscription = match push {
            Push::Publication(delivery) => delivery.subscription,
            Push::Gap { subscription, .. } | Push::Through { subscription, .. } => *subscription,
            Push::Wiped { .. } => panic!("nobody listens"),
        };
        let follower = self.followers.get_mut(&(n, subscription.0)).expect("pushes have a subscription");
        let at = follower.at.expect("pushes come after the answer");
        let end = match push {
            Push::Publication(delivery) => {
                assert_eq!(delivery.prev, at);
                let pos = delivery.pos.unwrap();
                let entry = &self.committed[pos.seq.0 as usize - 1];
                assert!(follower.wants(pos.seq, entry), "{} {}", entry.room, entry.channel);
                assert_eq!(payload(&delivery.content.body), entry.text);
                assert_eq!(delivery.content.room.as_str(), entry.room);
                assert_eq!(pos.epoch, self.world.storage.entries[pos.seq.0 as usize - 1].epoch);
                self.delivered += 1;
                follower.at = Some(pos);
                pos.seq.prev()
            }
            Push::Gap { gap, pos, .. } => {
                assert_eq!(gap.to, pos.seq);
                for seq in gap.from.0..=gap.to.0 {
                    let damaged = self.world.storage.damaged.iter();
                    let damaged = damaged.into_iter().any(|(from, to)| (from.0..=to.0).contains(&seq));
                    assert!(damaged || seq < self.world.bus.oldest().0, "{seq} is not gone");
                    assert!(damaged || gap.cause != Cause::Damage);
                }
                self.gapped += gap.count();
                follower.at = Some(*pos);
                gap.from.prev()
            }
            Push::Through { pos, .. } => {
                follower.at = Some(*pos);
                pos.seq
            }
            Push::Wiped { .. } => return,
        };
        // Nothing that it wants lies between what it had and this.
        let follower = &self.followers[&(n, subscription.0)];
        for seq in at.seq.0 + 1..=end.0 {
            let missed = &self.committed[seq as usize - 1];
            let Follower { room, filter, from, .. } = follower;
            let wanted = follower.wants(Seq(seq), missed);
            assert!(
                !wanted,
                "{n}/{} lacks {seq} before {push:?}: {room:?} {filter} {from:?}",
                subscription.0
            );
        }
    }

    /// Everything is committed, read and pulled: then everybody has everything.
    fn finish(&mut self) {
        self.world.now.time.0 += 100_000_000;
        self.world.input(crate::Input::Deadline);
        self.world.commit();
        self.world.now.time.0 += 60_000_000_000;
        self.learn();
        for _ in 0..10_000 {
            self.world.read();
            for n in self.connections.clone() {
                self.world.ask(n, Ask::Pull { bytes: 2000, stands: false });
            }
            let told = |tell: &Tell| matches!(tell, Tell::Deliver { pushes, .. } if pushes.is_empty());
            let quiet = self
                .world
                .tells
                .values()
                .all(|tells| tells.iter().filter(|tell| matches!(tell, Tell::Deliver { .. })).all(told));
            self.hear();
            if quiet && self.world.storage.reads.is_empty() {
                break;
            }
        }
        let last = Seq(self.committed.len() as u64);
        for ((n, id), follower) in &self.followers {
            let at = follower.at.expect("every subscribe is answered").seq;
            for seq in at.0 + 1..=last.0 {
                assert!(!follower.wants(Seq(seq), &self.committed[seq as usize - 1]), "{n}/{id} lacks {seq}");
            }
        }
        let held = self.world.bus.statistics();
        assert_eq!((held.chunks_bytes, held.unstored_bytes), (0, 0));
    }
}

fn run(seed: u64) -> (usize, u64) {
    let mut run = Run::new(seed);
    for _ in 0..600 {
        run.step();
    }
    run.finish();
    (run.delivered, run.gapped)
}

struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}: RISER_ROOMS_SEED={} replays it", self.0, self.0);
        }
    }
}

#[test]
fn every_complete_subscription_is_a_contiguous_slice_of_what_it_may_read() {
    let one = std::env::var("RISER_ROOMS_SEED").ok().and_then(|seed| seed.parse().ok());
    let many = std::env::var("RISER_ROOMS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60);
    let seeds = one.map_or(0..many, |seed| seed..seed + 1);
    let (mut delivered, mut gapped) = (0, 0);
    for seed in seeds {
        let _named = Named(seed);
        let (more, gone) = run(seed);
        (delivered, gapped) = (delivered + more, gapped + gone);
    }
    assert!(one.is_some() || delivered > 1000 && gapped > 0, "the runs show something");
}
