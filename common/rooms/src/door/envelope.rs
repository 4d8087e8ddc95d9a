//! The envelope door: many channels of one room on one connection, in JSON (`riser.v1.json`).
//!
//! `hello` comes first, within 5 s and 16 KiB; until it is answered nothing else may come. After that
//! requests are answered in whatever order the bus answers them, and pushes leave at the socket's pace. A
//! message that no reply could name (not an object, no id) closes the connection.

use super::{Place, refusal, tickets::TicketSeed};
use riser_model::{
    AccountName, ConnectionId, Now, Principal, Time,
    door::{Ask, Code, Credential, Door, Input, Output, Refusal, Tell},
};
use riser_wire::{
    client::{self, Channels, Hello, Op, Push, Request, Shown, Subscribe, Wrong},
    limits::{FIRST_FRAME_DEADLINE, UNAUTHENTICATED_BYTES_MAX},
};
use std::{collections::VecDeque, sync::Arc};

mod open;

use open::Open;

/// See the module.
#[derive(Debug)]
pub struct Envelope {
    place: Place,
    /// It came into a lobby, and whose it visits, if that is not its own account's.
    lobby: Option<Option<AccountName>>,
    seed: TicketSeed,
    phase: Phase,
    /// What the socket said it takes before the connection was let in.
    room: u32,
    out: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    /// Waits for `hello`.
    Greeting { until: Time },
    /// Waits for the bus to let it in.
    Entering { hello: u64, subscriptions: Vec<Subscribe>, events: bool },
    /// In.
    Open(Box<Open>),
    /// Nothing more comes or goes.
    Closed,
}

impl Envelope {
    /// A connection whose handshake was done at this moment. Its tickets are drawn from the seed.
    pub fn new(place: Place, seed: TicketSeed, now: Now) -> Self {
        let until = now.time.plus(FIRST_FRAME_DEADLINE);
        Self { place, lobby: None, seed, phase: Phase::Greeting { until }, room: 0, out: VecDeque::new() }
    }

    /// A connection that was let into a lobby, as a visitor or not, by a `hello` with this id and these subscriptions. What
    /// the system says it hears by name only.
    pub(super) fn in_lobby(
        place: Place,
        seed: TicketSeed,
        (principal, connection, visits): (Arc<Principal>, ConnectionId, Option<AccountName>),
        (hello, subscriptions): (u64, Vec<Subscribe>),
        room: u32,
        now: Now,
    ) -> Self {
        let phase = Phase::Entering { hello, subscriptions, events: false };
        let mut envelope = Self { place, lobby: Some(visits), seed, phase, room, out: VecDeque::new() };
        envelope.entered(principal, connection, now);
        envelope
    }

    fn text(&mut self, text: &str, now: Now) {
        match &mut self.phase {
            Phase::Greeting { .. } => self.first(text),
            Phase::Entering { hello, .. } => {
                let hello = *hello;
                self.answer(hello, text);
            }
            Phase::Open(open) => match Request::read(text) {
                // As much as of who comes.
                Ok(Request { id: Some(id), op: Op::Renew(_) }) if text.len() > UNAUTHENTICATED_BYTES_MAX => {
                    let want = format!("at most {UNAUTHENTICATED_BYTES_MAX} bytes");
                    self.error(id, &refusal(Code::TooLarge, "a credential that is too large", &want));
                }
                Ok(request) => open.request(&mut self.place, request, now, &mut self.out),
                Err(Wrong { id: Some(id), refusal }) => self.error(id, &refusal),
                Err(Wrong { id: None, refusal }) => {
                    self.out.push_back(Output::Text(client::error(None, &refusal)));
                    self.close(&refusal);
                }
            },
            Phase::Closed => {}
        }
    }

    fn first(&mut self, text: &str) {
        if text.len() > UNAUTHENTICATED_BYTES_MAX {
            let want = format!("at most {UNAUTHENTICATED_BYTES_MAX} bytes before the connection is let in");
            return self.close(&refusal(Code::TooLarge, "a hello that is too large", &want));
        }
        let (id, result) = match Request::read(text) {
            Ok(Request { id: Some(id), op: Op::Hello(hello) }) => (Some(id), self.enter(id, hello)),
            Ok(Request { id, .. }) => {
                (id, Err(refusal(Code::WrongState, "a request before hello", "hello as the first request")))
            }
            Err(wrong) => (wrong.id, Err(wrong.refusal)),
        };
        if let Err(why) = result {
            self.out.push_back(Output::Text(client::error(id, &why)));
            self.close(&why);
        }
    }

    fn enter(&mut self, id: u64, hello: Hello) -> Result<(), Refusal> {
        let shown = match hello.credential {
            None => self.place.credential.clone(),
            Some(Shown::Token(token)) => Credential::Token(token),
            Some(Shown::Password { user, password }) => {
                Credential::Password { account: Some(self.place.account.clone()), user, password }
            }
            Some(Shown::Claim { user: name, method }) => {
                Credential::Claim { account: Some(self.place.account.clone()), name, method }
            }
        };
        let credential = self.place.admit(shown)?;
        let technical = |one: &Subscribe| matches!(one.channels, Channels::Technical(_));
        // Who asks for some of it gets what it asks for.
        let events = hello.events && !hello.subscriptions.iter().any(technical);
        self.phase = Phase::Entering { hello: id, subscriptions: hello.subscriptions, events };
        let room = Some(self.place.room.clone());
        self.out.push_back(Output::Ask(Ask::Enter { credential, session: None, room }));
        Ok(())
    }

    /// Nothing but answers to what the gate asks may come before the reply to hello.
    fn answer(&mut self, hello: u64, text: &str) {
        match Request::read(text) {
            Ok(Request { op: Op::Answer(proof), .. }) => {
                self.out.push_back(Output::Ask(Ask::Answer(proof)));
            }
            Ok(_) | Err(_) => {
                let what = "a message before the reply to hello that answers no challenge";
                let why = refusal(Code::WrongState, what, "wait for the reply to hello");
                self.error(hello, &why);
                self.close(&why);
            }
        }
    }

    fn tell(&mut self, tell: Tell, now: Now) {
        if let Tell::Refused(why) = tell {
            return self.refused(&why);
        }
        if let Tell::Prompt(prompt) = &tell {
            return self.out.push_back(Output::Text(Push::prompt(prompt).text()));
        }
        if let Tell::Entered { principal, connection, room, .. } = tell {
            if let Some(room) = room {
                self.place.room = room;
            }
            return self.entered(principal, connection, now);
        }
        let Phase::Open(open) = &mut self.phase else { return };
        match tell {
            Tell::Moved { room, result } => open.moved(&mut self.place, room, result, &mut self.out),
            tell => open.tell(&mut self.place, tell, &mut self.out),
        }
    }

    fn entered(&mut self, principal: Arc<Principal>, connection: ConnectionId, now: Now) {
        let Phase::Entering { hello, subscriptions, events } = &mut self.phase else { return };
        let (hello, subscriptions, events) = (*hello, std::mem::take(subscriptions), *events);
        if let Err(why) = self.place.holds(&principal) {
            self.error(hello, &why);
            return self.close(&why);
        }
        let lobby = self.lobby.clone();
        let mut open = Open::new(&self.place, (principal, connection), lobby, self.seed.clone(), now);
        open.takes(self.room, &mut self.out);
        open.begin(&self.place, (hello, subscriptions, events), &mut self.out);
        self.phase = Phase::Open(Box::new(open));
    }

    fn refused(&mut self, why: &Refusal) {
        if let Phase::Entering { hello, .. } = self.phase {
            self.error(hello, why);
            // The bus never had this connection: there is nothing to leave.
            self.bye(why);
        } else {
            if let Phase::Open(open) = &mut self.phase
                && let Some(renew) = open.take_renewal()
            {
                self.error(renew, why);
            }
            self.close(why);
        }
    }

    fn error(&mut self, id: u64, why: &Refusal) {
        self.out.push_back(Output::Text(client::error(Some(id), why)));
    }

    /// Leaves, says why and closes.
    fn close(&mut self, why: &Refusal) {
        if !matches!(self.phase, Phase::Closed) {
            self.leave(why.code.name());
            self.bye(why);
        }
    }

    fn leave(&mut self, cause: &str) {
        if matches!(self.phase, Phase::Entering { .. } | Phase::Open(_)) {
            self.out.push_back(Output::Ask(Ask::Leave { cause: cause.into(), expiry_s: None }));
        }
        self.phase = Phase::Closed;
    }

    fn bye(&mut self, why: &Refusal) {
        self.phase = Phase::Closed;
        self.out.push_back(Output::Text(Push::bye(why).text()));
        self.out.push_back(Output::Close(why.clone()));
    }

    fn deadline(&mut self, now: Now) {
        match &mut self.phase {
            Phase::Greeting { until } if now.time >= *until => {
                let want = format!("hello within {} s", FIRST_FRAME_DEADLINE.as_secs());
                self.close(&refusal(Code::Timeout, "no hello", &want));
            }
            Phase::Open(open) if now.time >= open.deadline() => open.ping(now, &mut self.out),
            Phase::Greeting { .. } | Phase::Entering { .. } | Phase::Open(_) | Phase::Closed => {}
        }
    }
}

impl Door for Envelope {
    fn handle(&mut self, input: Input, now: Now) {
        // After the close nothing follows.
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match input {
            Input::Text(text) => self.text(&text, now),
            Input::Bytes(_) => self.close(&refusal(
                Code::Malformed,
                "a binary message",
                "text messages, each one JSON object; bytes as data_b64",
            )),
            Input::Tell(tell) => self.tell(tell, now),
            Input::Room(bytes) => {
                self.room = bytes;
                if let Phase::Open(open) = &mut self.phase {
                    open.takes(bytes, &mut self.out);
                }
            }
            Input::Deadline => self.deadline(now),
            // Silence is the transport's to judge.
            Input::Unheard => {}
            Input::Gone(cause) => self.leave(cause),
        }
    }

    fn poll(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.out.pop_front() {
                return Some(output);
            }
            let Phase::Open(open) = &mut self.phase else { return None };
            if !open.go_on(&mut self.out) {
                return None;
            }
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        match &self.phase {
            Phase::Greeting { until } => Some(*until),
            Phase::Open(open) => Some(open.deadline()),
            Phase::Entering { .. } | Phase::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests;
