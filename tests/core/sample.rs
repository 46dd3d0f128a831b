//! The samples of DESIGN §1, as they stand there.

use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::*;

/// It compiles as it stands.
#[allow(dead_code)]
#[rustfmt::skip]
mod as_it_stands {
use eventwire::{Io, Socket};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Message { room: String, text: String }

#[derive(Serialize)]
struct Receipt { delivered: usize }

#[tokio::main]
async fn main() -> eventwire::Result<()> {
    let io = Io::new();

    io.on_connect(|socket: Socket| async move {
        socket.join("lobby").await?;
        socket.on::<Message>("chat", |socket, message| async move {
            let delivered = socket.to(&message.room).emit("chat", &message).await?;
            Ok::<_, eventwire::Error>(Receipt { delivered })   // the return value is the ack
        });
        Ok(())
    });

    io.listen("127.0.0.1:3000").await
}
}

#[derive(Serialize, Deserialize)]
struct Message {
    room: String,
    text: String,
}

#[derive(Serialize)]
struct Receipt {
    delivered: usize,
}

#[tokio::test]
async fn the_first_sample_does_what_it_says() {
    let server = Server::new().await;
    server.io.on_connect(|socket: eventwire::Socket| async move {
        socket.join("lobby").await?;
        socket.on::<Message>("chat", |socket, message| async move {
            let delivered = socket.to(&message.room).emit("chat", &message).await?;
            Ok::<_, eventwire::Error>(Receipt { delivered })
        });
        Ok(())
    });
    let mut clients = server.clients(3).await;
    until("all are in the lobby", || server.io.room_len("lobby") == 3).await;
    let message = json!({"room": "lobby", "text": "hello"});
    assert_eq!(clients[0].request("chat", message.clone()).await, Ok(json!({"delivered": 2})));
    for client in &mut clients[1..] {
        assert_eq!(client.next().await, json!({"event": "chat", "room": "lobby", "data": message}));
    }
    clients[0].expect_nothing().await;
    assert_eq!(clients[0].request("chat", json!({"room": "lobby"})).await.unwrap_err()["code"], "invalid_payload");
}

#[derive(Debug, Deserialize, PartialEq)]
struct Vote(bool);

#[derive(Debug, Deserialize)]
struct Answer {
    text: String,
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test]
async fn the_lines_of_the_second_sample_do_what_they_say() {
    let server = Server::new().await;
    let io = &server.io;
    let mut clients = server.clients(3).await;
    let sockets: Vec<_> = clients.iter().map(|client| server.socket(client)).collect();
    for (socket, rooms) in sockets.iter().zip([["a", "jury"], ["b", "jury"], ["b", "process:build-1"]]) {
        for room in rooms {
            socket.join(room).await.unwrap();
        }
    }
    let (line, item, motion, q) = ("a line", json!({"n": 1}), "shall we?", 42);
    let socket = sockets[1].clone();

    let put = io.to("process:build-1").emit("process_output", &line).await;
    assert_eq!(put, Ok(1));
    let frame = json!({"event": "process_output", "room": "process:build-1", "data": "a line"});
    assert_eq!(clients[2].next().await, frame);

    let put = io.to("a").to("b").except(&socket).emit("news", &item).await;
    assert_eq!(put, Ok(2));
    assert_eq!(clients[0].next().await, json!({"event": "news", "room": "a", "data": item}));
    assert_eq!(clients[2].next().await, json!({"event": "news", "room": "b", "data": item}));
    clients[1].expect_nothing().await;

    let asking = tokio::spawn(async move {
        let answer: Answer = socket.request("question", &q).await?;
        Ok::<_, eventwire::RequestError>(answer)
    });
    assert_eq!(clients[1].reply("question", json!({"text": "six by nine"})).await, json!(42));
    assert_eq!(asking.await.unwrap().unwrap().text, "six by nine");

    let votes = io.to("jury").timeout(secs(2)).request::<Vote>("vote", &motion);
    for (client, vote) in clients.iter_mut().zip([true, false]) {
        assert_eq!(client.reply("vote", Value::Bool(vote)).await, json!(motion));
    }
    let mut votes: Vec<_> = within("all votes", votes.collect()).await;
    votes.sort_by_key(|(_, vote)| vote.as_ref().is_ok_and(|vote| !vote.0));
    assert_eq!(votes, [(sockets[0].id(), Ok(Vote(true))), (sockets[1].id(), Ok(Vote(false)))]);
}
