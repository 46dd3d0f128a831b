use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Child;

/// A program to be run, with its arguments and surroundings.
///
/// It gets no input, and a process group of its own, so that what it starts can be ended with it.
#[derive(Clone, Debug)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    cwd: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
}

impl Command {
    /// A program, looked up in `PATH` where it has no slash.
    pub fn new(program: impl Into<OsString>) -> Command {
        Command { program: program.into(), args: Vec::new(), cwd: None, env: Vec::new() }
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
        self
    }

    /// A variable of its environment, beside those of the server's.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Command {
        self.env.push((name.into(), value.into()));
        self
    }

    pub(super) fn spawn(self) -> io::Result<Child> {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(self.args)
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        if let Some(cwd) = self.cwd {
            command.current_dir(cwd);
        }
        command.spawn()
    }
}
