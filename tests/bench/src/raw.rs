//! The loops that nothing can beat: appending with fdatasync, and MQTT servers that do nothing but acknowledge.

use anyhow::Context;
use bytes::{Buf, BytesMut};
use std::{
    fs::File,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};

/// Appends blocks of `block` bytes with an fdatasync after each, for that long. Returns blocks per second.
pub fn append(folder: &Path, block: usize, run: Duration) -> anyhow::Result<f64> {
    let mut file = File::create(folder.join("raw")).context("create the raw file")?;
    let bytes = vec![0x5A_u8; block];
    let (began, mut blocks) = (Instant::now(), 0_u64);
    while began.elapsed() < run {
        file.write_all(&bytes).context("append")?;
        file.sync_data().context("sync")?;
        blocks += 1;
    }
    Ok(blocks as f64 / began.elapsed().as_secs_f64())
}

/// What a bare server does before it acknowledges.
#[derive(Clone, Debug)]
pub enum Custody {
    /// Nothing.
    None,
    /// Appends what waits to a file in this folder, one fdatasync for all of it.
    GroupCommit(PathBuf),
}

/// A server that knows CONNECT and QoS 1 PUBLISH and nothing else: what a socket and a disk allow at best.
pub struct BareServer {
    /// Where it listens.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl BareServer {
    /// Starts it on a free port.
    pub async fn start(custody: Custody) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("bind")?;
        let address = listener.local_addr()?;
        let disk = match custody {
            Custody::None => None,
            Custody::GroupCommit(folder) => Some(group_commit(&folder)?),
        };
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // A client that breaks off ends its own connection only.
                let disk = disk.clone();
                tokio::spawn(async move { serve(socket, disk).await.ok() });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Append {
    bytes: BytesMut,
    done: oneshot::Sender<()>,
}

fn group_commit(folder: &Path) -> anyhow::Result<mpsc::Sender<Append>> {
    let mut file = File::create(folder.join("bare")).context("create the bare server's file")?;
    let (queue, mut waiting) = mpsc::channel::<Append>(1024);
    std::thread::spawn(move || {
        while let Some(first) = waiting.blocking_recv() {
            let mut group = vec![first];
            while let Ok(next) = waiting.try_recv() {
                group.push(next);
            }
            let block: Vec<u8> = group.iter().flat_map(|append| append.bytes.iter().copied()).collect();
            if file.write_all(&block).and_then(|()| file.sync_data()).is_err() {
                return;
            }
            for append in group {
                // The connection may have gone; its bytes are written all the same.
                let _ = append.done.send(());
            }
        }
    });
    Ok(queue)
}

async fn serve(mut socket: TcpStream, disk: Option<mpsc::Sender<Append>>) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    let mut input = BytesMut::with_capacity(64 * 1024);
    let mut acks = Vec::new();
    loop {
        if socket.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let whole = acknowledge(&input, &mut acks);
        if whole == 0 {
            continue;
        }
        let bytes = input.split_to(whole);
        if let Some(disk) = &disk {
            let (done, synced) = oneshot::channel();
            disk.send(Append { bytes, done }).await.ok().context("the disk is gone")?;
            synced.await.context("the disk failed")?;
        }
        socket.write_all(&acks).await?;
        acks.clear();
    }
}

/// Appends the acknowledgement of every whole packet, and returns how many bytes those packets are.
fn acknowledge(input: &[u8], acks: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some((kind, body, length)) = packet(&input[at..]) {
        match kind >> 4 {
            1 => acks.extend_from_slice(&[0x20, 2, 0, 0]),
            3 => {
                let mut topic = body;
                let topic_length = usize::from(topic.get_u16());
                let id = &body[2 + topic_length..4 + topic_length];
                acks.extend_from_slice(&[0x40, 2, id[0], id[1]]);
            }
            _ => {}
        }
        at += length;
    }
    at
}

/// The first whole packet: its first byte, its body, its length with the header.
fn packet(input: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (mut length, mut shift) = (0_usize, 0);
    for (index, byte) in input.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 127) << shift;
        shift += 7;
        if byte & 128 == 0 {
            let end = index + 1 + length;
            return Some((input[0], input.get(index + 1..end)?, end));
        }
    }
    None
}
