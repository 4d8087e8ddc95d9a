//! The link's transport: frames in, frames out, over one WebSocket.
//!
//! It owns compression, the sizes of messages before and after a peer is known, and the bytes that bind
//! signatures to the TLS session. Which frame comes when, who is trusted and when a silent peer is given up is
//! `riser-link`'s; so there are no deadlines here once the WebSocket is open.
//!
//! Read [`Link`] first, then [`run_link`], the recipe of both ends. [`dial`] opens one, [`accept`] takes one.

use crate::{counters::Counters, pipe::gone, socket::Socket, stream::Stream, websocket::config};
use bytes::Bytes;
use futures_util::{SinkExt, Stream as _};
use packing::Packing;
use riser_wire::{
    limits::UNAUTHENTICATED_BYTES_MAX,
    link::{
        BadMessage, EdgeFrame, HubFrame, Stage, decode_edge, decode_hub, encode_edge, encode_hub,
        message::MESSAGE_BYTES_MAX,
    },
};
use std::{
    future::poll_fn,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{CloseFrame, Role},
    },
};

pub mod accept;
pub mod dial;
mod packing;

pub use accept::{LinkTaker, serve_links};
pub use dial::{DialFailed, LinkUrl, NotALinkUrl, dial};

/// The library's read buffer. Links are few and busy.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of a message that is not whole yet are news at most this often.
const HEARD_EVERY: Duration = Duration::from_millis(500);
/// How long a closing link waits for the peer to close too.
const LINGER: Duration = Duration::from_secs(1);

/// One end of a link: what it says and what it hears.
pub trait End: Send + Sync + 'static {
    /// What this end says.
    type Says: Send;
    /// What it hears.
    type Hears: Send;
    /// Its part in the WebSocket.
    const ROLE: Role;
    /// With more than this many bytes to write it reads nothing. What an edge has to write its window bounds, and it
    /// must hear what opens that; what a hub has to write are answers, to whoever reads them.
    const UNWRITTEN_MAX: usize;
    /// A frame as a message, and how large it is before compression.
    fn encode(frame: &Self::Says, packing: &mut Packing) -> Bytes;
    /// A message as a frame.
    fn decode(message: Bytes, stage: Stage, packing: &mut Packing) -> Result<Self::Hears, BadMessage>;
    /// Whether saying this means that the peer is known and trusted.
    fn trusts(frame: &Self::Says) -> bool;
}

/// The edge's end.
#[derive(Debug)]
pub struct EdgeEnd;

/// The hub's end.
#[derive(Debug)]
pub struct HubEnd;

impl End for EdgeEnd {
    type Says = EdgeFrame;
    type Hears = HubFrame;
    const ROLE: Role = Role::Client;
    const UNWRITTEN_MAX: usize = usize::MAX;

    fn encode(frame: &EdgeFrame, packing: &mut Packing) -> Bytes {
        encode_edge(frame, |bytes| packing.pack(bytes))
    }

    fn decode(message: Bytes, stage: Stage, packing: &mut Packing) -> Result<HubFrame, BadMessage> {
        decode_hub(message, stage, |bytes, size| packing.unpack(bytes, size))
    }

    /// Items are for a hub that has proved who it is.
    fn trusts(frame: &EdgeFrame) -> bool {
        match frame {
            EdgeFrame::Batch(_)
            | EdgeFrame::Latest(_)
            | EdgeFrame::CaughtUp { .. }
            | EdgeFrame::Down(_)
            | EdgeFrame::Above
            | EdgeFrame::Reached { .. }
            | EdgeFrame::GivenUp
            | EdgeFrame::Tree(_) => true,
            EdgeFrame::Hello(..) | EdgeFrame::Ping(_) | EdgeFrame::Pong(_) | EdgeFrame::Bye { .. } => false,
        }
    }
}

impl End for HubEnd {
    type Says = HubFrame;
    type Hears = EdgeFrame;
    const ROLE: Role = Role::Server;
    const UNWRITTEN_MAX: usize = 1024 * 1024;

    fn encode(frame: &HubFrame, packing: &mut Packing) -> Bytes {
        encode_hub(frame, |bytes| packing.pack(bytes))
    }

    fn decode(message: Bytes, stage: Stage, packing: &mut Packing) -> Result<EdgeFrame, BadMessage> {
        decode_edge(message, stage, |bytes, size| packing.unpack(bytes, size))
    }

    fn trusts(frame: &HubFrame) -> bool {
        match frame {
            HubFrame::Welcome(..)
            | HubFrame::Down(_)
            | HubFrame::Above(_)
            | HubFrame::Reached { .. }
            | HubFrame::GivenUp(_)
            | HubFrame::Tree(_) => true,
            HubFrame::Nonce { .. }
            | HubFrame::Synced { .. }
            | HubFrame::Refused(_)
            | HubFrame::Ping(_)
            | HubFrame::Pong(_) => false,
        }
    }
}

/// What came out of a link.
#[derive(Debug)]
pub enum Heard<F> {
    /// A frame.
    Frame(F),
    /// Bytes that are no whole frame yet, or a sign of life of the transport's own.
    Life,
    /// Bytes that are no frame. Nothing more is heard; a refusal may still be said.
    Bad(BadFrame),
    /// The peer closed or the socket broke.
    Gone(&'static str),
}

/// Bytes that are no frame.
#[derive(Debug, thiserror::Error)]
pub enum BadFrame {
    /// Not a frame of the link's protocol.
    #[error(transparent)]
    Message(#[from] BadMessage),
    /// Not a WebSocket message, or one that is too large.
    #[error("read link message: {0}")]
    WebSocket(String),
    /// A text message.
    #[error("read link message: a text message, want binary ones")]
    Text,
    /// More than a peer may send that is not known.
    #[error("read link message: more than {UNAUTHENTICATED_BYTES_MAX} bytes before authentication")]
    Greedy,
}

impl BadFrame {
    /// Whether it is about size.
    pub fn is_too_large(&self) -> bool {
        match self {
            Self::Message(BadMessage::TooLarge { .. } | BadMessage::Ratio { .. }) | Self::Greedy => true,
            Self::Message(_) | Self::Text => false,
            Self::WebSocket(what) => what.contains("too long"),
        }
    }
}

/// A connected link. Dropping it cuts the connection.
pub struct Link<E> {
    stream: WebSocketStream<Socket>,
    packing: Packing,
    stage: Stage,
    binding: Option<[u8; 32]>,
    news_at: Option<Instant>,
    ended: bool,
    counters: Arc<Counters>,
    end: PhantomData<E>,
}

impl<E: End> Link<E> {
    pub(crate) async fn new(stream: Stream, ahead: Bytes, counters: Arc<Counters>) -> Self {
        let binding = stream.exporter();
        let socket = Socket::new(stream, ahead, Some(UNAUTHENTICATED_BYTES_MAX), Arc::clone(&counters));
        let config = config(READ_BUFFER_BYTES, MESSAGE_BYTES_MAX + 64);
        let stream = WebSocketStream::from_raw_socket(socket, E::ROLE, Some(config)).await;
        Self {
            stream,
            packing: Packing::default(),
            stage: Stage::Unauthenticated,
            binding,
            news_at: None,
            ended: false,
            counters,
            end: PhantomData,
        }
    }

    /// What binds signatures to this TLS session (RFC 5705); none without TLS.
    pub fn binding(&self) -> Option<[u8; 32]> {
        self.binding
    }

    /// How many bytes wait to be written.
    pub fn buffered(&self) -> usize {
        self.stream.get_ref().buffered()
    }

    /// Keeps a frame for writing. How much that may become is the protocol's business (its window).
    pub fn say(&mut self, frame: &E::Says) {
        if self.stage == Stage::Unauthenticated && E::trusts(frame) {
            self.stage = Stage::Welcomed;
            self.stream.get_mut().lift_allowance();
        }
        let message = E::encode(frame, &mut self.packing);
        self.packing.count(&self.counters, message.len());
        // The socket takes everything into memory; after a close there is nobody to say it to.
        let _ = self.stream.start_send_unpin(Message::Binary(message));
    }

    /// Writes what waits, and reads if `reads`. Cancel safe.
    pub async fn next(&mut self, reads: bool) -> Heard<E::Hears> {
        poll_fn(|cx| self.poll_next(cx, reads)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Heard<E::Hears>> {
        if let Poll::Ready(Err(error)) = self.stream.get_mut().poll_drain(cx) {
            return Poll::Ready(Heard::Gone(gone(&error)));
        }
        if !reads || self.ended || self.buffered() > E::UNWRITTEN_MAX {
            return Poll::Pending;
        }
        let before = self.stream.get_ref().taken();
        let heard = match Pin::new(&mut self.stream).poll_next(cx) {
            Poll::Ready(None) => Heard::Gone("peer_closed"),
            Poll::Ready(Some(Ok(message))) => self.read(message),
            Poll::Ready(Some(Err(error))) => failed(&error),
            Poll::Pending if self.stream.get_ref().is_starved() => Heard::Bad(BadFrame::Greedy),
            Poll::Pending => return self.poll_life(before),
        };
        self.news_at = Some(Instant::now());
        self.ended = matches!(heard, Heard::Bad(_) | Heard::Gone(_));
        Poll::Ready(heard)
    }

    /// A large message on a slow line is a sign of life long before it is whole.
    fn poll_life(&mut self, before: u64) -> Poll<Heard<E::Hears>> {
        let now = Instant::now();
        let quiet = self.news_at.is_none_or(|at| now.duration_since(at) >= HEARD_EVERY);
        if self.stream.get_ref().taken() == before || !quiet {
            return Poll::Pending;
        }
        self.news_at = Some(now);
        Poll::Ready(Heard::Life)
    }

    fn read(&mut self, message: Message) -> Heard<E::Hears> {
        match message {
            Message::Binary(message) => {
                let size = message.len();
                let frame = E::decode(message, self.stage, &mut self.packing);
                self.packing.count(&self.counters, size);
                frame.map_or_else(|bad| Heard::Bad(bad.into()), Heard::Frame)
            }
            Message::Text(_) => Heard::Bad(BadFrame::Text),
            Message::Ping(_) => {
                self.answer();
                Heard::Life
            }
            Message::Pong(_) | Message::Frame(_) => Heard::Life,
            Message::Close(_) => {
                self.answer();
                Heard::Gone("peer_closed")
            }
        }
    }

    /// Lets the library write what it owes to a ping or a close: into memory, so there is nothing to wait for.
    fn answer(&mut self) {
        let _ = self.stream.poll_flush_unpin(&mut Context::from_waker(Waker::noop()));
    }

    /// Writes what waits, says goodbye and closes; gives up after a second.
    pub async fn close(mut self, code: u16, reason: &str) {
        let reason = reason.get(..reason.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or_default();
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        let _ = self.stream.start_send_unpin(Message::Close(Some(frame)));
        let socket = self.stream.get_mut();
        let closing = async {
            poll_fn(|cx| socket.poll_drain(cx)).await?;
            poll_fn(|cx| socket.poll_shutdown(cx)).await?;
            socket.discard().await;
            Ok::<_, std::io::Error>(())
        };
        let _ = timeout(LINGER, closing).await;
    }
}

/// The longest reason that fits into a close frame (RFC 6455 section 5.5).
const REASON_BYTES_MAX: usize = 123;

fn failed<F>(error: &Error) -> Heard<F> {
    use tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
    match error {
        Error::Io(error) => Heard::Gone(gone(error)),
        Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(ResetWithoutClosingHandshake) => {
            Heard::Gone("peer_closed")
        }
        error => Heard::Bad(BadFrame::WebSocket(error.to_string())),
    }
}

/// What a core wants of a link's socket.
#[derive(Debug)]
pub enum Order<F> {
    /// Say this.
    Say(F),
    /// Close after what was said.
    Close {
        /// The WebSocket close code.
        code: u16,
        /// A reason, of which 123 bytes are said.
        reason: String,
    },
}

/// Runs a link until it is over: orders are performed, what is heard goes to the core as `news` makes it. The
/// last news is `Bad` or `Gone`, unless the core itself ended it. While the core's queue is full the socket is
/// not read; orders are performed all the same, so the two never wait for each other.
pub async fn run_link<E: End, N: Send>(
    mut link: Link<E>,
    mut orders: mpsc::UnboundedReceiver<Order<E::Says>>,
    inbox: mpsc::Sender<N>,
    news: impl Fn(Heard<E::Hears>) -> N,
) {
    // What was heard takes a place in the core's queue only when it is there: links are many, and most are quiet.
    let mut heard = None;
    let mut over = false;
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Say(frame)) => link.say(&frame),
                Some(Order::Close { code, reason }) => return link.close(code, &reason).await,
                None => return link.close(1000, "").await,
            },
            place = inbox.reserve(), if heard.is_some() => {
                // A core that is gone orders nothing more either.
                let (Ok(place), Some(what)) = (place, heard.take()) else { return };
                let gone = matches!(what, Heard::Gone(_));
                over |= matches!(what, Heard::Bad(_));
                place.send(news(what));
                if gone {
                    return;
                }
            }
            next = link.next(heard.is_none() && !over), if !matches!(heard, Some(Heard::Gone(_))) => match heard.take() {
                None => heard = Some(next),
                // Writing failed while something waited for its place.
                Some(before) => {
                    for what in [before, next] {
                        drop(inbox.send(news(what)).await);
                    }
                    return;
                }
            },
        }
    }
}
