//! What a test needs of the machine: a program, a client package, a privilege. Where it is missing the test is
//! skipped by name, and fails where `CI` is set.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Folders of system programs that are not on every user's path.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Goes on only where all of these are there; otherwise leaves the test.
#[macro_export]
#[doc(hidden)]
macro_rules! all_needs {
    ($($need:expr),+ $(,)?) => {
        if !$crate::needs::are_met(&[$($need),+]) {
            return;
        }
    };
}
pub use crate::all_needs as needs;

/// One need.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// A program on the path.
    Program(&'static str),
    /// The Python clients.
    Python,
    /// The Node clients.
    Node,
    /// Network namespaces, which take root.
    Namespaces,
    /// Mounting a file system, which takes root.
    Mounts,
}

/// Whether all are met. Says which is not, by the test's name, and panics in CI.
pub fn are_met(needs: &[Need]) -> bool {
    let Some((missing, remedy)) = needs.iter().find_map(|need| missing(*need)) else { return true };
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("skipped: {test}: {missing} is missing; {remedy}\n");
    assert!(std::env::var_os("CI").is_none(), "{line}");
    // Past the harness, which keeps what a passing test prints to itself.
    let _ = std::io::stderr().write_all(line.as_bytes());
    false
}

/// What of a need is not here, and what would bring it.
pub fn missing(need: Need) -> Option<(String, &'static str)> {
    const INSTALL: &str = "run tests/install-tools";
    const ROOT: &str = "run as root";
    match need {
        Need::Program(name) => find(name).is_none().then(|| (name.to_owned(), INSTALL)),
        Need::Python => (!python().exists()).then(|| (python().display().to_string(), INSTALL)),
        Need::Node => {
            let folder = node_tools().join("node_modules");
            if find("node").is_none() {
                return Some(("node".to_owned(), INSTALL));
            }
            (!folder.exists()).then(|| (folder.display().to_string(), INSTALL))
        }
        Need::Namespaces => {
            if find("ip").is_none() {
                return Some(("ip".to_owned(), INSTALL));
            }
            (!can_make_namespaces()).then(|| ("the right to make network namespaces".to_owned(), ROOT))
        }
        Need::Mounts => (!can_mount()).then(|| ("the right to mount a file system".to_owned(), ROOT)),
    }
}

/// Where a program is, if it is anywhere.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The interpreter of the virtual environment.
pub fn python() -> PathBuf {
    tools().join("venv/bin/python")
}

/// The folder with the Node packages.
pub fn node_tools() -> PathBuf {
    tools().join("node")
}

/// The folder of the client scripts.
pub fn scripts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients")
}

fn tools() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}

fn can_make_namespaces() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| succeeds(Command::new("unshare").args(["--net", "true"])))
}

fn can_mount() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    let probe = "mount -t tmpfs none /mnt && umount /mnt";
    *ANSWER.get_or_init(|| succeeds(Command::new("unshare").args(["--mount", "sh", "-c", probe])))
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}
