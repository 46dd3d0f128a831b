//! The conformance server, streaming from NATS.

use serde_json::json;

use crate::server::*;
use crate::support::*;

#[tokio::test]
async fn it_streams_its_sources() {
    let nats = NatsServer::start(Make::Debian).await;
    let arguments = ["--listen", "127.0.0.1:0", "--nats", &nats.url(), "--source", "metrics.>,news"];
    let mut program = Program::example("conformance", &arguments);
    let address = program.address().await;
    let mut client = Client::connect(address, "/ws").await;
    client.request("subscribe", json!({"pattern": "metrics.>"})).await.unwrap();
    client.request("subscribe", json!("news")).await.unwrap();
    assert_eq!(client.request("subscribe", json!("other")).await.unwrap_err()["code"], "forbidden");
    let publisher = nats.client().await;
    for subject in ["metrics.cpu", "metrics.a.b"] {
        publisher.publish(subject, "1".into()).await.unwrap();
        assert_eq!(client.next().await, json!({"event": "message", "room": subject, "data": 1}));
    }
    publisher.publish("news", "text".into()).await.unwrap();
    assert_eq!(client.next().await["data"], json!({"subject": "news", "data": "text", "enc": "text"}));
    program.terminate();
    assert_eq!(client.closed().await.0, 1001);
    assert!(program.ended().await.0.success());
}

#[tokio::test]
async fn it_starts_where_nats_is_not_there_yet_and_says_what_is_wrong() {
    let url = format!("nats://127.0.0.1:{}", free_port());
    let mut program = Program::example("conformance", &["--listen", "127.0.0.1:0", "--nats", &url, "--source", "a"]);
    let address = program.address().await;
    Client::connect(address, "/ws").await.request("subscribe", json!("a")).await.unwrap();
    program.terminate();
    let (status, printed) = program.ended().await;
    assert!(status.success() && printed.contains("NATS is not there yet"), "{printed}");
    for (arguments, error) in [
        (&["--nats", &url][..], "go together"),
        (&["--nats", &url, "--source", "a..b"], "`a..b` is no subject"),
        (&["--nats", "nats://", "--source", "a"], "is no address of NATS"),
    ] {
        let (status, printed) = Program::example("conformance", arguments).ended().await;
        assert!(!status.success() && printed.contains(error), "{printed}");
    }
}
