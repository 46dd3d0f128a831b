//! What a process is given to read: a bounded queue, written while its output is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::ProcessError;

/// How much may wait to be read by a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct InputLimits {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// The end of the queue into which input is put. Dropped, the process reads the end after what waits.
#[derive(Debug)]
pub(super) struct Input {
    queue: mpsc::Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    limit: usize,
}

/// Its other end, which writes.
pub(super) struct Writer {
    queue: mpsc::Receiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

/// A queue. What is put into it before the process has begun waits for it.
pub(super) fn queue(limits: InputLimits) -> (Input, Writer) {
    let (sender, receiver) = mpsc::channel(limits.messages.max(1));
    let waiting = Arc::new(AtomicUsize::new(0));
    let input = Input { queue: sender, waiting: waiting.clone(), limit: limits.bytes };
    (input, Writer { queue: receiver, waiting })
}

impl Input {
    /// Puts all of it into the queue, or nothing.
    pub(super) fn put(&self, bytes: Vec<u8>) -> Result<(), ProcessError> {
        let length = bytes.len();
        if length > self.limit {
            return Err(ProcessError::InputTooLarge);
        }
        if self.queue.is_closed() {
            return Err(ProcessError::StdinClosed);
        }
        if length == 0 {
            return Ok(());
        }
        let fits = |waiting: usize| waiting.checked_add(length).filter(|sum| *sum <= self.limit);
        if self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_err() {
            return Err(ProcessError::InputFull);
        }
        self.queue.try_send(bytes).map_err(|error| {
            self.waiting.fetch_sub(length, Ordering::AcqRel);
            match error {
                TrySendError::Full(_) => ProcessError::InputFull,
                TrySendError::Closed(_) => ProcessError::StdinClosed,
            }
        })
    }
}

impl Writer {
    /// Writes until the queue is closed, or the process reads no more.
    pub(super) async fn write(mut self, mut stdin: ChildStdin) {
        while let Some(bytes) = self.queue.recv().await {
            // It counts as waiting until it is written: the pipe holds 64 KiB beside it.
            let written = stdin.write_all(&bytes).await;
            self.waiting.fetch_sub(bytes.len(), Ordering::AcqRel);
            if written.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_in_bytes_and_in_count() {
        let (input, _writer) = queue(InputLimits { messages: 3, bytes: 10 });
        assert_eq!(input.put(vec![0; 11]), Err(ProcessError::InputTooLarge));
        assert_eq!(input.put(vec![0; 8]), Ok(()));
        assert_eq!(input.put(vec![0; 3]), Err(ProcessError::InputFull), "nothing of it is taken");
        assert_eq!(input.put(vec![0; 1]), Ok(()));
        assert_eq!(input.put(vec![0; 1]), Ok(()));
        assert_eq!(input.put(vec![]), Ok(()), "nothing always fits");
        assert_eq!(input.put(vec![0; 1]), Err(ProcessError::InputFull), "in bytes");
        let (input, writer) = queue(InputLimits { messages: 2, bytes: 10 });
        assert_eq!([input.put(vec![0]), input.put(vec![0])], [Ok(()), Ok(())]);
        assert_eq!(input.put(vec![0]), Err(ProcessError::InputFull), "in count");
        assert_eq!(input.waiting.load(Ordering::Relaxed), 2, "what is refused does not count");
        drop(writer);
        assert_eq!(input.put(vec![0]), Err(ProcessError::StdinClosed));
        assert_eq!(input.put(vec![]), Err(ProcessError::StdinClosed));
    }
}
