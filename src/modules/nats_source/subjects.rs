//! Core subjects: what is published while one listens.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures::{FutureExt, StreamExt};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::names::covers;
use super::source::{LAST, Source};

/// So many messages are taken at once, then others have their turn: members get them before more come.
const TURN: usize = 64;

/// How often it is counted what was dropped.
const LOOK: Duration = Duration::from_millis(250);

struct Reader<'a> {
    source: &'a Source,
    client: &'a Client,
    /// Those that have not ended, each with the place of its subject.
    subscribers: Vec<(usize, Subscriber)>,
    /// What was taken, and of which subject.
    turn: Vec<(usize, Message)>,
    /// How many messages were taken in all.
    taken: &'a AtomicU64,
    /// What the source asks itself; a subject such as `>` matches that too.
    own: &'a str,
}

pub(super) async fn read(source: &Source, client: &Client, stop: impl Future<Output = ()> + Unpin) {
    let (taken, own) = (AtomicU64::new(0), client.new_inbox());
    let mut subscribers = Vec::new();
    for (index, subject) in source.settings.subjects.iter().enumerate() {
        match client.subscribe(subject.clone()).await {
            Ok(subscriber) => subscribers.push((index, subscriber)),
            Err(error) => return tracing::error!(source = source.settings.name, subject, %error, "not subscribed"),
        }
    }
    let reader = Reader { source, client, subscribers, turn: Vec::with_capacity(TURN), taken: &taken, own: &own };
    let readying = async {
        source.shared.connected().await;
        heard(client, &own, &taken).await;
        source.shared.is_ready();
        pending::<()>().await
    };
    tokio::select! {
        () = reader.read(stop) => {}
        () = readying => {}
    }
}

/// Waits until NATS has done what it was asked to before: it does one after another. One that answers nobody, as to a client that
/// may not listen for answers, is not waited for.
async fn heard(client: &Client, own: &str, taken: &AtomicU64) {
    let answer = async {
        let mut answers = client.subscribe(own.to_owned()).await.ok()?;
        client.publish(own.to_owned(), "".into()).await.ok()?;
        answers.next().await
    };
    if let Ok(Some(_)) = timeout(Duration::from_secs(2), answer).await {
        taken.fetch_add(1, Ordering::Relaxed);
    }
}

impl Reader<'_> {
    async fn read(mut self, mut stop: impl Future<Output = ()> + Unpin) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut come = self.come();
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                goes_on = std::future::poll_fn(|cx| self.take(cx)) => {
                    let is_full = self.turn.len() >= TURN;
                    self.emit().await;
                    if !goes_on {
                        return;
                    }
                    // Waited for after the messages, it would wait for their end.
                    if look.tick().now_or_never().is_some() {
                        come = self.count_dropped(come, self.most_waiting());
                    }
                    if is_full {
                        tokio::task::yield_now().await;
                    }
                }
                _ = look.tick() => come = self.count_dropped(come, 0),
            }
        }
        let _ = timeout(LAST, self.drain()).await;
    }

    /// Takes what has come, for one turn. `false` where nothing comes any more.
    fn take(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let turn = &mut self.turn;
        self.subscribers.retain_mut(|(index, subscriber)| {
            while turn.len() < TURN {
                match subscriber.poll_next_unpin(cx) {
                    Poll::Ready(Some(message)) => turn.push((*index, message)),
                    Poll::Ready(None) => return false,
                    Poll::Pending => break,
                }
            }
            true
        });
        match self.subscribers.len() {
            0 => return Poll::Ready(false),
            // The next turn begins with the next: none fills them all.
            _ => self.subscribers.rotate_left(1),
        }
        if self.turn.is_empty() { Poll::Pending } else { Poll::Ready(true) }
    }

    async fn emit(&mut self) {
        self.taken.fetch_add(self.turn.len() as u64, Ordering::Relaxed);
        let subjects = &self.source.settings.subjects;
        for (index, message) in self.turn.drain(..) {
            // It comes once for each subject that matches.
            let is_another = index > 0 && subjects[..index].iter().any(|subject| covers(subject, &message.subject));
            if !is_another && message.subject.as_str() != self.own {
                self.source.emit(&message).await;
            }
        }
    }

    /// Lets NATS send no more, and emits what has come.
    async fn drain(&mut self) {
        for (_, subscriber) in &mut self.subscribers {
            if subscriber.drain().await.is_err() {
                return;
            }
        }
        while std::future::poll_fn(|cx| self.take(cx)).await {
            self.emit().await;
        }
        self.emit().await;
    }

    // ---- what was dropped

    /// How many messages have come over the connection.
    fn come(&self) -> u64 {
        self.client.statistics().in_messages.load(Ordering::Relaxed)
    }

    fn most_waiting(&self) -> u64 {
        (self.source.settings.queue * self.subscribers.len()) as u64
    }

    /// Counts what had come a look ago, and was neither taken since nor waits. Returns what has come by now.
    fn count_dropped(&self, come: u64, waiting: u64) -> u64 {
        let (taken, now) = (self.taken.load(Ordering::Relaxed), self.come());
        let dropped = come.saturating_sub(taken + waiting);
        if self.source.shared.counts.dropped(dropped) {
            tracing::warn!(
                source = self.source.settings.name,
                dropped,
                "NATS sends more than can be emitted; told once"
            );
        }
        now
    }
}
