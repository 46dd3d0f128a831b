//! What a room keeps when nobody watches, and when everyone has gone.

use std::sync::Arc;

use eventwire::process::{Command, Status};
use serde_json::json;

use crate::play::Folder;
use crate::stage::{ALL, ID, KIB, ROOM, Stage, install, run, write};
use crate::support::*;
use crate::viewer::Viewer;

const LINES: &str = "seq 1 300000";

/// Comes, reads to the end of the run, and goes.
async fn watch(stage: &Arc<Stage>) -> Viewer {
    let mut viewer = Viewer::enter(stage, 0, "who comes late", false).await.unwrap();
    viewer.follow().await.unwrap();
    viewer
}

#[test]
fn who_comes_after_the_end_gets_all_though_nobody_was_there() {
    run(async {
        let folder = Folder::new();
        let file = folder.0.join("output");
        write(LINES, &file);
        let stage = Arc::new(Stage::new(ALL, false, 1).await);
        let process = stage.processes.spawn(ID, Command::shell(LINES)).unwrap();
        assert_eq!(process.ended().await, Status::Exited(0));
        assert_eq!(stage.server.io.room_len(ROOM), 0);
        let first = watch(&stage).await.seen;
        first.is_whole(&file, &stage.records).unwrap();
        // It has gone, and the room is empty again.
        until("nobody is there", || stage.server.io.room_len(ROOM) == 0).await;
        let second = watch(&stage).await.seen;
        second.is_whole(&file, &stage.records).unwrap();
        assert_eq!((first.first, &first.epoch, first.gaps), (Some(1), &second.epoch, 0));
        assert_eq!(stage.server.io.room(ROOM).last_seq(), first.next - 1);
    });
}

#[test]
fn of_a_history_that_is_too_small_the_end_is_kept() {
    run(async {
        let folder = Folder::new();
        let file = folder.0.join("output");
        write(LINES, &file);
        let stage = Arc::new(Stage::new(256 * KIB, false, 1).await);
        stage.processes.spawn(ID, Command::shell(LINES)).unwrap().ended().await;
        let seen = watch(&stage).await.seen;
        // Every byte that it has is compared, to the last one.
        seen.is_whole(&file, &stage.records).unwrap();
        let has: usize = seen.records.iter().map(|record| record.bytes().len()).sum();
        // What is kept is counted with the frames, of which a chunk of 64 KiB may not have fitted in.
        assert!((128 * KIB..256 * KIB).contains(&has), "{has} bytes are kept");
        assert!(seen.first > Some(1) && seen.gaps == 0, "the ack says where it begins, not a gap: {:?}", seen.first);
        let kept = stage.server.io.stats();
        assert!(kept.logged_bytes <= 256 * KIB, "{kept:?}");
        assert_eq!(kept.logged_messages, seen.records.len());
    });
}

/// An id may be used again: its room goes on, and tells both runs to who comes late.
#[test]
fn of_two_runs_both_are_kept() {
    run(async {
        let server = Server::new().await;
        let processes = install(&server.io, ALL);
        let mut runs = Vec::new();
        for text in ["one", "two"] {
            let process = processes.spawn(ID, Command::new("printf").arg(text)).unwrap();
            process.ended().await;
            runs.push(process.run().to_owned());
        }
        let mut client = server.client().await;
        let ack = client.request("subscribe", json!(ROOM)).await.unwrap();
        assert_eq!((&ack["from"], &ack["seq"]), (&json!(1), &json!(6)));
        for (n, (run, text)) in runs.iter().zip(["one", "two"]).enumerate() {
            let mut frames = Vec::new();
            for place in 1..=3 {
                let frame = client.next().await;
                assert_eq!((&frame["seq"], &frame["data"]["run"]), (&json!(3 * n + place), &json!(run)), "{frame}");
                frames.push(frame["data"].clone());
            }
            assert_eq!((&frames[0]["status"], &frames[2]["status"]), (&json!("running"), &json!("exited")));
            assert_eq!((&frames[1]["off"], &frames[1]["data"]), (&json!(0), &json!(text)), "each counts for itself");
        }
        client.expect_nothing().await;
    });
}
