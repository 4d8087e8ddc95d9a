//! `connection`: who is connected, and who knocks.

use super::{
    Wish,
    place::{of_account, of_place},
};
use crate::admin::requests::Decision;
use clap::Subcommand;

/// `connection`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConnectionCommand {
    /// Who is connected, and who knocks; of a room, who waits at its own gate.
    List {
        /// ACCOUNT, or ACCOUNT/ROOM
        place: String,
    },
    /// Close a connection; it may come back.
    Close {
        /// The account.
        account: String,
        /// Its number.
        connection: u64,
    },
    /// Let in who knocks.
    Admit {
        /// ACCOUNT, or ACCOUNT/ROOM for who looks after that room
        place: String,
        /// Its number.
        connection: u64,
    },
    /// Do not.
    Refuse {
        /// ACCOUNT, or ACCOUNT/ROOM for who looks after that room
        place: String,
        /// Its number.
        connection: u64,
    },
}

impl ConnectionCommand {
    /// What it asks.
    pub(crate) fn wish(&self) -> anyhow::Result<Wish> {
        let decide = |place: &str, connection: u64, admit| {
            let path = of_place(place, &format!("/connections/{connection}/decide"))?;
            Wish::new("POST", path).says(Decision { admit, room: None })
        };
        match self {
            Self::List { place } => Ok(Wish::new("GET", of_place(place, "/connections")?)),
            Self::Close { account, connection } => {
                Ok(Wish::new("DELETE", of_account(account, &format!("/connections/{connection}"))?))
            }
            Self::Admit { place, connection } => decide(place, *connection, true),
            Self::Refuse { place, connection } => decide(place, *connection, false),
        }
    }
}
