//! Which pages may connect: a browser sends its cookies along wherever a page asks it to.

use serde_json::{Value, json};

use crate::kit::*;
use crate::support::*;

/// The status that a page of this origin gets, at the name under which it knows the server.
async fn status(server: &Server, origin: &str, host: &str) -> u16 {
    let mut raw = Raw::connect(server.address).await;
    let (status, response) = raw.shake(&handshake(server.address, WS, &[("Origin", origin), ("Host", host)])).await;
    if status == 403 {
        let (_, body) = response.split_once("\r\n\r\n").unwrap();
        assert_eq!(serde_json::from_str::<Value>(body).unwrap()["code"], "origin", "{response}");
    }
    status
}

#[tokio::test]
async fn the_same_origin_is_let_in() {
    let server = server().await;
    for (origin, host) in [
        ("http://a.example", "a.example"),
        ("http://a.example", "a.example:80"),
        ("http://a.example:80", "a.example"),
        ("https://a.example", "a.example"),
        ("https://a.example", "a.example:443"),
        ("http://A.Example:8080", "a.eXAMPLE:8080"),
        ("http://127.0.0.1:3000", "127.0.0.1:3000"),
        ("http://[::1]:3000", "[::1]:3000"),
    ] {
        assert_eq!(status(&server, origin, host).await, 101, "{origin} at {host}");
    }
}

#[tokio::test]
async fn programs_which_send_no_origin_are_let_in() {
    for allowed in [json!({}), json!({"allowedOrigins": ["https://a.example"]}), json!({"allowedOrigins": "*"})] {
        let server = server_with(allowed).await;
        serves_others(&server).await;
    }
}

#[tokio::test]
async fn other_origins_are_refused_with_403() {
    let server = server().await;
    for (what, origin, host) in [
        ("null", "null", "a.example"),
        ("null is no host either", "null", "null"),
        ("another port", "http://a.example:81", "a.example"),
        ("another port than the default", "http://a.example", "a.example:8080"),
        ("another scheme's port", "https://a.example", "a.example:80"),
        ("another host", "http://b.example", "a.example"),
        ("a host below it", "http://x.a.example", "a.example"),
        ("a host above it", "http://example", "a.example"),
        ("one that begins so", "http://a.example.evil", "a.example"),
        ("one that ends so", "http://evil-a.example", "a.example"),
        ("one with it as its user", "http://a.example@evil", "a.example"),
        ("one with it as its path", "http://evil/a.example", "a.example"),
        ("one with it as its fragment", "http://evil#a.example", "a.example"),
        ("one with it behind a backslash", "http://evil\\a.example", "a.example"),
        ("one that looks alike", "http://\u{430}.example", "a.example"),
        ("its name with a dot", "http://a.example.", "a.example"),
        ("no scheme", "a.example", "a.example"),
        ("another scheme", "file://a.example", "a.example"),
        ("an extension", "chrome-extension://a.example", "a.example"),
        ("nothing", " ", "a.example"),
        ("nothing but a scheme", "http://", "a.example"),
        ("two", "http://a.example http://evil", "a.example"),
        ("two with a comma", "http://a.example, http://evil", "a.example"),
    ] {
        assert_eq!(status(&server, origin, host).await, 403, "{what}: {origin} at {host}");
    }
    serves_others(&server).await;
}

/// Whatever the host is said to be: without one, or with two, no page is of the same.
#[tokio::test]
async fn a_page_is_refused_where_the_host_is_not_told() {
    let server = server().await;
    let refused = refused(server.address, WS, &[("Origin", "http://a.example"), ("Host", "")]).await;
    assert_eq!(refused.status, 403);
}

/// Of two, a proxy in front may have judged by the other.
#[tokio::test]
async fn two_origins_or_hosts_are_not_let_in() {
    let server = server().await;
    let (own, evil) = (("Origin", "http://a.example"), ("Origin", "http://evil.example"));
    for headers in [
        [own, evil, ("Host", "a.example")],
        [evil, own, ("Host", "a.example")],
        [own, ("Host", "a.example"), ("Host", "evil.example")],
        [own, ("Host", "evil.example"), ("Host", "a.example")],
    ] {
        let mut raw = Raw::connect(server.address).await;
        let (status, _) = raw.shake(&handshake(server.address, WS, &headers)).await;
        assert!([400, 403].contains(&status), "{headers:?}: {status}");
    }
}

#[tokio::test]
async fn a_list_allows_exactly_its_origins() {
    let server = server_with(json!({"allowedOrigins": ["https://app.example", "http://localhost:5173"]})).await;
    for origin in ["https://app.example", "HTTPS://App.Example", "http://localhost:5173"] {
        assert_eq!(status(&server, origin, "api.example").await, 101, "{origin}");
    }
    for origin in [
        "null",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil",
        "https://x.app.example",
        "http://localhost",
        "http://localhost:51730",
        "https://app.example/",
        "*",
        // The same origin is not in the list.
        "http://api.example",
    ] {
        assert_eq!(status(&server, origin, "api.example").await, 403, "{origin}");
    }
}

#[tokio::test]
async fn a_star_allows_every_origin() {
    let server = server_with(json!({"allowedOrigins": "*"})).await;
    for origin in ["null", "http://evil.example", "file://", "nonsense"] {
        assert_eq!(status(&server, origin, "a.example").await, 101, "{origin}");
    }
}

#[tokio::test]
async fn an_empty_list_allows_no_page() {
    let server = server_with(json!({"allowedOrigins": []})).await;
    assert_eq!(status(&server, "http://a.example", "a.example").await, 403);
    serves_others(&server).await;
}
