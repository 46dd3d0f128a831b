//! Subjects of NATS, streamed to browsers, and watched while they are: StreamKit's output component.
//!
//! ```sh
//! nats-server &
//! cargo run --release --features nats --example nats_bridge examples/nats_bridge/config.json
//! ```
//!
//! The file has the keys of [`eventwire::Setup`]; `--listen ADDRESS` takes the place of its `host` and `port`, and `--schema` prints
//! its JSON Schema. Clients connect to its `path` and subscribe to the room of a subject, `{"event": "subscribe", "data": "stream.a"}`; what is
//! published there comes as `message`. They get what comes from then on, and after a lost connection, by `since` and `epoch`, what they
//! missed: up to 1,000 messages of a room, 256 KiB or a minute of them.
//!
//! StreamKit's own clients connect to `/streamkit`, and get everything.
//!
//! Beside it, `/` is a page that shows what goes on, `/metrics` is for Prometheus, and `/health` tells JSON with 200 or, while a
//! required subject does not come, 503. On SIGTERM or Ctrl-C it ends within 5 s, and clients are told so (1001).

mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::map_request;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use eventwire::dialects::StreamKit;
use eventwire::nats_source::NatsSourceBuilder;
use eventwire::{Error, History, Io, PeerAddr, Setup};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use self::status::Source;

const USAGE: &str = "nats_bridge CONFIG.json [--listen ADDRESS], or nats_bridge --schema";

/// Where StreamKit's own clients connect, who get everything.
const STREAM_KIT: &str = "/streamkit";

/// Within it, all that was taken is sent, and all clients are told to come back.
const GRACE: Duration = Duration::from_secs(5);

/// What a room remembers, for those who lost their connection.
const REMEMBERED: usize = 1000;

#[derive(Clone)]
struct Bridge {
    io: Io,
    prometheus: PrometheusHandle,
}

async fn metrics(State(bridge): State<Bridge>) -> impl IntoResponse {
    bridge.io.publish_metrics();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], bridge.prometheus.render())
}

async fn health(State(bridge): State<Bridge>) -> Response {
    let health = bridge.io.health();
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

/// Viewers are told apart by it.
async fn with_peer(ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(PeerAddr(peer));
    request
}

/// The script that it shares with other pages, and where to connect, stand in the place of marks: it needs nothing but itself.
fn page(path: &str) -> Arc<str> {
    let path = Value::from(path).to_string().replace('<', "\\u003c");
    let page = include_str!("page.html").replace("/* wire.js */", include_str!("../wire.js"));
    page.replace("/* path */", &path).into()
}

/// Connects to NATS what the setup names.
fn connect(io: &Io, setup: &Setup) -> eventwire::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for source in NatsSourceBuilder::from_setup(setup)? {
        sources.push(Source::new(&setup.source, io.install(source.public().build()?), sources.len()));
    }
    Ok(sources)
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match run().await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nats_bridge: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run() -> eventwire::Result<()> {
    let Some(Arguments { setup, listen }) = arguments()? else { return Ok(()) };
    // Before anything is counted.
    let prometheus = PrometheusBuilder::new().install_recorder().map_err(|e| Error::new("metrics", e.to_string()))?;
    let path = setup.listen.path.clone();
    let listener = match listen {
        Some(address) => TcpListener::bind(address).await?,
        None => TcpListener::bind((setup.listen.host.as_str(), setup.listen.port)).await?,
    };
    let io = setup.clone().io_with(Io::builder().dialect(StreamKit::default()))?;
    // Bounded for each, as publishers name the rooms.
    io.rooms("*").history(History::bytes(256 * 1024).count(REMEMBERED).ttl(Duration::from_secs(60)).live_only());
    let sources = connect(&io, &setup)?;
    status::tell(&io, sources, prometheus.clone());

    let page = page(&path);
    let app = Router::new()
        .route("/", get(move || std::future::ready(Html(page.to_string()))))
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route_service(&path, io.service())
        .route_service(STREAM_KIT, io.service())
        .with_state(Bridge { io: io.clone(), prometheus })
        .layer(map_request(with_peer))
        .into_make_service_with_connect_info::<SocketAddr>();
    // Before it is said to be ready.
    let mut terminate = signal(SignalKind::terminate())?;
    println!("watch at http://{}/", listener.local_addr()?);
    tokio::select! {
        served = async { axum::serve(listener, app).await } => served?,
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    let cut = io.shutdown(GRACE).await;
    println!("ended; {cut} cut short");
    Ok(())
}

struct Arguments {
    setup: Setup,
    listen: Option<SocketAddr>,
}

/// `None` where all is said already.
fn arguments() -> eventwire::Result<Option<Arguments>> {
    let usage = |problem: String| Error::new("usage", format!("{problem}; usage: {USAGE}"));
    let (mut file, mut listen) = (None, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--schema" => {
                println!("{:#}", Io::config_schema());
                return Ok(None);
            }
            "--listen" => {
                let address = words.next().ok_or_else(|| usage("`--listen` needs an address".to_owned()))?;
                listen = Some(address.parse().map_err(|error| usage(format!("`--listen {address}`: {error}")))?);
            }
            option if option.starts_with('-') => return Err(usage(format!("there is no `{option}`"))),
            _ if file.is_some() => return Err(usage(format!("`{word}` is one file too many"))),
            _ => file = Some(word),
        }
    }
    let file = file.ok_or_else(|| usage("there is no configuration".to_owned()))?;
    let text = std::fs::read_to_string(&file).map_err(|error| Error::new("config", format!("{file}: {error}")))?;
    let setup = Setup::from_json(&text).map_err(|error| Error::new("config", format!("{file}: {error}")))?;
    let path = &setup.listen.path;
    if ["/", "/metrics", "/health", STREAM_KIT].contains(&path.as_str()) || path.contains(['{', '}']) {
        return Err(Error::new("config", format!("{file}: `path`: this program has something else at `{path}`")));
    }
    Ok(Some(Arguments { setup, listen }))
}
