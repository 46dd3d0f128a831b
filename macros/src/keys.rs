//! What stands in an attribute's parentheses: perhaps a text, then `key` and `key = value`.

use std::collections::HashSet;

use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Attribute, Error, Ident, LitStr, Meta, Result, Token};

/// The text at the beginning, if there is one.
pub(crate) fn text(input: ParseStream<'_>) -> Result<Option<LitStr>> {
    if !input.peek(LitStr) {
        return Ok(None);
    }
    let text = input.parse()?;
    end_of_one(input)?;
    Ok(Some(text))
}

/// The rest: `take` reads what belongs to a key, which is one of those `known`.
pub(crate) fn each(
    input: ParseStream<'_>,
    attribute: &str,
    known: &[&str],
    mut take: impl FnMut(&str, &Ident) -> Result<()>,
) -> Result<()> {
    let mut seen = HashSet::new();
    while !input.is_empty() {
        if input.peek(LitStr) {
            return Err(input.error("the name stands first, and once"));
        }
        let key = input.call(Ident::parse_any)?;
        let name = key.to_string();
        if !known.contains(&name.as_str()) {
            let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
            let known = match known.as_slice() {
                [] => "takes no keys".to_owned(),
                [one] => format!("takes {one}"),
                [most @ .., last] => format!("takes {} and {last}", most.join(", ")),
            };
            return Err(Error::new(key.span(), format!("unknown key `{name}`: `#[{attribute}]` {known}")));
        }
        if !seen.insert(name.clone()) {
            return Err(Error::new(key.span(), format!("`{name}` is there twice")));
        }
        take(&name, &key)?;
        end_of_one(input)?;
    }
    Ok(())
}

/// `= value` after a key.
pub(crate) fn value<T: Parse>(input: ParseStream<'_>, key: &Ident, example: &str) -> Result<T> {
    if !input.peek(Token![=]) {
        return Err(Error::new(key.span(), format!("`{key}` needs a value: `{key} = {example}`")));
    }
    input.parse::<Token![=]>()?;
    let at = input.span();
    input.parse().map_err(|_| Error::new(at, format!("`{key}` needs a value such as `{key} = {example}`")))
}

fn end_of_one(input: ParseStream<'_>) -> Result<()> {
    if input.is_empty() {
        return Ok(());
    }
    let comma = input.parse::<Token![,]>();
    comma.map(drop).map_err(|error| Error::new(error.span(), "expected a comma"))
}

/// Reads an attribute's parentheses; one without any has none.
pub(crate) fn within<T>(attribute: &Attribute, read: impl Fn(ParseStream<'_>) -> Result<T>) -> Result<T> {
    match &attribute.meta {
        Meta::Path(_) => (|input: ParseStream<'_>| read(input)).parse2(Default::default()),
        Meta::List(list) => list.parse_args_with(|input: ParseStream<'_>| read(input)),
        Meta::NameValue(pair) => {
            let name = pair.path.get_ident().map(ToString::to_string).unwrap_or_default();
            Err(Error::new(pair.eq_token.span, format!("write `#[{name}(…)]`")))
        }
    }
}

/// The only attribute of a name.
pub(crate) fn only<'a>(attributes: &'a [Attribute], name: &str) -> Result<Option<&'a Attribute>> {
    let mut found = attributes.iter().filter(|attribute| attribute.path().is_ident(name));
    let first = found.next();
    match found.next() {
        Some(second) => Err(Error::new_spanned(second, format!("`#[{name}]` is there twice"))),
        None => Ok(first),
    }
}
