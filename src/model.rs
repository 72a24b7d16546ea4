//! Floor 0: the words everything else is written in. No I/O, no ambient time, no ambient chance.

pub mod backoff;
pub mod clock;
pub mod day;
pub mod geo;
pub mod ids;

pub use backoff::Backoff;
pub use clock::{Clock, ManualClock, SystemClock};
pub use day::{Day, DayRange, Month};
pub use geo::Geo;
pub use ids::{DayKey, DepartmentIdType, Scope, UserIdType};
