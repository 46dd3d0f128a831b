//! The server against which clients in any language are tested.
//!
//! ```sh
//! cargo run --release --example conformance -- --listen 127.0.0.1:4000 [--config FILE] [--allow-shell] [--yield] \
//!     [--nats URL --source SUBJECT,SUBJECT…]      # with `--features nats`
//! ```
//!
//! It prints `listening on ws://ADDR/ws` when it is ready, and ends cleanly on SIGTERM. The paths `/go-ws` and `/streamkit` speak those
//! dialects, any other the protocol's own JSON. In rooms `once:*` messages are to be acknowledged. What it answers to which event is in `events.rs` beside this file, and
//! which processes it runs in `processes.rs`; with `--allow-shell`, any script of any client's. With `--yield`, the handlers of `echo` and
//! `echo_ack` let others run once before they answer, as one that asks a database would: to measure what that costs.
//! With `--nats` it streams the subjects of `--source` to rooms of their names, which anyone may subscribe to; it waits for NATS for
//! two seconds before it says that it is ready, and for ever after.

mod events;
mod processes;

use std::net::SocketAddr;
use std::time::Duration;

use eventwire::dialects::{GoWs, StreamKit};
use eventwire::{AtLeastOnce, Config, Handshake, History, Io, Refusal};
use tokio::net::TcpSocket;
use tokio::signal::unix::{SignalKind, signal};

const GRACE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { listen, config, allow_shell, yields, nats } = arguments()?;
    raise_file_limit();

    let io = Io::builder().config(config).dialect(GoWs::default()).dialect(StreamKit::default()).build()?;
    io.authenticate(|handshake: Handshake| async move {
        match handshake.query_param("token").as_deref() {
            None => Ok(None),
            Some("" | "bad") => Err(Refusal::unauthorized("the token is not valid")),
            Some(user) => Ok(Some(user.to_owned())),
        }
    });
    io.rooms("public:*").public();
    let once = AtLeastOnce::default().ack_timeout(Duration::from_secs(1)).tries(5);
    io.rooms("once:*").public().history(History::default()).at_least_once(once);
    io.rooms("member:*").allow_if(|socket, _| async move { !socket.handshake().user().is_empty() });
    events::register(&io, yields);
    let processes = processes::install(&io, allow_shell);
    if let Some((url, subjects)) = nats {
        stream(&io, &url, &subjects).await?;
    }

    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    let listener = socket.listen(4096)?;
    // Before it says that it is ready: whoever reads that may end it at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    println!("listening on ws://{}/ws", listener.local_addr()?);
    tokio::select! {
        served = io.serve(listener) => served?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    io.shutdown(GRACE).await;
    processes.all_ended().await;
    Ok(())
}

#[cfg(feature = "nats")]
async fn stream(io: &Io, url: &str, subjects: &str) -> Result<(), Box<dyn std::error::Error>> {
    use eventwire::nats_source::NatsSource;

    let source = NatsSource::builder().connect(url).subjects(subjects.split(',').map(str::trim)).public();
    let source = io.install(source.build().map_err(|error| error.to_string())?);
    if tokio::time::timeout(Duration::from_secs(2), source.ready()).await.is_err() {
        eprintln!("NATS is not there yet");
    }
    Ok(())
}

#[cfg(not(feature = "nats"))]
async fn stream(_io: &Io, _url: &str, _subjects: &str) -> Result<(), Box<dyn std::error::Error>> {
    Err("`--nats` needs the feature `nats`: cargo run --features nats --example conformance".into())
}

struct Arguments {
    listen: SocketAddr,
    config: Config,
    allow_shell: bool,
    /// Whether handlers wait once.
    yields: bool,
    /// Where NATS is, and which subjects.
    nats: Option<(String, String)>,
}

fn arguments() -> Result<Arguments, Box<dyn std::error::Error>> {
    let (mut listen, mut config) = (SocketAddr::from(([127, 0, 0, 1], 4000)), Config::default());
    let (mut allow_shell, mut yields, mut nats, mut source) = (false, false, None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--listen" => listen = value()?.parse().map_err(|error| format!("`--listen`: {error}"))?,
            "--allow-shell" => allow_shell = true,
            "--yield" => yields = true,
            "--nats" => nats = Some(value()?),
            "--source" => source = Some(value()?),
            "--config" => {
                let file = value()?;
                let text = std::fs::read_to_string(&file).map_err(|error| format!("`{file}`: {error}"))?;
                config = match file.ends_with(".toml") {
                    true => toml::from_str(&text).map_err(|error| format!("`{file}`: {error}"))?,
                    false => serde_json::from_str(&text).map_err(|error| format!("`{file}`: {error}"))?,
                };
            }
            unknown => return Err(format!("unknown argument `{unknown}`").into()),
        }
    }
    let nats = match (nats, source) {
        (None, None) => None,
        (Some(url), Some(subjects)) => Some((url, subjects)),
        _ => return Err("`--nats URL` and `--source SUBJECTS` go together".into()),
    };
    Ok(Arguments { listen, config, allow_shell, yields, nats })
}

/// Ten thousand connections are ten thousand file descriptors.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("the file limit stays as it is: {error}");
    }
}
