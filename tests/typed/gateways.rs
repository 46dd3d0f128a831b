//! `#[gateway]`: what stands above a method, and several gateways on one `Io`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use eventwire::{
    AnyEvent, Auth, Error, Event, EventError, Ext, Gateway, GatewayError, IntoAck, RawEvent, Socket, gateway,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use crate::support::*;

#[derive(Deserialize, Event)]
#[event("typed", ack = Receipt)]
struct Typed {
    n: u32,
}

#[derive(Serialize, IntoAck)]
struct Receipt {
    n: u32,
}

#[derive(Debug, EventError)]
#[error_code("odd", message = "it is odd")]
struct Odd;

#[derive(Default)]
struct Several {
    running: AtomicUsize,
    most: AtomicUsize,
    any: AtomicUsize,
    raw: AtomicUsize,
    go: Notify,
}

#[gateway]
impl Several {
    #[on]
    async fn typed(&self, Typed { n }: Typed) -> Result<Receipt, Odd> {
        if n % 2 == 0 { Ok(Receipt { n }) } else { Err(Odd) }
    }

    #[on("one")]
    #[on("two")]
    async fn of_two(&self) -> u8 {
        12
    }

    #[on("beside", concurrent = 2)]
    async fn beside(&self, _n: u32) {
        self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        self.go.notified().await;
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    #[on("long", timeout = "20ms")]
    async fn long(&self) {
        std::future::pending().await
    }

    #[any]
    async fn any(&self, event: AnyEvent) {
        self.any.fetch_add(event.event.len(), Ordering::SeqCst);
    }

    #[any]
    async fn raw(&self, _socket: Socket, event: RawEvent) {
        self.raw.fetch_add(event.data().len(), Ordering::SeqCst);
    }

    #[room("open:*")]
    async fn may_enter(&self, socket: Socket, room: String) -> Result<(), Error> {
        if room.ends_with("secret") { Err(Error::new("secret", socket.id().to_string())) } else { Ok(()) }
    }

    #[room("closed")]
    async fn closed(&self) -> bool {
        false
    }

    /// No attribute, no handler.
    #[allow(dead_code)]
    async fn helper(&self, _a: u8, _b: u8) {}

    #[cfg(any())]
    #[on("never")]
    async fn never(&self, _there_is: NoSuchType) {}
}

#[tokio::test]
async fn methods_are_handlers() {
    let server = Server::new().await;
    let several = server.io.gateway(Several::default()).unwrap();
    let mut client = server.client().await;
    assert_eq!(client.request("typed", json!({"n": 2})).await, Ok(json!({"n": 2})));
    let odd = client.request("typed", json!({"n": 1})).await.unwrap_err();
    assert_eq!(odd, json!({"code": "odd", "message": "it is odd"}));
    assert_eq!(client.request("one", Value::Null).await, Ok(json!(12)));
    assert_eq!(client.request("two", Value::Null).await, Ok(json!(12)));
    assert_eq!(client.request("long", Value::Null).await.unwrap_err()["code"], "timeout");
    assert_eq!(several.any.load(Ordering::SeqCst), "typedtypedonetwolong".len());
    assert_eq!(several.raw.load(Ordering::SeqCst), r#"{"n":2}{"n":1}nullnullnull"#.len());
    assert_eq!(client.request("never", json!(1)).await, Ok(json!(null)), "heard by `any` alone");

    assert_eq!(client.request("subscribe", json!("open:a")).await, Ok(json!({"room": "open:a"})));
    let refused = client.request("subscribe", json!("open:secret")).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["message"]), (&json!("secret"), &json!(client.id)));
    assert_eq!(client.request("subscribe", json!("closed")).await.unwrap_err()["code"], "forbidden");
}

#[tokio::test]
async fn so_many_at_a_time() {
    let server = Server::new().await;
    let several = server.io.gateway(Several::default()).unwrap();
    let mut client = server.client().await;
    let ids = [
        client.ask("beside", json!(1)).await,
        client.ask("beside", json!(2)).await,
        client.ask("beside", json!(3)).await,
    ];
    until("two run", || several.running.load(Ordering::SeqCst) == 2).await;
    client.expect_nothing().await;
    for id in ids {
        several.go.notify_one();
        assert_eq!(client.answer(id).await, Ok(json!(null)));
    }
    assert_eq!(several.most.load(Ordering::SeqCst), 2);
}

struct Doorkeeper;

#[derive(EventError)]
#[error_code("no_entry", message = "not today")]
struct NoEntry;

#[gateway]
impl Doorkeeper {
    #[connect]
    async fn join(&self, socket: Socket) -> eventwire::Result<()> {
        socket.join("lobby").await?;
        Ok(())
    }

    /// An error of one's own refuses the socket.
    #[connect]
    async fn judge(&self, handshake: eventwire::Handshake) -> Result<(), NoEntry> {
        if handshake.path() == "/no" { Err(NoEntry) } else { Ok(()) }
    }

    #[connect]
    async fn greet(&self, socket: Socket) {
        drop(socket.emit("hello", socket.rooms()).await);
    }
}

#[tokio::test]
async fn a_socket_is_welcome_or_not() {
    let server = Server::new().await;
    server.io.gateway(Doorkeeper).unwrap();
    let mut client = server.client().await;
    assert_eq!(client.expect("hello").await, json!(["lobby"]));
    let mut refused = Client::connect(server.address, "/no").await;
    let (code, before) = refused.closed().await;
    assert_eq!((code, &before.last().unwrap()["data"]["code"]), (1008, &json!("no_entry")), "{before:?}");
}

struct Other;

#[gateway]
impl Other {
    #[on("other")]
    async fn other(&self) {}

    #[on("typed")]
    async fn typed(&self) {}
}

struct Rooms;

#[gateway]
impl Rooms {
    #[room("open:*")]
    async fn all(&self) -> bool {
        true
    }

    #[on("rooms")]
    async fn rooms(&self) {}
}

/// By hand it is the same thing.
struct ByHand;

impl Gateway for ByHand {
    const EVENTS: &'static [&'static str] = &["by-hand", "two"];
    const ROOMS: &'static [&'static str] = &[];

    fn register(self: Arc<Self>, io: &eventwire::Io) {
        io.on::<()>("by-hand", async |_: Socket, ()| 1);
        io.on::<()>("two", async |_: Socket, ()| 2);
    }
}

#[tokio::test]
async fn no_two_of_them_handle_the_same() {
    let server = Server::new().await;
    let io = &server.io;
    io.gateway(Several::default()).unwrap();
    let refused = io.gateway(Other).err().unwrap();
    let here = |name: &str| format!("{}::{name}", module_path!());
    let GatewayError::Event { name, gateway, other } = &refused else { panic!("{refused:?}") };
    assert_eq!((*name, *gateway, *other), ("typed", &*here("Other"), &*here("Several")));
    assert_eq!(
        refused.to_string(),
        format!("`{}` cannot handle the event `typed`: `{}` does", here("Other"), here("Several"))
    );
    let refused = io.gateway(Rooms).err().unwrap();
    assert!(matches!(refused, GatewayError::Rooms { pattern: "open:*", .. }), "{refused:?}");
    assert!(matches!(io.gateway(ByHand).err().unwrap(), GatewayError::Event { name: "two", .. }));
    assert!(matches!(io.gateway(Several::default()).err().unwrap(), GatewayError::Event { .. }), "nor one twice");
    assert!(eventwire::Error::from(refused).message().contains("open:*"));

    // Nothing of one that was refused is there.
    let mut client = server.client().await;
    let listening: Vec<String> = io.events().events.into_iter().map(|event| event.name).collect();
    for name in ["other", "rooms", "by-hand"] {
        assert!(!listening.contains(&name.to_owned()), "{name} in {listening:?}");
    }
    // A closure may listen beside.
    io.on::<Value>("one", async |_: Socket, _| "closure");
    assert_eq!(client.request("one", Value::Null).await, Ok(json!(12)), "the first that answers");
    // Another `Io` has gateways of its own.
    eventwire::Io::new().gateway(Other).unwrap();
}

/// A gateway for any of its kind.
trait Store: Send + Sync + 'static {
    fn get(&self, key: &str) -> Option<String>;
}

struct Static;

impl Store for Static {
    fn get(&self, key: &str) -> Option<String> {
        (key == "a").then(|| "1".into())
    }
}

struct Keys<S> {
    store: S,
    places: Semaphore,
}

#[gateway]
impl<S> Keys<S>
where
    S: Store,
{
    #[on("get")]
    async fn get(&self, key: String) -> Option<String> {
        let _place = self.places.acquire().await.ok()?;
        tokio::task::yield_now().await;
        self.store.get(&key)
    }
}

#[tokio::test]
async fn a_gateway_may_be_generic() {
    let server = Server::new().await;
    server.io.gateway(Keys { store: Static, places: Semaphore::new(1) }).unwrap();
    let mut client = server.client().await;
    assert_eq!(client.request("get", json!("a")).await, Ok(json!("1")));
    assert_eq!(client.request("get", json!("b")).await, Ok(json!(null)));
}

type Outcome = Result<(), Error>;

trait Speaks {
    type Word;
}

struct Guarded;

impl Speaks for Guarded {
    type Word = Typed;
}

/// What a guard says holds, however its type is spelt.
#[gateway]
impl Guarded {
    #[connect]
    async fn guard(&self, _name: Option<Ext<String>>, Auth(name): Auth<String>) -> Outcome {
        if *name == "ann" { Ok(()) } else { Err(Error::new("not_you", "only ann may")) }
    }

    /// The payload's type is told by way of `Self`.
    #[on]
    async fn word(&self, Typed { n }: <Self as Speaks>::Word) -> Receipt {
        Receipt { n }
    }

    #[cfg(unix)]
    #[on("either")]
    async fn on_unix(&self) -> &'static str {
        "unix"
    }

    #[cfg(not(unix))]
    #[on("either")]
    async fn elsewhere(&self) -> &'static str {
        "elsewhere"
    }
}

#[tokio::test]
async fn a_guard_keeps_out_and_either_of_two_is_there() {
    let server = Server::new().await;
    server.io.authenticate(eventwire::auth::query_token("user", |user| async move { Some(user) }));
    server.io.gateway(Guarded).unwrap();
    for (path, expected) in [("/ws?user=ben", "not_you"), ("/ws", "forbidden")] {
        let mut refused = Client::connect(server.address, path).await;
        let (code, before) = refused.closed().await;
        assert_eq!((code, &before.last().unwrap()["data"]["code"]), (1008, &json!(expected)), "{before:?}");
    }
    let mut ann = Client::connect(server.address, "/ws?user=ann").await;
    assert_eq!(ann.request("typed", json!({"n": 3})).await, Ok(json!({"n": 3})));
    assert_eq!(ann.request("either", Value::Null).await, Ok(json!(if cfg!(unix) { "unix" } else { "elsewhere" })));
}
