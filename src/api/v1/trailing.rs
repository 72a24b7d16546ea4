//! The parameter `trailing`: which days before the selected range the figures over the last 7 and 30 days may use.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    api::{
        data_request::DataRequest,
        meta::{Meta, TRAILING_FIGURES_INCOMPLETE},
    },
    query::{LeadDays, QueryEngine, QueryError, ReportInput},
    report::trailing_counts::MONTH_DAYS,
};

/// The parameter of trailing figures.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TrailingParams {
    /// Which days before the range `wau`, `mau` and `stickiness` may use; they need up to 29. `auto` (default): days that are
    /// stored; the others are fetched from Feishu if, by the estimate, the caller's wait and the quota of calls suffice.
    /// `fetch`: the others are always fetched. `held`: stored days only. `none`: the figures are null. A figure is null if
    /// a day of its window is lacking.
    #[param(inline)]
    trailing: Option<TrailingMode>,
}

/// Which days before the range trailing figures may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrailingMode {
    /// Stored days, and the others if the caller's wait and the quota suffice.
    Auto,
    /// All days.
    Fetch,
    /// Stored days.
    Held,
    /// Trailing figures are not computed.
    None,
}

/// Note: trailing figures are null, because days before the range are not stored.
const LEAD_DAYS_NOT_STORED: &str = "wau, mau or stickiness are null, because days before the range are not stored and were not \
    fetched; trailing=fetch fetches them";

impl TrailingParams {
    /// The mode, or `default` if the request names none. Completes the `data` request with the days that are always fetched.
    #[must_use]
    pub fn apply_to(self, data: &mut DataRequest, default: TrailingMode) -> TrailingMode {
        let mode = self.trailing.unwrap_or(default);
        data.query.lead_days = if mode == TrailingMode::Fetch { MONTH_DAYS - 1 } else { 0 };
        mode
    }
}

impl TrailingMode {
    /// Loads the selected days and the days before them that the mode allows.
    ///
    /// # Errors
    /// As [`QueryEngine::load_report_input`].
    pub async fn load(self, engine: &QueryEngine, request: &DataRequest) -> Result<ReportInput, QueryError> {
        let DataRequest { query, options, .. } = request;
        let mut input = engine.load_report_input(query, *options).await?;
        let lead_days = match self {
            Self::None => return Ok(input),
            // With `fetch`, the query has these days already.
            Self::Held | Self::Fetch => LeadDays::Stored,
            Self::Auto => LeadDays::Affordable(*options),
        };
        engine.add_lead_days(&mut input, query, MONTH_DAYS - 1, lead_days).await?;
        Ok(input)
    }

    /// Adds the notes on trailing figures. `is_incomplete` says whether one is null.
    #[must_use]
    pub fn with_notes(self, meta: Meta, input: &ReportInput, is_incomplete: bool) -> Meta {
        let is_incomplete = is_incomplete && self != Self::None;
        let are_lacking = is_incomplete && input.cache_status.lacks_lead_days;
        let are_uncertain = is_incomplete && !input.uncertain_dates().is_empty();
        meta.with_note(are_uncertain.then_some(TRAILING_FIGURES_INCOMPLETE))
            .with_note(are_lacking.then_some(LEAD_DAYS_NOT_STORED))
    }
}
