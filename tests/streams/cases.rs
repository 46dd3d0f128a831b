//! What programs print, at once, bit by bit, as text and as no text: each for ten viewers.

use std::time::Duration;

use eventwire::process::Command;

use crate::play::Case;
use crate::stage::{KIB, write};
use crate::support::root;

#[test]
fn two_million_lines() {
    Case::new("seq 1 2000000", 14_888_896).play(|file, _| {
        write("seq 1 2000000", file);
        Command::new("seq").args(["1", "2000000"])
    });
}

#[test]
fn eight_mebibytes_of_chance() {
    Case::new("head -c 8M /dev/urandom", 8 << 20).play(|file, _| tee("head -c 8M /dev/urandom", file));
}

#[test]
fn a_line_of_a_mebibyte_without_its_end() {
    let line = "head -c 1048576 /dev/zero | tr '\\0' x";
    Case::new("a line of 1 MiB", 1 << 20).play(|file, _| {
        write(line, file);
        Command::shell(line)
    });
}

#[test]
fn one_character() {
    Case::new("printf x", 1).play(|file, _| {
        write("printf x", file);
        Command::new("printf").args(["x"])
    });
}

#[test]
fn progress_by_carriage_returns() {
    let line = "n=0; while [ $n -lt 20000 ]; do printf '\\r%d of 20000' $n; n=$((n+1)); done";
    Case::new("20,000 updates by \\r", 300_000).play(|file, _| {
        write(line, file);
        Command::shell(line)
    });
}

#[test]
fn a_long_list_of_files() {
    Case::new("ls -laR /usr/share", 4_000_000).play(|file, _| tee("ls -laR /usr/share", file));
}

/// Of a few crates that are made for it: this project itself takes minutes, and is built in the long form.
#[test]
fn a_build() {
    let name = "cargo build of eight small crates";
    Case::new(name, 80_000).play(|file, _| {
        let folder = file.parent().unwrap().join("build");
        let members = (0..8).map(|n| format!("\"c{n}\"")).collect::<Vec<_>>().join(", ");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("Cargo.toml"), format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n"))
            .unwrap();
        for n in 0..8 {
            let source = folder.join(format!("c{n}/src"));
            std::fs::create_dir_all(&source).unwrap();
            let manifest = format!("[package]\nname = \"c{n}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
            std::fs::write(source.with_file_name("Cargo.toml"), manifest).unwrap();
            // Each is warned of.
            let functions: String = (0..40).map(|n| format!("fn unused_größe_{n}() {{}}\n")).collect();
            std::fs::write(source.join("lib.rs"), functions).unwrap();
        }
        tee("cargo build --offline --color always", file)
            .cwd(&folder)
            .env("CARGO_TARGET_DIR", folder.join("target"))
            .env("CARGO_TERM_PROGRESS_WHEN", "always")
            .env("CARGO_TERM_PROGRESS_WIDTH", "100")
    });
}

/// Everyone has everything though a sixteenth of it is kept, but who is slow: it is told what it misses.
#[test]
fn a_history_that_is_overtaken() {
    let case = Case::new("4 MiB through 512 KiB of history", 4 << 20);
    let case = Case { history: 512 * KIB, is_overtaken: true, rounds: 128, slow: Duration::from_secs(3), ..case };
    case.play(|file, tokens| {
        // 4,096 numbers of 7 digits: 32 KiB.
        let line = "while read n; do seq -f %07.0f $n $((n + 4095)); done";
        Command::shell(format!("{line} < {} | tee {}", tokens.display(), file.display()))
    });
}

/// A command of which a file gets the same as the viewers, for what is another thing each time.
pub(crate) fn tee(line: &str, file: &std::path::Path) -> Command {
    Command::new("bash").args(["-c", &format!("set -o pipefail; {line} 2>&1 | tee {}", file.display())])
}

/// The same with a build of this project, in a target folder of its own.
pub(crate) fn build_of_this_project(file: &std::path::Path) -> Command {
    let target = file.parent().unwrap().join("target");
    tee("cargo build --offline --color always", file)
        .cwd(root())
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "100")
}
