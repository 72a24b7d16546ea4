//! A minimal client of the API, written from Feishu's documentation.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use feishu_simulator::{GroundTruthRow, Simulator, SimulatorConfig, TenantGeo};
use jiff::{Timestamp, civil::Date};
use reqwest::{Client, Response, header::HeaderMap};
use serde_json::{Value, json};

/// Upper limit of the pages of a query, so that a page token that leads to itself fails the test.
const MAX_PAGES: usize = 10_000;

/// A simulator whose clock is set to 12:00 (UTC+8) on 2026-11-22, and a client.
pub(crate) struct Caller {
    pub(crate) simulator: Simulator,
    now: Arc<Mutex<Timestamp>>,
    pub(crate) token: String,
    client: Client,
}

/// A reply with a JSON body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Caller {
    /// Starts a simulator and requests an access token.
    pub(crate) async fn start(config: SimulatorConfig) -> Self {
        let now = "2026-11-22T04:00:00Z".parse().expect("an instant");
        let now = Arc::new(Mutex::new(now));
        let clock = Arc::clone(&now);
        let simulator = Simulator::start(config, move || *clock.lock().expect("no panic")).await.expect("a free port");
        let mut caller = Self { simulator, now, token: String::new(), client: Client::new() };
        caller.log_in().await;
        caller
    }

    /// Sets the simulator's clock.
    pub(crate) fn set_time(&self, now: &str) {
        *self.now.lock().expect("no panic") = now.parse().expect("an instant");
    }

    /// Requests an access token for the later calls.
    pub(crate) async fn log_in(&mut self) {
        let reply = self.request_token("cli_demo", "demo-secret").await;
        reply.body["tenant_access_token"].as_str().expect("a token").clone_into(&mut self.token);
    }

    pub(crate) async fn request_token(&self, app_id: &str, secret: &str) -> Reply {
        let body = json!({ "app_id": app_id, "app_secret": secret }).to_string();
        Reply::of(self.post_token(body).await.expect("a reply")).await
    }

    pub(crate) async fn post_token(&self, body: String) -> reqwest::Result<Response> {
        let url = format!("{}/open-apis/auth/v3/tenant_access_token/internal", self.simulator.base_url());
        self.client.post(url).body(body).send().await
    }

    /// Calls `admin_user_stats` and returns the response as it is.
    pub(crate) async fn call(&self, query: &str) -> reqwest::Result<Response> {
        let url = format!("{}/open-apis/admin/v1/admin_user_stats?{query}", self.simulator.base_url());
        self.client.get(url).bearer_auth(&self.token).send().await
    }

    /// Calls `admin_user_stats` and expects a JSON reply.
    pub(crate) async fn get_page(&self, query: &str) -> Reply {
        Reply::of(self.call(query).await.expect("a reply")).await
    }

    /// Calls any path without an access token.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.simulator.base_url())).send().await.expect("a reply")
    }

    /// The rows of each page of a query.
    pub(crate) async fn pages(&self, query: &str) -> Vec<Vec<Value>> {
        let mut pages = Vec::new();
        let mut token = Some(String::new());
        while let Some(sent) = token {
            let reply = self.get_page(&format!("{query}&page_token={sent}")).await;
            assert_eq!(reply.code(), 0, "{:?}", reply.body);
            assert!(pages.len() < MAX_PAGES, "more than {MAX_PAGES} pages of {query}");
            token = reply.page_token();
            pages.push(reply.into_items());
        }
        pages
    }

    /// All rows of a query.
    pub(crate) async fn rows(&self, query: &str) -> Vec<Value> {
        self.pages(query).await.concat()
    }

    /// The expected rows of these days in the home geo.
    pub(crate) fn truth(&self, days: &[&str]) -> Vec<GroundTruthRow> {
        days.iter().flat_map(|text| self.simulator.tenant().rows_of(TenantGeo::Cn, day(text))).collect()
    }
}

impl Reply {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.json().await.expect("JSON") }
    }

    pub(crate) fn code(&self) -> i64 {
        self.body["code"].as_i64().expect("a code")
    }

    /// The HTTP status and the error code.
    pub(crate) fn status_and_code(&self) -> (u16, i64) {
        (self.status, self.code())
    }

    pub(crate) fn items(&self) -> &[Value] {
        self.body["data"]["items"].as_array().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn into_items(mut self) -> Vec<Value> {
        match self.body["data"]["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    }

    pub(crate) fn page_token(&self) -> Option<String> {
        self.body["data"]["page_token"].as_str().map(str::to_owned)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("plain text"))
    }
}

pub(crate) fn day(text: &str) -> Date {
    text.parse().expect("a day")
}

/// Parses a count in any of its encodings.
pub(crate) fn count(row: &Value, field: &str) -> u64 {
    match &row[field] {
        Value::String(text) if text.is_empty() => 0,
        Value::String(text) => text.parse().expect("digits"),
        Value::Null => 0,
        number => number.as_u64().expect("a count"),
    }
}

/// The date and user id of a row, which are unique.
pub(crate) fn key(row: &Value) -> (String, String) {
    let text = |field: &str| row[field].as_str().expect("a text").to_owned();
    (text("date"), text("user_id"))
}

/// Waits until a condition that becomes true in the background holds.
///
/// # Panics
/// If it does not hold within 10 seconds.
pub(crate) async fn eventually(mut holds: impl FnMut() -> bool) {
    let poll = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), poll).await.expect("the condition to hold within 10 s");
}
