use super::*;
use crate::config::{Config, Overflow};
use crate::hub::{Audience, Hub, Manner, Message, Spoken};
use crate::protocol::Json;

fn member_of(hub: &Hub, room: &str) -> Arc<Member> {
    let spoken = Spoken { place: 0, dialect: Arc::new(Json) };
    let member = Arc::new(Member::new(SocketId::random(), spoken, &Config::default()));
    hub.join(&member, room, None, &Start::Live).unwrap();
    member
}

fn emit(hub: &Hub, room: &str) -> usize {
    let manner = Manner::Overflow(Overflow::Disconnect);
    let message = Message { event: "e", data: b"1", manner, lag: None, once: None };
    hub.broadcast(Audience { rooms: &[room], except: &[], except_rooms: &[] }, message).members
}

#[test]
fn a_room_that_was_sent_to_lately_is_the_one_that_is_there() {
    let (hub, other) = (Hub::new(), Hub::new());
    let (member, of_other) = (member_of(&hub, "room"), member_of(&other, "room"));
    let waiting = |member: &Member| member.outbox.backlog().messages;
    for n in 1..=4 {
        assert_eq!(emit(&hub, "room"), 1);
        // Of another `Io`, the same thread, the same name.
        if n % 2 == 0 {
            assert_eq!(emit(&other, "room"), 1);
        }
        assert_eq!((waiting(&member), waiting(&of_other)), (n, n / 2));
        assert_eq!(emit(&hub, "none"), 0);
    }
    // Whatever of these two the thread knows now.
    (0..3).for_each(|_| assert_eq!(emit(&hub, "room"), 1));
    let former = Arc::downgrade(&hub.rooms().get("room").unwrap());
    assert!(hub.rooms().id.recent("room").is_some(), "it is known");
    for _ in 0..3 {
        hub.disconnect(&member);
        assert_eq!(emit(&hub, "room"), 0, "nobody is there");
    }
    assert!(former.upgrade().is_none(), "who knows it does not keep it");
    // Someone holds the room that is no more, and another is there.
    for _ in 0..3 {
        let member = member_of(&hub, "room");
        (0..4).for_each(|_| assert_eq!(emit(&hub, "room"), 1));
        let held = hub.rooms().get("room").unwrap();
        assert!(hub.rooms().id.recent("room").is_some_and(|room| Arc::ptr_eq(&room, &held)));
        hub.leave(&member, "room");
        assert_eq!((emit(&hub, "room"), waiting(&member)), (0, 4));
        let next = member_of(&hub, "room");
        assert_eq!((emit(&hub, "room"), waiting(&next)), (1, 1));
        hub.disconnect(&next);
    }
    assert_eq!(waiting(&of_other), 2);
}

#[test]
fn nothing_is_left_of_a_pattern_that_all_have_left() {
    let hub = Hub::new();
    let member = member_of(&hub, "a.>");
    for pattern in ["a.*.c", ">", "*"] {
        hub.join(&member, pattern, None, &Start::Live).unwrap();
    }
    assert_eq!((hub.rooms().matching("a.b.c").len(), hub.rooms().matching("a").len()), (3, 2));
    hub.leave(&member, ">");
    assert_eq!(hub.rooms().matching("a.b.c").len(), 2);
    hub.disconnect(&member);
    assert!(hub.rooms().matching("a.b.c").is_empty());
    assert!(!hub.rooms().has_wild.load(Ordering::Relaxed) && hub.rooms().wild.read().unwrap().is_empty());
}
