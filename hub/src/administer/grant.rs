//! `role`, `grant`, `deny`, `ungrant`: what somebody may.

use super::{
    Wish,
    place::{of_account, pair, word},
    value::{parsed, rights},
};
use crate::admin::requests::{GrantRequest, RoomRole};
use anyhow::bail;
use clap::Args;
use riser_gate::{Role, config::Whom};
use riser_model::Filter;

/// `role`
#[derive(Clone, Debug, Args)]
pub(crate) struct RoleArgs {
    /// ACCOUNT/ROOM
    room: String,
    /// A user or client by name, `@group`, or `*`.
    #[arg(value_parser = parsed::<Whom>)]
    to: Whom,
    /// owner, admin, member, reader, observer, writer, device, or none.
    role: String,
}

impl RoleArgs {
    /// What it asks.
    pub(crate) fn wish(&self) -> anyhow::Result<Wish> {
        let (account, room) = pair(&self.room)?;
        let role = match (self.role.as_str(), Role::of(&self.role)) {
            ("none", _) => None,
            (_, Some(role)) => Some(role),
            (word, None) => {
                bail!("{word:?}: want owner, admin, member, reader, observer, writer, device or none")
            }
        };
        let path = of_account(account, &format!("/rooms/{}/roles", word(room)?))?;
        Wish::new("PUT", path).says(RoomRole { to: self.to.clone(), role })
    }
}

/// `grant`, `deny`, `ungrant`
#[derive(Clone, Debug, Args)]
pub(crate) struct GrantArgs {
    /// ACCOUNT for every room, or ACCOUNT/ROOM
    place: String,
    /// A user or client by name, `@group`, or `*`.
    #[arg(value_parser = parsed::<Whom>)]
    to: Whom,
    /// publish, subscribe, admin, or several with commas.
    right: String,
    /// On which channels.
    #[arg(long, default_value = "#")]
    channels: Filter,
}

impl GrantArgs {
    /// What it asks.
    pub(crate) fn wish(&self, deny: bool, back: bool) -> anyhow::Result<Wish> {
        let (account, room) = match self.place.split_once('/') {
            Some((account, room)) => (account, Some(room.to_owned())),
            None => (self.place.as_str(), None),
        };
        let right = rights(&self.right)?;
        let (to, channels) = (self.to.clone(), self.channels.clone());
        let grant = GrantRequest { room, to, right, channels, deny };
        Wish::new("POST", of_account(account, if back { "/ungrant" } else { "/grants" })?).says(grant)
    }
}
