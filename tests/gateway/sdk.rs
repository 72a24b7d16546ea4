//! A caller that speaks upstream's contract as the official SDKs do, to the gateway or to the simulator.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Answer, Setup};

pub(crate) const TOKEN_PATH: &str = "/open-apis/auth/v3/tenant_access_token/internal";
pub(crate) const STATS_PATH: &str = "/open-apis/admin/v1/admin_user_stats";

/// A caller with an access token.
pub(crate) struct Sdk {
    http: reqwest::Client,
    base: String,
    pub(crate) token: String,
}

impl Sdk {
    /// A caller of the gateway.
    pub(crate) async fn of_gateway(setup: &Setup) -> Self {
        Self::signed_in(setup.base.clone(), "any-app", "any-secret").await
    }

    /// A caller of the simulator itself.
    pub(crate) async fn of_simulator(setup: &Setup) -> Self {
        let config = setup.simulator.config();
        Self::signed_in(setup.simulator.base_url(), &config.app_id, &config.app_secret).await
    }

    /// The same caller, with the same token, at another address.
    pub(crate) fn moved_to(self, base: String) -> Self {
        Self { base, ..self }
    }

    /// Asks for a page, with any headers.
    pub(crate) async fn ask(&self, query: &str, headers: &[(&str, &str)]) -> Answer {
        let request = self.http.get(format!("{}{STATS_PATH}?{query}", self.base)).bearer_auth(&self.token);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::read(request.send().await.expect("an answer")).await
    }

    /// The data of a page.
    pub(crate) async fn page(&self, query: &str) -> Value {
        self.ask(query, &[]).await.json()["data"].take()
    }

    /// The items of all pages.
    pub(crate) async fn all(&self, query: &str) -> Vec<Value> {
        let (mut items, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.page(&format!("{query}&page_token={token}")).await;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            assert_eq!(page["has_more"] == true, page["page_token"].is_string(), "{page}");
            match page["page_token"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => return items,
            }
        }
    }

    async fn signed_in(base: String, app_id: &str, app_secret: &str) -> Self {
        let http = reqwest::Client::new();
        let credentials = json!({ "app_id": app_id, "app_secret": app_secret });
        let reply = http.post(format!("{base}{TOKEN_PATH}")).json(&credentials).send().await.expect("an answer");
        let granted = Answer::read(reply).await.json();
        assert_eq!((&granted["code"], &granted["msg"]), (&json!(0), &json!("ok")));
        let token = granted["tenant_access_token"].as_str().expect("a token").to_owned();
        Self { http, base, token }
    }
}

/// What a caller can tell a failure by: the status, the code, and the parameter at fault.
pub(crate) fn failure(answer: &Answer) -> (StatusCode, i64, Option<String>) {
    let body: Value = serde_json::from_str(&answer.text).expect("JSON");
    assert!(body["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{body}");
    let log_id = answer.headers["x-tt-logid"].to_str().expect("text");
    assert_eq!(body["error"]["log_id"], log_id);
    let field = body["error"]["field_violations"][0]["field"].as_str().map(str::to_owned);
    (answer.status, body["code"].as_i64().expect("a code"), field)
}
