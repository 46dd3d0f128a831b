//! What a process is given to read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use eventwire::Error;
use eventwire::process::{Command, ProcessError, Settings, Status};
use serde_json::{Value, json};

use crate::support::*;
use crate::watch::*;

#[tokio::test]
async fn input_arrives_as_it_was_sent_and_its_end_after_it() {
    let (server, processes) = open(Settings::default()).await;
    let mut ann = server.client_in("process:p").await;
    processes.spawn("p", Command::new("cat").input()).unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(50_000).collect();
    let pieces =
        [json!({"data": "first ─\n"}), json!({"data": BASE64.encode(&bytes), "enc": "b64"}), json!({"data": ""})];
    for mut piece in pieces {
        piece["processId"] = "p".into();
        assert_eq!(ann.request("process_input", piece).await, Ok(Value::Null));
    }
    processes.input("p", "last").unwrap();
    assert_eq!(ann.request("process_stdin_close", json!({"processId": "p"})).await, Ok(Value::Null));
    let again = ann.request("process_stdin_close", json!({"processId": "p"})).await;
    assert!(matches!(refusal(again).0.as_str(), "stdin_closed" | "not_found"), "it may have ended by now");
    let seen = Seen::whole(&mut ann, "p").await;
    assert_same(&seen.stdout(), &["first ─\n".as_bytes(), &bytes, b"last"].concat());
    assert_eq!(seen.last()["exitCode"], 0);
}

#[tokio::test]
async fn eight_mebibytes_through_a_process() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    processes.spawn("p", Command::new("sha256sum").input()).unwrap();
    let bytes: Vec<u8> = (0..8 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for piece in bytes.chunks(100_000) {
        // Whoever is told that the queue is full comes again.
        until("there is room", || match processes.input("p", piece) {
            Err(ProcessError::InputFull) => false,
            taken => taken == Ok(()) || panic!("{taken:?}"),
        })
        .await;
    }
    processes.close_input("p").unwrap();
    let folder = Folder::new();
    std::fs::write(folder.file("all"), &bytes).unwrap();
    let wanted = truth(&format!("sha256sum < {}", folder.file("all").display()));
    assert_same(&Seen::whole(&mut viewer, "p").await.stdout(), &wanted);
}

#[tokio::test]
async fn a_process_that_does_not_read_holds_up_nobody() {
    let (server, processes) = open(Settings::default().input_queue(8, 300_000)).await;
    let mut ann = server.client_in("process:p").await;
    processes.spawn("p", sh("echo $$; while :; do echo alive; sleep 0.05; done").input()).unwrap();
    let piece = json!({"processId": "p", "data": "x".repeat(100_000)});
    // 64 KiB go into the pipe; the rest waits, and then there is no room.
    let mut taken = 0;
    let busy = loop {
        match ann.request("process_input", piece.clone()).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((busy["code"].as_str(), taken), (Some("busy"), 3), "{busy}");
    let small = json!({"processId": "p", "data": "x"});
    assert_eq!(refusal(ann.request("process_input", small).await).0, "busy", "not a byte");
    let large = json!({"processId": "p", "data": "x".repeat(300_001)});
    assert_eq!(refusal(ann.request("process_input", large).await).0, "too_large", "it would never fit");
    // Its output goes on meanwhile, and it can be ended.
    let mut seen = Seen::default();
    seen.until_printed(&mut ann, "p", "alive\nalive\n").await;
    ann.request("process_kill", json!({"processId": "p", "graceMs": 0})).await.unwrap();
    assert_eq!(seen.rest(&mut ann, "p").await.last()["signal"], "SIGKILL");
}

#[tokio::test]
async fn who_reads_no_input_says_so() {
    let (server, processes) = open(Settings::default()).await;
    let mut ann = server.client().await;
    let asks =
        [("process_input", json!({"processId": "p", "data": "x"})), ("process_stdin_close", json!({"processId": "p"}))];
    for (event, data) in &asks {
        assert_eq!(refusal(ann.request(event, data.clone()).await).0, "not_found", "{event}: nothing runs");
    }
    processes.spawn("p", sh("sleep 1000")).unwrap();
    for (event, data) in &asks {
        assert_eq!(refusal(ann.request(event, data.clone()).await).0, "stdin_closed", "{event}: it has none");
    }
    processes.kill("p", ms(0)).unwrap();
    processes.spawn("q", sh("exec <&-; echo ready; sleep 1000").input()).unwrap();
    until("it has closed its input", || processes.list().iter().any(|info| info.bytes > 0)).await;
    // What is written first is lost in the pipe, and told by it.
    until("its end is felt", || processes.input("q", "x") == Err(ProcessError::StdinClosed)).await;
    assert_eq!(Error::from(ProcessError::StdinClosed).code(), "stdin_closed");
    assert_eq!(processes.list().last().map(|info| info.status.clone()), Some(Status::Running), "it goes on");
    processes.close_input("q").unwrap();
    assert_eq!(processes.close_input("q"), Err(ProcessError::StdinClosed));
}
