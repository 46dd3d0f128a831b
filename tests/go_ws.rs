//! A page written for go-ws, in the same rooms as clients that speak JSON: real processes over real sockets.
#![cfg(all(feature = "process", feature = "server"))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use eventwire::process::{Command, Processes, Settings};
use eventwire::{Io, Pace, Socket, dialects};
use serde_json::{Value, json};
use support::*;

async fn server() -> (Server, Processes) {
    serve(dialects::GoWs::default()).await
}

async fn serve(dialect: dialects::GoWs) -> (Server, Processes) {
    install(dialect, Settings::default()).await
}

async fn install(dialect: dialects::GoWs, settings: Settings) -> (Server, Processes) {
    let server = Server::of(Io::builder().dialect(dialect).build().unwrap()).await;
    server.io.rooms("process:*").public();
    server.io.on::<Value>("echo", |socket: Socket, data| async move { socket.emit("echoed", data).await });
    let processes = server.io.install(settings);
    (server, processes)
}

/// A page: it parses each frame as one message, as `onmessage` with `JSON.parse` does.
struct Page(Raw);

impl Page {
    async fn open(server: &Server) -> Page {
        let (page, _) = Page::at(server, "/go-ws?token=x", "").await;
        page
    }

    /// Also the subprotocol that the server chose.
    async fn at(server: &Server, path: &str, offered: &str) -> (Page, Option<String>) {
        let mut raw = Raw::connect(server.address).await;
        let line = format!("GET {path} HTTP/1.1");
        let request = handshake(server.address, &line, &[("Sec-WebSocket-Protocol", offered)]);
        let (status, head) = raw.shake(&request).await;
        assert_eq!(status, 101, "{head}");
        let chosen = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("sec-websocket-protocol: ").map(str::to_owned));
        (Page(raw), chosen)
    }

    async fn send(&mut self, message: Value) {
        assert!(self.0.write(&text_frame(&message.to_string())).await);
    }

    async fn subscribe(&mut self, server: &Server, room: &str) {
        let members = server.io.room_len(room);
        self.send(json!({"type": "subscribe", "data": room})).await;
        // go-ws confirms nothing.
        until("the page is subscribed", || server.io.room_len(room) == members + 1).await;
    }

    /// The next message, without its time, which must be one.
    async fn next(&mut self) -> Value {
        let frame = self.0.frame().await.expect("the connection goes on");
        assert_eq!(frame.opcode, 1, "{frame:?}");
        let mut message = frame.json();
        let time = message.as_object_mut().unwrap().remove("timestamp");
        let time = time.as_ref().and_then(Value::as_str).expect("a timestamp").as_bytes();
        let form: String =
            time.iter().map(|byte| if byte.is_ascii_digit() { '0' } else { char::from(*byte) }).collect();
        assert_eq!(form, "0000-00-00T00:00:00.000Z");
        message
    }

    /// Nothing has come but the answer to a ping.
    async fn has_nothing(&mut self) {
        self.send(json!({"type": "ping"})).await;
        assert_eq!(self.next().await, json!({"type": "pong"}));
    }

    /// Follows process `id` from its first status to its last. Returns its lines and that status.
    async fn follow(&mut self, id: &str) -> (Vec<String>, Value) {
        let mut lines = Vec::new();
        let channel = format!("process:{id}");
        let first = self.next().await;
        let running = json!({"status": "running", "exitCode": 0});
        assert_eq!(first, json!({"type": "process_status", "channel": channel, "processId": id, "data": running}));
        loop {
            let mut message = self.next().await;
            let data = message["data"].take();
            let kind = message["type"].take();
            assert_eq!(message, json!({"type": null, "channel": channel, "processId": id, "data": null}));
            if kind == "process_status" {
                return (lines, data);
            }
            assert_eq!(kind, "process_output");
            lines.push(data.as_str().expect("a line").to_owned());
        }
    }
}

#[tokio::test]
async fn a_page_of_go_ws_sees_each_line_of_a_process_beside_a_json_client() {
    let (server, processes) = server().await;
    let mut page = Page::open(&server).await;
    page.has_nothing().await;
    page.subscribe(&server, "process:build-1").await;
    let mut client = server.client_in("process:build-1").await;
    processes.spawn("build-1", Command::new("seq").args(["1", "20000"])).unwrap();
    let (lines, status) = page.follow("build-1").await;
    assert_eq!(lines.len(), 20_000);
    assert!(lines.iter().enumerate().all(|(n, line)| *line == (n + 1).to_string()), "each once and in order");
    assert_eq!(status, json!({"status": "exited", "exitCode": 0}));
    page.has_nothing().await;
    // The client has got the same as ever.
    let mut text = String::new();
    loop {
        let frame = client.next().await;
        match frame["event"].as_str().unwrap() {
            "process_output" => text += frame["data"]["data"].as_str().unwrap(),
            _ if frame["data"]["status"] == "exited" => break,
            _ => {}
        }
    }
    assert_eq!(text, lines.join("\n") + "\n");
}

#[tokio::test]
async fn output_that_pauses_for_its_viewers_arrives_whole_however_much_it_is() {
    let settings = Settings::default().pause(Pace::slowest(256 * 1024).at_most(DEADLINE));
    let (server, processes) = install(dialects::GoWs::default(), settings).await;
    let mut page = Page::open(&server).await;
    page.subscribe(&server, "process:p").await;
    // On this wire several times what an outbox holds.
    processes.spawn("p", Command::new("seq").args(["1", "100000"])).unwrap();
    let (lines, status) = page.follow("p").await;
    assert!(lines.iter().enumerate().all(|(n, line)| *line == (n + 1).to_string()), "each once and in order");
    assert_eq!((lines.len(), &status["status"]), (100_000, &json!("exited")));
}

#[tokio::test]
async fn both_outputs_an_unfinished_line_and_the_exit_code_arrive() {
    let (server, processes) = server().await;
    let mut page = Page::open(&server).await;
    page.subscribe(&server, "process:p").await;
    let script = r"printf 'é1\r\no2\n'; printf 'e1\n\xff' >&2; printf 'o3'; exit 3";
    processes.spawn("p", Command::new("bash").args(["-c", script])).unwrap();
    let (lines, status) = page.follow("p").await;
    // The order of the two outputs is that in which they were read; what had no end comes last.
    let of_stdout: Vec<&String> = lines.iter().filter(|line| ["é1", "o2", "o3"].contains(&line.as_str())).collect();
    assert_eq!(of_stdout, ["é1", "o2", "o3"]);
    assert_eq!((lines.len(), lines.contains(&"e1".into()), &*lines[3], &*lines[4]), (5, true, "o3", "\u{fffd}"));
    assert_eq!(status, json!({"status": "exited", "exitCode": 3}));
    // The id again: nothing of the run before is left.
    processes.spawn("p", Command::new("bash").args(["-c", "echo again; kill -9 $$"])).unwrap();
    assert_eq!(page.follow("p").await, (vec!["again".into()], json!({"status": "killed", "exitCode": -1})));
    // One that cannot start.
    processes.spawn("p", Command::new("no such program")).unwrap_err();
    let failed = page.next().await;
    assert_eq!(
        (&failed["type"], &failed["data"]),
        (&json!("process_status"), &json!({"status": "failed", "exitCode": -1}))
    );
}

#[tokio::test]
async fn what_an_application_tells_of_a_process_arrives_as_go_ws_told_it() {
    let (server, processes) = server().await;
    let mut page = Page::open(&server).await;
    page.subscribe(&server, "process:p").await;
    let line = |line: &str| json!({"type": "process_output", "channel": "process:p", "processId": "p", "data": line});
    processes.output("p", "one\ntwo").await.unwrap();
    assert_eq!(page.next().await, line("one"));
    page.has_nothing().await;
    server.io.to("process:p").emit("process_output", "a line").await.unwrap();
    assert_eq!(page.next().await, line("a line"));
    processes.status("p", eventwire::process::Status::Exited(7)).await.unwrap();
    assert_eq!(page.next().await, line("two"));
    assert_eq!(page.next().await["data"], json!({"status": "exited", "exitCode": 7}));
    server.io.emit("news", json!({"n": 1})).await.unwrap();
    assert_eq!(page.next().await, json!({"type": "event", "data": {"event": "news", "data": {"n": 1}}}));
    server.io.to("process:p").emit("news", "here").await.unwrap();
    let here = json!({"type": "event", "channel": "process:p", "data": {"event": "news", "data": "here"}});
    assert_eq!(page.next().await, here);
    server.io.error("broken", "the disk is full").await.unwrap();
    assert_eq!(page.next().await, json!({"type": "error", "data": "the disk is full"}));
}

#[tokio::test]
async fn a_burst_of_lines_is_as_many_messages() {
    let (server, processes) = server().await;
    let mut page = Page::open(&server).await;
    page.subscribe(&server, "process:p").await;
    // At once, and one by one while nobody reads: neither may be joined into one frame.
    let text: String = (0..200).map(|n| format!("line {n}\n")).collect();
    processes.output("p", &text).await.unwrap();
    for n in 200..400 {
        processes.output("p", &format!("line {n}\n")).await.unwrap();
    }
    for n in 0..400 {
        assert_eq!(page.next().await["data"], format!("line {n}"));
    }
    page.has_nothing().await;
}

#[tokio::test]
async fn what_is_refused_is_told_in_words() {
    let (server, _) = server().await;
    let mut page = Page::open(&server).await;
    for (message, told) in [
        (r#"{"type":"subscribe","data":"secret"}"#, "no rule lets clients into this room"),
        (r#"{"type":"subscribe","data":"no room!"}"#, "a room's name is 1 to 256 of [A-Za-z0-9_.:-]"),
        (r#"{"type":"subscribe"}"#, "expected a room, a list of rooms, or an object with `room`"),
        (r#"{"type":"who?"}"#, "nobody handles this event"),
        (r#"{"type":"closing"}"#, "this event is the server's"),
        ("[]", "an envelope is a JSON object"),
    ] {
        assert!(page.0.write(&text_frame(message)).await);
        assert_eq!(page.next().await, json!({"type": "error", "data": told}), "{message}");
    }
    assert_eq!(server.io.stats().rooms, 0);
}

#[tokio::test]
async fn a_page_pings_emits_and_unsubscribes() {
    let (server, processes) = server().await;
    let mut page = Page::open(&server).await;
    page.send(json!({"type": "ping", "data": {"n": 1}})).await;
    assert_eq!(page.next().await, json!({"type": "pong", "data": {"n": 1}}));
    page.send(json!({"type": "event", "data": {"event": "echo", "data": [1]}})).await;
    let echoed = json!({"type": "event", "data": {"event": "echoed", "data": [1]}});
    assert_eq!(page.next().await, echoed);
    page.send(json!({"type": "echo", "data": [1]})).await;
    assert_eq!(page.next().await, echoed);
    page.subscribe(&server, "process:p").await;
    processes.output("p", "heard\n").await.unwrap();
    assert_eq!(page.next().await["data"], "heard");
    page.send(json!({"type": "unsubscribe", "data": "process:p"})).await;
    until("the page has left", || server.io.room_len("process:p") == 0).await;
    processes.output("p", "not heard\n").await.unwrap();
    page.has_nothing().await;
}

#[tokio::test]
async fn it_is_chosen_by_subprotocol_or_by_path() {
    let (server, _) = serve(dialects::GoWs::at("/ws")).await;
    for (path, offered, chosen) in
        [("/ws", "", None), ("/", "go-ws", Some("go-ws")), ("/ws", "other, go-ws", Some("go-ws"))]
    {
        let (mut page, answered) = Page::at(&server, path, offered).await;
        assert_eq!(answered.as_deref(), chosen, "{path} {offered}");
        page.has_nothing().await;
    }
    // Everybody else is welcomed as ever.
    Client::connect(server.address, "/go-ws").await;
}

#[tokio::test]
async fn the_end_is_told_by_the_close_code() {
    let (server, _) = server().await;
    let mut page = Page::open(&server).await;
    page.has_nothing().await;
    server.io.sockets().pop().unwrap().disconnect();
    assert_eq!(page.0.closed().await, (1000, vec![]));
}
