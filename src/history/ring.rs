//! The frames of a room, one after another: bounded, and shared with whoever reads them.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Frames are written into blocks of this size, or of what the ring holds where that is less.
const MAX_BLOCK: usize = 64 * 1024;
const MIN_BLOCK: usize = 512;

/// A block that was read in more parts than this is put together once it is full, so that who reads it later gets
/// it as one.
const MANY: usize = 8;

/// What one message is, beside its frame.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where its frame ends, counted from the beginning of the ring.
    end: u64,
    /// When it came, in milliseconds of the ring's own clock.
    at: u64,
}

/// A run of whole frames.
#[derive(Debug)]
struct Segment {
    start: u64,
    bytes: Bytes,
}

impl Segment {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// Numbered frames, of which the oldest are taken out. Positions are counted in bytes from the ring's beginning and
/// never go back.
#[derive(Debug)]
pub(super) struct Ring {
    first: u64,
    entries: VecDeque<Entry>,
    /// Where the first frame begins.
    start: u64,
    segments: VecDeque<Segment>,
    /// The frames behind the last segment. A reader makes a segment of them; what is written then goes on in the
    /// rest of the same block.
    open: BytesMut,
    /// Where the block begins that `open` is the end of.
    block: u64,
}

impl Ring {
    /// An empty one, of which the first frame is to be number 1.
    pub(super) fn new() -> Ring {
        Ring {
            first: 1,
            entries: VecDeque::new(),
            start: 0,
            segments: VecDeque::new(),
            open: BytesMut::new(),
            block: 0,
        }
    }

    /// The number of the oldest frame; of the next one, where there is none.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the newest frame, of those that were ever in it.
    pub(super) fn last(&self) -> u64 {
        self.first + self.entries.len() as u64 - 1
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes of the frames in it.
    pub(super) fn bytes(&self) -> usize {
        (self.end() - self.start) as usize
    }

    /// Where the newest frame ends.
    pub(super) fn end(&self) -> u64 {
        self.entries.back().map_or(self.start, |entry| entry.end)
    }

    /// Where a frame begins; the ring's start for one that is gone, its end for one that is to come.
    pub(super) fn position(&self, seq: u64) -> u64 {
        match seq.checked_sub(self.first) {
            None | Some(0) => self.start,
            Some(index) => self.entries.get(index as usize - 1).map_or(self.end(), |entry| entry.end),
        }
    }

    /// When a frame came that is in it.
    pub(super) fn at(&self, seq: u64) -> Option<u64> {
        let index = seq.checked_sub(self.first)?;
        self.entries.get(index as usize).map(|entry| entry.at)
    }

    /// Adds a frame, at a time in milliseconds.
    pub(super) fn push(&mut self, frame: &[u8], at: u64) {
        if self.open.capacity() - self.open.len() < frame.len() {
            self.next_block(frame.len());
        }
        self.open.extend_from_slice(frame);
        self.entries.push_back(Entry { end: self.end() + frame.len() as u64, at });
    }

    /// Takes out the oldest frame.
    pub(super) fn pop(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        self.first += 1;
        self.start = entry.end;
        if self.segments.is_empty() {
            // It lies in the open block, which would otherwise never be let go.
            self.close_segment();
        }
        while self.segments.pop_front_if(|segment| segment.end() <= self.start).is_some() {}
        if self.entries.is_empty() {
            self.open = BytesMut::new();
        }
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// The last frame that can be read from `seq` on, up to `most` bytes, one frame at least.
    pub(super) fn reach(&self, seq: u64, most: usize) -> u64 {
        let limit = self.position(seq) + most as u64;
        let index = self.entries.partition_point(|entry| entry.end <= limit) as u64;
        (self.first + index).saturating_sub(1).clamp(seq, self.last().max(seq))
    }

    /// Gives the frames `from` to `to`, both included, as few slices.
    pub(super) fn read(&mut self, from: u64, to: u64, mut slice: impl FnMut(Bytes)) {
        let (start, end) = (self.position(from), self.position(to + 1));
        if end > self.open_start() {
            self.close_segment();
        }
        let index = self.segments.partition_point(|segment| segment.end() <= start);
        for segment in self.segments.range(index..).take_while(|segment| segment.start < end) {
            let from = start.saturating_sub(segment.start) as usize;
            let to = (end.min(segment.end()) - segment.start) as usize;
            slice(segment.bytes.slice(from..to));
        }
    }

    /// The frame of one message.
    pub(super) fn frame(&mut self, seq: u64) -> Bytes {
        let mut frame = Bytes::new();
        self.read(seq, seq, |slice| frame = slice);
        frame
    }

    fn open_start(&self) -> u64 {
        self.end() - self.open.len() as u64
    }

    fn close_segment(&mut self) {
        if !self.open.is_empty() {
            let start = self.open_start();
            self.segments.push_back(Segment { start, bytes: self.open.split().freeze() });
        }
    }

    fn next_block(&mut self, least: usize) {
        self.close_segment();
        let index = self.segments.partition_point(|segment| segment.start < self.block);
        if self.segments.len() - index > MANY {
            let parts = self.segments.split_off(index);
            let start = parts.front().map_or(self.end(), |part| part.start);
            let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.bytes.len()).sum());
            parts.iter().for_each(|part| bytes.extend_from_slice(&part.bytes));
            self.segments.push_back(Segment { start, bytes: bytes.into() });
        }
        self.block = self.end();
        let size = self.bytes().clamp(MIN_BLOCK, MAX_BLOCK).max(least);
        self.open = BytesMut::with_capacity(size);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(seq: u64, length: usize) -> Vec<u8> {
        (0..length).map(|index| (seq as usize * 31 + index) as u8).collect()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Pop,
        Read(u64, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1usize..300).prop_map(Step::Push),
            1 => (30_000usize..140_000).prop_map(Step::Push),
            3 => Just(Step::Pop),
            4 => (0u64..40, 1usize..200_000).prop_map(|(back, most)| Step::Read(back, most)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Against a plain list of frames.
        #[test]
        fn what_is_read_is_what_was_written(steps in prop::collection::vec(step(), 1..200)) {
            let mut ring = Ring::new();
            let mut oracle: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
            let mut next = 1;
            for step in steps {
                match step {
                    Step::Push(length) => {
                        ring.push(&frame(next, length), next);
                        oracle.push_back((next, frame(next, length)));
                        next += 1;
                    }
                    Step::Pop => {
                        ring.pop();
                        oracle.pop_front();
                    }
                    Step::Read(back, most) => {
                        let Some(&(first, _)) = oracle.front() else { continue };
                        let from = (next - 1).saturating_sub(back).max(first);
                        let to = ring.reach(from, most);
                        let mut read = Vec::new();
                        ring.read(from, to, |slice| read.extend_from_slice(&slice));
                        let expected: Vec<&Vec<u8>> =
                            oracle.iter().filter(|(seq, _)| (from..=to).contains(seq)).map(|(_, frame)| frame).collect();
                        prop_assert!(expected.len() == 1 || read.len() <= most);
                        let more = oracle.iter().find(|(seq, _)| *seq == to + 1).map_or(most, |(_, frame)| frame.len());
                        prop_assert!(read.len() + more > most || to == next - 1, "no less than fits");
                        prop_assert_eq!(read, expected.into_iter().flatten().copied().collect::<Vec<u8>>());
                    }
                }
                prop_assert_eq!(ring.bytes(), oracle.iter().map(|(_, frame)| frame.len()).sum::<usize>());
                prop_assert_eq!((ring.len(), ring.last()), (oracle.len(), next - 1));
                prop_assert_eq!(ring.first(), oracle.front().map_or(next, |(seq, _)| *seq));
            }
        }
    }

    #[test]
    fn an_empty_ring_holds_no_block() {
        let mut ring = Ring::new();
        for seq in 1..=1000 {
            ring.push(&frame(seq, 100), 0);
            ring.frame(seq);
        }
        assert!(ring.segments.len() < 700, "parts of full blocks are put together: {}", ring.segments.len());
        (0..1000).for_each(|_| ring.pop());
        assert_eq!((ring.segments.len(), ring.open.capacity(), ring.bytes()), (0, 0, 0));
    }
}
