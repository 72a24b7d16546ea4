//! `GET /v1/users`: what each person did over the range, in any order, in pages or as an export.

use std::{io, sync::Arc};

use axum::{
    http::{HeaderValue, Uri, header},
    response::Response,
};
use bytes::Bytes;
use utoipa::IntoParams;

use super::user_item::UserItem;
use crate::{
    api::{
        answer::{self, Answer},
        audit::Rows,
        cursor::{self, Offset},
        data_request::{DataRequest, Early},
        envelope::{Meta, WITHHELD_PEOPLE},
        negotiate::{Format, FormatParams, Wanted},
        params::{Params, documented},
        problem::{Problem, ProblemCode},
        responses::{CommonProblems, FormatProblems, ParquetFile, PreferHeader, UpstreamAnswers},
        selection::{self, PeopleParams, RangeParams, Selected},
        work::{Chunks, compute},
    },
    model::DayRange,
    query::{Period, Sheets},
    report::tally::{self, Key, Sort, Tally},
    table::{
        Counter, Directory, PersonNo, Selection,
        parquet::{Stream, records},
    },
};

const DEFAULT_LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 10_000;

/// People that are written at once while an export is.
const CHUNK: usize = 16_384;

/// The parameters of this endpoint alone.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Asked::read` reads")]
pub struct UsersParams {
    /// A counter such as `send_messenger_num`, `active_days`, `last_active_date`, `user_name` or `user_id`; with a
    /// minus sign in front, the largest first. Equals stand by user id. Default: `user_id`.
    #[param(example = "-send_messenger_num")]
    sort: Option<String>,
    /// Only people with an active day in the range (`true`), or without one (`false`).
    active: Option<bool>,
    /// Only people without an active day in so many days up to the end of the range, such as `30d`. Days before the
    /// range are looked at too where the range is shorter.
    #[param(example = "30d")]
    inactive_for: Option<String>,
    /// People a page. Default: 100. In the other formats: how many people altogether. Default: all.
    #[param(minimum = 1, maximum = 10_000, example = 100)]
    limit: Option<usize>,
    /// The `next_cursor` of the page before (JSON only).
    cursor: Option<String>,
}

/// A request as it was understood.
struct Asked {
    selected: Selected,
    sort: Sort,
    active: Option<bool>,
    inactive_for: Option<u16>,
    limit: Option<usize>,
    cursor: Option<Offset>,
}

/// People over a range
///
/// One item per person that has a row in the range: active days, the last of them, use of each feature, every counter
/// summed. `meta.total` counts the people on all pages. With `department_path`, only the days that people spent in that
/// department count. People whose id Feishu withholds cannot be told apart and are left out.
#[utoipa::path(
    get, path = "/v1/users", tag = "data", operation_id = "users",
    params(RangeParams, PeopleParams, UsersParams, FormatParams, PreferHeader),
    responses(
        (status = 200, description = "The people", content(
            (Answer<UserItem> = "application/json"), (String = "text/csv"), (ParquetFile = "application/vnd.apache.parquet"), (UserItem = "application/x-ndjson"),
        ), headers(("Link" = String, description = "The next page (`rel=\"next\"`), where there is one"))),
        (status = 409, description = "`stale_cursor`: a day has changed between two pages; begin again",
            body = Problem, content_type = "application/problem+json"),
        CommonProblems, FormatProblems, UpstreamAnswers,
    ),
)]
pub(in crate::api) async fn get(mut request: DataRequest) -> Result<Response, Early> {
    let mut params = request.params(&[selection::shared(), documented::<UsersParams>()]);
    let asked = Asked::read(&mut params, &request);
    let wanted = request.wanted(&mut params);
    if wanted.format != Format::Json && params.has("cursor") {
        params.fault("cursor", "goes only with JSON; the other formats have no pages");
    }
    params.finish()?;

    let asking = request.asking(asked.selected.allow_partial);
    let sheets = request.engine().sheets(&asked.selected.query, asking);
    let sheets = request.gathered(&asked.selected.query, sheets).await?;
    if wanted.format == Format::Json {
        let uri = request.uri().clone();
        return request.answered(compute(move || page(&sheets, &asked, &uri)).await??).await;
    }
    let range = sheets.basis.plan().range;
    let export = compute(move || Export::new(sheets, &asked, wanted)).await?.map_err(answer::unwritten)?;
    let rows = export.written.clone();
    request.exported(export, |body| rows.on(answer::file(wanted.format, "users", range, body)))
}

impl Asked {
    fn read(params: &mut Params, request: &DataRequest) -> Self {
        let mut selected = selection::read(params, request);
        let inactive_for = params.parsed("inactive_for").and_then(|period| match period {
            Period::Latest(days) => Some(days),
            Period::Yesterday | Period::Month(_) => {
                params.fault("inactive_for", "expected a number of days such as 30d");
                None
            }
        });
        let days = u16::try_from(selected.query.span.days(&selected.query.geos, request.engine().now()).len());
        let lead = inactive_for.map(|idle| idle.saturating_sub(days.unwrap_or(u16::MAX)));
        selected.query.lead = lead.unwrap_or(0);
        Self {
            selected,
            sort: sort(params),
            active: params.flag("active"),
            inactive_for,
            limit: params.number("limit", 1..=LARGEST_LIMIT),
            cursor: offset(params, request.uri()),
        }
    }

    fn wanted(&self, sheets: &Sheets) -> tally::Wanted {
        let last = sheets.basis.plan().range.last();
        let since = self.inactive_for.map(|days| DayRange::ending(last, days).first());
        tally::Wanted {
            selection: self.selected.query.selection.clone(),
            active: self.active,
            among: sheets.everyone(&self.selected.query.selection),
            except: since.map(|since| sheets.basis.active_since(since)),
        }
    }
}

fn sort(params: &mut Params) -> Sort {
    let text = params.text("sort").unwrap_or_else(|| "user_id".to_owned());
    let (name, descending) = text.strip_prefix('-').map_or((&*text, false), |name| (name, true));
    let key = match name {
        "active_days" => Some(Key::ActiveDays),
        "last_active_date" => Some(Key::LastActiveDate),
        "user_name" => Some(Key::UserName),
        "user_id" => Some(Key::UserId),
        counter => Counter::by_name(counter).map(Key::Counter),
    };
    if key.is_none() {
        let counters = Counter::ALL.map(Counter::name).join(", ");
        let others = "active_days, last_active_date, user_name, user_id";
        params.fault("sort", format!("expected, perhaps after a minus sign, one of {others}, {counters}"));
    }
    Sort { key: key.unwrap_or(Key::UserId), descending }
}

fn offset(params: &mut Params, uri: &Uri) -> Option<Offset> {
    let offset = Offset::decode(&params.text("cursor")?);
    match offset {
        Ok(offset) if offset.question == cursor::question(uri) => return Some(offset),
        Ok(_) => params.fault("cursor", "is of another question"),
        Err(error) => params.fault("cursor", error.to_string()),
    }
    None
}

/// One page as JSON, with the way to the next.
fn page(sheets: &Sheets, asked: &Asked, uri: &Uri) -> Result<Response, Problem> {
    let version = sheets.basis.version();
    if asked.cursor.is_some_and(|cursor| cursor.version != version) {
        return Err(Problem::new(ProblemCode::StaleCursor, "a day of the range has changed since"));
    }
    let (skip, limit) = (asked.cursor.map_or(0, |cursor| cursor.skip), asked.limit.unwrap_or(DEFAULT_LIMIT));
    let mut meta = meta(sheets, &asked.selected.query.selection);
    let mut data: Vec<UserItem> = Vec::new();
    if let Some(directory) = sheets.directory() {
        // Both read the directory: one after the other, or whoever waits to write would hold up the second for ever.
        let wanted = asked.wanted(sheets);
        let tables = directory.read();
        let tally = Tally { sheets: &sheets.sheets, tables: &tables };
        let ranking = tally.ranking(&wanted, asked.sort);
        let people = ranking.page(skip, limit);
        let totals = tally.totals(&people, &asked.selected.query.selection);
        data = totals.iter().map(|total| UserItem::new(total, &tables)).collect();
        meta.total = Some(ranking.total());
    }
    let next = (meta.total > Some(skip + limit)).then_some(skip + limit);
    meta.next_cursor = next.map(|skip| Offset { skip, version, question: cursor::question(uri) }.encode());
    let link = meta.next_cursor.as_deref().map(|cursor| cursor::next_link(uri, cursor));
    let people = data.len();
    let mut response = Rows::of(people).on(answer::json(&Answer { data, meta }, people));
    let link = link.and_then(|link| HeaderValue::from_str(&link).ok());
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    Ok(response)
}

fn meta(sheets: &Sheets, selection: &Selection) -> Meta {
    let withheld = sheets.basis.withholds(selection, false);
    let meta = Meta { total: Some(0), ..Meta::of_basis(&sheets.basis) };
    meta.noting(withheld.then_some(WITHHELD_PEOPLE))
}

/// All people, in order.
struct Export {
    sheets: Sheets,
    directory: Option<Arc<Directory>>,
    selection: Selection,
    people: std::vec::IntoIter<PersonNo>,
    written: Rows,
    pen: Pen,
}

/// What writes them.
enum Pen {
    /// Lines of CSV, with what stands before the first.
    Csv(Vec<u8>),
    Ndjson,
    /// Parquet, until its end is written.
    Parquet(Option<Box<Stream>>),
}

impl Export {
    fn new(sheets: Sheets, asked: &Asked, wanted: Wanted) -> io::Result<Self> {
        let directory = sheets.directory().cloned();
        let people = directory.as_ref().map(|directory| {
            let wanted = asked.wanted(&sheets);
            let tables = directory.read();
            let tally = Tally { sheets: &sheets.sheets, tables: &tables };
            tally.ranking(&wanted, asked.sort).page(0, asked.limit.unwrap_or(usize::MAX))
        });
        let pen = match wanted.format {
            Format::Csv => Pen::Csv(answer::table::<UserItem>(&[], wanted.bom)),
            Format::Json | Format::Ndjson => Pen::Ndjson,
            Format::Parquet => Pen::Parquet(Some(Box::new(Stream::new(records::columns::<UserItem>())?))),
        };
        let selection = asked.selected.query.selection.clone();
        let people = people.unwrap_or_default().into_iter();
        Ok(Self { sheets, directory, selection, people, written: Rows::default(), pen })
    }
}

impl Chunks for Export {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let people: Vec<PersonNo> = self.people.by_ref().take(CHUNK).collect();
        let Some(directory) = self.directory.as_ref().filter(|_| !people.is_empty()) else {
            return self.pen.finish();
        };
        let tables = directory.read();
        let totals = Tally { sheets: &self.sheets.sheets, tables: &tables }.totals(&people, &self.selection);
        let items: Vec<UserItem> = totals.iter().map(|total| UserItem::new(total, &tables)).collect();
        drop(tables);
        self.written.add(items.len());
        self.pen.write(&items).map(Some)
    }
}

impl Pen {
    fn write(&mut self, items: &[UserItem]) -> io::Result<Bytes> {
        Ok(match self {
            Self::Csv(head) => {
                let mut out = std::mem::take(head);
                answer::push_rows(&mut out, items);
                out.into()
            }
            Self::Ndjson => answer::lines(items).into(),
            Self::Parquet(None) => Bytes::new(),
            Self::Parquet(Some(stream)) => {
                let columns = records::cells(items);
                stream.group(1, |column, _| Arc::clone(&columns[column]))?.into()
            }
        })
    }

    /// What is left once everyone is written.
    fn finish(&mut self) -> io::Result<Option<Bytes>> {
        let rest = match self {
            Self::Csv(head) => Some(std::mem::take(head)).filter(|head| !head.is_empty()),
            Self::Ndjson => None,
            Self::Parquet(stream) => stream.take().map(|stream| stream.finish()).transpose()?,
        };
        Ok(rest.map(Bytes::from))
    }
}
