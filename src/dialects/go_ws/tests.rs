use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value, json};

use super::GoWs;
use crate::Frames;
use crate::protocol::{Dialect, Malformed, Memory, Outgoing, Packet};

/// 2026-01-02T03:04:05.678Z.
const NOW: u64 = 1_767_323_045_678;
const TOLD: u64 = NOW + 1_000;

/// The frames of one message, each of which must be a whole text frame.
fn write(packet: &Outgoing<'_>, memory: &mut Memory) -> Vec<String> {
    let mut out = Vec::new();
    super::encode(packet, memory, &mut Frames::new(&mut out), NOW);
    let (mut rest, mut texts) = (&out[..], Vec::new());
    while let [0x81, length, behind @ ..] = rest {
        let (length, behind) = match *length {
            126 => (usize::from(u16::from_be_bytes([behind[0], behind[1]])), &behind[2..]),
            127 => (u64::from_be_bytes(behind[..8].try_into().unwrap()) as usize, &behind[8..]),
            short => (usize::from(short), behind),
        };
        texts.push(String::from_utf8(behind[..length].to_vec()).unwrap());
        rest = &behind[length..];
    }
    assert!(rest.is_empty(), "text frames only: {rest:?}");
    texts
}

fn message<'a>(event: &'a str, room: Option<&'a str>, data: &'a [u8]) -> Outgoing<'a> {
    Outgoing { room, ..Outgoing::direct(event, None, data) }
}

/// One message to a room without a memory.
fn one(event: &str, room: Option<&str>, data: &str) -> Vec<String> {
    write(&message(event, room, data.as_bytes()), &mut Memory::default())
}

/// A room that process `p` is shown in.
struct Shown {
    memory: Memory,
    off: usize,
}

impl Shown {
    fn new() -> Shown {
        Shown { memory: Memory::default(), off: 0 }
    }

    /// A chunk as the process module writes it. Returns the lines that go out.
    fn chunk(&mut self, run: &str, stream: &str, bytes: &[u8]) -> Vec<String> {
        let mut data =
            json!({"processId": "p", "run": run, "off": self.off, "len": bytes.len(), "stream": stream, "ts": TOLD});
        match std::str::from_utf8(bytes) {
            Ok(text) => data["data"] = json!(text),
            Err(_) => {
                data["data"] = json!(BASE64.encode(bytes));
                data["enc"] = json!("b64");
            }
        }
        self.off += bytes.len();
        self.say("process_output", &data)
    }

    fn say(&mut self, event: &str, data: &Value) -> Vec<String> {
        let data = data.to_string();
        let frames = write(&message(event, Some("process:p"), data.as_bytes()), &mut self.memory);
        frames.iter().map(|frame| line(frame)).collect()
    }
}

/// The line of an output message, every field of which is checked; of a status, `= STATUS`.
fn line(frame: &str) -> String {
    let frame: Value = serde_json::from_str(frame).unwrap();
    assert_eq!((&frame["channel"], &frame["processId"]), (&json!("process:p"), &json!("p")));
    if frame["type"] == "process_status" {
        return format!("= {}", frame["data"]["status"].as_str().unwrap());
    }
    assert_eq!((&frame["type"], &frame["timestamp"]), (&json!("process_output"), &json!("2026-01-02T03:04:06.678Z")));
    frame["data"].as_str().unwrap().to_owned()
}

fn status(run: &str, status: &str) -> Value {
    json!({"processId": "p", "run": run, "status": status, "exitCode": 0})
}

#[test]
fn writes_golden_bytes() {
    let at = r#""timestamp":"2026-01-02T03:04:05.678Z"}"#;
    let chunk = format!(
        r#"{{"processId":"b","run":"r","off":0,"len":9,"stream":"stdout","data":"a\u001b[1m\r\n\"b\n","ts":{TOLD}}}"#
    );
    let written = one("process_output", Some("process:b"), &chunk);
    let told = |line| {
        let before = r#"{"type":"process_output","channel":"process:b","processId":"b","data":"#;
        format!(r#"{before}{line},"timestamp":"2026-01-02T03:04:06.678Z"}}"#)
    };
    assert_eq!(written, [told(r#""a\u001b[1m""#), told(r#""\"b""#)]);
    let ended = r#"{"processId":"b","run":"r","status":"killed","exitCode":-1,"signal":"SIGKILL","durationMs":7}"#;
    for (event, room, data, expected) in [
        (
            "process_status",
            Some("process:b"),
            ended,
            r#"{"type":"process_status","channel":"process:b","processId":"b","data":{"status":"killed","exitCode":-1},"#,
        ),
        (
            "stats",
            None,
            r#"{"n":9007199254740993}"#,
            r#"{"type":"event","data":{"event":"stats","data":{"n":9007199254740993}},"#,
        ),
        ("na\"me", Some("r"), "1.0", r#"{"type":"event","channel":"r","data":{"event":"na\"me","data":1.0},"#),
        ("error", None, r#"{"code":"forbidden","message":"not \"you\""}"#, r#"{"type":"error","data":"not \"you\"","#),
        ("error", Some("r"), "[1]", r#"{"type":"error","channel":"r","data":"[1]","#),
        ("pong", None, "null", r#"{"type":"pong","#),
        ("pong", None, "[5]", r#"{"type":"pong","data":[5],"#),
    ] {
        assert_eq!(one(event, room, data), [format!("{expected}{at}")], "{event}");
    }
    for event in ["connected", "ack", "closing"] {
        assert!(one(event, None, r#"{"id":"x"}"#).is_empty(), "{event} is not of this wire");
    }
    let snapshot = Outgoing { snapshot: true, seq: Some(4), ..message("process_output", Some("r"), b"{}") };
    let expected = format!(r#"{{"type":"event","channel":"r","data":{{"event":"process_output","data":{{}}}},{at}"#);
    assert_eq!(write(&snapshot, &mut Memory::default()), [expected]);
}

#[test]
fn tells_what_was_lost() {
    for (from, to, reason, expected) in [
        (json!(5), json!(9), json!("slow"), "process:x: messages 5 to 9 are lost (slow)"),
        (json!(5), json!(5), json!("evicted"), "process:x: message 5 is lost (evicted)"),
        (json!(5), json!(null), json!(null), "process:x: messages from 5 on are lost"),
        (json!(null), json!(null), json!("epoch"), "process:x: the history began anew"),
    ] {
        let data = json!({"room": "process:x", "epoch": "e", "from": from, "to": to, "reason": reason}).to_string();
        let [written] = &one("gap", None, &data)[..] else { panic!("one message") };
        let written: Value = serde_json::from_str(written).unwrap();
        let expected =
            json!({"type": "error", "channel": "process:x", "data": expected, "timestamp": "2026-01-02T03:04:05.678Z"});
        assert_eq!(written, expected);
    }
}

#[test]
fn an_applications_own_shapes_go_out_as_they_are() {
    let texts = |data: &str| -> Vec<Value> {
        let written = one("process_output", Some("process:p"), data);
        let frames = written.iter().map(|frame| serde_json::from_str::<Value>(frame).unwrap());
        frames.inspect(|frame| assert_eq!(frame["processId"], "p")).map(|mut frame| frame["data"].take()).collect()
    };
    assert_eq!(texts(r#""a line""#), ["a line"]);
    assert_eq!(texts(r#""one\r\ntwo\n\nfour""#), ["one", "two", "", "four"]);
    assert_eq!(texts(r#""""#), [""], "an empty line is a line");
    assert_eq!(texts(r#"{"line":1.50}"#), [json!({"line": 1.50})]);
    assert_eq!(texts("[1]"), [json!([1])]);
    // Ours but for one field is not ours.
    let other = json!({"processId": "p", "run": "r", "off": 0, "len": 1, "stream": "log", "data": "x", "ts": 1});
    assert_eq!(texts(&other.to_string()), [other]);
    assert_eq!(
        texts(r#"{"processId":"p","run":"r","off":0,"len":1,"stream":"stdout","data":"?","enc":"b64","ts":1}"#).len(),
        1
    );
    // Without a room, the process still has its channel.
    let written = one("process_status", None, r#"{"processId":"p","status":"odd"}"#);
    let at = r#""timestamp":"2026-01-02T03:04:05.678Z"}"#;
    let expected =
        r#"{"type":"process_status","channel":"process:p","processId":"p","data":{"processId":"p","status":"odd"},"#;
    assert_eq!(written, [format!("{expected}{at}")]);
    // It does not disturb a line of the process itself.
    let mut shown = Shown::new();
    assert_eq!(shown.chunk("r", "stdout", b"begun, "), [""; 0]);
    let own = write(&message("process_output", Some("process:p"), br#""own""#), &mut shown.memory);
    assert_eq!(own.len(), 1);
    assert_eq!(shown.chunk("r", "stdout", b"ended\n"), ["begun, ended"]);
}

#[test]
fn unfinished_lines_wait_for_their_end_or_that_of_the_run() {
    let mut shown = Shown::new();
    assert_eq!(shown.say("process_status", &status("1", "running")), ["= running"]);
    assert_eq!(shown.chunk("1", "stdout", b"a\nb"), ["a"]);
    assert_eq!(shown.chunk("1", "stderr", b"E"), [""; 0]);
    assert_eq!(shown.chunk("1", "stdout", b"c\r"), [""; 0], "the return may belong to the end");
    assert_eq!(shown.chunk("1", "stdout", b"\nd"), ["bc"]);
    assert_eq!(shown.say("process_status", &status("1", "running")), ["= running"], "told again, the run goes on");
    assert_eq!(shown.say("process_status", &status("1", "exited")), ["d", "E", "= exited"]);
    assert_eq!(shown.say("process_status", &status("1", "exited")), ["= exited"], "nothing is told twice");
    // Another run, whose predecessor was not heard to end.
    shown.off = 0;
    assert_eq!(shown.chunk("2", "stdout", b"x"), [""; 0]);
    shown.off = 0;
    assert_eq!(shown.chunk("3", "stdout", b"y"), ["x"]);
    assert_eq!(shown.say("process_status", &status("4", "running")), ["y", "= running"]);
    // A part that was not heard: the halves of two lines are not one.
    shown.off = 0;
    assert_eq!(shown.chunk("4", "stdout", b"left "), [""; 0]);
    shown.off += 100;
    assert_eq!(shown.chunk("4", "stdout", b"right\n"), ["left ", "right"]);
}

#[test]
fn what_goes_through_no_room_ends_with_the_message() {
    let mut memory = Memory::default();
    let chunk =
        json!({"processId": "p", "run": "r", "off": 0, "len": 5, "stream": "stdout", "data": "a\nb", "ts": TOLD})
            .to_string();
    for _ in 0..2 {
        let written = write(&message("process_output", None, chunk.as_bytes()), &mut memory);
        assert_eq!(written.iter().map(|frame| line(frame)).collect::<Vec<_>>(), ["a", "b"]);
    }
}

#[test]
fn characters_that_chunks_cut_are_whole_and_what_is_no_text_is_replaced() {
    let mut shown = Shown::new();
    let text = "€😀é".as_bytes();
    for byte in text {
        assert_eq!(shown.chunk("r", "stdout", &[*byte]), [""; 0]);
    }
    assert_eq!(shown.chunk("r", "stdout", b"\n"), ["€😀é"]);
    assert_eq!(shown.chunk("r", "stdout", b"a\xffb\n\xe2\x82\nc\n"), ["a\u{fffd}b", "\u{fffd}", "c"]);
}

/// Small and repeatable.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    /// Lines that begin with `mark`, and the text of them.
    fn text(&mut self, mark: &str) -> (Vec<String>, String) {
        let (mut lines, mut text) = (Vec::new(), String::new());
        for _ in 0..self.below(12) {
            let line: String = (0..self.below(9)).map(|_| ["x", "é", "€", "😀", "\r\t"][self.below(5)]).collect();
            let line = format!("{mark}{line}.");
            text += &line;
            text += ["\n", "\r\n"][self.below(2)];
            lines.push(line);
        }
        if self.below(2) == 0 && !lines.is_empty() {
            // The last line has no end.
            text.truncate(text.trim_end().len());
        }
        (lines, text)
    }
}

#[test]
fn any_chunks_of_two_streams_give_the_lines_of_each() {
    let mut random = Random(3);
    for round in 0..500 {
        let (out_lines, out) = random.text("o");
        let (err_lines, err) = random.text("e");
        let (mut shown, mut told) = (Shown::new(), Vec::new());
        let (mut out, mut err) = (out.as_bytes(), err.as_bytes());
        while !out.is_empty() || !err.is_empty() {
            let (name, stream) = if random.below(2) == 0 { ("stdout", &mut out) } else { ("stderr", &mut err) };
            let (chunk, rest) = stream.split_at(random.below(1 + round % 8 + 1).min(stream.len()));
            *stream = rest;
            if !chunk.is_empty() {
                told.extend(shown.chunk("r", name, chunk));
            }
        }
        told.extend(shown.say("process_status", &status("r", "exited")));
        assert_eq!(told.pop().unwrap(), "= exited");
        let of = |mark| told.iter().filter(|line| line.starts_with(mark)).cloned().collect::<Vec<_>>();
        assert_eq!((of('o'), of('e')), (out_lines, err_lines), "round {round}");
        assert_eq!(of('o').len() + of('e').len(), told.len(), "and no others");
    }
}

fn read(text: &str) -> Result<Packet, Malformed> {
    GoWs::default().decode(Bytes::copy_from_slice(text.as_bytes()), 16)
}

#[test]
fn reads_what_pages_send() {
    for (text, event, data) in [
        (r#"{"type":"subscribe","data":"process:build-1"}"#, "subscribe", r#""process:build-1""#),
        (r#"{"type":"subscribe","channel":"process:x","timestamp":"?"}"#, "subscribe", r#""process:x""#),
        (r#"{"type":"unsubscribe","data":"a","channel":"b"}"#, "unsubscribe", r#""a""#),
        (r#" {"processId":[7], "channel":null, "type":"ping"} "#, "ping", "null"),
        (r#"{"type":"process_list","data":{"n":1.50}}"#, "process_list", r#"{"n":1.50}"#),
        (r#"{"type":"\u0065cho","data":null}"#, "echo", "null"),
        (r#"{"type":"echo","channel":"r"}"#, "echo", "null"),
        (r#"{"type":"event","data":{"event":"chat","data":[1,2],"more":0}}"#, "chat", "[1,2]"),
        (r#"{"type":"event","data":{"event":"chat"}}"#, "chat", "null"),
    ] {
        let packet = read(text).unwrap();
        assert_eq!((packet.event(), packet.data(), packet.id()), (event, data.as_bytes(), None), "{text}");
        assert!(packet.size() <= data.len(), "what is not kept does not count, and what is not counted is not kept");
    }
}

#[test]
fn refuses_what_is_none() {
    let nested = |n: usize| format!(r#"{{"type":"e","more":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    assert!(read(&nested(15)).is_ok());
    assert_eq!(read(&nested(16)).unwrap_err().0, "nested deeper than 16");
    let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(129));
    for (text, part) in [
        ("", "JSON object"),
        ("subscribe", "JSON object"),
        (r#"["subscribe"]"#, "JSON object"),
        ("{}", "missing field `type`"),
        (r#"{"type":7}"#, "expected a string"),
        (r#"{"type":""}"#, "must not be empty"),
        (&*long, "128 characters"),
        (r#"{"type":"event","data":"chat"}"#, "the data of an `event`"),
        (r#"{"type":"event","data":["chat"]}"#, "the data of an `event`"),
        (r#"{"type":"event"}"#, "the data of an `event`"),
        (r#"{"type":"e"}{"type":"e"}"#, "trailing"),
    ] {
        let refusal = read(text).unwrap_err();
        assert!(refusal.0.contains(part), "{text}: {refusal}");
    }
    assert!(GoWs::default().decode(Bytes::from_static(b"{\"type\":\"\xff\"}"), 16).is_err());
}

#[test]
fn times_beyond_what_can_be_written_are_the_last_that_can() {
    let far = u64::MAX;
    let data =
        json!({"processId": "p", "run": "r", "off": far, "len": far, "stream": "stdout", "data": "x\n", "ts": far});
    let written = one("process_output", Some("process:p"), &data.to_string());
    assert!(written[0].contains(r#""timestamp":"9999-12-31T23:59:59.999Z""#), "{written:?}");
}
