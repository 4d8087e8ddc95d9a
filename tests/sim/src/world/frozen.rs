//! Processes that stand still for a while: what is for them waits, and happens when they go on.

use super::{Event, World};
use crate::wires::{Client, Way};

impl World {
    /// A process stands still from here on. Its machine does not: connections stay, and what comes waits in its kernel.
    pub fn freeze(&mut self, n: usize) {
        self.trace.line(self.now, || format!("host {n} stands still"));
        self.frozen.entry(n).or_default();
    }

    /// It goes on, if it stood still.
    pub fn thaw(&mut self, n: usize) {
        let Some(waited) = self.frozen.remove(&n) else { return };
        self.trace.line(self.now, || format!("host {n} goes on, and {} things waited", waited.len()));
        waited.into_iter().for_each(|event| self.queue.put(self.now, event));
    }

    /// An event that may happen now. One for a process that stands still is kept for it.
    pub(super) fn unless_frozen(&mut self, event: Event) -> Option<Event> {
        if self.frozen.is_empty() {
            return Some(event);
        }
        match self.done_by(&event).and_then(|n| self.frozen.get_mut(&n)) {
            None => Some(event),
            Some(waits) => {
                waits.push(event);
                None
            }
        }
    }

    /// The host whose process has to move for that.
    fn done_by(&self, event: &Event) -> Option<usize> {
        let server = |id| self.net.wires.get(id).map(|wire| wire.server);
        let dialer = |id| match self.net.wires.get(id)?.client {
            Client::Edge { host, .. } => Some(host),
            Client::Device(_)
            | Client::Subscriber(_)
            | Client::Guest(_)
            | Client::Writer(_)
            | Client::Caller(_)
            | Client::Talker(_) => None,
        };
        match event {
            Event::Host(n, ..) | Event::LinkGone(n, ..) => Some(*n),
            Event::Arrive(id, Way::Up) | Event::Offer(id) | Event::Stall(id) | Event::Silent(id) => {
                server(id)
            }
            Event::Arrive(id, Way::Down) | Event::Opened(id) | Event::Unopened(id) => dialer(id),
            Event::Knock(_)
            | Event::Device(..)
            | Event::Subscriber(..)
            | Event::Guest(..)
            | Event::Writer(..)
            | Event::Caller(..)
            | Event::GateDue(_)
            | Event::Seated(..)
            | Event::AnnexDue
            | Event::AnnexKnows(_)
            | Event::Decide(..)
            | Event::Change(_)
            | Event::AskForChange
            | Event::Write(_)
            | Event::Talker(..)
            | Event::Talk(_)
            | Event::Speak(_)
            | Event::Fault(_)
            | Event::Mend(_)
            | Event::MendDisk(_)
            | Event::MendShelf
            | Event::Boot(_)
            | Event::Start(_) => None,
        }
    }
}
