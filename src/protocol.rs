#![doc = include_str!("protocol.md")]

mod json;
mod memory;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

pub use self::json::{Json, is_deeper};
pub(crate) use self::json::{is_plain, read_object, write_json};
pub use self::memory::Memory;
use crate::frame::Frames;

/// The version of the wire, as told in `connected`.
pub const VERSION: u32 = 1;

/// The WebSocket subprotocol that names [`Json`]; none named means the same.
pub const SUBPROTOCOL: &str = "eventwire.v1.json";

/// The longest event name, in characters.
pub const MAX_EVENT: usize = 128;

/// The longest room name, in bytes.
pub const MAX_ROOM: usize = 256;

/// The longest textual [`Id`], in characters.
const MAX_ID: usize = 64;

/// The largest numeric [`Id`]: what every JSON reader keeps exactly.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Events that belong to the protocol; user code can neither emit nor handle them.
pub const RESERVED: [&str; 12] =
    ["connected", "ack", "nack", "slow", "seen", "error", "subscribe", "unsubscribe", "ping", "pong", "gap", "closing"];

/// Why a name cannot be an event's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    Empty,
    /// It is longer than [`MAX_EVENT`] characters.
    TooLong,
    /// It is one of [`RESERVED`].
    Reserved,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => f.write_str("an event's name must not be empty"),
            NameError::TooLong => write!(f, "an event's name has at most {MAX_EVENT} characters"),
            NameError::Reserved => f.write_str("this event's name is reserved by the protocol"),
        }
    }
}

impl std::error::Error for NameError {}

/// Checks the form of an event's name, reserved or not.
pub(crate) fn check_form(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    // Bytes bound characters, so that counting is for the rare long name only.
    if name.len() > MAX_EVENT && name.chars().count() > MAX_EVENT {
        return Err(NameError::TooLong);
    }
    Ok(())
}

/// Checks that user code may emit or handle an event of this name.
///
/// # Errors
/// [`NameError`]: it is empty, too long or reserved.
pub fn check_event(name: &str) -> Result<(), NameError> {
    check_form(name)?;
    if is_reserved(name) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

/// Whether this is one of [`RESERVED`].
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Whether this can be a room's name: 1 to 256 of `[A-Za-z0-9_.:-]`, where any other byte is written as `%` and two of
/// `[0-9A-F]`, and no other is: what is named outside of Eventwire, such as a subject of NATS, has one room.
pub fn is_room_name(name: &str) -> bool {
    (1..=MAX_ROOM).contains(&name.len()) && (name.bytes().all(is_room_byte) || is_escaped(name.as_bytes()))
}

/// Whether this stands for itself in a room's name.
pub fn is_room_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-')
}

fn is_escaped(mut name: &[u8]) -> bool {
    let digit = |b: u8| char::from(b).to_digit(16).filter(|_| !b.is_ascii_lowercase());
    loop {
        name = match name {
            [] => return true,
            [b'%', high, low, rest @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) if !is_room_byte((high * 16 + low) as u8) => rest,
                _ => return false,
            },
            [b, rest @ ..] if is_room_byte(*b) => rest,
            _ => return false,
        };
    }
}

/// Which request an answer belongs to. Each direction counts for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Id {
    /// An unsigned integer below 2^53.
    Number(u64),
    /// A string of at most 64 characters.
    Text(Box<str>),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(n) => n.fmt(f),
            Id::Text(s) => s.fmt(f),
        }
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Id::Number(n) => serializer.serialize_u64(*n),
            Id::Text(s) => serializer.serialize_str(s),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an unsigned integer below 2^53 or a string of at most {MAX_ID} characters")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Id, E> {
                if n > MAX_NUMBER {
                    return Err(E::invalid_value(de::Unexpected::Unsigned(n), &self));
                }
                Ok(Id::Number(n))
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<Id, E> {
                if s.len() > MAX_ID && s.chars().count() > MAX_ID {
                    return Err(E::invalid_length(s.len(), &self));
                }
                Ok(Id::Text(s.into()))
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

/// A message from a peer. It owns the bytes it was read from; `data` is not decoded before
/// the handler's type is known.
#[derive(Clone, Debug)]
pub struct Packet {
    source: Bytes,
    // A copy: most names are short enough to lie in here, and it is asked for again and again.
    event: SmolStr,
    /// Where `data` lies in `source`; absent data is `null`.
    data: Option<Range<usize>>,
    id: Option<Id>,
    /// Boxed: only acknowledgements have one.
    place: Option<Box<Place>>,
}

/// Where a message stands that a client acknowledges or refuses by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) room: Box<str>,
    pub(crate) seq: u64,
    /// That one, and not all up to it.
    pub(crate) is_one: bool,
}

impl Packet {
    /// A packet from its parts, for a [`Dialect`] whose messages do not hold JSON as it is.
    ///
    /// `data` must be JSON text.
    pub fn new(event: impl Into<Box<str>>, data: impl Into<Bytes>, id: Option<Id>) -> Packet {
        let source = data.into();
        let data = Some(0..source.len());
        Packet { source, event: event.into().into(), data, id, place: None }
    }

    /// The same, as an `ack` or `nack` of the one message that has this number in this room. (An `ack` in JSON is for all up to it.)
    #[must_use]
    pub fn about_one(self, room: impl Into<Box<str>>, seq: u64) -> Packet {
        Packet { place: Some(Box::new(Place { room: room.into(), seq, is_one: true })), ..self }
    }

    /// The event's name.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The payload as JSON text; `null` where the peer sent none.
    pub fn data(&self) -> &[u8] {
        match &self.data {
            Some(range) => &self.source[range.clone()],
            None => b"null",
        }
    }

    /// The id under which the peer wants an answer, or which it answers.
    pub fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }

    /// Which message it acknowledges or refuses.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_deref()
    }

    /// How many bytes this packet keeps in memory.
    pub(crate) fn size(&self) -> usize {
        self.source.len()
    }
}

/// A message to a peer, before a [`Dialect`] has written it.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The event's name.
    pub event: &'a str,
    /// On a request: 'answer me'. On `ack` and `error`: which request is answered.
    pub id: Option<&'a Id>,
    /// The room through which it came.
    pub room: Option<&'a str>,
    /// Its number in a room with history; of a snapshot, that of the last message folded into it.
    pub seq: Option<u64>,
    /// Whether it stands for all messages up to `seq`.
    pub snapshot: bool,
    /// How often it was sent to this peer before: see [`AtLeastOnce`](crate::AtLeastOnce).
    pub again: u32,
    /// The payload as JSON text.
    pub data: &'a [u8],
}

impl<'a> Outgoing<'a> {
    /// A message to one socket.
    pub(crate) fn direct(event: &'a str, id: Option<&'a Id>, data: &'a [u8]) -> Self {
        Outgoing { event, id, room: None, seq: None, snapshot: false, again: 0, data }
    }
}

/// Why a message is no [`Packet`]; the text is sent to the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

impl From<NameError> for Malformed {
    fn from(error: NameError) -> Malformed {
        Malformed(error.to_string())
    }
}

/// How an envelope is written: bytes to packet, packet to frames.
///
/// Sockets of different dialects sit in the same rooms: a broadcast's data is serialised once,
/// and encoded once per dialect in use and room, never once per member.
pub trait Dialect: Send + Sync + 'static {
    /// The WebSocket subprotocol that chooses this dialect.
    fn subprotocol(&self) -> &str;

    /// The request path that chooses this dialect where no subprotocol does.
    fn path(&self) -> Option<&str> {
        None
    }

    /// Whether this dialect takes binary messages; else one closes with 1003.
    fn takes_binary(&self) -> bool {
        false
    }

    /// Whether clients of this dialect can acknowledge what they were sent. Those that cannot get each message once, in
    /// [rooms](crate::AtLeastOnce) where others get it again.
    fn acknowledges(&self) -> bool {
        true
    }

    /// Reads one whole message. `max_depth` bounds the nesting of the message.
    ///
    /// # Errors
    /// [`Malformed`], answered by `error` `invalid_envelope`.
    fn decode(&self, message: Bytes, max_depth: usize) -> Result<Packet, Malformed>;

    /// Writes one packet as any number of frames; none where the dialect has no such message.
    ///
    /// A broadcast calls this with its room locked: it only writes, and calls nothing of Eventwire. Messages of one
    /// room come in their order, from the first for which somebody speaks this dialect there.
    fn encode(&self, packet: &Outgoing<'_>, memory: &mut Memory, frames: &mut Frames<'_>);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_keeps_one_thing_and_can_be_compared() {
        let mut memory = Memory::default();
        memory.get_or_default::<Vec<u8>>().push(1);
        assert_eq!(*memory.get_or_default::<Vec<u8>>(), [1]);
        assert!(memory == memory.clone() && memory != Memory::default());
        let mut other = memory.clone();
        other.get_or_default::<Vec<u8>>().push(2);
        assert!(memory != other);
        assert_eq!(*other.get_or_default::<u32>(), 0, "another type begins anew");
    }

    #[test]
    fn knows_reserved_names_and_the_alphabet_of_rooms() {
        assert_eq!(check_event("ack"), Err(NameError::Reserved));
        assert_eq!(check_event(""), Err(NameError::Empty));
        assert_eq!(check_event("acks"), Ok(()));
        for good in ["a", "process:build-1", "A.b_C:9-", "caf%C3%A9", "100%25", "%24SYS.a%2Fb"] {
            assert!(is_room_name(good), "{good}");
        }
        // A letter has no second name, nor has another byte.
        for bad in ["", "a b", "é", "a/b", "a\n", "*", "%", "100%", "%4", "%41", "%2f", "%2E", "%+1", "%%25"] {
            assert!(!is_room_name(bad), "{bad}");
        }
        assert!(is_room_name(&"x".repeat(256)) && !is_room_name(&"x".repeat(257)));
    }
}
