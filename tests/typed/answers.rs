//! `#[derive(IntoAck)]` and `#[derive(EventError)]`.

use std::fmt;
use std::sync::{Arc, Mutex};

use eventwire::{Error, EventError, IntoAck, Socket};
use serde::Serialize;
use serde_json::{Value, json};

use crate::support::*;

#[derive(Serialize, IntoAck)]
struct Page<T> {
    items: Vec<T>,
}

#[derive(Clone, Copy, Serialize, IntoAck)]
enum Verdict {
    Guilty,
}

#[derive(Serialize, IntoAck)]
struct Words<'a>(&'a str);

#[derive(Debug, EventError)]
enum BuyError {
    #[error_code("out_of_stock", details)]
    OutOfStock { left: u32, r#type: &'static str },
    #[error_code("too_many", details)]
    TooMany(u64),
    #[error_code("closed")]
    Closed,
    #[error_code("internal", message = "try again later", logged)]
    Database(std::io::Error),
    #[error_code("bad_card", details, message = "the card is not good")]
    Card { digits: [u8; 4] },
    #[error_code(transparent)]
    Other(Error),
    #[error_code(transparent)]
    Named { inner: Limit },
}

impl fmt::Display for BuyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuyError::OutOfStock { left, .. } => write!(f, "there are {left}"),
            BuyError::Database(error) => write!(f, "secret: {error}"),
            _ => f.write_str("no"),
        }
    }
}

/// A struct, with a text of its own.
#[derive(Debug, EventError)]
#[error_code("limit", details)]
struct Limit(usize);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {}", self.0)
    }
}

/// One code for all, but for those that have one.
#[derive(EventError)]
#[error_code("refused", message = "no")]
enum Refused {
    Early,
    #[error_code("late", message = "too late")]
    Late,
}

#[test]
fn each_variant_has_a_code_a_message_and_details() {
    let io = std::io::Error::other("10.0.0.7 does not answer");
    for (error, told) in [
        (
            BuyError::OutOfStock { left: 2, r#type: "pen" },
            json!({"code": "out_of_stock", "message": "there are 2", "details": {"left": 2, "type": "pen"}}),
        ),
        (BuyError::TooMany(9), json!({"code": "too_many", "message": "no", "details": 9})),
        (BuyError::Closed, json!({"code": "closed", "message": "no"})),
        (BuyError::Database(io), json!({"code": "internal", "message": "try again later"})),
        (
            BuyError::Card { digits: [1, 2, 3, 4] },
            json!({"code": "bad_card", "message": "the card is not good", "details": {"digits": [1, 2, 3, 4]}}),
        ),
        (BuyError::Other(Error::new("other", "as it is")), json!({"code": "other", "message": "as it is"})),
        (BuyError::Named { inner: Limit(3) }, json!({"code": "limit", "message": "at most 3", "details": 3})),
    ] {
        assert_eq!(serde_json::to_value(Error::from(error)).unwrap(), told);
    }
    assert_eq!((Error::from(Refused::Early).code(), Error::from(Refused::Late).code()), ("refused", "late"));
    assert_eq!(Error::from(Refused::Late).message(), "too late");
}

/// Notes the fields of each event of the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Fields(String);
        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
        }
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn what_a_peer_is_not_told_is_in_the_log() {
    let log = Log::default();
    let told = tracing::subscriber::with_default(log.clone(), || {
        drop(Error::from(BuyError::Closed));
        Error::from(BuyError::Database(std::io::Error::other("10.0.0.7")))
    });
    assert_eq!(told.message(), "try again later");
    let log = log.0.lock().unwrap();
    let [line] = log.as_slice() else { panic!("one line: {log:?}") };
    assert!(line.contains("code=\"internal\"") && line.contains("error=secret: 10.0.0.7"), "{line}");
}

#[tokio::test]
async fn handlers_return_them_plain() {
    let server = Server::new().await;
    let io = &server.io;
    io.on::<u8>("page", async |_: Socket, n| Page { items: vec![n; 2] });
    io.on::<()>("verdict", async |_: Socket, ()| Verdict::Guilty);
    io.on::<()>("words", async |_: Socket, ()| Words("static"));
    io.on::<u32>("buy", |_: Socket, left| async move {
        if left == 0 { Ok(Verdict::Guilty) } else { Err(BuyError::OutOfStock { left, r#type: "pen" }) }
    });
    // `?` turns one into the other.
    io.on::<u8>("asked", |_: Socket, n| async move {
        Err(Refused::Late).or(if n == 0 { Ok(()) } else { Err(Refused::Early) })?;
        eventwire::ok(n)
    });
    let mut client = server.client().await;
    assert_eq!(client.request("page", json!(7)).await, Ok(json!({"items": [7, 7]})));
    assert_eq!(client.request("verdict", Value::Null).await, Ok(json!("Guilty")));
    assert_eq!(client.request("words", Value::Null).await, Ok(json!("static")));
    assert_eq!(client.request("buy", json!(0)).await, Ok(json!("Guilty")));
    let refused = client.request("buy", json!(2)).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["details"]["left"]), (&json!("out_of_stock"), &json!(2)));
    assert_eq!(client.request("asked", json!(1)).await.unwrap_err()["code"], "refused");
    assert_eq!(client.request("asked", json!(0)).await, Ok(json!(0)));
}
