//! Who knows whom: the invariants of absence, read off the source files themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

#[path = "support/sources.rs"]
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use self::sources::{Source, code, root, source, sources, walk};

#[test]
fn what_is_no_code_is_left_out() {
    let text = "a // tokio\n/* hyper */ b r#\"ht\"tp\"# \"axum\\\"\" '\"' c b\"x\" /// d\ne";
    let words: Vec<String> = code(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["a", "b", "\"\"", "\"\"", "'", "'", "c", "b\"\"", "e"]);
}

// ---- §4.14: layers

/// The wire and the rooms can be reasoned about, and used, without a runtime.
#[test]
fn protocol_frame_and_rooms_know_neither_a_runtime_nor_a_websocket_nor_http() {
    let logs = ["history.rs", "history/log.rs", "history/ring.rs", "history/snapshot.rs", "history/translation.rs"];
    for name in ["protocol.rs", "frame.rs", "rooms.rs", "history/handover.rs"].into_iter().chain(logs) {
        let source = source(name);
        for foreign in ["tokio", "tokio_tungstenite", "tungstenite", "http", "hyper", "hyper_util", "axum"] {
            assert!(!source.names(&[foreign]), "src/{name} names {foreign}");
        }
    }
}

#[test]
fn only_the_connection_touches_a_websocket() {
    let touching: Vec<String> = sources().into_iter().filter(|s| s.names(&["Opcode"])).map(|s| s.name).collect();
    assert_eq!(touching, ["connection.rs", "connection/messages.rs", "connection/messages/tests.rs", "frame.rs"]);
    // What reads frames is compared with another that does, and nothing else of that is used.
    let foreign = ["tungstenite", "tokio_tungstenite"];
    let naming: Vec<String> = sources().into_iter().filter(|s| s.names(&foreign)).map(|s| s.name).collect();
    assert_eq!(naming, ["connection/messages/tests.rs"]);
}

/// `upgrade` is the door, `server` the ways to it. `io` has the types of a request and its response in the
/// signature of `Io::upgrade`; `connection` is handed hyper's upgraded stream. Nobody else meets HTTP.
#[test]
fn only_the_door_touches_http() {
    let http = ["http", "hyper", "hyper_util", "http_body_util", "tower_service", "axum"];
    let touching: BTreeMap<String, BTreeSet<String>> = sources()
        .iter()
        .map(|source| {
            (source.name.clone(), source.words().filter(|word| http.contains(word)).map(str::to_owned).collect())
        })
        .filter(|(_, words): &(String, BTreeSet<String>)| !words.is_empty())
        .collect();
    let names: Vec<&String> = touching.keys().collect();
    assert_eq!(names, ["connection.rs", "io.rs", "server.rs", "upgrade.rs"]);
    assert_eq!(touching["io.rs"].iter().collect::<Vec<_>>(), ["http"], "io.rs: the types of requests, no server");
    assert!(source("io.rs").code.contains("use http::{Request, Response};"), "io.rs: those two and no more");
    assert_eq!(touching["connection.rs"].iter().collect::<Vec<_>>(), ["hyper", "hyper_util"]);
    assert!(source("connection.rs").code.contains("use hyper::upgrade::{OnUpgrade, Upgraded};"));
}

/// Who is connected and in which rooms is told by ids and outboxes: what users hold and write lies above.
#[test]
fn hub_and_rooms_know_no_user_code() {
    for name in ["hub.rs", "hub/fanout.rs", "rooms.rs", "outbox.rs", "acks.rs", "delivery/pending.rs"] {
        let source = source(name);
        for above in ["Socket", "Io", "Handler", "Router", "Listener", "Lane", "Handshake", "Call", "BoxFuture"] {
            assert!(!source.names(&[above]), "src/{name} names {above}");
        }
        let below = ["acks", "closing", "config", "encode", "error", "hub", "outbox", "protocol", "rooms"];
        let below: Vec<&str> =
            below.into_iter().chain(["delivery", "history", "patterns", "sync", "wildcard"]).collect();
        let used = source.of_the_crate();
        assert!(used.iter().all(|module| below.contains(module)), "src/{name} uses {used:?}");
    }
}

/// What is nobody's state stands at the bottom.
#[test]
fn the_wire_knows_only_itself() {
    assert_eq!(source("protocol.rs").of_the_crate(), BTreeSet::from(["frame"]));
    assert_eq!(source("frame.rs").of_the_crate(), BTreeSet::new());
}

/// Another wire is written with what the wire has, and nobody else knows of it.
#[test]
fn dialects_know_the_wire_alone() {
    let dialects: Vec<Source> = sources().into_iter().filter(|source| source.name.starts_with("dialects")).collect();
    assert!(dialects.len() > 1);
    for dialect in &dialects {
        let used = dialect.of_the_crate();
        assert!(used.iter().all(|name| ["protocol", "Frames"].contains(name)), "src/{} uses {used:?}", dialect.name);
        assert!(!dialect.names(&["tokio", "tungstenite", "http"]), "src/{} knows more than bytes", dialect.name);
    }
    for source in sources().iter().filter(|source| !source.name.starts_with("dialects") && source.name != "lib.rs") {
        assert!(!source.of_the_crate().contains("dialects"), "src/{} knows of one", source.name);
    }
}

// ---- §4.15: modules

/// What `lib.rs` exports: its re-exports and its public modules.
fn exported() -> BTreeSet<String> {
    let lib = source("lib.rs").code;
    let mut names = BTreeSet::new();
    for statement in lib.split(';').map(|statement| statement.split(']').next_back().unwrap_or_default().trim()) {
        if let Some(module) = statement.strip_prefix("pub mod ") {
            names.insert(module.to_owned());
        }
        if let Some(path) = statement.strip_prefix("pub use ") {
            let list = path.rsplit("::").next().unwrap_or(path);
            names.extend(
                list.trim_matches(['{', '}']).split(',').map(|name| name.trim().to_owned()).filter(|n| !n.is_empty()),
            );
        }
    }
    assert!(names.contains("Io") && names.contains("protocol") && names.contains("IntoError"), "{names:?}");
    names
}

#[test]
fn modules_use_what_is_exported() {
    let exported = exported();
    let modules: Vec<Source> = sources().into_iter().filter(|source| source.name.starts_with("modules/")).collect();
    assert!(!modules.is_empty());
    for module in &modules {
        let used = module.of_the_crate();
        assert!(used.iter().all(|name| exported.contains(*name)), "src/{} uses {used:?}", module.name);
        assert!(!module.code.contains("super::super::super"), "src/{} climbs out", module.name);
    }
    let names: BTreeSet<&str> =
        modules.iter().filter_map(|m| m.name.strip_prefix("modules/")?.split(['/', '.']).next()).collect();
    let outsiders = std::fs::read_to_string(root().join("tests/tidy_modules.rs")).unwrap();
    for name in names {
        assert!(outsiders.contains(&format!("pub mod {name};")), "tests/tidy_modules.rs does not compile {name}");
    }
}

// ---- §4.16 and the house

fn manifest() -> toml::Table {
    std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap()
}

/// Those of both crates.
fn lints() -> toml::Table {
    let manifest = manifest();
    let macros: toml::Table = std::fs::read_to_string(root().join("macros/Cargo.toml")).unwrap().parse().unwrap();
    for inherits in [&manifest, &macros] {
        assert_eq!(inherits["lints"]["workspace"].as_bool(), Some(true));
    }
    manifest["workspace"]["lints"].as_table().unwrap().clone()
}

/// Where a lint exception for unsafe code stands, with its reason.
const UNSAFE: &str = "modules/process/limits.rs";

#[test]
fn unsafe_code_is_denied_and_one_file_has_some() {
    assert_eq!(lints()["rust"]["unsafe_code"].as_str(), Some("deny"));
    for source in sources() {
        let is_exception = source.name == UNSAFE;
        assert_eq!(source.names(&["unsafe"]), is_exception, "src/{}", source.name);
        assert_eq!(source.names(&["unsafe_code"]), is_exception, "src/{} and the lint", source.name);
    }
    let exception = source(UNSAFE);
    assert!(exception.code.contains("#![expect(\n    unsafe_code,\n    reason = "), "src/{UNSAFE}: the reason");
    assert_eq!(exception.words().filter(|word| *word == "unsafe").count(), 1, "src/{UNSAFE}: one block");
    assert_eq!(exception.text.matches("// SAFETY: ").count(), 1, "src/{UNSAFE}: and why it is sound");
}

#[test]
fn no_lock_is_held_across_an_await_says_the_lint() {
    assert!(["warn", "deny"].contains(&lints()["clippy"]["await_holding_lock"].as_str().unwrap()));
    for source in sources() {
        assert!(!source.names(&["await_holding_lock"]), "src/{} lifts the lint", source.name);
    }
}

/// The lint sees to it, unless it is lifted; variants of errors are looked at here as well.
#[test]
fn everything_public_has_docs() {
    assert!(["warn", "deny", "forbid"].contains(&lints()["rust"]["missing_docs"].as_str().unwrap()));
    let mut variants = 0;
    for source in sources() {
        assert!(!source.names(&["missing_docs"]), "src/{} lifts the lint", source.name);
        let mut lines = source.text.lines();
        while let Some(line) = lines.next() {
            let is_error = line.trim_start().starts_with("pub enum ") && line.contains("Error");
            let mut documented = false;
            // To the enum's own closing brace.
            let end = format!("{}}}", " ".repeat(line.len() - line.trim_start().len()));
            for line in lines.by_ref().take_while(|line| is_error && *line != end) {
                let line = line.trim();
                match line.chars().next() {
                    Some('/') => documented = true,
                    Some(first) if first.is_ascii_uppercase() => {
                        assert!(documented, "src/{}: `{line}` has no docs", source.name);
                        (variants, documented) = (variants + 1, false);
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(variants > 15, "the variants of errors are found: {variants}");
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let mut files = Vec::new();
    for folder in ["src", "macros/src"] {
        walk(&root().join(folder), &mut files);
    }
    assert!(files.len() > 80, "the files are found: {}", files.len());
    for file in files {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 600, "{} has {lines}", file.display());
    }
}

#[test]
fn nothing_is_left_to_do_or_printed() {
    for source in sources() {
        for name in ["todo", "unimplemented", "dbg", "print", "println", "eprint", "eprintln"] {
            assert!(!source.code.contains(&format!("{name}!")), "src/{}: {name}!", source.name);
        }
    }
    // Not written out, or this file had them in it.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["X", "XX"], ["HA", "CK"]].map(|halves| halves.concat());
    let is_ours = |file: &PathBuf| {
        file.extension().is_some_and(|kind| ["rs", "md", "sh", "mjs", "js"].iter().any(|ours| kind == *ours))
    };
    let files: Vec<PathBuf> = tracked().into_iter().filter(is_ours).collect();
    assert!(files.len() > 200, "the files are found: {}", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{}: {mark}", file.display());
        }
    }
}

/// The front page names every file, and no other.
#[test]
fn the_floor_plan_names_every_file() {
    let text = source("lib.rs").text;
    let plan: String = text
        .lines()
        .skip_while(|line| !line.contains("# The house"))
        .take_while(|line| !line.contains("What holds"))
        .collect();
    let named: BTreeSet<&str> = plan.split('`').skip(1).step_by(2).collect();
    for source in sources() {
        let (file, is_top) = (source.name.trim_end_matches(".rs"), !source.name.contains('/'));
        assert!(file == "lib" || !is_top || named.contains(file), "the floor plan does not name `{file}`");
    }
}

/// Files that are tracked, or all where there is no repository, as in a package.
fn tracked() -> Vec<PathBuf> {
    let listed = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]).output();
    let mut files: Vec<PathBuf> = match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            String::from_utf8_lossy(&output.stdout).split_terminator('\0').map(|name| root().join(name)).collect()
        }
        _ => Vec::new(),
    };
    if files.is_empty() {
        walk(root(), &mut files);
    }
    files
}

#[test]
fn no_path_of_one_machine_is_in_the_tree() {
    // Not written out, or this file had them in it.
    let here = root().parent().unwrap_or(root()).to_string_lossy().into_owned();
    let paths = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat(), ["/tmp/ba", "sh_jobs"].concat(), here];
    let mut read = 0;
    for file in tracked() {
        // What is no text is a picture.
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        read += 1;
        for path in paths.iter().filter(|path| path.len() > 4) {
            assert!(!text.contains(path.as_str()), "{} has {path} in it", file.display());
        }
    }
    assert!(read > 30, "the files are found: {read}");
}

/// The macros refuse, when they are compiled, the names that would be refused when the server starts, and no others.
#[test]
fn the_macros_know_the_names_of_the_protocol() {
    use eventwire::protocol::{MAX_EVENT, MAX_ROOM, is_room_name};

    let text = std::fs::read_to_string(root().join("macros/src/names.rs")).unwrap();
    let constant = |name: &str| {
        let (_, rest) = text.split_once(&format!("const {name}: ")).unwrap_or_else(|| panic!("no {name}"));
        let (_, rest) = rest.split_once('=').unwrap();
        rest.split(";\n").next().unwrap().trim()
    };
    let reserved: Vec<&str> = constant("RESERVED").split('"').skip(1).step_by(2).collect();
    assert_eq!(reserved, eventwire::RESERVED);
    assert_eq!(constant("MAX_EVENT").parse(), Ok(MAX_EVENT));
    assert_eq!(constant("MAX_ROOM").parse(), Ok(MAX_ROOM));
    assert!(is_room_name(&"a".repeat(MAX_ROOM)) && !is_room_name(&"a".repeat(MAX_ROOM + 1)));
    let marks = constant("MARKS").trim_matches('"');
    for c in (0..=u32::from(u16::MAX)).filter_map(char::from_u32) {
        let is_known = c.is_ascii_alphanumeric() || marks.contains(c);
        assert_eq!(is_room_name(&c.to_string()), is_known, "{c:?} in a room's name");
    }
}

/// `eventwire` and its macros are one thing in two crates: only these two versions go together.
#[test]
fn a_crate_of_macros_is_pinned_to_the_same_version() {
    let manifest = manifest();
    let version = manifest["package"]["version"].as_str().unwrap();
    let depended = manifest["dependencies"].get("eventwire-macros");
    let Ok(macros) = std::fs::read_to_string(root().join("macros/Cargo.toml")) else {
        assert!(depended.is_none(), "there are no macros to depend on");
        return;
    };
    let macros: toml::Table = macros.parse().unwrap();
    let of_macros = &macros["package"]["version"];
    let inherited = of_macros.get("workspace").is_some();
    assert!(inherited || of_macros.as_str() == Some(version), "{of_macros} beside {version}");
    let pinned = depended.and_then(|dependency| dependency.get("version")).and_then(|version| version.as_str());
    assert_eq!(pinned, Some(format!("={version}").as_str()));
}
