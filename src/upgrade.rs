//! The door: what stands between an HTTP request and a connection. Everything that can be
//! refused is refused here, before the upgrade, with a status and a JSON body.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::FutureExt;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use serde::Serialize;
use sha1::{Digest, Sha1};

use crate::config::{AllowedOrigins, Config};
use crate::connection;
use crate::error::{code, panic_text};
use crate::handler::BoxFuture;
use crate::handshake::{Handshake, IntoPrincipal};
use crate::hub::Spoken;
use crate::io::Io;
use crate::shutdown::{AliveGuard, Phase};
use crate::socket::Socket;

/// All headers together; beyond it the answer is 431.
pub(crate) const MAX_HEADERS: usize = 32 * 1024;

/// The body of the door's responses.
pub type Body = http_body_util::Full<Bytes>;

/// Where the peer's address is put into a request by what accepted its connection.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddr(pub SocketAddr);

/// A request that is not let in: an HTTP status, and a body `{"code": …, "message": …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Under which word it is counted: often the code.
    reason: &'static str,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), reason: code }
    }

    /// Counted under another word than its code.
    pub(crate) fn because(self, reason: &'static str) -> Refusal {
        Refusal { reason, ..self }
    }

    /// 401: nobody knows who this is.
    pub fn unauthorized(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// 403: it is known, and may not.
    pub fn forbidden(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, code::FORBIDDEN, message)
    }

    /// 503: not now.
    pub fn unavailable(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    #[cfg(feature = "server")]
    pub(crate) fn not_found(message: &str) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, code::NOT_FOUND, message)
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// What it says to people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn response(&self) -> Response<Body> {
        #[derive(Serialize)]
        struct Told<'a> {
            code: &'a str,
            message: &'a str,
        }
        let told = Told { code: self.code, message: &self.message };
        let mut response = Response::new(Bytes::from(serde_json::to_vec(&told).unwrap_or_default()).into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        match self.status {
            // RFC 6455 §4.4, RFC 9110 §15.5.22.
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
            }
            // RFC 9110 §11.6.1.
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

/// Completes a handshake with the user it belongs to.
pub(crate) type Authenticate = Arc<dyn Fn(Handshake) -> BoxFuture<Result<Handshake, Refusal>> + Send + Sync>;

pub(crate) fn authenticate<F, Fut, P>(check: F) -> Authenticate
where
    F: Fn(Handshake) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<P, Refusal>> + Send + 'static,
    P: IntoPrincipal,
{
    Arc::new(move |handshake| {
        let verdict = check(handshake.clone());
        Box::pin(async move {
            let Some(principal) = verdict.await?.into_principal() else { return Ok(handshake) };
            let handshake = handshake.with_user(principal);
            if handshake.user().is_empty() {
                return Err(Refusal::unauthorized("the user has no name"));
            }
            Ok(handshake)
        })
    })
}

/// Counts connections, whole and by address.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection that the gate has let in.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    address: Option<IpAddr>,
}

impl Gate {
    fn enter(self: &Arc<Gate>, config: &Config, address: Option<IpAddr>) -> Result<Pass, Refusal> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if config.max_connections.is_some_and(|most| open.all >= most) {
            return Err(Refusal::unavailable("too many connections").because("connections"));
        }
        // Counted only where there is a cap on it.
        let address = config.max_connections_per_address.and(address);
        if let (Some(address), Some(most)) = (address, config.max_connections_per_address) {
            let count = open.by_address.entry(address).or_default();
            if *count >= most {
                return Err(Refusal::unavailable("too many connections from this address").because("address"));
            }
            *count += 1;
        }
        open.all += 1;
        Ok(Pass { gate: self.clone(), address })
    }

    /// Whether nobody more is let in, whatever the address.
    pub(crate) fn is_full(&self, config: &Config) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).all;
        config.max_connections.is_some_and(|most| all >= most)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut open = self.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(address) = self.address
            && let Some(count) = open.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

/// Answers a request that wants to become a connection. If it may, the connection runs as a task
/// once the response has been sent.
pub(crate) async fn upgrade<B>(io: &Io, request: Request<B>) -> (Response<Body>, Option<Socket>) {
    let (mut parts, _body) = request.into_parts();
    let on_upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
    match open(io, &parts, on_upgrade.is_some()).await {
        Ok(Opened { handshake, spoken, admitted, response }) => {
            let open = |on_upgrade| connection::spawn(io.clone(), handshake, spoken, admitted, on_upgrade);
            (response, on_upgrade.map(open))
        }
        Err(refusal) => {
            io.watched().refusals.add(refusal.reason);
            tracing::debug!(%refusal, path = parts.uri.path(), "refused");
            (refusal.response(), None)
        }
    }
}

struct Opened {
    handshake: Handshake,
    spoken: Spoken,
    admitted: Admitted,
    response: Response<Body>,
}

/// What a connection holds until nothing of it is left.
#[derive(Debug)]
pub(crate) struct Admitted {
    _pass: Pass,
    _alive: AliveGuard,
}

async fn open(io: &Io, parts: &http::request::Parts, can_upgrade: bool) -> Result<Opened, Refusal> {
    let key = check_form(parts)?;
    if !can_upgrade {
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, "no_upgrade", "this connection cannot be upgraded"));
    }
    // Counted before the look at the phase: a shutdown that begins behind it waits for this one.
    let alive = io.life().alive();
    if io.life().phase() != Phase::Running {
        return Err(Refusal::unavailable("the server shuts down").because("shutdown"));
    }
    check_size(parts)?;
    check_origin(&io.config().allowed_origins, &parts.headers, &parts.uri)?;
    let peer = peer(parts);
    let pass = io.gate().enter(io.config(), peer.map(|peer| peer.ip()))?;
    let path = parts.uri.path();
    let offered = list(&parts.headers, header::SEC_WEBSOCKET_PROTOCOL);
    let (spoken, chosen) = io.dialect(path, offered);
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    let handshake = Handshake::new(path, parts.uri.query(), headers, peer);
    let handshake = authenticated(io, handshake).await?;

    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::from_str(&accept_key(key.as_bytes()));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.map_err(|_| bad("Sec-WebSocket-Key"))?);
    if chosen && let Ok(name) = HeaderValue::from_str(spoken.dialect.subprotocol()) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    Ok(Opened { handshake, spoken, admitted: Admitted { _pass: pass, _alive: alive }, response })
}

/// `Sec-WebSocket-Accept` for a key (RFC 6455 §4.2.2).
fn accept_key(key: &[u8]) -> String {
    let key = Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(key.finalize())
}

fn bad(name: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_request", format!("`{name}` is missing or not as RFC 6455 says"))
}

/// Whether this is an opening handshake (RFC 6455 §4.2.1). Returns its key.
fn check_form(parts: &http::request::Parts) -> Result<&str, Refusal> {
    if parts.method != Method::GET {
        let message = "a WebSocket is opened by GET";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message));
    }
    let has = |name, token: &str| list(&parts.headers, name).any(|item| item.eq_ignore_ascii_case(token));
    let required = |message| Refusal::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message);
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        return Err(required("this is a WebSocket: connect with one"));
    }
    if parts.version < Version::HTTP_11 {
        return Err(bad("HTTP version"));
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(required("WebSocket version 13 is needed"));
    }
    let mut keys = parts.headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    match (keys.next().and_then(|key| key.to_str().ok()), keys.next()) {
        (Some(key), None) if is_key(key) => Ok(key),
        _ => Err(bad("Sec-WebSocket-Key")),
    }
}

/// A server that is not ours may let in more; the [`Handshake`] keeps it for as long as the connection lives.
fn check_size(parts: &http::request::Parts) -> Result<(), Refusal> {
    let headers: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers + parts.uri.path().len() + parts.uri.query().map_or(0, str::len) > MAX_HEADERS {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Refusal::new(status, code::TOO_LARGE, "the headers are too large"));
    }
    Ok(())
}

/// 16 bytes of base64: 22 digits, of which the last has four bits to spare, and two `=`.
fn is_key(key: &str) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24
        && key.ends_with("==")
        && key.as_bytes()[..22].iter().all(is_digit)
        && matches!(key.as_bytes()[21], b'A' | b'Q' | b'g' | b'w')
}

/// The items of all headers of a name.
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

/// Pages of other origins are refused, since a browser sends its cookies along wherever a page
/// connects. Programs send no `Origin`.
fn check_origin(allowed: &AllowedOrigins, headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
    // Of two, a proxy before us may have judged by the other.
    for name in [header::ORIGIN, header::HOST] {
        if headers.get_all(&name).iter().count() > 1 {
            return Err(bad(name.as_str()));
        }
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let is_allowed = match allowed {
        AllowedOrigins::Any => true,
        AllowedOrigins::List(list) => {
            origin.to_str().is_ok_and(|origin| list.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)))
        }
        AllowedOrigins::Same => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
            let host = host.or_else(|| uri.authority().map(|authority| authority.as_str()));
            origin.to_str().is_ok_and(|origin| host.is_some_and(|host| is_same_origin(origin, host)))
        }
    };
    if is_allowed {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::FORBIDDEN, "origin", "pages of this origin may not connect"))
}

/// Host without case, and port, where each scheme has its own by default.
fn is_same_origin(origin: &str, host: &str) -> bool {
    let Some((scheme, origin)) = origin.split_once("://") else { return false };
    let default = match scheme {
        "http" | "ws" => "80",
        "https" | "wss" => "443",
        _ => return false,
    };
    let split = |authority: &'_ str| -> (String, String) {
        // An address in brackets has colons of its own.
        let port = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let (name, port) = port.unwrap_or((authority, default));
        (name.to_ascii_lowercase(), port.to_owned())
    };
    split(origin) == split(host)
}

fn peer(parts: &http::request::Parts) -> Option<SocketAddr> {
    #[cfg(feature = "axum")]
    if let Some(info) = parts.extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
        return Some(info.0);
    }
    parts.extensions.get::<PeerAddr>().map(|peer| peer.0)
}

/// Asks who it is. Fails closed: without a function where one is needed, or when it panics or
/// takes too long, nobody is let in.
async fn authenticated(io: &Io, handshake: Handshake) -> Result<Handshake, Refusal> {
    let Some(check) = io.authenticator()? else { return Ok(handshake) };
    // Its synchronous part may panic too.
    let verdict = AssertUnwindSafe(async move { check(handshake).await }).catch_unwind();
    match tokio::time::timeout(io.config().handshake_timeout, verdict).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(panic)) => {
            tracing::error!(panic = panic_text(&*panic), "authenticate panicked");
            Err(Refusal::unavailable("who you are cannot be found out now").because("authentication"))
        }
        Err(_) => Err(Refusal::unavailable("it took too long to find out who you are").because("authentication")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_origin_compares_host_and_port() {
        for (origin, host) in [
            ("http://a.example", "a.example"),
            ("http://A.example:80", "a.EXAMPLE"),
            ("https://a.example", "a.example:443"),
            ("http://127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://[::1]:3000", "[::1]:3000"),
            ("http://[::1]", "[::1]"),
        ] {
            assert!(is_same_origin(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("null", "a.example"),
            ("http://a.example:81", "a.example"),
            ("http://a.example.evil", "a.example"),
            ("http://evil-a.example", "a.example"),
            ("https://a.example", "a.example:80"),
            ("file://a.example", "a.example"),
        ] {
            assert!(!is_same_origin(origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn a_key_is_sixteen_bytes_of_base64() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZR==",
            "dGhlIHNhbXBsZSBub25j*Q==",
            "dGhlIHNhbXBsZSBub25jZSE=",
        ] {
            assert!(!is_key(bad), "{bad}");
        }
    }
}
