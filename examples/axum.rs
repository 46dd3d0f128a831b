//! Eventwire within an axum application: a page, an API, and two namespaces.
//!
//! ```sh
//! cargo run --example axum [-- ADDRESS]    # then open http://127.0.0.1:3000/
//! ```
//!
//! The page shows a counter that every tab and the API (`curl -X POST http://127.0.0.1:3000/add`) move; `/admin`
//! is a namespace of its own that needs a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use eventwire::{Io, Socket, auth};
use tokio::net::TcpListener;

const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8"><title>Eventwire within axum</title>
<style>body { font: 1.2rem system-ui; display: grid; place-content: center; gap: 1rem; text-align: center; min-height: 90vh }
  output { font-size: 6rem; font-variant-numeric: tabular-nums } button { font: inherit; padding: .5rem 1.5rem }</style>
<output id="count">–</output><button id="add">Add one</button>
<script>
  const socket = new WebSocket(`ws://${location.host}/ws`);
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.event === 'count') count.textContent = message.data;
  };
  add.onclick = () => socket.send(JSON.stringify({ event: 'add' }));
</script>"#;

#[derive(Clone)]
struct App {
    io: Io,
    count: Arc<AtomicU64>,
}

impl App {
    async fn add(&self) -> eventwire::Result<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.io.emit("count", count).await?;
        Ok(count)
    }
}

async fn add(State(app): State<App>) -> Result<Json<u64>, Json<eventwire::Error>> {
    app.add().await.map(Json).map_err(Json)
}

#[tokio::main]
async fn main() -> eventwire::Result<()> {
    let app = App { io: Io::new(), count: Arc::default() };

    // Everyone: gets the count when it changes, and first of all.
    let welcome = app.clone();
    app.io.on_connect(move |socket: Socket| {
        let count = welcome.count.load(Ordering::Relaxed);
        async move { Ok(socket.emit("count", count).await?) }
    });
    let adder = app.clone();
    app.io.on::<()>("add", move |_: Socket, ()| {
        let app = adder.clone();
        async move { app.add().await }
    });

    // Those with a token, at a path of their own: another `Io` is another namespace.
    let admin = Io::new();
    admin.authenticate(auth::required(auth::query_token("token", |token| async move {
        (token == "s3cret").then(|| String::from("admin"))
    })));
    let reset = app.clone();
    admin.on::<u64>("set", move |_: Socket, count| {
        let app = reset.clone();
        async move {
            app.count.store(count, Ordering::Relaxed);
            app.io.emit("count", count).await
        }
    });

    let io = app.io.clone();
    let router = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/add", post(add))
        .route_service("/ws", io.service())
        .route_service("/admin", admin.service())
        .with_state(app);
    let listener = TcpListener::bind(std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("open http://{}/", listener.local_addr()?);
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served?,
        _ = tokio::signal::ctrl_c() => {}
    }
    tokio::join!(io.shutdown(Duration::from_secs(2)), admin.shutdown(Duration::from_secs(2)));
    Ok(())
}
