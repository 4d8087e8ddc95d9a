//! What all listeners of a process share: limits, ids, the way to the core, and who is inside.
//!
//! A connection is counted from accept to the end of its task by its [`Visitor`]; nobody is inside without one.

use crate::{
    counters::Counters,
    inbox::CoreHandle,
    pace::{Paces, Rate},
    tells::TellOutbox,
};
use riser_model::{Certificate, ConnectionId, Now};
use riser_wire::limits;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// Reads the host's two clocks.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// How much the network may cost. Each has a reason to exist and a counter that moves when it is exceeded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections of the process, over all listeners.
    pub connections_max: usize,
    /// Connections of one address (of one /64 where it is IPv6). Loopback is not counted.
    pub per_address_max: usize,
    /// Connections of one address per second; one refused for this does not count. Loopback is not counted; 0 is no
    /// bound.
    pub handshakes_per_s: u64,
    /// Connections that one listener accepts per second; more wait in the system's queue. 0 is no bound.
    pub accepts_per_s: u64,
    /// What one principal publishes per second on all its connections, in messages; who is over it is read from more
    /// slowly. 0 is no bound.
    pub publications_per_s: u64,
    /// The same in bytes of entries.
    pub published_bytes_per_s: u64,
    /// What one principal subscribes to and unsubscribes from per second on all its connections; who is over it is read
    /// from more slowly. 0 is no bound.
    pub subscriptions_per_s: u64,
    /// How often one principal says anew who it is per second on all its connections; who does so more often is read from
    /// more slowly. 0 is no bound.
    pub renewals_per_s: u64,
    /// How long TLS and the first HTTP request may take together, and after that the first frame, in
    /// milliseconds.
    pub first_frame_ms: u64,
    /// How long a peer may take nothing of what waits for it, in milliseconds.
    pub stall_ms: u64,
    /// A WebSocket from which nothing came for so long is pinged, in milliseconds. MQTT has a keepalive of its own.
    pub ping_ms: u64,
    /// How long it may take to answer that, in milliseconds.
    pub pong_ms: u64,
    /// How long a connection may take to finish what it has begun when the process ends, in milliseconds.
    pub stop_ms: u64,
    /// How long a closing connection waits for the peer to close too, in milliseconds.
    pub linger_ms: u64,
    /// How long an HTTP request may take to be answered, its body included, in milliseconds.
    pub answer_ms: u64,
    /// Taken from a peer before it is authenticated, bytes.
    pub unauthenticated_bytes_max: usize,
    /// What may wait to be written to one peer before it is read from no further, bytes. A door is offered as
    /// much.
    pub write_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            per_address_max: 2_500,
            handshakes_per_s: 200,
            accepts_per_s: 1_000,
            publications_per_s: 100_000,
            published_bytes_per_s: 64 << 20,
            subscriptions_per_s: 10_000,
            renewals_per_s: 10,
            first_frame_ms: 5_000,
            stall_ms: 30_000,
            ping_ms: 25_000,
            pong_ms: 12_000,
            stop_ms: 5_000,
            linger_ms: 1_000,
            answer_ms: 30_000,
            unauthenticated_bytes_max: limits::UNAUTHENTICATED_BYTES_MAX,
            write_bytes_max: 64 * 1024,
        }
    }
}

impl Limits {
    pub(crate) fn first_frame(&self) -> Duration {
        Duration::from_millis(self.first_frame_ms)
    }

    pub(crate) fn stall(&self) -> Duration {
        Duration::from_millis(self.stall_ms)
    }

    pub(crate) fn ping(&self) -> Duration {
        Duration::from_millis(self.ping_ms)
    }

    pub(crate) fn pong(&self) -> Duration {
        Duration::from_millis(self.pong_ms)
    }

    pub(crate) fn stop(&self) -> Duration {
        Duration::from_millis(self.stop_ms)
    }

    pub(crate) fn linger(&self) -> Duration {
        Duration::from_millis(self.linger_ms)
    }

    pub(crate) fn answer(&self) -> Duration {
        Duration::from_millis(self.answer_ms)
    }
}

/// Who is on the other end, as far as the socket knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address; behind a proxy that is believed, as that one says it, with port 0.
    pub address: SocketAddr,
    /// The listener it came through, by its configured name.
    pub listener: Arc<str>,
    /// Whether that is a proxy of which nobody knows who is behind it: one that is believed and has not said so, or one on this
    /// host that is not named.
    pub proxy: bool,
    /// The page that its browser acts for, if it is one and says so.
    pub origin: Option<Arc<str>>,
    /// Whether the socket is encrypted, or leads to a proxy on this host that is believed: nobody listens there.
    pub tls: bool,
    /// The certificate that it proved to hold, if the listener asked and it had one.
    pub certificate: Option<Certificate>,
}

/// The one entrance of a process.
pub struct Entrance {
    pub(crate) limits: Limits,
    pub(crate) core: CoreHandle,
    pub(crate) clock: Clock,
    pub(crate) counters: Arc<Counters>,
    pub(crate) paces: Paces,
    ids: Arc<AtomicU64>,
    inside: Mutex<Inside>,
    count: watch::Sender<usize>,
    stopping: watch::Sender<bool>,
}

/// What is known of an address.
#[derive(Default)]
struct Address {
    open: usize,
    knocks: Rate,
}

/// Beyond so many addresses those are forgotten of which nothing is open and that were quiet.
const ADDRESSES_KEPT: usize = 1024;

#[derive(Default)]
struct Inside {
    addresses: BTreeMap<IpAddr, Address>,
    doors: BTreeMap<ConnectionId, TellOutbox>,
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entrance")
            .field("limits", &self.limits)
            .field("open", &self.open())
            .finish_non_exhaustive()
    }
}

/// Why nobody more is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Full {
    /// The process has as many connections as allowed.
    #[error("admit a connection: {0} are open, which is limits.connections_max; come back later")]
    Total(usize),
    /// The address knocks more often than allowed.
    #[error("admit a connection: this address knocks more often than limits.handshakes_per_s")]
    Knocks,
    /// The address has as many as allowed.
    #[error("admit a connection: {0} are open from this address, which is limits.per_address_max")]
    Address(usize),
}

impl Entrance {
    /// An entrance to the core. Connection ids are drawn from `ids`, which whoever else makes connections
    /// shares.
    pub fn new(limits: Limits, core: CoreHandle, clock: Clock, ids: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            core,
            clock,
            counters: Arc::new(Counters::default()),
            ids,
            paces: Paces::default(),
            inside: Mutex::default(),
            count: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
        })
    }

    /// An entrance beside this one with places of its own, so that one cannot fill the other: for links and for
    /// operations. Clock, ids, core and counters are shared; it is stopped by itself.
    #[must_use]
    pub fn apart(&self, connections_max: usize) -> Arc<Self> {
        self.apart_with(Limits { connections_max, ..self.limits.clone() })
    }

    /// The same, of which one address has no more than a share: a few places that nobody takes alone.
    #[must_use]
    pub fn apart_in_shares(&self, connections_max: usize, per_address_max: usize) -> Arc<Self> {
        self.apart_with(Limits { connections_max, per_address_max, ..self.limits.clone() })
    }

    fn apart_with(&self, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            core: self.core.clone(),
            clock: Arc::clone(&self.clock),
            counters: Arc::clone(&self.counters),
            ids: Arc::clone(&self.ids),
            paces: Paces::default(),
            inside: Mutex::default(),
            count: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
        })
    }

    /// What happened here so far.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        *self.count.borrow()
    }

    /// Ends it: listeners stop to accept, doors finish what they have taken, say goodbye and close. Returns at
    /// once; [`Entrance::emptied`] waits.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
        for door in self.inside().doors.values() {
            door.stop();
        }
    }

    /// Waits until [`Entrance::stop`] was called.
    pub async fn stopped(&self) {
        // The sender lives in self, so this cannot fail.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Whether [`Entrance::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until no connection is open.
    pub async fn emptied(&self) {
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Counts a new connection in, or says why not.
    pub fn admit(self: &Arc<Self>, peer: Peer) -> Result<Visitor, Full> {
        let counted = counted(peer.address.ip());
        self.let_in(peer, counted)
    }

    /// The same of a proxy's, which is not counted as one of its own address: who is behind it is ([`Self::behind`]).
    pub(crate) fn admit_proxy(self: &Arc<Self>, peer: Peer) -> Result<Visitor, Full> {
        self.let_in(peer, None)
    }

    fn let_in(self: &Arc<Self>, peer: Peer, counted: Option<IpAddr>) -> Result<Visitor, Full> {
        let mut inside = self.inside();
        if let Some(address) = counted {
            self.knocks(&mut inside, address)?;
        }
        let open = self.open();
        if open >= self.limits.connections_max {
            self.counters.refused_total.one();
            return Err(Full::Total(open));
        }
        if let Some(address) = counted {
            self.opens(&mut inside, address)?;
        }
        self.count.send_modify(|count| *count += 1);
        self.counters.accepted.one();
        let connection = ConnectionId(self.ids.fetch_add(1, Ordering::Relaxed));
        Ok(Visitor { entrance: Arc::clone(self), connection, peer: Arc::new(peer), counted, behind: None })
    }

    /// Counts who is behind a proxy as one connection more of its own address, or says why not.
    pub(crate) fn behind(self: &Arc<Self>, address: IpAddr) -> Result<Behind, Full> {
        let counted = counted(address);
        if let Some(address) = counted {
            let mut inside = self.inside();
            self.knocks(&mut inside, address)?;
            self.opens(&mut inside, address)?;
        }
        Ok(Behind { entrance: Arc::clone(self), counted })
    }

    fn knocks(&self, inside: &mut Inside, address: IpAddr) -> Result<(), Full> {
        let now = (self.clock)().time;
        if inside.addresses.len() > ADDRESSES_KEPT && inside.addresses.len().is_power_of_two() {
            inside.addresses.retain(|_, one| one.open > 0 || !one.knocks.is_forgotten(now));
        }
        let here = inside.addresses.entry(address).or_default();
        if here.knocks.admits(self.limits.handshakes_per_s, now) {
            return Ok(());
        }
        self.counters.refused_knocks.one();
        Err(Full::Knocks)
    }

    fn opens(&self, inside: &mut Inside, address: IpAddr) -> Result<(), Full> {
        let here = inside.addresses.entry(address).or_default();
        if here.open >= self.limits.per_address_max {
            self.counters.refused_address.one();
            return Err(Full::Address(here.open));
        }
        here.open += 1;
        Ok(())
    }

    fn closes(&self, inside: &mut Inside, address: IpAddr) {
        if let Some(here) = inside.addresses.get_mut(&address) {
            here.open -= 1;
            if here.open == 0 && here.knocks.is_forgotten((self.clock)().time) {
                inside.addresses.remove(&address);
            }
        }
    }

    pub(crate) fn door_opened(&self, connection: ConnectionId, tells: TellOutbox) {
        self.inside().doors.insert(connection, tells.clone());
        // Whoever comes while everyone is sent home was perhaps not seen by `stop`.
        if self.is_stopping() {
            tells.stop();
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The unit in which addresses are counted; none for loopback.
fn counted(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(v4) => Some(v4.into()),
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

/// One connection that was let in; it is inside until this is dropped.
#[derive(Debug)]
pub struct Visitor {
    pub(crate) entrance: Arc<Entrance>,
    /// Its id, never used again.
    pub connection: ConnectionId,
    /// Who is there.
    pub peer: Arc<Peer>,
    counted: Option<IpAddr>,
    /// It is behind a proxy.
    pub(crate) behind: Option<Behind>,
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let mut inside = self.entrance.inside();
        inside.doors.remove(&self.connection);
        if let Some(address) = self.counted {
            self.entrance.closes(&mut inside, address);
        }
        self.entrance.count.send_modify(|count| *count -= 1);
    }
}

/// Somebody behind a proxy, counted for as long as this is there.
#[derive(Debug)]
pub(crate) struct Behind {
    entrance: Arc<Entrance>,
    counted: Option<IpAddr>,
}

impl Drop for Behind {
    fn drop(&mut self) {
        if let Some(address) = self.counted {
            self.entrance.closes(&mut self.entrance.inside(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::core_inbox;

    fn entrance(limits: Limits) -> Arc<Entrance> {
        let (core, _) = core_inbox(1);
        Entrance::new(limits, core, Arc::new(Now::default), Arc::default())
    }

    fn peer(address: &str) -> Peer {
        let address = SocketAddr::new(address.parse().unwrap(), 1);
        Peer { address, listener: "mqtt".into(), proxy: false, origin: None, tls: false, certificate: None }
    }

    #[test]
    fn one_address_takes_only_its_share() {
        let entrance = entrance(Limits { per_address_max: 2, connections_max: 7, ..Limits::default() });
        let admit = |address| entrance.admit(peer(address));
        let first = admit("192.0.2.1").unwrap();
        let _second = admit("::ffff:192.0.2.1").unwrap();
        assert_eq!(admit("192.0.2.1").unwrap_err(), Full::Address(2));
        let _other = admit("192.0.2.2").unwrap();
        let _six = (admit("2001:db8::1").unwrap(), admit("2001:db8::2:1").unwrap());
        assert_eq!(admit("2001:db8::3").unwrap_err(), Full::Address(2));
        let _next = admit("2001:db8:0:1::1").unwrap();
        drop(first);
        let _again = admit("192.0.2.1").unwrap();
        let _local = admit("127.0.0.1").unwrap();
        assert_eq!(admit("127.0.0.1").unwrap_err(), Full::Total(7));
        assert_eq!(entrance.counters().refused_address.read(), 2);
        assert_eq!(entrance.counters().refused_total.read(), 1);
    }

    #[test]
    fn who_is_behind_a_proxy_is_counted_and_the_proxy_is_not() {
        let entrance = entrance(Limits { per_address_max: 2, ..Limits::default() });
        let _proxies: Vec<Visitor> =
            (0..9).map(|_| entrance.admit_proxy(peer("192.0.2.1")).unwrap()).collect();
        let behind = |address: &str| entrance.behind(address.parse().unwrap());
        let first = behind("198.51.100.7").unwrap();
        let _second = behind("198.51.100.7").unwrap();
        assert_eq!(behind("198.51.100.7").unwrap_err(), Full::Address(2));
        assert_eq!(entrance.admit(peer("198.51.100.7")).unwrap_err(), Full::Address(2), "nor by itself");
        let _other = behind("198.51.100.8").unwrap();
        drop(first);
        let _again = behind("198.51.100.7").unwrap();
        assert_eq!(entrance.open(), 9);
    }

    #[test]
    fn places_in_shares_are_not_taken_by_one_address() {
        let apart = entrance(Limits::default()).apart_in_shares(64, 16);
        let idle: Vec<Visitor> = (0..64).filter_map(|_| apart.admit(peer("192.0.2.1")).ok()).collect();
        assert_eq!(idle.len(), 16);
        assert!(apart.admit(peer("192.0.2.2")).is_ok() && apart.admit(peer("127.0.0.1")).is_ok());
    }

    #[test]
    fn an_address_that_knocks_too_often_is_turned_away_and_others_are_not() {
        let entrance = entrance(Limits { handshakes_per_s: 3, ..Limits::default() });
        for _ in 0..3 {
            assert!(entrance.admit(peer("192.0.2.1")).is_ok());
        }
        assert_eq!(entrance.admit(peer("192.0.2.1")).unwrap_err(), Full::Knocks, "though none is open");
        assert!(entrance.admit(peer("192.0.2.2")).is_ok());
        for _ in 0..9 {
            assert!(entrance.admit(peer("127.0.0.1")).is_ok());
        }
        assert_eq!(entrance.counters().refused_knocks.read(), 1);
        for n in 0..5000u16 {
            let [high, low] = n.to_be_bytes();
            assert!(entrance.admit(peer(&format!("198.51.{high}.{low}"))).is_ok());
        }
        assert!(entrance.inside().addresses.len() <= 8192);
    }

    #[test]
    fn storm_of_knocks_is_let_in_at_its_rate_and_forgotten_when_it_is_over() {
        let (core, _) = core_inbox(1);
        let ms = Arc::new(AtomicU64::new(1 << 20));
        let reads = Arc::clone(&ms);
        let clock = move || Now {
            time: Now::default().time.plus(Duration::from_millis(reads.load(Ordering::Relaxed))),
            ..Now::default()
        };
        let limits = Limits { handshakes_per_s: 20, ..Limits::default() };
        let entrance = Entrance::new(limits, core, Arc::new(clock), Arc::default());
        let knock = || entrance.admit(peer("192.0.2.1")).is_ok();
        let mut in_a_minute = 0;
        for _ in 0..60 * 200 {
            ms.fetch_add(5, Ordering::Relaxed);
            in_a_minute += usize::from(knock());
        }
        assert!((60 * 20..=61 * 20 + 1).contains(&in_a_minute), "{in_a_minute}");
        ms.fetch_add(1000, Ordering::Relaxed);
        assert!((0..20).all(|_| knock()), "the storm is over");
    }

    #[test]
    fn ids_are_never_used_again_and_places_are() {
        let entrance = entrance(Limits { connections_max: 1, ..Limits::default() });
        let apart = entrance.apart(1);
        let ids: Vec<u64> = (0..3)
            .flat_map(|_| {
                let here = entrance.admit(peer("127.0.0.1")).unwrap();
                let there = apart.admit(peer("192.0.2.1")).unwrap();
                [here.connection.0, there.connection.0]
            })
            .collect();
        assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
        assert_eq!((entrance.open(), apart.open()), (0, 0));
        assert!(apart.inside().addresses.values().all(|one| one.open == 0));
    }
}
