//! Writers: what they say, and when they are woken.

use super::{Event, World, actors::due};
use crate::{
    channels,
    journal::Key,
    ledger::Offer,
    site,
    wires::{Client, Message, Road, Way, WireId},
    writer::{Act, FIRST_KEY, Writer},
};
use bytes::Bytes;
use fastrand::Rng;
use riser_model::{Seq, Time};
use std::time::Duration;

const DIAL_FOR: Duration = Duration::from_secs(10);

/// A writer and where it is.
#[derive(Debug)]
pub struct WriterSeat {
    /// The writer.
    pub writer: Writer,
    pub(super) wire: Option<WireId>,
    pub(super) armed: Option<Time>,
    rng: Rng,
    said: u32,
}

impl WriterSeat {
    /// One that has said nothing yet.
    pub fn new(writer: Writer, rng: Rng) -> Self {
        Self { writer, wire: None, armed: None, rng, said: 0 }
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

    pub(super) fn wake_writer(&mut self, n: usize, armed: Time) {
        if self.writers[n].armed.take_if(|due| *due == armed).is_none() {
            return;
        }
        self.writers[n].writer.wake(self.now);
        self.writer_acts(n);
    }

    /// The writer's next few publications, each request with one or several.
    pub(super) fn write(&mut self, n: usize) {
        if self.now >= self.knobs.heals_at() {
            return;
        }
        let seat = &mut self.writers[n];
        let count = seat.rng.u32(1..5);
        let mut all = Vec::new();
        for _ in 0..count {
            seat.said += 1;
            let key = Key { device: FIRST_KEY + n as u32, n: seat.said };
            let channel = format!("written/{}", seat.rng.u8(0..3));
            let payload = format!("{}:{}:", key.device, key.n);
            let topic = format!("{}/{channel}", site::PLANT);
            let offer = Offer { topic, payload: Bytes::from(payload.clone()), qos: 1, retain: false };
            self.ledger.offers.insert(key, offer);
            self.ledger.counts.offered += 1;
            all.push((key.n, channel, payload));
        }
        let pause = Duration::from_millis(seat.rng.u64(100..40_000));
        seat.writer.publish(all);
        self.writer_acts(n);
        self.after(pause, Event::Write(n));
    }
}
