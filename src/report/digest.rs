//! The digest of a day: compact data that most reports can be computed from without the day's rows.
//!
//! ```text
//! figures      sums, and a bitmap of people for each flag
//! departments  for each department with its own rows: sums and members
//! ```
//!
//! Sums of a day of one geo add up over departments, because a person has one row in it and therefore one department.
//! Distinct people do not add up: a person in two departments over a week, or in two geos, is one person. A digest
//! therefore stores the members of each department, and reports compute sets of people from them.

mod day_digest;
mod day_reindexing;
mod membership_cache;
mod stored_digest;

pub use self::{
    day_digest::{DayDigest, DepartmentDigest, by_date, has_inactive_rows},
    day_reindexing::DayReindexing,
    membership_cache::MembershipCache,
    stored_digest::{StoredDigest, decode_digest, encode_digest},
};
