use std::fmt;
use std::str::FromStr;

use rustix::process::Signal as Unix;
use serde::de::{Deserialize, Deserializer, Error as _};

/// A signal, by its name: `SIGTERM`.
///
/// What the server ignores, its processes ignore from their beginning: SIGHUP where it was started by `nohup`, SIGINT where a
/// shell's script has put it into the background.
///
/// ```
/// use eventwire::process::Signal;
///
/// let signal: Signal = "SIGHUP".parse()?;
/// assert_eq!(signal, Signal::HUP);
/// assert_eq!(signal.to_string(), "SIGHUP");
/// assert!("HUP".parse::<Signal>().is_err());
/// # Ok::<(), eventwire::process::UnknownSignal>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signal(Unix);

/// All that have a name, in the order of Linux's numbers (signal(7)).
const NAMES: &[(&str, Unix)] = &[
    ("SIGHUP", Unix::HUP),
    ("SIGINT", Unix::INT),
    ("SIGQUIT", Unix::QUIT),
    ("SIGILL", Unix::ILL),
    ("SIGTRAP", Unix::TRAP),
    ("SIGABRT", Unix::ABORT),
    ("SIGBUS", Unix::BUS),
    ("SIGFPE", Unix::FPE),
    ("SIGKILL", Unix::KILL),
    ("SIGUSR1", Unix::USR1),
    ("SIGSEGV", Unix::SEGV),
    ("SIGUSR2", Unix::USR2),
    ("SIGPIPE", Unix::PIPE),
    ("SIGALRM", Unix::ALARM),
    ("SIGTERM", Unix::TERM),
    #[cfg(target_os = "linux")]
    ("SIGSTKFLT", Unix::STKFLT),
    ("SIGCHLD", Unix::CHILD),
    ("SIGCONT", Unix::CONT),
    ("SIGSTOP", Unix::STOP),
    ("SIGTSTP", Unix::TSTP),
    ("SIGTTIN", Unix::TTIN),
    ("SIGTTOU", Unix::TTOU),
    ("SIGURG", Unix::URG),
    ("SIGXCPU", Unix::XCPU),
    ("SIGXFSZ", Unix::XFSZ),
    ("SIGVTALRM", Unix::VTALARM),
    ("SIGPROF", Unix::PROF),
    ("SIGWINCH", Unix::WINCH),
    ("SIGIO", Unix::IO),
    #[cfg(target_os = "linux")]
    ("SIGPWR", Unix::POWER),
    ("SIGSYS", Unix::SYS),
];

impl Signal {
    /// Asks it to reload, mostly.
    pub const HUP: Signal = Signal(Unix::HUP);
    /// As Ctrl-C does.
    pub const INT: Signal = Signal(Unix::INT);
    /// Asks it to end.
    pub const TERM: Signal = Signal(Unix::TERM);
    /// Ends it.
    pub const KILL: Signal = Signal(Unix::KILL);
    /// Stops it until [`CONT`](Signal::CONT).
    pub const STOP: Signal = Signal(Unix::STOP);
    /// Lets it go on.
    pub const CONT: Signal = Signal(Unix::CONT);
    /// The first that means what the program says.
    pub const USR1: Signal = Signal(Unix::USR1);
    /// The second.
    pub const USR2: Signal = Signal(Unix::USR2);

    pub(super) fn unix(self) -> Unix {
        self.0
    }
}

/// The name of a signal that ended a process.
pub(super) fn name(raw: i32) -> String {
    let named = NAMES.iter().find(|(_, signal)| signal.as_raw() == raw);
    named.map_or_else(|| format!("signal {raw}"), |(name, _)| (*name).to_owned())
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(self.0.as_raw()))
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;
    fn from_str(text: &str) -> Result<Signal, UnknownSignal> {
        let named = NAMES.iter().find(|(name, _)| *name == text);
        named.map(|(_, signal)| Signal(*signal)).ok_or(UnknownSignal)
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Signal, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// No signal is called so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSignal;

impl fmt::Display for UnknownSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the name of a signal, such as `SIGTERM`")
    }
}

impl std::error::Error for UnknownSignal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_those_of_the_system() {
        for (raw, expected) in [(1, "SIGHUP"), (2, "SIGINT"), (9, "SIGKILL"), (11, "SIGSEGV"), (15, "SIGTERM")] {
            assert_eq!(name(raw), expected);
        }
        assert_eq!(name(64), "signal 64", "a real-time signal has a number only");
        for bad in ["", "KILL", "sigterm", "SIG", "SIGKILL ", "9", "SIGRTMIN"] {
            assert_eq!(bad.parse::<Signal>(), Err(UnknownSignal), "{bad:?}");
        }
        assert!(NAMES.iter().all(|(name, signal)| name.parse::<Signal>() == Ok(Signal(*signal))));
    }
}
