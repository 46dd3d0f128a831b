//! `authenticate`: who is let in, and that it fails closed.

use std::time::Duration;

use eventwire::{Handshake, Io, Principal, Refusal, Socket};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::kit::*;
use crate::support::*;

/// Tells who came in, as handlers see it.
pub fn tell_user(io: &Io) {
    io.on::<Value>("who", async |socket: Socket, _| socket.handshake().user().to_owned());
}

/// Who the one is that comes in with this request.
pub async fn user(server: &Server, path: &str, headers: &[(&'static str, &str)]) -> String {
    let mut client = Client::try_connect(server.address, path, headers).await.unwrap();
    client.request("who", json!(null)).await.unwrap().as_str().unwrap().to_owned()
}

async fn a_server() -> Server {
    let server = server().await;
    tell_user(&server.io);
    server
}

/// Asserts that a request gets this status and code, and that nobody was let in.
pub async fn is_refused(server: &Server, path: &str, headers: &[(&str, &str)], status: u16, code: &str) -> Refused {
    let refused = refused(server.address, &format!("GET {path} HTTP/1.1"), headers).await;
    assert_eq!((refused.status, &refused.body["code"]), (status, &json!(code)), "{path}: {refused:?}");
    refused
}

#[tokio::test]
async fn without_a_function_everyone_is_a_guest() {
    let server = a_server().await;
    assert_eq!(user(&server, "/ws?token=t", &[("authorization", "Bearer t")]).await, "");
}

#[tokio::test]
async fn a_closure_says_who_it_is() {
    let server = a_server().await;
    let known = std::sync::Arc::new(std::collections::HashMap::from([("t1", "ann"), ("t2", "bob")]));
    server.io.authenticate(move |handshake: Handshake| {
        let known = known.clone();
        async move {
            match handshake.query_param("token") {
                None => Ok(None),
                Some(token) => match known.get(token.as_str()) {
                    Some(user) => Ok(Some(user.to_string())),
                    None => Err(Refusal::unauthorized("no such token")),
                },
            }
        }
    });
    assert_eq!(user(&server, "/ws?token=t1", &[]).await, "ann");
    assert_eq!(user(&server, "/ws?x=1&token=t2", &[]).await, "bob");
    assert_eq!(user(&server, "/ws", &[]).await, "");
    let refused = is_refused(&server, "/ws?token=t3", &[], 401, "unauthorized").await;
    assert_eq!(refused.body["message"], "no such token");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    is_refused(&server, "/ws?token=", &[], 401, "unauthorized").await;
    assert_eq!(server.io.stats().connected, 3);
}

#[tokio::test]
async fn it_sees_how_they_come_in() {
    let server = a_server().await;
    server.io.authenticate(|handshake: Handshake| async move {
        assert_eq!((handshake.path(), handshake.query()), ("/a/b", Some("x=%C3%A9&y")));
        assert_eq!(handshake.query_param("x").as_deref(), Some("é"));
        assert_eq!((handshake.header("X-Twice"), handshake.header("cookie")), (Some("1"), Some("a=b")));
        assert!(handshake.peer().unwrap().ip().is_loopback());
        assert_eq!(handshake.user(), "", "not known yet");
        Ok("ann")
    });
    let path = "/a/b?x=%C3%A9&y";
    assert_eq!(user(&server, path, &[("x-twice", "1"), ("cookie", "a=b")]).await, "ann");
}

#[tokio::test]
async fn an_empty_user_is_refused_with_401() {
    struct Claims(String);
    impl Principal for Claims {
        fn user(&self) -> &str {
            &self.0
        }
    }
    let server = a_server().await;
    server.io.authenticate(async |_| Ok(""));
    is_refused(&server, "/ws", &[], 401, "unauthorized").await;
    server.io.authenticate(async |_| Ok(Some(String::new())));
    is_refused(&server, "/ws", &[], 401, "unauthorized").await;
    server.io.authenticate(async |_| Ok(Claims(String::new())));
    is_refused(&server, "/ws", &[], 401, "unauthorized").await;
    assert_eq!(server.io.stats().connected, 0);
}

#[tokio::test]
async fn each_refusal_has_its_status_and_its_words() {
    let server = a_server().await;
    server.io.authenticate(|handshake: Handshake| async move {
        Err::<String, _>(match handshake.query() {
            Some("401") => Refusal::unauthorized("who \"are\" you?"),
            Some("403") => Refusal::forbidden("not you"),
            _ => Refusal::unavailable("not now"),
        })
    });
    for (query, status, code, message) in [
        ("401", 401, "unauthorized", "who \"are\" you?"),
        ("403", 403, "forbidden", "not you"),
        ("503", 503, "unavailable", "not now"),
    ] {
        let refused = is_refused(&server, &format!("/ws?{query}"), &[], status, code).await;
        assert_eq!(refused.body["message"], message);
    }
}

/// It panics before it returns a future, and in its future.
#[tokio::test]
async fn a_panic_is_refused_with_503_and_its_text_stays_here() {
    let server = a_server().await;
    server.io.authenticate(|handshake: Handshake| {
        if handshake.query() == Some("sync") {
            panic!("s3cret of the sync part");
        }
        async move {
            if handshake.query() == Some("async") {
                tokio::task::yield_now().await;
                panic!("s3cret of the async part");
            }
            Ok("ann")
        }
    });
    for query in ["sync", "async"] {
        let refused = is_refused(&server, &format!("/ws?{query}"), &[], 503, "unavailable").await;
        let all = format!("{refused:?}");
        assert!(!all.contains("s3cret") && !all.contains("panic"), "{all}");
    }
    assert_eq!(user(&server, "/ws", &[]).await, "ann", "the next one is judged as before");
}

/// A panic of one's own user type fails closed, too.
#[tokio::test]
async fn a_panic_while_the_user_is_named_is_refused_with_503() {
    struct Broken;
    impl Principal for Broken {
        fn user(&self) -> &str {
            panic!("s3cret")
        }
    }
    let server = a_server().await;
    server.io.authenticate(async |_| Ok(Broken));
    let refused = is_refused(&server, "/ws", &[], 503, "unavailable").await;
    assert!(!format!("{refused:?}").contains("s3cret"));
}

/// Not merely cut: the limit on the whole handshake is the same, and began earlier.
#[tokio::test]
async fn a_function_that_takes_too_long_is_refused_with_503() {
    let server = server_with(json!({"handshakeTimeout": "300ms"})).await;
    server.io.authenticate(|_| std::future::pending::<Result<String, Refusal>>());
    let start = tokio::time::Instant::now();
    is_refused(&server, "/ws", &[], 503, "unavailable").await;
    assert!(start.elapsed() < Duration::from_millis(1300), "{:?}", start.elapsed());
}

#[tokio::test]
async fn where_one_is_required_but_missing_nobody_is_let_in() {
    let server = a_server().await;
    server.io.require_authentication();
    is_refused(&server, "/ws?token=t", &[("Authorization", "Bearer t")], 503, "unavailable").await;
    server.io.authenticate(async |_| Ok("ann"));
    assert_eq!(user(&server, "/ws", &[]).await, "ann");
}

#[tokio::test]
async fn the_last_function_set_holds() {
    let server = a_server().await;
    server.io.authenticate(async |_| Ok("ann"));
    server.io.authenticate(async |_| Ok("bob"));
    assert_eq!(user(&server, "/ws", &[]).await, "bob");
}

#[tokio::test]
async fn handlers_get_what_the_function_returned_by_its_type() {
    #[derive(Debug)]
    struct Claims {
        subject: String,
        admin: bool,
    }
    impl Principal for Claims {
        fn user(&self) -> &str {
            &self.subject
        }
    }
    let server = a_server().await;
    server.io.authenticate(|handshake: Handshake| async move {
        let subject = handshake.query_param("user");
        Ok(subject.map(|subject| Claims { admin: subject == "ann", subject }))
    });
    server.io.on_connect(|socket: Socket| async move {
        // It is there from the first.
        assert_eq!(socket.handshake().auth::<Claims>().is_some(), !socket.handshake().user().is_empty());
    });
    server.io.on::<Value>("admin", async |socket: Socket, _| {
        assert!(socket.handshake().auth::<String>().is_none(), "of another type there is none");
        socket.handshake().auth::<Claims>().map(|claims| claims.admin)
    });
    for (path, admin) in [("/ws?user=ann", json!(true)), ("/ws?user=bob", json!(false)), ("/ws", json!(null))] {
        let mut client = Client::connect(server.address, path).await;
        assert_eq!(client.request("admin", json!(null)).await, Ok(admin), "{path}");
    }
}

#[tokio::test]
async fn nothing_is_upgraded_before_it_is_known_who_it_is() {
    let server = a_server().await;
    let (asked, known) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
    let both = (asked.clone(), known.clone());
    server.io.authenticate(move |_| {
        let (asked, known) = both.clone();
        async move {
            asked.notify_one();
            known.notified().await;
            Ok("ann")
        }
    });
    let mut raw = Raw::connect(server.address).await;
    // With a first event right behind it, which must not be handled by anybody.
    let handled = Count::default();
    let counted = handled.clone();
    server.io.on_any(move |_, _| {
        counted.add();
        async {}
    });
    raw.write(handshake(server.address, WS, &[]).as_bytes()).await;
    raw.write(&text_frame(r#"{"event":"early","id":1}"#)).await;
    within("it is asked", asked.notified()).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
        let said = raw.stream.try_read(&mut [0; 1]);
        assert!(said.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "nothing is said");
        assert_eq!((server.io.stats().connected, handled.get()), (0, 0));
    }
    known.notify_one();
    let (status, _) = raw.shake("").await;
    assert_eq!(status, 101);
    assert_eq!(raw.frame().await.unwrap().json()["event"], "connected");
    assert_eq!(raw.frame().await.unwrap().json()["id"], 1, "what came early was kept");
    assert_eq!(handled.get(), 1);
}

/// A bad form or another origin is refused without the function, which may be costly.
#[tokio::test]
async fn it_is_not_asked_for_what_is_refused_anyway() {
    let server = a_server().await;
    let asked = Count::default();
    let counted = asked.clone();
    server.io.authenticate(move |_| {
        counted.add();
        async { Ok("ann") }
    });
    refused(server.address, "POST /ws HTTP/1.1", &[]).await;
    refused(server.address, WS, &[("Origin", "http://evil.example")]).await;
    refused(server.address, WS, &[("Sec-WebSocket-Key", "x")]).await;
    refused(server.address, WS, &[("Upgrade", "")]).await;
    assert_eq!(asked.get(), 0);
    assert_eq!(user(&server, "/ws", &[]).await, "ann");
    assert_eq!(asked.get(), 1);
}

// ---- subprotocols

const NAME: &str = "Sec-WebSocket-Protocol";

#[tokio::test]
async fn the_subprotocol_of_this_wire_is_echoed() {
    let server = a_server().await;
    for offered in
        ["eventwire.v1.json", "graphql-ws, eventwire.v1.json", "eventwire.v1.json,x", "x , eventwire.v1.json , y"]
    {
        let (head, mut raw) = let_in(server.address, WS, &[(NAME, offered)]).await;
        let head = head.to_ascii_lowercase();
        assert!(head.contains("\r\nsec-websocket-protocol: eventwire.v1.json\r\n"), "{offered}: {head}");
        raw.is_alive().await;
    }
    let (head, _) = let_in(server.address, WS, &[(NAME, "x"), (NAME, "eventwire.v1.json")]).await;
    assert!(head.to_ascii_lowercase().contains("eventwire.v1.json"), "in a second header, too: {head}");
}

#[tokio::test]
async fn where_only_unknown_ones_are_offered_none_is_named_and_it_works() {
    let server = a_server().await;
    for offered in ["graphql-ws", "eventwire.v2.json", "eventwire.v1.json2", "EVENTWIRE.V1.JSON", ",,", "a, b, c"] {
        let (head, mut raw) = let_in(server.address, WS, &[(NAME, offered)]).await;
        assert!(!head.to_ascii_lowercase().contains("sec-websocket-protocol"), "{offered}: {head}");
        raw.write(&text_frame(r#"{"event":"echo","id":1,"data":7}"#)).await;
        assert_eq!(raw.frame().await.unwrap().json(), json!({"event": "ack", "id": 1, "data": 7}));
    }
    let (head, _) = let_in(server.address, WS, &[]).await;
    assert!(!head.to_ascii_lowercase().contains("sec-websocket-protocol"), "none offered, none named: {head}");
}
