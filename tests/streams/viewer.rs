//! A viewer of a process: over one connection, over many, slow or late.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::dice::Dice;
use crate::records::{Heard, check};
use crate::seen::Seen;
use crate::stage::{ROOM, Stage};
use crate::wire::{Cut, Wire};

pub(crate) struct Viewer {
    pub(crate) name: String,
    pub(crate) place: usize,
    stage: Arc<Stage>,
    pub(crate) wire: Wire,
    pub(crate) seen: Seen,
    /// It has subscribed and was not answered yet.
    has_asked: bool,
    /// How often it lost its connection in each way, and how often within a frame.
    pub(crate) cuts: [usize; Cut::ALL.len()],
    pub(crate) inside: usize,
}

impl Viewer {
    /// One that has subscribed.
    pub(crate) async fn enter(stage: &Arc<Stage>, place: usize, name: &str, is_narrow: bool) -> Result<Viewer, String> {
        let wire = Wire::open(stage.server.address, "/ws", is_narrow).await;
        let (name, stage) = (format!("{name} (viewer {place})"), stage.clone());
        let seen = Seen::new();
        let mut viewer = Viewer { name, place, stage, wire, seen, has_asked: false, cuts: [0; 5], inside: 0 };
        viewer.subscribe().await?;
        while viewer.has_asked {
            viewer.step().await?;
        }
        Ok(viewer)
    }

    /// Asks for everything that it has not got.
    async fn subscribe(&mut self) -> Result<(), String> {
        let data = match &self.seen.epoch {
            Some(epoch) => json!({"room": ROOM, "since": self.seen.next - 1, "epoch": epoch}),
            None => json!(ROOM),
        };
        self.has_asked = true;
        self.wire.send(&json!({"event": "subscribe", "data": data, "id": 1}).to_string()).await
    }

    /// The next frame.
    async fn step(&mut self) -> Result<(), String> {
        let frame = self.wire.text().await?;
        match self.stage.records.read(self.seen.next, frame)? {
            Heard::Ack(ack) if self.has_asked => {
                self.has_asked = false;
                check(ack.room == ROOM, || format!("{ack:?}"))?;
                self.seen.begins(&ack)
            }
            heard => {
                check(!self.has_asked, || format!("before the ack: {heard:?}"))?;
                self.seen.take(heard)?;
                self.stage.is_at(self.place, self.seen.bytes());
                Ok(())
            }
        }
    }

    /// Reads to the last status.
    pub(crate) async fn follow(&mut self) -> Result<(), String> {
        while !self.seen.is_over() {
            self.step().await?;
        }
        self.has_all().await
    }

    /// The same, while it loses its connection again and again, and once at the end.
    pub(crate) async fn follow_with_cuts(&mut self, every: Duration, mut dice: Dice) -> Result<(), String> {
        // The first time soon: a process may print all that it has within a tenth of a second.
        let mut cut_at = Instant::now() + dice.about(every / 10);
        while !self.seen.is_over() {
            let step = timeout_at(cut_at, self.step()).await;
            if let Ok(step) = step {
                step?;
            }
            if Instant::now() >= cut_at {
                self.cut(&mut dice).await?;
                cut_at = Instant::now() + dice.about(every);
            }
        }
        self.cut(&mut dice).await?;
        while self.has_asked {
            self.step().await?;
        }
        self.has_all().await
    }

    /// Loses its connection and comes back.
    async fn cut(&mut self, dice: &mut Dice) -> Result<(), String> {
        let how = Cut::any(dice);
        self.cuts[how as usize] += 1;
        let wire = Wire::open(self.stage.server.address, "/ws", false).await;
        // The old connection may still be there when the new one subscribes.
        let was_inside = std::mem::replace(&mut self.wire, wire).cut(how).await;
        self.inside += usize::from(was_inside);
        self.subscribe().await
    }

    /// That nothing is behind the last status: to subscribe again changes nothing and tells the last number.
    async fn has_all(&mut self) -> Result<(), String> {
        let text = json!({"event": "subscribe", "data": ROOM, "id": 2}).to_string();
        self.wire.send(&text).await?;
        match self.stage.records.read(self.seen.next, self.wire.text().await?)? {
            Heard::Ack(ack) => check(ack.seq == self.seen.next - 1, || format!("there is more: {ack:?}")),
            other => Err(format!("behind the end: {other:?}")),
        }
    }
}
