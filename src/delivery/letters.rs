//! Who is told of what was given up.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};

use futures::FutureExt;

use super::DeadLetter;
use crate::error::panic_text;
use crate::handler::BoxFuture;
use crate::io::Io;
use crate::socket::Socket;

type Reader = Arc<dyn Fn(DeadLetter) -> BoxFuture<()> + Send + Sync>;

/// The functions that get dead letters.
#[derive(Default)]
pub(crate) struct Readers(RwLock<Vec<Reader>>);

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readers")
    }
}

impl Io {
    /// Calls `handler` for each message that was to be [acknowledged](crate::AtLeastOnce) and was given up, for each socket that did not.
    ///
    /// Those of one socket come one after another, beside its lane, each within `handlerTimeout`. Of more than 4,096 at a time the rest is only counted, in
    /// [`Stats::dead_letters`](crate::Stats::dead_letters).
    ///
    /// ```
    /// # let io = eventwire::Io::new();
    /// io.on_dead_letter(|letter| async move {
    ///     eprintln!("given up after {} tries: {:?}", letter.tries, letter.data);
    /// });
    /// ```
    pub fn on_dead_letter<F, Fut>(&self, handler: F)
    where
        F: Fn(DeadLetter) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let reader: Reader = Arc::new(move |letter| Box::pin(handler(letter)));
        self.letter_readers().0.write().unwrap_or_else(PoisonError::into_inner).push(reader);
    }

    /// Tells of what was given up for a socket, in one task at a time.
    pub(crate) fn tell_given_up(&self, socket: &Socket) {
        if !socket.member().deliveries.begin_telling() {
            return;
        }
        if self.letter_readers().0.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
            while !socket.member().deliveries.next_letters().is_empty() {}
            return;
        }
        let (io, teller) = (self.clone(), socket.clone());
        socket.tasks().spawn(async move {
            loop {
                let letters = teller.member().deliveries.next_letters();
                if letters.is_empty() {
                    return;
                }
                for letter in letters {
                    io.tell_letter(&letter).await;
                }
            }
        });
    }

    async fn tell_letter(&self, letter: &DeadLetter) {
        let readers = self.letter_readers().0.read().unwrap_or_else(PoisonError::into_inner).clone();
        for reader in readers {
            let letter = letter.clone();
            let told = AssertUnwindSafe(async { reader(letter).await }).catch_unwind();
            match tokio::time::timeout(self.config().handler_timeout, told).await {
                Ok(Ok(())) => {}
                Ok(Err(panic)) => {
                    self.count_panic();
                    tracing::error!(panic = panic_text(&*panic), "a handler of dead letters panicked");
                }
                Err(_) => tracing::warn!("a handler of dead letters took too long and was cancelled"),
            }
        }
    }
}
