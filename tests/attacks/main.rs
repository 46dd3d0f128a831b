//! What an attacker or a broken client sends, one test each: it is refused as the wire says, and
//! the server still serves everybody else. And the door: who comes in, and by which ways.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod acks;
mod caps;
mod closes;
mod door;
mod door_tokens;
mod envelopes;
mod floods;
mod frames;
mod kit;
mod origins;
mod rooms;
mod slow;
mod slowloris;
#[path = "../support/mod.rs"]
mod support;
mod upgrades;
mod ways_in;
mod ways_in_http;
