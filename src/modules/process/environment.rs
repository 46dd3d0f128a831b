//! What of the server's environment a process gets.

use std::ffi::{OsStr, OsString};

/// Places, language, time and terminal. Not in it: keys, tokens, addresses with passwords in them, and whatever else an
/// operator gives a server this way. The last three are where a Rust toolchain is, without which `cargo` finds none.
const KEPT: [&str; 15] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TERM",
    "COLORTERM",
    "TZ",
    "TMPDIR",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
];

/// The server's variables that a process gets, and those that are set for it.
#[derive(Clone, Debug)]
pub(super) struct Environment {
    kept: Kept,
    set: Vec<(OsString, OsString)>,
}

#[derive(Clone, Debug)]
enum Kept {
    All,
    /// Names, or the beginning of names and `*`.
    Only(Vec<String>),
}

impl Default for Environment {
    fn default() -> Environment {
        Environment { kept: Kept::Only(KEPT.map(String::from).into()), set: Vec::new() }
    }
}

impl Environment {
    pub(super) fn keep_all(&mut self) {
        self.kept = Kept::All;
    }

    pub(super) fn keep_none(&mut self) {
        self.kept = Kept::Only(Vec::new());
    }

    pub(super) fn keep(&mut self, names: impl IntoIterator<Item = String>) {
        if let Kept::Only(kept) = &mut self.kept {
            kept.extend(names);
        }
    }

    pub(super) fn set(&mut self, name: OsString, value: OsString) {
        self.set.push((name, value));
    }

    /// What was set last under a name.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.set.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }

    fn keeps(&self, name: &OsStr) -> bool {
        let Kept::Only(kept) = &self.kept else { return true };
        kept.iter().any(|kept| match kept.strip_suffix('*') {
            Some(beginning) => name.as_encoded_bytes().starts_with(beginning.as_bytes()),
            None => name == kept.as_str(),
        })
    }

    /// Takes away one by one what is not kept: a cleared environment would cost the quick way to spawn.
    pub(super) fn apply(&self, command: &mut tokio::process::Command) {
        for (name, _) in std::env::vars_os().filter(|(name, _)| !self.keeps(name)) {
            command.env_remove(name);
        }
        command.envs(self.set.iter().map(|(name, value)| (name, value)));
    }
}
