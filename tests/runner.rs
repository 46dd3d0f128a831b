//! The runner, as its users meet it: over HTTP, over its socket, and in a browser.
#![cfg(all(feature = "process", feature = "server"))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use eventwire::SocketId;
use serde_json::{Value, json};
use support::*;
use tokio::process::Command;

/// The runner with commands of a test's own.
async fn start(profiles: &[&str]) -> (Program, SocketAddr) {
    let arguments = [&["--listen", "127.0.0.1:0"], profiles].concat();
    let mut runner = Program::example("runner", &arguments);
    let address = runner.address().await;
    assert!(runner.printed().contains(&format!("http://{address}/\n")), "an address to click on: {}", runner.printed());
    (runner, address)
}

async fn viewer(address: SocketAddr, id: &str) -> Client {
    let mut viewer = Client::connect(address, "/ws").await;
    viewer.request("subscribe", json!(format!("process:{id}"))).await.unwrap();
    viewer
}

/// Follows a process to its last status. Returns its output and that status.
async fn follow(viewer: &mut Client) -> (String, Value) {
    let mut output = String::new();
    loop {
        let frame = viewer.next().await;
        match frame["event"].as_str().unwrap() {
            "process_output" => {
                assert_eq!(frame["data"]["off"], output.len());
                output += frame["data"]["data"].as_str().unwrap();
            }
            "process_status" if frame["data"]["status"] != "running" => return (output, frame["data"].clone()),
            "process_status" => {}
            other => panic!("{other} was not expected"),
        }
    }
}

async fn printed(viewer: &mut Client, text: &str) {
    let mut output = String::new();
    while !output.contains(text) {
        output += viewer.expect("process_output").await["data"].as_str().unwrap();
    }
}

#[tokio::test]
async fn http_answers() {
    let (_runner, address) = start(&["sleeps=sleep 1000", "--input", "a b=echo a=b"]).await;
    let (status, page) = http(address, "GET /").await;
    assert_eq!(status, 200);
    assert!(page.contains("new WebSocket(") && page.trim_end().ends_with("</html>"), "the page: {page}");
    assert!(!page.contains("src=\"") && !page.contains("import "), "it needs nothing but itself");
    let profiles = json!([
        {"name": "sleeps", "command": "sleep 1000", "input": false},
        {"name": "a b", "command": "echo a=b", "input": true},
    ]);
    assert_eq!(http_json(address, "GET /profiles").await, (200, profiles));

    let (status, started) = http_json(address, "POST /run?profile=sleeps&id=one").await;
    assert_eq!((status, &started["processId"]), (202, &json!("one")));
    assert!(started["run"].as_str().unwrap().parse::<SocketId>().is_ok(), "{started}");
    let refused = [
        ("POST /run?profile=other&id=two", 404, "unknown_profile", "there is no profile `other`, only sleeps, a b"),
        ("POST /run?profile=sleeps&id=one", 409, "already_running", "a process of this id runs"),
        ("POST /run?profile=sleeps&id=no%20id", 400, "invalid_payload", "a process's id is"),
        ("POST /run?profile=sleeps&id=", 400, "invalid_payload", "a process's id is"),
        ("POST /run?profile=sleeps", 400, "invalid_query", "missing field `id`"),
        ("POST /run", 400, "invalid_query", "missing field"),
    ];
    for (request, expected, code, message) in refused {
        let (status, body) = http_json(address, request).await;
        assert_eq!((status, &body["code"]), (expected, &json!(code)), "{request}: {body}");
        assert!(body["message"].as_str().unwrap().contains(message), "{request}: {body}");
    }
    assert_eq!(http_json(address, "POST /run?profile=a+b&id=two").await.0, 202);
    assert_eq!(http(address, "GET /run?profile=sleeps&id=x").await.0, 405, "what starts something is a POST");
    assert_eq!(http(address, "GET /ws").await.0, 426, "no page");
    assert_eq!(http(address, "GET /nothing").await.0, 404);
}

#[tokio::test]
async fn every_viewer_sees_the_same_live() {
    let (_runner, address) = start(&["three=echo one; sleep 0.05; echo two >&2; sleep 0.05; echo three; exit 4"]).await;
    let (mut ann, mut ben) = (viewer(address, "p").await, viewer(address, "p").await);
    assert_eq!(http(address, "POST /run?profile=three&id=p").await.0, 202);
    let (seen, end) = follow(&mut ann).await;
    assert_eq!((seen.as_str(), &end["status"], &end["exitCode"]), ("one\ntwo\nthree\n", &json!("exited"), &json!(4)));
    assert_eq!(follow(&mut ben).await, (seen.clone(), end.clone()));
    let mut late = viewer(address, "p").await;
    assert_eq!(follow(&mut late).await, (seen, end), "who comes late sees what was");
}

#[tokio::test]
async fn whoever_watches_may_do_all_but_bring_a_command() {
    let (_runner, address) = start(&["--input", "cat=cat"]).await;
    let mut ann = viewer(address, "p").await;
    ann.request("process_start", json!({"processId": "p", "profile": "cat"})).await.unwrap();
    ann.request("process_input", json!({"processId": "p", "data": "hello\n"})).await.unwrap();
    printed(&mut ann, "hello\n").await;
    ann.request("process_stdin_close", json!({"processId": "p"})).await.unwrap();
    let end = ann.wait_for(|frame| frame["data"]["status"] == "exited").await;
    assert_eq!(end["data"]["exitCode"], 0);
    let refused = ann.request("process_start", json!({"processId": "q", "command": ["id"]})).await.unwrap_err();
    assert_eq!(refused["code"], "forbidden");
}

#[tokio::test]
async fn what_cannot_start_is_told() {
    let (_runner, address) = start(&["--cwd", "/nowhere/at/all", "quick=echo hi"]).await;
    let (status, body) = http_json(address, "POST /run?profile=quick&id=p").await;
    assert_eq!((status, &body["code"]), (500, &json!("not_started")), "{body}");
    let (output, end) = follow(&mut viewer(address, "p").await).await;
    assert_eq!((output.as_str(), &end["status"], &end["exitCode"]), ("", &json!("failed"), &json!(-1)));
    assert!(end["reason"].is_string(), "{end}");
}

#[tokio::test]
async fn who_watches_can_stop_it() {
    let (_runner, address) = start(&["counts=n=0; while :; do n=$((n+1)); echo line $n; sleep 0.01; done"]).await;
    let (mut ann, mut ben) = (viewer(address, "p").await, viewer(address, "p").await);
    assert_eq!(http(address, "POST /run?profile=counts&id=p").await.0, 202);
    printed(&mut ann, "line 3\n").await;
    assert_eq!(ben.request("process_kill", json!({"processId": "p", "graceMs": 1000})).await, Ok(Value::Null));
    for viewer in [&mut ann, &mut ben] {
        let end = viewer.wait_for(|frame| frame["data"]["status"] == "killed").await;
        assert_eq!((&end["data"]["signal"], &end["data"]["exitCode"]), (&json!("SIGTERM"), &json!(-1)));
    }
    let refused = ben.request("process_kill", json!({"processId": "p"})).await.unwrap_err();
    assert_eq!(refused["code"], "not_found");
    let refused = ben.request("process_kill", json!({"id": "p"})).await.unwrap_err();
    assert_eq!(refused["code"], "invalid_payload");
}

#[tokio::test]
async fn the_list_is_told_when_it_changes() {
    let (_runner, address) = start(&["quick=echo hi", "sleeps=sleep 1000"]).await;
    let mut ann = Client::connect(address, "/ws").await;
    ann.request("subscribe", json!("runs")).await.unwrap();
    assert_eq!(ann.request("process_list", Value::Null).await, Ok(json!([])));
    assert_eq!(http(address, "POST /run?profile=quick&id=a").await.0, 202);
    let is_told = |list: &Value, id: &str, status: &str| {
        let list = list["data"].as_array();
        list.is_some_and(|list| list.iter().any(|run| run["processId"] == id && run["status"] == status))
    };
    let list = ann.wait_for(|frame| is_told(frame, "a", "exited")).await["data"].clone();
    assert_eq!(http(address, "POST /run?profile=sleeps&id=b").await.0, 202);
    let next = ann.wait_for(|frame| is_told(frame, "b", "running")).await["data"].clone();
    assert_eq!(next[0], list[0], "what has ended stays");
    let facts = |run: &Value| ["processId", "profile", "status"].map(|key| run[key].as_str().unwrap().to_owned());
    assert_eq!(facts(&next[0]), ["a", "quick", "exited"]);
    assert_eq!(facts(&next[1]), ["b", "sleeps", "running"]);
    assert_eq!(ann.request("process_list", Value::Null).await, Ok(next));
}

#[tokio::test]
async fn sigterm_ends_it_and_what_it_runs() {
    let stubborn = "stubborn=trap '' TERM; sleep 1000 & echo $!; echo $$; echo ready; wait";
    let (mut runner, address) = start(&[stubborn]).await;
    let mut ann = viewer(address, "p").await;
    http(address, "POST /run?profile=stubborn&id=p").await;
    let mut output = String::new();
    while !output.contains("ready\n") {
        output += ann.expect("process_output").await["data"].as_str().unwrap();
    }
    let pids: Vec<i32> = output.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(pids.len() == 2 && pids.iter().all(|&pid| is_alive(pid)));
    runner.terminate();
    let (code, before) = ann.closed().await;
    assert_eq!((code, &before.last().unwrap()["data"]["code"]), (1001, &json!("shutdown")));
    let (status, printed) = runner.ended_within(Duration::from_secs(4)).await;
    assert!(status.success(), "{status}: {printed}");
    // They have ended before it, not sooner or later.
    assert!(!pids.iter().any(|&pid| is_alive(pid)), "{pids:?} survive");
}

#[tokio::test]
async fn without_commands_it_has_some() {
    let (_runner, address) = start(&[]).await;
    let (_, profiles) = http_json(address, "GET /profiles").await;
    assert_eq!((&profiles[0]["name"], &profiles[1]["name"]), (&json!("build"), &json!("count")));
    let named = |name: &str| profiles.as_array().unwrap().iter().find(|profile| profile["name"] == name).unwrap();
    assert_eq!([&named("ask")["input"], &named("cat")["input"], &named("count")["input"]], [true, true, false]);
    let build = profiles[0]["command"].as_str().unwrap();
    assert!(build.contains("--target-dir"), "the build does not wait for the one that runs the runner: {build}");
    let mut ann = viewer(address, "c").await;
    http(address, "POST /run?profile=count&id=c").await;
    printed(&mut ann, "line 2 of 600\n").await;
    ann.request("process_kill", json!({"processId": "c"})).await.unwrap();
    assert_eq!(follow_end(&mut ann).await["signal"], "SIGTERM");
    // A conversation, to its sum.
    let mut ben = viewer(address, "a").await;
    http(address, "POST /run?profile=ask&id=a").await;
    for (said, answered) in
        [("Ben\n", "Hello, Ben!"), ("2\n", "2 so far\n"), ("three\n", "no number\n"), ("40\n", "42 so far")]
    {
        ben.request("process_input", json!({"processId": "a", "data": said})).await.unwrap();
        printed(&mut ben, answered).await;
    }
    ben.request("process_stdin_close", json!({"processId": "a"})).await.unwrap();
    printed(&mut ben, "Ben, they make \x1b[32m42").await;
    http(address, "POST /run?profile=colours&id=d").await;
    let (output, end) = follow(&mut viewer(address, "d").await).await;
    assert!(output.contains("\x1b[48;5;255m") && output.contains("100 %") && end["exitCode"] == 0, "{output}");
}

async fn follow_end(viewer: &mut Client) -> Value {
    viewer.wait_for(|frame| frame["data"]["status"] == "killed").await["data"].clone()
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    for (arguments, expected) in [
        (&["--listen"][..], "`--listen` needs an address"),
        (&["--listen", "nowhere"], "`--listen nowhere`"),
        (&["--cwd"], "`--cwd` needs a directory"),
        (&["--input"], "`--input` needs a profile"),
        (&["--input", "echo"], "`echo` is no NAME=COMMAND"),
        (&["--liste", "127.0.0.1:0"], "`--liste` is no NAME=COMMAND"),
        (&["=echo"], "`=echo` is no NAME=COMMAND"),
    ] {
        let (status, printed) = Program::example("runner", arguments).ended().await;
        assert!(!status.success() && printed.contains(expected) && printed.contains("usage: runner"), "{printed}");
    }
}

#[tokio::test]
async fn in_a_browser() {
    browser_is_installed();
    // The second half of the lines is printed once the script has seen the first.
    let folder = std::env::temp_dir().join(format!("eventwire-runner-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let (folder, go) = (folder.to_str().unwrap(), folder.join("go"));
    let go = go.to_str().unwrap();
    let half =
        |n: &str| format!("for n in $(seq {n}); do echo line $n; [ $((n % 50)) = 0 ] && echo that makes $n >&2; done");
    let lines = format!("lines={}; until [ -e {go} ]; do sleep 0.01; done; {}", half("1 50"), half("51 100"));
    let leaves = format!("leaves=rm -f {go}; rmdir {folder}");
    let profiles = [
        "--cwd",
        folder,
        lines.as_str(),
        "colours=printf '\\033[32mgreen\\033[0m \\033[1;38;5;208morange\\033[0m \\033[41mground\\033[m <img src=x onerror=alert(1)>\\n'",
        "styles=printf '\\033[1mbold\\033[22m \\033[2mdim\\033[m \\033[3mitalic\\033[m \\033[4munder\\033[m \\033[7minverse\\033[m \\033[38;2;1;2;3mtrue\\033[m \\033[48:2::4:5:6mcolons\\033[m\\n'",
        "progress=for n in $(seq 0 20); do printf '\\r%d %%' $((n * 5)); sleep 0.01; done; printf '\\ndone\\n'",
        "moves=printf 'abc\\b\\bX\\nlong line\\rshort\\033[K\\ngone\\033[2K\\rhere\\n'",
        "bytes=printf 'caf\\303\\251 caf\\303'; sleep 0.4; printf '\\251 \\377.\\n'",
        "many=seq 1 1000000",
        "bytewise=n=0; while [ $n -lt 50000 ]; do echo $n; n=$((n+1)); done",
        "flood=yes 'a line of a flood that goes on' | head -c 8000000",
        "long=for n in $(seq 1 80); do seq $((n * 1000 - 999)) $((n * 1000)) | sed 's/$/ is the number of this line/'; echo up to $n >&2; sleep 0.02; done",
        "fails=echo oops >&2; exit 3",
        "dies=kill -9 $$",
        "counts=n=0; while :; do n=$((n+1)); echo line $n; sleep 0.02; done",
        "traps=trap 'echo interrupted; exit 130' INT; echo ready; while :; do sleep 0.02; done",
        "--input",
        "ask=echo 'your name?'; read -r name; echo \"hello $name\"; read -r next || echo 'no more'",
        "--input",
        "cat=cat",
        leaves.as_str(),
    ];
    let (_runner, address) = start(&profiles).await;
    let script = root().join("tests/clients/browser/runner.mjs");
    let mut browser = Program::start(Command::new("node").arg(script).arg(format!("http://{address}/")).arg(go));
    let (status, printed) = browser.ended_within(Duration::from_secs(180)).await;
    let _ = std::fs::remove_dir_all(folder);
    assert!(status.success(), "{printed}");
}
