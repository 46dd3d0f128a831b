//! A whole server from one document: its limits, where it listens, and what it streams.

mod subject;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use self::subject::SUBJECT;
use crate::config::{
    self, Config, ConfigError, Flag, Form, Key, Keys, OneOf, OneOrMore, OrNull, Text, Wrong, describe, read,
};
use crate::io::{Io, IoBuilder};

/// What a source streams where the document does not say.
const DEFAULT_SUBJECT: &str = "stream.>";

/// Where NATS is where the document does not say.
const DEFAULT_SERVER: &str = "nats://127.0.0.1:4222";

/// A server, described by one document: the limits of its [`Io`], where it listens, how it delivers, and which subjects of
/// NATS it streams.
///
/// The keys of [`Config`] and the following stand side by side in one object, in camelCase or snake_case:
///
/// | key | default | |
/// | --- | --- | --- |
/// | `host` | `127.0.0.1` | the address or name to listen at; `0.0.0.0` is every address of IPv4, `::` of IPv6 |
/// | `port` | 8081 | 1024 to 65535 |
/// | `path` | `/ws` | the path of WebSockets |
/// | `subjects` | `stream.>` | subjects of NATS, one or a list |
/// | `ports.inputs` | | a list of `{name, type, subject, required, stream, durable}`: [`Subject`]. Both ways add up; with inputs, `subjects` has no default |
/// | `deliveryMode` | `at-most-once` | or `at-least-once` |
/// | `ackTimeout` | 5 s; for requests 10 s | how long the server waits for an acknowledgement, of messages delivered at least once and of requests |
/// | `readTimeout` | 45 s | another name of `silenceTimeout` |
/// | `nats` | `nats://127.0.0.1:4222` | a URL, a list of them, or [`{servers, credentials, user, password, token, name}`](SourceSetup) |
/// | `$schema` | | not read: for editors, which find the [schema](Io::config_schema) by it |
///
/// All that is wrong with a document is told at once, each by the path of its key and with what was expected. Keys that are
/// not known are refused. What may be a secret is in no error and no `Debug`.
///
/// ```
/// use eventwire::{DeliveryMode, Setup};
///
/// let setup = Setup::from_json(r#"{
///     "port": 8081, "path": "/ws", "ping_interval": "30s", "read_timeout": "60s",
///     "ports": {"inputs": [{"name": "metrics", "type": "nats", "subject": "metrics.>", "required": true}]}
/// }"#)?;
/// assert_eq!(setup.listen.port, 8081);
/// assert_eq!(setup.source.subjects[0].subject, "metrics.>");
/// assert_eq!(setup.delivery, DeliveryMode::AtMostOnce);
///
/// let error = Setup::from_json(r#"{"port": 80, "ports": {"inputs": [{"subject": "metrics..cpu"}]}, "pathh": "/ws"}"#).unwrap_err();
/// assert_eq!(error.to_string(), "`port`: must be a whole number from 1024 to 65535, not 80; \
///     `ports.inputs[0].subject`: must be a subject of NATS such as `metrics.>`: its token 2 is empty, not \"metrics..cpu\"; \
///     `pathh`: is no key of the configuration; `path` is one");
/// # Ok::<(), eventwire::ConfigError>(())
/// ```
///
/// # Coming from StreamKit
///
/// Its configuration is read as it is, but for `ports.outputs`, in whose place `host`, `port` and `path` stand. It listens at
/// this machine alone unless `host` says otherwise.
///
/// | StreamKit | here |
/// | --- | --- |
/// | `Config`, `DefaultConfig` | `Setup`, `Setup::default()` |
/// | `ConstructorConfig{Port, Path, Subjects, DeliveryMode, AckTimeout}` | the fields of a `Setup`, in code |
/// | `ConstructorConfig{NATSClient}` | the client that is given to the source |
/// | `ConstructorConfig{MetricsRegistry, Logger}` | the application's recorder of `metrics`, its subscriber of `tracing` |
/// | `ConstructorConfig{Security}` | [`Io::authenticate`], [`Io::rooms`], [`Config::allowed_origins`] |
/// | `NewOutput`, `NewOutputFromConfig`, `CreateOutput` | [`Io::from_config`]; with dialects or an adapter [`Setup::io_with`] |
/// | `Initialize` | nothing: a document is checked when it is read |
/// | `Start(ctx)` | [`Io::run`](Io::run), or the [service](Io::service) within an application of one's own |
/// | `Stop(timeout)` | [`Io::shutdown`], which takes no longer than its grace |
/// | `ConfigSchema` | [`Io::config_schema`] |
/// | `InputPorts` | [`SourceSetup::subjects`] |
/// | all messages to all clients | clients subscribe to the room of a subject; those of the `streamkit` dialect get all |
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>")]
#[non_exhaustive]
pub struct Setup {
    /// The limits.
    pub config: Config,
    /// Where it listens.
    pub listen: Listen,
    /// How messages of the source are delivered.
    pub delivery: DeliveryMode,
    /// What is streamed, and from where.
    pub source: SourceSetup,
}

/// Where a server listens: what [`Io::run`](crate::Io::run) does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listen {
    /// An address, or a name that has one. Default `127.0.0.1`.
    pub host: String,
    /// Default 8081. A document has 1024 to 65535; set in code, 0 is any that is free.
    pub port: u16,
    /// The path of WebSockets, with its `/`. Default `/ws`.
    pub path: String,
}

/// How messages of a source are delivered to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryMode {
    /// Each is sent once, and acknowledged by nobody. The default.
    #[default]
    AtMostOnce,
    /// Each is sent until the client acknowledges it.
    AtLeastOnce {
        /// How long the server waits before it sends a message again. Default 5 s.
        ack_timeout: Duration,
    },
}

/// Which subjects of NATS are streamed, and where NATS is.
///
/// `Debug` shows no password, token or path of a key; nor does any error.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceSetup {
    /// What to subscribe to, at least one, each once. Default `stream.>`.
    pub subjects: Vec<Subject>,
    /// URLs of the servers of one cluster, such as `nats://host:4222`; the schemes are `nats`, `tls`, `ws` and `wss`, and a user and
    /// a password may stand before the host. At least one. Default `nats://127.0.0.1:4222`.
    pub servers: Vec<String>,
    /// The file with a JWT and its key, as `nsc` writes it. Excludes the other ways to say who one is.
    pub credentials: Option<PathBuf>,
    /// Goes with a password.
    pub user: Option<String>,
    /// Goes with a user.
    pub password: Option<String>,
    /// Excludes a user.
    pub token: Option<String>,
    /// What it is called in logs, metrics and health, and in NATS's own monitoring. Default `nats`.
    pub name: String,
}

/// One subject of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subject {
    /// The subject, with NATS's wildcards: `metrics.cpu`, `metrics.*`, `metrics.>`.
    pub subject: String,
    /// What people call it. Default: the subject.
    pub name: String,
    /// Where it comes from. Default core NATS.
    pub kind: SubjectKind,
    /// Whether the server is not ready while it does not come. Default yes.
    pub required: bool,
}

/// Where the messages of a subject come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SubjectKind {
    /// Core NATS: what is published while nobody listens is lost. `nats`, the default.
    #[default]
    Core,
    /// A stream of JetStream. `jetstream`, with the keys `stream` and `durable`.
    JetStream {
        /// The stream's name.
        stream: String,
        /// The name of a consumer that goes on where it was. `None`: what is published from now on.
        durable: Option<String>,
    },
}

impl Subject {
    /// A subject of core NATS, by its own name, required.
    pub fn new(subject: impl Into<String>) -> Subject {
        let subject = subject.into();
        Subject { name: subject.clone(), subject, kind: SubjectKind::Core, required: true }
    }
}

impl Default for Setup {
    fn default() -> Setup {
        let mut setup = Setup::without_subjects();
        setup.source.subjects.push(Subject::new(DEFAULT_SUBJECT));
        setup
    }
}

impl fmt::Debug for SourceSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |is_set: bool| is_set.then_some("***");
        f.debug_struct("SourceSetup")
            .field("subjects", &self.subjects)
            .field("servers", &self.servers.iter().map(|url| without_user(url)).collect::<Vec<_>>())
            .field("credentials", &secret(self.credentials.is_some()))
            .field("user", &self.user)
            .field("password", &secret(self.password.is_some()))
            .field("token", &secret(self.token.is_some()))
            .field("name", &self.name)
            .finish()
    }
}

/// A URL as it may be told: what stands before the `@` is a password, or a token.
fn without_user(url: &str) -> String {
    match url.rsplit_once('@') {
        None => url.to_owned(),
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
            format!("{scheme}***@{host}")
        }
    }
}

impl Setup {
    /// Reads a document.
    ///
    /// # Errors
    /// That it is no JSON object, or all that is wrong with it.
    pub fn from_json(json: &str) -> Result<Setup, ConfigError> {
        match serde_json::from_str(json) {
            Ok(Value::Object(keys)) => Setup::try_from(keys.into_iter().collect::<BTreeMap<_, _>>()),
            Ok(_) => Err(ConfigError::whole("the configuration must be a JSON object")),
            Err(error) => Err(ConfigError::whole(format!("the configuration is no JSON: {error}"))),
        }
    }

    /// An `Io` of it: with its limits, and with itself as [`Io::setup`], where [`Io::run`](crate::Io::run) and modules find the rest.
    ///
    /// # Errors
    /// The keys of its limits that are not valid.
    pub fn io(self) -> Result<Io, ConfigError> {
        self.io_with(Io::builder())
    }

    /// The same with what a builder has beside the limits: dialects, an adapter, a name.
    ///
    /// ```
    /// use eventwire::{Io, Setup, dialects::GoWs};
    ///
    /// let io = Setup::from_json(r#"{"port": 8081}"#)?.io_with(Io::builder().dialect(GoWs::default()))?;
    /// assert_eq!(io.setup().map(|setup| setup.listen.port), Some(8081));
    /// # Ok::<(), eventwire::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// The keys of its limits that are not valid.
    pub fn io_with(self, builder: IoBuilder) -> Result<Io, ConfigError> {
        let io = builder.config(self.config.clone()).build()?;
        io.extensions().insert(self);
        Ok(io)
    }

    fn without_subjects() -> Setup {
        Setup {
            config: Config::default(),
            listen: Listen { host: "127.0.0.1".to_owned(), port: 8081, path: "/ws".to_owned() },
            delivery: DeliveryMode::AtMostOnce,
            source: SourceSetup {
                subjects: Vec::new(),
                servers: vec![DEFAULT_SERVER.to_owned()],
                credentials: None,
                user: None,
                password: None,
                token: None,
                name: "nats".to_owned(),
            },
        }
    }
}

impl TryFrom<BTreeMap<String, Value>> for Setup {
    type Error = ConfigError;

    fn try_from(map: BTreeMap<String, Value>) -> Result<Setup, ConfigError> {
        let mut setup = Setup::without_subjects();
        read(map, |keys| walk(keys, &mut setup))?;
        Ok(setup)
    }
}

impl Io {
    /// An `Io` as one JSON document describes it: see [`Setup`], which has the keys.
    ///
    /// ```no_run
    /// # async fn f() -> eventwire::Result<()> {
    /// let io = eventwire::Io::from_config(r#"{"port": 8081, "pingInterval": "30s"}"#)?;
    /// io.rooms("news").public();
    /// io.run().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// All that is wrong with the document.
    pub fn from_config(json: &str) -> Result<Io, ConfigError> {
        Setup::from_json(json)?.io()
    }

    /// The [JSON Schema](https://json-schema.org) (draft 2020-12) of the documents that [`from_config`](Io::from_config) reads:
    /// all keys in both spellings, with what they are for, their bounds and their defaults. What holds between several keys is
    /// checked by the reader alone, and so are bounds of what is written with a unit.
    pub fn config_schema() -> Value {
        describe("The configuration of an Eventwire server", |keys| walk(keys, &mut Setup::without_subjects()))
    }

    /// What it was made from, if that was a [`Setup`].
    pub fn setup(&self) -> Option<std::sync::Arc<Setup>> {
        self.extensions().get()
    }
}

/// A port that needs no privilege.
struct Port;

impl Form for Port {
    type Value = u16;

    fn read(&self, value: &Value) -> Result<u16, Wrong> {
        let port = value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port >= 1024);
        port.ok_or_else(|| Wrong::expected("a whole number from 1024 to 65535", value))
    }

    fn write(&self, value: &u16) -> Value {
        (*value).into()
    }

    fn schema(&self) -> Value {
        serde_json::json!({"type": "integer", "minimum": 1024, "maximum": 65535})
    }
}

const HOST: Text = Text {
    expected: "an address or a name, without a port",
    pattern: "^[^\\s/@]+$",
    check: |text| {
        let is_name = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@' | ':'));
        if is_name || text.parse::<IpAddr>().is_ok() { Ok(()) } else { Err(String::new()) }
    },
    secret: false,
};

const PATH: Text = Text {
    expected: "a path such as \"/ws\"",
    pattern: "^/[!-\"$->@-~]*$",
    check: |text| {
        let is_path = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'?'));
        if is_path { Ok(()) } else { Err(String::new()) }
    },
    secret: false,
};

const SERVER: Text = Text {
    expected: "a server's URL such as nats://host:4222",
    pattern: "^((nats|tls|ws|wss)://)?([^\\s/@]+@)?[^\\s/@,]+$",
    check: |text| {
        let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let (name, port) = match host.rsplit_once(':') {
            // An address in brackets has colons of its own.
            Some((name, port)) if !port.contains(']') => (name, port.parse::<u16>().ok()),
            _ => (host, Some(4222)),
        };
        let is_name = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || matches!(c, '/' | ',' | '@'));
        let is_url = matches!(scheme, "nats" | "tls" | "ws" | "wss") && is_name && port.is_some_and(|port| port > 0);
        if is_url && !rest.contains(char::is_whitespace) { Ok(()) } else { Err(String::new()) }
    },
    secret: true,
};

/// A text of at least one character that is not told in errors.
const SECRET: Text = Text {
    expected: "a text that is not empty",
    pattern: ".",
    check: |text| if text.is_empty() { Err(String::new()) } else { Ok(()) },
    secret: true,
};

const NAME: Text = Text { secret: false, ..SECRET };

const MODES: &[(&str, bool)] = &[("at-most-once", false), ("at-least-once", true)];
const KINDS: &[(&str, bool)] = &[("nats", false), ("jetstream", true)];

/// All keys.
fn walk(keys: &mut impl Keys, setup: &mut Setup) {
    let Setup { config, listen, delivery, source } = setup;
    keys.key(("$schema", "Where editors find this schema. It is not read."), OrNull(NAME), &mut None);
    let about = "The address or name to listen at. 0.0.0.0: every address of IPv4.";
    keys.key(("host", about), HOST, &mut listen.host);
    keys.key(("port", "The port to listen at."), Port, &mut listen.port);
    keys.key(("path", "The path of WebSockets."), PATH, &mut listen.path);
    config::walk(keys, config);

    keys.section(("ports", "StreamKit's ports."), |keys| {
        let about = "What is streamed; `subjects` adds to it.";
        keys.list(
            ("inputs", about),
            &mut source.subjects,
            || Subject::new(""),
            |keys, input| {
                let about = "A subject of NATS; `*` is any token, `>` any that follow.";
                keys.key(Key::new("subject", about).needed(), SUBJECT, &mut input.subject);
                let about = "What people call it; by default the subject.";
                keys.key(Key::new("name", about).derived(), NAME, &mut input.name);
                if !keys.has("name") {
                    input.name.clone_from(&input.subject);
                }
                let (mut is_jetstream, mut stream, mut durable) = (false, None, None);
                keys.key(("type", "Core NATS, or a stream of JetStream."), OneOf(KINDS), &mut is_jetstream);
                let about = "The stream that has the subject: for `jetstream`, which needs it.";
                keys.key(("stream", about), OrNull(NAME), &mut stream);
                let about = "A consumer of JetStream that goes on where it was. null: what is published from now on.";
                keys.key(("durable", about), OrNull(NAME), &mut durable);
                let reason =
                    if is_jetstream { "is missing: which one has the subject" } else { "is for `jetstream` alone" };
                keys.rule("stream", is_jetstream == stream.is_some(), reason);
                keys.rule("durable", is_jetstream || durable.is_none(), "is for `jetstream` alone");
                if let (true, Some(stream)) = (is_jetstream, stream) {
                    input.kind = SubjectKind::JetStream { stream, durable };
                }
                keys.key(
                    ("required", "Whether the server is not ready while it does not come."),
                    Flag,
                    &mut input.required,
                );
            },
        );
    });
    let inputs = source.subjects.len();
    let mut subjects = vec![DEFAULT_SUBJECT.to_owned()];
    let about = "Subjects of NATS that are streamed. With `ports.inputs` there is no default.";
    keys.key(("subjects", about), OneOrMore(SUBJECT), &mut subjects);
    if inputs == 0 || keys.has("subjects") {
        source.subjects.extend(subjects.into_iter().map(Subject::new));
    }
    for (n, one) in source.subjects.iter().enumerate() {
        let place = match n.checked_sub(inputs) {
            None => format!("ports.inputs[{n}].subject"),
            Some(n) => format!("subjects[{n}]"),
        };
        let is_first = source.subjects[..n].iter().all(|other| other.subject != one.subject);
        keys.rule(&place, is_first, "names a subject that is there already: each message would come twice");
    }

    let mut at_least_once = false;
    let about = "Whether a message is sent until its client acknowledges it.";
    keys.key(("deliveryMode", about), OneOf(MODES), &mut at_least_once);
    if at_least_once {
        let ack_timeout = if keys.has("ackTimeout") { config.ack_timeout } else { Duration::from_secs(5) };
        *delivery = DeliveryMode::AtLeastOnce { ack_timeout };
    }

    let about = "Where NATS is, and who one is there. A URL or a list of them stands for `servers`.";
    keys.section(Key::new("nats", about).short_for("servers"), |keys| {
        let about = "URLs of the servers of one cluster.";
        keys.key(("servers", about), OneOrMore(SERVER), &mut source.servers);
        let mut file = None;
        let about = "The file with a JWT and its key.";
        keys.key(("credentials", about), OrNull(SECRET), &mut file);
        source.credentials = file.map(PathBuf::from);
        keys.key(("user", "Goes with `password`."), OrNull(SECRET), &mut source.user);
        keys.key(("password", "Goes with `user`."), OrNull(SECRET), &mut source.password);
        keys.key(("token", "In place of a user."), OrNull(SECRET), &mut source.token);
        keys.key(
            ("name", "What it is called in logs, metrics and health, and in NATS's own monitoring."),
            NAME,
            &mut source.name,
        );
        let both = source.user.is_some() == source.password.is_some();
        keys.rule(if source.user.is_some() { "user" } else { "password" }, both, "needs both `user` and `password`");
        let ways = [source.user.is_some(), source.token.is_some(), source.credentials.is_some()];
        let one = ways.into_iter().filter(|way| *way).count() <= 1;
        let key = if source.credentials.is_some() { "credentials" } else { "token" };
        keys.rule(key, one, "excludes the other ways to say who one is");
    });
}
