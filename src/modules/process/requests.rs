//! What clients ask for. Each is answered at once; none waits for a child.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::invalid;
use super::processes::Shared;
use super::profile::Choices;
use super::{Command, Info, ProcessError, Processes, Rights, Run, Signal, check_id};
use crate::{Error, Result, Socket, code, gateway};

/// A longer grace is this one.
const LONGEST_GRACE: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    process_id: Option<String>,
    profile: Option<String>,
    params: Option<Map<String, Value>>,
    command: Option<Vec<String>>,
    cwd: Option<String>,
    env: Option<BTreeMap<String, String>>,
    #[serde(default)]
    input: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    process_id: String,
    run: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    process_id: String,
    data: String,
    enc: Option<Encoding>,
}

#[derive(Deserialize)]
enum Encoding {
    #[serde(rename = "b64")]
    Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Which {
    process_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Send {
    process_id: String,
    signal: Signal,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kill {
    process_id: String,
    grace_ms: Option<u64>,
}

/// The events of the module, for all sockets of an `Io`.
pub(super) struct Requests(pub(super) Arc<Shared>);

#[gateway]
impl Requests {
    #[on("process_start")]
    async fn start(&self, socket: Socket, start: Start) -> Result<Started> {
        let processes = self.processes(&socket);
        let id = match &start.process_id {
            Some(id) => id.clone(),
            None => new_id(),
        };
        let run = match (start.profile, start.command) {
            (Some(profile), None) => {
                self.demand(&socket, &id, Rights::START).await?;
                let choices = Choices { cwd: start.cwd, env: start.env.unwrap_or_default() };
                let params = start.params.map_or(Value::Null, Value::Object);
                blocking(move || processes.start_with(&id, &profile, params, choices)).await?
            }
            (None, Some(words)) => {
                self.demand(&socket, &id, Rights::COMMAND).await?;
                let command = free(words, start.cwd, start.env.unwrap_or_default(), start.input)?;
                blocking(move || processes.spawn(&id, command)).await?
            }
            (None, None) => return Err(invalid("profile", "there is neither a profile nor a command")),
            (Some(_), Some(_)) => return Err(invalid("command", "there is a profile as well")),
        };
        Ok(Started { process_id: run.id().to_owned(), run: run.run().to_owned() })
    }

    #[on("process_input")]
    async fn input(&self, socket: Socket, input: Input) -> Result<()> {
        self.demand(&socket, &input.process_id, Rights::WRITE).await?;
        let data = match input.enc {
            None => input.data.into_bytes(),
            Some(Encoding::Base64) => BASE64.decode(&input.data).map_err(|error| invalid("data", error))?,
        };
        Ok(self.processes(&socket).input(&input.process_id, data)?)
    }

    #[on("process_stdin_close")]
    async fn close_input(&self, socket: Socket, which: Which) -> Result<()> {
        self.demand(&socket, &which.process_id, Rights::WRITE).await?;
        Ok(self.processes(&socket).close_input(&which.process_id)?)
    }

    #[on("process_signal")]
    async fn signal(&self, socket: Socket, send: Send) -> Result<()> {
        self.demand(&socket, &send.process_id, Rights::SIGNAL).await?;
        Ok(self.processes(&socket).signal(&send.process_id, send.signal)?)
    }

    #[on("process_kill")]
    async fn kill(&self, socket: Socket, kill: Kill) -> Result<()> {
        self.demand(&socket, &kill.process_id, Rights::SIGNAL).await?;
        let grace = kill.grace_ms.map(|ms| Duration::from_millis(ms).min(LONGEST_GRACE));
        Ok(self.processes(&socket).end(&kill.process_id, grace)?)
    }

    #[on("process_list")]
    async fn list(&self, socket: Socket, _whatever: IgnoredAny) -> Result<Vec<Info>> {
        let Some(rule) = &self.0.settings.rule else { return Err(refused()) };
        let mut list = Vec::new();
        for info in self.processes(&socket).list() {
            if rule.rights(&socket, &info.process_id).await.contains(Rights::VIEW) {
                list.push(info);
            }
        }
        Ok(list)
    }

    fn processes(&self, socket: &Socket) -> Processes {
        Processes { io: socket.io().clone(), shared: self.0.clone() }
    }

    /// Asks for rights before anything else is looked at: whoever has none does not learn what runs.
    async fn demand(&self, socket: &Socket, id: &str, rights: Rights) -> Result<()> {
        check_id(id)?;
        let Some(rule) = &self.0.settings.rule else { return Err(refused()) };
        let has = rule.rights(socket, id).await.contains(rights);
        if has { Ok(()) } else { Err(refused()) }
    }
}

/// Sixteen hexadecimal digits.
fn new_id() -> String {
    let mut id = uuid::Uuid::new_v4().simple().to_string();
    id.truncate(16);
    id
}

/// Starts one on a thread that may block: to look at directories may take long, as where they are on the network.
async fn blocking<F>(start: F) -> Result<Run>
where
    F: FnOnce() -> Result<Run, ProcessError> + std::marker::Send + 'static,
{
    let started = tokio::task::spawn_blocking(start).await;
    Ok(started.map_err(|_| Error::new(code::INTERNAL, "it could not be started"))??)
}

fn refused() -> Error {
    Error::new(code::FORBIDDEN, "this is not for this socket")
}

/// A command of the client's own.
fn free(words: Vec<String>, cwd: Option<String>, env: BTreeMap<String, String>, input: bool) -> Result<Command> {
    if let Some(index) = words.iter().position(|word| word.contains('\0')) {
        return Err(invalid(&format!("command[{index}]"), "a NUL byte"));
    }
    let mut words = words.into_iter();
    let program = words.next().filter(|program| !program.is_empty());
    let program = program.ok_or_else(|| invalid("command", "there is no program"))?;
    let mut command = Command::new(program).args(words);
    if let Some(cwd) = cwd {
        command = command.cwd(cwd);
    }
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(invalid(&format!("env.{name}"), "no variable can be called so, or have such a value"));
        }
        command = command.env(name, value);
    }
    Ok(if input { command.input() } else { command })
}
