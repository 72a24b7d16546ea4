//! Storage of days: the caches and the archive, as layers that wrap a `DaySource`. [`read_path()`] stacks them. From the
//! outermost to the innermost:
//!
//! ```text
//! NarrowFromWhole  answers a request for one person from the cached day of everyone
//! ReadCache        serves days from memory; refreshes provisional ones in the background
//! SingleFlight     at most one fetch per day, which runs as long as a caller waits for it
//! FillCache        stores fetched days in memory, on the task that fetches
//! ArchiveTier      reads final days from the archive and writes them to it
//! ```
//!
//! `FilteredView` reduces each day to what a restricted caller may see.

pub mod archive;
pub mod cache_lookup;
mod day_cache;
pub mod day_catalog;
pub mod fetch_history;
pub mod fill_cache;
pub mod filtered_view;
pub mod freshness;
pub mod history_file;
pub mod lru;
pub mod memory;
pub mod narrow_from_whole;
pub mod read_cache;
pub mod read_path;
mod refresh_tracker;
pub mod single_flight;

pub use archive::{Archive, ArchiveLocation, ArchiveOwner, ArchiveTier, DiskCache, DiskCacheConfig};
pub use day_catalog::{CacheGeneration, DayCatalog, DayStatus, RecordedDay};
pub use fill_cache::FillCache;
pub use filtered_view::FilteredView;
pub use freshness::{DayState, FreshnessPolicy};
pub use history_file::HistoryFile;
pub use memory::Memory;
pub use narrow_from_whole::NarrowFromWhole;
pub use read_cache::ReadCache;
pub use read_path::{ReadPath, read_path};
pub use single_flight::SingleFlight;
