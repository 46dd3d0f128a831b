//! One output of a process.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::chunk::{self, CHUNK};
use super::command::Pipe;
use super::pump::{after, at};
use super::{Mode, Stream};

/// How long the beginning of a character waits for its end.
const HOLD: Duration = Duration::from_millis(100);

pub(super) struct Source {
    /// `None` at its end.
    pipe: Option<Pipe>,
    pub(super) stream: Stream,
    mode: Mode,
    /// What was read and not sent; never longer than a chunk.
    buffer: Vec<u8>,
    /// How much of it can be sent; after that comes the beginning of a character or a line.
    whole: usize,
    /// When the beginning of a character is sent although its end has not come.
    held_until: Option<Instant>,
}

impl Source {
    pub(super) fn new(pipe: Option<Pipe>, stream: Stream, mode: Mode) -> Source {
        Source { pipe, stream, mode, buffer: Vec::new(), whole: 0, held_until: None }
    }

    /// What can be sent.
    pub(super) fn ready(&self) -> &[u8] {
        &self.buffer[..self.whole]
    }

    /// Whether nothing more comes before that is sent: a chunk is full, or the output has ended.
    pub(super) fn is_full(&self) -> bool {
        self.pipe.is_none() || self.buffer.len() >= CHUNK
    }

    pub(super) fn is_ended(&self) -> bool {
        self.pipe.is_none() && self.buffer.is_empty()
    }

    /// Waits until more can be sent, or the output has ended. Cancel safe.
    pub(super) async fn read(&mut self) {
        loop {
            let room = CHUNK - self.buffer.len();
            let Some(pipe) = self.pipe.as_mut().filter(|_| room > 0) else { return std::future::pending().await };
            // Once in its life, and not at all where nothing is printed.
            if self.buffer.capacity() < CHUNK {
                self.buffer.reserve_exact(room);
            }
            let mut pipe = pipe.take(room as u64);
            let read = tokio::select! {
                biased;
                read = pipe.read_buf(&mut self.buffer) => read,
                () = at(self.held_until) => return self.release(),
            };
            match read {
                Ok(1..) => {
                    let whole = chunk::whole(&self.buffer, self.whole, self.mode);
                    let is_more = whole > self.whole;
                    let holds = whole < self.buffer.len() && self.mode == Mode::Raw;
                    self.held_until = match self.held_until.filter(|_| !is_more) {
                        // Its second byte does not prolong the wait of the first.
                        Some(held_until) => Some(held_until),
                        None => holds.then(|| after(HOLD)),
                    };
                    self.whole = whole;
                    if is_more {
                        return;
                    }
                }
                ended => {
                    if let Err(error) = ended {
                        tracing::warn!(%error, stream = ?self.stream, "the output of a process cannot be read");
                    }
                    self.pipe = None;
                    return self.release();
                }
            }
        }
    }

    /// Reads to the end of the output, and keeps nothing of it.
    pub(super) async fn discard(&mut self) {
        self.buffer = Vec::new();
        let Some(mut pipe) = self.pipe.take() else { return };
        let mut waste = vec![0; 8 * 1024];
        while let Ok(1..) = pipe.read(&mut waste).await {}
    }

    /// What was held back is sent as it is.
    pub(super) fn release(&mut self) {
        self.whole = self.buffer.len();
        self.held_until = None;
    }

    /// What could be sent has been.
    pub(super) fn taken(&mut self) {
        self.buffer.drain(..self.whole);
        self.whole = 0;
    }
}
