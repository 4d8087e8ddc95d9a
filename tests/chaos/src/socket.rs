//! The clients' sockets: the system's, or a simulated network's in the build for it.

#[cfg(not(riser_turmoil))]
pub(crate) use tokio::net::TcpStream;
#[cfg(riser_turmoil)]
pub(crate) use turmoil::net::TcpStream;
