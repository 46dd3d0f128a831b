//! The ways in through what serves HTTP already: axum, tower, hyper.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use eventwire::{Body, Io, PeerAddr, Service, Socket};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_service::Service as _;

use crate::kit::*;
use crate::support::*;
use crate::ways_in::an_early_event_is_handled;

fn io() -> Io {
    let io = Io::new();
    furnish(&io);
    io
}

/// Serves a router on port 0.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn two_ios_at_two_paths_of_one_server_are_two_namespaces() {
    let (chat, admin) = (io(), io());
    let app = Router::new()
        .route_service("/chat", chat.service())
        .route_service("/admin", admin.service())
        .route("/", get(async || "a page"));
    let address = serve(app).await;
    let mut chats = [Client::connect(address, "/chat").await, Client::connect(address, "/chat").await];
    let mut admins = Client::connect(address, "/admin?x=1").await;
    for client in chats.iter_mut().chain([&mut admins]) {
        client.request("subscribe", json!("public:a")).await.unwrap();
    }
    assert_eq!(chat.to("public:a").emit("n", "chat").await, Ok(2));
    assert_eq!(admin.emit("n", "admin").await, Ok(1));
    for client in &mut chats {
        assert_eq!(client.expect("n").await, "chat");
        client.expect_nothing().await;
    }
    assert_eq!(admins.expect("n").await, "admin");
    admins.expect_nothing().await;
    assert_eq!((chat.stats().sockets, admin.stats().sockets), (2, 1));
    let of_admins = admin.sockets().remove(0);
    assert_eq!((of_admins.handshake().path(), of_admins.handshake().query()), ("/admin", Some("x=1")));

    // What is no path of theirs is the router's.
    let mut raw = Raw::connect(address).await;
    assert_eq!(raw.shake("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.0, 200);
    let mut raw = Raw::connect(address).await;
    let nowhere = handshake(address, "GET /ws HTTP/1.1", &[("Connection", "close, Upgrade")]);
    assert_eq!(raw.shake(&nowhere).await.0, 404);
}

#[tokio::test]
async fn an_event_in_the_same_packet_as_the_handshake_is_handled_in_axum() {
    let io = io();
    let upgraded = io.clone();
    let app = Router::new()
        .route_service("/service", io.service())
        .route("/upgrade", any(async move |request: Request| upgraded.upgrade(request).await));
    let address = serve(app).await;
    for _ in 0..20 {
        an_early_event_is_handled(address, "/service").await;
        an_early_event_is_handled(address, "/upgrade").await;
    }
}

/// A route of one's own may look at the request before, and refuse by itself.
#[tokio::test]
async fn upgrade_works_inside_a_route_of_ones_own() {
    async fn ws(State(io): State<Io>, request: Request) -> axum::response::Response {
        match request.headers().contains_key("x-ticket") {
            true => io.upgrade(request).await.into_response(),
            false => (http::StatusCode::PAYMENT_REQUIRED, "no ticket").into_response(),
        }
    }
    let io = io();
    let address = serve(Router::new().route("/ws/{name}", any(ws)).with_state(io.clone())).await;
    let mut client = Client::try_connect(address, "/ws/ann", &[("x-ticket", "1")]).await.unwrap();
    assert_eq!(client.request("echo", json!([1])).await, Ok(json!([1])));
    assert_eq!(io.sockets()[0].handshake().path(), "/ws/ann");
    let mut raw = Raw::connect(address).await;
    let request = handshake(address, "GET /ws/ann HTTP/1.1", &[("Connection", "close, Upgrade")]);
    assert_eq!(raw.shake(&request).await.0, 402);
    // The door's refusals are responses like others.
    let refused = refused(address, "GET /ws/ann HTTP/1.1", &[("X-Ticket", "1"), ("Sec-WebSocket-Version", "12")]).await;
    assert_eq!(refused.status, 426);
    client.close().await;
    until("it is gone", || io.stats().sockets == 0).await;
}

/// hyper 1, with a service of one's own around, as its guide shows it.
#[tokio::test]
async fn plain_hyper_serves_it_where_upgrades_are_on() {
    let io = io();
    io.on::<Value>("peer", async |socket: Socket, _| socket.handshake().peer().map(|peer| peer.to_string()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = io.service();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let service = service.clone();
            let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
                // Who accepts the connection may say from where it came.
                request.extensions_mut().insert(PeerAddr(peer));
                service.clone().call(request)
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection.with_upgrades());
        }
    });
    an_early_event_is_handled(address, "/").await;
    let mut client = Client::connect(address, "/").await;
    let own = client.ws.get_ref().local_addr().unwrap();
    assert_eq!(client.request("peer", json!(null)).await, Ok(json!(own.to_string())));
}

/// hyper-util's server, which speaks HTTP/2 where it is asked for, and its way from tower to hyper.
#[tokio::test]
async fn hyper_utils_server_serves_it() {
    let io = io();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = TowerToHyperService::new(io.service());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let executor = hyper_util::rt::TokioExecutor::new();
                let server = hyper_util::server::conn::auto::Builder::new(executor);
                let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            });
        }
    });
    an_early_event_is_handled(address, "/").await;
    let mut client = Client::connect(address, "/").await;
    assert_eq!(client.request("echo", json!(1)).await, Ok(json!(1)));
    assert_eq!(io.stats().connected, 2);
}

fn request(upgrade: bool) -> http::Request<()> {
    let request = http::Request::get("http://a.example/ws");
    let request =
        if upgrade { request.header("connection", "upgrade").header("upgrade", "websocket") } else { request };
    request
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .unwrap()
}

async fn body(response: http::Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

/// As tower calls it, by itself: a body of any type, no error ever, and always ready.
#[tokio::test]
async fn the_service_is_towers() {
    async fn call<S>(mut service: S, upgrade: bool) -> http::Response<Body>
    where
        S: tower_service::Service<http::Request<()>, Response = http::Response<Body>, Error = Infallible>
            + Clone
            + Send,
    {
        std::future::poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
        service.call(request(upgrade)).await.unwrap()
    }
    let io = io();
    let service: Service = io.service();
    let response = call(service.clone(), false).await;
    assert_eq!((response.status().as_u16(), body(response).await["code"].clone()), (426, json!("upgrade_required")));
    // A handshake in order, over what cannot be upgraded, such as HTTP/2 or a server without upgrades.
    let response = call(service, true).await;
    assert_eq!((response.status().as_u16(), body(response).await["code"].clone()), (426, json!("no_upgrade")));
    assert_eq!(io.stats().connected, 0);
}

/// A server that does not pass upgrades on answers 101 and then drops the connection: nothing of it stays.
#[tokio::test]
async fn an_upgrade_that_never_comes_leaves_nothing() {
    let config = serde_json::from_value(json!({"maxConnections": 1})).unwrap();
    let io = Io::builder().config(config).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = TowerToHyperService::new(io.service());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Without `with_upgrades`.
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
            tokio::spawn(connection);
        }
    });
    for _ in 0..3 {
        let mut raw = Raw::connect(address).await;
        raw.write(handshake(address, WS, &[]).as_bytes()).await;
        let _ = end(&mut raw).await;
    }
    assert_eq!((io.stats().connected, io.stats().sockets), (0, 0));
    assert_eq!(within("nothing is waited for", io.shutdown(std::time::Duration::from_secs(5))).await, 0);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn in_axum_the_peer_is_known_by_connect_info() {
    let io = io();
    io.on::<Value>("peer", async |socket: Socket, _| socket.handshake().peer().map(|peer| peer.to_string()));
    let app = Router::new().route_service("/ws", io.service());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    let mut client = Client::connect(address, "/ws").await;
    let own = client.ws.get_ref().local_addr().unwrap();
    assert_eq!(client.request("peer", json!(null)).await, Ok(json!(own.to_string())));
}

#[tokio::test]
async fn in_axum_without_connect_info_the_peer_is_not_known() {
    let io = io();
    let address = serve(Router::new().route_service("/ws", io.service())).await;
    let _client = Client::connect(address, "/ws").await;
    assert_eq!(io.sockets()[0].handshake().peer(), None);
}
