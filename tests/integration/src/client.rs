//! Clients that others wrote, run from their scripts, and the history that they write together.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::ledger::{Ledger, Line};
use serde_json::Value;

use crate::needs;
use crate::place::Place;

/// The history of one test: every line of every client, added up as it comes.
#[derive(Clone, Default)]
pub struct History {
    shared: Arc<(Mutex<Ledger>, Condvar)>,
}

impl History {
    /// What it adds up to at this moment.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.0.lock().expect("no holder of the ledger panics")
    }

    /// Enters a line.
    pub fn enter(&self, line: Line) {
        self.ledger().enter(line);
        self.shared.1.notify_all();
    }

    /// Waits until a condition holds.
    pub fn wait(&self, what: &str, within: Duration, mut holds: impl FnMut(&Ledger) -> bool) {
        let deadline = Instant::now() + within;
        let mut ledger = self.ledger();
        while !holds(&ledger) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let summary = ledger.summary();
                // Whoever holds the lock must not panic.
                drop(ledger);
                panic!("not {what} within {within:?}: {summary}");
            }
            ledger = self.shared.1.wait_timeout(ledger, left).expect("no holder of the ledger panics").0;
        }
    }

    /// Waits for a mark.
    pub fn wait_mark(&self, what: &str, within: Duration) {
        self.wait(what, within, |ledger| ledger.has_mark(what));
    }
}

/// A client script that runs until its end or the test's.
pub struct Client {
    name: String,
    /// What it remarks.
    log: PathBuf,
    child: Child,
    /// The script ends when this is closed.
    stdin: Option<ChildStdin>,
    reader: Option<JoinHandle<()>>,
}

impl Client {
    /// Starts a script of `clients/` with what it is asked. Its remarks go to `{name}.log` in the folder.
    pub fn start(
        name: &str,
        script: &str,
        place: &Place,
        asked: &Value,
        history: &History,
        folder: &Path,
    ) -> Self {
        let path = needs::scripts().join(script);
        let mut command = interpreter(place, &path);
        command.arg(&path).arg(asked.to_string());
        Self::run(name, command, history, folder)
    }

    /// Starts any command that writes lines of a history on its standard output.
    pub fn run(name: &str, mut command: Command, history: &History, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let remarks = std::fs::File::create(&log).expect("the folder can be written");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(remarks);
        let mut child = child.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        let history = history.clone();
        let kept = std::fs::File::create(folder.join(format!("{name}.jsonl")));
        let mut kept = BufWriter::new(kept.expect("the folder can be written"));
        let reader = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // For whoever reads a failed run; the ledger has it in any case.
                let _ = writeln!(kept, "{line}");
                match serde_json::from_str(&line) {
                    Ok(line) => history.enter(line),
                    Err(error) => eprintln!("not a line of a history ({error}): {line}"),
                }
            }
        });
        Self { name: name.to_owned(), log, child, stdin, reader: Some(reader) }
    }

    /// Closes its standard input: a client that has no end of its own comes to one.
    pub fn close_input(&mut self) {
        drop(self.stdin.take());
    }

    /// Waits for its own end, which must be a good one, and until its last line is entered.
    pub fn finish(mut self, within: Duration) {
        let status = crate::program::wait(within, || self.child.try_wait().expect("the child is ours"));
        let status = status.unwrap_or_else(|| panic!("{} still runs after {within:?}", self.name));
        assert!(status.success(), "{} ended with {status}{}", self.name, self.first_remarks());
        self.read_to_the_end();
    }

    /// An error comes first, then what was there to be seen: a page says much.
    fn first_remarks(&self) -> String {
        let all = std::fs::read_to_string(&self.log).unwrap_or_default();
        let first: Vec<&str> = all.lines().filter(|line| !line.is_empty()).take(300).collect();
        format!("\n--- the first of {}:\n{}", self.log.display(), first.join("\n"))
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.read_to_the_end();
    }

    fn read_to_the_end(&mut self) {
        drop(self.stdin.take());
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What runs a script, by its ending.
fn interpreter(place: &Place, script: &Path) -> Command {
    if script.extension().is_some_and(|ending| ending == "py") {
        let mut command = place.command(needs::python());
        // No caches beside the sources.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    } else {
        let node = needs::find("node").unwrap_or_else(|| PathBuf::from("node"));
        let mut command = place.command(node);
        command.env("RISER_NODE_TOOLS", needs::node_tools());
        command
    }
}
