//! What becomes of it when a socket goes, a room begins anew, or all ends.

use std::ops::RangeInclusive;

use eventwire::GivenUp;

use super::*;

#[tokio::test]
async fn who_comes_back_gets_what_it_has_not_acknowledged() {
    let (server, letters) = server(patient()).await;
    let mut client = server.client().await;
    let begun = client.request("subscribe", json!("once:a")).await.unwrap();
    emit(&server, "once:a", 1..=10).await;
    numbers(&mut client, 10).await;
    ack(&mut client, "once:a", 6).await;
    until("six are settled", || server.io.stats().acked == 6).await;
    drop(client);
    until("it is gone", || server.io.stats().sockets == 0).await;
    assert_eq!((server.io.stats().left, letters.count()), (4, 0), "they wait in the ring");
    let mut again = server.client().await;
    again.request("subscribe", json!({"room": "once:a", "since": 6, "epoch": begun["epoch"]})).await.unwrap();
    assert_eq!(numbers(&mut again, 4).await, [(7, 0), (8, 0), (9, 0), (10, 0)]);
    ack(&mut again, "once:a", 10).await;
    until("all are settled", || server.io.stats().acked == 10).await;
    balance(&server, &letters);
}

#[tokio::test]
async fn a_socket_that_asks_anew_gets_it_again() {
    let (server, letters) = server(patient()).await;
    let mut client = server.client().await;
    let begun = client.request("subscribe", json!("once:a")).await.unwrap();
    emit(&server, "once:a", 1..=3).await;
    numbers(&mut client, 3).await;
    client.request("subscribe", json!({"room": "once:a", "since": 1, "epoch": begun["epoch"]})).await.unwrap();
    assert_eq!(numbers(&mut client, 2).await, [(2, 0), (3, 0)]);
    ack(&mut client, "once:a", 3).await;
    until("all are settled", || server.io.stats().acked == 3).await;
    assert_eq!(server.io.stats().again, 2);
    client.request("unsubscribe", json!("once:a")).await.unwrap();
    balance(&server, &letters);
}

#[tokio::test]
async fn who_leaves_a_room_owes_nothing_there() {
    let (server, letters) = server_with(quick(), json!({"maxInFlight": 2})).await;
    let mut client = server.client_in("once:a").await;
    client.request("subscribe", json!("once:b")).await.unwrap();
    emit(&server, "once:a", 1..=5).await;
    numbers(&mut client, 2).await;
    emit(&server, "once:b", 11..=12).await;
    client.request("unsubscribe", json!("once:a")).await.unwrap();
    client.wait_for(|frame| frame["data"] == 11).await;
    client.wait_for(|frame| frame["data"] == 12).await;
    ack(&mut client, "once:b", 2).await;
    until("those of the other room are settled", || server.io.stats().acked == 2).await;
    assert_eq!((server.io.stats().left, letters.count()), (2, 0));
    balance(&server, &letters);
}

#[tokio::test]
async fn what_was_for_one_socket_ends_with_it() {
    let (server, letters) = server_with(patient(), json!({"maxInFlight": 2})).await;
    let mut client = server.client_in("plain:a").await;
    emit(&server, "plain:a", 1..=5).await;
    numbers(&mut client, 2).await;
    client.close().await;
    let mut told: Vec<_> = letters.wait(5).await;
    assert!(told.iter().all(|letter| letter.reason == GivenUp::Disconnected));
    told.sort_by_key(|letter| letter.data.as_ref().unwrap().get().to_owned());
    assert_eq!(told.iter().map(|letter| letter.tries).collect::<Vec<_>>(), [1, 1, 0, 0, 0]);
    balance(&server, &letters);
}

#[tokio::test]
async fn a_disconnect_sends_first_what_waits_to_be_sent() {
    for room in ["once:a", "plain:a"] {
        let (server, _) = server_with(patient(), json!({"maxInFlight": 2})).await;
        let mut client = server.client_in(room).await;
        emit(&server, room, 1..=50).await;
        server.io.sockets().remove(0).disconnect();
        let (code, before) = client.closed().await;
        let numbers: Vec<u64> =
            before.iter().filter(|frame| frame["event"] == "n").map(|frame| frame["data"].as_u64().unwrap()).collect();
        assert_eq!((code, numbers), (1000, (1..=50).collect()), "{room}");
    }
}

/// One who was sent 1 to `last`, and then what came after the room was cleared.
async fn of_two_lives(server: &Server, last: u64, then: RangeInclusive<u64>) -> Client {
    let mut client = server.client_in("once:a").await;
    emit(server, "once:a", 1..=last).await;
    numbers(&mut client, last as usize).await;
    server.io.room("once:a").clear();
    emit(server, "once:a", then).await;
    client.expect("gap").await;
    client
}

#[tokio::test]
async fn another_life_of_a_room_asks_for_nothing_of_the_former() {
    let (server, letters) = server(quick()).await;
    let mut client = of_two_lives(&server, 2, 7..=7).await;
    assert_eq!(number(&mut client).await, (7, 0));
    let told = letters.wait(2).await;
    assert!(told.iter().all(|letter| letter.reason == GivenUp::Overtaken), "{told:?}");
    ack(&mut client, "once:a", 1).await;
    until("the new one is settled", || server.io.stats().acked == 1).await;
    settled(|| server.io.stats().again).await;
    client.expect_nothing().await;
    balance(&server, &letters);
}

#[tokio::test]
async fn a_failing_reader_of_dead_letters_harms_nobody() {
    let (server, letters) = server(quick()).await;
    server.io.on_dead_letter(|_| async { panic!("no") });
    let after = Letters::of(&server.io);
    let mut client = server.client_in("once:a").await;
    emit(&server, "once:a", 1..=3).await;
    numbers(&mut client, 9).await;
    assert_eq!((letters.wait(3).await.len(), after.wait(3).await.len()), (3, 3));
    assert_eq!(server.io.stats().panics, 3);
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_shutdown_is_not_held_up() {
    let (server, _) = server_with(patient(), json!({"maxInFlight": 2})).await;
    let mut client = server.client_in("once:a").await;
    emit(&server, "once:a", 1..=20).await;
    let io = server.io.clone();
    let down = tokio::spawn(async move { io.shutdown(Duration::from_secs(10)).await });
    let (code, before) = client.closed().await;
    assert_eq!((code, before.iter().filter(|frame| frame["event"] == "n").count()), (1001, 20));
    drop(client);
    assert_eq!(within("the end", down).await.unwrap(), 0);
}

#[tokio::test]
async fn an_acknowledgement_of_a_former_life_settles_nothing_of_this_one() {
    let (server, letters) = server(patient()).await;
    let mut client = of_two_lives(&server, 9, 11..=12).await;
    assert_eq!(numbers(&mut client, 2).await, [(11, 0), (12, 0)]);
    ack(&mut client, "once:a", 9).await;
    client.expect_nothing().await;
    assert_eq!((server.io.stats().acked, letters.wait(9).await.len()), (0, 9));
    ack(&mut client, "once:a", 2).await;
    until("these are settled", || server.io.stats().acked == 2).await;
    balance(&server, &letters);
}

#[tokio::test]
async fn nothing_comes_by_id_after_one_has_left() {
    let (server, letters) = server_with(quick(), json!({"maxInFlight": 2})).await;
    server.io.rooms("p.*").public().at_least_once(quick());
    let mut client = server.client_in("plain:a").await;
    client.request("subscribe", json!({"pattern": "p.>"})).await.unwrap();
    emit(&server, "plain:a", 1..=5).await;
    numbers(&mut client, 2).await;
    client.request("unsubscribe", json!("plain:a")).await.unwrap();
    emit(&server, "p.x", 11..=15).await;
    assert_eq!(numbers(&mut client, 2).await, [(11, 0), (12, 0)], "there is room for what else comes");
    client.request("unsubscribe", json!({"pattern": "p.>"})).await.unwrap();
    settled(|| server.io.stats().again).await;
    client.expect_nothing().await;
    assert_eq!((server.io.stats().left, letters.count()), (4, 0));
    balance(&server, &letters);
}
