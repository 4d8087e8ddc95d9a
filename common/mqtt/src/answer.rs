//! What a door answers, before the version in use words it.

use riser_model::door::{Method, Refusal};
use std::sync::Arc;

/// Which acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AckKind {
    /// PUBACK.
    Published,
    /// PUBREC.
    Received,
    /// PUBCOMP.
    Completed,
}

/// What an acknowledgement says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It is done, and on disk where that matters.
    Done,
    /// PUBREL named an id that is not open.
    UnknownId,
    /// The publication was refused.
    Refused(Box<Refusal>),
}

/// What became of one filter of a SUBSCRIBE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Grant {
    /// Subscribed, with this QoS.
    Qos(u8),
    /// Refused by the bus or by a limit.
    Refused(Arc<Refusal>),
    /// Not a filter that this server knows.
    Invalid,
}

/// What became of one filter of an UNSUBSCRIBE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ungrant {
    /// It is subscribed no longer.
    Done,
    /// It was not subscribed.
    Unknown,
}

/// What CONNACK says of an accepted connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Welcome {
    pub(crate) session_present: bool,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) topic_aliases_max: u16,
    /// If it is not what the client asked for.
    pub(crate) expiry_s: Option<u32>,
    /// If it is not what the client asked for.
    pub(crate) keepalive_s: Option<u16>,
    /// If the client left it to us.
    pub(crate) assigned_id: Option<String>,
    /// The method of the conversation, if there was one.
    pub(crate) method: Option<Method>,
}
