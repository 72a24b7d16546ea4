//! Latency of reports over HTTP, and memory per user-day: `cargo bench --profile dist --bench reports`.
//!
//! The data is 100,000 people × 365 days × 300 departments by default, see `company`. Prints one line of JSON for each
//! query; `benches/reports/run` compares them with `DuckDB` and Polars. `PULSE_BENCH_ROUNDS` sets the number of
//! repetitions of each query, for use with a profiler.
//!
//! `cargo bench --profile dist --bench reports -- beside SMALL_URL LARGE_URL` measures small requests during large ones at
//! any server.

#![allow(clippy::cast_possible_truncation, reason = "the formula is made of remainders")]

use std::{sync::Arc, time::Duration};

use feishu_pulse::{
    access::{AccessConfig, Authenticator},
    api::{AccessTokens, ApiConfig, ApiParts, ApiState},
    app::{
        self, Gateway, ServerConfig,
        maintenance::{Maintenance, MaintenanceConfig},
    },
    feishu::quota::{MonthlyQuota, QuotaConfig},
    fleet::Leadership,
    model::{Clock, DayRange, Geo, ManualClock},
    query::{BackfillJobs, Backfiller, QueryEngine, ViewEngines},
    source::{Depth, LoadedDay},
    store::{FreshnessPolicy, Memory, read_path},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};

/// The allocator of the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod company;
mod latency_under_load;

use company::{Company, people};

/// Memory limit of the gateway, large enough for all days.
const CACHE_BYTES: u64 = 16 << 30;

/// The cache of monthly roll-ups.
const ROLLUP_BYTES: u64 = 1 << 30;

const MONTH: &str = "start_date=2026-10-01&end_date=2026-10-31";
/// One department, the thirty departments below another, and all departments.
const DEPARTMENT: &str = "department_path=%E6%80%BB%E9%83%A8/%E9%83%A83/%E7%BB%847";
const DIVISION: &str = "department_path=%E6%80%BB%E9%83%A8/%E9%83%A83";
const TOP_DEPARTMENT: &str = "department_path=%E6%80%BB%E9%83%A8";
const FIELDS: &str = "fields=date,user_id,user_name,department_path,activated,active,im_active,docs_active,cal_active,\
    vc_active,search_active,send_messenger_num,create_docs_num,create_cal_num,vc_duration,vc_num,create_task_num,\
    email_send_count,email_receive_count,email_send_ext_count,email_receive_ext_count,email_send_in_count,\
    email_receive_in_count,total_search_count,quick_search_count,tab_search_count";

/// The beginnings of the names of the queries that need rows or monthly roll-ups.
const NEEDS_ROWS: [&str; 7] = ["clients", "licences", "top_100", "inactive", "users", "dormant", "month_as"];

/// Extracts the values that are compared with the other engines.
type Check = fn(&Value) -> Value;

/// The queries, by their names in `duckdb_polars.py`. Only lines of exports are compared.
fn queries() -> Vec<(&'static str, String, Option<Check>)> {
    let year = range(company::days());
    // Half a year is compared with the half before it.
    let half = range(DayRange::ending(company::days().last(), (company::days().len() / 2) as u16));
    vec![
        ("activity_by_day", format!("/v1/reports/activity?{year}"), Some(sums)),
        ("rolling_company", format!("/v1/reports/activity?{year}"), Some(windows)),
        ("rolling_one_department", format!("/v1/reports/activity?{year}&{DEPARTMENT}"), Some(windows)),
        ("rolling_thirty_departments", format!("/v1/reports/activity?{year}&{DIVISION}"), None),
        ("rolling_all_departments", format!("/v1/reports/activity?{year}&{TOP_DEPARTMENT}"), None),
        ("activity_by_week", format!("/v1/reports/activity?{year}&interval=week"), None),
        ("activity_by_month", format!("/v1/reports/activity?{year}&interval=month"), None),
        ("activity_by_month_of_thirty", format!("/v1/reports/activity?{year}&interval=month&{DIVISION}"), None),
        ("regular_by_month", format!("/v1/reports/activity?{year}&interval=month&trailing=none"), Some(regular)),
        ("summary_of_half_a_year", format!("/v1/reports/summary?{half}"), None),
        ("summary_of_thirty_departments", format!("/v1/reports/summary?{half}&{DIVISION}"), None),
        ("departments_of_a_month", format!("/v1/reports/departments?{MONTH}"), Some(sums)),
        ("departments_of_a_month_sums", format!("/v1/reports/departments?{MONTH}&distinct=false"), Some(messages)),
        ("departments_of_a_year", format!("/v1/reports/departments?{year}"), None),
        ("movement", format!("/v1/reports/movement?{year}&interval=month"), Some(movement)),
        ("movement_by_week", format!("/v1/reports/movement?{year}&interval=week"), None),
        ("movement_of_thirty_departments", format!("/v1/reports/movement?{year}&interval=week&{DIVISION}"), None),
        ("retention_by_week", format!("/v1/reports/retention?{year}&interval=week"), None),
        ("retention_of_thirty_departments", format!("/v1/reports/retention?{year}&interval=week&{DIVISION}"), None),
        ("clients", format!("/v1/reports/clients?{year}"), None),
        ("licences", format!("/v1/reports/licences?{year}"), None),
        ("top_100_by_messages", format!("/v1/users?{year}&sort=-send_messenger_num&limit=100"), Some(messages)),
        ("inactive_for_30_days", format!("/v1/users?{year}&inactive_for=30d&limit=100"), Some(first_and_total)),
        ("users_by_active_days", format!("/v1/users?{year}&sort=-active_days&limit=100"), None),
        ("dormant_users", format!("/v1/users?{year}&status=dormant&limit=100"), None),
        ("users_by_name", format!("/v1/users?{year}&sort=user_name&limit=100"), None),
        ("top_100_of_thirty_departments", format!("/v1/users?{year}&sort=-vc_duration&limit=100&{DIVISION}"), None),
        ("small_request", "/v1/reports/activity?start_date=2026-10-31&end_date=2026-10-31".to_owned(), None),
        ("month_as_csv", format!("/v1/user-days?{MONTH}&{FIELDS}&format=csv"), None),
        ("month_as_ndjson", format!("/v1/user-days?{MONTH}&{FIELDS}&format=ndjson"), None),
        ("month_as_parquet", format!("/v1/user-days?{MONTH}&{FIELDS}&format=parquet"), None),
    ]
}

fn range(days: DayRange) -> String {
    format!("start_date={}&end_date={}", days.first(), days.last())
}

fn total(response: &Value, figure: impl Fn(&Value) -> Option<u64>) -> u64 {
    let items = response["data"].as_array().expect("items");
    items.iter().map(|item| figure(item).expect("a count")).sum()
}

fn messages(response: &Value) -> Value {
    total(response, |item| item["counters"]["send_messenger_num"].as_u64()).into()
}

fn sums(response: &Value) -> Value {
    json!([total(response, |item| item["active"].as_u64()), messages(response)])
}

/// The sums over all months but the first, which has nothing to be compared with.
fn movement(response: &Value) -> Value {
    let months = &response["data"].as_array().expect("items")[1..];
    let sum = |figure: &str| months.iter().map(|month| month[figure].as_u64().expect("a count")).sum::<u64>();
    ["active", "retained", "new", "reactivated", "newly_dormant", "joined", "left"].map(sum).to_vec().into()
}

/// The regular people of all months, and the regular users of messages.
fn regular(response: &Value) -> Value {
    let people = total(response, |item| item["regular"].as_u64());
    json!([people, total(response, |item| item["features"]["im"]["regular"].as_u64())])
}

/// The windows that end on the middle day.
fn windows(response: &Value) -> Value {
    let day = &response["data"][company::days().len() / 2];
    json!([day["wau"], day["mau"]])
}

fn first_and_total(response: &Value) -> Value {
    json!([response["data"][0]["user_id"], response["meta"]["total"]])
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["burn"] => latency_under_load::keep_cpu_busy(),
        ["read", url] => latency_under_load::read(url).await,
        ["beside", small, large] => {
            latency_under_load::measure(small.to_owned(), vec![("large".to_owned(), large.to_owned())]).await;
        }
        ref names => run_queries(names).await,
    }
}

/// Runs the queries with these names, or all of them if there are none.
async fn run_queries(names: &[&str]) {
    let clock = Arc::new(ManualClock::at("2026-12-01T04:00:00Z".parse().expect("an instant")));
    let (base, memory) = serve(clock).await;
    let http = reqwest::Client::builder().no_gzip().build().expect("a client");

    let started = Instant::now();
    // This query loads all days and leaves no other cached results.
    let warm = format!("{base}/v1/reports/departments?{}&distinct=false&depth=1", range(company::days()));
    http.get(warm).send().await.expect("a response").bytes().await.expect("a body");
    // Monthly roll-ups are computed in the background after days were loaded. This query waits for the rest of them.
    let all_months = format!("{base}/v1/users?{}&limit=1", range(company::days()));
    if !company::digests_only() {
        http.get(all_months).send().await.expect("a response").bytes().await.expect("a body");
    }
    println!("{}", json!({ "note": "generated the data", "seconds": started.elapsed().as_secs_f64() }));
    print_memory(&memory);

    let has_days = |name: &str| !company::digests_only() || !NEEDS_ROWS.iter().any(|start| name.starts_with(start));
    let is_selected = |name: &str| (names.is_empty() || names.contains(&name)) && has_days(name);
    for (name, path, check) in queries().into_iter().filter(|(name, ..)| is_selected(name)) {
        measure_query(&http, &format!("{base}{path}"), name, check).await;
    }
    let resident = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = |name: &str| {
        let line = resident.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().split(' ').next()?.parse::<u64>().ok()
    };
    println!("{}", json!({ "note": "resident memory, KiB", "now": kibibytes("VmRSS"), "highest": kibibytes("VmHWM") }));
    if is_selected("beside") && !company::digests_only() {
        let url = |wanted: &str| {
            let path = queries().into_iter().find(|(name, ..)| *name == wanted).expect("a query").1;
            format!("{base}{path}")
        };
        let exports = queries().into_iter().map(|(name, ..)| name).filter(|name| name.starts_with("month_as"));
        latency_under_load::measure(url("small_request"), exports.map(|name| (name.to_owned(), url(name))).collect())
            .await;
    }
}

/// Runs one query repeatedly and prints its latency.
async fn measure_query(http: &reqwest::Client, url: &str, name: &str, check: Option<Check>) {
    let is_export = name.starts_with("month_as");
    let rounds = company::number("PULSE_BENCH_ROUNDS").unwrap_or(if is_export { 5 } else { 21 });
    let first = timed(http, url).await;
    let mut times = Vec::new();
    for _ in 0..rounds {
        times.push(timed(http, url).await);
    }
    times.sort_unstable();
    let (mut body, mut bytes, mut lines) = (Vec::new(), 0, 0);
    read(http, url, |chunk| {
        bytes += chunk.len();
        lines += chunk.split(|byte| *byte == b'\n').count() - 1;
        if !is_export {
            body.extend_from_slice(chunk);
        }
    })
    .await;
    let check = match check {
        Some(check) => check(&serde_json::from_slice(&body).expect("JSON")),
        None if name == "month_as_csv" => (lines - 1).into(),
        None if name == "month_as_ndjson" => lines.into(),
        None => Value::Null,
    };
    let ms = |time: Duration| (time.as_secs_f64() * 1e5).round() / 100.0;
    let line = json!({
        "query": name, "ms": ms(times[times.len() / 2]), "min_ms": ms(times[0]), "first_ms": ms(first),
        "bytes": bytes, "check": check,
    });
    println!("{line}");
}

/// The time until the last byte of the response.
async fn timed(http: &reqwest::Client, url: &str) -> Duration {
    let started = Instant::now();
    read(http, url, |_| ()).await;
    started.elapsed()
}

/// Reads a response to its end.
async fn read(http: &reqwest::Client, url: &str, mut each: impl FnMut(&[u8])) {
    let mut response = http.get(url).send().await.expect("a response");
    assert!(response.status().is_success(), "{url}");
    while let Some(chunk) = response.chunk().await.expect("a chunk") {
        each(&chunk);
    }
}

/// Serves the gateway with the generated company as its upstream.
async fn serve(clock: Arc<ManualClock>) -> (String, Arc<Memory>) {
    let clock: Arc<dyn Clock> = clock;
    let memory = Arc::new(Memory::new(CACHE_BYTES, FreshnessPolicy::default(), Arc::clone(&clock)));
    let company = Company::new(Arc::clone(&clock));
    let source = read_path(&memory, None, company).source;
    let engine = QueryEngine::new(source, memory.catalog().clone(), ROLLUP_BYTES);
    let views = ViewEngines::new(engine.clone(), Arc::clone(&memory), None);
    let backfiller = Backfiller::new(engine.clone(), None, Arc::new(|| 0));
    let maintenance = Maintenance {
        config: MaintenanceConfig { warm_days: None, ..MaintenanceConfig::default() },
        views: views.clone(),
        archive: None,
        geos: [Geo::Cn].into(),
        policy: FreshnessPolicy::default(),
        clock: Arc::clone(&clock),
        leadership: Leadership::sole(),
        member: None,
    };
    let parts = ApiParts {
        archive: None,
        backfills: BackfillJobs::new(backfiller.clone()),
        fleet: None,
        quota: Arc::new(MonthlyQuota::new(QuotaConfig::default(), Arc::clone(&clock))),
        authenticator: Arc::new(Authenticator::new(&AccessConfig::default()).expect("no access control")),
        access_tokens: AccessTokens::new(&"no secret".into()),
        views,
        clock,
        collectors: Vec::new(),
    };
    // Without a response cache, so that every response is computed.
    let config = ApiConfig { request_timeout: Duration::from_secs(3600), ..ApiConfig::new(vec![Geo::Cn]) };
    let api = ApiState::new(parts, config).expect("threads");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let server = ServerConfig::default();
    let gateway = Gateway { api, archive: None, backfiller, maintenance, server, upstream: None, fleet: None };
    tokio::spawn(app::serve(gateway, listener, std::future::pending()));
    (base, memory)
}

/// Prints the memory per user-day in bytes.
fn print_memory(memory: &Memory) {
    let (mut rows, mut digests) = (0, 0);
    for day in company::days().days() {
        let key = company::key(day);
        rows += memory.rows(&key).map_or(0, |day| day.memory_bytes());
        digests += match memory.get(&key, Depth::Digest) {
            Some(LoadedDay::Digest(digest)) => digest.memory_bytes(),
            _ => 0,
        };
    }
    let user_days = f64::from(people()) * company::days().len() as f64;
    let line = json!({
        "note": "bytes per user-day", "rows": rows as f64 / user_days, "digest": digests as f64 / user_days,
    });
    println!("{line}");
}
