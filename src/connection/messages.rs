//! From the frames that a client sends to whole messages (RFC 6455 §5). They are unmasked where the system wrote them, and
//! copied once, into the message; of a frame that has come in part, no more is kept than has come.

use std::str::from_utf8;

use bytes::Bytes;

use crate::closing::DisconnectReason;
use crate::frame::Opcode;

/// Two bytes, a length of eight, a mask of four.
const MAX_HEADER: usize = 14;

/// The longest payload of a control frame (RFC 6455 §5.5).
const MAX_CONTROL: usize = 125;

/// Fragments of one message: more are an attack, since any number of them may be empty.
const MAX_FRAGMENTS: u32 = 4096;

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Incoming {
    Message {
        payload: Bytes,
        is_binary: bool,
    },
    /// A sign of life that is to be answered with the same payload.
    Ping(Bytes),
    /// A sign of life.
    Pong,
    /// A close frame: its code, and the payload of the one that answers it.
    Close(u16, Bytes),
    /// The end without a close frame.
    End,
    /// Something that must not be; nothing can be read after it.
    Fault(DisconnectReason),
}

/// Reads frames, however their bytes are cut.
pub(super) struct Messages {
    max_message: usize,
    /// A header of which only a part has come.
    header: [u8; MAX_HEADER],
    header_len: u8,
    /// The frame whose payload is coming.
    frame: Option<Frame>,
    /// What has come of a control frame: it may stand between the fragments of a message.
    control: Vec<u8>,
    /// The opcode of the message whose fragments are coming, how many have begun, and what they hold so far.
    opcode: Option<Opcode>,
    fragments: u32,
    message: Vec<u8>,
    /// How much of a text is known to be UTF-8.
    checked: usize,
}

#[derive(Clone, Copy)]
struct Frame {
    opcode: Opcode,
    is_last: bool,
    /// As it is for the next byte of the payload.
    mask: [u8; 4],
    /// Bytes of its payload that are still to come.
    left: usize,
}

impl Messages {
    pub(super) fn new(max_message: usize) -> Messages {
        Messages {
            max_message,
            header: [0; MAX_HEADER],
            header_len: 0,
            frame: None,
            control: Vec::new(),
            opcode: None,
            fragments: 0,
            message: Vec::new(),
            checked: 0,
        }
    }

    /// Reads up to the end of the next message, or all there is. Returns how many bytes it has read of these, which it changes.
    pub(super) fn next(&mut self, bytes: &mut [u8]) -> (usize, Option<Incoming>) {
        let mut read = 0;
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.begin(&bytes[read..]) {
                    Ok((used, frame)) => {
                        read += used;
                        let Some(frame) = frame else { return (read, None) };
                        frame
                    }
                    Err(reason) => return (read, Some(Incoming::Fault(reason))),
                },
            };
            let end = read + frame.left.min(bytes.len() - read);
            let payload = &mut bytes[read..end];
            let is_ascii = unmask(payload, &mut frame.mask);
            read = end;
            frame.left -= payload.len();
            let incoming = if frame.opcode.is_control() {
                self.control(frame, payload)
            } else {
                self.data(frame, payload, is_ascii)
            };
            if incoming.is_some() {
                return (read, incoming);
            }
            if frame.left > 0 {
                // It has taken all there was.
                self.frame = Some(frame);
                return (read, None);
            }
        }
    }

    /// Reads a header, or keeps what there is of it. Returns how many bytes it has taken.
    fn begin(&mut self, bytes: &[u8]) -> Result<(usize, Option<Frame>), DisconnectReason> {
        let had = usize::from(self.header_len);
        let header = if had == 0 {
            Header::parse(bytes)
        } else {
            let more = bytes.len().min(MAX_HEADER - had);
            self.header[had..had + more].copy_from_slice(&bytes[..more]);
            Header::parse(&self.header[..had + more])
        };
        let Some(header) = header else {
            // Fewer than a header has, so that they have their place.
            self.header[had..had + bytes.len()].copy_from_slice(bytes);
            self.header_len += bytes.len() as u8;
            return Ok((bytes.len(), None));
        };
        self.header_len = 0;
        Ok((header.size - had, Some(self.admit(&header)?)))
    }

    /// What a client may send next (RFC 6455 §5.1, §5.2, §5.4, §5.5).
    fn admit(&mut self, header: &Header) -> Result<Frame, DisconnectReason> {
        let Header { opcode: Some(opcode), is_reserved: false, mask: Some(mask), is_last, length, .. } = *header else {
            return Err(DisconnectReason::Protocol);
        };
        let is_begun = self.opcode.is_some();
        let may_come = match opcode {
            Opcode::Continuation => is_begun,
            Opcode::Text | Opcode::Binary => !is_begun,
            Opcode::Close | Opcode::Ping | Opcode::Pong => is_last && length <= MAX_CONTROL as u64,
        };
        if !may_come {
            return Err(DisconnectReason::Protocol);
        }
        if !opcode.is_control() {
            if length > (self.max_message - self.message.len()) as u64 {
                return Err(DisconnectReason::TooLarge);
            }
            self.fragments += 1;
            if self.fragments > MAX_FRAGMENTS {
                return Err(DisconnectReason::Flood);
            }
        }
        Ok(Frame { opcode, is_last, mask, left: length as usize })
    }

    /// Takes what has come of a text or binary frame.
    fn data(&mut self, frame: Frame, payload: &[u8], is_ascii: bool) -> Option<Incoming> {
        let opcode = *self.opcode.get_or_insert(frame.opcode);
        let is_whole = frame.is_last && frame.left == 0;
        // As nearly all are: in one frame, which has come as a whole.
        if is_whole && self.message.is_empty() {
            self.end_message();
            if opcode == Opcode::Text && !is_ascii && from_utf8(payload).is_err() {
                return Some(Incoming::Fault(DisconnectReason::NotUtf8));
            }
            return Some(Incoming::Message {
                payload: Bytes::copy_from_slice(payload),
                is_binary: opcode == Opcode::Binary,
            });
        }
        let most = self.max_message - self.message.len() - payload.len();
        self.append(payload, if frame.is_last { frame.left } else { most });
        // As soon as it comes: who sends much that is wrong is told so before all of it is here.
        if opcode == Opcode::Text && !self.is_utf8_so_far(is_whole) {
            return Some(Incoming::Fault(DisconnectReason::NotUtf8));
        }
        if !is_whole {
            return None;
        }
        let payload = std::mem::take(&mut self.message).into();
        self.end_message();
        Some(Incoming::Message { payload, is_binary: opcode == Opcode::Binary })
    }

    /// `to_come` is what the peer may still send: no more room is made for it than for what has come.
    fn append(&mut self, payload: &[u8], to_come: usize) {
        let length = self.message.len() + payload.len();
        if length > self.message.capacity() {
            self.message.reserve_exact(payload.len() + to_come.min(length));
        }
        self.message.extend_from_slice(payload);
    }

    fn is_utf8_so_far(&mut self, is_whole: bool) -> bool {
        match from_utf8(&self.message[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            // A character may be cut where the bytes are.
            Err(error) if error.error_len().is_none() && !is_whole => self.checked += error.valid_up_to(),
            Err(_) => return false,
        }
        true
    }

    fn end_message(&mut self) {
        (self.opcode, self.fragments, self.checked) = (None, 0, 0);
    }

    /// Takes what has come of a control frame.
    fn control(&mut self, frame: Frame, payload: &[u8]) -> Option<Incoming> {
        if frame.left > 0 {
            self.control.extend_from_slice(payload);
            return None;
        }
        let mut payload = Bytes::copy_from_slice(payload);
        if !self.control.is_empty() {
            self.control.extend_from_slice(&payload);
            payload = std::mem::take(&mut self.control).into();
        }
        Some(match frame.opcode {
            Opcode::Ping => Incoming::Ping(payload),
            Opcode::Pong => Incoming::Pong,
            _ => close(payload),
        })
    }
}

/// The first two bytes of a frame and what they announce (RFC 6455 §5.2).
struct Header {
    /// `None`: one that only extensions use, of which there are none.
    opcode: Option<Opcode>,
    is_last: bool,
    /// Whether bits are set that only extensions use.
    is_reserved: bool,
    mask: Option<[u8; 4]>,
    length: u64,
    size: usize,
}

impl Header {
    /// `None`: it has not come as a whole.
    fn parse(bytes: &[u8]) -> Option<Header> {
        let [first, second, rest @ ..] = bytes else { return None };
        let (length, rest) = match second & 0x7f {
            126 => rest.split_first_chunk().map(|(length, rest)| (u16::from_be_bytes(*length).into(), rest))?,
            127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
            short => (short.into(), rest),
        };
        let (mask, rest) = match second & 0x80 {
            0 => (None, rest),
            _ => rest.split_first_chunk().map(|(mask, rest)| (Some(*mask), rest))?,
        };
        Some(Header {
            opcode: Opcode::parse(first & 0x0f),
            is_last: first & 0x80 != 0,
            is_reserved: first & 0x70 != 0,
            mask,
            length,
            size: bytes.len() - rest.len(),
        })
    }
}

/// How many whole frames these bytes begin with, and how long they are together.
pub(super) fn whole(bytes: &[u8]) -> (usize, usize) {
    let (mut frames, mut end) = (0, 0);
    while let Some(Header { size, length, .. }) = Header::parse(&bytes[end..])
        && length <= (bytes.len() - end - size) as u64
    {
        (frames, end) = (frames + 1, end + size + length as usize);
    }
    (frames, end)
}

/// Takes the mask off a part of a payload, and turns it to where the next part begins (RFC 6455 §5.3). Returns whether the part is
/// ASCII, which costs nothing beside this.
fn unmask(payload: &mut [u8], mask: &mut [u8; 4]) -> bool {
    let [a, b, c, d] = *mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (mut seen, mut last) = (0, 0);
    let (words, rest) = payload.as_chunks_mut();
    for word in words {
        let plain = u64::from_ne_bytes(*word) ^ wide;
        *word = plain.to_ne_bytes();
        seen |= plain;
    }
    let cut = rest.len() % 4;
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= mask;
        last |= *byte;
    }
    *mask = u32::from_le_bytes(*mask).rotate_right(8 * cut as u32).to_le_bytes();
    last < 0x80 && seen & 0x8080_8080_8080_8080 == 0
}

/// A close frame: a code and a reason, or neither (RFC 6455 §5.5.1, §7.4). It is answered by the same.
fn close(payload: Bytes) -> Incoming {
    let (code, reason) = match payload.split_first_chunk() {
        Some((code, reason)) => (u16::from_be_bytes(*code), reason),
        None if payload.is_empty() => return Incoming::Close(1005, payload),
        None => return Incoming::Fault(DisconnectReason::Protocol),
    };
    if from_utf8(reason).is_err() {
        return Incoming::Fault(DisconnectReason::NotUtf8);
    }
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => Incoming::Close(code, payload),
        // Not for frames, or for nothing.
        _ => Incoming::Close(1002, Bytes::copy_from_slice(&1002u16.to_be_bytes())),
    }
}

#[cfg(test)]
mod tests;
