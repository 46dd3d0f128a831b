//! A gateway beside its hand-written twin: it expands to these calls, and so does the same in all that can be seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventwire::{
    Ack, DisconnectReason, Error, Event, Ext, FromSocket, Gateway, IntoError, Io, Socket, Verdict, gateway,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::*;

struct Name(String);

#[derive(Deserialize, Event)]
#[event("say", ack = usize)]
struct Say {
    text: String,
}

#[derive(Serialize, Event)]
#[event("said")]
struct Said {
    text: String,
    count: u64,
}

/// The methods are the same for both.
macro_rules! chat {
    ($(#[$gateway:meta])? $name:ident, $connect:meta, $enter:meta, $say:meta, $add:meta, $room:meta, $left:meta) => {
        #[derive(Default)]
        struct $name {
            count: AtomicU64,
        }

        $(#[$gateway])?
        impl $name {
            #[$connect]
            async fn welcome(&self, socket: Socket) -> eventwire::Result<()> {
                if socket.handshake().path() == "/no" {
                    return Err(Error::new("not_you", "go away"));
                }
                socket.join("lobby").await?;
                Ok(())
            }

            #[$enter]
            async fn enter(&self, name: String, socket: Socket) {
                socket.extensions().insert(Name(name));
            }

            #[$say]
            async fn say(&self, socket: Socket, say: Say, Ext(name): Ext<Name>) -> eventwire::Result<usize> {
                let count = self.count.fetch_add(1, Ordering::SeqCst);
                Ok(socket.io().to("lobby").emit_event(&Said { text: format!("{}: {}", name.0, say.text), count }).await?)
            }

            #[$add]
            async fn add(&self, pair: (u64, u64)) -> Result<u64, String> {
                pair.0.checked_add(pair.1).ok_or_else(|| "too much".to_owned())
            }

            #[$room]
            async fn may_enter(&self, room: String) -> bool {
                room == "room:open"
            }

            #[$left]
            async fn left(&self, io: Io, _why: DisconnectReason, Ext(name): Ext<Name>) {
                drop(io.to("lobby").emit("left", &name.0).await);
            }
        }
    };
}

chat!(
    #[gateway(emits(Said))]
    ByMacro,
    connect,
    on("enter"),
    on,
    on("add", concurrent = 8, timeout = "5s"),
    room("room:*"),
    disconnect
);
chat!(
    ByHand,
    allow(dead_code),
    allow(dead_code),
    allow(dead_code),
    allow(dead_code),
    allow(dead_code),
    allow(dead_code)
);

impl Gateway for ByHand {
    const EVENTS: &'static [&'static str] = &["enter", "say", "add"];
    const ROOMS: &'static [&'static str] = &["room:*"];

    fn register(self: Arc<Self>, io: &Io) {
        io.emits::<Said>();

        let chat = self.clone();
        io.on_connect(move |socket: Socket| {
            let chat = chat.clone();
            async move { chat.welcome(socket).await.map_err(IntoError::into_error) }
        });

        let chat = self.clone();
        io.on::<String>("enter", move |socket: Socket, name| {
            let chat = chat.clone();
            async move { chat.enter(name, socket).await }
        });

        let chat = self.clone();
        io.on_event::<Say>(move |socket: Socket, say| {
            let chat = chat.clone();
            async move {
                let name = match Ext::<Name>::from_socket(&socket) {
                    Ok(name) => name,
                    Err(error) => return Ack::error(error),
                };
                Ack::now(chat.say(socket, say, name).await)
            }
        });

        let chat = self.clone();
        io.on::<(u64, u64)>("add", move |_: Socket, pair| {
            let chat = chat.clone();
            async move { chat.add(pair).await }
        })
        .concurrent(8)
        .timeout(Duration::from_secs(5));

        let chat = self.clone();
        io.rooms("room:*").allow_if(move |_: Socket, room| {
            let chat = chat.clone();
            async move { Verdict::into_verdict(chat.may_enter(room).await) }
        });

        let chat = self;
        io.on_disconnect(move |socket: Socket, why| {
            let chat = chat.clone();
            async move {
                let Ok(name) = Ext::<Name>::from_socket(&socket) else { return };
                chat.left(socket.io().clone(), why, name).await;
            }
        });
    }
}

/// What a client sees of a gateway.
async fn seen(server: &Server) -> Vec<Value> {
    let (mut ann, mut ben) = (server.client().await, server.client().await);
    let mut seen = Vec::new();
    for (event, data) in [
        ("say", json!({"text": "too early"})),
        ("enter", json!(1)),
        ("enter", json!("Ann")),
        ("say", json!({"text": "hello"})),
        ("say", json!({})),
        ("add", json!([1, 2])),
        ("add", json!([u64::MAX, 2])),
        ("add", json!([1])),
        ("subscribe", json!("room:open")),
        ("subscribe", json!("room:shut")),
        ("nobody's", json!(null)),
    ] {
        let answer = ann.request(event, data.clone()).await;
        seen.push(json!([event, data, answer.is_ok(), answer.unwrap_or_else(|error| error)]));
    }
    seen.push(ann.expect("said").await);
    ann.close().await;
    seen.push(ben.next().await);
    seen.push(ben.next().await);
    ben.expect_nothing().await;
    let mut refused = Client::connect(server.address, "/no").await;
    let (code, before) = refused.closed().await;
    seen.push(json!([code, before]));
    seen
}

#[tokio::test]
async fn a_gateway_is_what_one_would_have_written() {
    let (by_macro, by_hand) = (Server::new().await, Server::new().await);
    by_macro.io.gateway(ByMacro::default()).unwrap();
    by_hand.io.gateway(ByHand::default()).unwrap();
    let seen_by_macro = seen(&by_macro).await;
    assert_eq!(seen_by_macro, seen(&by_hand).await);
    assert_eq!(seen_by_macro.len(), 15);
    assert_eq!(seen_by_macro[3][3], 2, "it did what it is for: {seen_by_macro:#?}");
    assert_eq!(by_macro.io.events(), by_hand.io.events());
    assert_eq!((ByMacro::EVENTS, ByMacro::ROOMS), (ByHand::EVENTS, ByHand::ROOMS));
}
