//! Connections that do nothing: what each takes, and what is left of them.

use crate::kit::client::{Client, text_frame};
use crate::kit::grouped;
use crate::served::Served;
use crate::{head, mib};

/// Connections before the start is taken: what is made once, with the first, is none of theirs.
const WARM: usize = 20;
/// How often all come and go. What is left after each time is memory to be used again, if it grows no more in the end: the system's
/// allocator has an arena for each worker, and which of them a connection is in is chance.
const TIMES: usize = 5;
const KIB: f64 = 1024.0;

pub fn measure(connections: usize) {
    head(&format!("{} idle connections: bytes of the server for each", grouped(connections as f64)));
    println!("over TCP; ten handlers, on the Io or on each socket; resident, and of the heap\n");
    println!("{:22}{:>22}{:>22}{:>22}", "", "connected", "after an event each", "");
    let heads = ["resident", "heap", "resident", "heap", "goal", ""];
    println!("{:22}{}", "handlers", heads.map(|head| format!("{head:>11}")).concat());
    let both = [("on the Io", "idle", 7.0 * KIB), ("on each socket", "handlers", 12.0 * KIB)];
    let left = both.map(|(name, kind, goal)| (name, one(name, kind, goal, connections)));
    println!();

    head("The same after all have closed, and come again: MiB of the server");
    println!(
        "heap: what is in use; trimmed: what is resident when the allocator has been told to give back what it has free\n"
    );
    let heads = ["time", "start", "connected", "closed", "start", "connected", "closed", "trimmed", "above start"];
    println!("{:18}{:>9}{:^33}{:^33}{:>22}", "", "", "resident", "heap", "resident");
    println!(
        "{:18}{:>9}{}",
        "handlers",
        heads[0],
        heads[1..].iter().map(|head| format!("{head:>11}")).collect::<String>()
    );
    for (name, (times, trimmed)) in left {
        let last = times.len();
        for (time, Cycle { start, connected, closed }) in (1..).zip(times) {
            let all = [start.0, connected.0, closed.0, start.1, connected.1, closed.1];
            print!("{name:18}{time:>9}{}", all.map(|bytes| format!("{:>11}", mib(bytes))).concat());
            if let (true, Some(trimmed)) = (time == last, trimmed) {
                print!("{:>11}{:>9.0} %", mib(trimmed), (trimmed as f64 / start.0 as f64 - 1.0) * 100.0);
            }
            println!();
        }
    }
    println!();
}

/// Resident bytes and those of the heap, at three moments.
struct Cycle {
    start: (u64, u64),
    connected: (u64, u64),
    closed: (u64, u64),
}

fn one(name: &str, kind: &str, goal: f64, connections: usize) -> (Vec<Cycle>, Option<u64>) {
    let mut server = Served::start(kind);
    cycle(&mut server, WARM, |_| {});
    let start = now(&mut server);
    let (mut times, mut each) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let connected = cycle(&mut server, connections, |(resident, heap)| {
            each.push((resident - start.0) as f64 / connections as f64);
            each.push((heap - start.1) as f64 / connections as f64);
        });
        let closed = now(&mut server);
        times.push(Cycle { start, connected, closed });
    }
    let figures: String = each[..4].iter().map(|bytes| format!("{:>11}", grouped(*bytes))).collect();
    let verdict = if each[2] <= goal { "met" } else { "missed" };
    println!("{name:22}{figures}{:>11}{verdict:>11}", grouped(goal));
    (times, server.trim().then(|| server.settled()))
}

fn now(server: &mut Served) -> (u64, u64) {
    (server.settled(), server.ask("heap"))
}

/// So many come, send an event each, and go. Tells what there is when they are there, and after their events; returns the last.
fn cycle(server: &mut Served, connections: usize, mut tell: impl FnMut((u64, u64))) -> (u64, u64) {
    let mut clients: Vec<_> = (0..connections).map(|_| Client::connect(server.address)).collect();
    server.until("sockets", connections as u64);
    tell(now(server));
    let event = text_frame(r#"{"event":"event-3","id":1,"data":7}"#);
    for client in &mut clients {
        client.write(&event);
        let answer = client.frame();
        assert!(answer.ends_with(br#""data":7}"#), "{}", String::from_utf8_lossy(&answer));
    }
    let last = now(server);
    tell(last);
    drop(clients);
    server.until("sockets", 0);
    last
}
