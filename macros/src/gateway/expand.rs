//! The calls that one would have written.
//!
//! What may be wrong with a type is asked in a form that names it, such as `<Receipt as IntoAck>::into_ack`: then the compiler points at
//! it, where the user wrote it, and says it once.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, ItemImpl, Type, parse_quote};

use super::argument::{Argument, Kind, inner, is};
use super::method::{Method, Options, Role, SelfArgument, taken};
use crate::names;

pub(super) fn gateway(gateway: &ItemImpl, emits: &[Type], methods: &[Method]) -> TokenStream {
    let this = &gateway.self_ty;
    let (generics, _, conditions) = gateway.generics.split_for_impl();
    let registrations = methods.iter().map(|method| {
        let cfgs = &method.cfgs;
        let calls = method.roles.iter().map(|(role, _)| registration(method, role));
        quote!(#(#cfgs)* { #(#calls)* })
    });
    let (events, rooms) = (events(methods), patterns(methods));
    let distinct = distinct(methods);
    let (of_all, of_each) = match (distinct.is_empty(), gateway.generics.params.is_empty()) {
        (true, _) => (None, None),
        (_, true) => (Some(quote!(const _: () = { #distinct };)), None),
        // A constant of its own knows no parameters.
        (_, false) => (None, Some(quote!(const { #distinct }))),
    };
    let io = if methods.is_empty() && emits.is_empty() { quote!(_) } else { quote!(io) };
    quote! {
        #of_all

        #[automatically_derived]
        impl #generics ::eventwire::Gateway for #this #conditions {
            const EVENTS: &'static [&'static str] = &[#(#events),*];
            const ROOMS: &'static [&'static str] = &[#(#rooms),*];

            fn register(self: ::std::sync::Arc<Self>, #io: &::eventwire::Io)
            where
                for<'__gateway> Self: ::core::marker::Send + ::core::marker::Sync + 'static,
            {
                #of_each
                #(io.emits::<#emits>();)*
                #(#registrations)*
            }
        }
    }
}

/// The name of an event: as it stands there, or that of the payload.
fn name(method: &Method, role: &Role) -> Option<TokenStream> {
    match (role, method.payload()) {
        (Role::On { name: Some(name), .. }, _) => Some(name.to_token_stream()),
        (Role::On { name: None, .. }, Some(payload)) => Some(quote!(<#payload as ::eventwire::Event>::NAME)),
        _ => None,
    }
}

fn events(methods: &[Method]) -> Vec<TokenStream> {
    let mut events = Vec::new();
    for method in methods {
        let cfgs = &method.cfgs;
        let of_method = method.roles.iter().filter_map(|(role, _)| name(method, role));
        events.extend(of_method.map(|name| quote!(#(#cfgs)* #name)));
    }
    events
}

fn patterns(methods: &[Method]) -> Vec<TokenStream> {
    let mut patterns = Vec::new();
    for method in methods {
        let cfgs = &method.cfgs;
        for (role, _) in &method.roles {
            if let Role::Room { pattern } = role {
                patterns.push(quote!(#(#cfgs)* #pattern));
            }
        }
    }
    patterns
}

/// Names that only the compiler knows, and those that may not be there, are held against the others by it.
fn distinct(methods: &[Method]) -> TokenStream {
    let mut checks = TokenStream::new();
    let mut before: Vec<(&Method, bool, TokenStream)> = Vec::new();
    for method in methods {
        for (role, _) in &method.roles {
            let Some(name) = name(method, role) else { continue };
            let is_literal = matches!(role, Role::On { name: Some(_), .. });
            for (other, other_is_literal, other_name) in &before {
                if is_literal && *other_is_literal && method.cfgs.is_empty() && other.cfgs.is_empty() {
                    continue;
                }
                let at = match (role, method.payload()) {
                    (Role::On { name: Some(name), .. }, _) => name.span(),
                    (_, payload) => payload.map_or(method.ident.span(), Spanned::span),
                };
                let check = names::distinct(at, &name, other_name, &taken(&other.ident, "handles this event"));
                let (cfgs, other_cfgs) = (&method.cfgs, &other.cfgs);
                checks.extend(quote!(#(#cfgs)* #(#other_cfgs)* { #check }));
            }
            before.push((method, is_literal, name));
        }
    }
    checks
}

/// The call that registers a method for one of its roles.
fn registration(method: &Method, role: &Role) -> TokenStream {
    let payload = method.payload().map_or_else(|| quote!(()), ToTokens::to_token_stream);
    let argument = |kind, ty: &TokenStream| Some((kind, ty.clone()));
    // What is wrong with the whole of it, as a future that is not `Send`, is told of the method.
    let on = |name| Ident::new(name, method.ident.span());
    let failed = quote!(return ::core::result::Result::Err(error));
    match role {
        Role::On { name, options } => {
            let event = quote!(<#payload as ::eventwire::Event>);
            let Answered { missing, told, types } = Answered::of(method, name.is_none().then_some(&event));
            // Registered under a name of its own, it is still checked as the payload of an event would be.
            let check = match (name, method.payload()) {
                (Some(_), None) => None,
                (Some(_), Some(_)) => Some(quote!(::eventwire::check_payload!(&payload))),
                (None, _) => Some(quote!(#event::check(&payload))),
            };
            let check = check.map(|check| quote!(if let ::core::result::Result::Err(error) = #check { #missing; }));
            let find = find(method, &missing);
            let closure = closure(method, argument(Kind::Payload, &payload), &quote!(#check #find #told));
            let (on, name) = (on("on"), self::name(method, role));
            quote!(io.#on::<#payload>(#name, #closure)#options #types;)
        }
        Role::Any { options } => {
            let Answered { missing, told, .. } = Answered::of(method, None);
            let find = find(method, &missing);
            let closure = closure(method, argument(Kind::Payload, &payload), &quote!(#find #told));
            let on = on(if is(&parse_quote!(#payload), "RawEvent") { "on_raw" } else { "on_any" });
            quote!(io.#on(#closure)#options;)
        }
        Role::Connect => {
            let (find, told) = (find(method, &failed), welcome(method));
            let (on, closure) = (on("on_connect"), closure(method, None, &quote!(#find #told)));
            quote!(io.#on(#closure);)
        }
        Role::Disconnect => {
            // Nobody is there to be answered.
            let missing = quote!({
                ::core::mem::drop(error);
                return;
            });
            let (find, call) = (find(method, &missing), call(method));
            let reason = argument(Kind::Reason, &quote!(::eventwire::DisconnectReason));
            let (on, closure) = (on("on_disconnect"), closure(method, reason, &quote!(#find #call)));
            quote!(io.#on(#closure);)
        }
        Role::Room { pattern } => {
            let told = through(method, &quote!(::eventwire::Verdict), &quote!(into_verdict));
            let find = find(method, &failed);
            let room = argument(Kind::Payload, &quote!(::std::string::String));
            let (on, closure) = (on("allow_if"), closure(method, room, &quote!(#find #told)));
            quote!(io.rooms(#pattern).#on(#closure);)
        }
    }
}

/// How what a method returns is answered.
struct Answered {
    /// What is done with the `error` of an argument that is missing.
    missing: TokenStream,
    /// The call, and what it answers.
    told: TokenStream,
    /// Tells the type of the answer, where the closure that is registered does not.
    types: TokenStream,
}

impl Answered {
    /// `event` is that whose `Ack` it is to be.
    fn of(method: &Method, event: Option<&TokenStream>) -> Answered {
        let missing = quote!(return ::eventwire::Answer::error(error));
        let nothing = quote_spanned!(method.ident.span()=> ());
        let returned = method.returned().map_or(nothing, ToTokens::to_token_stream);
        let call = call(method);
        if let Some(event) = event {
            let (call, made) = if method.returns_nothing() { (quote!(#call;), quote!(())) } else { (quote!(), call) };
            let of = match method.returns_impl() {
                true => quote!(::eventwire::AckFor::<#event::Ack>),
                false => quote!(<#returned as ::eventwire::AckFor<#event::Ack>>),
            };
            let types = quote!(.answers(::core::option::Option::Some(::core::any::type_name::<#event::Ack>())));
            return Answered { missing, told: quote!(#call #of::into_answer(#made)), types };
        }
        if method.returns_impl() {
            let missing = quote!(return ::eventwire::Ack::error(error));
            return Answered { missing, told: quote!(::eventwire::Ack::now(#call)), types: quote!() };
        }
        let types = quote!(.answers(<#returned as ::eventwire::IntoAck>::ack_type()));
        let told = match method.returns_nothing() {
            true => quote!(#call; ::eventwire::Answer::nothing()),
            false => quote!(<#returned as ::eventwire::IntoAck>::into_ack(#call)),
        };
        Answered { missing, told, types }
    }
}

/// The call, and whether the socket is welcome. The error of a connect handler is the crate's own: others become it.
fn welcome(method: &Method) -> TokenStream {
    let call = call(method);
    let Some(returned) = method.returned().filter(|_| !method.returns_nothing()) else {
        return quote!(#call; ::core::result::Result::Ok::<(), ::eventwire::Error>(()));
    };
    if !is(returned, "Result") {
        return through(method, &quote!(::eventwire::Welcome), &quote!(into_welcome));
    }
    let at = returned.span();
    match inner(returned).as_slice() {
        [ok, error] => {
            let welcome = quote_spanned! {at=>
                <::core::result::Result<#ok, ::eventwire::Error> as ::eventwire::Welcome>::into_welcome
            };
            // A closure: the function itself would be one more thing that is not there.
            quote!(#welcome(#call.map_err(|error| <#error as ::eventwire::IntoError>::into_error(error))))
        }
        _ => {
            let (result, error) = (quote_spanned!(at=> result), quote_spanned!(at=> error));
            let into_error = quote_spanned!(at=> ::eventwire::IntoError::into_error);
            let welcome = quote_spanned!(at=> ::eventwire::Welcome::into_welcome);
            quote! {
                let #result = match #call {
                    ::core::result::Result::Ok(ok) => ::core::result::Result::Ok(ok),
                    ::core::result::Result::Err(#error) => ::core::result::Result::Err(#into_error(#error)),
                };
                #welcome(#result)
            }
        }
    }
}

/// `<Returned as Trait>::function(call)`.
fn through(method: &Method, of: &TokenStream, function: &TokenStream) -> TokenStream {
    let call = call(method);
    match method.returned() {
        Some(returned) if !method.returns_impl() => quote!(<#returned as #of>::#function(#call)),
        _ => quote!(#of::#function(#call)),
    }
}

/// Finds the arguments of a method, one variable each.
fn find(method: &Method, missing: &TokenStream) -> TokenStream {
    let mut find = TokenStream::new();
    for (index, Argument { ty, kind }) in method.arguments.iter().enumerate() {
        let from_socket = quote!(<#ty as ::eventwire::FromSocket>::from_socket);
        let found = match kind {
            // The socket is moved: whatever is found by it was found before.
            Kind::Socket | Kind::Reason | Kind::Payload => continue,
            Kind::SocketId => quote!(socket.id()),
            Kind::Io => quote!(::core::clone::Clone::clone(socket.io())),
            Kind::Handshake => quote!(::core::clone::Clone::clone(socket.handshake())),
            Kind::Perhaps => quote!(#from_socket(&socket).unwrap_or_default()),
            Kind::Found => quote! {
                match #from_socket(&socket) {
                    ::core::result::Result::Ok(found) => found,
                    ::core::result::Result::Err(error) => #missing,
                }
            },
        };
        let variable = variable(index, *kind);
        find.extend(quote!(let #variable = #found;));
    }
    find
}

/// The call of a method, with what was found.
fn call(method: &Method) -> TokenStream {
    let this = match method.receiver {
        SelfArgument::None => None,
        SelfArgument::Reference => Some(quote!(&gateway)),
        SelfArgument::Arc => Some(quote!(gateway)),
    };
    let found = method.arguments.iter().enumerate().map(|(index, argument)| variable(index, argument.kind));
    let (ident, arguments) = (&method.ident, this.into_iter().chain(found));
    quote!(Self::#ident(#(#arguments),*).await)
}

fn variable(index: usize, kind: Kind) -> TokenStream {
    match kind {
        Kind::Reason => quote!(reason),
        Kind::Payload => quote!(payload),
        Kind::Socket => quote!(socket),
        _ => format_ident!("argument_{index}").into_token_stream(),
    }
}

/// `|socket, argument|`, with the gateway cloned for each call.
fn closure(method: &Method, argument: Option<(Kind, TokenStream)>, body: &TokenStream) -> TokenStream {
    let has = |wanted: fn(Kind) -> bool| method.arguments.iter().any(|argument| wanted(argument.kind));
    let socket = has(|kind| !matches!(kind, Kind::Reason | Kind::Payload)).then(|| quote!(socket));
    let socket = socket.unwrap_or_else(|| quote!(_));
    let argument = argument.map(|(kind, ty)| {
        let is_taken = method.arguments.iter().any(|argument| argument.kind == kind);
        let name = if is_taken { variable(0, kind) } else { quote!(_) };
        quote!(#name: #ty)
    });
    let clone = |of: TokenStream| match method.receiver {
        SelfArgument::None => None,
        _ => Some(quote!(let gateway = ::std::sync::Arc::clone(&#of);)),
    };
    let (kept, cloned) = (clone(quote!(self)), clone(quote!(gateway)));
    quote! {{
        #kept
        move |#socket: ::eventwire::Socket, #argument| {
            #cloned
            async move { #body }
        }
    }}
}

impl ToTokens for Options {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        if let Some(concurrent) = self.concurrent {
            tokens.extend(quote!(.concurrent(#concurrent)));
        }
        if let Some(timeout) = self.timeout {
            let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            tokens.extend(quote!(.timeout(::core::time::Duration::from_millis(#millis))));
        }
    }
}
