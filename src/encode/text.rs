//! A payload that is a text, as lines of output and of chat are, is looked through many bytes at a time: in most nothing is to be
//! escaped. serde_json looks at each byte for itself, which costs more than all else that happens to a short message.

use serde::{Serialize, Serializer};
use serde_json::Error;

use super::Scratch;
use crate::protocol::is_plain;

/// serde_json's serializer, but for a value that is one plain text.
pub(super) struct OrText<'a, S> {
    pub(super) json: S,
    /// Takes the text where it is one.
    pub(super) text: &'a mut Option<Scratch>,
}

macro_rules! forward {
    ($($method:ident($($name:ident: $type:ty),*) -> $ok:ty;)*) => {$(
        fn $method(self, $($name: $type),*) -> Result<$ok, Error> {
            self.json.$method($($name),*)
        }
    )*};
}

impl<S: Serializer<Ok = (), Error = Error>> Serializer for OrText<'_, S> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = S::SerializeSeq;
    type SerializeTuple = S::SerializeTuple;
    type SerializeTupleStruct = S::SerializeTupleStruct;
    type SerializeTupleVariant = S::SerializeTupleVariant;
    type SerializeMap = S::SerializeMap;
    type SerializeStruct = S::SerializeStruct;
    type SerializeStructVariant = S::SerializeStructVariant;

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        if !is_plain(text) {
            return self.json.serialize_str(text);
        }
        let out = self.text.insert(Scratch::new());
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        Ok(())
    }

    // What wraps a value only is looked into.
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.json.serialize_newtype_variant(name, index, variant, value)
    }

    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.json.collect_str(value)
    }

    forward! {
        serialize_bool(v: bool) -> ();
        serialize_i8(v: i8) -> ();
        serialize_i16(v: i16) -> ();
        serialize_i32(v: i32) -> ();
        serialize_i64(v: i64) -> ();
        serialize_i128(v: i128) -> ();
        serialize_u8(v: u8) -> ();
        serialize_u16(v: u16) -> ();
        serialize_u32(v: u32) -> ();
        serialize_u64(v: u64) -> ();
        serialize_u128(v: u128) -> ();
        serialize_f32(v: f32) -> ();
        serialize_f64(v: f64) -> ();
        serialize_char(v: char) -> ();
        serialize_bytes(v: &[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(name: &'static str) -> ();
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> ();
        serialize_seq(len: Option<usize>) -> S::SerializeSeq;
        serialize_tuple(len: usize) -> S::SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> S::SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> S::SerializeTupleVariant;
        serialize_map(len: Option<usize>) -> S::SerializeMap;
        serialize_struct(name: &'static str, len: usize) -> S::SerializeStruct;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> S::SerializeStructVariant;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::super::json;
    use super::*;

    /// The same bytes as serde_json writes.
    fn check(value: &impl Serialize) {
        assert_eq!(**json(value).unwrap(), *serde_json::to_vec(value).unwrap());
    }

    #[test]
    fn every_value_is_written_as_by_serde_json() {
        #[derive(Serialize)]
        struct Wrapped<'a>(&'a str);
        #[derive(Serialize)]
        enum Kind<'a> {
            Unit,
            One(&'a str),
            Two(u8, &'a str),
            Named { text: &'a str },
        }
        #[derive(Serialize)]
        #[serde(transparent)]
        struct Transparent(String);

        // Wherever it stands, and at each place of a part.
        for special in ['"', '\\', '\n', '\0', '\u{1f}', ' ', '\u{7f}', 'é', '\u{2028}', '😀'] {
            for before in [0, 1, 31, 62, 63, 64, 127, 200] {
                for after in [0, 1, 63, 64] {
                    let text = format!("{}{special}{}", "x".repeat(before), "y".repeat(after));
                    check(&text);
                    check(&Some(&text));
                    check(&Wrapped(&text));
                    check(&Transparent(text));
                }
            }
        }
        check(&"");
        check(&None::<&str>);
        check(&((), 1u8, -1i64, 1.5f32, 0.1f64, 'c', u128::MAX, true));
        check(&1u64);
        check(&f64::NAN);
        check(&'"');
        check(&[Kind::Unit, Kind::One("a\n"), Kind::Two(1, "b"), Kind::Named { text: "c" }]);
        check(&Kind::Unit);
        check(&Kind::One("a"));
        check(&Kind::Two(1, "b"));
        check(&Kind::Named { text: "c" });
        check(&std::collections::BTreeMap::from([("a", 1), ("b", 2)]));
        check(&RawValue::from_string(r#"{"a": [1, 2.50]}"#.to_owned()).unwrap());
        check(&std::net::IpAddr::from([127, 0, 0, 1]));
    }
}
