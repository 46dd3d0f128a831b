//! The wire of go-ws: which message is written as what. Its lines are cut in `lines`, its processes' output is
//! followed in `output`.

mod envelope;
mod lines;
mod output;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::envelope::{Envelope, object};
use crate::Frames;
use crate::protocol::{self, Dialect, Malformed, Memory, Outgoing, Packet};

/// The wire of go-ws: front ends written for it keep working unchanged, in the same rooms as clients that speak JSON.
///
/// ```
/// # fn f() -> eventwire::Result<()> {
/// use eventwire::{Io, dialects};
///
/// let io = Io::builder().dialect(dialects::GoWs::default()).build()?;
/// io.rooms("process:*").public();
/// # Ok(()) }
/// # f().unwrap();
/// ```
///
/// It is chosen by the path, `/go-ws` unless it is [set](GoWs::at), or by the subprotocol `go-ws`.
///
/// # What a page gets
///
/// One JSON object a text frame, never two joined: `{"type", "channel"?, "processId"?, "data"?, "timestamp"}`.
///
/// | ours | on this wire |
/// | --- | --- |
/// | `process_output` | one `process_output` a line, whose `data` is the line without its `\n` or `\r\n` |
/// | `process_status` | `process_status`, `data` is `{status, exitCode}` |
/// | `error` | `error`, `data` is its message |
/// | `gap` | `error`, `data` says what was lost |
/// | `pong` | `pong` |
/// | any other event `NAME` | `event`, `data` is `{"event": NAME, "data": …}` |
/// | `connected`, `ack`, `closing` | nothing: this wire has no such message |
///
/// Output is text, stdout and stderr alike; each has lines of its own. An unfinished line waits for its end, or for that of the
/// process, at most 64 KiB of it: a longer line goes out in pieces. Bytes that are not UTF-8 become replacement
/// characters. What has no room to remember a line in, an emit to one socket or to everyone, ends its
/// lines with the message.
///
/// A line costs about 120 bytes beside itself, so that short lines fill an [outbox](crate::OutboxLimits) much sooner than
/// as JSON. For processes that print without end, let their output [pause](crate::process::Settings::pause) for its viewers,
/// or give an outbox more bytes.
///
/// In a room with [history](crate::RoomRule::history) a page gets what is kept and then what comes, each line once. This wire
/// has no `seq`: a page that was cut gets everything anew, and one that subscribes by a `since` that it knows from elsewhere may
/// get the rest of a line first.
///
/// A `process_output` that an application emits in a shape of its own is one line for each of a string, or the `data` as it is.
///
/// # What a page sends
///
/// `{"type": "subscribe", "data": "process:build-1"}`, `unsubscribe` and `ping`, and any event: `{"type": NAME, "data": …}` or
/// `{"type": "event", "data": {"event": NAME, "data": …}}`. There are no ids on this wire, so that nothing is
/// acknowledged, a refusal comes as `error`, and a [request](crate::Socket::request) to such a client
/// is an event that nobody answers.
///
/// # Coming from go-ws
///
/// | go-ws | here |
/// | --- | --- |
/// | `SendProcessOutput(id, line)` | `processes.output(id, "line\n")`, or `io.to("process:ID").emit("process_output", line)` |
/// | `SendProcessStatus(id, status, code)` | `processes.status(id, Status::Exited(code))` |
/// | a command run by hand, its pipes copied | `processes.spawn(id, Command::new(…))` |
/// | `SendEvent(name, data)`, `Broadcast` | [`io.emit(name, data)`](crate::Io::emit) |
/// | `SendToChannel(channel, message)` | [`io.to(room).emit(name, data)`](crate::Io::to) |
/// | `SendError(text)` | [`io.error(code, text)`](crate::Io::error) |
/// | `ChannelSubscriberCount`, `AllChannels` | [`io.room_len(room)`](crate::Io::room_len), [`io.rooms_list()`](crate::Io::rooms_list) |
/// | `ClientCount`, `ChannelCount`, `Stats`, `AllClients` | [`io.stats()`](crate::Io::stats), [`io.sockets()`](crate::Io::sockets) |
/// | `Client{UserID, Claims}` | [`socket.handshake()`](crate::Socket::handshake), [`socket.extensions()`](crate::Socket::extensions) |
/// | `Subscriptions()`, `Close()` | [`socket.rooms()`](crate::Socket::rooms), [`socket.disconnect()`](crate::Socket::disconnect) |
/// | `Authenticator`: API keys, bearer, `?token=` | [`auth`](crate::auth) |
/// | `ChannelAuthoriser` | [`io.rooms(pattern)`](crate::Io::rooms) |
/// | `MaxSubscriptionsPerClient`, `AllowedOrigins`, heartbeats, sizes, queues | [`Config`](crate::Config) |
/// | `OnConnect`, `OnDisconnect` | [`io.on_connect`](crate::Io::on_connect), [`io.on_disconnect`](crate::Io::on_disconnect) |
/// | the Redis bridge, by `Publish*` | the [`Adapter`](crate::Adapter), by every emit |
///
/// The table's `processes` is the handle of the module [`process`](crate::process). A client that nobody lets into a
/// channel gets an `error`: without a [rule](crate::Io::rooms) there is no subscribing.
#[derive(Clone, Debug)]
pub struct GoWs {
    path: Cow<'static, str>,
}

impl Default for GoWs {
    fn default() -> GoWs {
        GoWs::at("/go-ws")
    }
}

impl GoWs {
    /// For clients that connect to this path, the whole one that the service sees, such as the `/ws` that their page was written
    /// with.
    ///
    /// ```
    /// # use eventwire::{Io, dialects::GoWs};
    /// let io = Io::builder().dialect(GoWs::at("/ws")).build();
    /// # assert!(io.is_ok());
    /// ```
    pub fn at(path: impl Into<Cow<'static, str>>) -> GoWs {
        GoWs { path: path.into() }
    }
}

/// A message from a page. Fields that nobody reads may be anything, as in Go.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    channel: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// What `event` has in its data.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

impl Dialect for GoWs {
    fn subprotocol(&self) -> &str {
        "go-ws"
    }

    fn path(&self) -> Option<&str> {
        Some(&self.path)
    }

    fn acknowledges(&self) -> bool {
        false
    }

    fn decode(&self, message: Bytes, max_depth: usize) -> Result<Packet, Malformed> {
        let Message { kind, channel, data } = protocol::read_object(&message, max_depth)?;
        let (event, data) = match &*kind {
            "event" => {
                let event = data.and_then(|data| object::<Event<'_>>(data.get().as_bytes()));
                let Event { event, data } = event.ok_or_else(|| {
                    Malformed(r#"the data of an `event` is {"event": its name, "data": its payload}"#.into())
                })?;
                (event, data)
            }
            "subscribe" | "unsubscribe" => (kind, data.or(channel)),
            _ => (kind, data),
        };
        protocol::check_form(&event)?;
        let data = data.map_or("null", RawValue::get);
        // Copied: a packet counts what it keeps, and the message may be much longer.
        Ok(Packet::new(event, Bytes::copy_from_slice(data.as_bytes()), None))
    }

    fn encode(&self, packet: &Outgoing<'_>, memory: &mut Memory, frames: &mut Frames<'_>) {
        encode(packet, memory, frames, now_ms());
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// What is said `now`, in milliseconds since 1970.
fn encode(packet: &Outgoing<'_>, memory: &mut Memory, frames: &mut Frames<'_>, now: u64) {
    let Outgoing { event, room, data, .. } = *packet;
    match event {
        // No message of this wire stands for others.
        _ if packet.snapshot => write_event(packet, frames, now),
        // There is nothing to resume, and no request that could be answered; how it ended is told by the close code.
        "connected" | "ack" | "nack" | "slow" | "seen" | "closing" => {}
        "process_output" => output::output(packet, memory, frames, now),
        "process_status" => output::status(packet, memory, frames, now),
        "error" => Envelope::new("error", room, None, now).text(frames, &message(data)),
        "gap" => {
            let gap: Option<Gap<'_>> = object(data);
            let channel = gap.as_ref().map(|gap| &*gap.room).or(room);
            let told = gap.as_ref().map_or("messages are lost".into(), Gap::told);
            Envelope::new("error", channel, None, now).text(frames, &told);
        }
        "pong" if data == b"null" => Envelope::new("pong", room, None, now).bare(frames),
        "pong" => Envelope::new("pong", room, None, now).raw(frames, data),
        _ => write_event(packet, frames, now),
    }
}

fn write_event(packet: &Outgoing<'_>, frames: &mut Frames<'_>, now: u64) {
    Envelope::new("event", packet.room, None, now).with(frames, |out| {
        out.extend_from_slice(br#"{"event":"#);
        protocol::write_json(out, packet.event);
        out.extend_from_slice(br#","data":"#);
        out.extend_from_slice(packet.data);
        out.push(b'}');
    });
}

/// What an error says to people.
fn message(data: &[u8]) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Told<'a> {
        #[serde(borrow)]
        message: Cow<'a, str>,
    }
    match object::<Told<'_>>(data) {
        Some(told) => told.message,
        None => String::from_utf8_lossy(data),
    }
}

/// Messages that were lost.
#[derive(Deserialize)]
struct Gap<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    from: Option<u64>,
    to: Option<u64>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
}

impl Gap<'_> {
    fn told(&self) -> String {
        let what = match (self.from, self.to) {
            (None, _) => return format!("{}: the history began anew", self.room),
            (Some(from), Some(to)) if from == to => format!("message {from} is lost"),
            (Some(from), Some(to)) => format!("messages {from} to {to} are lost"),
            (Some(from), None) => format!("messages from {from} on are lost"),
        };
        match &self.reason {
            Some(reason) => format!("{}: {what} ({reason})", self.room),
            None => format!("{}: {what}", self.room),
        }
    }
}
