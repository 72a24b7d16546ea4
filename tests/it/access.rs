//! Access control over real sockets: authentication, authorization, and the view of the data that each caller has.

mod access_log;
mod backfill_jobs;
pub(crate) mod callers;
mod department_restriction;
mod drop_in;
mod identity_provider;
mod keys;
mod pseudonyms;
mod rate_limit;
mod routes;
mod small_groups;
mod wrong_credentials;
