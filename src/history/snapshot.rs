//! What is left of the messages that a room no longer has: a state that they were folded into.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::Logged;
use crate::encode;
use crate::error::panic_text;
use crate::hub::Member;
use crate::protocol::Outgoing;

/// How messages are folded, as the user says: makes the state of a new life of a room.
#[derive(Clone)]
pub(super) struct Fold {
    pub(super) event: Arc<str>,
    begin: Arc<dyn Fn() -> Box<dyn State> + Send + Sync>,
}

impl Fold {
    pub(super) fn new<S, F>(event: &str, initial: S, fold: F) -> Fold
    where
        S: Serialize + Clone + Send + Sync + 'static,
        F: Fn(&mut S, &Logged) + Send + Sync + 'static,
    {
        let fold = Arc::new(fold);
        let begin = Arc::new(move || Box::new(Folded { state: initial.clone(), fold: fold.clone() }) as Box<dyn State>);
        Fold { event: event.into(), begin }
    }

    /// A new state. User code: not to be called under a lock.
    pub(super) fn begin(&self) -> Box<dyn State> {
        (self.begin)()
    }
}

impl fmt::Debug for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fold({})", self.event)
    }
}

/// A state and its fold, whatever their types.
pub(super) trait State: Send + Sync {
    fn fold(&mut self, message: &Logged);
    fn json(&self) -> Result<Bytes, serde_json::Error>;
}

struct Folded<S, F> {
    state: S,
    fold: Arc<F>,
}

impl<S, F> State for Folded<S, F>
where
    S: Serialize + Send + Sync,
    F: Fn(&mut S, &Logged) + Send + Sync,
{
    fn fold(&mut self, message: &Logged) {
        (self.fold)(&mut self.state, message);
    }

    fn json(&self) -> Result<Bytes, serde_json::Error> {
        encode::json(&self.state).map(|json| Bytes::copy_from_slice(&json))
    }
}

/// Where the state of a room is.
enum Place {
    /// Nothing was folded yet.
    New,
    Here(Box<dyn State>),
    /// Somebody folds into it or writes it, outside of the room's lock.
    Lent,
    /// The fold panicked or did not keep up: from here on, what is evicted is lost.
    Broken,
}

/// The snapshot of one room.
pub(super) struct Snapshot {
    fold: Fold,
    place: Place,
    /// The data and the frame of JSON, written when somebody wanted it; until the next message is folded.
    written: Option<Written>,
}

pub(super) struct Written {
    pub(super) data: Bytes,
    frame: Option<Bytes>,
}

impl Written {
    /// The frame for a member.
    pub(super) fn frame(&mut self, member: &Member, room: &str, event: &str, seq: u64) -> Bytes {
        let direct = Outgoing::direct(event, None, &self.data);
        let snapshot = Outgoing { room: Some(room), seq: Some(seq), snapshot: true, ..direct };
        if member.spoken.place != 0 {
            return member.encode(&snapshot).to_bytes();
        }
        self.frame.get_or_insert_with(|| member.encode(&snapshot).to_bytes()).clone()
    }
}

/// The state, borrowed from its room for work that is not done under the room's lock.
pub(super) struct Lent {
    state: Option<Box<dyn State>>,
    fold: Fold,
}

impl Snapshot {
    pub(super) fn new(fold: Fold) -> Snapshot {
        Snapshot { fold, place: Place::New, written: None }
    }

    /// A new life of the room. What it drops is user's: to be dropped where no lock is held.
    pub(super) fn renew(&mut self) -> Snapshot {
        let new = Snapshot::new(self.fold.clone());
        std::mem::replace(self, new)
    }

    pub(super) fn event(&self) -> Arc<str> {
        self.fold.event.clone()
    }

    pub(super) fn is_lent(&self) -> bool {
        matches!(self.place, Place::Lent)
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self.place, Place::Broken)
    }

    pub(super) fn break_off(&mut self) {
        self.place = Place::Broken;
        self.written = None;
    }

    pub(super) fn is_written(&self) -> bool {
        self.written.is_some()
    }

    pub(super) fn written(&mut self) -> Option<&mut Written> {
        self.written.as_mut()
    }

    /// Takes the state out, unless somebody else has it or it is no more.
    pub(super) fn lend(&mut self) -> Option<Lent> {
        if matches!(self.place, Place::Lent | Place::Broken) {
            return None;
        }
        let state = match std::mem::replace(&mut self.place, Place::Lent) {
            Place::Here(state) => Some(state),
            _ => None,
        };
        Some(Lent { state, fold: self.fold.clone() })
    }

    /// Puts it back. Returns what is to be dropped where no lock is held.
    pub(super) fn give_back(&mut self, lent: Lent, written: Option<Bytes>) -> Option<Lent> {
        if !matches!(self.place, Place::Lent) {
            return Some(lent);
        }
        self.written = written.map(|data| Written { data, frame: None });
        self.place = lent.state.map_or(Place::Broken, Place::Here);
        None
    }
}

impl Lent {
    /// Calls user code: not under a lock. When that panics the state is lost.
    pub(super) fn fold(&mut self, message: &Logged) {
        self.with("a fold", |state| state.fold(message));
    }

    /// The same for writing it.
    pub(super) fn write(&mut self) -> Option<Bytes> {
        match self.with("writing a snapshot", |state| state.json())? {
            Ok(data) => Some(data),
            Err(error) => {
                tracing::error!(%error, "a snapshot cannot be written as JSON");
                self.state = None;
                None
            }
        }
    }

    /// Makes the first state where there was none yet.
    pub(super) fn begin(&mut self) {
        if self.state.is_none() {
            let fold = &self.fold;
            self.state = catch_unwind(AssertUnwindSafe(|| fold.begin())).ok();
        }
    }

    fn with<R>(&mut self, what: &str, f: impl FnOnce(&mut dyn State) -> R) -> Option<R> {
        let state = self.state.as_mut()?;
        match catch_unwind(AssertUnwindSafe(|| f(&mut **state))) {
            Ok(done) => Some(done),
            Err(panic) => {
                tracing::error!(panic = panic_text(&*panic), "{what} panicked: its room tells gaps now");
                self.state = None;
                None
            }
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.place {
            Place::New => "Snapshot(new)",
            Place::Here(_) => "Snapshot(here)",
            Place::Lent => "Snapshot(lent)",
            Place::Broken => "Snapshot(broken)",
        })
    }
}
