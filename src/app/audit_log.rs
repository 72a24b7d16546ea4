//! The audit log layer. It writes one JSON object for each event, independently of the format of the other log lines.
//! Lines are formatted by hand, because there is one for every request.

use std::{fmt, io::Write as _};

use jiff::Timestamp;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::Context};

use crate::model::{Clock as _, SystemClock};

/// The `tracing` target of audit events.
const AUDIT_TARGET: &str = "audit";

/// A `tracing` layer that writes every event as a line of the audit log.
pub(super) struct AuditLogLayer<W>(pub W);

/// Whether an event belongs to the audit log.
pub(super) fn is_audit_event(metadata: &Metadata<'_>) -> bool {
    metadata.target() == AUDIT_TARGET
}

impl<S: Subscriber, W: for<'a> MakeWriter<'a> + 'static> Layer<S> for AuditLogLayer<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // A failed write to the log cannot be reported anywhere.
        let _ = self.0.make_writer().write_all(&format_line(event, SystemClock.now()));
    }
}

fn format_line(event: &Event<'_>, now: Timestamp) -> Vec<u8> {
    let mut line = JsonLine(Vec::with_capacity(256));
    let _ =
        write!(line.0, r#"{{"timestamp":"{now:.6}","level":"{}","target":"{AUDIT_TARGET}""#, event.metadata().level());
    event.record(&mut line);
    line.0.extend_from_slice(b"}\n");
    line.0
}

/// A JSON object under construction, to which fields are appended.
struct JsonLine(Vec<u8>);

impl JsonLine {
    fn append_string(&mut self, field: &Field, value: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(field.name().as_bytes());
        self.0.extend_from_slice(b"\":");
        // Writing to a vector does not fail.
        let _ = serde_json::to_writer(&mut self.0, value);
    }
}

impl Visit for JsonLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.append_string(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let _ = write!(self.0, ",\"{field}\":{value}");
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let _ = write!(self.0, ",\"{field}\":{value:?}");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.append_string(field, &format!("{value:?}"));
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
    fn special_characters_do_not_break_a_line() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let layer = AuditLogLayer(Arc::clone(&file));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(target: "audit", caller = "a\n\"b\"", http.status = 200_u16, rows = 5_u64, odd = ?Some(1));
        });

        let mut written = String::new();
        (&*file).rewind().unwrap();
        (&*file).read_to_string(&mut written).unwrap();
        let [line] = written.lines().collect::<Vec<_>>()[..] else { panic!("one line: {written}") };
        let mut line: Value = serde_json::from_str(line).unwrap();
        let timestamp = line["timestamp"].take();
        assert!(timestamp.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{timestamp}");
        assert_eq!(
            line,
            json!({
                "timestamp": null, "level": "INFO", "target": "audit",
                "caller": "a\n\"b\"", "http.status": 200, "rows": 5, "odd": "Some(1)",
            })
        );
    }
}
