//! Invariant 13: no user code runs under a lock: whatever it calls from wherever, nothing waits for itself.

use std::sync::OnceLock;
use std::sync::mpsc::RecvTimeoutError;

use eventwire::{Io, Socket};
use futures::FutureExt;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::kit::*;
use crate::support::*;

/// Calls everything that takes a lock.
fn call_everything(io: &Io) {
    let _ = (io.stats(), io.rooms_list(), io.room_len("room"));
    let _ = at_once(io.to("room").emit("inner", 1));
    let _ = at_once(io.broadcast().except("room").emit("inner", 1));
    io.rooms("room:*").public();
    io.authenticate(async |_| Ok::<_, eventwire::Refusal>(None::<String>));
    let id = io.on::<()>("inner", async |_, ()| ());
    io.off(id);
    io.extensions().insert(5u64);
    for socket in io.sockets() {
        let _ = at_once(socket.join("room:inner"));
        socket.leave("room:inner");
        let _ = (socket.rooms(), io.socket(socket.id()), socket.is_connected());
        let _ = socket.try_emit("inner", 1);
        let _ = socket.volatile().emit("inner", 1);
        let id = socket.on::<()>("inner", async |_, ()| ());
        socket.off(id);
        socket.request::<Value>("inner", 1).send_and_forget();
        let _ = socket.extensions().get_or_insert_with(|| socket.extensions().get::<u64>().is_some());
    }
    drop(io.request::<Value>("inner", 1));
}

trait SendAndForget {
    /// Sends the question, and gives up on the answer.
    fn send_and_forget(self);
}

impl<A: serde::de::DeserializeOwned + 'static> SendAndForget for eventwire::Request<A> {
    fn send_and_forget(self) {
        let _ = std::future::IntoFuture::into_future(self).now_or_never();
    }
}

/// The `Io` for what serde calls, which can be told nothing.
static IO: OnceLock<Io> = OnceLock::new();

fn io() -> &'static Io {
    IO.get().unwrap()
}

struct Busybody;

impl Serialize for Busybody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        call_everything(io());
        serializer.serialize_str("busy")
    }
}

impl<'de> Deserialize<'de> for Busybody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Busybody, D::Error> {
        call_everything(io());
        Value::deserialize(deserializer).map(|_| Busybody)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_13_no_user_code_runs_under_a_lock() {
    let server = Server::new().await;
    let io = server.io.clone();
    assert!(IO.set(io.clone()).is_ok());
    // Who waits for itself waits for ever, and the runtime for it: then the run ends here.
    let (alive, watch) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        if let Err(RecvTimeoutError::Timeout) = watch.recv_timeout(3 * DEADLINE) {
            eprintln!("invariant 13: user code was called under a lock, and waits for itself");
            std::process::exit(101);
        }
    });
    let busy = || async { call_everything(self::io()) };
    io.on_connect(move |_| busy());
    io.on_disconnect(move |_, _| busy());
    io.rooms("busy").allow_if(move |_, _| async move {
        busy().await;
        true
    });
    io.on::<Busybody>("busy", move |socket: Socket, data| async move {
        busy().await;
        socket.on_disconnect(move |_, _| busy());
        socket.emit("busy", &data).await?;
        socket.try_emit("busy", &data)?;
        socket.volatile().emit("busy", &data)?;
        socket.to("room").emit("busy", &data).await?;
        socket.io().to("room").to("busy").except(&socket).emit("busy", &data).await?;
        drop(socket.io().to("room").request::<Busybody>("busy", &data));
        eventwire::ok(data)
    });
    io.on_any(move |_, _| busy());
    let emitting = tokio::spawn({
        let io = io.clone();
        async move {
            for n in 0..200 {
                io.to("room").volatile().emit("n", n).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    for round in 0..10 {
        let mut client = server.client().await;
        server.socket(&client).join("room").await.unwrap();
        assert_eq!(client.request("subscribe", json!("busy")).await, Ok(json!({"room": "busy"})));
        assert_eq!(client.request("busy", json!(round)).await, Ok(json!("busy")), "round {round}");
        client.close().await;
    }
    emitting.await.unwrap();
    until("all are gone", || io.stats().sockets == 0).await;
    assert_eq!((io.stats().panics, io.stats().members), (0, 0));
    drop(alive);
}
