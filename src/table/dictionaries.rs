//! The dictionaries of all days that are answered together, in generations.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::{
    Dictionary,
    dictionary::{DictionaryTables, TableSize},
};
use crate::{
    model::UserIdType,
    prometheus::{Collector, Exposition},
};

/// A dictionary grows by at most this many times the minimum before it gets a successor.
const MAX_GROWTH: u64 = 2;

/// One dictionary for each type of user id, so that ids of different types never share an index.
///
/// Days keep their dictionary alive, and an earlier generation its successor; this struct does not. So a dictionary ends with
/// its last day. A dictionary that has grown enough since the days moved to it is replaced by a new generation, to which the
/// days move with the entries that they use. Days that are being loaded may arrive in the generation before, so a query may
/// get days of several generations and has to move them to one.
#[derive(Debug)]
pub struct Dictionaries {
    by_id_type: [Mutex<Weak<Dictionary>>; 3],
    min_renewal_bytes: u64,
    total_bytes: Arc<AtomicU64>,
}

impl Default for Dictionaries {
    /// Dictionaries that never get a successor.
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

impl Dictionaries {
    /// Dictionaries that get a successor when they have doubled or grown by twice `min_renewal_bytes` bytes, but not below
    /// `min_renewal_bytes` bytes.
    #[must_use]
    pub fn new(min_renewal_bytes: u64) -> Self {
        Self { by_id_type: Default::default(), min_renewal_bytes, total_bytes: Arc::default() }
    }

    /// The dictionaries of a view. Their bytes are part of [`Self::total_bytes`].
    #[must_use]
    pub fn for_new_view(&self) -> Self {
        Self { by_id_type: Default::default(), total_bytes: Arc::clone(&self.total_bytes), ..*self }
    }

    /// The newest dictionary for this type of user id.
    #[must_use]
    pub fn for_id_type(&self, user_id_type: UserIdType) -> Arc<Dictionary> {
        let mut current = self.by_id_type[user_id_type as usize].lock();
        current.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Dictionary::new(Arc::clone(&self.total_bytes), self.min_renewal_bytes));
            *current = Arc::downgrade(&new);
            new
        })
    }

    /// The approximate memory use of all dictionaries in bytes: these, those of views, and earlier generations.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes.load(Ordering::Relaxed)
    }

    /// Begins a new generation if `dictionary` is the newest one and has grown enough. Returns the new generation. When the
    /// days have moved to it, call [`Self::end_renewal`].
    #[must_use]
    pub fn begin_renewal(&self, user_id_type: UserIdType, dictionary: &Arc<Dictionary>) -> Option<Arc<Dictionary>> {
        if !dictionary.is_renewal_due() {
            return None;
        }
        let mut current = self.by_id_type[user_id_type as usize].lock();
        if !std::ptr::eq(current.as_ptr(), Arc::as_ptr(dictionary)) {
            return None;
        }
        let new = Arc::new(Dictionary::new(Arc::clone(&self.total_bytes), u64::MAX));
        dictionary.set_successor(&new);
        *current = Arc::downgrade(&new);
        Some(new)
    }

    /// Ends the renewal: the new generation gets a successor when it has grown enough.
    pub fn end_renewal(&self, generation: &Dictionary) {
        let growth = generation.bytes().min(self.min_renewal_bytes.saturating_mul(MAX_GROWTH));
        generation.set_renewal_bytes((generation.bytes() + growth).max(self.min_renewal_bytes));
    }
}

impl Collector for Dictionaries {
    fn collect(&self, page: &mut Exposition) {
        let current: Vec<_> = self.by_id_type.iter().filter_map(|current| current.lock().upgrade()).collect();
        let mut tables = DictionaryTables::default().table_sizes();
        for dictionary in current {
            for (sum, size) in tables.iter_mut().zip(dictionary.read().table_sizes()) {
                sum.bytes += size.bytes;
            }
        }
        let whole: usize = tables.iter().map(|size| size.bytes).sum();
        let help = "Approximate memory used by the dictionaries of shared strings. `other`: those of access views and of \
                    days that move to a new dictionary.";
        let mut gauge = page.gauge("feishu_pulse_dictionary_bytes", help);
        for TableSize { table, bytes } in tables {
            gauge.labelled_sample(&[("of", table)], bytes as f64);
        }
        gauge.labelled_sample(&[("of", "other")], self.total_bytes().saturating_sub(whole as u64) as f64);
    }
}
