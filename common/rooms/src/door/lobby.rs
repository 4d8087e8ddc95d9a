//! The lobby for programs: the front door of the envelope protocol.
//!
//! `hello` first, as in a room, with a credential for whatever account; from then on it is [`Envelope`]'s, which knows the verbs
//! of [`VERBS`](riser_wire::client::VERBS), and whose channels in a lobby are those of the account's room of that name.
//!
//! A lobby at an address of somebody's (`/user/{name}`) is that account's, whose gate it asks. Whoever is of another account
//! is a *visitor* there: it may ask who it is and what it may say, and nothing else, and is answered alike whether there is
//! such an account or not.

use super::{Envelope, Place, TicketSeed, refusal, visitor};
use riser_model::{
    AccountName, Now, RoomName, Time,
    door::{Ask, Code, Credential, Door, Input, Output, Refusal, Tell},
};
use riser_wire::{
    client::{self, Hello, Op, Push, Request, Shown, Subscribe, Wrong},
    limits::{FIRST_FRAME_DEADLINE, UNAUTHENTICATED_BYTES_MAX},
};
use std::collections::VecDeque;

/// See the module.
#[derive(Debug)]
pub struct Lobby {
    phase: Phase,
    seed: TicketSeed,
    /// What the handshake showed.
    credential: Credential,
    anonymous: bool,
    /// Whose lobby it is, by name or UUID; the main one is everybody's.
    of: Option<AccountName>,
    /// What the socket said it takes.
    room: u32,
    out: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    /// Waits for `hello`.
    Greeting { until: Time },
    /// Waits for the bus to let it in.
    Entering { hello: u64, subscriptions: Vec<Subscribe> },
    /// In the lobby, or in a room to which it went from there.
    Open(Box<Envelope>),
    /// Nothing more comes or goes.
    Closed,
}

impl Lobby {
    /// A program whose handshake was done at this moment, with whatever that showed, in the main lobby or somebody's.
    pub fn new(
        shown: Option<Credential>,
        of: Option<AccountName>,
        anonymous: bool,
        seed: TicketSeed,
        now: Now,
    ) -> Self {
        let phase = Phase::Greeting { until: now.time.plus(FIRST_FRAME_DEADLINE) };
        let credential = shown.unwrap_or(Credential::Anonymous);
        Self { phase, seed, credential, anonymous, of, room: 0, out: VecDeque::new() }
    }

    fn text(&mut self, text: &str) {
        if matches!(self.phase, Phase::Greeting { .. } | Phase::Entering { .. })
            && text.len() > UNAUTHENTICATED_BYTES_MAX
        {
            let want = format!("at most {UNAUTHENTICATED_BYTES_MAX} bytes before the connection is let in");
            return self.close(&refusal(Code::TooLarge, "a message that is too large", &want));
        }
        let request = match Request::read(text) {
            Ok(request) => request,
            Err(Wrong { id, refusal }) => {
                self.error(id, &refusal);
                return self.close(&refusal);
            }
        };
        match (&mut self.phase, request.op) {
            (Phase::Greeting { .. }, Op::Hello(hello)) => self.hello(request.id.unwrap_or_default(), hello),
            (Phase::Entering { .. }, Op::Answer(proof)) => {
                self.out.push_back(Output::Ask(Ask::Answer(proof)))
            }
            (Phase::Greeting { .. } | Phase::Entering { .. }, _) => {
                let why =
                    refusal(Code::WrongState, "a request before hello is answered", "hello, and its reply");
                self.error(request.id, &why);
                self.close(&why);
            }
            (Phase::Open(_) | Phase::Closed, _) => {}
        }
    }

    fn hello(&mut self, id: u64, hello: Hello) {
        let credential = match hello.credential {
            None => self.credential.clone(),
            Some(Shown::Token(token)) => Credential::Token(token),
            Some(Shown::Password { user, password }) => {
                Credential::Password { account: None, user, password }
            }
            Some(Shown::Claim { user: name, method }) => Credential::Claim { account: None, name, method },
        };
        if credential == Credential::Anonymous && !self.anonymous {
            let want = "account/user and password, a method, or a token";
            let why = refusal(Code::NotAuthorised, "no credential", want);
            self.error(Some(id), &why);
            return self.close(&why);
        }
        self.phase = Phase::Entering { hello: id, subscriptions: hello.subscriptions };
        self.out.extend(self.of.clone().map(|lobby| Output::Ask(Ask::Visit { lobby })));
        self.out.push_back(Output::Ask(Ask::Enter { credential, session: None, room: None }));
    }

    fn tell(&mut self, tell: Tell, now: Now) {
        match (&mut self.phase, tell) {
            (_, Tell::Prompt(prompt)) => self.out.push_back(Output::Text(Push::prompt(&prompt).text())),
            (Phase::Entering { hello, subscriptions }, Tell::Entered { principal, connection, .. }) => {
                let hello = (*hello, std::mem::take(subscriptions));
                let visits = visitor(self.of.as_ref(), &principal);
                let (account, credential) = (principal.account_name.clone(), Credential::Anonymous);
                let (room, anonymous) = (RoomName::lobby(), self.anonymous);
                let place = Place { account, room, credential, anonymous };
                let who = (principal, connection, visits);
                let envelope = Envelope::in_lobby(place, self.seed.clone(), who, hello, self.room, now);
                self.phase = Phase::Open(Box::new(envelope));
            }
            (Phase::Entering { hello, .. }, Tell::Refused(why)) => {
                let hello = *hello;
                self.error(Some(hello), &why);
                // The bus never had this connection: there is nothing to leave.
                self.bye(&why);
            }
            (_, Tell::Refused(why)) => self.close(&why),
            // Nothing else was asked.
            (Phase::Greeting { .. } | Phase::Entering { .. } | Phase::Open(_) | Phase::Closed, _) => {}
        }
    }

    fn error(&mut self, id: Option<u64>, why: &Refusal) {
        self.out.push_back(Output::Text(client::error(id, why)));
    }

    /// Leaves, says why and closes.
    fn close(&mut self, why: &Refusal) {
        if !matches!(self.phase, Phase::Closed) {
            self.leave(why.code.name());
            self.bye(why);
        }
    }

    fn leave(&mut self, cause: &str) {
        if matches!(self.phase, Phase::Entering { .. }) {
            self.out.push_back(Output::Ask(Ask::Leave { cause: cause.into(), expiry_s: None }));
        }
        self.phase = Phase::Closed;
    }

    fn bye(&mut self, why: &Refusal) {
        self.phase = Phase::Closed;
        self.out.push_back(Output::Text(Push::bye(why).text()));
        self.out.push_back(Output::Close(why.clone()));
    }
}

impl Door for Lobby {
    fn handle(&mut self, input: Input, now: Now) {
        match &mut self.phase {
            Phase::Open(envelope) => return envelope.handle(input, now),
            // After the close nothing follows.
            Phase::Closed => return,
            Phase::Greeting { .. } | Phase::Entering { .. } => {}
        }
        match input {
            Input::Text(text) => self.text(&text),
            Input::Bytes(_) => {
                let want = "text messages, each one JSON object";
                self.close(&refusal(Code::Malformed, "a binary message", want));
            }
            Input::Tell(tell) => self.tell(tell, now),
            Input::Room(bytes) => self.room = bytes,
            Input::Deadline => {
                if let Phase::Greeting { until } = self.phase
                    && now.time >= until
                {
                    let want = format!("hello within {} s", FIRST_FRAME_DEADLINE.as_secs());
                    self.close(&refusal(Code::Timeout, "no hello", &want));
                }
            }
            Input::Unheard => {}
            Input::Gone(cause) => self.leave(cause),
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front().or_else(|| match &mut self.phase {
            Phase::Open(envelope) => envelope.poll(),
            Phase::Greeting { .. } | Phase::Entering { .. } | Phase::Closed => None,
        })
    }

    fn poll_timeout(&self) -> Option<Time> {
        match &self.phase {
            Phase::Greeting { until } => Some(*until),
            Phase::Open(envelope) => envelope.poll_timeout(),
            Phase::Entering { .. } | Phase::Closed => None,
        }
    }

    fn is_full(&self) -> bool {
        match &self.phase {
            Phase::Open(envelope) => envelope.is_full(),
            Phase::Greeting { .. } | Phase::Entering { .. } | Phase::Closed => false,
        }
    }
}

#[cfg(test)]
#[path = "lobby_tests.rs"]
mod tests;
