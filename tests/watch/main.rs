//! What is told of a server to those who watch it, beside what its clients have counted themselves.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod counts;
mod exposition;
mod flow;
mod health;
mod kit;
mod publishing;
mod queues;
mod spans;
