//! What is true of one person on one day, in types that do not depend on how upstream writes it.

use jiff::civil::DateTime;

use crate::model::{Day, Geo, UserIdType};

/// One row as it is meant, whatever becomes of its types on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "upstream's flags, each of its own")]
pub struct TruthRow {
    /// The geo that holds the person.
    pub geo: Geo,
    /// The day, of the geo's calendar.
    pub day: Day,
    /// The person's number within the geo, from 0.
    pub person: u32,
    /// The person's id of type `open_id`.
    pub open_id: String,
    /// The person's id of type `union_id`.
    pub union_id: String,
    /// The person's id of type `user_id`.
    pub user_id: String,
    /// The person's name; namesakes exist.
    pub user_name: String,
    /// The name of the department the person belonged to on that day.
    pub department_name: String,
    /// The names from the top department down to that one, joined by `/`.
    pub department_path: String,
    /// When the account was made, in the geo's civil time.
    pub create_time: DateTime,
    /// When the person first logged in; `None` if not by the end of the day.
    pub register_time: Option<DateTime>,
    /// When the person was last active, by the end of the day; `None` if not within two weeks.
    pub last_active_time: Option<DateTime>,
    /// Whether the person had logged in by the end of the day.
    pub user_active: bool,
    /// Whether the person used anything on the day.
    pub suite_active: bool,
    /// Whether the person used messages.
    pub im_active: bool,
    /// Whether the person used documents.
    pub docs_active: bool,
    /// Whether the person used the calendar.
    pub cal_active: bool,
    /// Whether the person was in a meeting.
    pub vc_active: bool,
    /// Whether the person searched.
    pub search_active: bool,
    /// What the person did, in numbers.
    pub counters: Counters,
    /// The devices, in upstream's notation; empty when not active.
    pub active_os: String,
    /// The kinds of client, joined by a full-width comma.
    pub app_package_type: String,
    /// The operating systems, joined by `,`, in upstream's spelling ("Andorid").
    pub os_name: String,
}

/// The fifteen counters of a row, by upstream's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are upstream's own; counts, and minutes for `vc_duration`")]
pub struct Counters {
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

impl TruthRow {
    /// The person's id of the given type.
    #[must_use]
    pub fn id(&self, kind: UserIdType) -> &str {
        match kind {
            UserIdType::OpenId => &self.open_id,
            UserIdType::UnionId => &self.union_id,
            UserIdType::UserId => &self.user_id,
        }
    }
}
