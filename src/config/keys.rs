//! The keys of a document. They are told once, in a function over [`Keys`], and walked in three ways: to read a document,
//! to write one, and to describe all as JSON Schema. So none of the three can lack what another has.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::forms::{Form, Wrong, snake_case};
use super::{ConfigError, Problem};

/// A key: its name in camelCase, and what it is for.
pub(crate) struct Key {
    name: &'static str,
    about: &'static str,
    also: Option<&'static str>,
    otherwise: Otherwise,
    short_for: Option<&'static str>,
}

/// What becomes of a document that has not this key.
#[derive(PartialEq)]
enum Otherwise {
    Default,
    Derived,
    Refused,
}

impl Key {
    pub(crate) fn new(name: &'static str, about: &'static str) -> Key {
        Key { name, about, also: None, otherwise: Otherwise::Default, short_for: None }
    }

    /// It has another name, which is as good.
    pub(crate) fn also(self, also: &'static str) -> Key {
        Key { also: Some(also), ..self }
    }

    /// There is no default.
    pub(crate) fn needed(self) -> Key {
        Key { otherwise: Otherwise::Refused, ..self }
    }

    /// Its default follows from other keys, as it says.
    pub(crate) fn derived(self) -> Key {
        Key { otherwise: Otherwise::Derived, ..self }
    }

    /// Of a section: what is no object stands for this key of it.
    pub(crate) fn short_for(self, key: &'static str) -> Key {
        Key { short_for: Some(key), ..self }
    }

    /// The ways to write it, the first one first.
    fn spellings(&self) -> Vec<String> {
        let mut all = Vec::new();
        for name in [Some(self.name), self.also].into_iter().flatten() {
            for spelling in [name.to_owned(), snake_case(name)] {
                if !all.contains(&spelling) {
                    all.push(spelling);
                }
            }
        }
        all
    }
}

impl From<(&'static str, &'static str)> for Key {
    fn from((name, about): (&'static str, &'static str)) -> Key {
        Key::new(name, about)
    }
}

/// Who walks over the keys of a document. A target holds the default before, and afterwards what was read.
pub(crate) trait Keys: Sized {
    fn key<F: Form>(&mut self, key: impl Into<Key>, form: F, target: &mut F::Value);

    /// Keys within an object of their own.
    fn section(&mut self, key: impl Into<Key>, walk: impl FnOnce(&mut Self));

    /// The same for what may not be there. It is made from `blank` if it is.
    fn maybe<T>(&mut self, key: impl Into<Key>, target: &mut Option<T>, blank: T, walk: impl Fn(&mut Self, &mut T));

    /// A list of objects.
    fn list<T>(&mut self, key: impl Into<Key>, target: &mut Vec<T>, blank: fn() -> T, walk: impl Fn(&mut Self, &mut T));

    /// Whether the document has this key.
    fn has(&self, _name: &str) -> bool {
        false
    }

    /// What holds between several values. The key of which it is told may be that of an entry, `subjects[1]`.
    fn rule(&mut self, _name: &str, _holds: bool, _reason: &str) {}
}

/// Reads a document, and goes on after what is wrong to find all of it.
pub(crate) struct Reader {
    /// Where it is, by the names of the keys and as the document has them.
    place: Place,
    values: BTreeMap<String, Value>,
    /// As the document has them, by their names.
    read: BTreeMap<&'static str, String>,
    /// All spellings of all keys.
    known: Vec<String>,
    problems: Vec<Problem>,
}

#[derive(Clone, Default)]
struct Place {
    key: String,
    written: String,
}

impl Place {
    fn at(&self, key: &str, written: &str) -> Place {
        let under = |place: &str, name: &str| {
            if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
        };
        Place { key: under(&self.key, key), written: under(&self.written, written) }
    }

    fn within(&self, entry: &str) -> Place {
        Place { key: format!("{}{entry}", self.key), written: format!("{}{entry}", self.written) }
    }

    fn problem(&self, reason: impl Into<String>) -> Problem {
        Problem { key: self.key.clone(), written: self.written.clone(), reason: reason.into() }
    }

    fn wrong(&self, Wrong(reasons): Wrong) -> impl Iterator<Item = Problem> {
        reasons.into_iter().map(|(entry, reason)| self.within(&entry).problem(reason))
    }
}

/// Reads a whole document.
pub(crate) fn read(values: BTreeMap<String, Value>, walk: impl FnOnce(&mut Reader)) -> Result<(), ConfigError> {
    ConfigError::all(Reader::walk(Place::default(), values, walk))
}

impl Reader {
    fn walk(place: Place, values: BTreeMap<String, Value>, walk: impl FnOnce(&mut Reader)) -> Vec<Problem> {
        let mut reader = Reader { place, values, read: BTreeMap::new(), known: Vec::new(), problems: Vec::new() };
        walk(&mut reader);
        let Reader { place, values, known, mut problems, .. } = reader;
        for unknown in values.keys() {
            let distance = |known: &&String| strsim::damerau_levenshtein(unknown, known);
            let nearest = known.iter().min_by_key(distance).filter(|known| distance(known) <= 1 + known.len() / 4);
            let meant = nearest.map_or_else(String::new, |nearest| format!("; `{nearest}` is one"));
            problems.push(place.at(unknown, unknown).problem(format!("is no key of the configuration{meant}")));
        }
        problems
    }

    /// The value of a key, and where it stands.
    fn take(&mut self, key: &Key) -> Option<(Place, Value)> {
        let spellings = key.spellings();
        let mut found = None;
        for written in &spellings {
            let Some(value) = self.values.remove(written) else { continue };
            let place = self.place.at(key.name, written);
            match self.read.get(key.name) {
                None => {
                    self.read.insert(key.name, written.clone());
                    found = Some((place, value));
                }
                Some(first) => self.problems.push(place.problem(format!("is given twice: it is `{first}`"))),
            }
        }
        if found.is_none() && key.otherwise == Otherwise::Refused {
            self.problems.push(self.place.at(key.name, key.name).problem("is missing"));
        }
        self.known.extend(spellings);
        found
    }

    fn within(&mut self, place: Place, short_for: Option<&str>, value: Value, walk: impl FnOnce(&mut Reader)) {
        let values = match (value, short_for) {
            (Value::Object(values), _) => values.into_iter().collect(),
            (value, Some(key)) => BTreeMap::from([(key.to_owned(), value)]),
            (value, None) => {
                self.problems.extend(place.wrong(Wrong::expected_secretly("an object", &value)));
                return;
            }
        };
        self.problems.extend(Reader::walk(place, values, walk));
    }
}

impl Keys for Reader {
    fn key<F: Form>(&mut self, key: impl Into<Key>, form: F, target: &mut F::Value) {
        let Some((place, value)) = self.take(&key.into()) else { return };
        match form.read(&value) {
            Ok(value) => *target = value,
            Err(wrong) => self.problems.extend(place.wrong(wrong)),
        }
    }

    fn section(&mut self, key: impl Into<Key>, walk: impl FnOnce(&mut Self)) {
        let key = key.into();
        let Some((place, value)) = self.take(&key) else { return };
        self.within(place, key.short_for, value, walk);
    }

    fn maybe<T>(&mut self, key: impl Into<Key>, target: &mut Option<T>, blank: T, walk: impl Fn(&mut Self, &mut T)) {
        let key = key.into();
        match self.take(&key) {
            None => {}
            Some((_, Value::Null)) => *target = None,
            Some((place, value)) => {
                let read = target.insert(blank);
                self.within(place, key.short_for, value, |keys| walk(keys, read));
            }
        }
    }

    fn list<T>(
        &mut self,
        key: impl Into<Key>,
        target: &mut Vec<T>,
        blank: fn() -> T,
        walk: impl Fn(&mut Self, &mut T),
    ) {
        let Some((place, value)) = self.take(&key.into()) else { return };
        let Value::Array(entries) = value else {
            self.problems.extend(place.wrong(Wrong::expected_secretly("a list of objects", &value)));
            return;
        };
        for (n, value) in entries.into_iter().enumerate() {
            let mut read = blank();
            self.within(place.within(&format!("[{n}]")), None, value, |keys| walk(keys, &mut read));
            target.push(read);
        }
    }

    fn has(&self, name: &str) -> bool {
        self.read.contains_key(name)
    }

    fn rule(&mut self, name: &str, holds: bool, reason: &str) {
        // Between values of which one could not be read, it says nothing.
        if holds || !self.problems.is_empty() {
            return;
        }
        let (key, entry) = name.split_at(name.find(['[', '.']).unwrap_or(name.len()));
        let written = self.read.get(key).map_or(key, String::as_str);
        self.problems.push(self.place.at(key, written).within(entry).problem(reason));
    }
}

/// Writes a document that reads as the same.
#[derive(Default)]
pub(crate) struct Writer(Map<String, Value>);

pub(super) fn write(walk: impl FnOnce(&mut Writer)) -> Map<String, Value> {
    let mut writer = Writer::default();
    walk(&mut writer);
    writer.0
}

impl Keys for Writer {
    fn key<F: Form>(&mut self, key: impl Into<Key>, form: F, target: &mut F::Value) {
        self.0.insert(key.into().name.to_owned(), form.write(target));
    }

    fn section(&mut self, key: impl Into<Key>, walk: impl FnOnce(&mut Self)) {
        self.0.insert(key.into().name.to_owned(), write(walk).into());
    }

    fn maybe<T>(&mut self, key: impl Into<Key>, target: &mut Option<T>, _: T, walk: impl Fn(&mut Self, &mut T)) {
        let written = target.as_mut().map(|target| write(|keys| walk(keys, target)).into());
        self.0.insert(key.into().name.to_owned(), written.unwrap_or(Value::Null));
    }

    fn list<T>(&mut self, key: impl Into<Key>, target: &mut Vec<T>, _: fn() -> T, walk: impl Fn(&mut Self, &mut T)) {
        let entries = target.iter_mut().map(|entry| write(|keys| walk(keys, entry)));
        self.0.insert(key.into().name.to_owned(), entries.collect::<Vec<_>>().into());
    }
}

/// Describes a document as JSON Schema, from targets that hold the defaults.
pub(crate) struct Describer {
    /// Where its properties stand, as a reference within the schema.
    place: String,
    properties: Map<String, Value>,
    needed: Vec<&'static str>,
    /// Which spellings exclude each other.
    exclusions: Map<String, Value>,
}

/// The schema of a whole document (draft 2020-12).
pub(crate) fn describe(title: &str, walk: impl FnOnce(&mut Describer)) -> Value {
    let mut schema = Describer::object("#", walk);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = title.into();
    schema
}

impl Describer {
    fn object(at: &str, walk: impl FnOnce(&mut Describer)) -> Value {
        let mut inner = Describer {
            place: format!("{at}/properties"),
            properties: Map::new(),
            needed: Vec::new(),
            exclusions: Map::new(),
        };
        walk(&mut inner);
        let mut schema = json!({"type": "object", "properties": inner.properties, "additionalProperties": false});
        if !inner.needed.is_empty() {
            schema["required"] = inner.needed.into();
        }
        if !inner.exclusions.is_empty() {
            schema["dependentSchemas"] = inner.exclusions.into();
        }
        schema
    }

    fn add(&mut self, key: Key, mut schema: Value, default: Value) {
        let spellings = key.spellings();
        schema["description"] = key.about.into();
        match key.otherwise {
            Otherwise::Default => schema["default"] = default,
            Otherwise::Derived => {}
            Otherwise::Refused => self.needed.push(key.name),
        }
        self.properties.insert(key.name.to_owned(), schema);
        for (n, spelling) in spellings.iter().enumerate().skip(1) {
            let same = json!({"$ref": format!("{}/{}", self.place, key.name)});
            self.properties.insert(spelling.clone(), same);
            let others: Map<String, Value> = spellings[..n].iter().map(|other| (other.clone(), false.into())).collect();
            self.exclusions.insert(spelling.clone(), json!({"properties": others}));
        }
    }

    fn object_of(&mut self, key: &Key, walk: impl FnOnce(&mut Self)) -> Value {
        let place = format!("{}/{}", self.place, key.name);
        let Some(short) = key.short_for else { return Describer::object(&place, walk) };
        let place = format!("{place}/anyOf/0");
        let object = Describer::object(&place, walk);
        json!({"anyOf": [object, {"$ref": format!("{place}/properties/{short}")}]})
    }
}

impl Keys for Describer {
    fn key<F: Form>(&mut self, key: impl Into<Key>, form: F, target: &mut F::Value) {
        self.add(key.into(), form.schema(), form.write(target));
    }

    fn section(&mut self, key: impl Into<Key>, walk: impl FnOnce(&mut Self)) {
        let key = key.into();
        let schema = self.object_of(&key, walk);
        self.add(key, schema, json!({}));
    }

    fn maybe<T>(&mut self, key: impl Into<Key>, _: &mut Option<T>, mut blank: T, walk: impl Fn(&mut Self, &mut T)) {
        let key = key.into();
        let place = format!("{}/{}/anyOf/0", self.place, key.name);
        let schema = Describer::object(&place, |keys| walk(keys, &mut blank));
        self.add(key, json!({"anyOf": [schema, {"type": "null"}]}), Value::Null);
    }

    fn list<T>(&mut self, key: impl Into<Key>, _: &mut Vec<T>, blank: fn() -> T, walk: impl Fn(&mut Self, &mut T)) {
        let key = key.into();
        let place = format!("{}/{}/items", self.place, key.name);
        let items = Describer::object(&place, |keys| walk(keys, &mut blank()));
        self.add(key, json!({"type": "array", "items": items}), json!([]));
    }
}
