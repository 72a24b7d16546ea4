//! Where log lines go: to standard error, by a thread of its own, so that no request waits for whoever reads the log.

use std::{
    io::{BufWriter, Stderr, Write},
    thread,
    time::Duration,
};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that may wait for their reader; some MiB. Beyond, whoever has something to tell waits: no line is ever lost but
/// those of the last [`PAUSE`] before the process is killed.
const WAITING: usize = 16_384;

/// Lines that come within this time are written together.
const PAUSE: Duration = Duration::from_millis(2);

/// A writer of lines, and what writes the last of them when it is dropped.
pub(super) fn standard_error() -> (NonBlocking, WorkerGuard) {
    let builder = NonBlockingBuilder::default().lossy(false).buffered_lines_limit(WAITING).thread_name("log");
    builder.finish(Gathered(BufWriter::new(std::io::stderr())))
}

/// Writes what has gathered, then lets the next lines gather.
struct Gathered(BufWriter<Stderr>);

impl Write for Gathered {
    fn write(&mut self, lines: &[u8]) -> std::io::Result<usize> {
        self.0.write(lines)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()?;
        pause();
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "the thread does nothing else")]
fn pause() {
    thread::sleep(PAUSE);
}
