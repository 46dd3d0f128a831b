//! The lane: one socket's events pass it one after another, in the order in which they came.
//!
//! A handler is first polled where its event was read, in the connection's own task. Most are
//! done then, and cost no task. One that is not ready is spawned and takes the lane with it; its
//! task drains the inbox and then puts the lane back.

mod reply;
mod tasks;

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tracing::Instrument;

use self::reply::Reply;
pub(crate) use self::tasks::Tasks;
use crate::closing::{DisconnectReason, Ending};
use crate::encode::Scratch;
use crate::error::{Error, code, panic_text};
use crate::handler::{Answer, BoxFuture, Called, Kind};
use crate::outbox::{Push, wake};
use crate::protocol::{Id, Outgoing, Packet};
use crate::router::{Listener, Listeners, Snapshot, Table};
use crate::socket::Socket;
use crate::subscriptions;
use crate::watch::Handling;

/// How long `on_connect` may take.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// After so many events a task that drains an inbox lets others run.
const EVENTS_A_TURN: usize = 64;

/// What passes events to handlers. There is one a socket, and whoever has it may.
#[derive(Default)]
pub(crate) struct Lane {
    io: Snapshot,
    socket: Snapshot,
    /// The free places of listeners that run beside the lane; made for the first of them.
    places: Option<HashMap<u64, Places>>,
    /// The box of the last handler that was through.
    spare: Option<Called>,
    /// Whether the connect handlers have passed it.
    is_used: bool,
}

/// How many may run beside the lane, and how many more.
struct Places {
    all: usize,
    free: Arc<Semaphore>,
}

impl Places {
    fn new(all: usize) -> Places {
        Places { all, free: Arc::new(Semaphore::new(all)) }
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lane")
    }
}

impl Lane {
    /// Whether nothing has passed it yet: the connect handlers are to be the first.
    pub(crate) fn is_new(&self) -> bool {
        !self.is_used
    }

    /// Gives back what it has not needed for long.
    pub(crate) fn rest(&mut self) {
        self.spare = None;
    }

    fn places(&mut self, listener: &Listener, concurrent: usize) -> Arc<Semaphore> {
        let places = self.places.get_or_insert_default();
        let places = places.entry(listener.id).or_insert_with(|| Places::new(concurrent));
        if places.all != concurrent {
            // Those that run keep their place among the old ones.
            *places = Places::new(concurrent);
        }
        places.free.clone()
    }

    /// Handles an event as far as that goes at once. If a handler is not ready, a task takes the
    /// lane along, and `None` is returned.
    pub(crate) fn handle(mut self: Box<Self>, socket: &Socket, work: Work, cx: &mut Context<'_>) -> Option<Box<Lane>> {
        self.is_used = true;
        let mut turn = Turn::new(&mut self, socket, work);
        if turn.poll(&mut self, socket, Timing::Later, cx).is_ready() {
            return Some(self);
        }
        socket.tasks().spawn(drive(socket.clone(), self, turn).in_current_span());
        None
    }
}

/// Goes on with a turn that was not ready, then with what waits in the inbox.
async fn drive(socket: Socket, mut lane: Box<Lane>, mut turn: Turn) {
    let mut handled = 0;
    loop {
        poll_fn(|cx| turn.poll(&mut lane, &socket, Timing::Now, cx)).await;
        // After `disconnect()` nothing is handled any more. What a client sent before it went itself, is.
        if socket.member().outbox.is_ending() {
            return;
        }
        let Some((home, packet)) = socket.inbox().next(lane) else { return };
        lane = home;
        turn = Turn::new(&mut lane, &socket, Work::Event(packet));
        handled += 1;
        if handled % EVENTS_A_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// What passes the lane.
#[derive(Debug)]
pub(crate) enum Work {
    /// The connect handlers, before everything else.
    Connect,
    Event(Packet),
}

/// One event on its way through its listeners.
struct Turn {
    event: Underway,
    /// The `Io`'s, then the socket's.
    listeners: [Option<Listeners>; 2],
    next: usize,
    handled: bool,
    stage: Stage,
}

/// The event itself, and its answer.
struct Underway {
    packet: Packet,
    connects: bool,
    reply: Reply,
    handling: Handling,
}

enum Stage {
    /// The next listener is to be called.
    Next,
    /// The listener waits for a free place.
    Place(Arc<Listener>, BoxFuture<Option<OwnedSemaphorePermit>>),
    Running(Running),
    /// The answer waits for room in the outbox.
    Sending {
        sending: BoxFuture<bool>,
        last: bool,
    },
    Done,
}

/// When a handler's time begins to count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Timing {
    /// It will be polled again at once, in a task of its own, and may well be done then: no
    /// timer yet.
    Later,
    Now,
}

struct Running {
    future: Guarded,
    /// It was polled when it was called, in this very turn.
    is_polled: bool,
    /// It has answered: nothing is left in its box.
    is_through: bool,
    limit: Duration,
    /// Set when the future was not ready: most never need it.
    timer: Option<Pin<Box<Sleep>>>,
    /// Its place beside the lane, if it may leave it.
    place: Option<OwnedSemaphorePermit>,
}

impl Turn {
    fn new(lane: &mut Lane, socket: &Socket, work: Work) -> Turn {
        let io = lane.io.of(socket.io().router());
        let own = lane.socket.of(socket.router());
        let (packet, connects) = match work {
            Work::Event(packet) => (packet, false),
            Work::Connect => (Packet::new("connect", "null", None), true),
        };
        let listeners = match connects {
            true => [io.map(|table| table.connect.clone().into()), None],
            false => {
                let of = |table: Option<&Arc<Table>>| table.and_then(|table| table.listeners(packet.event())).cloned();
                [of(io), of(own)]
            }
        };
        let mut handling = match connects {
            true => Handling::connects(&packet),
            false => Handling::event(socket, &packet, &listeners),
        };
        let stage = match packet.event() {
            "subscribe" | "unsubscribe" => {
                let future = subscriptions::handle(socket.clone(), packet.clone());
                handling.begins();
                Stage::Running(Running::new(future, socket.config().handler_timeout))
            }
            _ => Stage::Next,
        };
        let handled = !matches!(stage, Stage::Next) || connects;
        let event = Underway { packet, connects, reply: Reply::default(), handling };
        Turn { event, listeners, next: 0, handled, stage }
    }

    fn poll(&mut self, lane: &mut Lane, socket: &Socket, timing: Timing, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Turn { event, listeners, next, handled, stage } = self;
            match stage {
                Stage::Next => {
                    let Some(listener) = next_listener(listeners, next) else {
                        *stage = event.end(socket, *handled);
                        continue;
                    };
                    *handled = true;
                    if listener.is_once() {
                        socket.forget_listener(listener.id);
                    }
                    *stage = match listener.concurrent() {
                        None => event.start(socket, listener, None, &mut lane.spare, cx),
                        Some(n) => {
                            let places = lane.places(listener, n);
                            match places.clone().try_acquire_owned() {
                                Ok(place) => event.start(socket, listener, Some(place), &mut lane.spare, cx),
                                Err(_) => {
                                    Stage::Place(listener.clone(), Box::pin(places.acquire_owned().map(Result::ok)))
                                }
                            }
                        }
                    };
                }
                Stage::Place(listener, place) => {
                    let place = ready!(place.poll_unpin(cx));
                    let listener = listener.clone();
                    *stage = event.start(socket, &listener, place, &mut lane.spare, cx);
                }
                Stage::Running(running) => match running.poll(socket, event, timing, cx) {
                    Poll::Ready(answer) => {
                        let limit = running.limit;
                        lane.spare = running.future.0.take_if(|_| running.is_through && !event.connects);
                        *stage = event.take(socket, answer, limit);
                    }
                    Poll::Pending if running.place.is_some() => {
                        if let Stage::Running(running) = std::mem::replace(stage, Stage::Next) {
                            event.detach(socket, running);
                        }
                    }
                    Poll::Pending => return Poll::Pending,
                },
                Stage::Sending { sending, last } => {
                    ready!(sending.poll_unpin(cx));
                    *stage = if *last { Stage::Done } else { Stage::Next };
                }
                Stage::Done => return Poll::Ready(()),
            }
        }
    }
}

/// The next one that is to be called.
fn next_listener<'a>([first, second]: &'a [Option<Listeners>; 2], next: &mut usize) -> Option<&'a Arc<Listener>> {
    let (first, second) = (first.as_deref().unwrap_or_default(), second.as_deref().unwrap_or_default());
    loop {
        let listener = first.get(*next).or_else(|| second.get(*next - first.len()))?;
        *next += 1;
        if listener.claim() {
            return Some(listener);
        }
    }
}

impl Underway {
    /// Calls a handler, and polls it at once: most are done then.
    fn start(
        &mut self,
        socket: &Socket,
        listener: &Listener,
        place: Option<OwnedSemaphorePermit>,
        spare: &mut Option<Called>,
        cx: &mut Context<'_>,
    ) -> Stage {
        self.handling.begins();
        let mut future = Guarded(spare.take());
        let started = self.handling.run(|| {
            catch_unwind(AssertUnwindSafe(|| {
                listener.call.call(socket, &self.packet, &mut future.0)?;
                Ok(future.0.as_mut().map_or(Poll::Pending, |future| future.poll(cx)))
            }))
        });
        // A connect handler is the only one of its size.
        if let Ok(Ok(Poll::Ready(_)) | Err(_)) = &started
            && !self.connects
        {
            *spare = future.0.take();
        }
        let usual = if self.connects { CONNECT_LIMIT } else { socket.config().handler_timeout };
        let limit = listener.timeout().unwrap_or(usual);
        let answer = match started {
            Ok(Ok(Poll::Pending)) => {
                return Stage::Running(Running {
                    future,
                    is_polled: true,
                    is_through: false,
                    limit,
                    timer: None,
                    place,
                });
            }
            Ok(Ok(Poll::Ready(answer))) => answer,
            Ok(Err(refused)) => Answer(Kind::Error(refused)),
            Err(panic) => panicked(socket, &self.packet, &*panic),
        };
        drop((future, place));
        self.is_done(socket, &answer);
        self.take(socket, answer, limit)
    }

    /// A handler is through, or will answer later.
    fn is_done(&mut self, socket: &Socket, answer: &Answer) {
        match answer.0 {
            Kind::Later(_) => self.handling.goes_on(),
            _ => self.handling.ends(socket, &self.packet),
        }
    }

    /// Takes what a listener answered. If it answers later, `limit` holds for that.
    fn take(&mut self, socket: &Socket, answer: Answer, limit: Duration) -> Stage {
        let answer = match answer.0 {
            Kind::Nothing => return Stage::Next,
            Kind::Error(error) if self.connects => {
                socket.member().end(Ending::refusal(&error));
                return Stage::Done;
            }
            Kind::Panicked if self.connects => {
                socket.member().end(Ending::after_drain(DisconnectReason::Failed, Duration::ZERO));
                return Stage::Done;
            }
            Kind::Later(future) => {
                let running = Running::new(future, limit);
                // As many as the inbox holds may answer later; the next one holds the lane, and so its peer.
                if socket.tasks().len() >= socket.config().inbox.messages {
                    return Stage::Running(running);
                }
                self.detach(socket, running);
                return Stage::Next;
            }
            kind => Answer(kind),
        };
        match self.reply.frame(socket, &self.packet, answer) {
            Some(frame) => send(socket, frame, false),
            None => Stage::Next,
        }
    }

    /// After the last listener.
    fn end(&mut self, socket: &Socket, handled: bool) -> Stage {
        let frame = if handled {
            self.reply.close(socket, &self.packet)
        } else {
            let unknown = Error::new(code::UNKNOWN_EVENT, "nobody handles this event");
            self.reply.frame(socket, &self.packet, Answer(Kind::Error(unknown)))
        };
        frame.map_or(Stage::Done, |frame| send(socket, frame, true))
    }

    /// Lets a handler run on beside the lane.
    fn detach(&mut self, socket: &Socket, mut running: Running) {
        let mut event = Underway {
            packet: self.packet.clone(),
            connects: self.connects,
            reply: if self.packet.id().is_some() { self.reply.share() } else { Reply::default() },
            handling: self.handling.clone(),
        };
        let owner = socket.clone();
        let task = async move {
            let socket = owner;
            let mut answer = poll_fn(|cx| running.poll(&socket, &mut event, Timing::Now, cx)).await;
            while let Kind::Later(future) = answer.0 {
                running.future = Guarded(Some(future));
                answer = poll_fn(|cx| running.poll(&socket, &mut event, Timing::Now, cx)).await;
            }
            // Copies of their own size: the thread's buffers are not for who may have to wait.
            if let Some(frame) = event.reply.frame(&socket, &event.packet, answer).map(|frame| frame.to_bytes()) {
                socket.member().outbox.push_when_room(&frame).await;
            }
            if let Some(frame) = event.reply.close(&socket, &event.packet).map(|frame| frame.to_bytes()) {
                socket.member().outbox.push_when_room(&frame).await;
            }
        };
        socket.tasks().spawn(task.in_current_span());
    }
}

/// Sends an answer, at once if there is room; `last`: nothing comes after it.
fn send(socket: &Socket, frame: Scratch, last: bool) -> Stage {
    match socket.member().outbox.push(&frame) {
        Push::Queued { waker, .. } => wake(waker),
        Push::Full => {
            let (member, frame) = (socket.member().clone(), frame.to_bytes());
            let sending = Box::pin(async move { member.outbox.push_when_room(&frame).await });
            return Stage::Sending { sending, last };
        }
        Push::Dropped { .. } | Push::Closed => {}
    }
    if last { Stage::Done } else { Stage::Next }
}

/// A handler's future, whose panics end nothing but itself: neither when it is polled nor when it
/// is dropped.
struct Guarded(Option<Called>);

impl Guarded {
    fn poll(&mut self, cx: &mut Context<'_>) -> Result<Poll<Answer>, Box<dyn Any + Send>> {
        catch_unwind(AssertUnwindSafe(|| match &mut self.0 {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let future = self.0.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            tracing::error!(panic = panic_text(&*panic), "a handler panicked when it was dropped");
        }
    }
}

impl Running {
    fn new(future: Called, limit: Duration) -> Running {
        Running { future: Guarded(Some(future)), is_polled: false, is_through: false, limit, timer: None, place: None }
    }

    fn poll(&mut self, socket: &Socket, event: &mut Underway, timing: Timing, cx: &mut Context<'_>) -> Poll<Answer> {
        if !std::mem::take(&mut self.is_polled) {
            let answer = match event.handling.run(|| self.future.poll(cx)) {
                Ok(Poll::Ready(answer)) => {
                    self.is_through = true;
                    Some(answer)
                }
                Ok(Poll::Pending) => None,
                Err(panic) => Some(panicked(socket, &event.packet, &*panic)),
            };
            if let Some(answer) = answer {
                event.is_done(socket, &answer);
                return Poll::Ready(answer);
            }
        }
        event.handling.goes_on();
        if timing == Timing::Later {
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.limit)));
        ready!(timer.poll_unpin(cx));
        event.handling.ends(socket, &event.packet);
        tracing::warn!(socket = %socket.id(), event = event.packet.event(), limit = ?self.limit, "a handler took too long and was cancelled");
        Poll::Ready(Answer(Kind::Error(Error::timeout())))
    }
}

/// A panic ends that handler: it is logged, counted and answered, and its text stays here.
fn panicked(socket: &Socket, packet: &Packet, panic: &(dyn Any + Send)) -> Answer {
    let text = panic_text(panic);
    tracing::error!(socket = %socket.id(), event = packet.event(), panic = text, "a handler panicked");
    socket.io().count_panic();
    Answer(Kind::Panicked)
}

/// The acknowledgement of request `id`.
pub(crate) fn ack(socket: &Socket, id: &Id, data: &[u8]) -> Scratch {
    socket.member().encode(&Outgoing::direct("ack", Some(id), data))
}
