//! What clients ask for, and how each is answered.

use eventwire::process::{Command, Param, Profile, Settings};
use serde_json::{Value, json};

use crate::support::*;
use crate::watch::*;

fn settings() -> Settings {
    Settings::default()
        .profile("seq", Profile::new("seq").arg("1").param("n", Param::integer(1..=1000)))
        .profile("cat", Command::new("cat").input())
        .profile("sleep", Command::new("sleep").arg("1000"))
        .profile("missing", Command::new("/no/such/program"))
        .profile("directory", Command::new("/etc"))
        .profile("forbidden", Command::new("/etc/passwd"))
}

#[tokio::test]
async fn a_client_starts_a_process_and_watches_it() {
    let (server, processes) = open(settings()).await;
    // The room may be joined before there is such a process.
    let mut ann = server.client_in("process:count-1").await;
    let started =
        ann.request("process_start", json!({"processId": "count-1", "profile": "seq", "params": {"n": 3}})).await;
    let seen = Seen::whole(&mut ann, "count-1").await;
    assert_eq!(started, Ok(json!({"processId": "count-1", "run": seen.run})));
    assert_eq!((seen.out_text().as_str(), &seen.last()["exitCode"]), ("1\n2\n3\n", &json!(0)));
    assert_eq!(processes.list()[0].profile.as_deref(), Some("seq"));
}

#[tokio::test]
async fn without_an_id_the_server_makes_one() {
    let (server, _processes) = open(settings()).await;
    let mut ann = server.client().await;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..5 {
        let started = ann.request("process_start", json!({"profile": "sleep"})).await.unwrap();
        let id = started["processId"].as_str().unwrap().to_owned();
        assert!((8..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        ann.request("subscribe", json!(format!("process:{id}"))).await.unwrap();
        ann.request("process_kill", json!({"processId": id, "graceMs": 0})).await.unwrap();
        // The end of the one before may come first.
        ann.wait_for(|frame| frame["event"] == "process_status" && frame["data"]["run"] == started["run"]).await;
        assert!(ids.insert(id));
    }
}

#[tokio::test]
async fn a_start_that_is_refused_says_why() {
    let (server, processes) = open(settings()).await;
    let mut ann = server.client_in("process:p").await;
    let cases = [
        (json!({"processId": "p"}), "invalid_payload", "profile"),
        (json!({"processId": "p", "profile": "seq", "command": ["true"]}), "invalid_payload", "command"),
        (json!({"processId": "p", "profile": "other"}), "not_found", ""),
        (json!({"processId": "p", "profile": 3}), "invalid_payload", "profile"),
        (json!({"processId": "p", "profile": "seq", "params": [3]}), "invalid_payload", "params"),
        (json!({"processId": "p", "profile": "seq", "params": "n"}), "invalid_payload", "params"),
        (json!({"processId": "p", "profile": "seq"}), "invalid_payload", "params.n"),
        (json!({"processId": "p", "profile": "seq", "params": {"n": 3}, "cwd": "/"}), "forbidden", "cwd"),
        (json!({"processId": "p", "profile": "seq", "params": {"n": 3}, "env": {"A": ""}}), "forbidden", "env.A"),
        (json!({"processId": "p", "profile": "sleep", "env": ["A"]}), "invalid_payload", "env"),
        (json!({"processId": "a b", "profile": "sleep"}), "invalid_payload", "processId"),
        (json!({"processId": "", "profile": "sleep"}), "invalid_payload", "processId"),
        (json!({"processId": "x".repeat(129), "profile": "sleep"}), "invalid_payload", "processId"),
        (json!({"processId": 7, "profile": "sleep"}), "invalid_payload", "processId"),
        // Nobody has this right here.
        (json!({"processId": "p", "command": ["true"]}), "forbidden", ""),
    ];
    for (data, code, path) in cases {
        let answer = ann.request("process_start", data.clone()).await;
        assert_eq!(refusal(answer), refused(code, path), "{data}");
    }
    for data in [json!(null), json!("p"), json!([])] {
        assert_eq!(refusal(ann.request("process_start", data.clone()).await).0, "invalid_payload", "{data}");
    }
    assert_eq!(processes.list().len(), 0);
    ann.expect_nothing().await;

    let start = json!({"processId": "p", "profile": "sleep"});
    ann.request("process_start", start.clone()).await.unwrap();
    assert_eq!(refusal(ann.request("process_start", start).await).0, "already_running");
}

#[tokio::test]
async fn what_cannot_start_is_told_to_who_asked_and_to_the_room() {
    let (server, _processes) = open(settings()).await;
    let (mut ann, mut viewer) = (server.client().await, server.client_in("process:p").await);
    for (profile, named) in [
        ("missing", "`program` was not found"),
        ("directory", "`etc` is a directory"),
        ("forbidden", "`passwd` may not be executed"),
    ] {
        let error = ann.request("process_start", json!({"processId": "p", "profile": profile})).await.unwrap_err();
        assert_eq!(error["code"], "not_started", "{error}");
        let seen = Seen::whole(&mut viewer, "p").await;
        let reason = seen.last()["reason"].as_str().unwrap();
        assert!(reason.contains(named) && !reason.contains('/'), "{reason}");
        assert!(error["message"].as_str().unwrap().contains(reason), "{error}");
        assert_eq!((&seen.last()["status"], &seen.last()["exitCode"]), (&json!("failed"), &json!(-1)));
    }
}

#[tokio::test]
async fn signals_by_their_names() {
    let (server, processes) = open(settings()).await;
    let mut ann = server.client_in("process:p").await;
    let line = "trap 'echo usr1' USR1; trap 'echo usr2' USR2; echo ready; while :; do sleep 0.01; done";
    processes.spawn("p", sh(line)).unwrap();
    let mut seen = Seen::default();
    seen.until_printed(&mut ann, "p", "ready\n").await;
    for (signal, printed) in [("SIGUSR1", "usr1\n"), ("SIGUSR2", "usr2\n")] {
        let signal = json!({"processId": "p", "signal": signal});
        assert_eq!(ann.request("process_signal", signal).await, Ok(Value::Null));
        seen.until_printed(&mut ann, "p", printed).await;
    }
    for bad in [json!("KILL"), json!("sigterm"), json!("SIGNONE"), json!(""), json!(9), json!(null), json!("9")] {
        let answer = ann.request("process_signal", json!({"processId": "p", "signal": bad})).await;
        assert_eq!(refusal(answer), refused("invalid_payload", "signal"), "{bad}");
    }
    ann.request("process_signal", json!({"processId": "p", "signal": "SIGTERM"})).await.unwrap();
    assert_eq!(seen.rest(&mut ann, "p").await.last()["signal"], "SIGTERM");
    let answer = ann.request("process_signal", json!({"processId": "p", "signal": "SIGTERM"})).await;
    assert_eq!(refusal(answer).0, "not_found");
}

#[tokio::test]
async fn a_signal_reaches_the_whole_group() {
    let (server, processes) = open(settings()).await;
    let mut ann = server.client_in("process:p").await;
    processes.spawn("p", sh("sleep 1000 & echo $!; sleep 1000 & echo $!; echo ready; wait")).unwrap();
    let mut seen = Seen::default();
    seen.until_printed(&mut ann, "p", "ready\n").await;
    ann.request("process_signal", json!({"processId": "p", "signal": "SIGTERM"})).await.unwrap();
    let seen = seen.rest(&mut ann, "p").await;
    assert_eq!(seen.pids().len(), 2);
    all_gone(&seen.pids()).await;
}

#[tokio::test]
async fn a_kill_is_answered_at_once() {
    let (server, processes) = open(settings()).await;
    let mut ann = server.client_in("process:p").await;
    let stubborn = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
    processes.spawn("p", sh(stubborn).grace(ms(300))).unwrap();
    let mut seen = Seen::default();
    seen.until_printed(&mut ann, "p", "ready\n").await;
    let begun = std::time::Instant::now();
    // Without a grace it is the command's.
    assert_eq!(ann.request("process_kill", json!({"processId": "p"})).await, Ok(Value::Null));
    assert_eq!(processes.list()[0].status, eventwire::process::Status::Running, "it is not awaited");
    assert_eq!(seen.rest(&mut ann, "p").await.last()["signal"], "SIGKILL");
    assert!(begun.elapsed() >= ms(300));
    for (data, code, path) in [
        (json!({"processId": "p"}), "not_found", ""),
        (json!({"processId": "nobody", "graceMs": 1}), "not_found", ""),
        (json!({"processId": "p", "graceMs": -1}), "invalid_payload", "graceMs"),
        (json!({"processId": "p", "graceMs": "1s"}), "invalid_payload", "graceMs"),
        (json!({"processId": "a/b"}), "invalid_payload", "processId"),
    ] {
        assert_eq!(refusal(ann.request("process_kill", data.clone()).await), refused(code, path), "{data}");
    }
    assert_eq!(refusal(ann.request("process_kill", json!({"id": "p"})).await).0, "invalid_payload");
}

#[tokio::test]
async fn input_that_is_none_is_refused() {
    let (server, processes) = open(settings()).await;
    let mut ann = server.client().await;
    processes.spawn("p", Command::new("cat").input()).unwrap();
    for (data, path) in [
        (json!({"processId": "p", "data": 3}), "data"),
        (json!({"processId": "p", "data": "a=b", "enc": "b64"}), "data"),
        (json!({"processId": "p", "data": "x", "enc": "hex"}), "enc"),
        (json!({"processId": "", "data": "x"}), "processId"),
    ] {
        assert_eq!(
            refusal(ann.request("process_input", data.clone()).await),
            refused("invalid_payload", path),
            "{data}"
        );
    }
}

#[tokio::test]
async fn the_list_is_told_as_the_server_has_it() {
    let (server, processes) = open(settings()).await;
    let mut ann = server.client_in("process:a").await;
    ann.request("process_start", json!({"processId": "a", "profile": "seq", "params": {"n": 2}})).await.unwrap();
    Seen::whole(&mut ann, "a").await;
    processes.spawn("b", Command::new("cat").input()).unwrap();
    for data in [Value::Null, json!({}), json!("whatever")] {
        let list = ann.request("process_list", data).await.unwrap();
        assert_eq!(list, serde_json::to_value(processes.list()).unwrap());
        let facts =
            |n: usize| ["processId", "profile", "status"].map(|key| list[n][key].as_str().unwrap_or("-").to_owned());
        assert_eq!(
            [facts(0), facts(1)],
            [["a", "seq", "exited"], ["b", "-", "running"]].map(|facts| facts.map(String::from))
        );
    }
}
