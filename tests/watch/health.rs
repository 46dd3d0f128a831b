//! Ready, live, and why not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventwire::{Handshake, Health, Io, Probe};
use serde_json::json;

use crate::kit::*;
use crate::support::*;

/// Ready, live, and the names of the reasons.
fn told(health: &Health) -> (bool, bool, Vec<&'static str>) {
    (health.ready, health.live, health.reasons.iter().map(|reason| reason.name).collect())
}

#[tokio::test]
async fn a_probe_is_asked_each_time_and_says_how_bad_it_is() {
    let io = Io::new();
    assert_eq!(told(&io.health()), (true, true, vec![]));
    let is_up = Arc::new(AtomicBool::new(true));
    let probe = is_up.clone();
    io.health_probe("nats", move || match probe.load(Ordering::Relaxed) {
        true => Probe::Up,
        false => Probe::Down("no server answers".into()),
    });
    assert_eq!(told(&io.health()), (true, true, vec![]));
    is_up.store(false, Ordering::Relaxed);
    let health = io.health();
    assert_eq!(told(&health), (false, true, vec!["nats"]));
    assert_eq!(health.reasons[0].message, "no server answers");
    is_up.store(true, Ordering::Relaxed);
    assert_eq!(told(&io.health()), (true, true, vec![]));

    io.health_probe("disk", || Probe::Degraded("nearly full".into()));
    assert_eq!(told(&io.health()), (true, true, vec!["disk"]));
    io.health_probe("disk", || Probe::Failed("gone".into()));
    assert_eq!(told(&io.health()), (false, false, vec!["disk"]), "set again, the last one holds");
    io.health_probe("disk", || panic!("a secret path"));
    let health = io.health();
    assert_eq!(told(&health), (false, true, vec!["disk"]));
    assert!(!health.reasons[0].message.contains("secret"), "{health:?}");
}

#[tokio::test]
async fn a_probe_may_ask_for_the_health_or_set_another() {
    let io = Io::new();
    let own = io.clone();
    io.health_probe("outer", move || {
        own.health_probe("outer", || Probe::Up);
        Probe::Degraded("it was replaced meanwhile".into())
    });
    assert_eq!(told(&io.health()).2, ["outer"]);
    assert_eq!(told(&io.health()).2, Vec::<&str>::new());
}

/// Without a function where one is required nobody is let in: the balancer is told before the clients are.
#[tokio::test]
async fn without_the_authentication_that_is_required_it_is_not_ready() {
    let server = server("authentication", json!({})).await;
    server.io.require_authentication();
    assert_eq!(told(&server.io.health()), (false, true, vec!["authentication"]));
    let (status, _) =
        Raw::connect(server.address).await.shake(&handshake(server.address, "GET /ws HTTP/1.1", &[])).await;
    assert_eq!(status, 503);
    assert_eq!(server.io.health().errors.server, 1);
    server.io.authenticate(|_: Handshake| async { Ok(Some("ann".to_owned())) });
    assert_eq!(told(&server.io.health()), (true, true, vec![]));
}

#[tokio::test]
async fn at_the_cap_of_connections_it_is_not_ready() {
    let server = server("cap", json!({"maxConnections": 2})).await;
    let first = server.client().await;
    assert!(server.io.health().ready);
    let _second = server.client().await;
    let health = server.io.health();
    assert_eq!((told(&health), health.sockets), ((false, true, vec!["connections"]), 2));
    first.close().await;
    until("there is a place", || server.io.health().ready).await;
}

#[tokio::test]
async fn while_it_shuts_down_it_is_not_ready_but_live() {
    let server = server("shutdown", json!({})).await;
    let _stays = server.raw().await;
    let io = server.io.clone();
    let ended = tokio::spawn(async move { io.shutdown(Duration::from_millis(600)).await });
    until("it has begun", || !server.io.health().ready).await;
    assert_eq!(told(&server.io.health()), (false, true, vec!["shutdown"]));
    within("the shutdown", ended).await.unwrap();
    assert_eq!(told(&server.io.health()), (false, false, vec!["shutdown"]));
}

#[tokio::test]
async fn as_json_it_is_what_a_balancer_reads() {
    let server = server("json", json!({})).await;
    let mut client = server.client().await;
    client.request("nobody", json!(1)).await.unwrap_err();
    server.io.health_probe("nats", || Probe::Degraded("slow".into()));
    let before = server.io.health().uptime;
    let mut health = serde_json::to_value(server.io.health()).unwrap();
    assert!(health["uptimeMs"].as_u64().unwrap() >= before.as_millis() as u64);
    health["uptimeMs"] = json!(0);
    let errors = json!({"total": 1, "client": 1, "network": 0, "slow": 0, "server": 0});
    let reasons = json!([{"name": "nats", "message": "slow"}]);
    let expected =
        json!({"ready": true, "live": true, "reasons": reasons, "uptimeMs": 0, "sockets": 1, "errors": errors});
    assert_eq!(health, expected);
}
