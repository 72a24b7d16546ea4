//! A client of Feishu's API that behaves like the official SDKs, for requests to the gateway and to the simulator.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{ApiResponse, Setup};

pub(crate) const TOKEN_PATH: &str = "/open-apis/auth/v3/tenant_access_token/internal";
pub(crate) const STATS_PATH: &str = "/open-apis/admin/v1/admin_user_stats";

/// Upper limit of the pages of a query, so that a page token that leads to itself fails the test.
const MAX_PAGES: usize = 1000;

/// A client with an access token.
pub(crate) struct Sdk {
    http: reqwest::Client,
    base: String,
    pub(crate) token: String,
}

impl Sdk {
    /// A client of the gateway.
    pub(crate) async fn of_gateway(setup: &Setup) -> Self {
        Self::connect(setup.base.clone(), "any-app", "any-secret").await
    }

    /// A client of the simulator.
    pub(crate) async fn of_simulator(setup: &Setup) -> Self {
        let config = setup.simulator.config();
        Self::connect(setup.simulator.base_url(), &config.app_id, &config.app_secret).await
    }

    /// The same client with the same token, for another base URL.
    pub(crate) fn with_base_url(self, base: String) -> Self {
        Self { base, ..self }
    }

    /// Requests a page, with additional headers.
    pub(crate) async fn get_stats(&self, query: &str, headers: &[(&str, &str)]) -> ApiResponse {
        let request = self.http.get(format!("{}{STATS_PATH}?{query}", self.base)).bearer_auth(&self.token);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        ApiResponse::read(request.send().await.expect("an answer")).await
    }

    /// The data of a page.
    pub(crate) async fn page(&self, query: &str) -> Value {
        self.get_stats(query, &[]).await.json()["data"].take()
    }

    /// The items of all pages.
    pub(crate) async fn all_items(&self, query: &str) -> Vec<Value> {
        let (mut items, mut token) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let page = self.page(&format!("{query}&page_token={token}")).await;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            assert_eq!(page["has_more"] == true, page["page_token"].is_string(), "{page}");
            match page["page_token"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => return items,
            }
        }
        panic!("more than {MAX_PAGES} pages of {query}");
    }

    async fn connect(base: String, app_id: &str, app_secret: &str) -> Self {
        let http = reqwest::Client::new();
        let credentials = json!({ "app_id": app_id, "app_secret": app_secret });
        let reply = http.post(format!("{base}{TOKEN_PATH}")).json(&credentials).send().await.expect("an answer");
        let granted = ApiResponse::read(reply).await.json();
        assert_eq!((&granted["code"], &granted["msg"]), (&json!(0), &json!("ok")));
        let token = granted["tenant_access_token"].as_str().expect("a token").to_owned();
        Self { http, base, token }
    }
}

/// The status, the code and the invalid parameter of an error response.
pub(crate) fn error_of(answer: &ApiResponse) -> (StatusCode, i64, Option<String>) {
    let body: Value = serde_json::from_str(&answer.text).expect("JSON");
    assert!(body["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{body}");
    let log_id = answer.headers["x-tt-logid"].to_str().expect("text");
    assert_eq!(body["error"]["log_id"], log_id);
    let field = body["error"]["field_violations"][0]["field"].as_str().map(str::to_owned);
    (answer.status, body["code"].as_i64().expect("a code"), field)
}
