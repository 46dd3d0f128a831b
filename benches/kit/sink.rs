//! Members in memory: streams that take all they are given at once and throw it away. No kernel, and no client, is measured with them.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use eventwire::{Io, Socket};
use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::DEADLINE;

pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The other end, which can only go away.
#[derive(Default)]
pub struct Peer {
    is_gone: AtomicBool,
    reader: AtomicWaker,
}

impl Peer {
    pub fn hang_up(&self) {
        self.is_gone.store(true, Ordering::Release);
        self.reader.wake();
    }
}

struct Sink {
    /// Of the request.
    unread: &'static [u8],
    /// Bytes that were written.
    taken: Arc<AtomicU64>,
    peer: Arc<Peer>,
}

impl AsyncRead for Sink {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let count = self.unread.len().min(buffer.remaining());
            let (now, later) = self.unread.split_at(count);
            buffer.put_slice(now);
            self.unread = later;
            return Poll::Ready(Ok(()));
        }
        self.peer.reader.register(cx.waker());
        if self.peer.is_gone.load(Ordering::Acquire) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = slices.iter().map(|slice| slice.len()).sum();
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A member that adds what it is sent to `taken`. To be called in the server's runtime.
pub async fn member(io: &Io, taken: &Arc<AtomicU64>) -> (Socket, Arc<Peer>) {
    let peer = Arc::new(Peer::default());
    let sink = Sink { unread: REQUEST, taken: taken.clone(), peer: peer.clone() };
    let socket = io.accept(sink).await.expect("it is let in");
    (socket, peer)
}

/// So many members that share a count, once they are all there.
pub async fn members(io: &Io, count: usize, taken: &Arc<AtomicU64>) -> Vec<(Socket, Arc<Peer>)> {
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        members.push(member(io, taken).await);
    }
    settled(taken).await;
    members
}

/// Lets the other tasks of this thread have a turn. Unlike `yield_now` it does not make the runtime ask the kernel for news.
pub async fn turn() {
    let mut has_passed = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_passed, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until nothing more is written.
pub async fn settled(taken: &AtomicU64) {
    let (mut before, mut quiet) = (taken.load(Ordering::Relaxed), 0);
    while quiet < 100 {
        turn().await;
        let now = taken.load(Ordering::Relaxed);
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
    }
}

/// Waits until a condition holds, turn by turn.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let (begun, mut turns) = (Instant::now(), 0_u32);
    while !holds() {
        turns += 1;
        // The clock is asked seldom: it would be a part of what is measured.
        assert!(!turns.is_multiple_of(4096) || begun.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        turn().await;
    }
}
