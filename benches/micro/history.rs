//! Rooms that remember: what is appended, and what is read back. The ring holds 1,000 messages and is full, so that each new one
//! takes the place of the oldest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::Throughput;
use eventwire::{History, Io};

use crate::peer::{Peer, Tally, block};
use crate::rig::{Clock, Criterion, Rig, payload, server};

const KEPT: u64 = 1000;

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("history");
    group.throughput(Throughput::Elements(1));
    let folded = Arc::new(AtomicU64::new(0));
    let counted = folded.clone();
    let folding = History::messages(KEPT as usize).snapshot("state", 0u64, move |state, message| {
        *state += message.seq;
        counted.fetch_add(1, Ordering::Relaxed);
    });
    for (name, history, folds) in [
        ("append, nobody there", History::messages(KEPT as usize), false),
        ("append, and fold the oldest", folding, true),
    ] {
        let folded = folded.clone();
        Rig::new(full(history)).bench(&mut group, name, move |io, iterations| {
            let folded = folded.clone();
            async move {
                let data = payload(128);
                let (before, last) = (folded.load(Ordering::Relaxed), io.room("log").last_seq());
                let clock = Clock::start();
                for _ in 0..iterations {
                    assert_eq!(io.to("log").emit("message", &data).await, Ok(0));
                }
                let spent = clock.elapsed();
                assert_eq!(io.room("log").last_seq(), last + iterations);
                assert_eq!(folded.load(Ordering::Relaxed) - before, iterations * u64::from(folds));
                spent
            }
        });
    }

    group.throughput(Throughput::Elements(KEPT));
    let usual = || History::messages(KEPT as usize);
    Rig::new(full(usual())).bench(&mut group, "read 1000", |io, iterations| async move {
        let clock = Clock::start();
        for _ in 0..iterations {
            assert_eq!(io.room("log").read(1..).len() as u64, KEPT);
        }
        clock.elapsed()
    });

    let subscriber = async move {
        let io = full(usual()).await;
        (Peer::connect(&io, &Tally::new()).await.0, io)
    };
    // From the client's `subscribe` until it has the answer and all messages; that it leaves again is not timed.
    Rig::new(subscriber).bench(&mut group, "subscribe, 1000 replayed", |(peer, io), iterations| async move {
        let subscribe = block(r#"{"event":"subscribe","id":1,"data":"log"}"#, 1);
        let unsubscribe = block(r#"{"event":"unsubscribe","id":2,"data":"log"}"#, 1);
        let mut spent = Duration::ZERO;
        for _ in 0..iterations {
            let clock = Clock::start();
            peer.rounds(&subscribe, 1 + KEPT, 1).await;
            spent += clock.elapsed();
            assert_eq!(io.room_len("log"), 1);
            peer.rounds(&unsubscribe, 1, 1).await;
            assert_eq!(io.room_len("log"), 0);
        }
        spent
    });
    group.finish();
}

/// A room that keeps as much as it may.
async fn full(history: History) -> Io {
    let io = server();
    io.rooms("log").public().history(history);
    for _ in 0..KEPT {
        io.to("log").emit("message", payload(128)).await.unwrap();
    }
    assert_eq!(io.room("log").len() as u64, KEPT);
    io
}
