//! The arguments of a method: which one is the payload, and how the others are found.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Error, FnArg, GenericArgument, PatType, PathArguments, PathSegment, Result, Type};

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
    /// Reads one, of which the mark was taken off.
    pub(super) fn read(argument: &PatType, marked: Option<Kind>, is_disconnect: bool) -> Result<Argument> {
        let ty = bare(&argument.ty).clone();
        match &ty {
            Type::Reference(reference) => {
                let owned = match spelt(&reference.elem).as_str() {
                    "str" => "String".to_owned(),
                    other => other.to_owned(),
                };
                return Err(Error::new_spanned(&ty, format!("a handler owns its arguments: write `{owned}`")));
            }
            Type::ImplTrait(_) => {
                let text = "a payload is read as one type: write which, in place of `impl`";
                return Err(Error::new_spanned(&ty, text));
            }
            _ => {}
        }
        let kind = match marked {
            Some(kind) => kind,
            None if is_disconnect && is(&ty, "DisconnectReason") => Kind::Reason,
            None => kind(&ty),
        };
        if kind == Kind::Payload && borrows(ty.to_token_stream()) {
            let text = "a payload owns what is in it, such as a `String` in place of a `&str`: what it is read from is gone when the handler runs";
            return Err(Error::new_spanned(&ty, text));
        }
        Ok(Argument { ty, kind })
    }
}

/// Takes `#[payload]` or `#[from_socket]` off that stands before an argument.
pub(super) fn mark(argument: &mut FnArg) -> Result<Option<Kind>> {
    let FnArg::Typed(argument) = argument else { return Ok(None) };
    let is_mark = |name: &syn::Path| name.is_ident("payload") || name.is_ident("from_socket");
    let marks: Vec<_> = argument.attrs.extract_if(.., |attribute| is_mark(attribute.path())).collect();
    if let Some(second) = marks.get(1) {
        return Err(Error::new_spanned(second, "an argument is either: one of these marks stands before it"));
    }
    let Some(mark) = marks.first() else { return Ok(None) };
    if mark.meta.require_path_only().is_err() {
        let text = format!("`#[{}]` takes nothing", mark.path().to_token_stream());
        return Err(Error::new_spanned(mark, text));
    }
    Ok(Some(if mark.path().is_ident("payload") { Kind::Payload } else { Kind::Found }))
}

/// By how its type is called: a macro sees no more.
fn kind(ty: &Type) -> Kind {
    let Some(name) = last(ty) else { return Kind::Payload };
    match (name.ident.to_string().as_str(), inner(ty).first()) {
        ("Socket", None) => Kind::Socket,
        ("SocketId", None) => Kind::SocketId,
        ("Io", None) => Kind::Io,
        ("Handshake", None) => Kind::Handshake,
        ("Ext" | "State" | "Auth", Some(_)) => Kind::Found,
        ("Option", Some(inner)) if kind(inner) == Kind::Found => Kind::Perhaps,
        _ => Kind::Payload,
    }
}

/// A type without what is around it: one that a macro was given is in a group.
pub(super) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
    }
}

/// A path's last name, with what stands behind it.
fn last(ty: &Type) -> Option<&PathSegment> {
    match bare(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// The type arguments of a path's last name.
pub(super) fn inner(ty: &Type) -> Vec<&Type> {
    match last(ty).map(|last| &last.arguments) {
        Some(PathArguments::AngleBracketed(arguments)) => {
            let types = arguments.args.iter().map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            });
            types.map_while(|ty| ty).collect()
        }
        _ => Vec::new(),
    }
}

pub(super) fn is(ty: &Type, name: &str) -> bool {
    last(ty).is_some_and(|last| last.ident == name)
}

/// Whether it is `impl Trait`, or has one in it: such a type has no name.
pub(super) fn is_impl(ty: TokenStream) -> bool {
    ty.into_iter().any(|token| match token {
        TokenTree::Group(group) => is_impl(group.stream()),
        TokenTree::Ident(word) => word == "impl",
        _ => false,
    })
}

/// Whether it has references or lifetimes in it, but for `'static`.
fn borrows(ty: TokenStream) -> bool {
    let mut tokens = ty.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let borrows = match (&token, tokens.peek()) {
            (TokenTree::Group(group), _) => borrows(group.stream()),
            (TokenTree::Punct(mark), Some(TokenTree::Ident(lifetime))) if mark.as_char() == '\'' => {
                lifetime != "static"
            }
            (TokenTree::Punct(mark), Some(TokenTree::Punct(next))) if mark.as_char() == '&' => next.as_char() != '\'',
            (TokenTree::Punct(mark), _) => mark.as_char() == '&',
            _ => false,
        };
        if borrows {
            return true;
        }
    }
    false
}

/// A type as a person writes it.
pub(super) fn spelt(ty: &Type) -> String {
    let text = ty.to_token_stream().to_string();
    text.trim_start_matches(":: ").replace(" < ", "<").replace(" >", ">").replace(" :: ", "::").replace(" , ", ", ")
}
