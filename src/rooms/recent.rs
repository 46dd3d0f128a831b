//! The room that a thread sent to several times in a row, which it then finds without the map. What a process writes goes to one room,
//! line by line: to hash its name and to lock the map would be a seventh of what a line to one viewer costs.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::Room;

thread_local! {
    static RECENT: RefCell<Recent> = const { RefCell::new(Recent { sought: None, room: None }) };
}

struct Recent {
    /// In which map this thread looked last, and for which hash.
    sought: Option<(MapId, u64)>,
    room: Option<Known>,
}

/// Kept by name too, so that another is told from it without a look at the room. Of one that is gone, no more is kept than its name and
/// the place where it was: neither members nor messages.
struct Known {
    map: MapId,
    name: Arc<str>,
    room: Weak<Room>,
}

/// Tells the rooms of one `Io` from those of another, whose names may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapId(u64);

impl MapId {
    pub(super) fn next() -> MapId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        MapId(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The room of this name, if it is the one that is known. It may be dead.
    pub(super) fn recent(self, name: &str) -> Option<Arc<Room>> {
        let find = |recent: &RefCell<Recent>| match &recent.borrow().room {
            Some(known) if *known.name == *name && known.map == self => known.room.upgrade(),
            _ => None,
        };
        // A thread that ends knows none any more.
        RECENT.try_with(find).ok().flatten()
    }

    /// A room was found in the map by this hash: after the second time in a row, it is known.
    pub(super) fn found(self, hash: u64, room: &Arc<Room>) {
        let _ = RECENT.try_with(|recent| {
            let mut recent = recent.borrow_mut();
            if recent.sought.replace((self, hash)) == Some((self, hash)) {
                recent.room = Some(Known { map: self, name: room.name.clone(), room: Arc::downgrade(room) });
            }
        });
    }
}
