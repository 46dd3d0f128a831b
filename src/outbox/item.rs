//! What lies in an outbox.

use std::ops::Deref;

use bytes::Bytes;

/// Frames are put together up to so many bytes: one thing to queue, to hand to the kernel and to free for many messages.
const MOST: usize = 16 * 1024;

/// What has room for a second frame has room for so much.
const LEAST: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is sent, or the connection ends before: an emit to this socket alone, or a broadcast that ends who has no room for it.
    Kept,
    /// The overflow policy may drop it.
    Droppable,
    /// An answer that the read loop makes itself.
    Reply,
    /// The place of a frame that is not known yet; nothing behind it is sent before it.
    Reserved,
    /// A frame that was put into such a place.
    Filled,
    /// From a room with history: it never lay in the queue.
    Pulled,
}

/// A frame that is to be queued.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offer<'a> {
    /// For this socket alone: copied.
    Alone(&'a [u8]),
    /// For many.
    Shared(&'a Bytes),
}

impl Deref for Offer<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Offer::Alone(frame) => frame,
            Offer::Shared(frame) => frame,
        }
    }
}

/// One frame or a run of them on their way to the peer.
#[derive(Debug)]
pub(crate) struct Item {
    run: Run,
    messages: u32,
    pub(super) kind: Kind,
}

#[derive(Debug)]
enum Run {
    Own(Vec<u8>),
    Shared(Bytes),
}

impl Item {
    pub(super) fn new(offer: Offer<'_>, kind: Kind) -> Item {
        let run = match offer {
            Offer::Alone(frame) => Run::Own(frame.to_vec()),
            Offer::Shared(frame) => Run::Shared(frame.clone()),
        };
        Item { run, messages: 1, kind }
    }

    /// Messages from a room with history.
    pub(crate) fn pulled(bytes: Bytes, messages: usize) -> Item {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        Item { run: Run::Shared(bytes), messages, kind: Kind::Pulled }
    }

    /// Takes one more frame behind those that are in it, if it can.
    pub(super) fn extend(&mut self, frame: &[u8], kind: Kind, most: usize) -> bool {
        // Others are looked for one by one.
        if self.kind != kind || !matches!(kind, Kind::Kept | Kind::Reply) || self.messages() >= most {
            return false;
        }
        let Run::Own(run) = &mut self.run else { return false };
        let length = run.len() + frame.len();
        if length > MOST {
            return false;
        }
        if length > run.capacity() {
            // In few steps. The room that is not used is not counted as waiting: at most three times what is, or what one run has at least.
            let capacity = (run.capacity() * 4).clamp(LEAST, MOST);
            run.reserve_exact(capacity.max(length) - run.len());
        }
        run.extend_from_slice(frame);
        self.messages += 1;
        true
    }

    /// Puts a frame into its place.
    pub(super) fn fill(&mut self, frame: &[u8]) {
        self.run = Run::Own(frame.to_vec());
        self.kind = Kind::Filled;
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages as usize
    }

    /// Whether it was queued, and not pulled.
    pub(crate) fn is_queued(&self) -> bool {
        self.kind != Kind::Pulled
    }
}

impl Deref for Item {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.run {
            Run::Own(run) => run,
            Run::Shared(run) => run,
        }
    }
}
