//! A peer in memory: it gives the server prepared bytes, throws away what it gets, and counts the messages. It allocates
//! nothing while it does, so that what is counted or timed is the server's own.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs, missing_debug_implementations)]
#![allow(unreachable_pub)]

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use eventwire::{Config, Io, Socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A count that several share, such as peers and handlers, and who waits for how much.
#[derive(Default)]
pub struct Tally(Mutex<Counting>);

#[derive(Default)]
struct Counting {
    count: u64,
    waiting: Vec<(u64, Waker)>,
}

impl Tally {
    pub fn new() -> Arc<Tally> {
        Arc::default()
    }

    pub fn add(&self, n: u64) {
        let mut counting = self.0.lock().unwrap();
        counting.count += n;
        let count = counting.count;
        counting.waiting.extract_if(.., |(due, _)| *due <= count).for_each(|(_, waker)| waker.wake());
    }

    pub fn count(&self) -> u64 {
        self.0.lock().unwrap().count
    }

    fn poll_reached(&self, due: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut counting = self.0.lock().unwrap();
        if counting.count >= due {
            return Poll::Ready(());
        }
        match counting.waiting.iter_mut().find(|(_, known)| known.will_wake(cx.waker())) {
            Some(known) => known.0 = due,
            None => counting.waiting.push((due, cx.waker().clone())),
        }
        Poll::Pending
    }

    /// Waits until it stands at `due`. More is an error: something came that nobody asked for.
    pub async fn reach(&self, due: u64) {
        poll_fn(|cx| self.poll_reached(due, cx)).await;
        assert_eq!(self.count(), due);
    }
}

/// The test's end of a line in memory; the server has the other one.
#[derive(Clone)]
pub struct Peer {
    line: Arc<Mutex<Line>>,
    tally: Arc<Tally>,
}

struct Line {
    tally: Arc<Tally>,
    /// What the server reads: one block at a read.
    block: Bytes,
    at: usize,
    /// How often the block comes again, and by how much the tally has to go on in between.
    rounds: u64,
    answers: u64,
    due: u64,
    /// Answers to the server's own requests, if it is to get any.
    typed: Option<Vec<u8>>,
    /// What came, if it is to be kept.
    kept: Option<Vec<u8>>,
    is_open: bool,
    takes_nothing: bool,
    frames: Frames,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Peer {
    /// A peer that has read `connected`; its messages from then on are counted by `tally`.
    pub async fn connect(io: &Io, tally: &Arc<Tally>) -> (Peer, Socket) {
        Peer::connect_at(io, tally, "/").await
    }

    pub async fn connect_at(io: &Io, tally: &Arc<Tally>, path: &str) -> (Peer, Socket) {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: memory\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let line = Arc::new(Mutex::new(Line {
            tally: tally.clone(),
            block: request.into(),
            at: 0,
            rounds: 0,
            answers: 0,
            due: 0,
            typed: None,
            kept: None,
            is_open: false,
            takes_nothing: false,
            frames: Frames::default(),
            reader: None,
            writer: None,
        }));
        let before = tally.count();
        let socket = io.accept(Stream(line.clone())).await.unwrap();
        tally.reach(before + 1).await;
        (Peer { line, tally: tally.clone() }, socket)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap()
    }

    /// Sends a block so many times, each time once the tally has gone on by `answers`, and waits for the last.
    pub async fn rounds(&self, block: &Bytes, answers: u64, rounds: u64) {
        let begun = self.tally.count();
        let waker = {
            let mut line = self.line();
            line.block = block.clone();
            (line.at, line.rounds, line.answers, line.due) = (0, rounds - 1, answers, begun + answers);
            line.reader.take()
        };
        waker.into_iter().for_each(Waker::wake);
        self.tally.reach(begun + answers * rounds).await;
    }

    /// Sends a block, waits for so many answers, and returns all that came.
    pub async fn ask(&self, block: &Bytes, answers: u64) -> String {
        self.line().kept = Some(Vec::new());
        self.rounds(block, answers, 1).await;
        let kept = self.line().kept.take().unwrap();
        String::from_utf8_lossy(&kept).into_owned()
    }

    /// From now on it answers the server's requests, by `1`.
    pub fn answers_requests(&self) {
        self.line().typed = Some(Vec::with_capacity(4096));
    }

    /// From now on it takes nothing.
    pub fn stops_reading(&self) {
        self.line().takes_nothing = true;
    }
}

/// So many text frames of this text, as a client writes them. The mask is zero, and is applied as any other.
pub fn block(text: &str, times: usize) -> Bytes {
    let mut frame = Vec::new();
    write_frame(&mut frame, text.as_bytes());
    frame.repeat(times).into()
}

fn write_frame(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        0..126 => out.extend([0x81, 0x80 | text.len() as u8]),
        126..0x1_0000 => {
            out.extend([0x81, 0xfe]);
            out.extend((text.len() as u16).to_be_bytes());
        }
        length => {
            out.extend([0x81, 0xff]);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(text);
}

/// The server's pings would be counted, and a peer that only listens is silent.
pub fn quiet() -> Config {
    let mut config = Config::default();
    config.ping_interval = Duration::from_secs(3600);
    config.silence_timeout = Duration::from_secs(7200);
    config
}

/// The server's end.
struct Stream(Arc<Mutex<Line>>);

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let line = &mut *self.0.lock().unwrap();
        if let Some(typed) = line.typed.as_mut().filter(|typed| !typed.is_empty()) {
            let n = typed.len().min(buffer.remaining());
            buffer.put_slice(&typed[..n]);
            typed.drain(..n);
            return Poll::Ready(Ok(()));
        }
        if line.at == line.block.len() && line.rounds > 0 {
            ready!(line.tally.poll_reached(line.due, cx));
            (line.at, line.rounds, line.due) = (0, line.rounds - 1, line.due + line.answers);
        }
        let rest = &line.block[line.at..];
        if rest.is_empty() {
            line.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..n]);
        line.at += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let line = &mut *self.0.lock().unwrap();
        if line.takes_nothing {
            line.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (mut bytes, mut frames) = (0, 0);
        for slice in slices {
            bytes += slice.len();
            if !line.is_open {
                // hyper writes the head of its response at once.
                assert!(slice.starts_with(b"HTTP/1.1 101") && slice.ends_with(b"\r\n\r\n"));
                line.is_open = true;
                continue;
            }
            frames += line.frames.pass(slice);
            if let Some(kept) = &mut line.kept {
                kept.extend_from_slice(slice);
            }
            if let Some(typed) = &mut line.typed {
                answer(slice, typed);
                line.reader.take().into_iter().for_each(Waker::wake);
            }
        }
        line.tally.add(frames);
        Poll::Ready(Ok(bytes))
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

/// Answers the one request that a frame holds.
fn answer(frame: &[u8], out: &mut Vec<u8>) {
    let name = br#""id":"#;
    let Some(at) = frame.windows(name.len()).position(|bytes| bytes == name) else { return };
    let digits = &frame[at + name.len()..];
    let digits = &digits[..digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap()];
    let (before, after) = (br#"{"event":"ack","id":"#, br#","data":1}"#);
    out.extend([0x81, 0x80 | (before.len() + digits.len() + after.len()) as u8, 0, 0, 0, 0]);
    out.extend_from_slice(before);
    out.extend_from_slice(digits);
    out.extend_from_slice(after);
}

/// Counts the messages in what a server writes, however it is cut.
#[derive(Default)]
struct Frames {
    header: [u8; 10],
    have: usize,
    /// What is to come of the payload.
    left: u64,
}

impl Frames {
    fn pass(&mut self, mut bytes: &[u8]) -> u64 {
        let mut count = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len() as u64);
                self.left -= skipped;
                bytes = &bytes[skipped as usize..];
            } else {
                self.header[self.have] = *first;
                self.have += 1;
                bytes = rest;
                let Some(length) = self.length() else { continue };
                (self.have, self.left) = (0, length);
            }
            // Of messages, not of pings and the like.
            count += u64::from(self.left == 0 && self.header[0] & 0x08 == 0);
        }
        count
    }

    /// That of the payload, once the header is there.
    fn length(&self) -> Option<u64> {
        let header = &self.header[..self.have];
        match (self.have, header.get(1)? & 0x7f) {
            (4, 126) => Some(u64::from(u16::from_be_bytes([header[2], header[3]]))),
            (10, 127) => Some(header[2..].iter().fold(0, |length, byte| length << 8 | u64::from(*byte))),
            (2, short @ 0..126) => Some(short.into()),
            _ => None,
        }
    }
}
