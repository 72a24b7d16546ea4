//! Department members by hash. Most departments have the same members as on the day before, so decoding a digest finds
//! most members here.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::{
    model::UserIdType,
    report::department_members::{DepartmentMember, DepartmentMembers},
    table::PersonIndex,
};

/// The number of cached people at which the cache is emptied: a few years of a company of 100,000.
const MAX_CACHED_PEOPLE: usize = 8 << 20;

/// Hash of the ids and activation times of a range of rows.
pub(super) type MembershipHash = [u8; 16];

/// Cache of department members, shared by the process.
#[derive(Debug, Default)]
pub struct MembershipCache {
    contents: Mutex<CacheContents>,
}

#[derive(Debug, Default)]
struct CacheContents {
    members: HashMap<(UserIdType, MembershipHash), CachedMembers>,
    people: usize,
}

/// The people of a range of rows.
#[derive(Clone, Debug)]
pub(super) struct CachedMembers {
    /// In the order of the rows.
    pub(super) by_row: Arc<[PersonIndex]>,
    /// The same people sorted by index, with their activation times.
    pub(super) sorted: Arc<DepartmentMembers>,
}

impl MembershipCache {
    pub(super) fn get(&self, user_id_type: UserIdType, hash: &MembershipHash) -> Option<CachedMembers> {
        self.contents.lock().members.get(&(user_id_type, *hash)).cloned()
    }

    /// Inserts members. If the hash is already present, the present value stays, so that equal members share memory.
    pub(super) fn insert(
        &self,
        user_id_type: UserIdType,
        hash: MembershipHash,
        members: Vec<DepartmentMember>,
    ) -> CachedMembers {
        let mut contents = self.contents.lock();
        if contents.people + members.len() > MAX_CACHED_PEOPLE {
            *contents = CacheContents::default();
        }
        let CacheContents { members: cached, people } = &mut *contents;
        let entry = cached.entry((user_id_type, hash)).or_insert_with(|| {
            *people += members.len();
            let by_row = members.iter().map(|member| member.person).collect();
            CachedMembers { by_row, sorted: Arc::new(DepartmentMembers::new(members)) }
        });
        entry.clone()
    }
}
