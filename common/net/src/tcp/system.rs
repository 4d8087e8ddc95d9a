//! The system's TCP.

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::{io, net::SocketAddr, os::fd::AsFd, time::Duration};
pub use tokio::net::{TcpListener, TcpStream};

/// How many handshakes the system may keep for us.
const BACKLOG: i32 = 4096;

/// Listens.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Before anybody comes: who is accepted has the listener's options, and storms of connections are spared five system
    // calls each. A socket that refuses an option is as good without.
    let _ = tune(&socket);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Small packets leave at once, and a peer that vanished without a word is noticed within two minutes even where
/// no protocol above asks.
pub(crate) fn tune(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket.set_tcp_keepalive(&keepalive)
}

/// The addresses of a name.
pub async fn lookup_host(host: &str, port: u16) -> io::Result<impl Iterator<Item = SocketAddr>> {
    tokio::net::lookup_host((host, port)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_accepted_has_the_options_of_the_listener() {
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(accepted.nodelay().unwrap() && !client.nodelay().unwrap());
        assert!(SockRef::from(&accepted).keepalive().unwrap());
    }
}
