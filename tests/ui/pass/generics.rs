//! Gateways with parameters.
#![deny(warnings, missing_docs, unused, unused_lifetimes, clippy::all)]

use eventwire::{Event, Events, Ext, Io, gateway};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Where things are kept.
pub trait Store: Send + Sync + 'static {
    /// What is kept.
    type Item: DeserializeOwned + Serialize + Send + 'static;

    /// Keeps it.
    fn put(&self, item: &Self::Item) -> usize;
}

/// Numbers.
#[derive(Debug)]
pub struct Numbers;

impl Store for Numbers {
    type Item = u32;

    fn put(&self, item: &u32) -> usize {
        *item as usize
    }
}

/// How many.
#[derive(Debug, Deserialize, Serialize, Event)]
#[event("count", ack = usize)]
pub struct Count {
    /// Added.
    pub by: usize,
}

/// With a type parameter.
#[derive(Debug)]
pub struct Chat<S> {
    /// Where.
    pub store: S,
}

#[gateway]
impl<S: Store> Chat<S> {
    /// A payload that is a parameter's.
    #[on("put")]
    pub async fn put(&self, item: S::Item) -> usize {
        self.store.put(&item)
    }

    /// One that is named.
    #[on]
    pub async fn count(&self, count: Count, place: Ext<S>) -> eventwire::Result<usize> {
        let _ = place;
        Ok(count.by)
    }
}

/// With a constant, and conditions of its own.
#[derive(Debug, Default)]
pub struct Rings<T, const N: usize>(std::marker::PhantomData<T>);

#[gateway]
impl<T, const N: usize> Rings<T, N>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    /// A list.
    #[on("ring")]
    pub async fn ring(&self, items: Vec<T>) -> bool {
        items.len() <= N
    }
}

/// A lifetime and a type.
#[derive(Debug, Events)]
pub enum Told<'a, T>
where
    T: Clone,
{
    /// Borrowed.
    #[event("said")]
    Said(&'a str),
    /// Any.
    #[event("told")]
    Told(T),
    /// Named by its payload.
    Count(Count),
}

#[test]
fn they_are_added() {
    let io = Io::new();
    io.gateway(Chat { store: Numbers }).unwrap();
    io.gateway(Rings::<u8, 3>::default()).unwrap();
    drop(io.emit_event(&Told::Said::<u8>("hello")));
    let _ = (Told::Told(1), Told::Count::<u8>(Count { by: 1 }));
}
