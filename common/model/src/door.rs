//! What a connection's door asks of the bus, and what the bus tells the door.
//!
//! A *door* is the pure state machine of one protocol on one connection (MQTT, envelope, raw). It turns bytes
//! into [`Ask`]s and [`Tell`]s into bytes, in its connection's own task. The bus behind it knows nothing of
//! protocols. Every `Ask` that has a ticket or a subscription is answered exactly once.

mod ask;
mod credential;
mod delivery;
mod errand;
mod refusal;
mod session;
mod tell;
mod texts;

pub use ask::{Ask, Flow, From, Intake, Target, Technical, Want};
pub use credential::{Credential, Method, Prompt, Secret, TicketHash};
pub use delivery::{Content, Delivery, Push, Worded, Wording};
pub use errand::{AccountInfo, Errand, Finished, KeyInfo};
pub use refusal::{Code, Refusal};
pub use session::{
    Keep, Loose, NORMAL, STALLED, SessionDelivery, SessionRequest, SessionState, SessionSubscription,
    Showing, Will,
};
pub use tell::{Completeness, RoomInfo, Subscribed, Tell};
pub use texts::Texts;

use crate::time::{Now, Time};
use bytes::Bytes;

/// What happens to a door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Bytes of the stream (MQTT), or one whole binary message (WebSocket).
    Bytes(Bytes),
    /// One whole text message (WebSocket).
    Text(String),
    /// The bus answered or has something.
    Tell(Tell),
    /// The socket can take about this many bytes now. Until it is said again, a door sends answers only.
    Room(u32),
    /// The deadline that [`Door::poll_timeout`] named has come.
    Deadline,
    /// The peer was not read from for a while, or still is not, for reasons of ours: its silence says nothing, and what
    /// it was to say in time it has more time for.
    Unheard,
    /// The peer closed, or the socket broke: the name says which. Nothing can be sent any more.
    Gone(&'static str),
}

/// What a door wants done. Drain these after every input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Write these to the stream, or as one binary message.
    Bytes(Bytes),
    /// Write this as one text message.
    Text(String),
    /// Write these as text messages, in order.
    Texts(Texts),
    /// Ask the bus.
    Ask(Ask),
    /// After what was said before is written, close: nothing follows.
    Close(Refusal),
    /// The peer took its leave: close as above, nothing is wrong.
    Done,
}

/// The one shape of all doors. Implemented by the MQTT, envelope and raw doors.
///
/// One input, then `poll` until it is empty, then the next.
pub trait Door: Send {
    /// Takes one input.
    fn handle(&mut self, input: Input, now: Now);
    /// What it wants done next.
    fn poll(&mut self) -> Option<Output>;
    /// When it wants [`Input::Deadline`].
    fn poll_timeout(&self) -> Option<Time>;
    /// Whether it has as much of its peer's as it can hold: nothing more is read until an answer has changed that.
    fn is_full(&self) -> bool {
        false
    }
}
