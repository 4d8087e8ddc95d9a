//! Passwords: verified with argon2id on a few threads of their own, of low priority, hashed for configuration.
//!
//! Verifying costs memory and time by design, so only a few run at once, a bounded number waits, of each address and of
//! all, and the rest is sent away to come back. What matched is remembered in memory under a key that this process drew, so that a
//! thousand devices that reconnect at once are let in at once; whatever does not match always costs the full
//! price.

use crate::{entropy, places::Places};
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc},
};
use riser_gate::{PasswordHash, Verdict};
use riser_model::door::Secret;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
};
use tokio::sync::{Semaphore, oneshot};

/// How many may wait to be verified: on a slow machine, as many as it verifies before their gates give up.
pub const WAITING_MAX: usize = 512;
/// How much less of the processor than those who are inside: a tenth, where there is too little for both.
const POLITENESS: i32 = 10;
/// How many that matched are remembered; then it begins anew.
pub const REMEMBERED_MAX: usize = 16_384;

/// The verifier of a process.
pub struct Passwords {
    verifiers: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    places: Places,
    matched: Arc<Matched>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("free", &self.verifiers.available_permits()).finish_non_exhaustive()
    }
}

impl Passwords {
    /// At most so many at the same time.
    pub fn new(verifiers: usize) -> Self {
        Self::with_waiting(verifiers, WAITING_MAX)
    }

    fn with_waiting(verifiers: usize, waiting_max: usize) -> Self {
        Self {
            verifiers: Arc::new(Semaphore::new(verifiers.max(1))),
            waiting: Arc::new(Semaphore::new(waiting_max)),
            places: Places::default(),
            matched: Arc::new(Matched { key: entropy::bytes(), names: Mutex::default() }),
        }
    }

    /// Whether that password has that hash, for somebody from there. Dropped before it is done, it gives its place back as
    /// soon as the thread that began is through.
    pub async fn verify(&self, hash: PasswordHash, password: Secret, from: Option<IpAddr>) -> Verdict {
        let name = self.matched.name(&hash, &password);
        if self.matched.holds(&name) {
            return Verdict::Matches;
        }
        let Some(place) = self.places.take(from) else {
            return Verdict::Busy;
        };
        let Ok(waiting) = self.waiting.try_acquire() else {
            return Verdict::Busy;
        };
        let Ok(verifier) = Arc::clone(&self.verifiers).acquire_owned().await else {
            return Verdict::Busy;
        };
        drop(waiting);
        let matched = Arc::clone(&self.matched);
        let (says, said) = oneshot::channel();
        let work = move || {
            let _busy = (verifier, place);
            // Those who are inside go first: guessing is to cost who guesses. Where it cannot be, it is no worse.
            let _ = rustix::process::nice(POLITENESS);
            // Someone who waited in front may have brought the same.
            let matches = matched.holds(&name) || verify(hash.expose(), &password.0);
            if matches {
                matched.remember(name);
            }
            // Whoever asked may have gone.
            let _ = says.send(if matches { Verdict::Matches } else { Verdict::Differs });
        };
        // A thread costs a thousandth of what it does here, and its priority goes with it.
        if let Err(error) = thread::Builder::new().name("verifier".into()).spawn(work) {
            tracing::warn!(%error, "a password waits in vain for a thread");
        }
        said.await.unwrap_or(Verdict::Busy)
    }
}

/// The names of (hash, password) pairs that matched: keyed digests, of no use outside this process.
struct Matched {
    key: [u8; 32],
    names: Mutex<BTreeSet<[u8; 32]>>,
}

impl Matched {
    fn name(&self, hash: &PasswordHash, password: &Secret) -> [u8; 32] {
        let text = hash.expose().as_bytes();
        let digest = Sha256::new().chain_update(self.key).chain_update(text).chain_update([0]);
        digest.chain_update(&password.0).finalize().into()
    }

    fn holds(&self, name: &[u8; 32]) -> bool {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn remember(&self, name: [u8; 32]) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= REMEMBERED_MAX {
            names.clear();
        }
        names.insert(name);
    }
}

fn verify(hash: &str, password: &[u8]) -> bool {
    match phc::PasswordHash::new(hash) {
        Ok(hash) => Argon2::default().verify_password(password, &hash).is_ok(),
        Err(_) => {
            tracing::error!(
                "a password hash in the configuration cannot be read; make it anew with `account hash`"
            );
            false
        }
    }
}

/// The hash of a password as configuration holds it: argon2id with 19 MiB and two passes.
pub fn hash(password: &[u8]) -> PasswordHash {
    let hash: phc::PasswordHash = Argon2::default()
        .hash_password_with_salt(password, &entropy::bytes::<16>())
        .expect("the default costs and a salt of 16 bytes are valid");
    hash.to_string().parse().expect("what argon2id prints is what configuration takes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::OF_ADDRESS_MAX;
    use bytes::Bytes;
    use riser_gate::{Caller, Directory, Effect, Gate, Input, Output, Policy, Proof};
    use riser_model::{Now, door::Credential};

    fn secret(text: &str) -> Secret {
        Secret(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let (passwords, hash) = (Passwords::new(2), hash(b"right"));
        for _ in 0..2 {
            assert_eq!(passwords.verify(hash.clone(), secret("right"), None).await, Verdict::Matches);
            assert_eq!(passwords.verify(hash.clone(), secret("wrong"), None).await, Verdict::Differs);
            assert_eq!(passwords.verify(hash.clone(), secret(""), None).await, Verdict::Differs);
        }
        assert_ne!(super::hash(b"right").expose(), hash.expose(), "each has its own salt");
    }

    /// The gate's stand-in must be a hash that the verifier really works on, or unknown users would be told apart
    /// by the time.
    #[tokio::test]
    async fn an_unknown_user_costs_a_real_verification() {
        let policy = Policy::new(&Arc::new(Directory::default()), None, "").unwrap();
        let mut gate = Gate::front(&policy, Caller::default(), Now::default());
        let credential =
            Credential::Password { account: None, user: "nobody".to_owned(), password: secret("x") };
        gate.handle(Input::Shown(credential), Now::default());
        let Some(Output::Do { effect: Effect::Verify(Proof::Password { hash: stand_in, password }), .. }) =
            gate.poll()
        else {
            panic!("no effect")
        };
        phc::PasswordHash::new(stand_in.expose()).unwrap();
        let costs = |hash: &PasswordHash| hash.expose().split('$').nth(3).map(str::to_owned);
        assert_eq!(costs(&stand_in), costs(&hash(b"x")), "the same costs as `account hash`");
        assert_eq!(Passwords::new(1).verify(stand_in, password, None).await, Verdict::Differs);
    }

    #[tokio::test]
    async fn only_a_few_verify_at_once_and_the_rest_is_sent_away() {
        let passwords = Passwords::with_waiting(1, 1);
        let busy = Arc::clone(&passwords.verifiers).acquire_owned().await.unwrap();
        let hash = hash(b"right");
        let mut first = Box::pin(passwords.verify(hash.clone(), secret("right"), None));
        assert!(futures_now(&mut first).is_none(), "the first waits");
        assert_eq!(passwords.verify(hash.clone(), secret("wrong"), None).await, Verdict::Busy);
        drop(busy);
        assert_eq!(first.await, Verdict::Matches);
        let _busy = Arc::clone(&passwords.verifiers).acquire_owned().await.unwrap();
        assert_eq!(
            passwords.verify(hash, secret("right"), None).await,
            Verdict::Matches,
            "what matched does not wait"
        );
    }

    #[tokio::test]
    async fn who_stops_waiting_gives_the_place_back() {
        let passwords = Passwords::with_waiting(1, 1);
        let busy = Arc::clone(&passwords.verifiers).acquire_owned().await.unwrap();
        let hash = hash(b"right");
        let mut first = Box::pin(passwords.verify(hash.clone(), secret("right"), None));
        assert!(futures_now(&mut first).is_none());
        drop(first);
        drop(busy);
        assert_eq!(passwords.verify(hash, secret("right"), None).await, Verdict::Matches);
    }

    #[tokio::test]
    async fn who_comes_from_one_address_does_not_take_the_places_of_others() {
        let passwords = Passwords::new(1);
        let busy = Arc::clone(&passwords.verifiers).acquire_owned().await.unwrap();
        let hash = hash(b"right");
        let from = |address: &str| Some(address.parse().unwrap());
        let wrong = || Box::pin(passwords.verify(hash.clone(), secret("wrong"), from("192.0.2.1")));
        let mut waiting: Vec<_> = (0..OF_ADDRESS_MAX).map(|_| wrong()).collect();
        assert!(waiting.iter_mut().all(|one| futures_now(one).is_none()));
        assert_eq!(futures_now(&mut wrong()), Some(Verdict::Busy), "it has its places");
        let mut other = Box::pin(passwords.verify(hash.clone(), secret("right"), from("192.0.2.2")));
        assert!(futures_now(&mut other).is_none());
        drop(waiting);
        assert!(futures_now(&mut wrong()).is_none(), "who went gave its place back");
        drop(busy);
        assert_eq!(other.await, Verdict::Matches);
    }

    fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn nothing_here_prints_a_password() {
        let printed = format!("{:?} {:?}", Passwords::new(1), hash(b"canary"));
        assert!(!printed.contains("canary") && !printed.contains("argon2"), "{printed}");
    }
}
