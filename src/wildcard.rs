//! Patterns of rooms by tokens, as NATS has them: `metrics.*.load` and `metrics.>`. A broadcast finds those that match its
//! room in a trie, whatever their number.

use std::collections::HashMap;
use std::sync::Arc;

use crate::protocol::{MAX_ROOM, is_room_name};

/// What stands between two tokens.
const DOT: char = '.';

/// Any one token.
const ANY: &str = "*";

/// All tokens that follow, one at least. It is the last.
const REST: &str = ">";

/// Whether a name is that of a pattern: no room's has a wildcard.
pub(crate) fn is_wild(name: &str) -> bool {
    name.bytes().any(|byte| matches!(byte, b'*' | b'>'))
}

/// Checks a pattern; the error says what is wrong with it.
pub(crate) fn check(pattern: &str) -> Result<(), &'static str> {
    if pattern.is_empty() || pattern.len() > MAX_ROOM {
        return Err("a pattern has 1 to 256 characters");
    }
    let mut tokens = pattern.split(DOT).peekable();
    while let Some(token) = tokens.next() {
        match token {
            "" => return Err("a token of a pattern must not be empty"),
            REST if tokens.peek().is_some() => return Err("`>` stands for all that follows, and is the last token"),
            ANY | REST => {}
            name if is_room_name(name) => {}
            name if is_wild(name) => return Err("a wildcard is a whole token: `a.*.c`, `a.>`"),
            _ => return Err("a pattern's tokens are of [A-Za-z0-9_:-], or `*`, or at the end `>`"),
        }
    }
    Ok(())
}

/// Whether rooms that a pattern matches may have this name, or begin with it.
pub(crate) fn may_meet(pattern: &str, text: &str, is_prefix: bool) -> bool {
    let mut tokens = pattern.split(DOT);
    let mut texts = text.split(DOT).peekable();
    while let Some(text) = texts.next() {
        let is_begun = is_prefix && texts.peek().is_none();
        match tokens.next() {
            None => return false,
            Some(REST) => return is_begun || !text.is_empty() && texts.all(|text| !text.is_empty() || is_prefix),
            Some(ANY) if is_begun || !text.is_empty() => {}
            Some(token) if token == text || is_begun && token.starts_with(text) => {}
            Some(_) => return false,
        }
    }
    is_prefix || tokens.next().is_none()
}

/// What all rooms that a pattern matches begin with.
pub(crate) fn beginning(pattern: &str) -> &str {
    &pattern[..pattern.find(['*', '>']).unwrap_or(pattern.len())]
}

/// Values by pattern.
#[derive(Debug)]
pub(crate) struct Trie<T> {
    value: Option<Arc<T>>,
    /// For `>` after what leads here.
    rest: Option<Arc<T>>,
    any: Option<Box<Trie<T>>>,
    named: HashMap<Box<str>, Trie<T>>,
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Trie { value: None, rest: None, any: None, named: HashMap::new() }
    }
}

impl<T> Trie<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.value.is_none() && self.rest.is_none() && self.any.is_none() && self.named.is_empty()
    }

    pub(crate) fn insert(&mut self, pattern: &str, value: Arc<T>) {
        let mut at = self;
        for token in pattern.split(DOT) {
            at = match token {
                REST => {
                    at.rest = Some(value);
                    return;
                }
                ANY => at.any.get_or_insert_default(),
                name => at.named.entry(name.into()).or_default(),
            };
        }
        at.value = Some(value);
    }

    /// Takes a pattern out, and the tokens that led only there.
    pub(crate) fn remove(&mut self, pattern: &str) {
        let (token, following) = match pattern.split_once(DOT) {
            Some((token, following)) => (token, Some(following)),
            None => (pattern, None),
        };
        if token == REST {
            self.rest = None;
            return;
        }
        let next = if token == ANY { self.any.as_deref_mut() } else { self.named.get_mut(token) };
        let Some(next) = next else { return };
        match following {
            Some(following) => next.remove(following),
            None => next.value = None,
        }
        if next.is_empty() {
            match token {
                ANY => self.any = None,
                name => drop(self.named.remove(name)),
            }
        }
    }

    /// Adds what stands at each pattern that matches this room. One with an empty token is matched by none: NATS has no such subject.
    pub(crate) fn find(&self, room: &str, found: &mut Vec<Arc<T>>) {
        let (token, following) = match room.split_once(DOT) {
            Some((token, following)) => (token, Some(following)),
            None => (room, None),
        };
        if token.is_empty() {
            return;
        }
        // What follows must be without empty tokens, too.
        if let Some(rest) = &self.rest
            && following.is_none_or(|following| following.split(DOT).all(|token| !token.is_empty()))
        {
            found.push(rest.clone());
        }
        for next in self.any.as_deref().into_iter().chain(self.named.get(token)) {
            match following {
                Some(following) => next.find(following, found),
                None => found.extend(next.value.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How NATS reads it, token by token.
    fn matches(pattern: &str, room: &str) -> bool {
        let (patterns, rooms): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), room.split('.').collect());
        if rooms.contains(&"") {
            return false;
        }
        let same = |(index, token): (usize, &&str)| match *token {
            ">" => rooms.len() > index,
            "*" => rooms.len() > index,
            name => rooms.get(index) == Some(&name),
        };
        let ends = patterns.last() == Some(&">") || patterns.len() == rooms.len();
        ends && patterns.iter().enumerate().all(same)
    }

    #[test]
    fn a_pattern_that_is_none_is_told_why() {
        for good in ["*", ">", "a.*.c", "a.>", "*.*", "a.b", "process:x.>", "*.>"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "1 to 256"),
            ("a..b", "empty"),
            (".a", "empty"),
            ("a.", "empty"),
            (">.a", "last"),
            ("a*", "whole token"),
            ("a.b>", "whole token"),
            ("**", "whole token"),
            ("a b", "tokens are"),
            ("ä", "tokens are"),
        ] {
            assert!(check(bad).unwrap_err().contains(why), "{bad}");
        }
        assert!(check(&"x".repeat(257)).is_err());
    }

    #[test]
    fn a_rule_is_met_where_some_room_is_under_both() {
        for (pattern, text, is_prefix, meets) in [
            ("metrics.>", "metrics.", true, true),
            ("metrics.>", "", true, true),
            ("metrics.>", "metrics.secret.", true, true),
            ("metrics.>", "met", true, true),
            ("metrics.>", "other.", true, false),
            ("metrics.>", "metrics", false, false),
            ("metrics.>", "metrics.cpu", false, true),
            ("metrics.*", "metrics.cpu.load", false, false),
            ("metrics.*", "metrics.cpu.l", true, false),
            ("*.cpu", "metrics.cpu", false, true),
            ("*.cpu", "metrics.c", true, true),
            ("*.cpu", "metrics.d", true, false),
            (">", "a", false, true),
            ("a.*", "a.", true, true),
        ] {
            assert_eq!(may_meet(pattern, text, is_prefix), meets, "{pattern} and {text} {is_prefix}");
        }
        assert_eq!((beginning("a.b.*.c"), beginning("a.b"), beginning(">")), ("a.b.", "a.b", ""));
    }

    fn token() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "c"])
    }

    fn room() -> impl Strategy<Value = String> {
        let token = prop_oneof![9 => token(), 1 => Just("")];
        prop::collection::vec(token, 1..5).prop_map(|tokens| tokens.join("."))
    }

    fn pattern() -> impl Strategy<Value = String> {
        let tokens = prop::collection::vec(prop_oneof![3 => token(), 1 => Just("*")], 0..4);
        (tokens, any::<bool>()).prop_map(|(mut tokens, rest)| {
            if rest || tokens.is_empty() {
                tokens.push(">");
            }
            tokens.join(".")
        })
    }

    proptest! {
        #[test]
        fn the_trie_finds_what_a_scan_finds(
            steps in prop::collection::vec((pattern(), any::<bool>()), 1..40),
            rooms in prop::collection::vec(room(), 1..20),
        ) {
            let mut trie = Trie::default();
            let mut known = std::collections::BTreeSet::new();
            for (pattern, comes) in steps {
                if comes {
                    trie.insert(&pattern, Arc::new(pattern.clone()));
                    known.insert(pattern);
                } else {
                    trie.remove(&pattern);
                    known.remove(&pattern);
                }
            }
            for room in rooms {
                let mut found = Vec::new();
                trie.find(&room, &mut found);
                let mut found: Vec<String> = found.iter().map(|pattern| pattern.to_string()).collect();
                found.sort();
                let scanned: Vec<String> = known.iter().filter(|pattern| matches(pattern, &room)).cloned().collect();
                prop_assert_eq!(found, scanned, "{}", room);
            }
            known.iter().for_each(|pattern| trie.remove(pattern));
            prop_assert!(trie.is_empty(), "tokens that lead nowhere stay behind");
        }

        #[test]
        fn what_a_pattern_matches_is_met(pattern in pattern(), room in room(), cut in 0usize..8) {
            if matches(&pattern, &room) {
                prop_assert!(may_meet(&pattern, &room, false));
                prop_assert!(may_meet(&pattern, &room[..cut.min(room.len())], true));
                prop_assert!(room.starts_with(beginning(&pattern)));
            }
        }
    }
}
