//! Rooms by pattern: what was said of them, the longest match first.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::protocol::is_room_name;
use crate::wildcard;

/// A room's name, or the beginning of one and `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    is_prefix: bool,
}

impl Pattern {
    pub(crate) fn parse(pattern: &str) -> Option<Pattern> {
        let (text, is_prefix) = match pattern.strip_suffix('*') {
            Some(text) => (text, true),
            None => (pattern, false),
        };
        let is_name = is_room_name(text) || (is_prefix && text.is_empty());
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

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

/// What was said of patterns of rooms.
#[derive(Debug)]
pub(crate) struct Patterns<T> {
    /// By falling rank. A lock for writers; a look-up clones what the one that matches says.
    list: RwLock<Vec<(Pattern, T)>>,
    /// Whether there is any: most `Io`s say nothing of some things.
    is_empty: AtomicBool,
}

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Patterns { list: RwLock::default(), is_empty: AtomicBool::new(true) }
    }
}

impl<T: Clone> Patterns<T> {
    pub(crate) fn set(&self, pattern: Pattern, said: T) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let replaced: Vec<_> = list.extract_if(.., |(known, _)| *known == pattern).collect();
        let index = list.partition_point(|(known, _)| known.rank() >= pattern.rank());
        list.insert(index, (pattern, said));
        self.is_empty.store(false, Ordering::Release);
        drop(list);
        // Here, where no lock is held: what it captured is user code.
        drop(replaced);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty.load(Ordering::Acquire)
    }

    pub(crate) fn find(&self, room: &str) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.iter().find(|(pattern, _)| pattern.matches(room)).map(|(_, said)| said.clone())
    }

    /// What is said of all rooms that a pattern by tokens matches, the shortest first: of them all together, and of some of them. Nothing, where
    /// nothing is said of them all.
    pub(crate) fn covering(&self, wild: &str) -> Vec<T> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let beginning = wildcard::beginning(wild);
        let covers = |pattern: &Pattern| pattern.is_prefix && beginning.starts_with(&pattern.text);
        // The longest comes first. What stands before it holds for some rooms in its place.
        let Some(index) = list.iter().position(|(pattern, _)| covers(pattern)) else { return Vec::new() };
        let meets = |pattern: &Pattern| wildcard::may_meet(wild, &pattern.text, pattern.is_prefix);
        let of_some = list[..index].iter().filter(|(pattern, _)| meets(pattern));
        list[index..=index].iter().chain(of_some).map(|(_, said)| said.clone()).collect()
    }

    /// All that is said, and of what.
    pub(crate) fn entries(&self) -> Vec<(Pattern, T)> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that is said, whatever of.
    pub(crate) fn all(&self) -> Vec<T> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.iter().map(|(_, said)| said.clone()).collect()
    }
}
