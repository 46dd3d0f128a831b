//! `on`, `once`, `off`, `on_any`, `on_raw`: who is called, and in which order.

use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use eventwire::{AnyEvent, EmitError, NameError, Off, RESERVED, RawEvent, Socket};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::kit::Log;
use crate::support::*;

async fn named(_: Socket, n: u32) -> u32 {
    n + 1
}

#[tokio::test]
async fn every_shape_of_handler_is_called_with_its_payload() {
    let server = Server::new().await;
    let io = &server.io;
    io.on("named", named);
    io.on::<u32>("async-closure", async |_, n| n + 2);
    let add = Arc::new(3);
    io.on::<u32>("closure", move |_, n| {
        let add = add.clone();
        async move { n + *add }
    });
    io.on::<(u32, String)>("tuple", async |_, (n, text)| format!("{text}{n}"));
    io.on::<Box<RawValue>>("raw", |_, raw| async move { raw.get().len() });
    io.on::<Value>("value", |_, value| async move { value["a"][1].clone() });
    io.on::<Option<u32>>("option", |_, n| async move { n.is_none() });
    let mut client = server.client().await;
    for (event, data, answer) in [
        ("named", json!(1), json!(2)),
        ("async-closure", json!(1), json!(3)),
        ("closure", json!(1), json!(4)),
        ("tuple", json!([7, "x"]), json!("x7")),
        ("raw", json!([1, 2]), json!(5)),
        ("value", json!({"a": [1, {"b": 2}]}), json!({"b": 2})),
        ("option", json!(null), json!(true)),
    ] {
        assert_eq!(client.request(event, data).await, Ok(answer), "{event}");
    }
    client.expect_nothing().await;
}

#[tokio::test]
async fn listeners_run_in_the_order_of_registration_the_ios_first() {
    let server = Server::new().await;
    let mut client = server.client().await;
    let (io, socket) = (&server.io, server.socket(&client));
    let log = Log::default();
    // The socket's are there before the `Io`'s: those come first all the same.
    let note = log.clone();
    socket.on::<()>("e", move |_, ()| ready(note.add("socket 1")));
    let note = log.clone();
    socket.on_any(move |_, _| ready(note.add("socket any")));
    let note = log.clone();
    socket.on::<()>("e", move |_, ()| ready(note.add("socket 2")));
    let note = log.clone();
    io.on::<()>("e", move |_, ()| ready(note.add("io 1")));
    let note = log.clone();
    io.on_raw(move |_, _| ready(note.add("io raw")));
    let note = log.clone();
    io.on::<()>("e", move |_, ()| {
        let note = note.clone();
        async move {
            // One that takes its time holds back those after it.
            tokio::time::sleep(Duration::from_millis(20)).await;
            note.add("io 2, slow");
        }
    });
    let note = log.clone();
    io.on_any(move |_, _| ready(note.add("io any")));

    let expected = ["io 1", "io raw", "io 2, slow", "io any", "socket 1", "socket any", "socket 2"];
    assert_eq!(client.request("e", json!(null)).await, Ok(json!(null)));
    assert_eq!(log.all(), expected);
    assert_eq!(client.request("e", json!(null)).await, Ok(json!(null)));
    assert_eq!(log.all(), [expected, expected].concat());
}

#[tokio::test]
async fn on_any_and_on_raw_count_as_handled_and_get_what_came() {
    let server = Server::new().await;
    let mut client = server.client().await;
    let unknown = client.request("whatever", json!(1)).await.unwrap_err();
    assert_eq!(unknown["code"], "unknown_event");

    let (anys, raws) = (Log::default(), Log::default());
    let log = anys.clone();
    server.io.on_any(move |_, any: AnyEvent| ready(log.add(format!("{}={}", any.event, any.data))));
    assert_eq!(client.request("whatever", json!({"a": 1})).await, Ok(json!(null)));
    assert_eq!(anys.all(), [r#"whatever={"a":1}"#]);

    let log = raws.clone();
    server.socket(&client).on_raw(move |_, raw: RawEvent| {
        log.add(format!("{}={}", raw.event(), std::str::from_utf8(raw.data()).unwrap()));
        ready(raw.decode::<u64>())
    });
    // Undecoded means that every digit and every space is there.
    client.send_text(r#"{"event":"caf\u00e9","data": 9007199254740993 ,"id":"r"}"#).await;
    let ack = client.next().await;
    assert_eq!((&ack["event"], &ack["id"], &ack["data"]), (&json!("ack"), &json!("r"), &json!(9007199254740993u64)));
    assert_eq!(raws.all(), ["café=9007199254740993"]);
    // `decode` refuses as a typed handler would.
    let refused = client.request("whatever", json!("x")).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["details"]["path"]), (&json!("invalid_payload"), &json!(".")));
    // Nobody's event without data is `null`.
    client.send_text(r#"{"event":"bare"}"#).await;
    until("the bare event", || raws.len() == 3).await;
    assert_eq!(raws.all()[2], "bare=null");
}

#[tokio::test]
async fn once_is_called_for_the_first_event_only() {
    let server = Server::new().await;
    server.io.once::<u32>("io", async |_, n| n);
    let (mut a, mut b) = (server.client().await, server.client().await);
    server.socket(&a).once::<u32>("own", async |_, n| n);
    assert_eq!(a.request("own", json!(1)).await, Ok(json!(1)));
    assert_eq!(a.request("own", json!(2)).await.unwrap_err()["code"], "unknown_event");
    assert_eq!(b.request("io", json!(3)).await, Ok(json!(3)));
    assert_eq!(a.request("io", json!(4)).await.unwrap_err()["code"], "unknown_event");
    assert_eq!(server.io.off("io"), 0, "it has gone by itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_of_an_io_is_called_once_among_sockets_that_race() {
    let server = Server::new().await;
    let mut clients = server.clients(10).await;
    for round in 0..50 {
        let called = Arc::new(AtomicUsize::new(0));
        let count = called.clone();
        server.io.once::<()>("race", move |_, ()| {
            count.fetch_add(1, Ordering::Relaxed);
            ready(())
        });
        let answers = clients.iter_mut().map(|client| client.request("race", json!(null)));
        let answers = futures::future::join_all(answers).await;
        assert_eq!(called.load(Ordering::Relaxed), 1, "round {round}");
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "round {round}: {answers:?}");
    }
}

#[tokio::test]
async fn off_takes_away_by_name_or_by_id_and_says_how_many() {
    let server = Server::new().await;
    let mut client = server.client().await;
    let socket = server.socket(&client);
    let log = Log::default();
    let on = |what: &'static str| {
        let log = log.clone();
        move |_: Socket, ()| ready(log.add(what))
    };
    server.io.on("e", on("io"));
    let second = socket.on("e", on("own 2"));
    socket.on("e", on("own 3"));
    socket.on("f", on("f"));
    let any = socket.on_any({
        let log = log.clone();
        move |_, _| ready(log.add("any"))
    });
    let heard = async |client: &mut Client| {
        let before = log.len();
        client.request("e", json!(null)).await.unwrap();
        log.all().split_off(before)
    };
    assert_eq!(heard(&mut client).await, ["io", "own 2", "own 3", "any"]);
    assert_eq!(socket.off(&second), 1);
    assert_eq!(socket.off(second), 0, "it was taken away before");
    assert_eq!(heard(&mut client).await, ["io", "own 3", "any"]);
    assert_eq!(socket.off(any), 1);
    assert_eq!(heard(&mut client).await, ["io", "own 3"]);
    assert_eq!(socket.off("e"), 1, "the `Io`'s listeners are not touched");
    assert_eq!(heard(&mut client).await, ["io"]);
    assert_eq!(server.io.off(Off::Event("e")), 1);
    assert_eq!(client.request("e", json!(null)).await.unwrap_err()["code"], "unknown_event");
    assert_eq!(client.request("f", json!(null)).await, Ok(json!(null)));
}

#[tokio::test]
async fn handlers_may_come_and_go_while_events_are_handled() {
    let server = Server::new().await;
    server.io.on::<()>("install", |socket: Socket, ()| async move {
        let id = socket.on::<u32>("installed", async |_, n| n);
        socket.once::<()>("remove", move |socket: Socket, ()| ready(socket.off(&id)));
    });
    let mut client = server.client().await;
    // In one go: each is handled after what the one before has changed.
    let install = client.ask("install", json!(null)).await;
    let used = client.ask("installed", json!(5)).await;
    let removed = client.ask("remove", json!(null)).await;
    let gone = client.ask("installed", json!(6)).await;
    assert_eq!(client.answer(install).await, Ok(json!(null)));
    assert_eq!(client.answer(used).await, Ok(json!(5)));
    assert_eq!(client.answer(removed).await, Ok(json!(1)));
    assert_eq!(client.answer(gone).await.unwrap_err()["code"], "unknown_event");
}

#[tokio::test]
async fn reserved_empty_and_long_names_are_refused_to_user_code() {
    let server = Server::new().await;
    let client = server.client().await;
    let (io, socket) = (&server.io, server.socket(&client));
    let long = "é".repeat(129);
    let bad = RESERVED.iter().map(|name| (*name, NameError::Reserved));
    for (name, error) in bad.chain([("", NameError::Empty), (&*long, NameError::TooLong)]) {
        let refused = EmitError::Name(error);
        assert_eq!(socket.emit(name, 1).await, Err(refused.clone()), "{name}");
        assert_eq!(socket.try_emit(name, 1), Err(refused.clone()), "{name}");
        assert_eq!(socket.volatile().emit(name, 1), Err(refused.clone()), "{name}");
        assert_eq!(io.emit(name, 1).await, Err(refused.clone()), "{name}");
        assert_eq!(io.to("room").emit(name, 1).await, Err(refused), "{name}");
        let asked = socket.request::<()>(name, 1).await;
        assert_eq!(asked, Err(eventwire::RequestError::Name(error)), "{name}");
        let on = || io.on::<()>(name, async |_, ()| ());
        assert!(catch_unwind(AssertUnwindSafe(on)).is_err(), "on({name})");
        let once = || socket.once::<()>(name, async |_, ()| ());
        assert!(catch_unwind(AssertUnwindSafe(once)).is_err(), "once({name})");
    }
    assert_eq!(RESERVED.len(), 12, "those of DESIGN §2");
    // What looks special is a plain name.
    for name in ["__proto__", "constructor", "connect", "disconnect", &*"é".repeat(128)] {
        io.on::<()>(name, async |_, ()| ());
        assert_eq!(socket.emit(name, 1).await, Ok(()), "{name}");
    }
}
