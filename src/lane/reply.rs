//! The one answer to a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::ack;
use crate::encode::Scratch;
use crate::error::Error;
use crate::handler::{Answer, Kind};
use crate::protocol::Packet;
use crate::socket::Socket;

/// The answer to one request, of which there is exactly one: the first that is not nothing, or
/// `null` when all listeners are through. Who asked under no id gets none.
pub(super) enum Reply {
    /// Nobody answers but the turn.
    Alone {
        answered: bool,
    },
    Shared(Arc<Open>),
}

pub(super) struct Open {
    answered: AtomicBool,
    /// How many may still answer: the turn, and what it has detached.
    parties: AtomicUsize,
}

impl Default for Reply {
    fn default() -> Reply {
        Reply::Alone { answered: false }
    }
}

impl Reply {
    /// For one more party, which must [`close`](Reply::close) it.
    pub(super) fn share(&mut self) -> Reply {
        let open = match self {
            Reply::Shared(open) => open.clone(),
            Reply::Alone { answered } => {
                Arc::new(Open { answered: AtomicBool::new(*answered), parties: AtomicUsize::new(1) })
            }
        };
        open.parties.fetch_add(1, Ordering::Relaxed);
        *self = Reply::Shared(open.clone());
        Reply::Shared(open)
    }

    /// Whether nobody has answered before; now somebody has.
    fn claim(&mut self) -> bool {
        !match self {
            Reply::Alone { answered } => std::mem::replace(answered, true),
            Reply::Shared(open) => open.answered.swap(true, Ordering::AcqRel),
        }
    }

    /// The frame that says this, if it is to be said.
    pub(super) fn frame(&mut self, socket: &Socket, packet: &Packet, answer: Answer) -> Option<Scratch> {
        if let Kind::Error(_) | Kind::Panicked = answer.0 {
            socket.io().watched().events.of(packet.event()).fail();
        }
        let kind = match answer.0 {
            Kind::Panicked => Kind::Error(Error::internal()),
            kind => kind,
        };
        match (kind, packet.id()) {
            (Kind::Value(json), Some(id)) if self.claim() => Some(ack(socket, id, &json)),
            (Kind::Error(error), Some(id)) if self.claim() => Some(socket.error_frame(Some(id), &error)),
            // Without an id to answer under, a refusal names the event.
            (Kind::Error(error), None) => Some(socket.error_frame(None, &error.about(packet.event()))),
            (Kind::Sent, Some(_)) => {
                self.claim();
                None
            }
            _ => None,
        }
    }

    /// One party is through. The last one answers `null` if nobody has answered.
    pub(super) fn close(&mut self, socket: &Socket, packet: &Packet) -> Option<Scratch> {
        let id = packet.id()?;
        let is_last = match self {
            Reply::Alone { .. } => true,
            Reply::Shared(open) => open.parties.fetch_sub(1, Ordering::AcqRel) == 1,
        };
        (is_last && self.claim()).then(|| ack(socket, id, b"null"))
    }
}
