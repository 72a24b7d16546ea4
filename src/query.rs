//! Floor 4: from a question to the days that answer it.

pub mod backfill;
pub mod basis;
pub mod engine;
pub mod evidence;
pub mod jobs;
pub mod newest;
pub mod plan;
pub mod sheets;
pub mod trails;
pub mod views;
pub mod warm;

pub use backfill::{CallCount, Filler, Order, Progress};
pub use basis::{Basis, Numbers};
pub use engine::{Asking, Engine, Gathered, NotAnswered, Supply};
pub use evidence::{Evidence, Grounds};
pub use jobs::{Backfills, Job, JobState, TooManyJobs};
pub use newest::Newest;
pub use plan::{Period, Plan, Query, Span, plan};
pub use sheets::Sheets;
pub use trails::Trails;
pub use views::Views;
