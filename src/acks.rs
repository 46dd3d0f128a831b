//! Requests to peers that wait for an answer. Each is settled: by an ack, an error, its timeout,
//! or the end of the socket.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, code};
use crate::protocol::{NameError, Packet};

/// Why a request to a peer brought no answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RequestError {
    /// No answer came in time.
    Timeout,
    /// The socket is disconnected, or was before it answered.
    Disconnected,
    /// The peer answered with an error.
    Refused(Error),
    /// Its outbox is full; only from broadcasts that may drop.
    Full,
    /// The answer is not of the type that was asked for.
    Decode(String),
    /// As many requests as `maxPendingAcks` wait for this socket's answers already.
    Limit,
    /// The event cannot be named so.
    Name(NameError),
    /// The data cannot be written as JSON.
    Encode(String),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Timeout => f.write_str("no answer came in time"),
            RequestError::Disconnected => f.write_str("the socket is disconnected"),
            RequestError::Full => f.write_str("the socket's outbox is full"),
            RequestError::Refused(error) => write!(f, "refused: {error}"),
            RequestError::Decode(text) => write!(f, "the answer cannot be read: {text}"),
            RequestError::Limit => f.write_str("too many requests wait for this socket's answers"),
            RequestError::Name(error) => error.fmt(f),
            RequestError::Encode(text) => write!(f, "the data cannot be written: {text}"),
        }
    }
}

impl std::error::Error for RequestError {}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Error {
        let code = match error {
            // Whoever asked on behalf of another passes the answer on as it came.
            RequestError::Refused(error) => return error,
            RequestError::Timeout => code::TIMEOUT,
            RequestError::Limit => code::LIMIT,
            RequestError::Full => code::BUSY,
            RequestError::Disconnected => code::DISCONNECTED,
            _ => code::HANDLER_FAILED,
        };
        Error::new(code, error.to_string())
    }
}

/// What became of one request.
pub(crate) type Outcome = Result<Packet, RequestError>;

/// Takes the outcome of one request.
#[derive(Debug)]
pub(crate) enum Waiter {
    One(oneshot::Sender<Outcome>),
    /// One of many, told apart by the index of the asked.
    Many(usize, mpsc::Sender<(usize, Outcome)>),
}

impl Waiter {
    fn settle(self, outcome: Outcome) {
        // Whoever asked may have stopped waiting; then nobody wants to know.
        match self {
            Waiter::One(sender) => drop(sender.send(outcome)),
            // The channel has a place for each that was asked.
            Waiter::Many(index, sender) => drop(sender.try_send((index, outcome))),
        }
    }
}

/// The requests to one peer that wait.
#[derive(Debug)]
pub(crate) struct Acks {
    limit: usize,
    /// `None` once the socket is gone. A std mutex: held for a look-up.
    pending: Mutex<Option<HashMap<u64, Waiter>>>,
}

/// Numbers for requests. One count for the whole process, so that a request to many can be
/// encoded once: it is free at each of them.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Acks {
    pub(crate) fn new(limit: usize) -> Acks {
        Acks { limit, pending: Mutex::new(Some(HashMap::new())) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, Waiter>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the answer to request `id`.
    pub(crate) fn expect(&self, id: u64, waiter: Waiter) -> Result<(), RequestError> {
        let mut pending = self.lock();
        let Some(pending) = pending.as_mut() else { return Err(RequestError::Disconnected) };
        if pending.len() >= self.limit {
            return Err(RequestError::Limit);
        }
        pending.insert(id, waiter);
        Ok(())
    }

    /// Waits no longer.
    pub(crate) fn forget(&self, id: u64) {
        // Dropped when the lock is released: that wakes whoever waits.
        drop(self.take(id));
    }

    /// Settles the request `id` with what the peer sent as `ack`. Gives back what answers none.
    pub(crate) fn settle_ack(&self, id: u64, packet: Packet) -> Option<Packet> {
        match self.take(id) {
            Some(waiter) => waiter.settle(Ok(packet)),
            None => return Some(packet),
        }
        None
    }

    /// Settles the request `id` with what the peer sent as `error`. Returns whether there was one.
    pub(crate) fn settle_error(&self, id: u64, packet: &Packet) -> bool {
        #[derive(Deserialize)]
        struct Told {
            code: Option<String>,
            message: Option<String>,
            details: Option<Value>,
        }
        let waiter = self.take(id);
        let is_awaited = waiter.is_some();
        if let Some(waiter) = waiter {
            let told: Option<Told> = serde_json::from_slice(packet.data()).ok();
            let told = told.unwrap_or(Told { code: None, message: None, details: None });
            let code = told.code.unwrap_or_else(|| code::HANDLER_FAILED.to_owned());
            let mut error = Error::new(code, told.message.unwrap_or_default());
            if let Some(details) = told.details {
                error = error.with_details(details);
            }
            waiter.settle(Err(RequestError::Refused(error)));
        }
        is_awaited
    }

    fn take(&self, id: u64) -> Option<Waiter> {
        self.lock().as_mut()?.remove(&id)
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().as_ref().map_or(0, HashMap::len)
    }

    /// The socket is gone: everything that waits fails, and nothing waits again.
    pub(crate) fn fail_all(&self) {
        let pending = self.lock().take().unwrap_or_default();
        for waiter in pending.into_values() {
            waiter.settle(Err(RequestError::Disconnected));
        }
    }
}
