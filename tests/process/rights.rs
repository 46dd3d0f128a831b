//! Who may do what.

use eventwire::process::{Command, Processes, Rights, Settings};
use eventwire::{Handshake, Socket};
use serde_json::{Value, json};

use crate::support::*;
use crate::watch::*;

const REQUESTS: [&str; 6] =
    ["process_start", "process_input", "process_stdin_close", "process_signal", "process_kill", "process_list"];

/// What each of them takes.
fn payload(event: &str, id: &str) -> Value {
    match event {
        "process_start" => json!({"processId": id, "profile": "cat"}),
        "process_input" => json!({"processId": id, "data": "x"}),
        "process_signal" => json!({"processId": id, "signal": "SIGCONT"}),
        "process_list" => Value::Null,
        _ => json!({"processId": id}),
    }
}

#[tokio::test]
async fn without_a_rule_nothing_is_allowed_and_rooms_are_the_applications() {
    let server = Server::new().await;
    let processes = server.io.install(Settings::default().profile("cat", Command::new("cat").input()));
    processes.spawn("p", Command::new("cat").input()).unwrap();
    let mut ann = server.client().await;
    for event in REQUESTS {
        assert_eq!(refusal(ann.request(event, payload(event, "p")).await).0, "forbidden", "{event}");
    }
    assert_eq!(refusal(ann.request("subscribe", json!("process:p")).await).0, "forbidden");
    server.io.rooms("process:*").public();
    ann.request("subscribe", json!("process:p")).await.unwrap();
    // What the application answers itself is no longer the module's.
    server.io.off("process_list");
    server.io.on::<()>("process_list", async |_, ()| "mine");
    assert_eq!(ann.request("process_list", Value::Null).await, Ok(json!("mine")));
}

/// Users are called after what they may.
async fn rule(socket: Socket, id: String) -> Rights {
    match (socket.handshake().user(), id.as_str()) {
        (_, "secret") => Rights::NONE,
        ("view", _) => Rights::VIEW,
        ("write", _) => Rights::WRITE,
        ("signal", _) => Rights::SIGNAL,
        ("start", _) => Rights::START,
        ("command", _) => Rights::COMMAND,
        ("all", _) => Rights::ALL,
        _ => Rights::NONE,
    }
}

async fn bench() -> (Server, Processes) {
    let server = Server::new().await;
    server.io.authenticate(|handshake: Handshake| async move { Ok(handshake.query_param("user")) });
    let settings = Settings::default().profile("cat", Command::new("cat").input()).rights(rule);
    let processes = server.io.install(settings);
    for id in ["p", "secret"] {
        processes.spawn(id, Command::new("cat").input()).unwrap();
    }
    (server, processes)
}

async fn user(server: &Server, name: &str) -> Client {
    Client::connect(server.address, &format!("/ws?user={name}")).await
}

/// Another process `p`, with an open input.
async fn renew(processes: &Processes) {
    let _ = processes.kill("p", ms(0));
    until("it runs anew", || processes.spawn("p", Command::new("cat").input()).is_ok()).await;
}

#[tokio::test]
async fn each_request_needs_its_own_right() {
    let (server, processes) = bench().await;
    let mut all = user(&server, "all").await;
    for name in ["view", "write", "signal", "start", "command", "all", "nobody"] {
        let mut client = user(&server, name).await;
        let may = |allowed: &[&str]| allowed.contains(&name);
        let room = client.request("subscribe", json!("process:p")).await;
        assert_eq!(room.is_ok(), may(&["view", "all"]), "{name} subscribes: {room:?}");
        for event in REQUESTS {
            let id = if event == "process_start" { format!("new-{name}") } else { "p".into() };
            // Everyone is refused what nobody may, as if it were not there.
            let secret = client.request(event, payload(event, "secret")).await;
            if event != "process_list" {
                assert_eq!(refusal(secret).0, "forbidden", "{name} {event}");
            }
            // It may have been ended by whoever asked before.
            renew(&processes).await;
            let answer = client.request(event, payload(event, &id)).await;
            let allowed = match event {
                "process_start" => may(&["start", "all"]),
                "process_input" | "process_stdin_close" => may(&["write", "all"]),
                "process_list" => true,
                _ => may(&["signal", "all"]),
            };
            assert_eq!(answer.is_ok(), allowed, "{name} {event}: {answer:?}");
            if !allowed {
                assert_eq!(refusal(answer).0, "forbidden", "{name} {event}");
            }
        }
    }
    let list = all.request("process_list", Value::Null).await.unwrap();
    assert!(list.as_array().unwrap().iter().all(|info| info["processId"] != "secret"), "{list}");
    assert!(list.as_array().unwrap().len() > 1, "{list}");
    let mut nobody = user(&server, "nobody").await;
    assert_eq!(nobody.request("process_list", Value::Null).await, Ok(json!([])), "what one may view, which is nothing");
    assert_eq!(refusal(nobody.request("subscribe", json!("process:secret")).await).0, "forbidden");
}

#[tokio::test]
async fn commands_of_ones_own_are_a_right_of_their_own() {
    let (server, _processes) = bench().await;
    let folder = Folder::new();
    let (mut all, mut root) = (user(&server, "all").await, user(&server, "command").await);
    let line = "read line; echo \"$line $A\"; pwd -P";
    let command = json!({"processId": "own", "command": ["sh", "-c", line], "cwd": folder.path(),
        "env": {"A": "b  c"}, "input": true});
    assert_eq!(refusal(all.request("process_start", command.clone()).await).0, "forbidden");
    all.request("subscribe", json!("process:own")).await.unwrap();
    root.request("process_start", command).await.unwrap();
    all.request("process_input", json!({"processId": "own", "data": "given\n"})).await.unwrap();
    let seen = Seen::whole(&mut all, "own").await;
    let folder = std::fs::canonicalize(folder.path()).unwrap();
    assert_eq!(seen.out_text(), format!("given b  c\n{}\n", folder.display()));
    for (command, path) in [
        (json!({"command": []}), "command"),
        (json!({"command": [""]}), "command"),
        (json!({"command": ["a", 3]}), "command[1]"),
        (json!({"command": "ls"}), "command"),
        (json!({"command": ["a", "b\0c"]}), "command[1]"),
        (json!({"command": ["true"], "env": {"A=B": "c"}}), "env.A=B"),
        (json!({"command": ["true"], "env": {"": "c"}}), "env."),
    ] {
        let answer = root.request("process_start", command.clone()).await;
        assert_eq!(refusal(answer), refused("invalid_payload", path), "{command}");
    }
    // It is no right to anything else.
    assert_eq!(refusal(root.request("process_start", payload("process_start", "x")).await).0, "forbidden");
    assert!(!Rights::ALL.contains(Rights::COMMAND) && (Rights::ALL | Rights::COMMAND).contains(Rights::COMMAND));
    assert_eq!(format!("{:?}", Rights::VIEW | Rights::COMMAND), "Rights(VIEW | COMMAND)");
}

#[tokio::test]
async fn a_rule_that_panics_allows_nothing() {
    let server = Server::new().await;
    let settings = Settings::default().profile("cat", Command::new("cat")).rights(async |_, _| panic!("as told"));
    server.io.install(settings);
    let mut ann = server.client().await;
    assert_eq!(refusal(ann.request("process_start", payload("process_start", "p")).await).0, "internal");
    assert_eq!(refusal(ann.request("subscribe", json!("process:p")).await).0, "internal");
}
