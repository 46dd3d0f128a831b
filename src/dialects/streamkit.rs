//! The wire of StreamKit's WebSocket output: messages that are acknowledged one by one.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Frames;
use crate::protocol::{self, Dialect, Id, Malformed, Memory, Outgoing, Packet, write_json};

/// The wire of StreamKit's WebSocket output: clients written for it keep working unchanged, in the same rooms as clients that
/// speak JSON.
///
/// ```
/// # fn f() -> eventwire::Result<()> {
/// use eventwire::{Io, dialects};
///
/// let io = Io::builder().dialect(dialects::StreamKit::default()).build()?;
/// io.rooms("metrics.*").public();
/// # Ok(()) }
/// # f().unwrap();
/// ```
///
/// It is chosen by the path, `/streamkit` unless it is [set](StreamKit::at), or by the subprotocol `streamkit`.
///
/// # What a client gets
///
/// One JSON object a text frame: `{"type", "id", "timestamp", "event", "room"?, "again"?, "payload"}`, of which StreamKit's own clients
/// know the first three and the last. `timestamp` is in milliseconds since 1970, `payload` is the data of the event, untouched.
///
/// | ours | on this wire |
/// | --- | --- |
/// | an event | `data`; its name is in `event`, its room in `room` |
/// | the same, [sent again](crate::AtLeastOnce) | the same `id`, and `again` |
/// | `ack`, `error`, `gap`, `pong` | a message of that `type` |
/// | `connected`, `closing` | nothing: this wire has no such message |
///
/// # What a client sends
///
/// `{"type": "ack", "id": …}` and `{"type": "nack", "id": …, "payload": {"reason"?}}` name a message as it came, that one and no other, and count where it is to
/// be [acknowledged](crate::AtLeastOnce). `{"type": "slow", "payload": {"utilization": 0.9}}` halves what is sent to it at a time; without a payload it is fully
/// utilized.
///
/// Any other `type` is an event with `payload` as its data, answered by `ack` or `error` where it has an `id`: `{"type": "subscribe", "payload":
/// {"pattern": "metrics.>"}, "id": "1"}`. StreamKit's clients never subscribe; a source that sends [to
/// everyone](crate::Socket::join_pattern) is for them.
#[derive(Clone, Debug)]
pub struct StreamKit {
    path: Cow<'static, str>,
}

impl Default for StreamKit {
    fn default() -> StreamKit {
        StreamKit::at("/streamkit")
    }
}

impl StreamKit {
    /// For clients that connect to this path, the whole one that the service sees, such as `/ws`.
    pub fn at(path: impl Into<Cow<'static, str>>) -> StreamKit {
        StreamKit { path: path.into() }
    }
}

/// A message from a client.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

/// How a message is named.
enum Named<'a> {
    InRoom(&'a str, u64),
    ById(u64),
    /// Nobody waits for it to be acknowledged.
    Live(u64),
}

impl Named<'_> {
    fn of<'a>(packet: &Outgoing<'a>) -> Named<'a> {
        static LIVE: AtomicU64 = AtomicU64::new(1);
        match (packet.id, packet.room, packet.seq) {
            (Some(Id::Number(id)), _, _) => Named::ById(*id),
            (_, Some(room), Some(seq)) => Named::InRoom(room, seq),
            _ => Named::Live(LIVE.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// From what [`Named::text`] has written.
    fn parse(text: &str) -> Option<Named<'_>> {
        // No room's name has an `@`.
        if let Some((room, seq)) = text.rsplit_once('@') {
            return Some(Named::InRoom(room, seq.parse().ok()?));
        }
        let (kind, number) = text.split_once('-')?;
        match kind {
            "msg" => Some(Named::ById(number.parse().ok()?)),
            "live" => Some(Named::Live(number.parse().ok()?)),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Named::InRoom(room, seq) => format!("{room}@{seq}"),
            Named::ById(id) => format!("msg-{id}"),
            Named::Live(n) => format!("live-{n}"),
        }
    }
}

impl Dialect for StreamKit {
    fn subprotocol(&self) -> &str {
        "streamkit"
    }

    fn path(&self) -> Option<&str> {
        Some(&self.path)
    }

    fn decode(&self, message: Bytes, max_depth: usize) -> Result<Packet, Malformed> {
        let Message { kind, id, payload } = protocol::read_object(&message, max_depth)?;
        protocol::check_form(&kind)?;
        let payload = payload.map_or("null", RawValue::get);
        // Copied: a packet counts what it keeps, and the message may be much longer.
        let data = Bytes::copy_from_slice(payload.as_bytes());
        if !matches!(&*kind, "ack" | "nack") {
            let id = id.map(|id| match id.chars().count() {
                0..=64 => Ok(Id::Text(id.into())),
                _ => Err(Malformed("an `id` has at most 64 characters".into())),
            });
            let data =
                if kind == "slow" && payload == "null" { Bytes::from_static(br#"{"utilization":1}"#) } else { data };
            let id = id.transpose()?.filter(|_| asks(&kind));
            return Ok(Packet::new(kind, data, id));
        }
        let id = id.ok_or_else(|| Malformed(format!("`{kind}` needs the `id` of the message")))?;
        Ok(match Named::parse(&id) {
            Some(Named::ById(id)) => Packet::new(kind, data, Some(Id::Number(id))),
            Some(Named::InRoom(room, seq)) => Packet::new(kind, data, None).about_one(room, seq),
            // An answer to nothing.
            Some(Named::Live(_)) | None => Packet::new("ack", "null", Some(Id::Text(id.into()))),
        })
    }

    fn encode(&self, packet: &Outgoing<'_>, _memory: &mut Memory, frames: &mut Frames<'_>) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let kind = match packet.event {
            "connected" | "closing" | "seen" => return,
            reserved @ ("ack" | "error" | "gap" | "ping" | "pong") => reserved,
            _ => "data",
        };
        frames.text(|out| {
            out.extend_from_slice(br#"{"type":"#);
            write_json(out, kind);
            let is_answer = matches!(kind, "ack" | "error");
            if kind == "data" || packet.id.is_some() {
                out.extend_from_slice(br#","id":"#);
                match packet.id {
                    // As the client has named it.
                    Some(id) if is_answer => write_json(out, id),
                    _ => write_json(out, &Named::of(packet).text()),
                }
            }
            out.extend_from_slice(br#","timestamp":"#);
            write_json(out, &u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
            if kind == "data" {
                out.extend_from_slice(br#","event":"#);
                write_json(out, packet.event);
            }
            if let Some(room) = packet.room {
                out.extend_from_slice(br#","room":"#);
                write_json(out, room);
            }
            if packet.again > 0 {
                out.extend_from_slice(br#","again":"#);
                write_json(out, &packet.again);
            }
            out.extend_from_slice(br#","payload":"#);
            out.extend_from_slice(packet.data);
            out.push(b'}');
        });
    }
}

/// Whether an `id` asks for an answer: StreamKit's clients put one into whatever they send.
fn asks(kind: &str) -> bool {
    !matches!(kind, "slow" | "data")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(packet: &Outgoing<'_>) -> Option<Value> {
        let mut out = Vec::new();
        StreamKit::default().encode(packet, &mut Memory::default(), &mut Frames::new(&mut out));
        if out.is_empty() { None } else { serde_json::from_slice(&out[crate::frame::payload(&out)..]).ok() }
    }

    fn read(message: &str) -> Result<Packet, Malformed> {
        StreamKit::default().decode(Bytes::copy_from_slice(message.as_bytes()), 16)
    }

    #[test]
    fn what_is_named_here_is_understood_back() {
        let data = br#"{"cpu":9007199254740993}"#;
        let logged = Outgoing { room: Some("a.b"), seq: Some(7), again: 2, ..Outgoing::direct("message", None, data) };
        let frame = written(&logged).unwrap();
        assert_eq!((&frame["type"], &frame["id"], &frame["again"]), (&json!("data"), &json!("a.b@7"), &json!(2)));
        assert_eq!((&frame["room"], &frame["event"]), (&json!("a.b"), &json!("message")));
        assert!(frame["timestamp"].as_u64().unwrap() > 1_600_000_000_000);
        let ack = read(r#"{"type":"ack","id":"a.b@7","timestamp":1}"#).unwrap();
        let place = ack.place().unwrap();
        assert_eq!((&*place.room, place.seq, place.is_one, ack.event()), ("a.b", 7, true, "ack"));

        let by_id = Outgoing { room: Some("a.b"), ..Outgoing::direct("message", Some(&Id::Number(12)), data) };
        assert_eq!(written(&by_id).unwrap()["id"], "msg-12");
        let nack = read(r#"{"type":"nack","id":"msg-12","payload":{"reason":"no"}}"#).unwrap();
        assert_eq!((nack.event(), nack.id(), nack.place()), ("nack", Some(&Id::Number(12)), None));

        let live = written(&Outgoing::direct("message", None, data)).unwrap();
        assert!(live["id"].as_str().unwrap().starts_with("live-"));
        assert_eq!(read(&json!({"type": "nack", "id": live["id"]}).to_string()).unwrap().event(), "ack");
        assert!(written(&Outgoing::direct("connected", None, b"{}")).is_none());
    }

    #[test]
    fn the_payload_is_untouched() {
        let mut out = Vec::new();
        let message = Outgoing::direct("message", None, br#"{"n": 9007199254740993, "e":1e400}"#);
        StreamKit::default().encode(&message, &mut Memory::default(), &mut Frames::new(&mut out));
        let text = String::from_utf8(out[crate::frame::payload(&out)..].to_vec()).unwrap();
        assert!(text.ends_with(r#","payload":{"n": 9007199254740993, "e":1e400}}"#), "{text}");
    }

    #[test]
    fn bad_messages_are_told() {
        for (message, why) in [
            (r#"{"type":"ack"}"#, "`id`"),
            (r#"{"type":"nack","payload":{}}"#, "`id`"),
            (r#"{"id":"x"}"#, "type"),
            (r#"["ack"]"#, "object"),
            (r#"{"type":""}"#, "empty"),
        ] {
            assert!(read(message).unwrap_err().0.contains(why), "{message}");
        }
        let slow = read(r#"{"type":"slow","timestamp":5}"#).unwrap();
        assert_eq!(slow.data(), br#"{"utilization":1}"#);
        let long = json!({"type": "subscribe", "id": "x".repeat(65), "payload": "r"}).to_string();
        assert!(read(&long).unwrap_err().0.contains("64"));
    }
}
