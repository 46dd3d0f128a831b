use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
#[cfg(target_os = "linux")]
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Command;
#[cfg(target_os = "linux")]
use super::command::named;
use super::error::{forbidden, invalid};
use super::param::Param;
use crate::Result;

/// A program that clients may start, and what they may choose of it.
///
/// It is a [`Command`] with places for parameters. The value of each becomes one argument, or a part of one, passed
/// as it is; there is no shell between, and an unknown, missing or wrong parameter starts nothing.
///
/// ```
/// use eventwire::process::{Command, Limits, Mode, Param, Profile};
///
/// // rg --max-count=50 -- PATTERN, somewhere below /srv/projects
/// let search = Profile::from(Command::new("rg").mode(Mode::Lines).limits(Limits::new().cpu_seconds(30)))
///     .param("max", Param::integer(1..=1000).prefix("--max-count=").default(50))
///     .arg("--")
///     .param("pattern", Param::text(200))
///     .client_cwd("/srv/projects");
/// ```
#[derive(Clone, Debug)]
pub struct Profile {
    command: Command,
    places: Vec<Place>,
    root: Option<PathBuf>,
    env: BTreeSet<String>,
}

/// An argument.
#[derive(Clone, Debug)]
enum Place {
    Fixed(OsString),
    Param(String, Param),
}

impl From<Command> for Profile {
    /// What is added comes after the command's own arguments.
    fn from(command: Command) -> Profile {
        Profile { command, places: Vec::new(), root: None, env: BTreeSet::new() }
    }
}

impl Profile {
    /// A program, as [`Command::new`] takes it. A command with more to it becomes one by `Profile::from(command)`.
    pub fn new(program: impl Into<OsString>) -> Profile {
        Profile::from(Command::new(program))
    }

    /// One more argument that is always the same.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Profile {
        self.places.push(Place::Fixed(arg.into()));
        self
    }

    /// One more argument that the client chooses.
    ///
    /// # Panics
    /// When there is a parameter of this name.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, param: Param) -> Profile {
        let name = name.into();
        assert!(self.params().all(|(known, _)| known != name), "the parameter `{name}` is there already");
        self.places.push(Place::Param(name, param));
        self
    }

    /// Clients may choose the directory in which it runs: this one, which is the default, or one below it. A link that leads
    /// out of it is refused.
    ///
    /// On Linux, the server must be able to read the directory that is chosen; it is opened before it is judged, and the
    /// process runs in that one, whatever has its name by then.
    ///
    /// # Panics
    /// When the program is a relative path with a slash (`./run.sh`): whoever chooses the directory would choose the program.
    #[must_use]
    pub fn client_cwd(self, root: impl Into<PathBuf>) -> Profile {
        assert!(!self.command.is_relative(), "clients may not choose the directory of a program by a relative path");
        Profile { root: Some(root.into()), ..self }
    }

    /// Clients may set these variables of its environment, to any text.
    #[must_use]
    pub fn client_env<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Profile {
        self.env.extend(names.into_iter().map(Into::into));
        self
    }

    fn params(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.places.iter().filter_map(|place| match place {
            Place::Param(name, param) => Some((name.as_str(), param)),
            Place::Fixed(_) => None,
        })
    }

    fn command(&self, params: &Map<String, Value>, choices: Choices) -> Result<Command> {
        if let Some(unknown) = params.keys().find(|name| self.params().all(|(known, _)| known != *name)) {
            return Err(invalid(&format!("params.{unknown}"), "there is no such parameter"));
        }
        let mut command = self.command.clone();
        for place in &self.places {
            match place {
                Place::Fixed(arg) => command = command.arg(arg),
                Place::Param(name, param) => {
                    let value = params.get(name).filter(|value| !value.is_null());
                    let argument = param.argument(value);
                    let argument = argument.map_err(|problem| invalid(&format!("params.{name}"), problem))?;
                    command = command.args(argument);
                }
            }
        }
        command = self.directed(command, choices.cwd)?;
        for (name, value) in choices.env {
            if !self.env.contains(&name) {
                return Err(forbidden(&format!("env.{name}"), "this variable is not for clients"));
            }
            if value.contains('\0') {
                return Err(invalid(&format!("env.{name}"), "a NUL byte"));
            }
            command = command.env(name, value);
        }
        Ok(command)
    }

    /// Says where it runs.
    fn directed(&self, command: Command, chosen: Option<String>) -> Result<Command> {
        let Some(root) = &self.root else {
            return match chosen {
                Some(_) => Err(forbidden("cwd", "the directory is not for clients to choose")),
                None => Ok(command),
            };
        };
        let Some(chosen) = chosen else {
            let is_free = command.working_directory().is_none();
            return Ok(if is_free { command.cwd(root) } else { command });
        };
        // One answer for all that is no directory below it: nobody learns what lies elsewhere.
        below(command, root, &chosen)
            .ok_or_else(|| forbidden("cwd", "no directory below the one that clients may choose in"))
    }
}

/// Lets it run in a directory, if that is at or below the root.
#[cfg(target_os = "linux")]
fn below(command: Command, root: &Path, chosen: &str) -> Option<Command> {
    let root = root.canonicalize().ok()?;
    // With the dot, it is a directory or nothing: to open a pipe would wait for its other end.
    let directory = File::open(root.join(chosen).join(".")).ok()?;
    // Where it is, however its path is changed from here on.
    let is_below = named(&directory).read_link().ok()?.starts_with(&root);
    is_below.then(|| command.cwd_held(directory))
}

#[cfg(not(target_os = "linux"))]
fn below(command: Command, root: &Path, chosen: &str) -> Option<Command> {
    let root = root.canonicalize().ok()?;
    let directory = root.join(chosen).canonicalize().ok()?;
    (directory.starts_with(&root) && directory.is_dir()).then(|| command.cwd(directory))
}

/// What a client may choose beside the parameters, where the profile lets it.
#[derive(Debug, Default)]
pub(super) struct Choices {
    pub(super) cwd: Option<String>,
    pub(super) env: BTreeMap<String, String>,
}

/// How a profile makes its commands.
#[derive(Clone)]
pub(super) enum Recipe {
    Profile(Box<Profile>),
    Function(Arc<dyn Fn(Value) -> Result<Command> + Send + Sync>),
}

impl Recipe {
    pub(super) fn command(&self, params: Value, choices: Choices) -> Result<Command> {
        match self {
            Recipe::Profile(profile) => match params {
                Value::Object(params) => profile.command(&params, choices),
                Value::Null => profile.command(&Map::new(), choices),
                _ => Err(invalid("params", "not an object")),
            },
            Recipe::Function(_) if choices.cwd.is_some() => Err(forbidden("cwd", "not for clients to choose")),
            Recipe::Function(_) if !choices.env.is_empty() => Err(forbidden("env", "not for clients to choose")),
            Recipe::Function(make) => make(params),
        }
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recipe::Profile(profile) => profile.fmt(f),
            Recipe::Function(_) => f.write_str("Function"),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn it_runs_in_the_directory_that_was_judged() {
        let folder = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        let (root, outside) = (folder.join("root"), folder.join("outside"));
        std::fs::create_dir_all(root.join("a")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        let root = root.canonicalize().unwrap();
        let command = below(Command::new("pwd").arg("-P"), &root, "a").unwrap();
        // Between the check and the start.
        std::fs::rename(root.join("a"), root.join("b")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("a")).unwrap();
        let started = command.spawn(("MARK", "")).ok().unwrap();
        let mut printed = String::new();
        started.stdout.unwrap().read_to_string(&mut printed).await.unwrap();
        assert_eq!(printed, format!("{}\n", root.join("b").display()));
        assert!(below(Command::new("pwd"), &root, "a").is_none(), "it leads out by now");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
