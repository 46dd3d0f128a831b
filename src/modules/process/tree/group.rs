//! Where there is no walk over processes: the process group of the one that was started, and who stayed in it.

use rustix::process::{Pid, kill_process_group, test_kill_process_group};

use super::super::Signal;

/// Orphans are adopted on Linux only.
pub(crate) fn adopt_orphans() {}

pub(crate) struct Walk {
    /// `None` once nobody is in it: the number may be used again.
    group: Option<Pid>,
}

impl Walk {
    pub(crate) fn new(_run: &str, leader: Option<u32>) -> Walk {
        Walk { group: leader.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) }
    }

    pub(crate) fn leader_is_gone(&mut self) {}

    /// One where there is somebody: nobody counts them.
    pub(crate) fn look(&mut self) -> usize {
        self.group = self.group.filter(|group| test_kill_process_group(*group).is_ok());
        usize::from(self.group.is_some())
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        if let Some(group) = self.group {
            // It may have ended meanwhile.
            let _ = kill_process_group(group, signal.unix());
        }
    }

    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    pub(crate) fn end(&mut self) {
        self.kill();
    }
}
