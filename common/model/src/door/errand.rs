//! What somebody in a lobby wants done with its account. It is done elsewhere, by whoever keeps accounts.
//!
//! In the admin lobby it is the instance's accounts that something is done with, by whoever operates it.
//!
//! A closed list: each becomes one change of an account or more, or a look at what somebody proves itself with. Who may have
//! which of them done is the instance's to say, by what the connection has shown.

use super::Secret;
use crate::{
    id::{AccountId, ClientId, RoomId},
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
    /// Into the admin lobby: from any other one, by what whoever operates the instance shows.
    Operate {
        /// The operator's token; none where who asks is one by its name.
        token: Option<Secret>,
    },
    /// In the admin lobby: which accounts are there?
    Accounts,
    /// In the admin lobby: make an account, with a first user who may do everything in it.
    CreateAccount {
        /// Its name.
        name: AccountName,
        /// The first user; called like the account unless given.
        user: Option<AccountName>,
    },
    /// In the admin lobby: remove an account with all that it has, for ever.
    RemoveAccount {
        /// Its name or UUID.
        account: AccountName,
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
            Self::Operate { .. } => "move to admin lobby",
            Self::Accounts => "accounts",
            Self::CreateAccount { .. } => "create account",
            Self::RemoveAccount { .. } => "remove account",
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

/// An account as who operates the instance sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountInfo {
    /// Its name.
    pub name: AccountName,
    /// Its id, for ever.
    pub id: AccountId,
    /// How many users it has.
    pub users: usize,
    /// How many rooms.
    pub rooms: usize,
    /// Whether what was known of it is lost, so that it lets nobody in.
    pub sealed: bool,
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
    /// It is in the admin lobby.
    Operates,
    /// These are there.
    Accounts(Vec<AccountInfo>),
    /// The account is there.
    AccountCreated {
        /// Its name.
        name: AccountName,
        /// Its id, for ever.
        id: AccountId,
        /// Its first user.
        user: AccountName,
        /// That one's id.
        client: ClientId,
        /// That one's: said once.
        password: Secret,
        /// That one's: said once.
        token: Secret,
    },
    /// It is there no more.
    AccountRemoved {
        /// Which.
        name: AccountName,
    },
}
