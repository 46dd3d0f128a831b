//! All shapes of handlers.
#![deny(warnings, missing_docs, unused, unused_lifetimes, clippy::all)]

use std::borrow::Cow;
use std::sync::Arc;

use eventwire::{
    Ack, Answer, AnyEvent, Auth, DisconnectReason, Event, Ext, FromSocket, IntoAck, Io, RawEvent, Socket, SocketId,
    State, gateway,
};
use serde::{Deserialize, Serialize};

/// What is sent.
#[derive(Debug, Deserialize, Event)]
#[event("say", ack = Receipt)]
pub struct Say {
    /// Words.
    pub r#type: String,
}

/// What is answered.
#[derive(Debug, Serialize, IntoAck)]
pub struct Receipt {
    /// To so many.
    pub r#for: usize,
}

/// A payload that is called as what is found by a socket.
#[derive(Debug, Deserialize)]
pub struct Handshake {
    /// Of what version.
    pub version: u32,
}

/// What is found by a socket, and could be a payload.
#[derive(Debug, Deserialize)]
pub struct Language(pub String);

impl FromSocket for Language {
    fn from_socket(socket: &Socket) -> eventwire::Result<Self> {
        Ok(Language(socket.handshake().path().to_owned()))
    }
}

/// Without a state.
#[derive(Debug, Default)]
pub struct Shapes;

#[gateway(emits())]
impl Shapes {
    /// Not a handler.
    pub const MOST: usize = 5;

    #[connect]
    async fn no_one(_socket: Socket) {}

    #[connect]
    async fn someone(self: Arc<Self>, id: SocketId, user: Option<Auth<String>>) -> eventwire::Result<()> {
        let _ = (id, user);
        Ok(())
    }

    #[disconnect]
    async fn gone(self: Arc<Self>, socket: Socket, why: DisconnectReason) {
        let _ = (socket, why);
    }

    #[disconnect]
    async fn left() {}

    #[disconnect]
    async fn parted(&self, name: Ext<String>, why: DisconnectReason) -> () {
        let _ = (name, why);
    }

    #[on("one")]
    #[on("two", concurrent = 2)]
    #[on("three", timeout = "1s")]
    async fn several(&self, io: Io, count: Option<u32>) -> u32 {
        drop(io);
        count.unwrap_or_default()
    }

    #[on]
    #[on("tell")]
    async fn say(&self, Say { r#type: r#match }: Say) -> Receipt {
        Receipt { r#for: r#match.len().min(Self::MOST) }
    }

    #[on("type")]
    async fn r#type(self: std::sync::Arc<Self>) {}

    #[on("hello")]
    async fn hello(&self, #[payload] hello: Handshake, #[from_socket] language: Language) -> String {
        format!("{} {}", language.0, hello.version)
    }

    #[on("language")]
    async fn language(&self, (_, language): (u8, Language), State(state): State<u8>) -> Option<String> {
        (*state > 0).then_some(language.0)
    }

    #[on("owned")]
    async fn owned(&self, text: Cow<'static, str>) -> Result<usize, &'static str> {
        if text.is_empty() { Err("empty") } else { Ok(text.len()) }
    }

    #[on("unnamed")]
    async fn unnamed(&self) -> impl IntoAck + use<> {
        3
    }

    #[on("unnamed_beside")]
    async fn unnamed_beside(&self, name: Ext<String>, _text: String) -> impl IntoAck + use<> {
        name.len()
    }

    #[on("later")]
    async fn later(&self, count: u32) -> Ack<Result<u32, String>> {
        Ack::later(async move { Ok(count) })
    }

    #[on("by_hand")]
    async fn by_hand(&self) -> Answer {
        Answer::nothing()
    }

    #[any]
    async fn log(&self, event: AnyEvent) {
        let _ = event;
    }

    #[any]
    async fn count(&self, event: RawEvent) -> Result<(), String> {
        let _ = event;
        Ok(())
    }

    #[room("lobby")]
    async fn lobby() -> bool {
        true
    }

    #[room("chat:*")]
    async fn may_chat(&self, socket: Socket, room: String) -> Result<(), String> {
        if room.is_empty() { Err(socket.id().to_string()) } else { Ok(()) }
    }

    #[cfg(any())]
    #[on("one")]
    async fn not_there(&self, none: NoSuchType) -> NoSuchType {}

    #[cfg(unix)]
    #[on("system")]
    async fn unix(&self) -> &'static str {
        "unix"
    }

    #[cfg(not(unix))]
    #[on("system")]
    async fn other(&self) -> &'static str {
        "other"
    }

    /// Not a handler, and as it likes.
    pub fn helper<'a, T: Clone>(&mut self, value: &'a T) -> &'a T {
        value
    }
}

#[test]
fn they_are_added() {
    let io = Io::new();
    let mut shapes = Shapes;
    assert_eq!(*shapes.helper(&1), 1);
    io.gateway(shapes).unwrap();
    let of = |name: &str| io.events().events.into_iter().find(|event| event.name == name).and_then(|event| event.ack);
    assert_eq!((of("one"), of("type"), of("owned")), (Some("u32"), Some("()"), Some("usize")));
    assert_eq!((of("unnamed"), of("unnamed_beside"), of("later")), (Some("i32"), Some("usize"), Some("u32")));
    assert_eq!((of("by_hand"), of("say")), (None, Some(std::any::type_name::<Receipt>())));
}
