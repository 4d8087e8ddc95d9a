//! A stream with buffers that exist only while they hold something.
//!
//! Reads go into one large buffer per worker thread and leave it as exactly the bytes that came, so that a busy
//! connection gets 64 KiB in one piece and an idle one holds nothing. Writes are kept until [`Socket::poll_drain`]
//! has given them to the stream; that is also what a WebSocket library on top writes into, so it never sees a
//! partial write. How much may wait is decided above, by not reading and not pulling.

use crate::{counters::Counters, stream::Stream};
use bytes::{Buf, Bytes, BytesMut};
use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::sleep,
};

/// The most that one read takes.
pub(crate) const READ_BYTES_MAX: usize = 64 * 1024;
/// What a closing connection throws away of what still comes, so that its last words arrive.
const DISCARDED_BYTES_MAX: usize = 256 * 1024;
/// After each read of those: what is thrown away is to cost who sends it, and who is sent away comes back the less often.
const DISCARD_PAUSE: Duration = Duration::from_millis(50);
/// What one read takes of who publishes more than it may.
const READ_LITTLE_BYTES: usize = 2048;
/// Pieces up to this size are copied together; larger ones are kept as they are.
const COPY_BYTES_MAX: usize = 4096;
/// Slices given to the system at once.
const SLICES_MAX: usize = 32;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into_boxed_slice());
}

pub(crate) struct Socket {
    stream: Stream,
    /// Read and not yet taken: what came with the HTTP head, or what a WebSocket did not ask for yet.
    ahead: Bytes,
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    buffered: usize,
    taken: u64,
    written: u64,
    /// Something was written since the stream was last flushed (TLS keeps records back).
    unflushed: bool,
    /// What may still be taken from a peer that is not authenticated.
    allowance: Option<usize>,
    /// The most that one read takes.
    read_max: usize,
    starved: bool,
    counters: Arc<Counters>,
}

impl Socket {
    pub(crate) fn new(
        stream: Stream,
        ahead: Bytes,
        allowance: Option<usize>,
        counters: Arc<Counters>,
    ) -> Self {
        let allowance = allowance.map(|bytes| bytes.saturating_sub(ahead.len()));
        Self {
            stream,
            ahead,
            pieces: VecDeque::new(),
            tail: BytesMut::new(),
            buffered: 0,
            taken: 0,
            written: 0,
            unflushed: false,
            allowance,
            read_max: READ_BYTES_MAX,
            starved: false,
            counters,
        }
    }

    /// The peer is authenticated, or never needs to be: it may send as much as it likes.
    pub(crate) fn lift_allowance(&mut self) {
        self.allowance = None;
        self.starved = false;
    }

    /// From here on a read takes little, or as much as ever: of who publishes more than it may, each read is waited for.
    pub(crate) fn read_little(&mut self, little: bool) {
        self.read_max = if little { READ_LITTLE_BYTES } else { READ_BYTES_MAX };
    }

    /// Whether the peer has sent all it may before it is authenticated, and a read had to be refused.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    /// Everything that is there, at most [`READ_BYTES_MAX`]; empty at the end of the stream.
    pub(crate) fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Ok(std::mem::take(&mut self.ahead)));
        }
        let most = self.allowance.unwrap_or(self.read_max).min(self.read_max);
        if most == 0 {
            // Whoever polls this looks at `is_starved` and lifts the allowance or closes.
            self.starved = true;
            return Poll::Pending;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer =
                ReadBuf::new(scratch.get_mut(..most).expect("most is at most the scratch's size"));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            let taken = Bytes::copy_from_slice(buffer.filled());
            if let Some(allowance) = &mut self.allowance {
                *allowance -= taken.len();
            }
            self.taken += taken.len() as u64;
            self.counters.read_bytes.add(taken.len() as u64);
            Poll::Ready(Ok(taken))
        })
    }

    /// So much is about to be kept for writing.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.tail.reserve(bytes);
    }

    /// Keeps one piece of two parts for writing.
    pub(crate) fn push_both(&mut self, head: &[u8], rest: &[u8]) {
        self.tail.reserve(head.len() + rest.len());
        self.copy(head);
        self.copy(rest);
    }

    /// Keeps bytes for writing.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.len() <= COPY_BYTES_MAX {
            return self.copy(&bytes);
        }
        self.seal_tail();
        self.buffered += bytes.len();
        self.pieces.push_back(bytes);
    }

    fn copy(&mut self, bytes: &[u8]) {
        self.buffered += bytes.len();
        self.tail.extend_from_slice(bytes);
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.tail).freeze());
        }
    }

    /// How many bytes wait to be written.
    pub(crate) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Whether the system has taken all of it. TLS holds some of what was written.
    pub(crate) fn is_drained(&self) -> bool {
        self.buffered == 0 && !self.unflushed
    }

    /// How many bytes were read so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// How many bytes were written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Ready when nothing waits any more.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_drained() {
            return Poll::Ready(Ok(()));
        }
        self.unflushed = true;
        if self.pieces.is_empty() && !self.tail.is_empty() {
            // Almost always that is all, and it fits at once.
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.tail))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.counters.written_bytes.add(written as u64);
            self.tail.advance(written);
            self.buffered -= written;
            self.written += written as u64;
            if self.tail.is_empty() {
                // An empty buffer would keep its memory.
                self.tail = BytesMut::new();
            }
        }
        self.seal_tail();
        while self.buffered > 0 {
            let mut slices = [io::IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = io::IoSlice::new(piece);
                count += 1;
            }
            let slices = slices.get(..count).expect("count is at most the array's length");
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.counters.written_bytes.add(written as u64);
            self.forget(written);
        }
        self.pieces = VecDeque::new();
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn forget(&mut self, mut written: usize) {
        self.buffered -= written;
        self.written += written as u64;
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }

    /// Says that nothing follows.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Reads and throws away, until the stream ends or [`DISCARDED_BYTES_MAX`] have come: who sends on and on is not read either.
    pub(crate) async fn discard(&mut self) {
        self.lift_allowance();
        let mut left = DISCARDED_BYTES_MAX;
        while let Ok(bytes) = poll_fn(|cx| self.poll_take(cx)).await {
            left = left.saturating_sub(bytes.len());
            if bytes.is_empty() || left == 0 {
                return;
            }
            sleep(DISCARD_PAUSE).await;
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            self.ahead = ready!(self.poll_take(cx))?;
        }
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(count));
        if self.ahead.is_empty() {
            // An empty slice would keep all that was read alive.
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.copy(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Nothing: the bytes leave in [`Socket::poll_drain`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Socket::poll_shutdown(&mut self, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    #[tokio::test]
    async fn who_is_sent_away_and_sends_on_is_read_from_a_little_and_slowly() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let stream = Stream::Plain(listener.accept().await.unwrap().0);
        let mut socket = Socket::new(stream, Bytes::new(), Some(0), Arc::default());
        let sends = tokio::spawn(async move { while peer.write_all(&[0; READ_BYTES_MAX]).await.is_ok() {} });
        let began = Instant::now();
        socket.discard().await;
        let reads_min = u32::try_from(DISCARDED_BYTES_MAX / READ_BYTES_MAX).unwrap();
        assert!(began.elapsed() >= DISCARD_PAUSE * (reads_min - 1));
        let read = usize::try_from(socket.taken).unwrap();
        assert!((DISCARDED_BYTES_MAX..DISCARDED_BYTES_MAX + READ_BYTES_MAX).contains(&read), "{read}");
        drop(socket);
        sends.await.unwrap();
    }
}
