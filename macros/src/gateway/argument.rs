//! The arguments of a method: which one is the payload, and how the others are found.

use quote::ToTokens;
use syn::{Error, FnArg, GenericArgument, Ident, PatType, PathArguments, Result, Type};

/// One argument after `self`.
pub(super) struct Argument {
    pub(super) ty: Type,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Socket,
    SocketId,
    Io,
    Handshake,
    /// By `FromSocket`, which may say that it is missing.
    Found,
    /// The same, as an `Option`.
    Perhaps,
    /// Why the socket is gone.
    Reason,
    Payload,
}

impl Argument {
    /// Reads one, and takes its marks off.
    pub(super) fn read(argument: &mut FnArg, is_disconnect: bool) -> Result<Option<Argument>> {
        let FnArg::Typed(argument) = argument else { return Ok(None) };
        let marked = mark(argument)?;
        let ty = (*argument.ty).clone();
        match &ty {
            Type::Reference(reference) => {
                let text = format!("a handler owns its arguments: `{}`", spelt(&reference.elem));
                return Err(Error::new_spanned(&ty, text));
            }
            Type::ImplTrait(_) => {
                let text = "a handler has no type parameters: its payload is of one type, as which it is read";
                return Err(Error::new_spanned(&ty, text));
            }
            _ => {}
        }
        let kind = match marked {
            Some(kind) => kind,
            None if is_disconnect && is(&ty, "DisconnectReason") => Kind::Reason,
            None => kind(&ty),
        };
        Ok(Some(Argument { ty, kind }))
    }
}

/// Whether `#[payload]` or `#[from_socket]` stands before it.
fn mark(argument: &mut PatType) -> Result<Option<Kind>> {
    let mut marked = None;
    for attribute in argument.attrs.extract_if(.., |a| a.path().is_ident("payload") || a.path().is_ident("from_socket"))
    {
        attribute.meta.require_path_only()?;
        if marked.is_some() {
            return Err(Error::new_spanned(attribute, "an argument has one of these marks"));
        }
        marked = Some(if attribute.path().is_ident("payload") { Kind::Payload } else { Kind::Found });
    }
    Ok(marked)
}

/// By how its type is called: a macro sees no more.
fn kind(ty: &Type) -> Kind {
    let Some((name, inner)) = named(ty) else { return Kind::Payload };
    match (name.to_string().as_str(), inner) {
        ("Socket", None) => Kind::Socket,
        ("SocketId", None) => Kind::SocketId,
        ("Io", None) => Kind::Io,
        ("Handshake", None) => Kind::Handshake,
        ("Ext" | "State" | "Auth", Some(_)) => Kind::Found,
        ("Option", Some(inner)) if kind(inner) == Kind::Found => Kind::Perhaps,
        _ => Kind::Payload,
    }
}

/// A path's last name, and its one type argument if it has one.
fn named(ty: &Type) -> Option<(&Ident, Option<&Type>)> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let inner = match &last.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
            Some(GenericArgument::Type(inner)) => Some(inner),
            _ => None,
        },
        _ => None,
    };
    Some((&last.ident, inner))
}

pub(super) fn is(ty: &Type, name: &str) -> bool {
    named(ty).is_some_and(|(last, _)| last == name)
}

/// A type as a person writes it.
pub(super) fn spelt(ty: &Type) -> String {
    let text = ty.to_token_stream().to_string();
    text.replace(" < ", "<").replace(" >", ">").replace(" :: ", "::").replace(" , ", ", ")
}
