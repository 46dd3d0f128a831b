//! Rooms without history: a socket joins one and leaves it.

use eventwire::{Io, Socket};

use crate::peer::{Peer, Tally};
use crate::rig::{Clock, Criterion, Rig, server};

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rooms");
    for (name, others) in [("join and leave, alone", 0), ("join and leave, 1000 others in it", 1000)] {
        Rig::new(connect(others)).bench(&mut group, name, move |(io, socket), iterations| async move {
            let clock = Clock::start();
            for _ in 0..iterations {
                socket.join("room").await.unwrap();
                socket.leave("room");
            }
            let spent = clock.elapsed();
            assert_eq!(io.room_len("room"), others);
            socket.join("room").await.unwrap();
            assert_eq!(io.room_len("room"), others + 1);
            socket.leave("room");
            spent
        });
    }
    group.finish();
}

async fn connect(others: usize) -> (Io, Socket) {
    let (io, tally) = (server(), Tally::new());
    for _ in 0..others {
        Peer::connect(&io, &tally).await.1.join("room").await.unwrap();
    }
    let (_peer, socket) = Peer::connect(&io, &tally).await;
    (io, socket)
}
