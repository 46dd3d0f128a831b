//! Members that never read: what they cost the server at most.

use std::net::TcpStream;

use crate::kit::client::{Client, Crowd};
use crate::kit::grouped;
use crate::served::{RING, Served};
use crate::{head, mib};

const MEMBERS: usize = 1_000;
const SILENT: usize = 100;
const MESSAGES: usize = 4_096;
/// After so many, those who read are waited for.
const AT_ONCE: usize = 64;
/// What an outbox holds by default, at most.
const OUTBOX_MESSAGES: usize = 1_024;
const OUTBOX_BYTES: usize = 4 * 1024 * 1024;

pub fn measure() {
    let bound = |message: usize| (SILENT * (OUTBOX_MESSAGES * message).min(OUTBOX_BYTES)) as u64;
    head(&format!("{SILENT} members that never read: MiB of the server, above what it had before the first message"));
    println!(
        "over TCP; {} broadcasts of 1 KiB to a room of {}, of whom {SILENT} never read; then messages of their own to\n\
         these, until their outboxes are full (1,024 messages, 4 MiB); bound: what all of these hold, if nothing is shared\n",
        grouped(MESSAGES as f64),
        grouped(MEMBERS as f64),
    );
    let heads = ["resident", "most ever", "heap", "bound", "connected", "dropped"];
    println!("{:38}{}", "", heads.map(|head| format!("{head:>11}")).concat());
    for (name, kind, bound) in [
        ("broadcasts, Overflow::Disconnect", "disconnect", bound(1024)),
        ("broadcasts, Overflow::DropOldest", "drop-oldest", bound(1024)),
        ("broadcasts, with 4 MiB of history", "history", RING as u64),
    ] {
        broadcasts(name, kind, bound);
    }
    own("messages of 1 KiB, to each its own", 1024, bound(1024));
    own("messages of 8 KiB, to each its own", 8192, bound(8192));
    println!();
}

fn silent(server: &Served) -> Vec<TcpStream> {
    (0..SILENT).map(|_| Client::connect(server.address).into_stream()).collect()
}

fn broadcasts(name: &str, kind: &str, bound: u64) {
    let mut server = Served::start(kind);
    let crowd = Crowd::connect(server.address, MEMBERS - SILENT);
    let _silent = silent(&server);
    server.until("members", MEMBERS as u64);
    server.until("messages", MEMBERS as u64);
    let before = server.ask("bytes");
    server.ask("emit 1");
    server.until("messages", 2 * MEMBERS as u64);
    // Numbers in rooms with history grow: the last frames are a little longer than the first.
    let each = (server.ask("bytes") - before) / MEMBERS as u64 * (MEMBERS - SILENT) as u64;
    crowd.until(each);
    let start = (server.settled(), server.ask("heap"));
    let mut most_heap = 0;
    for sent in 1..=MESSAGES / AT_ONCE {
        server.ask(&format!("emit {AT_ONCE}"));
        crowd.until(each * (1 + sent * AT_ONCE) as u64);
        most_heap = most_heap.max(server.ask("heap"));
    }
    report(name, &mut server, start, most_heap, bound);
}

fn own(name: &str, size: usize, bound: u64) {
    let mut server = Served::start("own");
    let _silent = silent(&server);
    server.until("members", SILENT as u64);
    let start = (server.settled(), server.ask("heap"));
    // What the system takes frees the outbox: it is full once nothing more goes in.
    while server.ask(&format!("fill {size}")) > 0 {
        server.settled();
    }
    let heap = server.ask("heap");
    report(name, &mut server, start, heap, bound);
}

fn report(name: &str, server: &mut Served, start: (u64, u64), most_heap: u64, bound: u64) {
    let above = |bytes: u64, start: u64| format!("{:>11}", mib(bytes.saturating_sub(start)));
    let figures = [
        above(server.resident(), start.0),
        above(server.most_resident(), start.0),
        above(most_heap, start.1),
        format!("{:>11}", mib(bound)),
        format!("{:>11}", server.ask("sockets")),
        format!("{:>11}", grouped(server.ask("dropped") as f64)),
    ];
    println!("{name:38}{}", figures.concat());
}
