//! Accepting: one loop per listener that never waits for a peer.
//!
//! Handshakes run in the connection's own task. When the system has no descriptors left the loop waits a
//! moment and goes on; connections over the limits are closed at once; more than may come per second wait in the system's
//! queue.

use crate::{
    certificate,
    entrance::{Entrance, Full, Peer, Visitor},
    proxies::Proxies,
    stream::Stream,
    tcp::{self, TcpListener, TcpStream},
    turnstile::{Turnstile, Wait},
};
use riser_model::Time;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio_rustls::TlsAcceptor;
use tracing::Instrument;

/// How long to wait after the system refused to accept.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address} for {name}: {source}; choose another address or stop who uses it")]
pub struct ListenFailed {
    address: SocketAddr,
    name: Arc<str>,
    source: io::Error,
}

/// A bound address, with TLS or without.
pub struct Listener {
    name: Arc<str>,
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    full: &'static [u8],
    proxies: Proxies,
}

impl Listener {
    /// Binds. The name is the listener's in the configuration. Port 0 takes any.
    pub fn bind(
        name: impl Into<Arc<str>>,
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
    ) -> Result<Self, ListenFailed> {
        let name = name.into();
        match tcp::bind(address) {
            Ok(tcp) => Ok(Self { name, tcp, tls, full: b"", proxies: Proxies::default() }),
            Err(source) => Err(ListenFailed { address, name, source }),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// What a plain peer is told when there is no place for it.
    pub(crate) fn when_full(mut self, says: &'static [u8]) -> Self {
        self.full = says;
        self
    }

    /// Whose connections are not counted as of one address: who is behind these is.
    pub(crate) fn with_proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Accepts until the entrance stops, and gives every connection a task of its own.
    pub(crate) async fn accept<F, V>(self, entrance: Arc<Entrance>, visit: F)
    where
        F: Fn(Arrived, Visitor) -> V,
        V: Future<Output = ()> + Send + 'static,
    {
        let stopped = entrance.stopped();
        tokio::pin!(stopped);
        let mut turnstile = Turnstile::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stopped => return,
                accepted = self.tcp.accept() => accepted,
            };
            let wait = match accepted {
                Ok((tcp, address)) => {
                    let let_in = self.admit(&entrance, tcp, address, &visit);
                    let now = (entrance.clock)().time;
                    turnstile
                        .pass(let_in, entrance.limits.accepts_per_s, now)
                        .map(|wait| self.wait(&entrance, wait, now))
                }
                Err(error) => self.back_off(&entrance, &error),
            };
            if let Some(wait) = wait {
                tokio::select! {
                    biased;
                    () = &mut stopped => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }

    /// How long nobody is accepted, because too many came.
    fn wait(&self, entrance: &Entrance, wait: Wait, now: Time) -> Duration {
        entrance.counters.accepts_paced.one();
        if wait.tell {
            let per_second = entrance.limits.accepts_per_s;
            tracing::warn!(listener = %self.name, per_second, "more connect than are accepted: they wait");
        }
        wait.until.since(now)
    }

    /// Gives it a task, or turns it away. Whether it was let in.
    fn admit<F, V>(&self, entrance: &Arc<Entrance>, tcp: TcpStream, address: SocketAddr, visit: F) -> bool
    where
        F: Fn(Arrived, Visitor) -> V,
        V: Future<Output = ()> + Send + 'static,
    {
        let (listener, tls) = (Arc::clone(&self.name), self.tls.is_some());
        let peer = Peer { address, listener, proxy: false, origin: None, tls, certificate: None };
        let admitted = match self.proxies.has(address.ip()) {
            true => entrance.admit_proxy(peer),
            false => entrance.admit(peer),
        };
        let let_in = admitted.is_ok();
        match admitted {
            Ok(visitor) => {
                let span = tracing::debug_span!(
                    "connection",
                    id = visitor.connection.0,
                    listener = %self.name,
                    %address
                );
                let arrived = Arrived { tcp, tls: self.tls.clone() };
                tokio::spawn(visit(arrived, visitor).instrument(span));
            }
            Err(full) => self.turn_away(&tcp, address, full),
        }
        let_in
    }

    fn turn_away(&self, tcp: &TcpStream, address: SocketAddr, full: Full) {
        tracing::debug!(listener = %self.name, %address, %full, "refused");
        if self.tls.is_none() {
            // As much as fits without waiting; the socket is new, so it fits.
            let _ = tcp.try_write(self.full);
        }
    }

    /// How long to wait after that.
    fn back_off(&self, entrance: &Entrance, error: &io::Error) -> Option<Duration> {
        entrance.counters.accept_errors.one();
        tracing::warn!(listener = %self.name, %error, "accept failed");
        // A peer that gave up while it waited is no reason to make the others wait.
        let gave_up =
            matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
        (!gave_up).then_some(BACK_OFF)
    }
}

/// A socket whose TLS handshake, if any, is still to come.
pub(crate) struct Arrived {
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
}

impl Arrived {
    /// The TLS handshake, in time. The visitor is known by its certificate from there on, if it has one.
    pub(crate) async fn handshake(self, visitor: &mut Visitor) -> Option<Stream> {
        let Some(tls) = self.tls else { return Some(Stream::Plain(self.tcp)) };
        let entrance = &visitor.entrance;
        // Boxed, so that its state does not stay part of the task for the connection's life.
        let handshake = Box::pin(tls.accept(self.tcp));
        match tokio::time::timeout(entrance.limits.first_frame(), handshake).await {
            Ok(Ok(tls)) => {
                let leaf = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
                if let Some(certificate) = leaf.and_then(certificate::read) {
                    let certificate = Some(certificate);
                    visitor.peer = Arc::new(Peer { certificate, ..Peer::clone(&visitor.peer) });
                }
                Some(Stream::Server(Box::new(tls)))
            }
            Ok(Err(error)) => {
                entrance.counters.tls_failed.one();
                tracing::debug!(%error, "tls handshake failed");
                None
            }
            Err(_) => {
                entrance.counters.tls_failed.one();
                tracing::debug!("tls handshake took too long");
                None
            }
        }
    }
}
