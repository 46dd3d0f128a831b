//! Much at once: none is lost, or it is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use eventwire::nats_source::NatsSource;
use eventwire::{Config, History, Io};
use futures::StreamExt;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::Message;

use crate::server::*;
use crate::support::*;

/// On one thread, a flood comes as fast as it can be read, and the reader has its turn after.
#[tokio::test]
async fn what_nobody_took_in_time_is_counted_to_the_last() {
    let nats = NatsServer::start(Make::Debian).await;
    let server = Server::new().await;
    let source = NatsSource::builder().connect(nats.url()).subject("flood.*").queue(16);
    let source = ready(&server.io, source).await;
    let publisher = nats.client().await;
    let mut published = 0;
    for flood in 1..=3 {
        let dropped = source.counts().dropped;
        for _ in 0..20_000 {
            publisher.publish("flood.a", "1".into()).await.unwrap();
            published += 1;
        }
        publisher.flush().await.unwrap();
        until("all are emitted or counted", || {
            let counts = source.counts();
            counts.messages + counts.dropped.unwrap() == published
        })
        .await;
        // And not one too many, later.
        let counts = settled(|| source.counts()).await;
        assert_eq!(counts.messages + counts.dropped.unwrap(), published, "flood {flood}: {counts:?}");
        assert!(counts.dropped > dropped, "flood {flood} was none: {counts:?}");
    }
}

/// So many messages a second, for so long, to so many clients. Each gets each, in order.
async fn flood(rate: u64, time: Duration, clients: usize) {
    let nats = NatsServer::start(Make::Newest).await;
    let server = Server::of(Io::builder().config(Config::default()).build().unwrap()).await;
    server.io.rooms("metrics.*").history(History::bytes(64 * 1024 * 1024).live_only());
    let source = ready(&server.io, nats.source("metrics.>")).await;
    let total = rate * time.as_secs();
    let mut reading = Vec::new();
    for _ in 0..clients {
        let mut client = server.client_in("metrics.cpu").await;
        reading.push(tokio::spawn(async move {
            let mut next = 0;
            while next < total {
                let message = within("a frame", client.ws.next()).await.unwrap().unwrap();
                let Message::Text(text) = message else { continue };
                let (_, rest) = text.split_once(r#""n":"#).unwrap_or_else(|| panic!("after {next}: {text}"));
                let n: u64 = rest[..rest.find(',').unwrap()].parse().unwrap();
                assert_eq!(n, next, "none is lost");
                next += 1;
            }
        }));
    }
    let publisher = nats.client().await;
    let begun = Instant::now();
    let mut turn = interval(Duration::from_millis(5));
    turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut n = 0;
    while n < total {
        turn.tick().await;
        for _ in 0..rate / 200 {
            let payload = format!(r#"{{"n":{n},"cpu":"cpu-07","load":0.731,"at":1774000000000}}"#);
            publisher.publish("metrics.cpu", payload.into()).await.unwrap();
            n += 1;
        }
    }
    let published = begun.elapsed();
    for client in reading {
        client.await.unwrap();
    }
    let took = begun.elapsed();
    println!(
        "{total} messages to {clients} clients: published within {published:?}, the last arrived after {took:?}: {:.0} messages/s",
        total as f64 / took.as_secs_f64()
    );
    let counts = source.counts();
    assert_eq!((counts.messages, counts.dropped), (total, Some(0)), "{counts:?}");
    assert_eq!((server.io.stats().dropped, server.io.stats().gaps), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_a_second_reach_every_client() {
    flood(5_000, Duration::from_secs(2), 20).await;
}

/// `cargo test --release --features nats --test nats twenty_thousand -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "for a release build on a quiet machine: 10 s of both cores"]
async fn twenty_thousand_a_second_reach_a_hundred_clients() {
    flood(20_000, Duration::from_secs(10), 100).await;
}

/// Clients come, subscribe and go while messages pass: none that stays misses one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_come_and_go_harm_nobody() {
    let nats = NatsServer::start(Make::Debian).await;
    let server = Server::new().await;
    let source = ready(&server.io, nats.source("m.*")).await;
    let mut stays = server.client_in("m.a").await;
    let done = Arc::new(AtomicBool::new(false));
    let coming = tokio::spawn({
        let (address, done) = (server.address, done.clone());
        async move {
            while !done.load(Ordering::Relaxed) {
                let mut client = Client::connect(address, "/ws").await;
                client.request("subscribe", json!({"pattern": "m.*"})).await.unwrap();
                client.expect("message").await;
                drop(client);
            }
        }
    });
    let publisher = nats.client().await;
    let publishing = tokio::spawn(async move {
        for n in 0..2000 {
            publisher.publish("m.a", n.to_string().into()).await.unwrap();
            if n % 20 == 0 {
                publisher.flush().await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        publisher
    });
    for n in 0..2000 {
        assert_eq!(stays.next().await["data"], n);
    }
    done.store(true, Ordering::Relaxed);
    let publisher = publishing.await.unwrap();
    let last = async {
        while !coming.is_finished() {
            publisher.publish("m.a", "0".into()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("the last to come has gone", last).await;
    coming.await.unwrap();
    assert_eq!(source.counts().dropped, Some(0));
}
