//! Floor 4: from a question to the days that answer it.

pub mod engine;
pub mod plan;

pub use engine::{Asking, Engine, Gathered, NotAnswered};
pub use plan::{Period, Plan, Query, Span, plan};
