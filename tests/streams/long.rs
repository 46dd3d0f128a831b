//! The long form: more cuts, more viewers, more seeds; a build of this project. Minutes.

use std::time::Duration;

use eventwire::process::Command;

use crate::cases::{build_of_this_project, tee};
use crate::dice::seed;
use crate::play::Case;
use crate::stage::{KIB, write};

#[test]
#[ignore = "minutes: another thirty seeds, and five times as many cuts"]
fn many_cuts_and_seeds() {
    let first = seed();
    for seed in first..first + 30 {
        let case = Case { seed, cut: 8, every: Duration::from_millis(20), ..Case::new("seq 1 1000000", 6_888_896) };
        case.play(|file, _| {
            write("seq 1 1000000", file);
            Command::new("seq").args(["1", "1000000"])
        });
        let case =
            Case { seed, cut: 8, every: Duration::from_millis(20), ..Case::new("head -c 2M /dev/urandom", 2 << 20) };
        case.play(|file, _| tee("head -c 2M /dev/urandom", file));
    }
}

#[test]
#[ignore = "minutes: gaps in every order, with ten seeds"]
fn many_gaps_and_seeds() {
    let first = seed();
    for seed in first..first + 10 {
        let case = Case::new("4 MiB through 96 KiB of history", 4 << 20);
        let case = Case { history: 96 * KIB, is_overtaken: true, rounds: 128, slow: Duration::from_secs(6), ..case };
        let case = Case { seed, every: Duration::from_millis(30), ..case };
        case.play(|file, tokens| {
            // In many small chunks.
            let chunks = "for i in 0 1 2 3 4 5 6 7; do seq -f %07.0f $((n + i * 512)) $((n + i * 512 + 511)); done";
            let line = format!("while read n; do {chunks}; sleep 0.03; done");
            Command::shell(format!("{line} < {} | tee {}", tokens.display(), file.display()))
        });
    }
}

#[test]
#[ignore = "minutes: builds this project anew"]
fn a_build_of_this_project() {
    let case = Case::new("cargo build of this project", 60_000);
    Case { limit: Duration::from_secs(900), ..case }.play(|file, _| build_of_this_project(file));
}
