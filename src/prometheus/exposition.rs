//! Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

use super::{Histogram, Label, Tally};

/// A page of figures in the making.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// The samples of one name. Their lines stand together, below what they mean.
#[derive(Debug)]
pub struct Family<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Exposition {
    /// The media type of the page.
    pub const MEDIA_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins a figure that only grows; its name ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family("counter", name, help)
    }

    /// Begins a figure that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family("gauge", name, help)
    }

    /// Begins a figure of durations; its name ends in `_seconds`.
    pub fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family("histogram", name, help)
    }

    /// The page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn family(&mut self, kind: &str, name: &'static str, help: &str) -> Family<'_> {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { name, text: &mut self.text }
    }
}

impl Family<'_> {
    /// The one sample of a figure without labels.
    pub fn value(&mut self, value: f64) {
        self.labelled(&[], value);
    }

    /// The one sample of a figure that is not always known. Until it is there is none: a zero would look like one.
    pub fn known(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.value(value);
        }
    }

    /// The sample with these labels.
    pub fn labelled(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample("", labels, value);
    }

    /// A sample for each value of a label.
    pub fn tally<L: Label>(&mut self, tally: &Tally<L>) {
        for (label, count) in tally.counts() {
            self.labelled(&[(L::NAME, label.value())], count as f64);
        }
    }

    /// The samples of a histogram with these labels.
    pub fn distribution(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut all = 0;
        for (bound, count) in histogram.cumulated() {
            let bound = number(bound);
            self.sample("_bucket", &[labels, &[("le", &bound)]].concat(), count as f64);
            all = count;
        }
        self.sample("_sum", labels, histogram.seconds());
        self.sample("_count", labels, all as f64);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let (before, value) = (if at == 0 { '{' } else { ',' }, escaped(value));
            let _ = write!(self.text, "{before}{name}=\"{value}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{after} {}", number(value));
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn number(value: f64) -> String {
    if value.is_infinite() { if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Exposition::default();
        let histogram = Histogram::new(&[0.5]);
        histogram.record(Duration::from_millis(250));

        page.gauge("x_bytes", "Bytes.").value(1.5);
        page.counter("y_total", "Why \\ not.").labelled(&[("a", "\"\n"), ("b", "c")], 3.0);
        page.histogram("z_seconds", "Seconds.").distribution(&[("a", "b")], &histogram);

        let expected = "\
# HELP x_bytes Bytes.
# TYPE x_bytes gauge
x_bytes 1.5
# HELP y_total Why \\\\ not.
# TYPE y_total counter
y_total{a=\"\\\"\\n\",b=\"c\"} 3
# HELP z_seconds Seconds.
# TYPE z_seconds histogram
z_seconds_bucket{a=\"b\",le=\"0.5\"} 1
z_seconds_bucket{a=\"b\",le=\"+Inf\"} 1
z_seconds_sum{a=\"b\"} 0.25
z_seconds_count{a=\"b\"} 1
";
        assert_eq!(page.into_text(), expected);
    }
}
