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
        list_response::ListResponse,
        meta::{DISTINCT_COUNTS_WITHHELD, Meta, SMALL_GROUPS_SUPPRESSED},
        problem::Problem,
        representation::Representation,
        responses::{CommonProblems, FormatProblems, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams},
    },
    query::{Query, UserRollups},
    report::{
        client_versions::{VersionAge, VersionUsage, ages},
        clients::{self, ClientUsage, ClientsReport, clients},
        ratio,
    },
    table::{DayMetadata as _, record},
};

/// Operating systems, Feishu clients and app packages in use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientsReport)]
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
    /// Versions of Feishu clients on each operating system.
    client_versions: Vec<ClientVersionItem>,
}

record! {
    /// One operating system, client or app package.
    #[derive(Debug, Serialize, ToSchema)]
    #[schema(as = ClientUsageItem)]
    pub struct UsageItem {
        /// Name, with the version if there is one.
        #[schema(value_type = String, example = "ios 14.2")]
        name: Arc<str>,
        /// Distinct people who used it on a day on which they were active. Null if Feishu withholds user ids and the range spans several days.
        #[schema(example = 312)]
        users: Option<u64>,
        /// `users` divided by all active people, 0 to 1. Null if nobody was active. A person can use several, so the shares
        /// can add up to more than 1.
        #[schema(minimum = 0, maximum = 1, example = 0.236)]
        share: Option<f64>,
    }
}

/// A version of a Feishu client on one operating system.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClientVersionItem {
    #[serde(flatten)]
    version: VersionFields,
    /// Distinct people who used it on a day on which they were active. Null if Feishu withholds user ids and the range spans several days.
    #[schema(example = 312)]
    users: Option<u64>,
    /// `users` divided by all active people who used the operating system, 0 to 1.
    #[schema(minimum = 0, maximum = 1, example = 0.236)]
    share: Option<f64>,
}

record! {
    /// The parts of the name of a client version, and its age.
    #[derive(Debug, Default, Serialize, ToSchema)]
    pub struct VersionFields {
        /// The operating system without its version, as in `operating_systems`. Null if Feishu does not name it.
        #[schema(value_type = Option<String>, example = "ios")]
        system: Option<Arc<str>>,
        /// The client without its version.
        #[schema(value_type = Option<String>, example = "feishu")]
        client: Option<Arc<str>>,
        /// The version. Null if Feishu names none.
        #[schema(value_type = Option<String>, example = "7.20.3")]
        version: Option<Arc<str>>,
        /// Whether it is the newest version of the client on this system: the highest one that consists of numbers and
        /// dots only and that at least 1 % of the system's users have. Null if the number of users is unknown.
        #[schema(example = true)]
        newest: Option<bool>,
        /// Whether its major and minor number are lower than those of the newest version. Null if no version is the
        /// newest, or if the version does not begin with a number.
        #[schema(example = false)]
        outdated: Option<bool>,
    }
}

record! {
    /// One operating system, client or app package, as one row of a table.
    #[derive(Debug, Serialize, ToSchema)]
    #[schema(as = ClientsLine)]
    pub struct ClientsRow {
        /// What the row counts: `os_names`, `operating_systems`, `clients`, `app_packages` or `client_versions`.
        #[schema(example = "operating_systems")]
        kind: &'static str,
        #[serde(flatten)]
        usage: UsageItem,
        #[serde(flatten)]
        version: VersionFields,
    }
}

/// Operating systems, clients and app packages
///
/// Operating systems, versions of the Feishu client and app packages, each with the number of distinct people who used
/// it in the range on a day on which they were active. `client_versions` says for each operating system which versions of
/// the client are in use, which one is the newest and which are outdated. As a table: one row per operating
/// system, client, package or client version; `system` to `outdated` are empty but for the last.
#[utoipa::path(
    get, path = "/v1/reports/clients", tag = "reports", operation_id = "clientsReport",
    params(RangeParams, PeopleParams, PreferHeader),
    responses(
        (status = 200, description = "Operating systems, clients and app packages, most used first", body = ClientsResponse),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(context: RequestContext) -> Result<Response, EarlyResponse> {
    let request = parse(&context)?;
    let loaded =
        context.load(&request, UserRollups::load_cached(context.engine(), &request.query, request.options)).await?;
    let current = Representation::validate(context, &loaded, &request)?;
    let report = compute(move || report(&loaded, &request)).await?;
    current.respond(report).await
}

fn parse(context: &RequestContext) -> Result<DataRequest, Problem> {
    let mut params = context.params();
    let (data, ()) = shared_params::read(&mut params, context);
    shared_params::reject_department_path_if_suppressing(&mut params, context);
    params.finish().map(|()| data)
}

fn report(loaded: &Loaded<UserRollups>, request: &DataRequest) -> Response {
    let DataRequest { query: Query { selection, .. }, format, min_group_size, .. } = request;
    let report = loaded.dictionary().map(|dictionary| clients(&loaded.rollups, &dictionary.read(), selection));
    let ClientsReport { mut usage, mut versions, active } = report.unwrap_or_default();
    let total = usage.len() + versions.len();
    if let Some(min_group_size) = min_group_size {
        let is_small = |people: u64| (1..min_group_size.get()).contains(&people);
        let is_suppressed = loaded.input.days.iter().any(|day| is_small(day.row_count() as u64));
        // An unknown number of users may be small, so it is suppressed too.
        let is_visible = |users: Option<u64>| !is_suppressed && users.is_some_and(|users| !is_small(users));
        usage.retain(|usage| is_visible(usage.users));
        // The ages are those among the visible versions, so that they reveal nothing about the others.
        versions.retain(|usage| is_visible(usage.users));
    }
    let are_suppressed = usage.len() + versions.len() < total;
    let ids_are_withheld = usage.iter().any(|usage| usage.users.is_none());
    let meta = Meta::from_loaded_days(&loaded.input)
        .with_notes(loaded.notes())
        .with_note(ids_are_withheld.then_some(DISTINCT_COUNTS_WITHHELD))
        .with_withheld(are_suppressed.then_some(SMALL_GROUPS_SUPPRESSED), *min_group_size);
    let mut rows: Vec<ClientsRow> = usage.iter().map(|usage| ClientsRow::new(usage, active)).collect();
    let aged = versions.iter().zip(ages(&versions));
    if format.has_rows() {
        rows.extend(aged.map(|(usage, age)| ClientsRow::of_version(usage, age)));
        return ListResponse { data: rows, meta }.into_format(*format, "clients");
    }
    let client_versions = aged.map(|(usage, age)| ClientVersionItem::new(usage, age)).collect();
    let mut data = ClientsData { client_versions, ..ClientsData::default() };
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
        let usage = UsageItem { name: Arc::clone(&usage.name), users: usage.users, share };
        Self { kind, usage, version: VersionFields::default() }
    }

    fn of_version(usage: &VersionUsage, age: VersionAge) -> Self {
        let ClientVersionItem { version, users, share } = ClientVersionItem::new(usage, age);
        let parts = [version.client.as_deref(), version.version.as_deref()];
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join(" ").into();
        Self { kind: "client_versions", usage: UsageItem { name, users, share }, version }
    }
}

impl ClientVersionItem {
    fn new(usage: &VersionUsage, age: VersionAge) -> Self {
        let version = VersionFields {
            system: usage.version.system.clone(),
            client: Some(Arc::clone(&usage.version.client)),
            version: usage.version.version.clone(),
            newest: age.is_newest,
            outdated: age.is_outdated,
        };
        let share = usage.users.and_then(|users| ratio(users, usage.system_users)).map(round_to_thousandths);
        Self { version, users: usage.users, share }
    }
}
