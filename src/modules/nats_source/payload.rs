//! Payloads as they came: JSON to the last digit, else text or bytes with their subject.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::protocol::is_deeper;

/// What is emitted for a message.
pub(super) enum Payload<'a> {
    Json(&'a RawValue),
    Other(Other<'a>),
}

#[derive(Serialize)]
pub(super) struct Other<'a> {
    subject: &'a str,
    #[serde(serialize_with = "data")]
    data: &'a [u8],
    enc: &'static str,
}

impl<'a> Payload<'a> {
    /// `max_depth` is that of whole frames: clients of ours read no deeper.
    pub(super) fn of(subject: &'a str, bytes: &'a [u8], max_depth: usize) -> Payload<'a> {
        match serde_json::from_slice::<&RawValue>(bytes) {
            Ok(json) if !is_deeper(bytes, max_depth.saturating_sub(1)) => Payload::Json(json),
            _ => {
                let enc = if std::str::from_utf8(bytes).is_ok() { "text" } else { "b64" };
                Payload::Other(Other { subject, data: bytes, enc })
            }
        }
    }
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Payload::Json(json) => json.serialize(serializer),
            Payload::Other(other) => other.serialize(serializer),
        }
    }
}

fn data<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => serializer.serialize_str(&BASE64.encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_as_it_is_and_the_rest_is_told_apart() {
        let written = |bytes: &[u8]| serde_json::to_string(&Payload::of("a.b", bytes, 128)).unwrap();
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        for json in [
            "9007199254740993",
            "1e400",
            "-0",
            "0.10",
            r#"{"a":1,"a":2}"#,
            "{ \"a\" :\n\t[1 , 2] }",
            r#""\u00e9\ud800é""#,
            "null",
            &deep(127),
        ] {
            assert_eq!(written(json.as_bytes()), json);
        }
        // White space around it is none of it.
        assert_eq!(written(b" 1\n"), "1");
        for (bytes, data, enc) in [
            (&b""[..], r#""""#, "text"),
            (b"hello \"you\"\n", r#""hello \"you\"\n""#, "text"),
            (b"NaN", r#""NaN""#, "text"),
            (b"01", r#""01""#, "text"),
            (b"1 2", r#""1 2""#, "text"),
            (b"{\"a\":1", r#""{\"a\":1""#, "text"),
            (b"\xff\x00", r#""/wA=""#, "b64"),
            (b"\"\xff\"", r#""Iv8i""#, "b64"),
        ] {
            assert_eq!(written(bytes), format!(r#"{{"subject":"a.b","data":{data},"enc":"{enc}"}}"#));
        }
        let text = deep(128);
        assert_eq!(written(text.as_bytes()), format!(r#"{{"subject":"a.b","data":"{text}","enc":"text"}}"#));
    }
}
