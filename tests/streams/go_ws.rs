//! Pages of go-ws among viewers that speak JSON. Their wire has no numbers: a page gets lines, and after it was cut it gets
//! them all anew; one that knows a number and the epoch from elsewhere goes on there.

use std::sync::Arc;
use std::time::Duration;

use eventwire::process::Command;
use eventwire::{Io, dialects};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::dice::{Dice, SEED, seed};
use crate::play::Folder;
use crate::records::{What, check};
use crate::stage::{ALL, ID, ROOM, Stage, run, write};
use crate::support::*;
use crate::viewer::Viewer;
use crate::wire::{Cut, Wire};

const LINES: u64 = 200_000;
const LIMIT: Duration = Duration::from_secs(120);

struct Page {
    wire: Wire,
    /// What it has got through this connection, each line with its end.
    text: Vec<u8>,
    lines: u64,
    is_over: bool,
}

impl Page {
    /// Comes and subscribes; nothing tells it that it has.
    async fn open(stage: &Stage, room: Value) -> Result<Page, String> {
        let mut wire = Wire::open(stage.server.address, "/go-ws", false).await;
        wire.send(&json!({"type": "subscribe", "data": room}).to_string()).await?;
        Ok(Page { wire, text: Vec::new(), lines: 0, is_over: false })
    }

    /// The next frame. It is compared, not parsed: there are a million of them.
    async fn step(&mut self) -> Result<(), String> {
        const LINE: &[u8] = br#"{"type":"process_output","channel":"process:p","processId":"p","data":""#;
        const TIME: &[u8] = br#"","timestamp":""#;
        let frame = self.wire.text().await?;
        let told = || String::from_utf8_lossy(&frame[..frame.len().min(200)]).into_owned();
        check(!self.is_over, || format!("behind the end: {}", told()))?;
        if let Some(rest) = frame.strip_prefix(LINE) {
            let end = rest.iter().position(|byte| *byte == b'"').ok_or_else(told)?;
            check(rest[end..].starts_with(TIME) && rest[end..].ends_with(b"Z\"}"), told)?;
            self.text.extend_from_slice(&rest[..end]);
            self.text.push(b'\n');
            self.lines += 1;
            return Ok(());
        }
        let status: Value = serde_json::from_slice(frame).map_err(|error| format!("{error}: {}", told()))?;
        check(status["type"] == "process_status" && status["channel"] == ROOM, told)?;
        match status["data"]["status"].as_str() {
            Some("running") => check(self.lines == 0, told),
            Some("exited") => {
                self.is_over = true;
                Ok(())
            }
            _ => Err(told()),
        }
    }

    async fn follow(mut self) -> Result<Vec<u8>, String> {
        while !self.is_over {
            self.step().await?;
        }
        self.wire.send(r#"{"type":"ping"}"#).await?;
        let frame = String::from_utf8_lossy(self.wire.text().await?).into_owned();
        check(frame.starts_with(r#"{"type":"pong""#), || format!("behind the end: {frame}"))?;
        Ok(self.text)
    }
}

#[test]
fn pages_get_each_line_once_among_viewers_that_speak_json() {
    let seed = seed();
    let limited = async { timeout(LIMIT, pages(seed)).await.unwrap_or_else(|_| Err(format!("not within {LIMIT:?}"))) };
    if let Err(error) = run(limited) {
        panic!("{error} ({SEED}={seed})");
    }
}

async fn pages(seed: u64) -> Result<(), String> {
    let folder = Folder::new();
    let file = folder.0.join("output");
    write(&format!("seq 1 {LINES}"), &file);
    let truth = Arc::new(std::fs::read(&file).unwrap());
    let server = Server::of(Io::builder().dialect(dialects::GoWs::default()).build().unwrap()).await;
    let stage = Arc::new(Stage::of(server, ALL, 3));
    let mut viewers = Vec::new();
    for place in 0..3 {
        viewers.push(Viewer::enter(&stage, place, "who speaks JSON", false).await?);
    }
    let early = Page::open(&stage, json!(ROOM)).await?;
    until("the page is subscribed", || stage.server.io.room_len(ROOM) == 4).await;
    let begun = Instant::now();
    let run = Arc::new(stage.processes.spawn(ID, Command::new("seq").args(["1", &LINES.to_string()])).unwrap());

    let mut dice = Dice::new(seed, 0);
    let from = dice.below(truth.len() as u64);
    let late = async {
        while stage.far()[0] < from {
            sleep(Duration::from_millis(1)).await;
        }
        Page::open(&stage, json!(ROOM)).await?.follow().await
    };
    let last = async {
        run.ended().await;
        Page::open(&stage, json!(ROOM)).await?.follow().await
    };
    let cut = cut(&stage, &truth, dice.clone());
    let resumed = async {
        // Where it would go on is anywhere.
        while stage.far()[0] < from / 2 + 1 {
            sleep(Duration::from_millis(1)).await;
        }
        resume(&stage, &truth, dice.clone()).await
    };
    let json = async {
        let [one, two, three] = &mut viewers[..] else { return Err("three".into()) };
        tokio::try_join!(
            one.follow(),
            two.follow_with_cuts(Duration::from_millis(100), Dice::new(seed, 1)),
            three.follow()
        )
    };
    let (early, late, last, cuts, (), _) = tokio::try_join!(early.follow(), late, last, cut, resumed, json)?;
    for (who, text) in [("from the start", early), ("late", late), ("last", last)] {
        check(text == *truth, || format!("a page that comes {who} has other lines"))?;
    }
    for viewer in &viewers {
        viewer.seen.is_whole(&file, &stage.records)?;
    }
    let gaps = stage.server.io.stats().gaps;
    println!("seq 1 {LINES} for pages of go-ws: {cuts} cuts, {gaps} gaps, in {:.1?}", begun.elapsed());
    check(gaps == 0, || "nothing was evicted".into())
}

/// A page that is cut: each time it gets everything anew, each line once.
async fn cut(stage: &Stage, truth: &[u8], mut dice: Dice) -> Result<usize, String> {
    for cuts in 0.. {
        let mut page = Page::open(stage, json!(ROOM)).await?;
        let cut_at = Instant::now() + dice.about(Duration::from_millis(100));
        while !page.is_over && Instant::now() < cut_at {
            if let Ok(step) = timeout_at(cut_at, page.step()).await {
                step?;
            }
        }
        if page.is_over || cuts == 5 {
            check(page.follow().await? == truth, || format!("after {cuts} cuts it has other lines"))?;
            return Ok(cuts);
        }
        check(truth.starts_with(&page.text), || format!("cut {cuts}: other lines"))?;
        page.wire.cut(Cut::any(&mut dice)).await;
    }
    Ok(0)
}

/// A page that goes on behind a number gets everything behind that, of which the first line may be the rest of one.
async fn resume(stage: &Stage, truth: &[u8], mut dice: Dice) -> Result<(), String> {
    let mut cut_lines = 0;
    for _ in 0..4 {
        let known = (1..).map_while(|seq| stage.records.get(seq)).count() as u64;
        let since = 1 + dice.below(known.saturating_sub(2));
        let epoch = stage.server.io.room(ROOM).epoch().map(|epoch| epoch.to_string());
        let page = Page::open(stage, json!({"room": ROOM, "since": since, "epoch": epoch})).await?;
        let text = page.follow().await?;
        let behind = stage.records.get(since + 1).ok_or("a message that is known")?;
        let What::Output { off, .. } = behind.what else { return Err(format!("{behind:?}")) };
        let off = off as usize;
        check(text == truth[off..], || format!("resumed behind {since}: other lines than from byte {off} on"))?;
        cut_lines += usize::from(off > 0 && truth[off - 1] != b'\n');
    }
    println!("4 resumed, {cut_lines} of them within a line");
    Ok(())
}
