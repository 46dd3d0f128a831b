//! Few messages where there is much, at once where there is little, and whole lines where they are asked for.

use std::time::Instant;

use eventwire::process::{Command, Mode, Settings};
use serde_json::json;

use crate::watch::*;

/// The longest chunk.
const CHUNK: usize = 64 * 1024;

async fn streamed(command: Command) -> Seen {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    processes.spawn("p", command).unwrap();
    let seen = Seen::whole(&mut viewer, "p").await;
    assert!(seen.chunks.iter().all(|chunk| chunk.bytes.len() <= CHUNK), "no chunk is longer");
    seen
}

#[tokio::test]
async fn much_output_comes_in_few_messages() {
    let seen = streamed(Command::new("seq").args(["1", "100000"])).await;
    assert_same(&seen.stdout(), &truth("seq 1 100000"));
    assert!(seen.chunks.len() <= 200, "{} messages", seen.chunks.len());

    // One write a line, 20,000 of them.
    let seen = streamed(sh("n=0; while [ $n -lt 20000 ]; do echo $n; n=$((n+1)); done")).await;
    assert_same(&seen.stdout(), &truth("seq 0 19999"));
    assert!(seen.chunks.len() <= 400, "{} messages", seen.chunks.len());
}

#[tokio::test]
async fn what_is_typed_is_echoed_key_by_key() {
    let (server, processes) = open(Settings::default()).await;
    let (mut typist, mut viewer) = (server.client().await, server.client_in("process:p").await);
    processes.spawn("p", Command::new("cat").input()).unwrap();
    let mut seen = Seen::default();
    let mut slowest = ms(0);
    for n in 0..60 {
        let key = char::from(b'a' + n % 26);
        let begun = Instant::now();
        let id = typist.ask("process_input", json!({"processId": "p", "data": key.to_string()})).await;
        while seen.stdout().len() <= usize::from(n) {
            seen.take(&mut viewer, "p").await;
        }
        slowest = slowest.max(begun.elapsed());
        assert_eq!(typist.answer(id).await, Ok(serde_json::Value::Null));
        // As fast as a typist is at best; then the window is over.
        tokio::time::sleep(ms(20)).await;
    }
    assert_eq!(seen.chunks.len(), 60, "one message a key, the slowest after {slowest:?}");
    processes.close_input("p").unwrap();
    assert_eq!(seen.rest(&mut viewer, "p").await.last()["exitCode"], 0);
}

#[tokio::test]
async fn the_end_waits_for_no_window() {
    let (_server, processes) = start(Settings::default()).await;
    let begun = Instant::now();
    // The second line of each is within the window of the first.
    for _ in 0..20 {
        let run = processes.spawn("p", sh("echo a; echo b")).unwrap();
        run.ended().await;
    }
    assert!(begun.elapsed() < ms(10_000), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_order_as_it_was_read_is_kept_over_both_outputs() {
    // Each waits until the one before has certainly been read, and is within its window or not.
    let line = "for n in 1 2 3 4 5 6 7 8; do printf \"o$n \"; sleep 0.003; printf \"e$n \" >&2; sleep 0.003; done";
    let wanted: String = (1..=8).map(|n| format!("o{n} e{n} ")).collect();
    for last_try in [false, false, false, true] {
        let seen = streamed(sh(line)).await;
        // On a busy machine both may lie there when they are read, and two pipes have no order then.
        if seen.both() == wanted.as_bytes() {
            return;
        }
        assert!(!last_try, "{:?}", String::from_utf8_lossy(&seen.both()));
    }
}

#[tokio::test]
async fn merged_outputs_keep_the_order_in_which_they_were_written() {
    let line = "n=0; while [ $n -lt 2000 ]; do echo out $n; echo err $n >&2; n=$((n+1)); done";
    let seen = streamed(sh(line).merge()).await;
    let wanted: String = (0..2000).map(|n| format!("out {n}\nerr {n}\n")).collect();
    assert_same(&seen.stdout(), wanted.as_bytes());
    assert_eq!(seen.stderr().len(), 0, "all of it is told as stdout");
    assert_eq!(seen.last()["drained"], true, "nobody else holds the pipe");
}

// ---- lines

#[tokio::test]
async fn lines_come_whole() {
    // Every line is written in three pieces, of both outputs.
    let line =
        "for n in $(seq 300); do printf 'li'; printf 'ne é' >&2; printf \"ne $n\"; printf '\\r\\n'; echo >&2; done";
    let seen = streamed(sh(line).mode(Mode::Lines)).await;
    assert!(seen.chunks.iter().all(|chunk| chunk.bytes.ends_with(b"\n")), "{seen:?}");
    let wanted: String = (1..=300).map(|n| format!("line {n}\r\n")).collect();
    assert_same(&seen.stdout(), wanted.as_bytes());
    assert_same(&seen.stderr(), "ne é\n".repeat(300).as_bytes());
}

#[tokio::test]
async fn a_line_waits_for_its_end_however_long_that_takes() {
    let seen = streamed(sh("printf 'a'; sleep 0.3; printf 'b\\n'; printf 'no end'").mode(Mode::Lines)).await;
    let chunks: Vec<_> = seen.chunks.iter().map(|chunk| String::from_utf8_lossy(&chunk.bytes)).collect();
    assert_eq!(chunks, ["ab\n", "no end"], "the end of the output ends a line");
}

#[tokio::test]
async fn a_line_longer_than_a_chunk_is_cut() {
    let line = "head -c 150000 /dev/zero | tr '\\0' x; printf '\\nshort\\n'; printf '─%.0s' $(seq 30000); echo";
    let seen = streamed(sh(line).mode(Mode::Lines)).await;
    let wanted = format!("{}\nshort\n{}\n", "x".repeat(150_000), "─".repeat(30_000));
    assert_same(&seen.stdout(), wanted.as_bytes());
    assert!(seen.chunks.iter().all(|chunk| !chunk.b64), "no character is cut");
    assert_eq!(seen.chunks[0].bytes.len(), CHUNK);
    let cut = seen.chunks.iter().filter(|chunk| !chunk.bytes.ends_with(b"\n")).count();
    assert_eq!(cut, 3, "two of the first line, one of the last");
}
