//! One method that is a handler: what stands above it, and whether it can be one.

use std::time::Duration;

use quote::ToTokens;
use syn::parse::ParseStream;
use syn::{
    Attribute, Error, FnArg, Ident, ImplItemFn, LitInt, LitStr, Receiver, ReceiverKind, Result, ReturnType, Type,
};

use super::argument::{Argument, Kind, bare, is, is_impl, mark, spelt};
use crate::keys::{self, Takes};
use crate::mistakes::Mistakes;
use crate::names;

/// A method, and what it is called for.
pub(super) struct Method {
    pub(super) ident: Ident,
    /// With the attributes that say so.
    pub(super) roles: Vec<(Role, Attribute)>,
    pub(super) receiver: SelfArgument,
    pub(super) arguments: Vec<Argument>,
    pub(super) output: ReturnType,
    /// They hold for the registration too.
    pub(super) cfgs: Vec<Attribute>,
}

pub(super) enum Role {
    On { name: Option<LitStr>, options: Options },
    Any { options: Options },
    Connect,
    Disconnect,
    Room { pattern: LitStr },
}

#[derive(Default)]
pub(super) struct Options {
    pub(super) concurrent: Option<usize>,
    pub(super) timeout: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SelfArgument {
    None,
    Reference,
    Arc,
}

impl Method {
    /// Reads one and takes the attributes off; `None` where it is no handler.
    pub(super) fn read(function: &mut ImplItemFn) -> Result<Option<Method>> {
        let mut mistakes = Mistakes::default();
        let above: Vec<_> = function.attrs.extract_if(.., |attribute| Role::name(attribute).is_some()).collect();
        if above.is_empty() {
            return Ok(None);
        }
        let roles = above.into_iter().map(|attribute| Ok((Role::read(&attribute)?, attribute)));
        let roles: Vec<_> = roles.filter_map(|role| mistakes.right(role)).collect();
        let signature = &mut function.sig;
        // All are taken off before anything is said: the compiler knows no such marks.
        let marks: Vec<_> =
            signature.inputs.iter_mut().map(|argument| mistakes.right(mark(argument)).flatten()).collect();
        if signature.asyncness.is_none() {
            let text = format!("a handler is asynchronous: `async fn {}`", signature.ident);
            mistakes.say(Error::new(signature.fn_token.span, text));
        }
        if let Some(parameter) = signature.generics.params.first() {
            let text =
                "a handler has no parameters of its own: what it takes is of one type. Those of the `impl` can be used";
            mistakes.say(Error::new_spanned(parameter, text));
        }
        let receiver = mistakes.right(SelfArgument::read(signature.receiver()));
        let is_disconnect = roles.iter().any(|(role, _)| matches!(role, Role::Disconnect));
        let arguments = signature.inputs.iter().zip(marks).filter_map(|(argument, mark)| match argument {
            FnArg::Typed(argument) => mistakes.right(Argument::read(argument, mark, is_disconnect)),
            FnArg::Receiver(_) => None,
        });
        let arguments = arguments.collect();
        mistakes.none()?;
        let cfgs = function.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned().collect();
        let (ident, output) = (function.sig.ident.clone(), function.sig.output.clone());
        let receiver = receiver.unwrap_or(SelfArgument::None);
        let method = Method { ident, roles, receiver, arguments, output, cfgs };
        for (role, attribute) in &method.roles {
            method.check(role, attribute)?;
        }
        Ok(Some(method))
    }

    pub(super) fn payload(&self) -> Option<&Type> {
        self.arguments.iter().find(|argument| argument.kind == Kind::Payload).map(|argument| &argument.ty)
    }

    /// What it returns, as it is written.
    pub(super) fn returned(&self) -> Option<&Type> {
        match &self.output {
            ReturnType::Default => None,
            ReturnType::Type(_, ty) => Some(bare(ty)),
        }
    }

    pub(super) fn returns_nothing(&self) -> bool {
        match self.returned() {
            Some(Type::Tuple(returned)) => returned.elems.is_empty(),
            returned => returned.is_none(),
        }
    }

    /// Whether that type has no name.
    pub(super) fn returns_impl(&self) -> bool {
        self.returned().is_some_and(|returned| is_impl(returned.to_token_stream()))
    }

    fn check(&self, role: &Role, attribute: &Attribute) -> Result<()> {
        let of_kind = |kind: Kind| self.arguments.iter().filter(move |argument| argument.kind == kind);
        for (kind, what) in [(Kind::Socket, "socket"), (Kind::Reason, "reason")] {
            if let Some(second) = of_kind(kind).nth(1) {
                return Err(Error::new_spanned(
                    &second.ty,
                    format!("the {what} is an argument already: one is enough"),
                ));
            }
        }
        let payloads: Vec<&Type> = of_kind(Kind::Payload).map(|argument| &argument.ty).collect();
        if let ([first, second, ..], Role::On { .. } | Role::Any { .. } | Role::Room { .. }) =
            (payloads.as_slice(), role)
        {
            let text = format!(
                "an event has one payload, and `{}` is it already: make one struct of both, or write `#[from_socket]` before what is \
                 found by the socket",
                spelt(first)
            );
            return Err(Error::new_spanned(second, text));
        }
        match (role, payloads.first()) {
            (Role::On { name: None, .. }, None) => {
                let text = "an event needs a name: `#[on(\"name\")]`, or a payload that is an `Event`";
                Err(Error::new_spanned(attribute, text))
            }
            (Role::Any { .. }, Some(payload)) if !is(payload, "AnyEvent") && !is(payload, "RawEvent") => {
                let text = "any event comes as an `AnyEvent`, or as a `RawEvent`, which is not decoded";
                Err(Error::new_spanned(payload, text))
            }
            (Role::Any { .. }, None) => {
                let text =
                    "every event is handled here: take it as an `AnyEvent`, or as a `RawEvent`, which is not decoded";
                Err(Error::new_spanned(attribute, text))
            }
            (Role::Room { .. }, Some(payload)) if !is(payload, "String") => {
                Err(Error::new_spanned(payload, "the room's name is a `String`"))
            }
            (Role::Connect | Role::Disconnect, Some(payload)) => {
                let text = "there is no payload here: leave it away, or write `#[from_socket]` before what is found by the socket";
                Err(Error::new_spanned(payload, text))
            }
            (Role::Disconnect, None) => match self.returned() {
                Some(returned) if !self.returns_nothing() => {
                    Err(Error::new_spanned(returned, "it returns nothing: nobody is there to be answered"))
                }
                _ => Ok(()),
            },
            (Role::Room { .. }, _) if self.returned().is_none() => {
                let text = "it says who may subscribe: `-> bool`, or `-> Result<(), E>`";
                Err(Error::new_spanned(&self.ident, text))
            }
            _ => Ok(()),
        }
    }
}

const ON: Takes = Takes { attribute: "on", text: Some("name"), keys: &["concurrent", "timeout"] };
const ANY: Takes = Takes { attribute: "any", text: None, keys: &["concurrent", "timeout"] };
const ROOM: Takes = Takes { attribute: "room", text: Some("pattern"), keys: &[] };
const CONNECT: Takes = Takes { attribute: "connect", text: None, keys: &[] };
const DISCONNECT: Takes = Takes { attribute: "disconnect", text: None, keys: &[] };

impl Role {
    /// By the last name: `#[eventwire::on]` is meant as well.
    fn name(attribute: &Attribute) -> Option<&'static str> {
        let last = attribute.path().segments.last()?;
        ["on", "any", "connect", "disconnect", "room"].into_iter().find(|name| last.ident == *name)
    }

    fn read(attribute: &Attribute) -> Result<Role> {
        let attribute_name = Role::name(attribute).unwrap_or_default();
        keys::within(attribute, |input| match attribute_name {
            "on" => {
                let (name, options) = Options::read(input, &ON)?;
                if let Some(name) = &name {
                    names::event(name)?;
                }
                Ok(Role::On { name, options })
            }
            "any" => Ok(Role::Any { options: Options::read(input, &ANY)?.1 }),
            "room" => {
                let pattern = ROOM.read(input, |_, _| Ok(()))?.ok_or_else(|| {
                    Error::new_spanned(
                        attribute,
                        "which rooms? `#[room(\"lobby\")]`, or `#[room(\"chat:*\")]` for all that begin so",
                    )
                })?;
                names::rooms(&pattern)?;
                Ok(Role::Room { pattern })
            }
            "connect" => CONNECT.read(input, |_, _| Ok(())).map(|_| Role::Connect),
            _ => DISCONNECT.read(input, |_, _| Ok(())).map(|_| Role::Disconnect),
        })
    }
}

impl Options {
    /// With the name, if there is one.
    fn read(input: ParseStream<'_>, takes: &Takes) -> Result<(Option<LitStr>, Options)> {
        let mut options = Options::default();
        let name = takes.read(input, |key, ident| {
            match key {
                "concurrent" => {
                    let number: LitInt = keys::value(input, ident, "8")?;
                    let at_least_one = number.base10_parse().ok().filter(|&n: &usize| n > 0);
                    let text = "`concurrent` is how many of one socket may run at a time: at least 1";
                    options.concurrent = Some(at_least_one.ok_or_else(|| Error::new(number.span(), text))?);
                }
                _ => {
                    let time: LitStr = keys::value(input, ident, "\"5s\"")?;
                    let text = "a time such as `\"5s\"`, `\"250ms\"`, `\"1m\"` or `\"2h\"`, of at least 1 ms";
                    options.timeout = Some(duration(&time.value()).ok_or_else(|| Error::new(time.span(), text))?);
                }
            }
            Ok(())
        })?;
        Ok((name, options))
    }
}

/// As the configuration reads one.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let time = Duration::try_from_secs_f64(number.trim().parse::<f64>().ok()? * seconds).ok()?;
    Some(time).filter(|time| time.as_millis() > 0)
}

impl SelfArgument {
    fn read(receiver: Option<&Receiver>) -> Result<SelfArgument> {
        let Some(receiver) = receiver else { return Ok(SelfArgument::None) };
        match &receiver.kind {
            ReceiverKind::Reference(_, _, None) => Ok(SelfArgument::Reference),
            ReceiverKind::Typed(_, ty) if is(ty, "Arc") => Ok(SelfArgument::Arc),
            _ => {
                let text = "handlers of several sockets run at once: write `&self`, with a lock around what changes";
                Err(Error::new_spanned(receiver, text))
            }
        }
    }
}

/// What is said of an event, or of rooms, that another method has.
pub(super) fn taken(other: &Ident, what: &str) -> String {
    format!("`{other}` {what} already: one method does in a gateway")
}

/// Names that are written out are held against each other here; those that only the compiler knows, and those that may not be
/// there, by it.
pub(super) fn each_once(methods: &[Method]) -> Result<()> {
    let mut mistakes = Mistakes::default();
    let mut seen: Vec<(String, &Ident)> = Vec::new();
    for method in methods.iter().filter(|method| method.cfgs.is_empty()) {
        for (role, _) in &method.roles {
            let (name, what) = match role {
                Role::On { name: Some(name), .. } => (name, "handles this event"),
                Role::Room { pattern } => (pattern, "says who may subscribe to these rooms"),
                _ => continue,
            };
            // An event and a room may be called the same.
            let key = format!("{what} {}", name.value());
            match seen.iter().find(|(other, _)| *other == key) {
                Some((_, other)) => mistakes.say(Error::new(name.span(), taken(other, what))),
                None => seen.push((key, &method.ident)),
            }
        }
    }
    mistakes.none()
}
