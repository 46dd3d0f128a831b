//! Socket.IO's ergonomics over plain WebSockets: named typed events, acknowledgements, rooms, and processes
//! streamed to browsers. The wire is one JSON envelope, `{"event": …, "data": …}`: ten lines of `new WebSocket` are a
//! client.
//!
//! ```no_run
//! use eventwire::{Io, Socket};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Message { room: String, text: String }
//!
//! #[derive(Serialize)]
//! struct Receipt { delivered: usize }
//!
//! #[tokio::main]
//! async fn main() -> eventwire::Result<()> {
//!     let io = Io::new();
//!
//!     io.on_connect(|socket: Socket| async move {
//!         socket.join("lobby").await?;
//!         socket.on::<Message>("chat", |socket, message| async move {
//!             let delivered = socket.to(&message.room).emit("chat", &message).await?;
//!             Ok::<_, eventwire::Error>(Receipt { delivered })   // the return value is the ack
//!         });
//!         Ok(())
//!     });
//!
//!     io.listen("127.0.0.1:3000").await
//! }
//! ```
//!
//! # Ways in
//!
//! [`Io::listen`] serves on its own. [`Io::service`] is mounted in axum, tower or hyper 1
//! (`Router::new().route_service("/ws", io.service())`); [`Io::upgrade`] does it within a route of one's own, and [`Io::accept`]
//! takes any stream. One `Io` is one namespace: several at several paths are several. The door refuses before
//! it upgrades: pages of other origins, too many connections, and whoever [`Io::authenticate`] does not know
//! ([`auth`] has the usual ways). [`Io::from_config`] reads a whole server from one document, a [`Setup`].
//!
//! # Handlers
//!
//! [`Io::on`] for all sockets, which costs nothing per connection, or [`Socket::on`] for one. A handler is a
//! `Fn(Socket, T)` that returns a future; its return value is the acknowledgement ([`IntoAck`]), an `Err` the refusal. One socket's
//! events are handled one after another in the order in which they came, unless a registration says
//! [`concurrent`](ListenerId::concurrent) or an answer comes [`later`](Ack::later). [From closures to gateways](guide) shows all forms
//! of handlers in one application, and what does the same as each part of Socket.IO.
//!
//! A payload that is an [`Event`] has its name and its answer with it: [`on_event`](Io::on_event), `emit_event`, `request_event`. Handlers
//! that share a state are the methods of a [gateway](Gateway). [`Io::events`] lists what is registered.
//!
//! # Emitting
//!
//! [`Socket::emit`] waits for room in the peer's outbox: that is how back-pressure reaches whoever produces. A [`Broadcast`], as by
//! [`Io::to`], waits for nobody: a member that does not keep up is treated as [`Overflow`] says.
//! [`paced`](Broadcast::paced) keeps pace with the slowest, [`volatile`](Broadcast::volatile) may drop. [`Socket::request`]
//! asks and waits for the answer; [`Broadcast::request`] asks many.
//!
//! # Rooms
//!
//! A room is a name and its members. Server code [joins](Socket::join) whom it likes; clients `subscribe` where a
//! [rule](Io::rooms) lets them. A room with [history](RoomRule::history) is a log: late joiners get the past and then the present,
//! a client that lost its connection goes on where it was, and what a slow one misses it is told.
//!
//! A [pattern](Socket::join_pattern), `metrics.>`, stands for all rooms that match. Messages are sent at most once, unless they are to be
//! [acknowledged](AtLeastOnce): then they come again until they are, or are given up, which is told.
//!
//! # Watching it
//!
//! [`Io::health`] says whether it works, for those who balance and those who restart; modules add [probes](Io::health_probe). [`Io::flow`] is what goes
//! through by the second, [`Io::stats`] what is and was. All of it and more, by event, policy and reason, is told to the application's
//! [`metrics`](https://docs.rs/metrics) recorder: [`Io::publish_metrics`] lists it.
//!
//! For [`tracing`](https://docs.rs/tracing) each connection is a span `connection` with `socket`, `peer`, `dialect` and `path` (level INFO, target
//! `eventwire::connection`), and in it each event one `event` with `event` and `id` (level DEBUG, target `eventwire::event`), so that what handlers log says
//! whose it is, also after they have waited. Tokens, headers, queries and payloads are in none. Where nobody listens they cost next to nothing; the filter
//! `info,eventwire::event=debug` asks for events alone.
//!
//! # The house
//!
//! ```text
//!  HTTP ─► upgrade ─► connection: read ─► lane ─► handler (user code)
//!  door               hallway                       │ emit · join · to(room)
//!  peer ◄─ connection: write ◄─ outbox ◄─ hub ◄─────┘
//!                             + cursors   ▲▼ adapter ⇄ other nodes
//! ```
//!
//! | file | what it does |
//! | --- | --- |
//! | `protocol`, `frame`, `encode`, `decode` | the envelope and its [dialects](Dialect); frames; from a value to shared bytes; from a payload to a value |
//! | `dialects` | other systems' wires, in the same rooms: [go-ws](dialects::GoWs) |
//! | `upgrade`, `auth`, `handshake`, `server` | the door; who comes in, and how; the listener and the tower service |
//! | `connection` and its folder, `closing` | one task a connection: read, write, heartbeat, end; why it ends |
//! | `router`, `handler`, `lane` and its folder, `inbox`, `subscriptions` | names to listeners; their shapes; events in order; those that wait; `subscribe` |
//! | `hub`, `rooms`, `outbox` with their folders, `acks`, `sync` | members; rooms both ways; the queue to a peer; requests that wait; the locks |
//! | `delivery` and its folder | what is to be acknowledged: sent again, given up |
//! | `history` and its folder, `rules`, `patterns`, `wildcard` | what rooms remember, and the cursors in it; who may subscribe, by names with `*`; subscriptions to `a.>` |
//! | `io` and its folder, `socket`, `broadcast`, `emit`, `room`, `extensions` | what a user holds |
//! | `event`, `validate`, `gateway`, `extract`, `contract` | events as types; their checks; handlers that share a state; what those take; what was registered |
//! | `shutdown` | the end of the whole |
//! | `adapter` | the contract to other nodes |
//! | `modules` | events that belong together: [`process`]; what comes from elsewhere: [`nats_source`] |
//! | `watch` and its folder, `health`, `flow`, `metrics`, `spans` | what is counted of the whole; whether it works; what goes through by the second; the counts told; what `tracing` sees |
//! | `config` and its folder, `setup` | limits, and how they are read and described; a whole server from one document |
//! | `error`, `stats` | errors, counts |
//!
//! What holds, each with a test named after it:
//!
//! - Handlers are there before the first event is handled; one socket's events are handled in order.
//! - The read loop never awaits user code. Every queue is bounded, in count and in bytes, with one overflow policy and a counter.
//! - No member holds up another, nor whoever broadcasts. A message is encoded once per dialect and room.
//! - A member of a room with history gets every message from where it began, in order, or a `gap` that names what is missing.
//! - Every request is answered: by its handler, an error, a timeout, or the end of the socket.
//! - What was emitted before `disconnect()` arrives. After a disconnect nothing is left: no member, no request, no task.
//! - A panic in a handler ends that handler. A shutdown takes no longer than its grace.
//! - `protocol` and `rooms` know neither Tokio nor a WebSocket; only `connection` touches one, and only the door HTTP.
//!   `hub` never meets user code. Modules use what this page exports.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! | --- | --- | --- |
//! | `server` | yes | [`Io::listen`], [`Io::serve`], [`Io::accept`] |
//! | `macros` | yes | [`#[derive(Event)]`](macro@Event), [`#[derive(Events)]`](macro@Events), [`#[derive(IntoAck)]`](macro@IntoAck), [`#[derive(EventError)]`](macro@EventError), [`#[gateway]`](macro@gateway) |
//! | `process` | yes | the module [`process`]; with it `macros` |
//! | `nats` | | the module [`nats_source`]: subjects of NATS, streamed to rooms |
//! | `validate` | | [`#[event(validate)]`](macro@Event): payloads checked by `garde` before a handler gets them |
//! | `axum` | | the peer's address from axum's `ConnectInfo` |

mod acks;
mod adapter;
pub mod auth;
mod broadcast;
mod closing;
mod config;
mod connection;
mod contract;
mod decode;
mod delivery;
pub mod dialects;
mod emit;
mod encode;
mod error;
mod event;
mod extensions;
mod extract;
mod flow;
mod frame;
mod gateway;
// No code: a page of the documentation, as a module so that it has a place in it and its examples are tests.
#[cfg(feature = "macros")]
#[doc = include_str!("guide.md")]
pub mod guide {}
mod handler;
mod handshake;
mod health;
mod history;
mod hub;
mod inbox;
mod io;
mod lane;
mod metrics;
mod modules;
mod outbox;
mod patterns;
pub mod protocol;
mod room;
mod rooms;
mod router;
mod rules;
mod server;
mod setup;
mod shutdown;
mod socket;
mod spans;
mod stats;
mod subscriptions;
mod sync;
mod upgrade;
#[cfg(feature = "validate")]
mod validate;
mod watch;
mod wildcard;

pub use acks::RequestError;
pub use adapter::{Adapter, AdapterError, Local, NodeMessage};
pub use broadcast::{Answers, Broadcast, Except};
pub use closing::DisconnectReason;
pub use config::{AllowedOrigins, Config, ConfigError, InboxLimits, OutboxLimits, Overflow, Rate};
pub use contract::{Contract, Direction, EventInfo, HistoryInfo, RoomInfo, Subscribe};
pub use delivery::{AtLeastOnce, DeadLetter, GivenUp};
pub use emit::{EmitError, Emitting, Pace};
pub use error::{Error, IntoError, Result, code};
pub use event::{AckFor, EmitEvent, Event, EventType, Events};
#[cfg(feature = "macros")]
pub use eventwire_macros::{Event, EventError, Events, IntoAck, any, connect, disconnect, gateway, on, room};
pub use extensions::Extensions;
pub use extract::{Auth, Ext, FromSocket, State};
pub use flow::Flow;
pub use frame::Frames;
pub use gateway::{Gateway, GatewayError};
pub use handler::{Ack, Answer, AnyEvent, Handler, IntoAck, RawEvent, Welcome, ok};
pub use handshake::{Handshake, IntoPrincipal, Principal};
pub use health::{ErrorCounts, Health, Probe, Reason};
pub use history::{History, Logged};
pub use hub::{ParseSocketIdError, SocketId};
pub use io::{Io, IoBuilder};
pub use modules::Module;
#[cfg(feature = "nats")]
pub use modules::nats_source;
#[cfg(feature = "process")]
pub use modules::process;
pub use outbox::Backlog;
pub use protocol::{Dialect, NameError, RESERVED};
pub use room::RoomLog;
pub use router::{ListenerId, Off};
pub use rules::{RoomRule, Verdict};
#[cfg(feature = "server")]
pub use server::AcceptError;
pub use server::{Service, Upgrading};
pub use setup::{DeliveryMode, Listen, Setup, SourceSetup, Subject, SubjectKind};
pub use socket::{Acknowledged, JoinError, Paced, Request, Socket, Volatile};
pub use stats::Stats;
pub use upgrade::{Body, PeerAddr, Refusal};
#[cfg(feature = "validate")]
pub use validate::validate;

/// What the macros write beside public names.
#[doc(hidden)]
pub use error::HasMessage;
#[doc(hidden)]
pub use event::__private;

// The macros write `::eventwire`, in modules of this crate as elsewhere.
#[cfg(feature = "process")]
extern crate self as eventwire;
