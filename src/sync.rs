//! The locks of the rooms and outboxes: in the model of their hand-over (`cfg(model)`) those of `shuttle`, which tries the
//! orders in which threads may take them.

pub(crate) use std::sync::PoisonError;

#[cfg(not(model))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, RwLockWriteGuard};

#[cfg(model)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock, RwLockWriteGuard};
