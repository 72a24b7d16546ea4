//! The feishu-pulse binary. All code is in the library.

use std::process::ExitCode;

/// Global allocator. A request makes about 30 small allocations, and mimalloc serves them faster than glibc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    feishu_pulse::cli::run()
}
