//! Tests of the archive over real sockets and files: stored days, restarts, damage and faults.

mod archived_days;
mod backfills;
mod changed_days;
mod checkpoints;
mod cut_reads;
mod damaged_files;
mod digests;
mod disk_cache;
mod examples;
mod faults;
mod killed_backfill;
mod lake;
mod maintenance;
mod ownership;
mod recorded_store;
mod servers;
mod size;
mod slow_storage;
mod truth;
