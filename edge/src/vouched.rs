//! Accounts whose credentials hold by the hub's word: what was given up there lets nobody in here either, and where the hub
//! was not heard for too long nobody is let in at all by what it might have revoked.
//!
//! What is known to be given up is in `given-up.jsonl` of the data folder, one line for each time that a hub said so, on
//! disk before it has an effect. How long each hub was not heard about each account is in `hubs-heard.json`. A hub that has
//! spoken for an account once is to be heard again and again: each may have revoked something. The hub says all of it again
//! whenever the link comes up, so a line that is lost comes back with it. How long it was not heard goes by the clock that
//! no step moves, is written down every minute, and over a restart goes by the wall clock if that says more: a clock that
//! was set back makes nothing younger.

use crate::config::{EdgeConfig, VouchedConfig};
use riser_edge_core::{EdgeCore, UplinkNumber};
use riser_gate::{AccountConfig, Accounts, Directory, accounts::GivenUp};
use riser_host::HostHandle;
use riser_model::{AccountId, AccountName, ClientId, Now, Room, Time};
use riser_shell::{Clock, Metrics, config::Program};
use riser_wire::link;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// What is given up.
const GIVEN_UP: &str = "given-up.jsonl";
/// How long which hub was not heard about which account.
const HEARD: &str = "hubs-heard.json";
/// How often it is looked whether the hubs are heard, and how often that is written down.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How often a hub is asked again what it gave up, at most and at least: an answer is what says that it is heard.
const ASK_EVERY: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(60)];
/// What was answered so many askings ago is no news that edges below could be told.
const NEWS_LASTS: u32 = 3;

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    account: AccountId,
    credentials: BTreeSet<[u8; 32]>,
    ids: BTreeSet<Uuid>,
}

/// One line of the other.
#[derive(Serialize, Deserialize)]
struct Heard {
    account: AccountId,
    hub: ClientId,
    /// When it was heard last, milliseconds since 1970.
    at: i64,
    /// How long ago that was when this was written, milliseconds.
    age_ms: u64,
}

/// See the module.
pub struct Vouched {
    folder: PathBuf,
    file: Vec<AccountConfig>,
    /// Whose names need no account before them.
    bare: Option<AccountName>,
    of: BTreeSet<AccountId>,
    /// Their names, as the configuration had them at the start.
    names: Vec<AccountName>,
    /// In the order of the configuration.
    hubs: Vec<ClientId>,
    max_age: Duration,
    known: BTreeMap<AccountId, GivenUp>,
    /// Hubs that spoke for an account.
    ages: BTreeMap<(AccountId, ClientId), Age>,
    /// Accounts of which nobody is let in.
    stale: BTreeSet<AccountId>,
    saved: Option<Time>,
}

/// What a file that was read again declares.
pub(crate) struct Declared {
    pub(crate) accounts: Vec<AccountConfig>,
    /// Whose names need no account before them.
    pub(crate) bare: Option<AccountName>,
    /// Answered when it holds, or is not taken.
    pub(crate) done: oneshot::Sender<bool>,
}

/// How long a hub was not heard.
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
        let hubs: Vec<ClientId> = config.uplink.iter().map(|uplink| uplink.hub_key.0.client()).collect();
        let folder = config.data().to_owned();
        let mut vouched = Self {
            known: read(&folder.join(GIVEN_UP)),
            ages: last_heard(&folder, now),
            folder,
            file: config.account.clone(),
            bare: config.default_account.clone(),
            of,
            names: accounts.clone(),
            hubs,
            max_age: grant_max_age.0,
            stale: BTreeSet::new(),
            saved: None,
        };
        vouched.known.retain(|account, _| vouched.of.contains(account));
        vouched.ages.retain(|(account, hub), _| vouched.of.contains(account) && vouched.hubs.contains(hub));
        vouched.look(now);
        Some(vouched)
    }

    /// How often the hubs are to be asked.
    pub fn ask_every(&self) -> Duration {
        (self.max_age / 4).clamp(ASK_EVERY[0], ASK_EVERY[1])
    }

    /// Who is let in at the moment.
    pub fn directory(&self) -> Option<Arc<Directory>> {
        let accounts = Accounts::declared(&self.file, &self.known, &self.stale).with_bare(self.bare.clone());
        match accounts.compile() {
            Ok(directory) => Some(Arc::new(directory)),
            Err(wrong) => {
                let wrong = wrong.first().map(ToString::to_string);
                tracing::error!(?wrong, "what was given up does not go with the file: it has no effect");
                None
            }
        }
    }

    /// Goes by another file, unless what was given up does not go with that.
    fn declare(&mut self, accounts: Vec<AccountConfig>, bare: Option<AccountName>, now: Now) -> bool {
        let of = self.of.clone();
        let before = (std::mem::replace(&mut self.file, accounts), std::mem::replace(&mut self.bare, bare));
        let own = self.file.iter().filter(|account| self.names.contains(&account.name));
        // What is held to a hub's word by its id stays so, whatever it is called.
        self.of.extend(own.filter_map(|account| account.id));
        self.look(now);
        let goes = self.directory().is_some();
        if !goes {
            ((self.file, self.bare), self.of) = (before, of);
            self.look(now);
        }
        goes
    }

    /// Hears the hub, for as long as the edge runs, and what its file says anew.
    pub(crate) async fn keep(
        mut self,
        mut said: mpsc::UnboundedReceiver<(UplinkNumber, link::GivenUp)>,
        mut files: mpsc::Receiver<Declared>,
        core: HostHandle<EdgeCore>,
        rooms: fn(&Directory) -> Vec<Room>,
        metrics: Arc<Metrics>,
    ) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        let mut speaks_for = BTreeSet::new();
        self.meter(&metrics);
        loop {
            let mut waits = None;
            let changed = tokio::select! {
                part = said.recv() => match part {
                    Some((uplink, part)) => self.hear(uplink, part, Clock.now()),
                    None => return,
                },
                Some(Declared { accounts, bare, done }) = files.recv() => {
                    let goes = self.declare(accounts, bare, Clock.now());
                    waits = Some((done, goes));
                    goes
                }
                _ = every.tick() => self.look(Clock.now()),
            };
            if changed && let Some(directory) = self.directory() {
                self.meter(&metrics);
                let rooms = rooms(&directory);
                core.change(directory, rooms).await;
            }
            if let Some((done, goes)) = waits {
                // Whoever asked may have gone.
                let _ = done.send(goes);
            }
            // After the directory in which it is.
            let fresh = self.fresh(Clock.now().time);
            if fresh != speaks_for {
                speaks_for.clone_from(&fresh);
                if core.ask(move |core, _| core.speak_for(fresh)).await.is_none() {
                    return;
                }
            }
        }
    }

    fn meter(&self, metrics: &Metrics) {
        metrics.accounts.sealed.set(self.stale.len() as u64);
    }

    /// The accounts of which all is known that is given up at this moment: edges below may be told.
    fn fresh(&self, now: Time) -> BTreeSet<AccountId> {
        let lasts = self.ask_every() * NEWS_LASTS;
        self.of.iter().copied().filter(|account| self.oldest(*account, now) < lasts).collect()
    }

    /// How long the hub was not heard that speaks for an account and was not heard for longest. For ever, if none ever spoke.
    fn oldest(&self, account: AccountId, now: Time) -> Duration {
        let ages = self.ages.iter().filter(|((of, _), _)| *of == account).map(|(_, age)| age.at(now));
        ages.max().unwrap_or(Duration::MAX)
    }

    /// A hub said a part. Whether that changes anything.
    fn hear(&mut self, uplink: UplinkNumber, part: link::GivenUp, now: Now) -> bool {
        let link::GivenUp { account, credentials, ids, more } = part;
        if !self.of.contains(&account) {
            return false;
        }
        let hub = self.hubs.get(uplink.0 as usize).filter(|_| !more);
        if let Some(hub) = hub {
            let age = Age { since: now.time, before: Duration::ZERO };
            if self.ages.insert((account, *hub), age).is_none_or(|before| before.at(now.time) >= self.max_age)
            {
                self.saved = None;
            }
        }
        let is_news = self.learn(account, credentials, ids);
        self.look(now) || is_news
    }

    fn learn(&mut self, account: AccountId, credentials: Vec<[u8; 32]>, ids: Vec<[u8; 16]>) -> bool {
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

    /// Whether the hubs are heard. Whether that changes anything.
    fn look(&mut self, now: Now) -> bool {
        if !self.ages.is_empty() && self.saved.is_none_or(|at| now.time.since(at) >= SAVE_EVERY) {
            self.saved = Some(now.time);
            if let Err(error) = self.save(now) {
                tracing::warn!(%error, "how long hubs were not heard is not kept over a restart");
            }
        }
        let is_stale = |account: &AccountId| self.oldest(*account, now.time) >= self.max_age;
        let stale: BTreeSet<AccountId> = self.of.iter().copied().filter(is_stale).collect();
        for account in self.file.iter().filter(|account| account.id.is_some_and(|id| self.of.contains(&id))) {
            let (name, id) = (&account.name, account.id.unwrap_or(AccountId(Uuid::nil())));
            match (self.stale.contains(&id), stale.contains(&id)) {
                (false, true) => tracing::error!(
                    account = %name,
                    "a hub that speaks for it was not heard for too long, or none ever was: nobody is let in here who holds by its word; look whether the links are up, and whether this edge is a client of that account there"
                ),
                (true, false) => tracing::info!(account = %name, "its hubs are heard again"),
                (false, false) | (true, true) => {}
            }
        }
        let is_changed = self.stale != stale;
        self.stale = stale;
        is_changed
    }

    fn save(&self, now: Now) -> io::Result<()> {
        let heard = self.ages.iter().map(|((account, hub), age)| {
            let age = u64::try_from(age.at(now.time).as_millis()).unwrap_or(u64::MAX);
            let at = now.wall.0.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX));
            Heard { account: *account, hub: *hub, at, age_ms: age }
        });
        let text = serde_json::to_vec(&heard.collect::<Vec<_>>())?;
        // A cut of the power leaves the former one, or this.
        let (path, new) = (self.folder.join(HEARD), self.folder.join(HEARD).with_extension("new"));
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(new, path)?;
        File::open(&self.folder)?.sync_all()
    }
}

/// For how long hubs were not heard when the process began.
fn last_heard(folder: &Path, now: Now) -> BTreeMap<(AccountId, ClientId), Age> {
    let heard = match fs::read(folder.join(HEARD)) {
        Ok(text) => serde_json::from_slice::<Vec<Heard>>(&text).unwrap_or_else(|error| {
            tracing::error!(%error, file = HEARD, "it cannot be read: the hubs have to be heard first");
            Vec::new()
        }),
        Err(_) => Vec::new(),
    };
    let ages = heard.into_iter().map(|Heard { account, hub, at, age_ms }| {
        let by_the_wall = u64::try_from(now.wall.0.saturating_sub(at)).unwrap_or(0);
        let before = Duration::from_millis(by_the_wall.max(age_ms));
        ((account, hub), Age { since: now.time, before })
    });
    ages.collect()
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

    const BETA: AccountId = AccountId(Uuid::from_u128(2));
    const DAY: u64 = 24 * 3600;

    fn open(folder: &Path, now: Now) -> Vouched {
        let account = |name: &str, id| AccountConfig::new(name.parse().unwrap(), id);
        let accounts = vec!["acme".parse().unwrap(), "beta".parse().unwrap()];
        let (data, vouched) = (folder.to_owned(), VouchedConfig { accounts, ..VouchedConfig::default() });
        let account = vec![account("acme", ACME), account("beta", BETA)];
        let config = EdgeConfig { data, vouched: Some(vouched), account, ..EdgeConfig::default() };
        let mut vouched = Vouched::open(&config, now).unwrap();
        // As two uplinks would make them.
        vouched.hubs = vec![hub(0), hub(1)];
        vouched.ages = last_heard(folder, now);
        vouched.look(now);
        vouched
    }

    fn hub(n: u128) -> ClientId {
        ClientId(Uuid::from_u128(n))
    }

    fn part(n: u8, more: bool) -> link::GivenUp {
        link::GivenUp { account: ACME, credentials: vec![[n; 32]], ids: vec![[n; 16]], more }
    }

    /// A hub says all that there is of an account.
    fn hears(vouched: &mut Vouched, uplink: u32, account: AccountId, s: u64) {
        vouched.hear(UplinkNumber(uplink), link::GivenUp { account, ..part(1, false) }, at(s));
    }

    #[test]
    fn what_the_hub_gave_up_outlives_the_process_and_a_torn_line_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut vouched = open(folder.path(), at(0));
        let mut hear = |part| vouched.hear(UplinkNumber(0), part, at(0));
        assert!(hear(part(1, true)) && !hear(part(1, true)), "it is known");
        assert!(!hear(link::GivenUp { account: AccountId(Uuid::nil()), ..part(2, true) }), "not of here");
        let path = folder.path().join(GIVEN_UP);
        let mut torn = fs::read(&path).unwrap();
        torn.extend(b"{\"account\":\"0000");
        fs::write(&path, torn).unwrap();
        assert!(open(folder.path(), at(0)).hear(UplinkNumber(0), part(2, false), at(0)));
        let known = &open(folder.path(), at(0)).known[&ACME];
        assert_eq!((known.credentials.len(), known.ids.len()), (2, 2));
    }

    #[test]
    fn nobody_is_let_in_by_the_word_of_a_hub_that_was_not_heard_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let mut vouched = open(folder.path(), at(0));
        assert!(vouched.stale.contains(&ACME), "it never was");
        vouched.hear(UplinkNumber(0), part(1, true), at(1));
        assert!(vouched.stale.contains(&ACME), "not all of it is known yet");
        assert!(vouched.hear(UplinkNumber(0), part(2, false), at(3)) && !vouched.stale.contains(&ACME));
        assert!(!vouched.look(at(DAY)));
        assert!(vouched.look(at(3 + DAY)) && vouched.stale.contains(&ACME));
        hears(&mut vouched, 0, ACME, 5 + DAY);
        assert!(!vouched.stale.contains(&ACME));
        vouched.look(at(6 + DAY));
        assert!(!open(folder.path(), at(4 + 2 * DAY)).stale.contains(&ACME), "a restart changes nothing");
        assert!(open(folder.path(), at(5 + 2 * DAY)).stale.contains(&ACME));
    }

    #[test]
    fn each_account_is_as_old_as_the_hub_that_spoke_for_it_and_was_not_heard_for_longest() {
        let folder = tempfile::tempdir().unwrap();
        let mut vouched = open(folder.path(), at(0));
        hears(&mut vouched, 0, ACME, 1);
        assert_eq!(vouched.stale, [BETA].into(), "nobody ever spoke for that one");
        hears(&mut vouched, 1, BETA, 1);
        hears(&mut vouched, 1, ACME, 1);
        assert_eq!(vouched.stale, [].into());
        for hour in 1..24 {
            hears(&mut vouched, 0, ACME, hour * 3600);
            hears(&mut vouched, 0, BETA, hour * 3600);
        }
        vouched.look(at(1 + DAY));
        assert_eq!(vouched.stale, [ACME, BETA].into(), "the other may have revoked something meanwhile");
        hears(&mut vouched, 1, ACME, 2 + DAY);
        assert_eq!(vouched.stale, [BETA].into());
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_younger() {
        let folder = tempfile::tempdir().unwrap();
        let mut vouched = open(folder.path(), at(0));
        hears(&mut vouched, 0, ACME, 0);
        (1..DAY).step_by(60).for_each(|s| assert!(!vouched.look(at(s))));
        assert!(!open(folder.path(), at(0)).stale.contains(&ACME), "almost a day");
        let mut again = open(folder.path(), at(0));
        assert!(again.look(Now { time: at(120).time, ..at(0) }) && again.stale.contains(&ACME));
    }

    #[test]
    fn file_that_is_read_again_takes_no_account_from_its_hub_s_word_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let mut vouched = open(folder.path(), at(0));
        hears(&mut vouched, 0, ACME, 1);
        let other = AccountConfig::new("other".parse().unwrap(), ACME);
        assert!(vouched.declare(vec![other], None, at(2)));
        assert!(vouched.of.contains(&ACME) && !vouched.stale.contains(&ACME));
        vouched.look(at(1 + DAY));
        assert!(vouched.stale.contains(&ACME), "it is called otherwise, and is the same");

        let (beta, twice) =
            (AccountConfig::new("beta".parse().unwrap(), BETA), AccountId(Uuid::from_u128(3)));
        let same = vec![beta.clone(), AccountConfig::new("beta".parse().unwrap(), twice)];
        assert!(!vouched.declare(same, None, at(2 + DAY)), "two of a name");
        assert!(vouched.file.iter().all(|account| account.name.as_str() == "other"), "nothing is changed");
    }

    #[test]
    fn edges_below_are_told_of_what_is_known_at_this_moment_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut vouched = open(folder.path(), at(0));
        hears(&mut vouched, 0, ACME, 0);
        let lasts = (vouched.ask_every() * NEWS_LASTS).as_secs();
        assert_eq!(vouched.fresh(at(lasts - 1).time), [ACME].into());
        assert_eq!(vouched.fresh(at(lasts).time), [].into());
        assert!(!vouched.look(at(lasts)), "here it holds for longer");
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_kept_of_when_hubs_were_heard() {
        let folder = tempfile::tempdir().unwrap();
        let mut vouched = open(folder.path(), at(0));
        hears(&mut vouched, 0, ACME, 1);
        let before = fs::read(folder.path().join(HEARD)).unwrap();
        // Nobody can write a file there.
        fs::create_dir(folder.path().join(HEARD).with_extension("new")).unwrap();
        hears(&mut vouched, 0, ACME, 3600);
        assert_eq!(fs::read(folder.path().join(HEARD)).unwrap(), before);
    }
}
