//! What an instance did that somebody may have to answer for: whom it let in, whom it did not, and whom it sent away.

use crate::{
    id::{AccountId, ClientId, ConnectionId},
    name::{AccountName, RoomName},
};
use std::net::IpAddr;

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Deed {
    /// A connection was let into an account, or into a room that has a gate of its own.
    Entered,
    /// It was not.
    Refused,
    /// It was sent away, since what it had shown holds no more.
    Revoked,
    /// An admin let in who knocked.
    Admitted,
    /// An admin did not.
    TurnedAway,
    /// An entry in quarantine was placed where it was meant to go.
    Released,
    /// One was given up.
    Dropped,
}

impl Deed {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entered => "entered",
            Self::Refused => "refused",
            Self::Revoked => "revoked",
            Self::Admitted => "admitted",
            Self::TurnedAway => "turned_away",
            Self::Released => "released",
            Self::Dropped => "dropped",
        }
    }
}

/// One deed. It carries no secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audited {
    /// Whose account, where a credential or a claim named one that there is.
    pub account: Option<AccountId>,
    /// Who: proven, or claimed where it was refused.
    pub client: Option<ClientId>,
    /// Its name.
    pub name: Option<AccountName>,
    /// Where it comes from, if it comes over a network.
    pub from: Option<IpAddr>,
    /// Which connection.
    pub connection: ConnectionId,
    /// Which room, if it is about one.
    pub room: Option<RoomName>,
    /// What was done.
    pub deed: Deed,
    /// By which acceptors, or why not; of what lay in quarantine where it lay, and the words of who settled it.
    pub why: String,
}
