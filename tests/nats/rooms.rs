//! Core subjects: what reaches which room, and how.

use std::time::Duration;

use eventwire::dialects::StreamKit;
use eventwire::nats_source::{NatsSource, NatsSourceError, NatsState};
use eventwire::{AtLeastOnce, Io, NameError, Pace};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::server::*;
use crate::support::*;

impl Client {
    /// Through which rooms the next messages come.
    async fn rooms(&mut self, count: usize) -> Vec<String> {
        let mut rooms = Vec::new();
        for _ in 0..count {
            rooms.push(self.next().await["room"].as_str().unwrap().to_owned());
        }
        rooms
    }

    /// The data of the next message, letter by letter as it came.
    async fn verbatim(&mut self) -> String {
        loop {
            let message = within("a frame", self.ws.next()).await.unwrap().unwrap();
            if let Message::Text(text) = message {
                let (_, data) = text.split_once(r#","data":"#).unwrap();
                return data.strip_suffix('}').unwrap().to_owned();
            }
        }
    }
}

#[tokio::test]
async fn subjects_reach_the_rooms_of_their_names_in_order() {
    for make in BOTH {
        let nats = NatsServer::start(make).await;
        let server = Server::new().await;
        let source = ready(&server.io, nats.source("metrics.>").subject("news")).await;
        assert_eq!(source.state(), NatsState::Connected);
        let mut cpu = server.client_in("metrics.cpu").await;
        let mut disk = server.client_in("metrics.disk.0").await;
        let mut news = server.client_in("news").await;

        let publisher = nats.client().await;
        for n in 0..1000 {
            publisher.publish("metrics.cpu", n.to_string().into()).await.unwrap();
            publisher.publish("metrics.disk.0", format!(r#"{{"n": {n}}}"#).into()).await.unwrap();
        }
        publisher.publish("metrics", "0".into()).await.unwrap();
        publisher.publish("news", "\"late\"".into()).await.unwrap();
        publisher.flush().await.unwrap();
        for n in 0..1000 {
            assert_eq!(cpu.next().await, json!({"event": "message", "room": "metrics.cpu", "data": n}));
            assert_eq!(disk.next().await["data"], json!({"n": n}));
        }
        assert_eq!(news.next().await["data"], "late");
        let counts = source.counts();
        assert_eq!((counts.messages, counts.dropped, counts.disconnects), (2001, Some(0), 0), "{counts:?}");
        for client in [&mut cpu, &mut disk, &mut news] {
            client.expect_nothing().await;
        }
    }
}

#[tokio::test]
async fn payloads_are_what_they_were() {
    let nats = NatsServer::start(Make::Debian).await;
    let server = Server::new().await;
    let _source = ready(&server.io, nats.source("a.b").event("reading")).await;
    let mut client = server.client_in("a.b").await;
    let publisher = nats.client().await;

    let json = [
        "9007199254740993",
        "1e400",
        "-0.0",
        "123456789012345678901234567890.10",
        r#"{"a":1,"a":2,"":null}"#,
        "{ \"a\" :\r\n\t[ 1 , 2 ] }",
        r#""\u00e9 \ud83d\ude00 é 😀""#,
        "[[[[1]]]]",
        "null",
    ];
    for text in json {
        publisher.publish("a.b", text.into()).await.unwrap();
        assert_eq!(client.verbatim().await, text);
    }
    let large = format!("[{}1]", "1234567,".repeat(50_000));
    publisher.publish("a.b", large.clone().into()).await.unwrap();
    assert_eq!(client.verbatim().await, large);

    let other: [(&[u8], Value); 5] = [
        (b"", json!({"subject": "a.b", "data": "", "enc": "text"})),
        ("hello \"é\"\n".as_bytes(), json!({"subject": "a.b", "data": "hello \"é\"\n", "enc": "text"})),
        (b"NaN", json!({"subject": "a.b", "data": "NaN", "enc": "text"})),
        (b"{\"cut\":", json!({"subject": "a.b", "data": "{\"cut\":", "enc": "text"})),
        (b"\x00\xff", json!({"subject": "a.b", "data": "AP8=", "enc": "b64"})),
    ];
    for (bytes, data) in other {
        publisher.publish("a.b", bytes.to_vec().into()).await.unwrap();
        assert_eq!(client.next().await, json!({"event": "reading", "room": "a.b", "data": data}));
    }
}

#[tokio::test]
async fn names_that_a_room_cannot_have_are_percent_encoded() {
    let nats = NatsServer::start(Make::Newest).await;
    let server = Server::new().await;
    let source = ready(&server.io, nats.source("t.>")).await;
    let publisher = nats.client().await;
    for (subject, room) in
        [("t.café", "t.caf%C3%A9"), ("t.50%", "t.50%25"), ("t.%2F/$x", "t.%252F%2F%24x"), ("t.a*b", "t.a%2Ab")]
    {
        let mut client = server.client_in(room).await;
        publisher.publish(subject, "1".into()).await.unwrap();
        assert_eq!(client.next().await["room"], room);
        publisher.publish(subject, "text".into()).await.unwrap();
        assert_eq!(client.next().await["data"]["subject"], subject, "as it is called there");
    }
    // No second name for a room: these are none.
    let mut client = server.client().await;
    for name in ["t.%61", "t.%2f", "t.%", "t.é"] {
        assert_eq!(client.request("subscribe", json!(name)).await.unwrap_err()["code"], "forbidden", "{name}");
    }
    assert_eq!(source.counts().messages, 8);
}

/// The servers of today do not pass on what has an empty token, whoever listens to all; those of tomorrow may.
#[tokio::test]
async fn what_has_no_room_is_refused_and_counted() {
    for make in BOTH {
        let nats = NatsServer::start(make).await;
        let server = Server::new().await;
        let source = ready(&server.io, nats.source(">")).await;
        // By hand: the client's library refuses such subjects itself.
        let mut stream = TcpStream::connect(("127.0.0.1", nats.port)).await.unwrap();
        let long = "x".repeat(257);
        let published = format!(
            "CONNECT {{\"verbose\":false}}\r\nPUB a..b 1\r\n1\r\nPUB .a 1\r\n1\r\nPUB {long} 1\r\n1\r\nPUB {} 1\r\n1\r\nPUB good 1\r\n1\r\nPING\r\n",
            "é".repeat(43)
        );
        stream.write_all(published.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"PONG\r\n") {
            assert!(within("PONG", stream.read_buf(&mut answer)).await.unwrap() > 0);
        }
        until("the last is emitted", || source.counts().messages == 1).await;
        let counts = source.counts();
        assert_eq!(counts.too_long, 2, "{counts:?}");
        assert!([0, 2].contains(&counts.empty_token), "{counts:?}");
        assert_eq!(server.io.rooms_list(), [""; 0]);
    }
}

#[tokio::test]
async fn a_message_that_several_subjects_match_comes_once() {
    let nats = NatsServer::start(Make::Debian).await;
    let server = Server::new().await;
    let source = nats.source("a.*").subjects(["*.b", "a.b", "a.>"]);
    let source = ready(&server.io, source).await;
    let mut client = server.client_in("a.b").await;
    let publisher = nats.client().await;
    for n in 0..100 {
        publisher.publish("a.b", n.to_string().into()).await.unwrap();
    }
    for n in 0..100 {
        assert_eq!(client.next().await["data"], n);
    }
    publisher.publish("x.b", "1".into()).await.unwrap();
    until("that too", || source.counts().messages == 101).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn rooms_are_for_whom_the_rules_let_in() {
    let nats = NatsServer::start(Make::Debian).await;
    let server = Server::new().await;
    let closed = NatsSource::builder().connect(nats.url()).subject("closed.>");
    ready(&server.io, closed).await;
    ready(&server.io, nats.source("open.*.x").subject("open.all.deep.>").subject("one")).await;
    let mut client = server.client().await;
    for (room, is_open) in [
        ("closed.a", false),
        ("open.a.x", true),
        ("open.a.y", false),
        ("open.a", false),
        ("open.all.deep.a", true),
        ("open.all.x", true),
        ("open.all.y", false),
        ("one", true),
        ("one.more", false),
    ] {
        let answer = client.request("subscribe", json!(room)).await;
        assert_eq!(answer.is_ok(), is_open, "{room}: {answer:?}");
    }
}

#[tokio::test]
async fn patterns_of_clients_match_as_subjects_do() {
    let nats = NatsServer::start(Make::Debian).await;
    let server = Server::new().await;
    let _source = ready(&server.io, nats.source("m.>").subject("x.*.é")).await;
    let mut client = server.client().await;
    for (pattern, is_allowed) in
        [("m.*.load", true), ("m.cpu.>", true), ("x.*.%C3%A9", true), ("x.>", false), (">", false)]
    {
        let answer = client.request("subscribe", json!({"pattern": pattern})).await;
        assert_eq!(answer.is_ok(), is_allowed, "{pattern}: {answer:?}");
    }
    let publisher = nats.client().await;
    for subject in ["m.cpu.load", "m.disk.load", "m.disk.free", "m.cpu", "x.y.é", "m.cpu.a.b"] {
        publisher.publish(subject, "1".into()).await.unwrap();
    }
    // The first is matched by two: one copy. Subjects of one subscription keep their order, others have none.
    let (of_x, of_m) = client.rooms(4).await.into_iter().partition::<Vec<_>, _>(|room| room.starts_with('x'));
    assert_eq!(
        (of_m, of_x),
        (vec!["m.cpu.load".into(), "m.disk.load".into(), "m.cpu.a.b".into()], vec!["x.y.%C3%A9".into()])
    );
    client.expect_nothing().await;
}

#[tokio::test]
async fn everyone_gets_everything_without_asking() {
    let nats = NatsServer::start(Make::Debian).await;
    let server = Server::new().await;
    let source = NatsSource::builder().connect(nats.url()).subjects(["m.>", "m.é", "news"]).everyone();
    let _source = ready(&server.io, source).await;
    let mut clients = server.clients(3).await;
    until("they have joined", || server.io.room_len("news") == 3).await;
    let publisher = nats.client().await;
    for subject in ["news", "m.a.b", "m.é", "other"] {
        publisher.publish(subject, "1".into()).await.unwrap();
    }
    for client in &mut clients {
        let mut rooms = client.rooms(3).await;
        rooms.sort();
        assert_eq!(rooms, ["m.%C3%A9", "m.a.b", "news"]);
        client.expect_nothing().await;
    }
}

/// Its clients never subscribe.
#[tokio::test]
async fn clients_of_stream_kit_get_everything_that_is_public() {
    let nats = NatsServer::start(Make::Debian).await;
    let server = Server::of(Io::builder().dialect(StreamKit::default()).build().unwrap()).await;
    let _source = ready(&server.io, nats.source("metrics.>")).await;
    let closed = NatsSource::builder().connect(nats.url()).subject("closed.>").name("closed");
    let closed = ready(&server.io, closed).await;
    let request = format!("ws://{}/streamkit", server.address);
    let (mut ws, _) = within("the handshake", tokio_tungstenite::connect_async(request)).await.unwrap();
    until("it has joined", || server.io.sockets().iter().any(|socket| socket.patterns() == ["metrics.>"])).await;
    let publisher = nats.client().await;
    publisher.publish("closed.a", "0".into()).await.unwrap();
    publisher.flush().await.unwrap();
    until("that too", || closed.counts().messages == 1).await;
    publisher.publish("metrics.cpu", "9007199254740993".into()).await.unwrap();
    loop {
        let message = within("a frame", ws.next()).await.unwrap().unwrap();
        let Message::Text(text) = message else { continue };
        if text.contains(r#""type":"data""#) {
            assert!(text.contains("9007199254740993"), "{text}");
            break;
        }
    }
}

#[tokio::test]
async fn members_acknowledge_where_they_are_asked_to() {
    let nats = NatsServer::start(Make::Debian).await;
    let server = Server::new().await;
    let again = AtLeastOnce::default().ack_timeout(Duration::from_millis(50));
    let _source = ready(&server.io, nats.source("orders").at_least_once(again)).await;
    let mut client = server.client_in("orders").await;
    let publisher = nats.client().await;
    publisher.publish("orders", "7".into()).await.unwrap();
    let first = client.next().await;
    let second = client.next().await;
    assert_eq!((&first["data"], &second["data"], &second["again"]), (&json!(7), &json!(7), &json!(1)), "{second}");
}

#[tokio::test]
async fn a_client_of_ones_own_stays_ones_own() {
    let nats = NatsServer::start(Make::Debian).await;
    let server = Server::new().await;
    let own = nats.client().await;
    let mut beside = own.subscribe("beside").await.unwrap();
    let source = NatsSource::builder().client(own.clone()).subject("a").public();
    let source = ready(&server.io, source.paced(Pace::slowest(1024 * 1024))).await;
    let mut client = server.client_in("a").await;
    own.publish("a", "1".into()).await.unwrap();
    assert_eq!(client.next().await["data"], 1);
    assert_eq!(source.counts().dropped, None, "others use the connection too");

    within("closing", source.close()).await;
    assert_eq!(source.state(), NatsState::Closed);
    own.publish("beside", "2".into()).await.unwrap();
    assert_eq!(within("what is beside", beside.next()).await.unwrap().payload, "2");
    client.expect_nothing().await;
}

#[test]
fn what_cannot_be_a_source() {
    let source = || NatsSource::builder().connect("nats://127.0.0.1:4222").subject("a");
    assert!(source().build().is_ok());
    assert!(source().connect("127.0.0.1, nats://user:secret@localhost:4222").build().is_ok());
    let error = |source: eventwire::nats_source::NatsSourceBuilder| source.build().unwrap_err();
    assert_eq!(error(NatsSource::builder().subject("a")), NatsSourceError::NoServer);
    assert_eq!(error(NatsSource::builder().connect("localhost")), NatsSourceError::NoSubject);
    for subject in ["", "a..b", "a.>.b", "a b", ".a", &"x".repeat(257), &format!("{}.>", "é".repeat(43))] {
        assert_eq!(error(source().subject(subject)), NatsSourceError::Subject(subject.to_owned()));
    }
    assert_eq!(error(source().event("ack")), NatsSourceError::Event(NameError::Reserved));
    for none in ["", "nats://", "http://localhost", "ws://localhost", "localhost,"] {
        assert!(matches!(error(source().connect(none)), NatsSourceError::Url(..)), "{none:?}");
    }
    let url = error(source().connect("nats://user:secret@:99999")).to_string();
    assert!(url.contains("is no address of NATS") && !url.contains("secret"), "{url}");

    use eventwire::nats_source::async_nats::jetstream::consumer::{AckPolicy, pull::Config};
    let none = Config { ack_policy: AckPolicy::None, ..Config::default() };
    assert_eq!(error(source().jetstream("S", none)), NatsSourceError::Consumer("ack_policy"));
    let filtered = Config { filter_subject: "b".into(), ..Config::default() };
    assert_eq!(error(source().jetstream("S", filtered)), NatsSourceError::Consumer("filter_subject"));
    assert_eq!(eventwire::Error::from(NatsSourceError::NoServer).code(), "invalid_config");
}
