//! Nothing is left: no zombie, no descriptor, no task, no room.

use eventwire::Pace;
use eventwire::process::{Command, Settings, Signal};

use crate::support::*;
use crate::watch::*;

#[tokio::test]
async fn nothing_is_left_of_what_has_run() {
    if is_alone("leaks::nothing_is_left_of_what_has_run") {
        of_each_kind().await;
    }
}

async fn of_each_kind() {
    let (server, processes) = start(Settings::default().drain(ms(20)).pause(Pace::slowest(1 << 20))).await;
    // What is made once, such as the pipe by which signals come, is made now.
    processes.spawn("first", sh("true")).unwrap().ended().await;
    server.client().await.close().await;
    until("nobody is left", || server.io.stats().sockets == 0).await;
    until("no child is left", || children().is_empty()).await;
    let before = held().await;

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
    assert_eq!(held().await, before, "descriptors and tasks");
    assert_eq!(server.io.rooms_list().len(), 0);
    assert_eq!(processes.list().len(), 9, "one of each id");
}

/// A number that another run of the test has not.
fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8) % below
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_200_started_and_ended_at_random() {
    if is_alone("leaks::nothing_is_left_of_200_started_and_ended_at_random") {
        at_random().await;
    }
}

async fn at_random() {
    const LINES: [&str; 8] = [
        "true",
        "exit 3",
        "seq 1 5000",
        "sleep 1000",
        "cat",
        "trap '' TERM; sleep 1000 & wait",
        "nohup sleep 1000 >/dev/null 2>&1 & setsid sleep 1000 & wait",
        "setsid sleep 1000 & sleep 0.05",
    ];
    // Who is left behind has a place as well, until the server ends.
    let (server, processes) = start(Settings::default().drain(ms(20)).max_running(201)).await;
    processes.spawn("first", sh("true")).unwrap().ended().await;
    until("no child is left", || children().is_empty()).await;
    let before = held().await;

    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(16));
    let runs = (0..200).map(|n| {
        let (processes, places) = (processes.clone(), places.clone());
        tokio::spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            let line = LINES[random(LINES.len() as u64) as usize];
            let id = format!("p{n}");
            let run = processes.spawn(&id, sh(line).input()).unwrap();
            tokio::time::sleep(ms(random(60))).await;
            let _ = match random(4) {
                0 => processes.close_input(&id),
                1 => processes.input(&id, "x\n"),
                2 => processes.signal(&id, Signal::INT),
                _ => Ok(()),
            };
            tokio::time::sleep(ms(random(60))).await;
            let _ = processes.kill(&id, ms(random(50)));
            within(line, run.ended()).await
        })
    });
    for run in futures::future::join_all(runs.collect::<Vec<_>>()).await {
        assert!(run.unwrap().is_end());
    }
    // SIGINT ends a shell, and not what it runs in the background: that is left behind until the server ends.
    server.io.shutdown(ms(2000)).await;
    within("all have ended", processes.all_ended()).await;
    until("no child is left, and no zombie", || children().is_empty()).await;
    let after = held().await;
    // The server's own task and socket have ended too.
    assert!(after.0 < before.0 && after.1 < before.1, "descriptors and tasks: {after:?}, {before:?} before");
}

/// How many descriptors and tasks there are, once that has not changed for as long as a closed connection may linger.
async fn held() -> (usize, usize) {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    settled_for(ms(1000), || (std::fs::read_dir("/proc/self/fd").unwrap().count(), tasks())).await
}

/// Whose parent this is, zombies among them.
fn children() -> Vec<i32> {
    let own = std::process::id() as i32;
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    all.filter(|&pid: &i32| state_and_parent(pid).is_some_and(|(_, parent)| parent == own)).collect()
}
