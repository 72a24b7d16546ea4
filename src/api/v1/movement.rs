//! `GET /v1/reports/movement`: who stayed, came and went from one week or month to the next.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::retention::PeriodLength;
use crate::{
    api::{
        compute::compute,
        data_request::{DataRequest, EarlyResponse, Loaded, RequestContext},
        list_response::ListResponse,
        meta::{
            DISTINCT_COUNTS_WITHHELD, MOVEMENT_INCOMPLETE, Meta, NO_ROWS_OF_INACTIVE_PEOPLE, SMALL_GROUPS_SUPPRESSED,
        },
        problem::Problem,
        representation::Representation,
        responses::{CommonProblems, FormatProblems, PreferHeader, UpstreamResponses},
        shared_params::{self, PeopleParams, RangeParams},
    },
    model::Day,
    query::{Query, ReportInput},
    report::{
        Interval,
        digest::has_inactive_rows,
        movement::{self, HiddenMovement, MovementBucket, MovementInput},
        retention::Activations,
    },
    table::record,
};

/// The endpoint's own parameters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MovementParams {
    /// Length of a bucket. Weeks begin on Monday. Default: `week`.
    #[param(inline)]
    interval: Option<PeriodLength>,
}

record! {
    /// The movement of people from the week or month before to this one. All figures count distinct people. They are null
    /// if this week or month or the one before it is not over, is cut by the selected range, or has a date that is late,
    /// missing or expired (`meta.notes` says so).
    #[derive(Debug, Serialize, ToSchema)]
    pub struct MovementItem {
        /// First day of the bucket.
        #[schema(value_type = String, format = Date, example = "2026-11-02")]
        start_date: Day,
        /// Last day of the bucket.
        #[schema(value_type = String, format = Date, example = "2026-11-08")]
        end_date: Day,
        /// Number of dates of the bucket that count in the figures. Late, missing, empty, expired and pending dates do not.
        #[schema(example = 7)]
        days_counted: usize,
        /// Whether the whole week or month is in the selected range, and each of its dates counts or is known to have no
        /// people.
        #[schema(example = true)]
        complete: bool,
        /// People who were active in the bucket: `retained` + `new` + `reactivated`.
        #[schema(example = 1610)]
        active: Option<u64>,
        /// People who were active in this bucket and in the one before.
        #[schema(example = 1520)]
        retained: Option<u64>,
        /// People who were active in this bucket but not in the one before, and who activated their account in it.
        #[schema(example = 24)]
        new: Option<u64>,
        /// The other people who were active in this bucket but not in the one before.
        #[schema(example = 66)]
        reactivated: Option<u64>,
        /// People who were active in the bucket before but not in this one, and who still have a row on its last date that
        /// counts. Null if Feishu sends no rows for inactive people.
        #[schema(example = 58)]
        newly_dormant: Option<u64>,
        /// People with a row on the last date of this bucket that counts, but on that of the bucket before in no
        /// department. Null if Feishu sends no rows for inactive people.
        #[schema(example = 17)]
        joined: Option<u64>,
        /// People with a row on the last date of the bucket before that counts, but on that of this bucket in no
        /// department. Null if Feishu sends no rows for inactive people.
        #[schema(example = 9)]
        left: Option<u64>,
        /// People of the department on the last date of this bucket who were in another department on that of the bucket
        /// before. Null without `department_path`, and if Feishu sends no rows for inactive people.
        transferred_in: Option<u64>,
        /// People of the department on the last date of the bucket before who were in another department on that of this
        /// bucket. Null under the same conditions as `transferred_in`.
        transferred_out: Option<u64>,
    }
}

/// The parsed request.
struct MovementRequest {
    data: DataRequest,
    interval: Interval,
}

/// Movement of people
///
/// For each week or month: the active people who stayed, activated their account or came back, those who became dormant,
/// and the people who joined or left. `active` = `retained` + `new` + `reactivated`; the change of `users` of the activity
/// report = `joined` − `left` + `transferred_in` − `transferred_out`. The days of the week or month before the range that
/// are not available are fetched from Feishu.
#[utoipa::path(
    get, path = "/v1/reports/movement", tag = "reports", operation_id = "movementReport",
    params(RangeParams, PeopleParams, MovementParams, PreferHeader),
    responses(
        (status = 200, description = "One item per week or month, in time order", body = ListResponse<MovementItem>),
        CommonProblems, FormatProblems, UpstreamResponses,
    ),
)]
pub(in crate::api) async fn get(context: RequestContext) -> Result<Response, EarlyResponse> {
    let request = MovementRequest::parse(&context)?;
    let DataRequest { query, options, .. } = &request.data;
    let input = context.load(&request.data, context.engine().load_report_input(query, *options)).await?;
    let current = Representation::validate(context, &input, &request.data)?;
    let report = compute(move || report(&input, &request)).await?;
    current.respond(report).await
}

impl MovementRequest {
    fn parse(context: &RequestContext) -> Result<Self, Problem> {
        let mut params = context.params();
        shared_params::reject_user_id(&mut params);
        if params.has("department_id") {
            let detail = "is not accepted by this report: Feishu returns no rows of other departments, so that people who \
                move between departments cannot be told from those who join or leave; use department_path";
            params.add_fault("department_id", detail);
        }
        let (mut data, own): (_, MovementParams) = shared_params::read(&mut params, context);
        shared_params::reject_department_path_if_suppressing(&mut params, context);
        params.finish()?;
        let interval = own.interval.unwrap_or_default().into();
        let range = data.query.dates.resolve(&data.query.geos, context.now());
        data.query.lead_days = movement::lead_days(range, interval);
        Ok(Self { data, interval })
    }
}

fn report(input: &Loaded<ReportInput>, request: &MovementRequest) -> Response {
    let MovementRequest { data: DataRequest { query: Query { selection, .. }, format, min_group_size, .. }, interval } =
        request;
    let (range, interval) = (input.plan.range, *interval);
    let (people, dates) = (input.people(selection), input.known_dates());
    let activations = Activations::from_days(&input.days);
    let parts = MovementInput { people: &people, dates: &dates, activations: &activations };
    let buckets = movement::movement(range, interval, &parts);
    let hidden = min_group_size.map_or_else(Vec::new, |least| {
        let mut hidden = movement::hidden(range, interval, &parts, least);
        let suppressed = input.suppressed_days(selection, Some(least));
        for (bucket, hidden) in buckets.iter().zip(&mut hidden) {
            if movement::compared_buckets(bucket.days, interval).any(|days| suppressed.cover(days)) {
                *hidden = HiddenMovement::ALL;
            }
        }
        hidden
    });
    let has_rows_of_all = has_inactive_rows(&input.days);
    let has_transfers = selection.department_path.is_some();
    let item = |(index, bucket): (usize, &MovementBucket)| {
        let hidden = hidden.get(index).copied().unwrap_or_default();
        MovementItem::new(bucket, hidden, has_rows_of_all, has_transfers)
    };
    let data: Vec<MovementItem> = buckets.iter().enumerate().map(item).collect();
    let are_incomplete = buckets.iter().any(|bucket| !bucket.is_complete || !bucket.has_predecessor);
    let lacks_ids = input.has_unidentified_rows(selection)
        || buckets.iter().filter_map(|bucket| bucket.movement).any(|movement| !movement.are_others_identified);
    let are_hidden = buckets.iter().zip(&hidden).any(|(bucket, hidden)| bucket.movement.is_some() && hidden.has_any());
    let meta = Meta::from_loaded_days(input)
        .with_notes(input.notes())
        .with_note(lacks_ids.then_some(DISTINCT_COUNTS_WITHHELD))
        .with_note(are_incomplete.then_some(MOVEMENT_INCOMPLETE))
        .with_note((!input.days.is_empty() && !has_rows_of_all).then_some(NO_ROWS_OF_INACTIVE_PEOPLE))
        .with_withheld(are_hidden.then_some(SMALL_GROUPS_SUPPRESSED), *min_group_size);
    ListResponse { data, meta }.into_format(*format, "movement")
}

impl MovementItem {
    fn new(bucket: &MovementBucket, hidden: HiddenMovement, has_rows_of_all: bool, has_transfers: bool) -> Self {
        let movement = bucket.movement;
        let figure = |is_hidden: bool, of: fn(movement::Movement) -> u64| movement.filter(|_| !is_hidden).map(of);
        let with_rows = |is_hidden: bool, of| figure(is_hidden || !has_rows_of_all, of);
        // A person whose id is missing elsewhere may have moved there.
        let is_unknown = movement.is_some_and(|movement| !movement.are_others_identified);
        let joined_or_left = |is_hidden: bool, of| with_rows(is_hidden || is_unknown, of);
        Self {
            start_date: bucket.days.first(),
            end_date: bucket.days.last(),
            days_counted: bucket.days_counted,
            complete: bucket.is_complete,
            active: figure(hidden.active, |movement| movement.active),
            retained: figure(hidden.retained, |movement| movement.retained),
            new: figure(hidden.arrivals, |movement| movement.new),
            reactivated: figure(hidden.arrivals, |movement| movement.reactivated),
            newly_dormant: with_rows(hidden.newly_dormant, |movement| movement.newly_dormant),
            joined: joined_or_left(hidden.rows, |movement| movement.joined),
            left: joined_or_left(hidden.rows, |movement| movement.left),
            transferred_in: joined_or_left(!has_transfers, |movement| movement.transferred_in),
            transferred_out: joined_or_left(!has_transfers, |movement| movement.transferred_out),
        }
    }
}
