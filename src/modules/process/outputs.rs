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

    /// Waits until a chunk of a stream is to be sent, which is then to be [taken](Outputs::take). `None` at the end of
    /// both. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Stream> {
        while !self.is_ended() {
            if let Some(stream) = self.ready
                && (!self.is_in_window || self.source(stream).is_full())
            {
                return Some(stream);
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
                    Some(before) if before != stream => return Some(before),
                    _ => {}
                },
            }
        }
        None
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

    /// Reads what comes, for ever, and sends nothing of it.
    pub(super) async fn discard(mut self) {
        tokio::join!(self.stdout.discard(), self.stderr.discard());
        std::future::pending().await
    }

    fn source(&mut self, stream: Stream) -> &mut Source {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chunk::CHUNK;
    use super::*;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    fn outputs(mode: Mode) -> (DuplexStream, DuplexStream, Outputs) {
        let (stdout, out) = duplex(1 << 20);
        let (stderr, err) = duplex(1 << 20);
        (stdout, stderr, Outputs::new(Some(Box::new(out)), Some(Box::new(err)), mode))
    }

    /// The next chunk, and after how many milliseconds it came.
    async fn next(outputs: &mut Outputs) -> (Stream, Vec<u8>, u128) {
        let begun = Instant::now();
        let stream = outputs.next().await.unwrap();
        let bytes = outputs.take(stream, <[u8]>::to_vec);
        (stream, bytes, begun.elapsed().as_millis())
    }

    const OUT: Stream = Stream::Stdout;
    const ERR: Stream = Stream::Stderr;

    #[tokio::test(start_paused = true)]
    async fn the_first_chunk_goes_at_once_and_the_next_gathers() {
        let (mut stdout, _stderr, mut outputs) = outputs(Mode::Raw);
        stdout.write_all(b"a").await.unwrap();
        assert_eq!(next(&mut outputs).await, (OUT, b"a".into(), 0));
        tokio::spawn(async move {
            for byte in b"bcde" {
                stdout.write_all(&[*byte]).await.unwrap();
                sleep(Duration::from_millis(3)).await;
            }
            sleep(Duration::from_millis(100)).await;
            stdout.write_all(b"f").await.unwrap();
            sleep(Duration::from_secs(1)).await;
        });
        assert_eq!(next(&mut outputs).await, (OUT, b"bcd".into(), 8));
        assert_eq!(next(&mut outputs).await, (OUT, b"e".into(), 8));
        let (_, bytes, after) = next(&mut outputs).await;
        assert_eq!(bytes, b"f");
        assert!((95..=97).contains(&after), "at once, as its window is over: {after}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_chunk_and_the_end_wait_for_no_window() {
        let (mut stdout, stderr, mut outputs) = outputs(Mode::Raw);
        stdout.write_all(&vec![b'x'; 3 * CHUNK + 5]).await.unwrap();
        drop((stdout, stderr));
        for length in [CHUNK, CHUNK, CHUNK, 5] {
            let (_, bytes, after) = next(&mut outputs).await;
            assert_eq!((bytes.len(), after), (length, 0));
        }
        assert_eq!(outputs.next().await, None, "both have ended");
    }

    #[tokio::test(start_paused = true)]
    async fn neither_output_overtakes_the_other() {
        let (mut stdout, mut stderr, mut outputs) = outputs(Mode::Raw);
        stdout.write_all(b"1").await.unwrap();
        assert_eq!(next(&mut outputs).await.1, b"1");
        tokio::spawn(async move {
            for n in 2..=9 {
                let output = if n % 2 == 0 { &mut stderr } else { &mut stdout };
                output.write_all(n.to_string().as_bytes()).await.unwrap();
                sleep(Duration::from_millis(1)).await;
            }
        });
        for n in 2..=9 {
            let (stream, bytes, _) = next(&mut outputs).await;
            assert_eq!((stream, bytes), (if n % 2 == 0 { ERR } else { OUT }, n.to_string().into_bytes()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_beginning_of_a_character_waits_100_ms_for_its_end_and_no_longer() {
        let (mut stdout, _stderr, mut outputs) = outputs(Mode::Raw);
        tokio::spawn(async move {
            for bytes in [&b"a\xf0"[..], b"\x9f", b"\x98\x80b\xf0", b"\x9f", b"\x98", b"\x80", b"c\xe2"] {
                stdout.write_all(bytes).await.unwrap();
                sleep(Duration::from_millis(40)).await;
            }
        });
        let mut expect = async |bytes: &[u8], after| assert_eq!(next(&mut outputs).await, (OUT, bytes.into(), after));
        expect(b"a", 0).await;
        // It came within the time.
        expect("😀b".as_bytes(), 80).await;
        // 40 ms at a time do not add up to more.
        expect(b"\xf0\x9f\x98", 100).await;
        // What is no character waits for nothing.
        expect(b"\x80", 20).await;
        expect(b"c", 40).await;
        // The end of the stream decides.
        expect(b"\xe2", 40).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_loses_nothing() {
        let (mut stdout, _stderr, mut outputs) = outputs(Mode::Raw);
        stdout.write_all(b"a").await.unwrap();
        next(&mut outputs).await;
        stdout.write_all(b"b\xe2\x82").await.unwrap();
        for _ in 0..7 {
            assert!(timeout(Duration::from_millis(1), outputs.next()).await.is_err());
        }
        assert_eq!(next(&mut outputs).await, (OUT, b"b".into(), 1));
        stdout.write_all(b"\xac").await.unwrap();
        assert_eq!(next(&mut outputs).await, (OUT, "€".into(), 8));
    }

    #[tokio::test(start_paused = true)]
    async fn what_lies_there_is_swept_up_and_no_more() {
        let (mut stdout, mut stderr, mut outputs) = outputs(Mode::Lines);
        stdout.write_all(&vec![b'x'; 4 * CHUNK]).await.unwrap();
        stderr.write_all(b"no end").await.unwrap();
        let (mut swept, mut lengths) = ([0; 2], Vec::new());
        while let Some(stream) = outputs.sweep(&mut swept) {
            lengths.push((stream, outputs.take(stream, <[u8]>::len)));
        }
        assert_eq!(lengths, [(OUT, CHUNK), (ERR, 6)]);
    }
}
