//! One message of go-ws around its data.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;

use crate::Frames;
use crate::protocol::write_json;

/// The last millisecond of the year 9999, the last that RFC 3339 can write.
const LAST_MS: u64 = 253_402_300_799_999;

/// What stands before and behind the data: written once for all lines of a chunk.
pub(super) struct Envelope {
    before: Vec<u8>,
    behind: Vec<u8>,
}

impl Envelope {
    /// A message said at `time`, in milliseconds since 1970. A process that came through no room has its own channel.
    pub(super) fn new(kind: &str, room: Option<&str>, process: Option<&str>, time: u64) -> Envelope {
        let mut before = br#"{"type":"#.to_vec();
        write_json(&mut before, kind);
        let channel = process.filter(|_| room.is_none()).map(|process| format!("process:{process}"));
        for (name, value) in [("channel", room.or(channel.as_deref())), ("processId", process)] {
            if let Some(value) = value {
                before.push(b',');
                write_json(&mut before, name);
                before.push(b':');
                write_json(&mut before, value);
            }
        }
        let mut behind = Vec::new();
        let time = UNIX_EPOCH + Duration::from_millis(time.min(LAST_MS));
        let written = write!(behind, r#","timestamp":"{}"}}"#, humantime::format_rfc3339_millis(time));
        debug_assert!(written.is_ok());
        Envelope { before, behind }
    }

    /// The message, whose data `write` appends as JSON.
    pub(super) fn with(&self, frames: &mut Frames<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        frames.text(|out| {
            out.extend_from_slice(&self.before);
            out.extend_from_slice(br#","data":"#);
            write(out);
            out.extend_from_slice(&self.behind);
        });
    }

    /// With data that is JSON already, untouched.
    pub(super) fn raw(&self, frames: &mut Frames<'_>, json: &[u8]) {
        self.with(frames, |out| out.extend_from_slice(json));
    }

    pub(super) fn text(&self, frames: &mut Frames<'_>, text: &str) {
        self.with(frames, |out| write_json(out, text));
    }

    /// With a line of bytes, which are text as far as they can be.
    pub(super) fn line(&self, frames: &mut Frames<'_>, line: &[u8]) {
        self.text(frames, &String::from_utf8_lossy(line));
    }

    /// Without data.
    pub(super) fn bare(&self, frames: &mut Frames<'_>) {
        frames.text(|out| {
            out.extend_from_slice(&self.before);
            out.extend_from_slice(&self.behind);
        });
    }
}

/// A payload, if it is an object with these fields. (serde's derived structs read arrays too.)
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let is_object = json.trim_ascii_start().first() == Some(&b'{');
    if is_object { serde_json::from_slice(json).ok() } else { None }
}
