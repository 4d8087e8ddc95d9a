//! Taking links: the hub's listener for edges, apart from everything else.

use super::{HubEnd, Link};
use crate::{
    entrance::{Entrance, Visitor},
    http::{Reply, converse},
    listener::{Arrived, Listener},
    site::{LINK_PROTOCOL, error},
    upgrade::{self, wants_websocket},
};
use hyper::{Request, StatusCode, body::Incoming, header};
use riser_wire::link::PATH;
use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc};
use tokio::time::Instant;

/// What is done with a link for as long as it lasts. The visitor is its place; keep it until the end.
pub type LinkTaker =
    Arc<dyn Fn(Link<HubEnd>, Visitor) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A listener that must not be.
#[derive(Debug, thiserror::Error)]
#[error(
    "take links at {0}: it is not encrypted and can be reached from other machines; give it tls, or insecure = true"
)]
pub struct Insecure(pub SocketAddr);

/// Takes links until the entrance stops. Without TLS only on loopback, unless `insecure` was configured by name.
pub async fn serve_links(
    listener: Listener,
    entrance: Arc<Entrance>,
    insecure: bool,
    taker: LinkTaker,
) -> Result<(), Insecure> {
    check(&listener, insecure)?;
    listener.accept(entrance, |arrived, visitor| visit(arrived, visitor, Arc::clone(&taker))).await;
    Ok(())
}

/// Whether a listener may take links.
pub fn check(listener: &Listener, insecure: bool) -> Result<(), Insecure> {
    match listener.address() {
        Ok(address) if !listener.is_tls() && !insecure && !address.ip().to_canonical().is_loopback() => {
            Err(Insecure(address))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn visit(arrived: Arrived, mut visitor: Visitor, taker: LinkTaker) {
    let by = Instant::now() + visitor.entrance.limits.first_frame();
    let Some(stream) = arrived.handshake(&mut visitor).await else { return };
    let upgraded = Box::pin(converse(stream, &visitor, by, async |request| receive(&request))).await;
    let Some((stream, ahead, ())) = upgraded else { return };
    let link = Link::new(stream, ahead, Arc::clone(&visitor.entrance.counters)).await;
    taker(link, visitor).await;
}

fn receive(request: &Request<Incoming>) -> Reply<()> {
    let refuse = |status, what, want| Reply::Answer(error(status, "denied", what, want));
    if request.uri().path() != PATH {
        return refuse(StatusCode::NOT_FOUND, "nothing here", "/link");
    }
    if !wants_websocket(request.headers()) {
        return refuse(StatusCode::UPGRADE_REQUIRED, "not a WebSocket handshake", "Upgrade: websocket");
    }
    if request.headers().contains_key(header::ORIGIN) {
        return refuse(StatusCode::FORBIDDEN, "a browser", "an edge");
    }
    match upgrade::check(request) {
        Err(response) => Reply::Answer(*response),
        Ok(handshake) if handshake.is_link() => Reply::Upgrade(handshake.accept(Some(LINK_PROTOCOL)), ()),
        Ok(_) => refuse(StatusCode::BAD_REQUEST, "not the link's sub-protocol", "riser.link.v1"),
    }
}
