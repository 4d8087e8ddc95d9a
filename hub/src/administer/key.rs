//! `key`: the credentials of who is in an account, and key files.

use super::{
    Wish,
    place::{of_member, word},
};
use crate::admin::requests::{CredentialKind, NewCredential, Replacement};
use anyhow::bail;
use clap::Subcommand;

/// `key`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key file and print its public key.
    New {
        /// The file; it must not exist.
        file: std::path::PathBuf,
    },
    /// Print the public key of a key file.
    Show {
        /// The file.
        file: std::path::PathBuf,
    },
    /// Give a user or client of a running hub a credential. What is made is shown once.
    Add {
        /// ACCOUNT/NAME
        name: String,
        /// What kind.
        #[arg(long, value_enum, default_value = "token")]
        kind: CredentialKind,
        /// A public key, or a name in certificates. A password is never given here: it is made, or set over the interface.
        // One public key in 64 begins with a hyphen.
        #[arg(long, allow_hyphen_values = true)]
        value: Option<String>,
    },
    /// Put another credential in place of one.
    Rotate {
        /// ACCOUNT/NAME
        name: String,
        /// What `account show` calls it.
        fingerprint: String,
        /// A public key.
        // One public key in 64 begins with a hyphen.
        #[arg(long, allow_hyphen_values = true)]
        value: Option<String>,
    },
    /// Revoke a credential, for ever: connections that showed it are closed.
    Revoke {
        /// ACCOUNT/NAME
        name: String,
        /// What `account show` calls it.
        #[arg(required_unless_present = "all")]
        fingerprint: Option<String>,
        /// All that it has.
        #[arg(long, conflicts_with = "fingerprint")]
        all: bool,
    },
}

impl KeyCommand {
    /// What it asks; none for those that ask nobody.
    pub(crate) fn wish(&self) -> anyhow::Result<Option<Wish>> {
        Ok(Some(match self {
            Self::New { .. } | Self::Show { .. } => return Ok(None),
            Self::Add { kind: CredentialKind::Password, value: Some(_), .. } => {
                bail!("a password on a command line is seen by others: leave --value out, and one is made")
            }
            Self::Add { name, kind, value } => {
                let new = NewCredential { kind: *kind, value: value.clone() };
                Wish::new("POST", of_member(name, "/credentials")?).says(new)?
            }
            Self::Rotate { name, fingerprint, value } => {
                let rest = format!("/credentials/{}/rotate", word(fingerprint)?);
                Wish::new("POST", of_member(name, &rest)?).says(Replacement { value: value.clone() })?
            }
            Self::Revoke { name, fingerprint, .. } => match fingerprint {
                Some(fingerprint) => {
                    let rest = format!("/credentials/{}", word(fingerprint)?);
                    Wish::new("DELETE", of_member(name, &rest)?)
                }
                None => Wish::new("DELETE", of_member(name, "/credentials")?),
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_that_begins_with_a_hyphen_is_a_value() {
        let keys = KeyCommand::augment_subcommands(clap::Command::new("key"));
        for args in [&["key", "add", "acme/edge"][..], &["key", "rotate", "acme/edge", "0123456789abcdef"]] {
            let args = args.iter().chain(&["--value", "-NkxW"]);
            let found = keys.clone().try_get_matches_from(args).unwrap();
            let (_, found) = found.subcommand().unwrap();
            assert_eq!(found.get_one::<String>("value").unwrap(), "-NkxW");
        }
    }
}
