//! A door on a WebSocket: whole text and binary messages, or a stream of bytes inside binary ones (MQTT).
//!
//! The library parses frames and answers pings; sizes are capped by `riser-wire`'s limits, and so is what may come
//! before a message is whole: fragments that bring nothing are not listened to for ever. It reads from and
//! writes into a [`Socket`], so its own read buffer can be tiny and its writes never fail half way.

use crate::{
    pipe::{Heard, Pipe, gone},
    socket::Socket,
};
use bytes::Bytes;
use futures_util::{SinkExt, Stream as _};
use riser_model::door::{Code, Input, Refusal, Texts};
use riser_wire::{close::close_code, limits::WEBSOCKET_FRAME_BYTES_MAX};
use std::{
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// The library's read buffer. It reads from memory, not from the system, so small is not slow.
const READ_BUFFER_BYTES: usize = 512;
/// What may come for one message, frame headers and all.
const MESSAGE_WIRE_BYTES_MAX: u64 = 2 * WEBSOCKET_FRAME_BYTES_MAX as u64;
/// The longest head of a frame (RFC 6455 section 5.2) that a server writes.
const HEAD_BYTES_MAX: usize = 10;
/// The longest reason that fits into a close frame (RFC 6455 section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// What messages mean to the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Messages {
    /// Text and binary messages are themselves.
    Whole,
    /// Binary messages carry pieces of a byte stream, cut anywhere; text is an error (MQTT 5 section 6).
    Stream,
}

pub(crate) struct MessagePipe {
    stream: WebSocketStream<Socket>,
    messages: Messages,
    /// How much had come when the last message was whole.
    whole_at: u64,
    /// The peer broke the transport's rules: which, in the words of the transport.
    broken: Option<CloseCode>,
    /// We have said that nothing follows.
    closed: bool,
}

/// The settings of every WebSocket here.
pub(crate) fn config(read_buffer_bytes: usize, message_bytes_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(read_buffer_bytes)
        .write_buffer_size(0)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max))
}

impl MessagePipe {
    pub(crate) async fn new(socket: Socket, messages: Messages) -> Self {
        let config = config(READ_BUFFER_BYTES, WEBSOCKET_FRAME_BYTES_MAX);
        let whole_at = socket.taken();
        let stream = WebSocketStream::from_raw_socket(socket, Role::Server, Some(config)).await;
        Self { stream, messages, whole_at, broken: None, closed: false }
    }

    /// Writes into the socket's memory, which always takes it. What the library refuses (a message after its
    /// close frame) is nobody's any more.
    fn say(&mut self, message: Message) {
        let _ = self.stream.start_send_unpin(message);
    }

    /// Writes one message as one frame (RFC 6455 section 5.2), which a server does not mask. The library would copy it
    /// twice on its way; it writes whole frames of its own, so that this comes between two of them.
    fn say_frame(&mut self, opcode: u8, payload: &[u8]) {
        const FIN: u8 = 0x80;
        if self.closed {
            return;
        }
        let [a, b, c, d, e, f, g, h] = (payload.len() as u64).to_be_bytes();
        let first = FIN | opcode;
        let head: &[u8] = match payload.len() {
            0..=125 => &[first, h],
            126..=0xFFFF => &[first, 126, g, h],
            _ => &[first, 127, a, b, c, d, e, f, g, h],
        };
        self.socket().push_both(head, payload);
    }

    /// Lets the library write what it owes to a ping or a close: into memory, so there is nothing to wait for.
    fn answer(&mut self) {
        let _ = self.stream.poll_flush_unpin(&mut Context::from_waker(Waker::noop()));
    }

    fn hear(&mut self, message: Message) -> Heard {
        match (message, self.messages) {
            (Message::Binary(bytes), Messages::Whole) => Heard::Input(Input::Bytes(bytes)),
            (Message::Binary(bytes), Messages::Stream) if bytes.is_empty() => Heard::Nothing,
            (Message::Binary(bytes), Messages::Stream) => Heard::Input(Input::Bytes(bytes)),
            (Message::Text(text), Messages::Whole) => Heard::Input(Input::Text(text.to_string())),
            (Message::Text(_), Messages::Stream) => Heard::Refused(refusal(
                Code::Malformed,
                "text message on an MQTT WebSocket".into(),
                "binary messages only",
            )),
            (Message::Pong(_) | Message::Frame(_), _) => Heard::Nothing,
            (Message::Ping(_), _) => {
                self.answer();
                Heard::Nothing
            }
            (Message::Close(_), _) => {
                self.answer();
                Heard::Gone("peer_closed")
            }
        }
    }
}

impl Pipe for MessagePipe {
    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let next = Pin::new(&mut self.stream).poll_next(cx);
        let taken = self.socket().taken();
        if next.is_pending() && taken.saturating_sub(self.whole_at) > MESSAGE_WIRE_BYTES_MAX {
            let what = format!("{MESSAGE_WIRE_BYTES_MAX} bytes of fragments that make no message");
            return Poll::Ready(Heard::Refused(refusal(Code::TooLarge, what, "messages in few fragments")));
        }
        let next = ready!(next);
        self.whole_at = taken;
        let heard = match next {
            None => Heard::Gone("peer_closed"),
            Some(Ok(message)) => self.hear(message),
            Some(Err(error)) => {
                self.broken = rule_broken(&error);
                failed(&error)
            }
        };
        Poll::Ready(heard)
    }

    fn say_bytes(&mut self, bytes: Bytes) {
        self.say_frame(2, &bytes);
    }

    fn say_text(&mut self, text: String) {
        self.say_frame(1, text.as_bytes());
    }

    fn say_texts(&mut self, texts: &Texts) {
        self.socket().reserve(texts.bytes() + texts.count() * HEAD_BYTES_MAX);
        texts.iter().for_each(|text| self.say_frame(1, text.as_bytes()));
    }

    fn say_goodbye(&mut self, refusal: Option<&Refusal>) {
        let mut frame = farewell(refusal);
        frame.code = self.broken.unwrap_or(frame.code);
        self.say(Message::Close(Some(frame)));
        self.closed = true;
    }

    fn has_pings(&self) -> bool {
        self.messages == Messages::Whole
    }

    fn say_ping(&mut self) {
        self.say(Message::Ping(Bytes::new()));
    }

    fn socket(&mut self) -> &mut Socket {
        self.stream.get_mut()
    }
}

/// The close frame for a refusal: its code, and as much of its words as fits.
pub(crate) fn farewell(refusal: Option<&Refusal>) -> CloseFrame {
    let Some(refusal) = refusal else {
        return CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
    };
    let mut reason = format!("{}: {}; want {}", refusal.code.name(), refusal.what, refusal.want);
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    CloseFrame { code: close_code(refusal.code).into(), reason: reason.into() }
}

/// The standard's own code for a peer that broke the standard's rules (RFC 6455 section 7.4.1).
fn rule_broken(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Protocol(_) => Some(CloseCode::Protocol),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Capacity(_) => Some(CloseCode::Size),
        _ => None,
    }
}

/// What a failed read means.
fn failed(error: &Error) -> Heard {
    match error {
        Error::Io(error) => Heard::Gone(gone(error)),
        Error::ConnectionClosed | Error::AlreadyClosed => Heard::Gone("peer_closed"),
        Error::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => Heard::Gone("peer_closed"),
        Error::Capacity(_) => {
            Heard::Refused(refusal(Code::TooLarge, error.to_string(), "messages of at most 1 MiB"))
        }
        _ => Heard::Refused(refusal(Code::Malformed, error.to_string(), "WebSocket frames as in RFC 6455")),
    }
}

fn refusal(code: Code, what: String, want: &str) -> Refusal {
    Refusal { code, what, want: want.into() }
}
