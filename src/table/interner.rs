//! Values that repeat from day to day, held once and known by number.

use std::{borrow::Borrow, collections::HashMap, hash::Hash, sync::Arc};

use super::directory::{Department, Devices, Profile};

/// Numbers values in the order in which they come.
#[derive(Debug)]
pub(super) struct Interner<T: ?Sized> {
    numbers: HashMap<Arc<T>, u32>,
    values: Vec<Arc<T>>,
    bytes: usize,
}

/// What a value takes in memory.
pub(super) trait Weigh {
    /// Bytes, with what it points to and does not share with others.
    fn weigh(&self) -> usize;
}

/// The two counts of an `Arc`, which stand before its value.
const COUNTS: usize = 2 * size_of::<usize>();

impl<T: ?Sized> Interner<T> {
    /// The values, by number.
    pub(super) fn values(&self) -> &[Arc<T>] {
        &self.values
    }

    /// The value of that number.
    ///
    /// # Panics
    /// Where the number is not of this interner.
    pub(super) fn get(&self, number: u32) -> &Arc<T> {
        &self.values[number as usize]
    }

    /// Bytes that the values take, and finding them.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<T: ?Sized + Eq + Hash + Weigh> Interner<T> {
    /// The number of a value; `own` makes it one to keep where it is new.
    pub(super) fn intern(&mut self, value: &T, own: impl FnOnce(&T) -> Arc<T>) -> u32
    where
        Arc<T>: Borrow<T>,
    {
        if let Some(number) = self.number(value) {
            return number;
        }
        let number = u32::try_from(self.values.len()).expect("fewer than four billion distinct values");
        let value = own(value);
        // A hash table is two thirds full, more or less.
        let places = size_of::<Arc<T>>() + size_of::<(Arc<T>, u32)>() * 3 / 2;
        self.bytes += COUNTS + value.weigh() + places;
        self.values.push(Arc::clone(&value));
        self.numbers.insert(value, number);
        number
    }

    /// The number of a value, where it has been seen.
    pub(super) fn number(&self, value: &T) -> Option<u32>
    where
        Arc<T>: Borrow<T>,
    {
        self.numbers.get(value).copied()
    }
}

impl Interner<str> {
    /// The copy of a text that everyone shares.
    pub(super) fn share(&mut self, text: &Arc<str>) -> Arc<str> {
        let number = self.intern(text, |_| Arc::clone(text));
        Arc::clone(self.get(number))
    }
}

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), values: Vec::new(), bytes: 0 }
    }
}

impl Weigh for str {
    fn weigh(&self) -> usize {
        self.len()
    }
}

impl Weigh for Profile {
    /// Without the id, which is the person's.
    fn weigh(&self) -> usize {
        size_of::<Self>() + text(&self.user_name)
    }
}

impl Weigh for Department {
    fn weigh(&self) -> usize {
        size_of::<Self>() + text(&self.name) + text(&self.path)
    }
}

impl Weigh for Devices {
    /// Without the texts, which are shared.
    fn weigh(&self) -> usize {
        let lists = size_of_val(&*self.clients) + size_of_val(&*self.app_packages) + size_of_val(&*self.os_names);
        size_of::<Self>() + lists
    }
}

fn text(text: &Arc<str>) -> usize {
    COUNTS + text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_keeps_its_number_and_is_weighed_once() {
        let mut names = Interner::<str>::default();
        let first = names.intern("ou_1", |id| Arc::from(id));
        let bytes = names.bytes();
        let other = names.intern("ou_2", |id| Arc::from(id));

        assert_eq!(names.intern("ou_1", |id| Arc::from(id)), first);
        assert_ne!(first, other);
        assert_eq!((names.number("ou_2"), names.number("ou_3")), (Some(other), None));
        assert_eq!(names.bytes(), 2 * bytes);
        assert_eq!(&**names.get(other), "ou_2");
    }

    #[test]
    fn equal_texts_are_shared() {
        let mut texts = Interner::<str>::default();
        let (one, other) = (texts.share(&"ios 14.2".into()), texts.share(&"ios 14.2".into()));
        assert!(Arc::ptr_eq(&one, &other));
    }
}
