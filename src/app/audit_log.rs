//! Lines of the audit log: JSON objects, however the rest of the log is written. There is one for every request, so they
//! are put together by hand and written at once.

use std::{fmt, io::Write as _};

use jiff::Timestamp;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::Context};

use crate::model::{Clock as _, SystemClock};

/// The target of the audit log.
const TARGET: &str = "audit";

/// Writes every event it is shown as a line of the audit log.
pub(super) struct AuditLines<W>(pub W);

/// Whether an event belongs into the audit log.
pub(super) fn are_of(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

impl<S: Subscriber, W: for<'a> MakeWriter<'a> + 'static> Layer<S> for AuditLines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Where nobody can be told, nobody can be told that either.
        let _ = self.0.make_writer().write_all(&line(event, SystemClock.now()));
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
    use std::{
        io::{Read as _, Seek as _},
        sync::Arc,
    };

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_line_is_one_json_object_whatever_is_in_it() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let lines = AuditLines(Arc::clone(&file));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::info!(target: "audit", caller = "a\n\"b\"", http.status = 200_u16, rows = 5_u64, odd = ?Some(1));
        });

        let mut written = String::new();
        (&*file).rewind().unwrap();
        (&*file).read_to_string(&mut written).unwrap();
        let [line] = written.lines().collect::<Vec<_>>()[..] else { panic!("one line: {written}") };
        let mut line: Value = serde_json::from_str(line).unwrap();
        let at = line["timestamp"].take();
        assert!(at.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{at}");
        assert_eq!(
            line,
            json!({
                "timestamp": null, "level": "INFO", "target": "audit",
                "caller": "a\n\"b\"", "http.status": 200, "rows": 5, "odd": "Some(1)",
            })
        );
    }
}
