//! What is told of a run: the fields of its events, its statuses, and what is refused.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;

use eventwire::Error;
use eventwire::process::{Command, ProcessError, Settings, Status};
use serde_json::json;

use crate::support::*;
use crate::watch::*;

#[tokio::test]
async fn a_run_is_told_from_its_beginning_to_its_end() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:build-1").await;
    let run = processes.spawn("build-1", sh("printf out; printf err >&2; sleep 0.05; exit 3")).unwrap();
    assert_eq!(run.id(), "build-1");
    let name = run.run().to_owned();

    let seen = Seen::whole(&mut viewer, "build-1").await;
    assert_eq!(seen.run, name, "the run that was returned is the one that is told");
    let running = json!({"processId": "build-1", "run": name, "status": "running", "exitCode": 0});
    assert_eq!(seen.statuses[0], running);
    assert_eq!((seen.stdout(), seen.stderr()), (b"out".to_vec(), b"err".to_vec()), "told apart");
    let duration = seen.last()["durationMs"].as_u64().unwrap();
    assert!((50..10_000).contains(&duration), "it slept 50 ms: {duration}");
    let exited = json!({"processId": "build-1", "run": name, "status": "exited", "exitCode": 3,
        "durationMs": duration, "drained": true});
    assert_eq!(seen.last(), &exited);
    assert_eq!(seen.statuses.len(), 2);
    viewer.expect_nothing().await;
    assert_eq!(run.ended().await, Status::Exited(3));
}

#[tokio::test]
async fn ends_are_told_as_they_were() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    // 137 is what a shell makes of SIGKILL; a process that returns it was not killed.
    let ends = [
        ("exit 0", json!({"status": "exited", "exitCode": 0}), Status::Exited(0)),
        ("exit 3", json!({"status": "exited", "exitCode": 3}), Status::Exited(3)),
        ("exit 137", json!({"status": "exited", "exitCode": 137}), Status::Exited(137)),
        ("kill -9 $$", json!({"status": "killed", "exitCode": -1, "signal": "SIGKILL"}), killed("SIGKILL")),
        (
            "ulimit -c 0; kill -SEGV $$",
            json!({"status": "killed", "exitCode": -1, "signal": "SIGSEGV"}),
            killed("SIGSEGV"),
        ),
        ("kill -TERM $$", json!({"status": "killed", "exitCode": -1, "signal": "SIGTERM"}), killed("SIGTERM")),
        ("kill -HUP $$", json!({"status": "killed", "exitCode": -1, "signal": "SIGHUP"}), killed("SIGHUP")),
    ];
    for (line, told, status) in ends {
        let run = processes.spawn("p", sh(line)).unwrap();
        let seen = Seen::whole(&mut viewer, "p").await;
        for (key, value) in told.as_object().unwrap() {
            assert_eq!(&seen.last()[key], value, "{line}: {}", seen.last());
        }
        assert_eq!(seen.last()["drained"], true, "{line}");
        assert_eq!(run.ended().await, status, "{line}");
    }
}

fn killed(signal: &str) -> Status {
    Status::Killed(signal.to_owned())
}

#[tokio::test]
async fn what_cannot_start_has_failed_with_the_reason() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    let folder = Folder::new();
    let script = |name: &str, text: &str, mode: u32| {
        std::fs::write(folder.file(name), text).unwrap();
        std::fs::set_permissions(folder.file(name), PermissionsExt::from_mode(mode)).unwrap();
        Command::new(folder.file(name))
    };
    let commands = [
        ("a missing program", Command::new("no-such-program-anywhere"), "No such file"),
        ("a missing path", Command::new(folder.file("missing")), "No such file"),
        ("a directory", Command::new(folder.path()), "ermission denied"),
        ("a file that may not be run", script("plain", "#!/bin/sh\n", 0o644), "ermission denied"),
        ("a bad interpreter", script("bad", "#!/no/such/interpreter\n", 0o755), "No such file"),
        ("a missing directory to run in", sh("true").cwd(folder.file("missing")), "No such file"),
    ];
    for (what, command, expected) in commands {
        let refused = processes.spawn("p", command).unwrap_err();
        let ProcessError::NotStarted { reason, .. } = &refused else { panic!("{what}: {refused:?}") };
        assert!(reason.contains(expected), "{what}: {reason}");
        let seen = Seen::whole(&mut viewer, "p").await;
        assert_eq!(seen.last()["status"], "failed", "{what}");
        assert_eq!(seen.last()["reason"], **reason, "{what}");
        assert_eq!((seen.statuses.len(), seen.chunks.len()), (1, 0), "{what}: it never ran");
        assert_eq!(Error::from(refused.clone()).code(), "not_started");
        let listed = &processes.list()[0];
        assert_eq!(listed.status, Status::Failed(reason.clone()), "{what}");
    }
    // The id is free all the while.
    let run = processes.spawn("p", sh("echo at last")).unwrap();
    assert_eq!(Seen::whole(&mut viewer, "p").await.out_text(), "at last\n");
    assert_eq!(run.ended().await, Status::Exited(0));
}

#[tokio::test]
async fn an_id_runs_once_at_a_time() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    let run = processes.spawn("p", sh("echo $$; exec sleep 1000")).unwrap();
    let mut seen = Seen::default();
    seen.until_printed(&mut viewer, "p", "\n").await;
    let refused = processes.spawn("p", sh("echo not me")).unwrap_err();
    assert_eq!(refused, ProcessError::AlreadyRunning);
    assert_eq!(Error::from(refused).code(), "already_running");
    viewer.expect_nothing().await;
    assert_eq!(processes.list().len(), 1);
    assert_eq!(processes.list()[0].run, run.run(), "the first goes on");
    processes.kill("p", ms(1000)).unwrap();
    let seen = seen.rest(&mut viewer, "p").await;
    assert_eq!(seen.last()["signal"], "SIGTERM");
    all_gone(&seen.pids()).await;
}

#[tokio::test]
async fn an_id_used_again_begins_a_new_run_at_off_0() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    let mut runs = HashSet::new();
    for n in 0..5 {
        let run = processes.spawn("p", sh(format!("echo {n}"))).unwrap();
        // `Seen` begins to count at 0 and holds one run only.
        let seen = Seen::whole(&mut viewer, "p").await;
        assert_eq!((seen.run.as_str(), seen.out_text()), (run.run(), format!("{n}\n")));
        assert!(runs.insert(seen.run), "runs have names of their own");
    }
    assert_eq!(processes.list().len(), 1, "an id is listed once");
}

#[tokio::test]
async fn who_is_told_that_it_ended_can_start_it_again_at_once() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    for n in 0..100 {
        let run = processes.spawn("p", Command::new("true")).unwrap_or_else(|error| panic!("run {n}: {error}"));
        if n % 2 == 0 {
            Seen::whole(&mut viewer, "p").await;
        } else {
            assert_eq!(run.ended().await, Status::Exited(0));
            Seen::whole(&mut viewer, "p").await;
        }
    }
}

#[tokio::test]
async fn an_id_is_checked() {
    let (_server, processes) = start(Settings::default()).await;
    for id in ["", " ", "a b", "a/b", "a:b", "a\n", "ä", "*", &"x".repeat(129)] {
        let refused = Some(ProcessError::InvalidId);
        assert_eq!(processes.spawn(id, sh("true")).err(), refused, "{id:?}");
        assert_eq!(processes.output(id, "text").await.err(), refused, "{id:?}");
        assert_eq!(processes.status(id, Status::Running).await.err(), refused, "{id:?}");
        assert_eq!(processes.kill(id, ms(0)).err(), Some(ProcessError::NotRunning), "{id:?}");
    }
    assert_eq!(processes.list().len(), 0, "nothing of it is kept");
    assert_eq!(Error::from(ProcessError::InvalidId).code(), "invalid_payload");
    for id in ["a", "A-b_c.9", "..", &"x".repeat(128)] {
        assert_eq!(processes.spawn(id, sh("true")).unwrap().ended().await, Status::Exited(0), "{id:?}");
    }
}

#[tokio::test]
async fn two_processes_do_not_mix() {
    let (server, processes) = start(Settings::default()).await;
    let (mut ann, mut ben) = (server.client_in("process:a").await, server.client_in("process:b").await);
    processes.spawn("a", sh("for n in $(seq 500); do echo a; done")).unwrap();
    processes.spawn("b", sh("for n in $(seq 500); do echo b; done")).unwrap();
    // `Seen` refuses what is of another process or came through another room.
    assert_eq!(Seen::whole(&mut ann, "a").await.out_text(), "a\n".repeat(500));
    assert_eq!(Seen::whole(&mut ben, "b").await.out_text(), "b\n".repeat(500));
}

#[tokio::test]
async fn a_command_gets_what_it_was_given() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    let folder = Folder::new();
    let line = r#"for arg; do printf '[%s]\n' "$arg"; done; echo "$GIVEN"; pwd; wc -c; echo $$; cut -d ' ' -f 5 /proc/$$/stat"#;
    let command = Command::new("sh").arg("-c").arg(line).arg("name").args(["$HOME", "a b", "", "';x", "*"]);
    let command = command.cwd(folder.path()).env("GIVEN", "a=b\nc");
    processes.spawn("p", command).unwrap();
    let text = Seen::whole(&mut viewer, "p").await.out_text();
    let lines: Vec<&str> = text.lines().collect();
    let folder = std::fs::canonicalize(folder.path()).unwrap();
    let expected = ["[$HOME]", "[a b]", "[]", "[';x]", "[*]", "a=b", "c", folder.to_str().unwrap(), "0"];
    assert_eq!(lines[..9], expected, "arguments as they are, and no input");
    assert_eq!(lines[9], lines[10], "it leads a process group of its own");
    assert_ne!(lines[9], std::process::id().to_string());
}
