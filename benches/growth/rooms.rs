//! With the number of rooms: the cost of an emit to one of them, and of a join and a leave beside them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use eventwire::Config;

use crate::ROUNDS;
use crate::kit::server::Server;
use crate::kit::system::thread_cpu;
use crate::kit::{median, payload, sink};
use crate::table::Question;

/// Those that join and leave, and of which one is in each room. What the cost of an emit gains between one room and a thousand is not
/// that of the rooms: ever more sockets are written to, and what lies in the processor's caches of each is ever less. Few have the
/// same rooms beside them.
const SOCKETS: usize = 1_000;
const FEW: usize = 10;
const EMITS: usize = 50_000;

pub fn measure() -> Vec<Question> {
    let note = "in memory; each room has one of 1,000 (or of 10) sockets; emits of 128 bytes go to rooms in no order, one at a time";
    let title = "An emit, a join and a leave, by the number of rooms";
    let mut question = Question::new("rooms", title, note, ("rooms", "CPU an operation"));
    for rooms in [1, 10, 100, 1_000, 10_000, 100_000] {
        let [emit, join, leave] = costs(rooms, SOCKETS);
        let [emit_of_few, ..] = costs(rooms, FEW);
        question.add("emit to 1 of 1,000 sockets", rooms as f64, emit);
        question.add("emit to 1 of 10 sockets", rooms as f64, emit_of_few);
        question.add("join of a new room", rooms as f64, join);
        question.add("leave, which ends it", rooms as f64, leave);
    }
    vec![question]
}

fn costs(rooms: usize, in_rooms: usize) -> [f64; 3] {
    let server = Server::start(Config::default(), |_| {});
    let io = server.io.clone();
    let rounds = server.run(async move {
        let (taken, data) = (Arc::default(), payload());
        let members = sink::members(&io, SOCKETS, &taken).await;
        let names: Vec<String> = (0..rooms).map(|room| format!("room:{room:06}")).collect();
        for (name, (socket, _)) in names.iter().zip(members[..in_rooms].iter().cycle()) {
            socket.join(name).await.unwrap();
        }
        let before = taken.load(Ordering::Relaxed);
        io.to(&names[0]).emit("news", &data).await.unwrap();
        sink::settled(&taken).await;
        let bytes = taken.load(Ordering::Relaxed) - before;
        let new: Vec<String> = (0..SOCKETS).map(|room| format!("new:{room:06}")).collect();
        let mut rounds = [const { Vec::new() }; 3];
        let mut room = 0;
        for _ in 0..ROUNDS {
            let mut target = taken.load(Ordering::Relaxed);
            let before = thread_cpu();
            for _ in 0..EMITS {
                // A step that shares no divisor with their number meets all of them, far from the last.
                room = (room + 61_803) % rooms;
                io.to(&names[room]).emit("news", &data).await.unwrap();
                target += bytes;
                sink::until("it is delivered", || taken.load(Ordering::Relaxed) >= target).await;
            }
            rounds[0].push((thread_cpu() - before) as f64 / EMITS as f64);
            let before = thread_cpu();
            for (name, (socket, _)) in new.iter().zip(&members) {
                socket.join(name).await.unwrap();
            }
            let joined = thread_cpu();
            for (name, (socket, _)) in new.iter().zip(&members) {
                socket.leave(name);
            }
            rounds[1].push((joined - before) as f64 / SOCKETS as f64);
            rounds[2].push((thread_cpu() - joined) as f64 / SOCKETS as f64);
        }
        rounds
    });
    rounds.map(median)
}
