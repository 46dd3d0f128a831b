//! The tree of a run: the process that was started, what that has started, and so on.

#[cfg(not(target_os = "linux"))]
mod group;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod walk;

use std::sync::{Arc, Mutex, PoisonError};

#[cfg(not(target_os = "linux"))]
use self::group::Walk;
#[cfg(target_os = "linux")]
use self::walk::Walk;
use super::Signal;

#[cfg(not(target_os = "linux"))]
pub(super) use self::group::adopt_orphans;
#[cfg(target_os = "linux")]
pub(super) use self::walk::adopt_orphans;

/// The variable by which a process, whoever its parent is by now, tells of which run it is.
pub(super) const MARK: &str = "EVENTWIRE_RUN";

/// What is written into it. A server that is itself in a run of another's is in both.
pub(super) fn mark(run: &str) -> String {
    match std::env::var(MARK) {
        Ok(outer) => format!("{outer} {run}"),
        Err(_) => run.to_owned(),
    }
}

/// A tree. Walking over processes reads many small files: that is done on threads that may block.
///
/// The tree dies with the last handle, unless nobody was left of it.
#[derive(Clone)]
pub(super) struct Tree(Arc<Mutex<Rooted>>);

struct Rooted(Walk);

impl Tree {
    pub(super) fn new(run: &str, leader: Option<u32>) -> Tree {
        Tree(Arc::new(Mutex::new(Rooted(Walk::new(run, leader)))))
    }

    /// The process itself has been awaited: its pid may be used again.
    pub(super) fn leader_is_gone(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.leader_is_gone();
    }

    /// How many are left. What died and is ours to await is awaited. It is looked at once, whenever the result is awaited.
    pub(super) fn count(&self) -> impl Future<Output = usize> + Send + use<> {
        let counted = self.walk(Walk::look);
        async move { counted.await.unwrap_or(0) }
    }

    /// Sends a signal to everyone.
    pub(super) async fn signal(&self, signal: Signal) {
        self.walk(move |walk| walk.signal(signal)).await;
    }

    /// Kills everyone, however they multiply.
    pub(super) async fn kill(&self) {
        self.walk(Walk::kill).await;
    }

    /// `None` where the runtime ends meanwhile, which drops this tree.
    fn walk<R: Send + 'static, F>(&self, walk: F) -> impl Future<Output = Option<R>> + use<R, F>
    where
        F: FnOnce(&mut Walk) -> R + Send + 'static,
    {
        let tree = self.0.clone();
        let walking = move || walk(&mut tree.lock().unwrap_or_else(PoisonError::into_inner).0);
        let walked = tokio::task::spawn_blocking(walking);
        async move { walked.await.ok() }
    }
}

impl Drop for Rooted {
    fn drop(&mut self) {
        self.0.end();
    }
}
