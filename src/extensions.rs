use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

type Map = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// Data of one's own beside a socket or an `Io`: one value of each type.
///
/// ```
/// # let io = eventwire::Io::new();
/// #[derive(Debug, PartialEq)]
/// struct Theme(&'static str);
///
/// io.extensions().insert(Theme("dark"));
/// assert_eq!(*io.extensions().get::<Theme>().unwrap(), Theme("dark"));
/// assert!(io.extensions().get::<String>().is_none());
/// ```
#[derive(Default)]
pub struct Extensions(RwLock<Option<Map>>);

impl Extensions {
    fn change<R>(&self, change: impl FnOnce(&mut Map) -> R) -> R {
        change(self.0.write().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
    }

    /// Puts a value in place of the one of its type, if any, which is returned.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let before = self.change(|map| map.insert(TypeId::of::<T>(), Arc::new(value)));
        before.and_then(|before| before.downcast().ok())
    }

    /// The value of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.as_ref()?.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }

    /// The value of this type, made if there is none yet. Of callers that race, all get the same.
    pub fn get_or_insert_with<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(value) = self.get() {
            return value;
        }
        // Made outside of the lock: it is user code.
        let made = Arc::new(make());
        let value = self.change(|map| {
            let value = map.entry(TypeId::of::<T>()).or_insert_with(|| made.clone());
            value.clone().downcast().ok()
        });
        value.unwrap_or(made)
    }

    /// Takes the value of this type away.
    pub fn remove<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.change(|map| map.remove(&TypeId::of::<T>())).and_then(|value| value.downcast().ok())
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Extensions").field("len", &map.as_ref().map_or(0, Map::len)).finish()
    }
}
