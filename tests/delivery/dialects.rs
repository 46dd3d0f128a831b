//! Other wires in the same rooms.

use eventwire::GivenUp;
use eventwire::dialects::{GoWs, StreamKit};
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::*;

struct Peer(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Peer {
    async fn connect(server: &Server, path: &str) -> Peer {
        Peer(tokio_tungstenite::connect_async(format!("ws://{}{path}", server.address)).await.unwrap().0)
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        loop {
            match within("a message", self.0.next()).await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn data(&mut self) -> Value {
        let message = self.next().await;
        assert_eq!(message["type"], "data", "{message}");
        message
    }
}

async fn server(delivery: AtLeastOnce) -> (Server, Letters) {
    let io = Io::builder().dialect(GoWs::default()).dialect(StreamKit::default()).build().unwrap();
    io.rooms("once:*").public().history(History::messages(1000)).at_least_once(delivery);
    io.rooms("plain:*").public().at_least_once(delivery);
    let letters = Letters::of(&io);
    (Server::of(io).await, letters)
}

#[tokio::test]
async fn streamkit_acknowledges_one_by_one_in_the_same_rooms() {
    let (server, letters) = server(quick()).await;
    let mut peer = Peer::connect(&server, "/streamkit").await;
    peer.send(json!({"type": "subscribe", "payload": "once:a", "id": "s1"})).await;
    let answer = peer.next().await;
    assert_eq!(
        (&answer["type"], &answer["id"], &answer["payload"]["room"]),
        (&json!("ack"), &json!("s1"), &json!("once:a"))
    );
    let mut other = server.client_in("once:a").await;
    emit(&server, "once:a", 1..=3).await;
    assert_eq!(numbers(&mut other, 3).await, [(1, 0), (2, 0), (3, 0)]);
    ack(&mut other, "once:a", 3).await;
    let mut first = Vec::new();
    for n in 1..=3 {
        let message = peer.data().await;
        assert_eq!(
            (&message["payload"], &message["event"], &message["room"]),
            (&json!(n), &json!("n"), &json!("once:a"))
        );
        assert!(message["timestamp"].is_u64() && message["id"].is_string() && message["again"].is_null());
        first.push(message["id"].clone());
    }
    peer.send(json!({"type": "ack", "id": first[2], "timestamp": 1})).await;
    peer.send(json!({"type": "nack", "id": first[0], "payload": {"reason": "later"}})).await;
    let again = peer.data().await;
    assert_eq!((&again["id"], &again["again"]), (&first[0], &json!(1)), "refused, it comes soon");
    peer.send(json!({"type": "ack", "id": first[0]})).await;
    let again = peer.data().await;
    assert_eq!((&again["id"], &again["again"]), (&first[1], &json!(1)), "an ack is for one message alone");
    peer.send(json!({"type": "ack", "id": first[1]})).await;
    until("all are settled", || server.io.stats().acked == 6).await;
    balance(&server, &letters);
}

#[tokio::test]
async fn streamkit_acknowledges_what_no_room_keeps() {
    let (server, letters) = server(quick()).await;
    server.io.on_connect(|socket: eventwire::Socket| async move {
        if socket.dialect() == "streamkit" {
            socket.join_pattern("stream.>").await?;
        }
        Ok::<_, eventwire::Error>(())
    });
    let mut peer = Peer::connect(&server, "/streamkit").await;
    until("it gets everything", || server.io.stats().patterns == 1).await;
    server.io.to("stream.a").emit("message", json!({"n": 1})).await.unwrap();
    let live = peer.data().await;
    assert_eq!((&live["payload"], &live["room"]), (&json!({"n": 1}), &json!("stream.a")));
    peer.send(json!({"type": "ack", "id": live["id"]})).await;
    server.io.to("stream.a").at_least_once(quick()).emit("message", 2).await.unwrap();
    let (first, again) = (peer.data().await, peer.data().await);
    assert_eq!((&first["id"], &again["again"]), (&again["id"], &json!(1)));
    assert_ne!(first["id"], live["id"]);
    peer.send(json!({"type": "slow", "payload": {"utilization": 0.95}})).await;
    peer.send(json!({"type": "slow", "id": "x", "timestamp": 3})).await;
    peer.send(json!({"type": "ack", "id": first["id"]})).await;
    until("it is settled", || server.io.stats().acked == 1).await;
    peer.send(json!({"type": "ack"})).await;
    let error = peer.next().await;
    assert_eq!((&error["type"], &error["payload"]["code"]), (&json!("error"), &json!("invalid_envelope")));
    peer.send(json!({"type": "nack", "id": "never seen"})).await;
    peer.send(json!({"type": "ping", "payload": 5})).await;
    let pong = peer.next().await;
    assert_eq!((&pong["type"], &pong["payload"]), (&json!("pong"), &json!(5)));
    balance(&server, &letters);
}

#[tokio::test]
async fn a_wire_without_acknowledgements_gets_each_message_once() {
    let (server, letters) = server(quick()).await;
    for room in ["once:a", "plain:a"] {
        let mut peer = Peer::connect(&server, "/go-ws").await;
        peer.send(json!({"type": "subscribe", "data": room})).await;
        until("it is there", || server.io.room_len(room) == 1).await;
        let mut silent = server.client_in(room).await;
        emit(&server, room, 1..=1).await;
        assert_eq!(numbers(&mut silent, 3).await, [(1, 0), (1, 1), (1, 2)]);
        until("it is given up", || letters.count() > 0).await;
        emit(&server, room, 2..=2).await;
        for n in 1..=2 {
            assert_eq!(peer.next().await["data"], json!({"event": "n", "data": n}), "{room}");
        }
    }
    assert!(letters.all().iter().all(|letter| letter.reason == GivenUp::Timeout));
}
