//! Accounts that hold by the hub's word: what the program does of it, in virtual time. What was given up is on disk before it has
//! an effect; how long the hub was not heard is written down every minute.

use super::{Host, Later};
use crate::{mutant::Mutant, site};
use riser_gate::{AccountConfig, Accounts, Directory, accounts::GivenUp};
use riser_instance::core::Input;
use riser_model::{Now, Time, Wall};
use riser_wire::link;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub struct Vouched {
    file: AccountConfig,
    max_age: Duration,
    /// On disk.
    known: GivenUp,
    /// On disk: when the hub was heard last, by the wall clock, and how long ago that was when this was written.
    heard: Option<(Wall, Duration)>,
    /// When the hub was heard last by this process, or when that began, and for how long it had not been heard then.
    age: Option<(Time, Duration)>,
    saved: Option<Time>,
    stale: bool,
    /// Rises with each process: the newest looks.
    looks: u64,
}

impl Vouched {
    /// One that knows nothing yet.
    pub fn new(file: AccountConfig, max_age: Duration) -> Self {
        let (known, heard, age, saved) = (GivenUp::default(), None, None, None);
        Self { file, max_age, known, heard, age, saved, stale: true, looks: 0 }
    }

    /// How often the hub is to be asked.
    pub fn ask_every(&self) -> Duration {
        (self.max_age / 4).clamp(Duration::from_millis(500), Duration::from_secs(60))
    }

    fn age(&self, now: Time) -> Duration {
        self.age.map_or(Duration::MAX, |(since, before)| before.saturating_add(now.since(since)))
    }

    /// Whether it is heard, and how long ago that was is written down. Whether that changes anything.
    fn look(&mut self, now: Now, mutant: Option<Mutant>) -> bool {
        if self.age.is_some() && self.saved.is_none_or(|at| now.time.since(at) >= SAVE_EVERY) {
            self.saved = Some(now.time);
            let age = self.age(now.time);
            let ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            self.heard = Some((Wall(now.wall.0.saturating_sub(ms)), age));
        }
        let stale = self.age(now.time) >= self.max_age && mutant != Some(Mutant::WordsLast);
        std::mem::replace(&mut self.stale, stale) != stale
    }

    fn hear(&mut self, said: link::GivenUp, now: Now, mutant: Option<Mutant>) -> bool {
        if !said.more {
            if self.age(now.time) >= self.max_age {
                self.saved = None;
            }
            self.age = Some((now.time, Duration::ZERO));
        }
        let before = (self.known.credentials.len(), self.known.ids.len());
        if mutant != Some(Mutant::GivenUpUnheard) {
            self.known.credentials.extend(said.credentials);
            self.known.ids.extend(said.ids.into_iter().map(Uuid::from_bytes));
        }
        let is_news = before != (self.known.credentials.len(), self.known.ids.len());
        self.look(now, mutant) || is_news
    }

    fn directory(&self) -> Arc<Directory> {
        let known = BTreeMap::from([(site::account(), self.known.clone())]);
        let stale: BTreeSet<_> = self.stale.then(site::account).into_iter().collect();
        let accounts = Accounts::declared(std::slice::from_ref(&self.file), &known, &stale);
        Arc::new(accounts.compile().expect("a file without what was given up is a file"))
    }
}

impl Host {
    /// A process begins: by what is on disk.
    pub(super) fn open_vouched(&mut self, at: Time) {
        let (now, mutant) = (self.now(at), self.setup.mutant);
        let Some(vouched) = &mut self.vouched else { return };
        if mutant == Some(Mutant::GivenUpForgotten) {
            vouched.known = GivenUp::default();
        }
        vouched.age = vouched.heard.map(|(wall, age)| {
            let by_the_wall = u64::try_from(now.wall.0.saturating_sub(wall.0)).unwrap_or(0);
            (now.time, age.max(Duration::from_millis(by_the_wall)))
        });
        (vouched.saved, vouched.stale) = (None, true);
        vouched.look(now, mutant);
        vouched.looks += 1;
        let looks = vouched.looks;
        self.setup.directory = vouched.directory();
        self.setup.policy = site::policy(&self.setup.directory);
        self.later(at.plus(LOOK_EVERY), Later::Vouched(looks));
    }

    /// Its hub says what was given up.
    pub fn hear_given_up(&mut self, said: link::GivenUp, at: Time) {
        let (now, mutant) = (self.now(at), self.setup.mutant);
        if self.vouched.as_mut().is_some_and(|vouched| vouched.hear(said, now, mutant)) {
            let moment = self.moment();
            self.later(at.plus(moment), Later::Vouched(0));
        }
    }

    /// It is looked whether the hub was heard, or what was heard has its effect (0).
    pub(super) fn look_vouched(&mut self, look: u64, at: Time) {
        let (now, mutant) = (self.now(at), self.setup.mutant);
        let Some(vouched) = &mut self.vouched else { return };
        if look > 0 {
            if look != vouched.looks {
                return;
            }
            let changed = vouched.look(now, mutant);
            self.later(at.plus(LOOK_EVERY), Later::Vouched(look));
            if !changed {
                return;
            }
        }
        let Some(vouched) = &self.vouched else { return };
        let directory = vouched.directory();
        self.setup.policy = site::policy(&directory);
        self.setup.directory = Arc::clone(&directory);
        let rooms = directory.rooms().to_vec();
        self.input(Input::Changed { directory, rooms }, now);
        self.drain(at);
    }
}
