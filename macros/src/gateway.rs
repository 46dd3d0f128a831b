//! `#[gateway]`: reads the methods of an `impl`, and writes the calls that register them.

mod argument;
mod expand;
mod method;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Error, ImplItem, Item, ItemImpl, Result, Token, Type};

use self::method::Method;
use crate::keys;

/// What `#[gateway(…)]` says.
#[derive(Default)]
struct Said {
    emits: Vec<Type>,
}

impl Said {
    fn read(attribute: TokenStream) -> Result<Said> {
        let mut said = Said::default();
        let read = |input: syn::parse::ParseStream<'_>| {
            keys::each(input, "gateway", &["emits"], |_, key| {
                if !input.peek(syn::token::Paren) {
                    return Err(Error::new(key.span(), "`emits` needs a list of events: `emits(Said, Left)`"));
                }
                let list;
                syn::parenthesized!(list in input);
                said.emits.extend(Punctuated::<Type, Token![,]>::parse_terminated(&list)?);
                Ok(())
            })
        };
        read.parse2(attribute)?;
        Ok(said)
    }
}

pub(crate) fn gateway(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut gateway = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Impl(gateway)) => gateway,
        Ok(other) => {
            let error = Error::new_spanned(&other, "a gateway is an `impl` of a type: `#[gateway] impl Chat { … }`");
            let error = error.into_compile_error();
            return quote!(#other #error);
        }
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let read = read(&mut gateway);
    let added = match Said::read(attribute).and_then(|said| Ok((said, read?))) {
        Ok((said, methods)) => expand::gateway(&gateway, &said.emits, &methods),
        Err(error) => {
            // Nothing that would follow from there being no gateway.
            let (error, nothing) = (error.into_compile_error(), expand::gateway(&gateway, &[], &[]));
            quote!(#error #nothing)
        }
    };
    let mut tokens = gateway.into_token_stream();
    tokens.extend(added);
    tokens
}

/// Takes the attributes off the methods and reads them, all of them before saying what is wrong.
fn read(gateway: &mut ItemImpl) -> Result<Vec<Method>> {
    let mut errors: Option<Error> = None;
    let mut say = |error: Error| match &mut errors {
        Some(errors) => errors.combine(error),
        None => errors = Some(error),
    };
    if let Some((_, for_)) = &gateway.trait_ {
        say(Error::new(for_.span, "a gateway is an `impl` of a type, not of a trait for it"));
    }
    let mut methods: Vec<Method> = Vec::new();
    for item in &mut gateway.items {
        let ImplItem::Fn(function) = item else { continue };
        match Method::read(function) {
            Ok(method) => methods.extend(method),
            Err(error) => say(error),
        }
    }
    if let Err(error) = method::each_once(&methods) {
        say(error);
    }
    match errors {
        Some(errors) => Err(errors),
        None if methods.is_empty() => {
            let text = "this gateway handles nothing: `#[on(\"name\")]` stands above a method";
            Err(Error::new_spanned(&gateway.self_ty, text))
        }
        None => Ok(methods),
    }
}
