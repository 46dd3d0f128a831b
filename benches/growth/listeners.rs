//! With the listeners of an event: the cost of the event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use eventwire::{Config, Socket};

use crate::ROUNDS;
use crate::kit::client::{Client, text_frame};
use crate::kit::median;
use crate::kit::server::Server;
use crate::table::Question;

const EVENTS: usize = 16_000;
/// Requests that wait for their answers at a time.
const IN_FLIGHT: usize = 32;

pub fn measure() -> Vec<Question> {
    let note = "over TCP, with its acknowledgement and 32 in flight; each listener decodes a number and adds it";
    let title = "An event, by its listeners";
    let mut question = Question::new("listeners", title, note, ("listeners", "CPU an event"));
    for listeners in [1, 2, 5, 10, 50] {
        for (series, is_of_io) in [("of the Io", true), ("of the socket", false)] {
            let cost = cost(listeners, is_of_io);
            question.add(series, listeners as f64, cost);
            if is_of_io {
                question.add("of the Io, a listener", listeners as f64, cost / listeners as f64);
            }
        }
    }
    vec![question]
}

fn cost(listeners: usize, is_of_io: bool) -> f64 {
    let server = Server::start(Config::default(), move |io| {
        let sum = Arc::new(AtomicU64::new(0));
        let add = move || {
            let sum = sum.clone();
            move |_: Socket, by: u64| {
                sum.fetch_add(by, Ordering::Relaxed);
                async {}
            }
        };
        if is_of_io {
            (0..listeners).for_each(|_| drop(io.on::<u64>("add", add())));
        } else {
            io.on_connect(move |socket: Socket| {
                (0..listeners).for_each(|_| drop(socket.on::<u64>("add", add())));
                async {}
            });
        }
    });
    let mut client = Client::connect(server.address);
    let requests = text_frame(r#"{"event":"add","id":7,"data":1}"#).repeat(IN_FLIGHT);
    let mut answer = Vec::new();
    let rounds = (0..ROUNDS).map(|_| {
        let before = server.cpu();
        for _ in 0..EVENTS / IN_FLIGHT {
            client.write(&requests);
            for _ in 0..IN_FLIGHT {
                client.read_into(&mut answer);
                assert!(answer.starts_with(br#"{"event":"ack""#), "{}", String::from_utf8_lossy(&answer));
            }
        }
        (server.cpu() - before) as f64 / EVENTS as f64
    });
    median(rounds.collect())
}
