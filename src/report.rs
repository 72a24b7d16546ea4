//! Floor 2: from days to figures. Pure functions; what each figure means stands in `docs/metrics.md`.

pub mod activity;
pub mod by_day;
pub mod clients;
pub mod crew;
pub mod departments;
pub mod digest;
pub mod discretion;
pub mod figures;
pub mod homes;
pub mod month;
pub mod retention;
pub mod sheet;
pub mod sliding;
pub mod summary;
pub mod tally;
pub mod trailing;
pub mod tree;

pub use activity::{Bucket, Interval};
pub use by_day::{FiguresByDay, SumsByDay};
pub use digest::{Digest, Narrowed};
pub use discretion::Withheld;
pub use figures::{Figures, People, Sums, share};
pub use trailing::Trailing;
