//! Pseudonymous keys: the same figures, but no name and no id of a person.

use std::collections::BTreeSet;

use feishu_pulse::access::Scope;
use feishu_simulator::{SimulatorConfig, TenantGeo};
use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    access::callers::{GuardedGateway, Key},
    support::day,
};

#[tokio::test]
async fn a_pseudonymous_key_sees_and_selects_people_by_pseudonym_only() {
    let keys = [Key::pseudonymous("pseudonymous", &[Scope::UsersRead], &[]), Key::new("all", &[Scope::UsersRead])];
    let [pseudonymous, all] = &keys;
    let guarded =
        GuardedGateway::new(SimulatorConfig { users: 60, days: 20, ..SimulatorConfig::default() }, &keys).await;
    let truth = guarded.setup.simulator.tenant().rows_of(TenantGeo::Cn, day("2026-11-20").date());
    let secret: BTreeSet<&str> =
        truth.iter().flat_map(|row| [row.open_id.as_str(), row.union_id.as_str(), row.user_name.as_str()]).collect();

    let range = "start_date=2026-11-18&end_date=2026-11-20";
    for path in ["/v1/user-days", "/v1/users"] {
        for format in ["json&limit=1000", "csv", "ndjson"] {
            for kind in ["open_id", "union_id"] {
                let response =
                    guarded.get(&format!("{path}?{range}&format={format}&user_id_type={kind}"), pseudonymous).await;
                assert_eq!(response.status, StatusCode::OK, "{}", response.text);
                assert!(response.text.contains("ps_"));
                assert!(secret.iter().all(|one| !response.text.contains(one)), "{path} {format}");
            }
        }
    }
    let users = guarded.get(&format!("/v1/users?{range}&limit=1000"), pseudonymous).await.json();
    let users = users["data"].as_array().unwrap();
    assert!(users.iter().all(|user| user["user_name"] == ""));
    let pseudonym = users[3]["user_id"].as_str().unwrap();
    let person = guarded.get(&format!("/v1/users/{pseudonym}?{range}"), pseudonymous).await.json();
    assert_eq!(person["data"]["total"], users[3]);
    let days = guarded.get(&format!("/v1/user-days?{range}&user_id={pseudonym}"), pseudonymous).await.json();
    assert!(days["data"].as_array().unwrap().iter().all(|row| row["user_id"] == pseudonym));
    // Real ids select nobody.
    let found = guarded.get(&format!("/v1/users/{}?{range}", truth[0].open_id), pseudonymous).await;
    assert_eq!(found.status, StatusCode::NOT_FOUND);

    let figures = |response: Value| (response["data"].clone(), response["meta"]["days"].clone());
    for report in ["summary", "activity", "departments", "retention", "movement", "clients"] {
        let path = format!("/v1/reports/{report}?{range}");
        assert_eq!(
            figures(guarded.get(&path, pseudonymous).await.json()),
            figures(guarded.get(&path, all).await.json())
        );
    }
}

#[tokio::test]
async fn a_pseudonymous_key_sees_instants_cut_to_the_day() {
    let keys = [Key::pseudonymous("pseudonymous", &[Scope::UsersRead], &[]), Key::new("all", &[Scope::UsersRead])];
    let guarded =
        GuardedGateway::new(SimulatorConfig { users: 60, days: 20, ..SimulatorConfig::default() }, &keys).await;
    let path = "/v1/user-days?start_date=2026-11-18&end_date=2026-11-20&limit=1000";
    let [cut, exact] = [&keys[0], &keys[1]].map(|key| guarded.get(path, key));
    let (cut, exact) = (cut.await.json(), exact.await.json());

    for field in ["create_time", "register_time", "last_active_time"] {
        let values = |response: &Value| -> Vec<String> {
            let rows = response["data"].as_array().expect("rows").iter();
            rows.filter_map(|row| row[field].as_str().map(str::to_owned)).collect()
        };
        assert!(values(&exact).iter().any(|instant| !instant.ends_with("T00:00:00+08:00")), "{field}");
        assert!(values(&cut).iter().all(|instant| instant.ends_with("T00:00:00+08:00")), "{field}");
        let days = |response: &Value| -> BTreeSet<String> {
            values(response).iter().map(|instant| instant[..10].to_owned()).collect()
        };
        assert_eq!(days(&cut), days(&exact), "{field}");
    }
}
