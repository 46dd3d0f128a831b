//! A module in which the usual names are others, and macros that write events and gateways.
#![deny(warnings, missing_docs, unused, unused_lifetimes, clippy::all)]
#![allow(clippy::upper_case_acronyms)]

#[allow(dead_code)]
mod odd {
    macro_rules! others {
        ($($name:ident)*) => {$(
            #[derive(Debug)]
            pub struct $name;
        )*};
    }
    others!(Result Option Vec String Box Send Sync Clone Error Ok Err Some Default Answer Event Io Arc Duration);
}

#[allow(unused_imports)]
use self::odd::{
    Answer, Arc, Box, Clone, Default, Duration, Err, Error, Event, Io, Ok, Option, Result, Send, Some, String, Sync,
    Vec,
};

/// What is sent.
#[derive(Debug, ::eventwire::Event)]
#[event("say", ack = u8)]
pub struct Say;

impl<'de> ::serde::Deserialize<'de> for Say {
    fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Say)
    }
}

/// What is not sent.
#[derive(Debug, ::eventwire::EventError)]
pub enum SayError {
    /// One.
    #[error_code("one", details, message = "one")]
    One {
        /// How many.
        error: u8,
    },
    /// Another.
    #[error_code("other")]
    Other,
}

impl ::std::fmt::Display for SayError {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.write_str("no")
    }
}

/// One of them.
#[derive(Debug, ::eventwire::Events)]
pub enum Events {
    /// It.
    Say(Say),
}

/// Where it is sent.
#[derive(Debug)]
pub struct Chat;

#[eventwire::gateway]
impl Chat {
    #[eventwire::on]
    async fn say(&self, socket: ::eventwire::SocketId, gateway: Say, io: ::eventwire::Ext<u8>) -> u8 {
        let _ = (socket, gateway);
        *io
    }

    #[on("other", timeout = "1s")]
    async fn other(&self, payload: u8) -> ::std::result::Result<u8, SayError> {
        match payload {
            0 => ::std::result::Result::Err(SayError::Other),
            error => ::std::result::Result::Err(SayError::One { error }),
        }
    }

    #[connect]
    async fn connected(&self, error: ::eventwire::Ext<u8>) -> ::std::result::Result<(), SayError> {
        drop(error);
        ::std::result::Result::Ok(())
    }

    #[disconnect]
    async fn left(&self, error: ::eventwire::Ext<u8>) {
        drop(error);
    }

    #[room("say")]
    async fn room(&self, room: ::std::string::String) -> bool {
        room.is_empty()
    }
}

macro_rules! events {
    ($($event:ident = $name:literal -> $ack:ty),*) => {$(
        /// Written by a macro.
        #[derive(Debug, ::serde::Serialize, ::serde::Deserialize, ::eventwire::Event)]
        #[event($name, ack = $ack)]
        pub struct $event(u8);
    )*};
}

events!(First = "first" -> u8, Second = "second" -> ::std::vec::Vec<u8>);

macro_rules! gateway {
    ($gateway:ident, $on:ident, $event:ty, $name:literal, $returned:ty) => {
        /// Written by a macro.
        #[derive(Debug)]
        pub struct $gateway;

        #[::eventwire::gateway]
        impl $gateway {
            #[on]
            async fn $on(&self, socket: ::eventwire::Socket, event: $event, name: ::eventwire::Ext<u8>) -> $returned {
                let _ = (socket, name);
                event.0
            }

            #[on($name)]
            async fn other(&self, event: $event) -> $returned {
                event.0
            }

            #[connect]
            async fn connected(&self, name: ::eventwire::Ext<u8>) -> ::eventwire::Result<()> {
                drop(name);
                ::std::result::Result::Ok(())
            }
        }
    };
}

gateway!(Written, first, First, "other", u8);

macro_rules! of_types {
    ($payload:ty, $socket:ty, $name:ty, $returned:ty) => {
        /// Written by a macro, of types that it is given.
        #[derive(Debug, ::eventwire::Events)]
        pub enum Given {
            /// With a name.
            #[event("given")]
            Given($payload),
            /// With that of its payload.
            First(First),
        }

        /// Written by a macro, of types that it is given.
        #[derive(Debug, ::eventwire::EventError)]
        pub enum GivenError {
            /// With details.
            #[error_code("given", details, message = "given")]
            Given($payload),
        }

        /// Written by a macro, of types that it is given.
        #[derive(Debug)]
        pub struct OfTypes;

        #[::eventwire::gateway]
        impl OfTypes {
            #[on("given")]
            async fn given(&self, socket: $socket, payload: $payload, name: $name) -> $returned {
                let _ = (socket, payload);
                *name
            }

            #[connect]
            async fn connected(&self, socket: $socket) -> ::eventwire::Result<()> {
                drop(socket);
                ::std::result::Result::Ok(())
            }
        }
    };
}

of_types!(::std::vec::Vec<u8>, ::eventwire::Socket, ::eventwire::Ext<u8>, u8);

#[test]
fn they_are_added() {
    let io = ::eventwire::Io::new();
    io.gateway(Chat).unwrap();
    ::eventwire::Io::new().gateway(Written).unwrap();
    io.on_events(|_: ::eventwire::Socket, Events::Say(say)| async move {
        let Say = say;
    });
    drop(io.emit_event(&Second(1)));
    ::eventwire::Io::new().gateway(OfTypes).unwrap();
    io.on_events(|_: ::eventwire::Socket, given: Given| async move {
        match given {
            Given::Given(given) => ::std::result::Result::Err(GivenError::Given(given)),
            Given::First(first) => ::std::result::Result::Ok(first.0),
        }
    });
}
