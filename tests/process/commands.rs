//! What a command gives its process: an environment, a directory, a time; and what is said of one that cannot start.

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use eventwire::Pace;
use eventwire::process::{Command, ProcessError, Processes, Settings, Status};

use crate::support::*;
use crate::watch::*;

/// What a command prints.
async fn printed(command: Command) -> String {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    processes.spawn("p", command).unwrap();
    Seen::whole(&mut viewer, "p").await.out_text()
}

fn names(environment: &str) -> Vec<&str> {
    environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect()
}

#[tokio::test]
async fn the_servers_environment_is_not_inherited_but_for_what_is_no_secret() {
    // Cargo gives its tests a good many variables of its own.
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok());
    let own = |name: &str| std::env::var(name).unwrap_or_default();
    let default = printed(sh("env")).await;
    let default = names(&default);
    for kept in ["PATH", "HOME", "LANG", "CARGO_HOME"] {
        assert_eq!(default.contains(&kept), std::env::var(kept).is_ok(), "{kept}: {default:?}");
    }
    assert!(!default.contains(&"CARGO_MANIFEST_DIR") && !default.contains(&"CARGO_PKG_NAME"), "{default:?}");
    assert_eq!(default.iter().filter(|name| **name == "EVENTWIRE_RUN").count(), 1);

    let kept = printed(sh("env").env_keep(["CARGO_MANIFEST_DIR", "CARGO_PKG_*"])).await;
    assert!(kept.contains(&format!("CARGO_MANIFEST_DIR={}\n", own("CARGO_MANIFEST_DIR"))));
    assert!(kept.contains(&format!("CARGO_PKG_NAME={}\n", own("CARGO_PKG_NAME"))) && kept.contains("PATH="));

    let all = printed(sh("env").inherit_env()).await;
    let missing: Vec<_> = std::env::vars().filter(|(name, _)| !names(&all).contains(&name.as_str())).collect();
    assert_eq!(missing, [], "all of it");

    let none = printed(Command::new("/usr/bin/env").env_clear().env_keep(["HOME"]).env("ONLY", "this")).await;
    let mut none = names(&none);
    none.sort();
    assert_eq!(none, ["EVENTWIRE_RUN", "HOME", "ONLY"]);
}

#[tokio::test]
async fn a_program_is_found_in_the_path_that_it_is_given() {
    let folder = Folder::new();
    std::fs::write(folder.file("hello"), "#!/bin/sh\necho hello $0\n").unwrap();
    std::fs::set_permissions(folder.file("hello"), PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/bin:/usr/bin", folder.path().display());
    let text = printed(Command::new("hello").env("PATH", path)).await;
    assert!(text.starts_with("hello /"), "{text}");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let (_server, processes) = start(Settings::default()).await;
    let folder = Folder::new();
    let script = |name: &str, text: &str, mode: u32| {
        let path = folder.file(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    };
    let (plain, bad) = (script("plain", "#!/bin/sh\n", 0o644), script("bad", "#!/no/such/interpreter\n", 0o755));
    let missing = folder.file("missing");
    let cases = [
        (Command::new("no-such-program"), "`no-such-program` was not found: No such file".to_owned()),
        (Command::new(&missing), format!("`{}` was not found: No such file", missing.display())),
        (Command::new(folder.path()), format!("`{}` is a directory: Permission denied", folder.path().display())),
        (Command::new(&plain), format!("`{}` may not be executed: Permission denied", plain.display())),
        (Command::new(&bad), format!("`{}` has an interpreter that was not found: No such file", bad.display())),
        (sh("true").cwd(&missing), format!("its directory `{}` was not found: No such file", missing.display())),
        (Command::new("a\0b"), "nul byte".to_owned()),
    ];
    for (command, expected) in cases {
        let refused = processes.spawn("p", command).unwrap_err();
        let ProcessError::NotStarted { reason, detail } = &refused else { panic!("{refused:?}") };
        assert!(detail.contains(&expected), "{detail} instead of {expected}");
        // Clients are told the same but for the paths.
        let parent = format!("{}/", folder.path().parent().unwrap().display());
        let told = eventwire::Error::from(refused.clone()).message().to_owned();
        assert!(told.ends_with(reason) && !told.contains(&parent), "{told}");
    }
}

// ---- time

fn limited(line: &str) -> Command {
    // Long enough for a shell to have begun, on a busy machine too.
    sh(line).time_limit(ms(1500)).grace(ms(200))
}

async fn ended(command: Command) -> (Seen, Status, Processes) {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    let begun = Instant::now();
    let run = processes.spawn("p", command).unwrap();
    let seen = Seen::whole(&mut viewer, "p").await;
    assert!(begun.elapsed() >= ms(1500), "not before its time");
    (seen, run.ended().await, processes)
}

#[tokio::test]
async fn a_time_limit_ends_it_and_says_so() {
    let (seen, status, processes) = ended(limited("echo $$; sleep 1000 & echo $!; wait")).await;
    assert_eq!(status, Status::Killed("SIGTERM".into()));
    assert_eq!((&seen.last()["signal"], &seen.last()["reason"]), (&"SIGTERM".into(), &"time limit".into()));
    assert_eq!(processes.list()[0].reason.as_deref(), Some("time limit"));
    all_gone(&seen.pids()).await;

    let (seen, status, _) = ended(limited("trap '' TERM; echo $$; sleep 1000 & echo $!; wait")).await;
    assert_eq!(status, Status::Killed("SIGKILL".into()), "after the grace");
    assert_eq!(seen.last()["reason"], "time limit");
    all_gone(&seen.pids()).await;

    let (seen, status, _) = ended(limited("trap 'exit 5' TERM; while :; do sleep 0.01; done")).await;
    assert_eq!((status, &seen.last()["reason"]), (Status::Exited(5), &"time limit".into()), "how it ended, and why");
}

#[tokio::test]
async fn who_ends_in_time_knows_no_limit() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    processes.spawn("p", sh("echo hi").time_limit(DEADLINE)).unwrap();
    let seen = Seen::whole(&mut viewer, "p").await;
    assert_eq!((&seen.last()["status"], seen.last().get("reason")), (&"exited".into(), None));
}

#[tokio::test]
async fn a_pause_can_be_a_commands_own() {
    let server = Server::narrow(serde_json::json!({})).await;
    server.io.rooms("process:*").public();
    let processes = server.io.install(Settings::default());
    let mut viewer = Client::narrow(&server).await;
    viewer.request("subscribe", "process:p".into()).await.unwrap();
    let pace = Pace::slowest(64 * 1024).at_most(DEADLINE);
    let run = processes.spawn("p", Command::new("seq").args(["1", "1000000"]).pause(pace)).unwrap();
    // Nothing is read, and it does not end: its output is much more than what all buffers hold.
    until("it prints", || processes.list()[0].bytes > 0).await;
    let known = settled(|| processes.list()[0].bytes).await;
    assert_eq!(processes.list()[0].status, Status::Running, "{known} bytes");
    let seen = Seen::whole(&mut viewer, "p").await;
    assert_same(&seen.stdout(), &truth("seq 1 1000000"));
    assert_eq!(run.ended().await, Status::Exited(0));
}
