//! HTTP and WebSocket on one port: a request either is answered or becomes a door.
//!
//! hyper parses; its state is freed when a connection becomes a WebSocket. A connection that has not sent a
//! whole request in time is closed.

use crate::{
    address::Address,
    cookie,
    door::serve_pipe,
    entrance::{Behind, Entrance, Peer, Visitor},
    listener::{Arrived, Listener},
    proxies::NoAddress,
    site::{Body, Doorway, Knock, Site, error, refused},
    socket::Socket,
    stall::Stalling,
    stream::Stream,
    upgrade::{self, credential, ticket, wants_websocket},
    websocket::{MessagePipe, Messages},
};
use bytes::Bytes;
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use riser_model::door::{Credential, Door};
use std::{
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool, atomic::Ordering},
};
use tokio::time::{Instant, sleep_until};

/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What a peer is told when there is no place for it.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    retry-after: 5\r\ncontent-length: 98\r\nconnection: close\r\n\r\n\
    {\"error\":{\"code\":\"too_many\",\"what\":\"no place for one more connection\",\"want\":\"come back in 5 s\"}}\n";

/// Serves a site until the entrance stops. Connections that are open then end by themselves.
pub async fn serve_http(listener: Listener, entrance: Arc<Entrance>, site: Arc<dyn Site>) {
    listener
        .when_full(FULL)
        .with_proxies(site.proxies().clone())
        .accept(entrance, |arrived: Arrived, visitor| visit(arrived, visitor, Arc::clone(&site)))
        .await;
}

async fn visit(arrived: Arrived, mut visitor: Visitor, site: Arc<dyn Site>) {
    let by = Instant::now() + visitor.entrance.limits.first_frame();
    let Some(stream) = arrived.handshake(&mut visitor).await else { return };
    let upgraded = {
        let (site, visitor, last) = (&site, &visitor, LastBehind::default());
        // Boxed, so that an idle WebSocket's task does not keep room for hyper.
        Box::pin(converse(stream, visitor, by, |request| receive(request, site, (visitor, &last)))).await
    };
    let Some((stream, ahead, Open { door, messages, seen })) = upgraded else { return };
    (visitor.peer, visitor.behind) = (seen.peer, seen.behind);
    let allowance = Some(visitor.entrance.limits.unauthenticated_bytes_max);
    let socket = Socket::new(stream, ahead, allowance, Arc::clone(&visitor.entrance.counters));
    Box::pin(async move {
        let pipe = MessagePipe::new(socket, messages).await;
        serve_pipe(pipe, visitor, door).await;
    })
    .await;
}

struct Open {
    door: Box<dyn Door>,
    messages: Messages,
    seen: Seen,
}

/// Who asks: whoever is at the other end, or is behind the proxy that is there.
struct Seen {
    peer: Arc<Peer>,
    behind: Option<Behind>,
}

/// Who asked last through the proxy that is at the other end: it is one handshake and one connection for as long as that asks
/// for nobody else, as if it had come by itself.
#[derive(Default)]
struct LastBehind(Mutex<Option<(IpAddr, Behind)>>);

impl LastBehind {
    /// For the next request, which is this one's.
    fn take(&self, client: IpAddr) -> Option<Behind> {
        // Who asked before is not there any more, whoever asks.
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        last.filter(|(known, _)| *known == client).map(|(_, behind)| behind)
    }

    /// The request is answered, and the connection goes on.
    fn keep(&self, seen: Seen) {
        let Seen { peer, behind } = seen;
        let kept = behind.map(|behind| (peer.address.ip(), behind));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }
}

impl Seen {
    /// Or the answer to who is not served.
    fn of(
        request: &Request<Incoming>,
        site: &dyn Site,
        (visitor, last): (&Visitor, &LastBehind),
    ) -> Result<Self, Box<Response<Body>>> {
        let proxy = &visitor.peer;
        let client = site.proxies().client(proxy.address.ip(), request.headers()).map_err(|NoAddress| {
            visitor.entrance.counters.nobody_behind.one();
            let what = "a proxy that is believed here names who asks by no address in X-Forwarded-For";
            let want = "the address of who asked the proxy at the end of that header, or no such header";
            Box::new(error(StatusCode::BAD_REQUEST, "malformed", what, want))
        })?;
        let origin = crate::origin::shown(request.headers(), proxy.tls);
        let Some(client) = client else {
            let peer = match (site.proxies().hides(proxy.address.ip(), request.headers()), &origin) {
                (false, None) => Arc::clone(proxy),
                (hides, _) => Arc::new(Peer { proxy: hides, origin, ..Peer::clone(proxy) }),
            };
            return Ok(Self { peer, behind: None });
        };
        let behind = last.take(client).map_or_else(|| visitor.entrance.behind(client), Ok);
        let behind = behind.map_err(|full| {
            let (status, want) = (StatusCode::SERVICE_UNAVAILABLE, "come back in 5 s");
            Box::new(error(status, "too_many", &full.to_string(), want))
        })?;
        let tls = proxy.tls || proxy.address.ip().to_canonical().is_loopback();
        let peer = Peer { address: SocketAddr::new(client, 0), tls, origin, ..Peer::clone(proxy) };
        Ok(Self { peer: Arc::new(peer), behind: Some(behind) })
    }
}

/// One request of a site.
async fn receive(
    request: Request<Incoming>,
    site: &Arc<dyn Site>,
    (visitor, last): (&Visitor, &LastBehind),
) -> Reply<Open> {
    let seen = match Seen::of(&request, site.as_ref(), (visitor, last)) {
        Ok(seen) => seen,
        Err(answer) => return Reply::Answer(*answer),
    };
    if !wants_websocket(request.headers()) {
        let answer = site.answer(request, Arc::clone(&seen.peer), visitor.connection).await;
        last.keep(seen);
        return Reply::Answer(answer);
    }
    match knock(&request, site.as_ref(), visitor, seen) {
        Ok((response, open)) => Reply::Upgrade(response, open),
        Err(response) => Reply::Answer(*response),
    }
}

fn knock(
    request: &Request<Incoming>,
    site: &dyn Site,
    visitor: &Visitor,
    seen: Seen,
) -> Result<(Response<Body>, Open), Box<Response<Body>>> {
    let handshake = upgrade::check(request)?;
    if !site.origins().allow(request.headers()) {
        visitor.entrance.counters.origin_refused.one();
        let what = "the page's Origin may not open a WebSocket here";
        let want = "a page from here, or its origin in the configured list";
        return Err(Box::new(error(StatusCode::FORBIDDEN, "denied", what, want)));
    }
    let address = Address::parse(request.uri().path());
    let found = address.and_then(|address| handshake.doorway(address));
    let (doorway, protocol) = found.map_err(|bad| Box::new(bad_address(&bad)))?;
    let messages = if doorway == Doorway::Mqtt { Messages::Stream } else { Messages::Whole };
    let knock = Knock {
        connection: visitor.connection,
        peer: Arc::clone(&seen.peer),
        credential: credential(request.headers(), doorway.account())?.or_else(|| {
            let origin = site.origins().vouch(request.headers()).filter(|_| site.takes_cookies())?;
            cookie::shown(request.headers(), origin).map(Credential::Cookie)
        }),
        ticket: ticket(request.uri().query()),
        doorway,
    };
    match site.door(knock) {
        Ok(door) => Ok((handshake.accept(protocol), Open { door, messages, seen })),
        Err(refusal) => Err(Box::new(refused(&refusal))),
    }
}

/// The answer to a path that names nothing.
pub fn bad_address(bad: &crate::address::BadAddress) -> Response<Body> {
    let status = StatusCode::from_u16(bad.status).expect("addresses give 400, 404 or 414");
    error(status, "bad_name", bad.what, bad.want)
}

/// What becomes of a request.
pub(crate) enum Reply<T> {
    /// It is answered; the connection goes on.
    Answer(Response<Body>),
    /// After this answer the connection is something else.
    Upgrade(Response<Body>, T),
}

/// Speaks HTTP until the connection ends, or becomes something else: then its stream and what was read ahead.
pub(crate) async fn converse<T, H, F>(
    stream: Stream,
    visitor: &Visitor,
    by: Instant,
    handle: H,
) -> Option<(Stream, Bytes, T)>
where
    T: Send,
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Reply<T>>,
{
    let limits = &visitor.entrance.limits;
    let upgrade: Mutex<Option<(OnUpgrade, T)>> = Mutex::new(None);
    let begun = AtomicBool::new(false);
    let service = service_fn(|mut request: Request<Incoming>| {
        begun.store(true, Ordering::Relaxed);
        let on_upgrade = hyper::upgrade::on(&mut request);
        let reply = tokio::time::timeout(limits.answer(), handle(request));
        let upgrade = &upgrade;
        async move {
            Ok::<_, Infallible>(match reply.await {
                Ok(Reply::Answer(response)) => response,
                Ok(Reply::Upgrade(response, open)) => {
                    *upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some((on_upgrade, open));
                    response
                }
                Err(_) => late(),
            })
        }
    });
    let io = TokioIo::new(Stalling::new(stream, limits.stall()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.first_frame())
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(io, service)
        .with_upgrades();
    if !attend(connection, visitor, by, &begun).await {
        return None;
    }
    let upgrade = upgrade.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (on_upgrade, open) = upgrade?;
    let parts = on_upgrade.await.ok()?.downcast::<TokioIo<Stalling>>().ok()?;
    // A copy, because the rest of hyper's buffer would live as long as this.
    let ahead = Bytes::copy_from_slice(&parts.read_buf);
    Some((parts.io.into_inner().into_inner(), ahead, open))
}

/// Drives hyper; false if the connection failed.
async fn attend<S>(
    connection: http1::UpgradeableConnection<TokioIo<Stalling>, S>,
    visitor: &Visitor,
    by: Instant,
    begun: &AtomicBool,
) -> bool
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let entrance = &visitor.entrance;
    let mut connection = pin!(connection);
    let mut deadline = pin!(sleep_until(by));
    let mut stopped = pin!(entrance.stopped());
    let mut stopping = false;
    let mut watching = true;
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = &result {
                    if error.is_timeout() {
                        entrance.counters.first_frame_late.one();
                    } else if error.is_parse() {
                        entrance.counters.malformed.one();
                    }
                    tracing::debug!(%error, "http failed");
                }
                return result.is_ok();
            }
            () = &mut deadline, if watching => {
                if stopping || !begun.load(Ordering::Relaxed) {
                    entrance.counters.first_frame_late.one();
                    return false;
                }
                watching = false;
            }
            () = &mut stopped, if !stopping => {
                stopping = true;
                watching = true;
                deadline.as_mut().reset(Instant::now() + entrance.limits.stop());
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn late() -> Response<Body> {
    error(StatusCode::SERVICE_UNAVAILABLE, "timeout", "the answer took too long", "try again")
}
