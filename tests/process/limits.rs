//! What the kernel lets a process have, and the module of all of them.

use eventwire::process::{Command, Limits, ProcessError, Settings, Status};

use crate::support::*;
use crate::watch::*;

async fn limited(line: &str, limits: Limits) -> (Seen, Status) {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    let run = processes.spawn("p", sh(line).limits(limits)).unwrap();
    let seen = Seen::whole(&mut viewer, "p").await;
    (seen, run.ended().await)
}

#[tokio::test]
async fn limits_hold_from_the_first_instruction_on() {
    let limits = Limits::new().memory(1 << 30).cpu_seconds(7).files(33).file_size(51_200).processes(999).core(0);
    let (seen, _) = limited("ulimit -v; ulimit -t; ulimit -n; ulimit -f; ulimit -c", limits).await;
    // In KiB, seconds, files, blocks of 512 bytes.
    assert_eq!(seen.out_text(), "1048576\n7\n33\n100\n0\n");
    let (seen, _) = limited("grep processes /proc/self/limits", Limits::new().processes(999)).await;
    assert_eq!(seen.out_text().split_whitespace().filter(|word| *word == "999").count(), 2, "{seen:?}");
}

#[tokio::test]
async fn who_goes_over_a_limit_is_stopped_by_the_kernel() {
    let folder = Folder::new();
    let file = folder.file("big");
    let line = format!("exec head -c 100000 /dev/zero > {}", file.display());
    let (_, status) = limited(&line, Limits::new().file_size(1000)).await;
    assert_eq!(status, Status::Killed("SIGXFSZ".into()));
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 1000);
    let (_, status) = limited("while :; do :; done", Limits::new().cpu_seconds(1).core(0)).await;
    assert_eq!(status, Status::Killed("SIGXCPU".into()));
    let (seen, status) = limited("exec 3</dev/null 4</dev/null 5</dev/null", Limits::new().files(4)).await;
    assert!(status != Status::Exited(0), "{status:?}: {seen:?}");
}

#[tokio::test]
async fn a_limit_above_what_the_server_may_is_the_servers() {
    let (seen, status) = limited("ulimit -n", Limits::new().files(u64::MAX - 1)).await;
    assert_eq!(status, Status::Exited(0), "{seen:?}");
}

#[tokio::test]
async fn as_many_run_as_may() {
    let (server, processes) =
        open(Settings::default().max_running(3).profile("cat", Command::new("cat").input())).await;
    let mut ann = server.client().await;
    // What the application tells of does not count.
    processes.status("told", Status::Running).await.unwrap();
    for id in ["a", "b", "c"] {
        processes.spawn(id, Command::new("cat").input()).unwrap();
    }
    assert_eq!(processes.spawn("d", sh("true")).err(), Some(ProcessError::TooMany));
    let start = serde_json::json!({"profile": "cat"});
    assert_eq!(refusal(ann.request("process_start", start.clone()).await), refused("busy", ""));
    // Whoever is told of an end may begin at once.
    let mut viewer = server.client_in("process:a").await;
    processes.close_input("a").unwrap();
    viewer.wait_for(|frame| frame["data"]["status"] == "exited").await;
    ann.request("process_start", start).await.unwrap();
    assert_eq!(processes.spawn("d", sh("true")).err(), Some(ProcessError::TooMany));
    assert_eq!(processes.list().iter().filter(|info| info.process_id == "d").count(), 0, "nothing is kept of it");
}

#[tokio::test]
async fn those_that_ended_are_forgotten_in_time() {
    let (_server, processes) = start(Settings::default().keep_ended_for(ms(2000))).await;
    processes.spawn("p", sh("true")).unwrap().ended().await;
    assert_eq!(processes.list().len(), 1);
    processes.spawn("runs", sh("sleep 1000")).unwrap();
    until("it is forgotten", || processes.list().len() == 1).await;
    assert_eq!(processes.list()[0].process_id, "runs", "what runs is not");
}
