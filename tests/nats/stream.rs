//! Streams of JetStream: what is acknowledged, and what comes again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use eventwire::nats_source::async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use eventwire::nats_source::async_nats::jetstream::{Context, stream};
use eventwire::nats_source::async_nats::{ConnectOptions, jetstream};
use eventwire::nats_source::{NatsSource, NatsState};
use eventwire::{Adapter, AdapterError, History, Io, NodeMessage};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::sleep;

use crate::server::*;
use crate::support::*;

/// A stream of these subjects, kept in files.
pub async fn make(context: &Context, name: &str, subjects: &str) -> stream::Stream {
    let config = stream::Config { name: name.into(), subjects: vec![subjects.into()], ..Default::default() };
    within("the stream is made", context.create_stream(config)).await.unwrap()
}

pub async fn publish(context: &Context, subject: &str, n: u64) -> bool {
    match context.publish(subject.to_owned(), n.to_string().into()).await {
        Ok(stored) => stored.await.is_ok(),
        Err(_) => false,
    }
}

fn durable() -> pull::Config {
    pull::Config { durable_name: Some("web".into()), ack_wait: Duration::from_secs(1), ..Default::default() }
}

/// What NATS says of the consumer of that name: what waits for an acknowledgement, and what is still to come.
pub async fn consumer(context: &Context, name: &str) -> (usize, u64) {
    let stream = context.get_stream("S").await.unwrap();
    let info = stream.consumer_info(name).await.unwrap();
    (info.num_ack_pending, info.num_pending)
}

#[tokio::test]
async fn a_stream_reaches_its_rooms_from_its_start_and_is_acknowledged() {
    for maker in BOTH {
        let nats = NatsServer::jetstream(maker).await;
        let context = nats.stubborn().await;
        make(&context, "S", "s.>").await;
        for n in 0..1000 {
            assert!(publish(&context, "s.a", n).await);
        }
        let server = Server::new().await;
        // Late joiners get all of it.
        server.io.rooms("s.*").history(History::messages(10_000));
        let source = ready(&server.io, nats.source("s.>").jetstream("S", durable())).await;
        let mut client = server.client_in("s.a").await;
        for n in 0..1000 {
            let frame = client.next().await;
            assert_eq!((&frame["data"], &frame["seq"]), (&n.into(), &(n + 1).into()));
        }
        until("NATS has the acknowledgements", || source.counts().ack_pending == 0 && source.counts().pending == 0)
            .await;
        source.close().await;
        assert_eq!(consumer(&context, "web").await, (0, 0));
        // It goes on where it was.
        assert!(publish(&context, "s.a", 1000).await);
        ready(&server.io, nats.source("s.>").jetstream("S", durable())).await;
        assert_eq!(client.next().await["data"], 1000);
        client.expect_nothing().await;
    }
}

/// Another node that cannot be reached.
struct Unreachable(Arc<AtomicBool>);

#[async_trait]
impl Adapter for Unreachable {
    async fn publish(&self, _message: NodeMessage) -> Result<(), AdapterError> {
        if self.0.load(Ordering::SeqCst) { Err(AdapterError("away".into())) } else { Ok(()) }
    }

    async fn interest(&self, _room: &str, _present: bool) -> Result<(), AdapterError> {
        Ok(())
    }

    fn incoming(&self) -> BoxStream<'static, NodeMessage> {
        futures::stream::pending().boxed()
    }

    async fn close(&self) {}
}

#[tokio::test]
async fn what_was_not_emitted_is_not_acknowledged_and_comes_again() {
    let nats = NatsServer::jetstream(Make::Newest).await;
    let context = nats.stubborn().await;
    make(&context, "S", "s.>").await;
    let is_away = Arc::new(AtomicBool::new(true));
    let io = Io::builder().adapter(Unreachable(is_away.clone())).build().unwrap();
    let server = Server::of(io).await;
    let source = ready(&server.io, nats.source("s.>").jetstream("S", durable())).await;
    for n in 0..10 {
        assert!(publish(&context, "s.a", n).await);
    }
    until("they failed", || source.counts().failed >= 10).await;
    assert_eq!(consumer(&context, "web").await.0, 10, "none is acknowledged");
    assert_eq!(source.counts().messages, 0);
    is_away.store(false, Ordering::SeqCst);
    until("they come again", || source.counts().messages == 10).await;
    until("NATS has the acknowledgements", || source.counts().ack_pending == 0).await;
    assert_eq!(consumer(&context, "web").await, (0, 0));
}

#[tokio::test]
async fn what_comes_again_after_a_lost_acknowledgement_is_emitted_once() {
    // Acknowledgements do not arrive here.
    let lost = r#"jetstream: {}
        authorization { users: [
            { user: all, password: all }
            { user: mute, password: mute, permissions: { publish: { deny: ["$JS.ACK.>"] } } }
        ] }"#;
    for maker in BOTH {
        let nats = NatsServer::start_with(maker, lost).await;
        let all = ConnectOptions::new().user_and_password("all".into(), "all".into());
        let context = jetstream::new(all.connect(nats.url()).await.unwrap());
        make(&context, "S", "s.>").await;
        let server = Server::new().await;
        let source = NatsSource::builder()
            .connect(format!("nats://mute:%6Dute@127.0.0.1:{}", nats.port))
            .subject("s.>")
            .public()
            .jetstream("S", durable());
        let source = ready(&server.io, source).await;
        let mut client = server.client_in("s.a").await;
        for n in 0..20 {
            assert!(publish(&context, "s.a", n).await);
        }
        until("they come again", || source.counts().redelivered >= 40).await;
        assert_eq!(source.counts().messages, 20);
        for n in 0..20 {
            assert_eq!(client.next().await["data"], n);
        }
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn several_subjects_of_a_stream_and_no_others() {
    let nats = NatsServer::jetstream(Make::Newest).await;
    let context = nats.stubborn().await;
    make(&context, "S", "s.>").await;
    let server = Server::new().await;
    let source = nats.source("s.a").subject("s.b.*").jetstream("S", pull::Config::default());
    let source = ready(&server.io, source).await;
    for (n, subject) in ["s.a", "s.c", "s.b.x", "s.b", "s.a"].into_iter().enumerate() {
        assert!(publish(&context, subject, n as u64).await);
    }
    until("three of five", || source.counts().messages == 3).await;
    until("and no more", || source.counts().pending == 0 && source.counts().ack_pending == 0).await;
    assert_eq!(source.counts().messages, 3);
}

#[tokio::test]
async fn what_has_no_room_does_not_come_again() {
    let nats = NatsServer::jetstream(Make::Debian).await;
    let context = nats.stubborn().await;
    make(&context, "S", "s.>").await;
    let server = Server::new().await;
    let source = ready(&server.io, nats.source("s.>").jetstream("S", durable())).await;
    assert!(publish(&context, &format!("s.{}", "x".repeat(256)), 0).await);
    assert!(publish(&context, "s.a", 1).await);
    until("NATS has both", || source.counts().messages == 1 && source.counts().too_long == 1).await;
    source.close().await;
    assert_eq!(consumer(&context, "web").await, (0, 0));
}

/// Deleted under its feet, and the stream made anew, whose numbers begin again.
#[tokio::test]
async fn a_consumer_that_is_gone_is_made_anew_where_it_was() {
    for maker in BOTH {
        let nats = NatsServer::jetstream(maker).await;
        let context = nats.stubborn().await;
        let stream = make(&context, "S", "s.>").await;
        let server = Server::new().await;
        // `New`, made anew as it is told, would miss what was published meanwhile.
        let new = pull::Config { deliver_policy: DeliverPolicy::New, ..durable() };
        let source = ready(&server.io, nats.source("s.>").jetstream("S", new)).await;
        let mut client = server.client_in("s.a").await;
        for n in 0..50 {
            assert!(publish(&context, "s.a", n).await);
        }
        until("they are emitted", || source.counts().messages == 50).await;
        stream.delete_consumer("web").await.unwrap();
        for n in 50..100 {
            assert!(publish(&context, "s.a", n).await);
        }
        for n in 0..100 {
            assert_eq!(client.next().await["data"], n);
        }
        until("it is made anew", || source.counts().messages == 100).await;

        context.delete_stream("S").await.unwrap();
        make(&context, "S", "s.>").await;
        within("it is there again", async {
            while context.get_stream("S").await.unwrap().consumer_info("web").await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        for n in 100..150 {
            assert!(publish(&context, "s.a", n).await);
        }
        for n in 100..150 {
            assert_eq!(client.next().await["data"], n, "numbers that were used before are not taken for known");
        }
        client.expect_nothing().await;
    }
}

/// What is in the stream, by number.
async fn content(context: &Context) -> Vec<u64> {
    let stream = context.get_stream("S").await.unwrap();
    let config = pull::Config { ack_policy: AckPolicy::None, ..Default::default() };
    let reader: PullConsumer = stream.create_consumer(config).await.unwrap();
    let left = reader.cached_info().num_pending;
    let messages = reader.stream().messages().await.unwrap().take(left as usize);
    within("the stream", messages.map(|message| number(&message.unwrap().payload)).collect()).await
}

fn number(payload: &[u8]) -> u64 {
    std::str::from_utf8(payload).unwrap().parse().unwrap()
}

/// SIGKILL under load, several times: every message that is in the stream is emitted, once, in order.
async fn killed(maker: Make, config: pull::Config, times: usize) {
    let mut nats = NatsServer::jetstream(maker).await;
    let context = nats.stubborn().await;
    make(&context, "S", "s.>").await;
    let server = Server::new().await;
    server.io.rooms("s.*").history(History::bytes(64 * 1024 * 1024));
    let source = ready(&server.io, nats.source("s.>").jetstream("S", config)).await;
    let mut client = server.client_in("s.a").await;
    let reading = tokio::spawn(async move {
        let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
        loop {
            let frame = client.next().await;
            if frame["data"] == "end" {
                return seen;
            }
            *seen.entry(frame["data"].as_u64().unwrap()).or_default() += 1;
        }
    });
    let done = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn({
        let (mut context, done) = (context.clone(), done.clone());
        // What is not confirmed by then is not waited for.
        context.set_timeout(Duration::from_secs(1));
        async move {
            let mut n = 0;
            while !done.load(Ordering::Relaxed) {
                // Many at a time; what is not confirmed may be in the stream or not.
                let mut stored = Vec::new();
                for _ in 0..50 {
                    stored.extend(context.publish("s.a", n.to_string().into()).await.ok());
                    n += 1;
                }
                futures::future::join_all(stored.into_iter().map(IntoFuture::into_future)).await;
            }
            n
        }
    });
    for time in 1..=times {
        let before = source.counts().messages;
        until("messages come", || source.counts().messages > before + 500).await;
        nats.kill().await;
        until("it is seen to be away", || matches!(source.state(), NatsState::Disconnected { .. })).await;
        nats.restart().await;
        until("it is back", || source.state() == NatsState::Connected).await;
        assert_eq!(source.counts().disconnects, time as u64);
    }
    let before = source.counts().messages;
    until("messages come after the last time", || source.counts().messages > before + 500).await;
    done.store(true, Ordering::Relaxed);
    let published = within("publishing", publishing).await.unwrap();
    let stored = content(&context).await;
    let last = *stored.last().unwrap();
    until("all is emitted and acknowledged", || {
        let counts = source.counts();
        counts.pending == 0 && counts.ack_pending == 0 && counts.messages >= stored.len() as u64
    })
    .await;
    server.io.to("s.a").emit("message", "end").await.unwrap();
    let seen = within("the viewer", reading).await.unwrap();
    let lost: Vec<&u64> = stored.iter().filter(|n| !seen.contains_key(n)).collect();
    let doubled: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    println!(
        "{maker:?}: {published} published, {} in the stream, {} seen, {:?}",
        stored.len(),
        seen.len(),
        source.counts()
    );
    assert!(lost.is_empty() && doubled.is_empty(), "lost {lost:?}, doubled {doubled:?}, the last is {last}");
    assert_eq!(server.io.stats().connected, 1, "the viewer had not to come again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_debian_server_killed_under_load_loses_and_doubles_nothing() {
    killed(Make::Debian, durable(), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_server_killed_under_load_loses_and_doubles_nothing() {
    killed(Make::Newest, durable(), 2).await;
}

/// A consumer that the server forgets when it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ephemeral_consumer_goes_on_where_it_was() {
    let ephemeral = pull::Config { memory_storage: true, ack_wait: Duration::from_secs(1), ..Default::default() };
    killed(Make::Newest, ephemeral, 2).await;
}
