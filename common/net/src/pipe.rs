//! What a door's connection looks like from inside: something that hears and says whole pieces.

use crate::socket::Socket;
use bytes::Bytes;
use riser_model::door::{Input, Refusal, Texts};
use std::{
    io,
    task::{Context, Poll},
};

/// What came out of a socket.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Something for the door.
    Input(Input),
    /// Something of the transport's own (a ping); look again.
    Nothing,
    /// The peer broke the transport's rules; nothing more can be heard, but something can still be said.
    Refused(Refusal),
    /// The peer closed or the socket broke.
    Gone(&'static str),
}

/// The transport under a door: a plain stream of bytes, or WebSocket messages.
pub(crate) trait Pipe: Send {
    /// What comes next.
    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Heard>;
    /// Keeps bytes for writing: a piece of the stream, or one binary message.
    fn say_bytes(&mut self, bytes: Bytes);
    /// Keeps one text message for writing.
    fn say_text(&mut self, text: String);
    /// Keeps several for writing.
    fn say_texts(&mut self, texts: &Texts);
    /// Keeps the transport's own farewell for writing.
    fn say_goodbye(&mut self, refusal: Option<&Refusal>);
    /// Whether the transport has pings that the peer must answer, and the door's protocol none.
    fn has_pings(&self) -> bool;
    /// Keeps one for writing.
    fn say_ping(&mut self);
    /// Buffers and the allowance live there.
    fn socket(&mut self) -> &mut Socket;
}

/// A door on a plain stream: MQTT over TCP or TLS.
pub(crate) struct BytePipe(pub(crate) Socket);

impl Pipe for BytePipe {
    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        self.0.poll_take(cx).map(|taken| match taken {
            Ok(bytes) if bytes.is_empty() => Heard::Gone("peer_closed"),
            Ok(bytes) => Heard::Input(Input::Bytes(bytes)),
            Err(error) => Heard::Gone(gone(&error)),
        })
    }

    fn say_bytes(&mut self, bytes: Bytes) {
        self.0.push(bytes);
    }

    fn say_text(&mut self, text: String) {
        self.0.push(text.into());
    }

    fn say_texts(&mut self, texts: &Texts) {
        texts.iter().for_each(|text| self.0.push_both(&[], text.as_bytes()));
    }

    fn say_goodbye(&mut self, _: Option<&Refusal>) {}

    fn has_pings(&self) -> bool {
        false
    }

    fn say_ping(&mut self) {}

    fn socket(&mut self) -> &mut Socket {
        &mut self.0
    }
}

/// The name under which a broken socket is known in logs and events.
pub(crate) fn gone(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            "reset"
        }
        io::ErrorKind::UnexpectedEof => "peer_closed",
        io::ErrorKind::TimedOut => "timeout",
        _ => "socket_failed",
    }
}
