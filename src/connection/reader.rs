//! What comes from the system, and how much of it.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::messages::{Incoming, Messages};
use crate::closing::DisconnectReason;
use crate::config::Config;

/// Control frames within [`CONTROL_WINDOW`].
const MAX_CONTROL: u32 = 1000;
const CONTROL_WINDOW: Duration = Duration::from_secs(10);

thread_local! {
    /// What is read into. All connections of a thread share it: an idle one keeps none.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

pub(super) struct Reader {
    messages: Messages,
    /// What is read at once.
    size: usize,
    /// Read from the system, but not yet as messages: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Whether that is the thread's.
    has_buffer: bool,
    control: ControlRate,
    has_heard: bool,
}

impl Reader {
    /// `read_already` came with the request.
    pub(super) fn new(config: &Config, read_already: &[u8]) -> Reader {
        Reader {
            messages: Messages::new(config.max_message),
            size: config.read_buffer,
            buffer: read_already.to_vec(),
            start: 0,
            end: read_already.len(),
            has_buffer: false,
            control: ControlRate::default(),
            has_heard: false,
        }
    }

    /// Whether anything has come since this was last asked: a part of a message is a sign of life, too.
    pub(super) fn has_heard(&mut self) -> bool {
        std::mem::take(&mut self.has_heard)
    }

    /// The next thing that comes.
    pub(super) fn poll_next<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Incoming> {
        loop {
            if self.start < self.end {
                let (read, incoming) = self.messages.next(&mut self.buffer[self.start..self.end]);
                self.start += read;
                match incoming {
                    Some(Incoming::Ping(_) | Incoming::Pong) if self.control.is_flood(now) => {
                        return Poll::Ready(Incoming::Fault(DisconnectReason::Flood));
                    }
                    Some(incoming) => return Poll::Ready(incoming),
                    None => {}
                }
            }
            if let Ok(0) | Err(_) = ready!(self.poll_fill(io, cx)) {
                return Poll::Ready(Incoming::End);
            }
        }
    }

    fn poll_fill<S: AsyncRead + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.has_buffer {
            self.buffer = BUFFER.take();
            self.buffer.resize(self.size, 0);
            self.has_buffer = true;
        }
        (self.start, self.end) = (0, 0);
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
        self.end = buffer.filled().len();
        self.has_heard |= self.end > 0;
        Poll::Ready(Ok(self.end))
    }

    /// Reads and throws away. `true`: nothing more will come.
    pub(super) fn poll_discard<S: AsyncRead + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<bool> {
        let read = ready!(self.poll_fill(io, cx));
        self.end = 0;
        Poll::Ready(!matches!(read, Ok(1..)))
    }

    /// The connection goes to sleep: it gives the thread's buffer back.
    pub(super) fn rest(&mut self) {
        if std::mem::take(&mut self.has_buffer) {
            let rest = self.buffer[self.start..self.end].to_vec();
            BUFFER.set(std::mem::replace(&mut self.buffer, rest));
            (self.start, self.end) = (0, self.buffer.len());
        }
    }
}

#[derive(Default)]
struct ControlRate {
    since: Option<Instant>,
    count: u32,
}

impl ControlRate {
    fn is_flood(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now - since > CONTROL_WINDOW) {
            *self = ControlRate { since: Some(now), count: 0 };
        }
        self.count += 1;
        self.count > MAX_CONTROL
    }
}
