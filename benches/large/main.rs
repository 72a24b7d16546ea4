//! Measures a large tenant whose rows stay in the archive. `benches/large/run` runs it like the image.
//!
//! Writes an archive into the folder `PULSE_BENCH_LAKE` (default: a temporary folder), unless it is written already:
//! `PULSE_BENCH_PEOPLE` people (default: 500,000) over `PULSE_BENCH_DAYS` days (default: 1,095), one department for a hundred
//! people, of whom a twentieth moves once a year. Digests, ids and activation times are those of a full tenant. Counters, names
//! and devices are left out, because they would take four times the space and no measured report reads them. Then starts the
//! binary and requests reports. Prints a table.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use feishu_pulse::{
    model::{Clock as _, DataScope, Day, DayKey, DayRange, Geo, SystemClock, UserIdType},
    report::digest::encode_digest,
    table::{DayTableBuilder, Department, Dictionary, Flag, Flags, Row, parquet},
};
use tokio::time::Instant;

/// The address of a Feishu that is not called.
const FEISHU: &str = "http://127.0.0.1:9";

/// Requests of each report over days that are in memory. Each has another range, so that none is in the response cache.
const ROUNDS: i32 = 9;

const YEAR: u16 = 365;

fn main() {
    let number = |variable: &str, default: u32| {
        std::env::var(variable).map_or(default, |number| number.parse().expect("a number"))
    };
    let people = number("PULSE_BENCH_PEOPLE", 500_000);
    let days = u16::try_from(number("PULSE_BENCH_DAYS", 3 * u32::from(YEAR))).expect("a short range");
    let cache = std::env::var("PULSE_BENCH_CACHE_BYTES").unwrap_or_else(|_| "4GiB".to_owned());
    let scratch = tempfile::tempdir().expect("a folder");
    let lake = std::env::var_os("PULSE_BENCH_LAKE").map_or_else(|| scratch.path().join("lake"), PathBuf::from);
    // The latest day is provisional.
    let range = DayRange::ending(Geo::Cn.latest_produced(SystemClock.now()).plus(-1), days);
    fill(&lake, people, range);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(&lake, scratch.path(), people, range, &cache));
}

/// Writes the days that have no file, the latest first.
fn fill(lake: &Path, people: u32, range: DayRange) {
    let days: Vec<Day> = range.days().collect();
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let dictionary = Arc::<Dictionary>::default();
                while let Some(day) = days.iter().rev().nth(next.fetch_add(1, Ordering::Relaxed)) {
                    let path = file(lake, *day);
                    if path.exists() {
                        continue;
                    }
                    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
                    let unfinished = path.with_extension("new");
                    std::fs::write(&unfinished, encode(*day, people, &dictionary)).expect("enough space");
                    std::fs::rename(unfinished, path).expect("a writable folder");
                }
            });
        }
    });
    eprintln!("{} days written in {:.0} s", days.len(), began.elapsed().as_secs_f64());
}

fn file(lake: &Path, day: Day) -> PathBuf {
    lake.join(format!("user_days/geo=cn/user_id_type=open_id/date={day}/part-0.parquet"))
}

fn encode(day: Day, people: u32, dictionary: &Arc<Dictionary>) -> Vec<u8> {
    let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
    let mut builder = DayTableBuilder::new(key, Arc::clone(dictionary));
    let date = u64::try_from(day.since("2020-01-01".parse().expect("a day"))).expect("a later day");
    (0..people.into()).for_each(|person| builder.push(&row(person, date, people)));
    let day = builder.finish(SystemClock.now());
    parquet::encode(&day, &encode_digest(&day)).expect("a file")
}

fn row(person: u64, date: u64, people: u32) -> Row {
    let departments = u64::from(people / 100).max(1);
    let home = hash(person, 0) % departments;
    let moves = hash(person, 1).is_multiple_of(20) && date % 365 >= hash(person, 2) % 365;
    let department = (home + u64::from(moves)) % departments;
    let name: Arc<str> = format!("组{department}").into();
    let department = Department { path: format!("总部/部{}/{name}", department % 70).into(), name };
    let today = hash(person, date);
    let weekday_share = if date % 7 >= 5 { 10 } else { 60 };
    let is_active = today % 100 < weekday_share;
    let features = Flag::ALL.into_iter().skip(2).zip([120, 64, 51, 38, 25]);
    let flags = features.zip(1..).fold(Flags::default(), |flags, ((flag, share), position)| {
        flags.with(flag, is_active && (today >> (7 * position)) & 127 < share)
    });
    let activation = "2019-01-01".parse::<Day>().expect("a day").plus((hash(person, 3) % 365) as i32);
    Row {
        user_id: Some(format!("ou_{:016x}{:016x}", hash(person, 4), hash(person, 5))),
        department,
        register_time: Some(Geo::Cn.starts_at(activation)),
        flags: flags.with(Flag::Activated, !person.is_multiple_of(50)).with(Flag::Active, is_active),
        ..Row::default()
    }
}

/// `splitmix64`.
fn hash(person: u64, purpose: u64) -> u64 {
    let mut x = ((person << 20) ^ purpose).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A running gateway.
struct Gateway {
    process: Child,
    http: reqwest::Client,
    base: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Gateway {
    /// Starts the binary. Returns the milliseconds until it was ready.
    async fn start(lake: &Path, state: &Path, cache: &str) -> (Self, f64) {
        let address = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("an address").to_string()
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-pulse"));
        command.env_clear().arg("serve").stdin(Stdio::null()).stdout(Stdio::null());
        command.env("FEISHU_BASE_URL", FEISHU).env("PULSE_ARCHIVE", lake).env("PULSE_STATE_DIR", state);
        command.env("FEISHU_APP_ID", "cli_large").env("FEISHU_APP_SECRET", "secret").env("PULSE_CACHE_BYTES", cache);
        command
            .env("PULSE_LISTEN", &address)
            .env("PULSE_WARM", "off")
            .env("PULSE_LOG", "warn")
            .env("PULSE_REQUEST_TIMEOUT", "10min");
        // The settings of the allocator.
        command.envs(std::env::vars().filter(|(name, _)| name.starts_with("MIMALLOC_")));
        let started = Instant::now();
        let process = command.spawn().expect("the binary");
        let http = reqwest::Client::builder().no_gzip().build().expect("a client");
        let gateway = Self { process, http, base: format!("http://{address}") };
        while !gateway
            .http
            .get(format!("{}/readyz", gateway.base))
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            assert!(started.elapsed() < Duration::from_secs(60), "the gateway is not ready within 60 s");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (gateway, milliseconds(started))
    }

    /// Requests the activity of each day of a range. Returns the milliseconds until the whole answer was read.
    async fn activity(&self, range: DayRange) -> f64 {
        let started = Instant::now();
        let (first, last) = (range.first(), range.last());
        let path = format!("/v1/reports/activity?start_date={first}&end_date={last}&trailing=held");
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        let took = milliseconds(started);
        assert!(status.is_success(), "{status}: {text}");
        let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(answer["meta"]["days"]["missing"].as_array().map(Vec::len), Some(0), "all days are in the archive");
        took
    }

    async fn metrics(&self) -> impl Fn(&str) -> f64 {
        let answer = self.http.get(format!("{}/metrics", self.base)).send().await.expect("an answer");
        let page = answer.text().await.expect("a body");
        move |name| {
            let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            value.unwrap_or_else(|| panic!("{name} in {page}"))
        }
    }
}

async fn measure(lake: &Path, scratch: &Path, people: u32, range: DayRange, cache: &str) {
    let row = |figure: &str, value: f64, goal: &str| println!("| {figure} | {value:.1} | {goal} |");
    println!("| {people} people over {} days, `PULSE_CACHE_BYTES={cache}` | result | goal |", range.len());
    println!("| --- | ---: | ---: |");
    let disk: u64 = range.days().map(|day| file(lake, day).metadata().expect("a file of each day").len()).sum();
    row("files, MB", disk as f64 / 1e6, "");

    let (gateway, ready) = Gateway::start(lake, scratch, cache).await;
    row("start to `/readyz`, ms", ready, "2,000");
    let year = DayRange::ending(range.last(), u16::try_from(range.len()).expect("a short range").min(YEAR));
    let first_year = gateway.activity(year).await;
    let metric = gateway.metrics().await;
    row("activity by day of the latest year, the first time, ms", first_year, "5,000");
    row("bytes read for it, MB, with those of the start", metric("feishu_pulse_archive_read_bytes_total ") / 1e6, "");
    let warm_year = warm(&gateway, year).await;
    row("the same from memory, median, ms", warm_year, "");
    if range.len() > year.len() {
        row("activity by day of all days, the first time, ms", gateway.activity(range).await, "");
        row("another range of that length from memory, median, ms", warm(&gateway, range).await, "");
        row("the same question again, ms", gateway.activity(range).await, "10");
    }
    let metric = gateway.metrics().await;
    row("days whose rows were decoded", metric("feishu_pulse_archive_reads_total{read=\"rows\"}"), "0");
    row("days in memory, MiB", metric("feishu_pulse_memory_bytes ") / f64::from(1 << 20), "");
    row("resident memory, MiB", metric("process_resident_memory_bytes ") / f64::from(1 << 20), "");
}

/// The median time of answers that are computed from days in memory.
async fn warm(gateway: &Gateway, range: DayRange) -> f64 {
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let length = u16::try_from(range.len()).expect("a short range") - u16::try_from(round).expect("a short range");
        times.push(gateway.activity(DayRange::ending(range.last(), length)).await);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
