//! What a gateway's handler may take beside the payload.

use std::any::type_name;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::{Error, code};
use crate::handshake::{Handshake, Principal};
use crate::hub::SocketId;
use crate::io::Io;
use crate::socket::Socket;

/// Something that is found by the socket: an argument of a [gateway](macro@crate::gateway)'s handler beside the payload.
///
/// For one of your own, implement it and mark the argument `#[from_socket]`; the error is what the peer is answered, and the
/// handler is not called. The payload has been read by then: what can be read is no secret.
///
/// ```
/// use eventwire::{Error, FromSocket, Socket};
///
/// struct Language(String);
///
/// impl FromSocket for Language {
///     fn from_socket(socket: &Socket) -> Result<Self, Error> {
///         let asked = socket.handshake().query_param("lang");
///         asked.map(Language).ok_or_else(|| Error::new("no_language", "connect with ?lang="))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not found by a socket",
    label = "cannot be an argument of a handler beside its payload",
    note = "`Socket`, `Io`, `Handshake`, `SocketId`, `Ext<T>`, `State<T>`, `Auth<T>`, an `Option` of one, and what implements `FromSocket` can"
)]
pub trait FromSocket: Sized {
    /// It, for this socket.
    ///
    /// # Errors
    /// What the peer is answered.
    fn from_socket(socket: &Socket) -> Result<Self, Error>;
}

/// What an earlier handler put beside the socket: [`socket.extensions().insert(…)`](Socket::extensions). Without one the
/// peer is answered `not_found`.
#[derive(Debug)]
pub struct Ext<T>(pub Arc<T>);

/// What the application put beside the [`Io`]: [`io.extensions().insert(…)`](Io::extensions). Without one the peer is
/// answered `internal`, and the server's log says so.
#[derive(Debug)]
pub struct State<T>(pub Arc<T>);

/// What [`authenticate`](Io::authenticate) returned for this socket. A guest is answered `forbidden`. Where it returned another type, the
/// answer is `internal`, and the server's log says so.
#[derive(Debug)]
pub struct Auth<T>(pub Arc<T>);

impl<T: Send + Sync + 'static> FromSocket for Ext<T> {
    fn from_socket(socket: &Socket) -> Result<Self, Error> {
        let found = socket.extensions().get();
        found.map(Ext).ok_or_else(|| missing::<T>(code::NOT_FOUND, "Ext", "this socket has"))
    }
}

impl<T: Send + Sync + 'static> FromSocket for State<T> {
    fn from_socket(socket: &Socket) -> Result<Self, Error> {
        let found = socket.io().extensions().get();
        found.map(State).ok_or_else(|| {
            tracing::error!(state = type_name::<T>(), "a handler asks for a state that `io.extensions()` has not");
            missing::<T>(code::INTERNAL, "State", "this server has")
        })
    }
}

impl<T: Principal> FromSocket for Auth<T> {
    fn from_socket(socket: &Socket) -> Result<Self, Error> {
        let found = socket.handshake().auth();
        found.map(Auth).ok_or_else(|| {
            if socket.handshake().user().is_empty() {
                return missing::<T>(code::FORBIDDEN, "Auth", "whoever came in as a guest has");
            }
            tracing::error!(auth = type_name::<T>(), "a handler asks for another type than `authenticate` returns");
            missing::<T>(code::INTERNAL, "Auth", "this server's users have")
        })
    }
}

impl FromSocket for Socket {
    fn from_socket(socket: &Socket) -> Result<Self, Error> {
        Ok(socket.clone())
    }
}

impl FromSocket for SocketId {
    fn from_socket(socket: &Socket) -> Result<Self, Error> {
        Ok(socket.id())
    }
}

impl FromSocket for Io {
    fn from_socket(socket: &Socket) -> Result<Self, Error> {
        Ok(socket.io().clone())
    }
}

impl FromSocket for Handshake {
    fn from_socket(socket: &Socket) -> Result<Self, Error> {
        Ok(socket.handshake().clone())
    }
}

/// `None` where it is missing.
impl<T: FromSocket> FromSocket for Option<T> {
    fn from_socket(socket: &Socket) -> Result<Self, Error> {
        Ok(T::from_socket(socket).ok())
    }
}

macro_rules! derefs {
    ($($extractor:ident),*) => {$(
        impl<T> Deref for $extractor<T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.0
            }
        }

        impl<T> Clone for $extractor<T> {
            fn clone(&self) -> Self {
                $extractor(self.0.clone())
            }
        }
    )*};
}

derefs!(Ext, State, Auth);

fn missing<T>(code: &'static str, extractor: &str, who: &str) -> Error {
    let name = short(type_name::<T>());
    let text = format!("{who} no `{name}`");
    Error::new(code, text).with_details(serde_json::json!({ "missing": format!("{extractor}<{name}>") }))
}

/// A type's name without the paths to it: those are the server's own affair.
fn short(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    for part in name.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        short.push_str(part.rsplit("::").next().unwrap_or(part));
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_without_paths() {
        assert_eq!(short("chat::Name"), "Name");
        assert_eq!(short("alloc::vec::Vec<(chat::Name, u8)>"), "Vec<(Name, u8)>");
        assert_eq!(short("&str"), "&str");
        let error = missing::<Vec<Name>>(code::NOT_FOUND, "Ext", "this socket has");
        assert_eq!((error.code(), error.message()), ("not_found", "this socket has no `Vec<Name>`"));
        assert_eq!(error.details(), Some(&serde_json::json!({ "missing": "Ext<Vec<Name>>" })));
    }

    struct Name;
}
