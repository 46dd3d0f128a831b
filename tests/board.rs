//! The board, as its users meet it: over its socket, and in a browser.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};
use support::*;
use tokio::process::Command;

const KEPT: u64 = 64;

async fn start(arguments: &[&str]) -> (Program, SocketAddr) {
    let mut board = Program::example("board", &[&["--listen", "127.0.0.1:0"], arguments].concat());
    let address = board.address().await;
    assert_eq!(board.printed(), format!("open http://{address}/\n"));
    (board, address)
}

/// A board as a client knows it, by what it was told alone.
#[derive(Debug, Default)]
struct Copy {
    notes: serde_json::Map<String, Value>,
    top: u64,
    seq: u64,
    had_snapshot: bool,
}

impl Copy {
    fn tell(&mut self, frame: &Value) {
        let (data, seq) = (&frame["data"], frame["seq"].as_u64().unwrap());
        match frame["event"].as_str().unwrap() {
            "board" => {
                assert_eq!(frame["snapshot"], true);
                self.had_snapshot = true;
                self.notes = data["notes"].as_object().unwrap().clone();
                self.top = data["top"].as_u64().unwrap();
            }
            "operation" => {
                assert_eq!(seq, self.seq + 1, "none is missed or doubled");
                self.apply(data["note"].as_str().unwrap(), &data["change"]);
            }
            other => panic!("`{other}` was not expected: {frame}"),
        }
        self.seq = seq;
    }

    fn apply(&mut self, note: &str, change: &Value) {
        if change == "remove" {
            self.notes.remove(note);
        } else if change["add"].is_object() {
            self.top += 1;
            self.notes.insert(note.into(), change["add"].clone());
            self.notes[note]["z"] = json!(self.top);
        } else if let Some(known) = self.notes.get_mut(note) {
            for (field, value) in change["set"].as_object().unwrap() {
                known[field] = value.clone();
            }
            if change["set"]["x"].is_u64() || change["set"]["y"].is_u64() {
                self.top += 1;
                known["z"] = json!(self.top);
            }
        }
    }

    fn board(&self) -> (&serde_json::Map<String, Value>, u64, u64) {
        (&self.notes, self.top, self.seq)
    }

    /// Reads on to this number.
    async fn up_to(&mut self, seq: u64, client: &mut Client) {
        while self.seq < seq {
            let frame = client.wait_for(|frame| !frame["seq"].is_null()).await;
            self.tell(&frame);
        }
    }
}

async fn enter(address: SocketAddr, board: &str, name: &str) -> Client {
    let mut client = Client::connect(address, "/ws").await;
    client.request("enter", json!({"board": board, "name": name})).await.unwrap();
    client
}

/// At the board, from its beginning as the room tells it. Returns the subscription's answer too.
async fn at(address: SocketAddr, board: &str, name: &str) -> (Client, Value) {
    let mut client = enter(address, board, name).await;
    let place = client.request("subscribe", json!(format!("board:{board}"))).await.unwrap();
    (client, place)
}

fn add(x: u64) -> Value {
    json!({"add": {"x": x, "y": x / 2, "colour": "yellow", "text": format!("at {x}")}})
}

async fn operate(client: &mut Client, id: &str, note: &str, change: Value) -> Result<u64, Value> {
    let done = client.request("operation", json!({"id": id, "note": note, "change": change})).await?;
    Ok(done.as_u64().unwrap())
}

/// What comes to mind at a board: some of it is refused, where another has removed the note. Returns the last number.
async fn busy(client: &mut Client, who: &str, times: Range<u64>) -> u64 {
    let mut last = 0;
    for n in times {
        let colours = ["yellow", "orange", "pink", "violet", "blue", "green"];
        let (note, change) = match n % 8 {
            0 => (format!("{who}-{n}"), add(n * 3)),
            1 => (format!("ann-{}", n - 1), json!({"set": {"text": format!("{who} says {n}")}})),
            2 => (format!("ben-{}", n - 2), json!({"set": {"x": n, "y": n + 1}})),
            3 => (format!("{who}-{}", n - 3), json!({"set": {"colour": colours[n as usize % 6]}})),
            4 => (format!("ann-{}", n - 4), json!({"set": {"x": n, "text": format!("{who} moves")}})),
            5 => (format!("ben-{}", n / 16 * 16), json!("remove")),
            6 => (format!("{who}-{n}"), add(n)),
            _ => (format!("ben-{}", n - 1), json!({"set": {"text": "Straße 🚋 \"quoted\"\n"}})),
        };
        match operate(client, &format!("{who}-{n}"), &note, change).await {
            Ok(seq) => last = seq,
            Err(error) => assert_eq!(error["code"], "not_found", "{error}"),
        }
    }
    last
}

#[tokio::test]
async fn snapshot_and_ring_are_what_one_had_that_saw_all() {
    let (_board, address) = start(&[]).await;
    let (mut witness, place) = at(address, "lobby", "Witness").await;
    assert_eq!((&place["seq"], &place["from"]), (&json!(0), &json!(1)));
    let ((mut ann, _), (mut ben, _)) = (at(address, "lobby", "Ann").await, at(address, "lobby", "Ben").await);
    let (mut all, mut last) = (Copy::default(), 0);
    // Never so many at a time that the ring could overtake the witness.
    for n in (0..200).step_by(25) {
        let (a, b) = tokio::join!(busy(&mut ann, "ann", n..n + 25), busy(&mut ben, "ben", n..n + 25));
        last = a.max(b);
        all.up_to(last, &mut witness).await;
    }
    assert!(last > 4 * KEPT && !all.notes.is_empty() && !all.had_snapshot, "{last} operations, each one seen");

    // Who comes late gets the board as it was, and the latest operations.
    let (mut late, place) = at(address, "lobby", "Late").await;
    assert_eq!((&place["seq"], &place["from"]), (&json!(last), &json!(last - KEPT + 1)));
    let first = late.wait_for(|frame| !frame["seq"].is_null()).await;
    assert_eq!((&first["event"], &first["seq"]), (&json!("board"), &json!(last - KEPT)));
    let mut copy = Copy::default();
    copy.tell(&first);
    copy.up_to(last, &mut late).await;
    assert_eq!(copy.board(), all.board());

    // And then what is new, as everyone.
    let last = busy(&mut ben, "more", 0..50).await;
    all.up_to(last, &mut witness).await;
    copy.up_to(last, &mut late).await;
    assert_eq!(copy.board(), all.board());
}

#[tokio::test]
async fn who_lost_the_connection_goes_on() {
    let (_board, address) = start(&[]).await;
    let ((mut ann, _), (gone, place)) = (at(address, "lobby", "Ann").await, at(address, "lobby", "Ben").await);
    let (mut all, mut before) = (Copy::default(), Copy::default());
    let mut last = busy(&mut ann, "ann", 0..80).await;
    all.up_to(last, &mut ann).await;
    let mut ben = gone;
    before.up_to(last, &mut ben).await;
    drop(ben);
    // For a short while: the operations that it has missed, and no snapshot. For a long one: the board, and what came then.
    for (times, has_snapshot) in [(40, false), (200, true)] {
        last = busy(&mut ann, &format!("ann{times}"), 0..times).await;
        all.up_to(last, &mut ann).await;
        let mut ben = enter(address, "lobby", "Ben").await;
        let since = json!({"room": "board:lobby", "since": before.seq, "epoch": place["epoch"]});
        let back = ben.request("subscribe", since).await.unwrap();
        assert_eq!((&back["epoch"], &back["seq"]), (&place["epoch"], &json!(last)));
        let first = ben.wait_for(|frame| !frame["seq"].is_null()).await;
        assert_eq!(first["snapshot"] == true, has_snapshot, "{first}");
        before.tell(&first);
        before.up_to(last, &mut ben).await;
        assert_eq!(before.board(), all.board());
        ben.wait_for(|frame| frame["event"] == "people").await;
        ben.close().await;
    }
}

#[tokio::test]
async fn what_is_sent_again_is_not_done_again() {
    let (_board, address) = start(&[]).await;
    let (mut ann, _) = at(address, "lobby", "Ann").await;
    assert_eq!(operate(&mut ann, "1", "a", add(5)).await, Ok(1));
    assert_eq!(operate(&mut ann, "2", "a", json!({"set": {"text": "mine"}})).await, Ok(2));
    assert_eq!(operate(&mut ann, "3", "a", json!({"set": {"text": "later"}})).await, Ok(3));
    drop(ann);
    let (mut ann, place) = at(address, "lobby", "Ann").await;
    assert_eq!(operate(&mut ann, "1", "a", add(5)).await, Ok(1));
    assert_eq!(operate(&mut ann, "2", "a", json!({"set": {"text": "mine"}})).await, Ok(2));
    assert_eq!(operate(&mut ann, "4", "a", json!({"set": {"x": 7}})).await, Ok(4), "nothing came between");
    assert_eq!(place["seq"], 3);
    let mut copy = Copy::default();
    copy.up_to(4, &mut ann).await;
    assert_eq!((&copy.notes["a"]["text"], &copy.notes["a"]["x"]), (&json!("later"), &json!(7)));
}

#[tokio::test]
async fn refusals_name_the_field() {
    let (_board, address) = start(&[]).await;
    let mut ann = Client::connect(address, "/ws").await;
    let refused = |answer: Result<Value, Value>| {
        let error = answer.unwrap_err();
        (error["code"].as_str().unwrap().to_owned(), error["details"]["path"].as_str().unwrap_or("").to_owned())
    };
    let expected = |code: &str, path: &str| (code.to_owned(), path.to_owned());
    let operation = json!({"id": "1", "note": "a", "change": add(1)});
    assert_eq!(refused(ann.request("operation", operation.clone()).await), expected("no_seat", ""));
    for (board, name, path) in [("", "Ann", "board"), ("no board", "Ann", "board"), ("lobby", "  ", "name")] {
        let answer = ann.request("enter", json!({"board": board, "name": name})).await;
        assert_eq!(refused(answer), expected("invalid_payload", path), "{board:?} {name:?}");
    }
    ann.request("enter", json!({"board": "lobby", "name": "Ann"})).await.unwrap();
    assert_eq!(refused(ann.request("operation", operation).await), expected("forbidden", ""), "not subscribed");
    ann.request("subscribe", json!("board:lobby")).await.unwrap();
    operate(&mut ann, "1", "a", add(1)).await.unwrap();

    let long = "ü".repeat(281);
    for (note, change, code, path) in [
        ("b", json!({"add": {"x": 2401, "y": 0, "colour": "pink", "text": ""}}), "invalid_payload", "change.add.x"),
        ("b", json!({"add": {"x": 0, "y": 1501, "colour": "pink", "text": ""}}), "invalid_payload", "change.add.y"),
        ("b", json!({"add": {"x": 0, "y": 0, "colour": "red", "text": ""}}), "invalid_payload", "change.add.colour"),
        ("b", json!({"add": {"x": 0, "y": 0, "colour": "pink", "text": long}}), "invalid_payload", "change.add.text"),
        ("b", json!({"add": {"x": 0, "y": 0, "colour": "pink"}}), "invalid_payload", "change.add"),
        ("a", json!({"set": {"x": -1}}), "invalid_payload", "change.set.x"),
        ("a", json!({"set": {"y": 1.5}}), "invalid_payload", "change.set.y"),
        ("a", json!({"set": {"text": long}}), "invalid_payload", "change.set.text"),
        ("a", json!({"set": {"color": "pink"}}), "invalid_payload", "change.set.color"),
        ("a", json!("drop"), "invalid_payload", "change"),
        ("a b", add(1), "invalid_payload", "note"),
        ("a", add(1), "exists", ""),
        ("b", json!({"set": {"x": 1}}), "not_found", ""),
        ("b", json!("remove"), "not_found", ""),
    ] {
        let answer = ann.request("operation", json!({"id": "2", "note": note, "change": change})).await;
        let message = answer.as_ref().unwrap_err()["message"].as_str().unwrap().to_owned();
        let (got, field) = refused(answer);
        assert!(got == code && field.starts_with(path), "{note} {change}: {got} at `{field}`: {message}");
    }
    assert_eq!(operate(&mut ann, "2", "a", json!({"set": {"text": "ü".repeat(280)}})).await, Ok(2), "none was kept");
    for n in 3..=201 {
        operate(&mut ann, &n.to_string(), &format!("n{n}"), add(n)).await.unwrap();
    }
    let full = operate(&mut ann, "full", "full", add(1)).await.unwrap_err();
    assert_eq!((&full["code"], &full["message"]), (&json!("limit"), &json!("a board has room for 200 notes")));
    operate(&mut ann, "less", "n3", json!("remove")).await.unwrap();
    operate(&mut ann, "full", "full", add(1)).await.expect("a refused one may be tried again");
}

#[tokio::test]
async fn who_is_there_and_what_they_hold_is_not_kept() {
    let (_board, address) = start(&[]).await;
    let (mut ann, _) = at(address, "lobby", "Ann").await;
    let (mut eve, _) = at(address, "cellar", "Eve").await;
    assert_eq!(ann.expect("people").await, json!([{"id": ann.id, "name": "Ann"}]));
    let (mut ben, _) = at(address, "lobby", " Ben ").await;
    let both = json!([{"id": ann.id, "name": "Ann"}, {"id": ben.id, "name": "Ben"}]);
    assert_eq!((ann.expect("people").await, ben.expect("people").await), (both.clone(), both));
    let glimpse = json!({"at": [3, 4], "held": {"note": "a", "x": 1, "y": 2, "text": "Hel"}});
    ann.send("glimpse", glimpse.clone()).await;
    let seen = ben.expect("glimpse").await;
    assert_eq!(seen, json!({"who": ann.id, "at": glimpse["at"], "held": glimpse["held"]}));
    let long = json!({"at": null, "held": {"note": "a", "x": 1, "y": 2, "text": "x".repeat(281)}});
    let refused = ann.request("glimpse", long).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["details"]["path"]), (&json!("invalid_payload"), &json!("held.text")));
    assert_eq!(operate(&mut ann, "1", "a", add(1)).await, Ok(1), "it took no number");
    // The room's own frame.
    ann.expect("operation").await;
    ben.expect("operation").await;
    ben.close().await;
    assert_eq!(ann.expect("people").await, json!([{"id": ann.id, "name": "Ann"}]));
    // Another board hears nothing of it.
    assert_eq!(eve.expect("people").await, json!([{"id": eve.id, "name": "Eve"}]));
    eve.expect_nothing().await;
    // A new name, and then another board.
    ann.request("enter", json!({"board": "lobby", "name": "Anna"})).await.unwrap();
    assert_eq!(ann.expect("people").await, json!([{"id": ann.id, "name": "Anna"}]));
    ann.request("enter", json!({"board": "cellar", "name": "Anna"})).await.unwrap();
    assert_eq!(eve.expect("people").await, json!([{"id": eve.id, "name": "Eve"}, {"id": ann.id, "name": "Anna"}]));
}

/// Asks again after ever longer pauses, until there is an answer.
async fn in_time<T>(what: &str, mut pause: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(pause).await;
            pause = pause * 3 / 2;
        }
    };
    within(what, asking).await
}

#[tokio::test]
async fn a_board_that_nobody_is_at_is_forgotten() {
    let (_board, address) = start(&["--ttl", "1"]).await;
    let (mut ann, lobby) = at(address, "lobby", "Ann").await;
    operate(&mut ann, "1", "a", add(1)).await.unwrap();
    let (mut eve, cellar) = at(address, "cellar", "Eve").await;
    operate(&mut eve, "1", "a", add(5)).await.unwrap();
    eve.close().await;
    // Whoever looks is there, and nobody has to be for longer than a second: the pauses are longer than that.
    let (mut eve, back) = in_time("the cellar is forgotten", Duration::from_millis(1300), async || {
        let mut eve = enter(address, "cellar", "Eve").await;
        let since = json!({"room": "board:cellar", "since": 1, "epoch": cellar["epoch"]});
        let back = eve.request("subscribe", since).await.unwrap();
        if back["epoch"] != cellar["epoch"] {
            return Some((eve, back));
        }
        eve.close().await;
        None
    })
    .await;
    assert_eq!(back["seq"], 0);
    assert_eq!(eve.expect("gap").await["reason"], "epoch");
    assert_eq!(operate(&mut eve, "1", "a", add(9)).await, Ok(1), "the server has forgotten it, too");

    // Where somebody is it is kept, though what was done there is older: folded.
    let kept = in_time("the lobby is folded", Duration::from_millis(50), async || {
        let (mut ben, place) = at(address, "lobby", "Ben").await;
        assert_eq!(place["epoch"], lobby["epoch"], "Ann is there");
        let first = ben.wait_for(|frame| !frame["seq"].is_null()).await;
        ben.close().await;
        (first["event"] == "board").then_some(first)
    })
    .await;
    assert_eq!(kept["data"]["notes"]["a"]["text"], "at 1");
    ann.close().await;
}

#[tokio::test]
async fn the_page_needs_nothing_but_itself() {
    let (_board, address) = start(&[]).await;
    let (status, page) = http(address, "GET /").await;
    assert_eq!(status, 200);
    assert!(page.contains("new WebSocket(") && page.trim_end().ends_with("</html>"), "{page}");
    assert!(!page.contains("src=") && !page.contains("import ") && !page.contains("href=\"http"), "{page}");
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    for (arguments, expected) in [
        (&["--listen"][..], "`--listen` needs a value"),
        (&["--listen", "nowhere"], "`--listen nowhere`"),
        (&["--ttl", "soon"], "`--ttl soon`"),
        (&["--liste", "127.0.0.1:0"], "there is no `--liste`"),
    ] {
        let (status, printed) = Program::example("board", arguments).ended().await;
        assert!(!status.success() && printed.contains(expected) && printed.contains("usage: board"), "{printed}");
    }
}

#[tokio::test]
async fn in_a_browser() {
    browser_is_installed();
    let (_board, address) = start(&[]).await;
    let script = root().join("tests/clients/browser/board.mjs");
    let mut browser = Program::start(Command::new("node").arg(script).arg(format!("http://{address}/")));
    let (status, printed) = browser.ended_within(Duration::from_secs(120)).await;
    assert!(status.success(), "{printed}");
}
