//! TCP: the system's, or in a build with `--cfg riser_turmoil` that of a simulated network, on which tests run this
//! very code in virtual time.

#[cfg(riser_turmoil)]
#[path = "tcp/simulated.rs"]
mod sockets;
#[cfg(not(riser_turmoil))]
#[path = "tcp/system.rs"]
mod sockets;

pub use sockets::{TcpListener, TcpStream, lookup_host};
pub(crate) use sockets::{bind, tune};
