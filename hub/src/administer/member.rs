//! `user`, `client`: who is in an account.

use super::{
    Wish,
    place::{of_account, of_member, pair},
    value::parsed,
};
use crate::admin::requests::{MemberChange, NewMember};
use clap::{Args, Subcommand};
use riser_gate::Role;
use riser_model::AccountName;
use uuid::Uuid;

/// `user`, `client`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// Make one. It can enter when it has a credential: see `key add`.
    Add {
        /// ACCOUNT/NAME
        name: String,
        #[command(flatten)]
        fields: MemberFields,
        /// Its UUID; made unless given.
        #[arg(long)]
        id: Option<Uuid>,
        /// An edge that takes edges below it.
        #[arg(long)]
        relays: bool,
    },
    /// Change one; what is not given stays.
    Set {
        /// ACCOUNT/NAME
        name: String,
        #[command(flatten)]
        fields: MemberFields,
        /// Another name. The UUID stays.
        #[arg(long)]
        rename: Option<AccountName>,
        /// Without role.
        #[arg(long, conflicts_with = "role")]
        no_role: bool,
        /// In no group.
        #[arg(long, conflicts_with = "group")]
        no_groups: bool,
    },
    /// Remove one, for ever: its connections are closed, its sessions end.
    Remove {
        /// ACCOUNT/NAME
        name: String,
    },
    /// Remove a browser or program by which a user comes: its connections are closed, its sessions end.
    Forget {
        /// ACCOUNT/NAME
        name: String,
        /// What `account show` calls it.
        client: Uuid,
    },
}

/// What a user or client is.
#[derive(Clone, Debug, Args)]
pub(crate) struct MemberFields {
    /// Rights on every room: owner, admin, member, reader, observer, writer, device.
    #[arg(long, value_parser = parsed::<Role>)]
    role: Option<Role>,
    /// A group; may be given again.
    #[arg(long)]
    group: Vec<AccountName>,
}

impl MemberCommand {
    /// What it asks. `kind` is `users` or `clients`.
    pub(crate) fn wish(&self, kind: &str) -> anyhow::Result<Wish> {
        match self {
            Self::Add { name, fields, id, relays } => {
                let (account, name) = pair(name)?;
                let (role, groups) = (fields.role, fields.group.clone());
                let new = NewMember { name: name.parse()?, id: *id, role, groups, relays: *relays };
                Wish::new("POST", of_account(account, &format!("/{kind}"))?).says(new)
            }
            Self::Set { name, fields, rename, no_role, no_groups } => {
                let role = if *no_role { Some(None) } else { fields.role.map(Some) };
                let groups = (*no_groups || !fields.group.is_empty()).then(|| fields.group.clone());
                let change = MemberChange { name: rename.clone(), role, groups };
                Wish::new("PATCH", of_member(name, "")?).says(change)
            }
            Self::Remove { name } => Ok(Wish::new("DELETE", of_member(name, "")?)),
            Self::Forget { name, client } => {
                Ok(Wish::new("DELETE", of_member(name, &format!("/clients/{client}"))?))
            }
        }
    }
}
