//! `#[derive(Event)]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Attribute, Data, DeriveInput, Error, GenericParam, LitStr, Result, Type};

use crate::keys::{self, Takes};
use crate::names;

const EVENT: Takes = Takes { attribute: "event", text: Some("name"), keys: &["ack", "validate"] };

pub(crate) const UNNAMED: &str = "an event needs a name: `#[event(\"name\")]`";

/// What `#[event(…)]` says.
pub(crate) struct Said {
    pub(crate) name: Option<LitStr>,
    pub(crate) ack: Option<Type>,
    /// Where it says that payloads are to be checked.
    pub(crate) validate: Option<Span>,
}

impl Said {
    pub(crate) fn read(attribute: &Attribute) -> Result<Said> {
        keys::within(attribute, |input| {
            let (mut ack, mut validate) = (None, None);
            let name = EVENT.read(input, |key, ident| {
                match key {
                    "ack" => ack = Some(keys::value(input, ident, "Receipt")?),
                    _ if cfg!(feature = "validate") => validate = Some(ident.span()),
                    _ => {
                        let text = "`validate` needs the feature `validate` of eventwire, and the crate `garde`";
                        return Err(Error::new(ident.span(), text));
                    }
                }
                Ok(())
            })?;
            if let Some(name) = &name {
                names::event(name)?;
            }
            Ok(Said { name, ack, validate })
        })
    }

    pub(crate) fn ack(&self) -> TokenStream {
        self.ack.as_ref().map_or_else(|| quote!(()), |ack| quote!(#ack))
    }
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let attribute = keys::only(&input.attrs, "event")?;
    match (&input.data, attribute) {
        (Data::Union(data), _) => return Err(Error::new(data.union_token.span, "a union can be no payload")),
        (Data::Enum(data), None)
            if data.variants.iter().any(|v| v.attrs.iter().any(|a| a.path().is_ident("event"))) =>
        {
            let text = "the variants are events of their own: write `#[derive(Events)]` in place of `Event`";
            return Err(Error::new(input.ident.span(), text));
        }
        _ => {}
    }
    let attribute = attribute.ok_or_else(|| Error::new(input.ident.span(), UNNAMED))?;
    let said = Said::read(attribute)?;
    let name = said.name.as_ref().ok_or_else(|| Error::new_spanned(attribute, UNNAMED))?;
    for parameter in &input.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            let text = "an event has no type parameters, which would be one name for several payloads: give each a type of its own";
            return Err(Error::new_spanned(parameter, text));
        }
    }
    let ack = said.ack();
    // A payload that has no such check is told of where one is asked for.
    let check = said.validate.map(|at| {
        quote_spanned! {at=>
            fn check(&self) -> ::core::result::Result<(), ::eventwire::Error> {
                ::eventwire::validate(self)
            }
        }
    });
    let ident = &input.ident;
    let (generics, arguments, conditions) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::eventwire::Event for #ident #arguments #conditions {
            const NAME: &'static str = #name;
            type Ack = #ack;
            #check
        }
    })
}

/// Says what is wrong, and nothing that would follow from there being no `Event`.
pub(crate) fn refused(input: &DeriveInput, error: &Error) -> TokenStream {
    let error = error.to_compile_error();
    let ident = &input.ident;
    let (generics, arguments, conditions) = input.generics.split_for_impl();
    quote! {
        #error
        #[automatically_derived]
        impl #generics ::eventwire::Event for #ident #arguments #conditions {
            const NAME: &'static str = "refused";
            type Ack = ();
        }
    }
}
