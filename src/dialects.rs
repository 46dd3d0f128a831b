//! The wires of other systems: their clients keep working unchanged, in the same rooms as clients that speak JSON.
//!
//! A dialect is given to [`IoBuilder::dialect`](crate::IoBuilder::dialect), and chosen by each client as its
//! [subprotocol or path](crate::Dialect) says. One's own is as good as those here.

mod go_ws;
mod streamkit;

pub use go_ws::GoWs;
pub use streamkit::StreamKit;
