//! How cost grows: with the members of a room, with the number of rooms, with the rooms of one socket, with the size of a message,
//! with the listeners of an event; and whether a socket in a thousand rooms stalls others.
//!
//! ```sh
//! cargo bench --bench growth [-- members rooms memberships sizes listeners stalls] [-- draw]
//! ```
//!
//! Nanoseconds of CPU of the server's only thread, kernel included. Each figure is the median of some rounds. Tables go to standard
//! output, all figures to `growth.json` in the folder `target`, a picture of each question to `benches/growth/`. `draw` measures
//! nothing: it draws the pictures again from the figures that are there.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod draw;
#[path = "../kit/mod.rs"]
mod kit;
mod listeners;
mod members;
mod memberships;
mod rooms;
mod sizes;
mod stalls;
mod table;

use self::table::Question;

/// How often each figure is measured.
const ROUNDS: usize = 7;

type Measure = fn() -> Vec<Question>;

fn main() {
    kit::system::raise_file_limit();
    let asked_for = kit::asked_for();
    let is_asked_for = |name: &str| asked_for.is_empty() || asked_for.iter().any(|asked| asked == name);
    let questions: [(&str, Measure); 6] = [
        ("members", members::measure),
        ("rooms", rooms::measure),
        ("memberships", memberships::measure),
        ("sizes", sizes::measure),
        ("listeners", listeners::measure),
        ("stalls", stalls::measure),
    ];
    if let Some(unknown) =
        asked_for.iter().find(|asked| *asked != "draw" && !questions.iter().any(|(name, _)| name == asked))
    {
        eprintln!("`{unknown}` is no question: there are {}", questions.map(|(name, _)| name).join(", "));
        std::process::exit(2);
    }
    let mut figures = table::read();
    if !asked_for.iter().any(|asked| asked == "draw") {
        for (_, measure) in questions.into_iter().filter(|(name, _)| is_asked_for(name)) {
            for question in measure() {
                println!("{question}");
                figures.retain(|known| known.name != question.name);
                figures.push(question);
            }
        }
        table::write(&figures);
    }
    draw::all(&figures);
}
