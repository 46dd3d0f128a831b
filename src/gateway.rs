//! Handlers that belong together and share a state: what `#[gateway]` makes of an `impl`.

use std::any::type_name;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, code};
use crate::io::Io;

/// Handlers that belong together and share a state, which is `self`. [`#[gateway]`](macro@crate::gateway) on an `impl`
/// writes this; [`Io::gateway`] adds it.
///
/// By hand it is nothing but the calls:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use eventwire::{Gateway, Io, Socket};
///
/// #[derive(Default)]
/// struct Counter(AtomicU64);
///
/// impl Gateway for Counter {
///     const EVENTS: &'static [&'static str] = &["count"];
///     const ROOMS: &'static [&'static str] = &[];
///
///     fn register(self: Arc<Self>, io: &Io) {
///         io.on::<u64>("count", move |_socket: Socket, by| {
///             let counter = self.clone();
///             async move { counter.0.fetch_add(by, Ordering::Relaxed) + by }
///         });
///     }
/// }
///
/// let io = Io::new();
/// let counter = io.gateway(Counter::default())?;
/// # Ok::<(), eventwire::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no gateway",
    note = "write `#[gateway]` above its `impl`, and `#[on(\"name\")]` above each handler in it"
)]
pub trait Gateway: Send + Sync + Sized + 'static {
    /// The events that it handles. No two gateways of an `Io` handle the same one.
    const EVENTS: &'static [&'static str];

    /// The patterns of rooms for which it has a rule. No two gateways of an `Io` have one for the same pattern.
    const ROOMS: &'static [&'static str];

    /// Registers its handlers. They should have their `Io` by [`Socket::io`](crate::Socket::io): one that captures it keeps it for ever.
    fn register(self: Arc<Self>, io: &Io)
    // As above: said here, an impl may take it as given, and what is not `Sync` is told of once.
    where
        Self: Send + Sync + 'static;
}

/// Why a gateway was not added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatewayError {
    /// Another gateway handles an event of the same name.
    Event {
        /// The event.
        name: &'static str,
        /// The type of the gateway that is refused.
        gateway: &'static str,
        /// The type of the one that is there.
        other: &'static str,
    },
    /// Another gateway has a rule for the same rooms.
    Rooms {
        /// The pattern.
        pattern: &'static str,
        /// The type of the gateway that is refused.
        gateway: &'static str,
        /// The type of the one that is there.
        other: &'static str,
    },
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GatewayError::Event { name, gateway, other } => {
                write!(f, "`{gateway}` cannot handle the event `{name}`: `{other}` does")
            }
            GatewayError::Rooms { pattern, gateway, other } => {
                write!(f, "`{gateway}` cannot have a rule for the rooms `{pattern}`: `{other}` has")
            }
        }
    }
}

impl std::error::Error for GatewayError {}

impl From<GatewayError> for Error {
    fn from(error: GatewayError) -> Error {
        Error::new(code::INTERNAL, error.to_string())
    }
}

/// What the gateways of an `Io` have for themselves.
#[derive(Debug, Default)]
pub(crate) struct Gateways(Mutex<Vec<Claim>>);

#[derive(Clone, Copy, Debug)]
struct Claim {
    gateway: &'static str,
    events: &'static [&'static str],
    rooms: &'static [&'static str],
}

impl Gateways {
    fn claim(&self, claim: Claim) -> Result<(), GatewayError> {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Claim { gateway, events, rooms } = claim;
        for other in claims.iter() {
            let both = |mine: &[&'static str], its: &[&str]| mine.iter().copied().find(|name| its.contains(name));
            if let Some(name) = both(events, other.events) {
                return Err(GatewayError::Event { name, gateway, other: other.gateway });
            }
            if let Some(pattern) = both(rooms, other.rooms) {
                return Err(GatewayError::Rooms { pattern, gateway, other: other.gateway });
            }
        }
        claims.push(claim);
        Ok(())
    }
}

impl Io {
    /// Adds a [`Gateway`]. It is returned, for what else works with its state.
    ///
    /// # Errors
    /// [`GatewayError`], when another gateway of this `Io` handles the same event or has a rule for the same rooms: then
    /// nothing of this one is added. They stay its own when they are taken [`off`](Io::off). A closure may listen beside a gateway: that is
    /// what it was written for.
    pub fn gateway<G: Gateway>(&self, gateway: G) -> Result<Arc<G>, GatewayError> {
        self.gateways().claim(Claim { gateway: type_name::<G>(), events: G::EVENTS, rooms: G::ROOMS })?;
        let gateway = Arc::new(gateway);
        gateway.clone().register(self);
        Ok(gateway)
    }
}
