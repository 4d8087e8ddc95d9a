//! The sockets of edges: taken, carried both ways, closed when the core says so.

use crate::host::Links;
use riser_ingest::{LinkInput, LinkOutput};
use riser_instance::Core;
use riser_link::LinkEvent;
use riser_model::{ClientId, ConnectionId};
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
use tokio::sync::{
    mpsc::{self, UnboundedSender},
    watch,
};

/// All edges' sockets, by connection.
#[derive(Clone)]
pub struct LinkSockets {
    orders: Arc<Mutex<BTreeMap<ConnectionId, UnboundedSender<Order<HubFrame>>>>>,
    forked: watch::Sender<bool>,
}

impl LinkSockets {
    /// None yet. `forked` is told when the log has to be opened anew.
    pub fn new(forked: watch::Sender<bool>) -> Self {
        Self { orders: Arc::default(), forked }
    }

    /// What the link listener does with each link.
    pub fn taker<T: Send + 'static>(&self, inbox: mpsc::Sender<T>, into: fn(LinkInput) -> T) -> LinkTaker {
        let sockets = self.clone();
        Arc::new(move |link, visitor| Box::pin(carry(link, visitor, sockets.clone(), inbox.clone(), into)))
    }

    /// Performs one output.
    pub fn perform(&self, output: LinkOutput) {
        match output {
            LinkOutput::Send { connection, frame } => self.order(connection, Order::Say(frame)),
            LinkOutput::Close { connection, code } => {
                let order = Order::Close { code: code.close_code(), reason: code.name().to_owned() };
                self.order(connection, order);
            }
            LinkOutput::Reopen { edge } => {
                tracing::error!(%edge, "an edge has other entries under this log's epoch: it is opened anew, once; after that, restart this instance if it was restored from a copy");
                self.forked.send_replace(true);
            }
            LinkOutput::NotShown { edge, count, why } => tracing::warn!(
                %edge,
                count,
                why = why.name(),
                want = why.want(),
                "edges that an edge says are below it are not shown"
            ),
            LinkOutput::Down { edge, event } => say(edge, &event),
            // The transport lifts its own allowance when it says Welcome.
            LinkOutput::Welcomed { connection } => {
                tracing::debug!(connection = connection.0, "edge welcomed")
            }
        }
    }

    fn order(&self, connection: ConnectionId, order: Order<HubFrame>) {
        if let Some(orders) = self.all().get(&connection) {
            // A connection that has just ended says so itself.
            let _ = orders.send(order);
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, UnboundedSender<Order<HubFrame>>>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Core<LinkOutput = LinkOutput>> Links<C> for LinkSockets {
    fn perform(&mut self, output: LinkOutput) {
        Self::perform(self, output);
    }
}

/// What people should know of a way down. That a link is up or down is said of the link.
fn say(edge: ClientId, event: &LinkEvent) {
    match event {
        LinkEvent::Rewound { from, to } => tracing::warn!(
            %edge,
            from = from.0,
            to = to.0,
            "the edge lost what it had confirmed of the way down; sending it again"
        ),
        LinkEvent::Gap { gap, .. } => tracing::warn!(
            %edge,
            from = gap.from.0,
            to = gap.to.0,
            cause = gap.cause.name(),
            "the edge will never have these; not all of them need have been meant for it"
        ),
        LinkEvent::Refused(refused) => tracing::warn!(
            %edge,
            code = refused.code.name(),
            what = refused.what,
            want = refused.want,
            "the edge takes nothing that comes down"
        ),
        LinkEvent::Up { backlog, .. } => tracing::debug!(%edge, backlog, "way down open"),
        LinkEvent::Down(why) => tracing::debug!(%edge, why = why.name(), "way down closed"),
        LinkEvent::CaughtUp { through } => tracing::debug!(%edge, through = through.0, "way down drained"),
        LinkEvent::WrongHub { .. }
        | LinkEvent::OtherHub { .. }
        | LinkEvent::Above(_)
        | LinkEvent::Forked { .. }
        | LinkEvent::Awaits { .. }
        | LinkEvent::Stopped { .. } => {}
    }
}

async fn carry<T: Send + 'static>(
    link: Link<HubEnd>,
    visitor: Visitor,
    sockets: LinkSockets,
    inbox: mpsc::Sender<T>,
    into: fn(LinkInput) -> T,
) {
    let connection = visitor.connection;
    let (orders, ordered) = mpsc::unbounded_channel();
    sockets.all().insert(connection, orders);
    let binding = link.binding().map(|bytes| bytes.to_vec().into()).unwrap_or_default();
    let opened = LinkInput::Opened { connection, binding, nonce: Nonce(entropy::bytes()) };
    if inbox.send(into(opened)).await.is_ok() {
        let news = move |heard| {
            into(match heard {
                Heard::Frame(frame) => LinkInput::Frame { connection, frame },
                Heard::Life => LinkInput::Heard { connection },
                Heard::Bad(bad) => LinkInput::Malformed { connection, what: bad.to_string() },
                Heard::Gone(_) => LinkInput::Closed { connection },
            })
        };
        run_link(link, ordered, inbox.clone(), news).await;
    }
    sockets.all().remove(&connection);
    // Said twice is as good as once; a core that is gone needs no news.
    let _ = inbox.send(into(LinkInput::Closed { connection })).await;
}
