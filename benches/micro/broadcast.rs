//! A message of 128 bytes to all members of a room. `emit` is the call alone, by which it lies before all members; `delivered` is
//! all of it, until each connection has written it to its peer. Both in bursts: at the first message members have to be woken.

use std::sync::Arc;
use std::time::Duration;

use criterion::{SamplingMode, Throughput};
use eventwire::{History, Io};
use serde_json::value::RawValue;

use crate::peer::{Peer, Tally};
use crate::rig::{Clock, Criterion, Rig, bursts, payload, server};

/// Messages of a burst in small rooms: looking at the clock costs as much as some of them do.
const BURST: u64 = 128;

/// And in large ones: what lies before all members is to be no more than some MiB.
const SMALL_BURST: u64 = 16;

#[derive(Clone)]
struct World {
    io: Io,
    room: &'static str,
    members: u64,
    tally: Arc<Tally>,
    data: Box<RawValue>,
}

impl World {
    async fn new(room: &'static str, members: u64) -> World {
        let (io, tally) = (server(), Tally::new());
        io.rooms("log").history(History::messages(1000));
        for _ in 0..members {
            let (_peer, socket) = Peer::connect(&io, &tally).await;
            socket.join(room).await.unwrap();
        }
        World { io, room, members, tally, data: payload(128) }
    }

    async fn run(self, iterations: u64, times_delivery: bool) -> Duration {
        let mut spent = Duration::ZERO;
        let burst = if self.members > 1000 { SMALL_BURST } else { BURST };
        for n in bursts(iterations, burst) {
            let due = self.tally.count() + n * self.members;
            let clock = Clock::start();
            for _ in 0..n {
                let reached = self.io.to(self.room).emit("message", &self.data).await;
                assert_eq!(reached, Ok(self.members as usize));
            }
            let emitted = clock.elapsed();
            self.tally.reach(due).await;
            spent += if times_delivery { clock.elapsed() } else { emitted };
        }
        spent
    }
}

pub(crate) fn all(criterion: &mut Criterion) {
    for (name, room) in [("broadcast", "room"), ("broadcast with history", "log")] {
        let mut group = criterion.benchmark_group(name);
        for members in [1, 100, 10_000] {
            group.throughput(Throughput::Elements(members));
            if members == 10_000 {
                group.sampling_mode(SamplingMode::Flat);
            }
            let mut rig = Rig::new(World::new(room, members));
            for (name, times_delivery) in [("emit", false), ("delivered", true)] {
                let name = format!("{name}, {members} members");
                rig.bench(&mut group, &name, move |world, n| world.run(n, times_delivery));
            }
        }
        group.finish();
    }
}
