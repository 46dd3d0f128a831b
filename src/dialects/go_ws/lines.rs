//! Bytes that come in chunks, cut into lines.

use std::mem;

/// A line beyond this goes out in pieces: so much of an unfinished one is kept, and no more.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// What there is of a line that has not ended. How the bytes were cut into chunks does not show in the lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lines {
    // Bytes, since a chunk may end within a character.
    begun: Vec<u8>,
}

impl Lines {
    /// Takes a chunk; hands on each line that it finishes, without its `\n` or `\r\n`.
    pub(super) fn push(&mut self, chunk: &[u8], mut line: impl FnMut(&[u8])) {
        for part in chunk.split_inclusive(|&byte| byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(end) if self.begun.is_empty() => whole(end, &mut line),
                Some(end) => {
                    self.begun.extend_from_slice(end);
                    // Taken, not cleared: a room keeps no memory for what it has told.
                    whole(&mem::take(&mut self.begun), &mut line);
                }
                None => self.begin(part, &mut line),
            }
        }
    }

    /// No more comes: what has begun is the last line.
    pub(super) fn end(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            pieces(&mem::take(&mut self.begun), &mut line);
        }
    }

    fn begin(&mut self, part: &[u8], line: &mut impl FnMut(&[u8])) {
        self.begun.extend_from_slice(part);
        let mut rest = &self.begun[..];
        // A carriage return just behind the limit may yet belong to the line's end.
        while rest.len() > MAX_LINE && rest[MAX_LINE..] != *b"\r" {
            let (piece, behind) = rest.split_at(cut(rest));
            line(piece);
            rest = behind;
        }
        if rest.len() < self.begun.len() {
            self.begun = rest.to_vec();
        }
    }
}

/// A line that has ended with `\n`.
fn whole(bytes: &[u8], line: &mut impl FnMut(&[u8])) {
    pieces(bytes.strip_suffix(b"\r").unwrap_or(bytes), line);
}

fn pieces(mut rest: &[u8], line: &mut impl FnMut(&[u8])) {
    while rest.len() > MAX_LINE {
        let (piece, behind) = rest.split_at(cut(rest));
        line(piece);
        rest = behind;
    }
    line(rest);
}

/// Where more than [`MAX_LINE`] bytes are cut: before a character, if the bytes are text.
fn cut(bytes: &[u8]) -> usize {
    let begins = |&at: &usize| bytes[at] & 0xc0 != 0x80;
    // A character has at most four bytes.
    (MAX_LINE - 3..=MAX_LINE).rev().find(begins).unwrap_or(MAX_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.push(chunk, |line| out.push(line.to_vec()));
            assert!(lines.begun.capacity() <= 2 * (MAX_LINE + 1) + chunk.len(), "bounded");
        }
        lines.end(|line| out.push(line.to_vec()));
        out
    }

    /// Small and repeatable.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % n as u64) as usize
        }

        fn chunks<'a>(&mut self, mut bytes: &'a [u8], most: usize) -> Vec<&'a [u8]> {
            let mut chunks = Vec::new();
            while !bytes.is_empty() {
                let (chunk, rest) = bytes.split_at((1 + self.below(most)).min(bytes.len()));
                chunks.push(chunk);
                bytes = rest;
            }
            chunks
        }
    }

    #[test]
    fn any_chunks_of_a_text_give_its_lines() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for round in 0..2_000 {
            let parts = ["a", "é", "€", "😀", "\n", "\r\n", "\r", " "];
            let text: String = (0..random.below(60)).map(|_| parts[random.below(parts.len())]).collect();
            // `str::lines` is what a line is, but for the return at the very end, which it keeps as we do.
            let expected: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
            let chunks = random.chunks(text.as_bytes(), 1 + round % 9);
            assert_eq!(lines(&chunks), expected, "{text:?} as {chunks:?}");
        }
    }

    #[test]
    fn a_long_line_goes_out_in_pieces_that_depend_on_no_chunk() {
        let mut random = Random(7);
        for length in [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, MAX_LINE + 2, 2 * MAX_LINE, 200_000] {
            for end in ["", "\n", "\r\n", "\rx", "\n\n", "é"] {
                for filler in ["x", "€", "\r"] {
                    let text = "€".to_owned() + &filler.repeat((length - 3) / filler.len()) + end + "\nlast";
                    let whole = lines(&[text.as_bytes()]);
                    assert!(whole.iter().all(|line| line.len() <= MAX_LINE), "no piece is longer");
                    let all_text = whole.iter().all(|line| std::str::from_utf8(line).is_ok());
                    assert!(all_text, "no character is cut");
                    let expected: usize = text.lines().map(str::len).sum();
                    assert_eq!(whole.iter().map(Vec::len).sum::<usize>(), expected, "nothing is lost");
                    for most in [1_000, 70_000] {
                        let chunks = random.chunks(text.as_bytes(), most);
                        assert!(lines(&chunks) == whole, "{length} of {filler:?}, {end:?}, chunks up to {most}");
                    }
                    let at = text.len() - "\nlast".len();
                    for cut in at - 2..=at + 1 {
                        let (one, two) = text.as_bytes().split_at(cut);
                        assert!(lines(&[one, two]) == whole, "{length} of {filler:?}, {end:?}, cut at {cut}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_text_is_cut_as_well() {
        let bytes = vec![0x80; 3 * MAX_LINE];
        assert_eq!(lines(&[&bytes]).iter().map(Vec::len).collect::<Vec<_>>(), [MAX_LINE; 3]);
    }

    #[test]
    fn what_was_told_is_not_kept() {
        let mut lines = Lines::default();
        lines.push(&[b'x'; 60_000], |_| panic!("it has not ended"));
        let mut told = 0;
        lines.push(b"\n", |line| told = line.len());
        assert_eq!((told, lines.begun.capacity()), (60_000, 0));
    }
}
