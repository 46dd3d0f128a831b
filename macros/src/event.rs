//! `#[derive(Event)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, GenericParam, LitStr, Result, Type};

use crate::{keys, names};

/// What `#[event(…)]` says.
pub(crate) struct Said {
    pub(crate) name: Option<LitStr>,
    pub(crate) ack: Option<Type>,
    /// The call that checks a payload, if one is to be.
    pub(crate) validate: Option<TokenStream>,
}

impl Said {
    pub(crate) fn read(attribute: &Attribute) -> Result<Said> {
        keys::within(attribute, |input| {
            let name = keys::text(input)?;
            if let Some(name) = &name {
                names::event(name)?;
            }
            let (mut ack, mut validate) = (None, None);
            keys::each(input, "event", &["ack", "validate"], |key, ident| {
                match key {
                    "ack" => ack = Some(keys::value(input, ident, "Type")?),
                    _ if cfg!(feature = "validate") => {
                        validate = Some(quote_spanned!(ident.span()=> ::eventwire::validate));
                    }
                    _ => {
                        let text = "`validate` needs the feature `validate` of eventwire, and the crate `garde`";
                        return Err(Error::new(ident.span(), text));
                    }
                }
                Ok(())
            })?;
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
            let text = "an enum whose variants are events is `#[derive(Events)]`";
            return Err(Error::new(input.ident.span(), text));
        }
        _ => {}
    }
    let unnamed = "an event needs a name: `#[event(\"name\")]`";
    let attribute = attribute.ok_or_else(|| Error::new(input.ident.span(), unnamed))?;
    let said = Said::read(attribute)?;
    let name = said.name.as_ref().ok_or_else(|| Error::new(attribute.span(), unnamed))?;
    for parameter in &input.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            let text = "an event has no type parameters: it would be one name for several payloads";
            return Err(Error::new_spanned(parameter, text));
        }
    }
    let ack = said.ack();
    let check = said.validate.map(|validate| {
        quote! {
            fn check(&self) -> ::core::result::Result<(), ::eventwire::Error> {
                #validate(self)
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
