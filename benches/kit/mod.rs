//! What the measuring programs are written with: a server in a thread of its own, members in memory, clients over TCP, and what
//! the system says of time and memory.
#![allow(dead_code)]

pub mod client;
pub mod server;
pub mod sink;
pub mod system;

use std::time::Duration;

/// No wait is longer: what has not come by then is lost.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What a message carries: as many bytes as in the comparison with other servers.
pub fn payload() -> String {
    "x".repeat(128)
}

/// The middle of some measurements: what the machine does beside them falls on the others.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value below which so many of a hundred lie.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let index = (sorted.len() as f64 * percent / 100.0) as usize;
    sorted[index.min(sorted.len() - 1)]
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What was asked for on the command line. Cargo adds flags of its own.
pub fn asked_for() -> Vec<String> {
    std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect()
}
