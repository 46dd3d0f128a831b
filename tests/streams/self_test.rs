//! That what watches would see a fault: chunks that are lost, doubled, changed or told wrongly.

use serde_json::{Value, json};

use crate::play::Folder;
use crate::records::{Ack, Records};
use crate::seen::Seen;
use crate::stage::{ID, ROOM};

/// The messages of a process that prints `ab`, `cd`, `é` and `ij`: 8 bytes.
fn told() -> Vec<Value> {
    let message = |event: &str, data: Value| json!({"event": event, "room": ROOM, "data": data});
    let output = |off: u64, data: &str, enc: Option<&str>| {
        let mut output = json!({"processId": ID, "run": "r", "off": off, "len": 2, "stream": "stdout", "data": data});
        if let Some(enc) = enc {
            output["enc"] = json!(enc);
        }
        message("process_output", output)
    };
    let status = |status: &str| {
        message(
            "process_status",
            json!({"processId": ID, "run": "r", "status": status, "exitCode": 0, "drained": true}),
        )
    };
    vec![
        status("running"),
        output(0, "ab", None),
        output(2, "cd", None),
        output(4, "w6k=", Some("b64")),
        output(6, "ij", None),
        status("exited"),
    ]
}

/// Numbered from 1.
fn numbered(mut frames: Vec<Value>) -> Vec<Value> {
    frames.iter_mut().enumerate().for_each(|(n, frame)| frame["seq"] = json!(n + 1));
    frames
}

/// What a viewer says of these frames, held against what was printed.
fn judge(frames: &[Value], printed: &str) -> Result<(), String> {
    let folder = Folder::new();
    let file = folder.0.join("output");
    std::fs::write(&file, printed).unwrap();
    let records = Records::new(ROOM);
    // Somebody else has got everything.
    for frame in numbered(told()) {
        records.read(0, frame.to_string().as_bytes()).unwrap();
    }
    let mut seen = Seen::new();
    seen.begins(&Ack { room: ROOM.into(), epoch: "e".into(), seq: 0, from: 1 })?;
    for frame in frames {
        seen.take(records.read(seen.next, frame.to_string().as_bytes())?)?;
    }
    seen.is_whole(&file, &records)
}

fn gap(from: u64, to: u64) -> Value {
    json!({"event": "gap", "data": {"room": ROOM, "epoch": "e", "from": from, "to": to, "reason": "slow"}})
}

const PRINTED: &str = "abcdéij";

#[test]
fn everything_is_everything() {
    judge(&numbered(told()), PRINTED).unwrap();
}

#[test]
fn a_chunk_that_is_lost_doubled_or_moved_is_seen() {
    for at in 0..6 {
        let mut frames = numbered(told());
        frames.remove(at);
        judge(&frames, PRINTED).expect_err("one is lost");
        let mut frames = told();
        frames.remove(at);
        judge(&numbered(frames), PRINTED).expect_err("one was lost before it had a number");
        let mut frames = numbered(told());
        frames.insert(at, frames[at].clone());
        judge(&frames, PRINTED).expect_err("one comes twice");
    }
    for at in 0..5 {
        let mut frames = numbered(told());
        frames.swap(at, at + 1);
        judge(&frames, PRINTED).expect_err("two are swapped");
        let mut frames = told();
        frames.swap(at, at + 1);
        judge(&numbered(frames), PRINTED).expect_err("two were swapped before they had numbers");
    }
}

#[test]
fn bytes_that_are_not_those_of_the_file_are_seen() {
    for printed in ["abcdéijk", "abcdéi", "abcdéiJ", "Abcdéij", "", "abcdeeij"] {
        judge(&numbered(told()), printed).expect_err(printed);
    }
}

#[test]
fn fields_that_are_wrong_are_seen() {
    for (at, field, value) in [
        (1, "off", json!(1)),
        (2, "off", json!(3)),
        (2, "len", json!(3)),
        (2, "run", json!("s")),
        (2, "processId", json!("q")),
        (2, "stream", json!("stdin")),
        (2, "data", json!("cD")),
        (2, "data", json!("")),
        (2, "enc", json!("hex")),
        (3, "enc", json!(null)),
        (5, "status", json!("killed")),
        (5, "exitCode", json!(1)),
        (5, "drained", json!(false)),
        (5, "status", json!("running")),
    ] {
        let mut frames = numbered(told());
        frames[at]["data"][field] = value.clone();
        judge(&frames, PRINTED).expect_err(&format!("{field} of number {} is {value}", at + 1));
    }
    for (field, value) in [("room", json!("process:q")), ("event", json!("output")), ("seq", Value::Null)] {
        let mut frames = numbered(told());
        frames[2][field] = value.clone();
        judge(&frames, PRINTED).expect_err(&format!("{field} is {value}"));
    }
}

#[test]
fn a_gap_must_name_exactly_what_is_missing() {
    let all = numbered(told());
    let with = |before: usize, gaps: &[Value], after: usize| {
        let frames = [&all[..before], gaps, &all[after..]].concat();
        judge(&frames, PRINTED)
    };
    with(2, &[gap(3, 4)], 4).unwrap();
    with(2, &[gap(3, 3), gap(4, 4)], 4).unwrap();
    with(4, &[gap(5, 5)], 5).unwrap();
    for (before, from, to, after) in
        [(2, 3, 3, 4), (2, 3, 5, 4), (2, 2, 4, 4), (2, 4, 4, 4), (2, 3, 2, 2), (6, 7, 7, 6), (5, 6, 6, 6)]
    {
        with(before, &[gap(from, to)], after).expect_err(&format!("{from} to {to} between {before} and {after}"));
    }
    let mut life = gap(3, 4);
    life["data"]["epoch"] = json!("f");
    with(2, &[life], 4).expect_err("another life");
    let mut life = gap(3, 4);
    life["data"]["reason"] = json!("epoch");
    with(2, &[life], 4).expect_err("for no such reason");
}
