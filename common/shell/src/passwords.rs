//! Passwords: verified with argon2id on a few threads of their own, in time that nobody else wants, hashed for configuration.
//!
//! Verifying costs memory and time by design, so only a few run at once, a bounded number waits, of each address and of
//! all, and the rest is sent away to come back. It is begun in the system's idle class, whose threads are put aside the
//! moment another wakes: one that is merely nice keeps the processor for its slice, 3 ms, and whoever is inside waits for
//! that at each step. A machine that is never at rest would not get through with any, so what has taken
//! [`LEISURE`] is begun once more, at a low priority, and the first of the two to end says what it came to. As a rule half of
//! the processors do this and no more: with all of them busy, be it in the idle class, a kernel lets whoever wakes wait for
//! milliseconds. The memory goes from one verification to the next as long as somebody waits, for taking it anew is thousands
//! of page faults, in which other threads wait too. And from where a password was wrong, the next one waits
//! ([`rests`](crate::rests)): a storm of them has a small share of the time.
//!
//! What matched is remembered in memory under a key that this process drew, so that a thousand devices that reconnect at once
//! are let in at once; whatever does not match always costs the full price.

use crate::{
    entropy,
    places::Places,
    rests::{Rests, Turn},
};
use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{PasswordHasher, phc},
};
use riser_gate::{PasswordHash, Verdict};
use riser_model::door::Secret;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    fmt,
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};

/// How many may wait to be verified: on a slow machine, as many as it verifies before their gates give up.
pub const WAITING_MAX: usize = 512;
/// What a verification has in the idle class: what it takes on a small machine that is at rest now and then, and no more, for
/// others wait meanwhile.
pub const LEISURE: Duration = Duration::from_millis(300);
/// How much less of the processor than those who are inside after that: a tenth, where there is too little for both.
const POLITENESS: i32 = 10;
/// How many that matched are remembered; then it begins anew.
pub const REMEMBERED_MAX: usize = 16_384;

/// The verifier of a process.
pub struct Passwords {
    verifiers: Arc<Semaphore>,
    /// Of the idle class, those included that nobody waits for any more.
    idle: Arc<Semaphore>,
    leisure: Duration,
    queue: Arc<Queue>,
    places: Places,
    rests: Rests,
    matched: Arc<Matched>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("free", &self.verifiers.available_permits()).finish_non_exhaustive()
    }
}

impl Passwords {
    /// At most so many at the same time; 0 is half of the processors, one at least.
    pub fn new(verifiers: usize) -> Self {
        let processors = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let verifiers = if verifiers == 0 { processors() / 2 } else { verifiers };
        Self::with_waiting(verifiers, WAITING_MAX)
    }

    fn with_waiting(verifiers: usize, waiting_max: usize) -> Self {
        Self {
            verifiers: Arc::new(Semaphore::new(verifiers.max(1))),
            idle: Arc::new(Semaphore::new(verifiers.max(1))),
            leisure: LEISURE,
            queue: Arc::new(Queue::new(waiting_max)),
            places: Places::default(),
            rests: Rests::default(),
            matched: Arc::new(Matched { key: entropy::bytes(), names: Mutex::default() }),
        }
    }

    /// Whether that password has that hash, for somebody from there. Dropped before it is done, it gives its place back as
    /// soon as what began is through.
    pub async fn verify(&self, hash: PasswordHash, password: Secret, from: Option<IpAddr>) -> Verdict {
        let name = self.matched.name(&hash, &password);
        if self.matched.holds(&name) {
            return Verdict::Matches;
        }
        let Some(place) = self.places.take(from) else {
            return Verdict::Busy;
        };
        let Some((turn, verifier)) = self.turn(from).await else {
            return Verdict::Busy;
        };
        let (says, said) = oneshot::channel();
        let (matched, queue) = (Arc::clone(&self.matched), Arc::clone(&self.queue));
        let work = Arc::new(Work { matched, queue, name, hash, password });
        // What it left behind in the idle class, where nothing may come of it for long, takes the place of others there, and
        // no place here.
        let (idle, leisure) = (Arc::clone(&self.idle).try_acquire_owned().ok(), self.leisure);
        tokio::spawn(async move {
            let began = Instant::now();
            let verdict = work.done(idle, leisure).await;
            if verdict == Verdict::Differs {
                turn.was_wrong(began.elapsed());
            }
            drop((verifier, turn, place));
            // Whoever asked may have gone.
            let _ = says.send(verdict);
        });
        said.await.unwrap_or(Verdict::Busy)
    }

    /// A verifier, for somebody from there whose turn it is. None if too many wait.
    async fn turn(&self, from: Option<IpAddr>) -> Option<(Turn, OwnedSemaphorePermit)> {
        loop {
            let turn = self.rests.turn(from).await?;
            let _waiting = self.queue.places.try_acquire().ok()?;
            let verifier = Arc::clone(&self.verifiers).acquire_owned().await.ok()?;
            // Somebody from there may have been wrong meanwhile.
            if turn.stands() {
                return Some((turn, verifier));
            }
        }
    }
}

/// Who waits, and what goes from one to the next.
struct Queue {
    places: Semaphore,
    length: usize,
    /// What those who are through verified in. As many as wait, at most.
    memories: Mutex<Vec<Memory>>,
}

/// What a password is verified in.
type Memory = Vec<Block>;

impl Queue {
    fn new(length: usize) -> Self {
        Self { places: Semaphore::new(length), length, memories: Mutex::default() }
    }

    fn memory(&self) -> Memory {
        self.memories().pop().unwrap_or_default()
    }

    /// Kept for who waits. If nobody does, none is kept.
    fn give_back(&self, memory: Memory) {
        let waiting = self.length - self.places.available_permits();
        let mut memories = self.memories();
        memories.push(memory);
        memories.truncate(waiting);
    }

    fn memories(&self) -> MutexGuard<'_, Vec<Memory>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One verification.
struct Work {
    matched: Arc<Matched>,
    queue: Arc<Queue>,
    name: [u8; 32],
    hash: PasswordHash,
    password: Secret,
}

impl Work {
    async fn done(self: Arc<Self>, idle: Option<OwnedSemaphorePermit>, leisure: Duration) -> Verdict {
        // Someone who waited in front may have brought the same.
        if self.matched.holds(&self.name) {
            return Verdict::Matches;
        }
        let Some((verdict, memory)) = Arc::clone(&self).verdict(idle, leisure).await else {
            return Verdict::Busy;
        };
        self.queue.give_back(memory);
        if verdict == Verdict::Matches {
            self.matched.remember(self.name);
        }
        verdict
    }

    /// What it comes to: at leisure, if there is a place for that, or else at a low priority. None if no thread could begin.
    async fn verdict(
        self: Arc<Self>,
        idle: Option<OwnedSemaphorePermit>,
        leisure: Duration,
    ) -> Option<(Verdict, Memory)> {
        let (says, mut said) = mpsc::unbounded_channel();
        if let Some(place) = idle {
            Arc::clone(&self).begin(Class::Idle(place), says.clone());
            if let Ok(Some(said)) = timeout(leisure, said.recv()).await {
                return Some(said);
            }
        }
        self.begin(Class::Nice, says);
        said.recv().await
    }

    /// Begins on a thread, which takes nothing that others wait for: one of the idle class may be put aside for long.
    fn begin(self: Arc<Self>, class: Class, says: mpsc::UnboundedSender<(Verdict, Memory)>) {
        let mut memory = self.queue.memory();
        let work = move || {
            class.enter();
            let verdict = verify(self.hash.expose(), &self.password.0, &mut memory);
            // The other of the two may be through.
            let _ = says.send((verdict, memory));
            drop(class);
        };
        // A thread costs a thousandth of what it does here, and its class goes with it.
        if let Err(error) = thread::Builder::new().name("verifier".into()).spawn(work) {
            tracing::warn!(%error, "a password waits in vain for a thread");
        }
    }
}

/// What a thread has of the processor. Those who are inside go first: guessing is to cost who guesses.
enum Class {
    /// What nobody else wants.
    Idle(#[expect(dead_code, reason = "given back when the thread is through")] OwnedSemaphorePermit),
    /// A tenth.
    Nice,
}

impl Class {
    /// The thread that this is called on is of it from now on. Where it cannot be, nothing is worse than without.
    fn enter(&self) {
        if let Self::Idle(_) = self {
            let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
        }
        let _ = rustix::process::nice(POLITENESS);
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

fn verify(hash: &str, password: &[u8], memory: &mut Memory) -> Verdict {
    let Some((argon2, salt, expected)) = parsed(hash) else {
        tracing::error!(
            "a password hash in the configuration cannot be read; make it anew with `account hash`"
        );
        return Verdict::Differs;
    };
    let blocks = argon2.params().block_count();
    if memory.try_reserve_exact(blocks.saturating_sub(memory.len())).is_err() {
        tracing::warn!(
            bytes = blocks * Block::SIZE,
            "a password cannot be verified: there is no memory for it"
        );
        return Verdict::Busy;
    }
    memory.resize(blocks, Block::new());
    let mut output = [0; phc::Output::MAX_LENGTH];
    let computed = output.get_mut(..expected.len()).and_then(|output| {
        argon2.hash_password_into_with_memory(password, &salt, output, memory).ok()?;
        phc::Output::new(output).ok()
    });
    // The comparison of outputs takes the same time wherever they differ.
    if computed.is_some_and(|computed| computed == expected) { Verdict::Matches } else { Verdict::Differs }
}

fn parsed(hash: &str) -> Option<(Argon2<'static>, phc::Salt, phc::Output)> {
    let hash = phc::PasswordHash::new(hash).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = Version::try_from(hash.version?).ok()?;
    let params = Params::try_from(&hash).ok()?;
    Some((Argon2::new(algorithm, version, params), hash.salt?, hash.hash?))
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
    use crate::{places::OF_ADDRESS_MAX, rests::REST_MIN};
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

    /// As on a machine that is never at rest: nothing comes of what is begun in the idle class, or not in time.
    #[tokio::test]
    async fn who_is_not_verified_at_leisure_is_verified_all_the_same() {
        let mut passwords = Passwords::with_waiting(1, 8);
        passwords.leisure = Duration::ZERO;
        let hash = hash(b"right");
        for said in ["wrong", "right", "wrong"] {
            let verdict = passwords.verify(hash.clone(), secret(said), None).await;
            assert_eq!(verdict, if said == "right" { Verdict::Matches } else { Verdict::Differs });
            assert_eq!(passwords.verifiers.available_permits(), 1, "what was left behind has no place");
        }
        passwords.leisure = Duration::from_secs(3600);
        let _left_behind = Arc::clone(&passwords.idle).acquire_owned().await.unwrap();
        assert_eq!(passwords.verify(hash, secret("wrong"), None).await, Verdict::Differs);
    }

    #[test]
    fn a_thread_of_the_idle_class_is_one() {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let class = Class::Idle(place);
        // The policy is the 41st field of proc_pid_stat(5), counted from 1, 5 is SCHED_IDLE; no name here has a space.
        let policy = thread::spawn(move || {
            class.enter();
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            stat.rsplit(')').next().unwrap().split_whitespace().nth(38).unwrap().to_owned()
        });
        assert_eq!(policy.join().unwrap(), "5");
    }

    /// Two hashes of different costs in the same memory, larger first and smaller first: what is left in it is nobody's.
    #[test]
    fn what_another_verified_in_changes_nothing() {
        let other =
            Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 3, 2, Some(16)).unwrap());
        let small = other.hash_password_with_salt(b"small", &[7; 16]).unwrap().to_string();
        let large = hash(b"large");
        let mut memory = Memory::new();
        for (hash, password) in [(large.expose(), "large"), (&small, "small"), (large.expose(), "large")] {
            assert_eq!(verify(hash, b"else", &mut memory), Verdict::Differs);
            assert_eq!(verify(hash, password.as_bytes(), &mut memory), Verdict::Matches);
        }
    }

    #[tokio::test]
    async fn memory_is_kept_as_long_as_somebody_waits() {
        let passwords = Passwords::with_waiting(1, 8);
        let (hash, wrong) = (hash(b"right"), || secret("wrong"));
        passwords.verify(hash.clone(), wrong(), None).await;
        assert!(passwords.queue.memories().is_empty(), "nobody waits");
        let mut waits = Box::pin(passwords.verify(hash.clone(), wrong(), None));
        let busy = Arc::clone(&passwords.verifiers).acquire_owned().await.unwrap();
        assert!(futures_now(&mut waits).is_none());
        passwords.queue.give_back(vec![Block::new()]);
        passwords.queue.give_back(vec![Block::new()]);
        assert_eq!(passwords.queue.memories().len(), 1, "one for each who waits");
        drop(busy);
        assert_eq!(waits.await, Verdict::Differs);
        assert!(passwords.queue.memories().is_empty());
    }

    #[test]
    fn half_of_the_processors_verify_if_nothing_else_is_said() {
        let processors = thread::available_parallelism().unwrap().get();
        assert_eq!(Passwords::new(0).verifiers.available_permits(), (processors / 2).max(1));
        assert_eq!(Passwords::new(3).verifiers.available_permits(), 3);
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

    #[tokio::test]
    async fn an_address_rests_after_a_wrong_password_and_what_has_matched_does_not_wait() {
        let (passwords, hash) = (Passwords::new(1), hash(b"right"));
        let verify = async |from: &str, password: &str| {
            let began = Instant::now();
            let from = Some(from.parse().unwrap());
            let verdict = passwords.verify(hash.clone(), secret(password), from).await;
            (verdict, began.elapsed() >= REST_MIN)
        };
        assert_eq!(verify("192.0.2.1", "right").await, (Verdict::Matches, false));
        assert_eq!(verify("192.0.2.1", "wrong").await, (Verdict::Differs, false));
        assert_eq!(verify("192.0.2.1", "wrong").await, (Verdict::Differs, true), "it rests");
        assert_eq!(
            verify("192.0.2.1", "right").await,
            (Verdict::Matches, false),
            "what has matched is known"
        );
        assert_eq!(verify("192.0.2.2", "wrong").await, (Verdict::Differs, false), "from elsewhere");
    }

    /// Those who came before anybody was wrong rest with the others.
    #[tokio::test]
    async fn who_waits_for_a_verifier_when_the_address_begins_to_rest_rests_too() {
        let (passwords, hash) = (Passwords::new(1), hash(b"right"));
        let began = Instant::now();
        let wrong = || passwords.verify(hash.clone(), secret("wrong"), Some("192.0.2.1".parse().unwrap()));
        let verdicts = tokio::join!(wrong(), wrong(), wrong());
        assert_eq!(verdicts, (Verdict::Differs, Verdict::Differs, Verdict::Differs));
        assert!(began.elapsed() >= REST_MIN * 2);
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
