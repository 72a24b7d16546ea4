//! Small tenants that were once answered wrongly.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    callers::{Caller, Keys},
    gateway::Gateway,
    tenant::{Tenant, UserDay},
    upstream::Upstream,
};
use crate::support::ApiResponse;

const LAST_DAY: &str = "start_date=2026-11-17&end_date=2026-11-17";
const LAST_WEEK: &str = "start_date=2026-11-10&end_date=2026-11-17";

async fn gateway(geos: &[&'static str], rows: impl IntoIterator<Item = UserDay>) -> Gateway {
    let tenant = Arc::new(Tenant::with_rows(geos, rows));
    let upstream = Upstream::start(Arc::clone(&tenant)).await;
    Gateway::start(&tenant, &upstream, |_| {}).await
}

fn department(answer: &Value, path: &str) -> Value {
    let items = answer["data"].as_array().expect("a list");
    items.iter().find(|item| item["department_path"] == path).expect("the department").clone()
}

#[tokio::test]
async fn an_id_in_two_geos_on_one_day_is_one_person() {
    // Person a has rows in both geos, in departments of the same department; b in one geo.
    let rows = (0..40).flat_map(|day| {
        [
            UserDay::active(day, "cn", "a", "Top/X"),
            UserDay::active(day, "cn", "b", "Top/X"),
            UserDay::active(day, "sg", "a", "Top/Y"),
        ]
    });
    let gateway = gateway(&["cn", "sg"], rows).await;

    let activity = gateway.get(&format!("/v1/reports/activity?{LAST_DAY}&geo=cn,sg&trailing=fetch")).await.json();
    let summary = gateway.get(&format!("/v1/reports/summary?{LAST_WEEK}&geo=cn,sg")).await.json();
    let departments = gateway.get(&format!("/v1/reports/departments?{LAST_DAY}&geo=cn,sg&trailing=fetch")).await.json();
    let users = gateway.get(&format!("/v1/users?{LAST_WEEK}&geo=cn,sg&sort=-active_days")).await.json();
    let user = gateway.get(&format!("/v1/users/a?{LAST_WEEK}&geo=cn,sg")).await.json();

    let day = &activity["data"][0];
    assert_eq!((&day["users"], &day["activated"], &day["active"]), (&json!(2), &json!(2), &json!(2)));
    assert_eq!((&day["features"]["im"]["active"], &day["stickiness"]), (&json!(2), &json!(1.0)));
    assert_eq!(day["counters"]["send_messenger_num"], 3);
    assert_eq!(summary["data"]["current"]["active_per_day"], 2.0);
    let people = |path| {
        let item = department(&departments, path);
        (item["users"].clone(), item["active"].clone(), item["stickiness"].clone())
    };
    assert_eq!(people("Top"), (json!(2), json!(2), json!(1.0)));
    assert_eq!(people("Top/Y"), (json!(1), json!(1), json!(1.0)));
    let total = |item: &Value| {
        let features = &item["features"]["im"]["active_days"];
        (item["active_days"].clone(), features.clone(), item["counters"]["send_messenger_num"].clone())
    };
    assert_eq!(users["data"].as_array().expect("people").len(), 2);
    assert_eq!(total(&users["data"][0]), (json!(8), json!(8), json!(16)));
    assert_eq!(total(&user["data"]["total"]), (json!(8), json!(8), json!(16)));
}

#[tokio::test]
async fn people_of_a_dissolved_department_count_in_the_trailing_figures_of_its_ancestors() {
    let rows = (0..40).flat_map(|day| {
        let dissolved = (day > 2).then(|| UserDay::active(day, "cn", "c", "Top/R/Old"));
        [UserDay::active(day, "cn", "a", "Top/R"), UserDay::active(day, "cn", "b", "Top/R")]
            .into_iter()
            .chain(dissolved)
    });
    let gateway = gateway(&["cn"], rows).await;

    let departments = gateway.get(&format!("/v1/reports/departments?{LAST_DAY}&trailing=fetch")).await.json();
    let activity =
        gateway.get(&format!("/v1/reports/activity?{LAST_DAY}&trailing=fetch&department_path=Top/R")).await.json();

    let item = department(&departments, "Top/R");
    assert_eq!((&item["users"], &item["wau"], &item["mau"]), (&json!(2), &json!(3), &json!(3)));
    for figure in ["users", "activated", "active", "wau", "mau", "stickiness", "features", "counters"] {
        assert_eq!(item[figure], activity["data"][0][figure], "{figure}");
    }
    assert_eq!(departments["data"].as_array().expect("a list").len(), 2, "the dissolved department is not listed");
}

#[tokio::test]
async fn clients_of_people_who_were_not_active_do_not_count() {
    let idle = |id| UserDay { active: false, os_names: vec!["iOS"], ..UserDay::active(0, "cn", id, "Top") };
    let rows = [UserDay { os_names: vec!["iOS"], ..UserDay::active(0, "cn", "a", "Top") }, idle("b"), idle("c")];
    let gateway = gateway(&["cn"], rows).await;

    let clients = gateway.get(&format!("/v1/reports/clients?{LAST_DAY}")).await.json();

    assert_eq!(clients["data"]["os_names"], json!([{ "name": "iOS", "users": 1, "share": 1.0 }]));
}

/// A company in which a department has five people, and on one day before the last only two.
async fn company_with_a_small_group_on_a_lead_day(keys: &Keys, folder: &std::path::Path) -> Gateway {
    let rows = (0..40).flat_map(|day| {
        let people = (0..20).filter(move |person| day != 20 || *person >= 18 || *person < 15);
        people.map(move |person| {
            let path = if person < 15 { "Top/Large" } else { "Top/R" };
            UserDay::active(day, "cn", &format!("ou_{person}"), path)
        })
    });
    let tenant = Arc::new(Tenant::with_rows(&["cn"], rows));
    let upstream = Upstream::start(Arc::clone(&tenant)).await;
    Gateway::start(&tenant, &upstream, |config| keys.configure(config, folder)).await
}

#[tokio::test]
async fn a_small_group_on_a_lead_day_withholds_trailing_figures_only() {
    let (keys, folder) = (Keys::new(&["Top".to_owned()]), tempfile::tempdir().expect("a folder"));
    let gateway = company_with_a_small_group_on_a_lead_day(&keys, folder.path()).await;
    let get = async |path: &str| {
        let request = gateway.request(path).bearer_auth(keys.secret(Caller::WithoutSmallGroups));
        ApiResponse::read(request.send().await.expect("an answer")).await.json()
    };
    let activity = format!("/v1/reports/activity?{LAST_DAY}&department_path=Top/R");

    let without_lead_days = get(&format!("{activity}&trailing=held")).await;
    let fetched = get(&format!("{activity}&trailing=fetch")).await;
    let with_lead_days = get(&activity).await;
    let departments = get(&format!("/v1/reports/departments?{LAST_DAY}&trailing=fetch")).await;

    let figures = |item: &Value| ["users", "active", "wau", "mau", "stickiness"].map(|figure| item[figure].clone());
    let notes = |answer: &Value| answer["meta"]["notes"].as_array().expect("notes").len();
    assert_eq!(figures(&without_lead_days["data"][0]), [json!(5), json!(5), Value::Null, Value::Null, Value::Null]);
    // The small day is in the window of `mau` but not in that of `wau`.
    let expected = [json!(5), json!(5), json!(5), Value::Null, Value::Null];
    assert_eq!(figures(&fetched["data"][0]), expected);
    assert_eq!(figures(&with_lead_days["data"][0]), expected);
    assert_eq!(figures(&department(&departments, "Top/R")), expected);
    // The other note says what is not protected.
    assert_eq!((notes(&fetched), notes(&departments)), (2, 2));
    assert!(fetched["meta"]["notes"].to_string().contains("mau"));
}

/// Rows of 40 days: `people` people who are there on all days, and `joiners` who join in the last whole week.
fn company_with_joiners(geo: &'static str, people: usize, joiners: usize) -> impl Iterator<Item = UserDay> {
    (0..40).flat_map(move |day| {
        let present = if day <= 8 { people + joiners } else { people };
        (0..present).map(move |person| UserDay::active(day, geo, &format!("{geo}_{person}"), "Top"))
    })
}

const LAST_WHOLE_WEEK: &str = "start_date=2026-11-09&end_date=2026-11-15";

#[tokio::test]
async fn a_movement_that_is_small_in_one_geo_is_withheld_in_all_of_them_together() {
    let (keys, folder) = (Keys::new(&["Top".to_owned()]), tempfile::tempdir().expect("a folder"));
    let idle = (0..40).map(|day| UserDay { active: false, ..UserDay::active(day, "cn", "idle", "Top") });
    let rows = company_with_joiners("cn", 20, 5).chain(company_with_joiners("sg", 20, 2)).chain(idle);
    let tenant = Arc::new(Tenant::with_rows(&["cn", "sg"], rows));
    let upstream = Upstream::start(Arc::clone(&tenant)).await;
    let gateway = Gateway::start(&tenant, &upstream, |config| keys.configure(config, folder.path())).await;
    let figures = async |caller: Caller, geos: &str| {
        let url = format!("/v1/reports/movement?{LAST_WHOLE_WEEK}&geo={geos}");
        let request = gateway.request(&url).bearer_auth(keys.secret(caller));
        let item = ApiResponse::read(request.send().await.expect("an answer")).await.json()["data"][0].take();
        ["active", "reactivated", "joined", "left"].map(|figure| item[figure].as_u64())
    };

    assert_eq!(figures(Caller::Unrestricted, "cn,sg").await, [Some(47), Some(7), Some(7), Some(0)]);
    assert_eq!(figures(Caller::WithoutSmallGroups, "cn").await, [Some(25), Some(5), Some(5), Some(0)]);
    // The two people of sg would be the difference between the two geos and cn.
    assert_eq!(figures(Caller::WithoutSmallGroups, "cn,sg").await, [Some(47), None, None, None]);
}

#[tokio::test]
async fn without_rows_of_inactive_people_nobody_is_said_to_join_or_leave() {
    let gateway = gateway(&["cn"], company_with_joiners("cn", 5, 2)).await;

    let movement = gateway.get(&format!("/v1/reports/movement?{LAST_WHOLE_WEEK}&department_path=Top")).await.json();

    let item = &movement["data"][0];
    assert_eq!((&item["active"], &item["retained"], &item["reactivated"]), (&json!(7), &json!(5), &json!(2)));
    for figure in ["newly_dormant", "joined", "left", "transferred_in", "transferred_out"] {
        assert!(item[figure].is_null(), "{figure}: {item}");
    }
    assert!(movement["meta"]["notes"][0].as_str().expect("a note").contains("no rows for inactive people"));
}
