//! How many may come in: whole and from one address, and that a place is free again.

use eventwire::{Handshake, Refusal};
use futures::future::join_all;
use serde_json::json;
use tokio_tungstenite::tungstenite::Error;

use crate::kit::*;
use crate::support::*;

/// Asserts that one more is refused with 503 and a JSON body.
async fn is_full(server: &Server) {
    let refused = refused(server.address, WS, &[]).await;
    assert_eq!((refused.status, &refused.body["code"]), (503, &json!("unavailable")), "{refused:?}");
}

#[tokio::test]
async fn connections_are_capped_and_a_place_is_free_again_after_a_close() {
    for cap in ["maxConnections", "maxConnectionsPerAddress"] {
        let server = server_with(json!({cap: 3})).await;
        let mut clients = server.clients(3).await;
        is_full(&server).await;
        is_full(&server).await;
        for client in &mut clients {
            assert_eq!(client.request("echo", json!(1)).await, Ok(json!(1)), "those inside stay");
        }
        clients.pop().unwrap().close().await;
        until("its place is free", || server.io.stats().sockets == 2).await;
        clients.push(comes_in(&server).await);
        is_full(&server).await;
        // Without a close frame, too.
        drop(clients);
        let _again = comes_in_all(&server, 3).await;
        is_full(&server).await;
    }
}

/// A place is given back once everything of a connection is gone, shortly after its socket.
async fn comes_in(server: &Server) -> Client {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        match Client::try_connect(server.address, "/ws", &[]).await {
            Ok(client) => return client,
            Err(Error::Http(response)) => assert_eq!(response.status(), 503),
            Err(error) => panic!("{error}"),
        }
        assert!(tokio::time::Instant::now() < deadline, "within {DEADLINE:?}: a place");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connects_from_one_address_fills_its_places_and_no_more() {
    for cap in ["maxConnections", "maxConnectionsPerAddress"] {
        let server = server_with(json!({cap: 10})).await;
        let knocks = (0..200).map(|_| {
            let address = server.address;
            tokio::spawn(async move { Client::try_connect(address, "/ws", &[]).await })
        });
        let mut inside = Vec::new();
        for knocked in join_all(knocks).await {
            match knocked.unwrap() {
                Ok(client) => inside.push(client),
                Err(Error::Http(response)) => assert_eq!(response.status(), 503),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(inside.len(), 10, "{cap}");
        is_full(&server).await;
        drop(inside);
        // All of the places are free again, in a while, and no more than those.
        let _again = comes_in_all(&server, 10).await;
        is_full(&server).await;
    }
}

async fn comes_in_all(server: &Server, n: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..n {
        clients.push(comes_in(server).await);
    }
    clients
}

/// Whoever is refused for another reason takes no place.
#[tokio::test]
async fn the_refused_take_no_place() {
    let server =
        server_with(json!({"maxConnections": 1, "maxConnectionsPerAddress": 1, "handshakeTimeout": "200ms"})).await;
    server.io.authenticate(|handshake: Handshake| async move {
        match handshake.query() {
            None => Ok("ann"),
            Some("panic") => panic!("on purpose"),
            Some("slow") => std::future::pending().await,
            Some(_) => Err(Refusal::forbidden("no")),
        }
    });
    for query in ["bad", "bad", "panic", "panic", "slow"] {
        let mut raw = Raw::connect(server.address).await;
        raw.write(handshake(server.address, &format!("GET /ws?{query} HTTP/1.1"), &[]).as_bytes()).await;
        let _ = end(&mut raw).await;
    }
    for headers in [[("Origin", "null")], [("Sec-WebSocket-Key", "x")]] {
        refused(server.address, WS, &headers).await;
    }
    // One who leaves while it is found out who he is.
    let mut raw = Raw::connect(server.address).await;
    raw.write(handshake(server.address, "GET /ws?slow HTTP/1.1", &[]).as_bytes()).await;
    drop(raw);
    let client = comes_in(&server).await;
    is_full(&server).await;
    drop(client);
}

/// Different addresses have places of their own.
#[tokio::test]
async fn another_address_has_places_of_its_own() {
    let server = server_with(json!({"maxConnectionsPerAddress": 1})).await;
    let _client = server.client().await;
    is_full(&server).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    // All of 127/8 is this machine, on Linux; elsewhere there is nothing to show.
    if socket.bind("127.0.0.2:0".parse().unwrap()).is_ok() {
        let mut raw = Raw::connect(server.address).await;
        raw.stream = socket.connect(server.address).await.unwrap();
        let (status, _) = raw.shake(&handshake(server.address, WS, &[])).await;
        assert_eq!(status, 101);
    }
}
