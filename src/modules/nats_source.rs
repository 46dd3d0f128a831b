//! Subjects of NATS, streamed to rooms of the same names.
//!
//! What is published to `metrics.cpu` is emitted to the room `metrics.cpu`: once for each message, whatever the number of its
//! members. Clients subscribe to a room, or to a pattern of rooms with the wildcards of NATS, `{"pattern": "metrics.>"}`, where a
//! [rule](crate::Io::rooms) lets them; [`public`](NatsSourceBuilder::public) is one for all, and with
//! [`everyone`](NatsSourceBuilder::everyone) every socket gets everything without asking.
//!
//! ```no_run
//! # async fn f() -> eventwire::Result<()> {
//! use eventwire::Io;
//! use eventwire::nats_source::NatsSource;
//!
//! let io = Io::new();
//! let source = NatsSource::builder().connect("nats://127.0.0.1:4222").subject("metrics.>").public().build()?;
//! let nats = io.install(source);
//! nats.ready().await?;
//! io.listen("127.0.0.1:3000").await
//! # }
//! ```
//!
//! # What is sent
//!
//! A payload that is JSON is the `data` of the event, byte for byte: every digit of a number, the order of keys, white space
//! within it. Any other is wrapped, and so is one nested deeper than `maxDepth`, which not every client could read:
//!
//! | payload | `data` |
//! | --- | --- |
//! | JSON | itself |
//! | other text, or nothing | `{"subject": "metrics.cpu", "data": "text", "enc": "text"}` |
//! | bytes that are not UTF-8 | `{"subject": "metrics.cpu", "data": "base64", "enc": "b64"}` |
//!
//! The event is `message`, or [another](NatsSourceBuilder::event). Headers and reply subjects stay here.
//!
//! # Names
//!
//! A byte of a subject that a room's name cannot have is written as `%` and two hexadecimal digits, upper case:
//! `café.50%` is the room `caf%C3%A9.50%25`, and no other subject is. [`room_of`] and [`subject_of`] tell one from the other. Messages
//! with an empty token in their subject, or whose room's name would be longer than 256 bytes, are refused, and counted by reason.
//!
//! # What may be lost
//!
//! | | core subjects | [JetStream](NatsSourceBuilder::jetstream) |
//! | --- | --- | --- |
//! | published while NATS or this program is away | lost; how often and how long is [counted](NatsCounts::disconnects) | comes later |
//! | more than this program can emit | waits up to a [bound](NatsSourceBuilder::queue), then is dropped and [counted](NatsCounts::dropped) | waits in the stream: the [lag](NatsCounts::pending) |
//! | comes twice | never | after a lost acknowledgement: emitted once, [counted](NatsCounts::redelivered); of a program that was killed meanwhile, twice |
//!
//! From JetStream a message is acknowledged when its room has it: a room with [history](crate::RoomRule::history) keeps it then, any
//! other has it before its members. A stream's past comes as fast as it can be read: history, or a
//! [pace](NatsSourceBuilder::paced), keeps members in unlogged rooms from being overrun by it. What is
//! remembered of a consumer, to tell what comes twice, are the last 262,144 messages. A consumer that was deleted is made anew where
//! it was.
//!
//! # Going away and coming back
//!
//! The source connects by itself, and again for ever, after pauses of random length up to 4 s. While NATS is away, sockets stay,
//! and [`state`](NatsSourceHandle::state) and [health](crate::Io::health) say so: the probe `nats` is down as long as a source is not
//! connected. On [`Io::shutdown`](crate::Io::shutdown), or
//! [`close`](NatsSourceHandle::close), NATS is told first to send no more; what has come of core subjects is emitted, of JetStream
//! handed back; acknowledgements are sent last.
//!
//! # Several nodes
//!
//! Where each node has this source, each gets every message by itself, and emits it to its own members. By a durable consumer
//! of one name they share the messages, and each passes on to the others what it got.
//!
//! # Metrics
//!
//! By the `metrics` facade, each with the label `source`, the source's [name](NatsSourceBuilder::name); the recorder is to be
//! installed before the source. `eventwire_nats_connected`, `eventwire_nats_messages_total`, `eventwire_nats_bytes_total`,
//! `eventwire_nats_refused_total` (by `reason`), `eventwire_nats_failed_total`, `eventwire_nats_slow_consumer_total`,
//! `eventwire_nats_disconnects_total`, `eventwire_nats_redelivered_total`, `eventwire_nats_pending`.

mod builder;
mod counts;
mod emitted;
mod handle;
mod link;
mod names;
mod payload;
mod setup;
mod source;
mod stream;
mod subjects;

/// The client's crate, of the version that this module takes: for a [`client`](NatsSourceBuilder::client) of one's own, options to
/// connect with, and the settings of a consumer.
pub use async_nats;

pub use self::builder::{NatsSource, NatsSourceBuilder, NatsSourceError};
pub use self::counts::NatsCounts;
pub use self::handle::{NatsSourceHandle, NatsState};
pub use self::names::{room_of, subject_of};
