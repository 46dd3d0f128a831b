//! The macros of [`eventwire`](https://docs.rs/eventwire), which exports them all: use that crate, not this one.
//!
//! Each expands to what one could have written by hand: an `impl`, and calls of what the crate documents. Hidden there is what constants need
//! that compare names, and what lets the compiler speak of the user's types.
//!
//! | file | what it does |
//! | --- | --- |
//! | `keys` | what stands in an attribute's parentheses: `"name", key = value` |
//! | `mistakes` | all that is wrong, told at once |
//! | `names` | which names events, codes and rooms can have |
//! | `event`, `events` | `#[derive(Event)]`; `#[derive(Events)]` |
//! | `answers` | `#[derive(IntoAck)]`, `#[derive(EventError)]` |
//! | `gateway` and its folder | `#[gateway]`: `method` reads a handler, `argument` its arguments, `expand` writes the calls |

mod answers;
mod event;
mod events;
mod gateway;
mod keys;
mod mistakes;
mod names;

use proc_macro::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, parse_macro_input};

/// Ties a payload to its event's name, and to the type that answers it.
///
/// ```
/// use eventwire::{Event, Io, Socket};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event("chat:message", ack = Receipt)]
/// struct Message { room: String, text: String }
///
/// #[derive(Serialize, Deserialize)]
/// struct Receipt { delivered: usize }
///
/// let io = Io::new();
/// io.on_event(|socket: Socket, message: Message| async move {
///     let delivered = socket.to(&message.room).emit_event(&message).await?;
///     eventwire::ok(Receipt { delivered })
/// });
/// assert_eq!(Message::NAME, "chat:message");
/// ```
///
/// # `#[event("name", …)]`
///
/// | key | what it says |
/// | --- | --- |
/// | `"name"` | the name on the wire: 1 to 128 characters, none of those that the protocol has for itself |
/// | `ack = Type` | what a handler answers, and [`request_event`](https://docs.rs/eventwire) waits for; without it `()` |
/// | `validate` | a payload is checked by its `garde::Validate` before a handler gets it; with the feature `validate` |
///
/// A payload may borrow, `struct Said<'a> { text: &'a str }`: such a one can be emitted. It cannot have type parameters, which
/// would give one name to several payloads.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    event::derive(&input).unwrap_or_else(|error| event::refused(&input, &error)).into()
}

/// Makes an enum of events: one variant each, for one `match` over everything that a peer may send, or for everything that a
/// server emits.
///
/// ```
/// use eventwire::{Event, Events, Io, Socket};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event("say", ack = usize)]
/// struct Say { text: String }
///
/// #[derive(Events)]
/// enum FromBrowser {
///     Say(Say),                          // its name is that of its payload
///     #[event("typing", ack = usize)]
///     Typing,                            // no payload
///     #[event("rename", ack = usize)]
///     Rename(String),                    // a name for any payload
/// }
///
/// #[derive(Events)]
/// enum ToBrowser {
///     #[event("said")]
///     Said(String),
///     #[event("typing")]
///     Typing,
/// }
///
/// let io = Io::new();
/// io.on_events(|socket: Socket, event| async move {
///     let others = socket.broadcast();
///     let heard = match event {
///         FromBrowser::Say(say) => others.emit_event(&ToBrowser::Said(say.text)).await?,
///         FromBrowser::Typing => others.volatile().emit_event(&ToBrowser::Typing).await?,
///         FromBrowser::Rename(_name) => 0,
///     };
///     eventwire::ok(heard)
/// });
/// ```
///
/// A variant has no payload, or one: named fields would be a payload without a type of its own. Variants take the keys of
/// [`#[event]`](macro@Event); `validate` asks for a check of the variant's payload. The enum can be received where each payload is
/// `Deserialize`, and emitted where each is `Serialize`.
#[proc_macro_derive(Events, attributes(event))]
pub fn derive_events(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    events::derive(&input).unwrap_or_else(|error| events::refused(&input, &error)).into()
}

/// Lets handlers return a type plain, without `Ok`.
///
/// ```
/// use eventwire::{Io, IntoAck, Socket};
/// use serde::Serialize;
///
/// #[derive(Serialize, IntoAck)]
/// struct Receipt { delivered: usize }
///
/// Io::new().on::<String>("say", |_socket: Socket, _text| async { Receipt { delivered: 1 } });
/// ```
#[proc_macro_derive(IntoAck)]
pub fn derive_into_ack(input: TokenStream) -> TokenStream {
    answers::into_ack(&parse_macro_input!(input as DeriveInput)).into()
}

/// Lets handlers fail with a type of one's own: each variant has a code for programs, and `Display` is the message for people.
///
/// ```
/// use eventwire::EventError;
///
/// #[derive(EventError)]
/// enum BuyError {
///     #[error_code("out_of_stock", details)]
///     OutOfStock { left: u32 },
///     #[error_code("internal", message = "try again later", logged)]   // what is in it stays here
///     Database(std::io::Error),
///     #[error_code(transparent)]
///     Other(eventwire::Error),
/// }
///
/// impl std::fmt::Display for BuyError {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         f.write_str("there are not so many")
///     }
/// }
///
/// let error = eventwire::Error::from(BuyError::OutOfStock { left: 2 });
/// assert_eq!((error.code(), error.message()), ("out_of_stock", "there are not so many"));
/// assert_eq!(error.details().unwrap()["left"], 2);
/// ```
///
/// It writes `impl From<BuyError> for eventwire::Error`, so that `?` turns one into the other. `Display` is needed where a variant has
/// neither `message` nor `transparent`, or is `logged`; `thiserror` goes well with it.
///
/// # `#[error_code("code", …)]`
///
/// On variants; on a struct; on an enum, for variants that have none.
///
/// | key | what it says |
/// | --- | --- |
/// | `"code"` | the code: letters, digits, `_`, `-`, `.` and `:` |
/// | `details` | the variant's fields go along, as an object, or as the value of the only one without a name; they are to be `Serialize` |
/// | `message = "text"` | this is told in place of `Display` |
/// | `logged` | `Display` goes to the server's log, by `tracing` at `ERROR`, when it becomes an `eventwire::Error` |
/// | `transparent` | the only field is the error: it says all |
#[proc_macro_derive(EventError, attributes(error_code))]
pub fn derive_event_error(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    answers::event_error(&input).unwrap_or_else(|error| answers::refused(&input, &error)).into()
}

/// Makes handlers of the methods of an `impl`: events whose handlers share a state, which is `self`.
///
/// ```
/// use eventwire::{DisconnectReason, Event, Ext, Io, IntoAck, Socket, gateway};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default)]
/// struct Chat;
///
/// #[derive(Deserialize, Event)]
/// #[event("say", ack = Receipt)]
/// struct Say { text: String }
///
/// #[derive(Serialize, IntoAck)]
/// struct Receipt { delivered: usize }
///
/// struct Name(String);
///
/// #[gateway]
/// impl Chat {
///     #[connect]
///     async fn welcome(&self, socket: Socket) -> eventwire::Result<()> {
///         socket.join("lobby").await?;
///         Ok(())
///     }
///
///     #[on("name")]
///     async fn name(&self, socket: Socket, name: String) {
///         socket.extensions().insert(Name(name));
///     }
///
///     #[on]                                                      // `Say` has a name
///     async fn say(&self, socket: Socket, say: Say, Ext(name): Ext<Name>) -> eventwire::Result<Receipt> {
///         let delivered = socket.to("lobby").emit("said", (&name.0, &say.text)).await?;
///         Ok(Receipt { delivered })
///     }
///
///     #[room("lobby")]
///     async fn may_enter(&self, _socket: Socket, _room: String) -> bool {
///         true
///     }
///
///     #[disconnect]
///     async fn left(&self, io: Io, _why: DisconnectReason, Ext(name): Ext<Name>) {
///         drop(io.to("lobby").emit("left", &name.0).await);
///     }
/// }
///
/// let io = Io::new();
/// io.gateway(Chat::default())?;
/// # Ok::<(), eventwire::Error>(())
/// ```
///
/// # What stands above a method
///
/// | attribute | the method is called | it returns |
/// | --- | --- | --- |
/// | `#[on("name")]` | for each such event of every socket; several may stand above one method | `()`, what is `IntoAck`, `Result<T, E>` |
/// | `#[on]` | the same; the name is that of the payload, an `Event` | the event's `ack`, or `Result` of it |
/// | `#[any]` | for every event, with an `AnyEvent` or a `RawEvent` | as `#[on]` |
/// | `#[connect]` | for each socket, before its first event is handled; an `Err` refuses it | `()`, `Result<(), E>` |
/// | `#[disconnect]` | when a socket is gone | nothing |
/// | `#[room("pattern")]` | when a client subscribes to such a room, with its name as a `String` | `bool`, `Result<(), E>` |
///
/// `#[on]` and `#[any]` take `concurrent = 8`, up to so many of one socket at a time, and `timeout = "5s"` in place of
/// `handlerTimeout`. `#[gateway(emits(Said, Left))]` declares for `Io::events` what is emitted.
///
/// # Arguments
///
/// In any order: the payload, of any type that can be deserialised; `Socket`, `SocketId`, `Io`, `Handshake`; `Ext<T>` (beside the socket),
/// `State<T>` (beside the `Io`), `Auth<T>` (what `authenticate` returned), an `Option` of one, and with `#[from_socket]`
/// before it whatever implements `FromSocket`. Where one is missing the peer is answered an error that names it, and the
/// method is not called; a `#[disconnect]` is left out. The payload is read before, and checked after they were found. A handler without a payload takes absent data or `null`. An argument with
/// `#[payload]` before it is the payload, whatever it is called.
///
/// A payload that has a check of its own (`#[event(validate)]`) is checked under any name.
///
/// # `self`
///
/// `&self`, `self: Arc<Self>`, or nothing. Handlers of several sockets run at once: what changes lies behind a lock. The `Io` is an
/// argument, and no field: an `Io` has its gateways, and one that has its `Io` would keep both for ever.
///
/// What is generated calls `::eventwire`: the crate cannot be renamed where its macros are used.
#[proc_macro_attribute]
pub fn gateway(attribute: TokenStream, item: TokenStream) -> TokenStream {
    gateway::gateway(attribute.into(), item.into()).into()
}

macro_rules! within_a_gateway {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[proc_macro_attribute]
        pub fn $name(_attribute: TokenStream, item: TokenStream) -> TokenStream {
            let text = concat!("`#[", stringify!($name), "]` stands above a method of an `impl` that is a `#[gateway]`");
            let error = Error::new(proc_macro2::Span::call_site(), text).into_compile_error();
            let item = proc_macro2::TokenStream::from(item);
            quote!(#item #error).into()
        }
    )*};
}

within_a_gateway! {
    /// Within a [`#[gateway]`](macro@gateway): the method handles an event.
    on
    /// Within a [`#[gateway]`](macro@gateway): the method handles every event.
    any
    /// Within a [`#[gateway]`](macro@gateway): the method is called for each socket that connects.
    connect
    /// Within a [`#[gateway]`](macro@gateway): the method is called for each socket that is gone.
    disconnect
    /// Within a [`#[gateway]`](macro@gateway): the method says who may subscribe to the rooms of a pattern.
    room
}
