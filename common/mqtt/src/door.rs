//! The door itself: from the first byte to the last, one connection.
//!
//! It waits for CONNECT, asks to enter, and hands every packet to its [`Session`]. Whatever ends the connection
//! is worded here, once; after that nothing is heard or said.

use crate::{
    Config, Counters,
    answer::Welcome,
    auth::{self, Anew},
    connect::{self, BadConnect, Connect},
    fault::{ANSWER, Fault, PACKET_FOR_IT},
    frame::{Frame, Kind, Splitter},
    own::Own,
    peer::Peer,
    session::{End, Session},
    v4, v5,
};
use bytes::BytesMut;
use riser_model::{
    ClientId, Now, Time,
    door::{Ask, Code, Door, Input, Method, Output, Prompt, Refusal, SessionState, Tell},
};
use riser_wire::{
    close,
    entry::Publisher,
    limits::{FIRST_FRAME_DEADLINE, UNAUTHENTICATED_BYTES_MAX},
};
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// The MQTT door of one connection. See the crate.
#[derive(Debug)]
pub struct MqttDoor {
    config: Arc<Config>,
    counters: Arc<Counters>,
    entropy: u64,
    splitter: Splitter,
    /// What the peer said before it was let in, bytes.
    unauthenticated_bytes: usize,
    state: State,
    /// What the socket said it takes.
    room: u32,
    silence_max: Option<Duration>,
    deadline: Option<Time>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    /// CONNECT is to come.
    Greeting,
    /// The bus decides; what the peer says meanwhile is kept.
    Entering(Box<Connect>, Vec<u8>),
    /// The gate has asked; AUTH is to come.
    Asked(Box<Connect>, Method),
    Open(Box<Session>),
    Closed,
}

impl MqttDoor {
    /// The door of a connection that was accepted at this moment. `entropy` is drawn anew for each: it names
    /// the session of a client that has no id of its own.
    pub fn new(config: Arc<Config>, counters: Arc<Counters>, entropy: u64, now: Now) -> Self {
        Self {
            config,
            counters,
            entropy,
            splitter: Splitter::default(),
            unauthenticated_bytes: 0,
            state: State::Greeting,
            room: 0,
            silence_max: None,
            deadline: Some(now.time.plus(FIRST_FRAME_DEADLINE)),
            outputs: VecDeque::new(),
        }
    }

    fn bytes(&mut self, bytes: &[u8], now: Now) {
        match &mut self.state {
            State::Closed => {}
            State::Open(_) => self.packets(bytes, now),
            State::Greeting | State::Entering(..) | State::Asked(..) => {
                self.unauthenticated_bytes = self.unauthenticated_bytes.saturating_add(bytes.len());
                if self.unauthenticated_bytes > UNAUTHENTICATED_BYTES_MAX {
                    let want = "to wait for CONNACK before more";
                    return self
                        .end(Fault::too_large("too much before anybody is authenticated", want).into());
                }
                match &mut self.state {
                    State::Entering(_, kept) => kept.extend_from_slice(bytes),
                    State::Greeting | State::Asked(..) | State::Open(_) | State::Closed => {
                        self.packets(bytes, now);
                    }
                }
            }
        }
    }

    /// Takes every whole packet of the input.
    fn packets(&mut self, bytes: &[u8], now: Now) {
        let mut splitter = std::mem::take(&mut self.splitter);
        let mut input = bytes;
        let mut heard = false;
        let result = loop {
            let most = match &self.state {
                State::Greeting | State::Asked(..) => UNAUTHENTICATED_BYTES_MAX,
                State::Open(_) => self.config.packet_bytes_max as usize,
                State::Entering(_, kept) if kept.is_empty() && !input.is_empty() => {
                    let rest = std::mem::take(&mut input);
                    self.keep(rest);
                    break Ok(());
                }
                State::Entering(..) | State::Closed => break Ok(()),
            };
            let expected = input.len();
            match splitter.next(&mut input, most) {
                Ok(Some(frame)) => {
                    heard = true;
                    if let Err(end) = self.packet(&frame, expected, now) {
                        break Err(end);
                    }
                }
                Ok(None) => break Ok(()),
                Err(fault) => break Err(End::Fault(fault)),
            }
        };
        self.splitter = splitter;
        if heard && let Some(silence_max) = self.silence_max {
            self.deadline = Some(now.time.plus(silence_max));
        }
        self.finish(result, now);
    }

    fn keep(&mut self, rest: &[u8]) {
        if let State::Entering(_, kept) = &mut self.state {
            kept.extend_from_slice(rest);
        }
    }

    fn packet(&mut self, frame: &Frame<'_>, expected: usize, now: Now) -> Result<(), End> {
        match &mut self.state {
            State::Greeting => self.greet(frame),
            State::Open(session) => session.packet(frame, expected, now),
            State::Asked(_, method) => {
                let method = *method;
                self.answered(frame, method)
            }
            State::Entering(..) | State::Closed => Ok(()),
        }
    }

    fn answered(&mut self, frame: &Frame<'_>, method: Method) -> Result<(), End> {
        if frame.head.kind != Kind::Auth {
            return Err(Fault::protocol("something else than AUTH", "AUTH 0x18 with the answer").into());
        }
        let answer = auth::answer(frame.body(), method)?;
        if let State::Asked(connect, _) = std::mem::replace(&mut self.state, State::Closed) {
            self.state = State::Entering(connect, Vec::new());
            self.outputs.push_back(Output::Ask(Ask::Answer(answer)));
        }
        Ok(())
    }

    /// The gate asks who is there. Who said in CONNECT how it answers is asked by AUTH; in the middle of any other CONNECT
    /// there is nobody to ask.
    fn prompt(&mut self, prompt: &Prompt) {
        let State::Entering(connect, kept) = &mut self.state else { return };
        let mut out = BytesMut::new();
        match prompt {
            Prompt::Challenge { method, nonce } if connect.method == Some(*method) && kept.is_empty() => {
                auth::challenge(&mut out, *method, nonce);
                self.outputs.push_back(Output::Bytes(out.freeze()));
                if let State::Entering(connect, _) = std::mem::replace(&mut self.state, State::Closed) {
                    self.state = State::Asked(connect, *method);
                }
            }
            Prompt::Challenge { .. } | Prompt::Knocked | Prompt::Words(_) => {
                let refusal = auth::asks_more("CONNECT");
                connect.peer.connect_refused(&mut out, v5::connect_code(refusal.code), &refusal);
                let cause = refusal.code.name().to_owned();
                self.outputs.push_back(Output::Ask(Ask::Leave { cause, expiry_s: None }));
                self.close(out, Output::Close(refusal));
            }
        }
    }

    fn greet(&mut self, frame: &Frame<'_>) -> Result<(), End> {
        if frame.head.kind != Kind::Connect {
            return Err(Fault::protocol("something else than CONNECT", "CONNECT first").into());
        }
        let connect = match connect::read(frame, &self.config, self.entropy) {
            Ok(connect) => connect,
            Err(bad) => {
                self.refuse_connect(bad);
                return Ok(());
            }
        };
        self.deadline = None;
        self.outputs.push_back(Output::Ask(Ask::Enter {
            credential: connect.credential.clone(),
            session: Some(Box::new(connect.session.clone())),
            room: None,
        }));
        self.state = State::Entering(Box::new(connect), Vec::new());
        Ok(())
    }

    fn refuse_connect(&mut self, bad: BadConnect) {
        let mut out = BytesMut::new();
        let refusal = match bad {
            BadConnect::UnknownVersion(refusal) => {
                v4::unknown_version(&mut out);
                refusal
            }
            BadConnect::Fault(peer, fault) => {
                let refusal = fault.refusal();
                // MQTT 3.1.1 has no code for it: the connection closes without CONNACK.
                if let Some(peer) = peer.filter(|peer| peer.version == crate::peer::Version::V5) {
                    peer.connect_refused(&mut out, v5::connect_code(fault.code), &refusal);
                }
                refusal
            }
            BadConnect::Refused(peer, reason, refusal) => {
                peer.connect_refused(&mut out, reason, &refusal);
                refusal
            }
        };
        self.close(out, Output::Close(refusal));
    }

    fn tell(&mut self, tell: Tell, now: Now) {
        match (&mut self.state, tell) {
            (State::Closed | State::Greeting, _) => {}
            (State::Entering(..), Tell::Entered { session, principal, .. }) => {
                self.enter(session, principal.client, now);
            }
            (State::Entering(connect, _) | State::Asked(connect, _), Tell::Refused(refusal)) => {
                let mut out = BytesMut::new();
                // To what will pass there is no CONNACK: some clients (MQTT.js) take any refusal for final and a
                // closed connection for a reason to come back.
                if close::after_ms(refusal.code).is_none() {
                    connect.peer.connect_refused(&mut out, v5::connect_code(refusal.code), &refusal);
                }
                self.close(out, Output::Close(refusal));
            }
            (State::Entering(..), Tell::Prompt(prompt)) => self.prompt(&prompt),
            // Nothing else was asked.
            (State::Entering(..) | State::Asked(..), _) => {}
            (State::Open(session), tell) => {
                let result = session.tell(tell);
                self.finish(result, now);
            }
        }
    }

    fn enter(&mut self, state: SessionState, client: ClientId, now: Now) {
        let State::Entering(connect, kept) = std::mem::replace(&mut self.state, State::Closed) else {
            return;
        };
        let mut out = BytesMut::new();
        connect.peer.connected(&mut out, self.welcome(&connect, state.present));
        if out.len() > connect.peer.packet_bytes_max as usize {
            // Nothing that fits would say it.
            let refusal = Fault::too_large(ANSWER, PACKET_FOR_IT).refusal();
            let cause = refusal.code.name().to_owned();
            self.outputs.push_back(Output::Ask(Ask::Leave { cause, expiry_s: None }));
            return self.close(BytesMut::new(), Output::Close(refusal));
        }
        self.outputs.push_back(Output::Bytes(out.freeze()));
        if connect.peer.old {
            self.splitter.is_old();
            self.counters.old_clients.add(1);
        }
        self.silence_max = connect.silence_max;
        self.deadline = self.silence_max.map(|silence_max| now.time.plus(silence_max));
        let expires = connect.session.expiry_s > 0;
        let (config, counters) = (Arc::clone(&self.config), Arc::clone(&self.counters));
        let own = Own { client, publisher: Publisher::of(&connect.session.id) };
        let anew = Anew::new(connect.method, connect.credential);
        let mut session = Box::new(Session::new((connect.peer, anew), config, counters, expires, own, state));
        session.room(self.room);
        self.state = State::Open(session);
        self.packets(&kept, now);
    }

    fn welcome(&self, connect: &Connect, present: bool) -> Welcome {
        Welcome {
            session_present: present && !connect.session.clean,
            receive_maximum: self.config.receive_maximum,
            packet_bytes_max: self.config.packet_bytes_max,
            topic_aliases_max: self.config.topic_aliases_max,
            expiry_s: connect.expiry_s,
            keepalive_s: connect.keepalive_s,
            assigned_id: connect.assigned_id.clone(),
            method: connect.method,
        }
    }

    fn due(&mut self, now: Now) {
        if let State::Open(session) = &mut self.state {
            session.due(now);
            // What is confirmed makes room.
            self.finish(Ok(()), now);
        }
        if self.deadline.is_none_or(|deadline| now.time < deadline) {
            return;
        }
        let (what, want) = match self.state {
            State::Greeting => ("no CONNECT", "CONNECT within 5 s"),
            State::Entering(..) | State::Asked(..) | State::Open(_) | State::Closed => {
                ("silent for 1.5 times the keepalive", "a packet within the keepalive")
            }
        };
        let reason = DisconnectReasonCode::KeepAliveTimeout;
        self.end(End::Fault(Fault { code: Code::Timeout, reason, what, want }));
    }

    /// Ends an input.
    fn finish(&mut self, result: Result<(), End>, now: Now) {
        let State::Open(session) = &mut self.state else {
            return if let Err(end) = result {
                self.end(end)
            };
        };
        let finished = session.finish(now);
        let bytes = if result.is_ok() && finished.is_ok() { session.take_bytes() } else { BytesMut::new() };
        self.ask_all();
        self.say(bytes);
        if let Err(end) = result.and(finished) {
            self.end(end);
        }
    }

    fn ask_all(&mut self) {
        if let State::Open(session) = &mut self.state {
            self.outputs.extend(std::iter::from_fn(|| session.next_ask()).map(Output::Ask));
        }
    }

    /// Ends the connection from our side.
    fn end(&mut self, end: End) {
        if matches!(self.state, State::Closed) {
            return;
        }
        let peer = self.peer();
        let mut out = match &mut self.state {
            State::Open(session) => session.take_bytes(),
            State::Greeting | State::Entering(..) | State::Asked(..) | State::Closed => BytesMut::new(),
        };
        let (cause, expiry_s, last) = match end {
            End::Fault(fault) => {
                let refusal = fault.refusal();
                self.last_word(peer, &mut out, fault.reason, &refusal);
                (fault.code.name(), None, Output::Close(refusal))
            }
            End::Refused(refusal) => {
                self.last_word(peer, &mut out, v5::disconnect_code(refusal.code), &refusal);
                (refusal.code.name(), None, Output::Close(refusal))
            }
            End::Left { cause, expiry_s } => (cause, expiry_s, Output::Done),
        };
        self.leave(cause, expiry_s);
        self.close(out, last);
    }

    /// DISCONNECT, or CONNACK where there was none yet.
    fn last_word(&self, peer: Option<Peer>, out: &mut BytesMut, reason: DisconnectReasonCode, why: &Refusal) {
        match (&self.state, peer) {
            (State::Open(_), Some(peer)) => peer.disconnect(out, reason, why),
            (State::Entering(..) | State::Asked(..), Some(peer)) => {
                peer.connect_refused(out, ConnectReturnCode::UnspecifiedError, why);
            }
            _ => {}
        }
    }

    fn peer(&self) -> Option<Peer> {
        match &self.state {
            State::Entering(connect, _) | State::Asked(connect, _) => Some(connect.peer),
            State::Open(session) => Some(session.peer()),
            State::Greeting | State::Closed => None,
        }
    }

    fn leave(&mut self, cause: &str, expiry_s: Option<u32>) {
        if let State::Open(session) = &mut self.state {
            session.leave();
            self.ask_all();
        }
        if matches!(self.state, State::Entering(..) | State::Asked(..) | State::Open(_)) {
            self.outputs.push_back(Output::Ask(Ask::Leave { cause: cause.to_owned(), expiry_s }));
        }
    }

    fn say(&mut self, bytes: BytesMut) {
        if !bytes.is_empty() {
            self.outputs.push_back(Output::Bytes(bytes.freeze()));
        }
    }

    fn close(&mut self, bytes: BytesMut, last: Output) {
        self.say(bytes);
        self.outputs.push_back(last);
        self.state = State::Closed;
        self.deadline = None;
    }
}

impl Door for MqttDoor {
    fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Bytes(bytes) => self.bytes(&bytes, now),
            Input::Text(_) => self.end(Fault::protocol("a text message", "MQTT in binary messages").into()),
            Input::Tell(tell) => self.tell(tell, now),
            Input::Room(bytes) => {
                self.room = bytes;
                if let State::Open(session) = &mut self.state {
                    session.room(bytes);
                    self.finish(Ok(()), now);
                }
            }
            Input::Deadline => self.due(now),
            Input::Unheard => {
                if let (State::Open(_), Some(silence_max)) = (&self.state, self.silence_max) {
                    self.deadline = Some(now.time.plus(silence_max));
                }
            }
            Input::Gone(cause) => {
                self.leave(cause, None);
                self.state = State::Closed;
                self.deadline = None;
            }
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let session = match &self.state {
            State::Open(session) => session.deadline(),
            State::Greeting | State::Entering(..) | State::Asked(..) | State::Closed => None,
        };
        [self.deadline, session].into_iter().flatten().min()
    }
}
