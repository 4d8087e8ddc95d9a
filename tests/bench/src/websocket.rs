//! WebSockets by hand: the opening, our hello, and frames that a server sends.
//!
//! A library would allocate for every message, and thousands of these are open in one process.

use anyhow::{Context, ensure};
use bytes::{Buf, BytesMut};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        http::HeaderValue,
    },
};

/// An empty pong. Its mask is zero, as is that of everything here: masks protect proxies, and there is none.
pub const PONG: [u8; 6] = [0x8A, 0x80, 0, 0, 0, 0];

/// What a server sends.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A text message.
    Text(&'a [u8]),
    /// It wants a pong.
    Ping,
    /// Nothing that matters here.
    Other,
}

/// The first whole frame of the input, and its length.
pub fn frame(input: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (first, second) = (*input.first()?, *input.get(1)?);
    let (at, length) = match second & 127 {
        126 => (4, usize::from(u16::from_be_bytes(*input.get(2..)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*input.get(2..)?.first_chunk()?) as usize),
        length => (2, usize::from(length)),
    };
    let payload = input.get(at..at + length)?;
    let frame = match first & 15 {
        1 => Frame::Text(payload),
        9 => Frame::Ping,
        _ => Frame::Other,
    };
    Some((frame, at + length))
}

/// Appends a text message.
pub fn put_text(output: &mut Vec<u8>, text: &str) {
    output.push(0x81);
    match u8::try_from(text.len()) {
        Ok(length @ ..126) => output.push(0x80 | length),
        _ => {
            assert!(text.len() <= usize::from(u16::MAX), "the length has two bytes");
            output.push(0x80 | 126);
            output.extend_from_slice(&(text.len() as u16).to_be_bytes());
        }
    }
    output.extend_from_slice(&[0; 4]);
    output.extend_from_slice(text.as_bytes());
}

/// Serves WebSockets of tokio-tungstenite there until the process ends: each message is answered with yes. Nothing that
/// speaks WebSocket can do less.
pub async fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.context("bind")?;
    loop {
        let (socket, _) = listener.accept().await.context("accept")?;
        socket.set_nodelay(true)?;
        // A client that breaks off ends its own connection only.
        tokio::spawn(async move { say_yes(socket).await.ok() });
    }
}

#[expect(clippy::result_large_err, reason = "the library's callback")]
async fn say_yes(socket: TcpStream) -> anyhow::Result<()> {
    let agree = |_: &Request, mut response: Response| {
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("riser.v1.json"));
        Ok(response)
    };
    let mut socket = accept_hdr_async(socket, agree).await?;
    while let Some(message) = socket.next().await {
        if message?.is_text() {
            socket.send(Message::text(r#"{"re":1,"ok":{}}"#)).await?;
        }
    }
    Ok(())
}

/// A WebSocket in envelope mode whose hello was taken, and what came after the answer.
pub async fn open(server: SocketAddr, path: &str, hello: &str) -> anyhow::Result<(TcpStream, BytesMut)> {
    let (socket, input, _) = taken(server, path, hello).await?;
    Ok((socket, input))
}

/// The same with the answer.
pub async fn taken(
    server: SocketAddr,
    path: &str,
    hello: &str,
) -> anyhow::Result<(TcpStream, BytesMut, String)> {
    let socket = TcpStream::connect(server).await.context("connect the WebSocket")?;
    socket.set_nodelay(true)?;
    let (socket, input, answer) = answer(socket, path, hello).await?;
    let taken = answer.contains(r#""ok":{"#) && !answer.contains(r#""error":"#);
    ensure!(taken, "hello was refused: {answer}");
    Ok((socket, input, answer))
}

/// The same over a connection that is there, whatever the answer is, and that.
pub async fn answer(
    mut socket: TcpStream,
    path: &str,
    hello: &str,
) -> anyhow::Result<(TcpStream, BytesMut, String)> {
    let server = socket.peer_addr()?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: riser.v1.json\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    let mut input = BytesMut::new();
    let end = |input: &[u8]| input.windows(4).position(|found| found == b"\r\n\r\n");
    while end(&input).is_none() {
        ensure!(socket.read_buf(&mut input).await? > 0, "the hub closed at the handshake");
    }
    ensure!(input.starts_with(b"HTTP/1.1 101"), "no WebSocket: {}", String::from_utf8_lossy(&input));
    input.advance(end(&input).context("it was just found")? + 4);
    let mut output = Vec::new();
    put_text(&mut output, hello);
    socket.write_all(&output).await?;
    let (answer, length) = loop {
        match frame(&input) {
            Some((Frame::Text(answer), length)) => {
                break (String::from_utf8_lossy(answer).into_owned(), length);
            }
            Some((_, length)) => input.advance(length),
            None => ensure!(socket.read_buf(&mut input).await? > 0, "the hub closed at hello"),
        }
    };
    input.advance(length);
    Ok((socket, input, answer))
}

/// Reads until that many messages have come, each after the one before it, and nothing else but pings.
pub async fn read_messages(socket: &mut TcpStream, mut input: BytesMut, count: u64) -> anyhow::Result<()> {
    let mut seen = 0;
    let mut last: Vec<u8> = Vec::new();
    loop {
        while let Some((frame, length)) = frame(&input) {
            if let Frame::Text(text) = frame {
                let is_message = text.starts_with(br#"{"ev":"msg""#);
                let is_ping = text.starts_with(br#"{"ev":"ping""#);
                ensure!(is_message || is_ping, "the hub said {}", String::from_utf8_lossy(text));
                seen += u64::from(is_message);
                let (prev, pos) = positions(text).unwrap_or_default();
                let follows = last.is_empty() || prev == last;
                ensure!(follows || is_ping, "not the next one: {}", String::from_utf8_lossy(text));
                last.clear();
                last.extend_from_slice(pos);
            }
            input.advance(length);
        }
        ensure!(seen <= count, "more than {count} messages");
        if seen == count {
            return Ok(());
        }
        input.reserve(256 * 1024);
        ensure!(socket.read_buf(&mut input).await? > 0, "the hub closed after {seen} of {count} messages");
    }
}

/// What a message says of the one before it, and where it is itself.
fn positions(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let of = |text: &'_ [u8], field: &[u8]| {
        let begin = text.windows(field.len()).position(|found| found == field)? + field.len();
        Some((begin, begin + text.get(begin..)?.iter().position(|byte| *byte == b'"')?))
    };
    let (begin, end) = of(text.get(..text.len().min(128))?, br#""prev":""#)?;
    let rest = text.get(end..)?;
    let (from, to) = of(rest.get(..rest.len().min(64))?, br#""pos":""#)?;
    Some((text.get(begin..end)?, rest.get(from..to)?))
}

/// Sends a request and waits for its answer, which must be a good one.
pub async fn request(socket: &mut TcpStream, input: &mut BytesMut, text: &str) -> anyhow::Result<()> {
    let mut output = Vec::new();
    put_text(&mut output, text);
    socket.write_all(&output).await?;
    loop {
        if let Some((frame, length)) = frame(input) {
            let answered = match frame {
                Frame::Text(text) if text.starts_with(br#"{"re":"#) => {
                    let said = String::from_utf8_lossy(text);
                    ensure!(!said.contains(r#""error":"#), "the hub refused: {said}");
                    true
                }
                Frame::Text(_) | Frame::Ping | Frame::Other => false,
            };
            input.advance(length);
            if answered {
                return Ok(());
            }
        } else {
            ensure!(socket.read_buf(input).await? > 0, "the hub closed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_says_what_it_follows() {
        let text = br#"{"ev":"msg","sub":1,"prev":"0000000000000abc.ffffffffffffffff.5","pos":"0000000000000abc.ffffffffffffffff.6","channel":"a/b","data":1}"#;
        let (prev, pos) = positions(text).unwrap();
        assert!(prev.ends_with(b"f.5") && pos.ends_with(b"f.6"));
        assert_eq!(positions(br#"{"ev":"ping"}"#), None);
    }

    #[test]
    fn frames_of_each_length_are_read_whole() {
        for length in [0_usize, 5, 125, 126, 70_000] {
            let mut bytes = vec![0x81];
            match length {
                ..126 => bytes.push(length as u8),
                126..=0xFFFF => {
                    bytes.push(126);
                    bytes.extend_from_slice(&(length as u16).to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend_from_slice(&(length as u64).to_be_bytes());
                }
            }
            bytes.resize(bytes.len() + length, b'x');
            for cut in [0, 1, 2, bytes.len() - 1] {
                assert!(frame(&bytes[..cut.min(bytes.len() - 1)]).is_none());
            }
            let whole = bytes.len();
            bytes.push(0x8A);
            assert_eq!(frame(&bytes), Some((Frame::Text(&bytes[whole - length..whole]), whole)));
        }
    }
}
