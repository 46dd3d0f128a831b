//! Several nodes: the conformance suite of adapters, on a bus within this process and on [`Local`], and
//! what an `Io` does when its adapter fails, hangs or is slow.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

#[path = "../support/adapter_suite.rs"]
mod adapter_suite;
mod bus;
mod failing;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use eventwire::{Adapter, Local};
use futures::StreamExt;

use crate::adapter_suite::{alone, conformance};
use crate::bus::Bus;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_conforms() {
    conformance(async |n| Bus::new(n, None), true).await;
}

/// The same where everything takes its time, as over a network.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_takes_its_time_conforms() {
    conformance(async |n| Bus::new(n, Some(Duration::from_micros(500))), true).await;
}

#[tokio::test]
async fn a_bus_conforms_on_one_thread() {
    conformance(async |n| Bus::new(n, None), true).await;
}

#[tokio::test]
async fn local_does_what_one_node_alone_can() {
    alone(Local).await;
}

#[tokio::test]
async fn local_has_nothing_to_say_to_others() {
    assert!(Local.is_local());
    assert_eq!(Local.interest("a", true).await, Ok(()));
    assert_eq!(Local.incoming().count().await, 0, "nothing comes, and that is told");
    Local.close().await;
}
