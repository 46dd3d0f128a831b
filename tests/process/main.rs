//! The `process` module: real child processes, watched over real sockets.
#![cfg(all(feature = "process", feature = "server"))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod application;
mod bytes;
mod ending;
mod killing;
mod leaks;
mod nodes;
mod pace;
mod shapes;
mod watch;
