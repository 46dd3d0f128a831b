//! What only these tests need.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventwire::{EmitError, Socket};
use tokio::time::sleep;

/// What happened, in the order in which it did.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn add(&self, what: impl ToString) {
        self.0.lock().unwrap().push(what.to_string());
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub fn has(&self, what: &str) -> bool {
        self.0.lock().unwrap().iter().any(|one| one == what)
    }
}

/// Says when it is dropped: that is how a cancelled handler is told from one that goes on.
pub struct Dropped(pub Log, pub &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}

/// Lets everything that is ready run, many times over.
pub async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Lets time pass without waiting for it. Only on a runtime of one thread, which tests have by default.
pub async fn skip(time: Duration) {
    // What has been sent arrives before.
    settle().await;
    tokio::time::pause();
    tokio::time::advance(time).await;
    // On again: a paused clock would jump to the next deadline whenever all wait for the network.
    tokio::time::resume();
    settle().await;
}

/// Emits `clog` events until the kernel and the outbox of a peer that does not read are full.
/// Returns how many it took.
pub async fn clog(socket: &Socket) -> usize {
    let data = "c".repeat(4000);
    let (mut taken, mut full) = (0, 0);
    // The kernel moves data for a moment after it was written: full is what stays full.
    while full < 5 {
        match socket.try_emit("clog", &data) {
            Ok(()) => (taken, full) = (taken + 1, 0),
            Err(EmitError::Full) => {
                full += 1;
                sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    taken
}

/// Whether a future is done at its first poll: the way to say 'it does not wait' without a clock.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    futures::FutureExt::now_or_never(future).expect("it does not wait")
}

/// A small generator of numbers that look random and are the same in every run.
pub fn mixed(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// As many descriptors as the system allows.
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

pub fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Memory of this process that is resident, in bytes.
pub fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// A panic with a type, which a handler's output needs.
pub fn oops(text: &str) {
    if !text.is_empty() {
        panic!("{text}");
    }
}
