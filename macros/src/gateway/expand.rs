//! The calls that one would have written.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, ItemImpl, Type, parse_quote};

use super::argument::{Argument, Kind, is};
use super::method::{Method, Options, Role, SelfArgument};

pub(super) fn gateway(gateway: &ItemImpl, emits: &[Type], methods: &[Method]) -> TokenStream {
    let this = &gateway.self_ty;
    let (generics, _, conditions) = gateway.generics.split_for_impl();
    let registrations = methods.iter().map(|method| {
        let cfgs = &method.cfgs;
        let calls = method.roles.iter().map(|(role, at)| registration(method, role, *at));
        quote!(#(#cfgs)* { #(#calls)* })
    });
    let (events, rooms) = (names(methods), patterns(methods));
    let distinct = gateway.generics.params.is_empty().then(|| distinct(methods));
    let io = if methods.is_empty() && emits.is_empty() { quote!(_) } else { quote!(io) };
    quote! {
        #distinct

        #[automatically_derived]
        impl #generics ::eventwire::Gateway for #this #conditions {
            const EVENTS: &'static [&'static str] = &[#(#events),*];
            const ROOMS: &'static [&'static str] = &[#(#rooms),*];

            fn register(self: ::std::sync::Arc<Self>, #io: &::eventwire::Io) {
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
        (Role::On { name: None, .. }, Some(payload)) => {
            Some(quote_spanned!(payload.span()=> <#payload as ::eventwire::Event>::NAME))
        }
        _ => None,
    }
}

fn names(methods: &[Method]) -> Vec<TokenStream> {
    let mut names = Vec::new();
    for method in methods {
        let cfgs = &method.cfgs;
        let of_method = method.roles.iter().filter_map(|(role, _)| name(method, role));
        names.extend(of_method.map(|name| quote!(#(#cfgs)* #name)));
    }
    names
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

/// Has the compiler hold names that are payloads' against those before them.
fn distinct(methods: &[Method]) -> TokenStream {
    let mut checks = TokenStream::new();
    let mut before: Vec<TokenStream> = Vec::new();
    let mut knows_all = true;
    for method in methods {
        let cfgs = &method.cfgs;
        for (role, _) in &method.roles {
            let Some(name) = name(method, role) else { continue };
            let is_payloads = matches!(role, Role::On { name: None, .. });
            knows_all &= !is_payloads;
            if !knows_all && !before.is_empty() {
                let at = method.payload().filter(|_| is_payloads).map_or(method.ident.span(), Spanned::span);
                checks.extend(quote_spanned! {at=>
                    #(#cfgs)* const _: () = ::eventwire::__private::new_name(#name, &[#(#before),*]);
                });
            }
            before.push(quote!(#(#cfgs)* #name));
        }
    }
    checks
}

/// The call that registers a method for one of its roles.
fn registration(method: &Method, role: &Role, at: Span) -> TokenStream {
    let payload = method.payload().map_or_else(|| quote!(()), ToTokens::to_token_stream);
    match role {
        Role::On { name: Some(name), options } => {
            let on = quote_spanned!(payload.span()=> io.on::<#payload>);
            // Registered under a name of its own, it is still checked as the payload of an event would be.
            let check = method.payload().is_some().then(|| quote!(::eventwire::check_payload!(&payload)));
            let handler = handler(method, &payload, check);
            quote!(#on(#name, #handler)#options;)
        }
        Role::On { name: None, options } => {
            let on = quote_spanned!(payload.span()=> io.on_event::<#payload>);
            let handler = handler(method, &payload, None);
            quote!(#on(#handler)#options;)
        }
        Role::Any { options } => {
            let on = if is(&parse_quote!(#payload), "RawEvent") { "on_raw" } else { "on_any" };
            let (on, handler) = (Ident::new(on, at), handler(method, &payload, None));
            quote!(io.#on(#handler)#options;)
        }
        Role::Connect => {
            let Call { find, call, may_miss } = Call::of(method, &quote!(return ::core::result::Result::Err(error)));
            // The error of a connect handler is the crate's own: others become it.
            let told = match method.returned() {
                Some(returned) if is(returned, "Result") => quote!(#call.map_err(::eventwire::IntoError::into_error)),
                _ if may_miss => quote!(#call; ::core::result::Result::Ok::<(), ::eventwire::Error>(())),
                _ => call,
            };
            let closure = closure(method, None, &quote!(#find #told));
            quote!(io.on_connect(#closure);)
        }
        Role::Disconnect => {
            // Nobody is there to be answered.
            let Call { find, call, .. } = Call::of(
                method,
                &quote!({
                    ::core::mem::drop(error);
                    return;
                }),
            );
            let closure =
                closure(method, Some((Kind::Reason, quote!(::eventwire::DisconnectReason))), &quote!(#find #call));
            quote!(io.on_disconnect(#closure);)
        }
        Role::Room { pattern } => {
            let Call { find, call, .. } = Call::of(method, &quote!(return ::core::result::Result::Err(error)));
            let verdict = quote_spanned!(answered_at(method)=> ::eventwire::Verdict::into_verdict);
            let room = Some((Kind::Payload, quote!(::std::string::String)));
            let closure = closure(method, room, &quote!(#find #verdict(#call)));
            quote!(io.rooms(#pattern).allow_if(#closure);)
        }
    }
}

/// The closure that handles an event.
fn handler(method: &Method, payload: &TokenStream, check: Option<TokenStream>) -> TokenStream {
    let Call { find, call, may_miss } = Call::of(method, &quote!(return ::eventwire::Ack::error(error)));
    let now = quote_spanned!(answered_at(method)=> ::eventwire::Ack::now);
    let told = match may_miss || check.is_some() {
        true if method.returns_nothing() => quote!(#call; #now(())),
        true => quote!(#now(#call)),
        false => call,
    };
    let check = check.map(|check| {
        quote! {
            if let ::core::result::Result::Err(error) = #check {
                return ::eventwire::Ack::error(error);
            }
        }
    });
    closure(method, Some((Kind::Payload, payload.clone())), &quote!(#check #find #told))
}

/// Where an answer of the wrong type is to be told.
fn answered_at(method: &Method) -> Span {
    method.returned().map_or(method.ident.span(), Spanned::span)
}

/// Finding the arguments of a method, and calling it.
struct Call {
    find: TokenStream,
    call: TokenStream,
    /// Whether an argument may be missing.
    may_miss: bool,
}

impl Call {
    /// `missing` is what is done with the `error` of an argument that is missing.
    fn of(method: &Method, missing: &TokenStream) -> Call {
        let (mut find, mut may_miss) = (TokenStream::new(), false);
        let mut arguments = match method.receiver {
            SelfArgument::None => Vec::new(),
            SelfArgument::Reference => vec![quote!(&gateway)],
            SelfArgument::Arc => vec![quote!(gateway)],
        };
        for (index, Argument { ty, kind }) in method.arguments.iter().enumerate() {
            let from_socket = quote_spanned!(ty.span()=> <#ty as ::eventwire::FromSocket>::from_socket);
            let found = match kind {
                Kind::Socket | Kind::Reason | Kind::Payload => {
                    // The socket is moved: whatever is found by it was found before.
                    arguments.push(variable(*kind));
                    continue;
                }
                Kind::SocketId => quote!(socket.id()),
                Kind::Io => quote!(::core::clone::Clone::clone(socket.io())),
                Kind::Handshake => quote!(::core::clone::Clone::clone(socket.handshake())),
                Kind::Perhaps => quote!(#from_socket(&socket).unwrap_or_default()),
                Kind::Found => {
                    may_miss = true;
                    quote! {
                        match #from_socket(&socket) {
                            ::core::result::Result::Ok(found) => found,
                            ::core::result::Result::Err(error) => #missing,
                        }
                    }
                }
            };
            let argument = format_ident!("argument_{index}");
            find.extend(quote!(let #argument = #found;));
            arguments.push(argument.into_token_stream());
        }
        let ident = &method.ident;
        Call { find, call: quote!(Self::#ident(#(#arguments),*).await), may_miss }
    }
}

fn variable(kind: Kind) -> TokenStream {
    match kind {
        Kind::Reason => quote!(reason),
        Kind::Payload => quote!(payload),
        _ => quote!(socket),
    }
}

/// `|socket, argument|`, with the gateway cloned for each call.
fn closure(method: &Method, argument: Option<(Kind, TokenStream)>, body: &TokenStream) -> TokenStream {
    let has = |wanted: fn(Kind) -> bool| method.arguments.iter().any(|argument| wanted(argument.kind));
    let socket = has(|kind| !matches!(kind, Kind::Reason | Kind::Payload)).then(|| quote!(socket));
    let socket = socket.unwrap_or_else(|| quote!(_));
    let argument = argument.map(|(kind, ty)| {
        let is_taken = method.arguments.iter().any(|argument| argument.kind == kind);
        let name = if is_taken { variable(kind) } else { quote!(_) };
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
