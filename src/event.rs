//! Events as types: a name and an answer that belong to a payload, and what sockets, `Io`s and broadcasts do with them.

use std::any::type_name;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use crate::broadcast::{Answers, Broadcast};
use crate::decode::decode;
use crate::emit::{EmitError, Emitting};
use crate::error::{Error, IntoError};
use crate::handler::{self, Ack, Answer, Call, Called, Handler, IntoAck, RawEvent, Types};
use crate::io::Io;
use crate::protocol::Packet;
use crate::router::ListenerId;
use crate::socket::{Paced, Request, Socket, Volatile};

/// A payload that has a name, and an answer of one type: `#[derive(Event)]`, or by hand.
///
/// ```
/// use eventwire::{Event, Io, Socket};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Say { text: String }
///
/// impl Event for Say {
///     const NAME: &'static str = "chat:say";
///     type Ack = usize;
/// }
///
/// let io = Io::new();
/// io.on_event(|socket: Socket, say: Say| async move {
///     eventwire::ok(socket.to("lobby").emit_event(&say).await?)
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event: it has no name",
    label = "not an event",
    note = "write `#[derive(Event)] #[event(\"name\")]` above it, or name the event where it is handled: `on(\"name\", …)`, `#[on(\"name\")]`"
)]
pub trait Event {
    /// Its name on the wire.
    const NAME: &'static str;

    /// What whoever handles it answers; `()` where there is nothing to say.
    type Ack;

    /// Whether a payload that could be read may be handled: asked by `on_event`, `on_events` and gateways before the handler is called. The
    /// derive's `validate` writes it. Under a name of one's choosing, `on::<T>("name", …)` knows nothing of it, but for
    /// [`check_payload!`](crate::check_payload) in the handler.
    ///
    /// # Errors
    /// What the peer is answered. The code `invalid_payload`, with the path in `details`, is what it expects.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// An answer to this event, as an [`Answer`]: for a handler of several, which has one for each in its `match`. Only what the event's
    /// [`Ack`](Event::Ack) says can be one.
    ///
    /// ```
    /// use eventwire::{Event, Events, Io, Socket};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize, Event)]
    /// #[event("len", ack = usize)]
    /// struct Len(String);
    ///
    /// #[derive(Deserialize, Event)]
    /// #[event("upper", ack = String)]
    /// struct Upper(String);
    ///
    /// #[derive(Events)]
    /// enum Text { Len(Len), Upper(Upper) }
    ///
    /// Io::new().on_events(|_socket: Socket, text| async move {
    ///     match text {
    ///         Text::Len(Len(text)) => Len::answer(text.len()),
    ///         Text::Upper(Upper(text)) => Upper::answer(text.to_uppercase()),
    ///     }
    /// });
    /// ```
    fn answer(answer: impl AckFor<Self::Ack>) -> Answer
    where
        Self: Sized,
    {
        answer.into_answer()
    }
}

/// Several events, one a variant: `#[derive(Events)]` on an enum, for one `match` over everything that a peer may send.
///
/// One handler answers them all, so that the compiler does not hold its answers to the `ack` of each, unless they are made by
/// [`Event::answer`].
///
/// ```
/// use eventwire::{Events, Io, Socket};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Say { text: String }
///
/// #[derive(Events)]
/// enum FromBrowser {
///     #[event("say", ack = usize)]
///     Say(Say),
///     #[event("typing", ack = usize)]
///     Typing,
/// }
///
/// let io = Io::new();
/// io.on_events(|socket: Socket, event| async move {
///     match event {
///         FromBrowser::Say(say) => socket.broadcast().emit("said", &say.text).await,
///         FromBrowser::Typing => socket.broadcast().volatile().emit("typing", socket.id()).await,
///     }
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no enum of events",
    note = "write `#[derive(Events)]` above it, and `#[event(\"name\")]` above each variant"
)]
pub trait Events: Sized {
    /// What there is, in the order of the variants.
    fn events() -> Vec<EventType>;

    /// Reads the payload of one of them.
    ///
    /// # Errors
    /// `invalid_payload`, with the path to the field; `unknown_event` for none of them.
    fn decode(event: &RawEvent) -> Result<Self, Error>;
}

/// What `emit_event` sends: an [`Event`], or a variant of an enum of [`Events`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be emitted as an event",
    label = "cannot be emitted",
    note = "one event needs `#[derive(serde::Serialize, eventwire::Event)]`; an enum of them needs `#[derive(eventwire::Events)]`, and each payload in it `#[derive(serde::Serialize)]`"
)]
pub trait EmitEvent {
    /// What it may be.
    fn emitted() -> Vec<EventType>;

    /// What it is called.
    fn name(&self) -> &'static str;

    /// Writes its payload.
    ///
    /// # Errors
    /// The serializer's.
    fn serialize_data<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
}

// What is wrong is told in this trait's words, once, whichever of the two is missing.
#[diagnostic::do_not_recommend]
impl<E: Event + Serialize> EmitEvent for E {
    fn emitted() -> Vec<EventType> {
        vec![EventType::of::<E>()]
    }

    fn name(&self) -> &'static str {
        E::NAME
    }

    fn serialize_data<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

/// An event's name, and the Rust types of its payload and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EventType {
    /// The name on the wire.
    pub name: &'static str,
    /// The payload's type.
    pub payload: &'static str,
    /// The answer's type.
    pub ack: &'static str,
}

impl EventType {
    /// That of an [`Event`].
    pub fn of<E: Event>() -> EventType {
        EventType::new::<E, E::Ack>(E::NAME)
    }

    /// An event of this name with a payload `T`, which is answered by an `A`.
    pub fn new<T, A>(name: &'static str) -> EventType {
        EventType { name, payload: type_name::<T>(), ack: type_name::<A>() }
    }
}

/// What a handler of an event may return whose [`Ack`](Event::Ack) is an `A`: that, `Result<A, E>`, or [`Ack`] of one of
/// these. An `A` that is returned plain is to be [`IntoAck`].
#[diagnostic::on_unimplemented(
    message = "this event is answered by `{A}`, and its handler returns `{Self}`",
    label = "not what the event's `ack` says",
    note = "return `{A}` (which `#[derive(IntoAck)]` allows for a type of your own), `Result<{A}, E>` or `Ack<{A}>`, or name another `ack` in `#[event(…)]`"
)]
pub trait AckFor<A>: IntoAck {
    /// It, as an answer to that event. A gateway calls it; [`Event::answer`] is the same, told of the event.
    fn into_answer(self) -> Answer
    where
        Self: Sized,
    {
        self.into_ack()
    }
}

// Spelt out: a rule for `Ack` of anything that is one would overlap with that for `A` itself.
impl<A: IntoAck> AckFor<A> for A {}
impl<A: Serialize, E: IntoError> AckFor<A> for Result<A, E> {}
impl<A: IntoAck> AckFor<A> for Ack<A> {}
impl<A: Serialize, E: IntoError> AckFor<A> for Ack<Result<A, E>> {}
impl<A: IntoAck> AckFor<A> for Ack<Ack<A>> {}
impl<A: Serialize, E: IntoError> AckFor<A> for Ack<Ack<Result<A, E>>> {}

/// Serialises the payload of what is emitted.
struct Data<'a, E>(&'a E);

impl<E: EmitEvent> Serialize for Data<'_, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize_data(serializer)
    }
}

/// A handler of one event.
struct OfEvent<E, H>(H, PhantomData<fn(E)>);

impl<E, H> Call for OfEvent<E, H>
where
    E: Event + DeserializeOwned + Send + 'static,
    H: Handler<E>,
{
    fn call(&self, socket: &Socket, packet: &Packet, into: &mut Option<Called>) -> Result<(), Error> {
        handler::put((self.0)(socket.clone(), decode_checked(packet)?), into);
        Ok(())
    }

    fn types(&self) -> Types {
        (type_name::<E>(), Some(type_name::<E::Ack>()))
    }
}

/// A handler of several events, as one of them.
struct OfEvents<E, H>(Arc<H>, EventType, PhantomData<fn(E)>);

impl<E, H> Call for OfEvents<E, H>
where
    E: Events + Send + 'static,
    H: Handler<E>,
{
    fn call(&self, socket: &Socket, packet: &Packet, into: &mut Option<Called>) -> Result<(), Error> {
        let event = E::decode(&RawEvent::new(packet))?;
        handler::put((self.0)(socket.clone(), event), into);
        Ok(())
    }

    fn types(&self) -> Types {
        // What the handler answers, where that is known: nothing holds it to the event's own.
        (self.1.payload, <H as Handler<E>>::Output::ack_type().or(Some(self.1.ack)))
    }
}

fn of_event<E, H>(handler: H) -> Box<dyn Call>
where
    E: Event + DeserializeOwned + Send + 'static,
    H: Handler<E>,
{
    Box::new(OfEvent::<E, H>(handler, PhantomData))
}

fn of_events<E, H>(handler: H) -> impl Iterator<Item = (EventType, Box<dyn Call>)>
where
    E: Events + Send + 'static,
    H: Handler<E>,
{
    let handler = Arc::new(handler);
    E::events().into_iter().map(move |event| {
        let call: Box<dyn Call> = Box::new(OfEvents::<E, H>(handler.clone(), event, PhantomData));
        (event, call)
    })
}

/// Reads a payload and asks its own check.
fn decode_checked<E: Event + DeserializeOwned>(packet: &Packet) -> Result<E, Error> {
    let event: E = decode(packet)?;
    event.check()?;
    Ok(event)
}

impl RawEvent {
    /// Its payload, decoded and [checked](Event::check) as that of an event; its name is not looked at.
    ///
    /// # Errors
    /// `invalid_payload`, with the path to the offending field, or what the check says.
    pub fn decode_event<E: Event + DeserializeOwned>(&self) -> crate::Result<E> {
        decode_checked(self.packet())
    }
}

/// Events as types. What holds for [`on`](Io::on), [`emit`](Io::emit) and [`request`](Io::request) holds for these.
impl Io {
    /// Calls `handler` for each `E` of every socket. The event is told by the handler's argument: `|socket: Socket, say: Say|`.
    ///
    /// A payload that is no `E`, or whose [check](Event::check) fails, is answered `invalid_payload`.
    ///
    /// # Panics
    /// When the name cannot be an event's, which the derive sees to.
    pub fn on_event<E>(&self, handler: impl Handler<E, Output: AckFor<E::Ack>>) -> ListenerId
    where
        E: Event + for<'de> Deserialize<'de> + Send + 'static,
    {
        self.hear(E::NAME, of_event(handler), false)
    }

    /// The same for the first such event of all sockets only.
    ///
    /// # Panics
    /// As [`on_event`](Io::on_event).
    pub fn once_event<E>(&self, handler: impl Handler<E, Output: AckFor<E::Ack>>) -> ListenerId
    where
        E: Event + for<'de> Deserialize<'de> + Send + 'static,
    {
        self.hear(E::NAME, of_event(handler), true)
    }

    /// Calls `handler` for each of these [`Events`] of every socket. Returns a registration for each variant.
    ///
    /// # Panics
    /// As [`on_event`](Io::on_event).
    pub fn on_events<E: Events + Send + 'static>(&self, handler: impl Handler<E>) -> Vec<ListenerId> {
        of_events(handler).map(|(event, call)| self.hear(event.name, call, false)).collect()
    }

    /// Sends an event to everyone. See [`Broadcast::emit`].
    ///
    /// # Errors
    /// As there.
    pub fn emit_event(&self, event: &impl EmitEvent) -> Emitting<usize> {
        self.broadcast().emit_event(event)
    }

    /// Asks everyone at this node. See [`Broadcast::request`].
    pub fn request_event<E>(&self, event: &E) -> Answers<E::Ack>
    where
        E: Event<Ack: for<'de> Deserialize<'de>> + Serialize,
    {
        self.broadcast().request_event(event)
    }
}

/// Events as types. What holds for [`on`](Socket::on), [`emit`](Socket::emit) and [`request`](Socket::request) holds for these.
impl Socket {
    /// Calls `handler` for each `E` of this socket. See [`Io::on_event`].
    ///
    /// # Panics
    /// As there.
    pub fn on_event<E>(&self, handler: impl Handler<E, Output: AckFor<E::Ack>>) -> ListenerId
    where
        E: Event + for<'de> Deserialize<'de> + Send + 'static,
    {
        self.hear(E::NAME, of_event(handler), false)
    }

    /// The same for the first such event only.
    ///
    /// # Panics
    /// As [`Io::on_event`].
    pub fn once_event<E>(&self, handler: impl Handler<E, Output: AckFor<E::Ack>>) -> ListenerId
    where
        E: Event + for<'de> Deserialize<'de> + Send + 'static,
    {
        self.hear(E::NAME, of_event(handler), true)
    }

    /// Calls `handler` for each of these [`Events`] of this socket. Returns a registration for each variant.
    ///
    /// # Panics
    /// As [`Io::on_event`].
    pub fn on_events<E: Events + Send + 'static>(&self, handler: impl Handler<E>) -> Vec<ListenerId> {
        of_events(handler).map(|(event, call)| self.hear(event.name, call, false)).collect()
    }

    /// Sends an event. See [`emit`](Socket::emit).
    ///
    /// # Errors
    /// As there.
    pub fn emit_event<E: EmitEvent>(&self, event: &E) -> Emitting<()> {
        self.emit(event.name(), Data(event))
    }

    /// Sends an event if there is room for it now. See [`try_emit`](Socket::try_emit).
    ///
    /// # Errors
    /// As there.
    pub fn try_emit_event<E: EmitEvent>(&self, event: &E) -> Result<(), EmitError> {
        self.try_emit(event.name(), Data(event))
    }

    /// Asks the peer, and waits for the answer that belongs to the event. See [`request`](Socket::request).
    ///
    /// ```
    /// # async fn f(socket: eventwire::Socket) -> eventwire::Result<()> {
    /// # use serde::{Deserialize, Serialize};
    /// use eventwire::Event;
    ///
    /// #[derive(Serialize, Event)]
    /// #[event("vote", ack = bool)]
    /// struct Motion { text: String }
    ///
    /// let is_for = socket.request_event(&Motion { text: "lunch".into() }).await?;
    /// assert!(is_for);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn request_event<E>(&self, event: &E) -> Request<E::Ack>
    where
        E: Event<Ack: for<'de> Deserialize<'de>> + Serialize,
    {
        self.request(E::NAME, event)
    }
}

/// Events as types.
impl Broadcast<'_> {
    /// Sends an event. See [`emit`](Broadcast::emit).
    ///
    /// # Errors
    /// As there.
    pub fn emit_event<E: EmitEvent>(self, event: &E) -> Emitting<usize> {
        self.emit(event.name(), Data(event))
    }

    /// Asks each member at this node, for the answer that belongs to the event. See [`request`](Broadcast::request).
    pub fn request_event<E>(self, event: &E) -> Answers<E::Ack>
    where
        E: Event<Ack: for<'de> Deserialize<'de>> + Serialize,
    {
        self.request(E::NAME, event)
    }
}

impl Volatile<'_> {
    /// Sends an event, or drops it. See [`emit`](Volatile::emit).
    ///
    /// # Errors
    /// As there.
    pub fn emit_event<E: EmitEvent>(&self, event: &E) -> Result<bool, EmitError> {
        self.emit(event.name(), Data(event))
    }
}

impl Paced<'_> {
    /// Sends an event, and waits until the peer has taken it. See [`emit`](Paced::emit).
    ///
    /// # Errors
    /// As there.
    pub fn emit_event<E: EmitEvent>(&self, event: &E) -> Emitting<()> {
        self.emit(event.name(), Data(event))
    }
}

/// What the macros write beside public names. None of it is for hand-written code.
#[doc(hidden)]
pub mod __private {
    pub use serde::de::DeserializeOwned;
    pub use serde::{Serialize, Serializer};
    pub use serde_json::value::Serializer as ToJson;
    use serde_json::{Map, Value};

    use super::Event;
    use crate::error::Error;

    /// For a constant, where names are not compared by `==`.
    pub const fn is_same(a: &str, b: &str) -> bool {
        let (a, b) = (a.as_bytes(), b.as_bytes());
        if a.len() != b.len() {
            return false;
        }
        let mut index = 0;
        while index < a.len() {
            if a[index] != b[index] {
                return false;
            }
            index += 1;
        }
        true
    }

    /// What the peer is not told goes to the log.
    pub fn log(code: &str, error: &impl std::fmt::Display) {
        tracing::error!(code, %error, "a handler failed");
    }

    /// A value that cannot be written as JSON is left out.
    pub fn json(written: serde_json::Result<Value>) -> Value {
        written.unwrap_or_default()
    }

    pub fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
        Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
    }

    /// A payload that may be an [`Event`], and then has a check.
    #[derive(Debug)]
    pub struct Payload<'a, T>(pub &'a T);

    // The names of the methods are those of nobody else: other traits are in scope where this is called.
    pub trait OfEvent {
        fn __eventwire_check(&self) -> Result<(), Error>;
    }

    impl<E: Event> OfEvent for Payload<'_, E> {
        fn __eventwire_check(&self) -> Result<(), Error> {
            self.0.check()
        }
    }

    /// Some that hold events. Each has a trait of its own: for all that the compiler knows, a `Box` might be an event too.
    macro_rules! of_events {
        ($($name:ident: $held:ty, $each:expr;)*) => {$(
            pub trait $name {
                fn __eventwire_check(&self) -> Result<(), Error>;
            }

            impl<E: Event> $name for Payload<'_, $held> {
                fn __eventwire_check(&self) -> Result<(), Error> {
                    let each: fn(&$held) -> Result<(), Error> = $each;
                    each(self.0)
                }
            }
        )*};
    }

    of_events! {
        OfBox: Box<E>, |held| held.check();
        OfOption: Option<E>, |held| held.iter().try_for_each(Event::check);
        OfVec: Vec<E>, |held| held.iter().try_for_each(Event::check);
    }

    /// Found where the other is not: it needs one more reference.
    pub trait OfAny {
        fn __eventwire_check(&self) -> Result<(), Error>;
    }

    impl<T> OfAny for &Payload<'_, T> {
        fn __eventwire_check(&self) -> Result<(), Error> {
            Ok(())
        }
    }

    /// Asks the [own check](crate::Event::check) of a payload, if it has one: `Ok(())` for what is no [`Event`](crate::Event).
    /// A gateway asks so under whichever name; a closure under a name of one's choosing can.
    ///
    /// A `Box`, an `Option` and a `Vec` of events are looked into. In a function that is generic over the payload's type, nothing is known of that.
    ///
    /// ```
    /// use eventwire::{Error, Event, Io, Socket, check_payload};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Even(u32);
    ///
    /// impl Event for Even {
    ///     const NAME: &'static str = "even";
    ///     type Ack = u32;
    ///     fn check(&self) -> Result<(), Error> {
    ///         if self.0 % 2 == 0 { Ok(()) } else { Err(Error::new("odd", "it is odd")) }
    ///     }
    /// }
    ///
    /// Io::new().on::<Even>("another-name", |_socket: Socket, even| async move {
    ///     check_payload!(&even)?;
    ///     eventwire::ok(even.0)
    /// });
    /// assert!(check_payload!(&Even(2)).is_ok() && check_payload!(&vec![Even(2), Even(3)]).is_err());
    /// assert!(check_payload!(&"no event").is_ok());
    /// ```
    #[macro_export]
    macro_rules! check_payload {
        ($payload:expr) => {{
            #[allow(unused_imports)]
            use $crate::__private::{OfAny as _, OfBox as _, OfEvent as _, OfOption as _, OfVec as _};
            (&$crate::__private::Payload($payload)).__eventwire_check()
        }};
    }
}
