//! `GET /open-apis/admin/v1/admin_user_stats`: one page of people's figures.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use serde::Serialize;

use super::{answer::Answer, failure::Failure, query::StatsQuery, row::WireRow, world::World};
use crate::{
    model::{Geo, UserIdType},
    sim::{
        Drift, TruthRow,
        faults::Twist,
        ledger::{Outcome, PathKind},
        tenant::{Chain, Filter},
    },
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
    items: Option<Vec<WireRow<'a>>>,
}

/// Where a call stands in its chain.
struct Bookmark<'a> {
    world: &'a World,
    query: &'a StatsQuery,
    geo: Geo,
    chain: Arc<Chain>,
    /// The number of the page, from 0.
    page: usize,
}

/// A page, before it is written.
struct Page {
    rows: Vec<TruthRow>,
    has_more: bool,
    token: Option<String>,
}

/// Answers a call to the stats path.
pub(crate) async fn stats(State(world): State<Arc<World>>, headers: HeaderMap, uri: Uri) -> Response {
    let query = StatsQuery::read(&uri);
    let (visit, admission) = world.receive_limited(query.as_ref().ok(), &headers);
    if let Err(away) = admission {
        let answer = world.turn_away(&away, &visit);
        return world.reply(visit, async { answer }).await;
    }
    let mishap = world.faults.take(PathKind::Stats, query.as_ref().ok());
    visit.note(mishap.as_ref());
    let log_id = visit.log_id.clone();
    let answer = world.spoil(mishap, &log_id, |twist| {
        let answer = query.and_then(|query| give(&world, &query, twist));
        answer.unwrap_or_else(|failure| Answer::failure(&failure, &log_id))
    });
    world.reply(visit, answer).await
}

/// The page asked for, charged to the quota.
fn give(world: &World, query: &StatsQuery, twist: Option<Twist>) -> Result<Answer, Failure> {
    let bookmark = Bookmark::of(world, query)?;
    if !world.quota.charge(world.today()) {
        return Err(Failure::of(99_991_403));
    }
    let page = twist.map_or_else(|| bookmark.page(), |twist| bookmark.twisted(twist));
    Ok(world.hint_at_success(write(world, query, page)))
}

impl<'a> Bookmark<'a> {
    fn of(world: &'a World, query: &'a StatsQuery) -> Result<Self, Failure> {
        let page = world.pages.page_of(query).ok_or_else(|| Failure::invalid("page_token"))?;
        let geo = query.target_geo.unwrap_or_else(|| world.config.home());
        let chain = chain(world, query, geo)?;
        Ok(Self { world, query, geo, chain, page })
    }

    fn page(&self) -> Page {
        let has_more = self.chain.has_more(self.page, self.query.page_size);
        let token = has_more.then(|| self.world.pages.issue(self.query, self.page + 1));
        Page { rows: self.rows(self.page, self.query.page_size), has_more, token }
    }

    fn twisted(&self, twist: Twist) -> Page {
        let honest = self.page();
        match twist {
            Twist::Empty => {
                let token = self.world.pages.issue_afresh(self.query, self.page);
                Page { rows: Vec::new(), has_more: true, token: Some(token) }
            }
            Twist::WithoutToken => Page { has_more: true, token: None, ..honest },
            Twist::SameToken => match self.query.page_token.clone() {
                Some(sent) => Page { has_more: true, token: Some(sent), ..honest },
                None => honest,
            },
            Twist::RowAgain => Page { rows: [self.rows(0, 1), honest.rows].concat(), ..honest },
        }
    }

    fn rows(&self, page: usize, size: usize) -> Vec<TruthRow> {
        self.chain.page(page, size).filter_map(|address| self.world.tenant.row(self.geo, address)).collect()
    }
}

/// All rows that the query asks for.
fn chain(world: &World, query: &StatsQuery, geo: Geo) -> Result<Arc<Chain>, Failure> {
    if !world.tenant.geos().any(|enabled| enabled == geo) {
        return Err(Failure::of(1_051_002));
    }
    let filter = Filter { department: department(world, query)?, person: person(world, query, geo)? };
    Ok(world.tenant.chain(geo, query.span, filter, world.clock.now()))
}

/// The root department is known as `0`, whatever the type of id, and holds everybody.
fn department(world: &World, query: &StatsQuery) -> Result<Option<usize>, Failure> {
    let Some(id) = query.department_id.as_deref().filter(|id| *id != "0") else { return Ok(None) };
    let place = world.tenant.find_department(query.department_id_type, id);
    place.map(Some).ok_or_else(|| Failure::of(99_992_357))
}

/// Somebody of another geo is known, though has no rows in this one.
fn person(world: &World, query: &StatsQuery, geo: Geo) -> Result<Option<u32>, Failure> {
    let Some(id) = query.user_id.as_deref() else { return Ok(None) };
    let found = world.tenant.find_person(query.user_id_type, id).ok_or_else(|| Failure::of(99_992_351))?;
    Ok(Some(if found.0 == geo { found.1 } else { u32::MAX }))
}

fn write(world: &World, query: &StatsQuery, page: Page) -> Answer {
    let (kind, drift, seed) = (query.user_id_type, world.config.drift, world.config.seed);
    let withheld = kind == UserIdType::UserId && !world.config.employee_ids;
    let rows: Vec<_> = page.rows.iter().map(|row| WireRow::new(row, kind, withheld, drift, seed)).collect();
    let items = Some(rows).filter(|rows| !rows.is_empty() || keeps_empty_items(drift, query));
    let data = Data { has_more: page.has_more, page_token: page.token, items };
    Answer::json(&Body { code: 0, msg: "success", data }, Outcome::Rows(page.rows.len()))
}

/// Whether a page without rows has an empty list of them, or with drift, every other time, no list.
fn keeps_empty_items(drift: Drift, query: &StatsQuery) -> bool {
    drift == Drift::Off || query.fingerprint().is_multiple_of(2)
}
