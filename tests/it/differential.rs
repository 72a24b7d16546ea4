//! A differential test. An independent computation answers random questions about random tenants; each number of the
//! gateway's answer must equal it. The tenants have the oddities of Feishu: the same id in several geos, rows without an
//! id, people who join, leave and move, paths with two names, people without a department, numbers in several
//! notations, and days that are late.
//!
//! `PULSE_DIFFERENTIAL_SECONDS` is the time for each random test of this module, `PULSE_DIFFERENTIAL_SEED` repeats the
//! tenant of a failure.

mod callers;
mod examples;
mod gateway;
mod loading_order;
mod oracle;
mod questions;
mod tenant;
mod upstream;

use std::{env, sync::Arc, time::Duration};

use fastrand::Rng;
use serde_json::{Map, Value};
use tokio::time::Instant;

use self::{
    gateway::{Gateway, run},
    questions::{Question, Report, encoded},
    tenant::Tenant,
    upstream::Upstream,
};

/// Questions about each tenant. Later ones are answered from days that earlier ones have loaded.
const QUESTIONS: usize = 40;

/// Time without `PULSE_DIFFERENTIAL_SECONDS`.
const TIME: Duration = Duration::from_secs(20);

/// Calls `check` with random seeds until the time is over, which the environment can set, or once with the seed of the
/// environment.
fn for_random_seeds(time: Duration, check: impl Fn(u64)) {
    let variable = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a whole number"));
    if let Some(seed) = variable("PULSE_DIFFERENTIAL_SEED") {
        return check(seed);
    }
    let time = variable("PULSE_DIFFERENTIAL_SECONDS").map_or(time, Duration::from_secs);
    let start = Instant::now();
    let mut tenants = 0;
    while tenants == 0 || start.elapsed() < time {
        check(fastrand::u64(..));
        tenants += 1;
    }
    println!("{tenants} random tenants");
}

#[test]
fn every_report_equals_an_independent_computation() {
    for_random_seeds(TIME, |seed| {
        run(async {
            let tenant = Tenant::random(seed);
            let tenant = Arc::new(if seed % 2 == 0 { tenant } else { tenant.with_late_days(seed) });
            let upstream = Upstream::start(Arc::clone(&tenant)).await;
            let gateway = Gateway::start(&tenant, &upstream, |_| {}).await;
            let rng = &mut Rng::with_seed(seed);
            for _ in 0..QUESTIONS {
                let question = Question::random(rng, &tenant);
                let found = answer(&gateway, &question, rng.usize(1..40)).await;
                if let Err(difference) = compare("data", &question.answer(&tenant), &found) {
                    panic!("PULSE_DIFFERENTIAL_SEED={seed}: {}\n{difference}", question.url());
                }
            }
        });
    });
}

#[test]
fn a_row_of_departments_equals_the_activity_of_its_path() {
    for_random_seeds(Duration::from_secs(4), |seed| {
        run(async {
            let tenant = Arc::new(Tenant::random(seed));
            let upstream = Upstream::start(Arc::clone(&tenant)).await;
            let gateway = Gateway::start(&tenant, &upstream, |_| {}).await;
            let (last, geos) = (tenant.last, tenant.geos.join(","));
            // A month, which is one bucket of the activity.
            for range in [
                format!("start_date={last}&end_date={last}"),
                format!("start_date={}&end_date={last}", last.first_of_month()),
            ] {
                let query = format!("{range}&geo={geos}&trailing=fetch");
                let departments = gateway.get(&format!("/v1/reports/departments?{query}")).await.json();
                for row in departments["data"].as_array().expect("a list") {
                    let path = encoded(row["department_path"].as_str().expect("a path"));
                    if path.is_empty() {
                        continue;
                    }
                    let url = format!("/v1/reports/activity?{query}&interval=month&department_path={path}");
                    let activity = gateway.get(&url).await.json();
                    for figure in ["users", "activated", "active", "wau", "mau", "stickiness", "features", "counters"] {
                        let place = format!("PULSE_DIFFERENTIAL_SEED={seed}: {url}: {figure}");
                        assert_eq!(row[figure], activity["data"][0][figure], "{place}");
                    }
                }
            }
        });
    });
}

/// `data` of the answer; the items of all pages, with `limit` items each, if it has pages.
async fn answer(gateway: &Gateway, question: &Question, limit: usize) -> Value {
    if !matches!(question.report, Report::Users(_)) {
        return gateway.get(&question.url()).await.json()["data"].take();
    }
    let url = format!("{}&limit={limit}", question.url());
    let (mut items, mut next) = (Vec::new(), Some(url.clone()));
    while let Some(path) = next {
        let mut page = gateway.get(&path).await.json();
        let own = page["data"].as_array().expect("a page").clone();
        next = page["meta"]["next_cursor"].as_str().map(|cursor| format!("{url}&cursor={cursor}"));
        assert!(next.is_none() || !own.is_empty(), "{path}: a page without items has a next page");
        items.extend(own);
        assert!(page["meta"]["total"].take().as_u64() >= Some(items.len() as u64), "{path}: more items than the total");
    }
    items.into()
}

/// Compares two answers.
///
/// # Errors
/// The first difference.
fn compare(place: &str, expected: &Value, found: &Value) -> Result<(), String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => compare_objects(place, expected, found),
        (Value::Array(expected), Value::Array(found)) => {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{place}[{index}]"), expected, found)?;
            }
            let sizes = (expected.len(), found.len());
            if sizes.0 == sizes.1 {
                Ok(())
            } else {
                Err(format!("{place}: {} items expected, {} found", sizes.0, sizes.1))
            }
        }
        _ if is_same_number(expected, found) || expected == found => Ok(()),
        _ => Err(format!("{place}: {expected} expected, {found} found")),
    }
}

fn compare_objects(place: &str, expected: &Map<String, Value>, found: &Map<String, Value>) -> Result<(), String> {
    for (name, expected) in expected {
        let place = format!("{place}.{name}");
        compare(&place, expected, found.get(name).ok_or_else(|| format!("{place}: missing"))?)?;
    }
    // A new field needs an independent computation too.
    found
        .keys()
        .find(|name| !expected.contains_key(*name))
        .map_or(Ok(()), |name| Err(format!("{place}.{name}: unexpected")))
}

/// Whether two numbers are equal, as an integer or as a fraction: `170` and `170.0`.
fn is_same_number(one: &Value, other: &Value) -> bool {
    if let (Some(one), Some(other)) = (one.as_u64(), other.as_u64()) {
        return one == other;
    }
    one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| (one - other).abs() < 1e-9)
}
