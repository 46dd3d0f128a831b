//! `#[event(validate)]`: what a payload may be is said beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use eventwire::{Error, Event, Events, Socket, State, gateway};
use garde::Validate;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::*;

#[derive(Deserialize, Event, Validate)]
#[event("order", ack = u32, validate)]
struct Order {
    #[garde(length(min = 1, max = 5))]
    name: String,
    #[garde(dive, length(min = 1))]
    lines: Vec<Line>,
}

#[derive(Deserialize, Validate)]
struct Line {
    #[garde(range(min = 1, max = 9))]
    count: u32,
}

/// A check by hand.
#[derive(Deserialize)]
struct Even(u32);

impl Event for Even {
    const NAME: &'static str = "even";
    type Ack = u32;

    fn check(&self) -> Result<(), Error> {
        if self.0.is_multiple_of(2) { Ok(()) } else { Err(Error::new("odd", "it is odd")) }
    }
}

#[derive(Events)]
enum Some {
    Order(Order),
    #[event("line", validate)]
    Line(Line),
    /// Checked under another name, too.
    #[event("other-order")]
    Other(Order),
    Even(Even),
}

#[derive(Default)]
struct Called(AtomicUsize);

struct Shop;

#[gateway]
impl Shop {
    #[on]
    async fn order(&self, order: Order, called: State<Called>) -> u32 {
        called.0.0.fetch_add(1, Ordering::SeqCst);
        order.lines.iter().map(|line| line.count).sum()
    }

    #[on("order-by-name")]
    async fn named(&self, order: Order, called: State<Called>) -> u32 {
        self.order(order, called).await
    }

    #[on("orders")]
    async fn orders(&self, orders: Vec<Order>) -> usize {
        orders.len()
    }

    #[on("boxed")]
    async fn boxed(&self, order: Box<Order>) -> usize {
        order.lines.len()
    }

    #[on("perhaps")]
    async fn perhaps(&self, order: Option<Order>) -> bool {
        order.is_some()
    }

    #[on("even-by-name")]
    async fn even(&self, Even(n): Even) -> u32 {
        n
    }

    /// It has no check, and needs none.
    #[on("line")]
    async fn line(&self, line: Line) -> u32 {
        line.count
    }
}

fn good() -> Value {
    json!({"name": "ann", "lines": [{"count": 2}, {"count": 3}]})
}

fn bad() -> Value {
    json!({"name": "", "lines": [{"count": 1}, {"count": 10}, {"count": 0}]})
}

fn assert_all_told(refused: &Value) {
    assert_eq!(refused["code"], "invalid_payload");
    assert_eq!(refused["details"]["path"], "lines[1].count");
    let errors = refused["details"]["errors"].as_array().unwrap();
    let paths: Vec<_> = errors.iter().map(|error| error["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["lines[1].count", "lines[2].count", "name"]);
    assert!(errors.iter().all(|error| !error["message"].as_str().unwrap().is_empty()), "{errors:?}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.starts_with("at `lines[1].count`: ") && message.ends_with("; and 2 more"), "{refused}");
}

#[tokio::test]
async fn refused_data_is_answered_with_all_that_fails() {
    let server = Server::new().await;
    let called = Arc::new(AtomicUsize::new(0));
    let count = called.clone();
    server.io.on_event(move |_: Socket, _: Order| {
        count.fetch_add(1, Ordering::SeqCst);
        async { 0 }
    });
    let mut client = server.client().await;
    assert_all_told(&client.request("order", bad()).await.unwrap_err());
    assert_eq!(called.load(Ordering::SeqCst), 0, "the handler is not called");
    assert_eq!(client.request("order", good()).await, Ok(json!(0)));
    // What is no order at all is told as ever.
    let refused = client.request("order", json!({"name": "ann", "lines": [{"count": -1}]})).await.unwrap_err();
    assert_eq!(refused["details"], json!({"path": "lines[0].count"}));
    // Without an id, a refusal names the event.
    client.send("order", bad()).await;
    let refused = client.expect("error").await;
    assert_all_told(&refused);
    assert_eq!(refused["event"], "order");
}

/// A short payload must not have a long answer.
#[test]
fn of_very_many_some_are_told() {
    let lines = (0..10_000).map(|_| Line { count: 0 }).collect();
    let error = Order { name: "ann".into(), lines }.check().unwrap_err();
    let details = error.details().unwrap();
    assert_eq!((details["errors"].as_array().unwrap().len(), &details["more"]), (64, &json!(10_000 - 64)));
    assert!(serde_json::to_string(&error).unwrap().len() < 8_000);
    assert!(error.message().ends_with("; and 9999 more"), "{error}");
}

#[tokio::test]
async fn a_check_by_hand_is_asked_as_well() {
    let server = Server::new().await;
    server.io.on_event(async |_: Socket, Even(n)| n);
    let mut client = server.client().await;
    assert_eq!(client.request("even", json!(2)).await, Ok(json!(2)));
    assert_eq!(client.request("even", json!(3)).await.unwrap_err()["code"], "odd");
}

#[tokio::test]
async fn each_variant_of_an_enum_is_checked() {
    let server = Server::new().await;
    server.io.on_events(|_: Socket, event: Some| async move {
        match event {
            Some::Order(order) | Some::Other(order) => order.name.len() + order.lines.len(),
            Some::Line(line) => line.count as usize,
            Some::Even(even) => even.0 as usize,
        }
    });
    let mut client = server.client().await;
    for event in ["order", "other-order"] {
        assert_all_told(&client.request(event, bad()).await.unwrap_err());
        assert_eq!(client.request(event, good()).await, Ok(json!(5)));
    }
    let refused = client.request("line", json!({"count": 0})).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["details"]["path"]), (&json!("invalid_payload"), &json!("count")));
    assert_eq!(client.request("line", json!({"count": 9})).await, Ok(json!(9)));
    assert_eq!(client.request("even", json!(3)).await.unwrap_err()["code"], "odd");
}

/// Nobody is to find a way around it by the name.
#[tokio::test]
async fn a_gateway_checks_under_any_name() {
    let server = Server::new().await;
    server.io.extensions().insert(Called::default());
    server.io.gateway(Shop).unwrap();
    let mut client = server.client().await;
    for event in ["order", "order-by-name"] {
        assert_all_told(&client.request(event, bad()).await.unwrap_err());
        assert_eq!(client.request(event, good()).await, Ok(json!(5)));
    }
    assert_eq!(server.io.extensions().get::<Called>().unwrap().0.load(Ordering::SeqCst), 2);
    for (event, bad, good, answer) in [
        ("orders", json!([good(), bad()]), json!([good(), good()]), json!(2)),
        ("boxed", bad(), good(), json!(2)),
        ("perhaps", bad(), json!(null), json!(false)),
    ] {
        assert_all_told(&client.request(event, bad).await.unwrap_err());
        assert_eq!(client.request(event, good).await, Ok(answer), "{event}");
    }
    assert_eq!(client.request("even-by-name", json!(3)).await.unwrap_err()["code"], "odd");
    assert_eq!(client.request("even-by-name", json!(4)).await, Ok(json!(4)));
    assert_eq!(client.request("line", json!({"count": 0})).await, Ok(json!(0)));
}
