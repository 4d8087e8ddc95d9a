//! The core's inbox: what all connections ask of the one task that owns the core.
//!
//! It is bounded by bytes. A connection whose ask finds no room waits in line, first come first served, and
//! does not read its socket meanwhile: that is how a slow disk is felt by those who publish. The core never
//! waits for a connection, so the line always moves.

use crate::{entrance::Peer, tells::TellOutbox};
use riser_model::{
    ConnectionId,
    door::{Ask, Target, Want},
};
use riser_wire::limits::UNAUTHENTICATED_BYTES_MAX;
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::{
    AcquireError, OwnedSemaphorePermit, Semaphore,
    mpsc::{self, UnboundedReceiver, UnboundedSender},
};

/// One ask and who asks.
#[derive(Debug)]
pub struct Asked {
    /// Who.
    pub connection: ConnectionId,
    /// What.
    pub ask: Ask,
}

/// What comes to the core from the sockets. For one connection always: `Opened`, any number of `Asked`, at least one (the
/// last of them `Leave`, if there was an `Enter`), `Closed`. Of who says nothing that is for the core it never hears.
#[derive(Debug)]
pub enum Arrival {
    /// A door stands open. Nothing is owed to it until it asks.
    Opened {
        /// Its id, never used again.
        connection: ConnectionId,
        /// Who is behind it, as far as the socket knows.
        peer: Arc<Peer>,
        /// Where to tell it something.
        tells: TellOutbox,
    },
    /// It asks.
    Asked(Asked),
    /// It is gone, and so is whatever is still told to it.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
}

struct Parcel {
    arrival: Arrival,
    cost: u32,
}

/// A core's inbox that holds at most about so many bytes.
pub fn core_inbox(bytes_max: u32) -> (CoreHandle, CoreInbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let space = Arc::new(Semaphore::new(bytes_max as usize));
    let handle = CoreHandle { sender, space: Arc::clone(&space), bytes_max };
    (handle, CoreInbox { receiver, space, taken: Vec::new() })
}

/// The way into a core's inbox. Cheap to clone.
#[derive(Clone)]
pub struct CoreHandle {
    sender: UnboundedSender<Parcel>,
    space: Arc<Semaphore>,
    bytes_max: u32,
}

impl CoreHandle {
    /// Says something that takes no space: openings, leaves and closings are bounded by the number of
    /// connections, and must get through however full it is. A core that is gone hears nothing.
    pub fn say(&self, arrival: Arrival) {
        let _ = self.sender.send(Parcel { arrival, cost: 0 });
    }

    /// How many bytes are free.
    pub fn free(&self) -> usize {
        self.space.available_permits()
    }

    /// Asks if there is space, and gives the ask back if there is none.
    fn try_ask(&self, connection: ConnectionId, ask: Ask) -> Option<Ask> {
        let cost = cost(&ask).min(self.bytes_max);
        let Ok(permit) = self.space.try_acquire_many(cost) else { return Some(ask) };
        permit.forget();
        let arrival = Arrival::Asked(Asked { connection, ask });
        let _ = self.sender.send(Parcel { arrival, cost });
        None
    }
}

/// What an ask weighs: its payload, and a flat sum for everything else it makes the core hold.
fn cost(ask: &Ask) -> u32 {
    const FLAT: usize = 256;
    let bytes = match ask {
        Ask::Publish(intake) => {
            intake.entries.len()
                + intake.aliases.iter().map(|(_, target)| FLAT + weigh(target)).sum::<usize>()
        }
        Ask::Release { ids, .. } => ids.len() * size_of::<u16>(),
        Ask::HandOver { sent, released, left, loose, done, shown, .. } => {
            ((sent.len() + left.len() + loose.len()) * 2 + released.len() + done.len()) * 32
                + shown.len() * FLAT
        }
        Ask::Settle { done, returned, .. } => (done.len() + returned.len()) * size_of::<u64>(),
        Ask::Delivered { at } => at.len() * 32,
        Ask::Dropped { refusal, .. } => refusal.what.len() + refusal.want.len(),
        Ask::Subscribe { want, .. } => match want {
            Want::Room(_, filter) => filter.as_str().len(),
            Want::Topic(topic) | Want::System(topic) => topic.len(),
            Want::Technical(technical) => technical.kinds.as_str().len(),
            Want::Shared(shared) => shared.filter.len() + shared.topic.len() + shared.own.len() * 32,
            Want::Positions(positions) => positions.len() * 32,
        },
        Ask::Enter { session, .. } => {
            session.as_ref().and_then(|s| s.will.as_ref()).map_or(0, |w| w.payload.len() + w.properties.len())
        }
        Ask::Answer(answer) => answer.0.len(),
        // A door takes no more of it than of who comes.
        Ask::Renew(_) => UNAUTHENTICATED_BYTES_MAX,
        Ask::Visit { lobby } => lobby.as_str().len(),
        Ask::Leave { .. } => return 0,
        Ask::Move { .. }
        | Ask::Part
        | Ask::Rooms
        | Ask::KeepSession
        | Ask::Decide { .. }
        | Ask::Run(_)
        | Ask::Unsubscribe { .. }
        | Ask::Pause { .. }
        | Ask::Pull { .. }
        | Ask::Look { .. }
        | Ask::Confirm { .. }
        | Ask::Ticket { .. } => 0,
    };
    u32::try_from(FLAT + bytes).unwrap_or(u32::MAX)
}

fn weigh(target: &Target) -> usize {
    match target {
        Target::Topic(topic) | Target::Device(topic) => topic.len(),
        Target::Channel(room, channel) => room.as_str().len() + channel.as_str().len(),
    }
}

/// The core's end.
pub struct CoreInbox {
    receiver: UnboundedReceiver<Parcel>,
    space: Arc<Semaphore>,
    taken: Vec<Parcel>,
}

impl CoreInbox {
    /// Waits for the next arrival and takes up to `count_max` of them, in order; none when nobody is left who
    /// could say anything. Space is free again as soon as they are taken: a core that cannot hold more does
    /// not call this. Cancel safe.
    pub async fn recv_many(&mut self, into: &mut Vec<Arrival>, count_max: usize) -> usize {
        let count = self.receiver.recv_many(&mut self.taken, count_max).await;
        self.hand_out(into);
        count
    }

    /// Takes up to `count_max` of what is there already.
    pub fn try_recv_many(&mut self, into: &mut Vec<Arrival>, count_max: usize) -> usize {
        while self.taken.len() < count_max {
            match self.receiver.try_recv() {
                Ok(parcel) => self.taken.push(parcel),
                Err(_) => break,
            }
        }
        let count = self.taken.len();
        self.hand_out(into);
        count
    }

    fn hand_out(&mut self, into: &mut Vec<Arrival>) {
        let free = self.taken.iter().map(|p| p.cost as usize).sum();
        into.extend(self.taken.drain(..).map(|p| p.arrival));
        self.space.add_permits(free);
    }
}

type Turn = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// One connection's place in front of the core's inbox: asks leave in order, and while one waits for space
/// the connection can do something else.
pub(crate) struct Asker {
    core: CoreHandle,
    connection: ConnectionId,
    /// That it opened; the core hears it before the first ask.
    opening: Option<Box<Arrival>>,
    waiting: VecDeque<Ask>,
    turn: Option<Turn>,
    entered: bool,
    left: bool,
    finished: bool,
}

impl Asker {
    /// For a connection that opened so.
    pub(crate) fn new(core: CoreHandle, opened: Arrival) -> Self {
        let (Arrival::Opened { connection, .. }
        | Arrival::Asked(Asked { connection, .. })
        | Arrival::Closed { connection }) = opened;
        Self {
            core,
            connection,
            opening: Some(Box::new(opened)),
            waiting: VecDeque::new(),
            turn: None,
            entered: false,
            left: false,
            finished: false,
        }
    }

    /// Asks now, or as soon as there is space and all earlier ones are gone.
    pub(crate) fn ask(&mut self, ask: Ask) {
        match &ask {
            Ask::Enter { .. } => self.entered = true,
            Ask::Leave { .. } if self.left => return,
            Ask::Leave { .. } => self.left = true,
            Ask::Visit { .. }
            | Ask::Answer(_)
            | Ask::Renew(_)
            | Ask::Move { .. }
            | Ask::Part
            | Ask::Rooms
            | Ask::KeepSession
            | Ask::Delivered { .. }
            | Ask::Dropped { .. }
            | Ask::Decide { .. }
            | Ask::Run(_)
            | Ask::Publish(_)
            | Ask::Release { .. }
            | Ask::HandOver { .. }
            | Ask::Settle { .. }
            | Ask::Subscribe { .. }
            | Ask::Unsubscribe { .. }
            | Ask::Pause { .. }
            | Ask::Pull { .. }
            | Ask::Look { .. }
            | Ask::Confirm { .. }
            | Ask::Ticket { .. } => {}
        }
        if let Some(opened) = self.opening.take() {
            self.core.say(*opened);
        }
        let ask = if self.waiting.is_empty() { self.core.try_ask(self.connection, ask) } else { Some(ask) };
        self.waiting.extend(ask);
    }

    /// Whether an ask still waits for space.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the door has asked to be let in.
    pub(crate) fn has_knocked(&self) -> bool {
        self.entered
    }

    /// Ready when every ask is on its way.
    pub(crate) fn poll_asked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(ask) = self.waiting.front() {
            let cost = cost(ask).min(self.core.bytes_max);
            let core = &self.core;
            let turn =
                self.turn.get_or_insert_with(|| Box::pin(Arc::clone(&core.space).acquire_many_owned(cost)));
            match turn.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(permit) => {
                    permit.expect("the semaphore is never closed").forget();
                }
            }
            self.turn = None;
            let ask = self.waiting.pop_front().expect("its front was seen above");
            let arrival = Arrival::Asked(Asked { connection: self.connection, ask });
            let _ = self.core.sender.send(Parcel { arrival, cost });
        }
        Poll::Ready(())
    }
}

impl Asker {
    /// The last words of a connection, once.
    pub(crate) fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) || self.opening.is_some() {
            return;
        }
        let connection = self.connection;
        if self.entered && !self.left {
            let ask = Ask::Leave { cause: "cut".into(), expiry_s: None };
            self.core.say(Arrival::Asked(Asked { connection, ask }));
        }
        self.core.say(Arrival::Closed { connection });
    }
}

impl Drop for Asker {
    /// However the connection's task ended.
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::door::Intake;
    use std::task::Waker;

    fn asker(core: &CoreHandle, connection: u64) -> Asker {
        let peer = Peer {
            address: ([127, 0, 0, 1], 0).into(),
            listener: "test".into(),
            proxy: false,
            origin: None,
            tls: false,
            certificate: None,
        };
        let (tells, _) = crate::tells::tell_queue();
        let connection = ConnectionId(connection);
        Asker::new(core.clone(), Arrival::Opened { connection, peer: Arc::new(peer), tells })
    }

    fn publish(ticket: u64, bytes: usize) -> Ask {
        Ask::Publish(Intake {
            ticket,
            seen: ticket - 1,
            aliases: vec![],
            entries: vec![0; bytes].into(),
            count: 1,
        })
    }

    fn tickets(inbox: &mut CoreInbox) -> Vec<u64> {
        let mut arrivals = Vec::new();
        inbox.try_recv_many(&mut arrivals, 100);
        let ticket = |arrival| match arrival {
            Arrival::Asked(Asked { ask: Ask::Publish(intake), .. }) => Some(intake.ticket),
            Arrival::Asked(_) | Arrival::Opened { .. } | Arrival::Closed { .. } => None,
        };
        arrivals.into_iter().filter_map(ticket).collect()
    }

    #[test]
    fn a_small_ask_does_not_overtake_a_large_one() {
        let (core, mut inbox) = core_inbox(2000);
        let mut asker = asker(&core, 1);
        let cx = &mut Context::from_waker(Waker::noop());
        asker.ask(publish(1, 1000));
        asker.ask(publish(2, 1000));
        asker.ask(publish(3, 0));
        assert!(asker.is_waiting() && asker.poll_asked(cx).is_pending());
        assert_eq!(tickets(&mut inbox), [1]);
        assert!(asker.poll_asked(cx).is_ready());
        assert_eq!(tickets(&mut inbox), [2, 3]);
        assert_eq!(core.free(), 2000);
    }

    #[test]
    fn who_waits_first_is_served_first() {
        let (core, mut inbox) = core_inbox(2000);
        let mut first = asker(&core, 1);
        let mut second = asker(&core, 2);
        let cx = &mut Context::from_waker(Waker::noop());
        first.ask(publish(1, 1700));
        first.ask(publish(2, 1700));
        assert!(first.poll_asked(cx).is_pending());
        second.ask(publish(3, 0));
        assert!(second.is_waiting(), "it pushed in");
        assert!(second.poll_asked(cx).is_pending());
        assert_eq!(tickets(&mut inbox), [1]);
        assert!(second.poll_asked(cx).is_pending() && first.poll_asked(cx).is_ready());
        assert_eq!(tickets(&mut inbox), [2]);
        assert!(second.poll_asked(cx).is_ready());
        assert_eq!(tickets(&mut inbox), [3]);
    }

    #[test]
    fn an_ask_larger_than_the_inbox_gets_all_of_it() {
        let (core, mut inbox) = core_inbox(1000);
        let mut asker = asker(&core, 1);
        asker.ask(publish(1, 100_000));
        assert!(!asker.is_waiting());
        assert_eq!(core.free(), 0);
        assert_eq!(tickets(&mut inbox), [1]);
        assert_eq!(core.free(), 1000);
    }

    #[test]
    fn the_core_hears_nothing_of_who_asks_nothing() {
        let (core, mut inbox) = core_inbox(1000);
        drop(asker(&core, 1));
        let mut arrivals = Vec::new();
        assert_eq!(inbox.try_recv_many(&mut arrivals, 100), 0);
        asker(&core, 2).ask(Ask::Rooms);
        inbox.try_recv_many(&mut arrivals, 100);
        let [Arrival::Opened { .. }, Arrival::Asked(_), Arrival::Closed { .. }] = &arrivals[..] else {
            panic!("{arrivals:?}")
        };
    }

    #[test]
    fn what_ends_a_connection_gets_through_however_full_it_is() {
        let (core, mut inbox) = core_inbox(1000);
        let mut asker = asker(&core, 1);
        asker.ask(Ask::Enter {
            credential: riser_model::door::Credential::Anonymous,
            session: None,
            room: None,
        });
        asker.ask(publish(1, 900));
        drop(asker);
        let mut arrivals = Vec::new();
        inbox.try_recv_many(&mut arrivals, 100);
        let [.., Arrival::Asked(Asked { ask: Ask::Leave { .. }, .. }), Arrival::Closed { .. }] =
            &arrivals[..]
        else {
            panic!("{arrivals:?}")
        };
    }
}
