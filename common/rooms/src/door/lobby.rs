//! The lobby for programs: the envelope protocol without a room, until the program is moved into one.
//!
//! `hello` first, as in a room; then the verbs of [`VERBS`](riser_wire::client::VERBS). Once it is moved, the connection is that
//! room's and speaks the envelope protocol there ([`Envelope`]), in which it may ask for another room.
//!
//! A lobby at an address of somebody's (`/user/{name}`) is that account's. Whoever is of another account is a *visitor* there:
//! it may ask who it is and what it may say, and nothing else, and is answered alike whether there is such an account or not.

use super::{Envelope, Place, TicketSeed, refusal, verbs::Verbs, visitor};
use riser_model::{
    AccountName, ConnectionId, Now, Principal, RoomName, Time,
    door::{Ask, Code, Credential, Door, Input, Output, Refusal, Tell},
};
use riser_wire::{
    client::{self, Done, Hello, InLobby, Op, Push, Request, Shown, Wrong},
    limits::{FIRST_FRAME_DEADLINE, UNAUTHENTICATED_BYTES_MAX},
};
use std::{collections::VecDeque, sync::Arc};

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
    Entering { hello: u64 },
    /// In the lobby.
    Open(Box<Open>),
    /// In a room.
    Room(Box<Envelope>),
    /// Nothing more comes or goes.
    Closed,
}

#[derive(Debug)]
struct Open {
    principal: Arc<Principal>,
    connection: ConnectionId,
    verbs: Verbs,
    /// It is in a lobby of an account that is not its own.
    visits: Option<AccountName>,
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
            Err(Wrong { id: Some(id), refusal }) if matches!(self.phase, Phase::Open(_)) => {
                return self.error(Some(id), &refusal);
            }
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
            (Phase::Open(open), op) => {
                let done = open.request(request.id.unwrap_or_default(), op, &mut self.out);
                if let Err(why) = done {
                    self.error(request.id, &why);
                }
            }
            (Phase::Room(_) | Phase::Closed, _) => {}
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
        let why = if !hello.subscriptions.is_empty() {
            refusal(Code::WrongState, "a subscription in the lobby", "subscriptions once you are in a room")
        } else if credential == Credential::Anonymous && !self.anonymous {
            refusal(Code::NotAuthorised, "no credential", "account/user and password, a method, or a token")
        } else {
            self.phase = Phase::Entering { hello: id };
            return self.out.push_back(Output::Ask(Ask::Enter { credential, session: None, room: None }));
        };
        self.error(Some(id), &why);
        self.close(&why);
    }

    fn tell(&mut self, tell: Tell, now: Now) {
        match (&mut self.phase, tell) {
            (_, Tell::Prompt(prompt)) => self.out.push_back(Output::Text(Push::prompt(&prompt).text())),
            (Phase::Entering { hello }, Tell::Entered { principal, connection, .. }) => {
                let hello = *hello;
                let visits = visitor(self.of.as_ref(), &principal);
                let open = Open { principal, connection, verbs: Verbs::default(), visits };
                self.out.push_back(Output::Text(open.whoami(hello)));
                self.phase = Phase::Open(Box::new(open));
            }
            (Phase::Entering { hello }, Tell::Refused(why)) => {
                let hello = *hello;
                self.error(Some(hello), &why);
                // The bus never had this connection: there is nothing to leave.
                self.bye(&why);
            }
            (_, Tell::Refused(why)) => self.close(&why),
            (Phase::Open(open), Tell::Rooms(rooms)) => {
                self.out.push_back(Output::Text(open.verbs.listed(&rooms)));
            }
            (Phase::Open(_), Tell::Moved { room, result }) => self.moved(room, result, now),
            (Phase::Open(open), Tell::Finished(result)) => {
                self.out.push_back(Output::Text(open.verbs.finished(result)));
            }
            // Nothing else was asked.
            (
                Phase::Greeting { .. }
                | Phase::Entering { .. }
                | Phase::Open(_)
                | Phase::Room(_)
                | Phase::Closed,
                _,
            ) => {}
        }
    }

    fn moved(&mut self, room: RoomName, result: Result<(), Refusal>, now: Now) {
        let Phase::Open(open) = &mut self.phase else { return };
        let Some(id) = open.verbs.arrived() else { return };
        if let Err(why) = result {
            return self.error(Some(id), &why);
        }
        let who = (Arc::clone(&open.principal), open.connection);
        let (account, credential) = (open.principal.account_name.clone(), Credential::Anonymous);
        let place = Place { account, room, credential, anonymous: self.anonymous };
        let envelope = Envelope::moved(place, self.seed.clone(), who, id, self.room, now);
        self.phase = Phase::Room(Box::new(envelope));
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
}

impl Open {
    fn request(&mut self, id: u64, op: Op<'_>, out: &mut VecDeque<Output>) -> Result<(), Refusal> {
        match op {
            Op::Ping => out.push_back(Output::Text(client::ok(Some(id), &Done::Plain {}))),
            Op::Whoami => out.push_back(Output::Text(self.whoami(id))),
            Op::Help => out.push_back(Output::Text(client::ok(Some(id), &Done::Seen(client::help())))),
            Op::Rooms | Op::Move { .. } | Op::Errand(_) if self.visits.is_some() => return Err(visiting()),
            Op::Errand(errand) => out.push_back(Output::Ask(self.verbs.run(id, errand)?)),
            Op::Rooms => out.push_back(Output::Ask(self.verbs.rooms(id)?)),
            Op::Move { room } => out.push_back(Output::Ask(self.verbs.go(id, room)?)),
            Op::Answer(proof) => out.push_back(Output::Ask(self.verbs.answer(proof)?)),
            Op::Hello(_)
            | Op::Subscribe(_)
            | Op::Unsubscribe { .. }
            | Op::Credit { .. }
            | Op::Publish(_)
            | Op::Decide { .. }
            | Op::Session
            | Op::Look(_)
            | Op::Ticket => {
                return Err(refusal(
                    Code::WrongState,
                    "not in the lobby",
                    "a verb of the lobby (help shows them), or move into a room first",
                ));
            }
        }
        Ok(())
    }

    fn whoami(&self, id: u64) -> String {
        let Principal { account_name: account, client, name, .. } = &*self.principal;
        let visits = self.visits.as_ref();
        let administers = visits.is_none() && self.principal.grants.administer();
        let (client, connection, room) = (*client, self.connection, None);
        let who = InLobby { account, client, name, connection, room, visits, administers };
        client::ok(Some(id), &Done::Lobby(who))
    }
}

fn visiting() -> Refusal {
    refusal(
        Code::Denied,
        "you are a visitor in this lobby",
        "whoami, help, or the main lobby (/) for the rooms of your own account",
    )
}

impl Door for Lobby {
    fn handle(&mut self, input: Input, now: Now) {
        match &mut self.phase {
            Phase::Room(envelope) => return envelope.handle(input, now),
            // After the close nothing follows.
            Phase::Closed => return,
            Phase::Greeting { .. } | Phase::Entering { .. } | Phase::Open(_) => {}
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
            Phase::Room(envelope) => envelope.poll(),
            Phase::Greeting { .. } | Phase::Entering { .. } | Phase::Open(_) | Phase::Closed => None,
        })
    }

    fn poll_timeout(&self) -> Option<Time> {
        match &self.phase {
            Phase::Greeting { until } => Some(*until),
            Phase::Room(envelope) => envelope.poll_timeout(),
            Phase::Entering { .. } | Phase::Open(_) | Phase::Closed => None,
        }
    }

    fn is_full(&self) -> bool {
        match &self.phase {
            Phase::Room(envelope) => envelope.is_full(),
            Phase::Greeting { .. } | Phase::Entering { .. } | Phase::Open(_) | Phase::Closed => false,
        }
    }
}

#[cfg(test)]
#[path = "lobby_tests.rs"]
mod tests;
