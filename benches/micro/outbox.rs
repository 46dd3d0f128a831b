//! The queue to one peer.

use criterion::Throughput;
use eventwire::EmitError;

use crate::peer::{Peer, Tally};
use crate::rig::{Clock, Criterion, Rig, bursts, payload, server};

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox");
    group.throughput(Throughput::Elements(1));
    let reading = async {
        let tally = Tally::new();
        (Peer::connect(&server(), &tally).await.1, tally)
    };
    let mut rig = Rig::new(reading);
    // All of it: emitted, taken by the connection, and written to the peer.
    for burst in [1, 128] {
        rig.bench(
            &mut group,
            &format!("to a peer that reads, {burst} at once"),
            move |(socket, tally), n| async move {
                let data = payload(128);
                let mut due = tally.count();
                let clock = Clock::start();
                for n in bursts(n, burst) {
                    for _ in 0..n {
                        socket.try_emit("message", &data).unwrap();
                    }
                    due += n;
                    tally.reach(due).await;
                }
                clock.elapsed()
            },
        );
    }

    let full = async {
        let (peer, socket) = Peer::connect(&server(), &Tally::new()).await;
        peer.stops_reading();
        while socket.try_emit("message", payload(128)).is_ok() {}
        assert!(socket.is_connected() && socket.backlog().messages > 1000);
        socket
    };
    Rig::new(full).bench(&mut group, "to one that does not: refused", |socket, iterations| async move {
        let data = payload(128);
        let clock = Clock::start();
        for _ in 0..iterations {
            assert_eq!(socket.try_emit("message", &data), Err(EmitError::Full));
        }
        clock.elapsed()
    });
    group.finish();
}
