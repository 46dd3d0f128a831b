//! What a scraper gets, as Prometheus' own parser for Python reads it.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use eventwire::{Probe, Socket};
use serde_json::{Value, json};

use crate::kit::*;
use crate::support::*;

/// The families by name, as the parser reads them.
fn parsed(text: &str) -> BTreeMap<String, Value> {
    let mut python = Command::new(installed("target/clients/venv/bin/python"));
    let script = root().join("tests/clients/python/exposition.py");
    let mut python = python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "it cannot be read: {text}");
    let families: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    families.into_iter().map(|family| (family["name"].as_str().unwrap().to_owned(), family)).collect()
}

#[tokio::test]
async fn prometheus_reads_it() {
    let recorder = Recorder::new();
    let server = server("exposition \"quoted\"\n", json!({})).await;
    server.io.on::<u32>("an \"event\"\\ of\nits own", |_: Socket, n| async move { n });
    server.io.health_probe("nats", || Probe::Up);
    let mut client = server.client().await;
    client.request("an \"event\"\\ of\nits own", json!(1)).await.unwrap();
    client.request("nobody", json!(1)).await.unwrap_err();
    server.io.publish_metrics();
    let text = recorder.handle.render();
    let families = parsed(&text);
    // StreamKit's, by the very names.
    let (counter, gauge) = ("counter", "gauge");
    let named = [
        ("websocket_clients_total", counter, 1.0),
        ("websocket_clients_active", gauge, 1.0),
        ("websocket_messages_sent_total", counter, 3.0),
        ("websocket_errors_total", counter, 1.0),
    ];
    for (name, kind, value) in named {
        // The parser takes the end of a counter's name for what it is.
        let family = &families[name.trim_end_matches("_total")];
        assert_eq!(family["kind"], kind, "{family}");
        let sample = &family["samples"][0];
        assert_eq!((sample["name"].as_str(), sample["value"].as_f64()), (Some(name), Some(value)), "{family}");
    }
    for (name, family) in &families {
        assert!(!family["help"].as_str().unwrap().is_empty(), "{name} is not described");
        assert_ne!(family["kind"], "unknown", "{name}");
        for sample in family["samples"].as_array().unwrap() {
            assert_eq!(sample["labels"]["io"], "exposition \"quoted\"\n", "{sample}");
        }
    }
    let events = families["eventwire_events"]["samples"].as_array().unwrap();
    let event = |name: &str| events.iter().find(|sample| sample["labels"]["event"] == name).unwrap();
    assert_eq!(event("an \"event\"\\ of\nits own")["value"], 1.0);
    // What the documentation lists is what there is, and the other way round.
    let source = std::fs::read_to_string(root().join("src/metrics.rs")).unwrap();
    let rows = source.lines().filter_map(|line| line.trim().strip_prefix("/// | `"));
    let listed: Vec<&str> = rows.flat_map(|row| row.split(" | ").next().unwrap().split('`').step_by(2)).collect();
    let mut listed: Vec<&str> = listed.into_iter().filter(|name| !name.is_empty()).collect();
    let mut told: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    listed.sort();
    told.sort();
    assert_eq!(listed, told);
}
