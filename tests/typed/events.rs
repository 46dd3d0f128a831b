//! `#[derive(Event)]`: the name and the answer belong to the payload.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use eventwire::{Ack, EmitError, Event, IntoAck, Pace, RequestError, Socket};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::*;

#[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
#[event("chat:message", ack = Receipt)]
struct Message {
    text: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, IntoAck)]
struct Receipt {
    length: usize,
}

/// What is only emitted may borrow.
#[derive(Serialize, Event)]
#[event("said")]
struct Said<'a> {
    by: &'a str,
}

/// A name has any characters.
#[derive(Serialize, Deserialize, Event)]
#[event("Größe: \"L\"")]
struct Size(u8);

/// No payload, and by hand.
#[derive(Deserialize)]
struct Tick;

impl Event for Tick {
    const NAME: &'static str = "tick";
    type Ack = u32;
}

#[test]
fn the_name_is_a_constant() {
    assert_eq!((Message::NAME, Said::NAME, Size::NAME), ("chat:message", "said", "Größe: \"L\""));
}

#[tokio::test]
async fn an_event_is_told_by_its_handlers_argument() {
    let server = Server::new().await;
    server.io.on_event(|_: Socket, message: Message| async move { Receipt { length: message.text.len() } });
    server.io.on_event(|_: Socket, Size(size)| async move { assert_eq!(size, 3) });
    server.io.on_event(async |_: Socket, _: Tick| eventwire::ok(7));
    let mut client = server.client().await;
    assert_eq!(client.request("chat:message", json!({"text": "four"})).await, Ok(json!({"length": 4})));
    assert_eq!(client.request("Größe: \"L\"", json!(3)).await, Ok(json!(null)));
    assert_eq!(client.request("tick", json!(null)).await, Ok(json!(7)));
    let refused = client.request("chat:message", json!({"text": 4})).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["details"]["path"]), (&json!("invalid_payload"), &json!("text")));
}

#[tokio::test]
async fn an_answer_comes_in_each_of_its_shapes() {
    async fn fails(_: Socket, message: Message) -> Result<Receipt, String> {
        Err(message.text)
    }
    fn later(_: Socket, message: Message) -> impl Future<Output = Ack<Result<Receipt, eventwire::Error>>> {
        std::future::ready(Ack::later(async move { Ok(Receipt { length: message.text.len() }) }))
    }
    for (register, answer) in [
        (&(|socket: &Socket| socket.on_event(fails)) as &(dyn Fn(&Socket) -> _ + Sync), Err("handler_failed")),
        (&|socket: &Socket| socket.on_event(later), Ok(json!({"length": 1}))),
        (
            &|socket: &Socket| {
                socket.on_event(|_, m: Message| async move { Ack::now(Receipt { length: m.text.len() }) })
            },
            Ok(json!({"length": 1})),
        ),
        (
            &|socket: &Socket| {
                socket.on_event(async |_, _: Message| Ack::error(eventwire::Error::new("no", "")) as Ack<Receipt>)
            },
            Err("no"),
        ),
    ] {
        let server = Server::new().await;
        let mut client = server.client().await;
        register(&server.io.sockets()[0]);
        let answered = client.request("chat:message", json!({"text": "x"})).await;
        assert_eq!(answered.map_err(|error| error["code"].as_str().unwrap().to_owned()), answer.map_err(str::to_owned));
    }
}

#[tokio::test]
async fn once_is_once() {
    let server = Server::new().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    server.io.once_event(move |_: Socket, _: Tick| {
        let count = count.clone();
        async move { count.fetch_add(1, Ordering::SeqCst) as u32 }
    });
    let mut client = server.client().await;
    assert_eq!(client.request("tick", json!(null)).await, Ok(json!(0)));
    assert_eq!(client.request("tick", json!(null)).await.unwrap_err()["code"], "unknown_event");
    server.io.sockets()[0].once_event(async |_: Socket, _: Tick| 9);
    assert_eq!(client.request("tick", json!(null)).await, Ok(json!(9)));
    assert_eq!(client.request("tick", json!(null)).await.unwrap_err()["code"], "unknown_event");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn it_is_emitted_by_whoever_emits() {
    let server = Server::new().await;
    let (mut ann, mut ben) = (server.client().await, server.client().await);
    let io = &server.io;
    let socket = |client: &Client| io.socket(client.id.parse().unwrap()).unwrap();
    let said = |by| Said { by };
    socket(&ann).emit_event(&said("socket")).await.unwrap();
    socket(&ann).try_emit_event(&said("try")).unwrap();
    assert!(socket(&ann).volatile().emit_event(&said("volatile")).unwrap());
    socket(&ann).paced(Pace::slowest(1024)).emit_event(&said("paced")).await.unwrap();
    for by in ["socket", "try", "volatile", "paced"] {
        let frame = ann.next().await;
        assert_eq!((&frame["event"], &frame["data"]), (&json!("said"), &json!({"by": by})));
    }
    assert_eq!(io.emit_event(&said("all")).await, Ok(2));
    socket(&ben).join("room").await.unwrap();
    assert_eq!(io.to("room").emit_event(&said("room")).await, Ok(1));
    assert_eq!(socket(&ann).broadcast().emit_event(&said("others")).await, Ok(1));
    assert_eq!(ann.expect("said").await["by"], "all");
    for by in ["all", "room", "others"] {
        assert_eq!(ben.expect("said").await["by"], by);
    }
    ann.expect_nothing().await;
    ben.expect_nothing().await;
}

#[tokio::test]
async fn a_request_has_the_answer_that_belongs_to_it() {
    let server = Server::new().await;
    let mut ann = server.client().await;
    let socket = server.io.sockets()[0].clone();
    let asking = tokio::spawn({
        let socket = socket.clone();
        async move { socket.request_event(&Message { text: "?".into() }).await }
    });
    let asked = ann.wait_for(|frame| frame["event"] == "chat:message").await;
    ann.send_text(json!({"event": "ack", "id": asked["id"], "data": {"length": 1}}).to_string()).await;
    assert_eq!(asking.await.unwrap(), Ok(Receipt { length: 1 }));

    let asking = tokio::spawn(async move { socket.request_event(&Message { text: "?".into() }).await });
    let asked = ann.wait_for(|frame| frame["event"] == "chat:message").await;
    ann.send_text(json!({"event": "ack", "id": asked["id"], "data": "no receipt"}).to_string()).await;
    assert!(matches!(asking.await.unwrap(), Err(RequestError::Decode(_))));

    let io = server.io.clone();
    let mut answers = io.to("nobody").request_event(&Message { text: "?".into() });
    assert!(answers.next().await.is_none());
    let mut answers = io.broadcast().timeout(Duration::from_secs(5)).request_event(&Message { text: "all?".into() });
    let asked = ann.wait_for(|frame| frame["event"] == "chat:message").await;
    ann.send_text(json!({"event": "ack", "id": asked["id"], "data": {"length": 4}}).to_string()).await;
    let (id, answer) = answers.next().await.unwrap();
    assert_eq!((id.to_string(), answer), (ann.id.clone(), Ok(Receipt { length: 4 })));
    let mut answers = io.request_event(&Message { text: "all?".into() });
    let asked = ann.wait_for(|frame| frame["event"] == "chat:message").await;
    ann.send_text(json!({"event": "error", "id": asked["id"], "data": {"code": "no"}}).to_string()).await;
    assert!(matches!(answers.next().await, Some((_, Err(RequestError::Refused(_))))));
}

/// A name that was written by hand is checked when it is used.
#[tokio::test]
async fn a_bad_name_by_hand_is_refused() {
    #[derive(Serialize)]
    struct Bad;
    impl Event for Bad {
        const NAME: &'static str = "ack";
        type Ack = ();
    }
    let server = Server::new().await;
    assert!(matches!(server.io.emit_event(&Bad).await, Err(EmitError::Name(_))));
}
