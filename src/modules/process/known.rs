//! What is kept of processes: those that run, those that have ended of late, and those that the application tells of.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::input::Input;
use super::{Info, ProcessError, Settings, Signal, Status, now_ms};

/// By their ids.
#[derive(Debug, Default)]
pub(super) struct Registry {
    // A std mutex: held for a look-up.
    known: Mutex<HashMap<String, Known>>,
}

/// What is kept of one.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) run: String,
    pub(super) profile: Option<String>,
    pub(super) status: Status,
    pub(super) reason: Option<String>,
    /// How many bytes it has written.
    pub(super) off: u64,
    started_at: u64,
    started: Instant,
    pub(super) duration: Option<Duration>,
    /// Reaches its task. `None` where it runs elsewhere.
    pub(super) reins: Option<Reins>,
    /// Whether somebody whom it has left behind lives.
    pub(super) leaves: bool,
    /// `None` where it reads none, or no more.
    pub(super) input: Option<Input>,
    /// Whose turn it is to tell of this id, in this run or another: what is told arrives in the order in which it
    /// was counted. Locked before the registry, never across an await.
    pub(super) turn: Arc<Mutex<()>>,
}

/// How a run's task is told what others want of it.
#[derive(Debug)]
pub(super) struct Reins {
    /// By when it is to end.
    pub(super) end: watch::Sender<Option<tokio::time::Instant>>,
    /// How long it has for that, where nobody says.
    pub(super) grace: Duration,
    /// Its process group, and the process that leads it: from its start until that has been awaited.
    pub(super) group: Option<u32>,
}

impl Known {
    fn new(turn: Arc<Mutex<()>>) -> Known {
        Known {
            run: uuid::Uuid::new_v4().to_string(),
            profile: None,
            status: Status::Running,
            reason: None,
            off: 0,
            started_at: now_ms(),
            started: Instant::now(),
            duration: None,
            reins: None,
            leaves: false,
            input: None,
            turn,
        }
    }

    fn runs_here(&self) -> bool {
        self.reins.is_some() && !self.status.is_end()
    }

    /// How it is ended, as long as there is somebody to end.
    pub(super) fn reins(&self) -> Option<&Reins> {
        self.reins.as_ref().filter(|_| self.leaves || !self.status.is_end())
    }

    /// The process itself has been awaited. From here on the number of its group may be used again.
    pub(super) fn is_awaited(&mut self) {
        self.stop_the_clock();
        if let Some(reins) = &mut self.reins {
            reins.group = None;
        }
    }

    /// How long it ran is how long until it ended, whatever came after.
    pub(super) fn stop_the_clock(&mut self) {
        self.duration.get_or_insert_with(|| self.started.elapsed());
    }

    fn ended_at(&self) -> Option<Instant> {
        // Those left behind can be ended as long as it is listed: it is listed as long as there are any.
        self.duration.filter(|_| self.status.is_end() && !self.leaves).map(|duration| self.started + duration)
    }

    fn info(&self, id: &str) -> Info {
        Info {
            process_id: id.to_owned(),
            run: self.run.clone(),
            profile: self.profile.clone(),
            status: self.status.clone(),
            reason: self.reason.as_deref().or(self.status.reason()).map(str::to_owned),
            started_at: self.started_at,
            duration_ms: self.duration.map(|duration| duration.as_millis() as u64),
            bytes: self.off,
        }
    }
}

impl Registry {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an id for a process that is to be started here, if as many as run leave a place. Returns the name of its run.
    pub(super) fn begin(
        &self,
        id: &str,
        is_full: impl FnOnce(usize) -> bool,
        prepare: impl FnOnce(&mut Known),
    ) -> Result<String, ProcessError> {
        let mut known = self.lock();
        let before = known.get(id);
        if before.is_some_and(|known| !known.status.is_end()) {
            return Err(ProcessError::AlreadyRunning);
        }
        if is_full(known.values().filter(|known| known.runs_here()).count()) {
            return Err(ProcessError::TooMany);
        }
        let mut new = Known::new(before.map(|known| known.turn.clone()).unwrap_or_default());
        prepare(&mut new);
        let run = new.run.clone();
        known.insert(id.to_owned(), new);
        Ok(run)
    }

    /// One that the application tells of: the first word of it begins a run, and so does `Running` after an end.
    pub(super) fn told(&self, id: &str, begins: bool) {
        let mut known = self.lock();
        let before = known.get(id);
        if before.is_none_or(|known| known.status.is_end() && begins) {
            let turn = before.map(|known| known.turn.clone()).unwrap_or_default();
            known.insert(id.to_owned(), Known::new(turn));
        }
    }

    /// Does something with a process that runs here.
    pub(super) fn running<R>(&self, id: &str, f: impl FnOnce(&mut Known) -> R) -> Result<R, ProcessError> {
        self.lock().get_mut(id).filter(|known| known.runs_here()).map(f).ok_or(ProcessError::NotRunning)
    }

    /// Does something with a run, if it is still the one of its id.
    pub(super) fn of_run<R>(&self, id: &str, run: &str, f: impl FnOnce(&mut Known) -> R) -> Option<R> {
        self.lock().get_mut(id).filter(|known| known.run == run).map(f)
    }

    pub(super) fn signal(&self, id: &str, signal: Signal) -> Result<(), ProcessError> {
        // Under the lock: once it has been awaited, its group may be that of another.
        self.running(id, |known| {
            let group = known.reins.as_ref().and_then(|reins| reins.group).and_then(|pid| i32::try_from(pid).ok());
            let group = group.and_then(rustix::process::Pid::from_raw).ok_or(ProcessError::NotRunning)?;
            // It may have ended this moment.
            let _ = rustix::process::kill_process_group(group, signal.unix());
            Ok(())
        })?
    }

    pub(super) fn list(&self) -> Vec<Info> {
        let mut list: Vec<Info> = self.lock().iter().map(|(id, known)| known.info(id)).collect();
        list.sort_by(|a, b| (a.started_at, &a.process_id).cmp(&(b.started_at, &b.process_id)));
        list
    }

    /// Takes those out that have ended and are no longer to be told: the oldest above the number, and those whose time
    /// is up. Returns their ids.
    pub(super) fn expire(&self, settings: &Settings) -> Vec<String> {
        let mut known = self.lock();
        let mut ended: Vec<_> =
            known.iter().filter_map(|(id, known)| known.ended_at().map(|at| (at, id.clone()))).collect();
        ended.sort();
        let surplus = ended.len().saturating_sub(settings.keep);
        let is_over = |at: &Instant| at.elapsed() >= settings.keep_for;
        let expired = ended.into_iter().enumerate().filter(|(index, (at, _))| *index < surplus || is_over(at));
        let ids: Vec<String> = expired.map(|(_, (_, id))| id).collect();
        for id in &ids {
            known.remove(id);
        }
        ids
    }
}
