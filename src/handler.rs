//! The shapes of handlers, and what they may answer.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::sync::ReusableBoxFuture;

use crate::decode::decode;
use crate::encode::{self, Scratch};
use crate::error::{Error, IntoError};
use crate::protocol::Packet;
use crate::socket::Socket;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A handler of events whose payload is a `T`: any `Fn(Socket, T)` that returns a future.
///
/// Closures, named `async fn`s and `async |socket, data|` without captures are handlers; a closure that
/// needs something of its surroundings clones it inside:
///
/// ```
/// # use eventwire::{Io, Socket};
/// # let (io, other) = (Io::new(), Io::new());
/// io.on::<String>("say", move |socket: Socket, text| {
///     let other = other.clone();
///     async move {
///         other.to("lobby").emit("said", &text).await?;
///         eventwire::ok(text.len())
///     }
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "this is no handler of an event with a `{T}`",
    label = "not a handler",
    note = "a handler is `|socket, data: {T}| async move {{ … }}` or `async fn(Socket, {T})`",
    note = "its future must be `Send`, and its output `()`, a number, text, list, `Value`, `Ack` or `Result<impl Serialize, impl IntoError>`"
)]
pub trait Handler<T>: Fn(Socket, T) -> <Self as Handler<T>>::Future + Send + Sync + 'static {
    /// The future that the handler returns.
    type Future: Future<Output = <Self as Handler<T>>::Output> + Send + 'static;
    /// What it answers.
    type Output: IntoAck;
}

impl<T, F, Fut> Handler<T> for F
where
    F: Fn(Socket, T) -> Fut + Send + Sync + 'static,
    Fut: Asynchronous + Send + 'static,
    Fut::Output: IntoAck,
{
    type Future = Fut;
    type Output = Fut::Output;
}

/// Any future. It has a name of its own here for what the compiler says where there is none.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a handler is asynchronous, and this one returns `{Self}`, which is no future",
    label = "returns `{Self}`",
    note = "write `|socket, data| async move {{ … }}`, or give it an `async fn(Socket, Data)`"
)]
pub trait Asynchronous: Future {}

#[diagnostic::do_not_recommend]
impl<F: Future> Asynchronous for F {}

/// What a handler may return: its return value is the acknowledgement.
///
/// It is implemented for `()` (which leaves the answer to the next listener, and is `null` after the
/// last), numbers, `bool`, texts, `Vec`, `Option`, [`Value`], [`Ack`], and `Result<T, E>` with
/// any serialisable `T`, so that a type of one's own is returned as `Ok(value)`, or as
/// [`ok`]`(value)`, which spares naming the error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the answer of a handler",
    label = "returned by a handler",
    note = "a type of your own is one with `#[derive(serde::Serialize, eventwire::IntoAck)]`; any that is `Serialize` is returned by `eventwire::ok(value)`"
)]
pub trait IntoAck {
    /// The answer to the request.
    fn into_ack(self) -> Answer;

    /// The Rust type of what is answered, for [`Io::events`](crate::Io::events); `None` where that is not known before.
    fn ack_type() -> Option<&'static str>
    where
        Self: Sized,
    {
        Some(type_name::<Self>())
    }
}

/// An answer on its way.
pub struct Answer(pub(crate) Kind);

pub(crate) enum Kind {
    Nothing,
    /// JSON text.
    Value(Scratch),
    Error(Error),
    Later(Called),
    /// What the lane does itself has been answered already.
    Sent,
    /// The handler panicked.
    Panicked,
}

impl Answer {
    /// No answer: that is left to the next listener.
    pub fn nothing() -> Answer {
        Answer(Kind::Nothing)
    }

    /// This value. One that cannot be written as JSON is answered `internal`, and logged.
    pub fn value<T: Serialize + ?Sized>(value: &T) -> Answer {
        match encode::json(value) {
            Ok(json) => Answer(Kind::Value(json)),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written as JSON");
                Answer(Kind::Error(Error::internal()))
            }
        }
    }

    /// This error.
    pub fn error(error: impl IntoError) -> Answer {
        Answer(Kind::Error(error.into_error()))
    }

    /// What the future answers; the lane goes on meanwhile.
    pub fn later<F>(future: F) -> Answer
    where
        F: Future + Send + 'static,
        F::Output: IntoAck,
    {
        Answer(Kind::Later(Called::new(async move { future.await.into_ack() })))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Nothing => f.write_str("Nothing"),
            Kind::Value(json) => write!(f, "Value({})", String::from_utf8_lossy(json)),
            Kind::Error(error) => write!(f, "Error({error:?})"),
            Kind::Later(_) => f.write_str("Later"),
            Kind::Sent => f.write_str("Sent"),
            Kind::Panicked => f.write_str("Panicked"),
        }
    }
}

impl IntoAck for () {
    fn into_ack(self) -> Answer {
        Answer::nothing()
    }
}

impl IntoAck for Answer {
    fn into_ack(self) -> Answer {
        self
    }

    fn ack_type() -> Option<&'static str> {
        None
    }
}

impl<T: Serialize, E: IntoError> IntoAck for Result<T, E> {
    fn into_ack(self) -> Answer {
        match self {
            // `Ok(())` says nothing, like `()`.
            Ok(value) => match Answer::value(&value) {
                Answer(Kind::Value(json)) if size_of::<T>() == 0 && **json == *b"null" => Answer::nothing(),
                answer => answer,
            },
            Err(error) => Answer::error(error),
        }
    }

    fn ack_type() -> Option<&'static str> {
        Some(type_name::<T>())
    }
}

impl<T: Serialize> IntoAck for Vec<T> {
    fn into_ack(self) -> Answer {
        Answer::value(&self)
    }
}

impl<T: Serialize> IntoAck for Option<T> {
    fn into_ack(self) -> Answer {
        Answer::value(&self)
    }
}

macro_rules! into_ack {
    ($($plain:ty),* $(,)?) => {$(
        impl IntoAck for $plain {
            fn into_ack(self) -> Answer {
                Answer::value(&self)
            }
        }
    )*};
}

into_ack!(
    bool,
    char,
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize,
    f32,
    f64,
    &'static str,
    String,
    Value,
    Box<RawValue>,
);

/// `Ok(value)` with this crate's error, so that a closure's `?` and its last line need no annotation.
///
/// # Errors
/// Never by itself.
pub fn ok<T>(value: T) -> crate::Result<T> {
    Ok(value)
}

/// An acknowledgement that a handler returns, now or later.
///
/// ```
/// # use std::time::Duration;
/// # use eventwire::{Ack, Io, Socket};
/// # let io = Io::new();
/// io.on::<u64>("sleep", |_socket: Socket, ms| async move {
///     // The next event of this socket is handled while this one waits.
///     Ack::later(async move {
///         tokio::time::sleep(Duration::from_millis(ms)).await;
///         eventwire::ok(ms)
///     })
/// });
/// ```
pub struct Ack<T>(Answer, PhantomData<fn() -> T>);

impl<T: IntoAck> Ack<T> {
    /// This answer, now.
    pub fn now(answer: T) -> Ack<T> {
        Ack(answer.into_ack(), PhantomData)
    }

    /// This error, now.
    pub fn error(error: impl IntoError) -> Ack<T> {
        Ack(Answer::error(error), PhantomData)
    }

    /// What the future answers, when it does: the handler ends and the lane is free, while the
    /// future runs on as a task of the socket's. The handler's timeout holds for it; when the
    /// socket is gone it has `drainTimeout` to end.
    pub fn later<F>(future: F) -> Ack<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        Ack(Answer::later(future), PhantomData)
    }
}

impl<T: IntoAck> IntoAck for Ack<T> {
    fn into_ack(self) -> Answer {
        self.0
    }

    fn ack_type() -> Option<&'static str> {
        T::ack_type()
    }
}

impl<T> fmt::Debug for Ack<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ack").field(&self.0).finish()
    }
}

/// An event as `on_any` gets it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AnyEvent {
    /// The event's name.
    pub event: String,
    /// Its payload, decoded as any JSON.
    pub data: Value,
}

/// An event as `on_raw` gets it: not decoded, and not copied.
#[derive(Clone, Debug)]
pub struct RawEvent(Packet);

impl RawEvent {
    pub(crate) fn new(packet: &Packet) -> RawEvent {
        RawEvent(packet.clone())
    }

    pub(crate) fn packet(&self) -> &Packet {
        &self.0
    }

    /// The event's name.
    pub fn event(&self) -> &str {
        self.0.event()
    }

    /// Its payload, as the JSON text that came.
    pub fn data(&self) -> &[u8] {
        self.0.data()
    }

    /// Its payload, decoded.
    ///
    /// # Errors
    /// `invalid_payload`, with the path to the offending field.
    pub fn decode<T: DeserializeOwned>(&self) -> crate::Result<T> {
        decode(&self.0)
    }
}

/// The Rust types of a payload, and of its answer where that is known.
pub(crate) type Types = (&'static str, Option<&'static str>);

/// A handler whose types are forgotten, but for their names.
pub(crate) trait Call: Send + Sync {
    fn types(&self) -> Types {
        ("", None)
    }

    /// Starts it, in the box of one that is through, if there is any; an `Err` refuses the payload.
    fn call(&self, socket: &Socket, packet: &Packet, into: &mut Option<Called>) -> Result<(), Error>;
}

/// A handler that was called, and what it will answer. Its box serves the next one that is as large.
pub(crate) type Called = ReusableBoxFuture<'static, Answer>;

/// Puts what a handler was called to do into its box.
pub(crate) fn put<Fut>(future: Fut, into: &mut Option<Called>)
where
    Fut: Future + Send + 'static,
    Fut::Output: IntoAck,
{
    // What the handler holds goes when it is through, not with the box.
    let future = async move { future.await.into_ack() };
    match into {
        Some(called) => called.set(future),
        None => *into = Some(Called::new(future)),
    }
}

pub(crate) struct Typed<T, H>(H, PhantomData<fn(T)>);

impl<T, H> Typed<T, H> {
    pub(crate) fn new(handler: H) -> Self {
        Typed(handler, PhantomData)
    }
}

impl<T: DeserializeOwned + Send + 'static, H: Handler<T>> Call for Typed<T, H> {
    fn call(&self, socket: &Socket, packet: &Packet, into: &mut Option<Called>) -> Result<(), Error> {
        put((self.0)(socket.clone(), decode(packet)?), into);
        Ok(())
    }

    fn types(&self) -> Types {
        (type_name::<T>(), <H as Handler<T>>::Output::ack_type())
    }
}

pub(crate) struct Any<H>(pub(crate) H);

impl<H: Handler<AnyEvent>> Call for Any<H> {
    fn call(&self, socket: &Socket, packet: &Packet, into: &mut Option<Called>) -> Result<(), Error> {
        let event = AnyEvent { event: packet.event().to_owned(), data: decode(packet)? };
        put((self.0)(socket.clone(), event), into);
        Ok(())
    }
}

pub(crate) struct Raw<H>(pub(crate) H);

impl<H: Handler<RawEvent>> Call for Raw<H> {
    fn call(&self, socket: &Socket, packet: &Packet, into: &mut Option<Called>) -> Result<(), Error> {
        put((self.0)(socket.clone(), RawEvent::new(packet)), into);
        Ok(())
    }
}

/// What a connect handler may return: `()`, or `Result<(), Error>`, whose `Err` closes the
/// connection with its code. The error is concrete, so that `Ok(())` needs no annotation.
#[diagnostic::on_unimplemented(
    message = "a connect handler cannot return `{Self}`",
    note = "return `()` or `Result<(), eventwire::Error>`"
)]
pub trait Welcome {
    /// Whether the socket is let in.
    fn into_welcome(self) -> Result<(), Error>;
}

impl Welcome for () {
    fn into_welcome(self) -> Result<(), Error> {
        Ok(())
    }
}

impl Welcome for Result<(), Error> {
    fn into_welcome(self) -> Result<(), Error> {
        self
    }
}

/// A connect handler, as a [`Call`] whose `Err` refuses the socket.
pub(crate) struct Connect<F>(pub(crate) F);

impl<F, Fut> Call for Connect<F>
where
    F: Fn(Socket) -> Fut + Send + Sync,
    Fut: Future + Send + 'static,
    Fut::Output: Welcome,
{
    fn call(&self, socket: &Socket, _packet: &Packet, into: &mut Option<Called>) -> Result<(), Error> {
        let future = (self.0)(socket.clone());
        let welcome = async move {
            match future.await.into_welcome() {
                Ok(()) => Answer::nothing(),
                Err(error) => Answer(Kind::Error(error)),
            }
        };
        put(welcome, into);
        Ok(())
    }
}
