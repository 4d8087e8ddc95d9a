//! A child process that a test started: its output in a file, signals, and an end with the test.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a test waits for something that takes milliseconds on an idle machine.
pub const SOON: Duration = Duration::from_secs(20);
/// How long a test waits for something that works off a backlog.
pub const EVENTUALLY: Duration = Duration::from_secs(180);
/// The ports of this process's sites.
const PORTS: Range<u16> = 10_000..20_000;
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running child.
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a command. What it prints is appended to `{name}.log` in the folder.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).expect("the folder can be written");
        let err = out.try_clone().expect("a file can be opened twice");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.unwrap_or_else(|error| panic!("start {name}: {error}"));
        Self { name: name.to_owned(), child, log }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has in memory, bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("it is a number");
        kib << 10
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid is a positive i32"));
        kill_process(pid.expect("a child has a pid"), signal).expect("the child is ours");
    }

    /// SIGKILL, and waits until it is gone: nothing politer.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// Waits for its own end.
    pub fn ended(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return status;
            }
            assert!(Instant::now() < deadline, "{} still runs after {within:?}{}", self.name, self.tail());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.status().is_none()
    }

    /// How it ended, if it did.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// The ids of its child processes.
    pub fn children(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        // A task may end meanwhile; it has no children then.
        let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children"));
        let lists: Vec<String> = tasks.flatten().flat_map(of).collect();
        lists.iter().flat_map(|list| list.split_whitespace()).map(str::to_owned).collect()
    }

    /// Everything that it printed.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it printed something.
    pub fn wait_printed(&mut self, what: &str, within: Duration) {
        let printed = wait(within, || self.printed().contains(what).then_some(()));
        assert!(printed.is_some(), "{} did not print {what:?} within {within:?}{}", self.name, self.tail());
    }

    /// Waits until a condition holds; fails at once when the program ended meanwhile.
    pub fn wait_until(&mut self, what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + within;
        while !holds() {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!(
                    "{} ended ({status}, signal {:?}) before {what}{}",
                    self.name,
                    status.signal(),
                    self.tail()
                );
            }
            assert!(Instant::now() < deadline, "{}: not {what} within {within:?}{}", self.name, self.tail());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn tail(&self) -> String {
        let text = self.printed();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(30)..];
        format!("\n--- the last of {}:\n{}", self.log.display(), last.join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}{}", self.name, self.tail());
        }
    }
}

/// Looks until there is an answer, or the time is over.
pub fn wait<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = look() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A loopback port that nothing listens on, given once. It is none that the kernel gives to outgoing connections:
/// one of those would take it while its program is down.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let ports = PORTS.end - PORTS.start;
    let begin = (std::process::id() % u32::from(ports)) as u16;
    let given = || (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % ports + PORTS.start;
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(given).take(usize::from(ports)).find(free).expect("loopback has free ports")
}

/// Runs a command to its end and gives what it printed on standard output; fails with the rest.
pub fn output(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{err}", output.status);
    String::from_utf8(output.stdout).expect("programs print UTF-8")
}
