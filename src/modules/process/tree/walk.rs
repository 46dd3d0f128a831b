//! Who belongs to a run, on Linux, and how all of them are reached.
//!
//! The server is the reaper of orphans: whoever loses its parent becomes its child, so that everyone whom a run has
//! started stays its descendant, in whatever group or session. One that was orphaned is told by its group or session,
//! by having been seen before, or by the mark in its environment.

use std::collections::HashMap;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper, waitpid,
};

use super::super::Signal;
use super::MARK;
use super::table::{self, Entry, Table};

/// How often those who have come meanwhile are looked for, before the others are killed. A fork bomb is met again by
/// the next kill.
const ROUNDS: usize = 100;

/// How long [`end`](Walk::end) waits for those it has killed.
const END: Duration = Duration::from_millis(100);

/// Makes this process the parent of all orphans among its descendants.
pub(crate) fn adopt_orphans() {
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        tracing::warn!(%error, "orphans of processes are not adopted: some may survive a kill");
    }
}

pub(crate) struct Walk {
    run: String,
    /// Whose group and session are the run's. `None` once nobody is in them: the number may be used again.
    leader: Option<i32>,
    /// Whether somebody else waits for the leader's end.
    is_leader_awaited: bool,
    /// Everyone who was seen and is not gone.
    members: HashMap<i32, Member>,
}

/// It holds no handle of the kernel's: a run of thousands would take all the server's descriptors.
struct Member {
    /// With the pid, it names this very process.
    start: u64,
    is_dead: bool,
    is_stopped: bool,
}

impl Walk {
    pub(crate) fn new(run: &str, leader: Option<u32>) -> Walk {
        let leader = leader.and_then(|pid| i32::try_from(pid).ok());
        Walk { run: run.to_owned(), leader, is_leader_awaited: true, members: HashMap::new() }
    }

    pub(crate) fn leader_is_gone(&mut self) {
        self.is_leader_awaited = false;
    }

    /// Finds everyone, awaits those who died as children of this process, and tells how many are left.
    pub(crate) fn look(&mut self) -> usize {
        let table = table::read();
        let own = getpid().as_raw_pid();
        let found = self.find(&table, own);
        self.members.retain(|pid, member| table.get(pid).is_some_and(|entry| entry.start == member.start));
        for (pid, entry) in found {
            let is_awaited = self.is_leader_awaited && Some(pid) == self.leader;
            if entry.is_dead && entry.parent == own && !is_awaited {
                // This one and no other: the rest is awaited by whoever has started it.
                let _ = Pid::from_raw(pid).map(|pid| waitpid(Some(pid), WaitOptions::NOHANG));
                self.members.remove(&pid);
                continue;
            }
            let new = Member { start: entry.start, is_dead: false, is_stopped: false };
            self.members.entry(pid).or_insert(new).is_dead = entry.is_dead;
        }
        if !self.is_leader_awaited
            && let Some(leader) = self.leader
            && !table.values().any(|entry| entry.group == leader || entry.session == leader)
        {
            self.leader = None;
        }
        // The dead as well, until they have been awaited: their parent may end next, and leave that to us.
        self.members.len()
    }

    /// Those alive, parents first: nobody sees its child end and draws its own conclusions before it is told itself.
    fn alive(&mut self) -> Vec<(i32, &mut Member)> {
        let leader = self.leader;
        let alive = self.members.iter_mut().filter(|(_, member)| !member.is_dead);
        let mut alive: Vec<_> = alive.map(|(pid, member)| (*pid, member)).collect();
        // Times are told in ticks of 10 ms, and pids begin anew some day.
        alive.sort_by_key(|(pid, member)| (Some(*pid) != leader, member.start, *pid));
        alive
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        self.look();
        self.alive().iter().for_each(|(pid, member)| member.signal(*pid, signal));
    }

    /// Stops everyone before anyone is killed: nobody starts another or loses its parent meanwhile.
    pub(crate) fn kill(&mut self) {
        for _ in 0..ROUNDS {
            self.look();
            let mut is_new = false;
            for (pid, member) in self.alive().into_iter().filter(|(_, member)| !member.is_stopped) {
                member.signal(pid, Signal::STOP);
                (member.is_stopped, is_new) = (true, true);
            }
            if !is_new {
                break;
            }
        }
        self.alive().iter().for_each(|(pid, member)| member.signal(*pid, Signal::KILL));
    }

    /// Kills whoever is left, where nobody can await that.
    pub(crate) fn end(&mut self) {
        if self.leader.is_none() && self.members.is_empty() {
            return;
        }
        self.kill();
        let step = END / 50;
        // The leader is awaited by Tokio, or by nobody any more.
        for _ in 0..50 {
            let leader = self.leader.filter(|_| self.is_leader_awaited);
            self.look();
            if self.members.keys().all(|pid| Some(*pid) == leader) {
                return;
            }
            std::thread::sleep(step);
        }
    }

    /// Everyone of the run in the table.
    fn find(&self, table: &Table, own: i32) -> Vec<(i32, Entry)> {
        let mut known = HashMap::from([(own, false)]);
        let mut found = Vec::new();
        let mut way = Vec::new();
        for (&pid, &entry) in table {
            let mut at = pid;
            // Up to somebody of whom it is known.
            let belongs = loop {
                if let Some(&belongs) = known.get(&at) {
                    break belongs;
                }
                way.push(at);
                let Some(entry) = table.get(&at) else { break false };
                if self.is_member(at, entry, own) {
                    break true;
                }
                // A table that was read while things changed might have a ring in it.
                if entry.parent <= 1 || way.contains(&entry.parent) {
                    break false;
                }
                at = entry.parent;
            };
            // Only the one at which this ended is judged by itself; all below it follow.
            known.extend(way.drain(..).map(|pid| (pid, belongs)));
            if belongs {
                found.push((pid, entry));
            }
        }
        found
    }

    fn is_member(&self, pid: i32, entry: &Entry, own: i32) -> bool {
        let is_led = |leader| [pid, entry.group, entry.session].contains(&leader);
        self.leader.is_some_and(is_led)
            || self.members.get(&pid).is_some_and(|member| member.start == entry.start)
            // Others have a parent by which they are told.
            || (entry.parent == own && !entry.is_dead && table::has_mark(pid, MARK, &self.run))
    }
}

impl Member {
    /// It may have ended meanwhile, or may not be ours to signal: the next look tells.
    fn signal(&self, pid: i32, signal: Signal) {
        let Some(named) = Pid::from_raw(pid) else { return };
        // First the handle, then the look: if it has the pid now, it had it when the handle was made.
        let handle = pidfd_open(named, PidfdFlags::empty());
        if table::entry(pid).is_none_or(|entry| entry.start != self.start) {
            return;
        }
        let _ = match handle {
            Ok(handle) => pidfd_send_signal(handle, signal.unix()),
            // An old kernel, or no descriptor left.
            Err(_) => rustix::process::kill_process(named, signal.unix()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;

    #[test]
    fn the_number_of_a_leader_is_nobodys_once_it_was_awaited_and_its_group_is_empty() {
        let mut child = std::process::Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let mut walk = Walk::new("a run of which nobody has the mark", Some(child.id()));
        assert_eq!(walk.look(), 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(walk.look(), 0);
        assert!(walk.leader.is_some(), "as far as is known, somebody still waits for it");
        walk.leader_is_gone();
        assert_eq!((walk.look(), walk.leader), (0, None), "it may be another's from here on");
    }
}
