//! The feishu-pulse binary: everything is in the library.

use std::process::ExitCode;

/// A request takes some thirty small pieces of memory; this allocator hands them out in less time than glibc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    feishu_pulse::cli::run().await
}
