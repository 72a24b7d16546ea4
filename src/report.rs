//! Floor 2: from days to figures. Pure functions; what each figure means stands in `docs/metrics.md`.

pub mod activity;
pub mod digest;

pub use activity::{Bucket, Interval};
pub use digest::Digest;
