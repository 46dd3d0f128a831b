//! Subjects and rooms: the name of one is the name of the other.

use std::borrow::Cow;
use std::fmt::Write;

use super::counts::Refused;
use crate::protocol::{MAX_ROOM, is_room_byte, is_room_name};

/// The room of a subject: the subject itself, with each byte that a room's name cannot have written as `%` and two
/// hexadecimal digits. Each subject has its own room, and [`subject_of`] finds it again.
///
/// `None` where there is none: an empty token (`a..b`), or a name of more than 256 bytes.
///
/// ```
/// use eventwire::nats_source::{room_of, subject_of};
///
/// assert_eq!(room_of("metrics.cpu").as_deref(), Some("metrics.cpu"));
/// assert_eq!(room_of("café.50%").as_deref(), Some("caf%C3%A9.50%25"));
/// assert_eq!(subject_of("caf%C3%A9.50%25").as_deref(), Some("café.50%"));
/// assert_eq!(room_of("metrics..cpu"), None);
/// ```
pub fn room_of(subject: &str) -> Option<Cow<'_, str>> {
    room(subject).ok()
}

/// The subject whose room this is; `None` where it is no subject's.
pub fn subject_of(room: &str) -> Option<String> {
    if is_room_name(room) && !has_empty_token(room) { unescaped(room) } else { None }
}

/// Text in which bytes may be written as `%` and two digits, as in a URL too.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                (digit()? * 16 + digit()?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

pub(super) fn room(subject: &str) -> Result<Cow<'_, str>, Refused> {
    if has_empty_token(subject) {
        return Err(Refused::EmptyToken);
    }
    // Most need no more than this.
    let is_plain = subject.bytes().all(is_room_byte);
    let room = if is_plain { Cow::Borrowed(subject) } else { Cow::Owned(escaped(subject)) };
    if room.len() > MAX_ROOM { Err(Refused::TooLong) } else { Ok(room) }
}

fn escaped(text: &str) -> String {
    let mut room = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if is_room_byte(byte) {
            room.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(room, "%{byte:02X}");
        }
    }
    room
}

fn has_empty_token(subject: &str) -> bool {
    let bytes = subject.as_bytes();
    matches!(bytes, [] | [b'.', ..] | [.., b'.']) || bytes.windows(2).any(|pair| pair == b"..")
}

/// Whether this can be subscribed to: tokens that are not empty, `*` for any one of them, `>` at the end for one or more.
pub(super) fn is_subject(subject: &str) -> bool {
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        let is_token = !token.is_empty() && !token.contains(|c: char| c.is_whitespace() || c.is_control());
        if !is_token || (token == ">" && tokens.peek().is_some()) {
            return false;
        }
    }
    true
}

/// The pattern of the rooms of a subject's: the wildcards stay, the rest is written as in the rooms.
pub(super) fn pattern(subject: &str) -> String {
    let token = |token| if is_wildcard(token) { Cow::Borrowed(token) } else { Cow::Owned(escaped(token)) };
    subject.split('.').map(token).collect::<Vec<_>>().join(".")
}

/// What stands before the first wildcard, and what it is: no wildcard, `>` after whole tokens, or any other.
pub(super) fn literal(pattern: &str) -> (&str, Option<&str>) {
    let mut at = 0;
    for token in pattern.split('.') {
        if is_wildcard(token) {
            return (&pattern[..at], Some(&pattern[at..]));
        }
        at += token.len() + 1;
    }
    (pattern, None)
}

/// Whether all that `other` matches, a name or a pattern, is matched by `pattern`.
pub(super) fn covers(pattern: &str, other: &str) -> bool {
    let mut others = other.split('.');
    for token in pattern.split('.') {
        match (token, others.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(other)) if other != ">" => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    others.next().is_none()
}

fn is_wildcard(token: &str) -> bool {
    token == "*" || token == ">"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_room_is_of_one_subject(subject in "[a-z.%*>$/é:😀 -]{0,40}", other in "[a-z.%é25]{0,8}") {
            if let Some(room) = room_of(&subject) {
                prop_assert!(is_room_name(&room), "{room}");
                prop_assert_eq!(subject_of(&room), Some(subject.clone()));
                // Tokens stay tokens, so that a pattern matches the same of both.
                prop_assert_eq!(room.split('.').count(), subject.split('.').count());
            }
            if let Some(subject) = subject_of(&other) {
                prop_assert!(room_of(&subject).is_some_and(|room| room == other), "{subject}");
            }
        }
    }

    #[test]
    fn what_has_no_room() {
        for empty in ["", ".", "a..b", ".a", "a.", "é..b"] {
            assert_eq!(room(empty), Err(Refused::EmptyToken), "{empty:?}");
        }
        assert!(room(&"x".repeat(256)).is_ok() && room(&"é".repeat(42)).is_ok());
        assert_eq!(room(&"x".repeat(257)), Err(Refused::TooLong));
        assert_eq!(room(&"é".repeat(43)), Err(Refused::TooLong), "six bytes each");
        // Rooms, and no subject's: not UTF-8, or with an empty token.
        for room in ["%FF", "a..b", ".a", "a%4", "é"] {
            assert_eq!(subject_of(room), None, "{room}");
        }
    }

    #[test]
    fn what_can_be_subscribed_to() {
        for good in ["a", "a.b", "*", ">", "a.*.b", "a.>", "a*b.c", "$SYS.>", "é"] {
            assert!(is_subject(good), "{good}");
        }
        for bad in ["", "a..b", ".a", "a.", "a b", "a.>.b", ">.a", "a\t", "a\0"] {
            assert!(!is_subject(bad), "{bad:?}");
        }
        assert_eq!((pattern("é.*.b>.>"), pattern("a.b")), ("%C3%A9.*.b%3E.>".into(), "a.b".into()));
    }

    #[test]
    fn patterns_cover_names_and_patterns() {
        for (pattern, others) in [
            ("a.b", &["a.b"][..]),
            ("a.*", &["a.b", "a.*"]),
            ("a.>", &["a.b", "a.b.c", "a.*", "a.>", "a.*.>"]),
            (">", &["a", "a.b", "*", ">"]),
            ("*.b", &["a.b", "*.b"]),
        ] {
            for other in others {
                assert!(covers(pattern, other), "{pattern} {other}");
            }
        }
        for (pattern, others) in [
            ("a.b", &["a", "a.b.c", "a.*", "a.>"][..]),
            ("a.*", &["a", "a.>", "a.b.c", "*.b"]),
            ("a.>", &["a", ">", "*.a"]),
        ] {
            for other in others {
                assert!(!covers(pattern, other), "{pattern} {other}");
            }
        }
        assert_eq!(literal("a.b.*.c"), ("a.b.", Some("*.c")));
        assert_eq!((literal("a.>"), literal(">"), literal("a")), (("a.", Some(">")), ("", Some(">")), ("a", None)));
    }
}
