//! NATS that is not there yet, and NATS that goes and comes back.

use std::collections::HashSet;
use std::time::Duration;

use eventwire::nats_source::{NatsSource, NatsState};
use serde_json::json;
use tokio::time::sleep;

use crate::server::*;
use crate::support::*;

#[tokio::test]
async fn nats_that_is_not_there_yet_is_waited_for() {
    let port = free_port();
    let server = Server::new().await;
    let source = NatsSource::builder().connect(format!("nats://127.0.0.1:{port}")).subject("a").public();
    let source = server.io.install(source.build().unwrap());
    // Sockets come and subscribe meanwhile.
    let mut client = server.client_in("a").await;
    assert_eq!(source.state(), NatsState::Connecting);
    let health = server.io.health();
    assert!(!health.ready && health.live && health.reasons[0].name == "nats", "{health:?}");
    let mut states = source.watch();

    let nats = NatsServer::start_at(Make::Debian, port.into(), "").await;
    within("it connects", states.wait_for(|state| *state == NatsState::Connected)).await.unwrap();
    within("it is ready", source.ready()).await.unwrap();
    let publisher = nats.client().await;
    publisher.publish("a", "1".into()).await.unwrap();
    assert_eq!(client.next().await["data"], 1);
    assert_eq!(source.counts().disconnects, 0, "it was never lost");
}

#[tokio::test]
async fn one_that_never_came_is_given_up_when_the_source_closes() {
    let server = Server::new().await;
    let source = NatsSource::builder().connect(format!("nats://127.0.0.1:{}", free_port())).subject("a");
    let source = server.io.install(source.build().unwrap());
    within("closing", source.close()).await;
    assert_eq!(source.state(), NatsState::Closed);
    assert!(source.ready().await.is_err());
    assert!(server.io.health().ready, "it is nobody's any more");
}

/// Under load: what is published meanwhile is lost, and the gap is counted; what comes after is not, and nobody was
/// disconnected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_leaves_a_gap_that_is_counted() {
    for make in BOTH {
        let mut nats = NatsServer::start(make).await;
        let server = Server::new().await;
        let source = ready(&server.io, nats.source("load.*")).await;
        let mut clients = vec![server.client_in("load.a").await, server.client_in("load.a").await];
        let context = nats.stubborn().await;
        let publisher = tokio::spawn(async move {
            let client = context.client();
            for n in 0u64.. {
                let _ = client.publish("load.a", n.to_string().into()).await;
                if n % 10 == 0 {
                    let _ = client.flush().await;
                    sleep(Duration::from_millis(1)).await;
                }
            }
        });
        for _ in 0..100 {
            clients[0].next().await;
        }
        nats.kill().await;
        until("it is seen to be away", || matches!(source.state(), NatsState::Disconnected { .. })).await;
        let (before, health) = (source.counts(), server.io.health());
        assert_eq!(before.disconnects, 1, "{before:?}");
        assert!(!health.ready && health.live && health.reasons[0].message.contains("disconnected"), "{health:?}");
        until("its absence is counted", || source.counts().away_ms >= before.away_ms + 50).await;
        // Who came while NATS was away stays too.
        clients.push(server.client_in("load.a").await);
        nats.restart().await;
        until("it is back", || source.state() == NatsState::Connected).await;
        assert!(server.io.health().ready);
        until("messages come again", || source.counts().messages > before.messages + 1000).await;
        publisher.abort();
        let after = source.counts();
        assert_eq!((after.disconnects, after.dropped), (1, Some(0)), "{after:?}");
        let away = settled(|| source.counts().away_ms).await;
        assert!(away >= 50, "it is not away any more, and was: {away}");

        settled(|| source.counts().messages).await;
        for (index, client) in clients.iter_mut().enumerate() {
            client.send("ping", json!("end")).await;
            let (mut seen, mut last) = (HashSet::new(), -1);
            loop {
                let frame = client.next().await;
                if frame["event"] == "pong" {
                    break;
                }
                let n = frame["data"].as_i64().unwrap();
                assert!(n > last && seen.insert(n), "in order, and once: {n} after {last}");
                last = n;
            }
            assert!(seen.len() > 900, "client {index} got {}", seen.len());
        }
        assert_eq!(server.io.stats().connected, 3, "nobody had to come again");
    }
}

#[tokio::test]
async fn a_source_closes_while_nats_is_away() {
    let mut nats = NatsServer::jetstream(Make::Debian).await;
    let server = Server::new().await;
    let core = ready(&server.io, nats.source("a")).await;
    let context = nats.stubborn().await;
    crate::stream::make(&context, "S", "s.>").await;
    let stream = ready(&server.io, nats.source("s.>").name("stream").jetstream("S", Default::default())).await;
    nats.kill().await;
    until("both see it", || core.counts().disconnects == 1 && stream.counts().disconnects == 1).await;
    within("closing", async { tokio::join!(core.close(), stream.close()) }).await;
    assert_eq!((core.state(), stream.state()), (NatsState::Closed, NatsState::Closed));
}
