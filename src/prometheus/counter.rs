//! Numbers that only grow, one or one per label.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
};

/// The values of one label: an enum, so that their number can be seen in the code.
pub trait Label: Copy + PartialEq + Send + Sync + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value there is.
    const ALL: &'static [Self];

    /// The value as it is shown.
    fn value(self) -> &'static str;
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

/// A number that only grows, for each value of a label. All are shown from the start, as zero: a rate over a series
/// that appears with its first event misses that event.
#[derive(Debug)]
pub struct Tally<L> {
    counts: Box<[Count]>,
    label: PhantomData<L>,
}

impl Count {
    /// One more.
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many by now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<L: Label> Tally<L> {
    /// One more of this kind.
    pub fn add_one(&self, label: L) {
        if let Some(at) = L::ALL.iter().position(|one| *one == label) {
            self.counts[at].add_one();
        }
    }

    /// How many of each kind by now.
    pub fn counts(&self) -> impl Iterator<Item = (L, u64)> {
        L::ALL.iter().copied().zip(self.counts.iter().map(Count::get))
    }
}

impl<L: Label> Default for Tally<L> {
    fn default() -> Self {
        Self { counts: L::ALL.iter().map(|_| Count::default()).collect(), label: PhantomData }
    }
}
