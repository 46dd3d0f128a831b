//! `#[derive(Events)]`: an enum for everything that a peer may send, or is sent.

use eventwire::{Answer, EmitEvent, Event, Events, IntoAck, Io, Socket};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::*;

#[derive(Deserialize, Event)]
#[event("say", ack = usize)]
struct Say {
    text: String,
}

/// It can be received, and not emitted.
#[derive(Events)]
enum FromBrowser {
    Say(Say),
    #[event("typing")]
    Typing,
    #[event("rename", ack = String)]
    Rename(String),
    #[event("seat")]
    Seat(Option<(u8, u8)>),
}

#[derive(Serialize)]
struct OnlyOut(u8);

/// It can be emitted, and not received.
#[derive(Events)]
enum ToBrowser<'a> {
    #[event("said")]
    Said(&'a str),
    #[event("bell")]
    Bell,
    #[event("out")]
    Out(OnlyOut),
}

async fn handle(socket: Socket, event: FromBrowser) -> Answer {
    match event {
        FromBrowser::Say(say) => {
            let heard = socket.emit_event(&ToBrowser::Said(&say.text)).await.map(|()| say.text.len());
            eventwire::ok(heard.unwrap()).into_ack()
        }
        FromBrowser::Typing => {
            socket.volatile().emit_event(&ToBrowser::Bell).unwrap();
            Answer::nothing()
        }
        FromBrowser::Rename(name) => name.to_uppercase().into_ack(),
        FromBrowser::Seat(seat) => {
            socket.io().emit_event(&ToBrowser::Out(OnlyOut(seat.map_or(0, |(row, _)| row)))).await.unwrap();
            ().into_ack()
        }
    }
}

#[tokio::test]
async fn one_match_has_them_all() {
    let server = Server::new().await;
    let listeners = server.io.on_events(handle);
    assert_eq!(listeners.len(), 4);
    let mut client = server.client().await;
    assert_eq!(client.request("say", json!({"text": "hello"})).await, Ok(json!(5)));
    assert_eq!(client.request("typing", json!(null)).await, Ok(json!(null)));
    assert_eq!(client.request("rename", json!("ann")).await, Ok(json!("ANN")));
    assert_eq!(client.request("seat", json!([3, 1])).await, Ok(json!(null)));
    assert_eq!(client.request("seat", json!(null)).await, Ok(json!(null)));
    assert_eq!(client.expect("said").await, "hello");
    assert_eq!(client.expect("bell").await, json!(null));
    assert_eq!((client.expect("out").await, client.expect("out").await), (json!(3), json!(0)));
    for (event, data, path) in [
        ("say", json!({}), "."),
        ("rename", json!(1), "."),
        ("seat", json!([3, "x"]), "[1]"),
        ("typing", json!(1), "."),
    ] {
        let refused = client.request(event, data).await.unwrap_err();
        assert_eq!(
            (&refused["code"], &refused["details"]["path"]),
            (&json!("invalid_payload"), &json!(path)),
            "{event}"
        );
    }
    assert_eq!(client.request("shout", json!(1)).await.unwrap_err()["code"], "unknown_event");

    // Each is a registration of its own.
    assert_eq!(server.io.off("rename"), 1);
    assert_eq!(client.request("rename", json!("ann")).await.unwrap_err()["code"], "unknown_event");
    assert_eq!(listeners.iter().map(|listener| server.io.off(listener)).sum::<usize>(), 3);
    assert_eq!(client.request("typing", json!(null)).await.unwrap_err()["code"], "unknown_event");
}

#[tokio::test]
async fn of_one_socket_as_well() {
    let server = Server::new().await;
    let (mut ann, mut ben) = (server.client().await, server.client().await);
    server.io.socket(ann.id.parse().unwrap()).unwrap().on_events(handle);
    assert_eq!(ann.request("rename", json!("x")).await, Ok(json!("X")));
    assert_eq!(ben.request("rename", json!("x")).await.unwrap_err()["code"], "unknown_event");
}

#[test]
fn what_there_is() {
    let names: Vec<_> = <FromBrowser as Events>::events().iter().map(|event| (event.name, event.ack)).collect();
    let string = std::any::type_name::<String>();
    assert_eq!(names, [("say", "usize"), ("typing", "()"), ("rename", string), ("seat", "()")]);
    let out: Vec<_> = <ToBrowser<'_> as EmitEvent>::emitted().iter().map(|event| (event.name, event.payload)).collect();
    assert_eq!(out, [("said", "&str"), ("bell", "()"), ("out", std::any::type_name::<OnlyOut>())]);
    assert_eq!(ToBrowser::Said("x").name(), "said");
    Io::new().emits::<ToBrowser<'_>>();
}
