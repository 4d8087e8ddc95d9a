//! A TCP forwarder with a switch: the only way to cut a link, and only the demo has one.

use anyhow::Context;
use std::net::SocketAddr;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A cable between an edge and the hub.
#[derive(Clone)]
pub struct Forwarder {
    address: SocketAddr,
    whole: watch::Sender<bool>,
}

impl Forwarder {
    /// Listens on a free loopback port and carries every connection to `hub`.
    pub async fn start(hub: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("bind the forwarder")?;
        let forwarder = Self { address: listener.local_addr()?, whole: watch::Sender::new(true) };
        let whole = forwarder.whole.subscribe();
        tokio::spawn(async move {
            while let Ok((edge, _)) = listener.accept().await {
                tokio::spawn(carry(edge, hub, whole.clone()));
            }
        });
        Ok(forwarder)
    }

    /// Where the edge finds its end.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the cable or mends it. Cut, its connections are gone and new ones are closed at once.
    pub fn set_whole(&self, whole: bool) {
        self.whole.send_replace(whole);
    }

    /// Whether it carries.
    pub fn is_whole(&self) -> bool {
        *self.whole.borrow()
    }
}

async fn carry(mut edge: TcpStream, hub: SocketAddr, mut whole: watch::Receiver<bool>) {
    if !*whole.borrow_and_update() {
        return;
    }
    let Ok(mut hub) = TcpStream::connect(hub).await else { return };
    // Latency is the link's business; Nagle would add its own.
    let (Ok(()), Ok(())) = (edge.set_nodelay(true), hub.set_nodelay(true)) else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut edge, &mut hub) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}
