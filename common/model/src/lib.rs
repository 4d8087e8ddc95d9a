//! The nouns of Riser: ids, positions, time, names, publications, events, rights.
//!
//! Everything here is a plain value that is valid once it exists: names and filters are parsed at the
//! boundary and never checked again. There is no I/O, no clock and no randomness.
//!
//! Read [`position`] first (how one message is identified for ever), then [`door`] (what a connection asks of
//! the bus and what the bus answers).

pub mod audit;
pub mod batch;
pub mod certificate;
pub mod cursor;
pub mod door;
pub mod duration;
pub mod event;
pub mod gap;
pub mod id;
pub mod interest;
pub mod look;
pub mod name;
pub mod network;
pub mod number;
pub mod position;
pub mod principal;
pub mod quota;
pub mod role;
pub mod room;
pub mod route;
pub mod schema;
pub mod share;
pub mod size;
pub mod tally;
pub mod time;

pub use audit::{Audited, Deed};
pub use batch::{Archived, Batch, Chunk, Mark, Read, Run, Selected};
pub use certificate::Certificate;
pub use cursor::{CursorKey, CursorMove, CursorValue, EpochSpan, HubIdentity, PublicKey};
pub use gap::{Cause, Gap};
pub use id::{
    AccountId, BootId, ClientId, ConnectionId, Epoch, LogId, RoomId, Seq, SessionId, SubscriptionId,
};
pub use interest::{Interest, Selection, Since};
pub use name::{AccountName, ChannelName, Filter, RoomName};
pub use network::{Network, Networks};
pub use number::NumberMap;
pub use position::Position;
pub use principal::{Grants, Home, Memberships, Principal, Right};
pub use quota::Quota;
pub use role::{Role, Whom};
pub use room::{Binding, History, Retention, Room, RoomKind};
pub use route::{Route, RouteNumber};
pub use schema::Schema;
pub use share::{ShareChange, ShareKey, ShareState, ShareWant};
pub use time::{Now, Stamp, Time, Wall};
