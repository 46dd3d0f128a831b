//! An event on its way to its handler: read, decoded, found, called. The next ones come when so many have been handled as were
//! sent: that many are in flight.

use criterion::Throughput;
use eventwire::Socket;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::yield_now;

use crate::peer::{Peer, Tally, block};
use crate::rig::{Criterion, Rig, in_rounds, payload, server};

#[derive(Deserialize)]
struct Message {
    text: String,
}

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch");
    group.throughput(Throughput::Elements(1));
    // The last two are refused by an `error`; of the others nothing is sent back.
    for (name, event) in [
        ("ready", "ready"),
        ("ready, with a struct", "struct"),
        ("yields once", "yields"),
        ("refused for its payload", "number"),
        ("refused for its name", "unknown"),
    ] {
        let data = if event == "struct" { format!(r#"{{"text":{}}}"#, payload(117)) } else { payload(128).to_string() };
        let text = format!(r#"{{"event":"{event}","data":{data}}}"#);
        let refusal = matches!(event, "number" | "unknown");
        let mut rig = Rig::new(connect(text.clone(), refusal));
        for in_flight in [1, 32] {
            let block = block(&text, in_flight);
            let name = format!("{name}, {in_flight} in flight");
            rig.bench(&mut group, &name, move |peer, n| in_rounds(peer, block.clone(), in_flight as u64, n));
        }
    }
    group.finish();
}

/// Handlers add to the tally, as do the refusals that the peer gets.
async fn connect(text: String, refusal: bool) -> Peer {
    let io = server();
    let tally = Tally::new();
    let handled = tally.clone();
    io.on("ready", move |_: Socket, _: Box<RawValue>| {
        handled.add(1);
        async {}
    });
    let handled = tally.clone();
    io.on("struct", move |_: Socket, message: Message| {
        handled.add(u64::from(message.text.len() == 115));
        async {}
    });
    let handled = tally.clone();
    io.on("yields", move |_: Socket, _: Box<RawValue>| {
        let handled = handled.clone();
        async move {
            yield_now().await;
            handled.add(1);
        }
    });
    io.on("number", |_: Socket, _: u64| async {});
    let (peer, _) = Peer::connect(&io, &tally).await;
    let got = peer.ask(&block(&text, 1), 1).await;
    assert_eq!(got.contains(r#""event":"error""#), refusal, "{got}");
    peer
}
