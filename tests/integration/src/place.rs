//! Where a process runs: in the test's own network, or at one end of a cable between two namespaces.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A network that processes can be started in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// The test's own: everything on loopback.
    Here,
    /// A namespace by name, with one address.
    Namespace(String, Ipv4Addr),
}

impl Place {
    /// The address that others reach a process here by.
    pub fn address(&self) -> Ipv4Addr {
        match self {
            Self::Here => Ipv4Addr::LOCALHOST,
            Self::Namespace(_, address) => *address,
        }
    }

    /// A command that runs `program` here.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self {
            Self::Here => Command::new(program),
            Self::Namespace(name, _) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]).arg(program);
                command
            }
        }
    }
}

/// Two namespaces with a cable between them. They are gone when it is dropped.
pub struct Cable {
    name: String,
    /// One end.
    pub a: Place,
    /// The other.
    pub b: Place,
}

impl Cable {
    /// Lays one. The addresses are from the block that is set aside for documentation, and reach nowhere.
    pub fn lay() -> Self {
        Self::lay_over(None)
    }

    /// The same with these two devices as its ends: whoever holds them carries what goes through.
    pub fn lay_between(end_a: &str, end_b: &str) -> Self {
        Self::lay_over(Some([end_a, end_b]))
    }

    fn lay_over(devices: Option<[&str; 2]>) -> Self {
        static LAID: AtomicU32 = AtomicU32::new(0);
        let name = format!("rt{}x{}", std::process::id(), LAID.fetch_add(1, Ordering::Relaxed));
        let (a, b) = (format!("{name}a"), format!("{name}b"));
        let (at_a, at_b) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
        ip(&["netns", "add", &a]);
        ip(&["netns", "add", &b]);
        match devices {
            None => {
                ip(&["-n", &a, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", &b])
            }
            Some([end_a, end_b]) => {
                ip(&["link", "set", end_a, "netns", &a, "name", "cable"]);
                ip(&["link", "set", end_b, "netns", &b, "name", "cable"]);
            }
        }
        for (space, address) in [(&a, at_a), (&b, at_b)] {
            ip(&["-n", space, "address", "add", &format!("{address}/30"), "dev", "cable"]);
            ip(&["-n", space, "link", "set", "cable", "up"]);
            ip(&["-n", space, "link", "set", "lo", "up"]);
        }
        Self { name, a: Place::Namespace(a, at_a), b: Place::Namespace(b, at_b) }
    }

    /// Pulls the plug: both ends see the carrier go.
    pub fn cut(&self) {
        ip(&["-n", &format!("{}a", self.name), "link", "set", "cable", "down"]);
    }

    /// Plugs it in again.
    pub fn heal(&self) {
        ip(&["-n", &format!("{}a", self.name), "link", "set", "cable", "up"]);
    }

    /// What `a` sends is swallowed without a word; what it is sent still arrives.
    pub fn swallow_from_a(&self) {
        filter(&self.b, &self.a, "drop");
    }

    /// What `b` sends is swallowed without a word; what it is sent still arrives.
    pub fn swallow_from_b(&self) {
        filter(&self.a, &self.b, "drop");
    }

    /// Every connection is answered with a reset, at both ends.
    pub fn reset_all(&self) {
        filter(&self.b, &self.a, "reject with tcp reset");
        filter(&self.a, &self.b, "reject with tcp reset");
    }

    /// Ends [`Self::swallow_from_a`], [`Self::swallow_from_b`] and [`Self::reset_all`], if they were begun.
    pub fn swallow_nothing(&self) {
        for end in [&self.a, &self.b] {
            nft(end, "add table inet chaos; delete table inet chaos");
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for end in ["a", "b"] {
            let name = format!("{}{end}", self.name);
            let _ = Command::new("ip").args(["netns", "del", &name]).stderr(Stdio::null()).status();
        }
    }
}

/// What arrives at `at` from `from` meets that verdict.
fn filter(at: &Place, from: &Place, verdict: &str) {
    let rules = format!(
        "add table inet chaos; add chain inet chaos in {{ type filter hook input priority 0; }}; \
         add rule inet chaos in ip saddr {} meta l4proto tcp {verdict}",
        from.address()
    );
    nft(at, &rules);
}

fn nft(at: &Place, rules: &str) {
    let status = at.command("nft").arg(rules).stdin(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "nft takes {rules}");
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip is installed");
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
