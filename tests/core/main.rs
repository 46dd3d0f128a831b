//! The core over real sockets: what DESIGN §1–§5 promise, rule by rule.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod broadcasts;
mod connect;
mod emits;
mod handlers;
mod kit;
mod lane;
mod requests;
mod rooms;
mod sample;
mod subscriptions;
mod wire;
