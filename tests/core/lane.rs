//! One socket's events pass one lane; `.concurrent(n)`, `Ack::later` and timeouts free it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use eventwire::{Ack, ListenerId, Socket};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::kit::*;
use crate::support::*;

/// A handler of `gated` that notes its number and waits at the gate.
fn gated(server: &Server, log: &Log, gate: &Arc<Semaphore>) -> ListenerId {
    let (log, gate) = (log.clone(), gate.clone());
    server.io.on::<u32>("gated", move |_, n| {
        let (log, gate) = (log.clone(), gate.clone());
        async move {
            log.add(format!("start {n}"));
            gate.acquire().await.unwrap().forget();
            log.add(format!("end {n}"));
            n
        }
    })
}

fn quick(server: &Server, log: &Log) {
    let log = log.clone();
    server.io.on::<u32>("quick", move |_, n| {
        log.add(format!("quick {n}"));
        async move { n }
    });
}

#[tokio::test]
async fn without_concurrent_the_lane_waits_for_each_handler() {
    let server = Server::new().await;
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    gated(&server, &log, &gate);
    quick(&server, &log);
    let mut client = server.client().await;
    client.ask("gated", json!(1)).await;
    client.ask("gated", json!(2)).await;
    let last = client.ask("quick", json!(3)).await;
    until("all three are read", || server.io.stats().messages_in == 3).await;
    settle().await;
    assert_eq!(log.all(), ["start 1"]);
    gate.add_permits(2);
    assert_eq!(client.answer(last).await, Ok(json!(3)));
    assert_eq!(log.all(), ["start 1", "end 1", "start 2", "end 2", "quick 3"]);
}

#[tokio::test]
async fn concurrent_n_runs_n_at_a_time_and_the_lane_waits_at_n() {
    let server = Server::new().await;
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    gated(&server, &log, &gate).concurrent(3);
    quick(&server, &log);
    let mut client = server.client().await;
    let mut asked = Vec::new();
    for n in 1..=3 {
        asked.push(client.ask("gated", json!(n)).await);
    }
    // With three running, later events pass.
    assert_eq!(client.request("quick", json!(0)).await, Ok(json!(0)));
    assert_eq!(log.all(), ["start 1", "start 2", "start 3", "quick 0"]);
    // The fourth finds no place, and what is behind it waits with it.
    asked.push(client.ask("gated", json!(4)).await);
    let quick = client.ask("quick", json!(5)).await;
    until("all six are read", || server.io.stats().messages_in == 6).await;
    settle().await;
    assert_eq!(log.len(), 4, "{:?}", log.all());
    gate.add_permits(1);
    assert_eq!(client.answer(quick).await, Ok(json!(5)));
    let after = log.all().split_off(4);
    assert!(after[0].starts_with("end ") && after[1..] == ["start 4", "quick 5"], "{after:?}");
    gate.add_permits(3);
    for (index, id) in asked.into_iter().enumerate() {
        assert_eq!(client.answer(id).await, Ok(json!(index + 1)));
    }
}

#[tokio::test]
async fn concurrent_counts_for_each_socket_by_itself() {
    let server = Server::new().await;
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    gated(&server, &log, &gate).concurrent(1);
    let (mut a, mut b) = (server.client().await, server.client().await);
    let first = a.ask("gated", json!(1)).await;
    until("the first one's place is taken", || log.has("start 1")).await;
    let second = b.ask("gated", json!(2)).await;
    until("the second one has its own", || log.has("start 2")).await;
    gate.add_permits(2);
    assert_eq!(a.answer(first).await, Ok(json!(1)));
    assert_eq!(b.answer(second).await, Ok(json!(2)));
}

#[tokio::test]
async fn concurrent_holds_for_events_from_then_on() {
    let server = Server::new().await;
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let listener = gated(&server, &log, &gate).concurrent(1);
    let mut client = server.client().await;
    gate.add_permits(1);
    assert_eq!(client.request("gated", json!(0)).await, Ok(json!(0)));
    let _ = listener.concurrent(2);
    let asked = [client.ask("gated", json!(1)).await, client.ask("gated", json!(2)).await];
    until("two run at a time", || log.has("start 1") && log.has("start 2")).await;
    gate.add_permits(2);
    assert_eq!(client.answer(asked[0]).await, Ok(json!(1)));
    assert_eq!(client.answer(asked[1]).await, Ok(json!(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_than_n_run_and_all_are_answered() {
    let server = Server::new().await;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (running.clone(), most.clone());
    let handler = move |_: Socket, n: u64| {
        let (running, most) = counts.clone();
        async move {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            match mixed(n) % 3 {
                0 => tokio::task::yield_now().await,
                1 => sleep(Duration::from_micros(mixed(n) % 500)).await,
                _ => {}
            }
            running.fetch_sub(1, Ordering::SeqCst);
            n
        }
    };
    server.io.on::<u64>("four", handler).concurrent(4);
    let mut client = server.client().await;
    let mut asked = Vec::new();
    for n in 0..400u64 {
        asked.push(client.ask("four", json!(n)).await);
    }
    for (n, id) in asked.into_iter().enumerate() {
        assert_eq!(client.answer(id).await, Ok(json!(n)));
    }
    assert_eq!((most.load(Ordering::SeqCst), running.load(Ordering::SeqCst)), (4, 0));
}

#[tokio::test]
async fn ack_later_frees_the_lane_and_answers_afterwards() {
    let server = Server::new().await;
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    quick(&server, &log);
    let waits = gate.clone();
    server.io.on::<u32>("later", move |_, n| {
        let gate = waits.clone();
        async move {
            Ack::later(async move {
                gate.acquire().await.unwrap().forget();
                n
            })
        }
    });
    let mut client = server.client().await;
    let later = [client.ask("later", json!(1)).await, client.ask("later", json!(2)).await];
    assert_eq!(client.request("quick", json!(3)).await, Ok(json!(3)), "the lane is free");
    gate.add_permits(2);
    assert_eq!(client.answer(later[0]).await, Ok(json!(1)));
    assert_eq!(client.answer(later[1]).await, Ok(json!(2)));
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_cancelled_and_answered_timeout() {
    let server = Server::with(json!({"handlerTimeout": "100ms"})).await;
    let log = Log::default();
    quick(&server, &log);
    let hang = |event: &str| {
        let log = log.clone();
        server.io.on::<()>(event, move |_, ()| {
            let guard = Dropped(log.clone(), "cancelled");
            async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            }
        })
    };
    hang("hang");
    hang("beside").concurrent(2);
    let _ = hang("own").timeout(Duration::from_millis(20));
    let mut client = server.client().await;
    for (index, event) in ["hang", "beside", "own"].into_iter().enumerate() {
        let asked = client.ask(event, json!(null)).await;
        let quick = client.ask("quick", json!(1)).await;
        assert_eq!(client.answer(asked).await.unwrap_err()["code"], "timeout", "{event}");
        assert_eq!(client.answer(quick).await, Ok(json!(1)), "{event}: the lane goes on");
        until("the handler is dropped", || log.all().iter().filter(|what| *what == "cancelled").count() == index + 1)
            .await;
    }
    // Without an id, too, the client is told.
    client.send("own", json!(null)).await;
    let told = client.expect("error").await;
    assert_eq!((&told["code"], &told["event"]), (&json!("timeout"), &json!("own")));
}

/// Boxes are used again, also of handlers of another size, and after one that was cancelled, refused its payload or panicked.
#[tokio::test]
async fn what_a_handler_holds_goes_when_it_is_through_however_it_ends() {
    let server = Server::with(json!({"handlerTimeout": "50ms"})).await;
    let held = Arc::new(());
    let on = |event: &'static str, is_large: bool| {
        let held = held.clone();
        server.io.on::<String>(event, move |_, how| {
            let (held, padding) = (held.clone(), [7u8; 600]);
            async move {
                let padding = if is_large { Some(padding) } else { None };
                match &*how {
                    "waits" => tokio::task::yield_now().await,
                    "for ever" => std::future::pending().await,
                    "panics" => panic!("as asked for"),
                    _ => {}
                }
                Arc::strong_count(&held) + padding.map_or(0, |padding| usize::from(padding[0]))
            }
        });
    };
    on("small", false);
    on("large", true);
    let mut client = server.client().await;
    for how in ["at once", "waits", "for ever", "panics", "at once", "waits"] {
        for (event, add) in [("small", 0), ("large", 7), ("large", 7), ("small", 0)] {
            let answer = client.request(event, json!(how)).await;
            match how {
                "for ever" => assert_eq!(answer.unwrap_err()["code"], "timeout"),
                "panics" => assert_eq!(answer.unwrap_err()["code"], "internal"),
                // Ours, one in each registration, and the one that counts.
                _ => assert_eq!(answer, Ok(json!(4 + add)), "{event} {how}"),
            }
            until("nothing is held", || Arc::strong_count(&held) == 3).await;
            assert_eq!(client.request(event, json!(1)).await.unwrap_err()["code"], "invalid_payload");
        }
    }
}

#[tokio::test]
async fn the_timeout_of_a_listener_can_be_longer_than_the_usual_one() {
    let server = Server::with(json!({"handlerTimeout": "20ms"})).await;
    let pause = async |_: Socket, ms| sleep(Duration::from_millis(ms)).await;
    let _ = server.io.on::<u64>("patient", pause).timeout(Duration::from_secs(10));
    server.io.on::<u64>("usual", pause);
    let mut client = server.client().await;
    assert_eq!(client.request("patient", json!(150)).await, Ok(json!(null)));
    assert_eq!(client.request("usual", json!(60_000)).await.unwrap_err()["code"], "timeout");
}

#[tokio::test]
async fn the_timeout_of_a_listener_holds_for_what_it_answers_later() {
    let server = Server::with(json!({"handlerTimeout": "3s"})).await;
    let never = async |_: Socket, ()| Ack::later(std::future::pending::<()>());
    let _ = server.io.on::<()>("later", never).timeout(Duration::from_millis(50));
    let mut client = server.client().await;
    let start = Instant::now();
    assert_eq!(client.request("later", json!(null)).await.unwrap_err()["code"], "timeout");
    // Its own 50 ms hold, not the usual 3 s.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_is_answered_later_is_bounded_by_the_handler_timeout() {
    let server = Server::with(json!({"handlerTimeout": "50ms"})).await;
    server.io.on::<()>("later", async |_, ()| Ack::later(std::future::pending::<()>()));
    let mut client = server.client().await;
    assert_eq!(client.request("later", json!(null)).await.unwrap_err()["code"], "timeout");
    client.expect_nothing().await;
}
