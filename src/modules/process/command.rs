use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin};

use super::Limits;
use super::environment::Environment;
use crate::Pace;

/// How a process's output is cut into messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As it comes, and at once: prompts, progress bars and keystrokes are seen as they are written.
    #[default]
    Raw,
    /// Whole lines with their terminator, one or several a message. A line longer than 64 KiB comes in pieces of
    /// that; the last one comes without a terminator if it has none.
    Lines,
}

/// A program to be run, with its arguments and surroundings.
///
/// By default it gets no input, an [environment](Command::env_keep) without the server's secrets, and a process group of its
/// own.
///
/// ```
/// use std::time::Duration;
/// use eventwire::process::{Command, Limits, Mode};
///
/// let build = Command::new("cargo")
///     .args(["build", "--release"])
///     .cwd("/srv/project")
///     .env("CARGO_TERM_COLOR", "always")
///     .mode(Mode::Lines)
///     .limits(Limits::new().memory(4 << 30))
///     .time_limit(Duration::from_secs(600));
/// ```
#[derive(Clone, Debug)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    cwd: Option<PathBuf>,
    /// Keeps the directory open that `cwd` names by its descriptor.
    held: Option<Arc<File>>,
    environment: Environment,
    input: bool,
    merge: bool,
    mode: Mode,
    limits: Limits,
    time_limit: Option<Duration>,
    grace: Duration,
    pause: Option<Pace>,
}

impl Command {
    /// A program, looked up in `PATH` where it has no slash.
    pub fn new(program: impl Into<OsString>) -> Command {
        Command {
            program: program.into(),
            args: Vec::new(),
            cwd: None,
            held: None,
            environment: Environment::default(),
            input: false,
            merge: false,
            mode: Mode::Raw,
            limits: Limits::default(),
            time_limit: None,
            grace: Duration::from_secs(2),
            pause: None,
        }
    }

    /// A line for `sh -c`. It must not hold anything that a client has sent.
    pub fn shell(line: impl Into<OsString>) -> Command {
        Command::new("sh").arg("-c").arg(line)
    }

    /// One more argument, passed as it is.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Command {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Command {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The directory in which it runs. Default: the server's.
    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Command {
        self.cwd = Some(cwd.into());
        self.held = None;
        self
    }

    // ---- environment

    /// A variable of its environment, beside those that it has of the server's.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Command {
        self.environment.set(name.into(), value.into());
        self
    }

    /// Variables that it gets as the server has them, beside those that it gets by default: `PATH`, `HOME`, `USER`, `LOGNAME`,
    /// `SHELL`, `LANG`, `LANGUAGE`, `LC_*`, `TERM`, `COLORTERM`, `TZ`, `TMPDIR`, `CARGO_HOME`, `RUSTUP_HOME`,
    /// `RUSTUP_TOOLCHAIN`. A name that ends in `*` is the beginning of names.
    #[must_use]
    pub fn env_keep<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Command {
        self.environment.keep(names.into_iter().map(Into::into));
        self
    }

    /// It gets no variable of the server's, not even `PATH`, but what [`env_keep`](Command::env_keep) names hereafter.
    #[must_use]
    pub fn env_clear(mut self) -> Command {
        self.environment.keep_none();
        self
    }

    /// It gets all variables of the server's, secrets among them.
    #[must_use]
    pub fn inherit_env(mut self) -> Command {
        self.environment.keep_all();
        self
    }

    // ---- input and output

    /// Its input stays open for [`Processes::input`](super::Processes::input) and the clients' `process_input`, until it is closed.
    /// Default: none; it reads the end at once.
    #[must_use]
    pub fn input(self) -> Command {
        Command { input: true, ..self }
    }

    /// Standard output and standard error go into one pipe, so that their order is kept; all of it is told as `stdout`.
    #[must_use]
    pub fn merge(self) -> Command {
        Command { merge: true, ..self }
    }

    /// How its output is cut into messages. Default [`Mode::Raw`].
    #[must_use]
    pub fn mode(self, mode: Mode) -> Command {
        Command { mode, ..self }
    }

    /// Its output is read no faster than its slowest viewer takes it, in place of what the
    /// [settings](super::Settings::pause) say.
    #[must_use]
    pub fn pause(self, pace: Pace) -> Command {
        Command { pause: Some(pace), ..self }
    }

    // ---- ends

    /// What the kernel lets it have. Default: as the server.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Command {
        Command { limits, ..self }
    }

    /// How long it may run. Then it is ended as by [`kill`](super::Processes::kill), and its last status has
    /// `"reason": "time limit"`. Default: for ever.
    #[must_use]
    pub fn time_limit(self, time: Duration) -> Command {
        Command { time_limit: Some(time), ..self }
    }

    /// How long it and what it has started may take to end after SIGTERM, where who ends it does not say. Default 2 s.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Command {
        Command { grace, ..self }
    }

    // ---- for the rest of the module

    pub(super) fn working_directory(&self) -> Option<&Path> {
        self.cwd.as_deref()
    }

    /// Whether where it runs decides which program that is.
    pub(super) fn is_relative(&self) -> bool {
        Path::new(&self.program).is_relative() && self.program.as_encoded_bytes().contains(&b'/')
    }

    /// It runs in a directory that is open, and in no other that has its name by then.
    #[cfg(target_os = "linux")]
    pub(super) fn cwd_held(mut self, directory: File) -> Command {
        // The child has the descriptor as well, until it becomes the program.
        self.cwd = Some(named(&directory));
        self.held = Some(Arc::new(directory));
        self
    }

    /// What concerns its output and its end.
    pub(super) fn manner(&self) -> Manner {
        Manner { mode: self.mode, pause: self.pause, time_limit: self.time_limit, grace: self.grace }
    }

    /// Starts it with one more variable.
    pub(super) fn spawn(self, mark: (&str, &str)) -> Result<Started, NotStarted> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.args).kill_on_drop(true).process_group(0);
        self.environment.apply(&mut command);
        command.env(mark.0, mark.1);
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        self.limits.apply(&mut command);
        command.stdin(if self.input { Stdio::piped() } else { Stdio::null() });
        let merged = if self.merge {
            let (reader, writer) = io::pipe()?;
            command.stdout(writer.try_clone()?).stderr(writer);
            Some(pipe::Receiver::from_owned_fd(reader.into())?)
        } else {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            None
        };
        let mut child = command.spawn().map_err(|error| self.explained(error))?;
        let stdin = child.stdin.take();
        let stdout = match merged {
            Some(merged) => Some(boxed(merged)),
            None => child.stdout.take().map(boxed),
        };
        let stderr = child.stderr.take().map(boxed);
        Ok(Started { child, stdin, stdout, stderr })
    }

    /// The kernel says `No such file or directory` of a program, its interpreter and its directory alike. Clients learn
    /// which it was, and no path of the server's.
    fn explained(&self, error: io::Error) -> NotStarted {
        let program = Path::new(&self.program);
        if let Some(cwd) = self.cwd.as_deref().filter(|cwd| !cwd.is_dir()) {
            let detail = format!("its directory `{}` was not found: {error}", cwd.display());
            return NotStarted { reason: format!("its directory was not found: {error}"), detail };
        }
        let found = self.found();
        let what = match &found {
            None => " was not found",
            Some(path) if path.is_dir() => " is a directory",
            Some(path) if !is_executable(path) => " may not be executed",
            Some(_) if error.kind() == io::ErrorKind::NotFound => " has an interpreter that was not found",
            Some(_) => "",
        };
        let name = Path::new(program.file_name().unwrap_or_default()).display();
        let path = found.as_deref().unwrap_or(program).display();
        NotStarted { reason: format!("`{name}`{what}: {error}"), detail: format!("`{path}`{what}: {error}") }
    }

    /// Where the program is.
    fn found(&self) -> Option<PathBuf> {
        let program = Path::new(&self.program);
        if self.program.as_encoded_bytes().contains(&b'/') {
            let path = self.cwd.as_deref().unwrap_or(Path::new("")).join(program);
            return path.exists().then_some(path);
        }
        let path = self.environment.get("PATH").map(OsStr::to_owned).or_else(|| std::env::var_os("PATH"))?;
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
    }
}

/// By what name an open file can be reached, in this process and in one that it forks.
#[cfg(target_os = "linux")]
pub(super) fn named(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

/// What of a [`Command`] matters while it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) mode: Mode,
    pub(super) pause: Option<Pace>,
    pub(super) time_limit: Option<Duration>,
    pub(super) grace: Duration,
}

/// Why a program could not be started.
pub(super) struct NotStarted {
    /// As clients are told.
    pub(super) reason: String,
    /// With the server's paths.
    pub(super) detail: String,
}

impl From<io::Error> for NotStarted {
    /// One of the server's own, such as that there are no descriptors left.
    fn from(error: io::Error) -> NotStarted {
        NotStarted { reason: error.to_string(), detail: error.to_string() }
    }
}

pub(super) type Pipe = Box<dyn AsyncRead + Send + Unpin>;

/// A process that has begun, and the ends of its pipes.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Option<Pipe>,
    pub(super) stderr: Option<Pipe>,
}

fn boxed(pipe: impl AsyncRead + Send + Unpin + 'static) -> Pipe {
    Box::new(pipe)
}
