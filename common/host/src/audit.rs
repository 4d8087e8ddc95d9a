//! The audit log: who was let in, who was not, who was sent away, and who changed what, from where, when, and with which
//! result. Never a secret.
//!
//! Lines of JSON in files of the data folder: changes in `audit.jsonl`, what gates did in `audit-gates.jsonl`, each with one
//! older file that goes when the newer is full: durable, and bounded. A change is on disk before whoever made it hears of it,
//! and what is about to be saved is before that ([`begun`]): a crash leaves no change that is not written down;
//! what gates did follows a moment later ([`Pace`]). Who comes in, or is refused, in the same way from the same place is one line every
//! ten seconds, which counts them: a storm neither fills it nor hides what else happens, and no coming and going, however
//! varied, takes the place of a change.

use riser_model::{AccountId, Audited, ClientId, Deed, Time, Wall};
use riser_shell::{Clock, Metrics};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc};

mod begun;
mod books;
mod command;
mod storm;

pub use begun::Begun;
pub use command::{AuditArgs, LineArgs};

use begun::Place;
use books::{Book, Books, lines, newest};
use storm::Storm;

/// What waits to be written, of gates.
const WAITING_MAX: usize = 16_384;
/// Lines in one answer: unless somebody asks for more.
const LINES: usize = 100;
/// Lines in one answer, at most.
pub const LINES_MAX: usize = 1000;

/// How often what gates did is written, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    every: Duration,
    /// What comes meanwhile waits for that.
    waits: bool,
    kinds_max: usize,
}

impl Pace {
    /// Of a server: at once.
    pub const SERVER: Self = Self { every: Duration::from_secs(1), waits: false, kinds_max: 1024 };
    /// Of a small machine whose flash wears out: within ten seconds, and a stranger who tries names writes a few lines of each
    /// ten seconds and no more.
    pub const SMALL: Self = Self { every: Duration::from_secs(10), waits: true, kinds_max: 64 };
}

/// Which lines.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Of this account; all unless given.
    pub account: Option<AccountId>,
    /// Those before this one.
    pub before: Option<u64>,
    /// At most so many; 100 unless given, [`LINES_MAX`] at most.
    pub limit: Option<usize>,
    /// Those in which somebody, something, a place or a result contains this, in whatever case.
    pub contains: Option<String>,
}

impl Asked {
    fn most(&self) -> usize {
        self.limit.unwrap_or(LINES).min(LINES_MAX)
    }
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Line {
    /// Rises by one with every line.
    pub n: u64,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// The account that it is about; none where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Who.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub who: String,
    /// From where.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// What was done, or tried.
    pub what: String,
    /// To what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub of: String,
    /// What it came to.
    pub result: String,
    /// It stands for so many of its kind.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_one(count: &u64) -> bool {
    *count == 1
}

impl Line {
    /// Of a change that is made now.
    pub fn change(
        account: Option<AccountId>,
        who: &str,
        from: &str,
        what: &str,
        of: &str,
        result: String,
    ) -> Self {
        let (who, from, what, of) = (who.to_owned(), from.to_owned(), what.to_owned(), of.to_owned());
        let at = Clock.now().wall.0;
        Self { at, account, who, from, what, of, result, count: 1, ..Self::default() }
    }

    /// Whether anything that a person reads in it contains a text in lower case.
    fn contains(&self, text: &str) -> bool {
        let all = [&self.who, &self.from, &self.what, &self.of, &self.result];
        all.into_iter().any(|one| one.to_lowercase().contains(text))
    }

    /// Of what was done at a gate.
    fn gate(audited: Audited) -> Self {
        let Audited { account, client: _, name, from, connection: _, room, deed, why } = audited;
        Self {
            account,
            who: name.map(|name| name.to_string()).unwrap_or_default(),
            from: from.map(|from| from.to_string()).unwrap_or_default(),
            what: deed.name().to_owned(),
            of: room.map(|room| format!("room {room}")).unwrap_or_default(),
            result: why,
            count: 1,
            ..Self::default()
        }
    }
}

/// A read of a client's that is under way.
struct Reader(Arc<Mutex<BTreeMap<ClientId, u32>>>, Option<ClientId>);

impl Reader {
    /// One more, unless it has too many. The operator has as many as it likes.
    fn new(all: &Arc<Mutex<BTreeMap<ClientId, u32>>>, client: Option<ClientId>) -> Option<Self> {
        if let Some(client) = client {
            let mut own = all.lock().unwrap_or_else(PoisonError::into_inner);
            let count = own.entry(client).or_default();
            if *count >= READS_MAX {
                return None;
            }
            *count += 1;
        }
        Some(Self(Arc::clone(all), client))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(client) = self.1 else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                all.remove(&client);
            }
        }
    }
}

/// Reads of one client at once: one that runs, and one that waits.
const READS_MAX: u32 = 2;

/// The audit log of an instance.
#[derive(Clone, Debug)]
pub struct Audit {
    books: Arc<Mutex<Books>>,
    begun: Place,
    /// One reads at a time: each reads up to four files.
    reading: Arc<Semaphore>,
    /// How many reads each client has under way.
    readers: Arc<Mutex<BTreeMap<ClientId, u32>>>,
    metrics: Arc<Metrics>,
    /// Refusals at the admin interface that are not written yet, and when the last was.
    refused: Arc<Mutex<(u64, Option<Time>)>>,
}

impl Audit {
    /// Of a data folder.
    pub fn open(folder: &Path, metrics: Arc<Metrics>) -> Self {
        let books = Arc::new(Mutex::new(Books::open(folder)));
        let (begun, reading) = (Place::of(folder), Arc::new(Semaphore::new(1)));
        Self { books, begun, reading, readers: Arc::default(), metrics, refused: Arc::default() }
    }

    /// Writes down what is about to be saved. It is on disk when this returns.
    pub fn begin(&self, begun: &Begun) -> io::Result<()> {
        self.begun.write(begun)
    }

    /// Writes the line of a change that a crash left without one, by the revision that was saved of its account. Before
    /// the first change.
    pub fn settle(&self, saved: impl Fn(AccountId) -> Option<u64>) {
        let Some(begun) = self.begun.read() else { return };
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let paths = [&books.changes.path, &books.changes.older];
        if paths.into_iter().flat_map(|path| lines(path)).any(|line| begun.is(&line)) {
            return;
        }
        let saved = saved(begun.account);
        let line = begun.ended(saved);
        tracing::warn!(
            what = line.what,
            of = line.of,
            result = line.result,
            "a change was not written down yet"
        );
        match books.write(Book::Changes, vec![line]) {
            Ok(()) => drop(self.metrics.accounts.audited.inc()),
            Err(error) => {
                self.metrics.accounts.unaudited.inc();
                tracing::error!(%error, "the audit log cannot be written");
            }
        }
    }

    /// Writes the line of a change. It is on disk when this returns, or that is said and counted.
    pub async fn write(&self, line: Line) {
        self.write_all(Book::Changes, vec![line]).await;
    }

    /// Somebody was not let into the admin interface: one such line a second at most, and the others with it.
    pub async fn refused_admin(&self, from: &str, result: String) {
        let now = Clock.now();
        let count = {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.0 += 1;
            if refused.1.is_some_and(|last| now.time.since(last) < Duration::from_secs(1)) {
                return;
            }
            refused.1 = Some(now.time);
            std::mem::take(&mut refused.0)
        };
        let line = Line::change(None, "", from, "refused", "the admin interface", result);
        self.write_all(Book::Gates, vec![Line { at: now.wall.0, count, ..line }]).await;
    }

    async fn write_all(&self, book: Book, lines: Vec<Line>) {
        let (books, metrics, count) =
            (Arc::clone(&self.books), Arc::clone(&self.metrics), lines.len() as u64);
        let work = tokio::task::spawn_blocking(move || {
            let written = books.lock().unwrap_or_else(PoisonError::into_inner).write(book, lines);
            match written {
                Ok(()) => {
                    metrics.accounts.audited.inc_by(count);
                }
                Err(error) => {
                    metrics.accounts.unaudited.inc_by(count);
                    tracing::error!(%error, "the audit log cannot be written");
                }
            }
        });
        // The runtime drops blocking work only when it ends.
        let _ = work.await;
    }

    /// The newest lines that are asked for, newest first. None where this client has one read running and another one waiting.
    pub async fn read(&self, client: Option<ClientId>, asked: Asked) -> Option<Vec<Line>> {
        if asked.most() == 0 {
            return Some(Vec::new());
        }
        let reader = Reader::new(&self.readers, client)?;
        let turn = Arc::clone(&self.reading).acquire_owned().await.ok()?;
        let books = Arc::clone(&self.books);
        let work = tokio::task::spawn_blocking(move || {
            // Whoever gave up waiting for the answer does not make room for another before this has ended.
            let _held = (turn, reader);
            let paths = books.lock().unwrap_or_else(PoisonError::into_inner).paths();
            newest_of(paths, &asked)
        });
        Some(work.await.unwrap_or_default())
    }

    /// Takes what gates do, until the sender is gone.
    pub fn gates(&self, pace: Pace) -> (mpsc::Sender<Audited>, impl Future<Output = ()> + Send + use<>) {
        let (sender, mut receiver) = mpsc::channel::<Audited>(WAITING_MAX);
        let audit = self.clone();
        let keep = async move {
            let mut storm = Storm::new(pace.kinds_max);
            let mut every = tokio::time::interval(pace.every);
            let (mut waiting, mut lines) = (Vec::new(), Vec::new());
            loop {
                let (is_due, ended) = tokio::select! {
                    count = receiver.recv_many(&mut waiting, WAITING_MAX) => (false, count == 0),
                    _ = every.tick() => (true, false),
                };
                let Wall(now) = Clock.now().wall;
                for audited in waiting.drain(..) {
                    let (deed, from) = (audited.deed, audited.from);
                    let line = Line { at: now, ..Line::gate(audited) };
                    let (who, of, result) = (line.who.clone(), line.of.clone(), line.result.clone());
                    let kind = (deed, line.account, who, from, of, result);
                    match deed {
                        Deed::Refused | Deed::Entered => lines.extend(storm.one_more(kind, line, now)),
                        // Somebody did these by hand: each by itself.
                        Deed::Revoked
                        | Deed::Admitted
                        | Deed::TurnedAway
                        | Deed::Released
                        | Deed::Dropped => lines.push(line),
                    }
                }
                if pace.waits && !is_due && !ended {
                    continue;
                }
                lines.extend(storm.due(now).into_iter().map(|line| Line { at: now, ..line }));
                if !lines.is_empty() {
                    audit.write_all(Book::Gates, std::mem::take(&mut lines)).await;
                }
                if ended {
                    return;
                }
            }
        };
        (sender, keep)
    }
}

/// The newest lines that are asked for, newest first, of the instance with that data folder, whether it runs or not. Changes
/// nothing there. An error where there is something that may not be read: that is another answer than nothing.
pub fn read(folder: &Path, asked: &Asked) -> io::Result<Vec<Line>> {
    std::fs::read_dir(folder)?;
    let books = books::paths(folder);
    books.iter().flatten().try_for_each(|path| books::check(path))?;
    Ok(newest_of(books, asked))
}

fn newest_of(books: [[PathBuf; 2]; 2], asked: &Asked) -> Vec<Line> {
    let most = asked.most();
    let contains = asked.contains.as_deref().map(str::to_lowercase);
    let is_meant = |line: &Line| {
        asked.account.is_none_or(|account| line.account == Some(account))
            && asked.before.is_none_or(|before| line.n < before)
            && contains.as_ref().is_none_or(|text| line.contains(text))
    };
    let mut meant = Vec::new();
    for [path, older] in books {
        let own = newest(&path, is_meant, most);
        if own.len() < most {
            meant.extend(newest(&older, is_meant, most - own.len()));
        }
        meant.extend(own);
    }
    meant.sort_unstable_by_key(|line| Reverse(line.n));
    meant.truncate(most);
    meant
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{books::FILE_BYTES_MAX, *};
    use std::fs;

    fn line(what: &str) -> Line {
        Line::change(None, "ann", "192.0.2.1", what, "user bob", "done".to_owned())
    }

    #[test]
    fn lines_outlive_the_process_and_a_torn_one_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = Books::open(folder.path());
        books.write(Book::Changes, vec![line("a"), line("b")]).unwrap();
        drop(books);
        let path = folder.path().join("audit.jsonl");
        let mut torn = fs::read(&path).unwrap();
        torn.extend(b"{\"n\":3,\"at\"");
        fs::write(&path, torn).unwrap();
        let mut books = Books::open(folder.path());
        books.write(Book::Changes, vec![line("c")]).unwrap();
        let read: Vec<(u64, String)> = lines(&path).map(|line| (line.n, line.what)).collect();
        assert_eq!(read, [(1, "a".to_owned()), (2, "b".to_owned()), (3, "c".to_owned())]);
    }

    #[tokio::test]
    async fn a_client_has_one_read_that_waits_and_what_asks_for_nothing_reads_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(folder.path(), Arc::new(Metrics::new("hub", "0")));
        audit.write_all(Book::Gates, vec![line("a"), line("b")]).await;
        let asked = |limit| Asked { limit: Some(limit), ..Asked::default() };
        let client = |n| Some(ClientId(uuid::Uuid::from_u128(n)));
        let turn = Arc::clone(&audit.reading).acquire_owned().await.unwrap();
        let reads: Vec<_> = (0..READS_MAX)
            .map(|_| {
                let audit = audit.clone();
                tokio::spawn(async move { audit.read(client(1), asked(9)).await })
            })
            .collect();
        let waiting = || audit.readers.lock().unwrap().values().sum::<u32>();
        while waiting() < READS_MAX {
            tokio::task::yield_now().await;
        }
        assert_eq!(audit.read(client(1), asked(9)).await, None, "one too many");
        assert_eq!(audit.read(client(2), asked(0)).await, Some(Vec::new()), "it does not wait either");
        drop(turn);
        for read in reads {
            assert_eq!(read.await.unwrap().map(|lines| lines.len()), Some(2));
        }
        assert_eq!(audit.read(client(1), asked(1)).await.map(|lines| lines.len()), Some(1));
        assert!(audit.readers.lock().unwrap().is_empty());
    }

    #[test]
    fn a_change_that_a_crash_left_without_its_line_is_written_down_once() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Audit::open(folder.path(), Arc::new(Metrics::new("hub", "0")));
        let account = AccountId(uuid::Uuid::from_u128(1));
        let results = |audit: &Audit| {
            let path = audit.books.lock().unwrap().changes.path.clone();
            lines(&path).map(|line| line.result).collect::<Vec<_>>()
        };
        let begun = |at: i64, revision| Begun {
            line: Line { at, result: String::new(), ..line("gate set") },
            account,
            revision,
        };
        open().begin(&begun(1, Some(5))).unwrap();
        for _ in 0..2 {
            let audit = open();
            audit.settle(|_| Some(5));
            assert_eq!(results(&audit), ["done; the hub ended before it could be written down"]);
        }
        for (at, revision, saved) in [(2, Some(6), Some(5)), (3, Some(1), None), (4, None, Some(9))] {
            open().begin(&begun(at, revision)).unwrap();
            let audit = open();
            audit.settle(|_| saved);
            assert!(results(&audit).last().unwrap().starts_with("not done"), "{at}");
        }
        let audit = open();
        let told = Line { result: "done".to_owned(), ..begun(5, None).line };
        audit.begin(&begun(5, Some(6))).unwrap();
        audit.books.lock().unwrap().write(Book::Changes, vec![told]).unwrap();
        audit.settle(|_| Some(6));
        assert_eq!(results(&audit).len(), 5, "it is written down already");
    }

    #[test]
    fn the_files_are_bounded_and_the_newest_lines_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = Books::open(folder.path());
        books.write(Book::Changes, vec![line("first")]).unwrap();
        let long = Line { result: "x".repeat(1 << 20), ..line("a") };
        for _ in 0..40 {
            books.write(Book::Gates, vec![long.clone()]).unwrap();
        }
        let size = |name: &str| fs::metadata(folder.path().join(name)).map_or(0, |file| file.len());
        assert!(size("audit-gates.jsonl") + size("audit-gates.1.jsonl") <= 2 * FILE_BYTES_MAX);
        assert_eq!(lines(&folder.path().join("audit-gates.jsonl")).last().unwrap().n, 41);
        assert_eq!(
            lines(&folder.path().join("audit.jsonl")).count(),
            1,
            "no coming and going takes its place"
        );
        assert_eq!(Books::open(folder.path()).n, 41);
    }
}
