//! Ready-made ways to know who comes in, for [`Io::authenticate`](crate::Io::authenticate).
//!
//! No token is a guest, whose user is empty: rules and handlers decide what guests may do, and
//! [`required`] keeps them out. An empty or bad token is refused with 401. All of them fail
//! closed: a function that panics refuses with 503, one that returns an empty user with 401.
//!
//! ```
//! # async fn look_up(token: String) -> Option<String> { (token == "s3cret").then(|| "ann".into()) }
//! use eventwire::{Io, auth};
//!
//! let io = Io::new();
//! io.authenticate(auth::required(auth::bearer(look_up)));
//! ```

use std::collections::HashMap;

use crate::handler::BoxFuture;
use crate::handshake::{Handshake, Principal};
use crate::upgrade::Refusal;

/// What the ready-made ways return: the user, or `None` for a guest.
pub type Known<P> = Result<Option<P>, Refusal>;

/// `Authorization: Bearer TOKEN`, judged by `verify`: `Some(user)`, or `None` for a bad token.
pub fn bearer<P, F, Fut>(verify: F) -> impl Fn(Handshake) -> BoxFuture<Known<P>> + Send + Sync + 'static
where
    P: Principal,
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Option<P>> + Send + 'static,
{
    move |handshake| {
        let token = handshake.header("authorization").map(|value| {
            // The case of the scheme does not matter (RFC 9110 §11.1); another one is no token of ours.
            let bearer = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            bearer.map_or("", |(_, token)| token.trim()).to_owned()
        });
        judge(token, &verify)
    }
}

/// `?name=TOKEN`, judged by `verify`: for browsers, whose `WebSocket` sends no headers. Tokens
/// in a URL end up in logs: let them be short-lived.
pub fn query_token<P, F, Fut>(
    name: &'static str,
    verify: F,
) -> impl Fn(Handshake) -> BoxFuture<Known<P>> + Send + Sync + 'static
where
    P: Principal,
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Option<P>> + Send + 'static,
{
    move |handshake| judge(handshake.query_param(name), &verify)
}

/// `X-API-Key: KEY`, looked up in a map of keys to users. In an empty map nobody is found.
pub fn api_keys<K, U>(
    keys: impl IntoIterator<Item = (K, U)>,
) -> impl Fn(Handshake) -> BoxFuture<Known<String>> + Send + Sync + 'static
where
    K: Into<String>,
    U: Into<String>,
{
    // Keyed hashing: how long a look-up takes tells nothing of the keys.
    let keys: HashMap<String, String> = keys.into_iter().map(|(key, user)| (key.into(), user.into())).collect();
    move |handshake| {
        let key = handshake.header("x-api-key").map(str::to_owned);
        judge(key, &|key: String| {
            let user = keys.get(&key).cloned();
            async move { user }
        })
    }
}

/// Keeps guests out: they are refused with 401.
pub fn required<P, F, Fut>(check: F) -> impl Fn(Handshake) -> BoxFuture<Result<P, Refusal>> + Send + Sync + 'static
where
    P: Principal,
    F: Fn(Handshake) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Known<P>> + Send + 'static,
{
    move |handshake| {
        let known = check(handshake);
        Box::pin(async move { known.await?.ok_or_else(|| Refusal::unauthorized("a token is needed")) })
    }
}

fn judge<P, F, Fut>(token: Option<String>, verify: &F) -> BoxFuture<Known<P>>
where
    P: Principal,
    F: Fn(String) -> Fut,
    Fut: Future<Output = Option<P>> + Send + 'static,
{
    let verdict = match token {
        None => return Box::pin(async { Ok(None) }),
        Some(token) if token.is_empty() => None,
        Some(token) => Some(verify(token)),
    };
    Box::pin(async move {
        let user = match verdict {
            Some(verdict) => verdict.await,
            None => None,
        };
        user.map(Some).ok_or_else(|| Refusal::unauthorized("the token is not valid"))
    })
}
