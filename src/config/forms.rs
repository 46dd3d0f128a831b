//! How a value is written: each form reads it, checks it, writes it and describes it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{AllowedOrigins, is_origin};

/// One way in which a value of a document may be written.
pub(crate) trait Form {
    type Value;
    /// The value, if it is one and within its bounds.
    fn read(&self, value: &Value) -> Result<Self::Value, Wrong>;
    fn write(&self, value: &Self::Value) -> Value;
    /// Which values it takes, as JSON Schema.
    fn schema(&self) -> Value;
}

/// What is wrong with a value: where within it (`""` for all of it, `[1]`), and why.
#[derive(Debug)]
pub(crate) struct Wrong(pub(super) Vec<(String, String)>);

impl Wrong {
    pub(crate) fn new(reason: impl Into<String>) -> Wrong {
        Wrong(vec![(String::new(), reason.into())])
    }

    /// It should have been something else.
    pub(crate) fn expected(what: &str, value: &Value) -> Wrong {
        let mut given = value.to_string();
        if let Some((cut, _)) = given.char_indices().nth(80) {
            given.truncate(cut);
            given.push('…');
        }
        Wrong::new(format!("must be {what}, not {given}"))
    }

    /// The same where what was given may be a secret.
    pub(crate) fn expected_secretly(what: &str, value: &Value) -> Wrong {
        let given = match value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "this text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        Wrong::new(format!("must be {what}, not {given}"))
    }
}

/// A whole number, which may be written as `5.0` too: JSON Schema takes that for the same.
fn whole(value: &Value) -> Option<u64> {
    let from_float = || value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=9e15).contains(n)).map(|n| n as u64);
    value.as_u64().or_else(from_float)
}

/// `"1.5MiB"` as the number and its unit.
fn quantity(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let unit = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..unit].parse().ok()?;
    Some((number, text[unit..].trim()))
}

/// What [`quantity`] takes for a number, and what may stand around it.
fn quantities(units: &str) -> String {
    format!(r"^\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*{units}\s*$")
}

/// A count of at least this.
pub(crate) struct Count(pub(crate) usize);

impl Form for Count {
    type Value = usize;

    fn read(&self, value: &Value) -> Result<usize, Wrong> {
        let count = whole(value).and_then(|count| usize::try_from(count).ok());
        match count.ok_or_else(|| Wrong::expected("a whole number", value))? {
            count if count < self.0 => Err(Wrong::new(format!("must be at least {}, not {count}", self.0))),
            count => Ok(count),
        }
    }

    fn write(&self, value: &usize) -> Value {
        (*value).into()
    }

    fn schema(&self) -> Value {
        json!({"type": "integer", "minimum": self.0})
    }
}

/// A size in bytes, of at least this.
pub(crate) struct Size(pub(crate) usize);

impl Form for Size {
    type Value = usize;

    fn read(&self, value: &Value) -> Result<usize, Wrong> {
        match size(value).ok_or_else(|| Wrong::expected("a size such as \"64KiB\" or a number of bytes", value))? {
            bytes if bytes < self.0 => Err(Wrong::new(format!("must be at least {} bytes, not {value}", self.0))),
            bytes => Ok(bytes),
        }
    }

    fn write(&self, value: &usize) -> Value {
        (*value).into()
    }

    fn schema(&self) -> Value {
        let text = quantities("([kKmMgG]([iI]?[bB])?|[bB])?");
        json!({"anyOf": [{"type": "integer", "minimum": self.0}, {"type": "string", "pattern": text}]})
    }
}

fn size(value: &Value) -> Option<usize> {
    let Value::String(text) = value else { return usize::try_from(whole(value)?).ok() };
    let (number, unit) = quantity(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "kib" | "k" => 1024.0,
        "mb" => 1e6,
        "mib" | "m" => 1024.0 * 1024.0,
        "gb" => 1e9,
        "gib" | "g" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number * factor;
    (bytes <= u32::MAX as f64 * 1024.0).then_some(bytes as usize)
}

/// A duration of at least so many milliseconds.
pub(crate) struct Time(pub(crate) u64);

impl Form for Time {
    type Value = Duration;

    fn read(&self, value: &Value) -> Result<Duration, Wrong> {
        let expected = "a duration such as \"25s\" or a number of milliseconds";
        let duration = duration(value).ok_or_else(|| Wrong::expected(expected, value))?;
        if duration < Duration::from_millis(self.0) {
            return Err(Wrong::new(format!("must be at least {}ms, not {value}", self.0)));
        }
        Ok(duration)
    }

    fn write(&self, value: &Duration) -> Value {
        let micros = value.as_micros();
        let (number, unit) = match micros {
            0 => (0, "s"),
            _ if micros.is_multiple_of(1_000_000) => (micros / 1_000_000, "s"),
            _ if micros.is_multiple_of(1000) => (micros / 1000, "ms"),
            _ => (micros, "us"),
        };
        format!("{number}{unit}").into()
    }

    fn schema(&self) -> Value {
        let text = quantities("(us|µs|ms|s|m|min|h)");
        json!({"anyOf": [{"type": "integer", "minimum": self.0}, {"type": "string", "pattern": text}]})
    }
}

fn duration(value: &Value) -> Option<Duration> {
    let Value::String(text) = value else { return whole(value).map(Duration::from_millis) };
    let (number, unit) = quantity(text)?;
    let seconds = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// A number above 0, and of at least this.
pub(crate) struct Number(pub(crate) f64);

impl Form for Number {
    type Value = f64;

    fn read(&self, value: &Value) -> Result<f64, Wrong> {
        match value.as_f64() {
            Some(number) if number > 0.0 && number >= self.0 => Ok(number),
            _ if self.0 > 0.0 => Err(Wrong::expected(&format!("a number of at least {}", self.0), value)),
            _ => Err(Wrong::expected("a number above 0", value)),
        }
    }

    fn write(&self, value: &f64) -> Value {
        (*value).into()
    }

    fn schema(&self) -> Value {
        json!({"type": "number", "exclusiveMinimum": 0, "minimum": self.0})
    }
}

/// One of these words. A word in camelCase is taken in snake_case too.
pub(crate) struct OneOf<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Form for OneOf<T> {
    type Value = T;

    fn read(&self, value: &Value) -> Result<T, Wrong> {
        let is = |word: &str| value.as_str().is_some_and(|given| given == word || given == snake_case(word));
        let found = self.0.iter().find(|(word, _)| is(word));
        found.map(|(_, meant)| *meant).ok_or_else(|| {
            let words: Vec<String> = self.0.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            Wrong::expected(&words.join(" or "), value)
        })
    }

    fn write(&self, value: &T) -> Value {
        self.0.iter().find(|(_, meant)| meant == value).map_or(Value::Null, |(word, _)| (*word).into())
    }

    fn schema(&self) -> Value {
        let mut words = Vec::new();
        for word in self.0.iter().flat_map(|(word, _)| [(*word).to_owned(), snake_case(word)]) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        json!({"enum": words})
    }
}

/// `true` or `false`.
pub(crate) struct Flag;

impl Form for Flag {
    type Value = bool;

    fn read(&self, value: &Value) -> Result<bool, Wrong> {
        value.as_bool().ok_or_else(|| Wrong::expected("true or false", value))
    }

    fn write(&self, value: &bool) -> Value {
        (*value).into()
    }

    fn schema(&self) -> Value {
        json!({"type": "boolean"})
    }
}

/// A text that is checked.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    /// What it should be, with its article.
    pub(crate) expected: &'static str,
    /// The same as a regular expression, as near as one comes.
    pub(crate) pattern: &'static str,
    /// What is wrong with it, if anything.
    pub(crate) check: fn(&str) -> Result<(), String>,
    /// It is not told in errors.
    pub(crate) secret: bool,
}

impl Form for Text {
    type Value = String;

    fn read(&self, value: &Value) -> Result<String, Wrong> {
        let wrong = if self.secret { Wrong::expected_secretly } else { Wrong::expected };
        let text = value.as_str().ok_or_else(|| wrong(self.expected, value))?;
        match (self.check)(text) {
            Ok(()) => Ok(text.to_owned()),
            Err(reason) if reason.is_empty() => Err(wrong(self.expected, value)),
            Err(reason) => Err(wrong(&format!("{}: {reason}", self.expected), value)),
        }
    }

    fn write(&self, value: &String) -> Value {
        value.as_str().into()
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": self.pattern})
    }
}

/// What may be left open by `null`.
pub(crate) struct OrNull<F>(pub(crate) F);

impl<F: Form> Form for OrNull<F> {
    type Value = Option<F::Value>;

    fn read(&self, value: &Value) -> Result<Self::Value, Wrong> {
        if value.is_null() { Ok(None) } else { self.0.read(value).map(Some) }
    }

    fn write(&self, value: &Self::Value) -> Value {
        value.as_ref().map_or(Value::Null, |value| self.0.write(value))
    }

    fn schema(&self) -> Value {
        json!({"anyOf": [self.0.schema(), {"type": "null"}]})
    }
}

/// At least one, in a list, or alone without one.
pub(crate) struct OneOrMore<F>(pub(crate) F);

impl<F: Form> Form for OneOrMore<F> {
    type Value = Vec<F::Value>;

    fn read(&self, value: &Value) -> Result<Self::Value, Wrong> {
        let Value::Array(list) = value else { return Ok(vec![self.0.read(value)?]) };
        let (mut values, mut wrong) = (Vec::new(), Vec::new());
        for (n, item) in list.iter().enumerate() {
            match self.0.read(item) {
                Ok(value) => values.push(value),
                Err(Wrong(why)) => {
                    wrong.extend(why.into_iter().map(|(place, why)| (format!("[{n}]{place}"), why)));
                }
            }
        }
        if list.is_empty() {
            return Err(Wrong::new("must have at least one entry"));
        }
        if wrong.is_empty() { Ok(values) } else { Err(Wrong(wrong)) }
    }

    fn write(&self, value: &Self::Value) -> Value {
        value.iter().map(|value| self.0.write(value)).collect()
    }

    fn schema(&self) -> Value {
        let one = self.0.schema();
        json!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    }
}

/// Which pages may connect.
pub(crate) struct Origins;

impl Form for Origins {
    type Value = AllowedOrigins;

    fn read(&self, value: &Value) -> Result<AllowedOrigins, Wrong> {
        let list = match value {
            Value::Null => return Ok(AllowedOrigins::Same),
            Value::String(any) if any == "*" => return Ok(AllowedOrigins::Any),
            Value::Array(list) => list,
            _ => return Err(Wrong::expected("a list of origins or \"*\"", value)),
        };
        let mut origins = Vec::new();
        for origin in list {
            match origin.as_str() {
                Some(text) if is_origin(text) => origins.push(text.to_owned()),
                _ => return Err(Wrong::new(format!("{origin} is no origin, such as \"https://example.com:8443\""))),
            }
        }
        Ok(AllowedOrigins::List(origins))
    }

    fn write(&self, value: &AllowedOrigins) -> Value {
        match value {
            AllowedOrigins::Same => Value::Null,
            AllowedOrigins::List(origins) => origins.as_slice().into(),
            AllowedOrigins::Any => "*".into(),
        }
    }

    fn schema(&self) -> Value {
        let origin = r"^[^:/?#@ *]+://[^/?#@ *]+$";
        json!({"anyOf": [{"type": "null"}, {"const": "*"}, {"type": "array", "items": {"type": "string", "pattern": origin}}]})
    }
}

/// `silenceTimeout` as `silence_timeout`.
pub(crate) fn snake_case(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
