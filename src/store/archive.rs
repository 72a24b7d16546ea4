//! Archive: final days as Parquet files in a folder or a bucket.
//!
//! The files outlive the process, are shared by replicas, and are a data lake for other Parquet readers;
//! `docs/archive.md` describes them to those readers.
//!
//! Writes go through a backlog, so no request waits for them; until a day is written, it is read from the backlog. Each
//! file that is read is checked against its row count and content hash. A damaged file is moved aside and reported, and
//! its day is fetched from Feishu again. While the archive is down, days are fetched from Feishu and wait in the
//! backlog.
//!
//! A bucket can have a disk cache, which keeps what was read from the bucket or written to it.

mod archive_read;
mod archive_tier;
mod backlog;
mod cache_folder;
mod checkpoints;
mod core;
mod disk_cache;
mod file_version;
mod health;
mod layout;
mod listing;
mod listing_cache;
mod location;
mod object_storage;
mod ownership;
mod reader;
mod staged_store;
mod storage_error;
mod temp_files;
mod timed_store;
mod writer;

pub use self::{
    archive_tier::ArchiveTier,
    core::Archive,
    disk_cache::{DiskCache, DiskCacheConfig, NotACacheError},
    health::ArchiveStatus,
    location::{ArchiveLocation, ArchiveLocationError, ParseLocationError},
    ownership::{ArchiveOwner, OwnershipClaim, OwnershipError},
    storage_error::{StorageError, StorageFault},
};
