//! Subjects as NATS has them: tokens between dots, `*` for one of them, `>` for all that follow.

use crate::config::Text;

pub(super) const SUBJECT: Text = Text {
    expected: "a subject of NATS such as `metrics.>`",
    pattern: "^([^.*>\\s]+|\\*)(\\.([^.*>\\s]+|\\*))*(\\.>)?$|^>$",
    check,
    secret: false,
};

/// What is wrong with a subject, if anything.
fn check(text: &str) -> Result<(), String> {
    let tokens: Vec<&str> = text.split('.').collect();
    for (n, token) in tokens.iter().enumerate() {
        let number = n + 1;
        let wrong = match *token {
            "" => "is empty",
            // As NATS itself would, without a word, it could only be taken for what it is not.
            token if token.len() > 1 && token.contains(['*', '>']) => "has a wildcard beside other characters",
            ">" if number < tokens.len() => "is `>`, which may only be the last",
            token if token.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                "has a space or a control character in it"
            }
            _ => continue,
        };
        return Err(format!("its token {number} {wrong}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_wildcards_are_as_nats_has_them() {
        for good in ["a", "a.b.c", "*", ">", "a.*.c", "a.>", "*.*.>", "$SYS.x", "größe.µ", "a-b_c:d", "a.%"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "its token 1 is empty"),
            (".", "its token 1 is empty"),
            ("a.", "its token 2 is empty"),
            (".a", "its token 1 is empty"),
            ("a..b", "its token 2 is empty"),
            ("a b", "its token 1 has a space or a control character in it"),
            ("a.b\t", "its token 2 has a space or a control character in it"),
            ("a.\0", "its token 2 has a space or a control character in it"),
            ("a.b*", "its token 2 has a wildcard beside other characters"),
            ("a.>>", "its token 2 has a wildcard beside other characters"),
            (">.a", "its token 1 is `>`, which may only be the last"),
        ] {
            assert_eq!(check(bad).unwrap_err(), why, "{bad:?}");
        }
    }
}
