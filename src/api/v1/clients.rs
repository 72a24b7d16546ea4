//! `GET /v1/reports/clients`: what people use Feishu on.

use std::{num::NonZeroU64, sync::Arc};

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::figures::rounded;
use crate::{
    api::{
        answer::Answer,
        data_request::{DataRequest, Early},
        envelope::{Meta, WITHHELD, WITHHELD_GROUPS},
        negotiate::{Format, FormatParams, Wanted},
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamAnswers},
        selection::{self, PeopleParams, RangeParams, Selected},
        work::compute,
    },
    query::Gathered,
    report::{
        clients::{self, Used, clients},
        share,
    },
    table::{Cell, Column, Kind, Record, Selection},
};

/// What people use Feishu on.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClientsAnswer {
    data: ClientsData,
    meta: Meta,
}

/// What people use Feishu on, the most used of each kind first.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ClientsData {
    /// Names of operating systems, such as `iOS`.
    os_names: Vec<UsedItem>,
    /// Operating systems with their version, such as `ios 14.2`.
    operating_systems: Vec<UsedItem>,
    /// Feishu clients with their version, such as `feishu 3.40.0`.
    clients: Vec<UsedItem>,
    /// Kinds of Feishu app, such as `Feishu` and `Lark`.
    app_packages: Vec<UsedItem>,
}

/// Something that people use Feishu on.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsedItem {
    /// Its name.
    #[schema(value_type = String, example = "ios 14.2")]
    name: Arc<str>,
    /// Different people who used it. Null where Feishu withholds ids and the range has several days.
    #[schema(example = 312)]
    users: Option<u64>,
    /// Their share of all active people, 0 to 1; null where nobody was active. People use several, so shares add up to
    /// more than 1.
    #[schema(example = 0.236)]
    share: Option<f64>,
}

/// The same as a line of a table.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClientsLine {
    /// `os_names`, `operating_systems`, `clients` or `app_packages`.
    #[schema(example = "operating_systems")]
    kind: &'static str,
    #[serde(flatten)]
    used: UsedItem,
}

/// Systems, clients and packages
///
/// Operating systems, versions of the Feishu client and app packages, each with the different people who used it in the
/// range. As CSV, NDJSON or Parquet: one line for each.
#[utoipa::path(
    get, path = "/v1/reports/clients", tag = "reports", operation_id = "clientsReport",
    params(RangeParams, PeopleParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "What is used, the most used first", content(
            (ClientsAnswer = "application/json"), (String = "text/csv"), (ParquetFile = "application/vnd.apache.parquet"), (ClientsLine = "application/x-ndjson"),
        )),
        CommonProblems, FormatProblems, UpstreamAnswers,
    ),
)]
pub(in crate::api) async fn get(mut request: DataRequest) -> Result<Response, Early> {
    let mut params = request.params(&[selection::shared()]);
    let Selected { query, allow_partial } = selection::read(&mut params, &request);
    selection::refuse_departments_of_small_groups(&mut params, &request);
    let wanted = request.wanted(&mut params);
    params.finish()?;

    let gathered = request.engine().gather(&query, request.asking(allow_partial));
    let gathered = request.gathered(&query, gathered).await?;
    let least = request.least_group();
    request.answered(compute(move || answer(&gathered, &query.selection, least, wanted)).await?).await
}

fn answer(gathered: &Gathered, selection: &Selection, least: Option<NonZeroU64>, wanted: Wanted) -> Response {
    let directory = gathered.days.first().map(|day| day.directory());
    let used = directory.map(|directory| clients(&gathered.days, &directory.read(), selection));
    let (mut used, active) = used.unwrap_or_default();
    let all = used.len();
    if let Some(least) = least {
        let is_small = |people: u64| (1..least.get()).contains(&people);
        let hidden = gathered.days.iter().any(|day| is_small(day.rows() as u64));
        // Whose number is not known may be few.
        used.retain(|used| !hidden && used.users.is_some_and(|users| !is_small(users)));
    }
    let are_withheld = used.len() < all;
    let withheld = used.iter().any(|used| used.users.is_none());
    let meta = Meta::of(gathered).noting(withheld.then_some(WITHHELD)).noting(are_withheld.then_some(WITHHELD_GROUPS));
    let lines: Vec<ClientsLine> = used.iter().map(|used| ClientsLine::new(used, active)).collect();
    if wanted.format != Format::Json {
        return Answer { data: lines, meta }.written(wanted, "clients");
    }
    let mut data = ClientsData::default();
    for (used, line) in used.iter().zip(lines) {
        data.of(used.kind).push(line.used);
    }
    Json(ClientsAnswer { data, meta }).into_response()
}

impl ClientsData {
    fn of(&mut self, kind: clients::Kind) -> &mut Vec<UsedItem> {
        match kind {
            clients::Kind::OsName => &mut self.os_names,
            clients::Kind::OperatingSystem => &mut self.operating_systems,
            clients::Kind::Client => &mut self.clients,
            clients::Kind::AppPackage => &mut self.app_packages,
        }
    }
}

impl ClientsLine {
    fn new(used: &Used, active: Option<u64>) -> Self {
        let kind = match used.kind {
            clients::Kind::OsName => "os_names",
            clients::Kind::OperatingSystem => "operating_systems",
            clients::Kind::Client => "clients",
            clients::Kind::AppPackage => "app_packages",
        };
        let part = used.users.and_then(|users| share(users, active)).map(rounded);
        Self { kind, used: UsedItem { name: Arc::clone(&used.name), users: used.users, share: part } }
    }
}

impl Record for ClientsLine {
    fn columns() -> Vec<Column> {
        [("kind", Kind::Text), ("name", Kind::Text), ("users", Kind::Count), ("share", Kind::Number)]
            .map(|(name, kind)| Column::new(name, kind))
            .into()
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let UsedItem { name, users, share } = &self.used;
        vec![Cell::Text(self.kind), Cell::Text(name), (*users).into(), (*share).into()]
    }
}
