//! Adapters that fail, hang, or should not be asked at all.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eventwire::{Adapter, AdapterError, Config, EmitError, Io, JoinError, NodeMessage};
use futures::stream::{self, BoxStream};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::support::*;

/// An adapter that does as it is told, shared with its test.
#[derive(Clone, Default)]
struct Moody(Arc<Mood>);

#[derive(Default)]
struct Mood {
    /// Publishing and telling interest fail.
    fails: AtomicBool,
    /// Publishing and closing never end.
    hangs: AtomicBool,
    /// Telling of these rooms hangs after it has taken effect, until it is let go.
    held: Mutex<HashSet<String>>,
    let_go: Notify,
    /// What it was told last of a room.
    interests: Mutex<HashMap<String, bool>>,
    calls: AtomicUsize,
    local: bool,
}

impl Mood {
    fn is_held(&self, room: &str) -> bool {
        self.held.lock().unwrap().contains(room)
    }

    fn hold(&self, room: &str) {
        self.held.lock().unwrap().insert(room.to_owned());
    }

    fn let_go(&self) {
        self.held.lock().unwrap().clear();
        self.let_go.notify_waiters();
    }

    fn is_interested(&self, room: &str) -> bool {
        self.interests.lock().unwrap().get(room) == Some(&true)
    }

    async fn called(&self) -> Result<(), AdapterError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            return Err(AdapterError("out of order".into()));
        }
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[async_trait]
impl Adapter for Moody {
    async fn publish(&self, _message: NodeMessage) -> Result<(), AdapterError> {
        self.0.called().await
    }

    async fn interest(&self, room: &str, interested: bool) -> Result<(), AdapterError> {
        if self.0.fails.load(Ordering::SeqCst) {
            return self.0.called().await;
        }
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        self.0.interests.lock().unwrap().insert(room.to_owned(), interested);
        loop {
            let let_go = self.0.let_go.notified();
            tokio::pin!(let_go);
            let_go.as_mut().enable();
            if !self.0.is_held(room) {
                return Ok(());
            }
            let_go.await;
        }
    }

    fn incoming(&self) -> BoxStream<'static, NodeMessage> {
        Box::pin(stream::pending())
    }

    async fn close(&self) {
        let _ = self.0.called().await;
    }

    fn is_local(&self) -> bool {
        self.0.local
    }
}

async fn server(mood: &Moody) -> Server {
    let config: Config = serde_json::from_value(json!({"handlerTimeout": "300ms"})).unwrap();
    let io = Io::builder().config(config).adapter(mood.clone()).build().unwrap();
    io.rooms("public:*").public();
    Server::of(io).await
}

#[tokio::test]
async fn a_broadcast_that_others_do_not_get_says_so_and_reaches_members_here() {
    let mood = Moody::default();
    let server = server(&mood).await;
    let mut client = server.client_in("public:r").await;
    mood.0.fails.store(true, Ordering::SeqCst);
    let failed = server.io.to("public:r").emit("n", 1).await;
    assert_eq!(failed, Err(EmitError::Adapter("out of order".into())));
    assert_eq!(client.expect("n").await, 1);
    assert_eq!(server.io.to("public:r").local().emit("n", 2).await, Ok(1), "what stays here does not ask");
    assert_eq!(client.expect("n").await, 2);
}

/// Members here do not wait for other nodes: they have it once `emit` was called.
#[tokio::test]
async fn members_here_wait_for_no_other_node() {
    let mood = Moody::default();
    let server = server(&mood).await;
    let mut client = server.client_in("public:r").await;
    mood.0.hangs.store(true, Ordering::SeqCst);
    let emitting = server.io.to("public:r").emit("n", 1);
    assert_eq!(client.expect("n").await, 1, "before it was awaited");
    assert!(timeout(Duration::from_millis(50), emitting).await.is_err(), "awaited, it waits for them");
    assert_eq!(client.request("subscribe", json!("public:r")).await, Ok(json!({"room": "public:r"})));
}

#[tokio::test]
async fn nobody_is_let_into_a_room_of_which_others_could_not_be_told() {
    let mood = Moody::default();
    let server = server(&mood).await;
    let mut client = server.client().await;
    let socket = server.io.sockets().remove(0);
    mood.0.fails.store(true, Ordering::SeqCst);
    assert_eq!(client.request("subscribe", json!("public:r")).await.unwrap_err()["code"], "busy");
    let entries = client.request("subscribe", json!(["public:r", "private"])).await.unwrap();
    assert_eq!((&entries[0]["error"]["code"], &entries[1]["error"]["code"]), (&json!("busy"), &json!("forbidden")));
    assert_eq!(socket.join("public:r").await, Err(JoinError::Adapter("out of order".into())));
    assert_eq!((server.io.room_len("public:r"), socket.rooms().len()), (0, 0));
    // It is well again, and nothing is left of the failures.
    mood.0.fails.store(false, Ordering::SeqCst);
    client.request("subscribe", json!("public:r")).await.unwrap();
    assert!(mood.0.is_interested("public:r"));
    client.request("unsubscribe", json!("public:r")).await.unwrap();
    until("the interest has ended", || !mood.0.is_interested("public:r")).await;
}

/// A leave that others could not be told of is told later: here with the next that comes and goes.
#[tokio::test]
async fn an_interest_that_could_not_be_ended_ends_later() {
    let mood = Moody::default();
    let server = server(&mood).await;
    let mut client = server.client_in("public:r").await;
    mood.0.fails.store(true, Ordering::SeqCst);
    let calls = mood.0.calls.load(Ordering::SeqCst);
    client.request("unsubscribe", json!("public:r")).await.unwrap();
    until("it was tried", || mood.0.calls.load(Ordering::SeqCst) > calls).await;
    assert!(mood.0.is_interested("public:r"));
    mood.0.fails.store(false, Ordering::SeqCst);
    client.request("subscribe", json!("public:r")).await.unwrap();
    client.request("unsubscribe", json!("public:r")).await.unwrap();
    until("the interest has ended", || !mood.0.is_interested("public:r")).await;
}

/// A handler's timeout, or a disconnect, drops a join while the adapter is being told.
#[tokio::test]
async fn a_join_that_is_given_up_leaves_no_interest() {
    let mood = Moody::default();
    let server = server(&mood).await;
    let mut client = server.client().await;
    let socket = server.io.sockets().remove(0);
    mood.0.hold("public:r");
    assert_eq!(client.request("subscribe", json!("public:r")).await.unwrap_err()["code"], "timeout");
    assert!(timeout(Duration::from_millis(50), socket.join("public:r")).await.is_err());
    assert_eq!(server.io.room_len("public:r"), 0);
    mood.0.let_go();
    // By itself, since nobody may ever come into that room again.
    until("the interest has ended", || !mood.0.is_interested("public:r")).await;
    // And it begins and ends as if nothing had been.
    client.request("subscribe", json!("public:r")).await.unwrap();
    assert!(mood.0.is_interested("public:r"));
    client.request("unsubscribe", json!("public:r")).await.unwrap();
    until("the interest has ended", || !mood.0.is_interested("public:r")).await;
}

/// Joins of different rooms do not wait for each other's way to the other nodes and back.
#[tokio::test]
async fn a_room_that_the_adapter_hangs_at_holds_up_no_other() {
    let mood = Moody::default();
    let server = server(&mood).await;
    let mut client = server.client().await;
    mood.0.hold("public:stuck");
    let socket = server.io.sockets().remove(0);
    let joining = tokio::spawn(async move { socket.join("public:stuck").await });
    until("it is told", || mood.0.is_interested("public:stuck")).await;
    assert_eq!(client.request("subscribe", json!("public:r")).await, Ok(json!({"room": "public:r"})));
    assert!(!joining.is_finished());
    mood.0.let_go();
    assert_eq!(within("it joins", joining).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn an_adapter_that_hangs_does_not_outlive_a_shutdowns_grace() {
    let mood = Moody::default();
    let server = server(&mood).await;
    let mut client = server.client_in("public:r").await;
    tokio::spawn(async move { client.closed().await });
    mood.0.hold("public:r");
    mood.0.hangs.store(true, Ordering::SeqCst);
    let start = Instant::now();
    within("shutdown", server.io.shutdown(Duration::from_millis(500))).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(server.io.stats().sockets, 0);
}

#[tokio::test]
async fn one_that_says_it_is_local_is_asked_nothing() {
    let mood = Moody(Arc::new(Mood { local: true, ..Mood::default() }));
    let server = server(&mood).await;
    let mut client = server.client_in("public:r").await;
    server.io.to("public:r").emit("n", 1).await.unwrap();
    client.request("unsubscribe", json!("public:r")).await.unwrap();
    assert_eq!(mood.0.calls.load(Ordering::SeqCst), 0);
}
