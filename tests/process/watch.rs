//! A viewer that believes nothing: it checks every field of every event that it is sent.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use eventwire::process::{Command, Processes, Rights, Settings};
use serde_json::Value;

use crate::support::*;

/// A server whose processes anyone may watch.
pub(crate) async fn start(settings: Settings) -> (Server, Processes) {
    let server = Server::new().await;
    server.io.rooms("process:*").public();
    let processes = server.io.install(settings);
    (server, processes)
}

pub(crate) fn sh(line: impl Into<String>) -> Command {
    Command::shell(line.into())
}

/// A server that lets everybody do what they like with its processes, but for commands of their own.
pub(crate) async fn open(settings: Settings) -> (Server, Processes) {
    let server = Server::new().await;
    let processes = server.io.install(settings.rights(async |_, _| Rights::ALL));
    (server, processes)
}

/// The code of a refusal, and the path that it names.
pub(crate) fn refusal(answer: Result<Value, Value>) -> (String, String) {
    let error = answer.expect_err("a refusal");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&error["code"]), text(&error["details"]["path"]))
}

pub(crate) fn refused(code: &str, path: &str) -> (String, String) {
    (code.into(), path.into())
}

/// A chunk of output, decoded.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) stderr: bool,
    pub(crate) b64: bool,
}

/// What a viewer has seen of one run.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) run: String,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) statuses: Vec<Value>,
    seq: u64,
    off: u64,
    ts: u64,
}

impl Seen {
    /// Reads to the last status of the run that begins next.
    pub(crate) async fn whole(client: &mut Client, id: &str) -> Seen {
        let mut seen = Seen::default();
        while !seen.is_over() {
            seen.take(client, id).await;
        }
        seen
    }

    /// Reads until something has been printed to stdout.
    pub(crate) async fn until_printed(&mut self, client: &mut Client, id: &str, text: &str) {
        while !self.stdout().windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
            assert!(!self.is_over(), "it ended without printing {text:?}: {self:?}");
            self.take(client, id).await;
        }
    }

    /// Reads until so many process ids have been printed.
    pub(crate) async fn until_named(&mut self, client: &mut Client, id: &str, count: usize) {
        while self.pids().len() < count {
            assert!(!self.is_over(), "it ended without naming {count}: {self:?}");
            self.take(client, id).await;
        }
    }

    /// Reads what is left of the run.
    pub(crate) async fn rest(mut self, client: &mut Client, id: &str) -> Seen {
        while !self.is_over() {
            self.take(client, id).await;
        }
        self
    }

    pub(crate) fn is_over(&self) -> bool {
        self.statuses.last().is_some_and(|status| status["status"] != "running")
    }

    /// The next event, with every field checked.
    pub(crate) async fn take(&mut self, client: &mut Client, id: &str) {
        // `filler` is what a test itself sends to fill buffers.
        let frame = client.wait_for(|frame| frame["event"] != "filler").await;
        assert!(!self.is_over(), "nothing comes after the last status: {frame}");
        assert_eq!(keys(&frame), BTreeSet::from(["data", "event", "room", "seq"]), "{frame}");
        let seq = frame["seq"].as_u64().expect("a number");
        assert!(seq > self.seq, "in order: {frame}");
        self.seq = seq;
        assert_eq!(frame["room"], format!("process:{id}"));
        let data = &frame["data"];
        assert_eq!(data["processId"], id);
        let run = data["run"].as_str().expect("a run");
        if self.run.is_empty() {
            self.run = run.to_owned();
        }
        assert_eq!(run, self.run, "one run at a time");
        match frame["event"].as_str().unwrap() {
            "process_status" => self.take_status(data),
            "process_output" => self.take_output(data),
            other => panic!("{other} is no event of a process"),
        }
    }

    fn take_status(&mut self, data: &Value) {
        let status = data["status"].as_str().expect("a status");
        let mut expected = match status {
            "running" => BTreeSet::new(),
            "exited" => BTreeSet::from(["durationMs"]),
            "killed" => BTreeSet::from(["durationMs", "signal"]),
            "failed" => BTreeSet::from(["durationMs", "reason"]),
            other => panic!("a status that is none: {other}"),
        };
        expected.extend(["exitCode", "processId", "run", "status"]);
        // Told where it was ended for one.
        if matches!(status, "exited" | "killed") && data.get("reason").is_some_and(|reason| reason == "time limit") {
            expected.insert("reason");
        }
        // Told where the module itself has read the output.
        if status != "running" && data.get("drained").is_some_and(Value::is_boolean) {
            expected.insert("drained");
        }
        assert_eq!(keys(data), expected, "{data}");
        match status {
            "running" => assert_eq!(data["exitCode"], 0),
            "exited" => assert!(data["exitCode"].is_u64(), "{data}"),
            _ => assert_eq!(data["exitCode"], -1),
        }
        self.statuses.push(data.clone());
    }

    fn take_output(&mut self, data: &Value) {
        let is_b64 = data.get("enc").is_some();
        let mut expected = BTreeSet::from(["data", "len", "off", "processId", "run", "stream", "ts"]);
        if is_b64 {
            assert_eq!(data["enc"], "b64");
            expected.insert("enc");
        }
        assert_eq!(keys(data), expected, "{data}");
        let text = data["data"].as_str().expect("text");
        let bytes = if is_b64 { BASE64.decode(text).expect("base64") } else { text.as_bytes().to_vec() };
        if is_b64 {
            assert!(std::str::from_utf8(&bytes).is_err(), "text needs no base64: {data}");
        }
        assert!(!bytes.is_empty(), "an empty chunk says nothing");
        assert_eq!(data["len"], bytes.len(), "`len` counts the raw bytes");
        assert_eq!(data["off"], self.off, "`off` follows upon the chunk before");
        self.off += bytes.len() as u64;
        let ts = data["ts"].as_u64().expect("a time");
        assert!((self.ts..=now_ms()).contains(&ts), "time goes on: {ts} after {}", self.ts);
        assert!(ts > now_ms() - 60_000, "milliseconds since 1970: {ts}");
        self.ts = ts;
        let stderr = match data["stream"].as_str() {
            Some("stdout") => false,
            Some("stderr") => true,
            _ => panic!("a stream that is none: {data}"),
        };
        self.chunks.push(Chunk { bytes, stderr, b64: is_b64 });
    }

    pub(crate) fn stdout(&self) -> Vec<u8> {
        self.joined(false)
    }

    pub(crate) fn stderr(&self) -> Vec<u8> {
        self.joined(true)
    }

    pub(crate) fn out_text(&self) -> String {
        String::from_utf8(self.stdout()).expect("text")
    }

    fn joined(&self, stderr: bool) -> Vec<u8> {
        let chunks = self.chunks.iter().filter(|chunk| chunk.stderr == stderr);
        chunks.flat_map(|chunk| chunk.bytes.iter().copied()).collect()
    }

    pub(crate) fn last(&self) -> &Value {
        self.statuses.last().expect("a status")
    }

    /// What was printed, the two outputs in the order in which they came.
    pub(crate) fn both(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect()
    }

    /// The process ids that it has printed, one a line.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.out_text().lines().filter_map(|line| line.parse().ok()).collect()
    }
}

/// Waits until so many of them have become `sleep`, with all that they do before.
pub(crate) async fn until_asleep(pids: &[i32], count: usize) {
    let name = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    until("they sleep", || pids.iter().filter(|pid| name(pid) == "sleep\n").count() == count).await;
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Asserts equality without printing megabytes where it does not hold.
pub(crate) fn assert_same(got: &[u8], wanted: &[u8]) {
    if got != wanted {
        let at = got.iter().zip(wanted).take_while(|(a, b)| a == b).count();
        panic!("{} bytes instead of {}, other from byte {at}", got.len(), wanted.len());
    }
}

/// A folder of a test's own, gone with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("eventwire-process-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a command writes to a file: the truth that the stream is held against.
pub(crate) fn truth(line: &str) -> Vec<u8> {
    let output = std::process::Command::new("sh").arg("-c").arg(line).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    output.stdout
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
