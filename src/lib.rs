//! Eventwire.

mod acks;
mod adapter;
pub mod auth;
mod broadcast;
mod closing;
mod config;
mod connection;
mod emit;
mod encode;
mod error;
mod extensions;
mod frame;
mod handler;
mod handshake;
mod hub;
mod inbox;
mod io;
mod lane;
mod modules;
mod outbox;
pub mod protocol;
mod rooms;
mod router;
mod rules;
mod server;
mod socket;
mod stats;
mod subscriptions;
mod upgrade;

pub use acks::RequestError;
pub use adapter::{Adapter, AdapterError, Local, NodeMessage};
pub use broadcast::{Answers, Broadcast, Except};
pub use closing::DisconnectReason;
pub use config::{AllowedOrigins, Config, ConfigError, InboxLimits, OutboxLimits, Overflow, Rate};
pub use emit::{EmitError, Emitting, Pace};
pub use error::{Error, IntoError, Result, code};
pub use extensions::Extensions;
pub use frame::Frames;
pub use handler::{Ack, Answer, AnyEvent, Handler, IntoAck, RawEvent, Welcome, ok};
pub use handshake::{Handshake, IntoPrincipal, Principal};
pub use hub::{ParseSocketIdError, SocketId};
pub use io::{Io, IoBuilder};
pub use modules::Module;
#[cfg(feature = "process")]
pub use modules::process;
pub use protocol::{Dialect, NameError, RESERVED};
pub use router::{ListenerId, Off};
pub use rules::{RoomRule, Verdict};
#[cfg(feature = "server")]
pub use server::AcceptError;
pub use server::{Service, Upgrading};
pub use socket::{JoinError, Paced, Request, Socket, Volatile};
pub use stats::Stats;
pub use upgrade::{Body, PeerAddr, Refusal};
