//! The recipe of every connection: wait for the first of {told, asked, written, deadline, heard}, turn it into
//! one `Input`, let the door handle it, drain the door, perform.
//!
//! What holds whatever the door does: the core hears `Opened` first and `Closed` last, with a `Leave` before it
//! if there was an `Enter`; the socket is not read while an ask waits for the core, while too much waits to be
//! written, while too many tickets are open, or while the door is full; a peer that is not authenticated is read up to its allowance;
//! nobody's silence counts while it is not read from; whoever takes nothing is closed, and so is a WebSocket that does not answer a ping. Where the transport has to end a connection, it has the core's own word for
//! it ([`Tell::Refused`]) said to the door, so that each protocol words it its own way.
//!
//! Protocols are in the doors; what happens to an ask is the core's.

use crate::{
    entrance::{Limits, Visitor},
    inbox::{Arrival, Asker},
    pace::Pace,
    pipe::{BytePipe, Heard, Pipe},
    socket::Socket,
    stream::Stream,
    tells::{TICKETS_MAX, TellInbox, Told, tell_queue},
};
use bytes::Bytes;
use riser_model::{
    Time,
    door::{Ask, Code, Door, Input, Output, Refusal, Tell},
    look::Look,
};
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

mod deadlines;

use deadlines::{Silence, Timer};

/// Runs a door on a plain stream of bytes until the connection is over.
pub fn serve_door(stream: Stream, visitor: Visitor, door: Box<dyn Door>) -> impl Future<Output = ()> + Send {
    let allowance = Some(visitor.entrance.limits.unauthenticated_bytes_max);
    let counters = Arc::clone(&visitor.entrance.counters);
    serve_pipe(BytePipe(Socket::new(stream, Bytes::new(), allowance, counters)), visitor, door)
}

/// Runs a door on whatever carries its pieces. Not an async function, and nothing is moved about in it: every
/// idle connection pays for each copy that its future has room for.
pub(crate) fn serve_pipe(
    pipe: impl Pipe,
    visitor: Visitor,
    door: Box<dyn Door>,
) -> impl Future<Output = ()> + Send {
    let mut connection = Connection::new(pipe, visitor, door);
    async move {
        connection.drain();
        loop {
            let turn = poll_fn(|cx| connection.poll_turn(cx)).await;
            if connection.take(turn).is_break() {
                break;
            }
            tokio::task::coop::consume_budget().await;
        }
        // The core learns that it is over before the peer is waited for.
        connection.tells.close();
        poll_fn(|cx| connection.asker.poll_asked(cx)).await;
        connection.asker.finish();
        connection.farewell().await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// As usual.
    Open,
    /// The process ends: nothing more is heard, what was taken is finished until this time.
    Stopping(Time),
    /// The door has closed: what was said is written, until this time.
    Closing(Time),
    /// The socket is of no use any more.
    Gone,
}

/// What comes next.
enum Turn {
    Input(Input),
    Refused(Refusal),
    Gone(&'static str),
    Stop,
    /// Nothing for the door.
    Again,
    /// All that a closed door had said is written, or time is up.
    Over,
}

/// Who is not read from for so long is owed the time.
const UNHEARD: Duration = Duration::from_secs(1);

struct Connection<P> {
    door: Box<dyn Door>,
    pipe: P,
    asker: Asker,
    tells: TellInbox,
    told: VecDeque<Tell>,
    phase: Phase,
    tickets: u32,
    /// The transport has had its refusal worded; it does so once.
    refused: bool,
    /// The door knows that it may write.
    offered: bool,
    enter_by: Time,
    /// Since when what waits to be written has not moved, and how much was written until then.
    stalled: Option<(Time, u64)>,
    silence: Option<Silence>,
    /// What its principal publishes and subscribes to, once it is known.
    pace: Option<Arc<Pace>>,
    /// Until then nothing is read: its principal has published or subscribed to more than it may.
    paced: Option<Time>,
    /// The door has given up publications.
    has_dropped: bool,
    /// Since when nothing is read.
    deaf: Option<Time>,
    timer: Timer,
    visitor: Visitor,
}

impl<P: Pipe> Connection<P> {
    fn new(pipe: P, visitor: Visitor, door: Box<dyn Door>) -> Self {
        let entrance = &visitor.entrance;
        let (outbox, tells) = tell_queue();
        let connection = visitor.connection;
        let peer = Arc::clone(&visitor.peer);
        let asker =
            Asker::new(entrance.core.clone(), Arrival::Opened { connection, peer, tells: outbox.clone() });
        entrance.door_opened(connection, outbox);
        Self {
            door,
            pipe,
            asker,
            tells,
            told: VecDeque::new(),
            phase: Phase::Open,
            tickets: 0,
            refused: false,
            offered: false,
            enter_by: (entrance.clock)().time.plus(entrance.limits.first_frame()),
            stalled: None,
            silence: None,
            pace: None,
            paced: None,
            has_dropped: false,
            deaf: None,
            timer: Timer::default(),
            visitor,
        }
    }

    /// Picks the first thing that happened. Answers before new requests, so that acks of one commit leave in
    /// one write; writing before reading, so that a peer that does not read is not read from.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        if self.told.is_empty()
            && let Poll::Ready(told) = self.tells.poll_told(cx, &mut self.told)
        {
            match told {
                Told::Tell(tell) => return Poll::Ready(Turn::Input(Input::Tell(tell))),
                Told::Stop => return Poll::Ready(Turn::Stop),
                Told::Overrun => return Poll::Ready(self.overrun()),
            }
        }
        if let Some(tell) = self.told.pop_front() {
            return Poll::Ready(Turn::Input(Input::Tell(tell)));
        }
        self.told = VecDeque::new();
        let _ = self.asker.poll_asked(cx);
        let written = self.poll_write(cx);
        self.tells.done();
        if let Poll::Ready(turn) = written {
            return Poll::Ready(turn);
        }
        if let Poll::Ready(turn) = self.poll_deadline(cx) {
            return Poll::Ready(turn);
        }
        if !self.may_hear() {
            if self.deaf.is_none() {
                self.deaf = Some((self.visitor.entrance.clock)().time);
            }
            return Poll::Pending;
        }
        if let Some(since) = self.deaf.take()
            && (self.visitor.entrance.clock)().time.since(since) >= UNHEARD
        {
            return Poll::Ready(Turn::Input(Input::Unheard));
        }
        match self.pipe.poll_hear(cx) {
            Poll::Ready(heard) => Poll::Ready(match heard {
                Heard::Input(input) => Turn::Input(input),
                Heard::Nothing => Turn::Again,
                Heard::Refused(refusal) => self.broken(refusal),
                Heard::Gone(cause) => Turn::Gone(cause),
            }),
            Poll::Pending if self.pipe.socket().is_starved() && !self.asker.has_knocked() => {
                Poll::Ready(self.greedy())
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn may_hear(&mut self) -> bool {
        self.phase == Phase::Open
            && !self.refused
            && self.paced.is_none()
            && !self.asker.is_waiting()
            && self.tickets < TICKETS_MAX
            && !self.door.is_full()
            && self.pipe.socket().buffered() < self.visitor.entrance.limits.write_bytes_max
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        match self.pipe.socket().poll_drain(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Turn::Gone(crate::pipe::gone(&error))),
            Poll::Ready(Ok(())) => match self.phase {
                Phase::Closing(_) => Poll::Ready(Turn::Over),
                Phase::Open if !self.offered => {
                    self.offered = true;
                    let room = self.visitor.entrance.limits.write_bytes_max;
                    Poll::Ready(Turn::Input(Input::Room(u32::try_from(room).unwrap_or(u32::MAX))))
                }
                Phase::Open | Phase::Stopping(_) | Phase::Gone => Poll::Pending,
            },
        }
    }

    fn overrun(&self) -> Turn {
        self.visitor.entrance.counters.overrun.one();
        Turn::Refused(refusal(
            Code::TooSlow,
            "more was told than this connection takes".into(),
            "a reader that keeps up".into(),
        ))
    }

    fn broken(&self, refusal: Refusal) -> Turn {
        let counters = &self.visitor.entrance.counters;
        if refusal.code == Code::TooLarge { &counters.too_large } else { &counters.malformed }.one();
        Turn::Refused(refusal)
    }

    fn greedy(&self) -> Turn {
        self.visitor.entrance.counters.too_large.one();
        let most = self.visitor.entrance.limits.unauthenticated_bytes_max;
        Turn::Refused(refusal(
            Code::TooLarge,
            format!("{most} bytes and not yet a credential"),
            "a credential first".into(),
        ))
    }

    /// Performs a turn. Breaks when the connection is over.
    fn take(&mut self, turn: Turn) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        match turn {
            Turn::Again => {}
            Turn::Input(input) => self.handle(input),
            Turn::Refused(refusal) => self.refuse(refusal),
            Turn::Stop => self.stop(),
            Turn::Over => return Break(()),
            Turn::Gone(cause) => {
                self.lose(cause);
                return Break(());
            }
        }
        Continue(())
    }

    /// The socket is of no use any more. A door that has closed knows enough.
    fn lose(&mut self, cause: &'static str) {
        if !matches!(std::mem::replace(&mut self.phase, Phase::Gone), Phase::Closing(_)) {
            self.handle(Input::Gone(cause));
        }
    }

    fn handle(&mut self, input: Input) {
        match &input {
            Input::Tell(Tell::Entered { principal, .. }) => {
                let entrance = &self.visitor.entrance;
                let now = (entrance.clock)().time;
                let pace = entrance.paces.of(principal.client, now);
                let owes = pace.owes(&entrance.limits, now);
                self.pace = Some(pace);
                self.pipe.socket().lift_allowance();
                self.pace_until(owes);
            }
            Input::Tell(Tell::Stored { .. }) => self.tickets = self.tickets.saturating_sub(1),
            Input::Tell(
                Tell::Refused(_)
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
            )
            | Input::Bytes(_)
            | Input::Text(_)
            | Input::Room(_)
            | Input::Deadline
            | Input::Unheard
            | Input::Gone(_) => {}
        }
        if !matches!(self.phase, Phase::Closing(_)) {
            self.door.handle(input, (self.visitor.entrance.clock)());
            self.drain();
        }
        if matches!(self.phase, Phase::Stopping(_)) && self.tickets == 0 {
            self.stop();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.door.poll() {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        let speaks = matches!(self.phase, Phase::Open | Phase::Stopping(_));
        match output {
            Output::Ask(ask) => {
                if matches!(ask, Ask::Publish(_) | Ask::Release { .. } | Ask::HandOver { .. }) {
                    self.tickets += 1;
                }
                match &ask {
                    Ask::Publish(intake) => {
                        self.keep_pace(|pace, limits, now| pace.take(intake, limits, now))
                    }
                    Ask::Subscribe { .. } | Ask::Unsubscribe { .. } => {
                        self.keep_pace(|pace, limits, now| pace.take_subscription(limits, now));
                    }
                    Ask::Renew(_) => self.keep_pace(|pace, limits, now| pace.take_renewal(limits, now)),
                    Ask::Look { look, .. } => {
                        if let Look::Edit(edit) = &**look {
                            self.keep_pace(|pace, limits, now| pace.take_edit(edit, limits, now));
                        }
                    }
                    Ask::Dropped { refusal, count } => self.log_dropped(refusal, *count),
                    Ask::Visit { .. }
                    | Ask::Enter { .. }
                    | Ask::Answer(_)
                    | Ask::Leave { .. }
                    | Ask::Move { .. }
                    | Ask::Part
                    | Ask::Rooms
                    | Ask::KeepSession
                    | Ask::Delivered { .. }
                    | Ask::Decide { .. }
                    | Ask::Run(_)
                    | Ask::Release { .. }
                    | Ask::HandOver { .. }
                    | Ask::Settle { .. }
                    | Ask::Pause { .. }
                    | Ask::Pull { .. }
                    | Ask::Confirm { .. }
                    | Ask::Ticket { .. } => {}
                }
                self.asker.ask(ask);
            }
            Output::Bytes(bytes) if speaks => {
                self.pipe.say_bytes(bytes);
                self.offered = false;
            }
            Output::Text(text) if speaks => {
                self.pipe.say_text(text);
                self.offered = false;
            }
            Output::Texts(texts) if speaks => {
                self.pipe.say_texts(&texts);
                self.offered = false;
            }
            Output::Close(refusal) if speaks => self.close(Some(&refusal)),
            Output::Done if speaks => self.close(None),
            Output::Bytes(_) | Output::Text(_) | Output::Texts(_) | Output::Close(_) | Output::Done => {}
        }
    }

    /// Once for a connection loudly: what it goes on losing is counted.
    fn log_dropped(&mut self, refusal: &Refusal, count: u32) {
        let Refusal { code, what, want } = refusal;
        let (connection, code) = (self.visitor.connection.0, code.name());
        let address = &self.visitor.peer.address;
        if std::mem::replace(&mut self.has_dropped, true) {
            tracing::debug!(connection, %address, code, what, want, count, "publications were given up");
        } else {
            tracing::warn!(connection, %address, code, what, want, count, "publications were given up");
        }
    }

    fn keep_pace(&mut self, take: impl FnOnce(&Pace, &Limits, Time) -> Option<Time>) {
        let entrance = &self.visitor.entrance;
        let now = (entrance.clock)().time;
        self.pace_until(self.pace.as_ref().and_then(|pace| take(pace, &entrance.limits, now)));
    }

    fn pace_until(&mut self, until: Option<Time>) {
        // Who is under its rate again is read from as ever; a read that follows a wait at once is not.
        self.pipe.socket().read_little(until.is_some());
        let Some(until) = until else { return };
        if self.paced.replace(until).is_none() {
            self.visitor.entrance.counters.paced.one();
        }
    }

    fn close(&mut self, refusal: Option<&Refusal>) {
        // What is refused from here was counted when it was.
        if let Some(refusal) = refusal.filter(|_| !self.refused) {
            self.count_doors(refusal.code);
        }
        tracing::debug!(
            connection = self.visitor.connection.0,
            code = refusal.map_or("normal", |r| r.code.name()),
            what = refusal.map(|r| r.what.as_str()),
            "closing"
        );
        self.pipe.say_goodbye(refusal);
        let now = (self.visitor.entrance.clock)().time;
        self.phase = Phase::Closing(now.plus(self.visitor.entrance.limits.stop()));
    }

    /// A door's own deadline for the first frame, and its own bound on a message, count as those of the transport.
    fn count_doors(&self, code: Code) {
        let counters = &self.visitor.entrance.counters;
        if code == Code::Timeout && !self.asker.has_knocked() {
            counters.first_frame_late.one();
        }
        if code == Code::TooLarge {
            counters.too_large.one();
        }
    }

    /// Lets the last bytes arrive: a socket closed with something unread in it takes back what was written last.
    async fn farewell(&mut self) {
        let socket = self.pipe.socket();
        if self.phase == Phase::Gone {
            // The answer to a WebSocket's close, if it fits.
            return poll_fn(|cx| {
                let _ = socket.poll_drain(cx);
                Poll::Ready(())
            })
            .await;
        }
        let close = async {
            if poll_fn(|cx| socket.poll_shutdown(cx)).await.is_ok() {
                socket.discard().await;
            }
        };
        let _ = tokio::time::timeout(self.visitor.entrance.limits.linger(), close).await;
    }

    /// Has the door word a refusal. A door that does not close on one is closed.
    fn refuse(&mut self, refusal: Refusal) {
        if std::mem::replace(&mut self.refused, true) {
            return;
        }
        self.handle(Input::Tell(Tell::Refused(refusal.clone())));
        if matches!(self.phase, Phase::Open | Phase::Stopping(_)) {
            self.close(Some(&refusal));
        }
    }

    /// First waits until what was taken is on disk and said so, then sends the peer away.
    fn stop(&mut self) {
        let now = (self.visitor.entrance.clock)().time;
        match self.phase {
            Phase::Open if self.tickets > 0 => {
                self.phase = Phase::Stopping(now.plus(self.visitor.entrance.limits.stop()));
            }
            Phase::Open | Phase::Stopping(_) if !self.refused => self.refuse(refusal(
                Code::ShuttingDown,
                "the instance goes down".into(),
                "come back in a moment".into(),
            )),
            Phase::Open | Phase::Stopping(_) | Phase::Closing(_) | Phase::Gone => {}
        }
    }
}

fn refusal(code: Code, what: String, want: String) -> Refusal {
    Refusal { code, what, want }
}
