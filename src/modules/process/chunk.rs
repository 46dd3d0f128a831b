//! Chunks of text that never cut a character.

/// How many bytes at the end of `bytes` begin a character that is not finished: at most three.
pub(super) fn unfinished(bytes: &[u8]) -> usize {
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
