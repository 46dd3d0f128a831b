use std::fmt;
use std::sync::Arc;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::{Client, ConnectOptions, ServerAddr};

use super::counts::Counts;
use super::handle::{self, NatsSourceHandle, Shared};
use super::names::{covers, is_subject, literal, pattern};
use super::source::Source;
use crate::protocol::{MAX_ROOM, check_event};
use crate::{AtLeastOnce, Error, Io, Module, NameError, Pace, Socket, code};

/// The dialect whose clients get everything without asking.
const STREAM_KIT: &str = "streamkit";

/// Subjects of NATS, streamed to the rooms of the same names. `io.install(source)` gives a [`NatsSourceHandle`]. See the
/// [module](super).
#[derive(Debug)]
pub struct NatsSource(pub(super) NatsSourceBuilder);

/// Makes a [`NatsSource`].
#[must_use = "a builder does nothing until `build`"]
pub struct NatsSourceBuilder {
    pub(super) name: String,
    pub(super) server: Server,
    pub(super) subjects: Vec<String>,
    pub(super) jetstream: Option<(String, pull::Config)>,
    pub(super) event: String,
    pub(super) queue: usize,
    pub(super) pace: Option<Pace>,
    pub(super) at_least_once: Option<AtLeastOnce>,
    is_public: bool,
    is_for_everyone: bool,
    is_optional: bool,
}

#[derive(Default)]
pub(super) enum Server {
    #[default]
    None,
    /// The application's own.
    Client(Client),
    Urls(String, Box<ConnectOptions>),
}

/// Why there is no such source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NatsSourceError {
    /// Neither [`client`](NatsSourceBuilder::client) nor [`connect`](NatsSourceBuilder::connect) says where NATS is.
    NoServer,
    /// The address is none: the text, and why.
    Url(String, String),
    /// There is no [`subject`](NatsSourceBuilder::subject).
    NoSubject,
    /// It is no subject: it has an empty token, white space, or `>` before its end; or it is too long for a room's name.
    Subject(String),
    /// The event cannot be named so.
    Event(NameError),
    /// A consumer that acknowledges nothing, or filters by subjects of its own: the source does both.
    Consumer(&'static str),
    /// The file of credentials cannot be read, or is none: why.
    Credentials(String),
    /// It is closed.
    Closed,
}

impl fmt::Display for NatsSourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NatsSourceError::NoServer => f.write_str("a source of NATS needs a client, or an address to connect to"),
            NatsSourceError::Url(url, reason) => write!(f, "`{url}` is no address of NATS: {reason}"),
            NatsSourceError::NoSubject => f.write_str("a source of NATS needs a subject"),
            NatsSourceError::Subject(subject) => {
                write!(f, "`{subject}` is no subject: tokens between dots, `*` for one, `>` at the end for the rest")
            }
            NatsSourceError::Event(error) => error.fmt(f),
            NatsSourceError::Consumer(what) => write!(f, "the consumer's `{what}` is the source's to set"),
            NatsSourceError::Credentials(reason) => write!(f, "the file of credentials: {reason}"),
            NatsSourceError::Closed => f.write_str("the source is closed"),
        }
    }
}

impl std::error::Error for NatsSourceError {}

impl From<NatsSourceError> for Error {
    fn from(error: NatsSourceError) -> Error {
        let code = if error == NatsSourceError::Closed { code::DISCONNECTED } else { "invalid_config" };
        Error::new(code, error.to_string())
    }
}

// What it connects with may be secret.
impl fmt::Debug for NatsSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = self.jetstream.as_ref().map(|(stream, _)| stream);
        let mut debug = f.debug_struct("NatsSourceBuilder");
        debug.field("name", &self.name).field("subjects", &self.subjects).field("stream", &stream);
        debug.field("event", &self.event).finish_non_exhaustive()
    }
}

impl NatsSource {
    /// One without a server or subjects so far.
    pub fn builder() -> NatsSourceBuilder {
        NatsSourceBuilder {
            name: "nats".to_owned(),
            server: Server::None,
            subjects: Vec::new(),
            jetstream: None,
            event: "message".to_owned(),
            queue: 65_536,
            pace: None,
            at_least_once: None,
            is_public: false,
            is_for_everyone: false,
            is_optional: false,
        }
    }
}

impl NatsSourceBuilder {
    // ---- where from

    /// Connects to NATS: `nats://HOST:4222`, `tls://…`, several separated by commas, with `user:password@` or `token@` where it
    /// asks for that. It need not be there yet: the source tries for ever, after at most 4 s.
    pub fn connect(self, urls: impl Into<String>) -> Self {
        self.connect_with(urls, ConnectOptions::new())
    }

    /// The same with options, such as credentials. The source sets those that say how it connects again, and how many
    /// messages may [wait](NatsSourceBuilder::queue).
    pub fn connect_with(self, urls: impl Into<String>, options: ConnectOptions) -> Self {
        NatsSourceBuilder { server: Server::Urls(urls.into(), Box::new(options)), ..self }
    }

    /// The connection of the application, which stays its own: it says how that connects again and how many messages may
    /// wait, and the source does not close it.
    pub fn client(self, client: Client) -> Self {
        NatsSourceBuilder { server: Server::Client(client), ..self }
    }

    /// A subject, which may have wildcards: `metrics.>`. A message that several match comes once.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subjects.push(subject.into());
        self
    }

    /// Several subjects.
    pub fn subjects<S: Into<String>>(mut self, subjects: impl IntoIterator<Item = S>) -> Self {
        self.subjects.extend(subjects.into_iter().map(Into::into));
        self
    }

    /// Reads them from a stream of JetStream, by a pull consumer with these settings, which is made if there is none. With a
    /// `durable_name` it goes on where it was, also after this program; else it is ephemeral. Each message is acknowledged
    /// when its room has it. Several subjects need a server of 2.10.
    pub fn jetstream(self, stream: impl Into<String>, consumer: pull::Config) -> Self {
        NatsSourceBuilder { jetstream: Some((stream.into(), consumer)), ..self }
    }

    /// How many messages of a core subject may wait here to be emitted, when this program cannot keep up; more are dropped, and
    /// [counted](super::NatsCounts::dropped). Default 65,536 for each subject, of whatever size.
    pub fn queue(self, messages: usize) -> Self {
        NatsSourceBuilder { queue: messages.max(1), ..self }
    }

    // ---- where to

    /// The event by which messages are emitted. Default `message`.
    pub fn event(self, event: impl Into<String>) -> Self {
        NatsSourceBuilder { event: event.into(), ..self }
    }

    /// Lets every client subscribe to the rooms of these subjects, and gives everything to clients of the dialect
    /// [`StreamKit`](crate::dialects::StreamKit), which never subscribe. Else the application's own [rules](Io::rooms) hold.
    pub fn public(self) -> Self {
        NatsSourceBuilder { is_public: true, ..self }
    }

    /// Gives every socket all messages, without its subscribing.
    pub fn everyone(self) -> Self {
        NatsSourceBuilder { is_for_everyone: true, ..self }
    }

    /// Emits at the [pace](Pace) of the slowest member: for a stream whose past comes at once, to rooms without
    /// [history](crate::RoomRule::history). Who stalls then holds up all, each time for as long as the pace says.
    pub fn paced(self, pace: Pace) -> Self {
        NatsSourceBuilder { pace: Some(pace), ..self }
    }

    /// Has each member [acknowledge](AtLeastOnce) each message, and sends it again until it does.
    pub fn at_least_once(self, delivery: AtLeastOnce) -> Self {
        NatsSourceBuilder { at_least_once: Some(delivery), ..self }
    }

    /// While it is not connected, [health](Io::health) tells of it and stays ready.
    pub fn optional(self) -> Self {
        NatsSourceBuilder { is_optional: true, ..self }
    }

    /// Its name in logs, metrics and reasons of health, and as NATS knows its connection. Default `nats`; of several sources each needs
    /// one of its own.
    pub fn name(self, name: impl Into<String>) -> Self {
        NatsSourceBuilder { name: name.into(), ..self }
    }

    /// The source.
    ///
    /// # Errors
    /// [`NatsSourceError`] says what is missing or cannot be.
    pub fn build(self) -> Result<NatsSource, NatsSourceError> {
        match &self.server {
            Server::None => return Err(NatsSourceError::NoServer),
            Server::Client(_) => {}
            Server::Urls(urls, _) => drop(addresses(urls)?),
        }
        if self.subjects.is_empty() {
            return Err(NatsSourceError::NoSubject);
        }
        let is_bad = |subject: &&String| !is_subject(subject) || pattern(subject).len() > MAX_ROOM;
        if let Some(subject) = self.subjects.iter().find(is_bad) {
            return Err(NatsSourceError::Subject(subject.clone()));
        }
        check_event(&self.event).map_err(NatsSourceError::Event)?;
        if let Some((_, consumer)) = &self.jetstream {
            if consumer.ack_policy != AckPolicy::Explicit {
                return Err(NatsSourceError::Consumer("ack_policy"));
            }
            if !consumer.filter_subject.is_empty() || !consumer.filter_subjects.is_empty() {
                return Err(NatsSourceError::Consumer("filter_subject"));
            }
        }
        Ok(NatsSource(self))
    }
}

/// Those of a list with commas.
pub(super) fn addresses(urls: &str) -> Result<Vec<ServerAddr>, NatsSourceError> {
    let parse = |url: &str| {
        let address: ServerAddr = url.parse().map_err(|error: std::io::Error| error.to_string())?;
        match address.host() {
            "" => Err("it names no host".to_owned()),
            _ if address.is_websocket() => Err("the source does not speak WebSocket with NATS".to_owned()),
            _ => Ok(address),
        }
    };
    let all = urls.split(',').map(str::trim);
    all.map(|url| parse(url).map_err(|reason| NatsSourceError::Url(without_password(url), reason))).collect()
}

/// Errors are shown to many.
fn without_password(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => url.to_owned(),
    }
}

impl Module for NatsSource {
    type Handle = NatsSourceHandle;

    /// # Panics
    /// Outside of a Tokio runtime.
    fn install(self, io: &Io) -> NatsSourceHandle {
        let NatsSource(settings) = self;
        let patterns: Vec<String> = settings.subjects.iter().map(|subject| pattern(subject)).collect();
        if settings.is_public {
            let_everyone_subscribe(io, &patterns);
        }
        let (is_public, is_for_everyone) = (settings.is_public, settings.is_for_everyone);
        if is_public || is_for_everyone {
            let patterns: Arc<[String]> = patterns.into();
            io.on_connect(move |socket: Socket| {
                let gets_all = is_for_everyone || socket.dialect() == STREAM_KIT;
                let patterns = Some(patterns.clone()).filter(|_| gets_all);
                async move {
                    for pattern in patterns.iter().flat_map(|patterns| &**patterns) {
                        socket.join_pattern(pattern).await?;
                    }
                    Ok(())
                }
            });
        }
        let counts = Counts::new(&settings.name, settings.knows_dropped());
        let shared = Arc::new(Shared::new(&settings.name, settings.is_optional, counts));
        handle::tell_health(io, &shared);
        // A shutdown waits for it.
        io.spawn(Source { io: io.clone(), settings, shared: shared.clone() }.run());
        NatsSourceHandle(shared)
    }
}

impl NatsSourceBuilder {
    /// Only where nobody else uses the connection is everything that comes for this source.
    pub(super) fn knows_dropped(&self) -> bool {
        matches!(self.server, Server::Urls(..)) && self.jetstream.is_none()
    }
}

/// Rules know names and beginnings of names: what lies between is asked for each room.
fn let_everyone_subscribe(io: &Io, patterns: &[String]) {
    let is_all = |beginning: &str| {
        let mut all = patterns.iter().map(|pattern| literal(pattern));
        all.any(|(of, rest)| rest == Some(">") && beginning.starts_with(of))
    };
    for pattern in patterns {
        match literal(pattern) {
            (room, None) => drop(io.rooms(room).public()),
            (beginning, Some(_)) if is_all(beginning) => drop(io.rooms(&format!("{beginning}*")).public()),
            (beginning, Some(_)) => {
                let patterns = patterns.to_vec();
                drop(io.rooms(&format!("{beginning}*")).allow_if(move |_, room: String| {
                    let is_one = patterns.iter().any(|pattern| covers(pattern, &room));
                    async move { is_one }
                }));
            }
        }
    }
}
