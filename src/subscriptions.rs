//! `subscribe` and `unsubscribe`: how clients come into rooms and leave them.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decode::decode;
use crate::encode::{self, Scratch};
use crate::error::{Error, code};
use crate::handler::{Answer, Called, Kind};
use crate::history::{Position, Start};
use crate::io::Joining;
use crate::lane;
use crate::protocol::{Id, Packet, is_room_name};
use crate::rooms::NotJoined;
use crate::socket::{JoinError, Socket};
use crate::wildcard;

/// After so many rooms of a list others run: some 50 microseconds.
const ROOMS_A_TURN: usize = 64;

/// One entry of the answer.
#[derive(Serialize)]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    /// How many milliseconds there are to acknowledge each message, where that is asked for.
    #[serde(rename = "ackTimeout", skip_serializing_if = "Option::is_none")]
    ack_timeout: Option<u64>,
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

impl<'a> Entry<'a> {
    fn new(name: &'a str) -> Entry<'a> {
        let is_wild = wildcard::is_wild(name);
        let (pattern, room) = (Some(name).filter(|_| is_wild), Some(name).filter(|_| !is_wild));
        Entry { pattern, room, ack_timeout: None, position: None, error: None }
    }
}

/// What a client asks for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wanted {
    One(String),
    Many(Vec<String>),
}

/// A room, and where in its history to begin, which changes nothing where it has none; or a pattern of rooms.
#[derive(Deserialize)]
struct Place {
    room: Option<String>,
    pattern: Option<String>,
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
    /// The one name is that of a pattern.
    is_pattern: bool,
    start: Start,
}

impl Asked {
    fn parse(packet: &Packet) -> Result<Asked, Error> {
        let invalid = |path: &str, text: String| {
            Error::new(code::INVALID_PAYLOAD, text).with_details(serde_json::json!({ "path": path }))
        };
        if packet.data().trim_ascii_start().first() != Some(&b'{') {
            let expected = "expected a room, a list of rooms, or an object with `room`";
            let by_name = |rooms, is_list| Ok(Asked { rooms, is_list, is_pattern: false, start: Start::Usual });
            return match serde_json::from_slice(packet.data()) {
                Ok(Wanted::One(room)) => by_name(vec![room], false),
                Ok(Wanted::Many(rooms)) => by_name(rooms, true),
                Err(_) => Err(invalid(".", expected.into())),
            };
        }
        let Place { room, pattern, since, epoch, last } = decode(packet)?;
        let is_pattern = pattern.is_some();
        let room = match (room, pattern) {
            (Some(room), None) => room,
            (None, Some(pattern)) => {
                wildcard::check(&pattern).map_err(|why| invalid("pattern", why.into()))?;
                if since.is_some() || last.is_some() {
                    return Err(invalid("pattern", "`since` and `last` are for one room, not for a pattern".into()));
                }
                pattern
            }
            (Some(_), Some(_)) => return Err(invalid("pattern", "`room` and `pattern` exclude each other".into())),
            (None, None) => return Err(invalid("room", "missing field `room`, or `pattern`".into())),
        };
        let start = match (since, epoch, last) {
            (Some(_), _, Some(_)) => return Err(invalid("last", "`since` and `last` exclude each other".into())),
            (Some(_), None, _) => return Err(invalid("epoch", "`since` needs the `epoch` that it counts in".into())),
            (Some(seq), Some(epoch), _) => Start::Since { seq, epoch },
            (None, _, Some(count)) => Start::Last(count),
            (None, _, None) => Start::Usual,
        };
        Ok(Asked { rooms: vec![room], is_list: false, is_pattern, start })
    }
}

/// Handles one of the two; it answers by itself where it does not refuse.
pub(crate) fn handle(socket: Socket, packet: Packet) -> Called {
    Called::new(async move {
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
    let Asked { rooms, is_list, is_pattern, start } = Asked::parse(packet)?;
    let most = socket.config().max_subscriptions;
    check_length(rooms.len(), most)?;
    let mut allowed = Vec::with_capacity(rooms.len());
    let mut free = most.saturating_sub(socket.member().subscriptions());
    let mut joins = HashSet::new();
    for room in &rooms {
        // With no place left no rule is asked.
        let is_new = !socket.member().is_in(room) && !joins.contains(room);
        if is_new && free == 0 && (is_pattern || is_room_name(room)) {
            allowed.push(Err(too_many(most)));
            continue;
        }
        let verdict = match is_pattern && wildcard::is_wild(room) {
            true => allow_pattern(socket, room).await,
            false => allow(socket, room, &start).await,
        };
        if is_new && verdict.is_ok() {
            joins.insert(room);
            free -= 1;
        }
        allowed.push(verdict);
        let_others_run(allowed.len()).await;
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
            Ok(position) => {
                let once = socket.io().hub().rooms().once.find(room);
                let ack_timeout = once.map(|once| once.patience().as_millis() as u64);
                Entry { position: position.map(Begun::from), ack_timeout, ..Entry::new(room) }
            }
            Err(error) => Entry { error: Some(error), ..Entry::new(room) },
        }
    });
    answer(socket, packet, is_list, entries.collect())
}

/// A long list does not hold up whoever else is served by this thread.
async fn let_others_run(done: usize) {
    if done.is_multiple_of(ROOMS_A_TURN) {
        tokio::task::yield_now().await;
    }
}

/// The answer has an entry for each, and a rule may be asked for each.
fn check_length(rooms: usize, most: usize) -> Result<(), Error> {
    if rooms > most.saturating_mul(4).max(64) {
        return Err(too_many(most));
    }
    Ok(())
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
    joining(socket, room).await
}

/// The same for a pattern: a rule is to hold for all its rooms, and those that hold for some of them are asked too.
async fn allow_pattern(socket: &Socket, pattern: &str) -> Result<Joining, Error> {
    if !socket.member().is_in(pattern) {
        let rules = socket.io().rules().covering(pattern);
        if rules.is_empty() {
            return Err(Error::forbidden("no rule lets clients into all rooms of this pattern"));
        }
        for rule in rules {
            rule.check(socket, pattern).await?;
        }
    }
    joining(socket, pattern).await
}

async fn joining(socket: &Socket, room: &str) -> Result<Joining, Error> {
    socket.io().joining(room).await.map_err(|error| Error::new(code::BUSY, error.to_string()))
}

async fn unsubscribe(socket: &Socket, packet: &Packet) -> Result<(), Error> {
    let Asked { rooms, is_list, .. } = Asked::parse(packet)?;
    let mut entries = Vec::with_capacity(rooms.len());
    for room in &rooms {
        socket.io().leave(socket.member(), room);
        entries.push(Entry::new(room));
        let_others_run(entries.len()).await;
    }
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
    socket.member().outbox.fill(&frame);
    Ok(())
}

fn ack<T: Serialize + ?Sized>(socket: &Socket, id: &Id, answer: &T) -> Scratch {
    match encode::json(answer) {
        Ok(data) => lane::ack(socket, id, &data),
        Err(_) => socket.error_frame(Some(id), &Error::internal()),
    }
}
