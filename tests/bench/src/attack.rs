//! Attacks on a hub, each as a process of its own that yields the processor to whoever wants it: what it does to the
//! quiet client it is to do through the server, not by being run on the same machine.

use crate::{
    child::{ATTACK, own},
    corpus, mqtt,
    peer::Peer,
    riser::{ACCOUNT, Hub, ROOM},
    websocket,
};
use anyhow::Context;
use bytes::{Buf, BytesMut};
use clap::ValueEnum;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// Who attackers are, where they have to be somebody.
pub const LOGIN: (&str, &str) = ("mallory/mallory", "let me in");
/// Whose password is guessed.
const GUESSED: &str = "bench/guarded";

/// What is done to the hub.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Attack {
    /// Connections that are opened and closed again, as fast as it goes.
    ConnectionFlood,
    /// Handshakes of MQTT and HTTP that come byte by byte.
    SlowLoris,
    /// 16 KiB of noise on each connection.
    Garbage,
    /// Packets that say they have 256 MiB, and go on and on.
    HugePackets,
    /// One name and password after the other.
    WrongPasswords,
    /// Fifty filters subscribed and unsubscribed, again and again.
    SubscriptionStorm,
    /// A subscriber of a lively channel who does not read.
    SlowReader,
    /// As much as an account may publish, and more.
    PublishFlood,
    /// Subscribers who read the log from its start: no attack, but many at once.
    Replay,
}

impl Attack {
    /// All that are meant to hurt.
    pub const HOSTILE: [Self; 8] = [
        Self::ConnectionFlood,
        Self::SlowLoris,
        Self::Garbage,
        Self::HugePackets,
        Self::WrongPasswords,
        Self::SubscriptionStorm,
        Self::SlowReader,
        Self::PublishFlood,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectionFlood => "connection-flood",
            Self::SlowLoris => "slow-loris",
            Self::Garbage => "garbage",
            Self::HugePackets => "huge-packets",
            Self::WrongPasswords => "wrong-passwords",
            Self::SubscriptionStorm => "subscription-storm",
            Self::SlowReader => "slow-reader",
            Self::PublishFlood => "publish-flood",
            Self::Replay => "replay",
        }
    }

    fn attackers(self) -> u32 {
        match self {
            Self::SlowLoris => 400,
            Self::Replay => 200,
            Self::ConnectionFlood | Self::WrongPasswords => 50,
            Self::Garbage | Self::HugePackets | Self::SubscriptionStorm | Self::PublishFlood => 20,
            // It, and who publishes what it does not read.
            Self::SlowReader => 2,
        }
    }

    /// Attacks until the process is ended. Connects to `ready` when every attacker is at it.
    pub async fn run(self, mqtt: SocketAddr, http: SocketAddr, ready: SocketAddr) -> anyhow::Result<()> {
        let (begins, mut begun) = mpsc::channel(1);
        let mut attackers = JoinSet::new();
        for number in 0..self.attackers() {
            let begins = Some(begins.clone());
            let mut attacker = Attacker { attack: self, number, mqtt, http, begins };
            attackers.spawn(async move {
                loop {
                    // Whom the server throws out comes again. The pause is no wait: whoever never paused would measure itself.
                    if attacker.once().await.is_err() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            });
        }
        drop(begins);
        // Nobody sends anything: it ends when the last has begun.
        let _: Option<()> = begun.recv().await;
        let _ready = TcpStream::connect(ready).await.context("say that all attack")?;
        let ended = attackers.join_next().await;
        ended.context("nobody attacks")?.context("an attacker panicked")
    }
}

/// One of them.
struct Attacker {
    attack: Attack,
    number: u32,
    mqtt: SocketAddr,
    http: SocketAddr,
    /// Gone when it has done for the first time what it is there for.
    begins: Option<mpsc::Sender<()>>,
}

impl Attacker {
    async fn once(&mut self) -> anyhow::Result<()> {
        let Self { number, mqtt, http, .. } = *self;
        match self.attack {
            Attack::ConnectionFlood => {
                drop(TcpStream::connect(mqtt).await?);
                self.began();
            }
            Attack::SlowLoris if number.is_multiple_of(2) => self.drip(mqtt, &connect_packet()).await?,
            Attack::SlowLoris => {
                self.drip(http, b"GET / HTTP/1.1\r\nHost: a-long-name-for-a-host\r\n").await?;
            }
            Attack::Garbage => {
                let server = if number.is_multiple_of(2) { mqtt } else { http };
                let mut socket = TcpStream::connect(server).await?;
                socket.write_all(&noise(number)).await?;
                self.began();
                swallow(&mut socket).await?;
            }
            Attack::HugePackets => {
                let mut socket = self.join().await?;
                socket.write_all(&[0x32, 0xFF, 0xFF, 0xFF, 0x7F]).await?;
                let zeros = [0; 64 * 1024];
                loop {
                    socket.write_all(&zeros).await?;
                }
            }
            Attack::WrongPasswords => {
                let login = Some((GUESSED, "guess"));
                let guessed = mqtt::connect_as(mqtt, &format!("guess-{number}"), login).await;
                self.began();
                guessed.map(drop)?;
            }
            Attack::SubscriptionStorm => storm(&mut self.join().await?).await?,
            Attack::SlowReader if number == 0 => {
                let mut socket = self.join().await?;
                mqtt::subscribe(&mut socket, &format!("{ROOM}/#"), 1).await?;
                std::future::pending::<()>().await;
            }
            Attack::SlowReader => flood(self.join().await?, number, Some(Duration::from_millis(10))).await?,
            Attack::PublishFlood => flood(self.join().await?, number, None).await?,
            Attack::Replay => {
                let subscription = r#"{"sub":1,"channels":"c/#","from":"start"}"#;
                let hello =
                    format!(r#"{{"op":"hello","id":1,"events":false,"subscriptions":[{subscription}]}}"#);
                let (mut socket, _) = websocket::open(http, &format!("/{ACCOUNT}/{ROOM}"), &hello).await?;
                self.began();
                swallow(&mut socket).await?;
            }
        }
        Ok(())
    }

    fn began(&mut self) {
        self.begins = None;
    }

    async fn join(&mut self) -> anyhow::Result<TcpStream> {
        let socket = mqtt::connect_as(self.mqtt, &format!("mallory-{}", self.number), Some(LOGIN)).await?;
        self.began();
        Ok(socket)
    }

    /// A byte every half second, counted from its first, and from the start again.
    async fn drip(&mut self, server: SocketAddr, bytes: &[u8]) -> anyhow::Result<()> {
        let mut socket = TcpStream::connect(server).await?;
        let mut pace = interval(Duration::from_millis(500));
        for byte in bytes {
            pace.tick().await;
            socket.write_all(&[*byte]).await?;
            self.began();
        }
        pace.tick().await;
        Ok(())
    }
}

/// Starts one, as a process that leaves the processor to whoever wants it: one of the idle class is put aside the moment
/// somebody else wakes, where one that is merely nice keeps the slice that it has, 3 ms, and every wait would have that
/// in it. Returns when all of its attackers are at it.
pub async fn start(attack: Attack, hub: &Hub, folder: &Path) -> anyhow::Result<Peer> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let ready = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("bind a place to say ready")?;
    let attacker = own(ATTACK)?;
    let mut command = Command::new("chrt");
    command.args(["--idle", "0"]).arg(attacker.get_program()).args(attacker.get_args());
    command.arg(attack.name()).arg(hub.mqtt.to_string()).arg(hub.http.to_string());
    command.arg(ready.local_addr()?.to_string());
    let peer = Peer::start("attack", command, folder)?;
    let all = tokio::time::timeout(PATIENCE, ready.accept()).await;
    all.with_context(|| format!("{}: not all of them attack", attack.name()))??;
    Ok(peer)
}

fn connect_packet() -> Vec<u8> {
    mqtt::connect_packet("a-client-with-a-rather-long-name", None)
}

fn noise(seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..16 * 1024).map(|_| byte()).collect()
}

async fn swallow(socket: &mut TcpStream) -> anyhow::Result<()> {
    let mut input = vec![0; 64 * 1024];
    while socket.read(&mut input).await? > 0 {}
    Ok(())
}

async fn storm(socket: &mut TcpStream) -> anyhow::Result<()> {
    const FILTERS: u8 = 50;
    let (mut input, mut packets) = (BytesMut::new(), Vec::new());
    for n in 0..FILTERS {
        let filter = format!("+/storm/{n}/#");
        mqtt::put_subscribe(&mut packets, &filter, 1);
        mqtt::put_unsubscribe(&mut packets, &filter);
    }
    loop {
        socket.write_all(&packets).await?;
        let mut answers = 0;
        while answers < 2 * FILTERS {
            while let Some((_, _, length)) = mqtt::packet(&input) {
                input.advance(length);
                answers += 1;
            }
            anyhow::ensure!(answers == 2 * FILTERS || socket.read_buf(&mut input).await? > 0, "closed");
        }
    }
}

/// A hundred publications, again when all are acknowledged, and not more often than that from the first on.
async fn flood(mut socket: TcpStream, number: u32, every: Option<Duration>) -> anyhow::Result<()> {
    const AT_ONCE: u16 = 100;
    let topic = format!("{ROOM}/flood/{number}");
    let (mut input, mut packets) = (BytesMut::new(), Vec::new());
    for id in 1..=AT_ONCE {
        mqtt::put_publish(&mut packets, &topic, id, corpus::prepared(number, id.into()));
    }
    let mut pace = every.map(interval);
    if let Some(pace) = &mut pace {
        // What a slow server makes late is not made up for.
        pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    }
    loop {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        socket.write_all(&packets).await?;
        let mut answers = 0;
        while answers < AT_ONCE {
            while let Some((_, _, length)) = mqtt::packet(&input) {
                input.advance(length);
                answers += 1;
            }
            anyhow::ensure!(answers == AT_ONCE || socket.read_buf(&mut input).await? > 0, "closed");
        }
    }
}
