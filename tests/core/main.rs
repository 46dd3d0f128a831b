//! The core over real sockets: what DESIGN §1–§5 promise, rule by rule.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]
// `ready(log.add(…))` is the shortest handler that notes something; the samples pass references as users do.
#![allow(clippy::unit_arg, clippy::needless_borrows_for_generic_args)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod broadcasts;
mod connect;
mod counters;
mod defaults;
mod dialects;
mod emits;
mod ends;
mod failures;
mod handlers;
mod heartbeat;
mod inbox;
mod kit;
mod lane;
mod load;
mod locks;
mod order;
mod outbox;
mod patterns;
mod requests;
mod rooms;
mod sample;
mod shutdown;
mod subscriptions;
mod teardown;
mod wire;
mod writer;
