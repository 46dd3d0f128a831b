//! The ready-made ways to know who comes in: bearer tokens, tokens in the query, API keys.

use eventwire::auth;
use serde_json::json;

use crate::door::{is_refused, tell_user, user};
use crate::kit::*;
use crate::support::*;

async fn look_up(token: String) -> Option<String> {
    assert!(!token.is_empty(), "an empty token is refused without a look");
    match token.as_str() {
        "s3cret" => Some("ann".to_owned()),
        "a b+c/d=" => Some("bob".to_owned()),
        "nobody" => Some(String::new()),
        "panic" => panic!("s3cret"),
        _ => None,
    }
}

async fn server_by(install: impl FnOnce(&eventwire::Io)) -> Server {
    let server = server().await;
    tell_user(&server.io);
    install(&server.io);
    server
}

#[tokio::test]
async fn a_bearer_token_names_the_user() {
    let server = server_by(|io| io.authenticate(auth::bearer(look_up))).await;
    assert_eq!(user(&server, "/ws", &[("authorization", "Bearer s3cret")]).await, "ann");
    assert_eq!(
        user(&server, "/ws", &[("authorization", "bEARER  s3cret ")]).await,
        "ann",
        "its scheme is told in any case"
    );
    assert_eq!(user(&server, "/ws", &[("authorization", "Bearer a b+c/d=")]).await, "bob");
    assert_eq!(user(&server, "/ws", &[]).await, "", "no token is a guest");
    assert_eq!(user(&server, "/ws?token=s3cret", &[]).await, "", "it is not looked for elsewhere");
    for bad in [
        "Bearer wrong",
        "Bearer ",
        "Bearer",
        "bearer:s3cret",
        "s3cret",
        "Basic s3cret",
        "Bearer s3cret, s3cret",
        "Bearer nobody",
    ] {
        is_refused(&server, "/ws", &[("Authorization", bad)], 401, "unauthorized").await;
    }
    let refused = is_refused(&server, "/ws", &[("Authorization", "Bearer panic")], 503, "unavailable").await;
    assert!(!format!("{refused:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_token_in_the_query_names_the_user() {
    let server = server_by(|io| io.authenticate(auth::query_token("token", look_up))).await;
    assert_eq!(user(&server, "/ws?token=s3cret", &[]).await, "ann");
    assert_eq!(user(&server, "/ws?a=1&token=a%20b%2Bc%2Fd%3D&z", &[]).await, "bob");
    assert_eq!(user(&server, "/ws?t%6Fken=s3cret", &[]).await, "ann", "its name may be escaped");
    assert_eq!(user(&server, "/ws", &[]).await, "", "no token is a guest");
    assert_eq!(user(&server, "/ws?tokens=s3cret&TOKEN=s3cret", &[]).await, "", "another parameter is none");
    for bad in [
        "token=wrong",
        "token=",
        "token",
        "token=&token=s3cret",
        "token=wrong&token=s3cret",
        "token=s3cret%00",
        "token=nobody",
    ] {
        is_refused(&server, &format!("/ws?{bad}"), &[], 401, "unauthorized").await;
    }
    is_refused(&server, "/ws?token=panic", &[], 503, "unavailable").await;
}

#[tokio::test]
async fn an_api_key_names_the_user() {
    let keys = [("k1", "ann"), ("k2", "bob"), ("", "empty"), ("k3", "")];
    let server = server_by(|io| io.authenticate(auth::api_keys(keys))).await;
    assert_eq!(user(&server, "/ws", &[("x-api-key", "k1")]).await, "ann");
    assert_eq!(user(&server, "/ws", &[("X-API-Key", "k2")]).await, "bob");
    assert_eq!(user(&server, "/ws", &[]).await, "", "no key is a guest");
    // ` ` is sent as an empty header; an empty key is bad even where the map has one, an empty user no user.
    for bad in ["wrong", " ", "K1", "k1 k2", "k3"] {
        is_refused(&server, "/ws", &[("X-API-Key", bad)], 401, "unauthorized").await;
    }
}

#[tokio::test]
async fn an_empty_map_of_keys_lets_no_key_in() {
    let none: [(String, String); 0] = [];
    let server = server_by(|io| io.authenticate(auth::required(auth::api_keys(none)))).await;
    for headers in [&[][..], &[("X-API-Key", "k1")], &[("X-API-Key", " ")]] {
        is_refused(&server, "/ws", headers, 401, "unauthorized").await;
    }
}

#[tokio::test]
async fn required_keeps_guests_out() {
    let server = server_by(|io| io.authenticate(auth::required(auth::bearer(look_up)))).await;
    let refused = is_refused(&server, "/ws", &[], 401, "unauthorized").await;
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    is_refused(&server, "/ws", &[("Authorization", "Bearer wrong")], 401, "unauthorized").await;
    assert_eq!(user(&server, "/ws", &[("authorization", "Bearer s3cret")]).await, "ann");

    let server = server_by(|io| io.authenticate(auth::required(auth::query_token("token", look_up)))).await;
    is_refused(&server, "/ws", &[], 401, "unauthorized").await;
    assert_eq!(user(&server, "/ws?token=s3cret", &[]).await, "ann");

    let server = server_by(|io| io.authenticate(auth::required(auth::api_keys([("k", "ann")])))).await;
    is_refused(&server, "/ws", &[], 401, "unauthorized").await;
    assert_eq!(user(&server, "/ws", &[("x-api-key", "k")]).await, "ann");
}

/// A value that is not visible ASCII is not seen by `Handshake::header`: it must not pass as no token.
#[tokio::test]
async fn a_token_that_is_no_text_is_bad_and_not_missing() {
    let server = server_by(|io| io.authenticate(auth::bearer(look_up))).await;
    is_refused(&server, "/ws", &[("Authorization", "Bearer \u{fc}")], 401, "unauthorized").await;
    let server = server_by(|io| io.authenticate(auth::api_keys([("k", "ann")]))).await;
    is_refused(&server, "/ws", &[("X-API-Key", "\u{fc}")], 401, "unauthorized").await;
}

/// What one user may do and another not is up to rules, which see the user.
#[tokio::test]
async fn rules_see_who_it_is() {
    let server = server_by(|io| {
        io.authenticate(auth::query_token("token", look_up));
        io.rooms("member:*").allow_if(|socket, _| async move { !socket.handshake().user().is_empty() });
    })
    .await;
    let mut guest = Client::connect(server.address, "/ws").await;
    assert_eq!(guest.request("subscribe", json!("member:a")).await.unwrap_err()["code"], "forbidden");
    let mut member = Client::connect(server.address, "/ws?token=s3cret").await;
    assert_eq!(member.request("subscribe", json!("member:a")).await, Ok(json!({"room": "member:a"})));
}
