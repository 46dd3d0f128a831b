//! Rooms without history, and emits to one socket: by `id`.

use eventwire::{EmitError, GivenUp};

use super::*;

#[tokio::test]
async fn a_room_without_history_asks_by_id() {
    let (server, letters) = server(quick()).await;
    let (mut good, mut silent) = (server.client_in("plain:a").await, server.client_in("plain:a").await);
    assert_eq!(server.io.to("plain:a").emit("n", 1).await, Ok(2));
    let first = good.next().await;
    let id = first["id"].clone();
    assert_eq!(first, json!({"event": "n", "id": id, "room": "plain:a", "data": 1}));
    good.send_text(json!({"event": "ack", "id": id, "data": {"room": "x", "seq": "y"}}).to_string()).await;
    assert_eq!(numbers(&mut silent, 3).await, [(1, 0), (1, 1), (1, 2)]);
    let letter = letters.wait(1).await.remove(0);
    assert_eq!((letter.reason, letter.tries, letter.room.as_deref()), (GivenUp::Timeout, 3, Some("plain:a")));
    assert_eq!((letter.seq, letter.data.unwrap().get()), (None, "1"));
    good.expect_nothing().await;
    silent.expect_nothing().await;
    assert_eq!(server.io.stats().acked, 1);
    balance(&server, &letters);
}

#[tokio::test]
async fn a_refusal_by_id_brings_it_again() {
    let (server, letters) = server(patient()).await;
    let mut client = server.client_in("plain:a").await;
    emit(&server, "plain:a", 1..=1).await;
    let id = client.next().await["id"].clone();
    client.send_text(json!({"event": "nack", "id": id}).to_string()).await;
    let again = client.next().await;
    assert_eq!((&again["id"], &again["again"]), (&id, &json!(1)));
    client.send_text(json!({"event": "error", "id": id, "data": {"code": "busy"}}).to_string()).await;
    assert_eq!(client.next().await["again"], 2);
    client.send_text(json!({"event": "nack", "data": {"id": id, "reason": "no!"}}).to_string()).await;
    assert_eq!(letters.wait(1).await[0].reason, GivenUp::Refused("no!".into()));
    balance(&server, &letters);
}

#[tokio::test]
async fn one_socket_and_everyone_can_be_told_so() {
    let (server, letters) = server(quick()).await;
    let mut client = server.client().await;
    let socket = server.io.sockets().remove(0);
    socket.at_least_once(quick()).emit("n", 1).unwrap();
    server.io.broadcast().at_least_once(quick()).emit("n", 2).await.unwrap();
    for n in 1..=2 {
        let frame = client.next().await;
        assert_eq!((&frame["data"], &frame["room"]), (&json!(n), &Value::Null));
        client.send_text(json!({"event": "ack", "id": frame["id"]}).to_string()).await;
    }
    until("both are settled", || server.io.stats().acked == 2).await;
    assert!(matches!(socket.at_least_once(quick()).emit("ack", 1), Err(EmitError::Name(_))));
    client.close().await;
    until("it is gone", || server.io.stats().sockets == 0).await;
    assert_eq!(socket.at_least_once(quick()).emit("n", 3), Err(EmitError::Disconnected));
    balance(&server, &letters);
}

#[tokio::test]
async fn through_a_pattern_it_is_by_id_and_by_number() {
    let (server, letters) = server(quick()).await;
    server.io.rooms("m.*").public().history(History::messages(100)).at_least_once(quick());
    server.io.rooms("u.*").public().at_least_once(quick());
    server.io.rooms("*").public();
    let mut client = server.client().await;
    client.request("subscribe", json!({"pattern": ">"})).await.unwrap();
    emit(&server, "m.a", 1..=3).await;
    emit(&server, "u.a", 4..=4).await;
    let mut frames = Vec::new();
    for _ in 0..4 {
        frames.push(client.next().await);
    }
    assert_eq!((&frames[2]["seq"], &frames[2]["room"], frames[2]["id"].is_u64()), (&json!(3), &json!("m.a"), true));
    ack(&mut client, "m.a", 2).await;
    client.send_text(json!({"event": "ack", "id": frames[3]["id"]}).to_string()).await;
    let again = client.next().await;
    assert_eq!((&again["seq"], &again["again"], &again["id"]), (&json!(3), &json!(1), &frames[2]["id"]));
    nack(&mut client, "m.a", 3).await;
    assert_eq!(number(&mut client).await, (3, 2));
    ack(&mut client, "m.a", 3).await;
    until("all are settled", || server.io.stats().acked == 4).await;
    client.expect_nothing().await;
    balance(&server, &letters);
}
