//! The cable between an edge and its hub: a TCP forwarder that counts bytes, can be cut in two ways, and can be long.
//!
//! It has two connections where a real cable has one, so what it does is done to bytes and not to packets: a long one holds
//! each byte back for as long as it is said to be under way, and nothing here loses a packet or makes a sender slower. Real
//! packets are what `tests/chaos` mangles.

use anyhow::Context;
use bytes::Bytes;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest, Ready},
    net::{TcpListener, TcpStream, tcp},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
};

/// One end of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Where devices are.
    Edge,
    /// Where subscribers are.
    Hub,
}

/// How it is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Connections are reset, and whoever comes anew is too.
    Reset,
    /// Whatever is sent is swallowed, and nobody hears of it: connections stand as they did, and whoever comes anew has one
    /// on which nothing is said. (Of a real cable that swallows packets a new connection would not get that far.)
    Blackhole,
}

/// How long it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Length {
    /// How long a byte is under way, each way.
    pub delay: Duration,
    /// How long it stands still, each way, and from one such moment to the next: what a packet costs that is lost last, and is sent again only when
    /// its sender has waited for long enough.
    pub stall: Option<(Duration, Duration)>,
}

/// What may be under way on a long one, each way: the largest window that Linux gives a sender by itself.
const WINDOW: usize = 4 << 20;
/// Read at once.
const CHUNK: usize = 64 << 10;
/// How often it is looked whether an end has given up, while nothing is read from it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A cable.
#[derive(Clone)]
pub struct Cable {
    /// Where the edge finds its end.
    pub address: SocketAddr,
    length: Length,
    laid: Instant,
    cut: watch::Sender<Option<(Cut, Instant)>>,
    carried: Arc<AtomicU64>,
    open: watch::Sender<usize>,
    plugged: watch::Sender<Option<Instant>>,
    /// How long after the last cut each end gave its connection up, edge first.
    noticed: watch::Sender<[Option<Duration>; 2]>,
}

impl Cable {
    /// Listens on a free port and carries every connection to `hub` at once.
    pub async fn start(hub: SocketAddr) -> anyhow::Result<Self> {
        Self::long(hub, Length::default()).await
    }

    /// The same over some distance.
    pub async fn long(hub: SocketAddr, length: Length) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("bind the cable")?;
        let cable = Self {
            address: listener.local_addr()?,
            length,
            laid: Instant::now(),
            cut: watch::Sender::new(None),
            carried: Arc::default(),
            open: watch::Sender::new(0),
            plugged: watch::Sender::new(None),
            noticed: watch::Sender::new([None; 2]),
        };
        let shared = cable.clone();
        tokio::spawn(async move {
            while let Ok((edge, _)) = listener.accept().await {
                // Who comes anew has given up what there was.
                shared.gave_up(End::Edge);
                tokio::spawn(shared.clone().carry(edge, hub));
            }
        });
        Ok(cable)
    }

    /// Cuts it. Of a reset it waits until all its connections are gone.
    pub async fn cut(&self, how: Cut) {
        self.noticed.send_replace([None; 2]);
        self.cut.send_replace(Some((how, Instant::now())));
        if how == Cut::Reset {
            // It lives as long as this does.
            let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
        }
        self.plugged.send_replace(None);
    }

    /// Mends it. Connections that still stand go on.
    pub fn mend(&self) {
        self.cut.send_replace(None);
    }

    /// Bytes carried so far, both ways together.
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// When the first connection after the last cut had both its ends.
    pub fn plugged(&self) -> Option<Instant> {
        *self.plugged.borrow()
    }

    /// How long after the cut that end gave its connection up; none if it has not within `patience` of now.
    pub async fn noticed(&self, end: End, patience: Duration) -> Option<Duration> {
        let mut noticed = self.noticed.subscribe();
        let found = noticed.wait_for(|noticed| noticed[end as usize].is_some());
        tokio::time::timeout(patience, found).await.ok()?.ok()?[end as usize]
    }

    fn gave_up(&self, end: End) {
        let Some((Cut::Blackhole, since)) = *self.cut.borrow() else { return };
        self.noticed.send_if_modified(|noticed| {
            let place = &mut noticed[end as usize];
            place.is_none() && place.replace(since.elapsed()).is_none()
        });
    }

    async fn carry(self, mut edge: TcpStream, hub: SocketAddr) {
        self.open.send_modify(|open| *open += 1);
        if self.carry_until_cut(&mut edge, hub).await.is_none() {
            // Best effort: it is closed all the same.
            let _ = edge.set_zero_linger();
        }
        drop(edge);
        self.open.send_modify(|open| *open -= 1);
    }

    /// None if it was reset, and not an end's own wish.
    async fn carry_until_cut(&self, edge: &mut TcpStream, hub: SocketAddr) -> Option<()> {
        let mut cut = self.cut.subscribe();
        // It lives as long as this does.
        let _ = cut.wait_for(|cut| how(cut) != Some(Cut::Blackhole)).await;
        let is_cut = how(&self.cut.borrow()).is_some();
        if is_cut || is_closed(edge.ready(Interest::READABLE)).await {
            return None;
        }
        let mut hub = TcpStream::connect(hub).await.ok()?;
        // Latency is the link's business; Nagle would add its own.
        edge.set_nodelay(true).and_then(|()| hub.set_nodelay(true)).ok()?;
        self.plugged
            .send_if_modified(|plugged| plugged.is_none() && plugged.replace(Instant::now()).is_none());
        let ((edge_out, edge_in), (hub_out, hub_in)) = (edge.split(), hub.split());
        let is_reset = tokio::select! {
            () = self.copy(edge_out, hub_in, End::Edge) => false,
            () = self.copy(hub_out, edge_in, End::Hub) => false,
            _ = cut.wait_for(|cut| how(cut) == Some(Cut::Reset)) => true,
        };
        if is_reset {
            // The same as for the edge.
            let _ = hub.set_zero_linger();
            return None;
        }
        Some(())
    }

    /// What comes from that end, until either is gone.
    async fn copy(&self, mut from: tcp::ReadHalf<'_>, mut to: tcp::WriteHalf<'_>, end: End) {
        let (mut buffer, mut cut) = (vec![0; CHUNK], self.cut.subscribe());
        if self.length == Length::default() {
            while let Some(length) = self.read(&mut from, &mut buffer, &mut cut, end).await {
                if self.hand_on(&mut to, &buffer[..length], &mut cut).await.is_none() {
                    return;
                }
            }
            return;
        }
        let (queue, mut under_way) = mpsc::unbounded_channel::<UnderWay>();
        let window = Arc::new(Semaphore::new(WINDOW));
        let sending = async {
            while let Some(length) = self.read(&mut from, &mut buffer, &mut cut, end).await {
                let room = Arc::clone(&window).acquire_many_owned(length as u32).await;
                let room = room.expect("nobody closes it");
                let due = Instant::now() + self.length.delay;
                let bytes = Bytes::copy_from_slice(&buffer[..length]);
                if queue.send(UnderWay { due, bytes, _room: room }).is_err() {
                    return;
                }
            }
            // What is under way still arrives.
            drop(queue);
            std::future::pending().await
        };
        let arriving = async {
            let mut cut = self.cut.subscribe();
            while let Some(one) = under_way.recv().await {
                tokio::time::sleep_until(one.due.into()).await;
                self.stand_still().await;
                if self.hand_on(&mut to, &one.bytes, &mut cut).await.is_none() {
                    return;
                }
            }
        };
        tokio::select! {
            () = sending => {}
            () = arriving => {}
        }
    }

    /// Some bytes of that end; none when it is gone.
    async fn read(
        &self,
        from: &mut tcp::ReadHalf<'_>,
        buffer: &mut [u8],
        cut: &mut watch::Receiver<Option<(Cut, Instant)>>,
        end: End,
    ) -> Option<usize> {
        loop {
            while how(&cut.borrow_and_update()) == Some(Cut::Blackhole) {
                if is_closed(from.ready(Interest::READABLE)).await {
                    self.gave_up(end);
                }
                // It is looked again: nobody is told of a socket that was closed and is not read.
                let _ = tokio::time::timeout(LOOK_EVERY, cut.changed()).await;
            }
            tokio::select! {
                read = from.read(buffer) => return read.ok().filter(|length| *length > 0),
                _ = cut.wait_for(|cut| how(cut) == Some(Cut::Blackhole)) => {}
            }
        }
    }

    /// Writes that at the other end, when there is one. None if that is gone.
    async fn hand_on(
        &self,
        to: &mut tcp::WriteHalf<'_>,
        bytes: &[u8],
        cut: &mut watch::Receiver<Option<(Cut, Instant)>>,
    ) -> Option<()> {
        cut.wait_for(|cut| how(cut) != Some(Cut::Blackhole)).await.ok()?;
        to.write_all(bytes).await.ok()?;
        self.carried.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Some(())
    }

    /// As long as a long one does at this moment.
    async fn stand_still(&self) {
        let Some((lasts, every)) = self.length.stall else { return };
        let phase = self.laid.elapsed().as_nanos() % every.as_nanos().max(1);
        let rest = lasts.as_nanos().saturating_sub(phase);
        tokio::time::sleep(Duration::from_nanos(rest as u64)).await;
    }
}

struct UnderWay {
    due: Instant,
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

fn how(cut: &Option<(Cut, Instant)>) -> Option<Cut> {
    cut.map(|(how, _)| how)
}

/// Whether the peer of a socket has closed it, without waiting for anything.
async fn is_closed(ready: impl Future<Output = std::io::Result<Ready>>) -> bool {
    let ready = tokio::time::timeout(Duration::ZERO, ready).await;
    ready.is_ok_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    async fn joined(length: Length) -> (Cable, TcpListener, TcpStream, TcpStream) {
        let hub = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let cable = Cable::long(hub.local_addr().unwrap(), length).await.unwrap();
        let edge = TcpStream::connect(cable.address).await.unwrap();
        let (far, _) = hub.accept().await.unwrap();
        (cable, hub, edge, far)
    }

    #[tokio::test]
    async fn what_is_carried_is_counted_and_a_cut_resets_it() {
        let (cable, _hub, mut edge, mut far) = joined(Length::default()).await;
        edge.write_all(&[1; 1000]).await.unwrap();
        let mut bytes = [0; 1000];
        far.read_exact(&mut bytes).await.unwrap();
        far.write_all(&[2; 24]).await.unwrap();
        edge.read_exact(&mut bytes[..24]).await.unwrap();
        assert!(cable.plugged().is_some());
        cable.cut(Cut::Reset).await;
        assert_eq!(cable.plugged(), None);
        for end in [&mut edge, &mut far] {
            assert_eq!(end.read(&mut bytes).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        }
        assert_eq!(cable.carried(), 1024);
    }

    #[tokio::test]
    async fn black_hole_swallows_until_it_is_mended_and_tells_who_gave_up() {
        let (cable, hub, mut edge, mut far) = joined(Length::default()).await;
        cable.cut(Cut::Blackhole).await;
        edge.write_all(&[1; 8]).await.unwrap();
        let mut bytes = [0; 8];
        tokio::time::timeout(4 * LOOK_EVERY, far.read(&mut bytes)).await.unwrap_err();
        assert_eq!(cable.noticed(End::Edge, Duration::ZERO).await, None);
        drop(edge);
        let first = cable.noticed(End::Edge, SOON).await.unwrap();
        let mut again = TcpStream::connect(cable.address).await.unwrap();
        assert_eq!(cable.noticed(End::Edge, SOON).await, Some(first), "the first time counts");
        assert_eq!(cable.noticed(End::Hub, Duration::ZERO).await, None);
        cable.mend();
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(far.read(&mut bytes).await.unwrap(), 0, "that it was closed is heard then");
        let (mut far, _) = hub.accept().await.unwrap();
        again.write_all(&[3; 8]).await.unwrap();
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, [3; 8]);
    }

    #[tokio::test]
    async fn long_one_takes_its_time_and_loses_nothing() {
        let delay = Duration::from_millis(20);
        let stall = Some((Duration::from_millis(5), Duration::from_millis(10)));
        let (_cable, _hub, mut edge, mut far) = joined(Length { delay, stall }).await;
        let began = Instant::now();
        let sent: Vec<u8> = (0..200_000).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let sending = tokio::spawn(async move {
            edge.write_all(&sent).await.unwrap();
            // What is under way when it is closed still arrives.
        });
        let mut came = Vec::new();
        far.read_to_end(&mut came).await.unwrap();
        sending.await.unwrap();
        assert!(came == expected && began.elapsed() >= delay);
    }
}
