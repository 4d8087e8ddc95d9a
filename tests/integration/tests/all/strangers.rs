//! What somebody costs who has not said who it is and has said as much as it may: memory, at a hub and at an edge.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::needs::{Need, needs};
use crate::site::{ACCOUNT, Node, Plan, Site};

/// So many at once.
const STRANGERS: usize = 500;
/// What each may cost.
const EACH_BYTES_MAX: u64 = 64 * 1024;
/// What each has said, without an end: the most that is taken is 16 KiB.
const SAID: usize = 15 * 1024;

/// How one comes.
type Comes = fn(&Node) -> TcpStream;

/// Bytes of a process that are in memory.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A CONNECT without its end.
fn connects(node: &Node) -> TcpStream {
    let mut socket = TcpStream::connect((node.place.address(), node.mqtt)).unwrap();
    // It says that 16,000 bytes follow: a client id, a user name and a password that begins.
    let mut said = vec![0x10, 0x80, 0x7d];
    said.extend(b"\0\x04MQTT\x04\xc2\0\x3c\0\x01x\0\x01y\x3e\x00");
    said.resize(SAID, b'x');
    socket.write_all(&said).unwrap();
    socket
}

/// A hello without its end, in a WebSocket that is open.
fn says_hello(node: &Node) -> TcpStream {
    let mut socket = TcpStream::connect((node.place.address(), node.http)).unwrap();
    let head = format!(
        "GET /{ACCOUNT}/hall HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: riser.v1.json\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    // One frame of 16,000 bytes.
    let mut said = vec![0x81, 0xfe, 0x3e, 0x80, 0, 0, 0, 0];
    said.resize(SAID - head.len(), b' ');
    socket.write_all(&said).unwrap();
    socket
}

/// Most of what they cost together while they stand there.
fn cost(node: &mut Node, comes: Comes) -> u64 {
    let process = node.process().id();
    // The first ones pay for what all share.
    drop((0..20).map(|_| comes(node)).collect::<Vec<_>>());
    let before = resident(process);
    let strangers: Vec<TcpStream> = (0..STRANGERS).map(|_| comes(node)).collect();
    let (began, mut most) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(2) {
        most = most.max(resident(process));
        std::thread::sleep(Duration::from_millis(20));
    }
    let stands = |mut one: &TcpStream| {
        one.set_nonblocking(true).unwrap();
        one.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    assert!(strangers.iter().all(stands), "all of them stand there at once");
    drop(strangers);
    most.saturating_sub(before)
}

#[test]
fn who_has_not_said_who_it_is_costs_64_kib_at_most() {
    needs!(Need::Program("curl"));
    let ways = [("MQTT", connects as Comes), ("a WebSocket", says_hello)];
    for (what, comes) in ways {
        // Memory that one lot left would be the next one's: each meets a process of its own.
        let mut site = Site::laid_out(Plan::default());
        for node in [&mut site.hub, &mut site.edge] {
            node.start();
            let each = cost(node, comes) / STRANGERS as u64;
            assert!(each <= EACH_BYTES_MAX, "{each} bytes for each by {what}");
            // Their words are there, or nothing was measured.
            assert!(each > SAID as u64 / 4, "{each} bytes for each by {what}");
            node.stop();
        }
    }
}
