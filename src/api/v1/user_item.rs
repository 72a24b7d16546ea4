//! The item of `/v1/users`: the totals of one person over a range.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::figures::{Counters, FeatureDays};
use crate::{
    model::Day,
    report::user_totals::PersonTotals,
    table::{dictionary::DictionaryTables, record},
};

record! {
    /// The activity of one person over the range.
    #[derive(Debug, Serialize, ToSchema)]
    pub struct UserItem {
        /// Id of the person, of type `user_id_type`.
        #[schema(value_type = String, example = "ou_7dab8a3d3cdcc9da365777c7ad535d62")]
        user_id: Option<Arc<str>>,
        /// Name of the person on the last day that has a row.
        #[schema(value_type = String, example = "张三")]
        user_name: Arc<str>,
        /// Path of the person's department on the same day.
        #[schema(value_type = String, example = "总部/研发")]
        department_path: Arc<str>,
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
    /// The item of `total`.
    #[must_use]
    pub fn new(total: &PersonTotals, tables: &DictionaryTables) -> Self {
        let profile = &total.profile;
        Self {
            user_id: profile.user_id.clone(),
            user_name: Arc::clone(&profile.user_name),
            department_path: Arc::clone(&tables.department(profile.department).path),
            active_days: total.active_days,
            last_active_date: total.last_active_date,
            features: FeatureDays(total.feature_days),
            counters: Counters::new(total.counters),
        }
    }
}
