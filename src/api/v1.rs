//! The endpoints of the native API (parameters, response and handler in one module each) and the item types they share.

pub mod activity;
pub mod backfill_item;
pub mod backfills;
pub mod clients;
pub mod coverage;
pub mod days;
pub mod departments;
pub mod figures;
pub mod licences;
pub mod movement;
pub mod retention;
pub mod summary;
pub mod trailing;
pub mod user;
pub mod user_day;
pub mod user_days;
mod user_days_export;
pub mod user_item;
pub mod users;
