//! The tasks that a socket's handlers run in.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

/// How long a cancelled handler may take to notice.
const CANCEL_LIMIT: Duration = Duration::from_millis(50);

/// The tasks in which a socket's handlers run.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<TasksState>);

#[derive(Debug, Default)]
struct TasksState {
    /// Made when a handler is first not ready at once.
    set: Option<JoinSet<()>>,
    /// Nothing starts any more.
    closed: bool,
}

impl Tasks {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let set = state.set.get_or_insert_default();
        // Those that have ended leave their place.
        while set.try_join_next().is_some() {}
        set.spawn(task);
    }

    /// How many run.
    pub(crate) fn len(&self) -> usize {
        let mut state = self.lock();
        let Some(set) = &mut state.set else { return 0 };
        while set.try_join_next().is_some() {}
        set.len()
    }

    fn lock(&self) -> MutexGuard<'_, TasksState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for all tasks until `deadline`, and cancels those that are left.
    pub(crate) async fn finish(&self, deadline: impl Future<Output = ()>) {
        tokio::pin!(deadline);
        loop {
            let set = {
                let mut state = self.lock();
                // A task may have started another one meanwhile.
                let set = state.set.take().filter(|set| !set.is_empty());
                state.closed |= set.is_none();
                set
            };
            let Some(mut set) = set else { return };
            let all = async { while set.join_next().await.is_some() {} };
            tokio::select! {
                () = all => {}
                () = &mut deadline => {
                    let mut late = {
                        let mut state = self.lock();
                        state.closed = true;
                        state.set.take().unwrap_or_default()
                    };
                    set.abort_all();
                    late.abort_all();
                    // One that is being polled ends with that; one that blocks is not waited for.
                    let gone = async {
                        while set.join_next().await.is_some() {}
                        while late.join_next().await.is_some() {}
                    };
                    let _ = tokio::time::timeout(CANCEL_LIMIT, gone).await;
                    return;
                }
            }
        }
    }
}
