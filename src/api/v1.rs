//! The endpoints of the native API (parameters, response and handler in one module each), the item types they share, and
//! [`routes()`], which gives each endpoint its policy.

pub mod activity;
pub mod backfill_item;
pub mod backfills;
pub mod clients;
pub mod coverage;
pub mod days;
pub mod departments;
pub mod figures;
pub mod licences;
pub mod movement;
pub mod retention;
pub mod summary;
pub mod trailing;
pub mod user;
pub mod user_day;
pub mod user_days;
mod user_days_export;
pub mod user_item;
pub mod users;

use axum::middleware::from_fn;
use utoipa_axum::{router::UtoipaMethodRouter, routes};

use super::{
    at_leader::at_leader, authorization::endpoints, exports::with_export, picture::with_picture, prefer,
    route_policy::RoutePolicy, state::ApiState,
};

/// The routes below `/v1`.
pub fn routes() -> impl Iterator<Item = UtoipaMethodRouter<ApiState>> {
    let tables = [
        (RoutePolicy::USERS, with_export(routes!(user_days::get), &["limit"])),
        (RoutePolicy::USERS, with_export(routes!(users::get), &[])),
        (RoutePolicy::REPORTS, with_export(routes!(summary::get), &[])),
        (RoutePolicy::REPORTS, with_export(routes!(activity::get), &[])),
        (RoutePolicy::REPORTS, with_export(routes!(departments::get), &[])),
        (RoutePolicy::REPORTS, with_export(routes!(licences::get), &[])),
        (RoutePolicy::REPORTS, with_export(routes!(retention::get), &[])),
        (RoutePolicy::REPORTS, with_export(routes!(movement::get), &[])),
        (RoutePolicy::REPORTS, with_export(routes!(clients::get), &[])),
    ];
    let over_days = tables.into_iter().flat_map(|(policy, pair)| pair.map(|routes| (policy, routes)));
    let over_days = over_days.chain([
        (RoutePolicy::REPORTS, with_picture(routes!(summary::get))),
        (RoutePolicy::REPORTS, with_picture(routes!(activity::get))),
        (RoutePolicy::USERS, routes!(user::get)),
    ]);
    let over_days = over_days.map(|(policy, routes)| endpoints(policy, with_preference(routes)));
    let others = [
        (RoutePolicy::REPORTS_OR_ADMIN, routes!(coverage::get)),
        (RoutePolicy::ADMIN, at_leader(routes!(days::delete))),
        (RoutePolicy::ADMIN, at_leader(routes!(backfills::post))),
        (RoutePolicy::REPORTS_OR_ADMIN, at_leader(routes!(backfills::list))),
        (RoutePolicy::REPORTS_OR_ADMIN, at_leader(routes!(backfills::get, backfills::delete))),
        (RoutePolicy::REPORTS_OR_ADMIN, at_leader(routes!(backfills::events))),
    ];
    over_days.chain(others.map(|(policy, routes)| endpoints(policy, routes)))
}

/// Endpoints that can wait for Feishu honour `Prefer`.
fn with_preference((schemas, paths, handlers): UtoipaMethodRouter<ApiState>) -> UtoipaMethodRouter<ApiState> {
    (schemas, paths, handlers.route_layer(from_fn(prefer::apply_preference)))
}
