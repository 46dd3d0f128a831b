//! Rooms that remember, over real sockets: what DESIGN §2, §3 and §4 promise of logs and their cursors.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

#[allow(dead_code)]
#[path = "../core/kit.rs"]
mod kit;
#[path = "../support/mod.rs"]
mod support;

mod ackfirst;
mod copies;
mod dialects;
mod ends;
mod follow;
mod handover;
mod lives;
mod memory;
mod slow;
mod snapshots;
mod snapshots_failing;
mod subscribe;
