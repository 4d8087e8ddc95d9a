//! Fetches the keys that issuers publish, one issuer at a time each, and verifies tokens with them. When to fetch and what
//! to believe meanwhile, [`KeySet`] decides.

use riser_gate::{
    Algorithm, KeySet, KeySource, VerifyingKey,
    key_set::{DOCUMENT_BYTES_MAX, Look},
};
use riser_model::Time;
use riser_net::{
    fetch::{FetchFailed, fetch},
    tls::SYSTEM_AUTHORITIES,
};
use riser_shell::Clock;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long one document may take. There are up to two of an issuer, and a gate waits for 15 s.
const WITHIN: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub struct KeySets {
    slots: Mutex<BTreeMap<Arc<KeySource>, Arc<Slot>>>,
    fetched: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    set: Mutex<KeySet>,
    /// Held by the one who asks the issuer.
    asking: tokio::sync::Mutex<()>,
    /// It did not answer the last time: said once.
    away: Mutex<bool>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
enum NoKeys {
    #[error("fetch {url}: {source}")]
    Fetch { url: String, source: FetchFailed },
    #[error("read {0}: want the description of this very issuer, with a jwks_uri of https")]
    Description(String),
    #[error("read {0}: want a JWK Set")]
    KeySet(String),
}

/// What there is to verify a token with.
pub enum Found {
    /// These keys.
    Keys(Vec<VerifyingKey>),
    /// The issuer has none that fits.
    Unknown,
    /// The issuer does not answer.
    Away,
}

impl KeySets {
    /// The keys for a token that names this one, if it does. Asks the issuer where it must.
    pub async fn find(
        self: &Arc<Self>,
        source: &Arc<KeySource>,
        kid: Option<String>,
        alg: Algorithm,
    ) -> Found {
        let slot = Arc::clone(lock(&self.slots).entry(Arc::clone(source)).or_default());
        let name = kid.clone();
        let look = || lock(&slot.set).look(name.as_deref(), alg, Clock.now().time);
        match look() {
            Look::Keys(keys) => return Found::Keys(keys),
            Look::Aging(keys) => {
                let (all, source, slot) = (Arc::clone(self), Arc::clone(source), Arc::clone(&slot));
                tokio::spawn(async move {
                    if let Ok(_one) = slot.asking.try_lock() {
                        all.ask(&source, &slot).await;
                    }
                });
                return Found::Keys(keys);
            }
            Look::Fetch | Look::Unknown | Look::Away => {}
        }
        self.fetched_by(source, &slot, move |set, now| set.look(kid.as_deref(), alg, now) == Look::Fetch)
            .await;
        match look() {
            Look::Keys(keys) | Look::Aging(keys) => Found::Keys(keys),
            Look::Unknown => Found::Unknown,
            Look::Fetch | Look::Away => Found::Away,
        }
    }

    /// The keys for a token that names none and that none of those that were found has signed: others, if the issuer has
    /// others by now and may be asked.
    pub async fn find_newer(self: &Arc<Self>, source: &Arc<KeySource>, alg: Algorithm) -> Found {
        let slot = Arc::clone(lock(&self.slots).entry(Arc::clone(source)).or_default());
        self.fetched_by(source, &slot, KeySet::may_be_newer).await;
        match lock(&slot.set).look(None, alg, Clock.now().time) {
            Look::Keys(keys) | Look::Aging(keys) => Found::Keys(keys),
            Look::Fetch | Look::Unknown | Look::Away => Found::Unknown,
        }
    }

    /// Has the keys fetched, if they are to be once nobody else asks. Whoever waits may go: the issuer is asked all the same,
    /// or whoever comes and goes would have it asked again and again.
    async fn fetched_by(
        self: &Arc<Self>,
        source: &Arc<KeySource>,
        slot: &Arc<Slot>,
        is_due: impl Fn(&KeySet, Time) -> bool + Send + 'static,
    ) {
        let (all, source, slot) = (Arc::clone(self), Arc::clone(source), Arc::clone(slot));
        let asking = tokio::spawn(async move {
            // Whoever asks at the moment may bring it.
            let _one = slot.asking.lock().await;
            let is_due = is_due(&lock(&slot.set), Clock.now().time);
            if is_due {
                all.ask(&source, &slot).await;
            }
        });
        // It does not panic; a runtime that ends needs no keys.
        let _ = asking.await;
    }

    async fn ask(&self, source: &KeySource, slot: &Slot) {
        lock(&slot.set).asked(Clock.now().time);
        let result = get(source).await.and_then(|(url, document)| {
            let is_set = lock(&slot.set).answered(&document, Clock.now().time);
            if is_set { Ok(()) } else { Err(NoKeys::KeySet(url)) }
        });
        let was_away = std::mem::replace(&mut *lock(&slot.away), result.is_err());
        match result {
            Ok(()) => {
                self.fetched.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(issuer = source.issuer, "fetched the keys of an issuer");
            }
            Err(error) => {
                lock(&slot.set).failed();
                self.failed.fetch_add(1, Ordering::Relaxed);
                if !was_away {
                    tracing::warn!(issuer = source.issuer, %error,
                        "the keys of an issuer cannot be fetched; for a day it is believed by those that it published last");
                }
            }
        }
    }

    /// An issuer that published this at that time.
    #[cfg(test)]
    pub(crate) fn published(&self, source: &Arc<KeySource>, document: &[u8], at: Time) {
        let slot = Arc::clone(lock(&self.slots).entry(Arc::clone(source)).or_default());
        lock(&slot.set).asked(at);
        assert!(lock(&slot.set).answered(document, at));
    }

    /// Each with its labels in metrics.
    pub fn each(&self) -> [(&'static str, &'static str, u64); 2] {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("key_sets_fetched", "outcome=\"ok\"", count(&self.fetched)),
            ("key_sets_fetched", "outcome=\"failed\"", count(&self.failed)),
        ]
    }
}

async fn get(source: &KeySource) -> Result<(String, bytes::Bytes), NoKeys> {
    let authorities = source.ca.as_deref().unwrap_or(Path::new(SYSTEM_AUTHORITIES));
    let document = async |url: String| match fetch(&url, authorities, DOCUMENT_BYTES_MAX, WITHIN).await {
        Ok(document) => Ok((url, document)),
        Err(source) => Err(NoKeys::Fetch { url, source }),
    };
    let url = match &source.url {
        Some(url) => url.clone(),
        None => {
            let (url, description) = document(source.description()).await?;
            source.keys_in(&description).ok_or(NoKeys::Description(url))?
        }
    };
    document(url).await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
