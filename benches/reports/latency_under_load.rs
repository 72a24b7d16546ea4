//! Latency of a small request alone and under load.
//!
//! Exports are read and CPUs are kept busy by separate processes, and small requests are sent by a separate thread, so
//! the threads of the gateway only serve. The busy processes show the cost of a busy CPU that no server can avoid.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

/// Number of small requests if no export determines the end of the measurement.
const REQUESTS: usize = 500;
/// Number of exports, which are read one after another.
const EXPORTS: usize = 4;
/// Pause between two small requests.
const PAUSE: Duration = Duration::from_millis(3);
/// Clock ticks per second in `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

/// Measures a small request alone, with busy CPUs, and during each of the exports. Prints one line of JSON for each.
pub(crate) async fn measure(small: String, exports: Vec<(String, String)>) {
    let measuring = thread::spawn(move || {
        let probe = Probe::new(small);
        let alone = probe.without_load(REQUESTS);
        let alone_ms = print_line("nothing", &alone, None, json!({}));
        for busy_processes in 1..=thread::available_parallelism().map_or(1, usize::from) {
            let children: Vec<_> = (0..busy_processes).map(|_| child(&["burn"])).collect();
            let times = probe.without_load(REQUESTS);
            children.into_iter().for_each(end);
            print_line(&format!("{busy_processes} busy process(es)"), &times, Some(alone_ms), json!({}));
        }
        for (name, url) in exports {
            let (times, figures) = probe.during(&url);
            print_line(&name, &times, Some(alone_ms), figures);
        }
    });
    tokio::task::spawn_blocking(move || measuring.join().expect("a measurement")).await.expect("a measurement");
}

/// Reads a response as fast as possible. Prints the duration and the CPU share of this process.
pub(crate) async fn read(url: &str) {
    let http = reqwest::Client::builder().no_gzip().build().expect("a client");
    let started = Instant::now();
    super::read(&http, url, |_| ()).await;
    let took = started.elapsed().as_secs_f64();
    let used = ticks("/proc/self/stat", |fields| fields[13..15].iter().sum::<f64>() / TICKS_PER_SECOND);
    println!("{}", json!({ "seconds": took, "cpus": used.map(|used| used / took) }));
}

/// Keeps one CPU busy.
pub(crate) fn keep_cpu_busy() -> ! {
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

/// Sends the same small request repeatedly.
struct Probe {
    small: String,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Probe {
    fn new(small: String) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { small, http: reqwest::Client::new(), runtime }
    }

    fn without_load(&self, requests: usize) -> Vec<Duration> {
        (0..requests).map(|_| self.measure_once()).collect()
    }

    fn during(&self, export: &str) -> (Vec<Duration>, Value) {
        let (mut times, mut took, mut reader) = (Vec::new(), Vec::new(), Vec::new());
        let started = Instant::now();
        let idle = ticks("/proc/stat", |fields| (fields[4] + fields[5]) / TICKS_PER_SECOND);
        for _ in 0..EXPORTS {
            let mut reading = child(&["read", export]);
            while reading.try_wait().expect("a child").is_none() {
                times.push(self.measure_once());
            }
            let stdout = reading.wait_with_output().expect("the output").stdout;
            let output: Value = serde_json::from_slice(&stdout).expect("JSON");
            took.extend(output["seconds"].as_f64());
            reader.extend(output["cpus"].as_f64());
        }
        let idle = ticks("/proc/stat", |fields| (fields[4] + fields[5]) / TICKS_PER_SECOND)
            .zip(idle)
            .map(|(now, before)| now - before);
        let idle = idle.map(|idle| rounded(idle / started.elapsed().as_secs_f64()));
        let mean = |figures: &[f64]| rounded(figures.iter().sum::<f64>() / figures.len() as f64);
        let figures = json!({
            "export_ms": rounded(mean(&took) * 1e3), "reader_cpus": mean(&reader), "idle_cpus": idle,
        });
        (times, figures)
    }

    fn measure_once(&self) -> Duration {
        self.runtime.block_on(async {
            tokio::time::sleep(PAUSE).await;
            let started = Instant::now();
            super::read(&self.http, &self.small, |_| ()).await;
            started.elapsed()
        })
    }
}

/// Prints one line and returns the median in milliseconds.
fn print_line(load: &str, times: &[Duration], alone_ms: Option<f64>, more: Value) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let ms = |share: usize| rounded(times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3);
    let median = ms(50);
    let mut line = json!({
        "load": load, "requests": times.len(), "p50_ms": median, "p90_ms": ms(90), "p99_ms": ms(99), "max_ms": ms(100),
        "ratio": alone_ms.map(|alone| rounded(median / alone)),
    });
    if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
        line.extend(more);
    }
    println!("{line}");
    median
}

fn rounded(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}

/// Starts this program with other arguments.
fn child(arguments: &[&str]) -> Child {
    let program = std::env::current_exe().expect("this program");
    Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().expect("a child")
}

fn end(mut child: Child) {
    child.kill().expect("a child");
    child.wait().expect("a child");
}

/// A value computed from the first line of a file in `/proc`; `None` if there is no such file.
fn ticks(path: &str, figure: impl Fn(&[f64]) -> f64) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    // The second field may be a name in parentheses.
    let fields: Vec<f64> =
        text.lines().next()?.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    Some(figure(&fields))
}
