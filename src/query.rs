//! Floor 4: from a question to the days that answer it.

pub mod basis;
pub mod engine;
pub mod plan;
pub mod sheets;

pub use basis::{Basis, Numbers};
pub use engine::{Asking, Engine, Gathered, NotAnswered};
pub use plan::{Period, Plan, Query, Span, plan};
pub use sheets::Sheets;
