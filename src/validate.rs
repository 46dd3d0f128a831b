//! Checks that a payload brings along, written with the crate `garde`.

use garde::Validate;

use crate::error::{Error, code};

/// So many paths are told: a list of a million bad numbers must not be answered by a million texts.
const MOST_TOLD: usize = 64;

/// Checks a value by its [`garde::Validate`]: what `#[event(validate)]` does before a handler is called, for whoever reads
/// a payload by other ways.
///
/// ```
/// #[derive(garde::Validate)]
/// struct Say {
///     #[garde(length(min = 1, max = 500))]
///     text: String,
/// }
///
/// let error = eventwire::validate(&Say { text: String::new() }).unwrap_err();
/// assert_eq!(error.code(), "invalid_payload");
/// assert_eq!(error.details().unwrap()["path"], "text");
/// ```
///
/// # Errors
/// `invalid_payload`. Its `details` are `{"path", "errors": [{"path", "message"}, …]}`: `errors` has all that fail, by
/// path, and `path` is the first of them. Of more than 64, 64 are told, and `more` says how many there are beside them.
pub fn validate<T>(value: &T) -> Result<(), Error>
where
    T: Validate<Context: Default>,
{
    let Err(report) = value.validate() else { return Ok(()) };
    let more = report.iter().count().saturating_sub(MOST_TOLD);
    let mut failed: Vec<(String, &str)> =
        report.iter().take(MOST_TOLD).map(|(path, error)| (path.to_string(), error.message())).collect();
    // In one order: a report has none of its own.
    failed.sort();
    let (path, message) = failed.first().map_or(("", ""), |(path, message)| (path, message));
    let text = match failed.len() + more {
        1 => format!("at `{path}`: {message}"),
        all => format!("at `{path}`: {message}; and {} more", all - 1),
    };
    let errors: Vec<_> =
        failed.iter().map(|(path, message)| serde_json::json!({ "path": path, "message": message })).collect();
    let mut details = serde_json::json!({ "path": path, "errors": errors });
    if more > 0 {
        details["more"] = more.into();
    }
    Err(Error::new(code::INVALID_PAYLOAD, text).with_details(details))
}
