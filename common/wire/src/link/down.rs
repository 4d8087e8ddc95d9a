//! The way down, on the socket of the way up and after its Welcome: the same delivery with the ends changed over. The
//! hub greets and sends, the edge welcomes and confirms. Nothing here is signed: both ends are known by then.

use super::{Batch, EdgeFrame, Hello, HubFrame, REFUSED_MAX, Refused, Signature, Welcome, at_most};
use riser_model::{Epoch, Gap, Seq};
use serde::{Deserialize, Serialize};

/// From the hub, about its own log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DownFrame {
    /// What the hub has: `edge` is the one that it speaks to, `log` and the chain are the hub's own, the nonce is not
    /// used.
    Hello(Box<Hello>),
    /// Items in order. They lie behind the postcard part of the message, as in [`EdgeFrame::Batch`].
    Batch(Batch),
}

/// From the edge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DownAnswer {
    /// It takes what comes down; also again after a [`DownAnswer::Refused`].
    Ready,
    /// How far it took the epochs of the hub's Hello. `hub` is the edge's own key and log here.
    Welcome(Box<Welcome>),
    /// Everything of the epoch up to here is on the edge's disk.
    Synced {
        /// The epoch.
        epoch: Epoch,
        /// Up to here: the end of a batch.
        through: Seq,
        /// What of it the edge took as gaps, rising.
        #[serde(deserialize_with = "at_most::<_, _, REFUSED_MAX>")]
        refused: Vec<Gap>,
    },
    /// It takes nothing more, until it says that it is ready again. The way up goes on.
    Refused(Refused),
}

impl DownFrame {
    /// What the sending end says, if the way down has it.
    pub fn of(frame: EdgeFrame) -> Option<Self> {
        match frame {
            EdgeFrame::Hello(hello, _) => Some(Self::Hello(hello)),
            EdgeFrame::Batch(batch) => Some(Self::Batch(batch)),
            EdgeFrame::Latest(_)
            | EdgeFrame::CaughtUp { .. }
            | EdgeFrame::Ping(_)
            | EdgeFrame::Pong(_)
            | EdgeFrame::Bye { .. }
            | EdgeFrame::Down(_)
            | EdgeFrame::Above
            | EdgeFrame::Reached { .. }
            | EdgeFrame::GivenUp
            | EdgeFrame::Tree(_) => None,
        }
    }
}

impl DownAnswer {
    /// What the receiving end says, if the way down has it.
    pub fn of(frame: HubFrame) -> Option<Self> {
        match frame {
            HubFrame::Welcome(welcome, _) => Some(Self::Welcome(welcome)),
            HubFrame::Synced { epoch, through, refused } => Some(Self::Synced { epoch, through, refused }),
            HubFrame::Refused(refused) => Some(Self::Refused(refused)),
            HubFrame::Nonce { .. }
            | HubFrame::Ping(_)
            | HubFrame::Pong(_)
            | HubFrame::Down(_)
            | HubFrame::Above(_)
            | HubFrame::Reached { .. }
            | HubFrame::GivenUp(_)
            | HubFrame::Tree(_) => None,
        }
    }

    /// What the sending end hears; nothing of it when the edge says that it is ready.
    pub fn heard(self) -> Option<HubFrame> {
        match self {
            Self::Ready => None,
            Self::Welcome(welcome) => Some(HubFrame::Welcome(welcome, Signature::NONE)),
            Self::Synced { epoch, through, refused } => Some(HubFrame::Synced { epoch, through, refused }),
            Self::Refused(refused) => Some(HubFrame::Refused(refused)),
        }
    }
}
