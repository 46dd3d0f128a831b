use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::input::InputLimits;
use super::profile::{Profile, Recipe};
use super::requests::Requests;
use super::rights::Rule;
use super::{Command, Processes, Rights, tree};
use crate::{Error, Gateway, History, Io, Module, Pace, Socket};

/// How the module works. `io.install(settings)` gives the [`Processes`].
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) drain: Duration,
    pub(super) pause: Option<Pace>,
    pub(super) max_running: usize,
    pub(super) keep: usize,
    pub(super) keep_for: Duration,
    pub(super) input: InputLimits,
    pub(super) profiles: HashMap<String, Recipe>,
    pub(super) rule: Option<Rule>,
    adopt_orphans: bool,
    history: Option<History>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            drain: Duration::from_millis(500),
            pause: None,
            max_running: 64,
            keep: 64,
            keep_for: Duration::from_secs(600),
            input: InputLimits { messages: 256, bytes: 1024 * 1024 },
            profiles: HashMap::new(),
            rule: None,
            adopt_orphans: true,
            history: Some(History::bytes(4 * 1024 * 1024).idle(Duration::from_secs(24 * 60 * 60))),
        }
    }
}

impl Settings {
    // ---- what clients may

    /// Says what a socket may do with the process of an id, whether there is one or not. It sets the rule of the rooms
    /// `process:*`, and is asked at each request of the module's.
    ///
    /// Without it, every such request is `forbidden`, and who may subscribe is left to the application's own rules.
    ///
    /// ```
    /// use eventwire::process::{Rights, Settings};
    ///
    /// let settings = Settings::default().rights(|socket, id| async move {
    ///     match socket.handshake().user() {
    ///         "admin" => Rights::ALL,
    ///         user if id.strip_prefix(user).is_some_and(|rest| rest.starts_with('-')) => Rights::ALL,
    ///         _ => Rights::VIEW,
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn rights<F, Fut>(self, rule: F) -> Settings
    where
        F: Fn(Socket, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Rights> + Send + 'static,
    {
        Settings { rule: Some(Rule::new(rule)), ..self }
    }

    /// A program that clients may start by this name, with the parameters that it lets them choose.
    ///
    /// ```
    /// use eventwire::process::{Param, Profile, Settings};
    ///
    /// let seq = Profile::new("seq").arg("1").param("n", Param::integer(1..=1_000_000));
    /// let settings = Settings::default().profile("seq", seq);
    /// ```
    #[must_use]
    pub fn profile(mut self, name: impl Into<String>, profile: impl Into<Profile>) -> Settings {
        self.profiles.insert(name.into(), Recipe::Profile(Box::new(profile.into())));
        self
    }

    /// The same, made by a function of the parameters, which has to check them: `Value::Null` where there are none. It must
    /// not block.
    #[must_use]
    pub fn profile_fn<F>(mut self, name: impl Into<String>, make: F) -> Settings
    where
        F: Fn(Value) -> Result<Command, Error> + Send + Sync + 'static,
    {
        self.profiles.insert(name.into(), Recipe::Function(Arc::new(make)));
        self
    }

    // ---- limits

    /// How many processes run at a time; one more is `busy`. Default 64. One that has ended counts as long as somebody
    /// lives whom it has left behind.
    #[must_use]
    pub fn max_running(self, count: usize) -> Settings {
        Settings { max_running: count, ..self }
    }

    /// How much input may wait for one process to read it, in messages and in bytes; more is `busy`. Default 256, and 1 MiB.
    #[must_use]
    pub fn input_queue(self, messages: usize, bytes: usize) -> Settings {
        Settings { input: InputLimits { messages, bytes }, ..self }
    }

    /// How many processes that have ended are still told by [`Processes::list`]. Default 64, beside those that have left
    /// somebody behind who lives.
    #[must_use]
    pub fn keep_ended(self, count: usize) -> Settings {
        Settings { keep: count, ..self }
    }

    /// How long they are. Default 10 minutes. They are forgotten when something else begins, ends or is listed.
    #[must_use]
    pub fn keep_ended_for(self, time: Duration) -> Settings {
        Settings { keep_for: time, ..self }
    }

    // ---- output and ends

    /// What is kept of each process's output and statuses, for those who come late or come back: the history of the rooms
    /// `process:*`, with that of earlier runs of the same id. Default 4 MiB each. It is forgotten with the process, when that is
    /// [no longer listed](Settings::keep_ended) and nobody watches it, and after [a day](History::idle) without a word
    /// from it or a viewer.
    #[must_use]
    pub fn history(self, history: History) -> Settings {
        Settings { history: Some(history), ..self }
    }

    /// Keeps nothing: who comes late sees what comes from then on, and a viewer that does not keep up is treated as
    /// [`Overflow`](crate::Overflow) says.
    #[must_use]
    pub fn no_history(self) -> Settings {
        Settings { history: None, ..self }
    }

    /// How long output is awaited after a process has ended. Default 500 ms: what it left behind may hold its
    /// output open for ever (`sleep 3 & echo hi` ends after 4 ms, its output after 3 s).
    #[must_use]
    pub fn drain(self, time: Duration) -> Settings {
        Settings { drain: time, ..self }
    }

    /// Output is read no faster than its slowest viewer takes it: for jobs of which nobody may miss a line. A command may
    /// have a [pause](Command::pause) of its own. Default: a process is never held up by who watches, and a viewer that
    /// lags by more than the history holds is told a `gap`.
    #[must_use]
    pub fn pause(self, pace: Pace) -> Settings {
        Settings { pause: Some(pace), ..self }
    }

    /// Whether this program adopts orphans among its descendants (Linux, `PR_SET_CHILD_SUBREAPER`). Default: yes, from the
    /// installation on and for as long as the program runs; without it, a kill misses those that have left their
    /// parent and its process group, as `setsid` in the background does.
    ///
    /// It holds for the whole program: orphans of children that are none of this module's become the program's as well, and
    /// it has to await them. Those of the module's are awaited here.
    #[must_use]
    pub fn adopt_orphans(self, adopt: bool) -> Settings {
        Settings { adopt_orphans: adopt, ..self }
    }
}

impl Module for Settings {
    type Handle = Processes;
    fn install(self, io: &Io) -> Processes {
        if self.adopt_orphans {
            tree::adopt_orphans();
        }
        if let Some(rule) = self.rule.clone() {
            io.rooms("process:*").allow_if(move |socket, room| {
                let rule = rule.clone();
                async move {
                    let id = room.strip_prefix("process:").unwrap_or_default();
                    rule.rights(&socket, id).await.contains(Rights::VIEW)
                }
            });
        }
        if let Some(history) = &self.history {
            io.rooms("process:*").history(history.clone());
        }
        let processes = Processes::new(io, self);
        // Not by `Io::gateway`: an application may take one of these events off and answer it by a gateway of its own.
        Arc::new(Requests(processes.shared.clone())).register(io);
        processes
    }
}
