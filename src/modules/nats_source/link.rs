//! The connection: how it is made, and whether it is there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, ServerAddr};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::builder::{NatsSourceBuilder, Server, addresses};
use super::handle::{NatsState, Shared};
use super::names::unescaped;

/// How often the connection is looked at: a client of the application's own tells nobody else when it changes.
const LOOK: Duration = Duration::from_millis(100);

/// The pause before the second attempt to connect is at most the first of these, then twice as long each time.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(4);

/// A client that connects in the background, and goes on trying; or the application's own.
pub(super) async fn client(settings: &mut NatsSourceBuilder, shared: &Arc<Shared>) -> Result<Client, String> {
    let (urls, options) = match std::mem::take(&mut settings.server) {
        Server::None => return Err("there is no server".into()),
        Server::Client(client) => return Ok(client),
        Server::Urls(urls, options) => (urls, *options),
    };
    let stopping = shared.stopping();
    // The client's task tries for ever, even when nobody has the client any more.
    let delay = move |attempts| if *stopping.borrow() { Duration::MAX } else { delay(attempts) };
    let options = ConnectOptions::name(options, &settings.name);
    let options = options.retry_on_initial_connect().max_reconnects(None).reconnect_delay_callback(delay);
    let options = options.subscription_capacity(settings.queue);
    let addresses = addresses(&urls).map_err(|error| error.to_string())?;
    let options = with_credentials(options, &addresses);
    options.connect(addresses).await.map_err(|error| error.to_string())
}

/// Those that an address has in it, which the client itself passes over: a user and a password, or a token alone.
fn with_credentials(options: ConnectOptions, addresses: &[ServerAddr]) -> ConnectOptions {
    let text = |text: &str| unescaped(text).unwrap_or_else(|| text.to_owned());
    let found = addresses.iter().find_map(|address| Some((text(address.username()?), address.password().map(text))));
    match found {
        None => options,
        Some((user, Some(password))) => options.user_and_password(user, password),
        Some((token, None)) => options.token(token),
    }
}

/// Anything up to the bound, so that all the clients of a server that comes back do not come at once.
fn delay(attempts: usize) -> Duration {
    let Some(doublings) = attempts.checked_sub(2) else { return Duration::ZERO };
    let doublings = doublings.try_into().unwrap_or(u32::MAX);
    let bound = 2u32.checked_pow(doublings).map_or(LONGEST, |times| (SHORTEST * times.min(64)).min(LONGEST));
    let (random, _) = Uuid::new_v4().as_u64_pair();
    Duration::from_millis(random % (bound.as_millis() as u64 + 1))
}

/// Tells how the connection stands, for ever.
pub(super) async fn watch(client: &Client, shared: &Shared, name: &str) {
    let statistics = client.statistics();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // How many connections there have been when there was one the last time.
    let mut connections = None;
    loop {
        look.tick().await;
        // In this order: a new connection is counted before it is told.
        let now = statistics.connects.load(Ordering::Relaxed);
        let is_up = client.connection_state() == State::Connected;
        let lost = connections.map_or(0, |before| now.saturating_sub(before));
        match (is_up, shared.state()) {
            (true, NatsState::Connected) if lost == 0 => {}
            (true, before) => {
                // One that was seen to go is counted, and those are not that came and went unseen.
                let seen = u64::from(matches!(before, NatsState::Disconnected { .. }));
                shared.counts.disconnected(lost.saturating_sub(seen), false);
                shared.counts.connected();
                tracing::info!(source = name, lost, "connected to NATS");
                connections = Some(now);
                shared.is(NatsState::Connected);
            }
            (false, NatsState::Connected) => {
                shared.counts.disconnected(1, true);
                tracing::warn!(source = name, "the connection to NATS is lost");
                shared.is(NatsState::Disconnected { since: Instant::now() });
            }
            (false, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spread_and_never_stop() {
        assert_eq!((delay(0), delay(1)), (Duration::ZERO, Duration::ZERO));
        for attempts in [2, 3, 8, 34, 70, 10_000, usize::MAX] {
            let delays: Vec<_> = (0..200).map(|_| delay(attempts)).collect();
            let bound = SHORTEST * 2u32.pow((attempts - 2).min(6) as u32);
            assert!(delays.iter().all(|delay| *delay <= bound.min(LONGEST)), "{attempts}: {delays:?}");
            // Above the middle, and below it: not clipped at either end.
            let middle = bound.min(LONGEST) / 2;
            let above = delays.iter().filter(|delay| **delay > middle).count();
            assert!((40..160).contains(&above), "{attempts}: {above} of 200 above {middle:?}");
        }
    }
}
