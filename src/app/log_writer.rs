//! Writes log lines to standard error on a separate thread, so that requests do not wait for slow log readers.

use std::{
    io::{BufWriter, Stderr, Write},
    thread,
    time::Duration,
};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Number of queued log lines (a few MiB). If the queue is full, logging blocks instead of dropping lines. If the
/// process is killed, lines of the last [`FLUSH_INTERVAL`] are lost.
const MAX_QUEUED_LINES: usize = 16_384;

/// Lines logged within this interval are written together.
const FLUSH_INTERVAL: Duration = Duration::from_millis(2);

/// The writer, and a guard that flushes the queue on drop.
pub(super) fn standard_error() -> (NonBlocking, WorkerGuard) {
    let builder = NonBlockingBuilder::default().lossy(false).buffered_lines_limit(MAX_QUEUED_LINES).thread_name("log");
    builder.finish(BatchingWriter(BufWriter::new(std::io::stderr())))
}

/// Flushes the buffer, then waits so that the next lines are written together.
struct BatchingWriter(BufWriter<Stderr>);

impl Write for BatchingWriter {
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
    thread::sleep(FLUSH_INTERVAL);
}
