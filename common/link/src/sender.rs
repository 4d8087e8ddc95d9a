//! The edge's end of one uplink: reads the edge's log from the hub's cursor on, sends it in order, and moves the
//! cursor when the hub says that its disk has it.
//!
//! It owns the cursor for its hub, the equation, the attempt to be connected and what is under way. What always
//! holds: it sends nothing past the log's last commit, and the cursor moves only to where a hub with the pinned
//! key confirmed. The log, the socket and the clock are the core's; a batch's making is [`packer`](crate::packer),
//! how much may be under way is [`window`](crate::window).
//!
//! The hub's end of a downlink is the same machine, [`Way::Down`]: where its names say hub, the edge is meant. What is
//! different there is in [`down`](self): nobody dials, and what is not for the edge costs the link nothing.
//!
//! One input, then [`Sender::poll`] until it is empty, then the next.

use crate::{
    backoff::Backoff,
    canary::Canary,
    chain::Chain,
    equation::{Equation, Tally},
    fork::Fork,
    former::Former,
    latest::Latest,
    packer::Table,
    presents::Presents,
    status::{Progress, Status},
    window::Unconfirmed,
};
use riser_model::{BootId, CursorKey, CursorValue, Epoch, HubIdentity, LogId, Now, PublicKey, Seq, Time};
use riser_wire::link::{Bytes, EdgeFrame, Hello, HubFrame, Nonce, Opening, Refused, RefusedCode};
use std::{collections::VecDeque, time::Duration};

mod down;
mod greeting;
mod input;
mod moving;
mod output;
mod session;

pub use input::{Config, Input, Opened, Way};
pub use output::{Down, LinkEvent, Output, Wake};
use session::Session;

/// Dialing includes TCP, TLS and the WebSocket handshake, each with a deadline of the socket's own.
const DIAL_DEADLINE: Duration = Duration::from_secs(15);
/// A hub that is alive and does not say Welcome waits for a commit or another connection, but not for ever.
const WELCOME_DEADLINE: Duration = Duration::from_secs(30);
/// A hub that is alive and does not confirm is left after this long: longer than the largest entry takes on
/// the slowest link that is worth the name.
const STALLED_AFTER: Duration = Duration::from_secs(120);
/// Asked for a new epoch again after this long.
const NEW_EPOCH_EVERY: Duration = Duration::from_secs(5);

/// Where the attempt to be connected stands.
#[derive(Debug)]
enum State {
    /// No connection; the next attempt is at that time.
    Down { retry_at: Time },
    /// Dialing.
    Dialing { since: Time },
    /// Connected; the hub speaks first.
    Listening { since: Time, binding: Bytes, nonce: Nonce },
    /// Hello was sent.
    Greeting(Box<Greeting>),
    /// Welcome came.
    Up(Box<Session>),
    /// The hub has other entries under the live epoch's name: nothing goes before there is a new one.
    Forked { asked_at: Time, from: Seq },
    /// Stopped for good.
    Stopped,
}

/// A Hello that waits for its Welcome.
#[derive(Debug)]
struct Greeting {
    /// What the Welcome has to prove; nothing on a downlink.
    proof: Option<Proof>,
    hello: Hello,
    sent_at: Now,
}

/// What a Welcome is signed over.
#[derive(Debug)]
struct Proof {
    key: PublicKey,
    hub: HubIdentity,
    hub_nonce: Nonce,
    binding: Bytes,
}

/// See the module.
#[derive(Debug)]
pub struct Sender {
    config: Config,
    log: LogId,
    boot: BootId,
    chain: Chain,
    table: Table,
    /// The hub that was met last; a hub of the same key with another log is another.
    hub: Option<HubIdentity>,
    /// Its cursor. Another hub says itself how far it is, even one that was met before.
    cursor: Option<CursorValue>,
    equation: Equation,
    progress: Progress,
    latest: Latest,
    presents: Presents,
    canary: Canary,
    backoff: Backoff,
    state: State,
    attempt: u64,
    reads: u64,
    not_before: Time,
    heard_at: Time,
    pinged_at: Option<Time>,
    /// How many epochs before the cursor's the next Hello names: the hub may have lost them.
    greet_back: usize,
    /// Under way when the last connection ended: what a later cursor may confirm.
    left: Vec<Unconfirmed>,
    /// What a fork keeps from being delivered, until the hub's cursor has passed it.
    fork: Option<Fork>,
    former: Former,
    /// Whether nobody is above the hub, as it said last.
    topmost: bool,
    anchored_at: Option<Time>,
    /// When a downlink's cursor was last saved.
    saved_at: Time,
    stop_at: Option<Time>,
    outputs: VecDeque<Output>,
}

impl Sender {
    /// The sender of one link over an open log. An uplink's first attempt is due at once. A downlink without a cursor
    /// begins at the log's end.
    pub fn new(config: Config, opened: Opened, now: Now) -> Self {
        let chain = Chain::new(opened.chain);
        let former = Former::new(&opened.cursors, config.waits);
        let (hub, cursor) = match &config.way {
            Way::Up { hub: pinned, .. } => greeting::cursor(opened.cursors, *pinned),
            Way::Down => (None, down::cursor(opened.cursors, config.edge)),
        };
        let new = matches!(config.way, Way::Down) && cursor.is_none();
        let cursor =
            if new { Some(CursorValue { through: chain.last(), ..CursorValue::default() }) } else { cursor };
        let through = cursor.map_or(Seq::ZERO, |value| value.through).max(chain.first().prev());
        let mut sender = Self {
            equation: Equation::new(&chain, through, opened.gaps.iter().map(|gap| (gap.from, gap.to))),
            progress: Progress::new(through, chain.last(), now.time),
            latest: Latest::default(),
            presents: Presents::default(),
            canary: Canary::new(now.time),
            backoff: Backoff::new(config.seed),
            state: State::Down { retry_at: now.time },
            log: opened.log,
            boot: opened.boot,
            config,
            chain,
            table: Table::default(),
            hub,
            cursor,
            attempt: 0,
            reads: 0,
            not_before: now.time,
            heard_at: now.time,
            pinged_at: None,
            greet_back: 0,
            left: Vec::new(),
            fork: cursor.and_then(Fork::saved),
            former,
            topmost: hub.is_some() && cursor.is_some_and(|value| value.gapped > 0),
            anchored_at: None,
            saved_at: now.time,
            stop_at: None,
            outputs: VecDeque::new(),
        };
        if new {
            // What is published from here on is its due.
            sender.save(true, now);
        }
        sender
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Route { number, route, linked } => self.table.route(number, route, linked),
            Input::Origin { number, log, epoch, carried } => self.table.origin(number, (log, epoch), carried),
            Input::Ready { attempt } => self.ready(attempt, now),
            Input::Passed { first, last } => self.passed(first, last, now),
            Input::Present(present) => self.presents.show(present),
            Input::Stored { log, epoch, through } => self.presents.stored((log, epoch), through),
            Input::Ask { log, epoch } => self.ask_above(log, epoch),
            Input::Connected { attempt, binding, nonce } => self.connected(attempt, binding, nonce, now),
            Input::Frame { attempt, frame } => self.frame(attempt, frame, now),
            Input::Heard { attempt } => self.heard(attempt, now),
            Input::Disconnected { attempt } => {
                if attempt == self.attempt && self.connecting() {
                    self.down(Down::Gone, Duration::ZERO, now);
                }
            }
            Input::Added { first, last, entries } => self.added(first, last, entries, now),
            Input::Read { number, chunk } => self.read(number, chunk, now),
            Input::Lost(gap) => self.equation.lost(&self.chain, gap.from, gap.to),
            Input::Reopened(chain) => self.reopened(chain, now),
            Input::Forked => self.forked_elsewhere(),
            Input::RouteUp => self.route_up(now),
            Input::Shutdown(within) => self.stop_at = Some(now.time.plus(within)),
            Input::Deadline => {}
        }
        self.act(now);
    }

    /// What it wants done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When it wants [`Input::Deadline`], and why.
    pub fn poll_timeout(&self) -> Option<(Time, Wake)> {
        let of_state = match &self.state {
            // It is told when the edge is there.
            State::Down { .. } if self.is_downlink() => None,
            State::Down { retry_at } => Some(((*retry_at).max(self.not_before), Wake::Retry)),
            State::Dialing { since } => Some((since.plus(DIAL_DEADLINE), Wake::Handshake)),
            State::Listening { since, .. } => {
                Some((since.plus(riser_wire::limits::FIRST_FRAME_DEADLINE), Wake::Handshake))
            }
            State::Greeting(greeting) => {
                let welcome = (greeting.sent_at.time.plus(WELCOME_DEADLINE), Wake::Handshake);
                earlier(self.silence_due().map(|at| (at, Wake::Silence)), welcome)
            }
            State::Up(session) => {
                let silence = self.silence_due().map(|at| (at, Wake::Silence));
                let company = self.company_due(session);
                let read = self.read_due(session).or_else(|| self.former_due(session));
                [silence, self.latest_due(session), read, company, stall_due(session)]
                    .into_iter()
                    .flatten()
                    .fold(None, earlier)
            }
            State::Forked { asked_at, .. } => Some((asked_at.plus(NEW_EPOCH_EVERY), Wake::NewEpoch)),
            State::Stopped => return None,
        };
        let stop = self.stop_at.map(|at| (at, Wake::Shutdown));
        [self.canary_due().map(|at| (at, Wake::Canary)), stop].into_iter().flatten().fold(of_state, earlier)
    }

    /// The link's state.
    pub fn status(&self, now: Now) -> Status {
        let (last_added, last_synced) = (self.chain.last(), self.through());
        let drain_per_s = self.progress.drain_per_s(now.time);
        let lag = last_added.0.saturating_sub(last_synced.0);
        let bytes_per_s = match &self.state {
            State::Up(session) => session.window.rate(),
            State::Down { .. }
            | State::Dialing { .. }
            | State::Listening { .. }
            | State::Greeting(_)
            | State::Forked { .. }
            | State::Stopped => None,
        };
        Status {
            welcomed: matches!(self.state, State::Up(_)),
            since_flow: self.progress.since_flow(now.time),
            last_added,
            last_synced,
            oldest_waits: self.progress.oldest_waits(now.time),
            drain_per_s,
            drained_in: match drain_per_s {
                _ if lag == 0 => Some(Duration::ZERO),
                Some(rate) if rate > 0 => Some(Duration::from_secs(lag / rate)),
                Some(_) | None => None,
            },
            bytes_per_s,
            hub: self.hub,
            awaits: self.awaits(),
        }
    }

    /// The equation of each epoch.
    pub fn tallies(&self) -> impl Iterator<Item = (Epoch, Tally)> + '_ {
        self.equation.tallies()
    }

    /// The hub's cursor as it should be saved: everything up to here is confirmed.
    pub fn cursor(&self) -> Option<(CursorKey, CursorValue)> {
        let key = match self.config.way {
            Way::Up { .. } => CursorKey::Uplink(self.hub?),
            Way::Down => CursorKey::Downlink(self.config.edge),
        };
        Some((key, self.cursor?))
    }

    /// The epochs of logs below of which it shows something beside the backlog.
    pub fn presents(&self) -> impl Iterator<Item = (LogId, Epoch)> + '_ {
        self.presents.places()
    }

    fn through(&self) -> Seq {
        let through = self.cursor.map_or(Seq::ZERO, |value| value.through);
        through.max(self.chain.first().prev())
    }

    fn connecting(&self) -> bool {
        match self.state {
            State::Dialing { .. } | State::Listening { .. } | State::Greeting(_) | State::Up(_) => true,
            State::Down { .. } | State::Forked { .. } | State::Stopped => false,
        }
    }

    fn heard(&mut self, attempt: u64, now: Now) {
        if attempt == self.attempt {
            self.heard_at = now.time;
            self.pinged_at = None;
        }
    }

    fn frame(&mut self, attempt: u64, frame: HubFrame, now: Now) {
        if attempt != self.attempt || !self.connecting() {
            return;
        }
        self.heard(attempt, now);
        match frame {
            HubFrame::Nonce { hub, nonce } => self.nonce(hub, nonce, now),
            HubFrame::Welcome(welcome, signature) => self.welcome(*welcome, signature, now),
            HubFrame::Synced { epoch, through, refused } => self.synced(epoch, through, &refused, now),
            HubFrame::Refused(refused) => self.refused(refused, now),
            HubFrame::Above(above) => self.above(above, now),
            HubFrame::Reached { log, epoch, through } => self.reached((log, epoch), through, now),
            HubFrame::Ping(number) => self.send(EdgeFrame::Pong(number)),
            // Of the other direction: the core's.
            HubFrame::Pong(_) | HubFrame::Down(_) | HubFrame::GivenUp(_) | HubFrame::Tree(_) => {}
        }
    }

    fn refused(&mut self, refused: Refused, now: Now) {
        let after = Duration::from_millis(u64::from(refused.after_ms.unwrap_or(0)));
        let code = refused.code;
        self.emit(LinkEvent::Refused(refused));
        match code {
            RefusedCode::Forked => self.fork_refused(now),
            RefusedCode::Malformed
            | RefusedCode::WrongState
            | RefusedCode::TooLarge
            | RefusedCode::Version
            | RefusedCode::NotAuthorised
            | RefusedCode::OutOfOrder
            | RefusedCode::Clone
            | RefusedCode::Replaced
            | RefusedCode::LogFailing
            | RefusedCode::ShuttingDown
            | RefusedCode::Timeout
            | RefusedCode::TooMany
            | RefusedCode::Loop => {
                // An edge that takes nothing for a while keeps its way up.
                if !self.is_downlink() {
                    self.close();
                }
                self.down(Down::Refused(code), after, now);
            }
        }
    }

    fn added(&mut self, first: Seq, last: Seq, entries: Bytes, now: Now) {
        self.chain.added(last);
        self.equation.added(&self.chain, first, last);
        self.progress.added(first, now.time);
        if self.is_downlink() {
            return;
        }
        self.latest.added(first, entries);
        self.canary.added(last.0.saturating_sub(first.prev().0), now.time);
    }

    fn reopened(&mut self, chain: Vec<Opening>, now: Now) {
        self.chain = Chain::new(chain);
        self.equation = self.equation.relabelled(&self.chain);
        // What was renamed can be delivered.
        self.fork = self.fork.filter(|fork| fork.from() < self.chain.live().first);
        if self.connecting() {
            self.close();
            self.down(Down::Greeting, Duration::ZERO, now);
        }
        if !matches!(self.state, State::Stopped) {
            self.state = State::Down { retry_at: now.time };
        }
    }

    fn route_up(&mut self, now: Now) {
        if let State::Down { retry_at } = &mut self.state {
            *retry_at = now.time;
        }
    }

    /// What is due, in every state.
    fn act(&mut self, now: Now) {
        if self.stop_due(now) {
            self.stop(now);
        }
        match &self.state {
            State::Down { retry_at } => {
                if now.time >= (*retry_at).max(self.not_before) && !self.is_downlink() {
                    self.attempt += 1;
                    self.state = State::Dialing { since: now.time };
                    self.outputs.push_back(Output::Connect { attempt: self.attempt });
                }
            }
            State::Dialing { since } if now.time >= since.plus(DIAL_DEADLINE) => {
                self.fail(Down::DialTimeout, now);
            }
            State::Listening { since, .. }
                if now.time >= since.plus(riser_wire::limits::FIRST_FRAME_DEADLINE) =>
            {
                self.fail(Down::HandshakeTimeout, now);
            }
            State::Dialing { .. } | State::Listening { .. } | State::Stopped => {}
            State::Greeting(greeting) if now.time >= greeting.sent_at.time.plus(WELCOME_DEADLINE) => {
                self.fail(Down::HandshakeTimeout, now);
            }
            State::Greeting(_) => self.listen(now),
            State::Up(session) if stall_due(session).is_some_and(|(at, _)| now.time >= at) => {
                self.fail(Down::Stalled, now);
            }
            State::Up(_) => {
                self.listen(now);
                self.pump(now);
            }
            State::Forked { asked_at, from } => {
                if now.time >= asked_at.plus(NEW_EPOCH_EVERY) {
                    let from = *from;
                    self.state = State::Forked { asked_at: now.time, from };
                    self.outputs.push_back(Output::NewEpoch { from });
                }
            }
        }
        if self.canary_due().is_some_and(|at| now.time >= at) {
            self.canary.ordered();
            self.outputs.push_back(Output::AppendCanary);
        }
    }

    fn canary_due(&self) -> Option<Time> {
        let quiet = self.stop_at.is_none() && self.through() >= self.chain.last() && !self.is_downlink();
        self.canary.due().filter(|_| quiet && !matches!(self.state, State::Stopped))
    }

    /// A downlink's connection is watched by the receivers of the way up.
    fn silence_due(&self) -> Option<Time> {
        let after = match self.pinged_at {
            None => riser_wire::limits::LINK_PING_AFTER,
            Some(_) => riser_wire::limits::LINK_SILENT_AFTER,
        };
        (!self.is_downlink()).then(|| self.heard_at.plus(after))
    }

    /// Pings a silent hub, closes on a dead one.
    fn listen(&mut self, now: Now) {
        if self.silence_due().is_none_or(|due| now.time < due) {
            return;
        }
        if now.time >= self.heard_at.plus(riser_wire::limits::LINK_SILENT_AFTER) {
            self.fail(Down::Silent, now);
        } else {
            self.pinged_at = Some(now.time);
            self.send(EdgeFrame::Ping(now.time.0));
        }
    }

    fn stop_due(&self, now: Now) -> bool {
        let drained = match &self.state {
            State::Up(session) => session.window.is_empty() && self.through() >= self.chain.last(),
            // Forked: nothing goes before the log is opened anew.
            State::Down { .. } | State::Forked { .. } => true,
            State::Dialing { .. } | State::Listening { .. } | State::Greeting(_) | State::Stopped => false,
        };
        // Nobody waits for edges.
        let drained = drained || self.is_downlink();
        !matches!(self.state, State::Stopped) && self.stop_at.is_some_and(|at| drained || now.time >= at)
    }

    fn stop(&mut self, now: Now) {
        if self.is_downlink() {
            self.save(true, now);
        } else if matches!(self.state, State::Up(_)) {
            self.send(EdgeFrame::Bye { last_added: self.chain.last() });
        }
        if self.connecting() {
            self.close();
            self.down(Down::Stopped, Duration::ZERO, now);
        }
        self.state = State::Stopped;
        let (through, last) = (self.through(), self.chain.last());
        self.emit(LinkEvent::Stopped { through, queued: last.0.saturating_sub(through.0) });
    }

    /// The connection is over: what was under way may or may not have arrived.
    fn down(&mut self, why: Down, asked: Duration, now: Now) {
        if !asked.is_zero() {
            self.not_before = now.time.plus(asked);
        }
        let retry_at = now.time.plus(self.backoff.after_failure(asked));
        let before = std::mem::replace(&mut self.state, State::Down { retry_at });
        if let State::Up(session) = before {
            self.left = session.window.into_unconfirmed();
        }
        self.pinged_at = None;
        self.emit(LinkEvent::Down(why));
    }

    fn send(&mut self, frame: EdgeFrame) {
        self.outputs.push_back(Output::Send { attempt: self.attempt, frame });
    }

    fn close(&mut self) {
        self.outputs.push_back(Output::Close { attempt: self.attempt });
    }

    fn emit(&mut self, event: LinkEvent) {
        self.outputs.push_back(Output::Emit(event));
    }
}

fn stall_due(session: &Session) -> Option<(Time, Wake)> {
    session.window.waiting_since().map(|since| (since.plus(STALLED_AFTER), Wake::Stall))
}

fn earlier(best: Option<(Time, Wake)>, other: (Time, Wake)) -> Option<(Time, Wake)> {
    match best {
        Some(best) if best.0 <= other.0 => Some(best),
        Some(_) | None => Some(other),
    }
}
