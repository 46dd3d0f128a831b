//! `subscribe` and `unsubscribe`: how clients come into rooms and leave them.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::encode;
use crate::error::{Error, code};
use crate::handler::{self, Answer, BoxFuture, Kind};
use crate::history::{Position, Start};
use crate::io::Joining;
use crate::lane;
use crate::protocol::{Id, Packet, is_room_name};
use crate::rooms::NotJoined;
use crate::socket::{JoinError, Socket};

/// One entry of the answer.
#[derive(Serialize)]
struct Entry<'a> {
    room: &'a str,
    /// Where it begins, in a room with history.
    #[serde(flatten)]
    position: Option<Begun>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
}

#[derive(Serialize)]
struct Begun {
    epoch: Arc<str>,
    seq: u64,
    from: u64,
}

/// What a client asks for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wanted {
    One(String),
    Many(Vec<String>),
}

/// A room, and where in its history to begin. Where it has none, that changes nothing.
#[derive(Deserialize)]
struct Place {
    room: String,
    since: Option<u64>,
    epoch: Option<Box<str>>,
    last: Option<u64>,
}

impl From<Position> for Begun {
    fn from(Position { epoch, seq, from }: Position) -> Begun {
        Begun { epoch, seq, from }
    }
}

/// The rooms that are asked for, whether as a list, and where to begin.
struct Asked {
    rooms: Vec<String>,
    is_list: bool,
    start: Start,
}

impl Asked {
    fn parse(packet: &Packet) -> Result<Asked, Error> {
        let invalid = |path: &str, text: String| {
            Error::new(code::INVALID_PAYLOAD, text).with_details(serde_json::json!({ "path": path }))
        };
        if packet.data().trim_ascii_start().first() != Some(&b'{') {
            let expected = "expected a room, a list of rooms, or an object with `room`";
            return match serde_json::from_slice(packet.data()) {
                Ok(Wanted::One(room)) => Ok(Asked { rooms: vec![room], is_list: false, start: Start::Usual }),
                Ok(Wanted::Many(rooms)) => Ok(Asked { rooms, is_list: true, start: Start::Usual }),
                Err(_) => Err(invalid(".", expected.into())),
            };
        }
        let Place { room, since, epoch, last } = handler::decode(packet)?;
        let start = match (since, epoch, last) {
            (Some(_), _, Some(_)) => return Err(invalid("last", "`since` and `last` exclude each other".into())),
            (Some(_), None, _) => return Err(invalid("epoch", "`since` needs the `epoch` that it counts in".into())),
            (Some(seq), Some(epoch), _) => Start::Since { seq, epoch },
            (None, _, Some(count)) => Start::Last(count),
            (None, _, None) => Start::Usual,
        };
        Ok(Asked { rooms: vec![room], is_list: false, start })
    }
}

/// Handles one of the two; it answers by itself where it does not refuse.
pub(crate) fn handle(socket: Socket, packet: Packet) -> BoxFuture<Answer> {
    Box::pin(async move {
        let done = match packet.event() {
            "subscribe" => subscribe(&socket, &packet).await,
            _ => unsubscribe(&socket, &packet).await,
        };
        match done {
            Ok(()) => Answer(Kind::Sent),
            Err(error) => Answer(Kind::Error(error)),
        }
    })
}

async fn subscribe(socket: &Socket, packet: &Packet) -> Result<(), Error> {
    let Asked { rooms, is_list, start } = Asked::parse(packet)?;
    let most = socket.config().max_subscriptions;
    // The answer has an entry for each, and a rule may be asked for each.
    if rooms.len() > most.saturating_mul(4).max(64) {
        return Err(too_many(most));
    }
    let mut allowed = Vec::with_capacity(rooms.len());
    let mut free = most.saturating_sub(socket.member().subscriptions());
    let mut joins = HashSet::new();
    for room in &rooms {
        // With no place left no rule is asked.
        let is_new = !socket.member().is_in(room) && !joins.contains(room);
        if is_new && free == 0 && is_room_name(room) {
            allowed.push(Err(too_many(most)));
            continue;
        }
        let verdict = allow(socket, room, &start).await;
        if is_new && verdict.is_ok() {
            joins.insert(room);
            free -= 1;
        }
        allowed.push(verdict);
    }
    // A refusal of the one room is told as an error, not as an ack.
    if !is_list && let Some(Err(refused)) = allowed.pop_if(|allowed| allowed.is_err()) {
        return Err(refused);
    }
    // The ack precedes the rooms' first frames: its place is taken before the socket is a member.
    if packet.id().is_some() && !socket.member().outbox.reserve().await {
        return Ok(());
    }
    let entries = rooms.iter().zip(allowed).map(|(room, allowed)| {
        let joined = allowed.and_then(|_joining| {
            socket.io().join(socket.member(), room, Some(most), &start).map_err(|refusal| match refusal {
                NotJoined::TooMany => too_many(most),
                NotJoined::Gone => JoinError::Disconnected.into(),
            })
        });
        match joined {
            Ok(position) => Entry { room, position: position.map(Begun::from), error: None },
            Err(error) => Entry { room, position: None, error: Some(error) },
        }
    });
    answer(socket, packet, is_list, entries.collect())
}

fn too_many(most: usize) -> Error {
    Error::new(code::LIMIT, format!("a socket may subscribe to {most} rooms"))
}

/// Whether the client may subscribe to a room; if so, other nodes know by now that this one is
/// interested in it.
async fn allow(socket: &Socket, room: &str, start: &Start) -> Result<Joining, Error> {
    if !is_room_name(room) {
        return Err(Error::forbidden("a room's name is 1 to 256 of [A-Za-z0-9_.:-]"));
    }
    // Who is in already gets no more by asking again, but by `since`: then the server's having joined it is not enough.
    if !socket.member().is_in(room) || matches!(start, Start::Since { .. }) {
        let rule = socket.io().rules().find(room);
        let rule = rule.ok_or_else(|| Error::forbidden("no rule lets clients into this room"))?;
        rule.check(socket, room).await?;
    }
    socket.io().joining(room).await.map_err(|error| Error::new(code::BUSY, error.to_string()))
}

async fn unsubscribe(socket: &Socket, packet: &Packet) -> Result<(), Error> {
    let Asked { rooms, is_list, .. } = Asked::parse(packet)?;
    let leave = |room| {
        socket.io().leave(socket.member(), room);
        Entry { room, position: None, error: None }
    };
    let entries: Vec<Entry<'_>> = rooms.iter().map(|room| leave(room.as_str())).collect();
    // Nothing of the rooms comes after the ack: its place is taken when they have been left.
    if packet.id().is_some() && !socket.member().outbox.reserve().await {
        return Ok(());
    }
    answer(socket, packet, is_list, entries)
}

/// Puts the answer into its place, or tells the refusals where there is no id to answer under.
fn answer(socket: &Socket, packet: &Packet, is_list: bool, mut entries: Vec<Entry<'_>>) -> Result<(), Error> {
    let Some(id) = packet.id() else {
        let refused = entries.iter_mut().find_map(|entry| entry.error.take().map(|error| (entry.room, error)));
        return match refused {
            Some((room, error)) => Err(error.with_details(serde_json::json!({ "room": room }))),
            None => Ok(()),
        };
    };
    let frame = match entries.as_mut_slice() {
        [Entry { error: Some(error), .. }] if !is_list => socket.error_frame(Some(id), error),
        [entry] if !is_list => ack(socket, id, entry),
        entries => ack(socket, id, entries),
    };
    socket.member().outbox.fill(frame);
    Ok(())
}

fn ack<T: Serialize + ?Sized>(socket: &Socket, id: &Id, answer: &T) -> Bytes {
    match encode::json(answer) {
        Ok(data) => lane::ack(socket, id, &data),
        Err(_) => socket.error_frame(Some(id), &Error::internal()),
    }
}
