//! Devices that publish at a steady pace, far below what the servers can take.

use crate::{
    corpus, mqtt, nats,
    pair::{PREFIX, Pair, System},
    subscriber::Receipts,
};
use anyhow::{Context, ensure};
use bytes::{Buf, BytesMut};
use std::{io::Write as _, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp::ReadHalf},
    task::JoinSet,
    time::{Instant, interval_at},
};

/// How many devices.
pub const DEVICES: u32 = 50;
/// How often each publishes.
const EVERY: Duration = Duration::from_millis(10);
/// What all of them publish in a second.
pub const PER_SECOND: u64 = 5_000;

/// Lets every device publish for that long, and says how many publications that was. Message `n` of device `d`
/// has the number `n * DEVICES + d`.
pub async fn run(pair: &Pair, run: Duration, receipts: Arc<Receipts>) -> anyhow::Result<u64> {
    let rounds = (run.as_nanos() / EVERY.as_nanos()) as u64;
    let mut devices = JoinSet::new();
    for number in 0..DEVICES {
        let device = Device::connect(pair, number).await.context("connect a device")?;
        devices.spawn(device.publish(rounds, Arc::clone(&receipts)));
    }
    while let Some(device) = devices.join_next().await {
        device.context("a device panicked")??;
    }
    Ok(rounds * u64::from(DEVICES))
}

struct Device {
    system: System,
    number: u32,
    socket: TcpStream,
}

impl Device {
    async fn connect(pair: &Pair, number: u32) -> anyhow::Result<Self> {
        let system = pair.system();
        let socket = match system {
            System::Riser | System::Mosquitto => {
                mqtt::connect(pair.edge(), &format!("device-{number}")).await?
            }
            System::Nats(_) => {
                let mut socket = nats::connect(pair.edge()).await?;
                socket.write_all(b"SUB _INBOX.a 1\r\n").await?;
                socket
            }
        };
        Ok(Self { system, number, socket })
    }

    /// Publishes, and stays until the last is acknowledged.
    async fn publish(mut self, rounds: u64, receipts: Arc<Receipts>) -> anyhow::Result<()> {
        let (read, mut write) = self.socket.split();
        let sending = async {
            // One after the other, not all at once; each tick is counted from this start, however late one was.
            let mut ticks = interval_at(Instant::now() + EVERY * self.number / DEVICES, EVERY);
            let mut packet = Vec::new();
            for round in 0..rounds {
                ticks.tick().await;
                let n = round * u64::from(DEVICES) + u64::from(self.number);
                packet.clear();
                put(&mut packet, self.system, self.number, round, &corpus::payload(self.number, n))?;
                receipts.publishing(n);
                write.write_all(&packet).await?;
            }
            anyhow::Ok(())
        };
        tokio::try_join!(sending, acknowledged(read, self.system, rounds))?;
        Ok(())
    }
}

/// Reads until that many acknowledgements have come.
async fn acknowledged(mut read: ReadHalf<'_>, system: System, count: u64) -> anyhow::Result<()> {
    let (mut input, mut left) = (BytesMut::new(), count);
    while left > 0 {
        ensure!(read.read_buf(&mut input).await? > 0, "the server closed");
        while let Some((is_one, length)) = answer(system, &input) {
            input.advance(length);
            left = left.saturating_sub(u64::from(is_one));
        }
    }
    Ok(())
}

/// The first whole thing that a server says, whether it acknowledges, and its length.
fn answer(system: System, input: &[u8]) -> Option<(bool, usize)> {
    match system {
        System::Riser | System::Mosquitto => {
            mqtt::packet(input).map(|(first, _, length)| (first >> 4 == 4, length))
        }
        System::Nats(_) => {
            nats::next(input).map(|(said, length)| (matches!(said, nats::Said::Message(_)), length))
        }
    }
}

fn put(packet: &mut Vec<u8>, system: System, number: u32, round: u64, payload: &[u8]) -> anyhow::Result<()> {
    match system {
        System::Riser | System::Mosquitto => {
            let id = (round % u64::from(u16::MAX)) as u16 + 1;
            mqtt::put_publish(packet, &format!("{PREFIX}{number}"), id, payload);
        }
        System::Nats(_) => {
            write!(packet, "PUB bench.c{number} _INBOX.a {}\r\n", payload.len())?;
            packet.extend_from_slice(payload);
            packet.extend_from_slice(b"\r\n");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_what_it_is_called() {
        assert_eq!(u128::from(PER_SECOND), u128::from(DEVICES) * 1_000_000_000 / EVERY.as_nanos());
    }
}
