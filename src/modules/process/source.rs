//! One output of a process.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout};

use super::pump::{after, at};
use super::{Processes, Stream, chunk, sent};
use crate::Emitting;

/// What is read at once: what a pipe holds.
const READ: usize = 64 * 1024;

/// How long the beginning of a character waits for its end.
const HOLD: Duration = Duration::from_millis(100);

pub(super) struct Source {
    /// `None` at its end.
    pipe: Option<Box<dyn AsyncRead + Send + Unpin>>,
    stream: Stream,
    /// What was read; at rest, the beginning of a character.
    buffer: Vec<u8>,
    /// When that is sent although its end has not come.
    held_until: Option<Instant>,
}

impl Source {
    pub(super) fn new(pipe: Option<impl AsyncRead + Send + Unpin + 'static>, stream: Stream) -> Source {
        let pipe = pipe.map(|pipe| Box::new(pipe) as _);
        Source { pipe, stream, buffer: Vec::new(), held_until: None }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.pipe.is_none()
    }

    /// Waits for more, and tells how much of what was read can be sent: all but the beginning of a character, and that
    /// too at the end or when its time is over. Cancel safe.
    pub(super) async fn read(&mut self) -> usize {
        loop {
            let Some(pipe) = &mut self.pipe else { return std::future::pending().await };
            self.buffer.reserve(READ);
            let read = tokio::select! {
                biased;
                read = pipe.read_buf(&mut self.buffer) => read,
                () = at(self.held_until) => return self.buffer.len(),
            };
            match read {
                Ok(1..) => {
                    let whole = self.buffer.len() - chunk::unfinished(&self.buffer);
                    if whole > 0 {
                        self.held_until = Some(after(HOLD));
                        return whole;
                    }
                    // Its second byte does not prolong the wait of the first.
                    self.held_until.get_or_insert_with(|| after(HOLD));
                }
                ended => {
                    if let Err(error) = ended {
                        tracing::warn!(%error, stream = ?self.stream, "the output of a process cannot be read");
                    }
                    self.pipe = None;
                    return self.buffer.len();
                }
            }
        }
    }

    /// Sends so much of what was read. What it returns is to be awaited before more is read.
    pub(super) fn send(&mut self, processes: &Processes, id: &str, length: usize) -> Option<Emitting<usize>> {
        let sending = (length > 0).then(|| processes.send(id, self.stream, &self.buffer[..length])).flatten();
        self.buffer.drain(..length);
        if self.buffer.is_empty() {
            self.held_until = None;
        }
        sending
    }

    /// Sends what lies in the pipe, no more than one holds, and what was held back. Does not wait for more.
    pub(super) async fn sweep(&mut self, processes: &Processes, id: &str) {
        let mut swept = 0;
        while swept < READ
            && !self.is_ended()
            && let Ok(length) = timeout(Duration::ZERO, self.read()).await
        {
            swept += length;
            sent(self.send(processes, id, length)).await;
        }
        let rest = self.buffer.len();
        sent(self.send(processes, id, rest)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::time::sleep;

    /// What is ready, and how many milliseconds that took.
    async fn ready(source: &mut Source) -> (Vec<u8>, u128) {
        let begun = Instant::now();
        let length = source.read().await;
        let bytes = source.buffer.drain(..length).collect();
        if source.buffer.is_empty() {
            source.held_until = None;
        }
        (bytes, begun.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn the_beginning_of_a_character_waits_100_ms_for_its_end_and_no_longer() {
        let (mut process, pipe) = tokio::io::duplex(64);
        let mut source = Source::new(Some(pipe), Stream::Stdout);
        tokio::spawn(async move {
            for bytes in [&b"a\xf0"[..], b"\x9f", b"\x98\x80b\xf0", b"\x9f", b"\x98", b"\x80", b"c\xe2"] {
                process.write_all(bytes).await.unwrap();
                sleep(Duration::from_millis(40)).await;
            }
        });
        assert_eq!(ready(&mut source).await, (b"a".into(), 0));
        assert_eq!(ready(&mut source).await, ("😀b".into(), 80), "it came within the time");
        assert_eq!(ready(&mut source).await, (b"\xf0\x9f\x98".into(), 100), "40 ms at a time do not add up to more");
        assert_eq!(ready(&mut source).await, (b"\x80".into(), 20), "what is no character waits for nothing");
        assert_eq!(ready(&mut source).await, (b"c".into(), 40));
        assert_eq!(ready(&mut source).await, (b"\xe2".into(), 40), "the end of the stream decides");
        assert!(source.is_ended());
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_is_given_up_loses_nothing() {
        let (mut process, pipe) = tokio::io::duplex(64);
        let mut source = Source::new(Some(pipe), Stream::Stdout);
        process.write_all(b"\xe2\x82").await.unwrap();
        for _ in 0..3 {
            assert!(timeout(Duration::from_millis(30), source.read()).await.is_err());
        }
        process.write_all(b"\xac").await.unwrap();
        assert_eq!(ready(&mut source).await, ("€".into(), 0));
    }
}
