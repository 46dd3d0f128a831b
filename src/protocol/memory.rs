//! What dialects remember from one message to the next.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// What a [`Dialect`](super::Dialect) remembers of a room from one message to the next, such as the beginning of a line whose end is
/// still to come. Each room has its own for each dialect in use; a message to one socket comes with an empty one.
///
/// What is written may depend on the message and on this, and on nothing else: sockets that are as far in a room, with equal
/// memories, share the frames.
#[derive(Clone, Default)]
pub struct Memory(Option<Arc<dyn Remembered>>);

/// What can be remembered.
trait Remembered: Any + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn again(&self) -> Arc<dyn Remembered>;
    fn is_same(&self, other: &dyn Remembered) -> bool;
}

impl<T: Any + Clone + PartialEq + Send + Sync> Remembered for T {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn again(&self) -> Arc<dyn Remembered> {
        Arc::new(self.clone())
    }
    fn is_same(&self, other: &dyn Remembered) -> bool {
        other.as_any().downcast_ref::<T>() == Some(self)
    }
}

impl Memory {
    /// What was remembered, or a new one where that was nothing, or of another type.
    pub fn get_or_default<T: Any + Default + Clone + PartialEq + Send + Sync>(&mut self) -> &mut T {
        if !self.0.as_ref().is_some_and(|known| (**known).as_any().is::<T>()) {
            self.0 = None;
        }
        let known = self.0.get_or_insert_with(|| Arc::new(T::default()));
        if Arc::get_mut(known).is_none() {
            // Others remember the same; from here on, not any more.
            *known = (**known).again();
        }
        let known = Arc::get_mut(known).and_then(|known| known.as_any_mut().downcast_mut());
        // It is a `T` and nobody else's, as made sure above.
        known.unwrap_or_else(|| unreachable!())
    }
}

impl PartialEq for Memory {
    fn eq(&self, other: &Memory) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || (**one).is_same(&**other),
            _ => false,
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Memory(something)" } else { "Memory(nothing)" })
    }
}
