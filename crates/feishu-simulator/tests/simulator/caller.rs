//! A plain client of the simulator: it knows upstream's documentation and nothing of the gateway.

use std::sync::Arc;

use feishu_pulse::{
    model::{Day, Geo, ManualClock},
    sim::{SimConfig, Simulator, TruthRow},
};
use reqwest::{Client, Response, header::HeaderMap};
use serde_json::{Value, json};

/// A simulator on the noon (UTC+8) of 2026-11-22, and one who calls it.
pub(crate) struct Caller {
    pub(crate) simulator: Simulator,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) token: String,
    client: Client,
}

/// A reply that was JSON.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Caller {
    /// Starts a simulator and gets a token.
    pub(crate) async fn of(config: SimConfig) -> Self {
        let now = "2026-11-22T04:00:00Z".parse().expect("an instant");
        let clock = Arc::new(ManualClock::at(now));
        let simulator = Simulator::start(config, clock.clone()).await.expect("a free port");
        let mut caller = Self { simulator, clock, token: String::new(), client: Client::new() };
        caller.log_in().await;
        caller
    }

    /// Gets a token, and keeps it.
    pub(crate) async fn log_in(&mut self) {
        let reply = self.ask_for_token("cli_demo", "demo-secret").await;
        reply.body["tenant_access_token"].as_str().expect("a token").clone_into(&mut self.token);
    }

    pub(crate) async fn ask_for_token(&self, app_id: &str, secret: &str) -> Reply {
        let body = json!({ "app_id": app_id, "app_secret": secret }).to_string();
        Reply::of(self.post_token(body).await.expect("a reply")).await
    }

    pub(crate) async fn post_token(&self, body: String) -> reqwest::Result<Response> {
        let url = format!("{}/open-apis/auth/v3/tenant_access_token/internal", self.simulator.base_url());
        self.client.post(url).body(body).send().await
    }

    /// Calls the stats path; what comes back may be anything.
    pub(crate) async fn call(&self, query: &str) -> reqwest::Result<Response> {
        let url = format!("{}/open-apis/admin/v1/admin_user_stats?{query}", self.simulator.base_url());
        self.client.get(url).bearer_auth(&self.token).send().await
    }

    /// Calls the stats path, which replies with JSON.
    pub(crate) async fn ask(&self, query: &str) -> Reply {
        Reply::of(self.call(query).await.expect("a reply")).await
    }

    /// Any path, without a token.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.simulator.base_url())).send().await.expect("a reply")
    }

    /// All pages of a query: one list of rows for each.
    pub(crate) async fn pages(&self, query: &str) -> Vec<Vec<Value>> {
        let mut pages = Vec::new();
        let mut token = Some(String::new());
        while let Some(sent) = token {
            let reply = self.ask(&format!("{query}&page_token={sent}")).await;
            assert_eq!(reply.code(), 0, "{:?}", reply.body);
            token = reply.page_token();
            pages.push(reply.into_items());
        }
        pages
    }

    /// All rows of a query.
    pub(crate) async fn rows(&self, query: &str) -> Vec<Value> {
        self.pages(query).await.concat()
    }

    /// What is true of the tenant's own geo on these days.
    pub(crate) fn truth(&self, days: &[&str]) -> Vec<TruthRow> {
        days.iter().flat_map(|text| self.simulator.tenant().rows_of(Geo::Cn, day(text))).collect()
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

    /// The HTTP status and the code.
    pub(crate) fn verdict(&self) -> (u16, i64) {
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

pub(crate) fn day(text: &str) -> Day {
    text.parse().expect("a day")
}

/// Reads a count however it is written.
pub(crate) fn count(row: &Value, field: &str) -> u64 {
    match &row[field] {
        Value::String(text) if text.is_empty() => 0,
        Value::String(text) => text.parse().expect("digits"),
        Value::Null => 0,
        number => number.as_u64().expect("a count"),
    }
}

/// What tells a row from all others.
pub(crate) fn key(row: &Value) -> (String, String) {
    let text = |field: &str| row[field].as_str().expect("a text").to_owned();
    (text("date"), text("user_id"))
}
