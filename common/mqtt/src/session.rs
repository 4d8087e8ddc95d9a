//! A connection that was let in: every packet and every answer of the bus until it ends.
//!
//! It owns what lasts as long as the connection. Acknowledgements leave in receive order and after the commit;
//! asks leave in the order of their tickets, at the end of every input.

use crate::{
    Config, Counters,
    acks::{Ack, Acks},
    answer::{AckKind, Outcome},
    auth::Anew,
    control,
    deliver::Deliveries,
    fault::{ANSWER, Fault, PACKET_FOR_IT},
    filters,
    frame::{Frame, Kind},
    intake::{Author, Batch, Place},
    outbox::{News, Received as PeerHas, Unacknowledged},
    own::Own,
    peer::{Peer, Version},
    publish::{self, Publish},
    received::{Received, Stage},
    subscribe::Subscribing,
    subscription::options,
    tallying,
    topic::TOPIC_BYTES_MAX,
};
use bytes::{BufMut, BytesMut};
use riser_model::{
    Now, Time,
    door::{Ask, Code, NORMAL, Refusal, SessionState, SessionSubscription, Tell},
    tally::{Tallied, Tally},
};
use riser_wire::entry::PacketId;
use rumqttc::v5::mqttbytes::v5::DisconnectReasonCode;
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Packet ids are 16 bits and never 0: that many a client can leave unacknowledged. One of MQTT 3.1.1 is told no
/// maximum, and some of MQTT 5 do not look at theirs (MQTT.js sends a burst whole): that is tolerated and counted.
const UNACKNOWLEDGED_MAX: usize = 65_535;
/// An acknowledgement that says nothing but that.
const ACK_BYTES: usize = 4;
/// As many are given room at once.
const ACKS_AT_ONCE: usize = 256;
/// Each confirmation is an entry of the log. Whatever was acknowledged since the last one comes again if neither
/// the connection's end nor the next second is seen by the instance.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);

/// Why a connection ends from our side.
#[derive(Debug)]
pub(crate) enum End {
    /// The peer broke a rule.
    Fault(Fault),
    /// The bus or a limit refused.
    Refused(Refusal),
    /// The peer took its leave.
    Left {
        /// As in [`Ask::Leave`].
        cause: &'static str,
        /// As in [`Ask::Leave`].
        expiry_s: Option<u32>,
    },
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    peer: Peer,
    /// Says anew who it is.
    anew: Anew,
    config: Arc<Config>,
    counters: Arc<Counters>,
    /// In stored entries; 0 for one that ends with its connection.
    number: u64,
    expires: bool,
    batch: Batch,
    /// The release that PUBRELs of this input add to.
    release: Option<(u64, Vec<u16>)>,
    acks: Acks,
    /// QoS 1 publications in `acks`.
    unacknowledged: usize,
    received: Received,
    /// Topics that the client's aliases stand for, from alias 1.
    topics: Vec<Option<Box<[u8]>>>,
    subscribing: Subscribing,
    deliveries: Deliveries,
    /// When to confirm what the peer has acknowledged.
    confirm_due: Option<Time>,
    /// What went over the connection since the account's tally was told.
    tallied: Box<Tallied>,
    tally: Tally,
    asks: VecDeque<Ask>,
    out: BytesMut,
}

impl Session {
    pub(crate) fn new(
        (peer, anew): (Peer, Anew),
        config: Arc<Config>,
        counters: Arc<Counters>,
        expires: bool,
        own: Own,
        state: SessionState,
    ) -> Self {
        let no_local = |held: &SessionSubscription| held.keep.options & options::NO_LOCAL != 0;
        let always = peer.version == Version::V5 || state.subscriptions.iter().any(no_local);
        let author = Author { publisher: own.publisher, always };
        let window = peer.receive_maximum.min(config.inflight_max);
        let aliases = peer.topic_aliases_max.min(config.aliases_given_max);
        let mut deliveries = Deliveries::new((window, aliases), own, state.number != 0, state.last_id);
        let mut subscribing = Subscribing::new(config.subscriptions_max);
        let (held, remembered) = (state.subscriptions, &state.deliveries);
        let asks = subscribing.restore(held, remembered, &mut deliveries, &counters);
        let mut out = BytesMut::new();
        for id in deliveries.restore(&state.deliveries) {
            peer.release(&mut out, id);
        }
        Self {
            peer,
            anew,
            config,
            counters,
            number: state.number,
            expires,
            batch: Batch::new(peer.version == Version::V4, author),
            release: None,
            acks: Acks::default(),
            unacknowledged: 0,
            received: Received::new(&state.open_ids),
            topics: Vec::new(),
            subscribing,
            deliveries,
            confirm_due: None,
            tallied: Box::default(),
            tally: state.tally,
            asks: asks.into(),
            out,
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// One packet. `expected`: how many bytes of input are left, about.
    pub(crate) fn packet(&mut self, frame: &Frame<'_>, expected: usize, now: Now) -> Result<(), End> {
        self.tallied.packets_received += 1;
        self.tallied.bytes_received += frame.whole.len() as u64;
        match frame.head.kind {
            Kind::Publish => self.publish(&publish::read(frame, self.peer.version)?, expected, now),
            Kind::PubAck | Kind::PubRec | Kind::PubRel | Kind::PubComp => {
                Ok(self.answered(frame.head.kind, control::read_ack(frame, self.peer.version)?)?)
            }
            Kind::Subscribe => self.subscribe(frame),
            Kind::Unsubscribe => self.unsubscribe(frame),
            Kind::PingReq => Ok(self.ping(frame)?),
            Kind::Disconnect => Err(self.disconnect(frame)?),
            Kind::Connect => Err(Fault::protocol("a second CONNECT", "one for a connection").into()),
            Kind::Auth => {
                let ask = self.anew.heard(frame.body())?;
                // What was said before it is asked for before it.
                self.ask_stored();
                self.asks.push_back(ask);
                Ok(())
            }
        }
    }

    fn publish(&mut self, publish: &Publish<'_>, expected: usize, now: Now) -> Result<(), End> {
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
    fn refused_unheard(&mut self, refusal: &Refusal) -> Result<(), End> {
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

    /// An acknowledgement, or PUBREL.
    fn answered(&mut self, kind: Kind, (id, reason): (u16, u8)) -> Result<(), Fault> {
        match kind {
            Kind::PubRel => return self.released(id),
            Kind::PubAck if self.deliveries.acknowledged(id, reason < 0x80) => return Ok(()),
            Kind::PubRec if self.deliveries.is_at_least_once(id) => {
                return Err(Fault::protocol("PUBREC for a publication at QoS 1", "PUBACK"));
            }
            Kind::PubRec => match self.deliveries.received(id, reason < 0x80) {
                PeerHas::Release => {
                    self.peer.release(&mut self.out, id);
                    return Ok(());
                }
                PeerHas::Noted => return Ok(()),
                // The exchange is from another server's time, and ends here.
                PeerHas::Unknown if reason < 0x80 => self.peer.release_unknown(&mut self.out, id),
                PeerHas::Unknown => {}
            },
            Kind::PubComp if self.deliveries.completed(id) => return Ok(()),
            _ => {}
        }
        self.counters.unknown_ids.add(1);
        Ok(())
    }

    /// PUBREL.
    fn released(&mut self, id: u16) -> Result<(), Fault> {
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
    fn ask_stored(&mut self) {
        if let Some((ticket, ids)) = self.release.take() {
            self.asks.push_back(Ask::Release { ticket, ids });
        }
        if let Some(intake) = self.batch.take() {
            self.asks.push_back(Ask::Publish(intake));
        }
    }

    fn subscribe(&mut self, frame: &Frame<'_>) -> Result<(), End> {
        let packet = filters::read_subscribe(frame, self.peer.version)?;
        let asks = self.subscribing.subscribe(packet, self.number != 0, &mut self.deliveries)?;
        self.asks.extend(asks);
        Ok(())
    }

    fn unsubscribe(&mut self, frame: &Frame<'_>) -> Result<(), End> {
        let packet = filters::read_unsubscribe(frame, self.peer.version)?;
        let asks = self.subscribing.unsubscribe(packet, &mut self.deliveries)?;
        // What was begun is the session's before it forgets the subscription.
        self.ask_stored();
        self.hand_over();
        self.asks.extend(asks);
        Ok(())
    }

    fn ping(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        const PINGRESP: [u8; 2] = [0xd0, 0];
        control::read_empty(frame)?;
        self.out.put_slice(&PINGRESP);
        Ok(())
    }

    fn disconnect(&mut self, frame: &Frame<'_>) -> Result<End, Fault> {
        let disconnect = control::read_disconnect(frame, self.peer.version)?;
        if !self.expires && disconnect.expiry_s.is_some_and(|expiry| expiry > 0) {
            return Err(Fault::protocol("an expiry for a session that has none", "an expiry in CONNECT"));
        }
        let expiry_s = disconnect.expiry_s.map(|expiry| expiry.min(self.config.session_expiry_s_max));
        Ok(End::Left { cause: if disconnect.normal { NORMAL } else { "with_will" }, expiry_s })
    }

    /// An answer of the bus.
    pub(crate) fn tell(&mut self, tell: Tell) -> Result<(), End> {
        match tell {
            Tell::Stored { ticket, refused, .. } if self.deliveries.is_asked(ticket) => {
                self.batch.answered(ticket);
                if let Some((_, refusal)) = refused.into_iter().next() {
                    return Err(End::Refused(refusal));
                }
                self.acks.stored(ticket, &[]);
                for id in self.deliveries.stored(ticket).unwrap_or_default() {
                    self.peer.release(&mut self.out, id);
                }
                self.acknowledge()
            }
            Tell::Stored { ticket, refused, .. } => {
                self.batch.answered(ticket);
                let unheard = self.acks.stored(ticket, &refused);
                let verdict = unheard.into_iter().try_for_each(|refusal| self.refused_unheard(refusal));
                self.acknowledge().and(verdict)
            }
            Tell::Subscribed { subscription, result } => {
                self.subscribing.subscribed(subscription, result, &mut self.deliveries, &self.counters);
                Ok(())
            }
            // Nothing of MQTT asks for one.
            Tell::Ticketed(_) => Ok(()),
            Tell::Unsubscribed { subscription } => {
                self.subscribing.unsubscribed(subscription);
                self.deliveries.parted(subscription);
                Ok(())
            }
            Tell::System { values } => {
                self.deliveries.heard(values);
                Ok(())
            }
            Tell::Ready => {
                self.deliveries.pull.ready();
                Ok(())
            }
            Tell::Deliver { pushes, more } => {
                self.deliveries.take(pushes, more, &self.counters);
                Ok(())
            }
            Tell::Refused(refusal) => Err(End::Refused(refusal)),
            Tell::Prompt(prompt) => {
                let before = self.out.len();
                self.anew.asked(&prompt, &mut self.out).map_err(End::Refused)?;
                self.fits(before)
            }
            Tell::Renewed { .. } => {
                let before = self.out.len();
                self.anew.done(&mut self.out);
                self.fits(before)
            }
            // Answered once, before there was a session; or never asked.
            Tell::Entered { .. }
            | Tell::Moved { .. }
            | Tell::Rooms(_)
            | Tell::Finished(_)
            | Tell::Seen { .. }
            | Tell::Decided { .. } => Ok(()),
        }
    }

    /// Whether the peer takes a packet that was written since there were so many bytes.
    fn fits(&mut self, before: usize) -> Result<(), End> {
        if self.out.len() - before <= self.peer.packet_bytes_max as usize {
            return Ok(());
        }
        self.out.truncate(before);
        Err(Fault::too_large(ANSWER, PACKET_FOR_IT).into())
    }

    /// The socket takes about this many bytes.
    pub(crate) fn room(&mut self, bytes: u32) {
        self.deliveries.pull.room(bytes);
    }

    fn acknowledge(&mut self) -> Result<(), End> {
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

    /// Ends an input: everything that follows from it is asked and written.
    pub(crate) fn finish(&mut self, now: Now) -> Result<(), End> {
        self.ask_stored();
        let answered = self.subscribing.write(&self.peer, &mut self.out);
        let verdict = self.acknowledge().and(answered.map_err(End::from));
        if verdict.is_ok() {
            self.asks.extend(self.deliveries.pump(&self.peer, &mut self.out, &self.counters, now.time));
            self.asks.extend(self.deliveries.reports());
            self.asks.extend(self.deliveries.settles());
            self.hand_over();
            if let Some(subscription) = self.deliveries.finished() {
                self.asks.push_back(Ask::Unsubscribe { subscription });
            }
        }
        if self.number != 0 && self.deliveries.has_news() && self.confirm_due.is_none() {
            self.confirm_due = Some(now.time.plus(CONFIRM_EVERY));
        }
        verdict
    }

    /// When the session wants to hear of the time.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.confirm_due
    }

    /// That time may have come.
    pub(crate) fn due(&mut self, now: Now) {
        if self.confirm_due.is_some_and(|due| due <= now.time) {
            self.tell_shown();
            self.confirm();
        }
    }

    /// Tells the bus what channels retain and the peer does not have. Before a place that follows it: who comes back has
    /// one or the other.
    fn tell_shown(&mut self) {
        self.deliveries.note_shown();
        self.ask_stored();
        self.hand_over();
    }

    fn hand_over(&mut self) {
        let batch = &mut self.batch;
        if let Some((ticket, news)) = self.deliveries.news(|| batch.next_ticket()) {
            self.asks.push_back(handed_over(ticket, news));
        }
    }

    /// Tells the bus what the peer has, if somebody keeps it.
    pub(crate) fn confirm(&mut self) {
        self.confirm_due = None;
        self.asks.extend(self.deliveries.reports());
        self.asks.extend(self.deliveries.confirms());
    }

    /// The connection is over: what its session needs to go on where it stood.
    pub(crate) fn leave(&mut self) {
        self.confirm();
        self.asks.extend(self.deliveries.settles());
        if self.number == 0 {
            return;
        }
        self.hand_over();
        let Unacknowledged { left, loose } = self.deliveries.unacknowledged();
        let shown = self.deliveries.shown(true);
        if !left.is_empty() || !loose.is_empty() || !shown.is_empty() {
            let (ticket, sent) = (self.batch.next_ticket(), Vec::new());
            let (released, done) = (Vec::new(), Vec::new());
            self.asks.push_back(Ask::HandOver { ticket, sent, released, left, loose, done, shown });
        }
    }

    /// The next thing to ask.
    pub(crate) fn next_ask(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// What is to be written. Nothing of it stays here.
    pub(crate) fn take_bytes(&mut self) -> BytesMut {
        let bytes = std::mem::take(&mut self.out);
        let received = std::mem::take(&mut *self.tallied);
        let publications_dropped = received.publications_dropped + self.deliveries.take_dropped();
        self.tally.add(&Tallied { publications_dropped, ..received });
        if !bytes.is_empty() {
            self.tally.add(&tallying::sent(&bytes, self.peer.version));
        }
        bytes
    }
}

fn handed_over(ticket: u64, news: News) -> Ask {
    let News { sent, released, loose, done, shown } = news;
    Ask::HandOver { ticket, sent, released, left: Vec::new(), loose, done, shown }
}

/// Whether a publication is refused for what it is, whenever it comes: a device that hears no reason would come back and
/// send it again for ever, and nothing behind it would get through.
fn is_refused_for_good(code: Code) -> bool {
    matches!(code, Code::TooLarge | Code::Malformed)
}

fn topic_of(topics: &[Option<Box<[u8]>>], alias: u16) -> Option<&[u8]> {
    topics.get(usize::from(alias).checked_sub(1)?)?.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        let bytes = size_of::<Session>() + size_of::<crate::MqttDoor>();
        assert!(bytes < 1536, "{bytes}");
    }
}
