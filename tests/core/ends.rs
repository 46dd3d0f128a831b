//! What is left of a socket, and what its tasks may cost, at the edges: streams that keep what they are
//! given, answers that come later, handlers that hold sockets.

use std::time::Duration;

use eventwire::{Ack, Io, Socket};
use serde_json::json;
use tokio::io::BufStream;
use tokio_tungstenite::tungstenite::Message;

use crate::kit::*;
use crate::support::*;

/// A stream may keep what it was given until it is flushed, as TLS does.
#[tokio::test]
async fn what_is_written_is_flushed() {
    use futures::{SinkExt, StreamExt};
    let io = Io::new();
    io.on::<u32>("double", async |_, n| n * 2);
    let (near, far) = tokio::io::duplex(4096);
    let accepting = tokio::spawn(async move { io.accept(BufStream::new(far)).await.unwrap() });
    let (mut ws, _) = within("the handshake", tokio_tungstenite::client_async("ws://here/", near)).await.unwrap();
    let first = within("connected", ws.next()).await.unwrap().unwrap();
    assert!(first.to_text().unwrap().contains("connected"));
    ws.send(Message::text(r#"{"event":"double","data":21,"id":1}"#)).await.unwrap();
    let answer = within("the answer", ws.next()).await.unwrap().unwrap();
    assert_eq!(answer.to_text().unwrap(), r#"{"event":"ack","id":1,"data":42}"#);
    let socket = within("accepted", accepting).await.unwrap();
    socket.disconnect();
    let closing = within("closing", ws.next()).await.unwrap().unwrap();
    assert!(closing.to_text().unwrap().contains("closing"));
    assert!(matches!(within("the close frame", ws.next()).await, Some(Ok(Message::Close(_)))));
}

/// Whoever accepts a stream has the socket before the connection has run for the first time.
#[tokio::test]
async fn connected_comes_first_whatever_is_emitted_at_once() {
    use futures::StreamExt;
    let io = Io::new();
    let (near, far) = tokio::io::duplex(4096);
    let accepting = tokio::spawn(async move {
        let socket = io.accept(far).await.unwrap();
        socket.emit("hi", 1).await.unwrap();
    });
    let (mut ws, _) = within("the handshake", tokio_tungstenite::client_async("ws://here/", near)).await.unwrap();
    for event in ["connected", "hi"] {
        let frame = within(event, ws.next()).await.unwrap().unwrap();
        assert!(frame.to_text().unwrap().starts_with(&format!(r#"{{"event":"{event}""#)), "{frame}");
    }
    accepting.await.unwrap();
}

/// Each answer that comes later is a task: as many as the inbox holds, then the lane waits, and with it
/// whoever sends.
#[tokio::test]
async fn no_more_than_the_inbox_holds_is_answered_later() {
    let server = Server::with(json!({"inbox": {"messages": 4}})).await;
    let log = Log::default();
    let (begun, gate) = (log.clone(), std::sync::Arc::new(tokio::sync::Semaphore::new(0)));
    let door = gate.clone();
    server.io.on::<u32>("later", move |_: Socket, n| {
        begun.add(n);
        let door = door.clone();
        async move {
            Ack::later(async move {
                let _place = door.acquire().await;
                n
            })
        }
    });
    let mut client = server.client().await;
    let mut asked = Vec::new();
    for n in 0..20 {
        asked.push(client.ask("later", json!(n)).await);
    }
    until("four are on their way, and one holds the lane", || log.len() == 5).await;
    settle().await;
    assert_eq!(log.len(), 5, "the rest waits in the inbox, and where it came from");
    gate.add_permits(1);
    for (n, id) in asked.into_iter().enumerate() {
        assert_eq!(client.answer(id).await, Ok(json!(n)));
    }
}

/// What 'no limit' would be written as.
#[tokio::test]
async fn any_number_may_be_said_to_run_at_a_time() {
    let server = Server::new().await;
    let _ = server.io.on::<u32>("e", async |_, n| n).concurrent(usize::MAX);
    let mut client = server.client().await;
    assert_eq!(client.request("e", json!(1)).await, Ok(json!(1)));
    assert_eq!(client.request("e", json!(2)).await, Ok(json!(2)));
}

/// Two sockets whose handlers hold each other would keep each other for ever.
#[tokio::test]
async fn a_socket_that_is_gone_keeps_nothing() {
    let server = Server::new().await;
    let log = Log::default();
    let (a, b) = (server.client().await, server.client().await);
    let (one, two) = (server.socket(&a), server.socket(&b));
    for (socket, other) in [(&one, &two), (&two, &one)] {
        let (held, other) = (Dropped(log.clone(), "a listener"), other.clone());
        socket.on::<u32>("e", move |_, n| {
            let _ = (&held, &other);
            async move { n }
        });
    }
    drop((one, two));
    a.close().await;
    b.close().await;
    until("both listeners are gone", || log.len() == 2).await;
}

/// Handlers of the `Io` that was asked to end without a limit: a year is long enough.
#[tokio::test]
async fn a_shutdown_may_be_given_for_ever() {
    let server = Server::new().await;
    let mut client = server.client().await;
    let io = server.io.clone();
    let down = tokio::spawn(async move { io.shutdown(Duration::MAX).await });
    assert_eq!(client.closed().await.0, 1001);
    drop(client);
    assert_eq!(within("it is down", down).await.unwrap(), 0);
}

#[tokio::test]
async fn what_was_emitted_before_a_clients_close_was_read_arrives() {
    let server = Server::new().await;
    let io = server.io.clone();
    server.io.on::<()>("tell", move |socket: Socket, ()| {
        let io = io.clone();
        async move { io.except(&socket).emit("told", 1).await }
    });
    let mut first = Raw::upgraded(server.address).await;
    let second = Raw::upgraded(server.address).await;
    settle().await;
    // Both are there when the server looks next: it reads the one, whose handler emits to the other, and then the other's close.
    let tell = text_frame(r#"{"event":"tell"}"#);
    let close = frame(0x88, &1000u16.to_be_bytes());
    assert_eq!(second.stream.try_write(&tell).unwrap(), tell.len());
    assert_eq!(first.stream.try_write(&close).unwrap(), close.len());
    let (code, before) = within("the close", first.closed()).await;
    let events: Vec<_> = before.iter().map(|frame| frame.json()["event"].clone()).collect();
    assert_eq!((code, events), (1000, vec![json!("told")]));
}
