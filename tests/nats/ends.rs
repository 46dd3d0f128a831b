//! How a source ends.

use std::time::Duration;

use eventwire::nats_source::NatsState;
use eventwire::nats_source::async_nats::jetstream::consumer::pull;
use eventwire::{Config, History, Pace};
use serde_json::json;

use crate::server::*;
use crate::stream::{consumer, make};
use crate::support::*;

#[tokio::test]
async fn closed_it_emits_what_has_come_and_nothing_after() {
    let nats = NatsServer::start(Make::Newest).await;
    let server = Server::new().await;
    server.io.rooms("a").history(History::messages(100_000));
    let source = ready(&server.io, nats.source("a")).await;
    let publisher = nats.client().await;
    for n in 0..10_000 {
        publisher.publish("a", n.to_string().into()).await.unwrap();
    }
    publisher.flush().await.unwrap();
    until("it has begun", || source.counts().messages > 0).await;
    within("closing", source.close()).await;
    let counts = source.counts();
    // From the first on, without a hole: it ends where NATS was told to send no more.
    assert_eq!((server.io.room("a").last_seq(), counts.dropped), (counts.messages, Some(0)));
    let last = server.io.room("a").read(counts.messages..).pop().unwrap();
    assert_eq!(last.data.get(), (counts.messages - 1).to_string());

    publisher.publish("a", "1".into()).await.unwrap();
    publisher.flush().await.unwrap();
    within("closing again", source.close()).await;
    assert_eq!(settled(|| source.counts()).await, counts);
    assert_eq!(source.state(), NatsState::Closed);
    assert!(source.ready().await.is_ok(), "it was");
}

#[tokio::test]
async fn shutdown_ends_it_before_the_last_socket_is_gone() {
    let nats = NatsServer::start(Make::Debian).await;
    let server = Server::new().await;
    let source = ready(&server.io, nats.source("a")).await;
    let mut client = server.client_in("a").await;
    let publisher = nats.client().await;
    publisher.publish("a", "1".into()).await.unwrap();
    assert_eq!(client.next().await["data"], 1);
    let shutdown = tokio::spawn({
        let io = server.io.clone();
        async move { io.shutdown(Duration::from_secs(5)).await }
    });
    let (code, _) = client.closed().await;
    assert_eq!(code, 1001);
    drop(client);
    assert_eq!(within("the shutdown", shutdown).await.unwrap(), 0);
    until("it has ended", || source.state() == NatsState::Closed).await;
    assert_eq!(source.counts().messages, 1);
}

/// Held up in the middle by a member that does not read, it hands back what it has not emitted, at once and not only after the
/// `ack_wait`.
#[tokio::test]
async fn closed_it_hands_back_what_it_has_not_emitted() {
    let nats = NatsServer::jetstream(Make::Newest).await;
    let context = nats.stubborn().await;
    make(&context, "S", "s.>").await;
    let server = Server::narrow(json!({"outbox": {"bytes": "1MiB"}})).await;
    let durable = || pull::Config { durable_name: Some("web".into()), ..Default::default() };
    let pace = Pace::slowest(16 * 1024).at_most(Duration::from_secs(2));
    let source = nats.source("s.>").jetstream("S", durable()).paced(pace);
    let source = ready(&server.io, source).await;
    let mut stalled = Client::narrow(&server).await;
    stalled.request("subscribe", json!("s.a")).await.unwrap();
    let text = format!("\"{}\"", "x".repeat(8 * 1024));
    for _ in 0..200 {
        context.publish("s.a", text.clone().into()).await.unwrap().await.unwrap();
    }
    let emitted = settled(|| source.counts().messages).await;
    assert!((1..200).contains(&emitted), "{emitted}");
    within("closing", source.close()).await;
    let emitted = source.counts().messages;
    let (_, left) = consumer(&context, "web").await;
    assert!(emitted < 200 && left + emitted <= 200, "{emitted} emitted, {left} not even brought");

    // `ack_wait` is 30 s, the deadline of the tests less.
    let other = Server::of(eventwire::Io::builder().config(Config::default()).build().unwrap()).await;
    let next = ready(&other.io, nats.source("s.>").jetstream("S", durable())).await;
    until("another gets the rest", || next.counts().messages == 200 - emitted).await;
    until("and NATS knows", || next.counts().pending == 0 && next.counts().ack_pending == 0).await;
    assert_eq!(next.counts().messages, 200 - emitted);
}
