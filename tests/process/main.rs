//! The `process` module: real child processes, watched over real sockets.
#![cfg(all(feature = "process", feature = "server"))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod application;
mod bytes;
mod coalescing;
mod commands;
mod ending;
mod input;
mod killing;
mod leaks;
mod limits;
mod nodes;
mod pace;
mod profiles;
mod requests;
mod rights;
mod shapes;
mod trees;
mod watch;
