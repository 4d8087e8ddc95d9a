//! The loops that nothing can beat: appending with fdatasync, and MQTT servers that do nothing but acknowledge.

use crate::mqtt::packet;
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

/// A file that grows block by block, with an fdatasync after each.
pub struct Append {
    file: File,
    block: Vec<u8>,
}

impl Append {
    /// Creates the file. A block is that many bytes.
    pub fn create(folder: &Path, block: usize) -> anyhow::Result<Self> {
        let file = File::create(folder.join("raw")).context("create the raw file")?;
        Ok(Self { file, block: vec![0x5A; block] })
    }

    /// Appends one block and makes it durable.
    pub fn once(&mut self) -> anyhow::Result<()> {
        self.file.write_all(&self.block).context("append")?;
        self.file.sync_data().context("sync")
    }
}

/// How long an append of one sector with its fdatasync takes, in the middle.
pub fn sync_time(folder: &Path, times: usize) -> anyhow::Result<Duration> {
    let mut append = Append::create(folder, 512)?;
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let began = Instant::now();
        append.once()?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    Ok(took.get(times / 2).copied().unwrap_or_default())
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
    task: tokio::task::JoinHandle<()>,
}

impl BareServer {
    /// Starts it there.
    pub async fn start(address: SocketAddr, custody: Custody) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.context("bind")?;
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
        Ok(Self { task })
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Waiting {
    bytes: BytesMut,
    done: oneshot::Sender<()>,
}

fn group_commit(folder: &Path) -> anyhow::Result<mpsc::Sender<Waiting>> {
    let mut file = File::create(folder.join("bare")).context("create the bare server's file")?;
    let (queue, mut waiting) = mpsc::channel::<Waiting>(1024);
    std::thread::spawn(move || {
        while let Some(first) = waiting.blocking_recv() {
            let mut group = vec![first];
            while let Ok(next) = waiting.try_recv() {
                group.push(next);
            }
            let block: Vec<u8> = group.iter().flat_map(|waiting| waiting.bytes.iter().copied()).collect();
            if file.write_all(&block).and_then(|()| file.sync_data()).is_err() {
                return;
            }
            for waiting in group {
                // The connection may have gone; its bytes are written all the same.
                let _ = waiting.done.send(());
            }
        }
    });
    Ok(queue)
}

async fn serve(mut socket: TcpStream, disk: Option<mpsc::Sender<Waiting>>) -> anyhow::Result<()> {
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
            disk.send(Waiting { bytes, done }).await.ok().context("the disk is gone")?;
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
