//! The messages of a room, each parsed once: who gets a frame that is byte for byte one that another has got shares it.
//! Ten viewers of 14 MB would otherwise parse most of the time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Envelope<'a> {
    event: &'a str,
    room: Option<&'a str>,
    seq: Option<u64>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output<'a> {
    process_id: &'a str,
    run: &'a str,
    off: u64,
    len: u64,
    stream: &'a str,
    #[serde(borrow)]
    data: Cow<'a, str>,
    enc: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    process_id: &'a str,
    run: &'a str,
    status: &'a str,
    exit_code: i32,
    drained: Option<bool>,
}

/// The data of `gap`, and of the ack of `subscribe`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Gap {
    pub(crate) room: String,
    pub(crate) epoch: String,
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
    pub(crate) reason: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ack {
    pub(crate) room: String,
    pub(crate) epoch: String,
    pub(crate) seq: u64,
    pub(crate) from: u64,
}

#[derive(Debug)]
pub(crate) enum What {
    Output { off: u64, bytes: Vec<u8> },
    Running,
    Ended { code: i32 },
}

/// A message of the room.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) seq: u64,
    pub(crate) run: String,
    pub(crate) what: What,
    frame: Box<[u8]>,
}

impl Record {
    /// The raw bytes of output in it.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.what {
            What::Output { bytes, .. } => bytes,
            _ => &[],
        }
    }
}

/// What a frame turned out to be.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(Arc<Record>),
    Gap(Gap),
    Ack(Ack),
}

/// What has come through one room to anybody.
pub(crate) struct Records {
    room: String,
    known: Mutex<HashMap<u64, Arc<Record>>>,
}

impl Records {
    pub(crate) fn new(room: &str) -> Records {
        Records { room: room.to_owned(), known: Mutex::default() }
    }

    pub(crate) fn get(&self, seq: u64) -> Option<Arc<Record>> {
        self.known.lock().unwrap().get(&seq).cloned()
    }

    /// What a frame is. The one that is expected is looked for first.
    pub(crate) fn read(&self, expected: u64, frame: &[u8]) -> Result<Heard, String> {
        if let Some(record) = self.get(expected).filter(|record| *record.frame == *frame) {
            return Ok(Heard::Message(record));
        }
        let short = || String::from_utf8_lossy(&frame[..frame.len().min(300)]).into_owned();
        self.parse(frame).map_err(|error| format!("{error}: {}", short()))
    }

    fn parse(&self, frame: &[u8]) -> Result<Heard, String> {
        let envelope: Envelope<'_> = from_str(std::str::from_utf8(frame).map_err(|error| error.to_string())?)?;
        let data = envelope.data.get();
        let (run, what) = match envelope.event {
            "gap" => return Ok(Heard::Gap(from_str(data)?)),
            "ack" => return Ok(Heard::Ack(from_str(data)?)),
            "process_output" => self.output(from_str(data)?)?,
            "process_status" => self.status(&from_str(data)?)?,
            other => return Err(format!("`{other}` is no event of a process")),
        };
        check(envelope.room == Some(&self.room), || format!("through another room than {}", self.room))?;
        let seq = envelope.seq.ok_or("no `seq` in a room with history")?;
        let record = Arc::new(Record { seq, run, what, frame: frame.into() });
        match self.known.lock().unwrap().entry(seq) {
            Slot::Occupied(known) => {
                check(known.get().frame == record.frame, || format!("other than the number {seq} of another viewer"))?;
            }
            Slot::Vacant(free) => drop(free.insert(record.clone())),
        }
        Ok(Heard::Message(record))
    }

    fn output(&self, output: Output<'_>) -> Result<(String, What), String> {
        self.is_ours(output.process_id)?;
        check(["stdout", "stderr"].contains(&output.stream), || format!("the stream {:?}", output.stream))?;
        let bytes = match output.enc {
            None => output.data.into_owned().into_bytes(),
            Some("b64") => BASE64.decode(&*output.data).map_err(|error| error.to_string())?,
            Some(other) => return Err(format!("encoded as {other:?}")),
        };
        check(bytes.len() as u64 == output.len, || format!("{} bytes, and `len` is {}", bytes.len(), output.len))?;
        check(!bytes.is_empty(), || "an empty chunk".into())?;
        Ok((output.run.to_owned(), What::Output { off: output.off, bytes }))
    }

    fn status(&self, status: &Status<'_>) -> Result<(String, What), String> {
        self.is_ours(status.process_id)?;
        let what = match status.status {
            "running" => What::Running,
            "exited" => What::Ended { code: status.exit_code },
            other => return Err(format!("the status {other:?}")),
        };
        let is_drained = status.drained != Some(false);
        check(is_drained, || "it ended before its output".into())?;
        Ok((status.run.to_owned(), what))
    }

    fn is_ours(&self, id: &str) -> Result<(), String> {
        check(self.room.strip_prefix("process:") == Some(id), || format!("of the process {id}"))
    }
}

fn from_str<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

pub(crate) fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
