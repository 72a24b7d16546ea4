//! Counters, single or one for each value of a label.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
};

use strum::VariantArray;

/// A label whose values are the variants of an enum, so that their number is bounded. The enum derives [`VariantArray`]
/// and [`strum::IntoStaticStr`].
pub trait MetricLabel: VariantArray + Into<&'static str> + Copy + PartialEq + Send + Sync {
    /// The name of the label.
    const NAME: &'static str;
}

/// A counter, which only increases.
#[derive(Debug, Default)]
pub struct MetricCounter(AtomicU64);

/// A counter for each value of a label. All values are exported from the start with 0, because Prometheus' `rate()`
/// does not count the first event of a series that appears with that event.
#[derive(Debug)]
pub struct CounterVec<L> {
    counts: Box<[MetricCounter]>,
    label: PhantomData<L>,
}

impl MetricCounter {
    /// Adds 1.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The current count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<L: MetricLabel> CounterVec<L> {
    /// Adds 1 to the counter of this label value.
    pub fn increment(&self, label: L) {
        if let Some(index) = L::VARIANTS.iter().position(|value| *value == label) {
            self.counts[index].increment();
        }
    }

    /// The current count of each label value.
    pub fn counts(&self) -> impl Iterator<Item = (L, u64)> {
        L::VARIANTS.iter().copied().zip(self.counts.iter().map(MetricCounter::get))
    }
}

impl<L: MetricLabel> Default for CounterVec<L> {
    fn default() -> Self {
        Self { counts: L::VARIANTS.iter().map(|_| MetricCounter::default()).collect(), label: PhantomData }
    }
}
