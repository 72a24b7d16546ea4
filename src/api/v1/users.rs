//! `GET /v1/users`: the totals of each person over the range, sorted, as pages of JSON or as an export.

use std::{io, sync::Arc};

use strum::VariantArray as _;

use axum::{
    http::{HeaderValue, Uri, header},
    response::Response,
};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::IntoParams;

use super::user_item::{StatusParams, UserItem};
use crate::{
    api::{
        access_log::RowCount,
        compute::compute,
        cursor::{self, Offset},
        data_request::{DataRequest, EarlyResponse, Loaded, RequestContext},
        export_pool::ChunkSource,
        format::{Format, Layout},
        list_response::{self, ListResponse},
        meta::{Meta, PEOPLE_WITHOUT_ID_OMITTED, SUMS_LIMITED, TOO_FEW_DATES, UNKNOWN_LAST_ACTIVITY, UNKNOWN_WHO_LEFT},
        params::{DayCount, WholeNumber, parsed},
        problem::{Problem, ProblemCode},
        representation::Representation,
        responses::{CommonProblems, FormatProblems, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams},
    },
    query::{QueryEngine, QueryError, UserRollups},
    report::{
        account_status::{AccountStatus, StatusRule},
        user_totals::{self, PersonTotals, UserSort, UserSortKey, UserTotals},
    },
    table::{
        Counter, Dictionary, PersonIndex, Record, RowSelection,
        parquet::{ParquetStream, record_columns},
        xlsx::XlsxWriter,
    },
};

const DEFAULT_LIMIT: usize = 100;

type PageSize = WholeNumber<1, 10_000>;

/// People per chunk of an export.
const PEOPLE_PER_CHUNK: usize = 16_384;

/// The endpoint's own parameters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsersParams {
    /// Sort key: a counter such as `send_messenger_num`, `active_days`, `last_active_date`, `last_active_time`,
    /// `register_time`, `status` (in the order `left`, `never_activated`, `dormant`, `active`), `activated`, `user_name` or `user_id`. A leading
    /// minus sign sorts in descending order. Ties are ordered by user id. Default: `user_id`.
    #[param(example = "-send_messenger_num")]
    sort: Option<String>,
    /// Only people with an active day in the range (`true`), or without one (`false`).
    active: Option<bool>,
    /// Only people without an active day on this number of dates up to the end of the range, such as `30d`. Only dates
    /// that count are examined. If the range has fewer of them, dates before the range are included in the check.
    #[param(value_type = Option<String>, example = "30d")]
    #[serde(default, deserialize_with = "parsed")]
    inactive_for: Option<DayCount>,
    /// Only people whose account has this status, or one of several separated by commas: `never_activated`, `active`,
    /// `dormant`, `left`.
    #[param(example = "dormant,never_activated")]
    status: Option<String>,
    /// Only people whose account is activated (`true`), or is not (`false`), by their newest row.
    activated: Option<bool>,
    /// JSON: people per page. Default: 100. Other formats: maximum number of people. Default: all.
    #[param(inline, example = 100)]
    limit: Option<PageSize>,
    /// `meta.next_cursor` of the previous page (JSON only).
    cursor: Option<String>,
}

/// The parsed request.
struct UsersRequest {
    data: DataRequest,
    sort: UserSort,
    active: Option<bool>,
    inactive_for: Option<u16>,
    statuses: Option<Vec<AccountStatus>>,
    activated: Option<bool>,
    dormant_after: u16,
    limit: Option<usize>,
    cursor: Option<Offset>,
}

/// People over a range
///
/// One item per person that has a row in the range: number of active days, last active day, use of each feature and sum
/// of each counter. `meta.total` is the number of people on all pages. With `department_path`, only the days that a
/// person spent in that department count. People whose id Feishu withholds are omitted, because they cannot be
/// distinguished.
#[utoipa::path(
    get, path = "/v1/users", tag = "data", operation_id = "users",
    params(RangeParams, PeopleParams, UsersParams, StatusParams, PreferHeader),
    responses(
        (status = 200, description = "The people", body = ListResponse<UserItem>, headers(
            ("Link" = String, description = "The next page (`rel=\"next\"`), if there is one"),
        )),
        (status = 409, description = "`stale_cursor`: a day has changed between two pages; restart without a cursor",
            body = Problem, content_type = "application/problem+json"),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(context: RequestContext) -> Result<Response, EarlyResponse> {
    let request = UsersRequest::parse(&context)?;
    let format = request.data.format;
    let permit = (format.format != Format::Json).then(|| context.begin_export()).transpose()?;
    let rollups = context.load(&request.data, load(context.engine(), &request)).await?;
    let (format, uri) = (format.format, context.uri().clone());
    let current = Representation::validate(context, &rollups, &request.data)?;
    if let Some(permit) = permit {
        let range = rollups.input.plan.range;
        let export = compute(move || UsersExport::new(rollups.into_inner(), &request)).await??;
        let row_count = export.row_count.clone();
        let file = |body| row_count.attach_to(list_response::file_response(format, "users", range, body));
        return current.respond_with_export(export, permit, file).await;
    }
    let page = compute(move || page(&rollups, &request, &uri)).await??;
    current.respond(page).await
}

/// Maximum number of loads until there are enough dates that count for `inactive_for`.
const MAX_LOADS: usize = 4;

/// Loads the roll-ups, and enough lead days that `inactive_for` can be judged although some dates do not count.
async fn load(engine: &QueryEngine, request: &UsersRequest) -> Result<UserRollups, QueryError> {
    let DataRequest { query, options, .. } = &request.data;
    let mut query = query.clone();
    let mut rollups = UserRollups::load(engine, &query, *options).await?;
    for load in 1..MAX_LOADS {
        let counted = rollups.input.counted_dates_with_lead_days().count();
        let lacking = request.inactive_for.map_or(0, |days| usize::from(days).saturating_sub(counted));
        if lacking == 0 {
            break;
        }
        // More each time: a gap can be longer than the number of dates that are lacking.
        query.lead_days = query.lead_days.saturating_add(u16::try_from(lacking << load).unwrap_or(u16::MAX));
        rollups = UserRollups::load(engine, &query, *options).await?;
    }
    Ok(rollups)
}

impl UsersRequest {
    fn parse(context: &RequestContext) -> Result<Self, Problem> {
        let mut params = context.params();
        let (mut data, own): (_, UsersParams) = shared_params::read(&mut params, context);
        if data.format.format != Format::Json && params.has("cursor") {
            params.add_fault("cursor", "is only valid with JSON; the other formats have no pages");
        }
        let inactive_for = own.inactive_for.map(|DayCount(days)| days);
        let dormant_after = params.read::<StatusParams>().dormant_after();
        let statuses = own.status.map(|names| params.list("status", &names, parse_status));
        let sort = params.check("sort", parse_sort(own.sort.as_deref().unwrap_or("user_id")));
        let query_hash = cursor::query_hash(context.uri());
        // A cursor of an export is faulty already.
        let cursor = own.cursor.filter(|_| !params.is_any_faulty(&["cursor"]));
        let cursor = cursor.and_then(|text| params.check("cursor", Offset::decode(&text, query_hash)));
        params.finish()?;
        let days = u16::try_from(data.query.dates.resolve(&data.query.geos, context.now()).len()).unwrap_or(u16::MAX);
        data.query.lead_days = inactive_for.map_or(0, |inactive_days| inactive_days.saturating_sub(days));
        let sort = sort.unwrap_or(UserSort { key: UserSortKey::UserId, descending: false });
        let limit = own.limit.map(|WholeNumber(limit)| limit);
        Ok(Self {
            data,
            sort,
            active: own.active,
            inactive_for,
            statuses,
            activated: own.activated,
            dormant_after,
            limit,
            cursor,
        })
    }

    fn filter(&self, rollups: &UserRollups) -> user_totals::UserFilter {
        let examined = |days: u16| rollups.input.counted_dates_with_lead_days().rev().take(days.into()).last();
        let since = self.inactive_for.and_then(examined);
        user_totals::UserFilter {
            selection: self.data.query.selection.clone(),
            active: self.active,
            candidates: rollups.all_people(&self.data.query.selection),
            excluded: since.map(|since| rollups.input.active_since(since)),
            statuses: self.statuses.clone(),
            activated: self.activated,
        }
    }
}

fn parse_status(text: &str) -> Result<AccountStatus, String> {
    let names: Vec<&str> = AccountStatus::VARIANTS.iter().map(|status| status.name()).collect();
    text.parse().map_err(|_| format!("{text} is not a status; expected any of {}", names.join(", ")))
}

fn parse_sort(text: &str) -> Result<UserSort, String> {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let key = match name {
        "active_days" => Some(UserSortKey::ActiveDays),
        "last_active_date" => Some(UserSortKey::LastActiveDate),
        "user_name" => Some(UserSortKey::UserName),
        "user_id" => Some(UserSortKey::UserId),
        "status" => Some(UserSortKey::Status),
        "activated" => Some(UserSortKey::Activated),
        "register_time" => Some(UserSortKey::RegisterTime),
        "last_active_time" => Some(UserSortKey::LastActiveTime),
        counter => Counter::by_name(counter).map(UserSortKey::Counter),
    };
    let expected = || {
        let counters = Counter::ALL.map(Counter::name).join(", ");
        let others =
            "active_days, last_active_date, last_active_time, register_time, status, activated, user_name, user_id";
        format!("expected one of {others}, {counters}, optionally after a minus sign")
    };
    key.map(|key| UserSort { key, descending }).ok_or_else(expected)
}

/// One page as JSON, with a link to the next page.
fn page(rollups: &Loaded<UserRollups>, request: &UsersRequest, uri: &Uri) -> Result<Response, Problem> {
    let version = rollups.input.version();
    if request.cursor.is_some_and(|cursor| cursor.version != version) {
        return Err(Problem::new(ProblemCode::StaleCursor, "a day of the range has changed since the previous page"));
    }
    let (skip, limit) = (request.cursor.map_or(0, |cursor| cursor.skip), request.limit.unwrap_or(DEFAULT_LIMIT));
    let mut meta = meta(rollups, &request.data.query.selection, request.inactive_for).with_notes(rollups.notes());
    let mut data: Vec<UserItem> = Vec::new();
    if let Some(shared_dictionary) = rollups.dictionary() {
        // This takes a read lock of the dictionary too, so it runs first: nested read locks deadlock while a writer waits.
        let filter = request.filter(rollups);
        let rule = rollups.status_rule(request.dormant_after);
        let dictionary = shared_dictionary.read();
        let totals_by_user =
            UserTotals { rollups: &rollups.rollups, dictionary: &dictionary, status_rule: rule.as_ref() };
        let ranking = totals_by_user.ranking(&filter, request.sort);
        let people = ranking.page(skip, limit);
        let totals = totals_by_user.totals(&people, &request.data.query.selection);
        data = totals.iter().map(|total| UserItem::new(total, &dictionary, rule.as_ref())).collect();
        meta.total = Some(ranking.count());
        let is_short = rollups.input.plan.range.len() < usize::from(request.dormant_after);
        let is_judged_by_range = |total: &PersonTotals| {
            let status = rule.as_ref().and_then(|rule| rule.status(total.profile.person, total.newest_row));
            status == Some(AccountStatus::Dormant) && total.newest_row.last_active_time.is_none()
        };
        let knows_who_left = rule.as_ref().is_none_or(StatusRule::knows_who_left);
        meta = meta
            .with_note((is_short && totals.iter().any(is_judged_by_range)).then_some(UNKNOWN_LAST_ACTIVITY))
            .with_note((!knows_who_left).then_some(UNKNOWN_WHO_LEFT));
    }
    let next = (meta.total > Some(skip + limit)).then_some(skip + limit);
    meta.next_cursor = next.map(|skip| Offset { skip, version, query_hash: cursor::query_hash(uri) }.encode());
    let link = meta.next_cursor.as_deref().map(|cursor| cursor::next_link(uri, cursor));
    let people = data.len();
    let mut response =
        RowCount::of(people).attach_to(ListResponse { data, meta }.into_json(request.data.format.layout));
    let link = link.and_then(|link| HeaderValue::from_str(&link).ok());
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    Ok(response)
}

fn meta(rollups: &UserRollups, selection: &RowSelection, inactive_for: Option<u16>) -> Meta {
    let withheld = rollups.input.has_unidentified_rows(selection);
    let counted = rollups.input.counted_dates_with_lead_days().count();
    let are_too_few = inactive_for.is_some_and(|days| counted < usize::from(days));
    let meta = Meta { total: Some(0), ..Meta::from_loaded_days(&rollups.input) }
        .with_note(are_too_few.then_some(TOO_FEW_DATES));
    meta.with_note(withheld.then_some(PEOPLE_WITHOUT_ID_OMITTED))
        .with_note(rollups.input.exceeds_max_sum().then_some(SUMS_LIMITED))
}

/// Streamed export of all people, in order.
struct UsersExport {
    rollups: UserRollups,
    shared_dictionary: Option<Arc<Dictionary>>,
    rule: Option<StatusRule>,
    selection: RowSelection,
    people: std::vec::IntoIter<PersonIndex>,
    row_count: RowCount,
    writer: ExportWriter,
}

/// Writer of one export format.
enum ExportWriter {
    /// CSV. Holds the bytes before the first row: byte order mark and header.
    Csv(Vec<u8>),
    Ndjson(Layout),
    /// Parquet. `None` once the footer is written.
    Parquet(Option<Box<ParquetStream>>),
    /// XLSX. `None` once the file is written.
    Xlsx(Option<Box<XlsxWriter>>),
}

impl UsersExport {
    fn new(rollups: UserRollups, request: &UsersRequest) -> Result<Self, Problem> {
        let shared_dictionary = rollups.dictionary().cloned();
        let rule = rollups.status_rule(request.dormant_after);
        let people = shared_dictionary.as_ref().map(|shared_dictionary| {
            let filter = request.filter(&rollups);
            let dictionary = shared_dictionary.read();
            let totals_by_user =
                UserTotals { rollups: &rollups.rollups, dictionary: &dictionary, status_rule: rule.as_ref() };
            totals_by_user.ranking(&filter, request.sort).page(0, request.limit.unwrap_or(usize::MAX))
        });
        let people = people.unwrap_or_default();
        let format = request.data.format;
        let writer = match format.format {
            Format::Csv => ExportWriter::Csv(list_response::csv_with_header::<UserItem>(&[], format.bom)),
            Format::Json | Format::Ndjson => ExportWriter::Ndjson(format.layout),
            Format::Parquet => {
                let stream = ParquetStream::new(record_columns::columns::<UserItem>());
                ExportWriter::Parquet(Some(Box::new(stream.map_err(list_response::serialization_problem)?)))
            }
            Format::Xlsx => {
                list_response::check_xlsx_rows(people.len())?;
                let writer = XlsxWriter::new(&<UserItem as Record>::columns(), people.len());
                ExportWriter::Xlsx(Some(Box::new(writer.map_err(list_response::serialization_problem)?)))
            }
        };
        let selection = request.data.query.selection.clone();
        let people = people.into_iter();
        Ok(Self { rollups, shared_dictionary, rule, selection, people, row_count: RowCount::default(), writer })
    }
}

impl ChunkSource for UsersExport {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let people: Vec<PersonIndex> = self.people.by_ref().take(PEOPLE_PER_CHUNK).collect();
            if people.is_empty() {
                return self.writer.finish();
            }
            let chunk = self.write(&people)?;
            // A workbook is written as a whole at the end.
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }
}

impl UsersExport {
    fn write(&mut self, people: &[PersonIndex]) -> io::Result<Bytes> {
        let Some(shared_dictionary) = &self.shared_dictionary else { return Ok(Bytes::new()) };
        let dictionary = shared_dictionary.read();
        let rule = self.rule.as_ref();
        let totals_by_user = UserTotals { rollups: &self.rollups.rollups, dictionary: &dictionary, status_rule: rule };
        let totals = totals_by_user.totals(people, &self.selection);
        let items: Vec<UserItem> = totals.iter().map(|total| UserItem::new(total, &dictionary, rule)).collect();
        drop(dictionary);
        self.row_count.add(items.len());
        self.writer.write(&items)
    }
}

impl ExportWriter {
    fn write(&mut self, items: &[UserItem]) -> io::Result<Bytes> {
        Ok(match self {
            Self::Csv(head) => {
                let mut out = std::mem::take(head);
                list_response::push_csv_rows(&mut out, items);
                out.into()
            }
            Self::Ndjson(layout) => list_response::ndjson_lines(items, *layout).into(),
            Self::Parquet(None) | Self::Xlsx(None) => Bytes::new(),
            Self::Xlsx(Some(writer)) => {
                items.iter().flat_map(Record::cells).try_for_each(|cell| writer.push(cell))?;
                Bytes::new()
            }
            Self::Parquet(Some(stream)) => {
                let columns = record_columns::cells(items);
                stream.write_row_group(1, |column, _| Arc::clone(&columns[column]))?.into()
            }
        })
    }

    /// The bytes after the last person, if any.
    fn finish(&mut self) -> io::Result<Option<Bytes>> {
        let rest = match self {
            Self::Csv(head) => Some(std::mem::take(head)).filter(|head| !head.is_empty()),
            Self::Ndjson(_) => None,
            Self::Xlsx(writer) => writer.take().map(|writer| writer.finish()).transpose()?,
            Self::Parquet(stream) => stream.take().map(|stream| stream.finish()).transpose()?,
        };
        Ok(rest.map(Bytes::from))
    }
}
