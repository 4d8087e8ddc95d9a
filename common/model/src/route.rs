//! Where a publication goes and whom it is from, as one small number within a log.

use crate::{
    id::{ClientId, RoomId},
    name::ChannelName,
};
use serde::{Deserialize, Serialize};

/// The number of a [`Route`] within one log, one link epoch or one connection's batch. Dense from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RouteNumber(pub u32);

/// (room, channel, source client) of an entry. Defined once per log in a block header, then only numbered.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Route {
    /// The room it was published in.
    pub room: RoomId,
    /// The channel within that room.
    pub channel: ChannelName,
    /// Who published it.
    pub client: ClientId,
}

impl RouteNumber {
    /// Of an entry that belongs to no channel: a session, a release, an anchor.
    pub const NONE: Self = Self(u32::MAX);
    /// The bit of numbers that no log gives: an archive's readers do, to what they hand out, for one answer.
    pub const ARCHIVED: u32 = 1 << 31;
}
