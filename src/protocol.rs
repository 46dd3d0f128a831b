#![doc = include_str!("protocol.md")]

mod memory;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

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
    if RESERVED.contains(&name) {
        return Err(NameError::Reserved);
    }
    Ok(())
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
    event: Name,
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

#[derive(Clone, Debug)]
enum Name {
    /// Where the name lies in `source`.
    Within(Range<usize>),
    /// A name that was written with escapes.
    Owned(Box<str>),
}

impl Packet {
    /// A packet from its parts, for a [`Dialect`] whose messages do not hold JSON as it is.
    ///
    /// `data` must be JSON text.
    pub fn new(event: impl Into<Box<str>>, data: impl Into<Bytes>, id: Option<Id>) -> Packet {
        let source = data.into();
        let data = Some(0..source.len());
        Packet { source, event: Name::Owned(event.into()), data, id, place: None }
    }

    /// The same, as an `ack` or `nack` of the one message that has this number in this room. (An `ack` in JSON is for all up to it.)
    #[must_use]
    pub fn about_one(self, room: impl Into<Box<str>>, seq: u64) -> Packet {
        Packet { place: Some(Box::new(Place { room: room.into(), seq, is_one: true })), ..self }
    }

    /// The event's name.
    pub fn event(&self) -> &str {
        match &self.event {
            Name::Within(range) => std::str::from_utf8(&self.source[range.clone()]).unwrap_or_default(),
            Name::Owned(name) => name,
        }
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

/// The first dialect: one JSON object a text frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

#[derive(Deserialize)]
struct Envelope<'a> {
    // `Cow`, since a name may be written with escapes, and Python's `json` escapes all that is not ASCII.
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    id: Option<Id>,
    // Only acknowledgements have a place: of all other messages, unknown fields are ignored.
    #[serde(borrow, default)]
    room: Option<&'a RawValue>,
    #[serde(borrow, default)]
    seq: Option<&'a RawValue>,
}

impl Envelope<'_> {
    fn place(&self) -> Result<Option<Box<Place>>, Malformed> {
        let (room, seq) = match (self.room, self.seq) {
            (Some(room), Some(seq)) => (room, seq),
            (Some(_), None) if self.id.is_none() => {
                return Err(Malformed("`room` needs the `seq` of a message".into()));
            }
            (None, Some(_)) if self.id.is_none() => {
                return Err(Malformed("`seq` needs the `room` it counts in".into()));
            }
            _ => return Ok(None),
        };
        let room = serde_json::from_str(room.get()).map_err(|_| Malformed("`room` is a room's name".into()))?;
        let seq = serde_json::from_str(seq.get());
        let seq = seq.map_err(|_| Malformed("`seq` is the number of a message, a whole number from 1".into()))?;
        Ok(Some(Box::new(Place { room, seq, is_one: false })))
    }
}

impl Dialect for Json {
    fn subprotocol(&self) -> &str {
        SUBPROTOCOL
    }

    fn decode(&self, message: Bytes, max_depth: usize) -> Result<Packet, Malformed> {
        let envelope: Envelope<'_> = read_object(&message, max_depth)?;
        check_form(&envelope.event)?;
        let event = match &envelope.event {
            Cow::Borrowed(name) => Name::Within(span(&message, name)),
            Cow::Owned(name) => Name::Owned(name.as_str().into()),
        };
        let data = envelope.data.map(|data| span(&message, data.get()));
        let place = match &*envelope.event {
            "ack" | "nack" => envelope.place()?,
            _ => None,
        };
        let id = envelope.id;
        Ok(Packet { event, data, id, place, source: message })
    }

    fn encode(&self, packet: &Outgoing<'_>, _memory: &mut Memory, frames: &mut Frames<'_>) {
        frames.text(|out| {
            out.extend_from_slice(br#"{"event":"#);
            write_json(out, packet.event);
            if let Some(id) = packet.id {
                out.extend_from_slice(br#","id":"#);
                write_json(out, id);
            }
            if let Some(room) = packet.room {
                // The alphabet of rooms needs no escapes.
                out.extend_from_slice(br#","room":""#);
                out.extend_from_slice(room.as_bytes());
                out.push(b'"');
            }
            if let Some(seq) = packet.seq {
                out.extend_from_slice(br#","seq":"#);
                write_json(out, &seq);
            }
            if packet.again > 0 {
                out.extend_from_slice(br#","again":"#);
                write_json(out, &packet.again);
            }
            if packet.snapshot {
                out.extend_from_slice(br#","snapshot":true"#);
            }
            out.extend_from_slice(br#","data":"#);
            out.extend_from_slice(packet.data);
            out.push(b'}');
        });
    }
}

/// Reads a message that is one JSON object, nested no deeper than `max_depth` anywhere in it.
pub(crate) fn read_object<'a, T: Deserialize<'a>>(message: &'a [u8], max_depth: usize) -> Result<T, Malformed> {
    // serde's derived structs read arrays too.
    if message.trim_ascii_start().first() != Some(&b'{') {
        return Err(Malformed("an envelope is a JSON object".into()));
    }
    if is_deeper(message, max_depth) {
        return Err(Malformed(format!("nested deeper than {max_depth}")));
    }
    serde_json::from_slice(message).map_err(|error| Malformed(error.to_string()))
}

/// Strings and numbers, of which serde_json refuses none.
pub(crate) fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

/// Where `part`, a slice of `whole`, lies in it.
fn span(whole: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

/// Whether JSON text opens more than `max` brackets at once. serde_json skips over a raw value
/// of any depth, so the limit needs a scan of its own.
pub fn is_deeper(text: &[u8], max: usize) -> bool {
    // All brackets together bound the depth: enough for almost every message, and quick.
    let brackets = text.iter().filter(|&&b| b | 0x20 == b'{').count();
    if brackets <= max {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for &byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<Packet, Malformed> {
        Json.decode(Bytes::copy_from_slice(text.as_bytes()), 128)
    }

    fn encode(packet: &Outgoing<'_>) -> String {
        let mut out = Vec::new();
        Json.encode(packet, &mut Memory::default(), &mut Frames::new(&mut out));
        assert_eq!(out[0], 0x81, "a whole text frame");
        assert_eq!(usize::from(out[1]), out.len() - 2, "its length");
        String::from_utf8(out.split_off(2)).unwrap()
    }

    const BARE: Outgoing<'_> =
        Outgoing { event: "e", id: None, room: None, seq: None, snapshot: false, again: 0, data: b"1" };

    #[test]
    fn writes_golden_bytes() {
        assert_eq!(encode(&BARE), r#"{"event":"e","data":1}"#);
        assert_eq!(
            encode(&Outgoing { event: "ack", id: Some(&Id::Number(7)), data: b"null", ..BARE }),
            r#"{"event":"ack","id":7,"data":null}"#
        );
        assert_eq!(
            encode(&Outgoing { id: Some(&Id::Text("a\"b".into())), ..BARE }),
            r#"{"event":"e","id":"a\"b","data":1}"#
        );
        assert_eq!(
            encode(&Outgoing { event: "na\"me\n", room: Some("process:x"), seq: Some(12), ..BARE }),
            r#"{"event":"na\"me\n","room":"process:x","seq":12,"data":1}"#
        );
        assert_eq!(
            encode(&Outgoing { room: Some("r"), seq: Some(3), snapshot: true, ..BARE }),
            r#"{"event":"e","room":"r","seq":3,"snapshot":true,"data":1}"#
        );
    }

    #[test]
    fn reads_envelopes() {
        let packet = decode(r#" {"data": {"n": 9007199254740993}, "event":"e","more":[1], "id":3}"#).unwrap();
        assert_eq!(packet.event(), "e");
        assert_eq!(packet.data(), br#"{"n": 9007199254740993}"#);
        assert_eq!(packet.id(), Some(&Id::Number(3)));

        let packet = decode(r#"{"event":"caf\u00e9","id":"x"}"#).unwrap();
        assert_eq!((packet.event(), packet.data()), ("café", &b"null"[..]));
        assert_eq!(packet.id(), Some(&Id::Text("x".into())));
        assert_eq!(decode(r#"{"event":"__proto__","id":null}"#).unwrap().id(), None);
        assert_eq!(decode(r#"{"event":"e","id":9007199254740991}"#).unwrap().id(), Some(&Id::Number(MAX_NUMBER)));
    }

    #[test]
    fn refuses_what_is_no_envelope() {
        let long = format!(r#"{{"event":"{}"}}"#, "é".repeat(129));
        let long_id = format!(r#"{{"event":"e","id":"{}"}}"#, "é".repeat(65));
        for text in [
            "",
            "null",
            "[]",
            r#"["e"]"#,
            r#""x""#,
            "{}",
            "{",
            r#"{"event":1}"#,
            r#"{"event":""}"#,
            r#"{"event":null}"#,
            r#"{"event":"e","id":-1}"#,
            r#"{"event":"e","id":1.5}"#,
            r#"{"event":"e","id":{}}"#,
            r#"{"event":"e"} x"#,
            r#"{"event":"e","id":9007199254740992}"#,
            r#"{"event":"e","data":}"#,
            r#"{"event":"a","event":"b"}"#,
            "{\"event\":\"e\",\"data\":\"\u{1}\"}",
            &long,
            &long_id,
        ] {
            assert!(decode(text).is_err(), "{text}");
        }
        assert!(Json.decode(Bytes::from_static(b"{\"event\":\"\xff\"}"), 128).is_err());
        assert!(Json.decode(Bytes::from_static(b"{\"event\":\"e\",\"data\":\"\xff\"}"), 128).is_err());
        assert!(decode(&format!(r#"{{"event":"{}"}}"#, "é".repeat(128))).is_ok());
    }

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
    fn bounds_the_depth_of_the_whole_frame() {
        let nested = |n: usize| format!(r#"{{"event":"e","data":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert!(decode(&nested(127)).is_ok());
        assert!(decode(&nested(128)).is_err());
        assert!(decode(&nested(100_000)).is_err());
        let flat = format!(r#"{{"event":"e","data":[{}"[[[\"[["]}}"#, "{},[],".repeat(1000));
        assert!(decode(&flat).is_ok(), "brackets side by side or in strings are not depth");
        let elsewhere = format!(r#"{{"event":"e","x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        assert!(decode(&elsewhere).is_err());
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
