//! Which names there can be. The crate `eventwire` says the same when it runs; its `tests/tidy.rs` holds these against it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{Error, LitStr, Result};

/// The longest event name, in characters.
const MAX_EVENT: usize = 128;

/// The longest room name, in bytes.
const MAX_ROOM: usize = 256;

/// Events that belong to the protocol.
const RESERVED: [&str; 12] =
    ["connected", "ack", "nack", "slow", "seen", "error", "subscribe", "unsubscribe", "ping", "pong", "gap", "closing"];

/// What may stand in a room's name, and in a code, beside ASCII letters and digits.
const MARKS: &str = "_.:-";

pub(crate) fn event(name: &LitStr) -> Result<()> {
    let text = name.value();
    if text.is_empty() {
        return Err(Error::new(name.span(), "an event's name must not be empty"));
    }
    if text.chars().count() > MAX_EVENT {
        return Err(Error::new(name.span(), format!("an event's name has at most {MAX_EVENT} characters")));
    }
    if RESERVED.contains(&text.as_str()) {
        let text = format!("the protocol has `{text}` for itself, as it has {}: choose another name", others(&text));
        return Err(Error::new(name.span(), text));
    }
    Ok(())
}

/// The reserved names but for one.
fn others(name: &str) -> String {
    let others: Vec<&str> = RESERVED.into_iter().filter(|other| *other != name).collect();
    others.join(", ")
}

pub(crate) fn rooms(pattern: &LitStr) -> Result<()> {
    let text = pattern.value();
    let (name, is_prefix) = match text.strip_suffix('*') {
        Some(name) => (name, true),
        None => (text.as_str(), false),
    };
    if name.len() > MAX_ROOM || (name.is_empty() && !is_prefix) || !is_room(name.as_bytes()) {
        let text = format!(
            "no room matches this: a name is 1 to {MAX_ROOM} of [A-Za-z0-9{MARKS}], a pattern the beginning of one and `*`"
        );
        return Err(Error::new(pattern.span(), text));
    }
    Ok(())
}

pub(crate) fn code(code: &LitStr) -> Result<()> {
    let text = code.value();
    if text.is_empty() || !text.chars().all(is_known) {
        return Err(Error::new(code.span(), "a code is for programs: letters, digits, `_`, `-`, `.` and `:`"));
    }
    Ok(())
}

/// Other bytes than those known are written as `%` and two digits, and no others are.
fn is_room(name: &[u8]) -> bool {
    let digit = |b: u8| char::from(b).to_digit(16).filter(|_| !b.is_ascii_lowercase());
    match name {
        [] => true,
        [b'%', high, low, rest @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => !is_known(char::from((high * 16 + low) as u8)) && is_room(rest),
            _ => false,
        },
        [b, rest @ ..] => is_known(char::from(*b)) && is_room(rest),
    }
}

fn is_known(c: char) -> bool {
    c.is_ascii_alphanumeric() || MARKS.contains(c)
}

/// Has the compiler say `text` where two names are the same. With parameters it does when the type is used, and code is made:
///
/// ```
/// # use eventwire::{Event, gateway};
/// # #[derive(serde::Deserialize, Event)]
/// # #[event("say")]
/// # struct Say;
/// struct Chat<S>(S);
///
/// #[gateway]
/// impl<S: Send + Sync + 'static> Chat<S> {
///     #[on("tell")]
///     async fn tell(&self) {}
///
///     #[on]
///     async fn say(&self, _say: Say) {}
/// }
///
/// drop(eventwire::Io::new().gateway(Chat(1)));
/// ```
///
/// ```compile_fail
/// # use eventwire::{Event, gateway};
/// # #[derive(serde::Deserialize, Event)]
/// # #[event("say")]
/// # struct Say;
/// struct Chat<S>(S);
///
/// #[gateway]
/// impl<S: Send + Sync + 'static> Chat<S> {
///     #[on("say")]
///     async fn tell(&self) {}
///
///     #[on]
///     async fn say(&self, _say: Say) {}
/// }
///
/// drop(eventwire::Io::new().gateway(Chat(1)));
/// ```
///
/// ```
/// # use eventwire::Events;
/// # #[derive(serde::Serialize, eventwire::Event)]
/// # #[event("say")]
/// # struct Say;
/// #[derive(Events)]
/// enum ToBrowser<'a> {
///     #[event("tell")]
///     Tell(&'a str),
///     Say(Say),
/// }
///
/// drop(eventwire::Io::new().emit_event(&ToBrowser::Tell("hello")));
/// ```
///
/// ```compile_fail
/// # use eventwire::Events;
/// # #[derive(serde::Serialize, eventwire::Event)]
/// # #[event("say")]
/// # struct Say;
/// #[derive(Events)]
/// enum ToBrowser<'a> {
///     #[event("say")]
///     Tell(&'a str),
///     Say(Say),
/// }
///
/// drop(eventwire::Io::new().emit_event(&ToBrowser::Tell("hello")));
/// ```
pub(crate) fn distinct(at: Span, name: &impl ToTokens, other: &impl ToTokens, text: &str) -> TokenStream {
    quote_spanned!(at=> ::core::assert!(!::eventwire::__private::is_same(#name, #other), #text);)
}
