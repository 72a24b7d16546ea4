//! Aggregation: pure functions that turn days into figures. `docs/metrics.md` defines each figure.

pub mod account_status;
pub mod activity;
pub mod client_versions;
pub mod clients;
pub mod day_counts;
pub mod day_figures;
pub mod definitions;
pub mod department_members;
pub mod department_totals;
pub mod department_tree;
pub mod digest;
pub mod figures_by_day;
pub mod known_dates;
pub mod licences;
pub mod monthly_rollup;
pub mod movement;
pub mod primary_departments;
pub mod range_figures;
pub mod retention;
mod shared_people;
pub mod sliding_window;
pub mod suppression;
pub mod trailing_counts;
pub mod user_rollup;
pub mod user_totals;

pub use activity::{ActivityBucket, Interval};
pub use day_figures::{DayFigures, PersonSet, RowSums, ratio, relative_change};
pub use definitions::{DEFINITIONS_VERSION, counted_flags};
pub use digest::{DayDigest, DepartmentSlice};
pub use figures_by_day::{FiguresByDay, SumsByDay};
pub use known_dates::KnownDates;
pub use range_figures::{RangeFigures, Use};
pub use suppression::Suppressed;
pub use trailing_counts::TrailingCounts;
