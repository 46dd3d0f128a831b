//! All that is wrong, told at once.

use syn::{Error, Result};

/// Mistakes so far.
#[derive(Default)]
pub(crate) struct Mistakes(Option<Error>);

impl Mistakes {
    pub(crate) fn say(&mut self, error: Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// What is right of it.
    pub(crate) fn right<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.say(error)).ok()
    }

    pub(crate) fn none(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
