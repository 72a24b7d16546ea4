//! A key that shows people under pseudonyms: the same figures, and nobody's name or id.

use std::collections::BTreeSet;

use feishu_pulse::{access::Scope, model::Geo, sim::SimConfig};
use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    callers::{Guarded, Key},
    support::day,
};

#[tokio::test]
async fn people_have_pseudonyms_everywhere_and_are_found_by_them() {
    let keys = [Key::pseudonymous("blind", &[Scope::UsersRead], &[]), Key::new("all", &[Scope::UsersRead])];
    let [blind, all] = &keys;
    let guarded = Guarded::new(SimConfig { users: 60, days: 20, ..SimConfig::default() }, &keys).await;
    let truth = guarded.setup.simulator.tenant().rows_of(Geo::Cn, day("2026-11-20"));
    let secret: BTreeSet<&str> =
        truth.iter().flat_map(|row| [row.open_id.as_str(), row.union_id.as_str(), row.user_name.as_str()]).collect();

    let range = "start_date=2026-11-18&end_date=2026-11-20";
    for path in ["/v1/user-days", "/v1/users"] {
        for format in ["json&limit=1000", "csv", "ndjson"] {
            for kind in ["open_id", "union_id"] {
                let answer = guarded.get(&format!("{path}?{range}&format={format}&user_id_type={kind}"), blind).await;
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
                assert!(answer.text.contains("ps_"));
                assert!(secret.iter().all(|one| !answer.text.contains(one)), "{path} {format}");
            }
        }
    }
    let users = guarded.get(&format!("/v1/users?{range}&limit=1000"), blind).await.json();
    let users = users["data"].as_array().unwrap();
    assert!(users.iter().all(|user| user["user_name"] == ""));
    let pseudonym = users[3]["user_id"].as_str().unwrap();
    let person = guarded.get(&format!("/v1/users/{pseudonym}?{range}"), blind).await.json();
    assert_eq!(person["data"]["total"], users[3]);
    let days = guarded.get(&format!("/v1/user-days?{range}&user_id={pseudonym}"), blind).await.json();
    assert!(days["data"].as_array().unwrap().iter().all(|row| row["user_id"] == pseudonym));
    // Ids lead nowhere.
    let found = guarded.get(&format!("/v1/users/{}?{range}", truth[0].open_id), blind).await;
    assert_eq!(found.status, StatusCode::NOT_FOUND);

    let figures = |answer: Value| (answer["data"].clone(), answer["meta"]["days"].clone());
    for report in ["summary", "activity", "departments", "retention", "clients"] {
        let path = format!("/v1/reports/{report}?{range}");
        assert_eq!(figures(guarded.get(&path, blind).await.json()), figures(guarded.get(&path, all).await.json()));
    }
}
