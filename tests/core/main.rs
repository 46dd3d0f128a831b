//! The core over real sockets: what DESIGN §1–§5 promise, rule by rule.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod handlers;
mod connect;
mod kit;
mod lane;
