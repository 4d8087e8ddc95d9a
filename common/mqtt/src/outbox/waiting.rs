//! One packet id that is taken: what it stands for, and how far its exchange is.

use riser_model::{Position, Seq, SubscriptionId};

/// What an id stands for: subscription, seq, and whether it is loose.
pub(super) type Place = (SubscriptionId, Seq, bool);

/// Whether the session's place in a subscription will pass a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Course {
    /// It will.
    In,
    /// It is one of a group's: they come in no order, and each is over by itself.
    Shared,
    /// It will not.
    Loose { retained: bool },
}

impl Course {
    pub(super) fn is_loose(self) -> bool {
        match self {
            Self::In | Self::Shared => false,
            Self::Loose { .. } => true,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Waiting {
    pub(super) subscription: SubscriptionId,
    pub(super) pos: Option<Position>,
    pub(super) course: Course,
    /// One that no place passes and that the session has.
    pub(super) recorded: bool,
    /// At QoS 1, on this connection or the one that said it.
    pub(super) at_least_once: bool,
    pub(super) stage: Stage,
}

impl Waiting {
    pub(super) fn is_loose(&self) -> bool {
        self.course.is_loose()
    }

    /// Said at QoS 2 on another connection, and not on this one: it may be kept under its id until PUBREL.
    pub(super) fn peer_may_hold(&self) -> bool {
        self.stage == Stage::Numbered { before: true } && !self.at_least_once
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.pos.map(|pos| (self.subscription, pos.seq, self.is_loose()))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// QoS 1: PUBLISH was said.
    Published,
    /// QoS 2: the id is being stored.
    Numbering,
    /// QoS 2: PUBLISH may be said; was said before, on another connection.
    Numbered { before: bool },
    /// QoS 2: PUBLISH was said.
    Sent,
    /// QoS 2: PUBREC came, and that is being stored.
    Receiving,
    /// QoS 2: PUBREL was said.
    Released,
    /// QoS 2: it is over, and the session's place has not passed it.
    Over,
}

impl Stage {
    pub(super) fn waits_for_peer(self) -> bool {
        match self {
            Self::Published | Self::Sent | Self::Receiving | Self::Released => true,
            Self::Numbering | Self::Numbered { .. } | Self::Over => false,
        }
    }

    /// Whether PUBLISH was said, on whatever connection, and the exchange is not over.
    pub(super) fn was_said(self) -> bool {
        self.waits_for_peer() || self == Self::Numbered { before: true }
    }
}
