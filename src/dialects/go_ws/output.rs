//! What a process says, as go-ws tells it: line by line.

use std::borrow::Cow;
use std::mem;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::{Envelope, object};
use super::lines::Lines;
use crate::Frames;
use crate::protocol::{Memory, Outgoing};

/// A chunk of output as the module `process` tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(borrow)]
    process_id: Cow<'a, str>,
    #[serde(borrow)]
    run: Cow<'a, str>,
    off: u64,
    len: u64,
    stream: Stream,
    #[serde(borrow)]
    data: Cow<'a, str>,
    enc: Option<Enc>,
    ts: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stream {
    Stdout,
    Stderr,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Enc {
    B64,
}

impl Chunk<'_> {
    fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        match self.enc {
            None => Some(Cow::Borrowed(self.data.as_bytes())),
            Some(Enc::B64) => BASE64.decode(&*self.data).ok().map(Cow::Owned),
        }
    }
}

/// What a room remembers of the run that it shows.
#[derive(Clone, Default, PartialEq)]
struct Shown {
    process_id: String,
    run: String,
    /// Where its next chunk begins.
    off: u64,
    ts: u64,
    stdout: Lines,
    stderr: Lines,
}

impl Shown {
    /// Turns to the run of a chunk. Where that is another one, or a part of it was not heard, what had begun has ended.
    fn follow(&mut self, chunk: &Chunk<'_>, room: Option<&str>, frames: &mut Frames<'_>) {
        if self.run != chunk.run || self.process_id != chunk.process_id || self.off != chunk.off {
            self.end(room, frames);
            self.process_id = chunk.process_id.clone().into_owned();
            self.run = chunk.run.clone().into_owned();
        }
        self.off = chunk.off.saturating_add(chunk.len);
        self.ts = chunk.ts;
    }

    /// Writes what has begun as it is, and forgets the run.
    fn end(&mut self, room: Option<&str>, frames: &mut Frames<'_>) {
        let mut shown = mem::take(self);
        for lines in [&mut shown.stdout, &mut shown.stderr] {
            lines.end(|line| {
                Envelope::new("process_output", room, Some(&shown.process_id), shown.ts).line(frames, line);
            });
        }
    }
}

/// Writes `process_output`.
pub(super) fn output(packet: &Outgoing<'_>, memory: &mut Memory, frames: &mut Frames<'_>, now: u64) {
    let chunk: Option<Chunk<'_>> = object(packet.data);
    let Some((chunk, bytes)) = chunk.as_ref().and_then(|chunk| Some((chunk, chunk.bytes()?))) else {
        return foreign(packet, frames, now);
    };
    let shown: &mut Shown = memory.get_or_default();
    shown.follow(chunk, packet.room, frames);
    let envelope = Envelope::new("process_output", packet.room, Some(&chunk.process_id), chunk.ts);
    let lines = match chunk.stream {
        Stream::Stdout => &mut shown.stdout,
        Stream::Stderr => &mut shown.stderr,
    };
    lines.push(&bytes, |line| envelope.line(frames, line));
    if packet.room.is_none() {
        // Nothing may come behind it that this memory sees, and everyone hears many processes at once.
        shown.end(None, frames);
    }
}

/// Output in a shape of the application's own.
fn foreign(packet: &Outgoing<'_>, frames: &mut Frames<'_>, now: u64) {
    let process = process_id(packet);
    let envelope = Envelope::new("process_output", packet.room, process.as_deref(), now);
    match serde_json::from_slice::<String>(packet.data) {
        // A line of its own, with nothing in it.
        Ok(text) if text.is_empty() => envelope.text(frames, ""),
        Ok(text) => {
            let mut lines = Lines::default();
            lines.push(text.as_bytes(), |line| envelope.line(frames, line));
            lines.end(|line| envelope.line(frames, line));
        }
        Err(_) => envelope.raw(frames, packet.data),
    }
}

/// Writes `process_status`, behind what was left of the output if it ends the run.
pub(super) fn status(packet: &Outgoing<'_>, memory: &mut Memory, frames: &mut Frames<'_>, now: u64) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Status<'a> {
        #[serde(borrow)]
        run: Option<Cow<'a, str>>,
        #[serde(borrow)]
        status: &'a RawValue,
        #[serde(borrow)]
        exit_code: &'a RawValue,
    }
    let status: Option<Status<'_>> = object(packet.data);
    let shown: &mut Shown = memory.get_or_default();
    let goes_on = status.as_ref().is_some_and(|status| {
        status.status.get() == r#""running""# && status.run.as_ref().is_none_or(|run| *run == shown.run)
    });
    if !goes_on {
        shown.end(packet.room, frames);
    }
    let process = process_id(packet);
    let envelope = Envelope::new("process_status", packet.room, process.as_deref(), now);
    match status {
        Some(Status { status, exit_code, .. }) => envelope.with(frames, |out| {
            out.extend_from_slice(br#"{"status":"#);
            out.extend_from_slice(status.get().as_bytes());
            out.extend_from_slice(br#","exitCode":"#);
            out.extend_from_slice(exit_code.get().as_bytes());
            out.push(b'}');
        }),
        None => envelope.raw(frames, packet.data),
    }
}

/// Of which process a message is: as it says itself, or as its room does.
fn process_id<'a>(packet: &Outgoing<'a>) -> Option<Cow<'a, str>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named<'a> {
        #[serde(borrow)]
        process_id: Cow<'a, str>,
    }
    let named = object(packet.data).map(|Named { process_id }| process_id);
    named.or_else(|| packet.room?.strip_prefix("process:").map(Cow::Borrowed))
}
