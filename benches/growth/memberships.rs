//! With the rooms of one socket: the cost of a join, of an emit to one of them, of a leave, and of its disconnect.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use eventwire::{Config, Socket};

use crate::ROUNDS;
use crate::kit::server::Server;
use crate::kit::system::thread_cpu;
use crate::kit::{median, payload, sink};
use crate::table::Question;

/// All rooms, whatever the number that one socket is in: only the latter changes.
const ROOMS: usize = 10_000;
const RESIDENTS: usize = 100;
const MOST_SOCKETS: usize = 1_000;
const EMITS: usize = 20_000;

pub fn measure() -> Vec<Question> {
    let note = "in memory; 10,000 rooms, each with one other member; an emit of 128 bytes reaches two members";
    let title = "Join, emit, leave and disconnect, by the rooms of one socket";
    let mut question = Question::new("memberships", title, note, ("rooms of one socket", "CPU an operation"));
    for rooms in [1, 10, 100, 1_000] {
        let [join, emit, leave, disconnect] = costs(rooms);
        let x = rooms as f64;
        question.add("disconnect", x, disconnect);
        question.add("disconnect, a room", x, disconnect / x);
        question.add("join", x, join);
        question.add("leave", x, leave);
        question.add("emit to one, delivered", x, emit);
    }
    vec![question]
}

fn costs(rooms: usize) -> [f64; 4] {
    let gone = Arc::new(AtomicU64::new(0));
    let count = gone.clone();
    let server = Server::start(Config::default(), move |io| {
        io.on_disconnect(move |_: Socket, _| {
            count.fetch_add(1, Ordering::Relaxed);
            async {}
        });
    });
    let io = server.io.clone();
    let rounds = server.run(async move {
        let (taken, data) = (Arc::default(), payload());
        let names: Vec<String> = (0..ROOMS).map(|room| format!("room:{room:06}")).collect();
        let residents = sink::members(&io, RESIDENTS, &taken).await;
        for (name, (socket, _)) in names.iter().zip(residents.iter().cycle()) {
            socket.join(name).await.unwrap();
        }
        let sockets = (ROOMS / rooms).min(MOST_SOCKETS);
        let all = (sockets * rooms) as f64;
        let mut rounds = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            let members = sink::members(&io, sockets, &taken).await;
            let own = || members.iter().zip(names.chunks(rooms));

            let before = thread_cpu();
            for ((socket, _), rooms) in own() {
                for room in rooms {
                    socket.join(room).await.unwrap();
                }
            }
            rounds[0].push((thread_cpu() - before) as f64 / all);

            let mut target = taken.load(Ordering::Relaxed);
            io.to(&names[0]).emit("news", &data).await.unwrap();
            sink::settled(&taken).await;
            let bytes = taken.load(Ordering::Relaxed) - target;
            target += bytes;
            let before = thread_cpu();
            for emit in 0..EMITS {
                let room = emit * 61_803 % (sockets * rooms);
                io.to(&names[room]).emit("news", &data).await.unwrap();
                target += bytes;
                sink::until("it is delivered", || taken.load(Ordering::Relaxed) >= target).await;
            }
            rounds[1].push((thread_cpu() - before) as f64 / EMITS as f64);

            let before = thread_cpu();
            for ((socket, _), rooms) in own() {
                for room in rooms {
                    socket.leave(room);
                }
            }
            rounds[2].push((thread_cpu() - before) as f64 / all);

            for ((socket, _), rooms) in own() {
                for room in rooms {
                    socket.join(room).await.unwrap();
                }
            }
            let until_gone = gone.load(Ordering::Relaxed) + sockets as u64;
            let before = thread_cpu();
            members.iter().for_each(|(_, peer)| peer.hang_up());
            sink::until("all are gone", || gone.load(Ordering::Relaxed) == until_gone).await;
            rounds[3].push((thread_cpu() - before) as f64 / sockets as f64);
        }
        rounds
    });
    rounds.map(median)
}
