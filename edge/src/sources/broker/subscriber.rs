//! One connection to a broker that the site already has, from our side: CONNECT, SUBSCRIBE, and then taking.
//!
//! It is a door the other way round: the bytes come from a server, and the bus is asked the same things. It enters
//! the bus before it says a word to the broker, so that nothing is ever heard that nobody could store. It speaks
//! the codec of rumqttc under its own rules, because rumqttc's client answers PUBREL at once, breaks the
//! connection off for ever over a PUBREL from before a restart, and stops its pings while it is not polled: none of
//! that fits who acknowledges after a commit.
//!
//! What it knows beyond its connection is in [`Standing`]. What came and what may be acknowledged is
//! [`Custody`]'s.

use super::{
    custody::Custody,
    frame::{Frame, Splitter, malformed},
    mark::Mark,
};
use crate::{
    config::BrokerConfig,
    sources::{mapping::Mapping, meter::Meter},
};
use bytes::{BufMut, BytesMut};
use riser_model::{
    Now, Time,
    door::{Ask, Code, Credential, Door, Input, NORMAL, Output, Refusal, SessionRequest, SessionState, Tell},
};
use rumqttc::mqttbytes::{
    QoS,
    v4::{
        ConnAck, Connect, ConnectReturnCode, Packet, SubAck, Subscribe, SubscribeFilter, SubscribeReasonCode,
    },
};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// CONNACK and SUBACK each come within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// PINGRESP, or anything else, comes within this.
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// The packet id of the one SUBSCRIBE.
const SUBSCRIBE_ID: u16 = 1;
const DISCONNECT: [u8; 2] = [0xe0, 0];
const PINGREQ: [u8; 2] = [0xc0, 0];

/// What the connections of one source share.
pub(crate) struct Setup {
    pub(crate) broker: BrokerConfig,
    pub(crate) mapping: Mapping,
    pub(crate) meter: Meter,
    standing: Mutex<Standing>,
    /// At QoS 0 there is none: the session keeps nothing of what was on its way when the edge ended.
    mark: Option<Mark>,
}

/// What a connection leaves to the next one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Standing {
    /// The broker has confirmed the filters, in the session that it had then. Who subscribes again is sent all that
    /// is retained again.
    subscribed: bool,
    /// One of the connections was up.
    was_ever_up: bool,
    /// The last connection was up, and then ended for this reason.
    pub(crate) was_up: bool,
    pub(crate) end: String,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("broker", &self.broker).finish_non_exhaustive()
    }
}

impl Setup {
    /// Of a source that was never connected.
    pub(crate) fn new(broker: BrokerConfig, mapping: Mapping, meter: Meter, mark: Mark) -> Self {
        let mark = (broker.qos > 0).then_some(mark);
        let subscribed = mark.as_ref().is_some_and(Mark::is_set);
        let standing = Mutex::new(Standing { subscribed, ..Standing::default() });
        Self { broker, mapping, meter, standing, mark }
    }

    /// Whether the filters are the session's, if the broker has kept it. From here on nobody knows, until the broker has
    /// said so.
    fn take_subscribed(&self) -> bool {
        let mut was = false;
        self.change(|standing| was = std::mem::take(&mut standing.subscribed));
        if let Some(mark) = &self.mark
            && let Err(error) = mark.clear()
        {
            // What cannot be taken away could be believed after a restart, and then something would be missing.
            let source = &*self.meter.name;
            tracing::warn!(source, %error, "what is subscribed cannot be kept; what the broker retains may come again");
            return false;
        }
        was
    }

    /// The broker has said whether all of the filters are its session's.
    fn keep_subscribed(&self, all: bool) {
        self.change(|standing| standing.subscribed = all);
        if all && let Some(Err(error)) = self.mark.as_ref().map(Mark::set) {
            let source = &*self.meter.name;
            tracing::warn!(source, %error, "what is subscribed is not kept; after a restart what the broker retains comes again");
        }
    }

    /// What the last connection left.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The session under which QoS 2 ids are kept in our log. It is the broker's session that it belongs to.
    fn session(&self) -> Option<SessionRequest> {
        let BrokerConfig { url, client_id, qos, .. } = &self.broker;
        (*qos == 2).then(|| SessionRequest {
            id: format!("source {} at {url}", client_id.as_str()),
            clean: false,
            expiry_s: u32::MAX,
            will: None,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The bus is to let us in.
    Entering,
    /// CONNACK is to come, until then.
    Greeting(Time),
    /// SUBACK is to come, until then. What the session held may come before.
    Subscribing(Time),
    Open,
    Closed,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Subscriber {
    setup: Arc<Setup>,
    password: Password,
    state: State,
    /// What was subscribed when CONNECT was said.
    subscribed: bool,
    splitter: Splitter,
    custody: Custody,
    /// When something was said last.
    said: Time,
    /// Since when a ping is unanswered.
    pinged: Option<Time>,
    outputs: VecDeque<Output>,
}

/// Never printed.
struct Password(Option<String>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

impl Subscriber {
    /// A connection whose socket is open. Enters the bus at once.
    pub(crate) fn new(setup: Arc<Setup>, password: Option<String>, now: Now) -> Self {
        let session = setup.session().map(Box::new);
        let enter = Ask::Enter { credential: Credential::Anonymous, session, room: None };
        let filters = setup.broker.filters.clone();
        let custody = Custody::new(filters, setup.mapping.clone(), setup.meter.clone());
        setup.change(|standing| (standing.was_up, standing.end) = (false, String::new()));
        Self {
            setup,
            password: Password(password),
            state: State::Entering,
            subscribed: false,
            splitter: Splitter::default(),
            custody,
            said: now.time,
            pinged: None,
            outputs: VecDeque::from([Output::Ask(enter)]),
        }
    }

    fn tell(&mut self, tell: Tell, now: Now) {
        match (self.state, tell) {
            (State::Closed, _) => {}
            (State::Entering, Tell::Entered { session, .. }) => self.connect(&session, now),
            (State::Entering, Tell::Refused(refusal)) => self.close(refusal),
            (_, Tell::Refused(refusal)) => self.end(refusal),
            (_, Tell::Stored { ticket, refused, .. }) => {
                let result = self.custody.stored(ticket, &refused);
                self.finish(result, now);
            }
            // Nothing else was asked.
            (
                _,
                Tell::Entered { .. }
                | Tell::Prompt(_)
                | Tell::Renewed { .. }
                | Tell::Moved { .. }
                | Tell::Rooms(_)
                | Tell::Finished(_)
                | Tell::Decided { .. }
                | Tell::Subscribed { .. }
                | Tell::Unsubscribed { .. }
                | Tell::Ticketed(_)
                | Tell::System { .. }
                | Tell::Seen { .. }
                | Tell::Ready
                | Tell::Deliver { .. },
            ) => {}
        }
    }

    fn connect(&mut self, session: &SessionState, now: Now) {
        self.custody.resume(session.number, &session.open_ids);
        let BrokerConfig { client_id, user, keepalive, .. } = &self.setup.broker;
        let mut connect = Connect::new(client_id.as_str());
        connect.clean_session = false;
        connect.keep_alive = u16::try_from(keepalive.ms() / 1000).unwrap_or(u16::MAX);
        if let Some(user) = user {
            connect.set_login(user.as_str(), self.password.0.take().unwrap_or_default());
        }
        let mut out = BytesMut::new();
        connect.write(&mut out).expect("no configured text is longer than a packet may be");
        self.subscribed = self.setup.take_subscribed();
        self.say(out, now);
        self.state = State::Greeting(now.time.plus(ANSWER_WITHIN));
    }

    fn bytes(&mut self, bytes: &[u8], now: Now) {
        self.pinged = None;
        self.splitter.push(bytes);
        let result = loop {
            match self.splitter.next() {
                Ok(Some(frame)) => {
                    if let Err(refusal) = self.frame(frame, now) {
                        break Err(refusal);
                    }
                }
                Ok(None) => break Ok(()),
                Err(refusal) => break Err(refusal),
            }
        };
        self.custody.acknowledge();
        self.finish(result, now);
    }

    fn frame(&mut self, frame: Frame, now: Now) -> Result<(), Refusal> {
        let packet = match (self.state, frame) {
            (State::Subscribing(_) | State::Open, Frame::TooLarge(head)) => {
                self.custody.publish_too_large(&head);
                return Ok(());
            }
            (State::Entering | State::Greeting(_) | State::Closed, Frame::TooLarge(_)) => {
                return Err(malformed("PUBLISH before CONNACK"));
            }
            (_, Frame::Packet(packet)) => packet,
        };
        match (self.state, packet) {
            (State::Greeting(_), Packet::ConnAck(connack)) => self.connected(&connack, now),
            (State::Subscribing(_), Packet::SubAck(suback)) => self.subscribed(&suback),
            (State::Subscribing(_) | State::Open, Packet::Publish(publish)) => {
                self.custody.publish(&publish, now);
                Ok(())
            }
            (State::Subscribing(_) | State::Open, Packet::PubRel(release)) => {
                self.custody.released(release.pkid)
            }
            (State::Subscribing(_) | State::Open, Packet::PingResp) => Ok(()),
            (State::Greeting(_), _) => Err(malformed("something else than CONNACK")),
            (State::Entering | State::Subscribing(_) | State::Open | State::Closed, _) => {
                Err(malformed("a packet that nothing asked for"))
            }
        }
    }

    fn connected(&mut self, connack: &ConnAck, now: Now) -> Result<(), Refusal> {
        let want = match connack.code {
            ConnectReturnCode::Success => None,
            ConnectReturnCode::RefusedProtocolVersion => Some("a broker that speaks MQTT 3.1.1"),
            ConnectReturnCode::BadClientId => Some("another client_id"),
            ConnectReturnCode::ServiceUnavailable => Some("the broker to be in service"),
            ConnectReturnCode::BadUserNamePassword => Some("the user and the password that the broker knows"),
            ConnectReturnCode::NotAuthorized => Some("a user that the broker lets in, and its password"),
        };
        if let Some(want) = want {
            // It opened no session anew.
            self.setup.keep_subscribed(self.subscribed);
            let what = format!("the broker refuses the connection: {:?}", connack.code);
            return Err(Refusal { code: Code::NotAuthorised, what, want: want.to_owned() });
        }
        let subscribed = self.subscribed;
        if connack.session_present && subscribed {
            self.up("as before", true);
            return Ok(());
        }
        if !connack.session_present {
            self.custody.forget_ids();
            if subscribed {
                let source = &*self.setup.meter.name;
                tracing::warn!(
                    source,
                    "the broker has forgotten its session, and with it what it kept for us"
                );
            }
        }
        self.subscribe(now);
        Ok(())
    }

    fn subscribe(&mut self, now: Now) {
        let BrokerConfig { filters, qos, .. } = &self.setup.broker;
        let qos = match qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        let filter =
            |filter: &crate::config::TopicFilter| SubscribeFilter::new(filter.as_str().to_owned(), qos);
        let subscribe = Subscribe { pkid: SUBSCRIBE_ID, filters: filters.iter().map(filter).collect() };
        let mut out = BytesMut::new();
        subscribe.write(&mut out).expect("so many filters are no longer than a packet may be");
        self.say(out, now);
        self.state = State::Subscribing(now.time.plus(ANSWER_WITHIN));
    }

    fn subscribed(&mut self, suback: &SubAck) -> Result<(), Refusal> {
        let filters = &self.setup.broker.filters;
        if suback.pkid != SUBSCRIBE_ID || suback.return_codes.len() != filters.len() {
            return Err(malformed("a SUBACK for another SUBSCRIBE"));
        }
        let mut granted = 0;
        for (filter, code) in filters.iter().zip(&suback.return_codes) {
            let (source, filter) = (&*self.setup.meter.name, filter.as_str());
            match code {
                SubscribeReasonCode::Success(qos) => {
                    granted += 1;
                    if (*qos as u8) < self.setup.broker.qos {
                        tracing::warn!(
                            source,
                            filter,
                            qos = *qos as u8,
                            "the broker grants less than was asked for"
                        );
                    }
                }
                SubscribeReasonCode::Failure => {
                    tracing::warn!(source, filter, "the broker refuses a subscription")
                }
            }
        }
        if granted == 0 {
            return Err(Refusal {
                code: Code::Denied,
                what: "the broker refuses every subscription".to_owned(),
                want: "filters that this user may read there".to_owned(),
            });
        }
        let all = granted == filters.len();
        self.up("anew", all);
        Ok(())
    }

    /// Something flows. `all`: of everything that was asked for.
    fn up(&mut self, subscribed: &str, all: bool) {
        let BrokerConfig { url, client_id, .. } = &self.setup.broker;
        let source = &*self.setup.meter.name;
        if self.setup.standing().was_ever_up {
            // Whether that is news, whoever dials knows.
            tracing::debug!(source, %url, subscribed, "source connected again");
        } else {
            tracing::info!(source, %url, client_id = client_id.as_str(), subscribed, "source connected");
        }
        self.setup.meter.up.set(1);
        self.setup.keep_subscribed(all);
        self.setup.change(|standing| {
            *standing = Standing { subscribed: all, was_up: true, was_ever_up: true, end: String::new() };
        });
        self.state = State::Open;
    }

    fn due(&mut self, now: Now) {
        let late = |what: &str| Refusal {
            code: Code::Timeout,
            what: what.to_owned(),
            want: "a broker that answers within 10 s".to_owned(),
        };
        match self.state {
            State::Greeting(by) if now.time >= by => self.end(late("no CONNACK")),
            State::Subscribing(by) if now.time >= by => self.end(late("no SUBACK")),
            State::Entering | State::Greeting(_) | State::Closed => {}
            State::Subscribing(_) | State::Open => {
                if self.pinged.is_some_and(|pinged| now.time >= pinged.plus(PONG_WITHIN)) {
                    // While something waits for its commit the socket may be left unread.
                    if !self.custody.is_waiting() {
                        return self.end(late("the broker is silent"));
                    }
                    self.pinged = Some(now.time);
                }
                if now.time >= self.ping_due() {
                    self.say(BytesMut::from(&PINGREQ[..]), now);
                    self.pinged.get_or_insert(now.time);
                }
            }
        }
    }

    fn ping_due(&self) -> Time {
        self.said.plus(self.setup.broker.keepalive.0 / 2)
    }

    /// Ends an input.
    fn finish(&mut self, result: Result<(), Refusal>, now: Now) {
        if let Err(refusal) = result {
            // What was not asked for is not acknowledged either, and comes again.
            return self.end(refusal);
        }
        self.ask_all();
        let bytes = self.custody.take_bytes();
        self.say(bytes, now);
    }

    fn ask_all(&mut self) {
        self.outputs.extend(std::iter::from_fn(|| self.custody.next_ask()).map(Output::Ask));
    }

    fn say(&mut self, bytes: BytesMut, now: Now) {
        if !bytes.is_empty() {
            self.outputs.push_back(Output::Bytes(bytes.freeze()));
            self.said = now.time;
        }
    }

    /// Ends the connection from our side. What is not acknowledged stays with the broker.
    fn end(&mut self, refusal: Refusal) {
        if self.state == State::Closed {
            return;
        }
        let mut out = self.custody.take_bytes();
        if self.state != State::Entering && refusal.code != Code::Malformed {
            out.put_slice(&DISCONNECT);
        }
        if !out.is_empty() {
            self.outputs.push_back(Output::Bytes(out.freeze()));
        }
        self.leave(refusal.code.name());
        self.close(refusal);
    }

    fn leave(&mut self, cause: &str) {
        // Its presence ends with it; it has no will.
        let cause = if cause == Code::ShuttingDown.name() { NORMAL } else { cause };
        self.outputs.push_back(Output::Ask(Ask::Leave { cause: cause.to_owned(), expiry_s: None }));
    }

    fn close(&mut self, refusal: Refusal) {
        self.down(format!("{}; want {}", refusal.what, refusal.want));
        self.outputs.push_back(Output::Close(refusal));
    }

    fn down(&mut self, end: String) {
        self.state = State::Closed;
        self.setup.meter.up.set(0);
        self.setup.change(|standing| standing.end = end);
    }
}

impl Door for Subscriber {
    fn handle(&mut self, input: Input, now: Now) {
        if self.state == State::Closed {
            return;
        }
        match input {
            Input::Bytes(bytes) => self.bytes(&bytes, now),
            Input::Tell(tell) => self.tell(tell, now),
            Input::Deadline => self.due(now),
            Input::Gone(cause) => {
                let before = match self.state {
                    State::Greeting(_) => " before CONNACK",
                    State::Entering | State::Subscribing(_) | State::Open | State::Closed => "",
                };
                self.leave(cause);
                self.down(format!("the connection ended{before}: {cause}"));
            }
            // A plain stream has no texts, what is said here is little, and a broker keeps no time for us.
            Input::Text(_) | Input::Room(_) | Input::Unheard => {}
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            State::Entering | State::Closed => None,
            State::Greeting(by) => Some(by),
            State::Subscribing(by) => Some(by.min(self.awake())),
            State::Open => Some(self.awake()),
        }
    }

    fn is_full(&self) -> bool {
        self.custody.is_full()
    }
}

impl Subscriber {
    fn awake(&self) -> Time {
        let pong_due = self.pinged.map(|pinged| pinged.plus(PONG_WITHIN));
        pong_due.map_or(self.ping_due(), |pong_due| pong_due.min(self.ping_due()))
    }
}

#[cfg(test)]
mod tests;
