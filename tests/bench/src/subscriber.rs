//! One subscriber at the hub, and what it has received by when.

use crate::{corpus, mqtt, nats};
use anyhow::{Context, bail, ensure};
use bytes::{Buf, BytesMut};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time::timeout_at,
};

/// What was received, shared between the subscriber and whoever waits for it.
pub struct Receipts {
    began: Instant,
    count: AtomicU64,
    /// Whether message `n` came; empty when nobody asks for latencies. A copy of it is not counted then.
    came: Vec<AtomicBool>,
    /// How often each payload of a flood came, by its number; empty when nobody asks.
    tally: Vec<AtomicU64>,
    /// How many somebody waits for; nobody is woken before.
    wanted: AtomicU64,
    reached: Notify,
    /// When the first and the last came, in nanoseconds since `began`.
    first: AtomicU64,
    last: AtomicU64,
    /// When message `n` was published, in nanoseconds since `began`; empty when nobody asks for latencies.
    sent: Vec<AtomicU64>,
    latencies: Mutex<Vec<Duration>>,
}

impl Receipts {
    /// Counts, copies too; but each of the messages numbered below `timed` once, and takes its latency.
    pub fn new(timed: usize) -> Arc<Self> {
        Arc::new(Self::with(timed, 0))
    }

    /// Counts, copies too, and keeps of which payloads of a flood they are.
    pub fn tallied() -> Arc<Self> {
        Arc::new(Self::with(0, corpus::PAYLOADS))
    }

    fn with(timed: usize, tallied: usize) -> Self {
        Self {
            began: Instant::now(),
            count: AtomicU64::new(0),
            came: (0..timed).map(|_| AtomicBool::new(false)).collect(),
            tally: (0..tallied).map(|_| AtomicU64::new(0)).collect(),
            wanted: AtomicU64::new(u64::MAX),
            reached: Notify::new(),
            first: AtomicU64::new(u64::MAX),
            last: AtomicU64::new(0),
            sent: (0..timed).map(|_| AtomicU64::new(0)).collect(),
            latencies: Mutex::new(Vec::with_capacity(timed)),
        }
    }

    /// Message `n` is being published.
    pub fn publishing(&self, n: u64) {
        if let Some(sent) = self.sent.get(n as usize) {
            sent.store(self.now(), Ordering::Release);
        }
    }

    /// Of a flood of which each of these connections sent so many: how many there are at the least that did not come. Payloads
    /// of a flood are used again, so a copy of one hides the loss of another with the same payload; of no other.
    pub fn absent(&self, sent: &[(u32, u64)]) -> u64 {
        let came = self.tally.iter().map(|count| count.load(Ordering::Acquire));
        corpus::counts(sent).into_iter().zip(came).map(|(sent, came)| sent.saturating_sub(came)).sum()
    }

    /// How many came.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// When the last of them came.
    pub fn last(&self) -> Instant {
        self.began + Duration::from_nanos(self.last.load(Ordering::Acquire))
    }

    /// Between the first and the last.
    pub fn between(&self) -> Duration {
        let (first, last) = (self.first.load(Ordering::Acquire), self.last.load(Ordering::Acquire));
        Duration::from_nanos(last.saturating_sub(first))
    }

    /// From publishing to receiving, sorted.
    pub fn latencies(&self) -> Vec<Duration> {
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        latencies.sort_unstable();
        latencies
    }

    /// Waits until that many came; one at a time may wait. An error if for `patience` none does.
    pub async fn wait_for(&self, count: u64, patience: Duration) -> anyhow::Result<()> {
        let since = Instant::now();
        self.wanted.store(count, Ordering::SeqCst);
        while self.count.load(Ordering::SeqCst) < count {
            let silent_at = since.max(self.last()) + patience;
            let reached = timeout_at(silent_at.into(), self.reached.notified()).await;
            if reached.is_err() && since.max(self.last()) + patience <= Instant::now() {
                bail!("{} of {count} received, and nothing more for {patience:?}", self.count());
            }
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn received<'a>(&self, payloads: impl Iterator<Item = &'a [u8]>) {
        let now = self.now();
        let mut count = 0;
        for payload in payloads {
            count += u64::from(self.take(payload, now));
        }
        if count > 0 {
            self.first.fetch_min(now, Ordering::AcqRel);
            self.last.store(now, Ordering::Release);
            let came = self.count.fetch_add(count, Ordering::SeqCst) + count;
            if came >= self.wanted.load(Ordering::SeqCst) {
                self.reached.notify_one();
            }
        }
    }

    /// Whether it counts.
    fn take(&self, payload: &[u8], now: u64) -> bool {
        if self.sent.is_empty() && self.tally.is_empty() {
            return true;
        }
        let Some(n) = corpus::number(payload).map(|n| n as usize) else { return true };
        if let Some(count) = self.tally.get(n) {
            count.fetch_add(1, Ordering::AcqRel);
        }
        if self.came.get(n).is_some_and(|came| came.swap(true, Ordering::AcqRel)) {
            return false;
        }
        let sent = self.sent.get(n).map(|sent| sent.load(Ordering::Acquire));
        if let Some(sent) = sent.filter(|sent| *sent > 0) {
            let took = Duration::from_nanos(now.saturating_sub(sent));
            self.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        }
        true
    }
}

/// A subscriber. Ends when dropped.
pub struct Subscriber(JoinHandle<()>);

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Subscriber {
    /// Over MQTT at QoS 1, each publication acknowledged.
    pub async fn mqtt(server: SocketAddr, filter: &str, receipts: Arc<Receipts>) -> anyhow::Result<Self> {
        let mut socket = mqtt::connect(server, "subscriber").await.context("connect the subscriber")?;
        mqtt::subscribe(&mut socket, filter, 1).await.context("subscribe")?;
        Ok(Self(tokio::spawn(said(read_mqtt(socket, receipts)))))
    }

    /// Over a push consumer of JetStream without acknowledgements: the cheapest that NATS has.
    pub async fn nats(server: SocketAddr, receipts: Arc<Receipts>) -> anyhow::Result<Self> {
        let socket = nats::consume(server).await.context("connect the subscriber")?;
        Ok(Self(tokio::spawn(said(read_nats(socket, receipts)))))
    }
}

/// Whoever waits for receipts finds out by their absence; people find out here.
async fn said(read: impl Future<Output = anyhow::Result<()>>) {
    if let Err(error) = read.await {
        eprintln!("subscriber: {error:#}");
    }
}

async fn read_mqtt(mut socket: TcpStream, receipts: Arc<Receipts>) -> anyhow::Result<()> {
    let mut input = BytesMut::with_capacity(256 * 1024);
    let mut acks = Vec::new();
    loop {
        input.reserve(64 * 1024);
        ensure!(socket.read_buf(&mut input).await? > 0, "the hub closed");
        let mut at = 0;
        let packets = std::iter::from_fn(|| {
            let (first, body, length) = mqtt::packet(&input[at..])?;
            at += length;
            Some((first, body))
        });
        let publications = packets.filter(|(first, _)| first >> 4 == 3);
        receipts.received(publications.filter_map(|(first, body)| {
            let publish = mqtt::Publish::read(first, body)?;
            if publish.id > 0 {
                acks.extend_from_slice(&[0x40, 2]);
                acks.extend_from_slice(&publish.id.to_be_bytes());
            }
            Some(publish.payload)
        }));
        input.advance(at);
        socket.write_all(&acks).await?;
        acks.clear();
    }
}

async fn read_nats(mut socket: TcpStream, receipts: Arc<Receipts>) -> anyhow::Result<()> {
    let mut input = BytesMut::with_capacity(256 * 1024);
    loop {
        input.reserve(64 * 1024);
        ensure!(socket.read_buf(&mut input).await? > 0, "the hub closed");
        let (mut at, mut pinged) = (0, false);
        receipts.received(std::iter::from_fn(|| {
            loop {
                match nats::next(&input[at..])? {
                    (nats::Said::Message(payload), length) => {
                        at += length;
                        return Some(payload);
                    }
                    (nats::Said::Ping, length) => {
                        at += length;
                        pinged = true;
                    }
                    (nats::Said::Other, length) => at += length,
                }
            }
        }));
        input.advance(at);
        if pinged {
            socket.write_all(b"PONG\r\n").await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn receipts_are_counted_and_timed() {
        let receipts = Receipts::new(2);
        receipts.publishing(1);
        let payloads = [corpus::payload(0, 1), corpus::payload(0, 7)];
        receipts.received(payloads.iter().map(Vec::as_slice));
        receipts.wait_for(2, Duration::from_secs(1)).await.unwrap();
        assert_eq!(receipts.latencies().len(), 1, "nobody asked for the latency of message 7");
        assert!(receipts.wait_for(3, Duration::ZERO).await.is_err());
    }

    #[tokio::test]
    async fn copy_of_what_is_timed_stands_for_nothing_that_is_lost() {
        let receipts = Receipts::new(2);
        receipts.publishing(0);
        receipts.publishing(1);
        let one = corpus::payload(0, 0);
        receipts.received([&*one, &*one].into_iter());
        assert_eq!((receipts.count(), receipts.latencies().len()), (1, 1));
        assert!(receipts.wait_for(2, Duration::ZERO).await.is_err());
        receipts.received([&*corpus::payload(1, 1)].into_iter());
        receipts.wait_for(2, Duration::ZERO).await.unwrap();
    }

    #[test]
    fn copy_in_a_flood_counts_and_what_is_absent_is_still_absent() {
        let (receipts, sent) = (Receipts::tallied(), [(3, 2), (4, 1)]);
        assert_eq!(receipts.absent(&sent), 3);
        let one = corpus::prepared(3, 0);
        receipts.received([one, one, corpus::prepared(4, 0)].into_iter());
        assert_eq!((receipts.count(), receipts.absent(&sent)), (3, 1));
        receipts.received([corpus::prepared(3, 1)].into_iter());
        assert_eq!((receipts.count(), receipts.absent(&sent)), (4, 0));
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_the_last_of_them() {
        const FOR_EVER: Duration = Duration::from_secs(3600);
        let receipts = Receipts::new(0);
        let waiting = tokio::spawn({
            let receipts = Arc::clone(&receipts);
            async move { receipts.wait_for(3, FOR_EVER).await }
        });
        for n in 0..3 {
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished(), "{n} are not enough");
            receipts.received([corpus::payload(0, n)].iter().map(Vec::as_slice));
        }
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it is woken").unwrap().unwrap();
    }
}
