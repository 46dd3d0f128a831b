//! The source files of the crate, as the tests of who knows whom read them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A source file of the crate.
pub struct Source {
    /// Within `src`.
    pub name: String,
    pub text: String,
    /// Without comments, texts and unit tests.
    pub code: String,
}

impl Source {
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
    }

    pub fn names(&self, words: &[&str]) -> bool {
        self.words().any(|word| words.contains(&word))
    }

    /// What follows each `crate::`, of `crate::{a, b}` all.
    pub fn of_the_crate(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        for (index, found) in self.code.match_indices("crate::") {
            let rest = &self.code[index + found.len()..];
            let end = |text: &str| text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
            match rest.strip_prefix('{') {
                Some(list) => {
                    let list = &list[..list.find(';').unwrap_or(list.len())];
                    names.extend(
                        list.split(',').map(|item| item.trim().trim_matches('}')).map(|item| &item[..end(item)]),
                    );
                }
                None => drop(names.insert(&rest[..end(rest)])),
            }
        }
        names.remove("");
        names
    }
}

pub fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    walk(&root().join("src"), &mut files);
    let mut sources: Vec<Source> = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let name = path.strip_prefix(root().join("src")).unwrap().to_string_lossy().replace('\\', "/");
            let text = std::fs::read_to_string(&path).unwrap();
            let code = code(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
            Source { name, text, code }
        })
        .collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(sources.len() > 20, "the sources are found");
    sources
}

pub fn source(name: &str) -> Source {
    let found = sources().into_iter().find(|source| source.name == name);
    found.unwrap_or_else(|| panic!("there is no src/{name}"))
}

pub fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true if ["target", ".git", "node_modules", ".venv"].contains(&name.as_str()) => {}
            true => walk(&path, files),
            false => files.push(path),
        }
    }
}

/// The text without comments and with empty texts in place of all others.
pub fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let raw = rest.strip_prefix('r').filter(|_| !code.ends_with(|c: char| c.is_alphanumeric() || c == '_'));
        let hashes = raw.map_or(0, |raw| raw.bytes().take_while(|&b| b == b'#').count());
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("/*") {
            rest = &rest[rest.find("*/").map_or(rest.len(), |end| end + 2)..];
        } else if raw.is_some_and(|raw| raw[hashes..].starts_with('"')) {
            let body = &rest[1 + hashes + 1..];
            let end = format!("\"{}", "#".repeat(hashes));
            rest = &body[body.find(&end).unwrap() + end.len()..];
            code.push_str("\"\"");
        } else if next == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let is_end = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                is_end
            });
            rest = &rest[1 + end.unwrap() + 1..];
            code.push_str("\"\"");
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest = &rest[rest[1..].find('\'').unwrap() + 2..];
            code.push_str("' '");
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    code
}
