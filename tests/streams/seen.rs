//! What a viewer has got, through however many connections, and whether that is everything.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::records::{Ack, Gap, Heard, Record, Records, What, check};

/// Messages that are missing, as it was told.
#[derive(Debug)]
struct Hole {
    from: u64,
    to: u64,
    /// The bytes before it, and those before the output that came first after it, where they are known.
    before: Option<u64>,
    after: Option<u64>,
}

/// One run of a process, as one viewer has got it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) epoch: Option<String>,
    /// The number of the message that must come next.
    pub(crate) next: u64,
    /// The first message of all.
    pub(crate) first: Option<u64>,
    /// The bytes of output so far, those that are missing among them; `None` where that is not known.
    off: Option<u64>,
    pub(crate) records: Vec<Arc<Record>>,
    holes: Vec<Hole>,
    /// How many gaps it was told.
    pub(crate) gaps: u64,
    ended: Option<i32>,
}

impl Seen {
    pub(crate) fn new() -> Seen {
        Seen {
            epoch: None,
            next: 1,
            first: None,
            off: Some(0),
            records: Vec::new(),
            holes: Vec::new(),
            gaps: 0,
            ended: None,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// How many bytes it has, or knows to be missing.
    pub(crate) fn bytes(&self) -> u64 {
        self.off.unwrap_or(0)
    }

    /// It has subscribed, the first time or again.
    pub(crate) fn begins(&mut self, ack: &Ack) -> Result<(), String> {
        match &self.epoch {
            None => {
                check(ack.from >= 1 && ack.from <= ack.seq + 1, || format!("{ack:?}"))?;
                self.epoch = Some(ack.epoch.clone());
                (self.next, self.first) = (ack.from, Some(ack.from));
                if ack.from > 1 {
                    self.off = None;
                }
            }
            Some(epoch) => {
                check(*epoch == ack.epoch, || format!("another life of the room: {epoch}, then {}", ack.epoch))?;
                // Further on only behind a gap, which it is told.
                check(ack.from >= self.next, || format!("back to {}, and {} is next", ack.from, self.next))?;
            }
        }
        Ok(())
    }

    /// A frame of the room has come.
    pub(crate) fn take(&mut self, heard: Heard) -> Result<(), String> {
        match heard {
            Heard::Message(record) => self.message(record),
            Heard::Gap(gap) => self.gap(&gap),
            Heard::Ack(ack) => Err(format!("an ack that nobody has asked for: {ack:?}")),
        }
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), String> {
        let (Some(from), Some(to)) = (gap.from, gap.to) else { return Err(format!("{gap:?}")) };
        check(["slow", "evicted"].contains(&&*gap.reason), || format!("{gap:?}"))?;
        check(self.epoch.as_ref() == Some(&gap.epoch), || format!("another epoch: {gap:?}"))?;
        check(from == self.next && to >= from, || format!("{} is next: {gap:?}", self.next))?;
        check(!self.is_over(), || format!("behind the end: {gap:?}"))?;
        self.next = to + 1;
        self.gaps += 1;
        match self.holes.last_mut() {
            // Nothing but messages without output in between, or nothing at all.
            Some(hole) if hole.after.is_none() && hole.to + 1 == from => hole.to = to,
            _ => {
                let before = self.off.take();
                self.holes.push(Hole { from, to, before, after: None });
            }
        }
        Ok(())
    }

    fn message(&mut self, record: Arc<Record>) -> Result<(), String> {
        let seq = record.seq;
        check(seq == self.next, || format!("number {seq} where {} is next", self.next))?;
        check(!self.is_over(), || format!("number {seq} comes behind the last status"))?;
        self.next += 1;
        if let Some(before) = self.records.last() {
            check(before.run == record.run, || format!("number {seq} is of another run"))?;
        }
        match &record.what {
            What::Running => check(seq == 1, || format!("it begins with number {seq}"))?,
            What::Ended { code } => self.ended = Some(*code),
            What::Output { off, bytes } => {
                match self.off {
                    Some(expected) => {
                        check(*off == expected, || format!("number {seq} is at {off} and not {expected}"))?;
                    }
                    None => {
                        if let Some(hole) = self.holes.last_mut() {
                            hole.after = Some(*off);
                        }
                    }
                }
                self.off = Some(off + bytes.len() as u64);
            }
        }
        self.records.push(record);
        Ok(())
    }

    /// That it has all of a file's bytes; where it was told of gaps or came late, all but exactly those.
    pub(crate) fn is_whole(&self, file: &Path, all: &Records) -> Result<(), String> {
        let truth = std::fs::read(file).map_err(|error| error.to_string())?;
        check(self.ended == Some(0), || format!("it ended as {:?}", self.ended))?;
        for record in &self.records {
            let What::Output { off, bytes } = &record.what else { continue };
            let wanted = truth.get(*off as usize..*off as usize + bytes.len());
            if wanted != Some(bytes) {
                let wanted = wanted.unwrap_or_default();
                let same = bytes.iter().zip(wanted).take_while(|(got, wanted)| got == wanted).count();
                return Err(format!(
                    "number {} is other than the file from byte {} on",
                    record.seq,
                    *off as usize + same
                ));
            }
        }
        for hole in &self.holes {
            let missing: Option<Vec<_>> = (hole.from..=hole.to).map(|seq| all.get(seq)).collect();
            let missing = missing.ok_or_else(|| format!("nobody has got all of {hole:?}"))?;
            let bytes: u64 = missing.iter().map(|record| record.bytes().len() as u64).sum();
            let after = hole.after.unwrap_or(truth.len() as u64);
            check(hole.before.is_none_or(|before| before + bytes == after), || format!("{bytes} bytes: {hole:?}"))?;
        }
        if let Some(off) = self.off {
            check(off == truth.len() as u64, || format!("{off} bytes of {}", truth.len()))?;
        }
        if self.holes.is_empty() && self.first == Some(1) {
            let (got, wanted) = (sha256(self.records.iter().map(|record| record.bytes())), sha256([&truth[..]]));
            check(got == wanted, || format!("sha256 {got} and not {wanted}"))?;
        }
        Ok(())
    }
}

/// The sum of these bytes joined, by another program.
pub(crate) fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut program = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = program.stdin.take().unwrap();
    parts.into_iter().for_each(|part| input.write_all(part).unwrap());
    drop(input);
    let printed = String::from_utf8(program.wait_with_output().unwrap().stdout).unwrap();
    let sum = printed.split(' ').next().unwrap();
    assert_eq!(sum.len(), 64, "{printed}");
    sum.to_owned()
}
