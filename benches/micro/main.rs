//! What each part of a message's way costs, without a network: the peers are in memory, give the server prepared bytes, and throw
//! away what they get. Everything runs on one thread, and times are that thread's CPU time: what else the machine does falls out.
//!
//! ```sh
//! cargo bench --bench micro [-- NAME]                      # such as `broadcast` or `dispatch/ready`
//! cargo bench --bench micro -- --save-baseline before      # then, after a change:
//! cargo bench --bench micro -- --baseline before
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod acks;
mod broadcast;
mod codec;
mod dispatch;
mod history;
mod outbox;
#[path = "../../tests/support/peer.rs"]
mod peer;
mod rig;
mod rooms;

use std::time::Duration;

use criterion::Criterion;

use self::rig::Cpu;

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(Cpu)
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .nresamples(10_000)
        .configure_from_args();
    codec::encode(&mut criterion);
    codec::decode(&mut criterion);
    dispatch::all(&mut criterion);
    acks::all(&mut criterion);
    outbox::all(&mut criterion);
    broadcast::all(&mut criterion);
    rooms::all(&mut criterion);
    history::all(&mut criterion);
    criterion.final_summary();
}
