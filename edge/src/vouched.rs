//! Accounts whose credentials hold by the hub's word: what was given up there lets nobody in here either, and where the hub
//! was not heard for too long nobody is let in at all by what it might have revoked.
//!
//! What is known to be given up is in `given-up.jsonl` of the data folder, one line for each time that the hub said so, on
//! disk before it has an effect; when the hub was heard last is in `hub-heard`. The hub says all of it again whenever the
//! link comes up, so a line that is lost comes back with it. How long it was not heard goes by the clock that no step moves,
//! and over a restart by the wall clock: a clock that was set back there counts for nothing.

use crate::config::{EdgeConfig, VouchedConfig};
use riser_edge_core::EdgeCore;
use riser_gate::{AccountConfig, Accounts, Directory, accounts::GivenUp};
use riser_host::HostHandle;
use riser_model::{AccountId, Now, Room, Time};
use riser_shell::{Clock, Metrics, config::Program};
use riser_wire::link;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;
use uuid::Uuid;

/// What is given up.
const GIVEN_UP: &str = "given-up.jsonl";
/// When the hub was heard last, milliseconds since 1970.
const HEARD: &str = "hub-heard";
/// How often it is looked whether the hub is heard, and how often that is written down.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    account: AccountId,
    credentials: BTreeSet<[u8; 32]>,
    ids: BTreeSet<Uuid>,
}

/// See the module.
pub struct Vouched {
    folder: PathBuf,
    file: Vec<AccountConfig>,
    of: BTreeSet<AccountId>,
    max_age: Duration,
    known: BTreeMap<AccountId, GivenUp>,
    age: Age,
    /// All that the hub knows was said since the link came up.
    is_told: bool,
    is_stale: bool,
    saved: Option<Time>,
}

/// How long the hub was not heard.
#[derive(Clone, Copy, Debug)]
struct Age {
    /// When it was heard last, or when this process began and it had not been heard for so long already.
    since: Time,
    before: Duration,
}

impl Age {
    fn at(self, now: Time) -> Duration {
        self.before.saturating_add(now.since(self.since))
    }
}

impl Vouched {
    /// As the configuration says; none where it names no such account.
    pub fn open(config: &EdgeConfig, now: Now) -> Option<Self> {
        let VouchedConfig { accounts, grant_max_age } = config.vouched.as_ref()?;
        let own = config.account.iter().filter(|account| accounts.contains(&account.name));
        let of: BTreeSet<AccountId> = own.filter_map(|account| account.id).collect();
        let (folder, max_age) = (config.data().to_owned(), grant_max_age.0);
        let age = Age { since: now.time, before: last_heard(&folder, now) };
        let is_stale = age.at(now.time) >= max_age;
        let mut vouched = Self {
            known: read(&folder.join(GIVEN_UP)),
            folder,
            file: config.account.clone(),
            of,
            max_age,
            age,
            is_told: false,
            is_stale,
            saved: None,
        };
        vouched.known.retain(|account, _| vouched.of.contains(account));
        Some(vouched)
    }

    /// Who is let in at the moment.
    pub fn directory(&self) -> Option<Arc<Directory>> {
        let sealed = if self.is_stale { self.of.clone() } else { BTreeSet::new() };
        match Accounts::declared(&self.file, &self.known, &sealed).compile() {
            Ok(directory) => Some(Arc::new(directory)),
            Err(wrong) => {
                let wrong = wrong.first().map(ToString::to_string);
                tracing::error!(?wrong, "what was given up does not go with the file: it has no effect");
                None
            }
        }
    }

    /// Hears the hub, for as long as the edge runs.
    pub async fn keep(
        mut self,
        mut said: mpsc::UnboundedReceiver<link::GivenUp>,
        core: HostHandle<EdgeCore>,
        rooms: fn(&Directory) -> Vec<Room>,
        metrics: Arc<Metrics>,
    ) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        self.meter(&metrics);
        loop {
            let changed = tokio::select! {
                part = said.recv() => match part {
                    Some(part) => self.hear(part),
                    None => return,
                },
                _ = every.tick() => {
                    let is_up = core.ask(|core, _| core.uplinks().any(|(_, uplink)| uplink.is_up())).await;
                    let Some(is_up) = is_up else { return };
                    self.look(is_up, Clock.now())
                }
            };
            if changed && let Some(directory) = self.directory() {
                self.meter(&metrics);
                let rooms = rooms(&directory);
                core.change(directory, rooms).await;
            }
        }
    }

    fn meter(&self, metrics: &Metrics) {
        metrics.accounts.sealed.set(if self.is_stale { self.of.len() as u64 } else { 0 });
    }

    /// The hub said a part. Whether that changes anything.
    fn hear(&mut self, part: link::GivenUp) -> bool {
        let link::GivenUp { account, credentials, ids, more } = part;
        self.is_told |= !more;
        if !self.of.contains(&account) {
            return false;
        }
        let known = self.known.entry(account).or_default();
        let credentials: BTreeSet<_> =
            credentials.into_iter().filter(|one| !known.credentials.contains(one)).collect();
        let ids = ids.into_iter().map(Uuid::from_bytes).filter(|id| !known.ids.contains(id));
        let ids: BTreeSet<_> = ids.collect();
        if credentials.is_empty() && ids.is_empty() {
            return false;
        }
        known.credentials.extend(&credentials);
        known.ids.extend(&ids);
        tracing::info!(
            credentials = credentials.len(),
            ids = ids.len(),
            "the hub gave these up; so does this edge"
        );
        // It holds here and now whatever becomes of the file; the hub says it again when the link comes up.
        if let Err(error) = append(&self.folder.join(GIVEN_UP), &Line { account, credentials, ids }) {
            tracing::error!(%error, "what the hub gave up is not kept over a restart");
        }
        true
    }

    /// Whether the hub is heard. Whether that changes anything.
    fn look(&mut self, is_up: bool, now: Now) -> bool {
        self.is_told &= is_up;
        if self.is_told {
            self.age = Age { since: now.time, before: Duration::ZERO };
            if self.saved.is_none_or(|at| now.time.since(at) >= SAVE_EVERY) {
                self.saved = Some(now.time);
                if let Err(error) = fs::write(self.folder.join(HEARD), now.wall.0.to_string()) {
                    tracing::warn!(%error, "when the hub was heard last is not kept over a restart");
                }
            }
        }
        let is_stale = self.age.at(now.time) >= self.max_age;
        if is_stale != self.is_stale {
            if is_stale {
                tracing::error!(
                    "the hub was not heard for too long: nobody is let in here who holds by its word"
                );
            } else {
                tracing::info!("the hub is heard again");
            }
        }
        std::mem::replace(&mut self.is_stale, is_stale) != is_stale
    }
}

/// For how long the hub was not heard when the process began. For ever, if it never was.
fn last_heard(folder: &Path, now: Now) -> Duration {
    let heard = fs::read_to_string(folder.join(HEARD)).ok().and_then(|text| text.trim().parse::<i64>().ok());
    let Some(heard) = heard else { return Duration::MAX };
    Duration::from_millis(u64::try_from(now.wall.0.saturating_sub(heard)).unwrap_or(0))
}

fn read(path: &Path) -> BTreeMap<AccountId, GivenUp> {
    let mut known = BTreeMap::<AccountId, GivenUp>::new();
    for line in fs::read_to_string(path).unwrap_or_default().lines() {
        // One that a crash cut short is said again by the hub.
        let Ok(Line { account, credentials, ids }) = serde_json::from_str(line) else { continue };
        let of = known.entry(account).or_default();
        of.credentials.extend(credentials);
        of.ids.extend(ids);
    }
    known
}

fn append(path: &Path, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    // A line that a crash cut short ends here.
    text.insert(0, b'\n');
    text.push(b'\n');
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(&text)?;
    file.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use riser_model::Wall;

    const ACME: AccountId = AccountId(Uuid::from_u128(1));

    fn at(s: u64) -> Now {
        Now {
            time: Time(0).plus(Duration::from_secs(s)),
            wall: Wall(1_700_000_000_000).plus_s(u32::try_from(s).unwrap()),
        }
    }

    fn open(folder: &Path, now: Now) -> Vouched {
        let account = AccountConfig::new("acme".parse().unwrap(), ACME);
        let vouched = VouchedConfig { accounts: vec!["acme".parse().unwrap()], ..VouchedConfig::default() };
        let (data, vouched) = (folder.to_owned(), Some(vouched));
        Vouched::open(&EdgeConfig { data, vouched, account: vec![account], ..EdgeConfig::default() }, now)
            .unwrap()
    }

    fn part(n: u8, more: bool) -> link::GivenUp {
        link::GivenUp { account: ACME, credentials: vec![[n; 32]], ids: vec![[n; 16]], more }
    }

    #[test]
    fn what_the_hub_gave_up_outlives_the_process_and_a_torn_line_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut vouched = open(folder.path(), at(0));
        assert!(vouched.hear(part(1, true)) && !vouched.hear(part(1, true)), "it is known");
        assert!(
            !vouched.hear(link::GivenUp { account: AccountId(Uuid::nil()), ..part(2, true) }),
            "not of here"
        );
        let path = folder.path().join(GIVEN_UP);
        let mut torn = fs::read(&path).unwrap();
        torn.extend(b"{\"account\":\"0000");
        fs::write(&path, torn).unwrap();
        assert!(open(folder.path(), at(0)).hear(part(2, false)));
        let known = &open(folder.path(), at(0)).known[&ACME];
        assert_eq!((known.credentials.len(), known.ids.len()), (2, 2));
    }

    #[test]
    fn nobody_is_let_in_by_the_word_of_a_hub_that_was_not_heard_for_a_day() {
        let day = 24 * 3600;
        let folder = tempfile::tempdir().unwrap();
        let mut vouched = open(folder.path(), at(0));
        assert!(vouched.is_stale, "it never was");
        assert!(!vouched.look(true, at(1)), "the link is up, and what was given up is not known yet");
        vouched.hear(part(1, true));
        assert!(!vouched.look(true, at(2)), "nor all of it");
        vouched.hear(part(2, false));
        assert!(vouched.look(true, at(3)) && !vouched.is_stale);
        assert!(!vouched.look(false, at(day)));
        assert!(vouched.look(false, at(3 + day)) && vouched.is_stale);
        assert!(!vouched.look(true, at(4 + day)), "it has to say again what it gave up");
        vouched.hear(part(2, false));
        assert!(vouched.look(true, at(5 + day)) && !vouched.is_stale);
        assert!(!open(folder.path(), at(4 + 2 * day)).is_stale, "a restart changes nothing");
        assert!(open(folder.path(), at(5 + 2 * day)).is_stale);
        assert!(!open(folder.path(), at(0)).is_stale, "a clock that was set back counts for nothing");
    }
}
