//! An MQTT 3.1.1 load: connections that each keep a window of unacknowledged QoS 1 publications full.
//!
//! Acknowledgements are matched by packet id, so that a server that acknowledges out of order or not at all is
//! found out. Topics are `{prefix}{connection}`.

use crate::{corpus, mqtt};
use anyhow::{Context, ensure};
use bytes::{Buf, BytesMut};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// What to drive a server with.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server's MQTT door.
    pub server: SocketAddr,
    /// What its clients' names begin with: clients of a load that has just ended may still be known to the server.
    pub clients: &'static str,
    /// What every topic begins with.
    pub prefix: String,
    /// How many connections.
    pub connections: u32,
    /// How many publications of each may be unacknowledged.
    pub window: u16,
    /// When to stop.
    pub until: Until,
}

/// When a load stops.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After that long.
    Elapsed(Duration),
    /// After that many publications per connection.
    Count(u64),
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Acknowledged publications.
    pub acknowledged: u64,
    /// By connection.
    pub each: Vec<(u32, u64)>,
    /// How long it took.
    pub elapsed: Duration,
    /// From writing to acknowledgement, sorted, sampled.
    pub latencies: Vec<Duration>,
}

impl Outcome {
    /// Acknowledged publications per second.
    pub fn rate(&self) -> f64 {
        self.acknowledged as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency below which that share (0 to 1) lies.
    pub fn latency(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }
}

impl Load {
    /// Connects everybody, then publishes.
    pub async fn run(&self) -> anyhow::Result<Outcome> {
        let mut publishers = Vec::new();
        for number in 0..self.connections {
            publishers.push(Publisher::connect(self, number).await?);
        }
        let began = Instant::now();
        let mut running = JoinSet::new();
        for publisher in publishers {
            let until = self.until;
            running.spawn(publisher.run(began, until));
        }
        let mut outcome = Outcome::default();
        while let Some(one) = running.join_next().await {
            let one = one.context("a publisher panicked")??;
            outcome.acknowledged += one.acknowledged;
            outcome.each.extend(one.each);
            outcome.latencies.extend(one.latencies);
        }
        outcome.elapsed = began.elapsed();
        outcome.latencies.sort_unstable();
        Ok(outcome)
    }
}

struct Publisher {
    socket: TcpStream,
    number: u32,
    topic: String,
    window: u16,
    sent: u64,
    acknowledged: u64,
    /// By packet id - 1; none when it is free.
    in_flight: Vec<Option<Instant>>,
    latencies: Vec<Duration>,
}

impl Publisher {
    async fn connect(load: &Load, number: u32) -> anyhow::Result<Self> {
        let socket =
            mqtt::connect(load.server, &format!("{}-{number}", load.clients)).await.context("connect")?;
        Ok(Self {
            socket,
            number,
            topic: format!("{}{number}", load.prefix),
            window: load.window,
            sent: 0,
            acknowledged: 0,
            in_flight: vec![None; usize::from(load.window)],
            latencies: Vec::new(),
        })
    }

    async fn run(mut self, began: Instant, until: Until) -> anyhow::Result<Outcome> {
        let mut input = BytesMut::with_capacity(16 * 1024);
        let mut output = Vec::with_capacity(32 * 1024);
        let mut free: Vec<u16> = (1..=self.window).rev().collect();
        loop {
            let go_on = match until {
                Until::Elapsed(run) => began.elapsed() < run,
                Until::Count(count) => self.sent < count,
            };
            if go_on {
                self.fill(&mut free, &mut output, until);
                self.socket.write_all(&output).await.context("publish")?;
                output.clear();
            } else if free.len() == usize::from(self.window) {
                break;
            }
            ensure!(self.socket.read_buf(&mut input).await? > 0, "the server closed");
            self.take_acks(&mut input, &mut free)?;
        }
        Ok(Outcome {
            acknowledged: self.acknowledged,
            each: vec![(self.number, self.acknowledged)],
            elapsed: began.elapsed(),
            latencies: self.latencies,
        })
    }

    fn fill(&mut self, free: &mut Vec<u16>, output: &mut Vec<u8>, until: Until) {
        let now = Instant::now();
        while let Some(id) = free.pop() {
            mqtt::put_publish(output, &self.topic, id, corpus::prepared(self.number, self.sent));
            self.in_flight[usize::from(id - 1)] = Some(now);
            self.sent += 1;
            if matches!(until, Until::Count(count) if self.sent >= count) {
                break;
            }
        }
    }

    fn take_acks(&mut self, input: &mut BytesMut, free: &mut Vec<u16>) -> anyhow::Result<()> {
        const SAMPLE: u64 = 16;
        let now = Instant::now();
        while input.len() >= 4 {
            let (kind, length, id) = (input.get_u8(), input.get_u8(), input.get_u16());
            ensure!(kind == 0x40 && length == 2, "want a PUBACK, got packet {kind:#x}");
            let sent = id.checked_sub(1).and_then(|slot| self.in_flight.get_mut(usize::from(slot)));
            let sent = sent.and_then(Option::take).context("an acknowledgement of nothing")?;
            if self.acknowledged.is_multiple_of(SAMPLE) {
                self.latencies.push(now - sent);
            }
            self.acknowledged += 1;
            free.push(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        peer::free_address,
        raw::{BareServer, Custody},
    };

    #[tokio::test]
    async fn every_publication_is_acknowledged_once_by_a_bare_server() {
        let folder = tempfile::tempdir().unwrap();
        for custody in [Custody::None, Custody::GroupCommit(folder.path().into())] {
            let address = free_address().unwrap();
            let _server = BareServer::start(address, custody).await.unwrap();
            let load = Load {
                server: address,
                clients: "load",
                prefix: "bench/c/".into(),
                connections: 3,
                window: 10,
                until: Until::Count(500),
            };
            let outcome = load.run().await.unwrap();
            assert_eq!(outcome.acknowledged, 1500);
            let mut each = outcome.each.clone();
            each.sort_unstable();
            assert_eq!(each, [(0, 500), (1, 500), (2, 500)]);
            assert!(outcome.rate() > 0.0 && outcome.latency(0.5) <= outcome.latency(0.99));
        }
        assert!(std::fs::metadata(folder.path().join("bare")).unwrap().len() > 1500 * 150);
    }
}
