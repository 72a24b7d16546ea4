//! Floor 3: days that are held. Each file is one layer of the read path, or a pure rule of it.
//!
//! ```text
//! Subset      a narrow question that a held whole day answers costs nothing
//! Recall      a day in memory is answered at once; a provisional one is fetched anew behind the answer
//! SingleFlight  at most one fetch per day, and it always runs to its end
//! Keep        what was fetched is kept, though everyone who asked has left
//! Archived    final days outlive the process
//!
//! Viewed      shows of each day what a caller who may not see everything may see
//! ```

pub mod archive;
mod figures;
pub mod flight;
pub mod freshness;
pub mod keep;
mod lru;
pub mod memory;
mod months;
pub mod recall;
mod refresh;
pub mod subset;
pub mod viewed;

pub use archive::{Archive, Archived, Location, Owner};
pub use flight::SingleFlight;
pub use freshness::{Policy, State};
pub use keep::Keep;
pub use memory::{Generation, Memory};
pub use recall::Recall;
pub use subset::Subset;
pub use viewed::Viewed;
