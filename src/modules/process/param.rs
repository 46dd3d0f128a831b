use std::ops::RangeInclusive;
use std::sync::Arc;
use std::{fmt, result};

use serde_json::Value;

/// A parameter of a [`Profile`](super::Profile): which values it takes. Required, unless it is
/// [optional](Param::optional) or has a [default](Param::default).
#[derive(Clone)]
pub struct Param {
    kind: Kind,
    prefix: String,
    absent: Absent,
    may_begin_with_dash: bool,
}

#[derive(Clone)]
enum Kind {
    Integer(RangeInclusive<i64>),
    OneOf(Vec<String>),
    Text { max: usize, check: Option<Check> },
}

type Check = Arc<dyn Fn(char) -> bool + Send + Sync>;

/// What happens where a client does not send it.
#[derive(Clone, Debug)]
enum Absent {
    Refused,
    LeftOut,
    Default(String),
}

impl Param {
    fn new(kind: Kind) -> Param {
        Param { kind, prefix: String::new(), absent: Absent::Refused, may_begin_with_dash: false }
    }

    /// A whole number in this range, sent as a number.
    pub fn integer(range: RangeInclusive<i64>) -> Param {
        Param::new(Kind::Integer(range))
    }

    /// One of these texts.
    pub fn one_of<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Param {
        Param::new(Kind::OneOf(texts.into_iter().map(Into::into).collect()))
    }

    /// Any text of at most so many bytes, without a NUL byte.
    ///
    /// One that begins with `-` is refused where it would be an argument of its own: the program would take it for an
    /// option. See [`may_begin_with_dash`](Param::may_begin_with_dash).
    pub fn text(max_bytes: usize) -> Param {
        Param::new(Kind::Text { max: max_bytes, check: None })
    }

    /// A text of these characters only: `Param::text(64).of(|c| c.is_ascii_alphanumeric())`. It has no meaning for
    /// parameters of another kind.
    #[must_use]
    pub fn of(mut self, check: impl Fn(char) -> bool + Send + Sync + 'static) -> Param {
        if let Kind::Text { check: known, .. } = &mut self.kind {
            *known = Some(Arc::new(check));
        }
        self
    }

    /// What stands before the value in its argument: `--jobs=`.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Param {
        Param { prefix: prefix.into(), ..self }
    }

    /// Without it, its argument is left out.
    #[must_use]
    pub fn optional(self) -> Param {
        Param { absent: Absent::LeftOut, ..self }
    }

    /// Without it, this is its value, which is not checked.
    #[must_use]
    pub fn default(self, value: impl fmt::Display) -> Param {
        Param { absent: Absent::Default(value.to_string()), ..self }
    }

    /// A text may begin with `-`: for programs that take it for a text where it stands, as after `--`.
    #[must_use]
    pub fn may_begin_with_dash(self) -> Param {
        Param { may_begin_with_dash: true, ..self }
    }

    /// The argument for a value, or what is wrong with it.
    pub(super) fn argument(&self, value: Option<&Value>) -> result::Result<Option<String>, String> {
        let text = match (value, &self.absent) {
            (Some(value), _) => self.checked(value)?,
            (None, Absent::Refused) => return Err("it is required".into()),
            (None, Absent::LeftOut) => return Ok(None),
            (None, Absent::Default(text)) => text.clone(),
        };
        Ok(Some(format!("{}{text}", self.prefix)))
    }

    fn checked(&self, value: &Value) -> result::Result<String, String> {
        match &self.kind {
            Kind::Integer(range) => {
                let number = value.as_i64().ok_or("not a whole number")?;
                let (least, most) = (range.start(), range.end());
                if range.contains(&number) {
                    Ok(number.to_string())
                } else {
                    Err(format!("not from {least} to {most}"))
                }
            }
            Kind::OneOf(texts) => {
                let text = value.as_str().ok_or("not a text")?;
                let is_known = texts.iter().any(|known| known == text);
                if is_known { Ok(text.to_owned()) } else { Err(format!("not one of {}", texts.join(", "))) }
            }
            Kind::Text { max, check } => {
                let text = value.as_str().ok_or("not a text")?;
                if text.len() > *max {
                    return Err(format!("longer than {max} bytes"));
                }
                if text.contains('\0') {
                    return Err("a NUL byte".into());
                }
                if let Some(check) = check
                    && let Some(bad) = text.chars().find(|&c| !check(c))
                {
                    return Err(format!("the character {bad:?} is not allowed"));
                }
                if text.starts_with('-') && self.prefix.is_empty() && !self.may_begin_with_dash {
                    return Err("it begins with `-`, as options do".into());
                }
                Ok(text.to_owned())
            }
        }
    }
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Param");
        match &self.kind {
            Kind::Integer(range) => debug.field("integer", range),
            Kind::OneOf(texts) => debug.field("one_of", texts),
            Kind::Text { max, .. } => debug.field("text", max),
        };
        debug.field("prefix", &self.prefix).field("absent", &self.absent).finish_non_exhaustive()
    }
}
