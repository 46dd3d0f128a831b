//! What memory a server takes: idle connections, with and without handlers of their own, what is left when all have closed, and
//! members that never read.
//!
//! ```sh
//! cargo bench --bench memory [-- CONNECTIONS]     # 10000
//! ```
//!
//! The server is a process of its own, this program started again, so that no client's memory is counted: bytes of it that are
//! resident (`/proc/PID/statm`), and beside them its heap, as asked for from the system's allocator. Real sockets on 127.0.0.1.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod connections;
#[path = "../kit/mod.rs"]
mod kit;
mod served;
mod silent;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// The system's own, which it only counts.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    kit::system::raise_file_limit();
    let arguments = kit::asked_for();
    if let [serve, kind] = &arguments[..]
        && serve == "serve"
    {
        return served::serve(kind);
    }
    let connections = arguments.first().map_or(10_000, |text| text.parse().expect("it is a number of connections"));
    connections::measure(connections);
    silent::measure();
}

/// As a heading.
fn head(title: &str) {
    println!("{title}\n{}", "=".repeat(title.len()));
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / MIB)
}
