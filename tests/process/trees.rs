//! Nobody of a run survives its end by others, wherever it has hidden.

use std::os::unix::process::CommandExt;

use eventwire::process::{Command, Processes, Settings, Status};

use crate::support::*;
use crate::watch::*;

/// Five jobs of a shell's: a plain one, one by nohup, one in a session of its own, one whose parent has ended and which
/// is in a session of its own, and one that ignores SIGTERM. Then one that is hidden from its environment too.
const JOBS: &str = "\
    sleep 1000 & echo $!
    nohup sleep 1000 > /dev/null 2>&1 & echo $!
    setsid sleep 1000 > /dev/null 2>&1 & echo $!
    (setsid sh -c 'echo $$; exec sleep 1000 2>/dev/null' & )
    (trap '' TERM; exec sleep 1000) & echo $!
    env -i setsid sleep 1000 > /dev/null 2>&1 & echo $!
    echo $$";

/// How many of them there are, the shell among them.
const COUNT: usize = 7;

fn jobs(then: &str) -> Command {
    Command::new("bash").arg("-c").arg(format!("{JOBS}\n{then}")).grace(ms(200))
}

struct Ready {
    server: Server,
    processes: Processes,
    viewer: Client,
    seen: Seen,
}

impl Ready {
    async fn new(command: Command) -> Ready {
        let (server, processes) = start(Settings::default().drain(ms(100))).await;
        let mut viewer = server.client_in("process:p").await;
        processes.spawn("p", command).unwrap();
        let mut seen = Seen::default();
        seen.until_named(&mut viewer, "p", COUNT).await;
        // By then each is in its session, and ignores what it is to ignore.
        until_asleep(&seen.pids(), COUNT - 1).await;
        assert!(seen.pids().iter().all(|&pid| is_alive(pid)), "{seen:?}");
        Ready { server, processes, viewer, seen }
    }

    /// Reads to the end; by then nobody is left, without another moment.
    async fn ended(mut self) -> Seen {
        let seen = self.seen.rest(&mut self.viewer, "p").await;
        let left: Vec<i32> = seen.pids().into_iter().filter(|&pid| is_alive(pid)).collect();
        assert_eq!(left, Vec::<i32>::new(), "survivors");
        assert!(seen.pids().iter().all(|&pid| state_and_parent(pid).is_none()), "nor a zombie");
        seen
    }
}

#[tokio::test]
async fn nobody_survives_a_kill() {
    let ready = Ready::new(jobs("wait")).await;
    ready.processes.kill("p", ms(200)).unwrap();
    ready.ended().await;
    let ready = Ready::new(jobs("wait")).await;
    ready.processes.kill("p", ms(0)).unwrap();
    ready.ended().await;
}

#[tokio::test]
async fn nobody_survives_a_time_limit() {
    let ready = Ready::new(jobs("wait").time_limit(ms(1500))).await;
    assert_eq!(ready.ended().await.last()["reason"], "time limit");
}

#[tokio::test]
async fn nobody_survives_the_servers_end() {
    let ready = Ready::new(jobs("wait")).await;
    ready.server.io.shutdown(ms(3000)).await;
    within("all have ended", ready.processes.all_ended()).await;
    assert!(!ready.seen.pids().iter().any(|&pid| is_alive(pid)), "{:?}", ready.seen.pids());
}

#[test]
fn nobody_survives_the_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pids = runtime.block_on(async { Ready::new(jobs("wait")).await.seen.pids() });
    drop(runtime);
    tokio::runtime::Runtime::new().unwrap().block_on(all_gone(&pids));
}

#[tokio::test]
async fn what_is_left_behind_lives_on_until_it_is_killed_or_the_server_ends() {
    for by_kill in [true, false] {
        let Ready { server, processes, mut viewer, seen } = Ready::new(jobs("read line; exit 4").input()).await;
        processes.close_input("p").unwrap();
        let seen = seen.rest(&mut viewer, "p").await;
        assert_eq!((&seen.last()["exitCode"], &seen.last()["drained"]), (&4.into(), &false.into()));
        let left: Vec<i32> = seen.pids().into_iter().filter(|&pid| is_alive(pid)).collect();
        assert_eq!(left.len(), COUNT - 1, "all but the shell");
        // An orphan without its environment, in a session of its own, is nobody's that can be told.
        let (hidden, left): (Vec<i32>, Vec<i32>) = left.into_iter().partition(|&pid| !has_environment(pid));
        assert_eq!(hidden.len(), 1);
        hidden.iter().for_each(|pid| drop(truth(&format!("kill -9 {pid}"))));
        within("nothing runs", processes.all_ended()).await;
        if by_kill {
            until("they are reached", || processes.kill("p", ms(100)).is_ok()).await;
        } else {
            server.io.shutdown(ms(1000)).await;
            within("all have ended", processes.all_ended()).await;
            assert!(!left.iter().any(|&pid| is_alive(pid)), "{left:?}");
        }
        all_gone(&left).await;
        until("nobody is left to be killed", || processes.kill("p", ms(0)).is_err()).await;
        assert!(left.iter().all(|&pid| state_and_parent(pid).is_none()), "nor a zombie");
    }
}

#[tokio::test]
async fn who_was_left_behind_and_ends_is_no_zombie() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    let folder = Folder::new();
    let file = folder.file("pid");
    let line = "setsid sh -c 'echo $$ > FILE; sleep 2' & until [ -s FILE ]; do sleep 0.01; done";
    processes.spawn("p", sh(line.replace("FILE", &file.display().to_string()))).unwrap();
    Seen::whole(&mut viewer, "p").await;
    let orphan = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    assert!(state_and_parent(orphan).is_some(), "it is left behind");
    until("it is gone, and awaited", || state_and_parent(orphan).is_none()).await;
}

#[tokio::test]
async fn those_who_multiply_are_all_killed() {
    // Each starts another and ends, in sessions of their own: there is always somebody new.
    let folder = Folder::new();
    let script = folder.file("hop");
    std::fs::write(&script, format!("#!/bin/sh\nsleep 0.02\nsetsid {0} & setsid sleep 3 &\n", script.display()))
        .unwrap();
    truth(&format!("chmod 755 {}", script.display()));
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    let script = script.display();
    let line = format!("{script} >/dev/null 2>&1 & {script} >/dev/null 2>&1 & echo ready; wait; sleep 1000");
    processes.spawn("p", sh(line)).unwrap();
    let mut seen = Seen::default();
    seen.until_printed(&mut viewer, "p", "ready\n").await;
    // Each that has ended left one that sleeps.
    until("there have been many", || of_run(&seen.run).len() > 12).await;
    processes.kill("p", ms(50)).unwrap();
    let seen = seen.rest(&mut viewer, "p").await;
    assert_eq!(seen.last()["status"], "killed");
    assert_eq!(of_run(&seen.run), Vec::<i32>::new());
    assert_eq!(settled(|| of_run(&seen.run)).await, Vec::<i32>::new(), "nor does anybody come after");
}

fn has_environment(pid: i32) -> bool {
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| !environment.is_empty())
}

/// Who is alive and has the mark of a run.
fn of_run(run: &str) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_marked = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(run.len()).any(|bytes| bytes == run.as_bytes())
    };
    all.filter(|pid| is_alive(*pid) && is_marked(pid)).collect()
}

#[tokio::test]
async fn many_of_a_run_take_none_of_the_servers_descriptors() {
    let (_server, processes) = start(Settings::default().drain(ms(50))).await;
    let run = processes.spawn("p", sh("for n in $(seq 300); do sleep 1000 & done")).unwrap();
    let name = run.run().to_owned();
    within("its end", run.ended()).await;
    assert_eq!(of_run(&name).len(), 300, "all were looked at, and live");
    // Those by which other tests wait for their own processes are fewer.
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = links.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let handles = links.filter(|link| link.to_string_lossy().contains("pidfd")).count();
    assert!(handles < 200, "{handles}");
    processes.kill("p", ms(0)).unwrap();
    until("nobody is left", || processes.kill("p", ms(0)).is_err()).await;
    assert_eq!(of_run(&name), Vec::<i32>::new());
}

#[tokio::test]
async fn others_are_left_alone() {
    // A child of the application's own, in its group and out of it, and another run.
    let mut own = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let mut apart = std::process::Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
    let ready = Ready::new(jobs("wait")).await;
    let other = ready.processes.spawn("other", sh("sleep 1000 & wait")).unwrap();
    ready.processes.kill("p", ms(50)).unwrap();
    let processes = ready.processes.clone();
    ready.ended().await;
    assert!(is_alive(own.id() as i32) && is_alive(apart.id() as i32));
    assert!(processes.list().iter().any(|info| info.process_id == "other" && info.status == Status::Running));
    processes.kill("other", ms(0)).unwrap();
    other.ended().await;
    for child in [&mut own, &mut apart] {
        child.kill().unwrap();
        // Nobody has awaited it in our place.
        child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_that_races_the_start_wins() {
    let (_server, processes) = start(Settings::default()).await;
    for round in 0..50 {
        let killer = processes.clone();
        let killing = std::thread::spawn(move || while killer.kill("p", ms(0)).is_err() {});
        let run = processes.spawn("p", sh("setsid sleep 1000 & sleep 1000")).unwrap();
        killing.join().unwrap();
        let name = run.run().to_owned();
        assert_eq!(within("its end", run.ended()).await, Status::Killed("SIGKILL".into()), "round {round}");
        assert_eq!(of_run(&name), Vec::<i32>::new(), "round {round}");
    }
}
