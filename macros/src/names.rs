//! Which names there can be. The crate `eventwire` says the same when it runs; a test there holds these against it.

use syn::{Error, LitStr, Result};

/// The longest event name, in characters.
const MAX_EVENT: usize = 128;

/// The longest room name, in bytes.
const MAX_ROOM: usize = 256;

/// Events that belong to the protocol.
const RESERVED: [&str; 12] =
    ["connected", "ack", "nack", "slow", "seen", "error", "subscribe", "unsubscribe", "ping", "pong", "gap", "closing"];

pub(crate) fn event(name: &LitStr) -> Result<()> {
    let text = name.value();
    if text.is_empty() {
        return Err(Error::new(name.span(), "an event's name must not be empty"));
    }
    if text.chars().count() > MAX_EVENT {
        return Err(Error::new(name.span(), format!("an event's name has at most {MAX_EVENT} characters")));
    }
    if RESERVED.contains(&text.as_str()) {
        let text = format!("`{text}` is reserved by the protocol; so are {}", RESERVED.join(", "));
        return Err(Error::new(name.span(), text));
    }
    Ok(())
}

pub(crate) fn rooms(pattern: &LitStr) -> Result<()> {
    let text = pattern.value();
    let (name, is_prefix) = match text.strip_suffix('*') {
        Some(name) => (name, true),
        None => (text.as_str(), false),
    };
    let is_known = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    if name.len() > MAX_ROOM || (name.is_empty() && !is_prefix) || !name.chars().all(is_known) {
        let text =
            "no room matches this: a name is 1 to 256 of [A-Za-z0-9_.:-], a pattern the beginning of one and `*`";
        return Err(Error::new(pattern.span(), text));
    }
    Ok(())
}

pub(crate) fn code(code: &LitStr) -> Result<()> {
    let text = code.value();
    let is_known = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    if text.is_empty() || !text.chars().all(is_known) {
        return Err(Error::new(code.span(), "a code is for programs: letters, digits, `_`, `-`, `.` and `:`"));
    }
    Ok(())
}
