//! What stands in an attribute's parentheses: perhaps a text, then `key` and `key = value`.

use std::collections::HashSet;

use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Attribute, Error, Ident, LitStr, Meta, Result, Token};

/// What an attribute takes.
pub(crate) struct Takes {
    pub(crate) attribute: &'static str,
    /// What the text at the beginning is, where there may be one.
    pub(crate) text: Option<&'static str>,
    pub(crate) keys: &'static [&'static str],
}

impl Takes {
    /// Reads the text, if there is one, and has `take` read what belongs to each key.
    pub(crate) fn read(
        &self,
        input: ParseStream<'_>,
        mut take: impl FnMut(&str, &Ident) -> Result<()>,
    ) -> Result<Option<LitStr>> {
        let mut text = None;
        if self.text.is_some() && input.peek(LitStr) {
            text = Some(input.parse()?);
            end_of_one(input)?;
        }
        let mut seen = HashSet::new();
        while !input.is_empty() {
            if input.peek(LitStr) {
                return Err(input.error(match self.text {
                    Some(text) => format!("the {text} stands first, and once"),
                    None => format!("`#[{}]` takes no name", self.attribute),
                }));
            }
            let key = input.call(Ident::parse_any)?;
            let name = key.to_string();
            if !self.keys.contains(&name.as_str()) {
                let is_text = text.is_none() && !input.peek(Token![=]);
                return Err(Error::new(key.span(), self.unknown(&name, is_text)));
            }
            if !seen.insert(name.clone()) {
                return Err(Error::new(key.span(), format!("`{name}` is there twice")));
            }
            take(&name, &key)?;
            end_of_one(input)?;
        }
        Ok(text)
    }

    fn unknown(&self, key: &str, is_text: bool) -> String {
        let attribute = self.attribute;
        if let Some(text) = self.text.filter(|_| is_text) {
            return format!("a {text} stands in quotes: `#[{attribute}(\"{key}\")]`");
        }
        let known: Vec<String> = self.keys.iter().map(|key| format!("`{key}`")).collect();
        let known = match known.as_slice() {
            [] => "none".to_owned(),
            [one] => one.clone(),
            [most @ .., last] => format!("{} and {last}", most.join(", ")),
        };
        format!("unknown key `{key}`: `#[{attribute}]` takes {known}")
    }
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
            let name = pair.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
            let value = pair.value.to_token_stream();
            Err(Error::new_spanned(attribute, format!("write `#[{name}({value})]`")))
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
