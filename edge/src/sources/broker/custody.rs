//! What came from a broker and what it may forget: publications go into batches, acknowledgements leave in the order
//! in which their packets came, and none before what it speaks of is on disk.
//!
//! It owns the QoS 2 ids between PUBLISH and PUBCOMP. They ride in the entries under the number of the source's own
//! session, so that they outlive this process: who sends such a publication again, after whatever crash, is
//! answered and not believed. A release is on disk before PUBCOMP too, or the id's next publication would be taken for
//! a repetition of the last.
//!
//! One batch is on its way to the disk at a time, and what comes meanwhile is the next one: if the first cannot be
//! stored, nothing that came after it is stored before it.
//!
//! What can never be stored is refused, counted and acknowledged: a broker would send it again for ever, and all
//! that comes after it would wait. What cannot be stored at this moment is not acknowledged, and nothing after it.

use super::frame::{Head, malformed};
use crate::{
    config::TopicFilter,
    sources::{
        batch::{Batch, Place},
        mapping::{Mapping, quote},
        meter::Meter,
    },
};
use bytes::{BufMut, BytesMut};
use riser_model::{
    Now,
    door::{Ask, Code, Refusal},
};
use riser_wire::{
    close,
    entry::{ContentType, PacketId, Publication},
    limits::PUBLICATION_BYTES_MAX,
};
use rumqttc::mqttbytes::{QoS, v4::Publish};
use std::collections::{BTreeMap, VecDeque};

/// What the next batch may grow to while one is on its way.
const AHEAD_BYTES_MAX: usize = 256 * 1024;

/// How far a QoS 2 exchange is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The publication is not on disk yet, or its PUBREC waits for those before it.
    Storing,
    /// PUBREC left; PUBREL is to come.
    Open,
    /// PUBREL came; PUBCOMP leaves when that is on disk.
    Releasing,
}

/// By the first byte of the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AckKind {
    /// PUBACK.
    Acknowledged = 0x40,
    /// PUBREC.
    Received = 0x50,
    /// PUBCOMP.
    Completed = 0x70,
}

/// An acknowledgement that will leave.
#[derive(Debug)]
struct Ack {
    kind: AckKind,
    id: u16,
    /// What it waits for; none if for those before it only.
    waits: Option<Place>,
    refused: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Custody {
    filters: Vec<TopicFilter>,
    meter: Meter,
    batch: Batch,
    /// The entries of the batch that is on its way.
    storing: u32,
    /// The number of the source's session in stored entries; 0 for none.
    session: u64,
    stages: BTreeMap<u16, Stage>,
    /// Ids released by the packets at hand, under their ticket.
    release: Option<(u64, Vec<u16>)>,
    acks: VecDeque<Ack>,
    /// Every ticket up to this one is on disk, and up to that one was asked for.
    through: u64,
    asked: u64,
    asks: VecDeque<Ask>,
    out: BytesMut,
}

impl Custody {
    /// Of a source that has asked for these topics.
    pub(super) fn new(filters: Vec<TopicFilter>, mapping: Mapping, meter: Meter) -> Self {
        Self {
            filters,
            meter,
            batch: Batch::new(mapping),
            storing: 0,
            session: 0,
            stages: BTreeMap::new(),
            release: None,
            acks: VecDeque::new(),
            through: 0,
            asked: 0,
            asks: VecDeque::new(),
            out: BytesMut::new(),
        }
    }

    /// Takes up the session as the log has it.
    pub(super) fn resume(&mut self, session: u64, open_ids: &[u16]) {
        self.session = session;
        self.stages = open_ids.iter().map(|id| (*id, Stage::Open)).collect();
    }

    /// The broker has begun a new session: its ids have a new meaning.
    pub(super) fn forget_ids(&mut self) {
        let ids: Vec<u16> = std::mem::take(&mut self.stages).into_keys().collect();
        if !ids.is_empty() {
            let ticket = self.batch.next_ticket();
            self.release = Some((ticket, ids));
        }
    }

    /// Whether something waits for its commit.
    pub(super) fn is_waiting(&self) -> bool {
        self.through < self.asked
    }

    /// Whether no more should come until what is on its way is on disk.
    pub(super) fn is_full(&self) -> bool {
        self.is_waiting() && (!self.asks.is_empty() || self.batch.bytes() >= AHEAD_BYTES_MAX)
    }

    /// PUBLISH.
    pub(super) fn publish(&mut self, publish: &Publish, now: Now) {
        let Publish { dup, qos, retain, topic, pkid: id, payload } = publish;
        let (qos, id) = (*qos as u8, *id);
        if self.count_known(*dup, qos, id) {
            return;
        }
        if !self.filters.iter().any(|filter| filter.matches(topic)) {
            let what = format!("topic {} is of no filter here", quote(topic));
            self.refuse(qos, id, &refusal(Code::Denied, what, "to remove the broker's old subscription"));
            return;
        }
        if payload.len() > PUBLICATION_BYTES_MAX {
            self.refuse(qos, id, &too_large(topic, payload.len()));
            return;
        }
        if !self.batch.fits(payload.len()) {
            self.seal();
        }
        let alias = match self.batch.alias(topic) {
            Ok(alias) => alias,
            Err(refusal) => {
                self.refuse(qos, id, &refusal);
                return;
            }
        };
        let kept = qos == 2 && self.session != 0;
        let publication = Publication {
            retain: *retain,
            qos,
            packet_id: kept.then_some(PacketId { session: self.session, id }),
            ..Publication::new(ContentType::Octets, payload)
        };
        let place = self.batch.add(alias, &publication, now.stamp());
        self.await_ack(qos, id, Some(place), false);
    }

    /// A PUBLISH that is larger than anything here.
    pub(super) fn publish_too_large(&mut self, head: &Head) {
        if !self.count_known(head.dup, head.qos, head.id) {
            self.refuse(head.qos, head.id, &too_large(&head.topic, head.bytes));
        }
    }

    /// Counts it, and answers one of QoS 2 that is here already.
    fn count_known(&mut self, dup: bool, qos: u8, id: u16) -> bool {
        self.meter.received.inc();
        if dup {
            self.meter.resent.inc();
        }
        if qos != QoS::ExactlyOnce as u8 {
            return false;
        }
        match self.stages.get(&id) {
            // After its PUBREL nothing of the old publication comes any more: some brokers do not wait for PUBCOMP
            // before they give an id to a new one (rumqttd).
            None | Some(Stage::Releasing) => false,
            Some(Stage::Storing) => true,
            // A broker that sends it for the first time has forgotten what it sent under this id before (rumqttd gives
            // out ids anew after a cut). To believe that it is here would lose it.
            Some(Stage::Open) if !dup => false,
            Some(Stage::Open) => {
                self.acks.push_back(Ack { kind: AckKind::Received, id, waits: None, refused: false });
                true
            }
        }
    }

    /// Refused here, before the bus saw it.
    fn refuse(&mut self, qos: u8, id: u16, refusal: &Refusal) {
        self.meter.refused(refusal);
        self.await_ack(qos, id, None, true);
    }

    fn await_ack(&mut self, qos: u8, id: u16, waits: Option<Place>, refused: bool) {
        let kind = match qos {
            0 => return,
            1 => AckKind::Acknowledged,
            _ => {
                self.stages.insert(id, Stage::Storing);
                AckKind::Received
            }
        };
        self.acks.push_back(Ack { kind, id, waits, refused });
    }

    /// PUBREL.
    pub(super) fn released(&mut self, id: u16) -> Result<(), Refusal> {
        let waits = match self.stages.get(&id) {
            Some(Stage::Storing) => return Err(malformed("PUBREL before PUBREC")),
            Some(Stage::Releasing) => return Ok(()),
            // Refused, or known to nobody: there is nothing to release.
            None => None,
            Some(Stage::Open) => {
                self.stages.insert(id, Stage::Releasing);
                (self.session != 0).then(|| self.place_of_release(id))
            }
        };
        self.acks.push_back(Ack { kind: AckKind::Completed, id, waits, refused: false });
        Ok(())
    }

    fn place_of_release(&mut self, id: u16) -> Place {
        if self.release.is_none() {
            self.seal();
        }
        let batch = &mut self.batch;
        let (ticket, ids) = self.release.get_or_insert_with(|| (batch.next_ticket(), Vec::new()));
        ids.push(id);
        Place { ticket: *ticket, index: ids.len() as u32 - 1 }
    }

    /// What the packets so far came to will be asked for, in the order of the tickets.
    fn seal(&mut self) {
        if let Some((ticket, ids)) = self.release.take() {
            self.asks.push_back(Ask::Release { ticket, ids });
        }
        self.asks.extend(self.batch.take().map(Ask::Publish));
    }

    /// The batch with this ticket is on disk, except `refused` (rising). Fails with what could not be stored at this
    /// moment: that and what came after it is not acknowledged, and the connection is of no use any more.
    pub(super) fn stored(&mut self, ticket: u64, refused: &[(u32, Refusal)]) -> Result<(), Refusal> {
        self.through = ticket;
        self.batch.answered(ticket);
        let count = u64::from(std::mem::take(&mut self.storing));
        self.meter.stored.inc_by(count.saturating_sub(refused.len() as u64));
        let mut at = 0;
        for (index, refusal) in refused {
            let place = (ticket, *index);
            let before = |ack: &&Ack| ack.waits.is_none_or(|waits| (waits.ticket, waits.index) < place);
            at += self.acks.iter().skip(at).take_while(before).count();
            let waiting = self
                .acks
                .get_mut(at)
                .filter(|ack| ack.waits.is_some_and(|waits| (waits.ticket, waits.index) == place));
            match waiting {
                Some(_) if close::after_ms(refusal.code).is_some() => {
                    self.acks.truncate(at);
                    self.acknowledge();
                    return Err(refusal.clone());
                }
                Some(ack) => {
                    ack.refused = true;
                    self.meter.refused(refusal);
                }
                // Nobody waits for an answer at QoS 0.
                None => self.meter.refused(refusal),
            }
        }
        self.acknowledge();
        Ok(())
    }

    /// Lets all leave that may.
    pub(super) fn acknowledge(&mut self) {
        let through = self.through;
        let may_leave = |ack: &mut Ack| ack.waits.is_none_or(|place| place.ticket <= through);
        while let Some(Ack { kind, id, refused, .. }) = self.acks.pop_front_if(may_leave) {
            match kind {
                AckKind::Acknowledged => self.meter.acknowledged.inc(),
                AckKind::Received => {
                    self.recorded(id, refused);
                    self.meter.acknowledged.inc()
                }
                AckKind::Completed => {
                    self.completed(id);
                    0
                }
            };
            self.out.put_u8(kind as u8);
            self.out.put_u8(2);
            self.out.put_u16(id);
        }
    }

    /// PUBREC leaves: a refused publication's id means nothing here.
    fn recorded(&mut self, id: u16, refused: bool) {
        if self.stages.get(&id) != Some(&Stage::Storing) {
            return;
        }
        if refused {
            self.stages.remove(&id);
        } else {
            self.stages.insert(id, Stage::Open);
        }
    }

    /// PUBCOMP leaves: the id is free, unless the broker has given it to a new publication already.
    fn completed(&mut self, id: u16) {
        if self.stages.get(&id) == Some(&Stage::Releasing) {
            self.stages.remove(&id);
        }
    }

    /// What it asks of the bus next: nothing, while something is on its way.
    pub(super) fn next_ask(&mut self) -> Option<Ask> {
        if self.is_waiting() {
            return None;
        }
        if self.asks.is_empty() {
            self.seal();
        }
        let ask = self.asks.pop_front()?;
        match &ask {
            Ask::Publish(intake) => {
                self.asked = intake.ticket;
                self.storing = intake.count;
            }
            Ask::Release { ticket, .. } => (self.asked, self.storing) = (*ticket, 0),
            other => unreachable!("it asks for nothing else: {other:?}"),
        }
        Some(ask)
    }

    /// What is to be said to the broker.
    pub(super) fn take_bytes(&mut self) -> BytesMut {
        std::mem::take(&mut self.out)
    }
}

fn refusal(code: Code, what: String, want: &str) -> Refusal {
    Refusal { code, what, want: want.to_owned() }
}

fn too_large(topic: &str, bytes: usize) -> Refusal {
    let want = format!("at most {PUBLICATION_BYTES_MAX}");
    refusal(Code::TooLarge, format!("{bytes} bytes under topic {}", quote(topic)), &want)
}
