//! What clients say of what they were sent: `ack`, `nack` and `slow`.

use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use crate::decode::decode;
use crate::error::{Error, code};
use crate::hub::Member;
use crate::protocol::{Id, Packet, Place};

/// What is told of why a message was refused is kept up to this many bytes.
const MAX_REASON: usize = 256;

/// The data of `ack` and `nack`, where it says more than the envelope.
#[derive(Default, Deserialize)]
struct Told {
    id: Option<Id>,
    room: Option<String>,
    seq: Option<u64>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Slow {
    utilization: f64,
}

/// Which message is meant.
enum Meant {
    ById(u64),
    InRoom(Place),
}

/// Takes one of the three.
pub(crate) fn confirm(member: &Member, packet: &Packet, now: Instant) -> Result<(), Error> {
    let deliveries = &member.deliveries;
    match packet.event() {
        "ack" => match meant(packet, &told(packet).unwrap_or_default()) {
            Ok(Some(Meant::ById(id))) => deliveries.ack(member, id, now),
            Ok(Some(Meant::InRoom(place))) => deliveries.ack_room(member, &place, now),
            // An answer to nothing.
            Ok(None) => {}
            Err(error) => return Err(error),
        },
        "nack" => {
            let told = told(packet)?;
            let mut reason = told.reason.as_deref().unwrap_or_default();
            reason = &reason[..reason.floor_char_boundary(MAX_REASON)];
            match meant(packet, &told)? {
                Some(Meant::ById(id)) => deliveries.nack(member, id, reason, now),
                Some(Meant::InRoom(Place { room, seq, .. })) => deliveries.nack_room(member, &room, seq, reason, now),
                None => return Err(missing("id", "a `nack` names the message: its `id`, or its `room` and `seq`")),
            }
        }
        _ => {
            let is_bare = packet.data() == b"null";
            let Slow { utilization } = if is_bare { Slow { utilization: 1.0 } } else { decode(packet)? };
            if !(0.0..=1.0).contains(&utilization) {
                return Err(missing("utilization", "`utilization` is a number from 0 to 1"));
            }
            deliveries.slow(member, utilization, now);
        }
    }
    Ok(())
}

fn missing(path: &str, text: &'static str) -> Error {
    Error::new(code::INVALID_PAYLOAD, text).with_details(json!({ "path": path }))
}

fn told(packet: &Packet) -> Result<Told, Error> {
    if packet.data() == b"null" { Ok(Told::default()) } else { decode(packet) }
}

fn meant(packet: &Packet, told: &Told) -> Result<Option<Meant>, Error> {
    if let Some(place) = packet.place() {
        return Ok(Some(Meant::InRoom(place.clone())));
    }
    // Messages of ours have numbers. Where the envelope has an id, an `ack`'s data is an answer and may be anything.
    match (packet.id(), &told.id, &told.room, told.seq) {
        (Some(Id::Number(id)), ..) | (None, Some(Id::Number(id)), None, None) => Ok(Some(Meant::ById(*id))),
        (None, _, Some(room), Some(seq)) => {
            Ok(Some(Meant::InRoom(Place { room: room.as_str().into(), seq, is_one: false })))
        }
        (None, _, Some(_), None) => Err(missing("seq", "`room` needs the `seq` of the message in it")),
        (None, _, None, Some(_)) => Err(missing("room", "`seq` needs the `room` that it counts in")),
        _ => Ok(None),
    }
}
