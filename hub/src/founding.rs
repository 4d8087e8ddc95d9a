//! A new account with its first user, who may do everything in it: the same by the admin interface and in the admin lobby.
//!
//! The password and the token are made here, and are nowhere else but in the answer to whoever asked: what is kept of them
//! are hashes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use riser_gate::{AccountConfig, PasswordHash, Role, RoomConfig, TokenHash, UserConfig};
use riser_model::{AccountId, AccountName, ClientId};
use riser_shell::{entropy, passwords};

/// See the module.
pub(crate) struct Founding {
    /// What is to be made.
    pub(crate) config: AccountConfig,
    pub(crate) id: AccountId,
    /// The first user.
    pub(crate) user: AccountName,
    pub(crate) client: ClientId,
    /// That one's, to be shown once.
    pub(crate) password: String,
    /// That one's, to be shown once.
    pub(crate) token: String,
}

impl Founding {
    /// The first user is called like the account unless it is given; the id is made unless it is. None when the hub goes down.
    pub(crate) async fn of(
        name: AccountName,
        id: Option<AccountId>,
        user: Option<AccountName>,
    ) -> Option<Self> {
        let id = id.unwrap_or_else(|| AccountId(entropy::uuid()));
        let (user, client) = (user.unwrap_or_else(|| name.clone()), ClientId(entropy::uuid()));
        let (token, password) = (secret(), secret());
        let first = UserConfig {
            id: Some(client),
            role: Some(Role::Owner),
            password: Some(hashed(password.clone()).await?),
            tokens: vec![TokenHash::of(token.as_bytes())],
            ..UserConfig::new(user.clone())
        };
        let room = RoomConfig::mandated().into();
        let config = AccountConfig { user: vec![first], room, ..AccountConfig::new(name, id) };
        Some(Self { config, id, user, client, password, token })
    }
}

/// 32 random bytes, as text.
pub(crate) fn secret() -> String {
    URL_SAFE_NO_PAD.encode(entropy::bytes::<32>())
}

/// Hashing takes long by design. None when the hub goes down.
pub(crate) async fn hashed(password: String) -> Option<PasswordHash> {
    tokio::task::spawn_blocking(move || passwords::hash(password.as_bytes())).await.ok()
}
