//! The endpoints, one a file: parameters, response, handler.

pub mod activity;
pub mod backfills;
pub mod coverage;
pub mod days;
pub mod figures;
pub mod user_day;
pub mod user_days;
