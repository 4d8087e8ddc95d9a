//! The sockets of the uplinks: dials when the core says so, and carries frames both ways.

use riser_edge_core::{EdgeCore, LinkInput, LinkOutput, UplinkNumber};
use riser_host::{LinkSockets, Links};
use riser_link::{LinkEvent, sender::Down};
use riser_net::{
    Counters,
    link::{DialFailed, EdgeEnd, Heard, LinkUrl, Order, dial, run_link},
    tls::{self, Trust},
};
use riser_shell::{Metrics, config::UplinkConfig, entropy, metrics::ByUplink};
use riser_wire::link::{EdgeFrame, GivenUp, Nonce, TreeHeard};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;

/// Where one uplink leads.
#[derive(Clone)]
pub struct Route {
    url: LinkUrl,
    tls: Option<TlsConnector>,
    insecure: bool,
    name: String,
    metrics: Arc<Metrics>,
    /// Why it could not be dialled the last time: the same reason is said once.
    unreachable: Arc<Mutex<Option<String>>>,
}

impl Route {
    /// As configured.
    pub fn new(config: &UplinkConfig, name: String, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let url: LinkUrl = config.url.to_string().parse()?;
        let tls = match (&config.ca, url.is_tls()) {
            (Some(ca), true) => Some(tls::client(Trust::roots(ca)?)?),
            (None, true) => Some(tls::client(Trust::roots(Path::new(tls::SYSTEM_AUTHORITIES))?)?),
            (_, false) => None,
        };
        Ok(Self { url, tls, insecure: config.insecure, name, metrics, unreachable: Arc::default() })
    }

    /// Dialling it came to this.
    fn dialled(&self, uplink: UplinkNumber, error: Option<&DialFailed>) {
        let by = ByUplink { uplink: self.name.clone() };
        self.metrics.uplink_failures.get_or_create(&by).inc_by(u64::from(error.is_some()));
        let reason = error.map(ToString::to_string);
        let mut last = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        let again = std::mem::replace(&mut *last, reason.clone()) == reason;
        if let (Some(reason), false) = (reason, again) {
            tracing::warn!(uplink = uplink.0, reason, "no link to the hub; trying on");
        }
    }
}

/// All uplinks' sockets.
pub struct Uplinks {
    routes: Vec<Route>,
    inbox: mpsc::Sender<LinkInput>,
    counters: Arc<Counters>,
    connections: BTreeMap<UplinkNumber, (u64, mpsc::UnboundedSender<Order<EdgeFrame>>)>,
    forked: watch::Sender<bool>,
    below: LinkSockets,
    /// A hub says no more of it than there is, and the link's window bounds how fast.
    given_up: mpsc::UnboundedSender<(UplinkNumber, GivenUp)>,
}

impl Uplinks {
    /// Over these routes, by their number; beside the links of edges below.
    pub fn new(
        routes: Vec<Route>,
        inbox: mpsc::Sender<LinkInput>,
        counters: Arc<Counters>,
        forked: watch::Sender<bool>,
        below: LinkSockets,
        given_up: mpsc::UnboundedSender<(UplinkNumber, GivenUp)>,
    ) -> Self {
        Self { routes, inbox, counters, connections: BTreeMap::new(), forked, below, given_up }
    }

    fn connect(&mut self, uplink: UplinkNumber, attempt: u64) {
        let Some(route) = self.routes.get(uplink.0 as usize).cloned() else { return };
        let (orders, ordered) = mpsc::unbounded_channel();
        // The former connection's task ends when its orders do.
        self.connections.insert(uplink, (attempt, orders));
        tokio::spawn(carry(route, uplink, attempt, ordered, self.inbox.clone(), Arc::clone(&self.counters)));
    }

    fn order(&self, uplink: UplinkNumber, attempt: u64, order: Order<EdgeFrame>) {
        if let Some((current, orders)) = self.connections.get(&uplink)
            && *current == attempt
        {
            // A connection that has just ended says so itself.
            let _ = orders.send(order);
        }
    }
}

impl Links<EdgeCore> for Uplinks {
    fn perform(&mut self, output: LinkOutput) {
        match output {
            LinkOutput::Connect { uplink, attempt } => self.connect(uplink, attempt),
            LinkOutput::Send { uplink, attempt, frame } => self.order(uplink, attempt, Order::Say(frame)),
            LinkOutput::Close { uplink, attempt } => {
                self.order(uplink, attempt, Order::Close { code: 1000, reason: String::new() });
            }
            LinkOutput::Reopen { .. } => {
                self.forked.send_replace(true);
            }
            LinkOutput::Event { uplink, event } => say(uplink, &event),
            // Whoever hears it ends with the edge.
            LinkOutput::GivenUp { uplink, said } => drop(self.given_up.send((uplink, said))),
            LinkOutput::Unanswered { uplink, again } => tracing::error!(
                uplink = uplink.0,
                again_s = again.as_secs(),
                "the hub closed the link when it was asked what it revoked ([vouched]): it is asked again that long after the link is up; if it is older than this edge, upgrade it"
            ),
            LinkOutput::Untold { uplink, again } => tracing::warn!(
                uplink = uplink.0,
                again_s = again.as_secs(),
                "the hub closed the link when it was told which edges are below this one: it is told again that long after the link is up; if it is older than this edge, upgrade it"
            ),
            LinkOutput::Told { uplink, heard: TreeHeard { shown, refused, why: Some(why) } } => {
                tracing::warn!(
                    uplink = uplink.0,
                    shown,
                    not_shown = refused,
                    why = why.name(),
                    want = why.want(),
                    "the hub does not show all edges below this one"
                )
            }
            LinkOutput::Told { uplink, heard } => {
                tracing::debug!(
                    uplink = uplink.0,
                    shown = heard.shown,
                    "the hub shows the edges below this one"
                );
            }
            LinkOutput::Below(output) => self.below.perform(output),
            LinkOutput::Missing { uplink, gap } => tracing::warn!(
                uplink = uplink.0,
                from = gap.from.0,
                to = gap.to.0,
                cause = gap.cause.name(),
                "the hub no longer has what it may have had for this site; raise its quota if that happens again"
            ),
        }
    }
}

async fn carry(
    route: Route,
    uplink: UplinkNumber,
    attempt: u64,
    orders: mpsc::UnboundedReceiver<Order<EdgeFrame>>,
    inbox: mpsc::Sender<LinkInput>,
    counters: Arc<Counters>,
) {
    let over = LinkInput::Disconnected { uplink, attempt };
    let dialled = dial(&route.url, route.tls.as_ref(), route.insecure, &counters).await;
    route.dialled(uplink, dialled.as_ref().err());
    let link = match dialled {
        Ok(link) => link,
        Err(_) => {
            // A core that is gone needs no news.
            let _ = inbox.send(over).await;
            return;
        }
    };
    let binding = link.binding().map(|bytes| bytes.to_vec().into()).unwrap_or_default();
    let nonce = Nonce(entropy::bytes());
    if inbox.send(LinkInput::Connected { uplink, attempt, binding, nonce }).await.is_err() {
        return;
    }
    run_link::<EdgeEnd, _>(link, orders, inbox, |heard| match heard {
        Heard::Frame(frame) => LinkInput::Frame { uplink, attempt, frame },
        Heard::Life => LinkInput::Heard { uplink, attempt },
        Heard::Bad(bad) => {
            tracing::warn!(uplink = uplink.0, %bad, "the hub does not speak the link's protocol");
            LinkInput::Disconnected { uplink, attempt }
        }
        Heard::Gone(_) => LinkInput::Disconnected { uplink, attempt },
    })
    .await;
}

/// What people should know of a link.
fn say(uplink: UplinkNumber, event: &LinkEvent) {
    let uplink = uplink.0;
    match event {
        LinkEvent::Up { hub, backlog } => {
            tracing::info!(uplink, hub = %format_args!("{:016x}", hub.log.0), backlog, "link up");
        }
        LinkEvent::Above(above) => tracing::debug!(uplink, hops = above.hops, "what lies above is known"),
        LinkEvent::Down(Down::Loop) => tracing::error!(
            uplink,
            "this edge is above that hub, or is the same: correct uplink.url here or at one of those between"
        ),
        LinkEvent::Down(Down::TooDeep) => {
            tracing::error!(
                uplink,
                "too many links would lead from here to the topmost hub: link to one nearer to it"
            );
        }
        LinkEvent::Down(Down::Gone | Down::DialTimeout) => tracing::debug!(uplink, "link down"),
        LinkEvent::Down(why) => tracing::info!(uplink, why = why.name(), "link down"),
        LinkEvent::Refused(refused) => tracing::warn!(
            uplink,
            code = refused.code.name(),
            what = refused.what,
            want = refused.want,
            "the hub refused the link"
        ),
        LinkEvent::WrongHub { presented } => tracing::error!(
            uplink,
            ?presented,
            "something at the hub's address has another key and got nothing; correct uplink.hub_key or the address"
        ),
        LinkEvent::OtherHub { now, .. } => tracing::warn!(
            uplink,
            log = %format_args!("{:016x}", now.log.0),
            "a hub with the right key and another log: it gets a cursor of its own"
        ),
        LinkEvent::Rewound { from, to } => {
            tracing::warn!(
                uplink,
                from = from.0,
                to = to.0,
                "the hub lost what it had confirmed; sending it again"
            );
        }
        LinkEvent::Forked { epoch, at } => tracing::error!(
            uplink,
            epoch = %format_args!("{:016x}", epoch.0),
            at = at.0,
            "the hub has other entries under this epoch's name"
        ),
        LinkEvent::Gap { gap, .. } => tracing::warn!(
            uplink,
            from = gap.from.0,
            to = gap.to.0,
            cause = gap.cause.name(),
            "the hub will never have these"
        ),
        LinkEvent::Awaits { from, to, waits: true } => tracing::warn!(
            uplink,
            from = from.0,
            to = to.0,
            "what a former parent confirmed, this edge no longer has and nobody above the new one has yet is waited for: let the former one drain, or set uplink.wait_for_former = false and lose it"
        ),
        LinkEvent::Awaits { from, to, waits: false } => tracing::warn!(
            uplink,
            from = from.0,
            to = to.0,
            "going on without what a former parent has and has not delivered, as configured: it is lost"
        ),
        LinkEvent::CaughtUp { through } => tracing::info!(uplink, through = through.0, "backlog drained"),
        LinkEvent::Stopped { through, queued } => {
            tracing::info!(
                uplink,
                through = through.0,
                queued,
                "link stopped; the hub has everything up to here"
            );
        }
    }
}
