//! Where output may be cut: not within a character, and in lines not within a line.

use super::Mode;

/// The longest chunk, in raw bytes: what a pipe holds.
pub(super) const CHUNK: usize = 64 * 1024;

/// How much of `bytes`, of which `before` was found to be whole already, can be sent: all but the beginning of a
/// character or of a line, unless that is as long as a chunk.
pub(super) fn whole(bytes: &[u8], before: usize, mode: Mode) -> usize {
    let characters = || bytes.len() - unfinished(&bytes[before..]);
    match mode {
        Mode::Raw => characters(),
        Mode::Lines => match bytes[before..].iter().rposition(|&byte| byte == b'\n') {
            Some(end) => before + end + 1,
            None if before == 0 && bytes.len() >= CHUNK => characters(),
            None => before,
        },
    }
}

/// How many bytes at the end of `bytes` begin a character that is not finished: at most three.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => 0,
        Err(error) => match error.error_len() {
            // Everything up to here is text, and the end may still become a character.
            None => bytes.len() - error.valid_up_to(),
            // Not text anyway; but a character may have begun at the very end.
            Some(_) => {
                let tail = &bytes[bytes.len().saturating_sub(3)..];
                let begins = (0..tail.len()).find(|&at| {
                    std::str::from_utf8(&tail[at..])
                        .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
                });
                begins.map_or(0, |at| tail.len() - at)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_their_ends() {
        let whole = |text: &str, before| whole(text.as_bytes(), before, Mode::Lines);
        assert_eq!(whole("", 0), 0);
        assert_eq!(whole("ab", 0), 0);
        assert_eq!(whole("ab\nc", 0), 3);
        assert_eq!(whole("ab\nc\r\nd", 3), 6);
        assert_eq!(whole("ab\ncd", 3), 3, "nothing new");
        let long = "ä".repeat(CHUNK / 2);
        assert_eq!(whole(&long[..CHUNK - 2], 0), 0);
        assert_eq!(whole(&long, 0), CHUNK, "no line is longer");
        let odd = format!("x{}", &long[..CHUNK - 2]) + "ä";
        assert_eq!(super::whole(&odd.as_bytes()[..CHUNK], 0, Mode::Lines), CHUNK - 1, "nor is a character cut");
    }

    #[test]
    fn at_most_three_bytes_of_a_character_are_held_back() {
        let text = "aé€😀";
        for end in 0..=text.len() {
            let held = unfinished(&text.as_bytes()[..end]);
            assert!(text.is_char_boundary(end - held), "at {end}");
            assert!(held <= 3);
        }
        assert_eq!(unfinished(b"\xff\xff"), 0);
        assert_eq!(unfinished(b"\xffab\xe2\x82"), 2, "after what is no text, too");
        assert_eq!(unfinished(b"\xff\xf0\x9f\x98"), 3);
        assert_eq!(unfinished(b"ab\x80\x80\x80"), 0, "continuations without a beginning");
    }
}
