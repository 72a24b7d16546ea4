//! The item of `/v1/users`: the totals of one person over a range.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::figures::{Counters, FeatureDays};
use crate::{
    api::params::{DayCount, parsed},
    model::Day,
    report::{
        account_status::{AccountStatus, DEFAULT_DORMANT_AFTER, StatusRule},
        user_totals::PersonTotals,
    },
    table::{GeoInstant, dictionary::DictionaryTables, record},
};

/// The parameter of the status of accounts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatusParams {
    /// After how many days without activity an account counts as dormant, such as `30d` (default) or `90d`.
    #[param(value_type = Option<String>, example = "30d")]
    #[serde(default, deserialize_with = "parsed")]
    dormant_after: Option<DayCount>,
}

impl StatusParams {
    /// The number of days.
    #[must_use]
    pub fn dormant_after(&self) -> u16 {
        self.dormant_after.map_or(DEFAULT_DORMANT_AFTER, |DayCount(days)| days)
    }
}

record! {
    /// The activity of one person over the range.
    #[derive(Debug, Serialize, ToSchema)]
    pub struct UserItem {
        /// Id of the person, of type `user_id_type`.
        #[schema(value_type = String, example = "ou_0048db4f1eb5210fab8ae39635c948a9")]
        user_id: Option<Arc<str>>,
        /// Name of the person on the last day that has a row.
        #[schema(value_type = String, example = "张三")]
        user_name: Arc<str>,
        /// Path of the person's department on the same day.
        #[schema(value_type = String, example = "总部/研发")]
        department_path: Arc<str>,
        /// Status of the account on the newest date of the range that counts: `never_activated`; `active`, with activity within
        /// `dormant_after` days by `last_active_time` and the dates of the range; `dormant`; or `left`, without a row on that
        /// date. Null if it is unknown who has left, because Feishu withholds ids on that date or sends no rows of inactive
        /// people. The status follows all rows of the person, also those of other departments.
        #[schema(example = "active", value_type = String)]
        status: Option<&'static str>,
        /// Whether the account is activated, by the person's newest row.
        #[schema(example = true)]
        activated: bool,
        /// When the account was activated (RFC 3339). Null if Feishu names no time.
        #[schema(value_type = Option<String>, format = DateTime, example = "2024-03-04T09:30:00+08:00")]
        register_time: Option<GeoInstant>,
        /// The time of the person's last activity as known to Feishu, by the person's newest row (RFC 3339). Null if there is
        /// none.
        #[schema(value_type = Option<String>, format = DateTime, example = "2026-11-06T18:20:11+08:00")]
        last_active_time: Option<GeoInstant>,
        /// Number of days of the range on which the person was active.
        #[schema(example = 17)]
        active_days: u64,
        /// The last day of the range on which the person was active. Null if there is none.
        #[schema(value_type = Option<String>, format = Date, example = "2026-11-06")]
        last_active_date: Option<Day>,
        features: FeatureDays,
        counters: Counters,
    }
}

impl UserItem {
    /// The item of `total`. `rule` judges the status; without it, the status is null.
    #[must_use]
    pub fn new(total: &PersonTotals, tables: &DictionaryTables, rule: Option<&StatusRule>) -> Self {
        let (profile, newest) = (&total.profile, total.newest_row);
        Self {
            user_id: profile.user_id.clone(),
            user_name: Arc::clone(&profile.user_name),
            department_path: Arc::clone(&tables.department(profile.department).path),
            status: rule.and_then(|rule| rule.status(profile.person, newest)).map(AccountStatus::name),
            activated: newest.activated,
            register_time: profile.register_time.map(|instant| GeoInstant { instant, geo: total.geo }),
            last_active_time: newest.last_active_time.map(|instant| GeoInstant { instant, geo: newest.geo }),
            active_days: total.active_days,
            last_active_date: total.last_active_date,
            features: FeatureDays(total.feature_days),
            counters: Counters::new(total.counters),
        }
    }
}
