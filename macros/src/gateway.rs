//! `#[gateway]`: reads the methods of an `impl`, and writes the calls that register them.

mod argument;
mod expand;
mod method;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Error, ImplItem, Item, ItemImpl, Result, Token, Type};

use self::method::Method;
use crate::keys::Takes;
use crate::mistakes::Mistakes;

const GATEWAY: Takes = Takes { attribute: "gateway", text: None, keys: &["emits"] };

/// What `#[gateway(…)]` says.
#[derive(Default)]
struct Said {
    emits: Vec<Type>,
}

impl Said {
    fn read(attribute: TokenStream) -> Result<Said> {
        let mut said = Said::default();
        let read = |input: syn::parse::ParseStream<'_>| {
            GATEWAY.read(input, |_, key| {
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
            let error = no_impl(&other).into_compile_error();
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
    let mut mistakes = Mistakes::default();
    if let Some((path, _)) = &gateway.trait_ {
        let text = "a gateway is an `impl` of a type, not of a trait for it: write the handlers in one of their own";
        mistakes.say(Error::new_spanned(path, text));
    }
    let mut methods: Vec<Method> = Vec::new();
    for item in &mut gateway.items {
        let ImplItem::Fn(function) = item else { continue };
        methods.extend(mistakes.right(Method::read(function)).flatten());
    }
    mistakes.right(method::each_once(&methods));
    mistakes.none()?;
    if methods.is_empty() {
        let text = "this gateway handles nothing: write `#[on(\"name\")]` above a method";
        return Err(Error::new_spanned(&gateway.self_ty, text));
    }
    Ok(methods)
}

/// Points at the name of what is no `impl`, and not at the whole of it.
fn no_impl(item: &Item) -> Error {
    let at = match item {
        Item::Struct(item) => item.ident.span(),
        Item::Enum(item) => item.ident.span(),
        Item::Trait(item) => item.ident.span(),
        Item::Mod(item) => item.ident.span(),
        Item::Fn(item) => item.sig.ident.span(),
        _ => Span::call_site(),
    };
    Error::new(at, "`#[gateway]` stands above an `impl` of a type: `#[gateway] impl Chat { … }`")
}
