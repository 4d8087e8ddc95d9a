//! What a tier's core looks like to whoever owns it: the process's one task, or the simulator. Implemented by
//! the edge's core and the hub's.

use crate::instance::{Input as InstanceInput, Output as InstanceOutput};
use riser_gate::Directory;
use riser_model::{Chunk, Gap, Now, Room, Seq, Time};
use std::sync::Arc;

/// What happens to a core.
#[derive(Debug)]
pub enum Input<L> {
    /// Doors, storage and verifiers.
    Instance(InstanceInput),
    /// A link's socket.
    Link(L),
    /// The answer to [`Output::ReadForLink`].
    ReadForLink {
        /// Which.
        ticket: u64,
        /// What was found.
        chunk: Chunk,
    },
    /// The log let these go.
    Lost(Vec<Gap>),
    /// Accounts changed.
    Changed {
        /// Who may what from here on.
        directory: Arc<Directory>,
        /// The rooms, all of them.
        rooms: Vec<Room>,
    },
    /// The deadline that [`Core::poll_timeout`] named has come.
    Deadline,
    /// The process is going down on purpose.
    Shutdown,
}

/// What a core wants done.
#[derive(Debug)]
pub enum Output<E> {
    /// Something of the instance: tells, storage, verifications.
    Instance(InstanceOutput),
    /// Read the log for a link, where the tail in memory does not reach.
    ReadForLink {
        /// To be echoed.
        ticket: u64,
        /// The first seq wanted.
        from: Seq,
        /// About how many bytes.
        max_bytes: u32,
    },
    /// Something for a link's socket.
    Link(E),
}

/// A tier's core.
pub trait Core: Send + 'static {
    /// What links' sockets bring.
    type LinkInput: Send;
    /// What links' sockets are to do.
    type LinkOutput: Send;

    /// Takes one input. Several may be taken before [`Core::poll`] is drained: they share commits then.
    fn handle(&mut self, input: Input<Self::LinkInput>, now: Now);
    /// What it wants done next.
    fn poll(&mut self, now: Now) -> Option<Output<Self::LinkOutput>>;
    /// When it wants [`Input::Deadline`].
    fn poll_timeout(&self) -> Option<Time>;
    /// Whether nothing is left to be done after [`Input::Shutdown`].
    fn is_drained(&self) -> bool;
}
