//! Rates are what went through, by the time that it took.

use serde_json::json;

use crate::kit::*;
use crate::support::*;

#[tokio::test]
async fn rates_are_those_of_what_clients_counted() {
    let server = server("flow", json!({})).await;
    let mut client = Counting::new(&server).await;
    for _ in 0..500 {
        client.send(r#"{"event":"ping","id":1}"#).await;
        client.next().await;
    }
    for _ in 0..25 {
        client.send(r#"{"event":"nobody","id":1}"#).await;
        client.next().await;
    }
    client.settle().await;
    // Asked for the first time.
    let flow = server.io.flow();
    let seconds = flow.window.as_secs_f64();
    let counted = &client.counted;
    let amounts = [flow.messages_in, flow.bytes_in, flow.messages_out, flow.bytes_out, flow.errors];
    let expected = [counted.sent, counted.sent_bytes, counted.got, counted.got_bytes, 25];
    for (rate, amount) in amounts.into_iter().zip(expected) {
        assert!((rate * seconds - amount as f64).abs() < 0.01, "{rate} in {seconds} s: {amount}");
    }
    let rate = 25.0 / (counted.sent + counted.got) as f64;
    assert!((flow.error_rate - rate).abs() < 1e-9, "{} {rate}", flow.error_rate);

    // A connection that goes takes nothing with it, and nothing is counted twice.
    client.raw.write(&frame(0x88, &1000u16.to_be_bytes())).await;
    client.raw.closed().await;
    until("it is gone", || server.io.stats().sockets == 0).await;
    let flow = server.io.flow();
    let sent = flow.messages_in * flow.window.as_secs_f64();
    assert!((sent - client.counted.sent as f64).abs() < 0.01, "{sent}");
}
