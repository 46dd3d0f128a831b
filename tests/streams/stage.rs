//! What all viewers of a process share: its server, its room, and what has come of it.

use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use eventwire::process::{Processes, Settings};
use eventwire::{History, Io};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::records::Records;
use crate::support::*;

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;

/// So much is kept that nothing of any case is ever evicted.
pub(crate) const ALL: usize = 64 * MIB;

pub(crate) const ID: &str = "p";
pub(crate) const ROOM: &str = "process:p";

/// One for all tests: two workers, as the machine has cores.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    });
    RUNTIME.block_on(test)
}

/// Installs the module, its rooms open to everyone and with so much history.
pub(crate) fn install(io: &Io, history: usize) -> Processes {
    io.rooms("process:*").public();
    io.install(Settings::default().history(History::bytes(history)))
}

pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) processes: Processes,
    pub(crate) records: Records,
    /// How many bytes of output each viewer has got.
    far: Vec<AtomicU64>,
}

impl Stage {
    /// Narrow, its kernel takes little for who does not read.
    pub(crate) async fn new(history: usize, is_narrow: bool, viewers: usize) -> Stage {
        let server = if is_narrow { Server::narrow(json!({})).await } else { Server::new().await };
        Stage::of(server, history, viewers)
    }

    pub(crate) fn of(server: Server, history: usize, viewers: usize) -> Stage {
        let processes = install(&server.io, history);
        let far = (0..viewers).map(|_| AtomicU64::new(0)).collect();
        Stage { server, processes, records: Records::new(ROOM), far }
    }

    pub(crate) fn is_at(&self, viewer: usize, bytes: u64) {
        self.far[viewer].store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn far(&self) -> Vec<u64> {
        self.far.iter().map(|far| far.load(Ordering::Relaxed)).collect()
    }
}

/// Runs a line of the shell to its end, with its output in a file.
pub(crate) fn write(line: &str, file: &Path) {
    let out = std::fs::File::create(file).unwrap();
    let status = std::process::Command::new("sh").arg("-c").arg(line).stdout(out).status().unwrap();
    assert!(status.success(), "{line}: {status}");
}
