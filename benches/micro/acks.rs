//! Requests and their answers, in both directions.

use criterion::Throughput;
use eventwire::Socket;
use serde_json::value::RawValue;

use crate::peer::{Peer, Tally, block};
use crate::rig::{Clock, Criterion, Rig, in_rounds, payload, server};

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("acks");
    group.throughput(Throughput::Elements(1));

    let text = format!(r#"{{"event":"add","id":7,"data":{}}}"#, payload(128));
    let first = block(&text, 1);
    let mut rig = Rig::new(async move {
        let io = server();
        io.on("add", |_: Socket, data: Box<RawValue>| async move { data.get().len() as u64 });
        let (peer, _) = Peer::connect(&io, &Tally::new()).await;
        let answer = peer.ask(&first, 1).await;
        assert!(answer.ends_with(r#"{"event":"ack","id":7,"data":128}"#), "{answer}");
        peer
    });
    for in_flight in [1, 8] {
        let block = block(&text, in_flight);
        let name = format!("the client asks, {in_flight} in flight");
        rig.bench(&mut group, &name, move |peer, n| in_rounds(peer, block.clone(), in_flight as u64, n));
    }

    let asked = async {
        let tally = Tally::new();
        let (peer, socket) = Peer::connect(&server(), &tally).await;
        peer.answers_requests();
        (socket, tally)
    };
    Rig::new(asked).bench(&mut group, "the server asks", |(socket, tally), iterations| async move {
        let data = payload(128);
        let due = tally.count() + iterations;
        let clock = Clock::start();
        for _ in 0..iterations {
            assert_eq!(socket.request::<u64>("question", &data).await, Ok(1));
        }
        let spent = clock.elapsed();
        assert_eq!(tally.count(), due);
        spent
    });
    group.finish();
}
