//! `#[derive(Events)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Ident, LitStr, Result, Token, Type, Variant};

use crate::event::Said;
use crate::keys;

/// One event.
struct OneOf<'a> {
    variant: &'a Ident,
    payload: Option<&'a Type>,
    name: Name<'a>,
    ack: TokenStream,
    validate: Option<TokenStream>,
}

enum Name<'a> {
    Literal(LitStr),
    /// That of the payload.
    Of(&'a Type),
}

impl ToTokens for Name<'_> {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Name::Literal(name) => name.to_tokens(tokens),
            Name::Of(payload) => {
                tokens.extend(quote_spanned!(payload.span()=> <#payload as ::eventwire::Event>::NAME));
            }
        }
    }
}

impl<'a> OneOf<'a> {
    fn read(variant: &'a Variant) -> Result<OneOf<'a>> {
        let attribute = keys::only(&variant.attrs, "event")?;
        let said = attribute.map(Said::read).transpose()?;
        let payload = match &variant.fields {
            Fields::Unit => None,
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => fields.unnamed.first().map(|field| &field.ty),
            fields => {
                let ident = &variant.ident;
                let text = format!("an event has one payload: give it a type of its own, `{ident}({ident})`");
                return Err(Error::new_spanned(fields, text));
            }
        };
        let (name, ack, validate) = match (said, payload) {
            (Some(said @ Said { name: Some(_), .. }), _) => {
                let ack = said.ack();
                (said.name.map(Name::Literal), ack, said.validate)
            }
            (None, Some(payload)) => (Some(Name::Of(payload)), quote!(<#payload as ::eventwire::Event>::Ack), None),
            (Some(_), _) | (None, None) => (None, TokenStream::new(), None),
        };
        let at = attribute.map_or(variant.ident.span(), Spanned::span);
        let name = name.ok_or_else(|| Error::new(at, "an event needs a name: `#[event(\"name\")]`"))?;
        Ok(OneOf { variant: &variant.ident, payload, name, ack, validate })
    }

    /// Its entry in the list of what there is.
    fn entry(&self) -> TokenStream {
        let (name, ack) = (&self.name, &self.ack);
        let payload = self.payload.map_or_else(|| quote!(()), ToTokens::to_token_stream);
        quote!(::eventwire::EventType::new::<#payload, #ack>(#name))
    }

    /// Reads it, where that is its name.
    fn decode(&self) -> TokenStream {
        let (variant, name) = (self.variant, &self.name);
        let Some(payload) = self.payload else {
            return quote! {
                if event.event() == #name {
                    return event.decode::<()>().map(|()| Self::#variant);
                }
            };
        };
        let read = match name {
            Name::Literal(_) => quote_spanned!(payload.span()=> event.decode::<#payload>()),
            Name::Of(_) => quote_spanned!(payload.span()=> event.decode_event::<#payload>()),
        };
        let check = self.validate.as_ref().map(|validate| quote!(#validate(&payload)?;));
        // A payload with a check of its own is checked, whatever the event is called here.
        let own = matches!(name, Name::Literal(_)).then(|| quote!(::eventwire::check_payload!(&payload)?;));
        quote! {
            if event.event() == #name {
                let payload = #read?;
                #own
                #check
                return ::core::result::Result::Ok(Self::#variant(payload));
            }
        }
    }
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        let text =
            "`Events` is for an enum, each variant of which is an event; for one event there is `#[derive(Event)]`";
        return Err(Error::new(input.ident.span(), text));
    };
    if let Some(attribute) = keys::only(&input.attrs, "event")? {
        return Err(Error::new_spanned(attribute, "names stand above the variants"));
    }
    if data.variants.is_empty() {
        return Err(Error::new(input.ident.span(), "there are no variants: an event is one"));
    }
    let mut events: Vec<OneOf<'_>> = Vec::new();
    let mut errors: Option<Error> = None;
    let mut say = |error: Error| match &mut errors {
        Some(errors) => errors.combine(error),
        None => errors = Some(error),
    };
    for variant in &data.variants {
        match OneOf::read(variant) {
            Ok(event) => match events.iter().find(|other| same(&event.name, &other.name)) {
                Some(other) => {
                    let text = format!("`{}` has this name already", other.variant);
                    say(Error::new_spanned(&event.name, text));
                }
                None => events.push(event),
            },
            Err(error) => say(error),
        }
    }
    if let Some(errors) = errors {
        return Err(errors);
    }

    let ident = &input.ident;
    let (generics, arguments, conditions) = input.generics.split_for_impl();
    let given = conditions.map(|conditions| &conditions.predicates);
    // With a lifetime that says nothing, the bound may be one that does not hold: then there is nothing to receive, or to emit.
    let payloads: Vec<&Type> = events.iter().filter_map(|event| event.payload).collect();
    let bounds = |bound: TokenStream| -> TokenStream {
        let given = given.map(|given: &Punctuated<_, Token![,]>| given.iter()).into_iter().flatten();
        quote!(where #(#given,)* #(for<'__payload> #payloads: #bound,)*)
    };
    let received = bounds(quote!(::eventwire::__private::DeserializeOwned));
    let emitted = bounds(quote!(::eventwire::__private::Serialize));
    let entries: Vec<TokenStream> = events.iter().map(OneOf::entry).collect();
    let decode = events.iter().map(OneOf::decode);
    let named = events.iter().map(|OneOf { variant, payload, name, .. }| match payload {
        Some(_) => quote!(Self::#variant(_) => #name),
        None => quote!(Self::#variant => #name),
    });
    let serialized = events.iter().map(|OneOf { variant, payload, .. }| match payload {
        Some(_) => quote!(Self::#variant(payload) => ::eventwire::__private::Serialize::serialize(payload, serializer)),
        None => quote!(Self::#variant => ::eventwire::__private::Serialize::serialize(&(), serializer)),
    });
    let distinct = if input.generics.params.is_empty() { distinct(&events) } else { TokenStream::new() };
    Ok(quote! {
        #distinct

        #[automatically_derived]
        impl #generics ::eventwire::Events for #ident #arguments #received {
            fn events() -> ::std::vec::Vec<::eventwire::EventType> {
                ::std::vec![#(#entries),*]
            }

            fn decode(event: &::eventwire::RawEvent) -> ::core::result::Result<Self, ::eventwire::Error> {
                #(#decode)*
                ::core::result::Result::Err(::eventwire::Error::new(
                    ::eventwire::code::UNKNOWN_EVENT,
                    "nobody handles this event",
                ))
            }
        }

        #[automatically_derived]
        impl #generics ::eventwire::EmitEvent for #ident #arguments #emitted {
            fn emitted() -> ::std::vec::Vec<::eventwire::EventType> {
                ::std::vec![#(#entries),*]
            }

            fn name(&self) -> &'static str {
                match *self {
                    #(#named,)*
                }
            }

            fn serialize_data<__S: ::eventwire::__private::Serializer>(
                &self,
                serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                match self {
                    #(#serialized,)*
                }
            }
        }
    })
}

fn same(a: &Name<'_>, b: &Name<'_>) -> bool {
    match (a, b) {
        (Name::Literal(a), Name::Literal(b)) => a.value() == b.value(),
        // The compiler compares those: see `distinct`.
        _ => false,
    }
}

/// Names that only the compiler knows are held against the others by it.
fn distinct(events: &[OneOf<'_>]) -> TokenStream {
    let mut checks = TokenStream::new();
    for (index, event) in events.iter().enumerate() {
        let (name, before) = (&event.name, events[..index].iter().map(|event| &event.name));
        let is_told_already = matches!(name, Name::Literal(_))
            && events[..index].iter().all(|event| matches!(event.name, Name::Literal(_)));
        if index > 0 && !is_told_already {
            let at = event.variant.span();
            checks.extend(quote_spanned!(at=> const _: () = ::eventwire::__private::new_name(#name, &[#(#before),*]);));
        }
    }
    checks
}

/// Says what is wrong, and nothing that would follow from there being no `Events`.
pub(crate) fn refused(input: &DeriveInput, error: &Error) -> TokenStream {
    let error = error.to_compile_error();
    let ident = &input.ident;
    let (generics, arguments, conditions) = input.generics.split_for_impl();
    quote! {
        #error
        #[automatically_derived]
        impl #generics ::eventwire::Events for #ident #arguments #conditions {
            fn events() -> ::std::vec::Vec<::eventwire::EventType> {
                ::core::unreachable!()
            }
            fn decode(_: &::eventwire::RawEvent) -> ::core::result::Result<Self, ::eventwire::Error> {
                ::core::unreachable!()
            }
        }
    }
}
