//! How a peer came in.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// What `authenticate` may return of a user: anything that can name it.
///
/// Texts can, and `Option` of whatever can; `None` is a guest. A type of one's own
/// names its user, and [`Handshake::auth`] gives it back.
///
/// ```
/// struct Claims { subject: String, admin: bool }
///
/// impl eventwire::Principal for Claims {
///     fn user(&self) -> &str { &self.subject }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be who came in: it does not name its user",
    note = "write `impl eventwire::Principal for {Self}`, whose `user` is the name"
)]
pub trait Principal: Send + Sync + 'static {
    /// The user's name. An empty one is refused: what forgot to fill it in must not let anybody in.
    fn user(&self) -> &str;
}

impl Principal for String {
    fn user(&self) -> &str {
        self
    }
}

impl Principal for &'static str {
    fn user(&self) -> &str {
        self
    }
}

/// What `authenticate` may return for the one who comes in: a [`Principal`], or `Option` of one, of
/// which `None` is a guest, whose user is empty.
pub trait IntoPrincipal {
    /// The user's type, which [`Handshake::auth`] is asked for.
    type Principal: Principal;
    /// The user, or `None` for a guest.
    fn into_principal(self) -> Option<Self::Principal>;
}

impl<P: Principal> IntoPrincipal for P {
    type Principal = P;
    fn into_principal(self) -> Option<P> {
        Some(self)
    }
}

impl<P: Principal> IntoPrincipal for Option<P> {
    type Principal = P;
    fn into_principal(self) -> Option<P> {
        self
    }
}

/// The request that opened a connection, and who it turned out to be. A cheap handle.
#[derive(Clone)]
pub struct Handshake {
    request: Arc<Parts>,
    user: Option<Arc<User>>,
}

/// Copied out of the request into one text: keeping a single `HeaderValue` would keep the whole
/// read buffer of the HTTP connection.
struct Parts {
    text: String,
    path: (usize, usize),
    query: Option<(usize, usize)>,
    /// Name and value of each header.
    headers: Box<[[(u32, u32); 2]]>,
    peer: Option<SocketAddr>,
}

struct User {
    name: Box<str>,
    principal: Arc<dyn Any + Send + Sync>,
}

impl Handshake {
    /// From its parts: `headers` as names in lower case and values.
    pub(crate) fn new<'a>(
        path: &str,
        query: Option<&str>,
        headers: impl Iterator<Item = (&'a str, Cow<'a, str>)>,
        peer: Option<SocketAddr>,
    ) -> Handshake {
        let mut text = String::new();
        let mut add = |part: &str| {
            let start = text.len();
            text.push_str(part);
            (start, text.len())
        };
        let path = add(path);
        let query = query.map(&mut add);
        let headers = headers
            .map(|(name, value)| [add(name), add(&value)].map(|(start, end)| (start as u32, end as u32)))
            .collect();
        text.shrink_to_fit();
        Handshake { request: Arc::new(Parts { text, path, query, headers, peer }), user: None }
    }

    pub(crate) fn with_user<P: Principal>(mut self, principal: P) -> Handshake {
        self.user = Some(Arc::new(User { name: principal.user().into(), principal: Arc::new(principal) }));
        self
    }

    /// The path that was asked for.
    pub fn path(&self) -> &str {
        let (start, end) = self.request.path;
        &self.request.text[start..end]
    }

    /// The query, undecoded, without its `?`.
    pub fn query(&self) -> Option<&str> {
        let (start, end) = self.request.query?;
        Some(&self.request.text[start..end])
    }

    /// The first value of a parameter in the query, decoded.
    pub fn query_param(&self, name: &str) -> Option<String> {
        let pairs = self.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.into_iter().find(|(key, _)| percent_decode(key) == name).map(|(_, value)| percent_decode(value))
    }

    /// A header's first value, by its name in any case. What is not UTF-8 in it is replaced by U+FFFD.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, names in lower case, in the order in which they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = |(start, end): (u32, u32)| &self.request.text[start as usize..end as usize];
        self.request.headers.iter().map(move |[name, value]| (text(*name), text(*value)))
    }

    /// The peer's address; `None` where it is not known, as behind `io.accept` or in a router that
    /// does not tell it (in axum, `into_make_service_with_connect_info::<SocketAddr>()` does, with the
    /// feature `axum`).
    pub fn peer(&self) -> Option<SocketAddr> {
        self.request.peer
    }

    /// The name of the user that `authenticate` returned; empty for guests.
    pub fn user(&self) -> &str {
        self.user.as_ref().map_or("", |user| &user.name)
    }

    /// What `authenticate` returned, by its type; `None` for guests.
    pub fn auth<P: Principal>(&self) -> Option<Arc<P>> {
        self.user.as_ref()?.principal.clone().downcast().ok()
    }
}

// Without headers and query: tokens are in them.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("path", &self.path())
            .field("peer", &self.peer())
            .field("user", &self.user())
            .finish_non_exhaustive()
    }
}

/// `%41` and `+`, as in a form. What is no escape stays.
fn percent_decode(text: &str) -> String {
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        out.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_asked_for() {
        let headers = [("host", "a.example"), ("x-one", "1"), ("x-one", "2")];
        let handshake = Handshake::new(
            "/ws",
            Some("a=1&t%6Fken=x%20y+z%&b"),
            headers.into_iter().map(|(name, value)| (name, value.into())),
            None,
        );
        assert_eq!((handshake.path(), handshake.query_param("a").as_deref()), ("/ws", Some("1")));
        assert_eq!(handshake.query_param("token").as_deref(), Some("x y z%"));
        assert_eq!(handshake.query_param("b").as_deref(), Some(""));
        assert_eq!(handshake.query_param("c"), None);
        assert_eq!((handshake.header("X-One"), handshake.header("nope")), (Some("1"), None));
        assert_eq!(handshake.headers().count(), 3);
        assert_eq!((handshake.user(), handshake.auth::<String>()), ("", None));
        let known = handshake.with_user(String::from("ann"));
        assert_eq!((known.user(), known.auth::<String>().unwrap().as_str()), ("ann", "ann"));
        assert!(!format!("{known:?}").contains("token"));
    }
}
