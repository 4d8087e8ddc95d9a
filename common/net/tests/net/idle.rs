//! What a connection costs while nothing happens on it. Needs thousands of sockets, so it runs only when
//! `RISER_IDLE_CONNECTIONS` says how many (5000, say). Each test needs a process of its own, because the second
//! one would live in the memory that the first one left:
//! `RISER_IDLE_CONNECTIONS=5000 cargo test -p riser-net --test net an_idle_websocket -- --nocapture`

use crate::{
    house::{House, limits, soon, storing_door},
    web::web,
};
use riser_net::Limits;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it says so");
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Connects so many, each with the same exchange, and says what each costs this process. The clients are plain
/// descriptors; what they cost is in the kernel.
async fn cost(house: &House, address: SocketAddr, count: usize, exchange: fn(&mut TcpStream)) -> usize {
    let connect = move |count: usize| {
        (0..count)
            .map(|_| {
                let mut client = TcpStream::connect(address).unwrap();
                exchange(&mut client);
                client
            })
            .collect::<Vec<_>>()
    };
    // The first ones pay for what all share.
    let warm = tokio::task::spawn_blocking(move || connect(100)).await.unwrap();
    let before = resident();
    let clients = tokio::task::spawn_blocking(move || connect(count)).await.unwrap();
    assert_eq!(house.entrance.open(), count + 100);
    let cost = (resident().saturating_sub(before)) / count;
    drop((warm, clients));
    soon("emptying", house.entrance.emptied()).await;
    cost
}

fn count() -> Option<usize> {
    let count = std::env::var("RISER_IDLE_CONNECTIONS").ok()?.parse().expect("a number");
    Some(count)
}

fn mqtt_exchange(client: &mut TcpStream) {
    client.write_all(&[b'x'; 100]).unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
}

fn websocket_exchange(client: &mut TcpStream) {
    let head = "GET /acme/plant HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: riser.v1.json\r\nUser-Agent: a browser of some length or other\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let mut hello = vec![0x81, 0x80 | 100, 0, 0, 0, 0];
    hello.extend_from_slice(&[b'x'; 100]);
    client.write_all(&hello).unwrap();
    client.read_exact(&mut [0; 7]).unwrap();
}

fn roomy(count: usize) -> Limits {
    Limits { connections_max: count + 200, ..limits() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_byte_door_costs_little() {
    let Some(count) = count() else { return skipped() };
    let house = House::new(roomy(count));
    let address = house.serve(storing_door);
    let bytes = cost(&house, address, count, mqtt_exchange).await;
    println!("bytes per idle byte door: {bytes}");
    // The door's own state comes on top, within 8 KiB in all.
    assert!(bytes < 6 * 1024, "{bytes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_websocket_costs_little() {
    let Some(count) = count() else { return skipped() };
    let web = web(roomy(count), storing_door);
    let bytes = cost(&web.house, web.address, count, websocket_exchange).await;
    println!("bytes per idle websocket: {bytes}");
    // The door's own state comes on top, within 12 KiB in all.
    assert!(bytes < 9 * 1024, "{bytes}");
}

fn skipped() {
    eprintln!("skipped: RISER_IDLE_CONNECTIONS is not set");
}
