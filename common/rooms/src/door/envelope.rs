//! The envelope door: many channels of one room on one connection, in JSON (`riser.v1.json`).
//!
//! `hello` comes first, within 5 s and 16 KiB; until it is answered nothing else may come. After that
//! requests are answered in whatever order the bus answers them, and pushes leave at the socket's pace. A
//! message that no reply could name (not an object, no id) closes the connection.

use super::{
    Place,
    looks::Looks,
    publisher::{Publisher, Waiting},
    pull::Pull,
    readers::{Asked, Readers},
    refusal,
    tickets::{TicketSeed, Tickets},
    verbs::Verbs,
    visiting,
};
use riser_model::{
    AccountName, ConnectionId, Now, Position, Principal, RoomName, Time,
    door::{self, Ask, Code, Credential, Door, Input, Output, Refusal, Tell, Texts, Wording},
};
use riser_wire::{
    client::{
        self, Channels, Done, Entered, Hello, Op, Publish, Push, Receipt, Request, Shown, Started, Subscribe,
        Wrong,
    },
    limits::{CLIENT_PING_EVERY, FIRST_FRAME_DEADLINE, UNAUTHENTICATED_BYTES_MAX},
};
use std::{collections::VecDeque, sync::Arc};

/// What a message is longer than the body of its publication, as a rule.
const MESSAGE_BYTES: usize = 320;
/// By how much two wordings of one differ, as a rule.
const SPARE_BYTES: usize = 8;

mod going;

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

/// A connection that was let in.
#[derive(Debug)]
struct Open {
    principal: Arc<Principal>,
    connection: ConnectionId,
    in_lobby: bool,
    visits: Option<AccountName>,
    hello: Option<HelloReply>,
    readers: Readers,
    publisher: Publisher,
    looks: Looks,
    pull: Pull,
    tickets: Tickets,
    verbs: Verbs,
    /// Where it is to be moved when nothing that it asked in its room is unanswered any more.
    going: Option<RoomName>,
    /// What the bus pushed last and is not said yet: it is worded as the socket takes it.
    unsaid: Option<Vec<door::Push>>,
    ping_at: Time,
    ping_due: bool,
    /// Decisions about those who knock that are not answered, with the requests they came in.
    deciding: VecDeque<(ConnectionId, u64)>,
}

/// The reply to `hello` while its subscriptions are being answered.
#[derive(Debug)]
struct HelloReply {
    id: u64,
    started: Vec<Option<Started>>,
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
                Ok(request) => open.request(&self.place, request, now, &mut self.out),
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
            tell => open.tell(&self.place, tell, &mut self.out),
        }
    }

    fn entered(&mut self, principal: Arc<Principal>, connection: ConnectionId, now: Now) {
        let Phase::Entering { hello, subscriptions, events } = &mut self.phase else { return };
        let (hello, subscriptions, events) = (*hello, std::mem::take(subscriptions), *events);
        if let Err(why) = self.place.holds(&principal) {
            self.error(hello, &why);
            return self.close(&why);
        }
        let mut open = Open {
            principal,
            connection,
            in_lobby: self.lobby.is_some(),
            visits: self.lobby.clone().flatten(),
            hello: Some(HelloReply { id: hello, started: subscriptions.iter().map(|_| None).collect() }),
            readers: Readers::new(self.place.room.clone()),
            publisher: Publisher::new(self.place.room.clone()),
            looks: Looks::default(),
            pull: Pull::default(),
            tickets: Tickets::new(self.seed.clone()),
            verbs: Verbs::default(),
            going: None,
            ping_at: now.time.plus(CLIENT_PING_EVERY),
            unsaid: None,
            ping_due: false,
            deciding: VecDeque::new(),
        };
        open.pull.room(self.room);
        for (index, request) in subscriptions.into_iter().enumerate() {
            let sub = request.sub;
            let asked = match &open.visits {
                Some(_) => Err(visiting()),
                None => open.readers.subscribe(Asked::Hello(index), request),
            };
            match asked {
                Ok(ask) => self.out.push_back(Output::Ask(ask)),
                Err(why) => {
                    open.started(Asked::Hello(index), Started { sub, result: Err(why) }, &mut self.out)
                }
            }
        }
        if events {
            self.out.push_back(Output::Ask(open.readers.listen()));
        }
        open.greet(&self.place, &mut self.out);
        self.phase = Phase::Open(Box::new(open));
    }

    fn refused(&mut self, why: &Refusal) {
        if let Phase::Entering { hello, .. } = self.phase {
            self.error(hello, why);
            // The bus never had this connection: there is nothing to leave.
            self.bye(why);
        } else {
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
            Phase::Open(open) if now.time >= open.ping_at => open.ping(now, &mut self.out),
            Phase::Greeting { .. } | Phase::Entering { .. } | Phase::Open(_) | Phase::Closed => {}
        }
    }
}

impl Open {
    fn request(&mut self, place: &Place, request: Request<'_>, now: Now, out: &mut VecDeque<Output>) {
        let id = request.id;
        let done = match request.op {
            Op::Hello(_) => {
                Err(refusal(Code::WrongState, "a second hello", "hello once, as the first request"))
            }
            Op::Ping => Ok(Some(Done::Plain {})),
            Op::Help => Ok(Some(Done::Seen(client::help()))),
            Op::Whoami => {
                out.push_back(Output::Text(self.whoami(place, id, Vec::new())));
                Ok(None)
            }
            _ if self.visits.is_some() => Err(visiting()),
            Op::Publish(_) | Op::Subscribe(_) | Op::Session | Op::Look(_) if self.verbs.is_moving() => {
                Err(refusal(Code::WrongState, "on the way to another room", "wait for the reply to move"))
            }
            Op::Session => {
                out.push_back(Output::Ask(Ask::KeepSession));
                self.publisher.keep_session(self.connection);
                Ok(Some(Done::Plain {}))
            }
            Op::Rooms => self.verbs.rooms(id.unwrap_or_default()).map(|ask| {
                out.push_back(Output::Ask(ask));
                None
            }),
            Op::Errand(errand) => self.verbs.run(id.unwrap_or_default(), errand).map(|ask| {
                out.push_back(Output::Ask(ask));
                None
            }),
            Op::Move { room } => self.go(id.unwrap_or_default(), room).map(|()| None),
            Op::Answer(proof) => self.verbs.answer(proof).map(|ask| {
                out.push_back(Output::Ask(ask));
                None
            }),
            Op::Decide { connection, admit } => {
                let connection = ConnectionId(connection);
                self.deciding.push_back((connection, id.unwrap_or_default()));
                out.push_back(Output::Ask(Ask::Decide { connection, admit }));
                Ok(None)
            }
            Op::Ticket => self.tickets.draw(id.unwrap_or_default()).map(|ask| {
                out.push_back(Output::Ask(ask));
                None
            }),
            Op::Look(looking) => self.looks.ask(id, looking, &place.room).map(|ask| {
                out.extend(ask.map(Output::Ask));
                None
            }),
            Op::Publish(publish) => self.publish(id, &publish, now).map(|ask| {
                out.push_back(Output::Ask(ask));
                None
            }),
            Op::Subscribe(subscribe) => {
                let asked = Asked::Request(id.unwrap_or_default());
                self.readers.subscribe(asked, subscribe).map(|ask| {
                    out.push_back(Output::Ask(ask));
                    None
                })
            }
            Op::Unsubscribe { sub } => self.readers.unsubscribe(id.unwrap_or_default(), sub).map(|ask| {
                out.push_back(Output::Ask(ask));
                None
            }),
            Op::Credit { sub, n } => {
                let before = out.len();
                let stays = !self.verbs.is_moving();
                let given = self.readers.credit(sub, n, stays, out);
                self.count_written(out, before);
                self.pull(out);
                given.map(|()| id.map(|_| Done::Plain {}))
            }
        };
        match done {
            Ok(Some(done)) => out.push_back(Output::Text(client::ok(id, &done))),
            Ok(None) => {}
            Err(why) => out.push_back(Output::Text(client::error(id, &why))),
        }
        self.greet(place, out);
        self.set_out(out);
    }

    fn publish(&mut self, id: Option<u64>, publish: &Publish<'_>, now: Now) -> Result<Ask, Refusal> {
        // A receipt is what QoS 1 calls an acknowledgement: those who read by MQTT get it as such.
        match publish {
            Publish::One(message) => self.publisher.publish(id, false, 1, std::slice::from_ref(message), now),
            Publish::Many(messages) => self.publisher.publish(id, true, 1, messages, now),
        }
    }

    fn tell(&mut self, place: &Place, tell: Tell, out: &mut VecDeque<Output>) {
        match tell {
            Tell::Stored { ticket, log, epoch, first, refused } => {
                let stored =
                    self.publisher.stored(ticket, first, refused, |seq| Position { log, epoch, seq });
                out.extend(stored.map(|(waiting, receipts)| Output::Text(receipt(waiting, receipts))));
            }
            Tell::Subscribed { subscription, result } => {
                if let Some((asked, started)) = self.readers.subscribed(subscription.0, result, out) {
                    self.started(asked, started, out);
                    self.greet(place, out);
                }
            }
            Tell::Unsubscribed { subscription } => {
                let request = self.readers.unsubscribed(subscription.0);
                out.extend(request.map(|id| Output::Text(client::ok(Some(id), &Done::Plain {}))));
            }
            Tell::Ticketed(result) => {
                out.extend(self.tickets.ticketed(result).map(Output::Text));
            }
            // MQTT's.
            Tell::System { .. } => {}
            Tell::Seen { id, result } => {
                let request = self.looks.answered(id);
                out.push_back(Output::Text(match result {
                    Ok(seen) => client::ok(request, &Done::Seen(client::seen(&place.room, &seen))),
                    Err(why) => client::error(request, &why),
                }));
            }
            Tell::Ready => self.pull.ready(),
            Tell::Deliver { pushes, more } => {
                self.pull.delivered(more);
                self.unsaid = Some(pushes);
                // While these are worded and written, the bus looks for what follows.
                if more && self.hello.is_none() && self.readers.hold_nothing() {
                    out.extend(self.pull.next(true).map(Output::Ask));
                }
                return;
            }
            Tell::Decided { connection, result } => {
                let place = self.deciding.iter().position(|(of, _)| *of == connection);
                if let Some((_, id)) = place.and_then(|place| self.deciding.remove(place)) {
                    out.push_back(Output::Text(match result {
                        Ok(()) => client::ok(Some(id), &Done::Plain {}),
                        Err(why) => client::error(Some(id), &why),
                    }));
                }
            }
            Tell::Rooms(rooms) => out.push_back(Output::Text(self.verbs.listed(&rooms))),
            Tell::Finished(result) => out.push_back(Output::Text(self.verbs.finished(result))),
            // Handled before.
            Tell::Entered { .. } | Tell::Refused(_) | Tell::Prompt(_) | Tell::Moved { .. } => {}
        }
        self.set_out(out);
        self.pull(out);
    }

    /// Says what was pushed, if anything. Whether there was something to do.
    fn go_on(&mut self, out: &mut VecDeque<Output>) -> bool {
        let Some(unsaid) = self.unsaid.take() else { return false };
        let (mut texts, mut asks) =
            (Texts::with_capacity(unsaid.len(), said_bytes(&unsaid)), VecDeque::new());
        for push in unsaid {
            self.readers.push(push, &mut texts, &mut asks);
        }
        self.pull.wrote(texts.bytes());
        out.extend((!texts.is_empty()).then_some(Output::Texts(texts)));
        out.append(&mut asks);
        if self.ping_due {
            self.say_ping(out);
        }
        self.pull(out);
        true
    }

    fn started(&mut self, asked: Asked, started: Started, out: &mut VecDeque<Output>) {
        match asked {
            Asked::Request(id) => {
                let text = match &started.result {
                    Ok(_) => client::ok(Some(id), &Done::Subscribed(started)),
                    Err(why) => client::error(Some(id), why),
                };
                out.push_back(Output::Text(text));
            }
            Asked::Hello(index) => {
                if let Some(place) = self.hello.as_mut().and_then(|hello| hello.started.get_mut(index)) {
                    *place = Some(started);
                }
            }
            Asked::Resume | Asked::Nobody => {}
        }
    }

    /// Answers `hello` once all its subscriptions are answered.
    fn greet(&mut self, place: &Place, out: &mut VecDeque<Output>) {
        let Some(hello) = self.hello.take_if(|hello| hello.started.iter().all(Option::is_some)) else {
            return;
        };
        let started = hello.started.into_iter().flatten().collect();
        out.push_back(Output::Text(if self.in_lobby {
            self.whoami(place, Some(hello.id), started)
        } else {
            self.in_room(place, hello.id, started)
        }));
        self.pull(out);
    }

    /// Who and where it is, as the answer to what brought it there.
    fn in_room(&self, place: &Place, id: u64, subscriptions: Vec<Started>) -> String {
        let entered = Done::Entered(Entered {
            account: &self.principal.account_name,
            room: &place.room,
            client: self.principal.client,
            name: &self.principal.name,
            connection: self.connection,
            ping_s: CLIENT_PING_EVERY.as_secs(),
            subscriptions,
        });
        client::ok(Some(id), &entered)
    }

    /// Pushes follow the reply to `hello`, which says from where they count.
    fn pull(&mut self, out: &mut VecDeque<Output>) {
        if self.hello.is_none() && self.readers.make_way(out) {
            out.extend(self.pull.next(self.readers.hold_nothing()).map(Output::Ask));
        }
    }

    /// A ping carries how far everything is. Of quiet subscriptions the bus says so only when it is asked, so
    /// the ping follows its answer.
    fn ping(&mut self, now: Now, out: &mut VecDeque<Output>) {
        self.ping_at = now.time.plus(CLIENT_PING_EVERY);
        // To a socket that takes nothing a ping would only be one more thing to hold.
        if self.pull.has_room() && self.hello.is_none() {
            self.ping_due = true;
            self.pull.ready();
            self.pull(out);
            if !self.pull.is_asked() {
                self.say_ping(out);
            }
        }
    }

    fn say_ping(&mut self, out: &mut VecDeque<Output>) {
        self.ping_due = false;
        let before = out.len();
        out.push_back(Output::Text(Push::Ping { through: self.readers.through() }.text()));
        self.count_written(out, before);
    }

    fn count_written(&mut self, out: &VecDeque<Output>, before: usize) {
        let size = |output: &Output| match output {
            Output::Text(text) => text.len(),
            Output::Texts(texts) => texts.bytes(),
            Output::Bytes(_) | Output::Ask(_) | Output::Close(_) | Output::Done => 0,
        };
        self.pull.wrote(out.iter().skip(before).map(size).sum());
    }
}

/// About how many bytes those make.
fn said_bytes(pushes: &[door::Push]) -> usize {
    let size = |push: &door::Push| match push {
        door::Push::Publication(delivery) => {
            match delivery.content.wording.as_ref().and_then(Wording::made) {
                Some(worded) => worded.text.len() + SPARE_BYTES,
                None => delivery.content.body.len() + MESSAGE_BYTES,
            }
        }
        door::Push::Gap { .. } | door::Push::Wiped { .. } | door::Push::Through { .. } => MESSAGE_BYTES,
    };
    pushes.iter().map(size).sum()
}

fn receipt(waiting: Waiting, mut receipts: Vec<Receipt>) -> String {
    if waiting.many {
        return client::ok(waiting.request, &Done::StoredMany { receipts });
    }
    match receipts.pop() {
        Some(Receipt(Err(why))) => client::error(waiting.request, &why),
        Some(stored) => client::ok(waiting.request, &Done::Stored(stored)),
        None => client::ok(waiting.request, &Done::Plain {}),
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
                    open.pull.room(bytes);
                    self.out.extend(open.looks.taken().map(Output::Ask));
                    open.pull(&mut self.out);
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
            Phase::Open(open) => Some(open.ping_at),
            Phase::Entering { .. } | Phase::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests;
