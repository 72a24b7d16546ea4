//! Queries: resolve a query to days, load these days, and prepare them for reports. Also backfills and cache warming.

pub mod backfill;
pub mod backfill_jobs;
pub mod cache_warming;
pub mod engine;
mod kept_loads;
pub mod latest_day_metrics;
pub mod loaded_days;
pub mod memory_metrics;
pub mod monthly_rollup_cache;
pub mod plan;
pub mod provenance;
pub mod report_input;
pub mod selection_match;
pub mod user_rollups;
pub mod view_engines;

pub use backfill::{BackfillProgress, BackfillRequest, Backfiller, CallCount};
pub use backfill_jobs::{BackfillJob, BackfillJobState, BackfillJobs, TooManyJobs};
pub use engine::{LeadDays, QueryEngine};
pub use latest_day_metrics::LatestDayMetrics;
pub use loaded_days::{CacheStatus, DEFAULT_RETRY_AFTER, LoadOptions, LoadedDays, QueryError};
pub use memory_metrics::MemoryMetrics;
pub use monthly_rollup_cache::MonthlyRollupCache;
pub use plan::{Period, Query, QueryDates, QueryPlan, plan};
pub use provenance::{HasProvenance, Provenance};
pub use report_input::ReportInput;
pub use selection_match::SelectableDays;
pub use user_rollups::UserRollups;
pub use view_engines::ViewEngines;
