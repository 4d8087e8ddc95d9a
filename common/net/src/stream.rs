//! A connected socket, with or without TLS.

use crate::tcp::TcpStream;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{client, server};

/// The label under which both ends of a link derive the bytes that bind their signatures to this TLS session
/// (RFC 5705).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-riser-link-v1";

/// A connected socket. The TLS variants are boxed: they are large, and most sockets of a site have none.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS, we are the server.
    Server(Box<server::TlsStream<TcpStream>>),
    /// TLS, we are the client.
    Client(Box<client::TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Server(_) | Self::Client(_) => true,
        }
    }

    /// 32 bytes that only the two ends of this TLS session can know; none without TLS.
    pub fn exporter(&self) -> Option<[u8; 32]> {
        let bytes = [0; 32];
        match self {
            Self::Plain(_) => None,
            Self::Server(tls) => tls.get_ref().1.export_keying_material(bytes, EXPORTER_LABEL, None).ok(),
            Self::Client(tls) => tls.get_ref().1.export_keying_material(bytes, EXPORTER_LABEL, None).ok(),
        }
    }
}

macro_rules! each {
    ($self:expr, $stream:ident => $then:expr) => {
        match $self.get_mut() {
            Stream::Plain($stream) => $then,
            Stream::Server(tls) => {
                let $stream = tls.as_mut();
                $then
            }
            Stream::Client(tls) => {
                let $stream = tls.as_mut();
                $then
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Server(tls) => tls.is_write_vectored(),
            Self::Client(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
