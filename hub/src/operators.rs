//! Who operates a hub: whoever shows its token, and the users whom its configuration names.
//!
//! A name is that of a user at the moment at which it is asked for: whoever administers that user's account, and so its
//! credentials and its name, can act as that user. Nobody is named unless the configuration says so, and no device ever is.

use riser_gate::{Directory, TokenHash};
use riser_model::{AccountName, Principal};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// A user, as the configuration names it: `account/user`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Named {
    account: AccountName,
    user: AccountName,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(account, user)| {
            Some(Self { account: account.parse().ok()?, user: user.parse().ok()? })
        });
        parts.ok_or_else(|| format!("{text:?} is no user: want account/user"))
    }
}

impl TryFrom<String> for Named {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Named> for String {
    fn from(named: Named) -> Self {
        named.to_string()
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.user)
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Operators {
    /// None where there is no admin interface.
    token: Option<TokenHash>,
    named: BTreeSet<Named>,
}

impl Operators {
    /// Who shows what has this hash, and these.
    pub fn new(token: Option<TokenHash>, named: impl IntoIterator<Item = Named>) -> Self {
        Self { token, named: named.into_iter().collect() }
    }

    /// Whether that is the token.
    pub(crate) fn shown(&self, token: &[u8]) -> bool {
        let shown = TokenHash::of(token);
        self.token.as_ref().is_some_and(|own| shown.same(own))
    }

    /// Whether that one is named, as it is called by this directory: a person, by whatever client it comes.
    pub(crate) fn names(&self, directory: &Directory, who: &Principal) -> bool {
        let Some(user) = directory.user_of(who.client).filter(|user| directory.is_person(user.client)) else {
            return false;
        };
        let (account, user) = (user.account_name.clone(), user.name.clone());
        self.named.contains(&Named { account, user })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use riser_gate::{AccountConfig, ClientConfig, UserConfig};
    use riser_model::{AccountId, ClientId};
    use uuid::Uuid;

    #[test]
    fn operator_is_who_is_named_and_no_device_and_nobody_else_of_the_account() {
        let [account, ann, bob, box_] = [1, 2, 3, 4].map(Uuid::from_u128);
        let user =
            |name: &str, id| UserConfig { id: Some(ClientId(id)), ..UserConfig::new(name.parse().unwrap()) };
        let config = AccountConfig {
            user: vec![user("ann", ann), user("bob", bob)],
            client: vec![ClientConfig {
                id: Some(ClientId(box_)),
                ..ClientConfig::new("box".parse().unwrap())
            }],
            ..AccountConfig::new("acme".parse().unwrap(), AccountId(account))
        };
        let directory = Directory::compile(&[config]).unwrap();
        let who = |id| directory.principal(ClientId(id)).unwrap();
        let of = |names: &[&str]| Operators::new(None, names.iter().map(|name| name.parse().unwrap()));
        assert!(!of(&[]).names(&directory, who(ann)), "nobody unless it is said");
        let operators = of(&["acme/ann", "acme/box", "garden/bob"]);
        assert!(operators.names(&directory, who(ann)));
        assert!(!operators.names(&directory, who(bob)), "of another account");
        assert!(!operators.names(&directory, who(box_)), "a device");
        assert!(!operators.shown(b""), "without a token none is right");
        assert!(Operators::new(Some(TokenHash::of(b"t")), []).shown(b"t"));
        for wrong in ["ann", "acme/", "/ann", "acme/ann/x", "ACME/ann"] {
            assert!(wrong.parse::<Named>().is_err(), "{wrong}");
        }
    }
}
