//! Crews that were met, by a hash of who they are: a department's people are mostly those of the day before.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::stored::RunHash;
use crate::{
    model::UserIdType,
    report::crew::{Crew, Member},
    table::PersonNo,
};

/// People in crews that are remembered: a few years of 100,000 people. Beyond that, all are learned anew.
const MOST_PEOPLE: usize = 8 << 20;

/// Crews that were met, of one process.
#[derive(Debug, Default)]
pub struct Crews {
    met: Mutex<Met>,
}

#[derive(Debug, Default)]
struct Met {
    crews: HashMap<(UserIdType, RunHash), KnownCrew>,
    people: usize,
}

/// The people of a run of rows.
#[derive(Clone, Debug)]
pub(super) struct KnownCrew {
    /// In the order of the rows.
    pub(super) by_row: Arc<[PersonNo]>,
    /// The same by number, with when they activated their accounts.
    pub(super) sorted: Arc<Crew>,
}

impl Crews {
    pub(super) fn find(&self, user_id_type: UserIdType, run: &RunHash) -> Option<KnownCrew> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).crews.get(&(user_id_type, *run)).cloned()
    }

    /// Remembers a crew. Who was met meanwhile stays, so that equal crews are one.
    pub(super) fn add(&self, user_id_type: UserIdType, run: RunHash, members: Vec<Member>) -> KnownCrew {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if met.people + members.len() > MOST_PEOPLE {
            *met = Met::default();
        }
        let Met { crews, people } = &mut *met;
        let crew = crews.entry((user_id_type, run)).or_insert_with(|| {
            *people += members.len();
            let by_row = members.iter().map(|(person, _)| *person).collect();
            KnownCrew { by_row, sorted: Arc::new(Crew::of(members)) }
        });
        crew.clone()
    }
}
