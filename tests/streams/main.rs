//! Processes streamed to rooms with history, held against what their commands wrote to a file: nothing is lost, doubled or
//! out of order, for viewers that come late, that lose their connection all the time, and that do not keep up.
//!
//! What is random follows from a seed, which every failure names; `STREAMS_SEED=N` sets it. `cargo test --test streams
//! -- --ignored` is the long form. `--nocapture` shows the figures.
#![cfg(all(unix, feature = "process", feature = "server"))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod cases;
mod dice;
mod go_ws;
mod long;
mod play;
mod records;
mod retention;
mod seen;
mod self_test;
mod stage;
mod viewer;
mod wire;
