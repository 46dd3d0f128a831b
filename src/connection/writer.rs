//! The one writer of a connection: whole frames, shared with other connections, many at a time.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::messages;
use crate::closing::Ending;
use crate::hub::Member;
use crate::outbox::{Backlog, Item, Next, TURN_BYTES, TURN_FRAMES};
use crate::rooms::Room;

/// A peer that takes less than this in `writeTimeout` while data waits is stalled: one byte a
/// second is no progress.
const LEAST_PROGRESS: usize = 1024;

/// A queue that grew beyond this many entries is given back when it is empty; what is smaller, with the next ping.
const KEEP: usize = TURN_FRAMES;

/// A write of fewer frames lays out slices for so many alone.
const FEW: usize = 8;

#[derive(Default)]
pub(super) struct Writer {
    /// Taken from the outbox and from rooms with history; of the first, `offset` bytes are sent.
    batch: VecDeque<Item>,
    offset: usize,
    /// Empty but while a batch is made: no allocation for each.
    ready: Vec<Arc<Room>>,
    /// Pongs, close frames and the like: they go between two frames, before what waits.
    control: BytesMut,
    /// Sent since the outbox was last told, of what was queued there.
    sent: Backlog,
    stall: Option<Stall>,
    /// Something was written since the stream was last flushed.
    needs_flush: bool,
    /// The end has been decided: what is in the outbox stays there.
    is_leaving: bool,
}

struct Stall {
    since: Instant,
    /// What the peer has taken since.
    taken: usize,
}

/// Where the writer stands.
pub(super) enum Written {
    /// Everything is with the kernel.
    All,
    /// The end, before which everything is with the kernel that should be.
    End(Ending),
}

impl Writer {
    /// Writes until nothing waits or the kernel takes no more.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        member: &Arc<Member>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Written>> {
        loop {
            if self.batch.is_empty() && !self.is_leaving {
                let sent = mem::take(&mut self.sent);
                match member.outbox.take(sent, &mut self.batch, &mut self.ready, cx.waker()) {
                    Next::Write if self.ready.is_empty() => {}
                    Next::Write => {
                        self.pull(member);
                        if self.batch.is_empty() {
                            // What came was not for this member.
                            continue;
                        }
                    }
                    Next::Park => {}
                    Next::End(ending) => return Poll::Ready(Ok(Written::End(ending))),
                }
            }
            if self.is_empty() {
                if self.needs_flush && self.poll_flush(io, now, cx)?.is_pending() {
                    return Poll::Pending;
                }
                self.rest(false);
                return Poll::Ready(Ok(Written::All));
            }
            match self.poll_once(io, cx) {
                Poll::Ready(Ok(written)) => {
                    let whole = self.advance(written);
                    member.counters.wrote(whole.messages, whole.bytes);
                    self.progressed(written, now);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.stall.get_or_insert(Stall { since: now, taken: 0 });
                    if !self.is_leaving
                        && let Some(ending) = member.outbox.blocked(cx.waker())
                    {
                        return Poll::Ready(Ok(Written::End(ending)));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// The turn of the rooms with history: as much as a turn of the outbox, from all of them together.
    fn pull(&mut self, member: &Arc<Member>) {
        let is_last = member.outbox.is_ending();
        let (mut left, mut asked, mut more) = (TURN_BYTES, 0, 0);
        while asked < self.ready.len() && left > 0 {
            let batch = &mut self.batch;
            let has_more = self.ready[asked].pull(member, left, is_last, |bytes, messages| {
                left = left.saturating_sub(bytes.len());
                batch.push_back(Item::pulled(bytes, messages));
            });
            if has_more {
                self.ready.swap(more, asked);
                more += 1;
            }
            asked += 1;
        }
        self.ready.drain(more..asked);
        if !self.ready.is_empty() {
            // Those that were not asked come first the next time.
            self.ready.rotate_left(more);
            member.outbox.push_again(&mut self.ready);
        }
    }

    /// A stream may keep what it was given, as TLS does.
    fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> io::Result<Poll<()>> {
        match Pin::new(io).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.needs_flush = false;
                self.stall = None;
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => {
                self.stall.get_or_insert(Stall { since: now, taken: 0 });
                Ok(Poll::Pending)
            }
        }
    }

    /// Takes a control frame of the connection's own.
    pub(super) fn control(&mut self, frame: &[u8]) {
        self.control.extend_from_slice(frame);
    }

    /// Bytes of control frames that wait.
    pub(super) fn control_len(&self) -> usize {
        self.control.len()
    }

    /// Whether nothing is on its way: what waits has not been looked at yet.
    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && !self.is_leaving
    }

    fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.control.is_empty()
    }

    /// One vectored write.
    fn poll_once<S: AsyncWrite + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Mostly there is one frame: to lay out slices for a whole turn would cost more than the frame itself.
        if self.batch.len() < FEW {
            return self.poll_slices::<FEW, S>(io, cx);
        }
        self.poll_slices::<{ TURN_FRAMES + 1 }, S>(io, cx)
    }

    /// Writes at most so many slices: the rest of a frame that was begun, control frames, then what waits.
    fn poll_slices<const N: usize, S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); N];
        let mut used = 0;
        let mut add = |bytes| {
            if used < slices.len() {
                slices[used] = IoSlice::new(bytes);
                used += 1;
            }
        };
        let begun = usize::from(self.offset > 0);
        self.batch.iter().take(begun).for_each(|item| add(&item[self.offset..]));
        if !self.control.is_empty() {
            add(&self.control);
        }
        self.batch.iter().skip(begun).for_each(|item| add(item));
        let written = ready!(Pin::new(io).poll_write_vectored(cx, &slices[..used]))?;
        if written == 0 {
            return Poll::Ready(Err(ErrorKind::WriteZero.into()));
        }
        self.needs_flush = true;
        Poll::Ready(Ok(written))
    }

    /// Takes off what was written. Returns what has gone as a whole with it.
    fn advance(&mut self, mut written: usize) -> Backlog {
        let mut whole = Backlog::default();
        if self.offset > 0 {
            written = self.advance_batch(written, &mut whole);
        }
        let control = written.min(self.control.len());
        self.control.advance(control);
        written -= control;
        while written > 0 && !self.batch.is_empty() {
            written = self.advance_batch(written, &mut whole);
        }
        whole
    }

    /// Takes what was written off the first item. Returns what is left of it.
    fn advance_batch(&mut self, written: usize, whole: &mut Backlog) -> usize {
        let Some(first) = self.batch.front() else { return written };
        let (bytes, left) = (first.len(), first.len() - self.offset);
        if written < left {
            self.offset += written;
            return 0;
        }
        let sent = Backlog { messages: first.messages(), bytes };
        if first.is_queued() {
            self.sent.add(sent);
        }
        whole.add(sent);
        self.batch.pop_front();
        self.offset = 0;
        written - left
    }

    fn progressed(&mut self, written: usize, now: Instant) {
        if self.is_empty() {
            self.stall = None;
        } else if let Some(stall) = &mut self.stall {
            stall.taken += written;
            if stall.taken >= LEAST_PROGRESS {
                *stall = Stall { since: now, taken: 0 };
            }
        }
    }

    /// The connection is over: of a run of frames that was begun, those count that have gone.
    pub(super) fn end(&self, member: &Member) {
        if let Some(begun) = self.batch.front() {
            let (frames, bytes) = messages::whole(&begun[..self.offset]);
            // A dialect may write several frames for one message.
            member.counters.wrote(frames.min(begun.messages()), bytes);
        }
    }

    /// Since when the peer has made no progress, while data waits.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.stall.as_ref().map(|stall| stall.since)
    }

    pub(super) fn is_stalled(&self, limit: Duration, now: Instant) -> bool {
        self.stalled_since().is_some_and(|since| now - since >= limit)
    }

    /// The end: nothing more is taken from the outbox, and of what was, only a frame or a run of them that was
    /// begun is finished. `farewell` goes after it.
    pub(super) fn leave(&mut self, farewell: &[Bytes]) {
        self.is_leaving = true;
        self.batch.truncate(usize::from(self.offset > 0));
        farewell.iter().for_each(|frame| self.control(frame));
    }

    /// Nothing waits: what has grown is given back, and with `all` what has not.
    pub(super) fn rest(&mut self, all: bool) {
        let keep = if all { 0 } else { KEEP };
        if self.batch.is_empty() && self.batch.capacity() > keep {
            self.batch = VecDeque::new();
        }
        if self.ready.is_empty() && self.ready.capacity() > keep {
            self.ready = Vec::new();
        }
        if self.control.capacity() > 0 && self.control.is_empty() {
            self.control = BytesMut::new();
        }
    }
}
