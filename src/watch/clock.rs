//! How long handlers take, at little cost.

use std::time::Instant;

use crate::protocol::Packet;
use crate::router::Listeners;
use crate::socket::Socket;

/// Measures a handler. To look at the time costs more than many handlers do: those that are ready at once are measured
/// where they stand for others, those that have to wait always, from then on.
#[derive(Clone, Copy)]
pub(crate) enum Clock {
    /// The connect handlers are no event's.
    Off,
    /// Not before it has to wait.
    Unless,
    /// It is to stand for so many.
    For(u64),
    /// It runs since then.
    Since(Instant, u64),
}

impl Clock {
    /// Counts an event. Returns how its handlers are measured.
    pub(crate) fn of(socket: &Socket, packet: &Packet, listeners: &[Option<Listeners>; 2]) -> Clock {
        let all = listeners.iter().flatten().flat_map(|listeners| listeners.iter());
        let stands_for = match all.filter_map(|listener| listener.counts()).next() {
            Some(counts) => counts.handle(),
            None => socket.io().watched().events.of(packet.event()).handle(),
        };
        if stands_for > 0 { Clock::For(stands_for) } else { Clock::Unless }
    }

    /// A handler is called.
    pub(crate) fn start(self) -> Clock {
        match self {
            Clock::For(others) => Clock::Since(Instant::now(), others),
            clock => clock,
        }
    }

    /// It has to wait. Of the others that it was to stand for, those that wait are measured themselves.
    pub(crate) fn goes_on(&mut self) {
        *self = match *self {
            Clock::Off => Clock::Off,
            Clock::Since(since, _) => Clock::Since(since, 1),
            Clock::Unless | Clock::For(_) => Clock::Since(Instant::now(), 1),
        };
    }

    /// It is done.
    pub(crate) fn stop(self, socket: &Socket, packet: &Packet) {
        if let Clock::Since(since, others) = self {
            let time = since.elapsed();
            socket.io().watched().events.of(packet.event()).took(time, others);
        }
    }
}
