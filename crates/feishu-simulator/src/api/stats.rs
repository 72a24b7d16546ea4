//! `GET /open-apis/admin/v1/admin_user_stats`: one page of rows.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use serde::Serialize;

use super::{
    api_error::ApiError, reply::SimulatedReply, row_json::RowJson, simulator_state::SimulatorState,
    stats_request::StatsRequest,
};
use crate::{
    GroundTruthRow, SchemaDrift, TenantGeo, UserIdKind,
    call_log::{CallResult, Endpoint},
    faults::PageFault,
    tenant::{PersonFilter, RowSequence},
};

#[derive(Serialize)]
struct Body<'a> {
    code: i64,
    msg: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<RowJson<'a>>>,
}

/// The rows that a call selects, and the page that it requests.
struct PageLookup<'a> {
    state: &'a SimulatorState,
    query: &'a StatsRequest,
    geo: TenantGeo,
    rows: Arc<RowSequence>,
    /// The number of the page, from 0.
    page: usize,
}

/// The content of a page.
struct ReplyPage {
    rows: Vec<GroundTruthRow>,
    has_more: bool,
    token: Option<String>,
}

/// Handles a call.
pub(crate) async fn stats(State(state): State<Arc<SimulatorState>>, headers: HeaderMap, uri: Uri) -> Response {
    let query = StatsRequest::parse(&uri);
    let (call, admission) = state.admit_stats_call(query.as_ref().ok(), &headers);
    if let Err(rejection) = admission {
        let reply = state.rejection_reply(&rejection, &call);
        return state.reply(call, async { reply }).await;
    }
    let fault = state.faults.next_fault(Endpoint::Stats, query.as_ref().ok());
    call.set_fault(fault.as_ref());
    let log_id = call.log_id.clone();
    let reply = state.inject_fault(fault, &log_id, |page_fault| {
        let reply = query.and_then(|query| charge_and_reply(&state, &query, page_fault));
        reply.unwrap_or_else(|error| SimulatedReply::error(&error, &log_id))
    });
    state.reply(call, reply).await
}

/// Counts the call in the quota and returns the requested page.
fn charge_and_reply(
    state: &SimulatorState,
    query: &StatsRequest,
    page_fault: Option<PageFault>,
) -> Result<SimulatedReply, ApiError> {
    let lookup = PageLookup::of(state, query)?;
    if !state.quota.charge(state.today()) {
        return Err(ApiError::from_code(99_991_403));
    }
    let page = page_fault.map_or_else(|| lookup.page(), |page_fault| lookup.faulty_page(page_fault));
    Ok(state.with_success_headers(page_reply(state, query, page)))
}

impl<'a> PageLookup<'a> {
    fn of(state: &'a SimulatorState, query: &'a StatsRequest) -> Result<Self, ApiError> {
        let page = state.page_tokens.page_of(query).ok_or_else(|| ApiError::invalid_parameter("page_token"))?;
        let geo = query.target_geo.unwrap_or_else(|| state.config.home_geo());
        let rows = row_sequence(state, query, geo)?;
        Ok(Self { state, query, geo, rows, page })
    }

    fn page(&self) -> ReplyPage {
        let has_more = self.rows.has_more(self.page, self.query.page_size);
        let token = has_more.then(|| self.state.page_tokens.issue(self.query, self.page + 1));
        ReplyPage { rows: self.rows(self.page, self.query.page_size), has_more, token }
    }

    fn faulty_page(&self, page_fault: PageFault) -> ReplyPage {
        let page = self.page();
        match page_fault {
            PageFault::Empty => {
                let token = self.state.page_tokens.issue_unique(self.query, self.page);
                ReplyPage { rows: Vec::new(), has_more: true, token: Some(token) }
            }
            PageFault::MissingToken => ReplyPage { has_more: true, token: None, ..page },
            PageFault::RepeatedToken => match self.query.page_token.clone() {
                Some(sent) => ReplyPage { has_more: true, token: Some(sent), ..page },
                None => page,
            },
            PageFault::Endless => {
                let next = if page.has_more { self.page + 1 } else { 0 };
                let token = self.state.page_tokens.issue_unique(self.query, next);
                ReplyPage { has_more: true, token: Some(token), ..page }
            }
            PageFault::DuplicateRow => ReplyPage { rows: [self.rows(0, 1), page.rows].concat(), ..page },
        }
    }

    fn rows(&self, page: usize, size: usize) -> Vec<GroundTruthRow> {
        self.rows.page(page, size).filter_map(|address| self.state.tenant.row(self.geo, address)).collect()
    }
}

/// All rows that the request selects.
fn row_sequence(state: &SimulatorState, query: &StatsRequest, geo: TenantGeo) -> Result<Arc<RowSequence>, ApiError> {
    if !state.tenant.geos().any(|enabled| enabled == geo) {
        return Err(ApiError::from_code(1_051_002));
    }
    let filter = PersonFilter { department: find_department(state, query)?, person: find_person(state, query, geo)? };
    Ok(state.tenant.row_sequence(geo, &query.days, filter, state.clock.now()))
}

/// Department `0` is the root, for both kinds of id. It contains all people.
fn find_department(state: &SimulatorState, query: &StatsRequest) -> Result<Option<usize>, ApiError> {
    let Some(id) = query.department_id.as_deref().filter(|id| *id != "0") else { return Ok(None) };
    let index = state.tenant.find_department(query.department_id_type, id);
    index.map(Some).ok_or_else(|| ApiError::from_code(99_992_357))
}

/// The number of a person in this geo. A person of another geo is known but has no rows here, so the number matches
/// nobody.
fn find_person(state: &SimulatorState, query: &StatsRequest, geo: TenantGeo) -> Result<Option<u32>, ApiError> {
    let Some(id) = query.user_id.as_deref() else { return Ok(None) };
    let person = state.tenant.find_person(query.user_id_type, id).ok_or_else(|| ApiError::from_code(99_992_351))?;
    Ok(Some(if person.geo == geo { person.number } else { u32::MAX }))
}

fn page_reply(state: &SimulatorState, query: &StatsRequest, page: ReplyPage) -> SimulatedReply {
    let (kind, drift, seed) = (query.user_id_type, state.config.schema_drift, state.config.seed);
    let withheld = kind == UserIdKind::UserId && !state.config.employee_ids;
    let rows: Vec<_> = page.rows.iter().map(|row| RowJson::new(row, kind, withheld, drift, seed)).collect();
    let items = Some(rows).filter(|rows| !rows.is_empty() || includes_empty_items(drift, query));
    let data = Data { has_more: page.has_more, page_token: page.token, items };
    SimulatedReply::json(&Body { code: 0, msg: "success", data }, CallResult::Rows(page.rows.len()))
}

/// Whether a page without rows contains an empty `items`. With schema drift, `items` is absent for half of the queries.
fn includes_empty_items(drift: SchemaDrift, query: &StatsRequest) -> bool {
    drift == SchemaDrift::Off || query.fingerprint().is_multiple_of(2)
}
