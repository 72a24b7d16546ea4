//! `GET /v1/reports/clients`: the operating systems, client versions and app packages in use.

use std::sync::Arc;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::figures::round_to_thousandths;
use crate::{
    api::{
        compute::compute,
        data_request::{DataRequest, EarlyResponse, Loaded, RequestContext},
        format::{Format, FormatParams},
        list_response::ListResponse,
        meta::{DISTINCT_COUNTS_WITHHELD, Meta, SMALL_GROUPS_SUPPRESSED},
        problem::Problem,
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams},
    },
    query::{LoadedDays, Query},
    report::{
        clients::{self, ClientUsage, ClientsReport, clients},
        ratio,
    },
    table::record,
};

/// Operating systems, Feishu clients and app packages in use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientsAnswer)]
pub struct ClientsResponse {
    data: ClientsData,
    meta: Meta,
}

/// Operating systems, Feishu clients and app packages in use, each list ordered by users, largest first.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ClientsData {
    /// Operating systems by name, such as `iOS`.
    os_names: Vec<UsageItem>,
    /// Operating systems by name and version, such as `ios 14.2`.
    operating_systems: Vec<UsageItem>,
    /// Feishu clients by name and version, such as `feishu 3.40.0`.
    clients: Vec<UsageItem>,
    /// Feishu app packages, such as `Feishu` and `Lark`.
    app_packages: Vec<UsageItem>,
}

record! {
    /// One operating system, client or app package.
    #[derive(Debug, Serialize, ToSchema)]
    #[schema(as = UsedItem)]
    pub struct UsageItem {
        /// Name, with the version if there is one.
        #[schema(value_type = String, example = "ios 14.2")]
        name: Arc<str>,
        /// Distinct people who used it on a day on which they were active. Null if Feishu withholds user ids and the range spans several days.
        #[schema(example = 312)]
        users: Option<u64>,
        /// `users` divided by all active people, 0 to 1. Null if nobody was active. A person can use several, so the shares
        /// can add up to more than 1.
        #[schema(example = 0.236)]
        share: Option<f64>,
    }
}

record! {
    /// One operating system, client or app package, as one row of a table.
    #[derive(Debug, Serialize, ToSchema)]
    #[schema(as = ClientsLine)]
    pub struct ClientsRow {
        /// What the row counts: `os_names`, `operating_systems`, `clients` or `app_packages`.
        #[schema(example = "operating_systems")]
        kind: &'static str,
        #[serde(flatten)]
        usage: UsageItem,
    }
}

/// Operating systems, clients and app packages
///
/// Operating systems, versions of the Feishu client and app packages, each with the number of distinct people who used
/// it in the range on a day on which they were active. As CSV, NDJSON or Parquet: one row per operating system, client or package.
#[utoipa::path(
    get, path = "/v1/reports/clients", tag = "reports", operation_id = "clientsReport",
    params(RangeParams, PeopleParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "Operating systems, clients and app packages, most used first", content(
            (ClientsResponse = "application/json"), (String = "text/csv"), (ParquetFile = "application/vnd.apache.parquet"), (ClientsRow = "application/x-ndjson"),
        ), headers(("Pulse-Missing-Days" = String, description = "Selected days whose rows are not in the file: late, \
                expired, or not loaded; separated by commas, as `geo:date` if there are several geos; at most \
                366, then `+` and the number of further days. Formats without `meta` only"))),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(context: RequestContext) -> Result<Response, EarlyResponse> {
    let request = parse(&context)?;
    let loaded = context.load(&request, context.engine().load_rows(&request.query, request.options)).await?;
    let current = context.validate(&loaded, &request)?;
    let report = compute(move || report(&loaded, &request)).await?;
    context.respond(current, report).await
}

fn parse(context: &RequestContext) -> Result<DataRequest, Problem> {
    let mut params = context.params();
    let (data, ()) = shared_params::read(&mut params, context);
    shared_params::reject_department_path_if_suppressing(&mut params, context);
    params.finish().map(|()| data)
}

fn report(loaded: &Loaded<LoadedDays>, request: &DataRequest) -> Response {
    let DataRequest { query: Query { selection, .. }, format, min_group_size, .. } = request;
    let dictionary = loaded.days.first().map(|day| day.dictionary());
    let report = dictionary.map(|dictionary| clients(&loaded.days, &dictionary.read(), selection));
    let ClientsReport { mut usage, active } = report.unwrap_or_default();
    let total = usage.len();
    if let Some(min_group_size) = min_group_size {
        let is_small = |people: u64| (1..min_group_size.get()).contains(&people);
        let is_suppressed = loaded.days.iter().any(|day| is_small(day.row_count() as u64));
        // An unknown number of users may be small, so it is suppressed too.
        usage.retain(|usage| !is_suppressed && usage.users.is_some_and(|users| !is_small(users)));
    }
    let are_suppressed = usage.len() < total;
    let ids_are_withheld = usage.iter().any(|usage| usage.users.is_none());
    let meta = Meta::from_loaded_days(loaded)
        .with_note(loaded.selection_note())
        .with_note(ids_are_withheld.then_some(DISTINCT_COUNTS_WITHHELD))
        .with_note(are_suppressed.then_some(SMALL_GROUPS_SUPPRESSED));
    let rows: Vec<ClientsRow> = usage.iter().map(|usage| ClientsRow::new(usage, active)).collect();
    if format.format != Format::Json {
        return ListResponse { data: rows, meta }.into_format(*format, "clients");
    }
    let mut data = ClientsData::default();
    for (usage, row) in usage.iter().zip(rows) {
        data.list_of(usage.dimension).push(row.usage);
    }
    Json(ClientsResponse { data, meta }).into_response()
}

impl ClientsData {
    fn list_of(&mut self, dimension: clients::ClientDimension) -> &mut Vec<UsageItem> {
        match dimension {
            clients::ClientDimension::OsName => &mut self.os_names,
            clients::ClientDimension::OperatingSystem => &mut self.operating_systems,
            clients::ClientDimension::Client => &mut self.clients,
            clients::ClientDimension::AppPackage => &mut self.app_packages,
        }
    }
}

impl ClientsRow {
    fn new(usage: &ClientUsage, active: Option<u64>) -> Self {
        let kind = match usage.dimension {
            clients::ClientDimension::OsName => "os_names",
            clients::ClientDimension::OperatingSystem => "operating_systems",
            clients::ClientDimension::Client => "clients",
            clients::ClientDimension::AppPackage => "app_packages",
        };
        let share = usage.users.and_then(|users| ratio(users, active)).map(round_to_thousandths);
        Self { kind, usage: UsageItem { name: Arc::clone(&usage.name), users: usage.users, share } }
    }
}
