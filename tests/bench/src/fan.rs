//! The bare fan-out: whatever is published to this server is written to everybody who has subscribed to anything.
//!
//! It speaks enough MQTT for that. One loop takes all that has come from the publisher, words it once, and writes the
//! same bytes to one socket after the other: nothing that has a socket for each subscriber can do less.

use crate::mqtt;
use anyhow::Context;
use bytes::{Buf, BytesMut};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

type Listeners = Arc<Mutex<Vec<TcpStream>>>;

/// Serves there until the process ends.
pub async fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.context("bind")?;
    let listeners = Listeners::default();
    loop {
        let (socket, _) = listener.accept().await.context("accept")?;
        let listeners = Arc::clone(&listeners);
        // A client that breaks off ends its own connection only.
        tokio::spawn(async move { hear(socket, listeners).await.ok() });
    }
}

async fn hear(mut socket: TcpStream, listeners: Listeners) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    let mut input = BytesMut::new();
    let (mut answers, mut worded) = (Vec::new(), Vec::new());
    let mut everybody = Vec::new();
    loop {
        input.reserve(64 * 1024);
        if socket.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let mut subscribed = false;
        while let Some((first, body, length)) = mqtt::packet(&input) {
            match first >> 4 {
                1 => answers.extend_from_slice(&[0x20, 2, 0, 0]),
                3 => {
                    let publish = mqtt::Publish::read(first, body).context("a cut PUBLISH")?;
                    answers.extend_from_slice(&[0x40, 2]);
                    answers.extend_from_slice(&publish.id.to_be_bytes());
                    mqtt::put_publish_at_most_once(&mut worded, body, publish.payload);
                }
                8 => {
                    let id = body.get(..2).context("a cut SUBSCRIBE")?;
                    answers.extend_from_slice(&[0x90, 3, id[0], id[1], 0]);
                    subscribed = true;
                }
                _ => {}
            }
            input.advance(length);
        }
        socket.write_all(&answers).await?;
        answers.clear();
        if subscribed {
            // It only listens from here on.
            listeners.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
            return Ok(());
        }
        if !worded.is_empty() {
            everybody.append(&mut listeners.lock().unwrap_or_else(PoisonError::into_inner));
            for listener in &mut everybody {
                listener.write_all(&worded).await?;
            }
            worded.clear();
        }
    }
}
