//! Questions in both directions: each is settled, by an answer, a refusal, its timeout or the end.

use std::time::Duration;

use eventwire::{Error, RequestError, Socket};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kit::*;
use crate::support::*;

/// Asks in a task of its own, as an application would.
fn ask(socket: &Socket, data: Value) -> tokio::task::JoinHandle<Result<Value, RequestError>> {
    let socket = socket.clone();
    tokio::spawn(async move { socket.request("question", data).await })
}

/// How many requests a socket can have pending beside those it has: what is not given back is missed here.
async fn free_places(server: &Server, client: &mut Client) -> usize {
    let socket = server.socket(client);
    let most = server.io.config().max_pending_acks;
    let asking: Vec<_> = (0..=most).map(|n| ask(&socket, json!({"place": n}))).collect();
    settle().await;
    let free = asking.iter().filter(|asking| !asking.is_finished()).count();
    for asked in asking {
        asked.abort();
        let _ = asked.await;
    }
    free
}

#[derive(Debug, Deserialize, PartialEq)]
struct Answer {
    text: String,
}

#[tokio::test]
async fn the_server_asks_and_gets_a_typed_answer() {
    let server = Server::new().await;
    let mut client = server.client().await;
    let socket = server.socket(&client);
    let asking = tokio::spawn({
        let socket = socket.clone();
        async move { socket.request::<Answer>("question", json!({"q": 1})).await }
    });
    let asked = client.next().await;
    assert_eq!((&asked["event"], &asked["data"]), (&json!("question"), &json!({"q": 1})));
    assert!(asked["id"].is_u64(), "{asked}");
    let answer = json!({"event": "ack", "id": asked["id"], "data": {"text": "42"}});
    client.send_text(answer.to_string()).await;
    assert_eq!(asking.await.unwrap(), Ok(Answer { text: "42".into() }));
    // The same ack twice, and acks for what was never asked, are ignored.
    client.send_text(answer.to_string()).await;
    client.send_text(r#"{"event":"ack","id":999999999,"data":1}"#).await;
    client.send_text(r#"{"event":"error","id":"nothing"}"#).await;
    client.send_text(r#"{"event":"ack"}"#).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn many_requests_at_once_get_their_own_answers_in_whatever_order() {
    let server = Server::new().await;
    let mut client = server.client().await;
    let socket = server.socket(&client);
    let asking: Vec<_> = (0..100).map(|n| ask(&socket, json!(n))).collect();
    let mut asked = Vec::new();
    for _ in 0..100 {
        asked.push(client.next().await);
    }
    for frame in asked.iter().rev() {
        let answer = json!({"event": "ack", "id": frame["id"], "data": frame["data"].as_u64().unwrap() * 2});
        client.send_text(answer.to_string()).await;
    }
    for (n, asking) in asking.into_iter().enumerate() {
        assert_eq!(asking.await.unwrap(), Ok(json!(n * 2)));
    }
}

#[tokio::test]
async fn an_error_of_the_clients_reaches_the_requester_with_code_message_and_details() {
    let server = Server::new().await;
    let mut client = server.client().await;
    let socket = server.socket(&client);
    for (data, expected) in [
        (
            json!({"code": "busy_now", "message": "ask later", "details": [1]}),
            Error::new("busy_now", "ask later").with_details(json!([1])),
        ),
        (json!({"code": "bare"}), Error::new("bare", "")),
        (json!("not even an object"), Error::new("handler_failed", "")),
    ] {
        let asking = ask(&socket, json!(null));
        let asked = client.next().await;
        client.send_text(json!({"event": "error", "id": asked["id"], "data": data}).to_string()).await;
        let refused = asking.await.unwrap().unwrap_err();
        assert_eq!(refused, RequestError::Refused(expected.clone()));
        assert_eq!(Error::from(refused), expected, "whoever asked for another passes it on as it came");
    }
}

#[tokio::test]
async fn the_clients_refusal_passes_through_a_handler_that_asked_on_its_behalf() {
    let server = Server::new().await;
    server.io.on::<()>("ask-me", |socket: Socket, ()| async move {
        let answer: Value = socket.request("question", 1).await?;
        eventwire::ok(answer)
    });
    let mut client = server.client().await;
    let asked = client.ask("ask-me", json!(null)).await;
    let question = client.next().await;
    let refusal = json!({"event": "error", "id": question["id"], "data": {"code": "no", "message": "never"}});
    client.send_text(refusal.to_string()).await;
    assert_eq!(client.answer(asked).await, Err(json!({"code": "no", "message": "never"})));
}

#[tokio::test]
async fn an_answer_of_another_type_is_a_decode_error() {
    let server = Server::new().await;
    let mut client = server.client().await;
    let socket = server.socket(&client);
    let asking = tokio::spawn(async move { socket.request::<Answer>("question", ()).await });
    client.reply("question", json!({"text": 5})).await;
    let error = asking.await.unwrap().unwrap_err();
    assert!(matches!(&error, RequestError::Decode(text) if text.contains("text")), "{error:?}");
}

#[tokio::test]
async fn a_request_that_nobody_answers_ends_with_its_timeout() {
    let server = Server::with(json!({"ackTimeout": "80ms", "maxPendingAcks": 3})).await;
    let mut client = server.client().await;
    let socket = server.socket(&client);
    let start = Instant::now();
    assert_eq!(socket.request::<Value>("question", 1).await, Err(RequestError::Timeout));
    assert!(start.elapsed() >= Duration::from_millis(80), "not before: {:?}", start.elapsed());
    let own = socket.request::<Value>("question", 2).timeout(Duration::from_millis(10));
    assert_eq!(own.await, Err(RequestError::Timeout));
    assert_eq!(Error::from(RequestError::Timeout).code(), "timeout");
    // Answers that come too late answer nothing, not the next request either.
    let late = [client.next().await, client.next().await];
    let asking = ask(&socket, json!(3));
    for frame in &late {
        client.send_text(json!({"event": "ack", "id": frame["id"], "data": "late"}).to_string()).await;
    }
    client.reply("question", json!("in time")).await;
    assert_eq!(asking.await.unwrap(), Ok(json!("in time")));
    assert_eq!(free_places(&server, &mut client).await, 3, "the pending table is empty afterwards");
}

#[tokio::test]
async fn max_pending_acks_refuses_the_next_request_until_a_place_is_free() {
    let server = Server::with(json!({"maxPendingAcks": 2, "ackTimeout": "60s"})).await;
    let mut client = server.client().await;
    let socket = server.socket(&client);
    let first = ask(&socket, json!(1));
    let second = ask(&socket, json!(2));
    let asked = [client.next().await, client.next().await];
    assert_eq!(socket.request::<Value>("question", 3).await, Err(RequestError::Limit));
    assert_eq!(Error::from(RequestError::Limit).code(), "limit");
    // A place is free again once a request is dropped, or answered.
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let third = ask(&socket, json!(3));
    assert_eq!(client.next().await["data"], 3);
    assert_eq!(socket.request::<Value>("question", 4).await, Err(RequestError::Limit));
    client.send_text(json!({"event": "ack", "id": asked[1]["id"]}).to_string()).await;
    assert_eq!(second.await.unwrap(), Ok(Value::Null), "absent data is null");
    third.abort();
    let _ = third.await;
    assert_eq!(free_places(&server, &mut client).await, 2);
}

#[tokio::test]
async fn a_disconnect_fails_what_is_pending_at_once() {
    let server = Server::with(json!({"ackTimeout": "60s"})).await;
    for by_server in [true, false] {
        let mut client = server.client().await;
        let socket = server.socket(&client);
        let asking: Vec<_> = (0..10).map(|n| ask(&socket, json!(n))).collect();
        // A handler that goes on does not hold them back.
        server.io.on::<()>("hang", async |_, ()| std::future::pending::<()>().await);
        client.send("hang", json!(null)).await;
        for _ in 0..10 {
            client.expect("question").await;
        }
        let start = Instant::now();
        if by_server {
            socket.disconnect();
            assert_eq!(client.closed().await.0, 1000);
        } else {
            drop(client);
        }
        for asked in asking {
            assert_eq!(within("its end", asked).await.unwrap(), Err(RequestError::Disconnected));
        }
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert_eq!(Error::from(RequestError::Disconnected).code(), "disconnected");
        server.io.off("hang");
    }
}

#[tokio::test]
async fn a_broadcast_request_brings_one_result_for_each_with_a_timeout_and_a_disconnect_among_them() {
    let server = Server::with(json!({"maxPendingAcks": 3})).await;
    let mut clients = server.clients(5).await;
    let sockets: Vec<_> = clients.iter().map(|client| server.socket(client)).collect();
    for socket in &sockets {
        socket.join("jury").await.unwrap();
    }
    let outsider = server.client().await;
    let room = server.io.to("jury").timeout(Duration::from_millis(300));
    let mut votes = room.request::<bool>("vote", "guilty?");
    assert_eq!(votes.asked(), 5);
    // They come as they come: the last one answers first.
    clients[4].reply("vote", json!(true)).await;
    assert_eq!(within("a vote", votes.next()).await, Some((sockets[4].id(), Ok(true))));
    clients[3].reply("vote", json!("maybe")).await;
    let (id, vote) = within("a vote", votes.next()).await.unwrap();
    assert!(id == sockets[3].id() && matches!(vote, Err(RequestError::Decode(_))), "{vote:?}");
    let asked = clients[2].wait_for(|frame| frame["event"] == "vote").await;
    assert_eq!((&asked["room"], &asked["data"]), (&json!("jury"), &json!("guilty?")));
    let refusal = json!({"event": "error", "id": asked["id"], "data": {"code": "abstain", "message": ""}});
    clients[2].send_text(refusal.to_string()).await;
    let refused = Err(RequestError::Refused(Error::new("abstain", "")));
    assert_eq!(within("a vote", votes.next()).await, Some((sockets[2].id(), refused)));
    clients.remove(1).close().await;
    assert_eq!(within("a vote", votes.next()).await, Some((sockets[1].id(), Err(RequestError::Disconnected))));
    assert_eq!(within("a vote", votes.next()).await, Some((sockets[0].id(), Err(RequestError::Timeout))));
    assert_eq!(within("the end", votes.next()).await, None);
    assert_eq!(votes.next().await, None, "it stays at its end");
    assert_eq!(free_places(&server, &mut clients[0]).await, 3, "nothing is pending");
    drop(outsider);
}

#[tokio::test]
async fn a_broadcast_request_to_nobody_ends_at_once() {
    let server = Server::new().await;
    let answers: Vec<_> = within("the end", server.io.to("nobody").request::<Value>("q", 1).collect()).await;
    assert_eq!(answers, []);
}

#[tokio::test]
async fn a_broadcast_request_that_is_dropped_gives_its_places_back() {
    let server = Server::with(json!({"maxPendingAcks": 2})).await;
    let mut client = server.client().await;
    for _ in 0..10 {
        let answers = server.io.request::<Value>("q", 1);
        assert_eq!(answers.asked(), 1);
        drop(answers);
    }
    assert_eq!(free_places(&server, &mut client).await, 2);
    // At the limit, the result says so.
    let pending = [server.io.request::<Value>("q", 1), server.io.request::<Value>("q", 2)];
    let answers: Vec<_> = server.io.request::<Value>("q", 3).collect().await;
    assert_eq!(answers, [(server.socket(&client).id(), Err(RequestError::Limit))]);
    drop(pending);
    let answers: Vec<_> = server.io.request::<Value>("error", 3).collect().await;
    assert!(matches!(answers[0].1, Err(RequestError::Name(_))), "{answers:?}");
}

#[tokio::test]
async fn a_broadcast_request_is_told_as_from_the_room_through_which_it_came() {
    let server = Server::new().await;
    let mut clients = server.clients(2).await;
    server.socket(&clients[0]).join("a").await.unwrap();
    server.socket(&clients[1]).join("b").await.unwrap();
    let answers = server.io.to("a").to("b").request::<Value>("q", 1);
    assert_eq!(clients[0].next().await["room"], "a");
    assert_eq!(clients[1].next().await["room"], "b");
    drop(answers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_settled_whatever_races_with_their_end() {
    let server = Server::with(json!({"ackTimeout": "30s"})).await;
    for round in 0..200u64 {
        let mut client = server.client().await;
        let socket = server.socket(&client);
        let asking: Vec<_> = (0..4).map(|n| ask(&socket, json!(n))).collect();
        let asked = client.next().await;
        client.send_text(json!({"event": "ack", "id": asked["id"], "data": 1}).to_string()).await;
        if mixed(round).is_multiple_of(2) {
            socket.disconnect();
        }
        drop(client);
        let mut settled = 0;
        for one in asking {
            match within("it is settled", one).await.unwrap() {
                Ok(answer) => assert_eq!(answer, json!(1)),
                Err(error) => assert_eq!(error, RequestError::Disconnected),
            }
            settled += 1;
        }
        assert_eq!(settled, 4, "round {round}");
    }
    until("nobody is left", || server.io.stats().sockets == 0).await;
}
