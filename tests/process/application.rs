//! Processes that the application runs by itself, and the list of all.

use std::collections::BTreeSet;

use eventwire::process::{ProcessError, Settings, Status};
use serde_json::{Value, json};

use crate::watch::*;

#[tokio::test]
async fn what_the_application_runs_itself_is_told_the_same_way() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:job").await;
    let mut runs = BTreeSet::new();
    for (end, told) in [
        (Status::Exited(2), json!({"status": "exited", "exitCode": 2})),
        (Status::Killed("SIGINT".into()), json!({"status": "killed", "exitCode": -1, "signal": "SIGINT"})),
        (Status::Failed("no disk".into()), json!({"status": "failed", "exitCode": -1, "reason": "no disk"})),
    ] {
        processes.status("job", Status::Running).await.unwrap();
        processes.output("job", "first ─\n").await.unwrap();
        processes.output("job", "second\n").await.unwrap();
        processes.status("job", end).await.unwrap();
        // It begins to count at 0 and holds one run only.
        let seen = Seen::whole(&mut viewer, "job").await;
        assert_eq!(seen.out_text(), "first ─\nsecond\n");
        assert_eq!(seen.chunks.len(), 2, "each as it was told");
        for (key, value) in told.as_object().unwrap() {
            assert_eq!(&seen.last()[key], value);
        }
        assert_eq!(seen.last().get("drained"), None, "the module has read nothing");
        assert!(runs.insert(seen.run), "another run after the end");
    }
    viewer.expect_nothing().await;
}

#[tokio::test]
async fn the_first_word_of_it_begins_the_run() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client().await;
    viewer.request("subscribe", json!(["process:a", "process:b"])).await.unwrap();
    processes.output("a", "unannounced").await.unwrap();
    processes.status("a", Status::Exited(0)).await.unwrap();
    let seen = Seen::whole(&mut viewer, "a").await;
    assert_eq!((seen.out_text().as_str(), seen.statuses.len()), ("unannounced", 1));
    processes.status("b", Status::Failed("never began".into())).await.unwrap();
    assert_eq!(Seen::whole(&mut viewer, "b").await.last()["reason"], "never began");
}

#[tokio::test]
async fn nothing_is_sent_for_no_text() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:a").await;
    processes.output("a", "").await.unwrap();
    viewer.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_several_threads_tell_arrives_in_the_order_of_its_offsets() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:a").await;
    processes.status("a", Status::Running).await.unwrap();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let processes = processes.clone();
            std::thread::spawn(move || {
                for n in 0..200 {
                    futures::executor::block_on(processes.output("a", &format!("{thread} {n}\n"))).unwrap();
                }
            })
        })
        .collect();
    let mut seen = Seen::default();
    while seen.stdout().iter().filter(|&&byte| byte == b'\n').count() < 800 {
        // It checks that each offset follows upon the one before.
        seen.take(&mut viewer, "a").await;
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let text = seen.out_text();
    for thread in 0..4 {
        let own: Vec<&str> = text.lines().filter(|line| line.starts_with(&format!("{thread} "))).collect();
        assert_eq!(own, (0..200).map(|n| format!("{thread} {n}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_id_that_runs_elsewhere_is_taken() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:a").await;
    processes.status("a", Status::Running).await.unwrap();
    assert_eq!(processes.spawn("a", sh("echo no")).err(), Some(ProcessError::AlreadyRunning));
    processes.status("a", Status::Exited(0)).await.unwrap();
    assert_eq!(Seen::whole(&mut viewer, "a").await.chunks.len(), 0);
    processes.spawn("a", sh("echo yes")).unwrap();
    assert_eq!(Seen::whole(&mut viewer, "a").await.out_text(), "yes\n");
}

// ---- the list

#[tokio::test]
async fn the_list_tells_all_that_run_and_how_they_stand() {
    let (_server, processes) = start(Settings::default()).await;
    let before = now_ms();
    assert_eq!(processes.list().len(), 0);
    let runs = [("c", "echo 12345; exit 3"), ("b", "echo 123; kill -9 $$")].map(|(id, line)| {
        // They are listed in the order in which they began, in milliseconds.
        std::thread::sleep(ms(3));
        processes.spawn(id, sh(line)).unwrap()
    });
    let names = runs.iter().map(|run| run.run().to_owned()).collect::<Vec<_>>();
    for run in runs {
        run.ended().await;
    }
    std::thread::sleep(ms(3));
    processes.status("a", Status::Running).await.unwrap();
    processes.output("a", "─").await.unwrap();

    let list = serde_json::to_value(processes.list()).unwrap();
    let ids: Vec<&Value> = list.as_array().unwrap().iter().map(|info| &info["processId"]).collect();
    assert_eq!(ids, ["c", "b", "a"], "the oldest first: {list}");
    let told = |n: usize, mut expected: Value| {
        let info = &list[n];
        let started = info["startedAt"].as_u64().unwrap();
        assert!((before..=now_ms()).contains(&started), "{info}");
        expected["startedAt"] = started.into();
        if info["status"] != "running" {
            assert!(info["durationMs"].as_u64().unwrap() < 60_000, "{info}");
            expected["durationMs"] = info["durationMs"].clone();
        }
        assert_eq!(info, &expected);
    };
    told(0, json!({"processId": "c", "run": names[0], "status": "exited", "exitCode": 3, "bytes": 6}));
    told(
        1,
        json!({"processId": "b", "run": names[1], "status": "killed", "exitCode": -1, "signal": "SIGKILL", "bytes": 4}),
    );
    told(2, json!({"processId": "a", "run": list[2]["run"], "status": "running", "exitCode": 0, "bytes": 3}));
}

#[tokio::test]
async fn those_that_ended_first_are_forgotten_first() {
    let (server, processes) = start(Settings::default().keep_ended(2)).await;
    processes.status("runs", Status::Running).await.unwrap();
    // `c` begins first and ends last.
    processes.status("c", Status::Running).await.unwrap();
    for id in ["a", "b"] {
        processes.spawn(id, sh("true")).unwrap().ended().await;
    }
    processes.status("c", Status::Exited(0)).await.unwrap();
    let ids = |processes: &eventwire::process::Processes| {
        let list = processes.list();
        list.into_iter().map(|info| info.process_id).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(&processes), BTreeSet::from(["runs", "b", "c"].map(String::from)), "what runs is always listed");
    let kept = |id: &str| server.io.room(&format!("process:{id}")).last_seq() > 0;
    assert_eq!(["runs", "a", "b", "c"].map(kept), [true, false, true, true], "and its output with it");
    let none = start(Settings::default().keep_ended(0)).await.1;
    none.spawn("p", sh("true")).unwrap().ended().await;
    assert!(none.spawn("p", sh("true").cwd("/no/such/place")).is_err());
    assert_eq!(none.list().len(), 0);
}
