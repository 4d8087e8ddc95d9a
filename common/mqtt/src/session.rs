//! A connection that was let in: every packet and every answer of the bus until it ends.
//!
//! It owns what lasts as long as the connection. Acknowledgements leave in receive order and after the commit;
//! asks leave in the order of their tickets, at the end of every input.

mod publishing;

use crate::{
    Config, Counters,
    acks::Acks,
    auth::Anew,
    control,
    deliver::Deliveries,
    fault::{ANSWER, Fault, PACKET_FOR_IT},
    filters,
    frame::{Frame, Kind},
    intake::{Author, Batch},
    outbox::{News, Received as PeerHas, Unacknowledged},
    own::Own,
    peer::{Peer, Version},
    publish,
    received::Received,
    subscribe::Subscribing,
    subscription::options,
    tallying,
};
use bytes::{BufMut, BytesMut};
use riser_model::{
    Now, Time,
    door::{Ask, NORMAL, Refusal, SessionState, SessionSubscription, Tell},
    tally::{Tallied, Tally},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};

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
            // What channels retain and the peer does not have, before a place that follows it: who comes back has one or
            // the other.
            self.deliveries.note_shown();
            self.confirm();
        }
    }

    fn hand_over(&mut self) {
        let batch = &mut self.batch;
        if let Some((ticket, news)) = self.deliveries.news(|| batch.next_ticket()) {
            self.asks.push_back(handed_over(ticket, news));
        }
    }

    /// Tells the bus what the peer has, if somebody keeps it. What a place passes and the peer may hold is the session's
    /// by itself before that place moves: a commit that has only one of both must not forget an id.
    fn confirm(&mut self) {
        self.confirm_due = None;
        self.asks.extend(self.deliveries.reports());
        let confirms: Vec<Ask> = self.deliveries.confirms().collect();
        self.ask_stored();
        self.hand_over();
        self.asks.extend(confirms);
    }

    /// The connection is over: what its session needs to go on where it stood.
    pub(crate) fn leave(&mut self) {
        self.confirm();
        self.asks.extend(self.deliveries.settles());
        if self.number == 0 {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        let bytes = size_of::<Session>() + size_of::<crate::MqttDoor>();
        assert!(bytes < 1536, "{bytes}");
    }
}
