//! Programs, run as a user runs them: the examples, and clients of other make.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::{Raw, until, within};

/// An example as cargo has built it, beside the tests.
pub fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples").join(name);
    let built = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let made = built(&program).unwrap_or_else(|| panic!("no {}: run `cargo build --examples`", program.display()));
    // Cargo builds the examples for `cargo test`, but not for `cargo test --test NAME`. Beside the program it lists
    // what that was made of.
    let sources = std::fs::read_to_string(program.with_extension("d")).unwrap();
    let newer = sources.split_whitespace().skip(1).find(|source| built(Path::new(source)).is_some_and(|at| at > made));
    if let Some(source) = newer {
        panic!("{name} is older than {source}: run `cargo build --examples`");
    }
    program
}

/// The folder of this project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What `tests/check.sh` has installed.
pub fn installed(path: &str) -> PathBuf {
    let path = root().join(path);
    assert!(path.exists(), "{} is missing: run `tests/check.sh`, or tests/setup.sh alone", path.display());
    path
}

/// What a script needs that drives a browser.
pub fn browser_is_installed() {
    installed("tests/clients/node/node_modules/playwright-core");
    installed("/usr/bin/chromium");
}

/// A program that runs. Dropped, it is told to end, and then killed.
pub struct Program {
    child: Child,
    printed: Arc<Mutex<String>>,
}

impl Program {
    pub fn example(name: &str, arguments: &[&str]) -> Program {
        Program::start(Command::new(example(name)).args(arguments))
    }

    pub fn start(command: &mut Command) -> Program {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let printed = Arc::default();
        collect(child.stdout.take().unwrap(), &printed);
        collect(child.stderr.take().unwrap(), &printed);
        Program { child, printed }
    }

    /// What it has printed so far, errors too.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// Where it listens, as it prints it: `ws://ADDRESS/…` or `http://ADDRESS/…`, in a whole line.
    pub async fn address(&mut self) -> SocketAddr {
        let mut found = None;
        until("the program prints its address", || {
            let printed = self.printed();
            assert!(self.child.try_wait().unwrap().is_none(), "it has ended: {printed}");
            let lines = printed.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            found = lines.filter_map(|line| line.split_once("://")?.1.split('/').next()?.parse().ok()).next();
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    pub fn pid(&self) -> i32 {
        self.child.id().expect("it runs") as i32
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        kill_process(Pid::from_raw(self.pid()).unwrap(), Signal::TERM).unwrap();
    }

    /// Waits for its end. Returns how it ended and all that it has printed.
    pub async fn ended(&mut self) -> (ExitStatus, String) {
        self.ended_within(super::DEADLINE).await
    }

    pub async fn ended_within(&mut self, time: Duration) -> (ExitStatus, String) {
        let ended = tokio::time::timeout(time, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("it runs for more than {time:?}: {}", self.printed())).unwrap();
        // The readers let go of it at the end of what was printed.
        until("all that it has printed is read", || Arc::strong_count(&self.printed) == 1).await;
        (status, self.printed())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid as i32)) else { return };
        // A server that is told to end takes along what it has started; `kill_on_drop` comes after.
        let _ = kill_process(pid, Signal::TERM);
        let given_up = Instant::now() + Duration::from_secs(3);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < given_up {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn collect(mut pipe: impl AsyncRead + Unpin + Send + 'static, printed: &Arc<Mutex<String>>) {
    let printed = printed.clone();
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        while matches!(pipe.read_buf(&mut bytes).await, Ok(1..)) {
            printed.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes));
            bytes.clear();
        }
    });
}

/// A plain HTTP request such as `GET /path`, without a body. Returns the status and the body.
pub async fn http(address: SocketAddr, request: &str) -> (u16, String) {
    let mut raw = Raw::connect(address).await;
    let head = format!("{request} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let (status, response) = within(request, raw.shake(&head)).await;
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

/// The same where the body is JSON.
pub async fn http_json(address: SocketAddr, request: &str) -> (u16, Value) {
    let (status, body) = http(address, request).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{request}: {error}: {body}")))
}

/// Whether a process is there and alive; one that has ended and waits for its parent is not.
pub fn is_alive(pid: i32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != 'Z')
}

/// Of a process: its state's letter, and its parent. The name before them, in parentheses, may hold anything.
pub fn state_and_parent(pid: i32) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

pub async fn all_gone(pids: &[i32]) {
    assert!(!pids.is_empty(), "there must be somebody to be gone");
    until(&format!("no survivor of {pids:?}"), || !pids.iter().any(|&pid| is_alive(pid))).await;
}
