//! Who operates a hub: whoever shows its token, and the users whom its configuration names.
//!
//! A name is looked up once, when the hub starts, and from then on means that user's id: ids never come back, so who takes the
//! name of somebody who is gone, or of somebody who never was, operates nothing. Whoever administers that user's account, and so
//! its credentials, can act as that user. Nobody is named unless the configuration says so, and no device ever is.

use riser_gate::{Directory, TokenHash};
use riser_model::{AccountName, ClientId, Principal};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};
use uuid::Uuid;

/// A user, as the configuration names it: `account/user`, each by its name or UUID.
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
        parts.ok_or_else(|| format!("{text:?} is no user: want account/user, or account/UUID of the user"))
    }
}

impl Named {
    /// Whom it names there. What is a UUID is an id and never a name, which somebody could take.
    fn user(&self, directory: &Directory) -> Option<ClientId> {
        let account = directory.account(&self.account)?;
        let user = match Uuid::try_parse(self.user.as_str()) {
            Ok(id) => directory.principal(ClientId(id)),
            Err(_) => directory.named(&self.to_string()),
        };
        user.filter(|user| user.account == account && directory.is_person(user.client))
            .map(|user| user.client)
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
    named: BTreeSet<ClientId>,
}

impl Operators {
    /// Who shows what has this hash, and these of that directory. A name of nobody is nobody's from then on, and is told in the
    /// log.
    pub fn new(
        token: Option<TokenHash>,
        named: impl IntoIterator<Item = Named>,
        directory: &Directory,
    ) -> Self {
        let find = |named: Named| {
            let user = named.user(directory);
            if user.is_none() {
                tracing::warn!(operator = %named, "operators names no user that there is: nobody operates the hub by that name until it starts anew");
            }
            user
        };
        Self { token, named: named.into_iter().filter_map(find).collect() }
    }

    /// Whether that is the token.
    pub(crate) fn shown(&self, token: &[u8]) -> bool {
        let shown = TokenHash::of(token);
        self.token.as_ref().is_some_and(|own| shown.same(own))
    }

    /// Whether that one is named, whatever it is called by now: a person, by whatever client it comes.
    pub(crate) fn names(&self, directory: &Directory, who: &Principal) -> bool {
        let user = directory.user_of(who.client).filter(|user| directory.is_person(user.client));
        user.is_some_and(|user| self.named.contains(&user.client))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use riser_gate::{AccountConfig, ClientConfig, UserConfig};
    use riser_model::AccountId;

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
        let of =
            |names: &[&str]| Operators::new(None, names.iter().map(|name| name.parse().unwrap()), &directory);
        assert!(!of(&[]).names(&directory, who(ann)), "nobody unless it is said");
        let operators = of(&["acme/ann", "acme/box", "garden/bob"]);
        assert!(operators.names(&directory, who(ann)));
        assert!(!operators.names(&directory, who(bob)), "of another account");
        assert!(!operators.names(&directory, who(box_)), "a device");
        assert!(!operators.shown(b""), "without a token none is right");
        assert!(Operators::new(Some(TokenHash::of(b"t")), [], &directory).shown(b"t"));
        for wrong in ["ann", "acme/", "/ann", "acme/ann/x", "ACME/ann"] {
            assert!(wrong.parse::<Named>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn operator_is_that_user_whatever_its_name_and_never_who_takes_the_name_later() {
        let directory = |account: &str, users: &[(&str, u128)]| {
            let user = |(name, id): &(&str, u128)| UserConfig {
                id: Some(ClientId(Uuid::from_u128(*id))),
                ..UserConfig::new(name.parse().unwrap())
            };
            let id = AccountId(Uuid::from_u128(1));
            let user = users.iter().map(user).collect();
            Directory::compile(&[AccountConfig { user, ..AccountConfig::new(account.parse().unwrap(), id) }])
                .unwrap()
        };
        let [ann, eve, other] = [2, 3, 4].map(|id| ClientId(Uuid::from_u128(id)));
        let start = directory("acme", &[("ann", 2)]);
        let of = |text: String| Operators::new(None, [text.parse().unwrap()], &start);
        let does = |operators: &Operators, directory: &Directory, who| {
            operators.names(directory, directory.principal(who).unwrap())
        };
        let account = Uuid::from_u128(1);
        for text in ["acme/ann".to_owned(), format!("acme/{}", ann.0), format!("{account}/{}", ann.0)] {
            let operators = of(text);
            assert!(does(&operators, &start, ann));
            let renamed = directory("shop", &[("anna", 2), ("ann", 3)]);
            assert!(does(&operators, &renamed, ann), "of another name");
            assert!(!does(&operators, &renamed, eve), "who took the name");
            assert!(!does(&operators, &directory("acme", &[("ann", 3)]), eve), "after it was removed");
        }
        let later = directory("acme", &[("ann", 2), ("kim", 4)]);
        assert!(!does(&of("acme/kim".to_owned()), &later, other), "who never was when the hub started");
        // Nobody takes an id for a name, and no account speaks for another one's user.
        let id = Uuid::from_u128(9);
        let named = directory("acme", &[(&id.to_string(), 4)]);
        let operators = Operators::new(None, [format!("acme/{id}").parse().unwrap()], &named);
        assert!(!does(&operators, &named, other));
        assert!(!does(&of(format!("shop/{}", ann.0)), &start, ann));
    }
}
