//! One peer, as a user holds it.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::acks::{self, RequestError, Waiter};
use crate::broadcast::Broadcast;
use crate::closing::{DisconnectReason, Ending};
use crate::config::Config;
use crate::decode::decode;
use crate::delivery::{AtLeastOnce, Handed, Kept};
use crate::emit::{EmitError, Emitting, Pace};
use crate::encode::{self, Scratch};
use crate::error::{Error, code};
use crate::extensions::Extensions;
use crate::handler::{self, AnyEvent, BoxFuture, Call, Handler, RawEvent, Typed};
use crate::handshake::Handshake;
use crate::history::Start;
use crate::hub::{Manner, Member, SocketId};
use crate::inbox::Inbox;
use crate::io::Io;
use crate::lane::Tasks;
use crate::outbox::{Offer, Push, wake};
use crate::protocol::{self, Id, Outgoing, Packet};
use crate::rooms::NotJoined;
use crate::router::{ListenerId, Off, Router};
use crate::wildcard;

/// One connected peer: a cheap handle.
///
/// It stays valid after the peer is gone: then emits fail with
/// [`Disconnected`](EmitError::Disconnected), and joins with [`JoinError::Disconnected`].
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

struct Inner {
    io: Io,
    member: Arc<Member>,
    handshake: Handshake,
    router: Router,
    inbox: Inbox,
    tasks: Tasks,
    extensions: Extensions,
}

/// Why a socket did not join a room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The room cannot be named so: `[A-Za-z0-9_.:-]{1,256}`.
    Name,
    /// It is no pattern; the text says why.
    Pattern(&'static str),
    /// The socket is disconnected.
    Disconnected,
    /// Other nodes could not be told.
    Adapter(String),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Name => f.write_str("a room's name is 1 to 256 of [A-Za-z0-9_.:-]"),
            JoinError::Pattern(why) => f.write_str(why),
            JoinError::Disconnected => f.write_str("the socket is disconnected"),
            JoinError::Adapter(text) => write!(f, "other nodes could not be told: {text}"),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for Error {
    fn from(error: JoinError) -> Error {
        let code = match error {
            JoinError::Name | JoinError::Pattern(_) => code::FORBIDDEN,
            JoinError::Disconnected => code::DISCONNECTED,
            JoinError::Adapter(_) => code::BUSY,
        };
        Error::new(code, error.to_string())
    }
}

impl Socket {
    pub(crate) fn new(io: Io, member: Arc<Member>, handshake: Handshake) -> Socket {
        let inbox = Inbox::new(io.config().inbox);
        Socket(Arc::new(Inner {
            io,
            member,
            handshake,
            router: Router::default(),
            inbox,
            tasks: Tasks::default(),
            extensions: Extensions::default(),
        }))
    }

    /// Its name: unguessable, and unique in the whole cluster and over time.
    pub fn id(&self) -> SocketId {
        self.0.member.id
    }

    /// The `Io` that it is connected to.
    pub fn io(&self) -> &Io {
        &self.0.io
    }

    /// How it came in: path, query, headers, address, and what `authenticate` returned.
    pub fn handshake(&self) -> &Handshake {
        &self.0.handshake
    }

    /// Data of one's own beside this socket.
    pub fn extensions(&self) -> &Extensions {
        &self.0.extensions
    }

    /// The dialect that it speaks, by its subprotocol: `eventwire.v1.json` for the protocol's own.
    pub fn dialect(&self) -> &str {
        self.0.member.spoken.dialect.subprotocol()
    }

    /// Whether emits can still reach the peer.
    pub fn is_connected(&self) -> bool {
        self.0.member.outbox.is_open()
    }

    // ---- handlers

    /// Calls `handler` for each `event` of this socket, with its payload decoded as a `T`.
    ///
    /// Events are handled one after another, in the order in which they came; see
    /// [`ListenerId::concurrent`]. What the handler returns is the acknowledgement. A payload that is
    /// no `T` is answered `invalid_payload` with the path to the field.
    ///
    /// # Panics
    /// When the name is empty, longer than 128 characters, or [reserved](crate::RESERVED).
    pub fn on<T: for<'de> Deserialize<'de> + Send + 'static>(
        &self,
        event: &str,
        handler: impl Handler<T>,
    ) -> ListenerId {
        self.hear(event, Box::new(Typed::<T, _>::new(handler)), false)
    }

    /// The same for the first such event only.
    ///
    /// # Panics
    /// As [`on`](Socket::on).
    pub fn once<T: for<'de> Deserialize<'de> + Send + 'static>(
        &self,
        event: &str,
        handler: impl Handler<T>,
    ) -> ListenerId {
        self.hear(event, Box::new(Typed::<T, _>::new(handler)), true)
    }

    /// Calls `handler` for every event, decoded as any JSON. Events that only it hears count as handled.
    pub fn on_any(&self, handler: impl Handler<AnyEvent>) -> ListenerId {
        self.0.router.on_any(Box::new(handler::Any(handler)))
    }

    /// Calls `handler` for every event, undecoded. Events that only it hears count as handled.
    pub fn on_raw(&self, handler: impl Handler<RawEvent>) -> ListenerId {
        self.0.router.on_any(Box::new(handler::Raw(handler)))
    }

    /// Calls `handler` once, last, when the socket is gone.
    ///
    /// Emits fail by then; [`rooms`](Socket::rooms) still tells the rooms that it was in.
    pub fn on_disconnect<F, Fut>(&self, handler: F)
    where
        F: Fn(Socket, DisconnectReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.router.on_disconnect(Arc::new(move |socket, reason| Box::pin(handler(socket, reason))));
    }

    /// Takes listeners of this socket away: all of an event by its name, or one by its
    /// [`ListenerId`]. Returns how many. Listeners of the `Io` are not touched.
    pub fn off<'a>(&self, listeners: impl Into<Off<'a>>) -> usize {
        self.0.router.off(&listeners.into())
    }

    // ---- emitting

    /// Sends an event. It is encoded at once; the future waits for room in the outbox, which is
    /// how back-pressure reaches whoever produces.
    ///
    /// Events of one task that awaits each arrive in that order.
    ///
    /// # Errors
    /// When the socket is disconnected, the name cannot be an event's, or the data cannot be
    /// written as JSON.
    pub fn emit<T: Serialize>(&self, event: &str, data: T) -> Emitting<()> {
        match self.frame(event, None, &data) {
            Ok(frame) => self.send(&frame),
            Err(error) => Emitting::done(Err(error)),
        }
    }

    /// Sends an event if there is room for it now.
    ///
    /// # Errors
    /// [`Full`](EmitError::Full) when there is none; else as [`emit`](Socket::emit).
    pub fn try_emit<T: Serialize>(&self, event: &str, data: T) -> Result<(), EmitError> {
        let frame = self.frame(event, None, &data)?;
        match self.0.member.outbox.push(&frame) {
            Push::Queued { waker, .. } => {
                wake(waker);
                Ok(())
            }
            Push::Full => Err(EmitError::Full),
            Push::Dropped { .. } | Push::Closed => Err(EmitError::Disconnected),
        }
    }

    /// Emits that may be dropped when the peer does not keep up: for positions, cursors, meters.
    pub fn volatile(&self) -> Volatile<'_> {
        Volatile(self)
    }

    /// Emits that wait until the peer has taken what was sent, all but so much.
    pub fn paced(&self, pace: Pace) -> Paced<'_> {
        Paced(self, pace)
    }

    /// Sends an error of the application's, which answers no request.
    ///
    /// # Errors
    /// When the socket is disconnected.
    pub fn error(&self, code: impl Into<String>, message: impl Into<String>) -> Emitting<()> {
        self.send(&self.member().tell("error", None, &Error::new(code.into(), message.into())))
    }

    /// Emits that the peer is to [acknowledge](AtLeastOnce).
    pub fn at_least_once(&self, delivery: AtLeastOnce) -> Acknowledged<'_> {
        Acknowledged(self, delivery)
    }

    /// Asks the peer and waits for its answer, as an `A`, for `ackTimeout` or the
    /// [time given](Request::timeout).
    ///
    /// ```no_run
    /// # async fn f(socket: eventwire::Socket) -> eventwire::Result<()> {
    /// let name: String = socket.request("name?", ()).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`RequestError`]: each request is settled, at the latest by its timeout or the end of the socket.
    pub fn request<A: for<'de> Deserialize<'de>>(&self, event: &str, data: impl Serialize) -> Request<A> {
        let id = acks::next_id();
        let frame =
            self.frame(event, Some(&Id::Number(id)), &data).map(|frame| frame.to_bytes()).map_err(
                |error| match error {
                    EmitError::Name(error) => RequestError::Name(error),
                    EmitError::Encode(text) => RequestError::Encode(text),
                    _ => RequestError::Disconnected,
                },
            );
        Request { socket: self.clone(), id, frame, timeout: self.config().ack_timeout, read: decode }
    }

    // ---- rooms

    /// Joins a room, which is made if there is none; one with history from its next message on. Rooms joined so do not count toward `maxSubscriptions`;
    /// the client may leave them by `unsubscribe`. Cancel safe: dropped, it has joined or not.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn join(&self, room: impl AsRef<str>) -> Result<(), JoinError> {
        let room = room.as_ref();
        if !protocol::is_room_name(room) {
            return Err(JoinError::Name);
        }
        self.join_checked(room).await
    }

    async fn join_checked(&self, room: &str) -> Result<(), JoinError> {
        let joining = self.io().joining(room).await.map_err(|error| JoinError::Adapter(error.to_string()))?;
        let joined = self.io().join(self.member(), room, None, &Start::Live);
        drop(joining);
        joined.map(drop).map_err(|refusal| match refusal {
            NotJoined::Gone | NotJoined::TooMany => JoinError::Disconnected,
        })
    }

    /// Gets what is said in all rooms that a pattern matches, from now on: `metrics.*.load`, `metrics.>`. A room's tokens are parted by dots; `*` is any one,
    /// `>` all that follow, at least one. What comes is told as from its room, and comes once, whoever else is joined. A room with history is
    /// not read back: its messages come from now on, with their `seq`, through the outbox.
    ///
    /// It does not count toward `maxSubscriptions`; the client may leave it by `unsubscribe`. Where there are other nodes, they are told of the
    /// pattern as of a room. Cancel safe: dropped, it has joined or not.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn join_pattern(&self, pattern: impl AsRef<str>) -> Result<(), JoinError> {
        let pattern = pattern.as_ref();
        wildcard::check(pattern).map_err(JoinError::Pattern)?;
        self.join_checked(pattern).await
    }

    /// Leaves a pattern. One that it has not joined is left already.
    pub fn leave_pattern(&self, pattern: impl AsRef<str>) {
        self.leave(pattern);
    }

    /// The patterns that it has joined, in no order.
    pub fn patterns(&self) -> Vec<String> {
        self.joined().filter(|name| wildcard::is_wild(name)).collect()
    }

    fn joined(&self) -> impl Iterator<Item = String> {
        self.0.member.rooms().into_iter().map(|name| name.to_string())
    }

    /// Leaves a room. One that it is not in is left already.
    pub fn leave(&self, room: impl AsRef<str>) {
        self.io().leave(self.member(), room.as_ref());
    }

    /// The rooms that it is in, in no order; once it is gone, those that it was in.
    pub fn rooms(&self) -> Vec<String> {
        self.joined().filter(|name| !wildcard::is_wild(name)).collect()
    }

    /// A broadcast to a room, this socket left out.
    pub fn to<'a>(&'a self, room: &'a str) -> Broadcast<'a> {
        self.broadcast().to(room)
    }

    /// A broadcast to everyone but members of a room, or one socket; this socket is left out too.
    pub fn except<'a>(&'a self, except: impl Into<crate::Except<'a>>) -> Broadcast<'a> {
        self.broadcast().except(except)
    }

    /// A broadcast to everyone else.
    pub fn broadcast(&self) -> Broadcast<'_> {
        Broadcast::new(self.io()).except(self)
    }

    // ---- the end

    /// Disconnects: what was emitted before arrives, then `closing` and the close frame with 1000.
    /// The client is told not to come back by itself. Returns at once.
    pub fn disconnect(&self) {
        self.0.member.end(Ending::after_drain(DisconnectReason::Server, Duration::ZERO));
    }

    // ---- for the rest of the crate

    pub(crate) fn hear(&self, event: &str, call: Box<dyn Call>, once: bool) -> ListenerId {
        let heard = self.io().known().of_socket(event, call.types(), &self.io().watched().events);
        self.0.router.on(heard, call, once)
    }

    pub(crate) fn config(&self) -> &Config {
        self.io().config()
    }

    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.0.member
    }

    pub(crate) fn router(&self) -> &Router {
        &self.0.router
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.0.inbox
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// A listener for once has been called.
    pub(crate) fn forget_listener(&self, id: u64) {
        if self.0.router.off(&Off::Listener(id)) == 0 {
            self.io().router().off(&Off::Listener(id));
        }
    }

    /// An event that a user emits, encoded for this socket.
    fn frame<T: Serialize + ?Sized>(&self, event: &str, id: Option<&Id>, data: &T) -> Result<Scratch, EmitError> {
        protocol::check_event(event).map_err(EmitError::Name)?;
        let data = encode::json(data).map_err(|error| EmitError::Encode(error.to_string()))?;
        Ok(self.member().encode(&Outgoing::direct(event, id, &data)))
    }

    /// An `error` that answers something, encoded for this socket: it is counted.
    pub(crate) fn error_frame(&self, id: Option<&Id>, error: &Error) -> Scratch {
        self.io().watched().errors.add(error.code());
        self.member().tell("error", id, error)
    }

    fn send(&self, frame: &[u8]) -> Emitting<()> {
        match self.0.member.outbox.push(frame) {
            Push::Queued { waker, .. } => {
                wake(waker);
                Emitting::done(Ok(()))
            }
            Push::Full => {
                let (member, frame) = (self.0.member.clone(), frame.to_vec());
                Emitting::waiting(async move {
                    let queued = member.outbox.push_when_room(&frame).await;
                    queued.then_some(()).ok_or(EmitError::Disconnected)
                })
            }
            Push::Dropped { .. } | Push::Closed => Emitting::done(Err(EmitError::Disconnected)),
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket").field(&self.id()).finish()
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Socket) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Socket {}

/// Emits of one socket that may be dropped. See [`Socket::volatile`].
#[derive(Clone, Copy, Debug)]
pub struct Volatile<'a>(&'a Socket);

impl Volatile<'_> {
    /// Sends an event, or drops it when the connection cannot take it now. Returns whether it was
    /// queued. It never waits.
    ///
    /// # Errors
    /// As [`Socket::emit`].
    pub fn emit<T: Serialize>(&self, event: &str, data: T) -> Result<bool, EmitError> {
        let frame = self.0.frame(event, None, &data)?;
        match self.0.member().outbox.push_volatile(Offer::Alone(&frame)) {
            Push::Queued { waker, .. } => {
                wake(waker);
                Ok(true)
            }
            Push::Closed => Err(EmitError::Disconnected),
            Push::Dropped { .. } | Push::Full => {
                self.0.member().counters.drop_by(Manner::Volatile, 1);
                Ok(false)
            }
        }
    }
}

/// Emits of one socket that are to be acknowledged. See [`Socket::at_least_once`].
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged<'a>(&'a Socket, AtLeastOnce);

impl Acknowledged<'_> {
    /// Sends an event, again until it is acknowledged, or given up. It does not wait: what the peer cannot take yet is kept for it. To a client
    /// whose [dialect](crate::Dialect::acknowledges) has no acknowledgements it is sent as by [`try_emit`](Socket::try_emit).
    ///
    /// # Errors
    /// As [`Socket::try_emit`]; `Full` where as much as an outbox holds waits to be acknowledged already.
    pub fn emit<T: Serialize>(&self, event: &str, data: T) -> Result<(), EmitError> {
        let Acknowledged(socket, policy) = *self;
        let member = socket.member();
        if !member.spoken.dialect.acknowledges() {
            return socket.try_emit(event, data);
        }
        protocol::check_event(event).map_err(EmitError::Name)?;
        let data = encode::json(&data).map_err(|error| EmitError::Encode(error.to_string()))?;
        let data = Bytes::copy_from_slice(&data);
        let kept = Arc::new(Kept {
            id: acks::next_id(),
            event: event.into(),
            data,
            room: None,
            through: None,
            seq: None,
            policy,
        });
        let frame = kept.frame(member, 0);
        if frame.is_empty() {
            return Ok(());
        }
        match member.deliveries.hand(member, &kept, &frame, Instant::now()) {
            Handed::Sent { waker, .. } => wake(waker),
            Handed::Waits(waker) => wake(waker),
            Handed::GivenUp(waker) => {
                wake(waker);
                return Err(EmitError::Full);
            }
            Handed::Closed => return Err(EmitError::Disconnected),
        }
        Ok(())
    }
}

/// Emits of one socket that keep pace with the peer. See [`Socket::paced`].
#[derive(Clone, Copy, Debug)]
pub struct Paced<'a>(&'a Socket, Pace);

impl Paced<'_> {
    /// Sends an event, and waits until the peer lags less than the pace says, or its time is up.
    ///
    /// # Errors
    /// As [`Socket::emit`].
    pub fn emit<T: Serialize>(&self, event: &str, data: T) -> Emitting<()> {
        let (sending, member, pace) = (self.0.emit(event, data), self.0.member().clone(), self.1);
        let limit = pace.backlog(self.0.config());
        Emitting::waiting(async move {
            sending.await?;
            // Not an error: the pace was kept as long as was asked for.
            let _ = tokio::time::timeout(pace.at_most, member.outbox.drained_to(limit)).await;
            Ok(())
        })
    }
}

/// A question to a peer. It is sent when it is awaited.
///
/// Cancel safe: dropped, it waits for the answer no longer, and its place is free again.
#[must_use = "a request is sent when it is awaited"]
pub struct Request<A> {
    socket: Socket,
    id: u64,
    frame: Result<Bytes, RequestError>,
    timeout: Duration,
    read: fn(&Packet) -> Result<A, Error>,
}

impl<A> Request<A> {
    /// How long to wait for the answer, in place of `ackTimeout`.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }
}

impl<A> fmt::Debug for Request<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("socket", &self.socket).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Gives the place of a request back.
struct Pending<'a>(&'a Socket, u64);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.member().acks.forget(self.1);
    }
}

impl<A: 'static> IntoFuture for Request<A> {
    type Output = Result<A, RequestError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Request { socket, id, frame, timeout, read } = self;
        Box::pin(async move {
            let frame = frame?;
            let (sender, answer) = oneshot::channel();
            socket.member().acks.expect(id, Waiter::One(sender))?;
            let _pending = Pending(&socket, id);
            let asking = async {
                let sent = socket.send(&frame);
                sent.await.map_err(|_| RequestError::Disconnected)?;
                answer.await.unwrap_or(Err(RequestError::Disconnected))
            };
            let packet = tokio::time::timeout(timeout, asking).await.map_err(|_| RequestError::Timeout)??;
            read(&packet).map_err(|error| RequestError::Decode(error.message().to_owned()))
        })
    }
}
