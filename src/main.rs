//! The feishu-pulse binary. All code is in the library.

use std::{num::NonZero, process::ExitCode, thread::available_parallelism};

use tokio::runtime;

/// Global allocator. A request makes about 30 small allocations, and mimalloc serves them faster than glibc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads for computations and files, for each CPU. The allocator keeps memory for each thread that has allocated, so the 512
/// threads that tokio permits would keep several hundred MB. More threads than CPUs, because reads of files wait for disks.
const BLOCKING_THREADS_PER_CPU: usize = 4;

fn main() -> ExitCode {
    let cpus = available_parallelism().map_or(1, NonZero::get);
    let runtime =
        runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(cpus * BLOCKING_THREADS_PER_CPU).build();
    match runtime {
        Ok(runtime) => runtime.block_on(feishu_pulse::cli::run()),
        Err(error) => {
            eprintln!("error: the threads of the runtime cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}
