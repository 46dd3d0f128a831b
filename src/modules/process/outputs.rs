//! Both outputs of a process, as one sequence of chunks: in the order in which they were read, few where there is
//! much, and at once where there is little.

use std::pin::Pin;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep};

use super::chunk::CHUNK;
use super::command::Pipe;
use super::source::Source;
use super::{Mode, Stream};

/// After a chunk, how long the next one gathers. Keys are typed slower; `ls -laR` comes in 1/60 of the messages.
const WINDOW: Duration = Duration::from_millis(8);

pub(super) struct Outputs {
    stdout: Source,
    stderr: Source,
    /// Of which there is something to be sent. Never of both: the other would be overtaken.
    ready: Option<Stream>,
    /// Runs for a window after each chunk.
    window: Pin<Box<Sleep>>,
    is_in_window: bool,
}

/// What happened.
enum Step {
    Read(Stream),
    WindowOver,
}

impl Outputs {
    pub(super) fn new(stdout: Option<Pipe>, stderr: Option<Pipe>, mode: Mode) -> Outputs {
        Outputs {
            stdout: Source::new(stdout, Stream::Stdout, mode),
            stderr: Source::new(stderr, Stream::Stderr, mode),
            ready: None,
            window: Box::pin(sleep(Duration::ZERO)),
            is_in_window: false,
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.stdout.is_ended() && self.stderr.is_ended()
    }

    /// Waits until a chunk of a stream is to be sent, which is then to be [taken](Outputs::take). Never resolves at the
    /// end. Cancel safe.
    pub(super) async fn next(&mut self) -> Stream {
        loop {
            if let Some(stream) = self.ready
                && (!self.is_in_window || self.source(stream).is_full())
            {
                return stream;
            }
            let step = tokio::select! {
                () = self.stdout.read() => Step::Read(Stream::Stdout),
                () = self.stderr.read() => Step::Read(Stream::Stderr),
                () = self.window.as_mut(), if self.is_in_window => Step::WindowOver,
            };
            match step {
                Step::WindowOver => self.is_in_window = false,
                // At its end there may be nothing.
                Step::Read(stream) if self.source(stream).ready().is_empty() => {}
                Step::Read(stream) => match self.ready.replace(stream) {
                    Some(before) if before != stream => return before,
                    _ => {}
                },
            }
        }
    }

    /// Hands the chunk of a stream over, and begins the window in which the next one gathers.
    pub(super) fn take<R>(&mut self, stream: Stream, send: impl FnOnce(&[u8]) -> R) -> R {
        let source = self.source(stream);
        let sent = send(source.ready());
        source.taken();
        if self.ready == Some(stream) {
            self.ready = None;
        }
        self.window.as_mut().reset(Instant::now() + WINDOW);
        self.is_in_window = true;
        sent
    }

    /// What can be had without waiting: what lies in the pipes, no more than they hold, and what was held back.
    /// `None` when that is all.
    pub(super) fn sweep(&mut self, swept: &mut [usize; 2]) -> Option<Stream> {
        if self.ready.is_some() {
            return self.ready;
        }
        for (stream, swept) in [Stream::Stdout, Stream::Stderr].into_iter().zip(swept) {
            let source = self.source(stream);
            while *swept < CHUNK && !source.is_full() && unconstrained(source.read()).now_or_never().is_some() {}
            source.release();
            *swept += source.ready().len();
            if !source.ready().is_empty() {
                return Some(stream);
            }
        }
        None
    }

    fn source(&mut self, stream: Stream) -> &mut Source {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}
