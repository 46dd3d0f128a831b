//! The bridge, as its operators and viewers meet it: a file, a server of NATS, clients, Prometheus, and a browser.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

#[path = "nats/server.rs"]
mod server;
#[path = "support/mod.rs"]
mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use server::{Make, NatsServer, free_port};
use support::*;
use tokio::process::Command;

/// A file that is gone with it.
struct File(PathBuf);

impl File {
    fn new(content: &str) -> File {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("eventwire-bridge-{}-{}.json", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        File(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The sample that comes with it.
fn sample() -> Value {
    let text = std::fs::read_to_string(root().join("examples/nats_bridge/config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The bridge by the sample, with NATS elsewhere.
async fn start(nats: &str, change: impl FnOnce(&mut Value)) -> (Program, SocketAddr) {
    let mut config = sample();
    config["nats"] = json!(nats);
    change(&mut config);
    let file = File::new(&config.to_string());
    let mut bridge = Program::example("nats_bridge", &[file.path(), "--listen", "127.0.0.1:0"]);
    let address = bridge.address().await;
    assert_eq!(bridge.printed(), format!("watch at http://{address}/\n"));
    (bridge, address)
}

/// Waits until health is as it should be. Returns the whole of it.
async fn health(address: SocketAddr, status: u16) -> Value {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let (now, health) = http_json(address, "GET /health").await;
        if now == status {
            return health;
        }
        assert!(tokio::time::Instant::now() < deadline, "{now}, not {status}: {health}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn viewer(address: SocketAddr, room: &str) -> Client {
    let mut client = Client::connect(address, "/ws").await;
    client.request("subscribe", json!(room)).await.unwrap();
    client
}

/// The lines of Prometheus' text that are no comments, after a parser of Prometheus' own has read all of it.
async fn metrics(address: SocketAddr) -> Vec<String> {
    let (status, text) = http(address, "GET /metrics").await;
    assert_eq!(status, 200);
    let mut python = std::process::Command::new(installed("target/clients/venv/bin/python"))
        .arg(root().join("tests/clients/python/exposition.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    let families: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let read: usize = families.iter().map(|family| family["samples"].as_array().unwrap().len()).sum();
    let is_sample = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let samples: Vec<String> = text.lines().filter(is_sample).map(String::from).collect();
    assert_eq!(read, samples.len(), "each line is a sample");
    samples
}

/// Publishes until it comes: subscriptions are on their way when health is good again.
async fn comes(nats: &NatsServer, client: &mut Client, subject: &'static str) {
    let publisher = nats.client().await;
    let again = async {
        loop {
            publisher.publish(subject, r#""again""#.into()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        frame = client.expect("message") => assert_eq!(frame, "again"),
        () = again => unreachable!(),
    }
}

#[tokio::test]
async fn it_streams_is_watched_and_stops() {
    let mut nats = NatsServer::start(Make::Debian).await;
    let (mut bridge, address) = start(&nats.url(), |_| {}).await;
    let ready = health(address, 200).await;
    assert_eq!((&ready["ready"], &ready["live"], &ready["reasons"]), (&json!(true), &json!(true), &json!([])));

    // It streams.
    let (mut ann, mut ben) = (viewer(address, "stream.a").await, viewer(address, "metrics.cpu").await);
    let publisher = nats.client().await;
    publisher.publish("stream.a", r#"{"n": 9007199254740993}"#.into()).await.unwrap();
    publisher.publish("metrics.cpu", "0.5".into()).await.unwrap();
    publisher.publish("elsewhere", "1".into()).await.unwrap();
    publisher.flush().await.unwrap();
    let frame = ann.wait_for(|frame| frame["event"] == "message").await;
    assert_eq!((&frame["room"], frame["data"]["n"].as_u64()), (&json!("stream.a"), Some(9_007_199_254_740_993)));
    assert_eq!(ben.expect("message").await, 0.5);
    let refused = ann.request("subscribe", json!("elsewhere")).await.unwrap_err();
    assert_eq!(refused["code"], "forbidden", "what is not streamed is nobody's");

    // StreamKit's clients get everything in words of their own.
    let mut old = Raw::connect(address).await;
    assert_eq!(old.shake(&handshake(address, "GET /streamkit HTTP/1.1", &[])).await.0, 101);
    let (mut old_ones, streamed) = (old, publisher.clone());
    streamed.publish("stream.b", "7".into()).await.unwrap();
    let data = loop {
        let frame = old_ones.frame().await.expect("it is told").json();
        if frame["type"] == "data" && frame["payload"] == 7 {
            break frame;
        }
    };
    assert_eq!(data["room"], "stream.b");
    drop(old_ones);

    // It is watched.
    let samples = metrics(address).await;
    for sample in [
        "websocket_clients_total 3",
        "eventwire_nats_connected{source=\"nats\"} 1",
        "eventwire_nats_messages_total{source=\"nats\"} 3",
    ] {
        assert!(samples.iter().any(|line| line == sample), "{sample}: {samples:#?}");
    }
    let mut operator = viewer(address, "bridge:status").await;
    let is_told = |frame: &Value| frame["event"] == "status" && frame["data"]["rooms"].as_array().unwrap().len() == 2;
    let status = operator.wait_for(is_told).await["data"].clone();
    let names: Vec<&str> =
        status["rooms"].as_array().unwrap().iter().map(|room| room["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"stream.a") && names.contains(&"metrics.cpu"), "{status}");
    assert_eq!(status["sources"][0]["subjects"], json!(["stream.>", "metrics.>"]));
    assert_eq!((&status["sources"][0]["state"], &status["health"]["ready"]), (&json!("connected"), &json!(true)));

    // NATS goes and comes back: whoever is here stays.
    nats.kill().await;
    let away = health(address, 503).await;
    assert_eq!((&away["live"], &away["reasons"][0]["name"]), (&json!(true), &json!("nats")), "{away}");
    assert!(metrics(address).await.iter().any(|line| line == "eventwire_nats_connected{source=\"nats\"} 0"));
    nats.restart().await;
    health(address, 200).await;
    comes(&nats, &mut ann, "stream.a").await;

    // It stops.
    bridge.terminate();
    for client in [&mut ann, &mut ben, &mut operator] {
        let (code, before) = client.closed().await;
        assert_eq!(code, 1001);
        let closing = before.iter().rfind(|frame| frame["event"] == "closing").unwrap();
        assert_eq!((&closing["data"]["code"], &closing["data"]["reconnect"]), (&json!("shutdown"), &json!(true)));
    }
    let (status, printed) = bridge.ended_within(Duration::from_secs(6)).await;
    assert!(status.success() && printed.ends_with("ended; 0 cut short\n"), "{status}: {printed}");
    std::net::TcpListener::bind(address).expect("the port is free");
}

#[tokio::test]
async fn without_nats_it_starts_and_says_so() {
    let port = free_port();
    let (mut bridge, address) = start(&format!("nats://127.0.0.1:{port}"), |_| {}).await;
    let away = health(address, 503).await;
    assert_eq!(away["reasons"], json!([{"name": "nats", "message": "`nats` has not been connected yet"}]));
    let mut ann = viewer(address, "stream.a").await;
    // And comes up when NATS does.
    let nats = NatsServer::start_at(Make::Debian, port.into(), "").await;
    health(address, 200).await;
    comes(&nats, &mut ann, "stream.a").await;
    bridge.terminate();
    assert!(bridge.ended().await.0.success());
}

#[tokio::test]
async fn what_nobody_requires_leaves_it_ready() {
    let nowhere = format!("nats://127.0.0.1:{}", free_port());
    let (_bridge, address) = start(&nowhere, |config| {
        config["ports"]["inputs"].as_array_mut().unwrap().iter_mut().for_each(|input| input["required"] = json!(false));
    })
    .await;
    let health = health(address, 200).await;
    assert_eq!(
        (&health["ready"], &health["reasons"][0]["name"]),
        (&json!(true), &json!("nats")),
        "and says what there is"
    );
}

#[tokio::test]
async fn it_ends_within_its_grace_though_nats_is_away() {
    let (mut bridge, address) = start(&format!("nats://127.0.0.1:{}", free_port()), |_| {}).await;
    let mut ann = viewer(address, "stream.a").await;
    bridge.terminate();
    assert_eq!(ann.closed().await.0, 1001);
    let (status, printed) = bridge.ended_within(Duration::from_secs(6)).await;
    assert!(status.success(), "{printed}");
}

#[tokio::test]
async fn what_it_is_told_wrong_it_names() {
    let bad = File::new(r#"{"port": 80, "ports": {"inputs": [{"subject": "a"}, {"subject": "b..c"}]}}"#);
    let no_json = File::new("{");
    let taken = File::new(r#"{"path": "/metrics"}"#);
    for (arguments, expected) in [
        (
            vec![bad.path()],
            "`port`: must be a whole number from 1024 to 65535, not 80; `ports.inputs[1].subject`: must be a subject",
        ),
        (vec![no_json.path()], "the configuration is no JSON"),
        (vec![taken.path()], "this program has something else at `/metrics`"),
        (vec![], "there is no configuration; usage: nats_bridge"),
        (vec!["/nowhere/at/all.json"], "/nowhere/at/all.json: "),
        (vec![bad.path(), bad.path()], "is one file too many"),
        (vec!["--listen"], "`--listen` needs an address"),
        (vec!["--lissten"], "there is no `--lissten`"),
    ] {
        let (status, printed) = Program::example("nats_bridge", &arguments).ended().await;
        assert!(
            !status.success() && printed.starts_with("nats_bridge: ") && printed.contains(expected),
            "{arguments:?}: {printed}"
        );
    }
}

#[tokio::test]
async fn its_sample_is_valid_by_the_schema_that_it_prints() {
    let (status, printed) = Program::example("nats_bridge", &["--schema"]).ended().await;
    assert!(status.success());
    let schema: Value = serde_json::from_str(&printed).unwrap();
    let errors: Vec<String> =
        jsonschema::validator_for(&schema).unwrap().iter_errors(&sample()).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    let setup = eventwire::Setup::from_json(&sample().to_string()).unwrap();
    assert_eq!((setup.listen.port, setup.source.servers[0].as_str()), (8081, "nats://127.0.0.1:4222"));
}

#[tokio::test]
async fn its_page_needs_nothing_but_itself() {
    let (_bridge, address) =
        start(&format!("nats://127.0.0.1:{}", free_port()), |config| config["path"] = json!("/a<b\"c")).await;
    let (status, page) = http(address, "GET /").await;
    assert_eq!(status, 200);
    assert!(page.contains("new WebSocket(") && page.contains(r#"new Wire("/a\u003cb\"c")"#), "{page}");
    assert!(!page.contains("src=\"") && !page.contains("import ") && !page.contains("https://"), "{page}");
    assert_eq!(http(address, "GET /nothing").await.0, 404);
}

/// Some that watch, one that does not read, and somebody who publishes, until it is dropped.
async fn traffic(nats: &NatsServer, address: SocketAddr) -> tokio::task::JoinSet<()> {
    let mut busy = tokio::task::JoinSet::new();
    let rooms = ["stream.orders", "stream.payments", "metrics.cpu", "metrics.memory", "stream.größe"];
    for (n, room) in rooms.iter().enumerate() {
        let room = eventwire::nats_source::room_of(room).unwrap().into_owned();
        for _ in 0..=(rooms.len() - n) / 2 {
            let mut client = viewer(address, &room).await;
            busy.spawn(async move {
                loop {
                    client.next().await;
                }
            });
        }
    }
    // Whose kernel is full soon.
    let mut stalled = Client::over(narrow_stream(address).await, address, "/ws").await;
    stalled.request("subscribe", json!("stream.orders")).await.unwrap();
    let publisher = nats.client().await;
    busy.spawn(async move {
        let _stalled = stalled;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        for n in 0u64.. {
            tick.tick().await;
            let payload = json!({"n": n, "text": "x".repeat(2000 + (n % 50 * 40) as usize)}).to_string();
            for (every, room) in rooms.iter().enumerate() {
                if n.is_multiple_of(1 + every as u64 * 2) {
                    publisher.publish(room.to_owned(), payload.clone().into()).await.unwrap();
                }
            }
        }
    });
    busy
}

#[tokio::test]
async fn in_a_browser() {
    browser_is_installed();
    let mut nats = NatsServer::start(Make::Debian).await;
    let (_bridge, address) = start(&nats.url(), |config| config["subjects"] = json!("orders.*")).await;
    health(address, 200).await;
    let script = root().join("tests/clients/browser/bridge.mjs");
    let browse = async |steps: &str| {
        // A folder for pictures, where somebody wants to look at them.
        let pictures = std::env::var("EVENTWIRE_PICTURES").ok();
        let mut command = Command::new("node");
        command.arg(&script).arg(format!("http://{address}/")).arg(steps).args(pictures);
        let mut browser = Program::start(&mut command);
        let (status, printed) = browser.ended_within(Duration::from_secs(120)).await;
        assert!(status.success() && printed.contains(" passed, 0 failed"), "{steps}: {printed}");
    };
    browse("quiet").await;
    let busy = traffic(&nats, address).await;
    browse("busy").await;
    drop(busy);
    nats.kill().await;
    health(address, 503).await;
    browse("away").await;
}
