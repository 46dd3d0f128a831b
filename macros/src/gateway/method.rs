//! One method that is a handler: what stands above it, and whether it can be one.

use std::time::Duration;

use proc_macro2::Span;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident, ImplItemFn, LitInt, LitStr, Receiver, ReceiverKind, Result, ReturnType, Type};

use super::argument::{Argument, Kind, is, spelt};
use crate::{keys, names};

/// A method, and what it is called for.
pub(super) struct Method {
    pub(super) ident: Ident,
    pub(super) roles: Vec<(Role, Span)>,
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
        let mut roles = Vec::new();
        for attribute in function.attrs.extract_if(.., |attribute| Role::name(attribute).is_some()) {
            roles.push((Role::read(&attribute), attribute.span()));
        }
        let roles = roles.into_iter().map(|(role, at)| role.map(|role| (role, at))).collect::<Result<Vec<_>>>()?;
        if roles.is_empty() {
            return Ok(None);
        }
        let signature = &mut function.sig;
        if signature.asyncness.is_none() {
            let text = format!("a handler is asynchronous: `async fn {}`", signature.ident);
            return Err(Error::new(signature.fn_token.span, text));
        }
        if let Some(parameter) = signature.generics.params.first() {
            let text = "a handler has no type parameters: its payload is of one type, as which it is read";
            return Err(Error::new_spanned(parameter, text));
        }
        let receiver = SelfArgument::read(signature.receiver())?;
        let is_disconnect = roles.iter().any(|(role, _)| matches!(role, Role::Disconnect));
        let arguments = signature.inputs.iter_mut().map(|argument| Argument::read(argument, is_disconnect));
        let arguments = arguments.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        let cfgs = function.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned().collect();
        let output = signature.output.clone();
        let method = Method { ident: signature.ident.clone(), roles, receiver, arguments, output, cfgs };
        for (role, at) in &method.roles {
            method.check(role, *at)?;
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
            ReturnType::Type(_, ty) => Some(ty),
        }
    }

    pub(super) fn returns_nothing(&self) -> bool {
        match self.returned() {
            Some(Type::Tuple(returned)) => returned.elems.is_empty(),
            returned => returned.is_none(),
        }
    }

    fn check(&self, role: &Role, at: Span) -> Result<()> {
        let of_kind = |kind: Kind| self.arguments.iter().filter(move |argument| argument.kind == kind);
        if let Some(second) = of_kind(Kind::Socket).nth(1) {
            return Err(Error::new_spanned(&second.ty, "the socket is an argument already"));
        }
        let payloads: Vec<&Type> = of_kind(Kind::Payload).map(|argument| &argument.ty).collect();
        if let ([first, second, ..], Role::On { .. } | Role::Any { .. } | Role::Room { .. }) =
            (payloads.as_slice(), role)
        {
            let (first, name) = (spelt(first), spelt(second));
            let text = format!(
                "an event has one payload, and `{first}` would be it already; if `{name}` is found by the socket \
                 (`FromSocket`), write `#[from_socket]` before it"
            );
            return Err(Error::new_spanned(second, text));
        }
        match (role, payloads.first()) {
            (Role::On { name: None, .. }, None) => {
                let text = "an event needs a name: `#[on(\"name\")]`, or a payload that is an `Event`";
                Err(Error::new(at, text))
            }
            (Role::Any { .. }, payload) => match payload {
                Some(payload) if is(payload, "AnyEvent") || is(payload, "RawEvent") => Ok(()),
                Some(payload) => {
                    let text = "of any event there is an `AnyEvent`, or a `RawEvent`, which is not decoded";
                    Err(Error::new_spanned(payload, text))
                }
                None => Err(Error::new(
                    at,
                    "the event is an argument: an `AnyEvent`, or a `RawEvent`, which is not decoded",
                )),
            },
            (Role::Room { .. }, Some(payload)) if !is(payload, "String") => {
                Err(Error::new_spanned(payload, "the room's name is a `String`"))
            }
            (Role::Connect | Role::Disconnect, Some(payload)) => {
                let name = spelt(payload);
                let text = format!(
                    "there is no payload here; if `{name}` is found by the socket (`FromSocket`), write `#[from_socket]` before it"
                );
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
                let name = keys::text(input)?;
                if let Some(name) = &name {
                    names::event(name)?;
                }
                Ok(Role::On { name, options: Options::read(input, "on")? })
            }
            "any" => Ok(Role::Any { options: Options::read(input, "any")? }),
            "room" => {
                let pattern = keys::text(input)?
                    .ok_or_else(|| Error::new(attribute.span(), "which rooms? `#[room(\"chat:*\")]`"))?;
                names::rooms(&pattern)?;
                keys::each(input, "room", &[], |_, _| Ok(()))?;
                Ok(Role::Room { pattern })
            }
            name => {
                keys::each(input, name, &[], |_, _| Ok(()))?;
                Ok(if name == "connect" { Role::Connect } else { Role::Disconnect })
            }
        })
    }
}

impl Options {
    fn read(input: ParseStream<'_>, attribute: &str) -> Result<Options> {
        let mut options = Options::default();
        keys::each(input, attribute, &["concurrent", "timeout"], |key, ident| {
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
        Ok(options)
    }
}

/// As the configuration reads one.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
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
                let text = "handlers of several sockets run at once: `&self`, and what changes behind a lock";
                Err(Error::new_spanned(receiver, text))
            }
        }
    }
}

/// Names that are written out are held against each other here; those that only the compiler knows, by it.
pub(super) fn each_once(methods: &[Method]) -> Result<()> {
    let mut seen: Vec<(String, &Ident)> = Vec::new();
    for method in methods {
        for (role, _) in &method.roles {
            let (name, what) = match role {
                Role::On { name: Some(name), .. } => (name, "handles this event"),
                Role::Room { pattern } => (pattern, "is the rule of these rooms"),
                _ => continue,
            };
            // An event and a room may be called the same.
            let key = format!("{what} {}", name.value());
            if let Some((_, other)) = seen.iter().find(|(other, _)| *other == key) {
                return Err(Error::new(name.span(), format!("`{other}` {what} already")));
            }
            seen.push((key, &method.ident));
        }
    }
    Ok(())
}
