//! Random histories against a plain oracle, without sockets: whatever happens, a member sees a contiguous run, less what it
//! was left out of, or is told exactly what is missing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::{History, Start};
use crate::config::{Config, Overflow};
use crate::frame;
use crate::hub::{Audience, Hub, Manner, Member, Message, SocketId, Spoken};
use crate::outbox::{Backlog, Next};
use crate::patterns::Pattern;
use crate::protocol::Json;

const MEMBERS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    /// Of so many bytes, and who is left out.
    Publish(usize, Option<usize>),
    Join(usize, Place),
    Leave(usize),
    /// Its peer takes up to so many turns of so many bytes.
    Read(usize, usize, usize),
    Clear,
    /// The connection ends in order: what is there is sent first. Then another comes in its place.
    End(usize),
}

#[derive(Clone, Debug)]
enum Place {
    Usual,
    Live,
    Last(u64),
    /// Behind what it has seen, or so many before.
    Since(u64),
    /// A number that may not be there yet.
    At(u64),
    OtherEpoch(u64),
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        3 => Just(Place::Usual),
        1 => Just(Place::Live),
        2 => (0u64..30).prop_map(Place::Last),
        4 => (0u64..12).prop_map(Place::Since),
        1 => (0u64..60).prop_map(Place::At),
        1 => (0u64..60).prop_map(Place::OtherEpoch),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..MEMBERS;
    prop_oneof![
        10 => (0usize..120, prop::option::weighted(0.3, who())).prop_map(|(size, except)| Step::Publish(size, except)),
        4 => (who(), place()).prop_map(|(who, place)| Step::Join(who, place)),
        1 => who().prop_map(Step::Leave),
        6 => (who(), 1usize..4, 1usize..600).prop_map(|(who, turns, most)| Step::Read(who, turns, most)),
        1 => Just(Step::Clear),
        1 => who().prop_map(Step::End),
    ]
}

/// What a member is to see next, as anybody would keep it who knows nothing of rings and cursors.
#[derive(Debug)]
struct Viewer {
    member: Arc<Member>,
    /// The number that comes next, while it is in the room.
    next: Option<u64>,
    /// Whether it is to be told first that this is another life.
    is_new: bool,
}

struct Run {
    hub: Hub,
    viewers: Vec<Viewer>,
    /// Whom the messages of this life leave out.
    excepts: Vec<Option<SocketId>>,
    epoch: Arc<str>,
    count: usize,
    folds: bool,
}

impl Viewer {
    /// What is not for it is not told. All else is.
    fn pass_over(&mut self, to: u64, excepts: &[Option<SocketId>], frame: &Value) -> Result<(), TestCaseError> {
        while self.next.unwrap() < to {
            let skipped = self.next.unwrap();
            let is_left_out = excepts[skipped as usize - 1] == Some(self.member.id);
            prop_assert!(is_left_out, "{} is missing: {:?} {}", skipped, self, frame);
            self.next = Some(skipped + 1);
        }
        prop_assert_eq!(self.next, Some(to), "{}", frame);
        Ok(())
    }
}

fn viewer() -> Viewer {
    let spoken = Spoken { place: 0, dialect: Arc::new(Json) };
    let member = Arc::new(Member::new(SocketId::random(), spoken, &Config::default()));
    Viewer { member, next: None, is_new: false }
}

impl Run {
    fn new(count: usize, folds: bool) -> Run {
        let hub = Hub::new();
        let mut history = History::messages(count);
        if folds {
            history = history.snapshot("sum", 0u64, |sum: &mut u64, message| *sum += message.seq);
        }
        hub.rooms().histories.set(Pattern::parse("log").unwrap(), Arc::new(history));
        let viewers: Vec<Viewer> = (0..MEMBERS).map(|_| viewer()).collect();
        viewers.iter().for_each(|viewer| hub.connect(&viewer.member));
        // The room is there from the start, whoever is in it.
        let mut run = Run { hub, viewers, excepts: Vec::new(), epoch: "".into(), count, folds };
        run.revive();
        run
    }

    /// A room in which nothing was said goes with its last member: then another life of it begins.
    fn revive(&mut self) {
        if self.last() == 0 && self.viewers.iter().all(|viewer| viewer.next.is_none()) {
            self.publish(0, None);
        }
        let epoch = |state: &mut crate::rooms::RoomState| state.log.as_ref().unwrap().epoch().clone();
        self.epoch = self.hub.rooms().with("log", false, |_, state| epoch(state)).unwrap();
    }

    fn last(&self) -> u64 {
        self.excepts.len() as u64
    }

    /// The oldest that is kept.
    fn first(&self) -> u64 {
        (self.last() + 1).saturating_sub(self.count as u64).max(1)
    }

    fn publish(&mut self, size: usize, except: Option<usize>) {
        let except: Vec<SocketId> = except.map(|who| self.viewers[who].member.id).into_iter().collect();
        let data = format!("\"{}\"", "x".repeat(size));
        let audience = Audience { rooms: &["log"], except: &except, except_rooms: &[] };
        let manner = Manner::Overflow(Overflow::Disconnect);
        self.hub.broadcast(audience, Message { event: "n", data: data.as_bytes(), manner, lag: None, once: None });
        self.excepts.push(except.first().copied());
    }

    fn join(&mut self, who: usize, place: &Place) -> Result<(), TestCaseError> {
        let viewer = &self.viewers[who];
        let (first, last) = (self.first(), self.last());
        let begin = if self.folds { 1 } else { first };
        let since = |seq: u64, epoch: &str| Start::Since { seq, epoch: epoch.into() };
        let start = match place {
            Place::Usual => Start::Usual,
            Place::Live => Start::Live,
            Place::Last(count) => Start::Last(*count),
            Place::Since(back) => since(viewer.next.unwrap_or(1).saturating_sub(back + 1), &self.epoch),
            Place::At(seq) => since(*seq, &self.epoch),
            Place::OtherEpoch(seq) => since(*seq, "other"),
        };
        let (next, is_new) = match &start {
            Start::Since { seq, epoch } if **epoch != *self.epoch || *seq > last => (Some(begin), true),
            Start::Since { seq, .. } => (Some(seq + 1), false),
            _ if viewer.next.is_some() => (viewer.next, viewer.is_new),
            Start::Usual => (Some(begin), false),
            Start::Live => (Some(last + 1), false),
            Start::Last(count) => (Some((last + 1).saturating_sub(*count).max(begin)), false),
        };
        let was_in = viewer.next.is_some();
        let (_, position) = self.hub.join(&viewer.member, "log", None, &start).unwrap();
        let position = position.unwrap();
        prop_assert_eq!((&position.epoch, position.seq), (&self.epoch, last));
        if !was_in || matches!(start, Start::Since { .. }) {
            prop_assert_eq!(position.from, next.unwrap_or(first).max(first), "{:?}", start);
        }
        let viewer = &mut self.viewers[who];
        (viewer.next, viewer.is_new) = (next, is_new);
        Ok(())
    }

    /// As the writer does. Returns whether there may be more.
    fn turn(&mut self, who: usize, most: usize) -> Result<bool, TestCaseError> {
        let member = self.viewers[who].member.clone();
        let (mut batch, mut ready, mut parts) = (VecDeque::new(), Vec::new(), Vec::new());
        let next = member.outbox.take(Backlog::default(), &mut batch, &mut ready, Waker::noop());
        prop_assert!(batch.is_empty());
        let is_last = member.outbox.is_ending();
        let mut again = Vec::new();
        for room in ready.drain(..) {
            let more = room.pull(&member, most, is_last, |bytes: Bytes, messages| parts.push((bytes, messages)));
            if more {
                again.push(room);
            }
        }
        member.outbox.push_again(&mut again);
        let (mut frames, mut messages) = (Vec::new(), 0);
        for (bytes, count) in parts {
            prop_assert!(!bytes.is_empty());
            frames.extend_from_slice(&bytes);
            messages += count;
        }
        let mut seen = 0;
        while !frames.is_empty() {
            let length = match frames[1] {
                126 => u16::from_be_bytes([frames[2], frames[3]]) as usize,
                short => short as usize,
            };
            let end = frame::payload(&frames) + length;
            let json: Value = serde_json::from_slice(&frames[frame::payload(&frames)..end]).unwrap();
            self.see(who, &json)?;
            frames.drain(..end);
            seen += 1;
        }
        prop_assert_eq!(seen, messages, "each message is counted");
        Ok(matches!(next, Next::Write))
    }

    fn see(&mut self, who: usize, frame: &Value) -> Result<(), TestCaseError> {
        let (first, last) = (self.first(), self.last());
        let viewer = &mut self.viewers[who];
        prop_assert!(viewer.next.is_some(), "it is not in the room: {}", frame);
        if frame["event"] == "gap" {
            let gap = &frame["data"];
            prop_assert_eq!(&gap["epoch"], &*self.epoch);
            if gap["reason"] == "epoch" {
                prop_assert!(viewer.is_new && gap["from"].is_null() && gap["to"].is_null(), "{:?} {}", viewer, frame);
                viewer.is_new = false;
                return Ok(());
            }
            prop_assert!(!self.folds, "a snapshot stands for what is missing: {}", frame);
            let (from, to) = (gap["from"].as_u64().unwrap(), gap["to"].as_u64().unwrap());
            prop_assert!(from <= to && to < first, "what is there is not missing: {} of {}", frame, first);
            viewer.pass_over(from, &self.excepts, frame)?;
            viewer.next = Some(to + 1);
            return Ok(());
        }
        let seq = frame["seq"].as_u64().unwrap();
        prop_assert!(!viewer.is_new, "epoch is told first: {}", frame);
        if frame["snapshot"] == true {
            prop_assert!(self.folds && viewer.next.unwrap() < first, "{:?} {}", viewer, frame);
            prop_assert_eq!((seq, &frame["data"]), (first - 1, &Value::from(seq * (seq + 1) / 2)));
            viewer.next = Some(first);
            return Ok(());
        }
        viewer.pass_over(seq, &self.excepts, frame)?;
        prop_assert!(seq <= last && self.excepts[seq as usize - 1] != Some(viewer.member.id), "{}", frame);
        viewer.next = Some(seq + 1);
        Ok(())
    }

    /// Reads to the end: then nothing is missing.
    fn drain(&mut self, who: usize) -> Result<(), TestCaseError> {
        for _ in 0..10_000 {
            if !self.turn(who, 1 << 20)? {
                return self.has_all(who);
            }
        }
        Err(TestCaseError::fail("it never comes to an end"))
    }

    fn has_all(&mut self, who: usize) -> Result<(), TestCaseError> {
        let viewer = &self.viewers[who];
        prop_assert!(!viewer.is_new, "{:?}", viewer);
        let Some(next) = viewer.next else { return Ok(()) };
        let is_for_it = |seq: &u64| self.excepts[*seq as usize - 1] != Some(viewer.member.id);
        let missing: Vec<u64> = (next..=self.last()).filter(is_for_it).collect();
        prop_assert!(missing.is_empty(), "{:?} of {:?}", missing, viewer);
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Publish(size, except) => self.publish(*size, *except),
            Step::Join(who, place) => self.join(*who, place)?,
            Step::Leave(who) => {
                self.hub.leave(&self.viewers[*who].member, "log");
                (self.viewers[*who].next, self.viewers[*who].is_new) = (None, false);
            }
            Step::Read(who, turns, most) => {
                for _ in 0..*turns {
                    self.turn(*who, *most)?;
                }
            }
            Step::Clear => {
                self.hub.rooms().get("log").unwrap().clear();
                self.excepts.clear();
                for viewer in self.viewers.iter_mut().filter(|viewer| viewer.next.is_some()) {
                    (viewer.next, viewer.is_new) = (Some(1), true);
                }
            }
            Step::End(who) => {
                let ending =
                    crate::closing::Ending::after_drain(crate::closing::DisconnectReason::Server, Default::default());
                self.viewers[*who].member.end(ending);
                self.drain(*who)?;
                let gone = std::mem::replace(&mut self.viewers[*who], viewer());
                gone.member.outbox.close();
                self.hub.disconnect(&gone.member);
                self.hub.connect(&self.viewers[*who].member);
                prop_assert_eq!(Arc::strong_count(&gone.member), 1, "nobody keeps it");
            }
        }
        self.revive();
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]
    #[test]
    fn a_member_sees_a_contiguous_run_or_is_told_what_is_missing(
        count in 1usize..20,
        folds in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut run = Run::new(count, folds);
        for step in &steps {
            run.take(step)?;
        }
        for who in 0..MEMBERS {
            run.drain(who)?;
        }
    }
}
