//! One connection, in one task: it reads, dispatches, writes, keeps the heartbeat, and ends in
//! order. Only this file and its folder touch a WebSocket.

mod arrivals;
mod bucket;
mod clock;
mod messages;
mod reader;
mod rounds;
mod writer;

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tracing::Instrument;

use self::arrivals::Arrivals;
use self::bucket::Bucket;
use self::messages::Incoming;
use self::reader::Reader;
use self::rounds::Rounds;
use self::writer::{Writer, Written};
use crate::closing::{DisconnectReason, Ending};
use crate::delivery;
use crate::encode::Scratch;
use crate::error::{Error, code, panic_text};
use crate::frame::{self, Opcode};
use crate::handshake::Handshake;
use crate::hub::{Member, SocketId, Spoken};
use crate::inbox::{Fill, Given};
use crate::io::Io;
use crate::lane::{Lane, Work};
use crate::protocol::{self, Id, Outgoing, Packet};
use crate::shutdown::Phase;
use crate::socket::Socket;
use crate::spans;
use crate::upgrade::Admitted;

/// Messages that are handled before the connection lets others run.
const MESSAGES_A_TURN: usize = 256;

/// Replies of the read loop's own that may wait before reading pauses.
const MAX_REPLIES: usize = 64 * 1024;

/// How long a connection that is refused something goes on reading, so that the peer gets the
/// close frame and not a reset.
const LINGER: Duration = Duration::from_secs(1);

/// What the kernel takes of a peer beyond what is on its way (`TCP_NOTSENT_LOWAT`). Without it that is up to
/// 4 MiB for one that does not read, and a socket is told to be writable only once a third of that is free: one that
/// reads 100 KB/s would be taken for stalled.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 128 * 1024;

/// Runs a connection as a task, once its request has been answered.
pub(crate) fn spawn(io: Io, handshake: Handshake, spoken: Spoken, admitted: Admitted, on_upgrade: OnUpgrade) -> Socket {
    let member = Arc::new(Member::new(SocketId::random(), spoken, io.config()));
    let socket = Socket::new(io, member, handshake);
    let task = {
        let socket = socket.clone();
        async move {
            // Boxed: it is freed once the connection is there.
            match Box::pin(on_upgrade).await {
                Ok(upgraded) => run(socket, upgraded).await,
                Err(error) => tracing::debug!(%error, "the upgrade failed"),
            }
            drop(admitted);
        }
    };
    // Before anybody has the socket: it is the first frame, whatever else is emitted.
    let connected = connected(&socket);
    socket.member().outbox.push_reply(&connected);
    tokio::spawn(task.instrument(spans::connection(&socket)));
    socket
}

/// The first frame.
fn connected(socket: &Socket) -> Scratch {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Connected {
        id: SocketId,
        session: Option<String>,
        recovered: bool,
        protocol: u32,
        ping_interval: u64,
        max_message: usize,
    }
    let config = socket.config();
    let connected = Connected {
        id: socket.id(),
        session: None,
        recovered: false,
        protocol: protocol::VERSION,
        ping_interval: config.ping_interval.as_millis() as u64,
        max_message: config.max_message,
    };
    socket.member().tell("connected", None, &connected)
}

async fn run(socket: Socket, upgraded: Upgraded) {
    // Straight to the socket where there is one, without a call through a table for each read and write.
    match into_tcp(upgraded) {
        Ok((io, read_already)) => {
            if let Err(error) = prepare(&io) {
                tracing::debug!(%error, "the socket's options");
            }
            serve(socket, io, read_already).await;
        }
        Err(upgraded) => serve(socket, TokioIo::new(upgraded), Bytes::new()).await,
    }
}

/// Messages go out at once, and no more of them lie in the kernel than keep the line busy.
fn prepare(io: &TcpStream) -> std::io::Result<()> {
    io.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(io).set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

fn into_tcp(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return Ok((parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    // What axum serves with.
    #[cfg(any(feature = "server", feature = "axum"))]
    let upgraded = match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => return Ok((parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    Err(upgraded)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(socket: Socket, io: S, read_already: Bytes) {
    let running = async {
        let mut connection = Connection::new(socket.clone(), io, &read_already);
        // It is a part of the HTTP connection's buffer, and would keep all of it.
        drop(read_already);
        socket.io().connect(&socket);
        let reason = poll_fn(|cx| connection.poll(cx)).await;
        connection.writer.end(socket.member());
        reason
    };
    // Whatever fails in here, nothing of the socket stays behind.
    let reason = AssertUnwindSafe(running).catch_unwind().await.unwrap_or_else(|panic| {
        socket.io().count_panic();
        tracing::error!(panic = panic_text(&*panic), "a connection failed");
        DisconnectReason::Failed
    });
    // Boxed: while the connection lives, its end takes no place.
    Box::pin(end(&socket, reason)).await;
    // Handlers may hold sockets, this one among them, and so would keep it for ever.
    socket.router().clear();
    socket.inbox().clear();
}

/// The end of a socket, in order. The outbox closes first: that decides it.
async fn end(socket: &Socket, reason: DisconnectReason) {
    let (io, member) = (socket.io(), socket.member());
    member.outbox.close();
    io.disconnect(socket, &reason);
    member.acks.fail_all();
    let drained = async {
        tokio::select! {
            () = tokio::time::sleep(io.config().drain_timeout) => {}
            () = io.life().reached(Phase::Cut) => {}
        }
    };
    socket.tasks().finish(drained).await;
    for router in [io.router(), socket.router()] {
        let handlers = router.table().map(|table| table.disconnect.clone()).unwrap_or_default();
        for handler in handlers {
            let (socket, reason) = (socket.clone(), reason.clone());
            let handled = AssertUnwindSafe(async move { handler(socket, reason).await }).catch_unwind();
            let outcome = tokio::select! {
                // What is done at once is done, however late it is.
                biased;
                outcome = tokio::time::timeout(io.config().handler_timeout, handled) => outcome,
                () = io.life().reached(Phase::Ended) => continue,
            };
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(panic)) => {
                    io.count_panic();
                    tracing::error!(panic = panic_text(&*panic), "a disconnect handler panicked");
                }
                Err(_) => tracing::warn!("a disconnect handler took too long and was cancelled"),
            }
        }
    }
    tracing::debug!(socket = %socket.id(), ?reason, "disconnected");
}

struct Connection<S> {
    socket: Socket,
    io: S,
    reader: Reader,
    writer: Writer,
    /// `None` while a task has it; then it comes home to the inbox.
    lane: Option<Box<Lane>>,
    state: State,
    /// When the peer was last heard.
    heard: Instant,
    next_ping: Instant,
    timer: Pin<Box<Sleep>>,
    /// When the timer goes off that knows whom to wake.
    timer_is_set: Option<Instant>,
    /// Tells whether something has come since there was nothing to be read.
    arrivals: Arrivals,
    /// Whether reading pauses, and with it the silence clock.
    is_paused: bool,
    /// Whether replies of the read loop's own may be waiting, and whether reading waits for them.
    has_replied: bool,
    waits_for_replies: bool,
    rounds: Rounds,
    invalid_frames: usize,
    bucket: Option<Bucket>,
}

enum State {
    Open,
    /// The close frame is on its way, or has been.
    Leaving {
        reason: DisconnectReason,
        until: Instant,
        /// What comes can still be read as WebSocket.
        can_read: bool,
        /// The peer has closed, too.
        peer_closed: bool,
    },
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(socket: Socket, io: S, read_already: &[u8]) -> Connection<S> {
        let config = socket.config();
        let now = Instant::now();
        let bucket = config.events_per_second.map(|rate| Bucket::new(rate, now));
        Connection {
            reader: Reader::new(config, read_already),
            writer: Writer::default(),
            lane: Some(Box::default()),
            state: State::Open,
            heard: now,
            next_ping: now + config.ping_interval,
            timer: Box::pin(tokio::time::sleep(config.ping_interval)),
            timer_is_set: None,
            arrivals: Arrivals::default(),
            is_paused: false,
            // By `connected`.
            has_replied: true,
            waits_for_replies: false,
            rounds: Rounds::default(),
            invalid_frames: 0,
            bucket,
            io,
            socket,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<DisconnectReason> {
        let now = Instant::now();
        if let Some(lane) = self.lane.take_if(|lane| lane.is_new()) {
            self.lane = lane.handle(&self.socket, Work::Connect, cx);
        }
        loop {
            let was_open = matches!(self.state, State::Open);
            // First, so that what it brings about goes out with what waits.
            if self.has_to_read()
                && let Some(over) = self.read(now, cx)
            {
                return Poll::Ready(over);
            }
            if self.puts_off_writing(cx) {
                break;
            }
            if let Some(over) = self.write(now, cx) {
                return Poll::Ready(over);
            }
            if self.socket.member().outbox.is_cut() {
                return Poll::Ready(self.reason(DisconnectReason::Shutdown));
            }
            // Once the end is decided, it is read otherwise.
            if matches!(self.state, State::Open) == was_open {
                break;
            }
        }
        // All is sent that reading waited for: nothing else would wake it. Nor where a handler has asked the peer since reading paused.
        let reads_on = (self.waits_for_replies && self.replies_have_room()) || self.awaits_answer_unread();
        if reads_on && matches!(self.state, State::Open) {
            cx.waker().wake_by_ref();
        }
        self.watch(now, cx)
    }

    // ---- writing

    /// Whether more answers are likely to be there at once. Then this task runs again when all others have. Not where what waits
    /// is more than a turn, or waited for.
    fn puts_off_writing(&mut self, cx: &mut Context<'_>) -> bool {
        let is_open = matches!(self.state, State::Open) && self.lane.is_none() && self.writer.is_idle();
        let can_wait = is_open && self.socket.member().outbox.can_wait();
        let taken = if can_wait { self.socket.inbox().taken() } else { None };
        // Its first poll is never ready, and wakes the task in the next round.
        self.rounds.put_off(taken) && pin!(tokio::task::yield_now()).poll(cx).is_pending()
    }

    /// Writes what can be written. Returns why the connection is over, if it is.
    fn write(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<DisconnectReason> {
        loop {
            match self.writer.poll_write(&mut self.io, self.socket.member(), now, cx) {
                Poll::Ready(Ok(Written::End(ending))) => self.leave(&ending, now),
                Poll::Ready(Ok(Written::All)) => return self.is_over(now),
                Poll::Ready(Err(_)) => return Some(self.reason(DisconnectReason::Lost)),
                Poll::Pending => return None,
            }
        }
    }

    /// Says farewell.
    fn leave(&mut self, ending: &Ending, now: Instant) {
        if let State::Leaving { .. } = self.state {
            return;
        }
        self.socket.member().end(ending.clone());
        self.writer.leave(&ending.farewell(self.socket.member()));
        // After a fault in its frames, nothing more can be made of what the peer sends.
        let can_read = !matches!(
            ending.reason,
            DisconnectReason::Protocol
                | DisconnectReason::NotUtf8
                | DisconnectReason::TooLarge
                | DisconnectReason::Flood
        );
        self.state =
            State::Leaving { reason: ending.reason.clone(), until: now + LINGER, can_read, peer_closed: false };
    }

    fn reason(&self, unless_leaving: DisconnectReason) -> DisconnectReason {
        match &self.state {
            State::Open => unless_leaving,
            State::Leaving { reason, .. } => reason.clone(),
        }
    }

    /// Once all is written: whether both sides have closed.
    fn is_over(&self, now: Instant) -> Option<DisconnectReason> {
        match &self.state {
            State::Leaving { reason, until, peer_closed, .. } if *peer_closed || now >= *until => Some(reason.clone()),
            _ => None,
        }
    }

    // ---- reading

    /// Most wake-ups of who listens are for what is to be written: then nothing is looked at that has to do with reading.
    fn has_to_read(&mut self) -> bool {
        self.arrivals.take() || self.is_paused || !matches!(self.state, State::Open)
    }

    /// Reads what has come. Returns why the connection is over, if it is.
    fn read(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<DisconnectReason> {
        let mut handled = 0;
        let over = loop {
            if handled == MESSAGES_A_TURN {
                self.arrivals.again();
                cx.waker().wake_by_ref();
                break None;
            }
            handled += 1;
            if let State::Leaving { can_read: false, .. } = self.state {
                match self.arrivals.poll(cx, |cx| self.reader.poll_discard(&mut self.io, cx)) {
                    Poll::Ready(true) => break Some(self.reason(DisconnectReason::Lost)),
                    Poll::Ready(false) => continue,
                    Poll::Pending => break None,
                }
            }
            if !self.may_read(now, cx) {
                break None;
            }
            let next = self.arrivals.poll(cx, |cx| self.reader.poll_next(&mut self.io, now, cx));
            let Poll::Ready(incoming) = next else { break None };
            match incoming {
                Incoming::Message { payload, is_binary } => {
                    if let State::Open = self.state
                        && let Some(ending) = self.receive(payload, is_binary, now, cx)
                    {
                        self.leave(&ending, now);
                    }
                }
                Incoming::Ping(payload) => {
                    if let State::Open = self.state {
                        self.writer.control(&frame::control(Opcode::Pong, &payload));
                    }
                }
                Incoming::Pong => {}
                Incoming::Close(code, payload) => {
                    // What was emitted before goes before the answer.
                    if matches!(self.state, State::Open)
                        && let Some(over) = self.write(now, cx)
                    {
                        break Some(over);
                    }
                    match &mut self.state {
                        State::Open => {
                            self.writer.leave(&[]);
                            self.writer.control(&frame::control(Opcode::Close, &payload));
                            let reason = DisconnectReason::Client(code);
                            let until = now + LINGER;
                            self.state = State::Leaving { reason, until, can_read: false, peer_closed: true };
                        }
                        State::Leaving { peer_closed, can_read, .. } => {
                            (*peer_closed, *can_read) = (true, false);
                        }
                    }
                    break None;
                }
                Incoming::End => break Some(self.reason(DisconnectReason::Lost)),
                Incoming::Fault(reason) => match &mut self.state {
                    State::Open => self.leave(&Ending::abort(reason), now),
                    State::Leaving { can_read, .. } => *can_read = false,
                },
            }
        };
        if self.reader.has_heard() {
            self.heard = now;
        }
        self.reader.rest();
        over
    }

    /// Whether more may be read: not while what was read waits for a handler, or answers of our
    /// own wait for the peer.
    fn may_read(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let State::Open = self.state else { return true };
        self.waits_for_replies = !self.replies_have_room();
        let may = !self.waits_for_replies && self.inbox_has_room(now, cx);
        if may && self.is_paused {
            self.heard = now;
        }
        self.is_paused = !may;
        may
    }

    /// Whether reading pauses, though a handler has asked the peer meanwhile: its answer may be next.
    fn awaits_answer_unread(&self) -> bool {
        self.is_paused && !self.waits_for_replies && self.socket.member().acks.len() > 0
    }

    fn inbox_has_room(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        // With the lane here, nothing waits.
        if self.lane.is_some() {
            return true;
        }
        let awaits_answer = || self.socket.member().acks.len() > 0;
        match self.socket.inbox().fill() {
            Fill::Room => true,
            Fill::Full if awaits_answer() => true,
            Fill::Overfull if awaits_answer() => {
                self.leave(&Ending::abort(DisconnectReason::Busy), now);
                true
            }
            Fill::Full | Fill::Overfull => !self.socket.inbox().pause(cx.waker()),
        }
    }

    fn replies_have_room(&mut self) -> bool {
        if self.writer.control_len() > MAX_REPLIES {
            return false;
        }
        if !self.has_replied {
            return true;
        }
        let waiting = self.socket.member().outbox.replies();
        self.has_replied = waiting > 0;
        waiting <= MAX_REPLIES
    }

    /// Takes one message. Returns the end if it is one too many.
    fn receive(&mut self, payload: Bytes, is_binary: bool, now: Instant, cx: &mut Context<'_>) -> Option<Ending> {
        let member = self.socket.member();
        member.counters.read(payload.len());
        let config = self.socket.config();
        let dialect = &member.spoken.dialect;
        if is_binary && !dialect.takes_binary() {
            return Some(Ending::abort(DisconnectReason::Binary));
        }
        let packet = match dialect.decode(payload, config.max_depth) {
            Ok(packet) => packet,
            Err(malformed) => {
                self.invalid_frames += 1;
                if self.invalid_frames > config.max_invalid_frames {
                    return Some(Ending::abort(DisconnectReason::InvalidFrames));
                }
                self.refuse(None, &Error::new(code::INVALID_ENVELOPE, malformed.0));
                return None;
            }
        };
        match packet.event() {
            event if !protocol::is_reserved(event) => self.admit(packet, now, cx),
            "ack" => {
                // Requests of ours have numbers; what answers something else answers nothing.
                let unsettled = match packet.id() {
                    Some(Id::Number(id)) => member.acks.settle_ack(*id, packet),
                    _ => Some(packet),
                };
                if let Some(packet) = unsettled {
                    self.confirm(&packet, now);
                }
            }
            "nack" | "slow" => self.confirm(&packet, now),
            "error" => {
                if let Some(Id::Number(id)) = packet.id()
                    && !member.acks.settle_error(*id, &packet)
                {
                    member.deliveries.nack(member, *id, "", now.into_std());
                    self.tell_given_up();
                }
            }
            "ping" => {
                let (event, id) = if packet.id().is_some() { ("ack", packet.id()) } else { ("pong", None) };
                let frame = member.encode(&Outgoing::direct(event, id, packet.data()));
                self.push_reply(&frame);
            }
            // The answer to a ping of the application's, or a sign of life.
            "pong" if packet.id().is_none() => {}
            "subscribe" | "unsubscribe" => self.admit(packet, now, cx),
            _ => self.refuse(Some(&packet), &Error::forbidden("this event is the server's")),
        }
        None
    }

    /// Takes what the peer says of messages that it was sent.
    fn confirm(&mut self, packet: &Packet, now: Instant) {
        let confirmed = delivery::confirm(self.socket.member(), packet, now.into_std());
        self.tell_given_up();
        if let Err(error) = confirmed {
            self.refuse(Some(packet), &error);
        }
    }

    fn tell_given_up(&self) {
        self.socket.io().tell_given_up(&self.socket);
    }

    /// Brings an event to its handlers, if the peer may send so many.
    fn admit(&mut self, packet: Packet, now: Instant, cx: &mut Context<'_>) {
        if self.bucket.as_mut().is_some_and(|bucket| !bucket.take(now)) {
            let error = Error::new(code::RATE_LIMITED, "more events a second than allowed");
            self.refuse(Some(&packet), &error);
            return;
        }
        // After `disconnect()` nothing is handled any more.
        if self.socket.member().outbox.is_ending() {
            return;
        }
        let (lane, packet) = match self.lane.take() {
            Some(lane) => (lane, packet),
            None => match self.socket.inbox().give(packet) {
                Given::Home(lane, packet) => (lane, packet),
                Given::Queued => return,
            },
        };
        self.lane = lane.handle(&self.socket, Work::Event(packet), cx);
    }

    fn refuse(&mut self, packet: Option<&Packet>, error: &Error) {
        let id = packet.and_then(Packet::id);
        let frame = match packet {
            Some(packet) if id.is_none() => self.socket.error_frame(None, &error.clone().about(packet.event())),
            _ => self.socket.error_frame(id, error),
        };
        self.push_reply(&frame);
    }

    fn push_reply(&mut self, frame: &[u8]) {
        self.has_replied = true;
        self.socket.member().outbox.push_reply(frame);
    }
}
