//! A room that remembers, as server code holds it.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::history::{Log, Logged};
use crate::io::Io;

/// What a room with history keeps. See [`Io::room`].
///
/// It names the room and holds nothing: a room that there is not, or that has no history, has kept nothing.
///
/// ```
/// # async fn f(io: eventwire::Io) -> eventwire::Result<()> {
/// use eventwire::History;
///
/// io.rooms("chat:*").public().history(History::messages(200));
/// io.to("chat:all").emit("said", "hello").await?;
///
/// let room = io.room("chat:all");
/// for message in room.read(1..) {
///     println!("{}: {} {}", message.seq, message.event, message.data);
/// }
/// assert_eq!(room.last_seq(), 1);
/// room.clear();
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RoomLog<'a> {
    io: &'a Io,
    name: &'a str,
}

impl<'a> RoomLog<'a> {
    pub(crate) fn new(io: &'a Io, name: &'a str) -> RoomLog<'a> {
        RoomLog { io, name }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Log) -> R) -> Option<R> {
        self.io.hub().rooms().with(self.name, false, |_, state| state.log.as_deref_mut().map(f)).flatten()
    }

    /// The messages of these numbers that are still kept, the oldest first: `read(1..)` is all, `read(seen + 1..)` what came after
    /// `seen`. They are copied out.
    pub fn read(&self, seqs: impl RangeBounds<u64>) -> Vec<Logged> {
        let from = match seqs.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(from) => from.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match seqs.end_bound() {
            Bound::Included(to) => *to,
            Bound::Excluded(to) => to.saturating_sub(1),
            Bound::Unbounded => u64::MAX,
        };
        let room = self.io.hub().rooms().get(self.name);
        room.map(|room| room.read(from, to)).unwrap_or_default()
    }

    /// The number of its last message; 0 where there was none.
    pub fn last_seq(&self) -> u64 {
        self.with(|log| log.last()).unwrap_or(0)
    }

    /// The number of the oldest message that is kept; of the next one, where none is.
    pub fn first_seq(&self) -> u64 {
        self.with(|log| log.first()).unwrap_or(1)
    }

    /// Names this life of the room: it is another one after [`clear`](RoomLog::clear), or after the room was forgotten and
    /// made anew. `None` where there is no such room, or it has no history.
    pub fn epoch(&self) -> Option<Arc<str>> {
        self.with(|log| log.epoch().clone())
    }

    /// How many messages are kept.
    pub fn len(&self) -> usize {
        self.with(|log| log.len()).unwrap_or(0)
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of the messages that are kept, as frames of JSON.
    pub fn bytes(&self) -> usize {
        self.with(|log| log.bytes()).unwrap_or(0)
    }

    /// Forgets the room: at once where it has no members, else when the last one leaves. They miss nothing by that. A message that
    /// is emitted before lets it live on.
    pub fn forget(&self) {
        self.io.forget(self.name);
    }

    /// Forgets all messages and begins another life of the room, with the number 1. Its members stay, and are told by a `gap` of
    /// reason `epoch`.
    pub fn clear(&self) {
        if let Some(room) = self.io.hub().rooms().get(self.name) {
            room.clear();
        }
    }
}
