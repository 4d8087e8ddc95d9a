//! A quiet client: it publishes now and then, and somebody listens.

use crate::{
    corpus,
    crowd::{CHANNEL, Crowd, Sent, Speech},
    mqtt,
    riser::ROOM,
};
use anyhow::Context;
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::io::AsyncWriteExt;

/// How often it publishes.
const EVERY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(20);

/// One publishes at QoS 1, at a steady pace, and another listens; how long each took from the one to the other, sorted.
pub(super) async fn latencies(server: SocketAddr, run: Duration) -> anyhow::Result<Vec<Duration>> {
    let sent = Sent::new((run.as_nanos() / EVERY.as_nanos()) as u64);
    let mut crowd = Crowd::new(Arc::clone(&sent), 1);
    crowd.join(server, Speech::Mqtt).await.context("connect the quiet subscriber")?;
    let mut socket = mqtt::connect(server, "quiet").await.context("connect the quiet publisher")?;
    let publishing = async {
        let (mut read, mut write) = socket.split();
        let sending = async {
            let (mut ticks, mut packet) = (tokio::time::interval(EVERY), Vec::new());
            for n in 0..sent.count() {
                ticks.tick().await;
                packet.clear();
                let topic = format!("{ROOM}/{CHANNEL}");
                mqtt::put_publish(&mut packet, &topic, n as u16 + 1, &corpus::payload(0, n));
                sent.publishing(n);
                write.write_all(&packet).await?;
            }
            // It stays until what it said has been heard.
            std::future::pending::<anyhow::Result<Infallible>>().await
        };
        let mut sink = tokio::io::sink();
        tokio::select! {
            sent = sending => sent,
            _ = tokio::io::copy(&mut read, &mut sink) => anyhow::bail!("the quiet client was closed"),
        }
    };
    tokio::select! {
        latencies = crowd.all_received(run + PATIENCE) => latencies,
        gone = publishing => match gone? {},
    }
}

/// The 99th of a hundred, in milliseconds.
pub(super) fn p99(latencies: &[Duration]) -> f64 {
    super::share(latencies, 0.99).as_secs_f64() * 1e3
}
