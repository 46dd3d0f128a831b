//! `Io::events`: what was registered is known.

use std::time::Duration;

use eventwire::{Answer, Contract, Direction, Event, EventInfo, Events, History, Io, Socket, Subscribe, gateway};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::*;

#[derive(Deserialize, Serialize, Event)]
#[event("say", ack = Vec<u8>)]
struct Say(String);

#[derive(Events)]
enum ToBrowser {
    #[event("bell")]
    Bell,
    #[event("news", ack = bool)]
    News(String),
}

struct Desk;

#[gateway(emits(ToBrowser, Say))]
impl Desk {
    #[on]
    async fn say(&self, say: Say) -> eventwire::Result<Vec<u8>> {
        Ok(say.0.into_bytes())
    }

    #[on("sum", concurrent = 3, timeout = "1.5s")]
    async fn sum(&self, numbers: Vec<u32>, _socket: Socket) -> u32 {
        numbers.iter().sum()
    }

    #[room("desk:*")]
    async fn may_enter(&self) -> bool {
        true
    }
}

fn find<'a>(contract: &'a Contract, name: &str, direction: Direction) -> &'a EventInfo {
    let mut found = contract.events.iter().filter(|event| event.name == name && event.direction == direction);
    let first = found.next().unwrap_or_else(|| panic!("{name} in {contract:#?}"));
    assert_eq!(found.next(), None, "{name} once in {contract:#?}");
    first
}

fn names(io: &Io) -> Vec<String> {
    io.events().events.into_iter().map(|event| event.name).collect()
}

#[test]
fn closures_and_gateways_are_listed() {
    use Direction::{FromClient, ToClient};
    let io = Io::new();
    assert_eq!(io.events(), Contract::default());
    io.gateway(Desk).unwrap();
    io.on::<Option<u8>>("closure", async |_: Socket, n| n).timeout(Duration::from_millis(7));
    io.on::<()>("nothing", async |_: Socket, ()| {});
    io.on::<Value>("by-hand", async |_: Socket, value| Answer::value(&value));
    io.on::<u8>("later", async |_: Socket, n| eventwire::Ack::later(async move { Ok::<_, String>(vec![n]) }));
    io.on_raw(async |_: Socket, _| {});

    let contract = io.events();
    let of = |name: &str, direction| {
        let event = find(&contract, name, direction);
        let short = |name: &'static str| name.rsplit("contract::").next().unwrap();
        (short(event.payload), event.ack.map(short), event.concurrent, event.timeout)
    };
    let vec = std::any::type_name::<Vec<u8>>();
    let option = std::any::type_name::<Option<u8>>();
    let numbers = std::any::type_name::<Vec<u32>>();
    let value = std::any::type_name::<Value>();
    assert_eq!(of("say", FromClient), ("Say", Some(vec), 0, None));
    assert_eq!(of("say", ToClient), ("Say", Some(vec), 0, None));
    assert_eq!(of("sum", FromClient), (numbers, Some("u32"), 3, Some(Duration::from_millis(1500))));
    assert_eq!(of("closure", FromClient), (option, Some(option), 0, Some(Duration::from_millis(7))));
    assert_eq!(of("nothing", FromClient), ("()", Some("()"), 0, None));
    assert_eq!(of("by-hand", FromClient), (value, None, 0, None));
    assert_eq!(of("later", FromClient), ("u8", Some(vec), 0, None));
    assert_eq!(of("bell", ToClient), ("()", Some("()"), 0, None));
    assert_eq!(of("news", ToClient), (std::any::type_name::<String>(), Some("bool"), 0, None));
    assert_eq!(contract.events.len(), 9);
    assert!(contract.events.is_sorted_by_key(|event| &event.name));

    io.off("closure");
    assert!(!names(&io).contains(&"closure".to_owned()), "what was taken off is not there");
}

#[tokio::test]
async fn what_sockets_listen_to_is_known_once() {
    let server = Server::new().await;
    server.io.on_connect(|socket: Socket| async move {
        socket.on::<u8>("own", async |_, n| n).concurrent(4);
        socket.on_event(async |_: Socket, _: Say| Vec::new());
        socket.on::<u8>("by-hand", async |_, n| Answer::value(&n)).answers("u8");
    });
    let mut clients = server.clients(3).await;
    for client in &mut clients {
        assert_eq!(client.request("own", json!(1)).await, Ok(json!(1)));
    }
    let contract = server.io.events();
    assert_eq!(contract.events.len(), 3);
    assert_eq!(find(&contract, "by-hand", Direction::FromClient).ack, Some("u8"));
    let own = find(&contract, "own", Direction::FromClient);
    assert_eq!((own.payload, own.ack, own.concurrent), ("u8", Some("u8"), 4));
    // It is still known when they are gone.
    for client in clients {
        client.close().await;
    }
    until("they are gone", || server.io.stats().sockets == 0).await;
    assert_eq!(server.io.events(), contract);

    // Registered again, without options, it has none.
    let client = server.client().await;
    server.io.sockets()[0].on::<u8>("own", async |_, n| n);
    assert_eq!(find(&server.io.events(), "own", Direction::FromClient).concurrent, 0);
    client.close().await;
    until("it is gone", || server.io.stats().sockets == 0).await;
    // The same name with another payload is another entry.
    let _client = server.client().await;
    server.io.sockets()[0].on::<String>("own", async |_, text| text);
    assert_eq!(names(&server.io), ["by-hand", "own", "own", "say"]);
}

#[tokio::test]
async fn names_without_end_are_not_kept() {
    let server = Server::new().await;
    let mut client = server.client().await;
    let socket = server.io.sockets()[0].clone();
    for n in 0..5000 {
        socket.on::<u32>(&format!("event-{n}"), async |_, n| n);
    }
    assert_eq!(server.io.events().events.len(), 4096);
    assert_eq!(client.request("event-4999", json!(7)).await, Ok(json!(7)), "heard all the same");
}

#[test]
fn rooms_are_listed_with_their_rules() {
    let io = Io::new();
    for pattern in ["ab*", "abc", "abc*"] {
        io.rooms(pattern).public();
    }
    let patterns: Vec<_> = io.events().rooms.into_iter().map(|room| room.pattern).collect();
    assert_eq!(patterns, ["abc", "abc*", "ab*"], "as they are found");

    let io = Io::new();
    io.gateway(Desk).unwrap();
    io.rooms("desk:*").history(History::bytes(1000).ttl(Duration::from_secs(60)));
    io.rooms("news").public();
    io.rooms("*").history(History::messages(5).live_only().snapshot("state", 0_u8, |_, _| {}));
    let rooms = io.events().rooms;
    let patterns: Vec<_> = rooms.iter().map(|room| (room.pattern.as_str(), room.subscribe)).collect();
    assert_eq!(patterns, [("desk:*", Some(Subscribe::If)), ("news", Some(Subscribe::Public)), ("*", None)]);
    let desk = rooms[0].history.as_ref().unwrap();
    assert_eq!((desk.bytes, desk.messages, desk.ttl), (1000, None, Some(Duration::from_secs(60))));
    assert_eq!(rooms[1].history, None);
    let all = rooms[2].history.as_ref().unwrap();
    assert_eq!((all.messages, all.live_only, all.snapshot.as_deref()), (Some(5), true, Some("state")));
}

#[test]
fn it_is_written_as_json() {
    let io = Io::new();
    io.on::<u8>("one", async |_: Socket, n| n).concurrent(2).timeout(Duration::from_secs(1));
    io.rooms("news").public().history(History::bytes(10));
    assert_eq!(
        serde_json::to_value(io.events()).unwrap(),
        json!({
            "events": [{
                "name": "one", "direction": "fromClient", "payload": "u8", "ack": "u8", "concurrent": 2, "timeoutMs": 1000,
            }],
            "rooms": [{
                "pattern": "news",
                "subscribe": "public",
                "history": {"bytes": 10, "messages": null, "ttlMs": null, "liveOnly": false, "snapshot": null},
            }],
        })
    );
}

/// One handler answers all variants: it is listed with what it answers, where that is known.
#[test]
fn a_handler_of_several_is_listed_with_its_answer() {
    #[derive(Events)]
    enum Two {
        #[event("a", ack = bool)]
        A,
        #[event("b")]
        B,
    }
    let acks = |io: Io| io.events().events.into_iter().map(|event| event.ack).collect::<Vec<_>>();
    let (typed, by_hand) = (Io::new(), Io::new());
    typed.on_events(|_: Socket, two: Two| async move { matches!(two, Two::B) as u8 });
    by_hand.on_events(|_: Socket, _: Two| async { Answer::nothing() });
    assert_eq!(acks(typed), [Some("u8"), Some("u8")]);
    assert_eq!(acks(by_hand), [Some("bool"), Some("()")]);
}

#[cfg(feature = "process")]
#[test]
fn a_modules_events_are_among_them() {
    let io = Io::new();
    io.install(eventwire::process::Settings::default());
    let names = names(&io);
    for name in ["process_start", "process_input", "process_kill", "process_list"] {
        assert!(names.contains(&name.to_owned()), "{name} in {names:?}");
    }
}
