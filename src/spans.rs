//! What `tracing` is told of connections and events, as spans around all that happens in them. Nothing is told here that may be a
//! secret: no query, no header, no payload. Where nobody listens a span is looked for, not made.

use tracing::Span;

use crate::protocol::Packet;
use crate::socket::Socket;

/// Around all of a connection, and so around its handlers. It has no parent: it outlives the request that it began with, which it
/// only follows from.
pub(crate) fn connection(socket: &Socket) -> Span {
    let (member, handshake) = (socket.member(), socket.handshake());
    let span = tracing::info_span!(
        target: "eventwire::connection",
        parent: None,
        "connection",
        socket = %member.id,
        peer = handshake.peer().map(tracing::field::display),
        dialect = member.spoken.dialect.subprotocol(),
        path = handshake.path(),
    );
    span.follows_from(Span::current());
    span
}

/// Around the handlers of one event, within that of its connection. An event passes through many hands: while nobody listens,
/// this is next to nothing to carry.
#[derive(Clone, Debug)]
pub(crate) struct EventSpan(Option<Box<Span>>);

impl EventSpan {
    pub(crate) fn new(packet: &Packet) -> EventSpan {
        let span = tracing::debug_span!(
            target: "eventwire::event",
            "event",
            event = packet.event(),
            id = packet.id().map(tracing::field::display),
        );
        EventSpan((!span.is_disabled()).then(|| Box::new(span)))
    }

    pub(crate) fn in_scope<R>(&self, f: impl FnOnce() -> R) -> R {
        match &self.0 {
            Some(span) => span.in_scope(f),
            None => f(),
        }
    }
}
