//! The raw door: one channel as bare bytes, for peers that speak no protocol at all.
//!
//! What comes in is published to the channel as it is, text as `text/plain` and bytes as
//! `application/octet-stream`; what is published there goes out, conflated if the peer lags. Best effort: no
//! receipts, no history, no gaps. A publication that is refused closes the connection with the reason, for
//! there is no other way to say it. A peer that may only publish reads nothing; one that may do neither is
//! told so.
//!
//! At a client's address in the channel (`/{account}/{room}/{client}/{channel}`) the two directions part: at one's own
//! one publishes as oneself, at another's one reads what that client publishes there, everything in order.
//!
//! In a lobby at an address of somebody's whoever is of another account is a visitor, who reads and publishes there what that
//! account lets visitors, and hears no more of a lobby that is not than of one that lets it do nothing.
//!
//! Where the gate asks who is there, the first text is `challenge {method} {nonce}`, and the first message after it is the
//! answer.

use super::{Place, publisher::Publisher, pull::Pull, refusal, reported_at};
use bytes::Bytes;
use riser_model::{
    ChannelName, ClientId, Now, SubscriptionId, Time,
    door::{
        Ask, Code, Delivery, Door, Flow, From, Input, Output, Prompt, Push, Refusal, Secret, Showing, Tell,
        Want,
    },
};
use riser_wire::{
    client::Message,
    entry::{Body, ContentType, Kind, Publication},
    limits::{FIRST_FRAME_DEADLINE, PUBLICATION_BYTES_MAX, UNAUTHENTICATED_BYTES_MAX},
};
use std::{borrow::Cow, collections::VecDeque, time::Duration};

/// The subscription of the one channel.
const SUBSCRIPTION: SubscriptionId = SubscriptionId(0);
/// A peer that may not read has this long to publish something.
const PUBLISH_WITHIN: Duration = FIRST_FRAME_DEADLINE;
/// Messages, empty ones too, that are held until the connection is let in.
const HELD_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub struct Raw {
    place: Place,
    channel: ChannelName,
    /// Whose address in it, if the peer asked for one.
    of: Option<ClientId>,
    /// Whoever is of another account visits.
    visits: bool,
    phase: Phase,
    pull: Pull,
    publisher: Publisher,
    out: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    /// Waits for the bus to let it in; holds what came meanwhile, but for the answer to what the gate asked.
    Entering { held: Vec<(&'static str, Bytes)>, bytes: usize, asked: bool },
    /// In.
    Open { side: Side, published: bool, unreadable: Option<(Time, Refusal)> },
    /// Nothing more comes or goes.
    Closed,
}

/// Which directions are open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    /// Both: the channel.
    Both,
    /// One's own address.
    Publishes,
    /// Another's.
    Reads,
}

impl Raw {
    /// A connection to this channel, or to a client's address in it, whose handshake is done. Enters at once.
    pub fn new(place: Place, channel: ChannelName, of: Option<ClientId>) -> Self {
        let room = Some(place.room.clone());
        let phase = Phase::Entering { held: Vec::new(), bytes: 0, asked: false };
        let admitted = place.admit(place.credential.clone());
        let publisher = Publisher::new(place.room.clone());
        let mut raw = Self {
            place,
            channel,
            of,
            visits: false,
            phase,
            pull: Pull::default(),
            publisher,
            out: VecDeque::new(),
        };
        match admitted {
            Ok(credential) => raw.out.push_back(Output::Ask(Ask::Enter { credential, session: None, room })),
            Err(why) => raw.bye(why),
        }
        raw
    }

    /// The same in the lobby of the account that the place names.
    pub fn in_lobby(place: Place, channel: ChannelName, of: Option<ClientId>) -> Self {
        let mut raw = Self { visits: true, ..Self::new(place, channel, of) };
        if let Phase::Entering { .. } = raw.phase {
            raw.out.push_front(Output::Ask(Ask::Visit { lobby: raw.place.account.clone() }));
        }
        raw
    }

    fn message(&mut self, content_type: &'static str, payload: Bytes, now: Now) {
        match &mut self.phase {
            Phase::Entering { asked, .. } if *asked => {
                *asked = false;
                self.out.push_back(Output::Ask(Ask::Answer(Secret(payload))));
            }
            Phase::Entering { held, bytes, .. } => {
                *bytes += payload.len();
                if *bytes <= UNAUTHENTICATED_BYTES_MAX && held.len() < HELD_MAX {
                    return held.push((content_type, payload));
                }
                let want =
                    format!("at most {UNAUTHENTICATED_BYTES_MAX} bytes before the connection is let in");
                self.close(refusal(Code::TooLarge, "too much at once", &want));
            }
            Phase::Open { side: Side::Reads, .. } => self.close(refusal(
                Code::Denied,
                "a publication at another client's address",
                "your own address, or the channel's",
            )),
            Phase::Open { published, .. } => {
                *published = true;
                self.publish(content_type, &payload, now);
            }
            Phase::Closed => {}
        }
    }

    fn publish(&mut self, content_type: &'static str, payload: &[u8], now: Now) {
        if payload.len() > PUBLICATION_BYTES_MAX {
            let what = format!("a message of {} bytes", payload.len());
            let want = format!("at most {PUBLICATION_BYTES_MAX} bytes");
            return self.close(refusal(Code::TooLarge, &what, &want));
        }
        let message = Message {
            channel: self.channel.clone(),
            content_type: Cow::Borrowed(content_type),
            payload: Cow::Borrowed(payload),
            publish_id: None,
            expires_s: None,
        };
        match self.publisher.publish(None, false, 0, &[message], now) {
            Ok(ask) => self.out.push_back(Output::Ask(ask)),
            Err(why) => self.close(why),
        }
    }

    fn tell(&mut self, tell: Tell, now: Now) {
        match tell {
            Tell::Entered { principal, room, .. } => {
                if let Some(room) = room {
                    self.publisher = Publisher::new(room.clone());
                    self.place.room = room;
                }
                match self.place.holds(&principal) {
                    Ok(()) => self.entered(principal.client, now),
                    // What it may there the lobby's account says.
                    Err(_) if self.visits => self.entered(principal.client, now),
                    Err(why) => self.close(why),
                }
            }
            Tell::Refused(why) => match self.phase {
                // The bus never had this connection: there is nothing to leave.
                Phase::Entering { .. } => self.bye(why),
                Phase::Open { .. } | Phase::Closed => self.close(why),
            },
            Tell::Stored { mut refused, .. } => {
                if let Some((_, why)) = refused.pop() {
                    self.close(why);
                }
            }
            Tell::Subscribed { result: Err(why), .. } => match &mut self.phase {
                Phase::Open { side: Side::Reads, .. } => self.close(why),
                Phase::Open { unreadable, .. } => {
                    *unreadable = Some((now.time.plus(PUBLISH_WITHIN), why));
                }
                Phase::Entering { .. } | Phase::Closed => {}
            },
            // MQTT's.
            Tell::System { .. } => {}
            Tell::Ready => self.pull.ready(),
            Tell::Deliver { pushes, more } => {
                self.pull.delivered(more);
                pushes.into_iter().for_each(|push| self.push(push));
            }
            Tell::Prompt(Prompt::Challenge { method, nonce }) => {
                if let Phase::Entering { asked, .. } = &mut self.phase {
                    *asked = true;
                    self.out.push_back(Output::Text(format!("challenge {} {nonce}", method.name())));
                }
            }
            Tell::Prompt(Prompt::Knocked | Prompt::Words(_)) => {}
            Tell::Subscribed { result: Ok(_), .. }
            | Tell::Unsubscribed { .. }
            | Tell::Renewed { .. }
            | Tell::Moved { .. }
            | Tell::Seen { .. }
            | Tell::Rooms(_)
            | Tell::Finished(_)
            | Tell::Ticketed(_)
            | Tell::Decided { .. } => {}
        }
        self.ask_for_more();
    }

    fn entered(&mut self, own: ClientId, now: Now) {
        let Phase::Entering { held, .. } = &mut self.phase else { return };
        let held = std::mem::take(held);
        let side = match self.of {
            None => Side::Both,
            Some(of) if of == own => Side::Publishes,
            Some(_) => Side::Reads,
        };
        self.phase = Phase::Open { side, published: false, unreadable: None };
        // Of a channel that others publish in too, the newest of one client is not the channel's newest.
        let flow = match side {
            Side::Both => Some(Flow::Conflate),
            Side::Publishes => None,
            Side::Reads => Some(Flow::Credit),
        };
        self.out.extend(flow.map(|flow| {
            let want = Want::Room(self.place.room.clone(), self.channel.clone().into());
            Output::Ask(Ask::Subscribe {
                subscription: SUBSCRIPTION,
                want,
                from: From::Live,
                flow,
                keep: None,
                retained: Showing::Nothing,
            })
        }));
        held.into_iter().for_each(|(content_type, payload)| self.message(content_type, payload, now));
    }

    fn push(&mut self, push: Push) {
        match push {
            Push::Publication(delivery) => {
                if matches!(self.phase, Phase::Open { .. })
                    && self.of.is_none_or(|of| of == delivery.content.route.client)
                    && let Some((output, bytes)) = message(&delivery)
                {
                    self.pull.wrote(bytes);
                    self.out.push_back(output);
                    self.out.extend(reported_at(&delivery).map(Output::Ask));
                }
            }
            Push::Gap { .. } | Push::Wiped { .. } | Push::Through { .. } => {}
        }
    }

    fn ask_for_more(&mut self) {
        if matches!(self.phase, Phase::Open { .. }) {
            self.out.extend(self.pull.next(false).map(Output::Ask));
        }
    }

    fn deadline(&mut self, now: Now) {
        if let Phase::Open { published: false, unreadable: Some((until, why)), .. } = &self.phase
            && now.time >= *until
        {
            self.close(why.clone());
        }
    }

    /// Leaves and closes.
    fn close(&mut self, why: Refusal) {
        if !matches!(self.phase, Phase::Closed) {
            self.leave(why.code.name());
            self.bye(why);
        }
    }

    fn leave(&mut self, cause: &str) {
        if !matches!(self.phase, Phase::Closed) {
            self.out.push_back(Output::Ask(Ask::Leave { cause: cause.into(), expiry_s: None }));
        }
        self.phase = Phase::Closed;
    }

    fn bye(&mut self, why: Refusal) {
        self.phase = Phase::Closed;
        self.out.push_back(Output::Close(why));
    }
}

/// A delivery as it came in: text as text where it is valid, anything else as bytes.
fn message(delivery: &Delivery) -> Option<(Output, usize)> {
    let body = Body::read(&delivery.content.body).ok().filter(|body| body.kind == Kind::Publication)?;
    let publication = Publication::read(&body).ok()?;
    let is_text = match publication.content_type {
        ContentType::Text | ContentType::Json => true,
        ContentType::Other(name) => name.starts_with("text/"),
        ContentType::Octets => false,
    };
    let payload = publication.payload;
    let text = std::str::from_utf8(payload).ok().filter(|_| is_text);
    let output = match text {
        Some(text) => Output::Text(text.into()),
        // The payload is the body's end.
        None => Output::Bytes(delivery.content.body.slice(delivery.content.body.len() - payload.len()..)),
    };
    Some((output, payload.len()))
}

impl Door for Raw {
    fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Text(text) => self.message("text/plain", text.into(), now),
            Input::Bytes(bytes) => self.message("application/octet-stream", bytes, now),
            Input::Tell(tell) => self.tell(tell, now),
            Input::Room(bytes) => {
                self.pull.room(bytes);
                self.ask_for_more();
            }
            Input::Deadline => self.deadline(now),
            // Silence is the transport's to judge.
            Input::Unheard => {}
            Input::Gone(cause) => self.leave(cause),
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        match &self.phase {
            Phase::Open { published: false, unreadable: Some((until, _)), .. } => Some(*until),
            Phase::Open { .. } | Phase::Entering { .. } | Phase::Closed => None,
        }
    }
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
