//! A viewer's end of a connection: it reads frames where they lie, and goes in every way in which connections are lost.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::dice::Dice;
use crate::support::*;

/// What is read at once.
const READ: usize = 256 * 1024;

/// A reader at 16 KiB a second takes this much at a time.
const SIP: usize = 1024;
const PAUSE: Duration = Duration::from_micros(62_500);

/// How a connection is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// By a reset, as when a machine goes.
    Reset,
    /// The stream ends without a word.
    End,
    /// By a close frame, whose answer nobody awaits.
    Close,
    /// By a close frame, and the answer is awaited.
    Closed,
    /// When a part of a frame has come, and a part of one is sent.
    Inside,
}

impl Cut {
    pub(crate) const ALL: [Cut; 5] = [Cut::Reset, Cut::End, Cut::Close, Cut::Closed, Cut::Inside];

    pub(crate) fn any(dice: &mut Dice) -> Cut {
        Cut::ALL[dice.below(5) as usize]
    }
}

pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Where in the buffer the next frame begins.
    start: usize,
    /// It reads slowly until this is set.
    hurry: Option<Arc<AtomicBool>>,
}

impl Wire {
    /// Opens a connection. Narrow, its kernel takes a few KiB instead of megabytes, until it has been slow.
    pub(crate) async fn open(address: SocketAddr, path: &str, is_narrow: bool) -> Wire {
        let mut raw = Raw::connect(address).await;
        if is_narrow {
            raw.stream = narrow_stream(address).await;
        }
        let (status, head) = raw.shake(&handshake(address, &format!("GET {path} HTTP/1.1"), &[])).await;
        assert_eq!(status, 101, "{head}");
        if path == "/ws" {
            assert_eq!(raw.frame().await.expect("`connected`").json()["event"], "connected");
        }
        Wire { stream: raw.stream, buffer: Vec::new(), start: 0, hurry: None }
    }

    /// Reads slowly until what it returns is set.
    pub(crate) fn slow_down(&mut self) -> Arc<AtomicBool> {
        self.hurry.insert(Arc::default()).clone()
    }

    pub(crate) async fn send(&mut self, text: &str) -> Result<(), String> {
        self.write(&text_frame(text)).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).await.map_err(|error| format!("sending: {error}"))
    }

    /// The next text. Cancel safe: what has come stays.
    pub(crate) async fn text(&mut self) -> Result<&[u8], String> {
        loop {
            let Some((opcode, payload)) = self.whole()? else {
                if self.fill().await? == 0 {
                    return Err("the connection has ended".into());
                }
                continue;
            };
            match opcode {
                1 => {
                    self.start = payload.end;
                    return Ok(&self.buffer[payload]);
                }
                9 => {
                    let pong = frame(0x8a, &self.buffer[payload.clone()]);
                    self.write(&pong).await?;
                    self.start = payload.end;
                }
                _ => {
                    let told = String::from_utf8_lossy(&self.buffer[payload]);
                    return Err(format!("a frame of opcode {opcode} and not a text: {told:?}"));
                }
            }
        }
    }

    /// The next frame, if all of it has come: its opcode, and where its payload lies.
    fn whole(&self) -> Result<Option<(u8, Range<usize>)>, String> {
        let bytes = &self.buffer[self.start..];
        let Some((&[first, second], rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
        if (first & 0xf0, second & 0x80) != (0x80, 0) {
            return Err(format!("a frame that is not whole, or masked: {first:#x} {second:#x}"));
        }
        let (length, header) = match second {
            126 => match rest.first_chunk() {
                Some(length) => (u16::from_be_bytes(*length) as usize, 4),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(length) => (u64::from_be_bytes(*length) as usize, 10),
                None => return Ok(None),
            },
            short => (short as usize, 2),
        };
        let start = self.start + header;
        Ok((self.buffer.len() >= start + length).then_some((first & 0x0f, start..start + length)))
    }

    async fn fill(&mut self) -> Result<usize, String> {
        match &self.hurry {
            Some(hurry) if !hurry.load(Ordering::Relaxed) => {
                sleep(PAUSE).await;
                return self.read(SIP).await;
            }
            // At full speed the kernel may take more.
            Some(_) => socket2::SockRef::from(&self.stream).set_recv_buffer_size(READ).expect("another size"),
            None => {}
        }
        self.hurry = None;
        self.read(READ).await
    }

    async fn read(&mut self, most: usize) -> Result<usize, String> {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.reserve(most);
        let read = (&mut self.stream).take(most as u64).read_buf(&mut self.buffer).await;
        read.map_err(|error| format!("reading: {error}"))
    }

    /// Loses the connection. Says whether a part of a frame had come.
    pub(crate) async fn cut(mut self, how: Cut) -> bool {
        match how {
            Cut::End => {}
            Cut::Reset => self.reset_on_drop(),
            Cut::Close => drop(self.write(&frame(0x88, &1000u16.to_be_bytes())).await),
            Cut::Closed => {
                drop(self.write(&frame(0x88, &1000u16.to_be_bytes())).await);
                // All that was written before comes first.
                while self.text().await.is_ok() {}
            }
            Cut::Inside => {
                let by = Instant::now() + Duration::from_millis(20);
                let is_inside = loop {
                    while let Ok(Some((_, payload))) = self.whole() {
                        self.start = payload.end;
                    }
                    if self.start < self.buffer.len() {
                        break true;
                    }
                    if !matches!(timeout_at(by, self.read(SIP)).await, Ok(Ok(1..))) {
                        break false;
                    }
                };
                let ping = text_frame(r#"{"event":"ping","data":"nobody will hear the end of this"}"#);
                drop(self.write(&ping[..20]).await);
                self.reset_on_drop();
                return is_inside;
            }
        }
        false
    }

    fn reset_on_drop(&self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a linger of zero");
    }
}
