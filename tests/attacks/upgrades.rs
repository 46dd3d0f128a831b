//! Requests that are no opening handshake (RFC 6455 §4.2.1): each is refused with its status and a
//! JSON body, and those that are one are let in however they write it.

use crate::kit::*;

#[tokio::test]
async fn an_upgrade_by_another_method_is_refused_with_405() {
    let server = server().await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get"] {
        let refused = refused(server.address, &format!("{method} /ws HTTP/1.1"), &[]).await;
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET")), "{method}: {refused:?}");
        assert_eq!(refused.body["code"], "method_not_allowed");
    }
    let with_a_body = refused(server.address, "POST /ws HTTP/1.1", &[("Content-Length", "1000000")]).await;
    assert_eq!(with_a_body.status, 405, "nobody waits for the body");
    serves_others(&server).await;
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_is_refused_with_426() {
    let server = server().await;
    for headers in [
        &[("Upgrade", ""), ("Connection", "")][..],
        &[("Upgrade", "")],
        &[("Connection", "")],
        &[("Connection", "keep-alive")],
        &[("Upgrade", "h2c")],
        &[("Upgrade", "websockets")],
    ] {
        let refused = refused(server.address, WS, headers).await;
        assert_eq!((refused.status, refused.header("upgrade")), (426, Some("websocket")), "{headers:?}: {refused:?}");
        assert_eq!(refused.header("connection"), Some("close"), "{refused:?}");
    }
    serves_others(&server).await;
}

#[tokio::test]
async fn another_version_is_refused_with_426_which_names_13() {
    let server = server().await;
    for version in ["12", "8", "0", "14", "013", "13.0", "x", ""] {
        let refused = refused(server.address, WS, &[("Sec-WebSocket-Version", version)]).await;
        assert_eq!(refused.status, 426, "{version}: {refused:?}");
        assert_eq!(refused.header("sec-websocket-version"), Some("13"), "{refused:?}");
    }
    serves_others(&server).await;
}

#[tokio::test]
async fn http_1_0_is_refused_with_400() {
    let server = server().await;
    let refused = refused(server.address, "GET /ws HTTP/1.0", &[]).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    serves_others(&server).await;
}

#[tokio::test]
async fn a_key_that_is_not_sixteen_bytes_of_base64_is_refused_with_400() {
    let server = server().await;
    for key in [
        "",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25j*Q==",
        "dGhlIHNhbXBsZSBub25jZSE=",
        "dGhlIHNhbXBsZSBub25jZSEh",
        "dGhlIHNhbXBsZSBub25jZ_==",
        "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
        "========================",
        "AAAAAAAAAAAAAAAAAAAAAA==, AAAAAAAAAAAAAAAAAAAAAA==",
    ] {
        let refused = refused(server.address, WS, &[("Sec-WebSocket-Key", key)]).await;
        assert_eq!((refused.status, &refused.body["code"]), (400, &"bad_request".into()), "{key:?}: {refused:?}");
    }
    serves_others(&server).await;
}

#[tokio::test]
async fn two_keys_are_refused_with_400() {
    let server = server().await;
    let (a, b) = ("dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAAAA==");
    for keys in [[a, b], [a, a], ["x", a], [a, "x"]] {
        let refused = refused(server.address, WS, &keys.map(|key| ("Sec-WebSocket-Key", key))).await;
        assert_eq!(refused.status, 400, "{keys:?}: {refused:?}");
    }
    serves_others(&server).await;
}

#[tokio::test]
async fn the_answer_to_a_key_is_the_one_of_the_rfc() {
    let server = server().await;
    let (head, mut raw) = let_in(server.address, WS, &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]).await;
    let head = head.to_ascii_lowercase();
    assert!(head.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    assert!(head.contains("\r\nupgrade: websocket\r\n") && head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    assert!(!head.contains("sec-websocket-extensions"), "none is spoken: {head}");
    raw.is_alive().await;
}

#[tokio::test]
async fn a_handshake_may_be_written_otherwise() {
    let server = server().await;
    for headers in [
        &[("Upgrade", "WebSocket"), ("Connection", "keep-alive, UPGRADE")][..],
        &[("upgrade", "h2c, websocket")],
        &[("Connection", "keep-alive"), ("Connection", "Upgrade")],
        &[("SEC-WEBSOCKET-VERSION", "13"), ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")],
        &[("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits, x")],
        &[("Cookie", "a=b; c=\"d\""), ("X-Binary", "\u{fc}\u{ff}")],
    ] {
        let (_, mut raw) = let_in(server.address, WS, headers).await;
        raw.is_alive().await;
    }
    let (_, mut raw) = let_in(server.address, "GET http://a.example/ws?x=1 HTTP/1.1", &[]).await;
    raw.is_alive().await;
}
