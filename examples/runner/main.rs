//! Commands, run by the server, watched live by any number of browser tabs, fed and stopped from them.
//!
//! ```sh
//! cargo run --release --example runner
//! cargo run --release --example runner -- --listen 127.0.0.1:8080 'tests=cargo test' 'disk=du -h .' --input 'sums=bc'
//! ```
//!
//! `NAME=COMMAND` is a profile, run by `sh -c`; `--input` before it leaves its standard input open to the page; `--cwd DIR` is
//! where they run, by default this project. Whoever reaches the page may do all that it shows: start profiles, write
//! to their input, signal them, and stop them. No page can bring a command of its own.
//!
//! The page speaks the events of [`eventwire::process`] over `/ws`, and uses nothing but `new WebSocket`. Beside it,
//! `POST /run?profile=NAME&id=ID` starts one (202; 404 for an unknown profile, 409 for an id that runs), and
//! `GET /profiles` tells which there are.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use eventwire::process::{Command, ProcessError, Processes, Rights, Settings};
use eventwire::{Error, History, Io, Pace};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The script that it shares with another page stands in the place of a mark: it needs nothing but itself.
static PAGE: LazyLock<String> =
    LazyLock::new(|| include_str!("page.html").replace("/* wire.js */", include_str!("../wire.js")));

/// The room of those that watch the list of processes, and how often it is told what has changed.
const RUNS: &str = "runs";
const TICK: Duration = Duration::from_millis(100);

const USAGE: &str = "runner [--listen ADDR] [--cwd DIR] [[--input] NAME=COMMAND ...]";

/// What there is when nothing is given.
const DEFAULTS: [&str; 8] = [
    "build=cargo build --target-dir target/runner",
    "count=for n in $(seq 1 600); do echo \"line $n of 600\"; [ $((n % 25)) = 0 ] && echo \"that makes $n\" >&2; sleep 0.1; done",
    "--input",
    "ask=sh examples/runner/ask.sh",
    "--input",
    "cat=cat",
    "colours=sh examples/runner/colours.sh",
    "flood=seq 1 1000000",
];

/// A command that may be run.
#[derive(Serialize)]
struct Profile {
    name: String,
    command: String,
    /// Whether it can be written to.
    input: bool,
}

#[derive(Clone)]
struct Runner {
    processes: Processes,
    profiles: Arc<Vec<Profile>>,
}

#[derive(Deserialize)]
struct RunQuery {
    profile: String,
    id: String,
}

async fn run(State(runner): State<Runner>, query: Result<Query<RunQuery>, QueryRejection>) -> Response {
    let refuse = |status: StatusCode, error: Error| (status, Json(error)).into_response();
    let Query(query) = match query {
        Ok(query) => query,
        Err(rejection) => return refuse(rejection.status(), Error::new("invalid_query", rejection.body_text())),
    };
    match runner.processes.start(&query.id, &query.profile, Value::Null) {
        Ok(run) => (StatusCode::ACCEPTED, Json(json!({ "processId": run.id(), "run": run.run() }))).into_response(),
        Err(ProcessError::UnknownProfile(name)) => {
            let known: Vec<&str> = runner.profiles.iter().map(|profile| profile.name.as_str()).collect();
            let message = format!("there is no profile `{name}`, only {}", known.join(", "));
            refuse(StatusCode::NOT_FOUND, Error::new("unknown_profile", message))
        }
        Err(error @ ProcessError::AlreadyRunning) => refuse(StatusCode::CONFLICT, error.into()),
        Err(error @ ProcessError::InvalidId) => refuse(StatusCode::BAD_REQUEST, error.into()),
        Err(error @ ProcessError::TooMany) => refuse(StatusCode::SERVICE_UNAVAILABLE, error.into()),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error.into()),
    }
}

/// Tells the list as it changes, the bytes of what runs among it. The module tells each process's own room of it, and the
/// list to whoever asks.
async fn tell_the_list(io: Io, processes: Processes) {
    let mut told = json!([]);
    loop {
        let list = json!(processes.list());
        if list != told {
            let _ = io.to(RUNS).emit("runs", &list).await;
            told = list;
        }
        tokio::time::sleep(TICK).await;
    }
}

#[tokio::main]
async fn main() -> eventwire::Result<()> {
    let Arguments { listen, cwd, profiles } = arguments()?;
    let io = Io::new();
    io.rooms(RUNS).public();
    // A tab that takes 640 kB/s loses nothing, however much is printed; one that takes nothing holds up no run by more than
    // that, and is told what it has missed.
    let pace = Pace::slowest(1024 * 1024).at_most(Duration::from_millis(100));
    let settings =
        Settings::default().history(History::bytes(8 * 1024 * 1024)).pause(pace).rights(async |_, _| Rights::ALL);
    let settings = profiles.iter().fold(settings, |settings, profile| {
        // Commands of whoever started the runner, in whose place they run.
        let command = Command::shell(&profile.command).inherit_env().cwd(&cwd).env("CARGO_TERM_COLOR", "always");
        settings.profile(&profile.name, if profile.input { command.input() } else { command })
    });
    let processes = io.install(settings);
    tokio::spawn(tell_the_list(io.clone(), processes.clone()));

    let app = Router::new()
        .route("/", get(async || Html(PAGE.as_str())))
        .route("/profiles", get(async |State(runner): State<Runner>| Json(json!(*runner.profiles))))
        .route("/run", post(run))
        .route_service("/ws", io.service())
        .with_state(Runner { processes: processes.clone(), profiles: Arc::new(profiles) });
    let listener = TcpListener::bind(listen).await?;
    // Before it is said to be ready.
    let mut terminate = signal(SignalKind::terminate())?;
    println!("watch at http://{}/", listener.local_addr()?);
    tokio::select! {
        served = async { axum::serve(listener, app).await } => served?,
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    // What still runs ends with it.
    io.shutdown(Duration::from_secs(3)).await;
    processes.all_ended().await;
    Ok(())
}

struct Arguments {
    listen: SocketAddr,
    cwd: String,
    profiles: Vec<Profile>,
}

fn arguments() -> eventwire::Result<Arguments> {
    let mut arguments = parse(std::env::args().skip(1))?;
    if arguments.profiles.is_empty() {
        arguments.profiles = parse(DEFAULTS.into_iter().map(str::to_owned))?.profiles;
    }
    Ok(arguments)
}

fn parse(mut words: impl Iterator<Item = String>) -> eventwire::Result<Arguments> {
    let usage = |problem: String| Error::new("usage", format!("{problem}; usage: {USAGE}"));
    let listen = SocketAddr::from(([127, 0, 0, 1], 3000));
    let mut arguments = Arguments { listen, cwd: env!("CARGO_MANIFEST_DIR").into(), profiles: Vec::new() };
    while let Some(word) = words.next() {
        let mut value = |what: &str| words.next().ok_or_else(|| usage(format!("`{word}` needs {what}")));
        if word == "--listen" {
            let address = value("an address")?;
            arguments.listen = address.parse().map_err(|error| usage(format!("`--listen {address}`: {error}")))?;
        } else if word == "--cwd" {
            arguments.cwd = value("a directory")?;
        } else {
            let input = word == "--input";
            let given = if input { value("a profile")? } else { word };
            let profile = given.split_once('=').filter(|(name, _)| !name.is_empty());
            let (name, command) = profile.ok_or_else(|| usage(format!("`{given}` is no NAME=COMMAND")))?;
            arguments.profiles.push(Profile { name: name.into(), command: command.into(), input });
        }
    }
    Ok(arguments)
}
