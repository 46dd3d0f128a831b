//! The first dialect.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::{Dialect, Id, Malformed, Memory, Outgoing, Packet, Place, SUBPROTOCOL, check_form};
use crate::frame::Frames;

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

/// An envelope as nearly all are written, without white space: `event`, then `data`, a numeric `id` before or after it, and no more. What
/// is anything else, or wrong, is for [`Envelope`] to read, which takes twice as long.
struct Plain<'a> {
    event: &'a str,
    data: &'a str,
    id: Option<Id>,
}

impl<'a> Plain<'a> {
    fn read(text: &'a str) -> Option<Plain<'a>> {
        let rest = text.strip_prefix(r#"{"event":""#)?;
        let end = rest.bytes().position(|b| matches!(b, b'"' | b'\\' | ..b' '))?;
        let (event, rest) = (&rest[..end], rest[end..].strip_prefix('"')?);
        let (mut id, mut rest) = (None, rest.strip_suffix('}')?);
        if let Some(before) = rest.strip_prefix(ID) {
            let end = before.bytes().position(|b| !b.is_ascii_digit())?;
            (id, rest) = (Some(usual_number(&before[..end])?), &before[end..]);
        }
        let mut data = rest.strip_prefix(r#","data":"#)?;
        let digits = data.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (rest, digits) = data.split_at(data.len() - digits);
        if id.is_none()
            && let Some(before) = rest.strip_suffix(ID)
        {
            (id, data) = (Some(usual_number(digits)?), before);
        }
        let is_text = data.strip_prefix('"').and_then(|text| text.strip_suffix('"')).is_some_and(is_plain);
        // Between what was looked at, one value and nothing else: the whole is an object then, and can be read in no other way.
        let is_value = is_text || serde_json::from_str::<&RawValue>(data).is_ok_and(|value| value.get() == data);
        is_value.then(|| Plain { event, data, id: id.map(Id::Number) })
    }
}

const ID: &str = r#","id":"#;

/// A whole number that every JSON reader keeps.
fn usual_number(digits: &str) -> Option<u64> {
    let is_usual = digits.len() < 16 && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| is_usual)
}

/// Whether nothing in a text is to be escaped (RFC 8259 §7).
pub(crate) fn is_plain(text: &str) -> bool {
    // No early end within a part: so the compiler compares all its bytes at once.
    let is_plain = |part: &[u8]| !part.iter().fold(false, |found, &b| found | is_special(b));
    text.as_bytes().chunks(64).all(is_plain)
}

/// Whether a byte of a text is to be escaped.
fn is_special(b: u8) -> bool {
    (b < b' ') | (b == b'"') | (b == b'\\')
}

impl Dialect for Json {
    fn subprotocol(&self) -> &str {
        SUBPROTOCOL
    }

    fn decode(&self, message: Bytes, max_depth: usize) -> Result<Packet, Malformed> {
        let text = check_object(&message, max_depth)?;
        if let Some(plain) = Plain::read(text) {
            check_form(plain.event)?;
            let (event, data) = (SmolStr::new(plain.event), Some(span(&message, plain.data)));
            return Ok(Packet { event, data, id: plain.id, place: None, source: message });
        }
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| Malformed(error.to_string()))?;
        check_form(&envelope.event)?;
        let event = SmolStr::new(&envelope.event);
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
    serde_json::from_str(check_object(message, max_depth)?).map_err(|error| Malformed(error.to_string()))
}

/// The text of a message, if it looks like an object that is not nested deeper.
fn check_object(message: &[u8], max_depth: usize) -> Result<&str, Malformed> {
    // serde's derived structs read arrays too.
    if message.trim_ascii_start().first() != Some(&b'{') {
        return Err(Malformed("an envelope is a JSON object".into()));
    }
    if is_deeper(message, max_depth) {
        return Err(Malformed(format!("nested deeper than {max_depth}")));
    }
    // Looked at once, and not for each text in it.
    std::str::from_utf8(message).map_err(|error| Malformed(error.to_string()))
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
    let opens = |part: &[u8]| part.iter().map(|&b| u8::from(b | 0x20 == b'{')).sum::<u8>();
    // In parts whose sum a byte holds, the compiler counts many bytes at once.
    let brackets: usize = text.chunks(usize::from(u8::MAX)).map(|part| usize::from(opens(part))).sum();
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
    use super::super::MAX_NUMBER;
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
    fn what_is_plain_is_read_as_by_the_general_rule() {
        let plain = [
            r#"{"event":"e","data":1}"#,
            r#"{"event":"e","data":"x}\"","id":0}"#,
            r#"{"event":"é","id":123456789012345,"data":{"a":[1,{}]}}"#,
            r#"{"event":"a b","data":null}"#,
            r#"{"event":"e","id":7,"data":-1.5e3}"#,
            r#"{"event":"","data":"é,\u0022id\u0022:7"}"#,
            r#"{"event":"e","data":12,"id":345}"#,
        ];
        for text in plain {
            assert!(Plain::read(text).is_some(), "{text}");
        }
        let other = [
            r#"{"event":"e"}"#,
            "{\"event\": \"e\", \"data\": 1}",
            r#"{"event":"e","data": 1}"#,
            r#"{"event":"e","data":1,"id":}"#,
            r#"{"event":"e","data":"x,"id":1}"#,
            r#"{"event":"e","data":[1,"id":1}"#,
            r#"{"event":"e","data":1,"id":01}"#,
            r#"{"event":"e","data":1,"id":9007199254740993}"#,
            r#"{"event":"e","data":1,"id":null}"#,
            r#"{"event":"e","data":1,"id":1,"id":2}"#,
            r#"{"event":"e","id":1,"data":1,"id":2}"#,
            r#"{"event":"e","data":1,"data":2}"#,
            r#"{"event":"e","data":1,}"#,
            r#"{"event":"e","data":1}}"#,
            r#"{"event":"e","data":01}"#,
            r#"{"event":"e","data":tru}"#,
            r#"{"event":"a\u0062","data":1}"#,
            "{\"event\":\"a\nb\",\"data\":1}",
            "{\"event\":\u{c}\"e\",\"data\":1}",
        ];
        for text in other {
            assert!(Plain::read(text).is_none(), "{text}");
        }
        // However it is cut, and whatever is put into it.
        for text in plain.into_iter().chain(other) {
            for cut in (0..text.len()).filter(|&cut| text.is_char_boundary(cut)) {
                for put in ["", " ", "\"", "\\", "}", ",", "1", "\u{c}", "\u{1}"] {
                    let text = format!("{}{put}{}", &text[..cut], &text[cut..]);
                    let Some(plain) = Plain::read(&text) else { continue };
                    let general: Envelope<'_> = serde_json::from_str(&text).expect(&text);
                    let data = general.data.map_or("null", RawValue::get);
                    assert_eq!((plain.event, plain.id, plain.data), (&*general.event, general.id, data));
                }
            }
        }
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
}
