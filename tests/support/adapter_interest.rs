//! The part of the suite of adapters that is about interest: it is there when it is needed, ends when
//! it is not, and joins and leaves that race end in the truth.

use eventwire::{Adapter, Socket};
use futures::future::join_all;
use serde_json::json;

use super::nodes::{heard, nodes};
use crate::support::*;

pub async fn interest_is_there_before_a_join_is_done<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two] = nodes(make).await;
    let mut a = one.server.client().await;
    let socket = one.socket(&a);
    for n in 0..200 {
        // A client's, a server's, and one of a list.
        let room = format!("public:{n}");
        match n % 3 {
            0 => drop(a.request("subscribe", json!(room)).await.unwrap()),
            1 => socket.join(&room).await.unwrap(),
            _ => drop(a.request("subscribe", json!(["public:0", room])).await.unwrap()),
        }
        two.server.io.to(&room).emit("n", n).await.unwrap();
        assert_eq!(a.expect("n").await, n);
        if n % 2 == 0 {
            socket.leave(&room);
        }
    }
}

/// What comes between a leave and the telling of it is not forgotten with the room.
pub async fn interest_survives_a_leave_and_a_join<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two] = nodes(make).await;
    let mut a = one.member("public:r").await;
    let mut other = one.server.client().await;
    for n in 0..200 {
        // The end of the interest is told in a while: by then it has begun again, here or at another socket.
        a.request("unsubscribe", json!("public:r")).await.unwrap();
        if n % 2 == 0 {
            std::mem::swap(&mut a, &mut other);
        }
        a.request("subscribe", json!("public:r")).await.unwrap();
        two.server.io.to("public:r").emit("n", n).await.unwrap();
        assert_eq!(a.expect("n").await, n);
    }
    other.expect_nothing().await;
}

pub async fn interest_ends_with_the_last_member<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>, filters: bool) {
    let [one, two] = nodes(make).await;
    let mut witness = one.server.client().await;
    for how in ["unsubscribe", "leave", "close", "lost"] {
        let (mut a, mut b) = (one.member("public:r").await, one.member("public:r").await);
        assert!(one.seen.is_interested("public:r"), "{how}");
        let socket = one.socket(&a);
        socket.leave("public:r");
        two.server.io.to("public:r").emit("n", 1).await.unwrap();
        assert_eq!(b.expect("n").await, 1, "{how}: as long as one is left, it arrives");
        assert!(one.seen.is_interested("public:r"), "{how}");
        a.expect_nothing().await;
        let last = one.socket(&b);
        match how {
            "unsubscribe" => drop(b.request("unsubscribe", json!("public:r")).await.unwrap()),
            "leave" => last.leave("public:r"),
            "close" => b.close().await,
            _ => drop(b),
        }
        until("the interest has ended", || !one.seen.is_interested("public:r")).await;
        drop(a);
        let before = one.seen.arrived();
        two.server.io.to("public:r").emit("n", 2).await.unwrap();
        two.fence().await;
        assert!(heard(&mut witness).await.is_empty(), "{how}");
        let sent = one.seen.arrived() - before;
        assert!(sent == 1 || !filters, "{how}: nothing but the fence is sent, not {sent}");
    }
}

pub async fn races_of_joins_and_leaves_end_in_the_truth<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two] = nodes(make).await;
    let mut clients = one.server.clients(3).await;
    let sockets: Vec<Socket> = clients.iter().map(|client| one.socket(client)).collect();
    for round in 0..200 {
        // In turn nobody stays, or one of them.
        let stays = (round % 4 < 3).then_some(round % 4);
        let tasks = sockets.iter().cloned().enumerate().map(|(index, socket)| {
            tokio::spawn(async move {
                for _ in 0..3 {
                    socket.join("public:race").await.unwrap();
                    if (round + index) % 2 == 0 {
                        tokio::task::yield_now().await;
                    }
                    socket.leave("public:race");
                }
                if stays == Some(index) {
                    socket.join("public:race").await.unwrap();
                }
            })
        });
        for task in join_all(tasks).await {
            task.unwrap();
        }
        assert_eq!(one.server.io.room_len("public:race"), usize::from(stays.is_some()));
        if let Some(index) = stays {
            assert!(one.seen.is_interested("public:race"), "round {round}: a member is there");
            two.server.io.to("public:race").emit("n", round).await.unwrap();
            assert_eq!(clients[index].expect("n").await, round);
            sockets[index].leave("public:race");
        }
        until("the interest has ended", || !one.seen.is_interested("public:race")).await;
    }
    two.fence().await;
    for client in &mut clients {
        assert!(heard(client).await.is_empty());
    }
}

pub async fn races_of_joins_and_disconnects_end_in_the_truth<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, _two] = nodes(make).await;
    for round in 0..200 {
        let mut client = one.server.client().await;
        let socket = one.socket(&client);
        let joining = tokio::spawn({
            let socket = socket.clone();
            async move { socket.join("public:race").await }
        });
        match round % 3 {
            0 => drop(client),
            1 => client.close().await,
            _ => {
                socket.disconnect();
                assert_eq!(client.closed().await.0, 1000);
                drop(client);
            }
        }
        let _ = within("the join is decided", joining).await.unwrap();
        // It leaves everyone first and then its rooms; a join that came late has left nothing there.
        until("it is gone", || !socket.is_connected() && one.server.io.stats().sockets == 0).await;
        until("its rooms are left", || one.server.io.room_len("public:race") == 0).await;
        until("the interest has ended", || !one.seen.is_interested("public:race")).await;
    }
}
