//! The lane: one socket's events pass it one after another, in the order in which they came.
//!
//! A handler is first polled where its event was read, in the connection's own task. Most are
//! done then, and cost no task. One that is not ready is spawned and takes the lane with it; its
//! task drains the inbox and then puts the lane back.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tracing::Instrument;

use crate::closing::{DisconnectReason, Ending};
use crate::error::{Error, code, panic_text};
use crate::handler::{Answer, BoxFuture, Kind};
use crate::outbox::{Push, wake};
use crate::protocol::{Id, Outgoing, Packet};
use crate::router::{Listener, Listeners, Snapshot};
use crate::socket::Socket;
use crate::subscriptions;
use crate::watch::Handling;

/// How long `on_connect` may take.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long a cancelled handler may take to notice.
const CANCEL_LIMIT: Duration = Duration::from_millis(50);

/// After so many events a task that drains an inbox lets others run.
const EVENTS_A_TURN: usize = 64;

/// What passes events to handlers. There is one a socket, and whoever has it may.
#[derive(Default)]
pub(crate) struct Lane {
    io: Snapshot,
    socket: Snapshot,
    /// The free places of listeners that run beside the lane.
    places: HashMap<u64, Places>,
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

    fn places(&mut self, listener: &Listener, concurrent: usize) -> Arc<Semaphore> {
        let places = self.places.entry(listener.id).or_insert_with(|| Places::new(concurrent));
        if places.all != concurrent {
            // Those that run keep their place among the old ones.
            *places = Places::new(concurrent);
        }
        places.free.clone()
    }

    /// Handles an event as far as that goes at once. If a handler is not ready, a task takes the
    /// lane along, and `None` is returned.
    pub(crate) fn handle(mut self, socket: &Socket, work: Work, cx: &mut Context<'_>) -> Option<Lane> {
        self.is_used = true;
        let mut turn = Turn::new(&mut self, socket, work);
        if turn.poll(&mut self, socket, Timing::Later, cx).is_ready() {
            return Some(self);
        }
        let lane = self;
        let task = drive(socket.clone(), lane, turn);
        socket.tasks().spawn(task.in_current_span());
        None
    }
}

/// Goes on with a turn that was not ready, then with what waits in the inbox.
async fn drive(socket: Socket, mut lane: Lane, mut turn: Turn) {
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
    packet: Packet,
    connects: bool,
    /// The `Io`'s, then the socket's.
    listeners: [Option<Listeners>; 2],
    next: usize,
    handled: bool,
    stage: Stage,
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
            false => [io, own].map(|table| table.and_then(|table| table.listeners(packet.event())).cloned()),
        };
        let reply = Reply::to(packet.id());
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
        Turn { packet, connects, listeners, next: 0, handled, stage, reply, handling }
    }

    fn next_listener(&mut self) -> Option<Arc<Listener>> {
        let [first, second] = &self.listeners;
        let all = first.iter().flat_map(|list| list.iter()).chain(second.iter().flat_map(|list| list.iter()));
        for listener in all.skip(self.next) {
            self.next += 1;
            if listener.claim() {
                return Some(listener.clone());
            }
        }
        None
    }

    fn poll(&mut self, lane: &mut Lane, socket: &Socket, timing: Timing, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.stage {
                Stage::Next => {
                    let Some(listener) = self.next_listener() else {
                        self.stage = self.end(socket);
                        continue;
                    };
                    self.handled = true;
                    if listener.is_once() {
                        socket.forget_listener(listener.id);
                    }
                    self.stage = match listener.concurrent() {
                        None => self.start(socket, &listener, None),
                        Some(n) => {
                            let places = lane.places(&listener, n);
                            match places.clone().try_acquire_owned() {
                                Ok(place) => self.start(socket, &listener, Some(place)),
                                Err(_) => Stage::Place(listener, Box::pin(places.acquire_owned().map(Result::ok))),
                            }
                        }
                    };
                }
                Stage::Place(listener, place) => {
                    let place = ready!(place.poll_unpin(cx));
                    let listener = listener.clone();
                    self.stage = self.start(socket, &listener, place);
                }
                Stage::Running(running) => match running.poll(socket, &self.packet, &mut self.handling, timing, cx) {
                    Poll::Ready(answer) => {
                        let limit = running.limit;
                        self.stage = self.take(socket, answer, limit);
                    }
                    Poll::Pending if running.place.is_some() => {
                        if let Stage::Running(running) = std::mem::replace(&mut self.stage, Stage::Next) {
                            self.detach(socket, running);
                        }
                    }
                    Poll::Pending => return Poll::Pending,
                },
                Stage::Sending { sending, last } => {
                    ready!(sending.poll_unpin(cx));
                    self.stage = if *last { Stage::Done } else { Stage::Next };
                }
                Stage::Done => return Poll::Ready(()),
            }
        }
    }

    fn start(&mut self, socket: &Socket, listener: &Listener, place: Option<OwnedSemaphorePermit>) -> Stage {
        self.handling.begins();
        let called = self.handling.run(|| catch_unwind(AssertUnwindSafe(|| listener.call.call(socket, &self.packet))));
        match called {
            Ok(Ok(future)) => {
                let usual = if self.connects { CONNECT_LIMIT } else { socket.config().handler_timeout };
                let limit = listener.timeout().unwrap_or(usual);
                Stage::Running(Running { place, ..Running::new(future, limit) })
            }
            Ok(Err(refused)) => self.refuse(socket, Answer(Kind::Error(refused))),
            Err(panic) => self.refuse(socket, panicked(socket, &self.packet, &*panic)),
        }
    }

    /// It did not begin.
    fn refuse(&mut self, socket: &Socket, answer: Answer) -> Stage {
        self.handling.ends(socket, &self.packet);
        self.take(socket, answer, Duration::ZERO)
    }

    /// Takes what a listener answered. If it answers later, `limit` holds for that.
    fn take(&mut self, socket: &Socket, answer: Answer, limit: Duration) -> Stage {
        let answer = match answer.0 {
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
        match self.reply.frame(socket, self.packet.event(), answer) {
            Some(frame) => send(socket, frame, false),
            None => Stage::Next,
        }
    }

    /// After the last listener.
    fn end(&mut self, socket: &Socket) -> Stage {
        let frame = if self.handled {
            self.reply.close(socket)
        } else {
            let unknown = Error::new(code::UNKNOWN_EVENT, "nobody handles this event");
            self.reply.frame(socket, self.packet.event(), Answer(Kind::Error(unknown)))
        };
        frame.map_or(Stage::Done, |frame| send(socket, frame, true))
    }

    /// Lets a handler run on beside the lane.
    fn detach(&self, socket: &Socket, mut running: Running) {
        let reply = self.reply.share();
        let packet = self.packet.clone();
        let mut handling = self.handling.clone();
        let owner = socket.clone();
        let task = async move {
            let socket = owner;
            let mut answer = poll_fn(|cx| running.poll(&socket, &packet, &mut handling, Timing::Now, cx)).await;
            while let Kind::Later(future) = answer.0 {
                running.future = Guarded::new(future);
                answer = poll_fn(|cx| running.poll(&socket, &packet, &mut handling, Timing::Now, cx)).await;
            }
            if let Some(frame) = reply.frame(&socket, packet.event(), answer) {
                socket.member().outbox.push_when_room(frame).await;
            }
            if let Some(frame) = reply.close(&socket) {
                socket.member().outbox.push_when_room(frame).await;
            }
        };
        socket.tasks().spawn(task.in_current_span());
    }
}

/// Sends an answer, at once if there is room; `last`: nothing comes after it.
fn send(socket: &Socket, frame: Bytes, last: bool) -> Stage {
    match socket.member().outbox.push(&frame) {
        Push::Queued { waker, .. } => wake(waker),
        Push::Full => {
            let member = socket.member().clone();
            let sending = Box::pin(async move { member.outbox.push_when_room(frame).await });
            return Stage::Sending { sending, last };
        }
        Push::Dropped { .. } | Push::Closed => {}
    }
    if last { Stage::Done } else { Stage::Next }
}

/// A handler's future, whose panics end nothing but itself: neither when it is polled nor when it
/// is dropped.
struct Guarded(Option<BoxFuture<Answer>>);

impl Guarded {
    fn new(future: BoxFuture<Answer>) -> Guarded {
        Guarded(Some(future))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Result<Poll<Answer>, Box<dyn Any + Send>> {
        catch_unwind(AssertUnwindSafe(|| match &mut self.0 {
            Some(future) => future.poll_unpin(cx),
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
    fn new(future: BoxFuture<Answer>, limit: Duration) -> Running {
        Running { future: Guarded::new(future), limit, timer: None, place: None }
    }

    fn poll(
        &mut self,
        socket: &Socket,
        packet: &Packet,
        handling: &mut Handling,
        timing: Timing,
        cx: &mut Context<'_>,
    ) -> Poll<Answer> {
        match handling.run(|| self.future.poll(cx)) {
            Ok(Poll::Ready(answer)) => {
                match answer.0 {
                    Kind::Later(_) => handling.goes_on(),
                    _ => handling.ends(socket, packet),
                }
                return Poll::Ready(answer);
            }
            Ok(Poll::Pending) => handling.goes_on(),
            Err(panic) => {
                handling.ends(socket, packet);
                return Poll::Ready(panicked(socket, packet, &*panic));
            }
        }
        if timing == Timing::Later {
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.limit)));
        ready!(timer.poll_unpin(cx));
        handling.ends(socket, packet);
        tracing::warn!(socket = %socket.id(), event = packet.event(), limit = ?self.limit, "a handler took too long and was cancelled");
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

/// The answer to one request, of which there is exactly one: the first that is not nothing, or
/// `null` when all listeners are through.
struct Reply(Option<Arc<Open>>);

struct Open {
    id: Id,
    answered: AtomicBool,
    /// How many may still answer: the turn, and what it has detached.
    parties: AtomicUsize,
}

impl Reply {
    fn to(id: Option<&Id>) -> Reply {
        let open = |id: &Id| Open { id: id.clone(), answered: AtomicBool::new(false), parties: AtomicUsize::new(1) };
        Reply(id.map(|id| Arc::new(open(id))))
    }

    /// For one more party, which must [`close`](Reply::close) it.
    fn share(&self) -> Reply {
        if let Some(open) = &self.0 {
            open.parties.fetch_add(1, Ordering::Relaxed);
        }
        Reply(self.0.clone())
    }

    /// The frame that says this, if it is to be said.
    fn frame(&self, socket: &Socket, event: &str, answer: Answer) -> Option<Bytes> {
        if let Kind::Error(_) | Kind::Panicked = answer.0 {
            socket.io().watched().events.of(event).fail();
        }
        let claim = |open: &Arc<Open>| !open.answered.swap(true, Ordering::AcqRel);
        let kind = match answer.0 {
            Kind::Panicked => Kind::Error(Error::internal()),
            kind => kind,
        };
        match (kind, &self.0) {
            (Kind::Value(json), Some(open)) if claim(open) => Some(ack(socket, &open.id, &json)),
            (Kind::Error(error), Some(open)) if claim(open) => Some(socket.error_frame(Some(&open.id), &error)),
            // Without an id to answer under, a refusal names the event.
            (Kind::Error(error), None) => Some(socket.error_frame(None, &error.about(event))),
            (Kind::Sent, Some(open)) => {
                open.answered.store(true, Ordering::Release);
                None
            }
            _ => None,
        }
    }

    /// One party is through. The last one answers `null` if nobody has answered.
    fn close(&self, socket: &Socket) -> Option<Bytes> {
        let open = self.0.as_ref()?;
        let is_last = open.parties.fetch_sub(1, Ordering::AcqRel) == 1;
        (is_last && !open.answered.swap(true, Ordering::AcqRel)).then(|| ack(socket, &open.id, b"null"))
    }
}

/// The acknowledgement of request `id`.
pub(crate) fn ack(socket: &Socket, id: &Id, data: &[u8]) -> Bytes {
    socket.member().encode(&Outgoing::direct("ack", Some(id), data))
}

/// The tasks in which a socket's handlers run.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<TasksState>);

#[derive(Debug, Default)]
struct TasksState {
    /// Made when a handler is first not ready at once.
    set: Option<JoinSet<()>>,
    /// Nothing starts any more.
    closed: bool,
}

impl Tasks {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let set = state.set.get_or_insert_default();
        // Those that have ended leave their place.
        while set.try_join_next().is_some() {}
        set.spawn(task);
    }

    /// How many run.
    pub(crate) fn len(&self) -> usize {
        let mut state = self.lock();
        let Some(set) = &mut state.set else { return 0 };
        while set.try_join_next().is_some() {}
        set.len()
    }

    fn lock(&self) -> MutexGuard<'_, TasksState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for all tasks until `deadline`, and cancels those that are left.
    pub(crate) async fn finish(&self, deadline: impl Future<Output = ()>) {
        tokio::pin!(deadline);
        loop {
            let set = {
                let mut state = self.lock();
                // A task may have started another one meanwhile.
                let set = state.set.take().filter(|set| !set.is_empty());
                state.closed |= set.is_none();
                set
            };
            let Some(mut set) = set else { return };
            let all = async { while set.join_next().await.is_some() {} };
            tokio::select! {
                () = all => {}
                () = &mut deadline => {
                    let mut late = {
                        let mut state = self.lock();
                        state.closed = true;
                        state.set.take().unwrap_or_default()
                    };
                    set.abort_all();
                    late.abort_all();
                    // One that is being polled ends with that; one that blocks is not waited for.
                    let gone = async {
                        while set.join_next().await.is_some() {}
                        while late.join_next().await.is_some() {}
                    };
                    let _ = tokio::time::timeout(CANCEL_LIMIT, gone).await;
                    return;
                }
            }
        }
    }
}
