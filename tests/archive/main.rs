//! The archive over real sockets and real files: what is kept, what outlives a restart, what damage and faults do.

mod damage;
mod days;
mod examples;
mod faults;
mod lake;
#[path = "../support/mod.rs"]
mod support;
