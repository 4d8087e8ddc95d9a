//! A simulated network's TCP. Who calls this is a host of a simulation.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    task::{Context, Poll, Waker},
};
pub use turmoil::net::{TcpListener, TcpStream};

/// Listens.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    // There is nothing to wait for.
    match pin!(TcpListener::bind(address)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(bound) => bound,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// There is nothing to tune.
pub(crate) fn tune(_socket: &TcpStream) -> io::Result<()> {
    Ok(())
}

/// The address of a host. One that the simulation does not have is an address where nobody answers.
pub async fn lookup_host(host: &str, port: u16) -> io::Result<impl Iterator<Item = SocketAddr>> {
    let address: IpAddr = host.parse().unwrap_or_else(|_| turmoil::lookup(host));
    Ok(std::iter::once(SocketAddr::new(address, port)))
}
