//! What is derived from the rest of a state and only saves time: never written,
//! never compared, empty after a restore.

use std::ops::{Deref, DerefMut};

/// A derived value. Two states that differ in nothing else are equal.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache<T>(T);

impl<T> PartialEq for Cache<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Deref for Cache<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Cache<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
