//! Department members by hash. Most departments have the same members as on the day before, so decoding a digest finds
//! most members here.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::{
    report::department_members::{DepartmentMember, DepartmentMembers},
    table::{Dictionary, PersonIndex},
};

/// Memory of a person in the cache: an index for the row, and an index with an activation time.
const BYTES_PER_PERSON: usize = 2 * size_of::<PersonIndex>() + size_of::<i64>();

/// Estimated memory of an entry in addition to its people, with an entry of `latest`.
const ENTRY_OVERHEAD_BYTES: usize = 200;

/// The limit if none is set.
const DEFAULT_MAX_BYTES: u64 = 16 << 20;

/// Hash of the ids and activation times of a range of rows.
pub(super) type MembershipHash = [u8; 16];

/// Cache of department members, shared by the process and bounded by bytes.
#[derive(Debug)]
pub struct MembershipCache {
    contents: Mutex<CacheContents>,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct CacheContents {
    /// By the id of the dictionary. With a fast hash: every digest looks up all its departments.
    members: HashMap<(u64, MembershipHash), CachedMembers, RandomState>,
    /// The members that were inserted last, in the order of the rows, by the id of the dictionary and the index of the department.
    latest: HashMap<(u64, u32), Arc<[PersonIndex]>, RandomState>,
    bytes: usize,
}

/// The people of a range of rows.
#[derive(Clone, Debug)]
pub(super) struct CachedMembers {
    /// In the order of the rows.
    pub(super) by_row: Arc<[PersonIndex]>,
    /// The same people sorted by index, with their activation times.
    pub(super) sorted: Arc<DepartmentMembers>,
}

impl Default for MembershipCache {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_BYTES)
    }
}

impl MembershipCache {
    /// A cache that is emptied when it would take more than `max_bytes` bytes.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self { contents: Mutex::default(), max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX) }
    }

    /// The members with each of these hashes; `None` for those that are not cached.
    pub(super) fn get_each<'a>(
        &self,
        dictionary: &Dictionary,
        hashes: impl Iterator<Item = &'a MembershipHash>,
    ) -> Vec<Option<CachedMembers>> {
        let contents = self.contents.lock();
        hashes.map(|hash| contents.members.get(&(dictionary.id(), *hash)).cloned()).collect()
    }

    /// The members of a department that were inserted last; no one if there are none.
    pub(super) fn latest(&self, dictionary: &Dictionary, department: u32) -> Arc<[PersonIndex]> {
        self.contents.lock().latest.get(&(dictionary.id(), department)).cloned().unwrap_or_default()
    }

    /// Inserts members of a department. If the hash is already present, the present value stays, so that equal members share
    /// memory.
    pub(super) fn insert(
        &self,
        dictionary: &Dictionary,
        department: u32,
        hash: MembershipHash,
        members: Vec<DepartmentMember>,
    ) -> CachedMembers {
        let mut contents = self.contents.lock();
        let added = ENTRY_OVERHEAD_BYTES + members.len() * BYTES_PER_PERSON;
        if contents.bytes + added > self.max_bytes {
            *contents = CacheContents::default();
        }
        let CacheContents { members: cached, latest, bytes } = &mut *contents;
        let entry = cached.entry((dictionary.id(), hash)).or_insert_with(|| {
            *bytes += added;
            let by_row = members.iter().map(|member| member.person).collect();
            CachedMembers { by_row, sorted: Arc::new(DepartmentMembers::new(members)) }
        });
        latest.insert((dictionary.id(), department), Arc::clone(&entry.by_row));
        entry.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_below_its_limit_and_does_not_mix_dictionaries() {
        let (cache, dictionary) = (MembershipCache::new(10_000), Dictionary::default());
        let members =
            |first: u32| (first..first + 10).map(|person| DepartmentMember { person, register_time: None }).collect();
        let get = |dictionary, hash: u8| cache.get_each(dictionary, std::iter::once(&[hash; 16])).remove(0);
        let count = |dictionary| (0..=255_u8).filter(|hash| get(dictionary, *hash).is_some()).count();
        for hash in 0..=255 {
            cache.insert(&dictionary, 0, [hash; 16], members(hash.into()));
            assert!((1..=10_000 / 360).contains(&count(&dictionary)));
        }

        assert_eq!(*get(&dictionary, 255).unwrap().by_row, *(255..265).collect::<Vec<u32>>());
        assert_eq!(count(&Dictionary::default()), 0);
    }
}
