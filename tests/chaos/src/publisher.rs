//! A device: publishes a stream at QoS 1 from a session that it keeps, and says every time that it sends.
//!
//! A process of its own. It numbers from 1, sends what is unacknowledged again after every reconnect, in order,
//! never sends what was acknowledged or refused, and comes to an end when its standard input is closed and
//! nothing is outstanding.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use riser_integration::ledger::Line;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};

use crate::history::say;
use crate::mqtt::{self, Said, Version};
use crate::payload;
use crate::socket::TcpStream;

/// How long a connection may say nothing while something is outstanding.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often a quiet connection is pinged.
const PING_EVERY: Duration = Duration::from_secs(5);
/// From one attempt to connect to the next at least: who was connected for longer comes back at once.
const ATTEMPTS_EVERY: Duration = Duration::from_millis(100);
/// How long it goes on for what is outstanding after it was told to end.
const END_WITHIN: Duration = Duration::from_secs(170);

/// What a publisher is asked to do.
#[derive(Clone, Serialize, Deserialize)]
pub struct Asked {
    /// The MQTT door.
    pub server: SocketAddr,
    /// The stream's name, the session's and the channel's.
    pub stream: String,
    /// The room.
    pub room: String,
    /// Publications per second.
    pub rate: u64,
    /// Unacknowledged at a time.
    pub window: usize,
    /// Bytes of a payload, about.
    pub size: usize,
    /// 4 or 5.
    pub version: u8,
    /// It ends by itself after so many.
    pub count: Option<u64>,
}

struct Publisher {
    asked: Asked,
    version: Version,
    topic: String,
    newest: u64,
    outstanding: BTreeMap<u64, Vec<u8>>,
    pace: Interval,
    told_to_end: watch::Receiver<bool>,
}

/// Publishes until it is told to end.
pub async fn run(asked: Asked, told_to_end: watch::Receiver<bool>) -> anyhow::Result<()> {
    ensure!((1..=100).contains(&asked.window), "a window of {}", asked.window);
    let version = if asked.version == 5 { Version::V5 } else { Version::V4 };
    let mut pace = interval(Duration::from_nanos(1_000_000_000 / asked.rate.max(1)));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let topic = format!("{}/{}", asked.room, asked.stream);
    let mut publisher =
        Publisher { asked, version, topic, newest: 0, outstanding: BTreeMap::new(), pace, told_to_end };
    let mut deadline = None;
    loop {
        let next_attempt = Instant::now() + ATTEMPTS_EVERY;
        match publisher.session().await {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("{error:#}; again"),
        }
        if publisher.ends() {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + END_WITHIN);
            ensure!(Instant::now() < deadline, "{} are still outstanding", publisher.outstanding.len());
        }
        sleep_until(next_attempt).await;
        // What was not published meanwhile is not made up for.
        publisher.pace.reset();
    }
}

impl Publisher {
    fn ends(&self) -> bool {
        *self.told_to_end.borrow() || self.asked.count.is_some_and(|count| self.newest >= count)
    }

    /// One connection. Good only if everything is done.
    async fn session(&mut self) -> anyhow::Result<()> {
        let mut socket = timeout(PATIENCE, TcpStream::connect(self.asked.server)).await??;
        socket.set_nodelay(true)?;
        socket.write_all(&mqtt::connect(self.version, &self.asked.stream)).await?;
        let mut input = Vec::new();
        let mut heard = Instant::now();
        let mut ping = interval(PING_EVERY);
        let mut is_in = false;
        loop {
            if self.ends() && self.outstanding.is_empty() {
                let _ = socket.write_all(&mqtt::BYE).await;
                return Ok(());
            }
            let may_send = is_in && !self.ends() && self.outstanding.len() < self.asked.window;
            tokio::select! {
                read = socket.read_buf(&mut input) => {
                    ensure!(read? > 0, "the server closed");
                    heard = Instant::now();
                }
                _ = self.pace.tick(), if may_send => {
                    let packet = self.next();
                    socket.write_all(&packet).await?;
                }
                _ = ping.tick() => {
                    ensure!(heard.elapsed() < PATIENCE, "the server says nothing");
                    if is_in {
                        socket.write_all(&mqtt::PING).await?;
                    }
                }
                changed = self.told_to_end.changed(), if !self.ends() => changed.context("hear of the end")?,
            }
            while let Some((said, length)) = mqtt::read(&input) {
                input.drain(..length);
                match said {
                    Said::Connack(0) => {
                        is_in = true;
                        socket.write_all(&self.again()).await?;
                    }
                    Said::Puback(id, code) => self.settle(id, code)?,
                    Said::Pong => {}
                    Said::Connack(code) | Said::Bye(code) => bail!("the server said no: {code:#04x}"),
                    Said::Other(kind) => bail!("the server sent a packet of kind {kind}"),
                }
            }
        }
    }

    fn next(&mut self) -> Vec<u8> {
        self.newest += 1;
        let payload = payload::write(&self.asked.stream, self.newest, self.asked.size);
        let packet = self.packet(self.newest, false, &payload);
        self.outstanding.insert(self.newest, payload);
        packet
    }

    /// Everything outstanding once more, oldest first.
    fn again(&self) -> Vec<u8> {
        self.outstanding.iter().flat_map(|(n, payload)| self.packet(*n, true, payload)).collect()
    }

    fn packet(&self, n: u64, again: bool, payload: &[u8]) -> Vec<u8> {
        let stream = self.asked.stream.clone();
        say(&Line::Offered { stream, n, digest: payload::digest(payload) });
        mqtt::publish(self.version, &self.topic, packet_id(n), again, payload)
    }

    fn settle(&mut self, id: u16, code: u8) -> anyhow::Result<()> {
        let n = self.outstanding.keys().copied().find(|n| packet_id(*n) == id);
        let n =
            n.with_context(|| format!("the server acknowledged packet {id}, which is not outstanding"))?;
        self.outstanding.remove(&n);
        let stream = self.asked.stream.clone();
        // 0x10 is success without a subscriber.
        say(&match code {
            0 | 0x10 => Line::Acked { stream, n },
            code => Line::Refused { stream, n, code: format!("{code:#04x}") },
        });
        Ok(())
    }
}

/// At most a hundred are outstanding, so ids do not meet.
fn packet_id(n: u64) -> u16 {
    (n % 60_000) as u16 + 1
}
