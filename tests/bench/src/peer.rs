//! The peers as processes: started on free ports and fresh folders, killed when dropped.

use anyhow::{Context, bail, ensure};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

/// A free loopback address, given once. Its port is none that the kernel gives to outgoing connections.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let mut ports = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed)).take(10_000);
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?.local_addr().ok();
    ports.find_map(free).context("find a free port")
}

/// Where a program of the distribution is. Servers lie in folders that a person's path often leaves out.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    let mut files = folders.map(|folder| folder.join(name));
    files
        .find(|file| file.is_file())
        .with_context(|| format!("{name} is not installed (tests/install-tools)"))
}

/// Where a program is that `tests/install-tools` put below `target/tools`.
pub fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/peers/bin").join(name);
    ensure!(file.is_file(), "{name} is not below target/tools (tests/install-tools)");
    Ok(file)
}

/// The first line of what a peer's program says about itself when it is given that flag.
pub fn version(program: &Path, flag: &str) -> anyhow::Result<String> {
    let output =
        Command::new(program).arg(flag).output().with_context(|| format!("run {}", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned())
}

/// A program under measurement. Its output goes to a file in its folder.
pub struct Peer {
    name: String,
    command: Command,
    child: Child,
}

impl Peer {
    /// Starts a program.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).context("make the peer's folder")?;
        let log = File::create(folder.join(format!("{name}.log"))).context("create the peer's log")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.into(), command, child })
    }

    /// Starts it again as it was started, over what it has left, and says how long it takes until it accepts connections there.
    pub fn restart(&mut self, address: SocketAddr) -> anyhow::Result<Duration> {
        self.kill();
        let began = Instant::now();
        self.child = self.command.spawn().with_context(|| format!("start {} again", self.name))?;
        self.accepts(address)?;
        Ok(began.elapsed())
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it accepts connections there. Nobody is told of a port that begins to listen, so it is tried.
    pub fn accepts(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(60);
        const TRY_EVERY: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at its start: {status}; see its log", self.name);
            }
            if Instant::now() > deadline {
                bail!("{} does not accept connections on {address}", self.name);
            }
            std::thread::sleep(TRY_EVERY);
        }
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

const SETTINGS: &str = "allow_anonymous true\npersistence true\nautosave_interval 30\nmax_queued_messages 0\n\
                        max_inflight_messages 0\nset_tcp_nodelay true\n";

/// Two mosquittos with persistence, joined by a QoS 1 bridge from the edge to the hub.
pub struct Mosquittos {
    /// The one that devices publish to.
    pub edge: SocketAddr,
    /// The one that subscribers read from.
    pub hub: SocketAddr,
    /// Their processes.
    pub processes: [Peer; 2],
}

impl Mosquittos {
    /// Starts both. The bridge reaches the hub at `via` if given (a forwarder that can be cut).
    pub fn start(folder: &Path, hub: SocketAddr, via: SocketAddr) -> anyhow::Result<Self> {
        let edge = free_address()?;
        let common = SETTINGS;
        let hub_process = mosquitto(&folder.join("mosquitto-hub"), hub, common)?;
        let bridge = format!(
            "{common}connection up\naddress {via}\ntopic # out 1\ncleansession false\nnotifications false\n\
             restart_timeout 1\nbridge_protocol_version mqttv311\nkeepalive_interval 10\n"
        );
        let edge_process = mosquitto(&folder.join("mosquitto-edge"), edge, &bridge)?;
        Ok(Self { edge, hub, processes: [edge_process, hub_process] })
    }
}

/// One of them alone, with the same settings.
pub fn lone_mosquitto(folder: &Path) -> anyhow::Result<(SocketAddr, Peer)> {
    let address = free_address()?;
    Ok((address, mosquitto(folder, address, SETTINGS)?))
}

fn mosquitto(folder: &Path, address: SocketAddr, rest: &str) -> anyhow::Result<Peer> {
    fs::create_dir_all(folder)?;
    // As root, mosquitto becomes the user it is told, who could not write here.
    let user = if is_root() { "user root\n" } else { "" };
    let config = format!(
        "{user}listener {} {}\npersistence_location {}/\n{rest}",
        address.port(),
        address.ip(),
        folder.display()
    );
    let file = write(folder, "mosquitto.conf", &config)?;
    let mut command = Command::new(program("mosquitto")?);
    command.arg("-c").arg(file);
    let mut peer = Peer::start("mosquitto", command, folder)?;
    peer.accepts(address)?;
    Ok(peer)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    Ok(file)
}
