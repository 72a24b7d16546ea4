//! Access control over real sockets: who is let in, and what each caller is shown.

mod audit;
mod binding;
mod callers;
mod dropin;
mod fair_use;
mod groups;
mod jobs;
mod keys;
mod pseudonyms;
mod routes;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
