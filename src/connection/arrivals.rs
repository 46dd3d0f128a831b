//! Whether something has come to be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A connection's task is woken for what is to be written as for what has come. This tells the one from the other: what is read
/// from is given a waker of its own.
#[derive(Default)]
pub(super) struct Arrivals {
    /// Made when there was first nothing to be read: the task that it wakes does not change.
    bell: Option<(Waker, Arc<Bell>)>,
}

struct Bell {
    task: Waker,
    has_rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Arrivals {
    /// Polls what is read from. Where that is ready, go on until it is not, or say that there is [more](Arrivals::again).
    pub(super) fn poll<R>(&mut self, cx: &Context<'_>, read: impl FnOnce(&mut Context<'_>) -> Poll<R>) -> Poll<R> {
        if !self.bell.as_ref().is_some_and(|(_, bell)| bell.task.will_wake(cx.waker())) {
            let bell = Arc::new(Bell { task: cx.waker().clone(), has_rung: AtomicBool::new(false) });
            self.bell = Some((bell.clone().into(), bell));
        }
        let Some((waker, _)) = &self.bell else { return Poll::Pending };
        read(&mut Context::from_waker(waker))
    }

    /// Whether something may have come since this was last asked.
    pub(super) fn take(&mut self) -> bool {
        self.bell.as_ref().is_none_or(|(_, bell)| bell.has_rung.swap(false, Ordering::Acquire))
    }

    /// There is more, though it was not read.
    pub(super) fn again(&mut self) {
        if let Some((_, bell)) = &self.bell {
            bell.has_rung.store(true, Ordering::Relaxed);
        }
    }
}
