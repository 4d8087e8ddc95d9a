//! What a room takes at most.

use crate::{duration::Duration, size::ByteSize};
use serde::{Deserialize, Serialize};

/// What a room takes: of everybody together and of one user, by this instance. What is not named has no bound of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Publications, in each span of `every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
    /// Their bytes, as the log has them, in each span of `every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteSize>,
    /// Publications of one user or device, by all its connections together, in each span of `every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_messages: Option<u64>,
    /// Their bytes, as the log has them, in each span of `every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_bytes: Option<ByteSize>,
    /// The span; a minute unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// Connections in the room, at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Channels that were ever published in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
    /// Subscriptions that read the room, at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscriptions: Option<u32>,
}

impl Quota {
    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The span in which publications are counted. A second at least.
    pub fn span(&self) -> std::time::Duration {
        let every = self.every.unwrap_or(Duration::seconds(60));
        every.0.max(std::time::Duration::from_secs(1))
    }
}
