//! `subscribe` and `unsubscribe`: how clients come into rooms and leave them.

use std::collections::HashSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::encode;
use crate::error::{Error, code};
use crate::handler::{Answer, BoxFuture, Kind};
use crate::io::Joining;
use crate::lane;
use crate::protocol::{Id, Packet, is_room_name};
use crate::rooms::NotJoined;
use crate::socket::{JoinError, Socket};

/// One entry of the answer.
#[derive(Serialize)]
struct Entry<'a> {
    room: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
}

/// What a client asks for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wanted {
    One(String),
    Many(Vec<String>),
    // Where a room has no history, `since`, `epoch` and `last` change nothing.
    From { room: String },
}

impl Wanted {
    fn parse(packet: &Packet) -> Result<(Vec<String>, bool), Error> {
        match serde_json::from_slice(packet.data()) {
            Ok(Wanted::One(room) | Wanted::From { room }) => Ok((vec![room], false)),
            Ok(Wanted::Many(rooms)) => Ok((rooms, true)),
            Err(_) => {
                let expected = "expected a room, a list of rooms, or an object with `room`";
                Err(Error::new(code::INVALID_PAYLOAD, expected).with_details(serde_json::json!({"path": "."})))
            }
        }
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
    let (rooms, is_list) = Wanted::parse(packet)?;
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
        let verdict = allow(socket, room).await;
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
            let joined = socket.io().hub().join(socket.member(), room, Some(most));
            joined.map(drop).map_err(|refusal| match refusal {
                NotJoined::TooMany => too_many(most),
                NotJoined::Gone => JoinError::Disconnected.into(),
            })
        });
        Entry { room, error: joined.err() }
    });
    answer(socket, packet, is_list, entries.collect())
}

fn too_many(most: usize) -> Error {
    Error::new(code::LIMIT, format!("a socket may subscribe to {most} rooms"))
}

/// Whether the client may subscribe to a room; if so, other nodes know by now that this one is
/// interested in it.
async fn allow(socket: &Socket, room: &str) -> Result<Joining, Error> {
    if !is_room_name(room) {
        return Err(Error::forbidden("a room's name is 1 to 256 of [A-Za-z0-9_.:-]"));
    }
    if !socket.member().is_in(room) {
        let rule = socket.io().rules().find(room);
        let rule = rule.ok_or_else(|| Error::forbidden("no rule lets clients into this room"))?;
        rule.check(socket, room).await?;
    }
    socket.io().joining(room).await.map_err(|error| Error::new(code::BUSY, error.to_string()))
}

async fn unsubscribe(socket: &Socket, packet: &Packet) -> Result<(), Error> {
    let (rooms, is_list) = Wanted::parse(packet)?;
    let leave = |room| {
        socket.io().leave(socket.member(), room);
        Entry { room, error: None }
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
