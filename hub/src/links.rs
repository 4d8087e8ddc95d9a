//! The sockets of edges: taken, carried both ways, closed when the core says so.

use riser_host::Links;
use riser_hub_core::{HubCore, LinkInput, LinkOutput};
use riser_model::ConnectionId;
use riser_net::{
    entrance::Visitor,
    link::{Heard, HubEnd, Link, LinkTaker, Order, run_link},
};
use riser_shell::entropy;
use riser_wire::link::{HubFrame, Nonce};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::mpsc::{self, UnboundedSender};

/// All edges' sockets, by connection.
#[derive(Clone, Default)]
pub struct LinkSockets(Arc<Mutex<BTreeMap<ConnectionId, UnboundedSender<Order<HubFrame>>>>>);

impl LinkSockets {
    /// What the link listener does with each link.
    pub fn taker(&self, inbox: mpsc::Sender<LinkInput>) -> LinkTaker {
        let sockets = self.clone();
        Arc::new(move |link, visitor| Box::pin(carry(link, visitor, sockets.clone(), inbox.clone())))
    }

    fn order(&self, connection: ConnectionId, order: Order<HubFrame>) {
        if let Some(orders) = self.all().get(&connection) {
            // A connection that has just ended says so itself.
            let _ = orders.send(order);
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, UnboundedSender<Order<HubFrame>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links<HubCore> for LinkSockets {
    fn perform(&mut self, output: LinkOutput) {
        match output {
            LinkOutput::Send { connection, frame } => self.order(connection, Order::Say(frame)),
            LinkOutput::Close { connection, code } => {
                let order = Order::Close { code: code.close_code(), reason: code.name().to_owned() };
                self.order(connection, order);
            }
            // The transport lifts its own allowance when it says Welcome.
            LinkOutput::Welcomed { connection } => {
                tracing::debug!(connection = connection.0, "edge welcomed")
            }
        }
    }
}

async fn carry(link: Link<HubEnd>, visitor: Visitor, sockets: LinkSockets, inbox: mpsc::Sender<LinkInput>) {
    let connection = visitor.connection;
    let (orders, ordered) = mpsc::unbounded_channel();
    sockets.all().insert(connection, orders);
    let binding = link.binding().map(|bytes| bytes.to_vec().into()).unwrap_or_default();
    let opened = LinkInput::Opened { connection, binding, nonce: Nonce(entropy::bytes()) };
    if inbox.send(opened).await.is_ok() {
        let news = |heard| match heard {
            Heard::Frame(frame) => LinkInput::Frame { connection, frame },
            Heard::Life => LinkInput::Heard { connection },
            Heard::Bad(bad) => LinkInput::Malformed { connection, what: bad.to_string() },
            Heard::Gone(_) => LinkInput::Closed { connection },
        };
        run_link(link, ordered, inbox.clone(), news).await;
    }
    sockets.all().remove(&connection);
    // Said twice is as good as once; a core that is gone needs no news.
    let _ = inbox.send(LinkInput::Closed { connection }).await;
}
