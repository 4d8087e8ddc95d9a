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
use std::{net::SocketAddr, path::Path, process::Command, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
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

    /// Attacks until the process is ended.
    pub async fn run(self, mqtt: SocketAddr, http: SocketAddr) -> anyhow::Result<()> {
        let mut attackers = JoinSet::new();
        for number in 0..self.attackers() {
            attackers.spawn(async move {
                loop {
                    // Whom the server throws out comes again.
                    if self.once(number, mqtt, http).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            });
        }
        let ended = attackers.join_next().await;
        ended.context("nobody attacks")?.context("an attacker panicked")
    }

    async fn once(self, number: u32, mqtt: SocketAddr, http: SocketAddr) -> anyhow::Result<()> {
        match self {
            Self::ConnectionFlood => drop(TcpStream::connect(mqtt).await?),
            Self::SlowLoris if number.is_multiple_of(2) => drip(mqtt, &connect_packet()).await?,
            Self::SlowLoris => drip(http, b"GET / HTTP/1.1\r\nHost: a-long-name-for-a-host\r\n").await?,
            Self::Garbage => {
                let mut socket =
                    TcpStream::connect(if number.is_multiple_of(2) { mqtt } else { http }).await?;
                socket.write_all(&noise(number)).await?;
                swallow(&mut socket).await?;
            }
            Self::HugePackets => {
                let mut socket = join(mqtt, number).await?;
                socket.write_all(&[0x32, 0xFF, 0xFF, 0xFF, 0x7F]).await?;
                let zeros = [0; 64 * 1024];
                loop {
                    socket.write_all(&zeros).await?;
                }
            }
            Self::WrongPasswords => {
                let login = Some((GUESSED, "guess"));
                drop(mqtt::connect_as(mqtt, &format!("guess-{number}"), login).await?);
            }
            Self::SubscriptionStorm => storm(&mut join(mqtt, number).await?).await?,
            Self::SlowReader if number == 0 => {
                let mut socket = join(mqtt, number).await?;
                mqtt::subscribe(&mut socket, &format!("{ROOM}/#"), 1).await?;
                std::future::pending::<()>().await;
            }
            Self::SlowReader => flood(mqtt, number, Some(Duration::from_millis(10))).await?,
            Self::PublishFlood => flood(mqtt, number, None).await?,
            Self::Replay => {
                let subscription = r#"{"sub":1,"channels":"c/#","from":"start"}"#;
                let hello =
                    format!(r#"{{"op":"hello","id":1,"events":false,"subscriptions":[{subscription}]}}"#);
                let (mut socket, _) = websocket::open(http, &format!("/{ACCOUNT}/{ROOM}"), &hello).await?;
                swallow(&mut socket).await?;
            }
        }
        Ok(())
    }
}

/// Starts one, as a process that leaves the processor to whoever wants it.
pub fn start(attack: Attack, hub: &Hub, folder: &Path) -> anyhow::Result<Peer> {
    let attacker = own(ATTACK)?;
    let mut command = Command::new("nice");
    command.arg("-n").arg("19").arg(attacker.get_program()).args(attacker.get_args());
    command.arg(attack.name()).arg(hub.mqtt.to_string()).arg(hub.http.to_string());
    Peer::start("attack", command, folder)
}

async fn join(server: SocketAddr, number: u32) -> anyhow::Result<TcpStream> {
    mqtt::connect_as(server, &format!("mallory-{number}"), Some(LOGIN)).await
}

fn connect_packet() -> Vec<u8> {
    mqtt::connect_packet("a-client-with-a-rather-long-name", None)
}

/// A byte every half second, from the start again.
async fn drip(server: SocketAddr, bytes: &[u8]) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(server).await?;
    for byte in bytes {
        socket.write_all(&[*byte]).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
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

/// A hundred publications, again when all are acknowledged, or when that much time has passed.
async fn flood(server: SocketAddr, number: u32, pause: Option<Duration>) -> anyhow::Result<()> {
    const AT_ONCE: u16 = 100;
    let mut socket = join(server, number).await?;
    let topic = format!("{ROOM}/flood/{number}");
    let (mut input, mut packets) = (BytesMut::new(), Vec::new());
    for id in 1..=AT_ONCE {
        mqtt::put_publish(&mut packets, &topic, id, corpus::prepared(number, id.into()));
    }
    loop {
        socket.write_all(&packets).await?;
        let mut answers = 0;
        while answers < AT_ONCE {
            while let Some((_, _, length)) = mqtt::packet(&input) {
                input.advance(length);
                answers += 1;
            }
            anyhow::ensure!(answers == AT_ONCE || socket.read_buf(&mut input).await? > 0, "closed");
        }
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}
