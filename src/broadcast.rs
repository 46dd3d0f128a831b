//! To many at once: rooms, exceptions, and what to do with those that do not keep up.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::acks::{self, Outcome, RequestError, Waiter};
use crate::adapter::NodeMessage;
use crate::config::Overflow;
use crate::decode::decode;
use crate::delivery::AtLeastOnce;
use crate::emit::{EmitError, Emitting, Pace};
use crate::encode::{self, Scratch};
use crate::error::Error;
use crate::hub::{Audience, Delivered, Manner, Member, Message, SocketId};
use crate::io::Io;
use crate::outbox::{Backlog, Offer, Push, wake};
use crate::protocol::{self, Id, Outgoing, Packet};
use crate::rooms::Room;
use crate::socket::Socket;

/// Whom a broadcast leaves out.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Except<'a> {
    /// One socket.
    Socket(SocketId),
    /// The members of a room.
    Room(&'a str),
}

impl From<&Socket> for Except<'_> {
    fn from(socket: &Socket) -> Self {
        Except::Socket(socket.id())
    }
}

impl From<SocketId> for Except<'_> {
    fn from(id: SocketId) -> Self {
        Except::Socket(id)
    }
}

impl<'a> From<&'a str> for Except<'a> {
    fn from(room: &'a str) -> Self {
        Except::Room(room)
    }
}

impl<'a> From<&'a String> for Except<'a> {
    fn from(room: &'a String) -> Self {
        Except::Room(room)
    }
}

/// A message to many: to the rooms named, or to everyone where none is.
///
/// Each socket gets one copy, however many of the rooms it is in, told as from the first of them; each room with
/// [history](crate::RoomRule::history) keeps one of its own. A broadcast waits for no member: see [`Overflow`],
/// [`paced`](Broadcast::paced) and [`volatile`](Broadcast::volatile).
#[derive(Clone, Debug)]
#[must_use = "a broadcast does nothing until `emit`, `error` or `request`"]
pub struct Broadcast<'a> {
    io: &'a Io,
    // One room and the socket that broadcasts are the usual case, and cost no list.
    room: Option<&'a str>,
    except: Option<SocketId>,
    lists: Option<Box<Lists<'a>>>,
    /// `None`: as the configuration says.
    overflow: Option<Overflow>,
    volatile: bool,
    local: bool,
    pace: Option<Pace>,
    once: Option<AtLeastOnce>,
    timeout: Duration,
}

/// What one place each is not enough for.
#[derive(Clone, Debug, Default)]
struct Lists<'a> {
    /// All rooms, where there are several.
    rooms: Vec<&'a str>,
    except: Vec<SocketId>,
    except_rooms: Vec<&'a str>,
}

impl<'a> Broadcast<'a> {
    pub(crate) fn new(io: &'a Io) -> Broadcast<'a> {
        Broadcast {
            io,
            room: None,
            except: None,
            lists: None,
            overflow: None,
            volatile: false,
            local: false,
            pace: None,
            once: None,
            timeout: io.config().ack_timeout,
        }
    }

    /// The members of this room too.
    #[inline]
    pub fn to(mut self, room: &'a str) -> Self {
        match self.room {
            None => self.room = Some(room),
            // A room with history would keep a copy for each time it is named.
            Some(_) if self.rooms().contains(&room) => {}
            Some(first) => {
                let rooms = &mut self.lists().rooms;
                if rooms.is_empty() {
                    rooms.push(first);
                }
                rooms.push(room);
            }
        }
        self
    }

    /// Not this socket, or not the members of this room.
    #[inline]
    pub fn except(mut self, except: impl Into<Except<'a>>) -> Self {
        match except.into() {
            Except::Room(room) => self.lists().except_rooms.push(room),
            Except::Socket(id) if self.except.is_none() => self.except = Some(id),
            Except::Socket(id) => self.lists().except.push(id),
        }
        self
    }

    /// Only members at this node.
    #[inline]
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    /// What happens to members whose outbox is full, in place of the configuration's policy.
    #[inline]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = Some(overflow);
        self
    }

    /// Members that do not keep up at this moment miss it; they stay connected.
    #[inline]
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// The emit waits until the slowest member lags no more than this, or the time is up. The
    /// way to produce much without overrunning members that read.
    #[inline]
    pub fn paced(mut self, pace: Pace) -> Self {
        self.pace = Some(pace);
        self
    }

    /// Each socket is to [acknowledge](AtLeastOnce) it, and gets it again until it does; in place of what the rules of the rooms
    /// say. It does not hold with [`volatile`](Broadcast::volatile).
    ///
    /// ```
    /// # async fn f(io: eventwire::Io) -> eventwire::Result<()> {
    /// use eventwire::AtLeastOnce;
    /// io.to("orders").at_least_once(AtLeastOnce::default()).emit("order", 7).await?;
    /// # Ok(()) }
    /// ```
    pub fn at_least_once(mut self, delivery: AtLeastOnce) -> Self {
        self.once = Some(delivery);
        self
    }

    /// How long [`request`](Broadcast::request) waits for answers, in place of `ackTimeout`.
    #[inline]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    fn lists(&mut self) -> &mut Lists<'a> {
        self.lists.get_or_insert_default()
    }

    fn rooms(&self) -> &[&'a str] {
        match &self.lists {
            Some(lists) if !lists.rooms.is_empty() => &lists.rooms,
            _ => self.room.as_slice(),
        }
    }

    fn except_more(&self) -> &[SocketId] {
        self.lists.as_ref().map_or(&[], |lists| &lists.except)
    }

    fn except_rooms(&self) -> &[&'a str] {
        self.lists.as_ref().map_or(&[], |lists| &lists.except_rooms)
    }

    /// Puts the message before the members here, and gives it to the other nodes when awaited.
    /// Returns before how many members here it was put; those that then overflowed are not
    /// among them.
    ///
    /// # Errors
    /// When the name cannot be an event's, the data cannot be written as JSON, or other nodes
    /// could not be reached.
    pub fn emit<T: Serialize>(self, event: &str, data: T) -> Emitting<usize> {
        match protocol::check_event(event) {
            Ok(()) => self.send(event, &data),
            Err(error) => Emitting::done(Err(EmitError::Name(error))),
        }
    }

    /// Sends an error of the application's.
    ///
    /// # Errors
    /// As [`emit`](Broadcast::emit).
    pub fn error(self, code: impl Into<String>, message: impl Into<String>) -> Emitting<usize> {
        self.send("error", &Error::new(code.into(), message.into()))
    }

    fn send<T: Serialize>(self, event: &str, data: &T) -> Emitting<usize> {
        let data = match encode::json(data) {
            Ok(data) => data,
            Err(error) => return Emitting::done(Err(EmitError::Encode(error.to_string()))),
        };
        let delivered = self.deliver(event, &data);
        let goes_on = !self.local && !self.io.adapter().is_local();
        let slow = self.pace.and_then(|pace| Slow::new(&self, pace, &delivered));
        if !goes_on && slow.is_none() {
            return Emitting::done(Ok(delivered.members));
        }
        let message = goes_on.then(|| self.message(event, &data));
        let adapter = self.io.adapter().clone();
        Emitting::waiting(async move {
            if let Some(message) = message {
                let message = message.map_err(EmitError::Encode)?;
                adapter.publish(message).await.map_err(|error| EmitError::Adapter(error.0))?;
            }
            if let Some(slow) = slow {
                // Not an error: the pace was kept as long as was asked for.
                let _ = tokio::time::timeout(slow.pace.at_most, slow.caught_up()).await;
            }
            Ok(delivered.members)
        })
    }

    fn with_audience<R>(&self, f: impl FnOnce(Audience<'_>) -> R) -> R {
        let mut all = Vec::new();
        let except = match self.except_more() {
            [] => self.except.as_slice(),
            more => {
                all.extend(self.except.iter().chain(more));
                &all
            }
        };
        f(Audience { rooms: self.rooms(), except, except_rooms: self.except_rooms() })
    }

    fn overflow_here(&self) -> Overflow {
        self.overflow.unwrap_or(self.io.config().outbox.overflow)
    }

    fn deliver(&self, event: &str, data: &[u8]) -> Delivered {
        let manner = if self.volatile { Manner::Volatile } else { Manner::Overflow(self.overflow_here()) };
        let lag = self.pace.map(|pace| pace.bytes);
        let message = Message { event, data, manner, lag, once: self.once };
        self.with_audience(|audience| self.io.deliver(audience, message))
    }

    fn members(&self) -> Vec<(Arc<str>, Arc<Member>)> {
        self.with_audience(|audience| self.io.hub().audience(audience))
    }

    fn message(&self, event: &str, data: &Scratch) -> Result<NodeMessage, String> {
        let text = std::str::from_utf8(data).map_err(|error| error.to_string())?;
        Ok(NodeMessage {
            rooms: self.rooms().iter().map(|room| room.to_string()).collect(),
            except: self.except.iter().chain(self.except_more()).copied().collect(),
            except_rooms: self.except_rooms().iter().map(|room| room.to_string()).collect(),
            event: event.to_owned(),
            data: RawValue::from_string(text.to_owned()).map_err(|error| error.to_string())?,
            volatile: self.volatile,
            overflow: self.overflow,
            at_least_once: self.once,
        })
    }

    /// Asks each member at this node. The stream brings one result for each, as the answers
    /// come, and ends when all are there or the time is up; who has not answered by then is reported as
    /// [`Timeout`](RequestError::Timeout).
    ///
    /// The question is sent by the call itself, which must be within a Tokio runtime. Dropping the stream gives up
    /// on the rest. Neither [`volatile`](Broadcast::volatile) nor [`paced`](Broadcast::paced) changes anything.
    pub fn request<A: for<'de> Deserialize<'de>>(self, event: &str, data: impl Serialize) -> Answers<A> {
        let asked = protocol::check_event(event)
            .map_err(RequestError::Name)
            .and_then(|()| encode::json(&data).map_err(|error| RequestError::Encode(error.to_string())));
        let members = self.members();
        let (sender, answers) = mpsc::channel(members.len().max(1));
        let id = acks::next_id();
        let mut frames = HashMap::new();
        for (index, (room, member)) in members.iter().enumerate() {
            let asked = asked.as_ref().map_err(Clone::clone).and_then(|data| {
                member.acks.expect(id, Waiter::Many(index, sender.clone()))?;
                let frame = frames.entry((room.clone(), member.spoken.place)).or_insert_with(|| {
                    let room = Some(&**room).filter(|room| !room.is_empty());
                    let id = Id::Number(id);
                    member.encode(&Outgoing { room, ..Outgoing::direct(event, Some(&id), data) }).to_bytes()
                });
                let overflow = self.overflow_here();
                match member.outbox.push_broadcast(Offer::Shared(frame), overflow) {
                    Push::Queued { waker, displaced, .. } => {
                        member.counters.drop_by(Manner::Overflow(overflow), displaced);
                        wake(waker);
                        Ok(())
                    }
                    Push::Dropped { waker, count: dropped } => {
                        member.counters.drop_by(Manner::Overflow(overflow), dropped);
                        wake(waker);
                        let is_open = member.outbox.is_open();
                        Err(if is_open { RequestError::Full } else { RequestError::Disconnected })
                    }
                    Push::Full | Push::Closed => Err(RequestError::Disconnected),
                }
            });
            if let Err(error) = asked {
                member.acks.forget(id);
                // The channel has a place for each.
                drop(sender.try_send((index, Err(error))));
            }
        }
        let open = vec![true; members.len()];
        let members: Vec<_> = members.into_iter().map(|(_, member)| member).collect();
        let timer = Box::pin(tokio::time::sleep(self.timeout));
        let outstanding = members.len();
        Answers { id, members, open, outstanding, late: None, answers, timer, read: decode }
    }
}

/// Members that a broadcast is to wait for.
struct Slow {
    pace: Pace,
    limit: Backlog,
    members: Vec<(Arc<str>, Arc<Member>)>,
    rooms: Vec<Arc<Room>>,
}

impl Slow {
    fn new(broadcast: &Broadcast<'_>, pace: Pace, delivered: &Delivered) -> Option<Slow> {
        let limit = pace.backlog(broadcast.io.config());
        let exceeds = delivered.slowest.exceeds(limit);
        let members = if exceeds { broadcast.members() } else { Vec::new() };
        (exceeds || !delivered.lagging.is_empty()).then(|| Slow {
            pace,
            limit,
            members,
            rooms: delivered.lagging.clone(),
        })
    }

    async fn caught_up(&self) {
        for room in &self.rooms {
            room.caught_up(self.pace.bytes).await;
        }
        for (_, member) in &self.members {
            if member.outbox.backlog().exceeds(self.limit) {
                member.outbox.drained_to(self.limit).await;
            }
        }
    }
}

/// The answers of many, as they come. See [`Broadcast::request`].
#[must_use = "a stream does nothing unless it is polled"]
pub struct Answers<A> {
    id: u64,
    members: Vec<Arc<Member>>,
    /// Whose answer is outstanding, and how many are.
    open: Vec<bool>,
    outstanding: usize,
    /// After the timeout: the next member to be told as late.
    late: Option<usize>,
    answers: mpsc::Receiver<(usize, Outcome)>,
    timer: Pin<Box<Sleep>>,
    read: fn(&Packet) -> Result<A, Error>,
}

impl<A> Answers<A> {
    /// How many were asked.
    pub fn asked(&self) -> usize {
        self.members.len()
    }

    fn close(&mut self, index: usize) -> SocketId {
        self.outstanding -= usize::from(std::mem::take(&mut self.open[index]));
        self.members[index].id
    }
}

impl<A> Stream for Answers<A> {
    type Item = (SocketId, Result<A, RequestError>);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.outstanding == 0 {
            return Poll::Ready(None);
        }
        while let Poll::Ready(Some((index, outcome))) = this.answers.poll_recv(cx) {
            if !this.open[index] {
                // It came just when it was told to be late.
                continue;
            }
            let answer = outcome.and_then(|packet| {
                (this.read)(&packet).map_err(|error| RequestError::Decode(error.message().to_owned()))
            });
            return Poll::Ready(Some((this.close(index), answer)));
        }
        if this.late.is_none() {
            ready!(this.timer.as_mut().poll(cx));
        }
        let from = this.late.unwrap_or_default();
        let Some(late) = (from..this.open.len()).find(|&index| this.open[index]) else {
            return Poll::Ready(None);
        };
        this.late = Some(late + 1);
        this.members[late].acks.forget(this.id);
        Poll::Ready(Some((this.close(late), Err(RequestError::Timeout))))
    }
}

impl<A> Drop for Answers<A> {
    fn drop(&mut self) {
        for (member, _) in self.members.iter().zip(&self.open).filter(|(_, open)| **open) {
            member.acks.forget(self.id);
        }
    }
}

impl<A> fmt::Debug for Answers<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("asked", &self.members.len())
            .field("outstanding", &self.outstanding)
            .finish_non_exhaustive()
    }
}
