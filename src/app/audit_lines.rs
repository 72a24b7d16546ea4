//! Lines of the audit log: JSON objects, however the rest of the log is written. There is one for every request, so they
//! are put together by hand and written at once.

use std::{fmt, io::Write as _};

use jiff::Timestamp;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use crate::model::{Clock as _, SystemClock};

/// The target of the audit log.
const TARGET: &str = "audit";

/// Writes every event it is shown as a line of the audit log, to standard error.
#[derive(Debug)]
pub(super) struct AuditLines;

/// Whether an event belongs into the audit log.
pub(super) fn are_of(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

impl<S: Subscriber> Layer<S> for AuditLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = line(event, SystemClock.now());
        // Where nobody can be told, nobody can be told that either.
        let _ = std::io::stderr().lock().write_all(&line);
    }
}

fn line(event: &Event<'_>, now: Timestamp) -> Vec<u8> {
    let mut line = Line(Vec::with_capacity(256));
    let _ = write!(line.0, r#"{{"timestamp":"{now:.6}","level":"{}","target":"{TARGET}""#, event.metadata().level());
    event.record(&mut line);
    line.0.extend_from_slice(b"}\n");
    line.0
}

/// A line that grows by the fields of its event.
struct Line(Vec<u8>);

impl Line {
    fn text(&mut self, field: &Field, text: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(field.name().as_bytes());
        self.0.extend_from_slice(b"\":");
        // A vector takes whatever is written to it.
        let _ = serde_json::to_writer(&mut self.0, text);
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let _ = write!(self.0, ",\"{field}\":{value}");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().extend(line(event, "2026-11-22T04:00:00.5Z".parse().unwrap()));
        }
    }

    #[test]
    fn a_line_is_one_json_object_whatever_is_in_it() {
        let written = Arc::new(Mutex::default());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Kept(Arc::clone(&written))), || {
            tracing::info!(target: "audit", caller = "a\n\"b\"", http.status = 200_u16, rows = 5_u64, odd = ?Some(1));
        });

        let written = written.lock().unwrap();
        let lines = std::str::from_utf8(&written).unwrap().lines();
        let [line] = lines.collect::<Vec<_>>()[..] else { panic!("one line") };
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            line,
            json!({
                "timestamp": "2026-11-22T04:00:00.500000Z", "level": "INFO", "target": "audit",
                "caller": "a\n\"b\"", "http.status": 200, "rows": 5, "odd": "Some(1)",
            })
        );
    }
}
