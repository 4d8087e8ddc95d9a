//! An invitation into a room: rights there for who is in the account, and for who is not a user with a token of its own. The
//! same in a lobby, by the admin interface, on the page and by the command.

use crate::{errands::info, founding::secret};
use riser_gate::{
    Account, Change, CredentialConfig, GrantConfig, TokenHash, UserConfig,
    accounts::AccountChange,
    config::{Rights, Whom},
    credential::Member,
};
use riser_model::{
    AccountId, AccountName, ClientId, Filter, Right, RoomId, RoomName,
    door::{KeyInfo, Secret},
};
use riser_shell::entropy;

/// See the module.
pub(crate) struct Invitation {
    /// What is to be done. Who looks after the room invites who is there, and a new user is the account's to make.
    pub(crate) change: Change,
    /// As it is written down: what was done, to what.
    pub(crate) told: (&'static str, String),
    /// A new user's, to be shown once.
    pub(crate) token: Option<Secret>,
}

impl Invitation {
    /// Into that room of an account, with these rights.
    pub(crate) fn of(
        (account, known): (AccountId, &Account),
        (place, room): (RoomId, &RoomName),
        name: &AccountName,
        rights: &[Right],
    ) -> Self {
        let to = Whom::Named(name.clone());
        let grant = GrantConfig { to, right: Rights(rights.to_vec()), channels: Filter::all(), deny: false };
        let grant = AccountChange::Grant(Some(place), grant);
        let granted = format!("{} to {name} in room {room}", words(rights));
        if known.members().any(|one| one.name() == name) {
            let change = Change::Within(account, grant);
            return Self { change, told: ("granted", granted), token: None };
        }
        // All of it or nothing: who was made without its token could never come, and never be invited again.
        let client = ClientId(entropy::uuid());
        let user = UserConfig { id: Some(client), ..UserConfig::new(name.clone()) };
        let (credential, key, token) = new_token();
        let told = format!("user {name}: {} {}; {granted}", key.kind, key.fingerprint);
        let change = AccountChange::All(vec![
            AccountChange::CreateMember(Box::new(Member::User(user))),
            grant,
            AccountChange::AddCredential(client, credential),
        ]);
        let change = Change::Within(account, change);
        Self { change, told: ("invited", told), token: Some(token) }
    }
}

/// A token that nobody has yet: what is kept of it, and what is shown once.
pub(crate) fn new_token() -> (CredentialConfig, KeyInfo, Secret) {
    let text = secret();
    let credential = CredentialConfig::Token(TokenHash::of(text.as_bytes()));
    let key = info(&credential);
    (credential, key, Secret(text.into()))
}

fn words(rights: &[Right]) -> String {
    let word = |right: &Right| match right {
        Right::Publish => "publish",
        Right::Subscribe => "subscribe",
        Right::Admin => "admin",
        Right::Own => "own",
    };
    rights.iter().map(word).collect::<Vec<_>>().join(" and ")
}
