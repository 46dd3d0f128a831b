//! The dialect seam: sockets of different dialects sit in the same rooms, and each broadcast is encoded
//! once per dialect in use and room.

use bytes::Bytes;
use eventwire::protocol::{Id, Malformed, Memory, Outgoing, Packet};
use eventwire::{Dialect, Frames, Io};
use serde_json::{Value, json};

use crate::kit::*;
use crate::support::*;

/// `EVENT ID DATA`, where the id is a number or `-`. A room stands in brackets behind the event. It
/// has no message `json-only`.
struct Tiny;

impl Dialect for Tiny {
    fn subprotocol(&self) -> &str {
        "tiny.v1"
    }

    fn path(&self) -> Option<&str> {
        Some("/tiny")
    }

    fn decode(&self, message: Bytes, _max_depth: usize) -> Result<Packet, Malformed> {
        let text = std::str::from_utf8(&message).map_err(|error| Malformed(error.to_string()))?;
        let mut parts = text.splitn(3, ' ');
        let (Some(event), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Malformed("three parts".into()));
        };
        Ok(Packet::new(event, data.as_bytes().to_vec(), id.parse().ok().map(Id::Number)))
    }

    fn encode(&self, packet: &Outgoing<'_>, _memory: &mut Memory, frames: &mut Frames<'_>) {
        if packet.event == "json-only" {
            return;
        }
        frames.text(|out| {
            out.extend_from_slice(packet.event.as_bytes());
            if let Some(room) = packet.room {
                out.extend_from_slice(format!("[{room}]").as_bytes());
            }
            match packet.id {
                Some(Id::Number(id)) => out.extend_from_slice(format!(" {id} ").as_bytes()),
                _ => out.extend_from_slice(b" - "),
            }
            out.extend_from_slice(packet.data);
        });
    }
}

/// Speaks in binary messages: each is an `echo` of its length.
struct Blob;

impl Dialect for Blob {
    fn subprotocol(&self) -> &str {
        "blob.v1"
    }

    fn takes_binary(&self) -> bool {
        true
    }

    fn decode(&self, message: Bytes, _max_depth: usize) -> Result<Packet, Malformed> {
        Ok(Packet::new("echo", message.len().to_string(), None))
    }

    fn encode(&self, packet: &Outgoing<'_>, _memory: &mut Memory, frames: &mut Frames<'_>) {
        // Any number of frames: here the name and the data by themselves.
        frames.binary(|out| out.extend_from_slice(packet.event.as_bytes()));
        frames.binary(|out| out.extend_from_slice(packet.data));
    }
}

async fn server() -> Server {
    let server = Server::of(Io::builder().dialect(Tiny).dialect(Blob).build().unwrap()).await;
    server.io.rooms("room*").public();
    server.io.on::<Value>("echo", |socket: eventwire::Socket, data| async move { socket.emit("echo", data).await });
    server
}

/// A connection by a path and a subprotocol. Returns what the server chose.
async fn connect(server: &Server, path: &str, offered: &str) -> (Raw, Option<String>) {
    let mut raw = Raw::connect(server.address).await;
    let line = format!("GET {path} HTTP/1.1");
    let request = handshake(server.address, &line, &[("Sec-WebSocket-Protocol", offered)]);
    let (status, head) = raw.shake(&request).await;
    assert_eq!(status, 101, "{head}");
    let name = "sec-websocket-protocol: ";
    let chosen = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix(name).map(str::to_owned));
    (raw, chosen)
}

async fn text(raw: &mut Raw) -> String {
    String::from_utf8(raw.frame().await.expect("a frame").payload).unwrap()
}

async fn tiny(server: &Server) -> Raw {
    let (mut raw, _) = connect(server, "/tiny", "").await;
    assert!(text(&mut raw).await.starts_with("connected - {"));
    raw
}

#[tokio::test]
async fn a_dialect_is_chosen_by_subprotocol_or_by_path() {
    let server = server().await;
    for (path, offered, chosen, is_tiny) in [
        ("/ws", "tiny.v1", Some("tiny.v1"), true),
        ("/ws", "unknown, tiny.v1", Some("tiny.v1"), true),
        ("/tiny", "", None, true),
        ("/tiny", "unknown", None, true),
        ("/ws", "", None, false),
        ("/ws", "unknown", None, false),
        ("/ws", "eventwire.v1.json", Some("eventwire.v1.json"), false),
        // What the client names holds, whatever the path; of several, its first.
        ("/tiny", "eventwire.v1.json", Some("eventwire.v1.json"), false),
        ("/ws", "tiny.v1, eventwire.v1.json", Some("tiny.v1"), true),
    ] {
        let (mut raw, answered) = connect(&server, path, offered).await;
        assert_eq!(answered.as_deref(), chosen, "{path} {offered}");
        let first = text(&mut raw).await;
        assert_eq!(first.starts_with("connected - "), is_tiny, "{path} {offered}: {first}");
    }
}

#[tokio::test]
async fn everything_that_is_said_to_a_socket_is_in_its_dialect() {
    let server = server().await;
    let mut raw = tiny(&server).await;
    let socket = server.io.sockets().pop().unwrap();
    for (sent, answer) in [
        ("echo - [1]", "echo - [1]"),
        ("ping - 5", "pong - 5"),
        ("ping 8 5", "ack 8 5"),
        ("subscribe 9 \"room\"", "ack 9 {\"room\":\"room\"}"),
        ("what?", "error - {\"code\":\"invalid_envelope\",\"message\":\"three parts\"}"),
        ("nobody 1 null", "error 1 {\"code\":\"unknown_event\",\"message\":\"nobody handles this event\"}"),
    ] {
        raw.write(&text_frame(sent)).await;
        assert_eq!(text(&mut raw).await, answer);
    }
    let asking = tokio::spawn({
        let socket = socket.clone();
        async move { socket.request::<u32>("q", "?").await }
    });
    let question = text(&mut raw).await;
    let (name, id, data) = (&question[..2], question[2..].trim_end_matches(" \"?\""), &question[question.len() - 3..]);
    assert_eq!((name, data), ("q ", "\"?\""));
    raw.write(&text_frame(&format!("ack {id} 42"))).await;
    assert_eq!(asking.await.unwrap(), Ok(42));
    socket.disconnect();
    assert!(text(&mut raw).await.starts_with("closing - {\"code\":\"disconnect\""));
    assert_eq!(raw.frame().await.unwrap().code(), 1000);
}

#[tokio::test]
async fn invariant_08_a_broadcast_is_encoded_once_per_dialect_and_room() {
    let server = server().await;
    let (mut json_clients, mut tiny_clients) = (Vec::new(), Vec::new());
    let encoded = || server.io.stats().encoded;
    for members in [1, 2, 5, 20] {
        while json_clients.len() < members {
            json_clients.push(server.client_in("room").await);
        }
        let before = encoded();
        assert_eq!(server.io.to("room").emit("n", 1).await, Ok(members + tiny_clients.len()));
        let dialects = if tiny_clients.is_empty() { 1 } else { 2 };
        assert_eq!(encoded() - before, dialects, "{members} members of JSON");
        while tiny_clients.len() < members {
            let mut raw = tiny(&server).await;
            raw.write(&text_frame("subscribe 1 \"room\"")).await;
            assert_eq!(text(&mut raw).await, "ack 1 {\"room\":\"room\"}");
            tiny_clients.push(raw);
        }
        let before = encoded();
        assert_eq!(server.io.to("room").emit("mark", members).await, Ok(2 * members));
        assert_eq!(encoded() - before, 2, "{members} members of each");
        // Members of both get their own form.
        for client in &mut json_clients {
            let frame = client.wait_for(|frame| frame["event"] == "mark").await;
            assert_eq!(frame, json!({"event": "mark", "room": "room", "data": members}));
        }
        for raw in &mut tiny_clients {
            while text(raw).await != format!("mark[room] - {members}") {}
        }
    }
    // Two rooms, each with members of both dialects that are in both: the second room has nobody left to tell.
    for socket in server.io.sockets() {
        socket.join("room2").await.unwrap();
    }
    let (before, extra) = (encoded(), server.client_in("room2").await);
    assert_eq!(server.io.to("room").to("room2").emit("n", 1).await, Ok(41));
    assert_eq!(encoded() - before, 3, "both dialects in the first room, JSON in the second");
    let before = encoded();
    assert_eq!(server.io.broadcast().emit("n", 1).await, Ok(41));
    assert_eq!(encoded() - before, 2, "everyone is a room, too");
    // Nobody is addressed: nothing is encoded.
    let before = encoded();
    assert_eq!(server.io.to("empty").emit("n", 1).await, Ok(0));
    assert_eq!(server.io.to("room2").except("room2").emit("n", 1).await, Ok(0));
    assert_eq!(encoded() - before, 0);
    drop(extra);
}

#[tokio::test]
async fn what_rooms_have_encoded_stays_counted_when_they_are_gone() {
    let server = server().await;
    let mut client = server.client_in("room").await;
    for n in 0..3 {
        server.io.to("room").emit("n", n).await.unwrap();
    }
    client.request("unsubscribe", json!("room")).await.unwrap();
    assert_eq!((server.io.stats().rooms, server.io.stats().encoded), (0, 3));
}

#[tokio::test]
async fn a_message_that_a_dialect_has_not_is_sent_to_the_others_only() {
    let server = server().await;
    let mut json_client = server.client_in("room").await;
    let mut raw = tiny(&server).await;
    raw.write(&text_frame("subscribe 1 \"room\"")).await;
    text(&mut raw).await;
    assert_eq!(server.io.to("room").emit("json-only", 1).await, Ok(1));
    assert_eq!(server.io.to("room").emit("both", 2).await, Ok(2));
    assert_eq!(json_client.next().await["event"], "json-only");
    assert_eq!(json_client.next().await["event"], "both");
    assert_eq!(text(&mut raw).await, "both[room] - 2");
}

#[tokio::test]
async fn a_message_that_a_dialect_has_not_holds_nobody_up() {
    let io = Io::builder().dialect(Tiny).config(serde_json::from_value(json!({"outbox": {"messages": 4}})).unwrap());
    let server = Server::of(io.build().unwrap()).await;
    let mut raw = tiny(&server).await;
    let socket = server.io.sockets().pop().unwrap();
    // What is never sent takes no room, or the fifth emit would wait for ever.
    let emitting = async {
        for n in 0..20 {
            socket.emit("json-only", n).await.unwrap();
        }
        socket.emit("both", 1).await.unwrap();
    };
    within("room for each", emitting).await;
    assert_eq!(text(&mut raw).await, "both - 1");
}

#[tokio::test]
async fn a_message_that_a_dialect_has_not_harms_nobody_however_it_is_sent() {
    use futures::StreamExt;
    let server = server().await;
    let mut raw = tiny(&server).await;
    let socket = server.io.sockets().pop().unwrap();
    socket.join("room").await.unwrap();
    assert_eq!(socket.volatile().emit("json-only", 1), Ok(true));
    assert_eq!(server.io.to("room").volatile().emit("json-only", 1).await, Ok(0));
    let asking = server.io.to("room").timeout(std::time::Duration::from_millis(50)).request::<Value>("json-only", 1);
    let answers: Vec<_> = within("the end of the answers", asking.collect()).await;
    assert_eq!(answers, [(socket.id(), Err(eventwire::RequestError::Timeout))]);
    socket.emit("both", 1).await.unwrap();
    assert_eq!(text(&mut raw).await, "both - 1");
}

#[tokio::test]
async fn a_dialect_may_speak_in_binary_messages_and_in_several_frames() {
    let server = server().await;
    let (mut raw, chosen) = connect(&server, "/ws", "blob.v1").await;
    assert_eq!(chosen.as_deref(), Some("blob.v1"));
    let pair = async |raw: &mut Raw| {
        let (name, data) = (raw.frame().await.unwrap(), raw.frame().await.unwrap());
        assert_eq!((name.opcode, data.opcode), (2, 2));
        (String::from_utf8(name.payload).unwrap(), String::from_utf8(data.payload).unwrap())
    };
    assert_eq!(pair(&mut raw).await.0, "connected");
    raw.write(&frame(0x82, &[0xff; 300])).await;
    assert_eq!(pair(&mut raw).await, ("echo".into(), "300".into()));
    // It sits in a room beside JSON, and order holds.
    let socket = server.io.sockets().pop().unwrap();
    socket.join("room").await.unwrap();
    let mut json_client = server.client_in("room").await;
    for n in 0..50 {
        assert_eq!(server.io.to("room").emit("n", n).await, Ok(2));
    }
    for n in 0..50 {
        assert_eq!(pair(&mut raw).await, ("n".into(), n.to_string()));
        assert_eq!(json_client.next().await["data"], n);
    }
    settle().await;
}
