//! A stream of JetStream, by a pull consumer: each message is acknowledged once its room has it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::datetime::DateTime;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{Consumer, DeliverPolicy, Info};
use async_nats::jetstream::{self, AckKind, Message};
use async_nats::{Client, Error};
use futures::{FutureExt, StreamExt};
use tokio::task::coop::unconstrained;
use tokio::time::{sleep, timeout};

use super::emitted::Emitted;
use super::source::{LAST, Outcome, Source};

/// So many messages are asked for at a time.
const BATCH: usize = 500;

/// NATS says at least so often that there is nothing, or the consumer is looked for anew.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How often the lag is asked for.
const LOOK: Duration = Duration::from_secs(1);

/// What is tried again waits so long.
const RETRY: Duration = Duration::from_millis(500);

struct Reader<'a> {
    source: &'a Source,
    context: jetstream::Context,
    stream: &'a str,
    config: &'a pull::Config,
    place: Mutex<Option<Place>>,
}

/// Where a consumer that is made anew goes on.
#[derive(Clone, Copy)]
struct Place {
    /// When the stream was made: its numbers are of this life.
    stream: DateTime,
    /// All up to this number was acknowledged.
    floor: u64,
}

/// Why no more comes from a consumer.
enum Over {
    Stopped,
    Lost(String),
}

pub(super) async fn read(
    source: &Source,
    client: &Client,
    stream: &str,
    config: &pull::Config,
    mut stop: impl Future<Output = ()> + Unpin,
) {
    let context = jetstream::new(client.clone());
    let reader = Reader { source, context, stream, config, place: Mutex::default() };
    let mut emitted = Emitted::default();
    let mut is_told = false;
    loop {
        // Before there is a connection, every question would take its time to fail.
        let open = async {
            source.shared.connected().await;
            reader.open().await
        };
        let opened = tokio::select! {
            biased;
            () = &mut stop => return,
            opened = open => opened,
        };
        let lost = match opened {
            Ok((consumer, messages)) => {
                source.shared.is_ready();
                is_told = false;
                let over = tokio::select! {
                    over = reader.consume(messages, &mut emitted, &mut stop) => over,
                    over = reader.watch(&consumer) => over,
                };
                match over {
                    Over::Stopped => return,
                    Over::Lost(reason) => reason,
                }
            }
            Err(error) => error.to_string(),
        };
        // It may go on like this for long.
        if std::mem::replace(&mut is_told, true) {
            tracing::debug!(source = source.settings.name, stream, lost, "still no consumer");
        } else {
            tracing::warn!(source = source.settings.name, stream, lost, "the consumer is lost; tried again");
        }
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = sleep(RETRY) => {}
        }
    }
}

impl Reader<'_> {
    /// Finds the consumer, or makes it.
    async fn open(&self) -> Result<(Consumer<pull::Config>, pull::Stream), Error> {
        let stream = self.context.get_stream(self.stream).await?;
        let (made, state) = (stream.cached_info().created, &stream.cached_info().state);
        let mut config = self.config.clone();
        match &self.source.settings.subjects[..] {
            [subject] => config.filter_subject = subject.clone(),
            subjects => config.filter_subjects = subjects.to_vec(),
        }
        // One that was made anew, or has lost its end, is read as the first time.
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(place) = place.filter(|place| place.stream == made && place.floor <= state.last_sequence) {
            config.deliver_policy = DeliverPolicy::ByStartSequence { start_sequence: place.floor + 1 };
        }
        let consumer = match &config.durable_name {
            Some(name) => stream.get_or_create_consumer(&name.clone(), config).await?,
            None => stream.create_consumer(config).await?,
        };
        self.look(made, consumer.cached_info());
        let most = usize::try_from(consumer.cached_info().config.max_batch).ok().filter(|most| *most > 0);
        let messages = consumer.stream().max_messages_per_batch(most.map_or(BATCH, |most| most.min(BATCH)));
        let messages = messages.heartbeat(HEARTBEAT).messages().await?;
        Ok((consumer, messages))
    }

    /// Remembers what NATS says of the consumer.
    fn look(&self, stream: DateTime, info: &Info) {
        self.source.shared.counts.lag(info.num_pending, info.num_ack_pending);
        let place = Place { stream, floor: info.ack_floor.stream_sequence };
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }

    /// Asks again and again how far the consumer is.
    async fn watch(&self, consumer: &Consumer<pull::Config>) -> Over {
        loop {
            sleep(LOOK).await;
            let place = *self.place.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(place), Ok(info)) = (place, consumer.get_info().await) {
                self.look(place.stream, &info);
            }
        }
    }

    async fn consume(
        &self,
        mut messages: pull::Stream,
        emitted: &mut Emitted<DateTime>,
        stop: &mut (impl Future<Output = ()> + Unpin),
    ) -> Over {
        loop {
            let next = tokio::select! {
                biased;
                () = &mut *stop => {
                    let _ = timeout(LAST, hand_back(messages)).await;
                    return Over::Stopped;
                }
                next = messages.next() => next,
            };
            let lost = match next {
                Some(Ok(message)) => self.settle(&message, emitted).await.err(),
                Some(Err(error)) => Some(error.into()),
                None => Some("no more comes".into()),
            };
            let Some(lost) = lost else { continue };
            // What came before it is not waited for again.
            while let Some(message) = come(&mut messages) {
                if self.settle(&message, emitted).await.is_err() {
                    break;
                }
            }
            return Over::Lost(lost.to_string());
        }
    }

    /// Emits a message, unless it was emitted, and acknowledges it.
    async fn settle(&self, message: &Message, emitted: &mut Emitted<DateTime>) -> Result<(), Error> {
        let (sequence, published) = {
            let info = message.info()?;
            (info.stream_sequence, info.published)
        };
        if emitted.has(sequence, &published) {
            self.source.shared.counts.redelivered();
            return message.ack().await;
        }
        match self.source.emit(message).await {
            Outcome::Emitted => {
                emitted.insert(sequence, published);
                message.ack().await
            }
            Outcome::Refused => message.ack_with(AckKind::Term).await,
            // It comes again.
            Outcome::Failed => Ok(()),
        }
    }
}

/// What has come and was not emitted is for whoever reads next, now and not only after the `ack_wait`.
async fn hand_back(mut messages: pull::Stream) {
    let come: Vec<Message> = std::iter::from_fn(|| come(&mut messages)).collect();
    // Before, or NATS would bring them here again.
    drop(messages);
    for message in come {
        if message.ack_with(AckKind::Nak(None)).await.is_err() {
            return;
        }
    }
}

/// The next that is here already. Tokio's budget, which is to let others have their turn, would hide those beyond it.
fn come(messages: &mut pull::Stream) -> Option<Message> {
    unconstrained(messages.next()).now_or_never()??.ok()
}
