//! `#[derive(Events)]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Ident, LitStr, Result, Type, Variant};

use crate::event::{Said, UNNAMED};
use crate::mistakes::Mistakes;
use crate::{keys, names};

/// One event.
struct OneOf<'a> {
    variant: &'a Ident,
    payload: Option<&'a Type>,
    name: Name<'a>,
    ack: TokenStream,
    validate: Option<Span>,
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
        let name = name.ok_or_else(|| match attribute {
            Some(attribute) => Error::new_spanned(attribute, UNNAMED),
            None => Error::new(variant.ident.span(), UNNAMED),
        })?;
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
            Name::Literal(_) => quote!(event.decode::<#payload>()),
            Name::Of(_) => quote!(event.decode_event::<#payload>()),
        };
        let check = self.validate.map(|at| {
            let of_payload = quote_spanned!(at=> &payload);
            quote!(::eventwire::validate(#of_payload)?;)
        });
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
        return Err(Error::new_spanned(
            attribute,
            "the events are the variants: write `#[event(\"name\")]` above each",
        ));
    }
    if data.variants.is_empty() {
        let text = "this enum has no variants, and thus no events: write one with `#[event(\"name\")]` above it";
        return Err(Error::new(input.ident.span(), text));
    }
    let mut events: Vec<OneOf<'_>> = Vec::new();
    let mut mistakes = Mistakes::default();
    for variant in &data.variants {
        let Some(event) = mistakes.right(OneOf::read(variant)) else { continue };
        match events.iter().find(|other| same(&event.name, &other.name)) {
            Some(other) => mistakes.say(Error::new_spanned(&event.name, taken(other.variant))),
            None => events.push(event),
        }
    }
    mistakes.none()?;

    let ident = &input.ident;
    let (generics, arguments, conditions) = input.generics.split_for_impl();
    let given: Vec<_> = conditions.iter().flat_map(|conditions| &conditions.predicates).collect();
    // With a lifetime that says nothing, the bound may be one that does not hold: then there is nothing to receive, or to emit.
    let payloads = || events.iter().filter_map(|event| event.payload);
    let any = quote!(for<'__payload>);
    let is_read =
        |payload: &Type| quote_spanned!(payload.span()=> #any #payload: ::eventwire::__private::DeserializeOwned);
    let is_written = |payload: &Type| quote_spanned!(payload.span()=> #any #payload: ::eventwire::__private::Serialize);
    let (received, emitted) = (payloads().map(is_read), payloads().map(is_written));
    let (received, emitted) = (quote!(where #(#given,)* #(#received,)*), quote!(where #(#given,)* #(#emitted,)*));
    // These are told as what the bounds are of.
    let as_events = quote_spanned!(ident.span()=> ::eventwire::Events);
    let as_emitted = quote_spanned!(ident.span()=> ::eventwire::EmitEvent);
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
    let distinct = Some(distinct(&events)).filter(|distinct| !distinct.is_empty());
    // A constant of its own knows no parameters. With a lifetime it can only be emitted.
    let (is_plain, is_received) = (input.generics.params.is_empty(), input.generics.lifetimes().next().is_none());
    let of_all = distinct.as_ref().filter(|_| is_plain).map(|distinct| quote!(const _: () = { #distinct };));
    let when_emitted = distinct.as_ref().filter(|_| !is_plain).map(|distinct| quote!(const { #distinct }));
    let when_received = when_emitted.as_ref().filter(|_| is_received);
    Ok(quote! {
        #of_all

        #[automatically_derived]
        impl #generics #as_events for #ident #arguments #received {
            fn events() -> ::std::vec::Vec<::eventwire::EventType> {
                ::std::vec![#(#entries),*]
            }

            fn decode(event: &::eventwire::RawEvent) -> ::core::result::Result<Self, ::eventwire::Error> {
                #when_received
                #(#decode)*
                ::core::result::Result::Err(::eventwire::Error::new(
                    ::eventwire::code::UNKNOWN_EVENT,
                    "nobody handles this event",
                ))
            }
        }

        // Or the compiler would say that there is one, and not that it does not hold.
        #[diagnostic::do_not_recommend]
        #[automatically_derived]
        impl #generics #as_emitted for #ident #arguments #emitted {
            fn emitted() -> ::std::vec::Vec<::eventwire::EventType> {
                ::std::vec![#(#entries),*]
            }

            fn name(&self) -> &'static str {
                #when_emitted
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

/// What is said of a name that another variant has.
fn taken(other: &Ident) -> String {
    format!("`{other}` has this name already: give each event one of its own")
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
    let is_literal = |event: &OneOf<'_>| matches!(event.name, Name::Literal(_));
    let mut checks = TokenStream::new();
    for (index, event) in events.iter().enumerate() {
        for other in events[..index].iter().filter(|other| !is_literal(event) || !is_literal(other)) {
            checks.extend(names::distinct(event.variant.span(), &event.name, &other.name, &taken(other.variant)));
        }
    }
    checks
}

/// Says what is wrong, and nothing that would follow from there being no `Events`.
pub(crate) fn refused(input: &DeriveInput, error: &Error) -> TokenStream {
    let error = error.to_compile_error();
    let ident = &input.ident;
    let (generics, arguments, conditions) = input.generics.split_for_impl();
    // What is no enum may well be one event, which can be emitted.
    let emitted = matches!(input.data, Data::Enum(_)).then(|| {
        quote! {
            #[automatically_derived]
            impl #generics ::eventwire::EmitEvent for #ident #arguments #conditions {
                fn emitted() -> ::std::vec::Vec<::eventwire::EventType> {
                    ::core::unreachable!()
                }
                fn name(&self) -> &'static str {
                    ::core::unreachable!()
                }
                fn serialize_data<__S: ::eventwire::__private::Serializer>(
                    &self,
                    _: __S,
                ) -> ::core::result::Result<__S::Ok, __S::Error> {
                    ::core::unreachable!()
                }
            }
        }
    });
    quote! {
        #error
        #emitted
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
