//! Rooms as server code holds them, and what an `Io` knows of its sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eventwire::{Handshake, JoinError, Refusal, Socket, SocketId};
use serde_json::json;

use crate::kit::*;
use crate::support::*;

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[tokio::test]
async fn join_and_leave_are_seen_from_everywhere() {
    let server = Server::new().await;
    let io = &server.io;
    let clients = server.clients(2).await;
    let (a, b) = (server.socket(&clients[0]), server.socket(&clients[1]));
    assert_eq!((a.rooms(), io.rooms_list(), io.room_len("x")), (vec![], vec![], 0));
    a.join("x").await.unwrap();
    a.join(String::from("y")).await.unwrap();
    a.join("x").await.unwrap();
    b.join("x").await.unwrap();
    assert_eq!(sorted(a.rooms()), ["x", "y"]);
    assert_eq!(sorted(io.rooms_list()), ["x", "y"]);
    assert_eq!((io.room_len("x"), io.room_len("y"), io.room_len("z")), (2, 1, 0));
    let stats = io.stats();
    assert_eq!((stats.sockets, stats.rooms, stats.members, stats.connected), (2, 2, 3, 2));
    a.leave("x");
    a.leave("x");
    a.leave("never joined");
    assert_eq!((a.rooms(), b.rooms(), io.room_len("x")), (vec!["y".into()], vec!["x".into()], 1));
    a.leave("y");
    assert_eq!(io.rooms_list(), ["x"], "an empty room is gone");
    b.leave("x");
    let stats = io.stats();
    assert_eq!((stats.sockets, stats.rooms, stats.members), (2, 0, 0));
    assert_eq!((io.to("x").emit("e", 1).await, io.rooms_list()), (Ok(0), vec![]), "emitting makes no room");
}

#[tokio::test]
async fn a_room_has_a_name_of_its_alphabet() {
    let server = Server::new().await;
    let client = server.client().await;
    let socket = server.socket(&client);
    let long = "x".repeat(256);
    for good in ["a", "Process:build-1", "A.b_C:9-", &*long] {
        assert_eq!(socket.join(good).await, Ok(()), "{good}");
    }
    let longer = "x".repeat(257);
    for bad in ["", " ", "a b", "é", "a/b", "a\n", "\0", "*", "process:*", &*longer] {
        assert_eq!(socket.join(bad).await, Err(JoinError::Name), "{bad}");
    }
    assert_eq!(socket.rooms().len(), 4);
    assert_eq!(server.io.rooms_list().len(), 4);
    assert_eq!(eventwire::Error::from(JoinError::Name).code(), "forbidden");
    // Names that differ in case are different rooms.
    socket.join("process:build-1").await.unwrap();
    assert_eq!(server.io.room_len("PROCESS:BUILD-1"), 0);
    assert_eq!(server.io.room_len("process:build-1"), 1);
}

#[tokio::test]
async fn an_io_knows_its_sockets() {
    let server = Server::new().await;
    let mut clients = server.clients(3).await;
    let mut ids: Vec<SocketId> = clients.iter().map(|client| client.id.parse().unwrap()).collect();
    let mut known: Vec<SocketId> = server.io.sockets().iter().map(Socket::id).collect();
    ids.sort();
    known.sort();
    assert_eq!(known, ids);
    let socket = server.io.socket(ids[0]).unwrap();
    assert_eq!((socket.id(), socket.is_connected(), socket.id().to_string().parse()), (ids[0], true, Ok(ids[0])));
    assert!(socket == server.io.socket(ids[0]).unwrap() && socket != server.io.socket(ids[1]).unwrap());
    assert!("no id".parse::<SocketId>().is_err());
    let (id, gone) = (clients[0].id.parse().unwrap(), clients.remove(0));
    gone.close().await;
    until("it is gone", || server.io.socket(id).is_none()).await;
    assert_eq!((server.io.sockets().len(), server.io.stats().sockets, server.io.stats().connected), (2, 2, 3));
}

#[tokio::test]
async fn extensions_keep_one_value_of_each_type_and_race_to_the_same() {
    #[derive(Debug, PartialEq)]
    struct Name(String);
    let server = Server::new().await;
    server.io.extensions().insert(Name("the io's".into()));
    server.io.on::<String>("rename", |socket: Socket, name| async move {
        socket.extensions().insert(Name(name)).map(|before| before.0.clone())
    });
    let (mut a, b) = (server.client().await, server.client().await);
    assert_eq!(a.request("rename", json!("ann")).await, Ok(json!(null)));
    assert_eq!(a.request("rename", json!("anna")).await, Ok(json!("ann")));
    let (a, b) = (server.socket(&a), server.socket(&b));
    assert_eq!(a.extensions().get::<Name>().unwrap().0, "anna");
    assert_eq!(b.extensions().get::<Name>(), None, "each socket has its own");
    assert_eq!(server.io.extensions().get::<Name>().unwrap().0, "the io's");
    assert_eq!(a.extensions().get::<u32>(), None);
    let made: Vec<Arc<u32>> = std::thread::scope(|scope| {
        let make = |n| a.extensions().get_or_insert_with(|| n);
        let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || make(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|one| Arc::ptr_eq(one, &made[0])), "{made:?}");
    assert_eq!(a.extensions().remove::<Name>().unwrap().0, "anna");
    assert_eq!(a.extensions().get::<Name>(), None);
}

#[tokio::test]
async fn the_handshake_tells_path_query_headers_peer_and_user() {
    #[derive(Debug, PartialEq)]
    struct Claims(String, u32);
    impl eventwire::Principal for Claims {
        fn user(&self) -> &str {
            &self.0
        }
    }
    let server = Server::new().await;
    server.io.authenticate(|handshake: Handshake| async move {
        let user = handshake.query_param("user");
        Ok::<_, Refusal>(user.map(|user| Claims(user, 7)))
    });
    let headers = [("x-shade", "blue"), ("user-agent", "test")];
    let client = Client::try_connect(server.address, "/a/b?user=ann%20b&x=1&x=2", &headers).await.unwrap();
    let socket = server.socket(&client);
    let handshake = socket.handshake();
    assert_eq!(handshake.path(), "/a/b");
    assert_eq!(handshake.query_param("user").as_deref(), Some("ann b"));
    assert_eq!(handshake.query_param("x").as_deref(), Some("1"));
    assert_eq!(handshake.query_param("y"), None);
    assert_eq!((handshake.header("X-Shade"), handshake.header("user-agent")), (Some("blue"), Some("test")));
    assert!(handshake.headers().any(|(name, value)| (name, value) == ("upgrade", "websocket")));
    let peer = client.ws.get_ref().local_addr().unwrap();
    assert_eq!(handshake.peer(), Some(peer));
    assert_eq!(handshake.user(), "ann b");
    assert_eq!(*handshake.auth::<Claims>().unwrap(), Claims("ann b".into(), 7));
    assert!(handshake.auth::<String>().is_none());
    let guest = server.client().await;
    let guest = server.socket(&guest);
    assert_eq!((guest.handshake().user(), guest.handshake().auth::<Claims>()), ("", None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_10_a_join_that_races_a_disconnect_leaves_no_ghost() {
    let server = Server::new().await;
    for round in 0..200u64 {
        let client = server.client().await;
        let socket = server.socket(&client);
        let stop = Arc::new(AtomicBool::new(false));
        let joining: Vec<_> = (0..2)
            .map(|task| {
                let (socket, stop) = (socket.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut joined = 0u64;
                    for n in 0.. {
                        // Both the same room and rooms of its own: new rooms and those that others keep alive.
                        let room = if n % 2 == 0 { "shared".to_owned() } else { format!("own:{task}:{}", n % 7) };
                        match socket.join(&room).await {
                            Ok(()) => joined += 1,
                            Err(error) => {
                                assert_eq!(error, JoinError::Disconnected);
                                break;
                            }
                        }
                        if n % 3 == 0 {
                            socket.leave(&room);
                        }
                        if n % 16 == 0 {
                            tokio::task::yield_now().await;
                        }
                        assert!(!stop.load(Ordering::Relaxed), "joins go on after the end");
                    }
                    joined
                })
            })
            .collect();
        for _ in 0..mixed(round) % 50 {
            tokio::task::yield_now().await;
        }
        match round % 3 {
            0 => drop(client),
            1 => {
                socket.disconnect();
                drop(client);
            }
            _ => client.close().await,
        }
        for task in joining {
            within("joins are refused in the end", task).await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        // Joins are refused from the moment in which it has left its rooms.
        until("it is gone", || server.io.stats().sockets == 0).await;
        let stats = server.io.stats();
        assert_eq!((stats.rooms, stats.members), (0, 0), "round {round}: {:?}", server.io.rooms_list());
        assert_eq!(server.io.room_len("shared"), 0, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_empties_and_fills_at_once_is_one_room() {
    // Those who race must meet: a room that was taken out of the map while somebody joined it would
    // have members whom nobody reaches.
    let server = Server::new().await;
    let mut clients = server.clients(2).await;
    let sockets: Vec<_> = clients.iter().map(|client| server.socket(client)).collect();
    for round in 0..20 {
        let racing: Vec<_> = sockets
            .iter()
            .cloned()
            .map(|socket| {
                tokio::spawn(async move {
                    for _ in 0..2_000 {
                        socket.leave("room");
                        socket.join("room").await.unwrap();
                    }
                })
            })
            .collect();
        for task in racing {
            task.await.unwrap();
        }
        assert_eq!(server.io.room_len("room"), 2, "round {round}");
        assert_eq!(server.io.to("room").emit("round", round).await, Ok(2));
        for client in &mut clients {
            assert_eq!(client.next().await["data"], round);
        }
    }
}
