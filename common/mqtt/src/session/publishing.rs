//! What the peer publishes: taken for the bus, known when it comes again, acknowledged in receive order or refused.

use super::{End, Session};
use crate::{
    acks::Ack,
    answer::{AckKind, Outcome},
    fault::Fault,
    intake::{Batch, Place},
    peer::Version,
    publish::Publish,
    received::Stage,
    topic::TOPIC_BYTES_MAX,
};
use riser_model::{
    Now,
    door::{Ask, Code, Refusal},
};
use riser_wire::entry::PacketId;
use rumqttc::v5::mqttbytes::v5::DisconnectReasonCode;

/// Packet ids are 16 bits and never 0: that many a client can leave unacknowledged. One of MQTT 3.1.1 is told no
/// maximum, and some of MQTT 5 do not look at theirs (MQTT.js sends a burst whole): that is tolerated and counted.
const UNACKNOWLEDGED_MAX: usize = 65_535;
/// An acknowledgement that says nothing but that.
const ACK_BYTES: usize = 4;
/// As many are given room at once.
const ACKS_AT_ONCE: usize = 256;

impl Session {
    pub(super) fn publish(&mut self, publish: &Publish<'_>, expected: usize, now: Now) -> Result<(), End> {
        self.tallied.publications_received += 1;
        self.tallied.publication_bytes_received += publish.payload.len() as u64;
        if publish.qos > 0 {
            self.check_unacknowledged()?;
        }
        self.learn_alias(publish)?;
        if publish.qos == 2 && self.is_known(publish.id) {
            return Ok(());
        }
        if let Some(refusal) = Batch::too_large(publish) {
            return self.refuse(publish, refusal);
        }
        if !self.batch.fits(publish) {
            self.ask_stored();
        }
        let topic = match publish.travelling.alias {
            0 => publish.topic,
            alias => topic_of(&self.topics, alias).unwrap_or_default(),
        };
        let alias = match self.batch.alias(topic)? {
            Ok(alias) => alias,
            Err(refusal) => return self.refuse(publish, refusal),
        };
        let kept = publish.qos == 2 && self.number != 0;
        let packet_id = kept.then_some(PacketId { session: self.number, id: publish.id });
        let place = self.batch.add(alias, publish, packet_id, now.stamp(), expected);
        self.await_ack(publish, Some(place), Outcome::Done);
        Ok(())
    }

    /// Takes note of what the client's own topic alias stands for from here on.
    fn learn_alias(&mut self, publish: &Publish<'_>) -> Result<(), Fault> {
        let alias = publish.travelling.alias;
        if alias == 0 {
            return Ok(());
        }
        if alias > self.config.topic_aliases_max {
            return Err(Fault {
                reason: DisconnectReasonCode::TopicAliasInvalid,
                ..Fault::protocol("a topic alias above the maximum", "one up to CONNACK's maximum")
            });
        }
        if publish.topic.is_empty() {
            let known = topic_of(&self.topics, alias).is_some();
            let unknown =
                Fault::protocol("a topic alias without a topic", "one that came with its topic before");
            return if known { Ok(()) } else { Err(unknown) };
        }
        let place = usize::from(alias - 1);
        if self.topics.len() <= place {
            self.topics.resize(place + 1, None);
        }
        // A longer one is refused wherever it comes.
        let topic = publish.topic.get(..=TOPIC_BYTES_MAX).unwrap_or(publish.topic);
        if let Some(known) = self.topics.get_mut(place) {
            *known = Some(topic.into());
        }
        Ok(())
    }

    /// A QoS 2 publication that came before is answered, not stored.
    fn is_known(&mut self, id: u16) -> bool {
        let outcome = match self.received.stage(id) {
            None => return false,
            Some(Stage::Storing) => {
                self.counters.duplicates.add(1);
                return true;
            }
            Some(Stage::Open) => {
                self.counters.duplicates.add(1);
                Outcome::Done
            }
            Some(Stage::Releasing) => Outcome::Refused(Box::new(Refusal {
                code: Code::WrongState,
                what: format!("packet id {id} is in use"),
                want: "to wait for PUBCOMP before it names another publication".to_owned(),
            })),
        };
        self.acks.push(Ack { kind: AckKind::Received, id, waits: None, outcome });
        true
    }

    fn check_unacknowledged(&self) -> Result<(), Fault> {
        let waiting = match self.peer.version {
            Version::V4 => self.acks.len(),
            Version::V5 => self.unacknowledged + self.received.len(),
        };
        let most = usize::from(self.config.receive_maximum);
        if waiting < UNACKNOWLEDGED_MAX {
            self.counters.over_receive_maximum.add(u64::from(waiting >= most));
            return Ok(());
        }
        Err(Fault {
            code: Code::TooMany,
            reason: DisconnectReasonCode::ReceiveMaximumExceeded,
            what: "more unacknowledged publications than the Receive Maximum",
            want: "to wait for acknowledgements",
        })
    }

    /// Refused here, before the bus saw it.
    fn refuse(&mut self, publish: &Publish<'_>, refusal: Refusal) -> Result<(), End> {
        if publish.qos == 0 {
            return self.refused_unheard(&refusal);
        }
        self.await_ack(publish, None, Outcome::Refused(Box::new(refusal)));
        Ok(())
    }

    /// At QoS 0 nobody waits for an answer, and a client would not know what a closed connection is to say: it comes back
    /// and goes on. What is shed is counted, what can never be stored is told to who administers the account.
    pub(super) fn refused_unheard(&mut self, refusal: &Refusal) -> Result<(), End> {
        match refusal.code {
            Code::QuotaExceeded
            | Code::SessionFull
            | Code::LogFailing
            | Code::TooMany
            | Code::TooSlow
            | Code::ShuttingDown => {
                self.counters.shed.add(1);
                self.tallied.publications_dropped += 1;
                Ok(())
            }
            Code::Malformed | Code::BadName | Code::NotAuthorised | Code::Denied | Code::TooLarge => {
                self.give_up(refusal.clone());
                Ok(())
            }
            Code::WrongState | Code::UnknownPosition | Code::TakenOver | Code::Timeout | Code::Dup => {
                Err(End::Refused(refusal.clone()))
            }
        }
    }

    /// A publication that is not stored, of which its client hears nothing.
    fn give_up(&mut self, refusal: Refusal) {
        self.counters.given_up.add(1);
        self.tallied.publications_dropped += 1;
        if let Some(Ask::Dropped { refusal: last, count }) = self.asks.back_mut()
            && last.code == refusal.code
        {
            (*last, *count) = (refusal, count.saturating_add(1));
            return;
        }
        self.asks.push_back(Ask::Dropped { refusal, count: 1 });
    }

    fn await_ack(&mut self, publish: &Publish<'_>, waits: Option<Place>, outcome: Outcome) {
        let kind = match publish.qos {
            0 => return,
            1 => {
                self.unacknowledged += 1;
                AckKind::Published
            }
            _ => {
                self.received.set(publish.id, Stage::Storing);
                AckKind::Received
            }
        };
        self.acks.push(Ack { kind, id: publish.id, waits, outcome });
    }

    /// PUBREL.
    pub(super) fn released(&mut self, id: u16) -> Result<(), Fault> {
        let (waits, outcome) = match self.received.stage(id) {
            None => (None, Outcome::UnknownId),
            Some(Stage::Storing) => {
                return Err(Fault::protocol("PUBREL before PUBREC", "to wait for PUBREC"));
            }
            Some(Stage::Releasing) => {
                self.counters.duplicates.add(1);
                return Ok(());
            }
            Some(Stage::Open) => {
                self.received.set(id, Stage::Releasing);
                let waits = if self.number == 0 { None } else { Some(self.place_of_release(id)) };
                (waits, Outcome::Done)
            }
        };
        if self.acks.len() >= UNACKNOWLEDGED_MAX {
            return Err(Fault::protocol("PUBREL for more ids than there are", "to wait for PUBCOMP"));
        }
        self.acks.push(Ack { kind: AckKind::Completed, id, waits, outcome });
        Ok(())
    }

    /// Adds an id to the release of this input. What was published before it has an earlier ticket.
    fn place_of_release(&mut self, id: u16) -> Place {
        if self.release.is_none() {
            self.ask_stored();
        }
        let batch = &mut self.batch;
        let (ticket, ids) = self.release.get_or_insert_with(|| (batch.next_ticket(), Vec::new()));
        ids.push(id);
        Place { ticket: *ticket, index: ids.len() as u32 - 1 }
    }

    /// Asks for what came so far, in the order of the tickets.
    pub(super) fn ask_stored(&mut self) {
        if let Some((ticket, ids)) = self.release.take() {
            self.asks.push_back(Ask::Release { ticket, ids });
        }
        if let Some(intake) = self.batch.take() {
            self.asks.push_back(Ask::Publish(intake));
        }
    }

    pub(super) fn acknowledge(&mut self) -> Result<(), End> {
        if self.acks.has_ready() {
            self.out.reserve(ACK_BYTES * self.acks.len().min(ACKS_AT_ONCE));
        }
        while let Some(mut ack) = self.acks.pop() {
            if self.peer.version == Version::V4
                && let Outcome::Refused(refusal) = &ack.outcome
                && is_refused_for_good(refusal.code)
            {
                self.give_up((**refusal).clone());
                ack.outcome = Outcome::Done;
            }
            let accepted = !matches!(ack.outcome, Outcome::Refused(_));
            match ack.kind {
                AckKind::Published => self.unacknowledged -= 1,
                AckKind::Received => self.received.recorded(ack.id, accepted),
                AckKind::Completed => self.received.completed(ack.id),
            }
            match (self.peer.version, ack.outcome) {
                // It has no word for it: the device comes back and sends it again. PUBCOMP has none in MQTT 5 either,
                // and said without the release in the log its id would swallow the next publication that bears it.
                (Version::V4, Outcome::Refused(refusal)) => return Err(End::Refused(*refusal)),
                (Version::V5, Outcome::Refused(refusal)) if ack.kind == AckKind::Completed => {
                    return Err(End::Refused(*refusal));
                }
                (_, outcome) => self.peer.ack(&mut self.out, ack.kind, ack.id, &outcome),
            }
        }
        Ok(())
    }
}

/// Whether a publication is refused for what it is, whenever it comes: a device that hears no reason would come back and
/// send it again for ever, and nothing behind it would get through.
fn is_refused_for_good(code: Code) -> bool {
    matches!(code, Code::TooLarge | Code::Malformed)
}

fn topic_of(topics: &[Option<Box<[u8]>>], alias: u16) -> Option<&[u8]> {
    topics.get(usize::from(alias).checked_sub(1)?)?.as_deref()
}
