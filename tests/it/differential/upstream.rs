//! A scripted Feishu that serves the rows of a [`Tenant`].

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, post},
};
use jiff::civil::Date;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::tenant::Tenant;

/// The running upstream. It ends with the runtime that it was started on.
pub struct Upstream {
    pub base: String,
}

impl Upstream {
    pub async fn start(tenant: Arc<Tenant>) -> Self {
        let token = async || Json(json!({ "code": 0, "tenant_access_token": "t-scripted", "expire": 7200 }));
        let routes = Router::new()
            .route("/open-apis/auth/v3/tenant_access_token/internal", post(token))
            .route("/open-apis/admin/v1/admin_user_stats", get(page))
            .with_state(tenant);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { base }
    }
}

/// One page. The token of a page is the number of its first row.
async fn page(State(tenant): State<Arc<Tenant>>, Query(query): Query<HashMap<String, String>>) -> Json<Value> {
    let date = |name: &str| query[name].parse::<Date>().expect("a date");
    let number = |name: &str, default: usize| query.get(name).map_or(default, |text| text.parse().expect("a number"));
    let geo = query.get("target_geo").map_or(tenant.geos[0], String::as_str);
    let is_asked_for = |row: &&Value| query.get("user_id").is_none_or(|id| row["user_id"] == id.as_str());
    let days = tenant
        .served
        .iter()
        .filter(|((day, of), _)| *of == geo && (date("start_date")..=date("end_date")).contains(day));
    let rows: Vec<&Value> = days.flat_map(|(_, rows)| rows).filter(is_asked_for).collect();
    let (first, size) = (number("page_token", 0), number("page_size", 10));
    let items: Vec<&Value> = rows.iter().skip(first).take(size).copied().collect();
    let next = first + items.len();
    let mut payload = json!({ "has_more": next < rows.len(), "items": items });
    if next < rows.len() {
        payload["page_token"] = next.to_string().into();
    }
    Json(json!({ "code": 0, "msg": "success", "data": payload }))
}
