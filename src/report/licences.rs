//! Accounts by status, for the company and for each department.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    account_status::{AccountStatus, DormantFor, NewestRow, StatusRule},
    department_tree::DepartmentTree,
    user_rollup::UserRollup,
};
use crate::table::{DayTable, PersonIndex, RowSelection, dictionary::DictionaryTables};

/// Numbers of accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountCounts {
    /// All accounts.
    pub accounts: u64,
    /// Accounts that are not activated.
    pub never_activated: u64,
    /// Active accounts.
    pub active: u64,
    /// Dormant accounts, by [`DormantFor::index`].
    pub dormant: [u64; DormantFor::COUNT],
}

/// The rows of one account.
struct Account {
    person: Option<PersonIndex>,
    row: NewestRow,
    /// The department of its first selected row; `None` if no row is selected.
    department: Option<u32>,
    /// The departments of its other selected rows, in other geos.
    other_departments: Vec<u32>,
}

/// The accounts of the selected rows of one date: all of them, and those of every node of `tree`. `geos` are the rows of
/// that date in each geo; an account with rows in several geos counts once in each node.
#[must_use]
pub fn licences(
    geos: &[Arc<DayTable>],
    rule: &StatusRule,
    dictionary: &DictionaryTables,
    selection: &RowSelection,
    tree: &DepartmentTree,
) -> (AccountCounts, Vec<AccountCounts>) {
    let (mut all, mut by_node) = (AccountCounts::default(), vec![AccountCounts::default(); tree.len()]);
    // Accounts in one department, which are nearly all, are counted there first, so that the tree is walked once.
    let mut by_department = vec![AccountCounts::default(); dictionary.departments().len()];
    for Account { person, row, department, other_departments } in accounts(geos, dictionary, selection) {
        let Some(department) = department else { continue };
        let status = rule.status(person, row);
        let dormant_for = (status == Some(AccountStatus::Dormant)).then(|| rule.dormant_for(person, row));
        let mut account = AccountCounts::default();
        account.add(status, dormant_for);
        all.merge(&account);
        if other_departments.is_empty() {
            by_department[department as usize].merge(&account);
            continue;
        }
        let departments = std::iter::once(department).chain(other_departments);
        let nodes: BTreeSet<usize> = departments.flat_map(|department| tree.self_and_ancestors(department)).collect();
        for node in nodes {
            by_node[node].merge(&account);
        }
    }
    for (department, counts) in (0..).zip(&by_department) {
        tree.self_and_ancestors(department).for_each(|node| by_node[node].merge(counts));
    }
    (all, by_node)
}

/// All accounts, judged by all their rows. Each row without an id is an account of its own.
fn accounts(geos: &[Arc<DayTable>], dictionary: &DictionaryTables, selection: &RowSelection) -> Vec<Account> {
    let selector = selection.compile(dictionary);
    let mut accounts: Vec<Account> = Vec::new();
    let mut by_person: BTreeMap<PersonIndex, usize> = BTreeMap::new();
    for day in geos {
        let rollup = UserRollup::Day(Arc::clone(day));
        for row in 0..day.row_count() {
            let (profile, newest) = (selector.profile_of(day, row), rollup.newest_row(row));
            let selected = selector.matches_profile(profile).then_some(profile.department);
            // Within one geo no person has two rows.
            let known = profile.person.filter(|_| geos.len() > 1).and_then(|person| by_person.get(&person).copied());
            if let Some(position) = known {
                let account = &mut accounts[position];
                account.row = account.row.newer(newest);
                match account.department {
                    None => account.department = selected,
                    Some(_) => account.other_departments.extend(selected),
                }
            } else {
                by_person.extend(profile.person.filter(|_| geos.len() > 1).map(|person| (person, accounts.len())));
                accounts.push(Account {
                    person: profile.person,
                    row: newest,
                    department: selected,
                    other_departments: Vec::new(),
                });
            }
        }
    }
    accounts
}

impl AccountCounts {
    fn merge(&mut self, other: &Self) {
        self.accounts += other.accounts;
        self.never_activated += other.never_activated;
        self.active += other.active;
        for (count, other) in self.dormant.iter_mut().zip(other.dormant) {
            *count += other;
        }
    }

    fn add(&mut self, status: Option<AccountStatus>, dormant_for: Option<DormantFor>) {
        self.accounts += 1;
        match status {
            Some(AccountStatus::NeverActivated) => self.never_activated += 1,
            Some(AccountStatus::Active) => self.active += 1,
            // All rows are of the newest date.
            Some(AccountStatus::Dormant | AccountStatus::Left) | None => {}
        }
        if let Some(duration) = dormant_for {
            self.dormant[duration.index()] += 1;
        }
    }
}
