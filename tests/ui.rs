//! What the compiler takes of the macros, and what it says of mistakes: one small file for each.
#![cfg(feature = "macros")]
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::process::Command;

#[path = "ui/pass/generics.rs"]
pub mod generics;
#[path = "ui/pass/names.rs"]
pub mod names;
#[path = "ui/pass/payloads.rs"]
pub mod payloads;
#[path = "ui/pass/shapes.rs"]
pub mod shapes;

/// After a change that is meant: `TRYBUILD=overwrite cargo test --all-features --test ui`, and read what changed.
#[test]
fn mistakes_are_told() {
    // Much of the words is the compiler's own, and each version has others: they are those of the oldest that is supported.
    let version = Command::new(std::env::var("RUSTC").unwrap_or("rustc".into())).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if !version.starts_with(concat!("rustc ", env!("CARGO_PKG_RUST_VERSION"), ".")) {
        println!("left out: what mistakes look like is written down for another compiler than {version}");
        return;
    }
    let cases = trybuild::TestCases::new();
    for folder in ["event", "events", "answer", "gateway", "handler"] {
        cases.compile_fail(format!("tests/ui/{folder}/*.rs"));
    }
    #[cfg(feature = "validate")]
    cases.compile_fail("tests/ui/validate/*.rs");
}
