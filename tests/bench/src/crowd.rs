//! Many subscribers of one channel: each checks that it gets everything once and in order, and takes the latency of a
//! sample of it.
//!
//! Frames are read by hand, like the load's: five hundred subscribers must cost less than what they measure.

use crate::{
    corpus, mqtt, nats,
    riser::{ACCOUNT, ROOM},
    websocket,
};
use anyhow::{Context, ensure};
use bytes::{Buf, BytesMut};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// The channel that they subscribe to.
pub const CHANNEL: &str = "fan/out";
/// The same as a subject.
pub const SUBJECT: &str = "fan.out";

/// What a subscriber speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speech {
    /// Our envelope over WebSocket.
    WebSocket,
    /// MQTT 3.1.1 at QoS 0.
    Mqtt,
    /// NATS's own protocol.
    Nats,
}

/// When each message was published.
pub struct Sent {
    began: Instant,
    /// In nanoseconds since then; 0 as long as it was not.
    at: Vec<AtomicU64>,
}

impl Sent {
    /// So many will be.
    pub fn new(count: u64) -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), at: (0..count).map(|_| AtomicU64::new(0)).collect() })
    }

    /// Message `n` is being published.
    pub fn publishing(&self, n: u64) {
        if let Some(at) = self.at.get(n as usize) {
            at.store(self.now(), Ordering::Release);
        }
    }

    /// How many there will be.
    pub fn count(&self) -> u64 {
        self.at.len() as u64
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn age(&self, n: u64) -> Option<Duration> {
        let sent = self.at.get(n as usize)?.load(Ordering::Acquire);
        Some(Duration::from_nanos(self.now().saturating_sub(sent)))
    }
}

/// Many subscribers.
pub struct Crowd {
    running: JoinSet<anyhow::Result<Member>>,
    members: u64,
    sample: u64,
    sent: Arc<Sent>,
}

impl Crowd {
    /// Nobody yet; they will want these. Of `sample` messages each times one: not the same as the next member.
    pub fn new(sent: Arc<Sent>, sample: u64) -> Self {
        Self { running: JoinSet::new(), members: 0, sample, sent }
    }

    /// One more, whose subscription stands.
    pub async fn join(&mut self, server: SocketAddr, speech: Speech) -> anyhow::Result<()> {
        let number = self.members;
        let (socket, input) = match speech {
            Speech::WebSocket => {
                let subscription = format!(r#"{{"sub":1,"channels":"{CHANNEL}"}}"#);
                let hello =
                    format!(r#"{{"op":"hello","id":1,"events":false,"subscriptions":[{subscription}]}}"#);
                websocket::open(server, &format!("/{ACCOUNT}/{ROOM}"), &hello).await?
            }
            Speech::Mqtt => {
                let mut socket = mqtt::connect(server, &format!("fan-{number}")).await?;
                mqtt::subscribe(&mut socket, &format!("{ROOM}/{CHANNEL}"), 0).await?;
                (socket, BytesMut::new())
            }
            Speech::Nats => nats::subscribe(server, SUBJECT).await?,
        };
        let (next, latencies, sent, sample) = (0, Vec::new(), Arc::clone(&self.sent), self.sample);
        let member = Member { socket, input, speech, number, sample, next, latencies, sent };
        self.running.spawn(member.run());
        self.members += 1;
        Ok(())
    }

    /// How many there are.
    pub fn members(&self) -> u64 {
        self.members
    }

    /// Waits until everybody has everything; the latencies, sorted. An error if somebody got something twice, out of
    /// order or not at all.
    pub async fn all_received(mut self, patience: Duration) -> anyhow::Result<Vec<Duration>> {
        let mut done = Vec::new();
        let everybody = async {
            while let Some(member) = self.running.join_next().await {
                // Nobody leaves while others still listen.
                done.push(member.context("a subscriber panicked")??);
            }
            anyhow::Ok(())
        };
        let waited = tokio::time::timeout(patience, everybody).await;
        waited.with_context(|| format!("{} of {} have everything", done.len(), self.members))??;
        let mut latencies: Vec<Duration> = done.into_iter().flat_map(|member| member.latencies).collect();
        latencies.sort_unstable();
        Ok(latencies)
    }
}

struct Member {
    socket: TcpStream,
    input: BytesMut,
    speech: Speech,
    number: u64,
    sample: u64,
    /// The message that is to come next.
    next: u64,
    latencies: Vec<Duration>,
    sent: Arc<Sent>,
}

impl Member {
    async fn run(mut self) -> anyhow::Result<Self> {
        let mut output = Vec::new();
        loop {
            while let Some((heard, length)) = hear(self.speech, &self.input)? {
                match heard {
                    Heard::Message(bytes) => {
                        if self.next % self.sample == self.number % self.sample {
                            let n = corpus::number_within(bytes);
                            ensure!(n == Some(self.next), "message {n:?} where {} is next", self.next);
                            self.latencies.extend(self.sent.age(self.next));
                        }
                        self.next += 1;
                    }
                    Heard::Ping => output.extend_from_slice(match self.speech {
                        Speech::WebSocket => &websocket::PONG,
                        Speech::Nats => b"PONG\r\n",
                        Speech::Mqtt => &[],
                    }),
                    Heard::Nothing => {}
                }
                self.input.advance(length);
            }
            if !output.is_empty() {
                self.socket.write_all(&output).await?;
                output.clear();
            }
            ensure!(self.next <= self.sent.count(), "more messages than were published");
            if self.next == self.sent.count() {
                return Ok(self);
            }
            self.input.reserve(8 * 1024);
            let read = self.socket.read_buf(&mut self.input).await?;
            ensure!(read > 0, "the server closed after {} messages", self.next);
        }
    }
}

enum Heard<'a> {
    /// A message: bytes that its payload is in.
    Message(&'a [u8]),
    Ping,
    Nothing,
}

/// The first whole thing of the input, and its length.
fn hear(speech: Speech, input: &[u8]) -> anyhow::Result<Option<(Heard<'_>, usize)>> {
    Ok(match speech {
        Speech::WebSocket => match websocket::frame(input) {
            None => None,
            Some((websocket::Frame::Text(text), length)) if text.starts_with(br#"{"ev":"msg""#) => {
                Some((Heard::Message(text), length))
            }
            Some((websocket::Frame::Text(text), length)) => {
                let said = String::from_utf8_lossy(text);
                ensure!(said.starts_with(r#"{"ev":"ping""#), "the server said {said}");
                Some((Heard::Nothing, length))
            }
            Some((websocket::Frame::Ping, length)) => Some((Heard::Ping, length)),
            Some((websocket::Frame::Other, length)) => Some((Heard::Nothing, length)),
        },
        Speech::Mqtt => match mqtt::packet(input) {
            Some((first, body, length)) if first >> 4 == 3 => Some((Heard::Message(body), length)),
            Some((_, _, length)) => Some((Heard::Nothing, length)),
            None => None,
        },
        Speech::Nats => nats::next(input).map(|(said, length)| match said {
            nats::Said::Message(payload) => (Heard::Message(payload), length),
            nats::Said::Ping => (Heard::Ping, length),
            nats::Said::Other => (Heard::Nothing, length),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_speaks_is_cut_into_messages() {
        let payload = corpus::payload(0, 7);
        let text = format!(r#"{{"ev":"msg","sub":1,"data":{}}}"#, String::from_utf8_lossy(&payload));
        let mut frame = vec![0x81, 126];
        frame.extend_from_slice(&(text.len() as u16).to_be_bytes());
        frame.extend_from_slice(text.as_bytes());
        let mut packet = Vec::new();
        mqtt::put_publish(&mut packet, "room/fan/out", 1, &payload);
        let message = [format!("MSG fan.out 1 {}\r\n", payload.len()).as_bytes(), &payload, b"\r\n"].concat();
        for (speech, bytes) in [(Speech::WebSocket, frame), (Speech::Mqtt, packet), (Speech::Nats, message)] {
            let Some((Heard::Message(found), length)) = hear(speech, &bytes).unwrap() else { panic!() };
            assert_eq!((corpus::number_within(found), length), (Some(7), bytes.len()), "{speech:?}");
            assert!(hear(speech, &bytes[..bytes.len() - 1]).unwrap().is_none(), "{speech:?}");
        }
    }
}
