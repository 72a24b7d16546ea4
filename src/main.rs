//! The feishu-pulse binary: everything is in the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    feishu_pulse::cli::run().await
}
