//! Pictures of the activity and of the summary.

use std::num::NonZeroU64;

use feishu_pulse::access::Scope;
use feishu_simulator::SimulatorConfig;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::Value;

use crate::{
    access::callers::{GuardedGateway, Key, encoded, send},
    support::{ApiResponse, Setup},
};

const WEEK: &str = "start_date=2026-11-15&end_date=2026-11-21";

fn tenant() -> SimulatorConfig {
    SimulatorConfig { users: 150, days: 60, turnover: 0.0, ..SimulatorConfig::default() }
}

/// The text between the tags of an element.
fn element<'a>(picture: &'a ApiResponse, name: &str) -> &'a str {
    assert_eq!(picture.status, StatusCode::OK, "{}", picture.text);
    let (_, after) = picture.text.split_once(&format!("<{name} ")).expect("the element");
    let (content, _) = after.split_once(&format!("</{name}>")).expect("its end");
    content.split_once('>').expect("the end of its tag").1
}

#[tokio::test]
async fn the_picture_of_the_activity_has_the_figures_of_the_report() {
    let setup = Setup::new(tenant()).await;
    let report = setup.get(&format!("/v1/reports/activity?{WEEK}")).await.json();

    let picture = setup.get(&format!("/v1/reports/activity.svg?{WEEK}")).await;

    let newest = &report["data"][6];
    let figures = format!(
        "Latest (2026-11-21): active: {}, active in 7 days: {}, active in 30 days: {}.",
        newest["active"], newest["wau"], newest["mau"]
    );
    let description = element(&picture, "desc");
    assert!(description.contains(&figures), "{description}");
    assert!(description.contains("provisional: 2026-11-21."), "{description}");
    assert_eq!(element(&picture, "title"), "Active people, by day: all departments");
    assert_eq!(picture.headers["content-type"], "image/svg+xml");
    assert_eq!(picture.headers["content-security-policy"], "default-src 'none'");
    assert_eq!(picture.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn the_picture_of_the_summary_has_the_figures_of_the_report() {
    let setup = Setup::new(tenant()).await;
    let report = setup.get(&format!("/v1/reports/summary?{WEEK}")).await.json();
    let figure = |name: &str| -> f64 {
        let figures = report["data"]["figures"].as_array().unwrap();
        figures.iter().find(|figure| figure["figure"] == name).unwrap()["current"].as_f64().unwrap()
    };

    let picture = setup.get(&format!("/v1/reports/summary.svg?{WEEK}&lang=zh&theme=dark")).await;

    let description = element(&picture, "desc");
    let rate = format!("日均活跃率：{:.1} %（", figure("active_rate_per_day") * 100.0);
    let people = format!("，人数：{}", figure("people"));
    let messages = format!("消息：{:.0}", figure("im_active_per_day"));
    for expected in [rate.as_str(), &people, &messages, "。各功能日均使用人数："] {
        assert!(description.contains(expected), "{expected}: {description}");
    }
    assert!(!description.contains([',', '(', ':', ';']), "{description}");
    assert!(picture.text.contains("fill=\"#17181a\""), "{}", picture.text);
}

#[tokio::test]
async fn the_change_of_a_share_is_in_points_and_activated_people_are_part_of_the_people() {
    // Many people join and leave, so the people of the range are more than those of its last date.
    let setup = Setup::new(SimulatorConfig { turnover: 0.9, ..tenant() }).await;
    let report = setup.get(&format!("/v1/reports/summary?{WEEK}")).await.json();
    let [current, previous] = ["current", "previous"].map(|range| &report["data"][range]);
    assert!(current["people"].as_u64() > current["users"].as_u64(), "{current}");
    let points =
        (current["active_rate_per_day"].as_f64().unwrap() - previous["active_rate_per_day"].as_f64().unwrap()) * 100.0;
    assert!(points.abs() > 0.05, "{points}");
    let sign = if points > 0.0 { '+' } else { '−' };

    let picture = setup.get(&format!("/v1/reports/summary.svg?{WEEK}")).await;

    let description = element(&picture, "desc");
    for expected in [
        format!("({sign}{:.1} pts), people: {}", points.abs(), current["people"]),
        format!(", activated: {}", current["activated"]),
    ] {
        assert!(description.contains(&expected), "{expected}: {description}");
    }
}

#[tokio::test]
async fn a_date_that_does_not_count_is_a_gap() {
    let setup = Setup::new(tenant()).await;
    let whole = setup.get(&format!("/v1/reports/activity.svg?trailing=none&{WEEK}")).await;
    let setup = Setup::new(tenant()).await;
    setup.simulator.production().delay(setup.home(), "2026-11-18".parse().unwrap());

    let cut = setup.get(&format!("/v1/reports/activity.svg?trailing=none&{WEEK}")).await;

    assert!(element(&cut, "desc").contains("does not count: 2026-11-18."), "{}", cut.text);
    let parts = |picture: &ApiResponse| {
        let line = picture.text.split("<path d=\"M").find(|path| path.contains("h0L")).expect("a line").to_owned();
        line.split('"').next().unwrap().split('M').count()
    };
    assert_eq!((parts(&whole), parts(&cut)), (1, 2));
}

#[rstest]
#[case("activity")]
#[case("summary")]
#[tokio::test]
async fn a_picture_is_revalidated_and_each_style_is_another(#[case] report: &str) {
    let setup = Setup::new(tenant()).await;
    let address = format!("{}/v1/reports/{report}.svg?start_date=2026-11-10&end_date=2026-11-12", setup.base);
    let first = send(setup.http.get(&address)).await;
    let etag = first.headers["etag"].to_str().unwrap();
    let calls = setup.upstream_calls();

    let again = send(setup.http.get(&address).header("if-none-match", etag)).await;
    let dark = send(setup.http.get(format!("{address}&theme=dark")).header("if-none-match", etag)).await;

    assert_eq!((first.status, again.status, again.text.as_str()), (StatusCode::OK, StatusCode::NOT_MODIFIED, ""));
    assert_eq!(dark.status, StatusCode::OK);
    assert_ne!(dark.text, first.text);
    assert_eq!(setup.upstream_calls(), calls);
    assert!(first.headers["cache-control"].to_str().unwrap().starts_with("private"));
}

#[rstest]
#[case("theme=blue", "theme")]
#[case("lang=fr", "lang")]
#[case("format=csv", "format")]
#[case("layout=flat", "layout")]
#[tokio::test]
async fn a_faulty_parameter_is_named(#[case] parameter: &str, #[case] name: &str) {
    let setup = Setup::new(tenant()).await;

    let problem = setup.get(&format!("/v1/reports/activity.svg?{WEEK}&{parameter}")).await.problem();

    assert_eq!((&problem["code"], &problem["errors"][0]["parameter"]), (&"invalid_parameters".into(), &name.into()));
    // The JSON operation has no style.
    let problem = setup.get(&format!("/v1/reports/activity?{WEEK}&theme=dark")).await.problem();
    assert_eq!(problem["errors"][0]["parameter"], "theme");
    assert_eq!(setup.get(&format!("/v1/reports/clients.svg?{WEEK}")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_picture_shows_what_its_caller_may_see() {
    let all = Key::new("all", &[Scope::UsersRead]);
    let departments = {
        let setup = Setup::new(tenant()).await;
        setup.get(&format!("/v1/reports/departments?depth=2&{WEEK}")).await.json()
    };
    let departments = departments["data"].as_array().unwrap();
    let department = departments.last().unwrap()["department_path"].as_str().unwrap();
    let bound = Key::bound("bound", &[Scope::ReportsRead], &[department]);
    let guarded = GuardedGateway::new(tenant(), &[all.clone(), bound.clone()]).await;
    let path = format!("/v1/reports/activity.svg?{WEEK}");

    let (whole, part) = (guarded.get(&path, &all).await, guarded.get(&path, &bound).await);
    let selected = guarded.get(&format!("{path}&department_path={}", encoded(department)), &all).await;
    let other = departments[0]["department_path"].as_str().unwrap();
    let refused = guarded.get(&format!("{path}&department_path={}", encoded(&format!("{other}/x"))), &bound).await;

    assert_ne!(element(&whole, "desc"), element(&part, "desc"));
    assert_eq!(element(&selected, "desc"), element(&part, "desc"));
    assert!(element(&selected, "title").ends_with(department) && !part.text.contains(department));
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    assert_eq!(send(guarded.request(Method::GET, &path)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn withheld_figures_are_named_as_such() {
    let keys = [Key::new("reports", &[Scope::ReportsRead]), Key::new("users", &[Scope::UsersRead])];
    let [reports, users] = &keys;
    let guarded = GuardedGateway::with(tenant(), &keys, |config| config.min_group_size = NonZeroU64::new(40)).await;
    // On weekends few people are active.
    let days = "start_date=2026-11-14&end_date=2026-11-15";
    let path = format!("/v1/reports/activity?{days}");
    let active = |report: Value| report["data"][0]["active"].clone();
    let known = active(guarded.get(&path, users).await.json());
    assert!(active(guarded.get(&path, reports).await.json()).is_null() && known.is_u64(), "{known}");

    let hidden = guarded.get(&format!("/v1/reports/activity.svg?{days}"), reports).await;
    let summary = guarded.get(&format!("/v1/reports/summary.svg?{days}"), reports).await;
    let shown = guarded.get(&format!("/v1/reports/activity.svg?{days}"), users).await;

    assert!(hidden.text.contains("withheld") && !element(&hidden, "desc").contains(&format!("active: {known}")));
    assert!(element(&summary, "desc").contains("withheld"), "{}", summary.text);
    assert!(!shown.text.contains("withheld"), "{}", shown.text);
}
