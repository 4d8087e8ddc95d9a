//! The task that owns a core, and the handle by which others look at it.
//!
//! One turn: wait for the first of {storage, verifiers, links, doors, questions, deadline, shutdown}, turn what came
//! into inputs, let the core handle them, drain it, perform. The core never waits for anybody: doors are bounded
//! by their protocol, storage and verifiers by what the core lets in, links by their window.

use crate::{
    archive_news::ArchiveNews,
    giving::{Giving, Givings, Pull},
};
use riser_gate::{Caller, Directory, Policy, Verdict};
use riser_instance::{
    Core, Input as InstanceInput, Output as InstanceOutput, Wanted,
    core::{Input, Output},
};
use riser_model::{
    Audited, ConnectionId, Now, NumberMap, Read, Room, Selected, Seq,
    door::{Ask, Code, Push, Refusal, Tell},
    event::{Scope, SystemEvent},
};
use riser_net::{Arrival, Asked, CoreInbox, TellOutbox};
use riser_rooms::Input as RoomsInput;
use riser_shell::{
    clock::Clock,
    entropy,
    proofs::Verify,
    storage::{Answer, Storage},
    tables::{Change, Saver},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot, watch},
    task::AbortHandle,
};

/// What readers are given in one turn takes about so long at most, who is not behind and who is each. Whatever else comes
/// meanwhile goes first: two hundred who read the past would keep a publication waiting at each of its steps.
const GIVING_MAX: Duration = Duration::from_micros(100);
/// A delivery of more takes long to word, and is of the past: few are worded at once.
const LARGE_BYTES: usize = 8 * 1024;
/// Arrivals that one turn takes at most: enough to fill a batch, few enough that a deadline is met.
const ARRIVALS_MAX: usize = 256;
/// A farewell is pulled within this, or not at all.
const HEARD_WITHIN: Duration = Duration::from_millis(300);
const HEARD_LOOK_EVERY: Duration = Duration::from_millis(10);

/// Which listener lets in whom, by the listener's name.
pub type Policies = BTreeMap<Arc<str>, Arc<Policy>>;

/// Performs what a core wants of links' sockets. Must not wait.
pub trait Links<C: Core>: Send + 'static {
    /// Performs one output.
    fn perform(&mut self, output: C::LinkOutput);
}

/// Hears what happens, to count it. Must not wait.
pub trait Watch: Send + 'static {
    /// Storage answered.
    fn stored(&mut self, answer: &Answer);
    /// Somebody was refused at the gate or told to go.
    fn refused(&mut self, code: Code);
    /// Something was done at a gate that somebody may have to answer for.
    fn audited(&mut self, audited: Audited);
}

/// What a host is made of.
pub struct Parts<C: Core, L: Links<C>, W: Watch> {
    /// The core.
    pub core: C,
    /// What the doors ask.
    pub inbox: CoreInbox,
    /// Who may enter where. Others may watch how that changes.
    pub policies: watch::Sender<Policies>,
    /// The log's threads.
    pub storage: Storage,
    /// What channels retain, beside the log.
    pub retained: Saver,
    /// What they answer.
    pub answers: mpsc::UnboundedReceiver<Answer>,
    /// What links' sockets bring.
    pub link_inputs: mpsc::Receiver<C::LinkInput>,
    /// Where the core's wishes for links go.
    pub links: L,
    /// Verifies what gates want verified, off this task.
    pub verifier: Arc<dyn Verify>,
    /// Where errands go. Their answers come back as an order.
    pub errands: mpsc::Sender<(ConnectionId, Box<Wanted>)>,
    /// Hears of every commit and refusal, for the metrics.
    pub watch: W,
    /// The public key of this instance, as text: what devices sign names it.
    pub identity: Arc<str>,
    /// The two clocks.
    pub clock: Clock,
}

type Question<C> = Box<dyn FnOnce(&mut C, Now) + Send>;

enum Order<C> {
    Ask(Question<C>),
    Change { directory: Arc<Directory>, rooms: Vec<Room>, done: oneshot::Sender<()> },
    Shutdown,
}

/// Reaches a running host from anywhere.
pub struct HostHandle<C> {
    orders: mpsc::UnboundedSender<Order<C>>,
}

impl<C> Clone for HostHandle<C> {
    fn clone(&self) -> Self {
        Self { orders: self.orders.clone() }
    }
}

impl<C: Core> HostHandle<C> {
    /// Asks the core something between two inputs. None when the host has ended.
    pub async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut C, Now) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let question: Question<C> = Box::new(move |core, now| {
            // Whoever asked may have gone.
            let _ = answer.send(ask(core, now));
        });
        self.orders.send(Order::Ask(question)).ok()?;
        answered.await.ok()
    }

    /// Accounts changed: listeners let in whom that directory knows from here on, and the core makes the rest of it true.
    /// Returns when it has. False when the host has ended.
    pub async fn change(&self, directory: Arc<Directory>, rooms: Vec<Room>) -> bool {
        let (done, is_done) = oneshot::channel();
        self.orders.send(Order::Change { directory, rooms, done }).is_ok() && is_done.await.is_ok()
    }

    /// Lets the core say that it goes down, and gives those who listen a moment to hear it, while their sockets
    /// are still served.
    pub async fn farewell(&self, say: impl FnOnce(&mut C, Now) + Send + 'static, is_heard: fn(&C) -> bool) {
        let heard = async {
            self.ask(say).await;
            while self.ask(move |core, _| is_heard(core)).await == Some(false) {
                tokio::time::sleep(HEARD_LOOK_EVERY).await;
            }
        };
        // Who is slower than that is told goodbye all the same.
        let _ = tokio::time::timeout(HEARD_WITHIN, heard).await;
    }

    /// Asks the core to finish: it takes nothing more, and the host ends when all of it is done.
    pub fn shut_down(&self) {
        // A host that has ended is shut down.
        let _ = self.orders.send(Order::Shutdown);
    }
}

/// The task that owns a core.
pub struct Host<C: Core, L: Links<C>, W: Watch> {
    parts: Parts<C, L, W>,
    doors: NumberMap<ConnectionId, Door>,
    verdicts: (mpsc::UnboundedSender<Judged>, mpsc::UnboundedReceiver<Judged>),
    orders: mpsc::UnboundedReceiver<Order<C>>,
    shutting_down: bool,
    /// Changes of what channels retain that are in the log only: everything before each is in the table with those
    /// before it.
    unsaved: VecDeque<Seq>,
    /// Up to here changes of what channels retain were handed out.
    seen: Seq,
    /// What readers asked for, and what was read for them, in the order in which it came.
    givings: Givings,
    archive_news: ArchiveNews,
}

/// A connection's door.
struct Door {
    tells: TellOutbox,
    address: IpAddr,
    /// What it has shown is being verified: whoever goes lets go of what that waits for.
    verifying: Option<AbortHandle>,
    /// What it was given last was large.
    is_behind: bool,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.verifying.iter().for_each(AbortHandle::abort);
    }
}

struct Judged {
    connection: ConnectionId,
    ticket: u64,
    verdict: Verdict,
}

enum Turn<C: Core> {
    Stored(Answer),
    Judged(Judged),
    Link(C::LinkInput),
    Arrived,
    Ordered(Order<C>),
    Deadline,
    /// Nothing came, readers wait, and one more may be given something large.
    Giving(Option<OwnedSemaphorePermit>),
}

impl<C: Core, L: Links<C>, W: Watch> Host<C, L, W> {
    /// A host, and the handle to it.
    pub fn new(parts: Parts<C, L, W>) -> (Self, HostHandle<C>) {
        let (sender, orders) = mpsc::unbounded_channel();
        let host = Self {
            parts,
            doors: NumberMap::default(),
            verdicts: mpsc::unbounded_channel(),
            orders,
            shutting_down: false,
            unsaved: VecDeque::new(),
            seen: Seq::ZERO,
            givings: Givings::new(1),
            archive_news: ArchiveNews::default(),
        };
        (host, HostHandle { orders: sender })
    }

    /// Runs until the core is drained after a shutdown. Returns the core, to say where it stopped.
    pub async fn run(mut self) -> C {
        let mut arrivals = Vec::with_capacity(ARRIVALS_MAX);
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        self.givings = Givings::new(workers);
        self.drain();
        while !(self.shutting_down && self.parts.core.is_drained()) {
            let turn = self.wait(&mut arrivals).await;
            if matches!(turn, Turn::Arrived) && arrivals.len() < ARRIVALS_MAX {
                // What came at the same moment is in other doors' hands: one turn of the runtime brings it into the
                // same commit. Without, it waits for the next.
                tokio::task::yield_now().await;
                let more = ARRIVALS_MAX - arrivals.len();
                self.parts.inbox.try_recv_many(&mut arrivals, more);
            }
            if matches!(turn, Turn::Giving(_)) {
                // Nothing is awaited in such a turn: whoever is on this thread has its own first.
                tokio::task::yield_now().await;
            }
            self.take(turn, &mut arrivals);
            self.meet_deadline();
            self.drain();
            self.give();
        }
        self.parts.core
    }

    async fn wait(&mut self, arrivals: &mut Vec<Arrival>) -> Turn<C> {
        let now = self.parts.clock.now().time;
        let deadline = self.parts.core.poll_timeout().into_iter().chain(self.givings.deadline(now)).min();
        let due = self.givings.due(now);
        let parts = &mut self.parts;
        tokio::select! {
            biased;
            Some(answer) = parts.answers.recv() => Turn::Stored(answer),
            Some(judged) = self.verdicts.1.recv() => Turn::Judged(judged),
            Some(input) = parts.link_inputs.recv() => Turn::Link(input),
            Some(order) = self.orders.recv() => Turn::Ordered(order),
            1.. = parts.inbox.recv_many(arrivals, ARRIVALS_MAX) => Turn::Arrived,
            turn = due => Turn::Giving(turn),
            () = parts.clock.sleep_until(deadline) => Turn::Deadline,
        }
    }

    fn take(&mut self, turn: Turn<C>, arrivals: &mut Vec<Arrival>) {
        let now = self.parts.clock.now();
        match turn {
            Turn::Stored(answer) => {
                self.stored(answer, now);
                while let Ok(answer) = self.parts.answers.try_recv() {
                    self.stored(answer, now);
                }
            }
            Turn::Judged(Judged { connection, ticket, verdict }) => {
                self.instance(InstanceInput::Verified { connection, ticket, verdict }, now);
            }
            Turn::Link(input) => self.parts.core.handle(Input::Link(input), now),
            Turn::Arrived => arrivals.drain(..).for_each(|arrival| self.arrived(arrival, now)),
            Turn::Ordered(Order::Ask(question)) => question(&mut self.parts.core, now),
            Turn::Ordered(Order::Change { directory, rooms, done }) => {
                let renewed = |policy: &Arc<Policy>| Arc::new(policy.renewed(&directory));
                self.parts.policies.send_modify(|policies| {
                    policies.values_mut().for_each(|policy| *policy = renewed(policy));
                });
                self.parts.core.handle(Input::Changed { directory, rooms }, now);
                // Whoever asked may have gone.
                let _ = done.send(());
            }
            Turn::Ordered(Order::Shutdown) => {
                self.shutting_down = true;
                self.parts.core.handle(Input::Shutdown, now);
            }
            Turn::Giving(turn) => self.givings.begin(turn),
            Turn::Deadline => {}
        }
    }

    /// However much comes: deadlines are met in every turn.
    fn meet_deadline(&mut self) {
        let now = self.parts.clock.now();
        if self.parts.core.poll_timeout().is_some_and(|deadline| deadline <= now.time) {
            self.parts.core.handle(Input::Deadline, now);
        }
    }

    /// Gives readers what they wait for, for a while.
    fn give(&mut self) {
        let mut now = self.parts.clock.now();
        let began = now.time;
        while now.time.since(began) < GIVING_MAX
            && let Some(pull) = self.givings.next_live()
        {
            now = self.given(Giving::Pull(pull), now);
        }
        let began = now.time;
        while now.time.since(began) < GIVING_MAX
            && let Some(giving) = self.givings.next_past(now.time)
        {
            now = self.given(giving, now);
        }
        self.givings.end(now.time);
    }

    fn given(&mut self, giving: Giving, now: Now) -> Now {
        match giving {
            Giving::Pull(Pull { connection, bytes, stands }) => {
                self.instance(InstanceInput::Ask { connection, ask: Ask::Pull { bytes, stands } }, now);
            }
            Giving::Routes(routes) => self.rooms(RoomsInput::ArchivedRoutes(routes), now),
            Giving::Read { ticket, found } => self.rooms(RoomsInput::Read { ticket, found }, now),
        }
        self.drain();
        self.parts.clock.now()
    }

    fn say_damaged(&mut self, files: u64, now: Now) {
        if files > 0 {
            self.say(SystemEvent::ArchiveDamaged { files }, now);
        }
    }

    fn say(&mut self, event: SystemEvent, now: Now) {
        self.rooms(RoomsInput::Event { scope: Scope::Instance, event }, now);
    }

    fn stored(&mut self, answer: Answer, now: Now) {
        self.parts.watch.stored(&answer);
        match answer {
            Answer::Persisted { ticket, .. } => {
                self.givings.on_its_way(now.time);
                self.rooms(RoomsInput::Persisted { ticket }, now);
            }
            Answer::Failed { ticket, code, .. } => self.rooms(RoomsInput::Failed { ticket, code }, now),
            Answer::Read { ticket, found: Selected { chunk, .. } } if ticket & FOR_LINK != 0 => {
                self.parts.core.handle(Input::ReadForLink { ticket: ticket & !FOR_LINK, chunk }, now);
            }
            Answer::Read { ticket, found } => self.givings.read(Giving::Read { ticket, found }),
            Answer::Trimmed { oldest, oldest_at, gaps } => {
                self.parts.core.handle(Input::Lost(gaps.clone()), now);
                self.rooms(RoomsInput::Trimmed { oldest, oldest_at, gaps }, now);
            }
            Answer::Archived { rooms, let_go, failing, .. } => {
                self.rooms(RoomsInput::Archived { rooms }, now);
                self.archive_news.of(let_go, failing).into_iter().for_each(|event| self.say(event, now));
            }
            Answer::ArchiveOpened { spans, amiss } => {
                self.rooms(RoomsInput::ArchiveOpened(spans), now);
                self.say_damaged(amiss, now);
            }
            Answer::ArchiveDamaged { volumes } => self.say_damaged(volumes, now),
            Answer::Routes(routes) => self.givings.read(Giving::Routes(routes)),
            Answer::Pasts(pasts) => self.rooms(RoomsInput::Pasts(pasts), now),
            Answer::Recovered => {}
            Answer::Saved { changes } => {
                self.unsaved.drain(..changes.min(self.unsaved.len()));
                self.parts.storage.hold_for_views(self.unsaved.front().copied());
            }
        }
    }

    fn arrived(&mut self, arrival: Arrival, now: Now) {
        match arrival {
            Arrival::Opened { connection, peer, tells } => {
                let door = Door { tells, address: peer.address.ip(), verifying: None, is_behind: false };
                self.doors.insert(connection, door);
                let policy = self.parts.policies.borrow().get(&peer.listener).cloned();
                let policy = policy.expect("every listener of doors was given a policy at the start");
                let (address, entropy) = (Some(peer.address.ip()), entropy::bytes());
                let caller = Caller {
                    address,
                    proxy: peer.proxy,
                    origin: peer.origin.clone(),
                    tls: peer.tls,
                    certificate: peer.certificate.clone(),
                    known: false,
                    entropy,
                    home: None,
                    instance: Arc::clone(&self.parts.identity),
                };
                self.instance(InstanceInput::Opened { connection, policy, caller }, now);
            }
            // It may come after what else its connection asks for: it says how much that takes, and nothing of what.
            Arrival::Asked(Asked { connection, ask: Ask::Pull { bytes, stands } }) => {
                let is_behind = self.doors.get(&connection).is_some_and(|door| door.is_behind);
                self.givings.pull(Pull { connection, bytes, stands }, is_behind);
            }
            Arrival::Asked(Asked { connection, ask }) => {
                self.instance(InstanceInput::Ask { connection, ask }, now);
            }
            Arrival::Closed { connection } => {
                self.doors.remove(&connection);
                self.instance(InstanceInput::Closed { connection }, now);
            }
        }
    }

    fn instance(&mut self, input: InstanceInput, now: Now) {
        self.parts.core.handle(Input::Instance(input), now);
    }

    fn rooms(&mut self, input: RoomsInput, now: Now) {
        self.instance(InstanceInput::Rooms(input), now);
    }

    fn drain(&mut self) {
        let now = self.parts.clock.now();
        while let Some(output) = self.parts.core.poll(now) {
            match output {
                Output::Instance(output) => self.perform(output),
                Output::ReadForLink { ticket, from, max_bytes } => {
                    self.parts.storage.read(ticket | FOR_LINK, Read::All { from, max_bytes });
                }
                Output::Link(output) => self.parts.links.perform(output),
            }
        }
    }

    fn perform(&mut self, output: InstanceOutput) {
        match output {
            InstanceOutput::Tell { connection, tell } => {
                let Some(door) = self.doors.get_mut(&connection) else { return };
                let is_large = is_large(&tell);
                // One that brings nothing says that the disk is asked: what comes then is of the past as before.
                if matches!(&tell, Tell::Deliver { pushes, .. } if !pushes.is_empty()) {
                    door.is_behind = is_large;
                }
                match is_large.then(|| self.givings.take_turn()).flatten() {
                    Some(turn) => door.tells.tell_in_turn(tell, turn),
                    None => door.tells.tell(tell),
                }
            }
            InstanceOutput::Persist { ticket, batch, connections } => {
                self.givings.on_its_way(self.parts.clock.now().time);
                self.parts.storage.persist(ticket, batch, connections);
            }
            InstanceOutput::Read { ticket, read } => self.parts.storage.read(ticket, read),
            InstanceOutput::Verify { connection, ticket, proof } => {
                let Some(door) = self.doors.get_mut(&connection) else { return };
                let (verdicts, verifier) = (self.verdicts.0.clone(), Arc::clone(&self.parts.verifier));
                let from = Some(door.address);
                let verifying = tokio::spawn(async move {
                    let verdict = verifier.verify(proof, from).await;
                    // The host may have ended meanwhile.
                    let _ = verdicts.send(Judged { connection, ticket, verdict });
                });
                // It awaits one verdict at a time: a former one has come, or comes too late.
                if let Some(former) = door.verifying.replace(verifying.abort_handle()) {
                    former.abort();
                }
            }
            InstanceOutput::Run { connection, wanted } => {
                let Err(why) = self.parts.errands.try_send((connection, wanted)) else { return };
                let now = self.parts.clock.now();
                self.instance(InstanceInput::Ran { connection, result: Err(not_run(&why)) }, now);
            }
            InstanceOutput::Archive(rooms) => self.parts.storage.archive(rooms),
            InstanceOutput::Count(rooms) => self.parts.storage.count(rooms),
            InstanceOutput::Retained(changes) => {
                if self.unsaved.is_empty() {
                    self.parts.storage.hold_for_views(Some(self.seen));
                }
                self.unsaved.push_back(self.seen);
                self.seen = changes.through.seq;
                let (through, rows) = (changes.through_row(), changes.rows().collect());
                self.parts.retained.save(Change { through, rows });
            }
            InstanceOutput::Audited(audited) => self.parts.watch.audited(audited),
            InstanceOutput::Refused { code } => self.parts.watch.refused(code),
            // Those are for the core that the instance is in, which has seen them.
            InstanceOutput::Done { .. } | InstanceOutput::Committed { .. } => {}
        }
    }
}

fn is_large(tell: &Tell) -> bool {
    let Tell::Deliver { pushes, .. } = tell else { return false };
    let bytes = |push: &Push| match push {
        Push::Publication(delivery) => delivery.content.body.len(),
        Push::Gap { .. } | Push::Wiped { .. } | Push::Through { .. } => 0,
    };
    pushes.iter().map(bytes).sum::<usize>() > LARGE_BYTES
}

fn not_run<T>(why: &mpsc::error::TrySendError<T>) -> Refusal {
    let (code, what, want) = match why {
        mpsc::error::TrySendError::Full(_) => {
            (Code::TooMany, "too many ask at once", "come back in a moment")
        }
        mpsc::error::TrySendError::Closed(_) => (
            Code::Denied,
            "accounts do not change here while it runs",
            "the hub, or this instance's configuration",
        ),
    };
    Refusal { code, what: what.to_owned(), want: want.to_owned() }
}

/// Marks the tickets of reads for links: the rooms' own count up from 0 and never come here.
const FOR_LINK: u64 = 1 << 63;

#[cfg(test)]
mod tests;
