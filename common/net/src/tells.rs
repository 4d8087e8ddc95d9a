//! What the core tells one connection: a queue that is empty almost always and costs nothing then.
//!
//! It is bounded by the door's protocol, not by waiting: the core never waits for a connection. Each `Stored`
//! answers a ticket, and a connection with [`TICKETS_MAX`] of them open does not read its socket; each
//! `Deliver` answers a pull, and a door pulls again only after the answer; `Subscribed` and `Unsubscribed`
//! answer one ask each, and a door has a bound on its subscriptions; `Ready` and `Refused` come once. A queue
//! that grows past [`TELLS_MAX`] all the same ends its connection as too slow.
//!
//! With a tell that takes long to word goes a permit ([`TellOutbox::tell_in_turn`]), which is given back when its door has
//! worded it and offered it to its socket, whatever that takes: so who tells can let few do so at once.
//!
//! A library's queue would hold room for 32 tells from the first moment on: more memory than all the rest of
//! an idle connection.

use riser_model::door::Tell;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::sync::OwnedSemaphorePermit;

/// Publish tickets that may be open before a connection stops reading its socket.
pub const TICKETS_MAX: u32 = 256;
/// Tells that may wait for a connection.
pub const TELLS_MAX: usize = 4096;

/// A queue of tells for one connection.
pub fn tell_queue() -> (TellOutbox, TellInbox) {
    let queue = Arc::new(Mutex::new(Queue::default()));
    (TellOutbox(Arc::clone(&queue)), TellInbox { queue, turn: None })
}

#[derive(Default, Debug)]
struct Queue {
    /// The first of what was told. Almost always it is taken before the next comes, and then that is all: nothing is
    /// made for it that another thread throws away.
    first: Option<Tell>,
    rest: VecDeque<Tell>,
    /// What goes with the last of them that had one.
    turn: Option<OwnedSemaphorePermit>,
    waker: Option<Waker>,
    stop: bool,
    overrun: bool,
    closed: bool,
}

/// The core's end. Telling never waits.
#[derive(Clone, Debug)]
pub struct TellOutbox(Arc<Mutex<Queue>>);

impl TellOutbox {
    /// Tells. Whatever is told to a closed connection is gone; what would overrun it ends it.
    pub fn tell(&self, tell: Tell) {
        self.change(|queue| {
            if queue.closed {
                return;
            }
            if queue.first.is_none() {
                queue.first = Some(tell);
            } else if queue.rest.len() + 1 < TELLS_MAX {
                queue.rest.push_back(tell);
            } else {
                queue.overrun = true;
            }
        });
    }

    /// The same with a permit. A closed connection gives it back at once.
    pub fn tell_in_turn(&self, tell: Tell, turn: OwnedSemaphorePermit) {
        let mut queue = lock(&self.0);
        if !queue.closed {
            queue.turn = Some(turn);
        }
        drop(queue);
        self.tell(tell);
    }

    /// Asks the connection to finish what it has taken and to close, because the process ends.
    pub fn stop(&self) {
        self.change(|queue| queue.stop = true);
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let waker = {
            let mut queue = lock(&self.0);
            change(&mut queue);
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What a look into the queue found.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// That; what was told after it is in the queue that was given.
    Tell(Tell),
    /// The process ends. Said once.
    Stop,
    /// More was told than a well-behaved core and door could need.
    Overrun,
}

/// The connection's end.
#[derive(Debug)]
pub struct TellInbox {
    queue: Arc<Mutex<Queue>>,
    /// What went with the tells that were taken.
    turn: Option<OwnedSemaphorePermit>,
}

impl TellInbox {
    /// Takes all that was told; what came after the first goes to `into`, which must be empty.
    pub fn poll_told(&mut self, cx: &mut Context<'_>, into: &mut VecDeque<Tell>) -> Poll<Told> {
        let mut queue = lock(&self.queue);
        if let Some(tell) = queue.first.take() {
            self.turn = queue.turn.take().or(self.turn.take());
            std::mem::swap(&mut queue.rest, into);
            return Poll::Ready(Told::Tell(tell));
        }
        if std::mem::take(&mut queue.overrun) {
            return Poll::Ready(Told::Overrun);
        }
        if std::mem::take(&mut queue.stop) {
            return Poll::Ready(Told::Stop);
        }
        match &queue.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            Some(_) | None => queue.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl TellInbox {
    /// What was told so far is worded, and written as far as the socket takes it.
    pub fn done(&mut self) {
        self.turn = None;
    }

    /// Takes nothing more.
    pub fn close(&mut self) {
        self.turn = None;
        let mut queue = lock(&self.queue);
        queue.closed = true;
        queue.turn = None;
        (queue.first, queue.rest) = (None, VecDeque::new());
        queue.waker = None;
    }
}

impl Drop for TellInbox {
    fn drop(&mut self) {
        self.close();
    }
}

/// Nothing in here can be left half done, so a panic elsewhere poisons nothing.
fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[test]
    fn turn_is_given_back_when_what_was_told_is_done_or_nobody_is_there() {
        let turns = Arc::new(Semaphore::new(1));
        let take = || Arc::clone(&turns).try_acquire_owned().expect("nobody has it");
        let (outbox, mut inbox) = tell_queue();
        let (cx, mut told) = (&mut Context::from_waker(Waker::noop()), VecDeque::new());
        outbox.tell_in_turn(Tell::Ready, take());
        assert!(inbox.poll_told(cx, &mut told).is_ready());
        told.clear();
        outbox.tell(Tell::Ready);
        assert!(inbox.poll_told(cx, &mut told).is_ready());
        assert_eq!(turns.available_permits(), 0, "it is being worded");
        inbox.done();
        outbox.tell_in_turn(Tell::Ready, take());
        inbox.close();
        outbox.tell_in_turn(Tell::Ready, take());
        assert_eq!(turns.available_permits(), 1);
    }
}
