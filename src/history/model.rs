//! The hand-over from replay to live, and all that wakes a member, under `shuttle`: it runs these threads in many orders, chosen
//! at every lock. A wake-up that is lost shows as a deadlock, a message that is lost or doubled as a failed assertion.
//!
//! ```sh
//! tests/model.sh
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Wake, Waker};

use shuttle::scheduler::PctScheduler;
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

use super::{History, Start};
use crate::config::{Config, Overflow};
use crate::hub::{Audience, Hub, Manner, Member, Message, SocketId, Spoken};
use crate::outbox::{Backlog, Item, Next};
use crate::patterns::Pattern;
use crate::protocol::{Dialect, Json};
use bytes::Bytes;

/// How many orders are tried of each model.
const ORDERS: usize = 3000;

/// Frames of about this size: a pull takes one or two.
const PULL: usize = 100;

fn try_orders(model: impl Fn() + Send + Sync + 'static) {
    let orders = std::env::var("MODEL_ORDERS").ok().and_then(|orders| orders.parse().ok()).unwrap_or(ORDERS);
    let mut config = shuttle::Config::new();
    // The default is too little for one that writes JSON.
    config.stack_size = 1024 * 1024;
    // Three changes of the running thread, anywhere, find nearly all that any number would.
    shuttle::Runner::new(PctScheduler::new(3, orders), config).run(model);
}

/// A hub whose rooms remember.
fn hub(history: History) -> Arc<Hub> {
    let hub = Hub::new();
    hub.rooms().histories.set(Pattern::parse("*").unwrap(), Arc::new(history));
    Arc::new(hub)
}

fn publish(hub: &Hub, number: u64) {
    let audience = Audience { rooms: &["r"], except: &[], except_rooms: &[] };
    let data = number.to_string();
    let manner = Manner::Overflow(Overflow::Disconnect);
    hub.broadcast(audience, Message { event: "m", data: data.as_bytes(), manner, lag: None, once: None });
}

/// The task of a connection, which sleeps until it is woken.
#[derive(Default)]
struct Sleeper {
    is_woken: Mutex<bool>,
    condvar: Condvar,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock().unwrap() = true;
        self.condvar.notify_one();
    }
}

impl Sleeper {
    fn sleep(&self) {
        let mut is_woken = self.is_woken.lock().unwrap();
        while !*is_woken {
            is_woken = self.condvar.wait(is_woken).unwrap();
        }
        *is_woken = false;
    }
}

/// Subscribes as a client does: its acknowledgement has a place before it is a member. Returns the first number to come.
fn subscribe(hub: &Hub, member: &Arc<Member>, start: &Start) -> u64 {
    assert!(futures::FutureExt::now_or_never(member.outbox.reserve()).unwrap());
    let (_, position) = hub.join(member, "r", Some(9), start).unwrap();
    let position = position.unwrap();
    member.outbox.fill(&member.tell("ack", None, &position.from));
    position.from
}

/// A member, and the writer of its connection.
struct Peer {
    member: Arc<Member>,
    sleeper: Arc<Sleeper>,
    got: Vec<serde_json::Value>,
}

impl Peer {
    fn new(hub: &Hub) -> Peer {
        let spoken = Spoken { place: 0, dialect: Arc::new(Json) };
        let member = Arc::new(Member::new(SocketId::random(), spoken, &Config::default()));
        hub.connect(&member);
        Peer { member, sleeper: Arc::default(), got: Vec::new() }
    }

    fn subscribe(&self, hub: &Hub, start: &Start) -> u64 {
        subscribe(hub, &self.member, start)
    }

    /// Writes until the message `last` has come.
    fn read_to(&mut self, last: u64) {
        let waker = Waker::from(self.sleeper.clone());
        while self.got.iter().all(|got| got["seq"] != last) {
            let (mut batch, mut ready, mut again) = (VecDeque::<Item>::new(), Vec::new(), Vec::new());
            match self.member.outbox.take(Backlog::default(), &mut batch, &mut ready, &waker) {
                Next::Write => {}
                Next::Park => self.sleeper.sleep(),
                Next::End(_) => panic!("nobody ends"),
            }
            for room in ready {
                let give = |bytes, messages| batch.push_back(Item::pulled(bytes, messages));
                if room.pull(&self.member, PULL, false, give) {
                    again.push(room);
                }
            }
            self.member.outbox.push_again(&mut again);
            for part in batch {
                let mut frames = Bytes::copy_from_slice(&part);
                while !frames.is_empty() {
                    let length = usize::from(frames[1]);
                    let frame = frames.split_to(2 + length);
                    let packet = Json.decode(frame.slice(2..), 9).unwrap();
                    assert!(!packet.event().is_empty());
                    self.got.push(serde_json::from_slice(&frame[2..]).unwrap());
                }
            }
        }
    }

    /// Checks that all came from `from` to `last`, in order, or was told to be missing.
    fn check(&self, from: u64, last: u64) {
        let (mut next, mut got) = (from, self.got.iter());
        assert_eq!(got.next().unwrap()["event"], "ack", "it precedes the room's first frame");
        for got in got {
            if got["event"] == "gap" {
                assert_eq!(got["data"]["from"], next, "{:?}", self.got);
                next = got["data"]["to"].as_u64().unwrap() + 1;
            } else if got["snapshot"] == true {
                let seq = got["seq"].as_u64().unwrap();
                assert!(seq + 1 >= next && got["data"] == seq, "it stands for all before it: {:?}", self.got);
                next = seq + 1;
            } else {
                assert_eq!(got["seq"], next, "{:?}", self.got);
                next += 1;
            }
        }
        assert_eq!(next, last + 1);
    }
}

#[test]
fn replay_and_live_meet_without_a_gap_or_a_double() {
    try_orders(|| {
        let hub = hub(History::default());
        publish(&hub, 0);
        let publisher = thread::spawn({
            let hub = hub.clone();
            move || (1..4).for_each(|number| publish(&hub, number))
        });
        let readers = [Start::Usual, Start::Live].map(|start| {
            let hub = hub.clone();
            thread::spawn(move || {
                let mut peer = Peer::new(&hub);
                let from = peer.subscribe(&hub, &start);
                if from < 5 {
                    peer.read_to(4);
                    peer.check(from, 4);
                }
            })
        });
        publisher.join().unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn the_acknowledgement_precedes_the_rooms_first_frame() {
    try_orders(|| {
        let hub = hub(History::default());
        publish(&hub, 1);
        let mut peer = Peer::new(&hub);
        let handler = thread::spawn({
            let (hub, member) = (hub.clone(), peer.member.clone());
            move || subscribe(&hub, &member, &Start::Usual)
        });
        let publisher = thread::spawn({
            let hub = hub.clone();
            move || publish(&hub, 2)
        });
        peer.read_to(2);
        peer.check(1, 2);
        assert_eq!(handler.join().unwrap(), 1);
        publisher.join().unwrap();
    });
}

#[test]
fn two_publishers_and_a_ring_that_overtakes() {
    try_orders(|| {
        let hub = hub(History::messages(2));
        let publishers = [0, 1].map(|_| {
            let hub = hub.clone();
            thread::spawn(move || (0..2).for_each(|number| publish(&hub, number)))
        });
        let mut peer = Peer::new(&hub);
        let from = peer.subscribe(&hub, &Start::Usual);
        peer.read_to(4);
        peer.check(from, 4);
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    });
}

#[test]
fn who_leaves_and_comes_back_goes_on_where_it_was() {
    try_orders(|| {
        let hub = hub(History::default());
        publish(&hub, 1);
        let publisher = thread::spawn({
            let hub = hub.clone();
            move || (2..4).for_each(|number| publish(&hub, number))
        });
        let mut peer = Peer::new(&hub);
        assert_eq!(peer.subscribe(&hub, &Start::Usual), 1);
        peer.read_to(1);
        let seen = peer.got.last().unwrap()["seq"].as_u64().unwrap();
        hub.leave(&peer.member, "r");
        let epoch = hub.rooms().get("r").unwrap().lock().log.as_ref().unwrap().epoch().as_ref().into();
        peer.got.clear();
        assert_eq!(peer.subscribe(&hub, &Start::Since { seq: seen, epoch }), seen + 1);
        if seen < 3 {
            peer.read_to(3);
            peer.check(seen + 1, 3);
        }
        publisher.join().unwrap();
    });
}

#[test]
fn a_snapshot_stands_for_what_is_no_longer_there() {
    try_orders(|| {
        // The state is the number of the last message that was folded.
        let hub = hub(History::messages(1).snapshot("state", 0, |last: &mut u64, message| {
            assert_eq!(message.seq, *last + 1, "each is folded once, in order");
            *last = message.seq;
        }));
        publish(&hub, 1);
        let publishers = [0, 1].map(|_| {
            let hub = hub.clone();
            thread::spawn(move || publish(&hub, 2))
        });
        let readers = [0, 1].map(|_| {
            let hub = hub.clone();
            thread::spawn(move || {
                let mut peer = Peer::new(&hub);
                peer.subscribe(&hub, &Start::Usual);
                peer.read_to(3);
                peer.check(1, 3);
            })
        });
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn a_room_that_begins_anew_tells_everybody() {
    try_orders(|| {
        let hub = hub(History::default());
        publish(&hub, 1);
        let other = thread::spawn({
            let hub = hub.clone();
            move || {
                hub.rooms().get("r").unwrap().clear();
                publish(&hub, 2);
                publish(&hub, 3);
            }
        });
        let mut peer = Peer::new(&hub);
        peer.subscribe(&hub, &Start::Usual);
        peer.read_to(2);
        let epochs = peer.got.iter().filter(|got| got["event"] == "gap").count();
        let seqs: Vec<u64> = peer.got.iter().filter_map(|got| got["seq"].as_u64()).collect();
        // It came before or after the room was cleared, and before that it may have read on or not.
        let expected: &[&[u64]] = if epochs == 0 { &[&[1, 2]] } else { &[&[1, 1, 2], &[1, 2]] };
        assert!(expected.contains(&&*seqs) && epochs <= 1, "{:?}", peer.got);
        other.join().unwrap();
    });
}
