//! Which rooms clients may subscribe to.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::{Error, IntoError};
use crate::handler::BoxFuture;
use crate::socket::Socket;

type Check = Arc<dyn Fn(Socket, String) -> BoxFuture<Result<(), Error>> + Send + Sync>;

/// Whom a rule lets in.
#[derive(Clone)]
pub(crate) enum Allow {
    Everyone,
    If(Check),
}

impl Allow {
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

/// A room's name, or the beginning of one and `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: String,
    is_prefix: bool,
}

impl Pattern {
    fn parse(pattern: &str) -> Option<Pattern> {
        let (text, is_prefix) = match pattern.strip_suffix('*') {
            Some(text) => (text, true),
            None => (pattern, false),
        };
        let is_name = crate::protocol::is_room_name(text) || (is_prefix && text.is_empty());
        is_name.then(|| Pattern { text: text.to_owned(), is_prefix })
    }

    fn matches(&self, room: &str) -> bool {
        if self.is_prefix { room.starts_with(&self.text) } else { room == self.text }
    }

    /// The longest match holds; a literal before a pattern of the same length.
    fn rank(&self) -> (usize, bool) {
        (self.text.len(), !self.is_prefix)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// By falling rank. A lock for writers; a look-up clones the one rule that matches.
    rules: RwLock<Vec<(Pattern, Allow)>>,
}

impl Rules {
    fn set(&self, pattern: Pattern, allow: Allow) {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let replaced: Vec<_> = rules.extract_if(.., |(known, _)| *known == pattern).collect();
        let index = rules.partition_point(|(known, _)| known.rank() >= pattern.rank());
        rules.insert(index, (pattern, allow));
        drop(rules);
        // Here, where no lock is held: what it captured is user code.
        drop(replaced);
    }

    pub(crate) fn find(&self, room: &str) -> Option<Allow> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.iter().find(|(pattern, _)| pattern.matches(room)).map(|(_, allow)| allow.clone())
    }
}

/// The rooms of a pattern, for which a rule is to be set. See [`Io::rooms`](crate::Io::rooms).
#[derive(Debug)]
pub struct RoomRule<'a> {
    rules: &'a Rules,
    pattern: Pattern,
}

impl<'a> RoomRule<'a> {
    /// # Panics
    /// When the pattern can match no room.
    pub(crate) fn new(rules: &'a Rules, pattern: &str) -> RoomRule<'a> {
        let Some(pattern) = Pattern::parse(pattern) else {
            panic!("`{pattern}` is no pattern of rooms: [A-Za-z0-9_.:-]{{1,256}}, or the beginning of it and `*`");
        };
        RoomRule { rules, pattern }
    }

    /// Every client may subscribe to these rooms.
    pub fn public(self) -> Self {
        self.rules.set(self.pattern.clone(), Allow::Everyone);
        self
    }

    /// A client may subscribe where the function says so: `|socket, room| async move { … }`, which
    /// returns `bool` or `Result<(), E>`. It runs in the socket's lane, within `handlerTimeout`; if it
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_match_holds() {
        let rules = Rules::default();
        let deny = || Allow::If(Arc::new(|_, _| Box::pin(async { Err(Error::forbidden("no")) })));
        RoomRule::new(&rules, "a:*").public();
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
