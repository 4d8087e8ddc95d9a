//! Takes a signed password, for protocols that know no conversation (MQTT 3.1.1): `riser2.{seconds}.{nonce}.{signature}`.
//!
//! The device signs the time, a nonce of its own, its name and the instance that it is for with a key that the directory
//! knows. It counts as that key.
//! Good once, for [`WINDOW_S`] either way, and only where nobody could have listened: over TLS, or within one host. Those that
//! came are remembered here, and by whoever verifies ([`Proof::Once`]) for as long over a restart.

use super::{Awaits, Given, No, Step, VERDICT_DEADLINE, Whom, claim, not_authorised};
use crate::{
    device_key::DeviceKey,
    gate::{Effect, Proof},
    verifying_key::VerifyingKey,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use riser_model::{ClientId, Time, door::Credential};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// How far the device's clock may be from ours, seconds.
pub const WINDOW_S: i64 = 60;
/// Signed passwords that are remembered; while there are more, nobody comes in by one.
pub const REMEMBERED_MAX: usize = 16_384;
/// Those of one client.
pub const OF_CLIENT_MAX: usize = 64;
/// A password is remembered while it would be good again.
pub const REMEMBERED: Duration = Duration::from_secs(2 * WINDOW_S as u64 + 1);

const PREFIX: &str = "riser2";

pub(crate) fn begin(given: &Given<'_>) -> Step {
    let Credential::Password { account, user, password } = given.credential else { return Step::Next(None) };
    let Some(parts) = Parts::read(&password.0) else { return Step::Next(None) };
    let is_private = given.caller.tls || given.caller.address.is_some_and(|address| address.is_loopback());
    if !is_private {
        return Step::Refuse(not_authorised("a signed password without TLS"));
    }
    let now_s = given.now.wall.0.div_euclid(1000);
    let Ok(seconds) = parts.seconds.parse::<i64>() else {
        return Step::Refuse(not_authorised("a signed password that cannot be read"));
    };
    if now_s.abs_diff(seconds) > WINDOW_S.unsigned_abs() {
        return Step::Refuse(not_authorised("a signed password of another time"));
    }
    let signature = URL_SAFE_NO_PAD.decode(parts.signature).unwrap_or_default();
    let nonce_is_long = (16..=64).contains(&parts.nonce.len());
    if signature.len() != 64 || !nonce_is_long {
        return Step::Refuse(not_authorised("a signed password that cannot be read"));
    }
    let name = claim::claimed(account.as_ref(), user);
    let Parts { seconds, nonce, .. } = parts;
    let instance = &given.caller.instance;
    let message = format!("riser signed password 2\n{seconds}\n{nonce}\n{name}\n{instance}\n");
    // What is remembered is what was signed: a signature may be written in two ways, what it says in one.
    let digest = Sha256::digest(&message).into();
    let member = given.directory.claimed(account.as_ref(), user).filter(|member| !member.keys.is_empty());
    let keys: &[DeviceKey] = member.map_or(&[DeviceKey::STAND_IN], |member| member.keys);
    let keys = keys.iter().map(|key| VerifyingKey::Ed25519(key.0)).collect();
    let proof = Proof::Signature { keys, message: Bytes::from(message), signature: signature.into() };
    let (whom, why) = match member {
        Some(member) => {
            (Whom::Once(Arc::clone(member.principal), digest), "a signed password with a wrong signature")
        }
        None => (Whom::Nobody, "no such user or client, or one without a key"),
    };
    Step::have(Effect::Verify(proof), None, Awaits::credential(whom, why))
}

/// What follows when the signature holds: that it was not shown before.
pub(super) fn once(principal: Arc<riser_model::Principal>, digest: [u8; 32]) -> Step {
    let no = No::Refuse(not_authorised("a signed password that was shown before"));
    let client = principal.client;
    let awaits = Awaits { whom: Whom::Known(principal), no, deadline: VERDICT_DEADLINE };
    Step::have(Effect::Once { client, digest }, None, awaits)
}

struct Parts<'a> {
    seconds: &'a str,
    nonce: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn read(password: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(password).ok()?;
        let mut parts = text.splitn(4, '.');
        if parts.next() != Some(PREFIX) {
            return None;
        }
        Some(Self { seconds: parts.next()?, nonce: parts.next()?, signature: parts.next()? })
    }
}

/// The signed passwords that let somebody in lately.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    by_digest: BTreeMap<[u8; 32], ClientId>,
    by_time: BTreeSet<(Time, [u8; 32])>,
    of_client: BTreeMap<ClientId, usize>,
}

impl Shown {
    /// Whether this one comes for the first time. None where no more can be remembered of that client, or at all.
    pub fn is_first(&mut self, client: ClientId, digest: [u8; 32], now: Time) -> Option<bool> {
        while let Some((until, old)) = self.by_time.first().copied().filter(|(until, _)| *until <= now) {
            self.by_time.remove(&(until, old));
            self.forget(old);
        }
        if self.by_digest.contains_key(&digest) {
            return Some(false);
        }
        let own = self.of_client.get(&client).copied().unwrap_or(0);
        if own >= OF_CLIENT_MAX || self.by_digest.len() >= REMEMBERED_MAX {
            return None;
        }
        self.of_client.insert(client, own + 1);
        self.by_digest.insert(digest, client);
        self.by_time.insert((now.plus(REMEMBERED), digest));
        Some(true)
    }

    fn forget(&mut self, digest: [u8; 32]) {
        let Some(client) = self.by_digest.remove(&digest) else { return };
        if let Some(own) = self.of_client.get_mut(&client) {
            *own -= 1;
            if *own == 0 {
                self.of_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn digest(n: usize) -> [u8; 32] {
        Sha256::digest(n.to_le_bytes()).into()
    }

    fn client(n: usize) -> ClientId {
        ClientId(Uuid::from_u128(n as u128))
    }

    #[test]
    fn password_comes_once_while_it_is_good_and_the_memory_is_bounded() {
        let mut shown = Shown::default();
        let mut is_first = |n: usize, now| shown.is_first(client(n / OF_CLIENT_MAX), digest(n), now);
        assert_eq!(is_first(0, Time(0)), Some(true));
        let still = Time(0).plus(Duration::from_secs(2 * WINDOW_S as u64));
        assert_eq!(is_first(0, still), Some(false));
        for n in 1..REMEMBERED_MAX {
            assert_eq!(is_first(n, still), Some(true));
        }
        assert_eq!(is_first(REMEMBERED_MAX, still), None, "rather nobody than one twice");
        let later = still.plus(REMEMBERED);
        assert_eq!(is_first(REMEMBERED_MAX, later), Some(true));
        assert_eq!((shown.by_digest.len(), shown.by_time.len(), shown.of_client.len()), (1, 1, 1));
    }

    #[test]
    fn one_device_fills_its_own_memory_and_nobody_else_s() {
        let mut shown = Shown::default();
        for n in 0..OF_CLIENT_MAX {
            assert_eq!(shown.is_first(client(1), digest(n), Time(0)), Some(true));
        }
        assert_eq!(shown.is_first(client(1), digest(OF_CLIENT_MAX), Time(0)), None);
        assert_eq!(shown.is_first(client(1), digest(0), Time(0)), Some(false));
        assert_eq!(shown.is_first(client(2), digest(OF_CLIENT_MAX), Time(0)), Some(true));
        let later = Time(0).plus(REMEMBERED);
        assert_eq!(shown.is_first(client(1), digest(OF_CLIENT_MAX + 1), later), Some(true));
    }
}
