//! What holds for the rooms of a pattern: who may subscribe, and what they remember.

use std::fmt;
use std::sync::Arc;

use crate::contract::Subscribe;
use crate::delivery::AtLeastOnce;
use crate::error::{Error, IntoError};
use crate::handler::BoxFuture;
use crate::history::History;
use crate::patterns::{Pattern, Patterns};
use crate::rooms::Rooms;
use crate::socket::Socket;

type Check = Arc<dyn Fn(Socket, String) -> BoxFuture<Result<(), Error>> + Send + Sync>;

/// Whom a rule lets in.
#[derive(Clone)]
pub(crate) enum Allow {
    Everyone,
    If(Check),
}

impl Allow {
    pub(crate) fn subscribe(&self) -> Subscribe {
        match self {
            Allow::Everyone => Subscribe::Public,
            Allow::If(_) => Subscribe::If,
        }
    }

    pub(crate) async fn check(&self, socket: &Socket, room: &str) -> Result<(), Error> {
        match self {
            Allow::Everyone => Ok(()),
            Allow::If(check) => check(socket.clone(), room.to_owned()).await,
        }
    }
}

impl fmt::Debug for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Allow::Everyone => "Everyone",
            Allow::If(_) => "If",
        })
    }
}

/// What a rule's function may return: `bool`, or `Result<(), E>`, whose error is answered.
#[diagnostic::on_unimplemented(
    message = "a room's rule cannot return `{Self}`",
    note = "return `bool`, or `Result<(), E>` with an error that a handler could return"
)]
pub trait Verdict {
    /// Whether the socket may subscribe.
    fn into_verdict(self) -> Result<(), Error>;
}

impl Verdict for bool {
    fn into_verdict(self) -> Result<(), Error> {
        if self { Ok(()) } else { Err(Error::forbidden("this room is not for this socket")) }
    }
}

impl<E: IntoError> Verdict for Result<(), E> {
    fn into_verdict(self) -> Result<(), Error> {
        self.map_err(IntoError::into_error)
    }
}

pub(crate) type Rules = Patterns<Allow>;

/// The rooms of a pattern, for which a rule is to be set. See [`Io::rooms`](crate::Io::rooms).
#[derive(Debug)]
pub struct RoomRule<'a> {
    rules: &'a Rules,
    rooms: &'a Rooms,
    pattern: Pattern,
}

impl<'a> RoomRule<'a> {
    /// # Panics
    /// When the pattern can match no room.
    pub(crate) fn new(rules: &'a Rules, rooms: &'a Rooms, pattern: &str) -> RoomRule<'a> {
        let Some(pattern) = Pattern::parse(pattern) else {
            panic!("`{pattern}` is no pattern of rooms: [A-Za-z0-9_.:-]{{1,256}}, or the beginning of it and `*`");
        };
        RoomRule { rules, rooms, pattern }
    }

    /// Every client may subscribe to these rooms.
    pub fn public(self) -> Self {
        self.rules.set(self.pattern.clone(), Allow::Everyone);
        self
    }

    /// A client may subscribe where the function says so: `|socket, room| async move { … }`, which
    /// returns `bool` or `Result<(), E>`. It is asked for a pattern as for a room: `room` is then such as `metrics.>`, and to let that in is to
    /// let in all that match. So a rule had better say which rooms are for whom, not which are not: `|_, room| room != "secret"` lets `>` in. It runs in the socket's lane, within `handlerTimeout`; if it
    /// panics, the answer is `internal` and the socket is not let in.
    pub fn allow_if<F, Fut>(self, check: F) -> Self
    where
        F: Fn(Socket, String) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Verdict,
    {
        let check: Check = Arc::new(move |socket, room| {
            let verdict = check(socket, room);
            Box::pin(async move { verdict.await.into_verdict() })
        });
        self.rules.set(self.pattern.clone(), Allow::If(check));
        self
    }

    /// These rooms remember: each message that is emitted to one gets a number, `seq`, and is kept as `history` says. Members
    /// are cursors in it: they get the past and then the present without a gap or a double, a slow one holds up
    /// nobody, and `emit` waits for none. Who may subscribe is said beside it.
    ///
    /// It holds for rooms that are made from now on: by the first member or the first message, so that an application that emits to
    /// names of its clients' choosing had better check them. Such a room outlives its members, for as long as
    /// [`History::idle`] says. Each node numbers for itself: a client goes on by `since` at the node that it was at. Which pattern says who may subscribe and which one what is kept are
    /// found each on their own. A [`volatile`](crate::Broadcast::volatile) broadcast is not kept, nor is a
    /// [`request`](crate::Broadcast::request).
    pub fn history(self, history: History) -> Self {
        self.rooms.histories.set(self.pattern.clone(), Arc::new(history));
        self
    }

    /// Members of these rooms get each message until they have [acknowledged](AtLeastOnce) it, or it is given up. With
    /// [history](RoomRule::history) it stays in the ring meanwhile, and a client that comes back goes on by `since`; without, it is kept for
    /// each socket that has not, and ends with it. A [`volatile`](crate::Broadcast::volatile) broadcast is not kept.
    ///
    /// It holds for rooms that are made from now on.
    pub fn at_least_once(self, delivery: AtLeastOnce) -> Self {
        self.rooms.once.set(self.pattern.clone(), delivery);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_match_holds() {
        let rules = Rules::default();
        let deny = || Allow::If(Arc::new(|_, _| Box::pin(async { Err(Error::forbidden("no")) })));
        let rooms = Rooms::new();
        RoomRule::new(&rules, &rooms, "a:*").public();
        rules.set(Pattern::parse("a:b:*").unwrap(), deny());
        rules.set(Pattern::parse("a:b:c").unwrap(), Allow::Everyone);
        let is_public = |room| rules.find(room).map(|allow| matches!(allow, Allow::Everyone));
        assert_eq!(is_public("a:x"), Some(true));
        assert_eq!(is_public("a:b:x"), Some(false));
        assert_eq!(is_public("a:b:c"), Some(true));
        assert_eq!(is_public("b"), None);
        rules.set(Pattern::parse("a:*").unwrap(), deny());
        assert_eq!(is_public("a:x"), Some(false), "set again, the last one holds");
        assert!(["a*b", "", "a b", "**"].iter().all(|bad| Pattern::parse(bad).is_none()));
        assert!(Pattern::parse("*").is_some());
    }
}
