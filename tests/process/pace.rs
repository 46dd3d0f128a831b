//! Viewers that are slow: by default they hold up nobody; with `pause`, nobody misses a byte.

use std::time::Instant;

use eventwire::Pace;
use eventwire::process::{Command, Processes, Settings, Status};
use serde_json::{Value, json};

use crate::support::*;
use crate::watch::*;

/// Buffers in the kernel are small on both sides, so that not reading soon shows.
async fn narrow(settings: Settings, config: Value) -> (Server, Processes, Client) {
    let server = Server::narrow(config).await;
    server.io.rooms("process:*").public();
    let processes = server.io.install(settings);
    let mut viewer = Client::narrow(&server).await;
    viewer.request("subscribe", json!("process:p")).await.unwrap();
    (server, processes, viewer)
}

/// Sends to the viewers until nothing more fits into the kernel: from now on whatever is sent waits.
async fn fill(server: &Server) {
    let filler = "x".repeat(16 * 1024);
    let pace = Pace::slowest(0).at_most(ms(200));
    within("the kernel's buffers are full", async {
        loop {
            let begun = Instant::now();
            server.io.to("process:p").paced(pace).emit("filler", &filler).await.unwrap();
            if begun.elapsed() >= ms(200) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_viewer_that_reads_gets_all_without_a_pause() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    processes.spawn("p", Command::new("seq").args(["1", "100000"])).unwrap();
    let seen = Seen::whole(&mut viewer, "p").await;
    assert_same(&seen.stdout(), &truth("seq 1 100000"));
}

#[tokio::test]
async fn a_viewer_that_reads_gets_all_of_lines_that_are_written_one_by_one() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    processes.spawn("p", sh("n=0; while [ $n -lt 100000 ]; do echo $n; n=$((n+1)); done")).unwrap();
    let seen = Seen::whole(&mut viewer, "p").await;
    assert_same(&seen.stdout(), &truth("seq 0 99999"));
}

#[tokio::test]
async fn a_viewer_that_never_reads_holds_up_neither_the_process_nor_the_others() {
    // It overflows after 200 messages; who reads is never so far behind.
    let config = json!({"outbox": {"messages": 200}});
    let (server, processes, frozen) = narrow(Settings::default(), config).await;
    let mut viewer = server.client_in("process:p").await;
    let line = "n=0; while [ $n -lt 600 ]; do printf '%01000d\\n' $n; n=$((n+1)); sleep 0.002; done";
    let run = processes.spawn("p", sh(line)).unwrap();
    let seen = Seen::whole(&mut viewer, "p").await;
    assert_same(&seen.stdout(), (0..600).map(|n| format!("{n:01000}\n")).collect::<String>().as_bytes());
    assert_eq!(run.ended().await, Status::Exited(0));
    until("the one that does not read was disconnected", || server.io.stats().sockets == 1).await;
    drop(frozen);
}

#[tokio::test]
async fn with_a_pause_a_viewer_that_is_slow_at_first_loses_nothing() {
    let pace = Pace::slowest(64 * 1024).at_most(DEADLINE);
    let (server, processes, mut viewer) = narrow(Settings::default().pause(pace), json!({})).await;
    fill(&server).await;
    let run = processes.spawn("p", Command::new("seq").args(["1", "300000"])).unwrap();
    // It reads nothing, so the process is held up: what its pipe takes is much less than it has to say.
    until("it prints", || processes.list()[0].bytes > 0).await;
    let known = settled(|| processes.list()[0].bytes).await;
    assert!(known < 1_000_000, "{known} bytes were read of it though nobody took them");
    assert_eq!(processes.list()[0].status, Status::Running);

    let mut seen = Seen::default();
    while !seen.is_over() {
        if seen.chunks.len() < 10 {
            tokio::time::sleep(ms(20)).await;
        }
        seen.take(&mut viewer, "p").await;
    }
    assert_same(&seen.stdout(), &truth("seq 1 300000"));
    assert_eq!(seen.last()["drained"], true);
    assert_eq!(run.ended().await, Status::Exited(0));
}

#[tokio::test]
async fn the_end_of_the_output_is_awaited_through_a_pause_longer_than_the_drain() {
    let pace = Pace::slowest(0).at_most(DEADLINE);
    let (server, processes, mut viewer) = narrow(Settings::default().pause(pace).drain(ms(50)), json!({})).await;
    fill(&server).await;
    let folder = Folder::new();
    let ended = folder.file("ended");
    // The first byte is read and paused for; the rest fits into the pipe, so that the process ends meanwhile.
    let line = format!("echo $$; sleep 0.1; seq 1 10000; echo > {}", ended.display());
    processes.spawn("p", sh(line)).unwrap();
    until("the process has written all", || ended.exists()).await;
    // What is awaited is that nothing happens: that its end and the drain pass by unseen.
    tokio::time::sleep(ms(300)).await;
    assert_eq!(processes.list()[0].status, Status::Running, "its output has not been sent");

    let seen = Seen::whole(&mut viewer, "p").await;
    let text = seen.out_text();
    let (_, text) = text.split_once('\n').unwrap();
    assert_same(text.as_bytes(), &truth("seq 1 10000"));
    assert_eq!(seen.last()["drained"], true, "nobody held it open");
}

#[tokio::test]
async fn a_process_that_is_paused_can_be_killed() {
    let pace = Pace::slowest(0).at_most(ms(600_000));
    // Who reads nothing is not disconnected in time either.
    let config = json!({"writeTimeout": "10m"});
    let (server, processes, viewer) = narrow(Settings::default().pause(pace), config).await;
    fill(&server).await;
    let folder = Folder::new();
    let file = folder.file("pid");
    processes.spawn("p", sh(format!("echo $$ > {}; exec yes", file.display()))).unwrap();
    until("it prints", || processes.list()[0].bytes > 0).await;
    let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    assert!(is_alive(pid));
    processes.kill("p", DEADLINE).unwrap();
    all_gone(&[pid]).await;
    drop(viewer);
    within("its end", processes.all_ended()).await;
}

#[tokio::test]
async fn a_pause_has_an_end() {
    let pace = Pace::slowest(0).at_most(ms(50));
    let (server, processes, frozen) = narrow(Settings::default().pause(pace), json!({})).await;
    fill(&server).await;
    let run = processes.spawn("p", Command::new("seq").args(["1", "50000"])).unwrap();
    assert_eq!(within("its end", run.ended()).await, Status::Exited(0));
    assert_eq!(processes.list()[0].bytes, truth("seq 1 50000").len() as u64);
    drop(frozen);
}
