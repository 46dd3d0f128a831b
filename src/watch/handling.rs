//! What is watched of the handlers of one event: how many there were, how long they take, and what they say meanwhile.

use std::time::Instant;

use crate::protocol::Packet;
use crate::router::Listeners;
use crate::socket::Socket;
use crate::spans::EventSpan;

/// The handlers of one event, one after another, or one that runs on beside the lane.
///
/// To look at the time costs more than many handlers do: those that are ready at once are measured where they stand for
/// others, those that have to wait always, from then on.
#[derive(Clone, Debug)]
pub(crate) struct Handling {
    span: EventSpan,
    clock: Clock,
    /// What the clock is set to for each handler.
    measure: Measure,
}

#[derive(Clone, Copy, Debug)]
enum Measure {
    /// The connect handlers are no event's.
    Never,
    /// Not before it has to wait.
    Waits,
    /// It is to stand for so many.
    For(u8),
}

/// Since when a handler is measured, and for how many it stands.
type Clock = Option<(Instant, u8)>;

impl Handling {
    /// The connect handlers.
    pub(crate) fn connects(packet: &Packet) -> Handling {
        Handling { span: EventSpan::new(packet), clock: None, measure: Measure::Never }
    }

    /// An event comes, and is counted.
    pub(crate) fn event(socket: &Socket, packet: &Packet, listeners: &[Option<Listeners>; 2]) -> Handling {
        let mut all = listeners.iter().flatten().flat_map(|listeners| listeners.iter());
        let stands_for = match all.find_map(|listener| listener.counts()) {
            Some(counts) => counts.handle(),
            None => socket.io().watched().events.of(packet.event()).handle(),
        };
        let measure = if stands_for > 0 { Measure::For(stands_for) } else { Measure::Waits };
        Handling { span: EventSpan::new(packet), clock: None, measure }
    }

    /// Runs what a handler does, within the event's span.
    pub(crate) fn run<R>(&self, handler: impl FnOnce() -> R) -> R {
        self.span.in_scope(handler)
    }

    /// A handler is called.
    pub(crate) fn begins(&mut self) {
        self.clock = match self.measure {
            Measure::For(others) => Some((Instant::now(), others)),
            Measure::Never | Measure::Waits => None,
        };
    }

    /// It has to wait. Of the others that it was to stand for, those that wait are measured themselves.
    pub(crate) fn goes_on(&mut self) {
        if !matches!(self.measure, Measure::Never) {
            let (since, _) = self.clock.unwrap_or_else(|| (Instant::now(), 1));
            self.clock = Some((since, 1));
        }
    }

    /// It is done.
    pub(crate) fn ends(&mut self, socket: &Socket, packet: &Packet) {
        if let Some((since, others)) = self.clock.take() {
            let time = since.elapsed();
            socket.io().watched().events.of(packet.event()).took(time, others.into());
        }
    }
}
