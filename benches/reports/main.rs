//! How fast reports are answered over HTTP, and what they take in memory: `cargo bench --bench reports`.
//!
//! 100,000 people × 365 days × 300 departments, or as many as `company` is told, made by a formula that `rivals.py` knows
//! too. Prints one line of JSON a question; `benches/reports/run` puts them beside those of `DuckDB` and Polars.
//! `PULSE_BENCH_ROUNDS` asks each question so many times, for a profiler to look at.
//!
//! `cargo bench --bench reports -- beside SMALL_URL LARGE_URL` times small requests beside large ones at any server.

#![allow(clippy::cast_possible_truncation, reason = "the formula is made of remainders")]

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use axum::Router;
use feishu_pulse::{
    access::{AccessConfig, Gatekeeper},
    api::{self, AccessTokens, ApiState, Bounds, Front, MetricsPlace, work::Desks},
    app::{
        self, Gateway, ServerConfig,
        upkeep::{Upkeep, UpkeepConfig},
    },
    feishu::quota::{Quota, QuotaConfig},
    meter::Meters,
    model::{Clock, DayRange, Geo, ManualClock},
    query::{Backfills, Engine, Filler, Views},
    source::DaySource,
    store::{Keep, Memory, Policy, Recall, SingleFlight},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};

/// As the gateway has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod beside;
mod company;

use company::{Company, people};

const BYTES: u64 = 16 << 30;

const MONTH: &str = "start_date=2026-10-01&end_date=2026-10-31";
const DEPARTMENT: &str = "department_path=%E6%80%BB%E9%83%A8/%E9%83%A83/%E7%BB%847";
const FIELDS: &str = "fields=date,user_id,user_name,department_path,activated,active,im_active,docs_active,cal_active,\
    vc_active,search_active,send_messenger_num,create_docs_num,create_cal_num,vc_duration,vc_num,create_task_num,\
    email_send_count,email_receive_count,email_send_ext_count,email_receive_ext_count,email_send_in_count,\
    email_receive_in_count,total_search_count,quick_search_count,tab_search_count";

/// Reads out of an answer what the rivals' answers are held against.
type Check = fn(&Value) -> Value;

/// The questions, by the names that `rivals.py` gives them. Exports have nothing to read out but their lines.
fn questions() -> Vec<(&'static str, String, Option<Check>)> {
    let year = range(company::days());
    vec![
        ("activity_by_day", format!("/v1/reports/activity?{year}"), Some(sums)),
        ("rolling_company", format!("/v1/reports/activity?{year}"), Some(windows)),
        ("rolling_one_department", format!("/v1/reports/activity?{year}&{DEPARTMENT}"), Some(windows)),
        ("departments_of_a_month", format!("/v1/reports/departments?{MONTH}"), Some(sums)),
        ("departments_of_a_month_sums", format!("/v1/reports/departments?{MONTH}&distinct=false"), Some(messages)),
        ("top_100_by_messages", format!("/v1/users?{year}&sort=-send_messenger_num&limit=100"), Some(messages)),
        ("inactive_for_30_days", format!("/v1/users?{year}&inactive_for=30d&limit=100"), Some(first_and_total)),
        ("small_request", "/v1/reports/activity?start_date=2026-10-31&end_date=2026-10-31".to_owned(), None),
        ("month_as_csv", format!("/v1/user-days?{MONTH}&{FIELDS}&format=csv"), None),
        ("month_as_ndjson", format!("/v1/user-days?{MONTH}&{FIELDS}&format=ndjson"), None),
        ("month_as_parquet", format!("/v1/user-days?{MONTH}&{FIELDS}&format=parquet"), None),
    ]
}

fn range(days: DayRange) -> String {
    format!("start_date={}&end_date={}", days.first(), days.last())
}

fn added_up(answer: &Value, figure: impl Fn(&Value) -> Option<u64>) -> u64 {
    let items = answer["data"].as_array().expect("items");
    items.iter().map(|item| figure(item).expect("a count")).sum()
}

fn messages(answer: &Value) -> Value {
    added_up(answer, |item| item["counters"]["send_messenger_num"].as_u64()).into()
}

fn sums(answer: &Value) -> Value {
    json!([added_up(answer, |item| item["active"].as_u64()), messages(answer)])
}

/// Of the day in the middle.
fn windows(answer: &Value) -> Value {
    let day = &answer["data"][company::days().len() / 2];
    json!([day["wau"], day["mau"]])
}

fn first_and_total(answer: &Value) -> Value {
    json!([answer["data"][0]["user_id"], answer["meta"]["total"]])
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["burn"] => beside::burn(),
        ["read", url] => beside::read(url).await,
        ["beside", small, large] => {
            beside::measure(small.to_owned(), vec![("large".to_owned(), large.to_owned())]).await;
        }
        ref named => all(named).await,
    }
}

/// Asks the questions with these names; all where there is none.
async fn all(named: &[&str]) {
    let clock = Arc::new(ManualClock::at("2026-12-01T04:00:00Z".parse().expect("an instant")));
    let (base, memory) = serve(clock).await;
    let http = reqwest::Client::builder().no_gzip().build().expect("a client");

    let started = Instant::now();
    // A question that nothing is kept of but the days.
    let warm = format!("{base}/v1/reports/departments?{}&distinct=false&depth=1", range(company::days()));
    http.get(warm).send().await.expect("an answer").bytes().await.expect("a body");
    println!("{}", json!({ "note": "made the data", "seconds": started.elapsed().as_secs_f64() }));
    weigh(&memory).await;

    let is_asked = |name: &str| named.is_empty() || named.contains(&name);
    for (name, path, check) in questions().into_iter().filter(|(name, ..)| is_asked(name)) {
        ask(&http, &format!("{base}{path}"), name, check).await;
    }
    if is_asked("beside") {
        let url = |wanted: &str| {
            let path = questions().into_iter().find(|(name, ..)| *name == wanted).expect("a question").1;
            format!("{base}{path}")
        };
        let exports = questions().into_iter().map(|(name, ..)| name).filter(|name| name.starts_with("month_as"));
        beside::measure(url("small_request"), exports.map(|name| (name.to_owned(), url(name))).collect()).await;
    }
}

/// Asks one question again and again, and prints how long it took.
async fn ask(http: &reqwest::Client, url: &str, name: &str, check: Option<Check>) {
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
        "question": name, "ms": ms(times[times.len() / 2]), "least_ms": ms(times[0]), "first_ms": ms(first),
        "bytes": bytes, "check": check,
    });
    println!("{line}");
}

/// The time until the last byte.
async fn timed(http: &reqwest::Client, url: &str) -> Duration {
    let started = Instant::now();
    read(http, url, |_| ()).await;
    started.elapsed()
}

/// Reads an answer to its end.
async fn read(http: &reqwest::Client, url: &str, mut each: impl FnMut(&[u8])) {
    let mut answer = http.get(url).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{url}");
    while let Some(chunk) = answer.chunk().await.expect("a chunk") {
        each(&chunk);
    }
}

/// The gateway as it is, with the company where Feishu would be.
async fn serve(clock: Arc<ManualClock>) -> (String, Arc<Memory>) {
    let clock: Arc<dyn Clock> = clock;
    let memory = Arc::new(Memory::new(BYTES, Policy::default(), Arc::clone(&clock)));
    let company = Company::new(Arc::clone(&clock));
    let kept = SingleFlight::new(Keep::new(Arc::clone(&memory), company));
    let source: Arc<dyn DaySource> = Arc::new(Recall::new(Arc::clone(&memory), Arc::new(kept)));
    let draining = Arc::new(AtomicBool::new(false));
    let engine = Engine::new(source, Arc::clone(&memory), Arc::clone(&clock));
    let filler = Filler::new(engine.clone(), None, Arc::new(|| 0));
    let backfills = Backfills::new(filler.clone());
    let geos: Arc<[Geo]> = [Geo::Cn].into();
    let upkeep = Upkeep {
        config: UpkeepConfig { warm_days: None, ..UpkeepConfig::default() },
        engine: engine.clone(),
        archive: None,
        geos: Arc::clone(&geos),
        policy: Policy::default(),
        clock: Arc::clone(&clock),
    };
    let gatekeeper = Arc::new(Gatekeeper::new(&AccessConfig::default()).expect("no access control"));
    // Nothing is kept: what is measured is how long an answer takes to make.
    let front = Arc::new(Front::new(0, engine.clone(), Arc::default(), Arc::clone(&gatekeeper)));
    let state = ApiState {
        front: Arc::clone(&front),
        backfills: backfills.clone(),
        meters: Meters::new([]),
        traffic: Arc::default(),
        archive: None,
        access_tokens: AccessTokens::new(&"no secret".into()),
        gatekeeper: Arc::clone(&gatekeeper),
        views: Views::new(engine, None),
        drop_in_extended: false,
        least_group: None,
        cors: None,
        quota: Arc::new(Quota::new(QuotaConfig::default(), clock)),
        geos,
        request_timeout: Duration::from_secs(3600),
        log_filter: None,
        desks: Desks::open().expect("threads"),
        draining: Arc::clone(&draining),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let router = api::router(state, MetricsPlace::default(), Bounds::new(1024, Duration::from_secs(3600)));
    let gateway = Gateway {
        router,
        front,
        archive: None,
        filler,
        backfills,
        operations: Router::new(),
        upkeep,
        gatekeeper,
        draining,
        server: ServerConfig::default(),
    };
    tokio::spawn(app::serve(gateway, listener, std::future::pending()));
    (base, memory)
}

/// Bytes per user-day.
async fn weigh(memory: &Memory) {
    let (mut rows, mut digests) = (0, 0);
    for day in company::days().days() {
        let key = company::key(day);
        rows += memory.held(&key).await.map_or(0, |held| held.day.bytes());
        digests += memory.held_digest(&key).await.map_or(0, |held| held.day.bytes());
    }
    let user_days = f64::from(people()) * company::days().len() as f64;
    let line = json!({
        "note": "bytes per user-day", "rows": rows as f64 / user_days, "digest": digests as f64 / user_days,
    });
    println!("{line}");
}
