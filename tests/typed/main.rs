//! Events as types, gateways, and what is known of them, over real sockets.
#![cfg(all(feature = "macros", feature = "validate"))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod arguments;
mod contract;
mod enums;
mod events;
mod gateways;
mod twin;
mod validation;
