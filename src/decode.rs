//! From a payload to the value that a handler gets.

use std::iter;
use std::str::from_utf8;

use serde::de::value::{BorrowedStrDeserializer, MapDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::error::{Error, code};
use crate::protocol::{Packet, is_plain};

/// Reads a packet's payload.
pub(crate) fn decode<T: DeserializeOwned>(packet: &Packet) -> Result<T, Error> {
    let value = match PlainText::of(packet.data()) {
        Some(text) => T::deserialize(text),
        None => serde_json::from_slice(packet.data()),
    };
    value.map_err(|_| invalid_payload::<T>(packet))
}

/// Reads it again, this time with an eye on where it fails.
fn invalid_payload<T: DeserializeOwned>(packet: &Packet) -> Error {
    let mut json = serde_json::Deserializer::from_slice(packet.data());
    match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(error) => {
            let path = error.path().to_string();
            let message = error.into_inner().to_string();
            Error::new(code::INVALID_PAYLOAD, format!("at `{path}`: {message}"))
                .with_details(serde_json::json!({ "path": path }))
        }
        Ok(_) => Error::new(code::INVALID_PAYLOAD, "the payload cannot be read"),
    }
}

/// A payload that is one text without escapes, as keystrokes and lines are. It is looked through many bytes at a time and taken as it
/// lies there; serde_json looks at each byte for itself.
struct PlainText<'a> {
    /// With its quotes.
    json: &'a str,
    text: &'a str,
}

/// The name by which a `RawValue` asks serde_json for the JSON itself. It is no part of serde_json's interface: were it another one, this
/// one would not be asked for, and a test would tell.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

impl<'a> PlainText<'a> {
    fn of(json: &'a [u8]) -> Option<PlainText<'a>> {
        let [b'"', .., b'"'] = json else { return None };
        let json = from_utf8(json).ok()?;
        let text = json.strip_prefix('"')?.strip_suffix('"')?;
        is_plain(text).then_some(PlainText { json, text })
    }
}

/// As serde_json does it with a text.
impl<'de> Deserializer<'de> for PlainText<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_borrowed_str(self.text)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_borrowed_bytes(self.text.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if name == RAW_VALUE {
            return visitor.visit_map(MapDeserializer::new(iter::once((RAW_VALUE, self.json))));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(BorrowedStrDeserializer::new(self.text))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit unit_struct seq tuple tuple_struct map
        struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::{BTreeMap, HashMap};
    use std::fmt::Debug;
    use std::marker::PhantomData;

    use bytes::Bytes;
    use serde::Deserialize;
    use serde::de::IgnoredAny;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    const TEXTS: [&str; 9] = ["", "a", "One", "Two", "true", "12", "größer 🦀", "lines\u{7f}", "2026-11-22T00:00:00Z"];

    /// What serde_json makes of each of these texts, a failure among it.
    #[track_caller]
    fn reads_like_serde_json<T: DeserializeOwned + Debug>() {
        for text in TEXTS {
            let json = format!("\"{text}\"");
            let plain = PlainText::of(json.as_bytes()).expect(&json);
            let (ours, theirs) = (T::deserialize(plain), serde_json::from_str::<T>(&json));
            assert_eq!(format!("{:?}", ours.ok()), format!("{:?}", theirs.ok()), "{json}");
        }
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    enum Choice {
        One,
        Two(u8),
        Three { n: u8 },
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    #[allow(dead_code)]
    enum Either {
        Number(u8),
        Choice(Choice),
        Text(String),
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Name<T>(T);

    #[derive(Debug, Deserialize)]
    #[serde(transparent)]
    #[allow(dead_code)]
    struct Same<T> {
        inner: T,
        nothing: PhantomData<()>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Unit;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Fields {
        one: Option<String>,
    }

    #[test]
    fn a_plain_text_is_read_as_by_serde_json() {
        reads_like_serde_json::<String>();
        reads_like_serde_json::<Box<str>>();
        reads_like_serde_json::<Cow<'static, str>>();
        reads_like_serde_json::<char>();
        reads_like_serde_json::<Value>();
        reads_like_serde_json::<Box<RawValue>>();
        reads_like_serde_json::<Option<Option<String>>>();
        reads_like_serde_json::<Option<Box<RawValue>>>();
        reads_like_serde_json::<Name<String>>();
        reads_like_serde_json::<Name<Option<Name<Box<RawValue>>>>>();
        reads_like_serde_json::<Same<Choice>>();
        reads_like_serde_json::<Choice>();
        reads_like_serde_json::<Either>();
        reads_like_serde_json::<Bytes>();
        reads_like_serde_json::<std::path::PathBuf>();
        reads_like_serde_json::<std::net::IpAddr>();
        reads_like_serde_json::<IgnoredAny>();
        reads_like_serde_json::<()>();
        reads_like_serde_json::<Unit>();
        reads_like_serde_json::<bool>();
        reads_like_serde_json::<i64>();
        reads_like_serde_json::<u128>();
        reads_like_serde_json::<f64>();
        reads_like_serde_json::<Vec<u8>>();
        reads_like_serde_json::<(String,)>();
        reads_like_serde_json::<[String; 1]>();
        reads_like_serde_json::<Fields>();
        reads_like_serde_json::<HashMap<String, String>>();
        reads_like_serde_json::<BTreeMap<u8, Value>>();
    }

    #[test]
    fn a_raw_value_of_a_plain_text_is_not_read_by_serde_json() {
        /// Keeps the name by which it asks.
        struct Asks;
        impl<'de> Deserializer<'de> for Asks {
            type Error = serde::de::value::Error;
            fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
                Err(serde::de::Error::custom("another way"))
            }
            fn deserialize_newtype_struct<V: Visitor<'de>>(
                self,
                name: &'static str,
                _: V,
            ) -> Result<V::Value, Self::Error> {
                Err(serde::de::Error::custom(name))
            }
            forward_to_deserialize_any! {
                bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
                unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
            }
        }
        assert_eq!(Box::<RawValue>::deserialize(Asks).unwrap_err().to_string(), RAW_VALUE);
    }

    #[test]
    fn what_is_no_plain_text_is_for_serde_json() {
        let other: [&[u8]; 12] = [
            b"",
            b"\"",
            b"1",
            b"null",
            b" \"a\"",
            b"\"a\" ",
            b"\"a\\n\"",
            b"\"a\"b\"",
            b"\"a\",\"b\"",
            b"\"a\nb\"",
            b"\"a\0\"",
            b"\"\xff\"",
        ];
        for json in other {
            assert!(PlainText::of(json).is_none(), "{json:?}");
        }
    }
}
