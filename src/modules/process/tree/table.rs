//! What the kernel tells of all processes (proc(5)).

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A process, as `/proc/PID/stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// When it began, in ticks since the machine did: with the pid, a name that is not used again.
    pub(super) start: u64,
    /// It has ended, and has not been awaited.
    pub(super) is_dead: bool,
}

pub(super) type Table = HashMap<i32, Entry>;

/// All processes there are. Those that begin or end meanwhile may be in it or not.
///
/// Of many who ask at once, each is given what was read after it had asked, and few read.
pub(super) fn read() -> Arc<Table> {
    // Held while it is read: there is nothing else to be done with it. Reading takes some 20 µs a process.
    static LATEST: Mutex<Option<(Instant, Arc<Table>)>> = Mutex::new(None);
    let asked = Instant::now();
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((begun, table)) = &*latest
        && *begun > asked
    {
        return table.clone();
    }
    let (begun, table) = (Instant::now(), Arc::new(scan()));
    *latest = Some((begun, table.clone()));
    table
}

fn scan() -> Table {
    let Ok(folder) = std::fs::read_dir("/proc") else { return Table::new() };
    let pids = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, entry(pid)?))).collect()
}

pub(super) fn entry(pid: i32) -> Option<Entry> {
    // A name has at most 64 bytes, and fifty numbers at most 20 each.
    let mut buffer = [0; 1200];
    let length = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut buffer)).ok()?;
    parse(&buffer[..length])
}

fn parse(stat: &[u8]) -> Option<Entry> {
    // The name stands in parentheses and may have any in itself.
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(&stat[name_end + 1..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    // Field 22; the session was field 6.
    let start = fields.nth(15)?.parse().ok()?;
    Some(Entry { parent, group, session, start, is_dead: matches!(state, "Z" | "X") })
}

/// Whether a process was given, when its program began, a variable of this name with this word in it.
pub(super) fn has_mark(pid: i32, name: &str, word: &str) -> bool {
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    environment
        .split(|&byte| byte == 0)
        .filter_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .any(|value| value.split(|&byte| byte == b' ').any(|known| known == word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_it_is_read_whatever_the_name() {
        let rest = "S 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 0 0";
        let expected = Entry { parent: 7, group: 42, session: 41, start: 123_456, is_dead: false };
        for name in ["sh", "a) S 1 1 (b", "x y", ""] {
            assert_eq!(parse(format!("42 ({name}) {rest}").as_bytes()), Some(expected), "{name}");
        }
        assert!(parse(b"42 (sh) Z 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5 0 0").is_some_and(|e| e.is_dead));
        assert_eq!(parse(b"42 (sh) S 7"), None);
    }

    #[test]
    fn this_process_is_in_it() {
        let table = read();
        let own = table[&(std::process::id() as i32)];
        assert!(!own.is_dead && table.contains_key(&own.parent) && own.start > 0);
        assert!(has_mark(std::process::id() as i32, "PATH", &std::env::var("PATH").unwrap()));
    }
}
