//! Payloads and errors.
#![deny(warnings, missing_docs, unused, unused_lifetimes, clippy::all)]

use eventwire::{Event, EventError, Events, IntoAck, Io};
use serde::{Deserialize, Serialize};

/// Borrowed: it can be emitted.
#[derive(Debug, Serialize, Event)]
#[event("said")]
pub struct Said<'a> {
    /// Words.
    pub text: &'a str,
}

/// A type by its own path, and none.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, Event)]
#[event("bell", ack = std::collections::HashMap<String, Vec<u8>>)]
pub struct Bell;

/// An event that is an enum.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event("move")]
pub enum Move {
    /// Up.
    Up,
    /// To somewhere.
    To(u32, u32),
}

/// Both directions.
#[derive(Debug, Events)]
pub enum Both {
    /// One.
    Bell(Bell),
    /// Another.
    Move(Move),
    /// None.
    #[event("none", ack = bool)]
    None,
    /// With a name that is a word of the language.
    #[event("r#type")]
    r#Type(String),
}

/// To clients alone.
#[derive(Debug, Events)]
pub enum ToBrowser<'a> {
    /// Borrowed.
    Said(Said<'a>),
    /// Text.
    #[event("text")]
    Text(&'a str),
}

/// An error, any part of which may be left out.
#[derive(Debug, EventError)]
pub enum BuyError<'a, T: Serialize> {
    /// With an object.
    #[error_code("sold_out", details)]
    SoldOut {
        /// So many.
        r#type: u32,
        /// Borrowed.
        name: &'a str,
    },
    /// With a value.
    #[error_code("too_many", details, message = "fewer")]
    TooMany(T),
    /// Of another.
    #[error_code(transparent)]
    Other(eventwire::Error),
    /// Without anything.
    #[error_code("closed")]
    Closed,
}

impl<T: Serialize> std::fmt::Display for BuyError<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no")
    }
}

/// Nothing can be wrong.
#[derive(Debug, EventError)]
pub enum Never {}

/// One for all.
#[derive(Debug, EventError)]
#[error_code("refused", message = "not today")]
pub enum Refused {
    /// First.
    First,
    /// Second.
    Second(u8),
}

/// An answer of any.
#[derive(Debug, Serialize, IntoAck)]
pub struct Page<'a, T> {
    /// What is on it.
    pub items: &'a [T],
}

#[test]
fn they_are_emitted() {
    let io = Io::new();
    let text = String::from("hello");
    drop(io.emit_event(&Said { text: &text }));
    drop(io.emit_event(&ToBrowser::Said(Said { text: &text })));
    drop(io.emit_event(&ToBrowser::Text(&text)));
    drop(io.emit_event(&Both::Bell(Bell)));
    let _ = (Move::Up, Move::To(1, 2), Both::None, Both::r#Type(text.clone()));
    let errors = [
        BuyError::SoldOut { r#type: 1, name: &text },
        BuyError::TooMany(5),
        BuyError::Other(Refused::First.into()),
        BuyError::Other(Refused::Second(2).into()),
        BuyError::Closed,
    ];
    let codes = errors.map(|error| eventwire::Error::from(error).code().to_owned());
    assert_eq!(codes, ["sold_out", "too_many", "refused", "refused", "closed"]);
    drop(Page { items: &[1] }.into_ack());
}
