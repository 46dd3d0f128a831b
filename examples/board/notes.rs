//! What is on a board, and how it changes. What the server validates against and what the room's snapshot tells are folded by
//! the same [`Board::apply`], so they cannot differ.

use std::collections::BTreeMap;

use eventwire::{Error, Logged, code};
use serde::{Deserialize, Serialize};

/// What the server holds the pages to. They are told, and repeat none of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Limits {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) notes: usize,
    pub(crate) text: usize,
}

pub(crate) const LIMITS: Limits = Limits { width: 2400, height: 1500, notes: 200, text: 280 };

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Colour {
    Yellow,
    Orange,
    Pink,
    Violet,
    Blue,
    Green,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    x: u32,
    y: u32,
    colour: Colour,
    text: String,
    /// The one that was moved last lies on top. What a client says here does not count.
    #[serde(default)]
    z: u64,
}

/// New values for some of a note's fields. Of each field the last writer wins.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    colour: Option<Colour>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    Add(Note),
    Set(Fields),
    Remove,
}

/// `{"id": "4f2…", "note": "91c…", "change": {"set": {"text": "Hello"}}}`
#[derive(Serialize, Deserialize)]
pub(crate) struct Operation {
    /// Names this operation: one that is sent again, since its answer was lost, is not done again.
    pub(crate) id: String,
    pub(crate) note: String,
    pub(crate) change: Change,
}

#[derive(Clone, Default, Serialize)]
pub(crate) struct Board {
    notes: BTreeMap<String, Note>,
    top: u64,
}

impl Board {
    pub(crate) fn fold(&mut self, message: &Logged) {
        match message.decode() {
            Ok(operation) => self.apply(&operation),
            Err(error) => eprintln!("operation {} cannot be read: {error}", message.seq),
        }
    }

    pub(crate) fn apply(&mut self, Operation { note, change, .. }: &Operation) {
        match change {
            Change::Add(new) => {
                self.top += 1;
                self.notes.insert(note.clone(), Note { z: self.top, ..new.clone() });
            }
            Change::Set(fields) => {
                let Some(known) = self.notes.get_mut(note) else { return };
                if fields.x.is_some() || fields.y.is_some() {
                    self.top += 1;
                    known.z = self.top;
                }
                known.x = fields.x.unwrap_or(known.x);
                known.y = fields.y.unwrap_or(known.y);
                known.colour = fields.colour.unwrap_or(known.colour);
                if let Some(text) = &fields.text {
                    known.text.clone_from(text);
                }
            }
            Change::Remove => drop(self.notes.remove(note)),
        }
    }

    /// Whether it may be applied. Types and the palette were checked by serde.
    pub(crate) fn check(&self, Operation { id, note, change }: &Operation) -> Result<(), Error> {
        for (path, name) in [("id", id), ("note", note)] {
            let is_name =
                (1..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            require(is_name, path, || "1 to 40 letters, digits and `-`".into())?;
        }
        let is_there = self.notes.contains_key(note);
        let (kind, x, y, text) = match change {
            Change::Add(_) if is_there => return Err(Error::new("exists", format!("there is a note `{note}`"))),
            Change::Add(_) if self.notes.len() == LIMITS.notes => {
                return Err(Error::new(code::LIMIT, format!("a board has room for {} notes", LIMITS.notes)));
            }
            Change::Add(Note { x, y, text, .. }) => ("add", Some(*x), Some(*y), Some(text)),
            _ if !is_there => return Err(Error::new(code::NOT_FOUND, format!("there is no note `{note}`"))),
            Change::Set(Fields { x, y, text, .. }) => ("set", *x, *y, text.as_ref()),
            Change::Remove => return Ok(()),
        };
        for (name, at, most) in [("x", x, LIMITS.width), ("y", y, LIMITS.height)] {
            require(at.is_none_or(|at| at <= most), &format!("change.{kind}.{name}"), || format!("0 to {most}"))?;
        }
        let fits = text.is_none_or(|text| text.chars().count() <= LIMITS.text);
        require(fits, &format!("change.{kind}.text"), || format!("at most {} characters", LIMITS.text))
    }
}

/// Where somebody points, and the note that they drag or write at this moment.
#[derive(Serialize, Deserialize)]
pub(crate) struct Glimpse {
    at: Option<(u32, u32)>,
    held: Option<Held>,
}

#[derive(Serialize, Deserialize)]
struct Held {
    note: String,
    x: u32,
    y: u32,
    text: Option<String>,
}

impl Glimpse {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Some(Held { note, text, .. }) = &self.held else { return Ok(()) };
        require(note.len() <= 40, "held.note", || "at most 40 characters".into())?;
        let fits = text.as_ref().is_none_or(|text| text.chars().count() <= LIMITS.text);
        require(fits, "held.text", || format!("at most {} characters", LIMITS.text))
    }
}

/// Refuses a field in the way in which the framework does when it cannot be decoded.
pub(crate) fn require(holds: bool, path: &str, allowed: impl FnOnce() -> String) -> Result<(), Error> {
    if holds {
        return Ok(());
    }
    let details = serde_json::json!({ "path": path });
    Err(Error::new(code::INVALID_PAYLOAD, format!("`{path}`: {}", allowed())).with_details(details))
}
