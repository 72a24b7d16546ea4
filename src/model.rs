//! Basic types of the whole crate: days, geos, ids, the clock and retry delays.
//!
//! Only [`json_file`] does I/O. Only [`SystemClock`] reads the time, and random numbers are arguments.

pub mod backoff;
pub mod clock;
pub mod day;
pub mod geo;
pub mod ids;
pub mod json_file;
pub mod redact;

pub use backoff::Backoff;
pub use clock::{Clock, ManualClock, SystemClock};
pub use day::{Day, DayRange, Month};
pub use geo::Geo;
pub use ids::{DataScope, DayKey, DepartmentIdType, UserIdType};
