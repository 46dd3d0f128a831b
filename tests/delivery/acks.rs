//! Rooms with history: `ack` and `nack` by number.

use eventwire::GivenUp;

use super::*;

#[tokio::test]
async fn what_is_acknowledged_does_not_come_again() {
    let (server, letters) = server(quick()).await;
    let mut client = server.client().await;
    let answer = client.request("subscribe", json!("once:a")).await.unwrap();
    assert_eq!(answer["ackTimeout"], 120, "a client is told how long it has");
    emit(&server, "once:a", 1..=5).await;
    let frame = client.next().await;
    assert_eq!(
        frame,
        json!({"event": "n", "room": "once:a", "seq": 1, "data": 1}),
        "the first time it is as any other"
    );
    assert_eq!(numbers(&mut client, 4).await, [(2, 0), (3, 0), (4, 0), (5, 0)]);
    ack(&mut client, "once:a", 3).await;
    assert_eq!(numbers(&mut client, 2).await, [(4, 1), (5, 1)], "those up to 3 are settled together");
    ack(&mut client, "once:a", 5).await;
    until("all are settled", || server.io.stats().acked == 5).await;
    settled(|| server.io.stats().again).await;
    client.expect_nothing().await;
    let stats = server.io.stats();
    assert_eq!((stats.delivered, stats.again, stats.acked, stats.dead_letters), (5, 2, 5, 0));
    balance(&server, &letters);
}

#[tokio::test]
async fn who_never_acknowledges_gets_it_so_often_and_then_it_is_told() {
    let (server, letters) = server(quick()).await;
    let mut client = server.client_in("once:a").await;
    emit(&server, "once:a", 1..=1).await;
    for again in 0..3 {
        let frame = client.next().await;
        let mut expected = json!({"event": "n", "room": "once:a", "seq": 1, "data": 1});
        if again > 0 {
            expected["again"] = json!(again);
        }
        assert_eq!(frame, expected);
    }
    let letter = letters.wait(1).await.remove(0);
    assert_eq!(letter.socket.to_string(), client.id);
    assert_eq!((letter.room.as_deref(), letter.seq, letter.count, letter.tries), (Some("once:a"), Some(1), 1, 3));
    assert_eq!((letter.event.as_deref(), letter.data.as_ref().map(|data| data.get())), (Some("n"), Some("1")));
    assert_eq!(letter.reason, GivenUp::Timeout);
    assert_eq!(serde_json::to_value(&letter).unwrap()["reason"], "timeout");
    ack(&mut client, "once:a", 1).await;
    client.expect_nothing().await;
    assert_eq!(server.io.stats().acked, 0, "it is too late");
    balance(&server, &letters);
}

#[tokio::test]
async fn a_refused_one_comes_again_soon_and_has_to_be_acknowledged_by_its_own_number() {
    let (server, letters) = server(patient()).await;
    let mut client = server.client_in("once:a").await;
    emit(&server, "once:a", 1..=4).await;
    numbers(&mut client, 4).await;
    nack(&mut client, "once:a", 2).await;
    ack(&mut client, "once:a", 4).await;
    assert_eq!(number(&mut client).await, (2, 1), "long before the time is up");
    ack(&mut client, "once:a", 4).await;
    ack(&mut client, "once:a", 3).await;
    until("the others are settled", || server.io.stats().acked == 3).await;
    client.expect_nothing().await;
    assert_eq!(server.io.stats().acked, 3);
    nack(&mut client, "once:a", 2).await;
    assert_eq!(number(&mut client).await, (2, 2));
    nack(&mut client, "once:a", 2).await;
    let letter = letters.wait(1).await.remove(0);
    assert_eq!((letter.seq, letter.tries, letter.reason), (Some(2), 3, GivenUp::Refused("busy".into())));
    assert_eq!(letter.data.unwrap().get(), "2");
    client.expect_nothing().await;
    assert_eq!(server.io.stats().nacked, 3);
    emit(&server, "once:a", 5..=5).await;
    number(&mut client).await;
    nack(&mut client, "once:a", 5).await;
    assert_eq!(number(&mut client).await, (5, 1));
    ack(&mut client, "once:a", 5).await;
    until("it is settled", || server.io.stats().acked == 4).await;
    balance(&server, &letters);
}

#[tokio::test]
async fn bad_acknowledgements_are_told_and_those_of_nothing_ignored() {
    let (server, _) = server(quick()).await;
    let mut client = server.client_in("once:a").await;
    for (frame, code, names) in [
        (json!({"event": "ack", "room": "once:a", "seq": "7"}), "invalid_envelope", "seq"),
        (json!({"event": "ack", "room": 5, "seq": 7}), "invalid_envelope", "room"),
        (json!({"event": "ack", "room": "once:a"}), "invalid_envelope", "seq"),
        (json!({"event": "ack", "seq": 7}), "invalid_envelope", "room"),
        (json!({"event": "ack", "room": "once:a", "seq": -7}), "invalid_envelope", "seq"),
        (json!({"event": "nack"}), "invalid_payload", "id"),
        (json!({"event": "nack", "data": {"room": "once:a"}}), "invalid_payload", "seq"),
        (json!({"event": "nack", "data": {"seq": 1}}), "invalid_payload", "room"),
        (json!({"event": "nack", "data": {"id": 1, "reason": 5}}), "invalid_payload", "reason"),
        (json!({"event": "slow", "data": {"utilization": 1.5}}), "invalid_payload", "utilization"),
        (json!({"event": "slow", "data": {"utilization": "high"}}), "invalid_payload", "utilization"),
        (json!({"event": "slow", "data": {}}), "invalid_payload", "utilization"),
    ] {
        client.send_text(frame.to_string()).await;
        let error = client.expect("error").await;
        assert_eq!(error["code"], code, "{frame}: {error}");
        assert!(error.to_string().contains(names), "{frame}: {error}");
    }
    for frame in [
        json!({"event": "ack", "room": "once:a", "seq": 700}),
        json!({"event": "ack", "room": "nowhere", "seq": 1}),
        json!({"event": "ack", "id": 12345}),
        json!({"event": "ack", "id": 12345, "room": 5}),
        json!({"event": "ack", "id": "x"}),
        json!({"event": "ack"}),
        json!({"event": "nack", "id": 12345}),
        json!({"event": "nack", "room": "once:a", "seq": 1}),
        json!({"event": "nack", "data": {"room": "once:a", "seq": 1, "reason": "ä".repeat(300)}}),
        json!({"event": "slow"}),
        json!({"event": "slow", "data": {"utilization": 0}}),
    ] {
        client.send_text(frame.to_string()).await;
        client.expect_nothing().await;
    }
    emit(&server, "once:a", 1..=1).await;
    assert_eq!(number(&mut client).await, (1, 0));
    client.send_text(json!({"event": "ack", "data": {"room": "once:a", "seq": 1}}).to_string()).await;
    until("what the data says counts too", || server.io.stats().acked == 1).await;
}

#[tokio::test]
async fn one_emit_of_an_ordinary_room_may_ask_for_it() {
    let server = Server::new().await;
    server.io.rooms("log").public().history(History::messages(100));
    let letters = Letters::of(&server.io);
    let mut client = server.client_in("log").await;
    server.io.to("log").emit("n", 1).await.unwrap();
    server.io.to("log").at_least_once(quick()).emit("n", 2).await.unwrap();
    server.io.to("log").emit("n", 3).await.unwrap();
    assert_eq!(numbers(&mut client, 5).await, [(1, 0), (2, 0), (3, 0), (2, 1), (2, 2)]);
    assert_eq!(letters.wait(1).await[0].seq, Some(2));
    client.expect_nothing().await;
    let mut late = server.client_in("log").await;
    assert_eq!(numbers(&mut late, 4).await, [(1, 0), (2, 0), (3, 0), (2, 1)], "whoever reads it later, too");
    ack(&mut late, "log", 3).await;
    until("it is settled", || server.io.stats().acked == 1).await;
    balance(&server, &letters);
}

#[tokio::test]
async fn who_is_left_out_owes_nothing() {
    let (server, letters) = server(quick()).await;
    let (mut a, mut b) = (server.client_in("once:a").await, server.client_in("once:a").await);
    let id = a.id.parse::<eventwire::SocketId>().unwrap();
    server.io.to("once:a").emit("n", 1).await.unwrap();
    server.io.to("once:a").except(id).emit("n", 2).await.unwrap();
    server.io.to("once:a").emit("n", 3).await.unwrap();
    assert_eq!(numbers(&mut a, 2).await, [(1, 0), (3, 0)]);
    assert_eq!(numbers(&mut b, 3).await, [(1, 0), (2, 0), (3, 0)]);
    ack(&mut a, "once:a", 3).await;
    ack(&mut b, "once:a", 3).await;
    until("all are settled", || server.io.stats().acked == 5).await;
    assert_eq!(server.io.stats().delivered, 5);
    balance(&server, &letters);
}
