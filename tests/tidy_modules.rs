//! The built-in modules, compiled once more as somebody else's: they use what the crate exports and
//! nothing else, or this does not compile.
#![cfg(feature = "process")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code, unused_imports)]

// To the modules this is the crate, and has in it what the crate exports.
pub use eventwire::*;

#[path = "../src/modules"]
mod modules {
    #[cfg(feature = "nats")]
    pub mod nats_source;
    pub mod process;
}

#[tokio::test]
async fn a_process_runs_in_a_module_that_is_somebody_elses() {
    use modules::process::{Command, Settings, Status};

    let processes = Io::new().install(Settings::default());
    let run = processes.spawn("one", Command::new("true")).unwrap();
    assert_eq!(run.ended().await, Status::Exited(0));
}
