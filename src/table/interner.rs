//! Assigns indices to distinct values and holds each value once.

use std::{hash::Hash, sync::Arc};

use foldhash::fast::RandomState;
use indexmap::{Equivalent, IndexSet};

use super::profile::{Department, Devices, Profile};

/// Distinct values with their indices, which count from 0 in the order of insertion.
#[derive(Debug)]
pub(super) struct Interner<T: ?Sized> {
    /// With a fast hash: each row of a fetched page looks up five values.
    values: IndexSet<Arc<T>, RandomState>,
    heap_bytes: usize,
}

/// The memory use of a value.
pub(super) trait HeapSize {
    /// The size of the value and of the heap memory that only this value refers to, in bytes.
    fn heap_size(&self) -> usize;
}

/// The size of the two reference counts that precede the value of an `Arc`.
const ARC_HEADER_BYTES: usize = 2 * size_of::<usize>();

impl<T: ?Sized> Interner<T> {
    /// The values, by index.
    pub(super) fn values(&self) -> impl ExactSizeIterator<Item = &Arc<T>> {
        self.values.iter()
    }

    /// The value with that index.
    ///
    /// # Panics
    /// If there is no such index.
    pub(super) fn get(&self, index: u32) -> &Arc<T> {
        &self.values[index as usize]
    }

    /// The approximate size of the values and of the hash table, in bytes.
    pub(super) const fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }
}

impl<T: ?Sized + Eq + Hash + HeapSize> Interner<T> {
    /// The index of a value, or of the value that is equivalent to `key`. A new value is stored as the result of `to_arc`.
    pub(super) fn intern<Q>(&mut self, key: &Q, to_arc: impl FnOnce(&Q) -> Arc<T>) -> u32
    where
        Q: ?Sized + Hash + Equivalent<Arc<T>>,
    {
        if let Some(index) = self.index_of(key) {
            return index;
        }
        let index = index_u32(self.values.len());
        let value = to_arc(key);
        // An entry holds the value and its hash. The hash table has one index per entry and is about two thirds full.
        let index_bytes = size_of::<(u64, Arc<T>)>() + size_of::<usize>() * 3 / 2;
        self.heap_bytes += ARC_HEADER_BYTES + value.heap_size() + index_bytes;
        self.values.insert(value);
        index
    }

    /// The index of a value, or of the value that is equivalent to `key`. `None` if the value has not been interned.
    pub(super) fn index_of<Q>(&self, key: &Q) -> Option<u32>
    where
        Q: ?Sized + Hash + Equivalent<Arc<T>>,
    {
        self.values.get_index_of(key).map(index_u32)
    }
}

impl Interner<str> {
    /// The shared copy of a text.
    pub(super) fn intern_text(&mut self, text: &Arc<str>) -> Arc<str> {
        let index = self.intern(&**text, |_| Arc::clone(text));
        Arc::clone(self.get(index))
    }
}

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self { values: IndexSet::default(), heap_bytes: 0 }
    }
}

fn index_u32(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than four billion distinct values")
}

impl HeapSize for str {
    fn heap_size(&self) -> usize {
        self.len()
    }
}

impl HeapSize for Profile {
    /// Without the user id, which is shared with the table of people.
    fn heap_size(&self) -> usize {
        size_of::<Self>() + text_bytes(&self.user_name)
    }
}

impl HeapSize for Department {
    fn heap_size(&self) -> usize {
        size_of::<Self>() + text_bytes(&self.name) + text_bytes(&self.path)
    }
}

impl HeapSize for Devices {
    /// Without the texts, which are shared between values.
    fn heap_size(&self) -> usize {
        let lists = size_of_val(&*self.clients) + size_of_val(&*self.app_packages) + size_of_val(&*self.os_names);
        size_of::<Self>() + lists
    }
}

fn text_bytes(text: &Arc<str>) -> usize {
    ARC_HEADER_BYTES + text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_value_has_the_same_index_and_is_counted_once() {
        let mut names = Interner::<str>::default();
        let first = names.intern("ou_1", |id| Arc::from(id));
        let bytes = names.heap_bytes();
        let second = names.intern("ou_2", |id| Arc::from(id));

        assert_eq!(names.intern("ou_1", |id| Arc::from(id)), first);
        assert_ne!(first, second);
        assert_eq!((names.index_of("ou_2"), names.index_of("ou_3")), (Some(second), None));
        assert_eq!(names.heap_bytes(), 2 * bytes);
        assert_eq!(&**names.get(second), "ou_2");
    }

    #[test]
    fn equal_texts_are_shared() {
        let mut texts = Interner::<str>::default();
        let (first, second) = (texts.intern_text(&"ios 14.2".into()), texts.intern_text(&"ios 14.2".into()));
        assert!(Arc::ptr_eq(&first, &second));
    }
}
