//! A source as it runs: one task, from the connection to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;

use super::builder::NatsSourceBuilder;
use super::handle::{NatsState, Shared};
use super::payload::Payload;
use super::{link, names, stream, subjects};
use crate::Io;

/// What is left to do at the end takes no longer, where NATS is away.
pub(super) const LAST: Duration = Duration::from_secs(1);

pub(super) struct Source {
    pub(super) io: Io,
    pub(super) settings: NatsSourceBuilder,
    pub(super) shared: Arc<Shared>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its room has it.
    Emitted,
    /// It has no room, nor ever will.
    Refused,
    /// Other nodes have not got it.
    Failed,
}

/// However the task ends, it is told.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        // For the connection, which goes on by itself.
        self.0.stop();
        self.0.counts.ended();
        self.0.is(NatsState::Closed);
    }
}

impl Source {
    pub(super) async fn run(mut self) {
        let _end = End(self.shared.clone());
        let client = match link::client(&mut self.settings, &self.shared).await {
            Ok(client) => client,
            Err(error) => return tracing::error!(source = self.settings.name, error, "no connection to NATS"),
        };
        let mut stopping = self.shared.stopping();
        let stop = pin!(async {
            tokio::select! {
                () = self.io.closing() => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        });
        let watching = link::watch(&client, &self.shared, &self.settings.name);
        let reading = async {
            match &self.settings.jetstream {
                None => subjects::read(&self, &client, stop).await,
                Some((stream, consumer)) => stream::read(&self, &client, stream, consumer, stop).await,
            }
            // Acknowledgements too.
            let _ = tokio::time::timeout(LAST, client.flush()).await;
        };
        tokio::select! {
            () = reading => {}
            () = watching => {}
        }
    }

    /// Puts a message before its room.
    pub(super) async fn emit(&self, message: &Message) -> Outcome {
        let subject = message.subject.as_str();
        let room = match names::room(subject) {
            Ok(room) => room,
            Err(reason) => {
                if self.shared.counts.refused(reason) {
                    tracing::warn!(source = self.settings.name, subject, ?reason, "a subject has no room; told once");
                }
                return Outcome::Refused;
            }
        };
        let payload = Payload::of(subject, &message.payload, self.io.config().max_depth);
        let mut broadcast = self.io.to(&room);
        if !self.is_shared() {
            broadcast = broadcast.local();
        }
        if let Some(pace) = self.settings.pace {
            broadcast = broadcast.paced(pace);
        }
        if let Some(delivery) = self.settings.at_least_once {
            broadcast = broadcast.at_least_once(delivery);
        }
        match broadcast.emit(&self.settings.event, payload).await {
            Ok(_) => {
                self.shared.counts.emitted(message.payload.len());
                Outcome::Emitted
            }
            Err(error) => {
                tracing::warn!(source = self.settings.name, subject, %error, "a message was not emitted everywhere");
                self.shared.counts.failed();
                Outcome::Failed
            }
        }
    }

    /// Whether nodes share its messages, so that each has to pass on those that it gets: by a durable consumer. Else each node
    /// gets all.
    fn is_shared(&self) -> bool {
        let consumer = self.settings.jetstream.as_ref().map(|(_, consumer)| consumer);
        consumer.is_some_and(|consumer| consumer.durable_name.is_some())
    }
}
