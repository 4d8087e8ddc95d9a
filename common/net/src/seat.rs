//! A place before the core without a socket: how a part of this process itself asks and is told.
//!
//! It holds what every connection holds: the core hears `Opened` first and `Closed` last, with a `Leave` before it if
//! there was an `Enter`; asks wait in line for space in the core's inbox. Whoever sits here keeps its own bound on
//! open tickets.

use crate::{
    entrance::Visitor,
    inbox::{Arrival, Asker},
    tells::{TellInbox, Told, tell_queue},
};
use riser_model::door::{Ask, Tell};
use std::{collections::VecDeque, future::poll_fn, sync::Arc, task::Poll};

/// What comes to a seat.
#[derive(Debug)]
pub enum Call {
    /// The core told something.
    Tell(Tell),
    /// The process ends: finish what was asked, and leave. Said once.
    Stop,
    /// More was told than could be needed, or asks have found space: look again.
    Again,
}

/// See the module.
pub struct Seat {
    // Before the visitor: it is inside until the core knows that it left.
    asker: Asker,
    tells: TellInbox,
    told: VecDeque<Tell>,
    visitor: Visitor,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("visitor", &self.visitor).finish_non_exhaustive()
    }
}

impl Visitor {
    /// Takes a seat.
    pub fn sit(self) -> Seat {
        let (outbox, tells) = tell_queue();
        let (entrance, connection) = (&self.entrance, self.connection);
        let peer = Arc::clone(&self.peer);
        let asker =
            Asker::new(entrance.core.clone(), Arrival::Opened { connection, peer, tells: outbox.clone() });
        entrance.door_opened(connection, outbox);
        Seat { asker, tells, told: VecDeque::new(), visitor: self }
    }
}

impl Seat {
    /// Asks now, or as soon as there is space and all earlier asks are gone.
    pub fn ask(&mut self, ask: Ask) {
        self.asker.ask(ask);
    }

    /// Whether an ask still waits for space: ask for no more.
    pub fn is_waiting(&self) -> bool {
        self.asker.is_waiting()
    }

    /// What comes next. Cancel safe.
    pub async fn call(&mut self) -> Call {
        poll_fn(|cx| {
            let waited = self.asker.is_waiting();
            if self.asker.poll_asked(cx).is_ready() && waited {
                return Poll::Ready(Call::Again);
            }
            if self.told.is_empty()
                && let Poll::Ready(told) = self.tells.poll_told(cx, &mut self.told)
            {
                match told {
                    Told::Tell(tell) => return Poll::Ready(Call::Tell(tell)),
                    Told::Stop => return Poll::Ready(Call::Stop),
                    Told::Overrun => return Poll::Ready(Call::Again),
                }
            }
            let Some(tell) = self.told.pop_front() else {
                self.tells.done();
                return Poll::Pending;
            };
            Poll::Ready(Call::Tell(tell))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        entrance::{Entrance, Limits, Peer},
        inbox::{Asked, core_inbox},
    };
    use riser_model::{
        Now,
        door::{Credential, Intake},
    };

    #[tokio::test]
    async fn whoever_sits_is_announced_waits_for_space_and_leaves() {
        let (core, mut inbox) = core_inbox(2000);
        let entrance = Entrance::new(Limits::default(), core, Arc::new(Now::default), Arc::default());
        let peer = Peer {
            address: ([127, 0, 0, 1], 0).into(),
            listener: "source[0]".into(),
            proxy: false,
            origin: None,
            tls: false,
            certificate: None,
        };
        let mut seat = entrance.admit(peer).unwrap().sit();
        seat.ask(Ask::Enter { credential: Credential::Anonymous, session: None, room: None });
        let publish = |ticket| {
            Ask::Publish(Intake {
                ticket,
                seen: ticket - 1,
                aliases: vec![],
                entries: vec![0; 1000].into(),
                count: 1,
            })
        };
        seat.ask(publish(1));
        assert!(!seat.is_waiting());
        seat.ask(publish(2));
        assert!(seat.is_waiting());
        let mut arrivals = Vec::new();
        inbox.recv_many(&mut arrivals, 10).await;
        let Arrival::Opened { tells, .. } = &arrivals[0] else { panic!("{arrivals:?}") };
        assert!(matches!(seat.call().await, Call::Again) && !seat.is_waiting());
        tells.tell(Tell::Ready);
        assert!(matches!(seat.call().await, Call::Tell(Tell::Ready)));
        entrance.stop();
        assert!(matches!(seat.call().await, Call::Stop));
        drop(seat);
        arrivals.clear();
        inbox.recv_many(&mut arrivals, 10).await;
        let [
            Arrival::Asked(Asked { ask: Ask::Publish(_), .. }),
            Arrival::Asked(Asked { ask: Ask::Leave { .. }, .. }),
            Arrival::Closed { .. },
        ] = &arrivals[..]
        else {
            panic!("{arrivals:?}")
        };
        assert_eq!(entrance.open(), 0);
    }
}
