//! `account`: makes, shows and changes accounts as wholes.

use super::{Wish, place::of_account, value::value};
use crate::admin::requests::NewAccount;
use clap::Subcommand;
use riser_model::AccountName;
use serde_json::{Value, json};
use uuid::Uuid;

/// `account`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Print the hash of the password that standard input gives, for `password = "..."`.
    Hash,
    /// Print a new bearer token and, below it, its hash for `tokens = ["..."]`.
    Token,
    /// Make an account with its first user and that one's password and token, which are shown once.
    Create {
        /// Its name.
        name: AccountName,
        /// The first user; called like the account unless given.
        #[arg(long)]
        user: Option<AccountName>,
        /// Its UUID; made unless given.
        #[arg(long)]
        id: Option<Uuid>,
    },
    /// The accounts.
    List,
    /// An account with all that it has.
    Show {
        /// Its name or UUID.
        account: String,
    },
    /// Give an account another name. Its UUID stays.
    Rename {
        /// Its name or UUID.
        account: String,
        /// The new name.
        name: AccountName,
    },
    /// Remove an account with all that it has, for ever.
    Remove {
        /// Its name or UUID.
        account: String,
    },
    /// Set the gate of an account: a list as in `[[account]]`, such as '["password", "knock"]'; '[]' for none.
    Gate {
        /// Its name or UUID.
        account: String,
        /// The list, as TOML or JSON.
        #[arg(value_parser = value)]
        gate: Value,
    },
    /// Set who vouches for users of an account: a list of `[[account.issuer]]`.
    Issuers {
        /// Its name or UUID.
        account: String,
        /// The list, as TOML or JSON.
        #[arg(value_parser = value)]
        issuers: Value,
    },
    /// Set which directory server knows an account's people: a table as `[account.ldap]`.
    Ldap {
        /// Its name or UUID.
        account: String,
        /// The table, as TOML or JSON; none unless given.
        #[arg(value_parser = value)]
        server: Option<Value>,
    },
    /// Take the credentials again that files declare of an account of which it is lost which were revoked.
    Unseal {
        /// Its name or UUID.
        account: String,
    },
}

impl AccountCommand {
    /// What it asks; none for those that ask nobody.
    pub(crate) fn wish(&self) -> anyhow::Result<Option<Wish>> {
        Ok(Some(match self {
            Self::Hash | Self::Token => return Ok(None),
            Self::Create { name, user, id } => {
                let new = NewAccount { name: name.clone(), id: *id, user: user.clone() };
                Wish::new("POST", "/v1/accounts".to_owned()).says(new)?
            }
            Self::List => Wish::new("GET", "/v1/accounts".to_owned()),
            Self::Show { account } => Wish::new("GET", of_account(account, "")?),
            Self::Rename { account, name } => {
                Wish::new("PUT", of_account(account, "/name")?).says(json!({ "name": name }))?
            }
            Self::Remove { account } => Wish::new("DELETE", of_account(account, "")?),
            Self::Gate { account, gate } => {
                Wish::new("PUT", of_account(account, "/gate")?).says(json!({ "gate": gate }))?
            }
            Self::Issuers { account, issuers } => {
                Wish::new("PUT", of_account(account, "/issuers")?).says(json!({ "issuer": issuers }))?
            }
            Self::Ldap { account, server } => {
                Wish::new("PUT", of_account(account, "/ldap")?).says(json!({ "ldap": server }))?
            }
            Self::Unseal { account } => Wish::new("POST", of_account(account, "/unseal")?),
        }))
    }
}
