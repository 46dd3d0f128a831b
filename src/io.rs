//! The whole: what a user makes one of for each namespace.

mod forgetting;
mod nodes;
mod watching;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use http::{Request, Response};
use serde::{Deserialize, Serialize};

pub(crate) use self::nodes::Joining;
use crate::adapter::{Adapter, Interests, Local};
use crate::broadcast::{Answers, Broadcast, Except};
use crate::closing::DisconnectReason;
use crate::config::{Config, ConfigError};
use crate::contract::{Heard, Known};
use crate::delivery::Readers;
use crate::emit::{Emitting, Pace};
use crate::extensions::Extensions;
use crate::gateway::Gateways;
use crate::handler::{self, AnyEvent, Call, Connect, Handler, RawEvent, Typed, Welcome};
use crate::handshake::{Handshake, IntoPrincipal};
use crate::history::{Position, Start};
use crate::hub::{Audience, Delivered, Hub, Member, Message, SocketId, Spoken, count};
use crate::modules::Module;
use crate::protocol::{Dialect, Json};
use crate::room::RoomLog;
use crate::rooms::{Change, NotJoined, is_sparse};
use crate::router::{ListenerId, Off, Router};
use crate::rules::{RoomRule, Rules};
use crate::server::Service;
use crate::shutdown::{Life, Phase};
use crate::socket::Socket;
use crate::stats::Totals;
use crate::upgrade::{self, Authenticate, Body, Gate, Refusal};
use crate::watch::Watched;

/// One namespace of sockets: their handlers, rooms and rules. A cheap handle.
///
/// ```no_run
/// use eventwire::{Io, Socket};
///
/// #[tokio::main]
/// async fn main() -> eventwire::Result<()> {
///     let io = Io::new();
///     io.rooms("news").public();
///     io.on::<String>("shout", |socket: Socket, text| async move {
///         let heard = socket.broadcast().emit("shout", &text).await?;
///         eventwire::ok(heard)
///     });
///     io.listen("127.0.0.1:3000").await
/// }
/// ```
#[derive(Clone)]
pub struct Io(Arc<Inner>);

struct Inner {
    config: Config,
    router: Router,
    known: Known,
    gateways: Gateways,
    rules: Rules,
    hub: Hub,
    gate: Arc<Gate>,
    letter_readers: Readers,
    /// Handles of those that are connected. A std mutex: held for a look-up or a copy.
    sockets: Mutex<HashMap<SocketId, Socket>>,
    dialects: Vec<Spoken>,
    authenticate: RwLock<Option<Authenticate>>,
    requires_authentication: AtomicBool,
    extensions: Extensions,
    adapter: Arc<dyn Adapter>,
    interests: Interests,
    /// Started with the first connection, when there is a runtime.
    listens_to_others: OnceLock<()>,
    /// Started with the first room that remembers, when there is a runtime.
    sweeps_rooms: OnceLock<()>,
    totals: Totals,
    panics: AtomicU64,
    life: Life,
    watched: Watched,
}

/// Makes an [`Io`] with other than the defaults.
///
/// ```
/// use eventwire::{Config, Io};
///
/// let mut config = Config::default();
/// config.max_message = 64 * 1024;
/// let io = Io::builder().config(config).build()?;
/// # Ok::<(), eventwire::ConfigError>(())
/// ```
pub struct IoBuilder {
    config: Config,
    adapter: Arc<dyn Adapter>,
    dialects: Vec<Arc<dyn Dialect>>,
    name: Option<String>,
}

impl IoBuilder {
    /// The limits.
    #[must_use]
    pub fn config(self, config: Config) -> Self {
        IoBuilder { config, ..self }
    }

    /// The way to other nodes. Default [`Local`]: there are none.
    #[must_use]
    pub fn adapter(self, adapter: impl Adapter) -> Self {
        IoBuilder { adapter: Arc::new(adapter), ..self }
    }

    /// A dialect beside JSON, such as one of [`dialects`](crate::dialects), for clients that choose it by its subprotocol or
    /// path.
    #[must_use]
    pub fn dialect(mut self, dialect: impl Dialect) -> Self {
        self.dialects.push(Arc::new(dialect));
        self
    }

    /// The `Io`.
    ///
    /// # Errors
    /// The first key of the configuration that is not valid.
    pub fn build(self) -> Result<Io, ConfigError> {
        self.config.validate()?;
        Ok(self.build_valid())
    }

    fn build_valid(self) -> Io {
        let dialects = self.dialects.into_iter().enumerate();
        let dialects = dialects.map(|(place, dialect)| Spoken { place, dialect }).collect();
        Io(Arc::new(Inner {
            config: self.config,
            router: Router::default(),
            known: Known::default(),
            gateways: Gateways::default(),
            rules: Rules::default(),
            hub: Hub::new(),
            gate: Arc::default(),
            letter_readers: Readers::default(),
            sockets: Mutex::default(),
            dialects,
            authenticate: RwLock::default(),
            requires_authentication: Default::default(),
            extensions: Extensions::default(),
            interests: Interests::new(self.adapter.clone()),
            adapter: self.adapter,
            listens_to_others: OnceLock::new(),
            sweeps_rooms: OnceLock::new(),
            totals: Totals::default(),
            panics: AtomicU64::new(0),
            life: Life::new(),
            watched: Watched::new(self.name),
        }))
    }
}

impl fmt::Debug for IoBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Default for Io {
    fn default() -> Io {
        Io::new()
    }
}

impl Io {
    /// One with the default [`Config`], alone.
    pub fn new() -> Io {
        // The defaults are valid.
        Io::builder().build_valid()
    }

    /// One with other than the defaults.
    pub fn builder() -> IoBuilder {
        IoBuilder { config: Config::default(), adapter: Arc::new(Local), dialects: vec![Arc::new(Json)], name: None }
    }

    /// Its limits.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Data of one's own beside this `Io`, for all its handlers.
    pub fn extensions(&self) -> &Extensions {
        &self.0.extensions
    }

    /// Adds a [`Module`], such as [`process::Settings`](crate::process::Settings), and returns its handle.
    pub fn install<M: Module>(&self, module: M) -> M::Handle {
        module.install(self)
    }

    // ---- who comes in

    /// Asks who comes in, before the upgrade: an `Err` is answered with its status and a JSON body.
    /// The last function set holds. See [`auth`](crate::auth) for ready-made ones.
    ///
    /// It fails closed: if it panics or takes longer than `handshakeTimeout`, the answer is 503; if the
    /// user it returns has an empty name, 401. `Ok(None)` lets a guest in, whose user is empty.
    ///
    /// ```
    /// use eventwire::{Handshake, Io, Refusal};
    ///
    /// let io = Io::new();
    /// io.authenticate(|handshake: Handshake| async move {
    ///     match handshake.query_param("token") {
    ///         None => Ok(None),
    ///         Some(token) if token == "s3cret" => Ok(Some(String::from("ann"))),
    ///         Some(_) => Err(Refusal::unauthorized("the token is not valid")),
    ///     }
    /// });
    /// ```
    pub fn authenticate<F, Fut, P>(&self, check: F)
    where
        F: Fn(Handshake) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<P, Refusal>> + Send + 'static,
        P: IntoPrincipal,
    {
        let check = upgrade::authenticate(check);
        let before = self.0.authenticate.write().unwrap_or_else(PoisonError::into_inner).replace(check);
        // Here, where no lock is held: what it captured is user code.
        drop(before);
    }

    /// Lets nobody in, with 503, unless [`authenticate`](Io::authenticate) has been given a
    /// function: for applications that set it late, or might forget.
    pub fn require_authentication(&self) {
        self.0.requires_authentication.store(true, Ordering::Relaxed);
    }

    /// Calls `handler` for each socket, after `connected` has been sent and before its first event is
    /// handled: handlers that it registers miss nothing. It may take 10 s.
    ///
    /// An `Err` refuses the socket: `closing` with its code, then 1008. A panic closes with 1011.
    pub fn on_connect<F, Fut>(&self, handler: F)
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Welcome,
    {
        self.0.router.on_connect(Box::new(Connect(handler)));
    }

    /// Calls `handler` once for each socket, last, when it is gone; before the socket's own. It may take
    /// `handlerTimeout`.
    pub fn on_disconnect<F, Fut>(&self, handler: F)
    where
        F: Fn(Socket, DisconnectReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.router.on_disconnect(Arc::new(move |socket, reason| Box::pin(handler(socket, reason))));
    }

    // ---- handlers

    /// Calls `handler` for each `event` of every socket. It costs nothing per connection. See
    /// [`Socket::on`]; listeners of the `Io` come before the socket's own.
    ///
    /// A handler has its `Io` by [`Socket::io`]. One that captures it instead keeps it for ever.
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

    /// The same for the first such event of all sockets only.
    ///
    /// # Panics
    /// As [`on`](Io::on).
    pub fn once<T: for<'de> Deserialize<'de> + Send + 'static>(
        &self,
        event: &str,
        handler: impl Handler<T>,
    ) -> ListenerId {
        self.hear(event, Box::new(Typed::<T, _>::new(handler)), true)
    }

    /// Calls `handler` for every event of every socket, decoded as any JSON. Events that only it hears
    /// count as handled. It hears `subscribe` and `unsubscribe` too, after they were done.
    pub fn on_any(&self, handler: impl Handler<AnyEvent>) -> ListenerId {
        self.0.router.on_any(Box::new(handler::Any(handler)))
    }

    /// Calls `handler` for every event of every socket, undecoded. Events that only it hears count as
    /// handled.
    pub fn on_raw(&self, handler: impl Handler<RawEvent>) -> ListenerId {
        self.0.router.on_any(Box::new(handler::Raw(handler)))
    }

    /// Takes listeners of this `Io` away: all of an event by its name, or one by its
    /// [`ListenerId`]. Returns how many.
    pub fn off<'a>(&self, listeners: impl Into<Off<'a>>) -> usize {
        self.0.router.off(&listeners.into())
    }

    // ---- rooms and broadcasts

    /// The rooms of a pattern, a name or the beginning of one and `*`, to say which clients may
    /// subscribe. Without a rule no client may; the longest pattern that matches holds.
    ///
    /// ```
    /// # let io = eventwire::Io::new();
    /// io.rooms("news").public();
    /// io.rooms("user:*").allow_if(|socket, room| async move {
    ///     room.strip_prefix("user:") == Some(socket.handshake().user())
    /// });
    /// ```
    ///
    /// # Panics
    /// When the pattern can match no room.
    pub fn rooms(&self, pattern: &str) -> RoomRule<'_> {
        RoomRule::new(&self.0.rules, self.0.hub.rooms(), pattern)
    }

    /// What a room with [history](RoomRule::history) keeps: to read it, or to let it begin anew.
    pub fn room<'a>(&'a self, name: &'a str) -> RoomLog<'a> {
        RoomLog::new(self, name)
    }

    /// A broadcast to a room.
    pub fn to<'a>(&'a self, room: &'a str) -> Broadcast<'a> {
        Broadcast::new(self).to(room)
    }

    /// A broadcast to everyone but a socket or the members of a room.
    pub fn except<'a>(&'a self, except: impl Into<Except<'a>>) -> Broadcast<'a> {
        Broadcast::new(self).except(except)
    }

    /// A broadcast to everyone.
    pub fn broadcast(&self) -> Broadcast<'_> {
        Broadcast::new(self)
    }

    /// A broadcast to everyone at this node.
    pub fn local(&self) -> Broadcast<'_> {
        Broadcast::new(self).local()
    }

    /// A broadcast to everyone that those who do not keep up may miss.
    pub fn volatile(&self) -> Broadcast<'_> {
        Broadcast::new(self).volatile()
    }

    /// A broadcast to everyone that keeps pace with the slowest.
    pub fn paced(&self, pace: Pace) -> Broadcast<'_> {
        Broadcast::new(self).paced(pace)
    }

    /// Sends to everyone. See [`Broadcast::emit`].
    ///
    /// # Errors
    /// As there.
    pub fn emit<T: Serialize>(&self, event: &str, data: T) -> Emitting<usize> {
        Broadcast::new(self).emit(event, data)
    }

    /// Sends an error of the application's to everyone.
    ///
    /// # Errors
    /// As [`Broadcast::emit`].
    pub fn error(&self, code: impl Into<String>, message: impl Into<String>) -> Emitting<usize> {
        Broadcast::new(self).error(code, message)
    }

    /// Asks everyone at this node. See [`Broadcast::request`].
    pub fn request<A: for<'de> Deserialize<'de>>(&self, event: &str, data: impl Serialize) -> Answers<A> {
        Broadcast::new(self).request(event, data)
    }

    // ---- what is

    /// The socket of this id, if it is connected here.
    pub fn socket(&self, id: SocketId) -> Option<Socket> {
        self.lock_sockets().get(&id).cloned()
    }

    /// All sockets connected here, in no order.
    pub fn sockets(&self) -> Vec<Socket> {
        self.lock_sockets().values().cloned().collect()
    }

    /// The names of all rooms with members here, in no order.
    pub fn rooms_list(&self) -> Vec<String> {
        self.0.hub.rooms().names().iter().map(|name| name.to_string()).collect()
    }

    /// The patterns that sockets here have [joined](Socket::join_pattern) or subscribed to, in no order.
    pub fn patterns_list(&self) -> Vec<String> {
        self.0.hub.rooms().patterns().iter().map(|name| name.to_string()).collect()
    }

    /// The names of all rooms with [history](RoomRule::history) here, those without members among them, in no order.
    pub fn logs_list(&self) -> Vec<String> {
        self.0.hub.rooms().logs().iter().map(|name| name.to_string()).collect()
    }

    /// How many members a room has here, by its name and by patterns: 0 saves the work of making what nobody would see.
    pub fn room_len(&self, room: &str) -> usize {
        self.0.hub.room_len(room)
    }

    // ---- ways in

    /// A service for tower, axum and hyper 1 that upgrades every request it gets.
    pub fn service(&self) -> Service {
        Service::new(self.clone())
    }

    /// Upgrades a request within a route of one's own; the response is to be returned as it is.
    pub async fn upgrade<B>(&self, request: Request<B>) -> Response<Body> {
        upgrade::upgrade(self, request).await.0
    }

    // ---- for the rest of the crate

    pub(crate) fn life(&self) -> &Life {
        &self.0.life
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.0.watched
    }

    pub(crate) fn router(&self) -> &Router {
        &self.0.router
    }

    pub(crate) fn hear(&self, event: &str, call: Box<dyn Call>, once: bool) -> ListenerId {
        let heard = Heard::new(event, call.types(), &self.0.watched.events);
        self.0.router.on(Arc::new(heard), call, once)
    }

    pub(crate) fn known(&self) -> &Known {
        &self.0.known
    }

    pub(crate) fn gateways(&self) -> &Gateways {
        &self.0.gateways
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.0.rules
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub(crate) fn letter_readers(&self) -> &Readers {
        &self.0.letter_readers
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.0.gate
    }

    pub(crate) fn adapter(&self) -> &Arc<dyn Adapter> {
        &self.0.adapter
    }

    pub(crate) fn count_panic(&self) {
        self.0.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panics(&self) -> u64 {
        self.0.panics.load(Ordering::Relaxed)
    }

    pub(crate) fn connected(&self) -> u64 {
        self.0.totals.connected.load(Ordering::Relaxed)
    }

    fn lock_sockets(&self) -> std::sync::MutexGuard<'_, HashMap<SocketId, Socket>> {
        self.0.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `authenticate` was given.
    pub(crate) fn authenticator(&self) -> Result<Option<Authenticate>, Refusal> {
        let check = self.0.authenticate.read().unwrap_or_else(PoisonError::into_inner).clone();
        if check.is_none() && self.0.requires_authentication.load(Ordering::Relaxed) {
            return Err(Refusal::unavailable("who you are cannot be found out yet").because("authentication"));
        }
        Ok(check)
    }

    /// The dialect for a connection: the first subprotocol offered that is known, else the one of
    /// the path, else JSON. Also whether the subprotocol is to be named in the answer.
    pub(crate) fn dialect<'a>(&self, path: &str, offered: impl Iterator<Item = &'a str>) -> (Spoken, bool) {
        let dialects = &self.0.dialects;
        for name in offered {
            if let Some(spoken) = dialects.iter().find(|spoken| spoken.dialect.subprotocol() == name) {
                return (spoken.clone(), true);
            }
        }
        let of_path = dialects.iter().find(|spoken| spoken.dialect.path() == Some(path));
        (of_path.unwrap_or(&dialects[0]).clone(), false)
    }

    /// A connection is there.
    pub(crate) fn connect(&self, socket: &Socket) {
        self.listen_to_others();
        self.watch();
        self.lock_sockets().insert(socket.id(), socket.clone());
        self.0.hub.connect(socket.member());
        count(&self.0.totals.connected, 1);
        // It may have come through the door before shutdown began, and be here only now.
        if self.life().phase() != Phase::Running {
            self.tell_to_come_back(socket, 1);
            if self.life().phase() >= Phase::Cut {
                socket.member().outbox.cut();
            }
        }
    }

    /// A connection is gone.
    pub(crate) fn disconnect(&self, socket: &Socket, reason: &DisconnectReason) {
        self.0.watched.closes.add(reason.name());
        let gone = self.0.hub.disconnect(socket.member());
        socket.member().deliveries.close(socket.member());
        self.forget_socket(socket);
        self.tell_given_up(socket);
        gone.iter().for_each(|room| self.settle(room));
    }

    /// What was counted for it is kept. With many sockets goes the place that they took.
    fn forget_socket(&self, socket: &Socket) {
        let mut sockets = self.lock_sockets();
        let gone = sockets.remove(&socket.id());
        // Under the lock: whoever sums has it among those that are here or among those that are gone.
        self.0.totals.add(&socket.member().counters);
        if is_sparse(sockets.len(), sockets.capacity()) {
            let left = sockets.len();
            sockets.shrink_to(left * 2);
        }
        drop(sockets);
        // It may hold what is the application's.
        drop(gone);
    }

    pub(crate) fn leave(&self, member: &Member, room: &str) {
        if self.0.hub.leave(member, room) == Change::Room {
            self.settle(room);
        }
    }

    /// Puts a message before the members here.
    pub(crate) fn deliver(&self, audience: Audience<'_>, message: Message<'_>) -> Delivered {
        let delivered = self.0.hub.broadcast(audience, message);
        if delivered.has_opened {
            self.sweep_rooms();
            audience.rooms.iter().for_each(|room| self.settle(room));
        }
        delivered
    }

    /// Joins a room. It is made if there is none.
    pub(crate) fn join(
        &self,
        member: &Arc<Member>,
        room: &str,
        at_most: Option<usize>,
        start: &Start,
    ) -> Result<Option<Position>, NotJoined> {
        let (_, position) = self.0.hub.join(member, room, at_most, start)?;
        if position.is_some() {
            self.sweep_rooms();
        }
        Ok(position)
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").field("sockets", &self.0.hub.len()).finish_non_exhaustive()
    }
}
