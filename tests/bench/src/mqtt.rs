//! The few packets of MQTT 3.1.1 that loads and subscribers need, written and read by hand: the generator must
//! cost less than what it measures.

use anyhow::ensure;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection that the server has let in without asking who it is.
pub async fn connect(server: SocketAddr, client: &str) -> anyhow::Result<TcpStream> {
    connect_as(server, client, None).await
}

/// The same, with a user name and a password.
pub async fn connect_as(
    server: SocketAddr,
    client: &str,
    login: Option<(&str, &str)>,
) -> anyhow::Result<TcpStream> {
    let mut socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    socket.write_all(&connect_packet(client, login)).await?;
    let mut answer = [0; 4];
    socket.read_exact(&mut answer).await?;
    ensure!(answer[0] == 0x20 && answer[3] == 0, "the server refused the connection: {answer:?}");
    Ok(socket)
}

/// A connection to a session that the server keeps when it ends; with what it has not delivered there so far. Whether the server
/// knows the session from before.
pub async fn resume(server: SocketAddr, client: &str) -> anyhow::Result<(TcpStream, bool)> {
    let mut socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    let mut packet = connect_packet(client, None);
    // Its length, a protocol's name of four letters and its level come before the flags.
    packet[9] &= !CLEAN;
    socket.write_all(&packet).await?;
    let mut answer = [0; 4];
    socket.read_exact(&mut answer).await?;
    ensure!(answer[0] == 0x20 && answer[3] == 0, "the server refused the connection: {answer:?}");
    Ok((socket, answer[2] & 1 == 1))
}

/// Of a CONNECT's flags: what the server knows of this client's session is forgotten, and will be.
const CLEAN: u8 = 2;

/// A CONNECT with a clean session.
pub fn connect_packet(client: &str, login: Option<(&str, &str)>) -> Vec<u8> {
    let flags = if login.is_some() { 0xC0 | CLEAN } else { CLEAN };
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, flags, 1, 44];
    put_text(&mut body, client);
    if let Some((user, password)) = login {
        put_text(&mut body, user);
        put_text(&mut body, password);
    }
    debug_assert!(body.len() < 128, "the length has one byte");
    [&[0x10, body.len() as u8], &body[..]].concat()
}

/// Appends a SUBSCRIBE to one filter.
pub fn put_subscribe(output: &mut Vec<u8>, filter: &str, qos: u8) {
    output.extend_from_slice(&[0x82, 5 + filter.len() as u8, 0, 1]);
    put_text(output, filter);
    output.push(qos);
}

/// Appends an UNSUBSCRIBE of one filter.
pub fn put_unsubscribe(output: &mut Vec<u8>, filter: &str) {
    output.extend_from_slice(&[0xA2, 4 + filter.len() as u8, 0, 1]);
    put_text(output, filter);
}

/// Subscribes at that QoS and waits for the answer.
pub async fn subscribe(socket: &mut TcpStream, filter: &str, qos: u8) -> anyhow::Result<()> {
    let mut packet = Vec::new();
    put_subscribe(&mut packet, filter, qos);
    socket.write_all(&packet).await?;
    let mut answer = [0; 5];
    socket.read_exact(&mut answer).await?;
    ensure!(answer[0] == 0x90 && answer[4] == qos, "the server refused the subscription: {answer:?}");
    Ok(())
}

/// Appends a QoS 1 PUBLISH. Bodies here are longer than 127 and shorter than 16,384 bytes.
pub fn put_publish(output: &mut Vec<u8>, topic: &str, id: u16, payload: &[u8]) {
    let length = 2 + topic.len() + 2 + payload.len();
    debug_assert!((128..16_384).contains(&length), "the length has two bytes");
    output.extend_from_slice(&[0x32, (length & 127) as u8 | 128, (length >> 7) as u8]);
    put_text(output, topic);
    output.extend_from_slice(&id.to_be_bytes());
    output.extend_from_slice(payload);
}

/// Appends a QoS 0 PUBLISH, with the topic of that QoS 1 PUBLISH's body.
pub fn put_publish_at_most_once(output: &mut Vec<u8>, body: &[u8], payload: &[u8]) {
    let topic = body.len() - payload.len() - 2;
    let length = topic + payload.len();
    debug_assert!((128..16_384).contains(&length), "the length has two bytes");
    output.extend_from_slice(&[0x30, (length & 127) as u8 | 128, (length >> 7) as u8]);
    output.extend_from_slice(&body[..topic]);
    output.extend_from_slice(payload);
}

fn put_text(output: &mut Vec<u8>, text: &str) {
    output.extend_from_slice(&(text.len() as u16).to_be_bytes());
    output.extend_from_slice(text.as_bytes());
}

/// The first whole packet of the input: its first byte, its body, its length with the header.
pub fn packet(input: &[u8]) -> Option<(u8, &[u8], usize)> {
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

/// A PUBLISH by its first byte and body.
pub struct Publish<'a> {
    /// 0 at QoS 0.
    pub id: u16,
    /// What was published.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// Reads one; none if it is cut short.
    pub fn read(first: u8, body: &'a [u8]) -> Option<Self> {
        let topic = usize::from(u16::from_be_bytes(*body.first_chunk()?));
        let rest = body.get(2 + topic..)?;
        if first & 6 == 0 {
            return Some(Self { id: 0, payload: rest });
        }
        let (id, payload) = rest.split_first_chunk()?;
        Some(Self { id: u16::from_be_bytes(*id), payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_read_as_it_was_written() {
        let mut bytes = Vec::new();
        put_publish(&mut bytes, "bench/c/7", 513, &[b'x'; 150]);
        for cut in 0..bytes.len() {
            assert!(packet(&bytes[..cut]).is_none());
        }
        let at_most_once = {
            let (_, body, _) = packet(&bytes).unwrap();
            let mut bytes = Vec::new();
            put_publish_at_most_once(&mut bytes, body, &[b'x'; 150]);
            bytes
        };
        let (first, body, length) = packet(&at_most_once).unwrap();
        let publish = Publish::read(first, body).unwrap();
        assert_eq!((publish.id, publish.payload, length), (0, &[b'x'; 150][..], at_most_once.len()));
        bytes.push(0xFF);
        let (first, body, length) = packet(&bytes).unwrap();
        let publish = Publish::read(first, body).unwrap();
        assert_eq!((publish.id, publish.payload, length), (513, &[b'x'; 150][..], bytes.len() - 1));
    }
}
