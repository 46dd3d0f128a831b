use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::hub::Counters;
use crate::io::Io;
use crate::outbox::Backlog;
use crate::socket::Socket;

/// Counts of an [`Io`](crate::Io), of this node alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stats {
    /// Sockets that are connected.
    pub sockets: usize,
    /// Rooms that have members.
    pub rooms: usize,
    /// Patterns that have members.
    pub patterns: usize,
    /// Memberships: a socket in two rooms counts twice.
    pub members: usize,
    /// Sockets that have ever connected.
    pub connected: u64,
    /// Messages that came.
    pub messages_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Messages given to the system to send, one for each member of a room.
    pub messages_out: u64,
    /// Their bytes, with frame headers.
    pub bytes_out: u64,
    /// How often a broadcast was encoded: once per dialect in use and room, whatever the number of members.
    pub encoded: u64,
    /// Broadcasts that a member missed, by the overflow policy or by being volatile.
    pub dropped: u64,
    /// Gaps that members of rooms with history were told.
    pub gaps: u64,
    /// Messages that their sockets are to [acknowledge](crate::AtLeastOnce), each once for each socket.
    pub delivered: u64,
    /// How often one of them was sent again.
    pub again: u64,
    /// Those that were acknowledged.
    pub acked: u64,
    /// How often one was refused by `nack`.
    pub nacked: u64,
    /// Those that were given up. Some of them were never sent: those of [no tries](crate::DeadLetter::tries).
    pub dead_letters: u64,
    /// Those that sockets left unacknowledged in rooms with history when they went.
    pub left: u64,
    /// Rooms with history, those without members among them.
    pub logs: usize,
    /// Messages that they keep.
    pub logged_messages: usize,
    /// The bytes of these, as frames of JSON.
    pub logged_bytes: usize,
    /// Handlers that panicked.
    pub panics: u64,
}

/// What was counted for connections that are gone.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) connected: AtomicU64,
    gone: Counters,
}

impl Totals {
    pub(crate) fn add(&self, counters: &Counters) {
        for (total, counter) in self.gone.all().zip(counters.all()) {
            total.fetch_add(counter.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    pub(crate) fn gone(&self) -> &Counters {
        &self.gone
    }
}

impl Io {
    /// Counts of what is and was. They are summed when asked for.
    pub fn stats(&self) -> Stats {
        let [messages_in, bytes_in, messages_out, bytes_out, gaps, rest @ ..] = self.counted(Counters::totals);
        let [delivered, again, acked, nacked, dead_letters, left, dropped] = rest;
        // First: a socket is in its rooms for no longer than it is here.
        let sockets = self.hub().len();
        let census = self.hub().census();
        Stats {
            sockets,
            rooms: census.rooms,
            patterns: census.patterns,
            members: census.members,
            connected: self.connected(),
            messages_in,
            bytes_in,
            messages_out,
            bytes_out,
            encoded: census.encoded,
            dropped,
            gaps,
            delivered,
            again,
            acked,
            nacked,
            dead_letters,
            left,
            logs: census.logs,
            logged_messages: census.logged_messages,
            logged_bytes: census.logged_bytes,
            panics: self.panics(),
        }
    }
}

impl Socket {
    /// What waits for its peer: in its outbox, and in the rooms with history of which it is a member, as much of what it has still
    /// to get as these keep (of messages also those that it has missed). Who reads as fast as is sent has little or nothing.
    ///
    /// ```
    /// # fn f(io: eventwire::Io) {
    /// let slowest = io.sockets().into_iter().max_by_key(|socket| socket.backlog().bytes);
    /// # }
    /// ```
    pub fn backlog(&self) -> Backlog {
        let mut backlog = self.member().outbox.backlog();
        let rooms = self.io().hub().rooms();
        self.member().rooms().iter().for_each(|room| backlog.add(rooms.lag_of(self.id(), room)));
        backlog
    }
}
