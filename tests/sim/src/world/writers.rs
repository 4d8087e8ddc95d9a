//! Writers: what they say, and when they are woken.

use super::{Event, World, actors::due};
use crate::{
    channels,
    floors::Moment,
    journal::Key,
    ledger::Offer,
    mutant::Mutant,
    post, site,
    wires::{Client, Message, Road, Way, WireId},
    writer::{Act, FIRST_KEY, Saying, Writer},
};
use bytes::Bytes;
use fastrand::Rng;
use riser_model::{Seq, Time};
use std::{collections::VecDeque, time::Duration};

const DIAL_FOR: Duration = Duration::from_secs(10);
/// What the log has of a publication beside its payload, bytes, at most.
const BODY_BYTES: usize = 120;

/// A writer and where it is.
#[derive(Debug)]
pub struct WriterSeat {
    /// The writer.
    pub writer: Writer,
    pub(super) wire: Option<WireId>,
    pub(super) armed: Option<Time>,
    rng: Rng,
    said: u32,
    /// When what is on its way to it was said, and what it heard last.
    pub(super) told: VecDeque<Moment>,
    pub(super) heard: Option<Moment>,
}

impl WriterSeat {
    /// One that has said nothing yet.
    pub fn new(writer: Writer, rng: Rng) -> Self {
        Self { writer, wire: None, armed: None, rng, said: 0, told: VecDeque::new(), heard: None }
    }
}

impl World {
    pub(super) fn writer_acts(&mut self, n: usize) {
        while let Some(act) = self.writers[n].writer.poll() {
            let wire = self.writers[n].wire;
            match act {
                Act::Dial => {
                    let host = self.writers[n].writer.identity.host;
                    let id = self.dial(Client::Writer(n), host, Road::Writer(n), DIAL_FOR);
                    self.writers[n].wire = Some(id);
                    self.writers[n].told.clear();
                }
                Act::Say(text) => {
                    self.trace.line(self.now, || format!("writer {n} says {text:.160}"));
                    if let Some(id) = wire {
                        self.net.send(id, Way::Up, Message::Text(text), self.now);
                    }
                }
                Act::Hangup => {
                    self.writers[n].wire = None;
                    if let Some(id) = wire {
                        self.end_client(id);
                    }
                }
                Act::Broken(key) if self.breaks(n, key) => self.ledger.counts.broken += 1,
                Act::Broken(key) => self.wrong(format!("writer {n}: {} breaks no schema", key.n)),
                Act::Over(key, in_span) => {
                    self.ledger.counts.over += 1;
                    let (host, when) = (self.writers[n].writer.identity.host, self.writers[n].heard);
                    let bytes =
                        self.ledger.offers.get(&key).map_or(0, |offer| offer.payload.len() + BODY_BYTES);
                    if let (Some(market), Some(when), true) = (&mut self.market, when, in_span) {
                        market.refuses(host, when, bytes as u64);
                    }
                }
                Act::Beyond(key, channel) => {
                    self.ledger.counts.broken += 1;
                    if channels::are_there(&self.hosts[0].journal, Seq(u64::MAX)).contains(&channel[..]) {
                        self.wrong(format!("writer {n}: {} is refused, and its channel is there", key.n));
                    }
                }
                Act::Receipt { key, .. } if self.breaks(n, key) => {
                    self.wrong(format!(
                        "writer {n} has a receipt for {}, which breaks its room's schema",
                        key.n
                    ));
                }
                Act::Denied(_) => self.ledger.counts.denied += 1,
                Act::Receipt { key, .. } if self.is_to_unnamed(key) => {
                    self.wrong(format!(
                        "writer {n} has a receipt for {}, and may not write to whom that is",
                        key.n
                    ));
                }
                Act::Receipt { key, dup } => {
                    self.trace
                        .line(self.now, || format!("writer {n} has a receipt for {} (dup {dup})", key.n));
                    self.ledger.receipts.insert(key);
                    self.ledger.counts.dups += u64::from(dup);
                }
                Act::Wrong(what) => self.wrong(format!("writer {n}: {what}")),
            }
        }
        let seat = &mut self.writers[n];
        if let Some(at) = due(seat.writer.wake_at(), &mut seat.armed, self.now) {
            self.queue.put(at, Event::Writer(n, at));
        }
    }

    /// Whether what a writer says there breaks the schema of its room.
    fn breaks(&self, n: usize, key: Key) -> bool {
        let who = &self.writers[n].writer.identity;
        self.ledger.schema && who.host == 0 && who.room == site::YARD && key.n.is_multiple_of(7)
    }

    /// Whether a publication is addressed to whom nobody may write.
    fn is_to_unnamed(&self, key: Key) -> bool {
        let topic = self.ledger.offers.get(&key).map_or("", |offer| &offer.topic);
        self.knobs.post && topic.contains(&post::address(post::UNNAMED))
    }

    pub(super) fn wake_writer(&mut self, n: usize, armed: Time) {
        if self.writers[n].armed.take_if(|due| *due == armed).is_none() {
            return;
        }
        self.writers[n].writer.wake(self.now);
        self.writer_acts(n);
    }

    /// The writer's next few publications, each request with one or several.
    pub(super) fn write(&mut self, n: usize) {
        let in_market = self.writers[n].writer.identity.room == site::MARKET;
        // Who comes to a market has said all when half of the run is over: it is taken in the rest.
        let ends_at = if in_market { Time(self.knobs.heals_at().0 / 2) } else { self.knobs.heals_at() };
        if self.now >= ends_at {
            return;
        }
        let seat = &mut self.writers[n];
        let count = seat.rng.u32(1..5);
        let mut all = Vec::new();
        for _ in 0..count {
            seat.said += 1;
            let key = Key { device: FIRST_KEY + n as u32, n: seat.said };
            let in_attic = seat.writer.identity.room == site::ATTIC;
            let channel = match seat.rng.u8(0..3) {
                0 if in_attic && seat.rng.u8(0..6) == 0 => "rare/0".to_owned(),
                n => format!("written/{n}"),
            };
            let to =
                if self.knobs.post { addressed(&mut seat.rng, &seat.writer.identity.room) } else { None };
            let channel = to.map_or(channel.clone(), |lamp| format!("{}/{channel}", post::address(lamp)));
            let payload = format!("{}:{}:", key.device, key.n);
            let topic = format!("{}/{channel}", seat.writer.identity.room);
            let offer = Offer { topic, payload: Bytes::from(payload.clone()), qos: 1, retain: false };
            self.ledger.offers.insert(key, offer);
            self.ledger.counts.offered += 1;
            let timed = self.knobs.expires && seat.writer.identity.room == site::YARD;
            let mut expires_s = (timed && seat.rng.bool()).then(|| seat.rng.u32(5..120));
            self.ledger.expires.extend(expires_s.map(|seconds| (key, seconds)));
            if self.mutant == Some(Mutant::ExpiryUnsaid) {
                expires_s = None;
            }
            all.push(Saying { n: key.n, channel, payload, expires_s });
        }
        let most = if self.knobs.chronicle && self.now > Time(0).plus(self.knobs.first_act()) {
            // A hub's log knows the newest 4,096 publish ids that came up from edges, in each checkpoint; this one is too small
            // for as many.
            40_000
        } else if self.knobs.chronicle {
            5_000
        } else if in_market {
            16_000
        } else {
            40_000
        };
        let pause = Duration::from_millis(seat.rng.u64(100..most));
        seat.writer.publish(all);
        self.writer_acts(n);
        self.after(pause, Event::Write(n));
    }
}

/// To whom the next one is, if to one alone: in the cellar to who comes and goes, or never.
fn addressed(rng: &mut Rng, room: &str) -> Option<&'static str> {
    match (room == site::CELLAR, rng.u8(0..8)) {
        (_, 0) => None,
        (true, 1..5) => Some(post::PASSING),
        (true, _) => Some(post::DARK),
        (false, 1) => Some(post::UNNAMED),
        (false, 2) => Some(post::DARK),
        (false, 3) => Some(post::SCREEN),
        (false, _) => Some(post::KEPT),
    }
}
