//! What somebody in a lobby wants done with its account. It is done elsewhere, by whoever keeps accounts.
//!
//! A closed list: each becomes one change of an account or more, or a look at what somebody proves itself with. Who may have
//! which of them done is the instance's to say, by what the connection has shown.

use super::Secret;
use crate::{
    id::RoomId,
    name::{AccountName, RoomName},
    principal::Right,
    role::{Role, Whom},
    room::{History, RoomKind},
};

/// What is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Errand {
    /// Make a room.
    CreateRoom {
        /// Its name.
        room: RoomName,
        /// What it is for.
        kind: RoomKind,
        /// Its policy for the past.
        history: History,
    },
    /// Let somebody into a room: a user or client of the account by name, or a new user, who is made.
    Invite {
        /// Who.
        name: AccountName,
        /// Where to.
        room: RoomName,
        /// To do what there. Never [`Right::Admin`].
        rights: Vec<Right>,
    },
    /// Give somebody another role in a room, or none.
    SetRole {
        /// Who: a user or client, a group, or everybody.
        whom: Whom,
        /// Where.
        room: RoomName,
        /// Which.
        role: Option<Role>,
    },
    /// Which credentials do I have?
    Keys,
    /// Make a token for me.
    MakeKey,
    /// Revoke one of mine, for ever.
    RevokeKey {
        /// What [`Errand::Keys`] calls it.
        fingerprint: String,
    },
}

impl Errand {
    /// In words, as it is written down. No secrets.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateRoom { .. } => "create room",
            Self::Invite { .. } => "invite",
            Self::SetRole { .. } => "role",
            Self::Keys => "keys",
            Self::MakeKey => "make key",
            Self::RevokeKey { .. } => "revoke key",
        }
    }
}

/// A credential as its owner sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyInfo {
    /// `password`, `token`, `key`, `secret`, `edge_key`.
    pub kind: &'static str,
    /// What people call it.
    pub fingerprint: String,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finished {
    /// The room is there.
    RoomCreated {
        /// Its name.
        room: RoomName,
        /// Its id, for ever.
        id: RoomId,
    },
    /// Whoever was invited may enter.
    Invited {
        /// Who.
        name: AccountName,
        /// Where to.
        room: RoomName,
        /// With what, if it was made: said once.
        token: Option<Secret>,
    },
    /// They have that role there.
    RoleSet {
        /// Who.
        whom: Whom,
        /// Where.
        room: RoomName,
        /// Which.
        role: Option<Role>,
    },
    /// These are there.
    Keys(Vec<KeyInfo>),
    /// It is made.
    KeyMade {
        /// What it is.
        key: KeyInfo,
        /// It: said once.
        token: Secret,
    },
    /// It is revoked.
    KeyRevoked {
        /// Which.
        fingerprint: String,
    },
}
