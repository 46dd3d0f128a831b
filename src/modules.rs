//! Event modules: sets of events that belong together. They use what the crate exports and
//! nothing else; one of one's own is as good as a built-in one.

#[cfg(feature = "nats")]
pub mod nats_source;
#[cfg(feature = "process")]
pub mod process;

use crate::Io;

/// Something that [`Io::install`] adds: it registers its events and rules, and gives a handle back.
pub trait Module {
    /// What the application works with.
    type Handle;
    /// Adds it to an `Io`.
    fn install(self, io: &Io) -> Self::Handle;
}
