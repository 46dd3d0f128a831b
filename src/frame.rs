//! WebSocket frames as a server writes them (RFC 6455 §5.2): unmasked, whole, never fragmented. Those that clients send are read by
//! `connection/messages.rs`.

use bytes::Bytes;

const FIN: u8 = 0x80;

/// The opcodes (RFC 6455 §11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    /// `None`: reserved, for extensions.
    pub(crate) fn parse(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    pub(crate) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// The longest header of an unmasked frame: two bytes and a length of eight.
const MAX_HEADER: usize = 10;

/// That of a payload of 126 to 65,535 bytes, as most are.
const USUAL_HEADER: usize = 4;

/// Where a [`Dialect`](crate::Dialect) puts what it writes.
#[derive(Debug)]
pub struct Frames<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Frames { out }
    }

    /// Adds one text frame, whose payload `write` appends; it must be UTF-8.
    pub fn text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.frame(Opcode::Text, write);
    }

    /// Adds one binary frame, whose payload `write` appends.
    pub fn binary(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.frame(Opcode::Binary, write);
    }

    pub(crate) fn frame(&mut self, opcode: Opcode, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.out.len();
        let payload = start + USUAL_HEADER;
        self.out.extend_from_slice(&[0; USUAL_HEADER]);
        write(self.out);
        // The length of the header depends on that of the payload, which is known only now: an unusual one is made room for.
        let length = self.out.len().saturating_sub(payload);
        let (header, used) = header(opcode, length);
        if used != USUAL_HEADER {
            self.out.resize(self.out.len().max(start + used + length), 0);
            self.out.copy_within(payload..payload + length, start + used);
            self.out.truncate(start + used + length);
        }
        self.out[start..start + used].copy_from_slice(&header[..used]);
    }
}

fn header(opcode: Opcode, length: usize) -> ([u8; MAX_HEADER], usize) {
    let mut header = [0; MAX_HEADER];
    header[0] = FIN | opcode as u8;
    match length {
        0..=125 => {
            header[1] = length as u8;
            (header, 2)
        }
        126..=0xffff => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            (header, 4)
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&(length as u64).to_be_bytes());
            (header, 10)
        }
    }
}

/// Where the payload of a frame begins that was written here.
pub(crate) fn payload(frame: &[u8]) -> usize {
    match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    }
}

/// A ping without a payload.
pub(crate) fn ping() -> Bytes {
    Bytes::from_static(&[FIN | Opcode::Ping as u8, 0])
}

/// A control frame, whose payload has at most 125 bytes.
pub(crate) fn control(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(USUAL_HEADER + payload.len());
    Frames::new(&mut out).frame(opcode, |out| out.extend_from_slice(payload));
    out.into()
}

/// A close frame. Its reason is cut to the 123 bytes that a control frame holds.
pub(crate) fn close(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    control(Opcode::Close, &[&code.to_be_bytes(), &reason.as_bytes()[..end]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(payload: usize) -> Vec<u8> {
        let mut out = b"before".to_vec();
        Frames::new(&mut out).text(|out| out.resize(out.len() + payload, b'x'));
        out.split_off(6)
    }

    #[test]
    fn headers_have_three_lengths() {
        assert_eq!(text(0), [0x81, 0]);
        assert_eq!(text(125)[..3], [0x81, 125, b'x']);
        assert_eq!(text(126)[..5], [0x81, 126, 0, 126, b'x']);
        assert_eq!(text(65_535)[..5], [0x81, 126, 255, 255, b'x']);
        assert_eq!(text(65_536)[..11], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0, b'x']);
        assert_eq!(text(65_536).len(), 10 + 65_536);
        for length in [0, 125, 126, 65_535, 65_536] {
            assert_eq!(text(length).len() - payload(&text(length)), length);
        }
    }

    #[test]
    fn a_close_reason_is_cut_at_a_character() {
        let frame = close(1008, &"é".repeat(100));
        assert_eq!(frame[..4], [0x88, 124, 0x03, 0xf0]);
        assert_eq!(std::str::from_utf8(&frame[4..]).unwrap(), "é".repeat(61));
    }
}
