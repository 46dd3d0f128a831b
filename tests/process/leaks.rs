//! Nothing is left: no zombie, no descriptor, no task, no room.

use std::process::Stdio;

use eventwire::Pace;
use eventwire::process::{Command, Settings};

use crate::support::*;
use crate::watch::*;

/// The counts hold for a whole program, so that this is run alone, in one of its own.
#[test]
fn nothing_is_left_of_what_has_run() {
    let alone = ["--ignored", "--exact", "leaks::alone", "--nocapture", "--test-threads=1"];
    let mut program = std::process::Command::new(std::env::current_exe().unwrap());
    let program = program.args(alone).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = program.spawn().unwrap();
    // As long as this is held, who reads the program's own input waits for ever.
    let _input = program.stdin.take();
    let output = program.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

#[tokio::test]
#[ignore = "run by `nothing_is_left_of_what_has_run`"]
async fn alone() {
    let (server, processes) = start(Settings::default().drain(ms(20)).pause(Pace::slowest(1 << 20))).await;
    // What is made once, such as the pipe by which signals come, is made now.
    processes.spawn("first", sh("true")).unwrap().ended().await;
    server.client().await.close().await;
    until("nobody is left", || server.io.stats().sockets == 0).await;
    until("no child is left", || children().is_empty()).await;
    let before = (descriptors(), tasks());

    for round in 0..10 {
        let mut viewer = server.client_in("process:seq").await;
        processes.spawn("seq", Command::new("seq").args(["1", "10000"])).unwrap();
        processes.spawn("exits", sh("exit 3")).unwrap();
        processes.spawn("reads", Command::new("cat")).unwrap();
        processes.spawn("dies", sh("kill -9 $$")).unwrap();
        processes.spawn("leaves", sh("sleep 0.1 & echo hi")).unwrap();
        processes.spawn("ignores", sh("trap '' TERM; sleep 1000 & wait")).unwrap();
        assert!(processes.spawn("fails", Command::new("/no/such/program")).is_err());
        let killed = processes.spawn("killed", sh("sleep 1000 & sleep 1000")).unwrap();
        processes.kill("killed", ms(1000)).unwrap();
        processes.kill("ignores", ms(10)).unwrap();
        Seen::whole(&mut viewer, "seq").await;
        killed.ended().await;
        // Half of the viewers go as they should.
        if round % 2 == 0 {
            viewer.close().await
        } else {
            drop(viewer)
        }
        within("all end", processes.all_ended()).await;
    }

    until("no child is left, and no zombie", || children().is_empty()).await;
    until("nobody is left", || server.io.stats().sockets == 0).await;
    let now = || (descriptors(), tasks());
    until(&format!("{before:?} again, not {:?}", now()), || now() == before).await;
    assert_eq!(server.io.rooms_list().len(), 0);
    assert_eq!(processes.list().len(), 9, "one of each id");
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Whose parent this is, zombies among them.
fn children() -> Vec<i32> {
    let own = std::process::id() as i32;
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    all.filter(|&pid: &i32| state_and_parent(pid).is_some_and(|(_, parent)| parent == own)).collect()
}
