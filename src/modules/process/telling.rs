//! What the room of a process is told, in the order in which it was counted.

use std::sync::{MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::{Processes, Status, Stream, now_ms, status};
use crate::{EmitError, Emitting, Pace};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Output<'a> {
    process_id: &'a str,
    run: &'a str,
    off: u64,
    len: usize,
    stream: Stream,
    data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    enc: Option<&'static str>,
    ts: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    process_id: &'a str,
    run: &'a str,
    #[serde(flatten, serialize_with = "status::tell")]
    status: &'a Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drained: Option<bool>,
}

/// How a run has ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ending {
    pub(super) reason: Option<&'static str>,
    /// Whether its output was read to the end; `None` where nothing was read here.
    pub(super) drained: Option<bool>,
}

impl Processes {
    /// Sends a chunk of output. What it returns keeps the pace.
    pub(super) fn send(&self, id: &str, stream: Stream, bytes: &[u8], pause: Option<Pace>) -> Option<Emitting<usize>> {
        let encoded;
        let (data, enc) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(_) => {
                encoded = BASE64.encode(bytes);
                (encoded.as_str(), Some("b64"))
            }
        };
        self.in_turn(id, || {
            let (run, off) = {
                let mut known = self.shared.registry.lock();
                let known = known.get_mut(id)?;
                let off = known.off;
                known.off += bytes.len() as u64;
                (known.run.clone(), off)
            };
            let output = Output { process_id: id, run: &run, off, len: bytes.len(), stream, data, enc, ts: now_ms() };
            let room = room(id);
            let broadcast = match pause {
                Some(pace) => self.io.to(&room).paced(pace),
                None => self.io.to(&room),
            };
            Some(broadcast.emit("process_output", output))
        })
    }

    /// Sends a status, and keeps it.
    pub(super) fn tell(&self, id: &str, status: Status, ending: Ending) -> Option<Emitting<usize>> {
        let emitting = self.in_turn(id, || {
            let (run, duration) = {
                let mut known = self.shared.registry.lock();
                let known = known.get_mut(id)?;
                known.status = status.clone();
                known.reason = ending.reason.map(str::to_owned);
                if status.is_end() {
                    known.stop_the_clock();
                    known.input = None;
                }
                (known.run.clone(), known.duration)
            };
            let told = Told {
                process_id: id,
                run: &run,
                status: &status,
                reason: ending.reason.or(status.reason()),
                duration_ms: duration.map(|duration| duration.as_millis() as u64),
                drained: ending.drained,
            };
            Some(self.io.to(&room(id)).emit("process_status", told))
        });
        self.forget_old();
        emitting
    }

    /// Forgets those that ended long ago, or before many others. Nothing else does, and nothing of them is left after it.
    pub(super) fn forget_old(&self) {
        // Its output goes with it, once nobody is there to see it.
        for id in self.shared.registry.expire(&self.shared.settings) {
            self.io.room(&room(&id)).forget();
        }
    }

    fn in_turn<R>(&self, id: &str, tell: impl FnOnce() -> Option<R>) -> Option<R> {
        let turn = self.shared.registry.lock().get(id).map(|known| known.turn.clone())?;
        let _turn: MutexGuard<'_, ()> = turn.lock().unwrap_or_else(PoisonError::into_inner);
        tell()
    }
}

/// Waits for what sending waits for.
pub(super) async fn sent(emitting: Option<Emitting<usize>>) {
    if let Some(emitting) = emitting {
        log(emitting.await);
    }
}

/// The members here have got it in any case.
pub(super) fn log(sent: Result<usize, EmitError>) {
    if let Err(error) = sent {
        tracing::warn!(%error, "a process was not told of everywhere");
    }
}

fn room(id: &str) -> String {
    format!("process:{id}")
}
