//! The ground truth of a row: its values before they are encoded as JSON.

use jiff::civil::{Date, DateTime};

use crate::{TenantGeo, UserIdKind};

/// The values of a row, independent of how the API encodes them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of the API")]
pub struct GroundTruthRow {
    /// The geo of the person.
    pub geo: TenantGeo,
    /// The day, in the geo's time zone.
    pub day: Date,
    /// The person's number within the geo, from 0.
    pub person: u32,
    /// The person's id of type `open_id`.
    pub open_id: String,
    /// The person's id of type `union_id`.
    pub union_id: String,
    /// The person's id of type `user_id`.
    pub user_id: String,
    /// The person's name. Names are not unique.
    pub user_name: String,
    /// The name of the person's department on the day.
    pub department_name: String,
    /// The names from the top department down to the person's department, joined by `/`.
    pub department_path: String,
    /// When the account was created, in the geo's time zone.
    pub create_time: DateTime,
    /// When the person first logged in; `None` if not by the end of the day.
    pub register_time: Option<DateTime>,
    /// When the person was last active by the end of the day. With the profile
    /// [`Varied`](crate::TenantProfile::Varied), `None` if not within 14 days.
    pub last_active_time: Option<DateTime>,
    /// Whether the person had logged in by the end of the day.
    pub user_active: bool,
    /// Whether the person was active on the day.
    pub suite_active: bool,
    /// Whether the person used messages.
    pub im_active: bool,
    /// Whether the person used documents.
    pub docs_active: bool,
    /// Whether the person used the calendar.
    pub cal_active: bool,
    /// Whether the person attended a meeting.
    pub vc_active: bool,
    /// Whether the person searched.
    pub search_active: bool,
    /// The counters of the day.
    pub counters: UsageCounters,
    /// The operating systems and clients, in Feishu's notation; empty if not active.
    pub active_os: String,
    /// The kinds of client, joined by a full-width comma.
    pub app_package_type: String,
    /// The operating systems, joined by `,`. Feishu writes "Andorid".
    pub os_name: String,
}

/// The counters of a row, with the field names of the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the API; all are counts, except `vc_duration` in minutes")]
pub struct UsageCounters {
    pub send_messenger_num: u32,
    pub create_docs_num: u32,
    pub create_cal_num: u32,
    pub vc_duration: u32,
    pub create_task_num: u32,
    pub vc_num: u32,
    pub email_send_count: u32,
    pub email_receive_count: u32,
    pub email_send_ext_count: u32,
    pub email_receive_ext_count: u32,
    pub email_send_in_count: u32,
    pub email_receive_in_count: u32,
    pub total_search_count: u32,
    pub quick_search_count: u32,
    pub tab_search_count: u32,
}

impl UsageCounters {
    /// The counters with their names in the API.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u32); 15] {
        [
            ("send_messenger_num", self.send_messenger_num),
            ("create_docs_num", self.create_docs_num),
            ("create_cal_num", self.create_cal_num),
            ("vc_duration", self.vc_duration),
            ("vc_num", self.vc_num),
            ("create_task_num", self.create_task_num),
            ("email_send_count", self.email_send_count),
            ("email_receive_count", self.email_receive_count),
            ("email_send_ext_count", self.email_send_ext_count),
            ("email_receive_ext_count", self.email_receive_ext_count),
            ("email_send_in_count", self.email_send_in_count),
            ("email_receive_in_count", self.email_receive_in_count),
            ("total_search_count", self.total_search_count),
            ("quick_search_count", self.quick_search_count),
            ("tab_search_count", self.tab_search_count),
        ]
    }
}

impl GroundTruthRow {
    /// The person's id of the given kind.
    #[must_use]
    pub fn id(&self, kind: UserIdKind) -> &str {
        match kind {
            UserIdKind::OpenId => &self.open_id,
            UserIdKind::UnionId => &self.union_id,
            UserIdKind::UserId => &self.user_id,
        }
    }
}
