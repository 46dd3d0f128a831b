//! `kill`: SIGTERM, a grace, SIGKILL, and nobody of the group survives.

use std::time::{Duration, Instant};

use eventwire::Error;
use eventwire::process::{ProcessError, Processes, Run, Settings, Signal, Status};

use crate::support::*;
use crate::watch::*;

/// A process that has printed `ready`, watched.
struct Ready {
    _server: Server,
    processes: Processes,
    viewer: Client,
    run: Run,
    seen: Seen,
}

impl Ready {
    async fn new(line: &str) -> Ready {
        Ready::with(Settings::default(), line).await
    }

    async fn with(settings: Settings, line: &str) -> Ready {
        let (server, processes) = start(settings).await;
        let mut viewer = server.client_in("process:p").await;
        let run = processes.spawn("p", sh(line)).unwrap();
        let mut seen = Seen::default();
        seen.until_printed(&mut viewer, "p", "ready\n").await;
        Ready { _server: server, processes, viewer, run, seen }
    }

    /// Reads on to the end, after which nobody is left of those whose pid was printed.
    async fn ended(mut self) -> Seen {
        let seen = self.seen.rest(&mut self.viewer, "p").await;
        assert_eq!(self.processes.kill("p", ms(0)), Err(ProcessError::NotRunning), "it has ended");
        let status = self.run.ended().await;
        match &status {
            Status::Exited(code) => assert_eq!(seen.last()["exitCode"], *code),
            Status::Killed(signal) => assert_eq!(seen.last()["signal"], **signal),
            other => panic!("{other:?}"),
        }
        let pids = seen.pids();
        if !pids.is_empty() {
            all_gone(&pids).await;
        }
        seen
    }
}

#[tokio::test]
async fn sigterm_is_honoured() {
    let ready = Ready::new("trap 'echo bye; exit 7' TERM; echo $$; echo ready; while :; do sleep 0.01; done").await;
    ready.processes.kill("p", DEADLINE).unwrap();
    let seen = ready.ended().await;
    assert_eq!((&seen.last()["status"], &seen.last()["exitCode"]), (&"exited".into(), &7.into()));
    assert!(seen.out_text().ends_with("ready\nbye\n"), "its last words arrive: {seen:?}");
    assert_eq!(seen.last()["drained"], true);
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed_after_the_grace() {
    let ready = Ready::new("trap '' TERM; echo $$; echo ready; while :; do sleep 0.01; done").await;
    let (begun, grace) = (Instant::now(), ms(1000));
    ready.processes.kill("p", grace).unwrap();
    assert!(begun.elapsed() < grace, "`kill` waits for nothing");
    let seen = ready.ended().await;
    assert!(begun.elapsed() >= grace, "not before the grace: {:?}", begun.elapsed());
    assert_eq!((&seen.last()["status"], &seen.last()["signal"]), (&"killed".into(), &"SIGKILL".into()));
}

#[tokio::test]
async fn the_children_end_with_it() {
    // The last one ignores SIGTERM, while the shell honours it at once.
    let line = "sleep 1000 & echo $!; sh -c 'sleep 1000 & echo $!; wait' & echo $!; \
        (trap '' TERM; exec sleep 1000) & echo $!; echo $$; echo ready; wait";
    let mut ready = Ready::new(line).await;
    ready.seen.until_named(&mut ready.viewer, "p", 5).await;
    until_asleep(&ready.seen.pids(), 3).await;
    assert!(ready.seen.pids().iter().all(|&pid| is_alive(pid)));
    let begun = Instant::now();
    ready.processes.kill("p", ms(300)).unwrap();
    let seen = ready.ended().await;
    assert!(begun.elapsed() < ms(5000));
    assert_eq!(seen.last()["signal"], "SIGTERM", "the shell's own end is what is told");
}

#[tokio::test]
async fn children_get_the_grace_too() {
    // The shell dies of SIGTERM at once; its child needs a moment to put things in order.
    let line = "sh -c 'trap \"sleep 0.2; echo in order; exit\" TERM; echo $$; echo ready; while :; do sleep 0.01; done' & wait";
    let ready = Ready::with(Settings::default().drain(ms(20)), line).await;
    ready.processes.kill("p", DEADLINE).unwrap();
    let seen = ready.ended().await;
    assert_eq!(seen.last()["signal"], "SIGTERM");
    assert!(seen.out_text().ends_with("in order\n"), "{seen:?}");
}

#[tokio::test]
async fn children_without_an_output_end_with_it() {
    // Nothing of them shows in the pipes.
    let line = "(trap '' TERM; exec sleep 1000) >/dev/null 2>&1 & echo $!; echo $$; echo ready; wait";
    let ready = Ready::new(line).await;
    until_asleep(&ready.seen.pids(), 1).await;
    ready.processes.kill("p", ms(100)).unwrap();
    ready.ended().await;
}

#[tokio::test]
async fn the_shortest_grace_holds() {
    let mut ready = Ready::new("trap 'echo told' TERM; echo $$; echo ready; while :; do sleep 0.01; done").await;
    let begun = Instant::now();
    // No grace is too long for the clock.
    ready.processes.kill("p", Duration::MAX).unwrap();
    ready.seen.until_printed(&mut ready.viewer, "p", "told\n").await;
    ready.processes.kill("p", ms(60_000)).unwrap();
    ready.processes.kill("p", ms(50)).unwrap();
    let seen = ready.ended().await;
    assert_eq!(seen.last()["signal"], "SIGKILL");
    assert!(begun.elapsed() < DEADLINE);
    assert_eq!(seen.out_text().matches("told").count(), 1, "it is told once");
}

#[tokio::test]
async fn a_longer_grace_does_not_prolong() {
    let ready = Ready::new("trap '' TERM; echo $$; echo ready; while :; do sleep 0.01; done").await;
    ready.processes.kill("p", ms(200)).unwrap();
    ready.processes.kill("p", ms(60_000)).unwrap();
    assert_eq!(ready.ended().await.last()["signal"], "SIGKILL");
}

#[tokio::test]
async fn without_a_grace_it_is_killed_at_once() {
    let ready = Ready::new("trap '' TERM; sleep 1000 & echo $!; echo $$; echo ready; wait").await;
    ready.processes.kill("p", ms(0)).unwrap();
    assert_eq!(ready.ended().await.last()["signal"], "SIGKILL");
}

#[tokio::test]
async fn orphans_are_killed_while_their_output_is_awaited() {
    // The process itself has ended; its run has not.
    let line = "sleep 1000 & echo $!; echo $$; echo ready; exit 2";
    let ready = Ready::with(Settings::default().drain(DEADLINE), line).await;
    let own = ready.seen.pids()[1];
    until("the process itself has been awaited", || state_and_parent(own).is_none()).await;
    ready.processes.kill("p", ms(1000)).unwrap();
    let seen = ready.ended().await;
    assert_eq!((&seen.last()["exitCode"], &seen.last()["drained"]), (&2.into(), &true.into()));
}

#[tokio::test]
async fn nobody_is_signalled_by_the_group_of_one_that_was_awaited() {
    // Its number may be another's by now; those left of the run are reached by a kill.
    let line = "sleep 1000 & echo $!; echo $$; echo ready; exit 2";
    let ready = Ready::with(Settings::default().drain(DEADLINE), line).await;
    let (job, own) = (ready.seen.pids()[0], ready.seen.pids()[1]);
    until("the process itself has been awaited", || state_and_parent(own).is_none()).await;
    let refused = || ready.processes.signal("p", Signal::CONT) == Err(ProcessError::NotRunning);
    until("it is not found", refused).await;
    assert!(is_alive(job), "its job lives");
    ready.processes.kill("p", ms(0)).unwrap();
    ready.ended().await;
}

#[tokio::test]
async fn a_process_that_prints_without_end_can_be_killed() {
    let (_server, processes) = start(Settings::default()).await;
    let run = processes.spawn("p", sh("yes")).unwrap();
    until("it prints", || processes.list()[0].bytes > 1 << 20).await;
    processes.kill("p", DEADLINE).unwrap();
    assert_eq!(within("its end", run.ended()).await, Status::Killed("SIGTERM".into()));
}

#[tokio::test]
async fn nothing_is_killed_that_does_not_run() {
    let (_server, processes) = start(Settings::default()).await;
    let refused = processes.kill("nobody", ms(0)).unwrap_err();
    assert_eq!(refused, ProcessError::NotRunning);
    assert_eq!(Error::from(refused).code(), "not_found");
    processes.spawn("p", sh("true")).unwrap().ended().await;
    assert_eq!(processes.kill("p", ms(0)), Err(ProcessError::NotRunning), "it has ended");
    processes.status("told", Status::Running).await.unwrap();
    assert_eq!(processes.kill("told", ms(0)), Err(ProcessError::NotRunning), "it runs elsewhere");
}
