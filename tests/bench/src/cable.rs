//! The cable between an edge and its hub: a TCP forwarder that counts bytes and can be cut.

use anyhow::Context;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
};

/// A cable.
#[derive(Clone)]
pub struct Cable {
    /// Where the edge finds its end.
    pub address: SocketAddr,
    whole: watch::Sender<bool>,
    carried: Arc<AtomicU64>,
    open: watch::Sender<usize>,
    plugged: watch::Sender<Option<Instant>>,
}

impl Cable {
    /// Listens on a free port and carries every connection to `hub`.
    pub async fn start(hub: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("bind the cable")?;
        let cable = Self {
            address: listener.local_addr()?,
            whole: watch::Sender::new(true),
            carried: Arc::default(),
            open: watch::Sender::new(0),
            plugged: watch::Sender::new(None),
        };
        let shared = cable.clone();
        tokio::spawn(async move {
            while let Ok((edge, _)) = listener.accept().await {
                tokio::spawn(shared.clone().carry(edge, hub));
            }
        });
        Ok(cable)
    }

    /// Cuts it, and waits until all its connections are gone. New ones are closed at once.
    pub async fn cut(&self) {
        self.whole.send_replace(false);
        // It lives as long as this does.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
        self.plugged.send_replace(None);
    }

    /// Mends it.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }

    /// Bytes carried so far, both ways together.
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// When the first connection after the last cut had both its ends.
    pub fn plugged(&self) -> Option<Instant> {
        *self.plugged.borrow()
    }

    async fn carry(self, edge: TcpStream, hub: SocketAddr) {
        self.open.send_modify(|open| *open += 1);
        self.carry_while_whole(edge, hub).await;
        self.open.send_modify(|open| *open -= 1);
    }

    async fn carry_while_whole(&self, edge: TcpStream, hub: SocketAddr) {
        let mut whole = self.whole.subscribe();
        if !*whole.borrow_and_update() {
            return;
        }
        let Ok(hub) = TcpStream::connect(hub).await else { return };
        // Latency is the link's business; Nagle would add its own.
        let (Ok(()), Ok(())) = (edge.set_nodelay(true), hub.set_nodelay(true)) else { return };
        self.plugged
            .send_if_modified(|plugged| plugged.is_none() && plugged.replace(Instant::now()).is_none());
        let ((edge_out, edge_in), (hub_out, hub_in)) = (edge.into_split(), hub.into_split());
        tokio::select! {
            () = copy(edge_out, hub_in, &self.carried) => {}
            () = copy(hub_out, edge_in, &self.carried) => {}
            _ = whole.wait_for(|whole| !whole) => {}
        }
    }
}

/// Until either end is gone.
async fn copy(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, carried: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        carried.fetch_add(length as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_carried_is_counted_and_a_cut_ends_it() {
        let hub = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let cable = Cable::start(hub.local_addr().unwrap()).await.unwrap();
        let mut edge = TcpStream::connect(cable.address).await.unwrap();
        let (mut far, _) = hub.accept().await.unwrap();
        edge.write_all(&[1; 1000]).await.unwrap();
        let mut bytes = [0; 1000];
        far.read_exact(&mut bytes).await.unwrap();
        far.write_all(&[2; 24]).await.unwrap();
        edge.read_exact(&mut bytes[..24]).await.unwrap();
        assert!(cable.plugged().is_some());
        cable.cut().await;
        assert_eq!(cable.plugged(), None);
        assert!(matches!(edge.read(&mut bytes).await, Ok(0) | Err(_)));
        assert_eq!(cable.carried(), 1024);
    }
}
