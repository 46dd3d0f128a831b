//! How a run ends by itself, what it leaves behind, and what a server's end does to it.

use std::time::Instant;

use eventwire::Io;
use eventwire::process::{ProcessError, Settings, Status};

use crate::support::*;
use crate::watch::*;

#[tokio::test]
async fn an_orphan_that_holds_the_output_open_delays_the_status_by_the_drain_only() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    let begun = Instant::now();
    // The orphan is killed below, and would hold the output open for much longer than the deadline of a test.
    let run = processes.spawn("p", sh("sleep 100 & echo $!; echo hi")).unwrap();
    let seen = Seen::whole(&mut viewer, "p").await;
    let took = begun.elapsed();
    assert!(took >= ms(500), "it is awaited for the drain: {took:?}");
    assert!(took < ms(3000), "and no longer: {took:?}");
    assert_eq!((&seen.last()["exitCode"], &seen.last()["drained"]), (&0.into(), &false.into()));
    assert!(seen.out_text().ends_with("\nhi\n"), "{seen:?}");
    assert_eq!(run.ended().await, Status::Exited(0));
    let orphan = seen.pids()[0];
    assert!(is_alive(orphan), "what was left behind is left alone: it may be a daemon");
    truth(&format!("kill -9 {orphan}"));
    viewer.expect_nothing().await;
}

#[tokio::test]
async fn what_is_printed_within_the_drain_still_arrives() {
    let (server, processes) = start(Settings::default().drain(DEADLINE)).await;
    let mut viewer = server.client_in("process:p").await;
    processes.spawn("p", sh("(sleep 0.2; echo late; echo too >&2) & echo early; exit 5")).unwrap();
    let seen = Seen::whole(&mut viewer, "p").await;
    assert_eq!((seen.out_text().as_str(), seen.stderr()), ("early\nlate\n", b"too\n".to_vec()));
    assert_eq!((&seen.last()["exitCode"], &seen.last()["drained"]), (&5.into(), &true.into()));
    // How long it ran itself, whatever came after: no more than a whole number is said of it here.
    assert!(seen.last()["durationMs"].is_u64());
}

#[tokio::test]
async fn an_orphan_that_never_stops_printing_does_not_keep_the_run_alive() {
    let (server, processes) = start(Settings::default().drain(ms(100))).await;
    // Nobody watches: the output of `yes` would be more than a viewer takes.
    let run = processes.spawn("p", sh("yes & sleep 0.3")).unwrap();
    assert_eq!(within("its end", run.ended()).await, Status::Exited(0));
    assert!(processes.list()[0].bytes > 1000, "it has printed much: {:?}", processes.list());
    drop(server);
}

#[tokio::test]
async fn what_is_left_behind_goes_on_printing_and_nobody_is_sent_it() {
    let (server, processes) = start(Settings::default().drain(ms(50))).await;
    let mut viewer = server.client_in("process:p").await;
    let folder = Folder::new();
    let (file, go) = (folder.file("printed"), folder.file("go"));
    // Many times what a pipe holds, to both outputs. Neither stands still, nor is ended by a pipe without a reader.
    let prints = "head -c 1000000 /dev/zero && head -c 1000000 /dev/zero >&2";
    // None of it before the end has been told.
    let waits = format!("until [ -e {} ]; do sleep 0.01; done", go.display());
    let line = format!("({waits}; {prints} && echo yes > {}; sleep 1000) & echo hi", file.display());
    processes.spawn("p", sh(line)).unwrap();
    let seen = Seen::whole(&mut viewer, "p").await;
    assert_eq!((&seen.last()["drained"], seen.out_text().as_str()), (&false.into(), "hi\n"));
    std::fs::write(&go, "").unwrap();
    until("all is printed", || std::fs::read_to_string(&file).is_ok_and(|text| text == "yes\n")).await;
    viewer.expect_nothing().await;
    assert_eq!(processes.list()[0].bytes, 3);
    processes.kill("p", ms(0)).unwrap();
    until("nobody is left", || processes.kill("p", ms(0)).is_err()).await;
}

#[tokio::test]
async fn who_has_left_somebody_behind_keeps_its_place_and_is_listed() {
    let (_server, processes) = start(Settings::default().drain(ms(50)).max_running(2).keep_ended(0)).await;
    for id in ["a", "b"] {
        processes.spawn(id, sh("sleep 1000 & true")).unwrap().ended().await;
    }
    assert_eq!(processes.spawn("c", sh("true")).err(), Some(ProcessError::TooMany));
    assert_eq!(processes.list().len(), 2, "they can still be ended");
    processes.kill("a", ms(0)).unwrap();
    until("a place is free", || processes.list().len() == 1).await;
    // Its own job ends before it, so that the place is free as soon as its end is told.
    until("c runs", || processes.spawn("c", sh("sleep 0.01 & wait")).is_ok()).await;
    until("c has ended", || processes.list().len() == 1).await;
    until("and has left nobody behind", || processes.spawn("d", sh("true")).is_ok()).await;
}

#[tokio::test]
async fn the_ends_of_many_come_each_to_its_room() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client().await;
    let ids: Vec<String> = (0..50).map(|n| format!("p{n}")).collect();
    for id in &ids {
        viewer.request("subscribe", format!("process:{id}").into()).await.unwrap();
    }
    for (n, id) in ids.iter().enumerate() {
        processes.spawn(id, sh(format!("exit {n}"))).unwrap();
    }
    for (n, id) in ids.iter().enumerate() {
        let room = format!("process:{id}");
        let end = viewer.wait_for(|frame| frame["room"] == *room && frame["data"]["status"] == "exited").await;
        assert_eq!(end["data"]["exitCode"], n);
    }
}

// ---- the server's end

const STUBBORN: &str = "trap '' TERM; sleep 1000 & echo $$; echo $!; echo ready; wait";
const CIVIL: &str = "trap 'exit 9' TERM; echo $$; echo ready; while :; do sleep 0.01; done";

#[tokio::test]
async fn shutdown_ends_the_processes_that_run() {
    let (server, processes) = start(Settings::default()).await;
    let (mut ann, mut ben) = (server.client_in("process:a").await, server.client_in("process:b").await);
    let stubborn = processes.spawn("a", sh(STUBBORN)).unwrap();
    let civil = processes.spawn("b", sh(CIVIL)).unwrap();
    let (mut a, mut b) = (Seen::default(), Seen::default());
    a.until_printed(&mut ann, "a", "ready").await;
    b.until_printed(&mut ben, "b", "ready").await;
    let pids = [a.pids(), b.pids()].concat();
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|&pid| is_alive(pid)));

    server.io.shutdown(ms(5000)).await;
    // Sooner or later by themselves: the application may wait for it.
    within("no process runs", processes.all_ended()).await;
    all_gone(&pids).await;
    assert_eq!(civil.ended().await, Status::Exited(9), "it was asked to end");
    assert_eq!(stubborn.ended().await, Status::Killed("SIGKILL".into()), "it was not asked twice");
    assert_eq!(processes.kill("a", ms(0)), Err(ProcessError::NotRunning));
}

#[tokio::test]
async fn all_ended_waits_for_the_last_one() {
    let (_server, processes) = start(Settings::default()).await;
    within("nothing runs", processes.all_ended()).await;
    // What the application tells of does not run here.
    processes.status("told", Status::Running).await.unwrap();
    within("nothing runs", processes.all_ended()).await;
    processes.spawn("a", sh("sleep 0.2")).unwrap();
    processes.spawn("b", sh("sleep 0.1")).unwrap();
    within("their end", processes.all_ended()).await;
    assert!(processes.list().iter().filter(|info| info.process_id != "told").all(|info| info.status.is_end()));
}

#[test]
fn with_the_runtime_ends_what_runs_in_it() {
    // A server that is not shut down in order: `main` returns, and the runtime goes.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pids = runtime.block_on(async {
        let (server, processes) = start(Settings::default()).await;
        let mut viewer = server.client_in("process:p").await;
        processes.spawn("p", sh(STUBBORN)).unwrap();
        let mut seen = Seen::default();
        seen.until_printed(&mut viewer, "p", "ready").await;
        seen.pids()
    });
    assert!(pids.len() == 2 && pids.iter().all(|&pid| is_alive(pid)), "{pids:?}");
    drop(runtime);
    tokio::runtime::Runtime::new().unwrap().block_on(all_gone(&pids));
}

#[tokio::test]
async fn a_handle_that_is_dropped_ends_nothing() {
    let io = Io::new();
    let folder = Folder::new();
    let file = folder.file("done");
    // Neither the run nor the handle nor the `Io` is kept.
    drop(io.install(Settings::default()).spawn("p", sh(format!("sleep 0.1; echo yes > {}", file.display()))).unwrap());
    drop(io);
    until("it has done its work", || std::fs::read_to_string(&file).is_ok_and(|text| text == "yes\n")).await;
}
