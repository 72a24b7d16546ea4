//! How long a small request takes alone, and while something else keeps the processors busy.
//!
//! Exports are read, and processors burnt, by processes of their own, and small requests are asked for by a thread of
//! its own: the threads of the gateway do nothing but serve. What busy processors cost whatever the server does is what
//! the burner tells: a program that serves nobody and shares nothing with us.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

/// Small requests that are asked for where there is no export whose end would tell.
const ALONE: usize = 500;
/// Exports that are read one after the other.
const EXPORTS: usize = 4;
/// Between one small request and the next.
const PAUSE: Duration = Duration::from_millis(3);
/// Ticks of the processes' clocks in `/proc`.
const TICKS: f64 = 100.0;

/// Times a small request alone, beside burners, and beside each of the exports; prints a line of JSON for each.
pub(crate) async fn measure(small: String, exports: Vec<(String, String)>) {
    let asked = thread::spawn(move || {
        let probe = Probe::new(small);
        let alone = probe.alone(ALONE);
        let alone_ms = say("nothing", &alone, None, json!({}));
        for burners in 1..=thread::available_parallelism().map_or(1, usize::from) {
            let burning: Vec<_> = (0..burners).map(|_| child(&["burn"])).collect();
            let times = probe.alone(ALONE);
            burning.into_iter().for_each(end);
            say(&format!("{burners} burner(s)"), &times, Some(alone_ms), json!({}));
        }
        for (name, url) in exports {
            let (times, figures) = probe.beside(&url);
            say(&name, &times, Some(alone_ms), figures);
        }
    });
    tokio::task::spawn_blocking(move || asked.join().expect("a measurement")).await.expect("a measurement");
}

/// Reads an answer to its end as fast as it comes; prints how long that took and how much of a processor.
pub(crate) async fn read(url: &str) {
    let http = reqwest::Client::builder().no_gzip().build().expect("a client");
    let started = Instant::now();
    super::read(&http, url, |_| ()).await;
    let took = started.elapsed().as_secs_f64();
    let used = ticks("/proc/self/stat", |fields| fields[13..15].iter().sum::<f64>() / TICKS);
    println!("{}", json!({ "seconds": took, "processors": used.map(|used| used / took) }));
}

/// Keeps one processor busy.
pub(crate) fn burn() -> ! {
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

/// Asks for the same small answer again and again.
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

    fn alone(&self, times: usize) -> Vec<Duration> {
        (0..times).map(|_| self.once()).collect()
    }

    fn beside(&self, export: &str) -> (Vec<Duration>, Value) {
        let (mut times, mut took, mut reader) = (Vec::new(), Vec::new(), Vec::new());
        let started = Instant::now();
        let idle = ticks("/proc/stat", |fields| (fields[4] + fields[5]) / TICKS);
        for _ in 0..EXPORTS {
            let mut reading = child(&["read", export]);
            while reading.try_wait().expect("a child").is_none() {
                times.push(self.once());
            }
            let said = reading.wait_with_output().expect("what it says").stdout;
            let said: Value = serde_json::from_slice(&said).expect("JSON");
            took.extend(said["seconds"].as_f64());
            reader.extend(said["processors"].as_f64());
        }
        let idle =
            ticks("/proc/stat", |fields| (fields[4] + fields[5]) / TICKS).zip(idle).map(|(now, before)| now - before);
        let idle = idle.map(|idle| rounded(idle / started.elapsed().as_secs_f64()));
        let mean = |figures: &[f64]| rounded(figures.iter().sum::<f64>() / figures.len() as f64);
        let figures = json!({
            "export_ms": rounded(mean(&took) * 1e3), "processors_of_reader": mean(&reader), "processors_idle": idle,
        });
        (times, figures)
    }

    fn once(&self) -> Duration {
        self.runtime.block_on(async {
            tokio::time::sleep(PAUSE).await;
            let started = Instant::now();
            super::read(&self.http, &self.small, |_| ()).await;
            started.elapsed()
        })
    }
}

/// Prints one line, and returns the median in milliseconds.
fn say(beside: &str, times: &[Duration], alone_ms: Option<f64>, more: Value) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let ms = |share: usize| rounded(times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3);
    let median = ms(50);
    let mut line = json!({
        "beside": beside, "asked": times.len(), "p50_ms": median, "p90_ms": ms(90), "p99_ms": ms(99), "most_ms": ms(100),
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

/// This program in another role.
fn child(arguments: &[&str]) -> Child {
    let program = std::env::current_exe().expect("this program");
    Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().expect("a child")
}

fn end(mut child: Child) {
    child.kill().expect("a child");
    child.wait().expect("a child");
}

/// A figure of the first line of a file in `/proc`; `None` where there is no such file.
fn ticks(path: &str, figure: impl Fn(&[f64]) -> f64) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    // The second field may be a name, in brackets.
    let fields: Vec<f64> =
        text.lines().next()?.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    Some(figure(&fields))
}
