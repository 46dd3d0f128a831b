//! Clients of other make against the conformance server, and that server as its users start it.
#![cfg(all(feature = "process", feature = "server"))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::*;
use tokio::process::Command;

async fn start(arguments: &[&str]) -> (Program, SocketAddr) {
    let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
    let mut server = Program::example("conformance", &arguments);
    let address = server.address().await;
    assert_eq!(server.printed(), format!("listening on ws://{address}/ws\n"), "the line that other programs wait for");
    (server, address)
}

// ---- the scenario, by each of them

/// Runs the scenario, and prints what it says where it fails.
async fn scenario(program: &str, script: &str, more: &[&str]) {
    let (_server, address) = start(&[]).await;
    let mut command = Command::new(program);
    command.arg(root().join("tests/clients").join(script)).arg(format!("ws://{address}/ws")).args(more);
    let mut client = Program::start(&mut command);
    let (status, printed) = client.ended_within(Duration::from_secs(120)).await;
    assert!(status.success(), "{status}\n{printed}");
    // One that runs no step has shown nothing.
    let passed = printed.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(passed > 10 && printed.trim_end().ends_with(&format!("{passed} passed, 0 failed")), "{printed}");
}

fn python() -> String {
    installed("target/clients/venv/bin/python").to_str().unwrap().to_owned()
}

#[tokio::test]
async fn python_websockets() {
    scenario(&python(), "python/scenario.py", &[]).await;
}

#[tokio::test]
async fn python_aiohttp() {
    scenario(&python(), "python/scenario.py", &["aiohttp"]).await;
}

#[tokio::test]
async fn node_ws() {
    installed("tests/clients/node/node_modules/ws");
    scenario("node", "node/scenario.mjs", &[]).await;
}

#[tokio::test]
async fn chromium() {
    browser_is_installed();
    scenario("node", "browser/drive.mjs", &[]).await;
}

// ---- the server itself

#[tokio::test]
async fn sigterm_ends_it_within_its_grace() {
    let (mut server, address) = start(&[]).await;
    let mut reads = Client::connect(address, "/ws").await;
    // Nobody waits for those who never read, nor for a handler that goes on.
    let frozen = Client::connect(address, "/ws").await;
    let mut busy = Client::connect(address, "/ws").await;
    busy.ask("sleep", json!({"ms": 60_000})).await;
    let asked = reads.ask("echo_ack", json!("before")).await;
    assert_eq!(reads.answer(asked).await, Ok(json!("before")));

    let begun = Instant::now();
    server.terminate();
    let (code, before) = reads.closed().await;
    assert_eq!(code, 1001);
    let closing = before.last().unwrap();
    assert_eq!((&closing["event"], &closing["data"]["code"]), (&json!("closing"), &json!("shutdown")));
    assert_eq!(closing["data"]["reconnect"], true);
    assert!(closing["data"]["after"].as_u64().unwrap() <= 30_000, "{closing}");
    let (status, printed) = server.ended().await;
    let took = begun.elapsed();
    // The grace is 2 s; the rest is for a program's end on a machine that is busy.
    assert!(took < Duration::from_millis(3000), "{took:?}");
    assert_eq!(status.code(), Some(0), "{printed}");
    drop(frozen);
}

#[tokio::test]
async fn sigterm_ends_it_at_once_where_nobody_is() {
    let (mut server, _) = start(&[]).await;
    let begun = Instant::now();
    server.terminate();
    assert_eq!(server.ended().await.0.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_millis(1900), "it does not wait for the grace: {:?}", begun.elapsed());
}

/// A file of a test's own, gone with it.
struct ConfigFile(PathBuf);

impl ConfigFile {
    fn new(name: &str, text: &str) -> ConfigFile {
        let file = ConfigFile(std::env::temp_dir().join(format!("eventwire-{}-{name}", std::process::id())));
        std::fs::write(&file.0, text).unwrap();
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn its_config_is_json_or_toml() {
    let files = [
        ConfigFile::new("good.json", r#"{"pingInterval": "7s", "max_message": "2KiB", "outbox": {"messages": 9}}"#),
        ConfigFile::new("good.toml", "pingInterval = \"7s\"\nmax_message = \"2KiB\"\n[outbox]\nmessages = 9\n"),
    ];
    for file in &files {
        let (_server, address) = start(&["--config", file.path()]).await;
        let mut client = Client::connect(address, "/ws").await;
        let told = (&client.connected["pingInterval"], &client.connected["maxMessage"]);
        assert_eq!(told, (&json!(7000), &json!(2048)), "{}", file.path());
        client.send("echo", json!("x".repeat(3000))).await;
        assert_eq!(client.closed().await.0, 1009, "{}", file.path());
    }
}

#[tokio::test]
async fn what_is_wrong_with_its_config_is_named() {
    let cases = [
        ("unknown.json", r#"{"pingIntervall": "7s"}"#, "pingIntervall"),
        ("unknown.toml", "pingIntervall = \"7s\"", "pingIntervall"),
        ("bad.json", r#"{"pingInterval": "soon"}"#, "pingInterval"),
        ("bad.toml", "ping_interval = \"soon\"", "pingInterval"),
        ("nested.json", r#"{"outbox": {"message": 3}}"#, "message"),
        ("impossible.json", r#"{"maxDepth": 0}"#, "maxDepth"),
        ("no.json", "no json", "no.json"),
    ];
    for (name, text, named) in cases {
        let file = ConfigFile::new(name, text);
        let arguments = ["--listen", "127.0.0.1:0", "--config", file.path()];
        let (status, printed) = Program::example("conformance", &arguments).ended().await;
        assert!(!status.success(), "{name}: {printed}");
        assert!(printed.contains(named) && !printed.contains("listening"), "{name}: {printed}");
    }
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    for (arguments, named) in [
        (&["--listen"][..], "`--listen` needs a value"),
        (&["--listen", "nowhere"], "`--listen`"),
        (&["--port", "1"], "unknown argument `--port`"),
        (&["--config", "/no/such/file"], "`/no/such/file`"),
    ] {
        let (status, printed) = Program::example("conformance", arguments).ended().await;
        assert!(!status.success() && printed.contains(named), "{arguments:?}: {printed}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let (_server, address) = start(&[]).await;
    let (status, printed) = Program::example("conformance", &["--listen", &address.to_string()]).ended().await;
    assert!(!status.success() && !printed.contains("listening"), "{printed}");
}

#[tokio::test]
async fn stats_are_told() {
    let (_server, address) = start(&[]).await;
    let mut ann = Client::connect(address, "/ws").await;
    let _ben = Client::connect(address, "/ws").await;
    ann.request("join", json!({"room": "hall"})).await.unwrap();
    let stats = ann.request("stats", Value::Null).await.unwrap();
    assert_eq!((&stats["sockets"], &stats["rooms"], &stats["members"]), (&json!(2), &json!(1), &json!(1)), "{stats}");
}

// ---- its processes

#[tokio::test]
async fn its_processes_are_for_everyone() {
    let (mut server, address) = start(&[]).await;
    let mut ann = Client::connect(address, "/ws").await;
    ann.request("subscribe", json!("process:p")).await.unwrap();
    ann.request("process_start", json!({"processId": "p", "profile": "seq", "params": {"n": 3}})).await.unwrap();
    let output = ann.wait_for(|frame| frame["event"] == "process_output").await;
    assert_eq!(output["data"]["data"], "1\n2\n3\n");
    ann.wait_for(|frame| frame["data"]["status"] == "exited").await;

    ann.request("process_start", json!({"processId": "p", "profile": "cat"})).await.unwrap();
    ann.request("process_input", json!({"processId": "p", "data": "echoed"})).await.unwrap();
    assert_eq!(ann.expect("process_output").await["data"], "echoed");
    for profile in ["missing", "directory", "forbidden"] {
        let refused = ann.request("process_start", json!({"processId": "q", "profile": profile})).await.unwrap_err();
        assert_eq!(refused["code"], "not_started", "{profile}");
    }
    let shell = json!({"processId": "q", "profile": "sh", "params": {"script": "exit 3"}});
    assert_eq!(ann.request("process_start", shell.clone()).await.unwrap_err()["code"], "not_found");
    // What runs ends with it.
    server.terminate();
    let (status, printed) = server.ended_within(Duration::from_secs(5)).await;
    assert!(status.success(), "{status}: {printed}");

    let (_server, address) = start(&["--allow-shell"]).await;
    let mut ann = Client::connect(address, "/ws").await;
    ann.request("subscribe", json!("process:q")).await.unwrap();
    ann.request("process_start", shell).await.unwrap();
    let ended = ann.wait_for(|frame| frame["data"]["status"] == "exited").await;
    assert_eq!(ended["data"]["exitCode"], 3);
}
