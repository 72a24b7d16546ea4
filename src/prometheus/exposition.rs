//! A writer of Prometheus' text exposition format, version 0.0.4.

use std::fmt::Write as _;

use super::{CounterVec, Histogram, MetricLabel};

/// A metrics page to which metric families are appended.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// A metric family: its samples follow its `HELP` and `TYPE` lines.
#[derive(Debug)]
pub struct MetricFamily<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Exposition {
    /// The media type of the format.
    pub const MEDIA_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Starts a counter. By convention, its name ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> MetricFamily<'_> {
        self.start_family("counter", name, help)
    }

    /// Starts a gauge.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> MetricFamily<'_> {
        self.start_family("gauge", name, help)
    }

    /// Starts a histogram of durations. By convention, its name ends in `_seconds`.
    pub fn histogram(&mut self, name: &'static str, help: &str) -> MetricFamily<'_> {
        self.start_family("histogram", name, help)
    }

    /// The text of the page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn start_family(&mut self, kind: &str, name: &'static str, help: &str) -> MetricFamily<'_> {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        MetricFamily { name, text: &mut self.text }
    }
}

impl MetricFamily<'_> {
    /// Writes the only sample of a family without labels.
    pub fn sample(&mut self, value: f64) {
        self.labelled_sample(&[], value);
    }

    /// Writes the only sample of a family without labels, if the value is known. An unknown value has no sample,
    /// because a sample of 0 would be wrong.
    pub fn optional(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sample(value);
        }
    }

    /// Writes the sample with these labels.
    pub fn labelled_sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.write_sample("", labels, value);
    }

    /// Writes one sample for each value of the label.
    pub fn counter_vec<L: MetricLabel>(&mut self, counters: &CounterVec<L>) {
        for (label, count) in counters.counts() {
            self.labelled_sample(&[(L::NAME, label.into())], count as f64);
        }
    }

    /// Writes the samples of a histogram with these labels.
    pub fn histogram_samples(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut total = 0;
        for (bound, count) in histogram.cumulative_buckets() {
            let bound = format_value(bound);
            self.write_sample("_bucket", &[labels, &[("le", &bound)]].concat(), count as f64);
            total = count;
        }
        self.write_sample("_sum", labels, histogram.sum_seconds());
        self.write_sample("_count", labels, total as f64);
    }

    fn write_sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (index, (name, value)) in labels.iter().enumerate() {
            let (separator, value) = (if index == 0 { '{' } else { ',' }, escape_label_value(value));
            let _ = write!(self.text, "{separator}{name}=\"{value}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {}", format_value(value));
    }
}

fn escape_label_value(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn format_value(value: f64) -> String {
    if value.is_infinite() { if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_page_has_the_text_format_of_prometheus() {
        let mut page = Exposition::default();
        let histogram = Histogram::new(&[0.5]);
        histogram.observe(Duration::from_millis(250));

        page.gauge("x_bytes", "Bytes.").sample(1.5);
        page.counter("y_total", "Why \\ not.").labelled_sample(&[("a", "\"\n"), ("b", "c")], 3.0);
        page.histogram("z_seconds", "Seconds.").histogram_samples(&[("a", "b")], &histogram);

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
