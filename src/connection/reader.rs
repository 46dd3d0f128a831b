//! From bytes to whole messages. tungstenite reads the frames; what it wants to write (pongs,
//! close replies) is kept for our writer.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use crate::closing::DisconnectReason;
use crate::config::Config;

/// What is read from the system at once, into a buffer that all connections of a thread share:
/// an idle connection keeps none.
const READ: usize = 64 * 1024;

/// Fragments of one message: more are an attack, since tungstenite takes any number of empty ones.
const MAX_FRAGMENTS: u32 = 4096;

/// Control frames within [`CONTROL_WINDOW`].
const MAX_CONTROL: u32 = 1000;
const CONTROL_WINDOW: Duration = Duration::from_secs(10);

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What came.
#[derive(Debug)]
pub(super) enum Incoming {
    Message {
        payload: Bytes,
        is_binary: bool,
    },
    /// A ping or a pong: a sign of life.
    Control,
    /// A close frame; see [`Reader::answer_close`].
    Close(u16),
    /// The end without a close frame.
    End,
    /// Something that must not be; nothing can be read after it.
    Fault(DisconnectReason),
}

pub(super) struct Reader {
    ws: WebSocketContext,
    /// Read from the system, not yet by tungstenite: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    fragments: Fragments,
    control: ControlRate,
    has_heard: bool,
    /// tungstenite has taken all that was read, and there is no whole message in it.
    is_starved: bool,
}

impl Reader {
    /// `read_already` came with the request.
    pub(super) fn new(config: &Config, read_already: &[u8]) -> Reader {
        let limits = WebSocketConfig::default()
            .read_buffer_size(config.read_buffer)
            .write_buffer_size(0)
            .max_write_buffer_size(64 * 1024)
            .max_message_size(Some(config.max_message))
            // As large as the message: tungstenite reserves what a header declares.
            .max_frame_size(Some(config.max_message));
        let mut fragments = Fragments::default();
        fragments.pass(read_already);
        Reader {
            ws: WebSocketContext::new(Role::Server, Some(limits)),
            buffer: read_already.to_vec(),
            start: 0,
            end: read_already.len(),
            fragments,
            control: ControlRate::default(),
            has_heard: false,
            is_starved: false,
        }
    }

    /// Whether anything has come since this was last asked: a part of a message is a sign of life, too.
    pub(super) fn has_heard(&mut self) -> bool {
        std::mem::take(&mut self.has_heard)
    }

    /// The next thing that comes. `control` takes what is to be written in answer.
    pub(super) fn poll_next<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        control: &mut BytesMut,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Incoming> {
        loop {
            if self.is_starved {
                match ready!(self.poll_fill(io, cx)) {
                    Ok(1..) if self.fragments.are_too_many => {
                        return Poll::Ready(Incoming::Fault(DisconnectReason::Flood));
                    }
                    Ok(1..) => self.is_starved = false,
                    Ok(0) | Err(_) => return Poll::Ready(Incoming::End),
                }
            }
            let mut tap = Tap { input: &self.buffer[self.start..self.end], output: control };
            let read = self.ws.read(&mut tap);
            self.start = self.end - tap.input.len();
            let incoming = match read {
                Ok(Message::Text(text)) => Incoming::Message { payload: text.into(), is_binary: false },
                Ok(Message::Binary(payload)) => Incoming::Message { payload, is_binary: true },
                Ok(Message::Close(frame)) => Incoming::Close(frame.map_or(1005, |frame| frame.code.into())),
                Ok(Message::Ping(_) | Message::Pong(_)) if self.control.is_flood(now) => {
                    Incoming::Fault(DisconnectReason::Flood)
                }
                Ok(_) => Incoming::Control,
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_starved = true;
                    continue;
                }
                Err(Error::Capacity(_)) => Incoming::Fault(DisconnectReason::TooLarge),
                Err(Error::Utf8(_)) => Incoming::Fault(DisconnectReason::NotUtf8),
                Err(Error::Protocol(_)) => Incoming::Fault(DisconnectReason::Protocol),
                Err(_) => Incoming::End,
            };
            return Poll::Ready(incoming);
        }
    }

    /// Answers a close frame to which there was none from this side before.
    pub(super) fn answer_close(&mut self, control: &mut BytesMut) {
        // tungstenite has made the answer, and says by an error that nothing comes after it.
        drop(self.ws.flush(&mut Tap { input: &[], output: control }));
    }

    fn poll_fill<S: AsyncRead + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.len() < READ {
            self.buffer = BUFFER.take();
            self.buffer.resize(READ, 0);
        }
        (self.start, self.end) = (0, 0);
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
        self.end = buffer.filled().len();
        self.has_heard |= self.end > 0;
        self.fragments.pass(&self.buffer[..self.end]);
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
        if self.buffer.is_empty() {
            return;
        }
        if self.start == 0 && self.end == self.buffer.len() {
            // It rests already.
            return;
        }
        let rest = self.buffer[self.start..self.end].to_vec();
        let buffer = std::mem::replace(&mut self.buffer, rest);
        (self.start, self.end) = (0, self.buffer.len());
        if buffer.len() == READ {
            BUFFER.set(buffer);
        }
    }
}

/// What tungstenite reads from and writes to.
struct Tap<'a> {
    input: &'a [u8],
    output: &'a mut BytesMut,
}

impl Read for Tap<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.input.read(buffer)
    }
}

impl Write for Tap<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

/// Counts the fragments of a message from the frames' headers (RFC 6455 §5.2), since tungstenite
/// shows only whole messages.
#[derive(Default)]
struct Fragments {
    /// Bytes of the frame's payload that are still to come.
    payload: u64,
    header: [u8; 14],
    have: usize,
    /// Of the message that has begun.
    count: u32,
    are_too_many: bool,
}

impl Fragments {
    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.are_too_many {
            if self.payload > 0 {
                let skipped = bytes.len().min(usize::try_from(self.payload).unwrap_or(usize::MAX));
                self.payload -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            let missing = self.header_len().saturating_sub(self.have).max(1).min(bytes.len());
            self.header[self.have..self.have + missing].copy_from_slice(&bytes[..missing]);
            self.have += missing;
            bytes = &bytes[missing..];
            if self.have >= 2 && self.have == self.header_len() {
                self.end_header();
            }
        }
    }

    /// How long the header is, as far as it is known.
    fn header_len(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 != 0 { 4 } else { 0 };
        2 + length + mask
    }

    fn end_header(&mut self) {
        self.payload = match self.header[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
            127 => self.header[2..10].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
            short => u64::from(short),
        };
        let is_final = self.header[0] & 0x80 != 0;
        let is_control = self.header[0] & 0x08 != 0;
        if !is_control {
            self.count += 1;
            self.are_too_many |= self.count > MAX_FRAGMENTS;
            if is_final {
                self.count = 0;
            }
        }
        self.have = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_counted_however_the_bytes_are_cut() {
        // Two fragments, a ping between, a long continuation, then a whole message and one more fragment.
        let mut bytes = vec![0x01, 0x82, 1, 2, 3, 4, b'a', b'b'];
        bytes.extend([0x89, 0x80, 1, 2, 3, 4]);
        bytes.extend([0x00, 0xfe, 1, 0, 1, 2, 3, 4]);
        bytes.extend([0; 256]);
        let open = bytes.len();
        bytes.extend([0x80, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 9]);
        bytes.extend([0x81, 0x80, 1, 2, 3, 4]);
        for size in [1, 2, 3, 7, 64, 1000] {
            let mut fragments = Fragments::default();
            bytes[..open].chunks(size).for_each(|chunk| fragments.pass(chunk));
            assert_eq!(fragments.count, 2, "cut at {size}");
            bytes[open..].chunks(size).for_each(|chunk| fragments.pass(chunk));
            assert_eq!((fragments.count, fragments.have, fragments.payload), (0, 0, 0), "cut at {size}");
        }
    }
}
