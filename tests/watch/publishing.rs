//! Who publishes, for how long, and how several are told apart.

use std::time::{Duration, Instant};

use eventwire::{Io, Probe};
use serde_json::json;
use tokio::runtime::Handle;

use crate::kit::*;
use crate::support::*;

#[tokio::test]
async fn it_publishes_by_itself_and_once_more_when_it_is_over() {
    let recorder = Recorder::new();
    let server = server("by_itself", json!({})).await;
    let _client = server.client().await;
    let told = || Told::parse(&recorder.handle.render()).0;
    assert!(told().is_empty());
    until("it is told", || told().get("websocket_clients_active") == Some(&1.0)).await;
    server.io.shutdown(Duration::from_millis(300)).await;
    until("the end is told", || told().get("websocket_clients_active") == Some(&0.0)).await;
    assert_eq!(told()["eventwire_closes_total{reason=\"shutdown\"}"], 1.0);
    assert_eq!((told()["eventwire_ready"], told()["eventwire_live"]), (0.0, 0.0));
    until("and nobody publishes any more", || Handle::current().metrics().num_alive_tasks() == 0).await;
}

/// Who watches holds no `Io`: when the last handle is gone, so is it.
#[tokio::test]
async fn who_watches_ends_with_the_io() {
    let io = Io::new();
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let (client, served) = tokio::io::duplex(4096);
    let accepting = io.clone();
    let accepted = tokio::spawn(async move { accepting.accept(served).await.map(|socket| socket.id()) });
    let (ws, _) = within("the handshake", tokio_tungstenite::client_async("ws://here/ws", client)).await.unwrap();
    within("accepted", accepted).await.unwrap().unwrap();
    until("it watches", || tasks() == 2).await;
    drop(ws);
    until("the connection is gone", || tasks() == 1).await;
    let start = Instant::now();
    drop(io);
    until("it has ended", || tasks() == 0).await;
    assert!(start.elapsed() < Duration::from_millis(900), "it does not wait for its next look");
}

#[tokio::test]
async fn several_without_a_name_do_not_overwrite_each_other() {
    let recorder = Recorder::new();
    let first = Server::new().await;
    let second = Server::new().await;
    let _one = first.client().await;
    let _two = second.clients(2).await;
    first.io.publish_metrics();
    second.io.publish_metrics();
    let text = recorder.handle.render();
    let mut active: Vec<&str> = text.lines().filter(|line| line.starts_with("websocket_clients_active")).collect();
    active.sort();
    assert_eq!(active, ["websocket_clients_active 1", "websocket_clients_active{io=\"2\"} 2"]);
}

#[tokio::test]
async fn probes_are_told() {
    let recorder = Recorder::new();
    let io = builder("probes", json!({})).build().unwrap();
    io.health_probe("nats", || Probe::Down("away".into()));
    io.health_probe("disk", || Probe::Degraded("slow".into()));
    let told = recorder.read(&io);
    let probes = ["nats", "disk"].map(|probe| told.get(&format!("eventwire_probe_up{{probe=\"{probe}\"}}")));
    assert_eq!((probes, told.get("eventwire_ready"), told.get("eventwire_live")), ([0, 1], 0, 1));
}
