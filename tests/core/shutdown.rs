//! Invariant 12: the end of all, in order and within its grace.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::kit::*;
use crate::support::*;

/// Counts how often `on_disconnect` has been called, and with which reasons.
fn note_reasons(server: &Server) -> Log {
    let log = Log::default();
    let reasons = log.clone();
    server.io.on_disconnect(move |_, reason| std::future::ready(reasons.add(format!("{reason:?}"))));
    log
}

/// Shuts down, and asserts that it took no longer than its grace.
async fn shut_down(server: &Server, grace: Duration) -> usize {
    let start = Instant::now();
    // On a busy machine every clock is late: this one as late as any.
    let clock = tokio::spawn(async move {
        sleep(grace).await;
        start.elapsed()
    });
    let cut = within("shutdown", server.io.shutdown(grace)).await;
    let took = start.elapsed();
    if took > grace {
        let late = clock.await.unwrap();
        assert!(took <= late + Duration::from_millis(100), "{took:?} of {grace:?}, which took {late:?}");
    } else {
        clock.abort();
    }
    cut
}

/// Asserts that nothing outlives the shutdown, but for the moment that a busy machine takes to run what is ready.
async fn all_is_over(server: &Server) {
    let start = Instant::now();
    until("every task has ended", || tokio::runtime::Handle::current().metrics().num_alive_tasks() == 0).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?} after the end", start.elapsed());
    assert_eq!(server.io.stats().sockets, 0);
}

#[tokio::test]
async fn invariant_12_each_client_is_told_closing_with_a_jittered_after_and_1001() {
    let server = Server::new().await;
    let reasons = note_reasons(&server);
    let mut clients = server.clients(50).await;
    for client in &clients {
        server.socket(client).emit("before", 1).await.unwrap();
    }
    let io = server.io.clone();
    let start = Instant::now();
    let down = tokio::spawn(async move { io.shutdown(Duration::from_secs(10)).await });
    let mut afters = Vec::new();
    for client in &mut clients {
        let (code, before) = client.closed().await;
        assert_eq!(code, 1001);
        assert_eq!(before[0], json!({"event": "before", "data": 1}), "what was emitted is sent");
        let closing = &before[1]["data"];
        assert_eq!((&closing["code"], &closing["reconnect"]), (&json!("shutdown"), &json!(true)));
        afters.push(closing["after"].as_u64().unwrap());
    }
    assert_eq!(down.await.unwrap(), 0, "nobody was cut short");
    assert!(start.elapsed() < Duration::from_secs(5), "done when all are gone: {:?}", start.elapsed());
    afters.sort_unstable();
    afters.dedup();
    assert!(afters.len() > 30, "they do not come back all at once: {afters:?}");
    assert!(afters.iter().all(|after| *after < 30_000), "{afters:?}");
    all_is_over(&server).await;
    assert_eq!(reasons.all(), vec!["Shutdown"; 50]);
    let stats = server.io.stats();
    assert_eq!((stats.sockets, stats.rooms, stats.members), (0, 0, 0));
    assert_eq!(shut_down(&server, Duration::from_millis(200)).await, 0, "again, it waits for the same end");
}

#[tokio::test]
async fn invariant_12_of_nobody_takes_no_time() {
    let server = Server::new().await;
    let start = Instant::now();
    assert_eq!(server.io.shutdown(Duration::from_secs(60)).await, 0);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn invariant_12_a_handler_that_never_ends_is_cut_within_the_grace() {
    let server = Server::new().await;
    let reasons = note_reasons(&server);
    let log = Log::default();
    let note = log.clone();
    server.io.on::<()>("hang", move |_, ()| {
        let guard = Dropped(note.clone(), "cancelled");
        async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        }
    });
    let mut clients = server.clients(3).await;
    clients[0].ask("hang", json!(null)).await;
    until("it hangs", || server.io.stats().messages_in == 1).await;
    let reading = tokio::spawn(async move {
        let mut codes = Vec::new();
        for client in &mut clients {
            codes.push(client.closed().await.0);
        }
        codes
    });
    assert_eq!(shut_down(&server, Duration::from_millis(800)).await, 1, "one was cut short");
    assert_eq!(reading.await.unwrap(), [1001; 3]);
    all_is_over(&server).await;
    assert_eq!((log.all(), reasons.all()), (vec!["cancelled".to_owned()], vec!["Shutdown".to_owned(); 3]));
}

#[tokio::test]
async fn invariant_12_a_peer_that_never_reads_is_cut_within_the_grace() {
    let server = Server::narrow(json!({"outbox": {"messages": 64}})).await;
    let reasons = note_reasons(&server);
    let stalled = Client::narrow(&server).await;
    clog(&server.socket(&stalled)).await;
    let mut reader = server.client().await;
    let reading = tokio::spawn(async move { reader.closed().await.0 });
    assert_eq!(shut_down(&server, Duration::from_millis(500)).await, 1, "one was cut short");
    assert_eq!(reading.await.unwrap(), 1001);
    // However long a close may linger otherwise.
    all_is_over(&server).await;
    assert_eq!(reasons.all(), vec!["Shutdown"; 2], "and each was told");
}

#[tokio::test]
async fn invariant_12_a_peer_that_never_answers_the_close_frame_is_cut_within_the_grace() {
    let server = Server::new().await;
    let reasons = note_reasons(&server);
    let mut raw = server.raw().await;
    // Shorter than the second for which a close lingers.
    shut_down(&server, Duration::from_millis(400)).await;
    assert_eq!(raw.closed().await.0, 1001);
    all_is_over(&server).await;
    assert_eq!(reasons.all(), ["Shutdown"]);
}

#[tokio::test]
async fn invariant_12_an_on_disconnect_that_hangs_is_cut_within_the_grace() {
    let server = Server::new().await;
    let log = Log::default();
    let note = log.clone();
    server.io.on_disconnect(move |_, _| {
        let guard = Dropped(note.clone(), "cancelled");
        async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        }
    });
    let mut client = server.client().await;
    let reading = tokio::spawn(async move { client.closed().await.0 });
    assert_eq!(shut_down(&server, Duration::from_millis(500)).await, 1);
    assert_eq!(reading.await.unwrap(), 1001);
    all_is_over(&server).await;
    assert_eq!(log.all(), ["cancelled"]);
}

#[tokio::test]
async fn invariant_12_all_of_it_under_load_stays_within_the_grace() {
    let server = Server::narrow(json!({"outbox": {"messages": 64, "overflow": "dropNewest"}})).await;
    server.io.rooms("room").public();
    server.io.on::<()>("hang", async |_, ()| std::future::pending::<()>().await);
    server.io.on_disconnect(|_, _| std::future::pending());
    let stalled = [Client::narrow(&server).await, Client::narrow(&server).await];
    for client in &stalled {
        server.socket(client).join("room").await.unwrap();
        clog(&server.socket(client)).await;
    }
    let mut reading = Vec::new();
    for n in 0..10 {
        let mut client = server.client_in("room").await;
        if n % 2 == 0 {
            client.ask("hang", json!(null)).await;
        }
        reading.push(tokio::spawn(async move { client.closed().await.0 }));
    }
    let io = server.io.clone();
    let emitting = tokio::spawn(async move {
        loop {
            let _ = io.to("room").emit("e", "x".repeat(1000)).await;
            tokio::task::yield_now().await;
        }
    });
    let cut = shut_down(&server, Duration::from_secs(1)).await;
    assert_eq!(cut, 12, "each hangs in one way or another");
    for one in reading {
        assert_eq!(one.await.unwrap(), 1001);
    }
    emitting.abort();
    all_is_over(&server).await;
}

#[tokio::test]
async fn invariant_12_who_comes_while_it_ends_is_refused_with_503() {
    let server = Server::new().await;
    server.io.on::<()>("hang", async |_, ()| std::future::pending::<()>().await);
    let mut client = server.client().await;
    client.ask("hang", json!(null)).await;
    until("it hangs", || server.io.stats().messages_in == 1).await;
    // Connected, but not yet shaken hands.
    let mut early = Raw::connect(server.address).await;
    settle().await;
    let io = server.io.clone();
    let down = tokio::spawn(async move { io.shutdown(Duration::from_secs(2)).await });
    assert_eq!(client.closed().await.0, 1001);
    let (status, response) = early.shake(&handshake(server.address, "GET /ws HTTP/1.1", &[])).await;
    let body: serde_json::Value = serde_json::from_str(response.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((status, &body["code"]), (503, &json!("unavailable")), "{response}");
    // And the listener is closed.
    until("nobody is accepted", || std::net::TcpStream::connect(server.address).is_err()).await;
    assert_eq!(down.await.unwrap(), 1);
    assert_eq!(server.io.stats().connected, 1);
}

#[tokio::test]
async fn invariant_12_half_a_handshake_holds_nothing_up() {
    let server = Server::new().await;
    let mut half = Raw::connect(server.address).await;
    half.write(b"GET /ws HTTP/1.1\r\nHost: x\r\n").await;
    settle().await;
    assert_eq!(shut_down(&server, Duration::from_millis(400)).await, 0);
    until("it is closed", || half.stream.try_read(&mut [0; 100]).is_ok_and(|read| read == 0)).await;
    all_is_over(&server).await;
}

#[tokio::test]
async fn invariant_12_listen_returns_when_shutdown_is_through() {
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let io = eventwire::Io::new();
    let listening = tokio::spawn({
        let io = io.clone();
        async move { io.listen(address).await }
    });
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect(address).await.is_err() {
        assert!(Instant::now() < deadline && !listening.is_finished());
        sleep(Duration::from_millis(2)).await;
    }
    let mut client = Client::connect(address, "/").await;
    let down = tokio::spawn(async move { io.shutdown(Duration::from_secs(5)).await });
    assert_eq!(client.closed().await.0, 1001);
    assert!(within("listen returns", listening).await.unwrap().is_ok());
    assert_eq!(down.await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_12_whoever_races_with_it_is_told_or_refused() {
    for round in 0..50u64 {
        let server = Server::new().await;
        let (told, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let coming: Vec<_> = (0..8)
            .map(|_| {
                let (address, told, refused) = (server.address, told.clone(), refused.clone());
                tokio::spawn(async move {
                    match Client::try_connect(address, "/ws", &[]).await {
                        Ok(mut client) => {
                            assert_eq!(client.closed().await.0, 1001);
                            told.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                    }
                })
            })
            .collect();
        for _ in 0..mixed(round) % 60 {
            tokio::task::yield_now().await;
        }
        assert_eq!(shut_down(&server, Duration::from_secs(5)).await, 0, "round {round}");
        for one in coming {
            within("each is told or refused", one).await.unwrap();
        }
        assert_eq!(told.load(Ordering::Relaxed) + refused.load(Ordering::Relaxed), 8, "round {round}");
        assert_eq!(server.io.stats().sockets, 0, "round {round}");
    }
}

// ---- the port, the tasks beside the sockets, and an end that comes more than once or too early

#[tokio::test]
async fn invariant_12_the_port_is_free_when_it_returns_whoever_still_holds_the_listener() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let io = eventwire::Io::new();
    // Polled to the point where it accepts, and not again: as in a `select!` whose other branch has won.
    let serving = io.serve(listener);
    tokio::pin!(serving);
    assert!(futures::poll!(&mut serving).is_pending());
    let start = Instant::now();
    assert_eq!(io.shutdown(Duration::from_secs(60)).await, 0);
    assert!(start.elapsed() < Duration::from_secs(5), "it waits for nobody who is not asked: {:?}", start.elapsed());
    std::net::TcpListener::bind(address).expect("the port is free");
    within("serve returns", serving).await.unwrap();
}

#[tokio::test]
async fn invariant_12_nobody_new_is_accepted_while_those_here_are_drained() {
    let server = Server::new().await;
    server.io.on::<()>("hang", async |_, ()| std::future::pending::<()>().await);
    let mut client = server.client().await;
    client.ask("hang", json!(null)).await;
    until("it hangs", || server.io.stats().messages_in == 1).await;
    let io = server.io.clone();
    let down = tokio::spawn(async move { io.shutdown(Duration::from_secs(2)).await });
    assert_eq!(client.closed().await.0, 1001);
    assert!(!down.is_finished(), "it still waits for the handler");
    std::net::TcpListener::bind(server.address).expect("whoever comes next has the port");
    assert_eq!(down.await.unwrap(), 1);
}

#[tokio::test]
async fn invariant_12_tasks_beside_the_sockets_are_told_and_waited_for() {
    let server = Server::new().await;
    let log = Log::default();
    let (note, io) = (log.clone(), server.io.clone());
    let task = server.io.spawn(async move {
        io.closing().await;
        note.add("closing");
        // Until the peers are gone too: as one that lets go of what it streamed to them.
        while io.stats().sockets > 0 {
            sleep(Duration::from_millis(2)).await;
        }
        sleep(Duration::from_millis(50)).await;
        note.add("done");
        7
    });
    let mut client = server.client().await;
    let reading = tokio::spawn(async move { client.closed().await.0 });
    assert_eq!(shut_down(&server, Duration::from_secs(10)).await, 0);
    assert_eq!(log.all(), ["closing", "done"]);
    assert_eq!(task.await.unwrap(), Some(7));
    assert_eq!(reading.await.unwrap(), 1001);
    all_is_over(&server).await;
}

#[tokio::test]
async fn invariant_12_a_task_that_does_not_look_out_is_dropped_within_the_grace() {
    let server = Server::new().await;
    let log = Log::default();
    let guard = Dropped(log.clone(), "dropped");
    let task = server.io.spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    assert_eq!(shut_down(&server, Duration::from_millis(400)).await, 1, "it was cut short");
    assert_eq!((log.all(), task.await.unwrap()), (vec!["dropped".to_owned()], None));
    // One that comes too late does not begin to stay.
    assert_eq!(within("it is dropped", server.io.spawn(std::future::pending::<()>())).await.unwrap(), None);
    all_is_over(&server).await;
}

#[tokio::test]
async fn a_task_that_panics_holds_nothing_up() {
    let server = Server::new().await;
    let task = server.io.spawn(async { oops("the task fails") });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(shut_down(&server, Duration::from_secs(60)).await, 0);
    all_is_over(&server).await;
}

#[tokio::test]
async fn a_task_is_dropped_with_the_last_handle_of_its_io() {
    let io = eventwire::Io::new();
    let task = io.spawn(std::future::pending::<()>());
    settle().await;
    assert!(!task.is_finished());
    drop(io);
    assert_eq!(within("it is dropped", task).await.unwrap(), None);
}

#[tokio::test]
async fn invariant_12_of_two_at_a_time_the_first_grace_that_is_over_holds() {
    let server = Server::new().await;
    let reasons = note_reasons(&server);
    server.io.on::<()>("hang", async |_, ()| std::future::pending::<()>().await);
    let mut client = server.client().await;
    client.ask("hang", json!(null)).await;
    until("it hangs", || server.io.stats().messages_in == 1).await;
    let reading = tokio::spawn(async move { client.closed().await.0 });
    let io = server.io.clone();
    let patient = tokio::spawn(async move { io.shutdown(Duration::from_secs(60)).await });
    settle().await;
    assert_eq!(shut_down(&server, Duration::from_millis(500)).await, 1);
    assert_eq!(within("the patient one", patient).await.unwrap(), 0, "the other has cut");
    assert_eq!(shut_down(&server, Duration::from_secs(60)).await, 0, "and once more");
    assert_eq!((reading.await.unwrap(), reasons.all()), (1001, vec!["Shutdown".to_owned()]));
    all_is_over(&server).await;
}

#[tokio::test]
async fn invariant_12_who_listens_after_it_lets_nobody_in() {
    let io = eventwire::Io::new();
    assert_eq!(io.shutdown(Duration::from_secs(1)).await, 0, "before anything has begun");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    within("serve returns", io.serve(listener)).await.unwrap();
    std::net::TcpListener::bind(address).expect("the port is free");
    within("listen returns", io.listen(address)).await.unwrap();
    std::net::TcpListener::bind(address).expect("and again");
    assert_eq!(io.stats().connected, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_12_who_begins_to_listen_while_it_ends_leaves_no_port_behind() {
    for round in 0..50u64 {
        let io = eventwire::Io::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn({
            let io = io.clone();
            async move { io.serve(listener).await }
        });
        for _ in 0..mixed(round) % 20 {
            tokio::task::yield_now().await;
        }
        io.shutdown(Duration::from_secs(5)).await;
        within("serve returns", serving).await.unwrap().unwrap();
        std::net::TcpListener::bind(address).unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
}
