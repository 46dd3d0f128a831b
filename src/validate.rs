//! Checks that a payload brings along, written with the crate `garde`.

use garde::Validate;

use crate::error::{Error, code};

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
/// path, `path` is the first of them.
pub fn validate<T>(value: &T) -> Result<(), Error>
where
    T: Validate<Context: Default>,
{
    let Err(report) = value.validate() else { return Ok(()) };
    let mut failed: Vec<(String, String)> =
        report.iter().map(|(path, error)| (path.to_string(), error.message().to_owned())).collect();
    // In one order: a report has none of its own.
    failed.sort();
    let first = failed.first().map_or("", |(path, _)| path);
    let text: Vec<String> = failed.iter().map(|(path, message)| format!("at `{path}`: {message}")).collect();
    let errors: Vec<_> =
        failed.iter().map(|(path, message)| serde_json::json!({ "path": path, "message": message })).collect();
    Err(Error::new(code::INVALID_PAYLOAD, text.join("; "))
        .with_details(serde_json::json!({ "path": first, "errors": errors })))
}
