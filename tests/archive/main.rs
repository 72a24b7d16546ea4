//! The archive over real sockets and real files: what is kept, what outlives a restart, what damage and faults do.

mod backfills;
mod damage;
mod days;
mod digests;
mod examples;
mod faults;
mod killed;
mod lake;
mod late;
mod log;
mod owner;
mod servers;
mod size;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod truth;
mod upkeep;
