//! An envelope connection that was let in: what it asks, what it is told, and what it reads, in one room.

use crate::door::{
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
    AccountName, ConnectionId, Now, Position, Principal, Time,
    door::{self, Ask, Code, Output, Refusal, Tell, Texts, Wording},
};
use riser_wire::{
    client::{self, Channels, Done, Entered, Op, Publish, Push, Receipt, Request, Started, Subscribe},
    limits::CLIENT_PING_EVERY,
};
use std::{collections::VecDeque, sync::Arc};

mod going;

use going::Going;

/// What a message is longer than the body of its publication, as a rule.
const MESSAGE_BYTES: usize = 320;
/// By how much two wordings of one differ, as a rule.
const SPARE_BYTES: usize = 8;

/// A connection that was let in.
#[derive(Debug)]
pub(super) struct Open {
    principal: Arc<Principal>,
    connection: ConnectionId,
    in_lobby: bool,
    /// It hears what the system says wherever it is, but in a lobby.
    events: bool,
    visits: Option<AccountName>,
    hello: Option<HelloReply>,
    readers: Readers,
    publisher: Publisher,
    looks: Looks,
    pull: Pull,
    tickets: Tickets,
    verbs: Verbs,
    /// Where it is to be moved when nothing that it asked in its room is unanswered any more.
    going: Option<Going>,
    /// What the bus pushed last and is not said yet. It was asked for in bytes that the socket takes, and is worded at once.
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

impl Open {
    /// In its room, or in whose lobby.
    pub(super) fn new(
        place: &Place,
        (principal, connection): (Arc<Principal>, ConnectionId),
        lobby: Option<Option<AccountName>>,
        seed: TicketSeed,
        now: Now,
    ) -> Self {
        Self {
            principal,
            connection,
            in_lobby: lobby.is_some(),
            events: false,
            visits: lobby.flatten(),
            hello: None,
            readers: Readers::new(place.room.clone()),
            publisher: Publisher::new(place.room.clone()),
            looks: Looks::default(),
            pull: Pull::default(),
            tickets: Tickets::new(seed),
            verbs: Verbs::default(),
            going: None,
            ping_at: now.time.plus(CLIENT_PING_EVERY),
            unsaid: None,
            ping_due: false,
            deciding: VecDeque::new(),
        }
    }

    /// Subscribes to what `hello` named, which is answered when all of that is, and to what the system says.
    pub(super) fn begin(
        &mut self,
        place: &Place,
        (id, subscriptions, events): (u64, Vec<Subscribe>, bool),
        out: &mut VecDeque<Output>,
    ) {
        self.hello = Some(HelloReply { id, started: subscriptions.iter().map(|_| None).collect() });
        for (index, request) in subscriptions.into_iter().enumerate() {
            let sub = request.sub;
            let asked = match self.visits.is_some() && !is_for_visitors(&request) {
                true => Err(visiting()),
                false => self.readers.subscribe(Asked::Hello(index), request),
            };
            match asked {
                Ok(ask) => out.push_back(Output::Ask(ask)),
                Err(why) => self.started(Asked::Hello(index), Started { sub, result: Err(why) }, out),
            }
        }
        self.events = events;
        if events {
            out.push_back(Output::Ask(self.readers.listen()));
        }
        self.greet(place, out);
    }

    /// The socket takes so many bytes.
    pub(super) fn takes(&mut self, bytes: u32, out: &mut VecDeque<Output>) {
        self.pull.room(bytes);
        out.extend(self.looks.taken().map(Output::Ask));
        self.pull(out);
    }

    /// The `renew` that is not answered, which is over with that.
    pub(super) fn take_renewal(&mut self) -> Option<u64> {
        self.verbs.renewed()
    }

    /// When it wants to be asked whether it is still there.
    pub(super) fn deadline(&self) -> Time {
        self.ping_at
    }

    pub(super) fn request(
        &mut self,
        place: &mut Place,
        request: Request<'_>,
        now: Now,
        out: &mut VecDeque<Output>,
    ) {
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
            Op::Subscribe(request) if self.visits.is_some() && !is_for_visitors(&request) => Err(visiting()),
            Op::Renew(shown) => {
                self.verbs.renew(id.unwrap_or_default(), shown, &self.principal.account_name).map(|ask| {
                    out.push_back(Output::Ask(ask));
                    None
                })
            }
            // What a visitor may read and publish, the lobby's account says.
            ref op if self.visits.is_some() && !is_said_by_visitors(op) => Err(visiting()),
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
            Op::Leave => self.go_back(id.unwrap_or_default()).map(|()| None),
            Op::Answer(proof) => self.verbs.answer(proof).map(|ask| {
                out.push_back(Output::Ask(ask));
                None
            }),
            Op::Decide { connection, room, admit } => {
                let connection = ConnectionId(connection);
                self.deciding.push_back((connection, id.unwrap_or_default()));
                out.push_back(Output::Ask(Ask::Decide { connection, room, admit }));
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
        self.set_out(place, out);
    }

    fn publish(&mut self, id: Option<u64>, publish: &Publish<'_>, now: Now) -> Result<Ask, Refusal> {
        // A receipt is what QoS 1 calls an acknowledgement: those who read by MQTT get it as such.
        match publish {
            Publish::One(message) => self.publisher.publish(id, false, 1, std::slice::from_ref(message), now),
            Publish::Many(messages) => self.publisher.publish(id, true, 1, messages, now),
        }
    }

    pub(super) fn tell(&mut self, place: &mut Place, tell: Tell, out: &mut VecDeque<Output>) {
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
            Tell::Renewed { principal } => {
                self.principal = principal;
                let request = self.verbs.renewed();
                out.extend(request.map(|id| Output::Text(client::ok(Some(id), &Done::Plain {}))));
            }
            Tell::Rooms(rooms) => out.push_back(Output::Text(self.verbs.listed(&rooms))),
            Tell::Finished(result) => out.push_back(Output::Text(self.verbs.finished(result))),
            // Handled before.
            Tell::Entered { .. } | Tell::Refused(_) | Tell::Prompt(_) | Tell::Moved { .. } => {}
        }
        self.set_out(place, out);
        self.pull(out);
    }

    /// Says what was pushed, if anything. Whether there was something to do.
    pub(super) fn go_on(&mut self, out: &mut VecDeque<Output>) -> bool {
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
    pub(super) fn ping(&mut self, now: Now, out: &mut VecDeque<Output>) {
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

/// Whether it is about the lobby's channels, and not about what the system says there: who comes and goes is not a visitor's
/// to know.
fn is_for_visitors(request: &Subscribe) -> bool {
    matches!(request.channels, Channels::Filter(_))
}

/// What is done in channels, and said to the lobby's gate.
fn is_said_by_visitors(op: &Op<'_>) -> bool {
    matches!(
        op,
        Op::Publish(_) | Op::Subscribe(_) | Op::Unsubscribe { .. } | Op::Credit { .. } | Op::Answer(_)
    )
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
