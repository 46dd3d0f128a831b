//! The connection's clock: one timer for the heartbeat and for every deadline.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Connection, State};
use crate::closing::{DisconnectReason, Ending};

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Keeps the heartbeat and the deadlines.
    pub(super) fn watch(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<DisconnectReason> {
        loop {
            let deadline = self.deadline();
            // It goes off early rather than being set anew for every message.
            if self.timer_is_set.is_some_and(|goes_off| now < goes_off && goes_off <= deadline) {
                return Poll::Pending;
            }
            if deadline < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(deadline);
            }
            if self.timer.poll_unpin(cx).is_pending() {
                self.timer_is_set = Some(self.timer.deadline());
                return Poll::Pending;
            }
            let now = Instant::now();
            let next = self.deadline().max(now + Duration::from_millis(1));
            self.timer.as_mut().reset(next);
            self.timer_is_set = None;
            if let Some(over) = self.tick(now, cx) {
                return Poll::Ready(over);
            }
        }
    }

    /// When the next thing is due.
    fn deadline(&self) -> Instant {
        let State::Open = self.state else {
            let State::Leaving { until, .. } = self.state else { return self.next_ping };
            return until;
        };
        let config = self.socket.config();
        let mut deadline = self.next_ping;
        if !self.is_paused {
            deadline = deadline.min(self.heard + config.silence_timeout);
        }
        if let Some(due) = self.socket.member().deliveries.next_due() {
            deadline = deadline.min(due.into());
        }
        if let Some(since) = self.writer.stalled_since() {
            deadline = deadline.min(since + config.write_timeout);
        }
        deadline
    }

    fn tick(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<DisconnectReason> {
        if let State::Leaving { reason, until, .. } = &self.state {
            return (now >= *until).then(|| reason.clone());
        }
        let (config, member) = (self.socket.config(), self.socket.member());
        if member.deliveries.next_due().is_some_and(|due| now >= due.into()) {
            member.deliveries.tick(member, now.into_std());
            self.tell_given_up();
        }
        if self.writer.is_stalled(config.write_timeout, now) {
            self.leave(&Ending::abort(DisconnectReason::Stalled), now);
        } else if !self.is_paused && now >= self.heard + config.silence_timeout {
            self.leave(&Ending::abort(DisconnectReason::Silent), now);
        } else if now >= self.next_ping {
            self.next_ping = now + config.ping_interval;
            self.writer.rest(true);
            self.socket.member().outbox.rest();
            match &mut self.lane {
                Some(lane) => lane.rest(),
                None => self.socket.inbox().rest(),
            }
            self.writer.control(&crate::frame::ping());
        }
        self.write(now, cx)
    }
}
