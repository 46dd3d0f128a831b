//! Commands, run by the server and watched live by any number of browser tabs.
//!
//! ```sh
//! cargo run --release --example runner
//! cargo run --release --example runner -- --listen 127.0.0.1:8080 'tests=cargo test' 'disk=du -h /usr/share'
//! ```
//!
//! `POST /run?profile=NAME&id=ID` starts one (202; 404 for an unknown profile, 409 for an id that runs),
//! `GET /profiles` tells which there are, and `/ws` is the socket. The page uses nothing but `new WebSocket`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use eventwire::process::{Command, Info, ProcessError, Processes, Rights, Settings};
use eventwire::{Error, Io, Pace, Socket};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const PAGE: &str = include_str!("page.html");

/// The room of those that watch the list of runs.
const RUNS: &str = "runs";

/// A command that may be run.
#[derive(Clone, Serialize)]
struct Profile {
    name: String,
    command: String,
}

#[derive(Clone)]
struct Runner {
    io: Io,
    processes: Processes,
    profiles: Arc<Vec<Profile>>,
}

/// A run as the page lists it.
#[derive(Serialize)]
struct Listed {
    command: String,
    #[serde(flatten)]
    info: Info,
}

#[derive(Deserialize)]
struct RunQuery {
    profile: String,
    id: String,
}

impl Runner {
    fn list(&self) -> Vec<Listed> {
        let command = |info: &Info| {
            let profile = self.profiles.iter().find(|profile| Some(&profile.name) == info.profile.as_ref())?;
            Some(profile.command.clone())
        };
        self.processes.list().into_iter().filter_map(|info| Some(Listed { command: command(&info)?, info })).collect()
    }

    async fn tell(&self) -> eventwire::Result<()> {
        self.io.to(RUNS).emit("runs", self.list()).await?;
        Ok(())
    }

    fn run(&self, profile: &str, id: &str) -> Result<String, ProcessError> {
        let run = self.processes.start(id, profile, Value::Null)?;
        let name = run.run().to_owned();
        let runner = self.clone();
        tokio::spawn(async move {
            runner.tell().await?;
            run.ended().await;
            runner.tell().await
        });
        Ok(name)
    }
}

async fn run(State(runner): State<Runner>, query: Result<Query<RunQuery>, QueryRejection>) -> Response {
    let refuse = |status: StatusCode, error: Error| (status, Json(error)).into_response();
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => return refuse(rejection.status(), Error::new("invalid_query", rejection.body_text())),
    };
    match runner.run(&query.profile, &query.id) {
        Ok(run) => {
            let told = serde_json::json!({ "processId": query.id, "run": run });
            (StatusCode::ACCEPTED, Json(told)).into_response()
        }
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

#[tokio::main]
async fn main() -> eventwire::Result<()> {
    let (listen, profiles) = arguments()?;
    let io = Io::new();
    io.rooms(RUNS).public();
    // A tab that takes 640 kB/s loses nothing; one that takes nothing is closed after 10 s, and costs a run no more.
    let pace = Pace::slowest(1024 * 1024).at_most(Duration::from_millis(100));
    // Whoever watches may stop it; what is started is said over HTTP.
    let settings = Settings::default().pause(pace).rights(async |_, _| Rights::VIEW | Rights::SIGNAL);
    let settings = profiles.iter().fold(settings, |settings, profile| {
        // Commands of whoever started the runner, in whose place they run.
        let command = Command::shell(&profile.command).inherit_env();
        let command = command.cwd(env!("CARGO_MANIFEST_DIR")).env("CARGO_TERM_COLOR", "always");
        settings.profile(&profile.name, command)
    });
    let processes = io.install(settings);
    let runner = Runner { io: io.clone(), processes: processes.clone(), profiles: Arc::new(profiles) };

    // The module's own list does not tell the commands.
    io.off("process_list");
    let lists = runner.clone();
    io.on::<()>("process_list", move |_: Socket, ()| {
        let list = lists.list();
        async move { eventwire::ok(list) }
    });

    let app = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/profiles", get(async |State(runner): State<Runner>| Json(runner.profiles.to_vec())))
        .route("/run", post(run))
        .route_service("/ws", io.service())
        .with_state(runner);
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

fn arguments() -> eventwire::Result<(SocketAddr, Vec<Profile>)> {
    let usage =
        |problem: String| Error::new("usage", format!("{problem}; usage: runner [--listen ADDR] [NAME=COMMAND ...]"));
    let (mut listen, mut profiles) = (SocketAddr::from(([127, 0, 0, 1], 3000)), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--listen" {
            let address = arguments.next().ok_or_else(|| usage("`--listen` needs an address".into()))?;
            listen = address.parse().map_err(|error| usage(format!("`--listen {address}`: {error}")))?;
        } else if let Some((name, command)) = argument.split_once('=').filter(|(name, _)| !name.is_empty()) {
            profiles.push(Profile { name: name.into(), command: command.into() });
        } else {
            return Err(usage(format!("`{argument}` is no NAME=COMMAND")));
        }
    }
    if profiles.is_empty() {
        let default = |name: &str, command: &str| Profile { name: name.into(), command: command.into() };
        profiles.push(default("build", "cargo build --target-dir target/runner"));
        profiles.push(default(
            "count",
            "for n in $(seq 1 600); do echo \"line $n of 600\"; [ $((n % 25)) = 0 ] && echo \"that makes $n\" >&2; sleep 0.1; done",
        ));
    }
    Ok((listen, profiles))
}
