//! `#[derive(IntoAck)]` and `#[derive(EventError)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Ident, LitStr, Path, Result, Type};

use crate::keys::{self, Takes};
use crate::mistakes::Mistakes;
use crate::names;

const ERROR_CODE: Takes =
    Takes { attribute: "error_code", text: Some("code"), keys: &["details", "message", "logged", "transparent"] };

pub(crate) fn into_ack(input: &DeriveInput) -> TokenStream {
    let ident = &input.ident;
    let mut generics = input.generics.clone();
    if generics.type_params().next().is_some() {
        let (_, arguments, _) = input.generics.split_for_impl();
        let is_written = syn::parse_quote!(#ident #arguments: ::eventwire::__private::Serialize);
        generics.make_where_clause().predicates.push(is_written);
    }
    let (generics, arguments, conditions) = generics.split_for_impl();
    let value = quote_spanned!(ident.span()=> ::eventwire::Answer::value::<Self>);
    quote! {
        #[automatically_derived]
        impl #generics ::eventwire::IntoAck for #ident #arguments #conditions {
            fn into_ack(self) -> ::eventwire::Answer {
                #value(&self)
            }
        }
    }
}

/// What `#[error_code(…)]` says.
enum Said {
    Transparent(Ident),
    Code { code: LitStr, message: Option<LitStr>, details: Option<Ident>, logged: Option<Ident> },
}

impl Said {
    fn read(attribute: &Attribute) -> Result<Said> {
        keys::within(attribute, |input| {
            let (mut message, mut details, mut logged, mut transparent) = (None, None, None, None);
            let code = ERROR_CODE.read(input, |key, ident| {
                match key {
                    "details" => details = Some(ident.clone()),
                    "message" => message = Some(keys::value(input, ident, "\"text\"")?),
                    "logged" => logged = Some(ident.clone()),
                    _ => transparent = Some(ident.clone()),
                }
                Ok(())
            })?;
            if let Some(code) = &code {
                names::code(code)?;
            }
            match (code, transparent) {
                (Some(code), None) => Ok(Said::Code { code, message, details, logged }),
                (None, Some(transparent)) if message.is_none() && details.is_none() && logged.is_none() => {
                    Ok(Said::Transparent(transparent))
                }
                (_, Some(transparent)) => Err(Error::new(
                    transparent.span(),
                    "`transparent` stands alone: the code, the message and the details are those of the field",
                )),
                (None, None) => Err(Error::new_spanned(attribute, UNCODED)),
            }
        })
    }
}

const UNCODED: &str = "an error needs a code, such as `#[error_code(\"out_of_stock\")]`";

/// The type that is derived for.
struct Whole<'a> {
    ident: &'a Ident,
    ty: TokenStream,
}

/// One variant, or the struct.
fn arm(of: &Whole<'_>, path: &Path, fields: &Fields, said: &Said) -> Result<TokenStream> {
    let (code, message, details, logged) = match said {
        Said::Transparent(ident) => {
            let mut inner = fields.iter();
            let (Some(field), None) = (inner.next(), inner.next()) else {
                let text = "`transparent` is for one field, the error that is told: give this one a code of its own";
                return Err(Error::new(ident.span(), text));
            };
            let ty = &field.ty;
            let pattern = match &field.ident {
                Some(name) => quote!(#path { #name: inner }),
                None => quote!(#path(inner)),
            };
            return Ok(quote!(#pattern => <#ty as ::eventwire::IntoError>::into_error(inner),));
        }
        Said::Code { code, message, details, logged } => (code, message, details, logged),
    };
    // What is told by `Display` is told of the whole error.
    let (ty, has_message) = (&of.ty, quote_spanned!(of.ident.span()=> ::eventwire::HasMessage));
    let text = quote!(<#ty as #has_message>::text(error));
    let told = message.as_ref().map_or_else(|| text.clone(), |message| quote!(#message));
    let whole = (message.is_none() || logged.is_some()).then(|| quote!(ref error @));
    let log = logged.as_ref().map(|_| quote!(::eventwire::__private::log(#code, &#text);));
    let make = quote!(::eventwire::Error::new(#code, #told));
    let Some(details) = details else {
        return Ok(quote!(#whole #path { .. } => { #log #make }));
    };
    let at = details.span();
    match fields {
        Fields::Unit => Err(Error::new(at, "there are no fields: leave `details` away")),
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            let only = fields.unnamed.iter().map(|field| json(&field.ty, &quote!(only)));
            Ok(quote!(#whole #path(ref only) => { #log #make.with_details(#(#only)*) }))
        }
        Fields::Unnamed(_) => Err(Error::new(at, "`details` are an object: give the fields names")),
        Fields::Named(fields) => {
            let names: Vec<&Ident> = fields.named.iter().filter_map(|field| field.ident.as_ref()).collect();
            let bound: Vec<Ident> = (0..names.len()).map(|index| format_ident!("field_{index}")).collect();
            let keys = names.iter().map(|name| name.unraw().to_string());
            let values = fields.named.iter().zip(&bound).map(|(field, bound)| json(&field.ty, &quote!(#bound)));
            Ok(quote! {
                #whole #path { #(#names: ref #bound),* } => {
                    #log
                    #make.with_details(::eventwire::__private::object([#((#keys, #values)),*]))
                }
            })
        }
    }
}

/// A field as JSON. Its type is named, so that the compiler speaks of the field where it is not `Serialize`.
fn json(ty: &Type, field: &TokenStream) -> TokenStream {
    let written = quote!(<#ty as ::eventwire::__private::Serialize>::serialize(#field, ::eventwire::__private::ToJson));
    quote!(::eventwire::__private::json(#written))
}

pub(crate) fn event_error(input: &DeriveInput) -> Result<TokenStream> {
    let of_all = keys::only(&input.attrs, "error_code")?.map(Said::read).transpose()?;
    let ident = &input.ident;
    let (generics, arguments, conditions) = input.generics.split_for_impl();
    let whole = Whole { ident, ty: quote!(#ident #arguments) };
    let arms = match &input.data {
        Data::Struct(data) => {
            let said = of_all.ok_or_else(|| Error::new(ident.span(), UNCODED))?;
            vec![arm(&whole, &syn::parse_quote!(#ident), &data.fields, &said)?]
        }
        Data::Enum(data) => {
            let mut mistakes = Mistakes::default();
            let arms = data.variants.iter().map(|variant| {
                let name = &variant.ident;
                let own = keys::only(&variant.attrs, "error_code")?.map(Said::read).transpose()?;
                let said = own.as_ref().or(of_all.as_ref()).ok_or_else(|| Error::new(name.span(), UNCODED))?;
                arm(&whole, &syn::parse_quote!(#ident::#name), &variant.fields, said)
            });
            let arms = arms.filter_map(|arm| mistakes.right(arm)).collect();
            mistakes.none()?;
            arms
        }
        Data::Union(data) => return Err(Error::new(data.union_token.span, "a union can be no error")),
    };
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::core::convert::From<#ident #arguments> for ::eventwire::Error #conditions {
            fn from(error: #ident #arguments) -> Self {
                match error {
                    #(#arms)*
                }
            }
        }
    })
}

/// Says what is wrong, and nothing that would follow from there being no code.
pub(crate) fn refused(input: &DeriveInput, error: &Error) -> TokenStream {
    let error = error.to_compile_error();
    let ident = &input.ident;
    let (generics, arguments, conditions) = input.generics.split_for_impl();
    quote! {
        #error
        #[automatically_derived]
        impl #generics ::core::convert::From<#ident #arguments> for ::eventwire::Error #conditions {
            fn from(_: #ident #arguments) -> Self {
                ::core::unreachable!()
            }
        }
    }
}
