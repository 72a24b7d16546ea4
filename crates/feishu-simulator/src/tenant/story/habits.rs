//! The business units of the company, and how their people work.

/// A business unit: a top department with teams.
#[derive(Debug)]
pub(super) struct BusinessUnit {
    pub(super) name: &'static str,
    /// The share of the people of the company.
    pub(super) share: f64,
    pub(super) teams: &'static [&'static str],
    pub(super) habits: UnitHabits,
    pub(super) computers: ComputerShares,
    /// The share of people with an iPhone. The others have Android.
    pub(super) iphones: f64,
}

/// The habits of an average person of a business unit on an active workday.
#[derive(Debug)]
pub(super) struct UnitHabits {
    /// Probabilities that a feature is used.
    pub(super) im: f64,
    pub(super) docs: f64,
    pub(super) cal: f64,
    pub(super) vc: f64,
    pub(super) search: f64,
    /// The roll-out of documents; `None` if documents are used as much as ever.
    pub(super) docs_rollout: Option<DocsRollout>,
    /// Messages sent.
    pub(super) messages: f64,
    /// The probability that tasks are created.
    pub(super) tasks: f64,
    /// The share of people with a mailbox.
    pub(super) mailboxes: f64,
    /// Mails sent by a person with a mailbox.
    pub(super) mails: f64,
    /// The presence on weekends and holidays, as a share of that on workdays.
    pub(super) weekend_presence: f64,
    pub(super) holiday_presence: f64,
}

/// A roll-out of documents.
#[derive(Debug)]
pub(super) struct DocsRollout {
    /// When half of the people have adopted documents, in thousandths of the history.
    pub(super) midpoint_permille: i32,
    /// The probability that documents are used, after the adoption.
    pub(super) docs: f64,
}

/// The shares of people with a computer of a system. The others have none.
#[derive(Debug)]
pub(super) struct ComputerShares {
    pub(super) windows: f64,
    pub(super) macos: f64,
    pub(super) linux: f64,
}

/// The business units. The shares sum up to 1.
pub(super) const BUSINESS_UNITS: [BusinessUnit; 8] = [
    BusinessUnit {
        name: "产品研发部",
        share: 0.36,
        teams: &["后端开发部", "前端开发部", "测试部", "产品部", "数据平台部", "移动端部", "设计部"],
        habits: UnitHabits {
            im: 0.96,
            docs: 0.78,
            cal: 0.5,
            vc: 0.34,
            search: 0.58,
            docs_rollout: None,
            messages: 19.0,
            tasks: 0.2,
            mailboxes: 0.3,
            mails: 0.6,
            weekend_presence: 0.15,
            holiday_presence: 0.08,
        },
        computers: ComputerShares { windows: 0.36, macos: 0.52, linux: 0.12 },
        iphones: 0.52,
    },
    BusinessUnit {
        name: "销售部",
        share: 0.2,
        teams: &["华东区", "华南区", "华北区", "大客户部", "西南区"],
        habits: UnitHabits {
            im: 0.96,
            docs: 0.1,
            cal: 0.42,
            vc: 0.6,
            search: 0.26,
            docs_rollout: Some(DocsRollout { midpoint_permille: 520, docs: 0.58 }),
            messages: 27.0,
            tasks: 0.05,
            mailboxes: 0.75,
            mails: 2.5,
            weekend_presence: 0.2,
            holiday_presence: 0.12,
        },
        computers: ComputerShares { windows: 0.52, macos: 0.3, linux: 0.0 },
        iphones: 0.6,
    },
    BusinessUnit {
        name: "客户服务部",
        share: 0.16,
        teams: &["在线客服部", "电话客服部", "技术支持部", "质检部"],
        habits: UnitHabits {
            im: 0.98,
            docs: 0.07,
            cal: 0.1,
            vc: 0.06,
            search: 0.2,
            docs_rollout: Some(DocsRollout { midpoint_permille: 850, docs: 0.46 }),
            messages: 52.0,
            tasks: 0.08,
            mailboxes: 0.25,
            mails: 1.5,
            weekend_presence: 0.5,
            holiday_presence: 0.4,
        },
        computers: ComputerShares { windows: 0.93, macos: 0.02, linux: 0.0 },
        iphones: 0.27,
    },
    BusinessUnit {
        name: "运营部",
        share: 0.1,
        teams: &["内容运营部", "用户运营部", "供应链部"],
        habits: UnitHabits {
            im: 0.96,
            docs: 0.42,
            cal: 0.24,
            vc: 0.17,
            search: 0.3,
            docs_rollout: None,
            messages: 25.0,
            tasks: 0.28,
            mailboxes: 0.3,
            mails: 0.8,
            weekend_presence: 0.24,
            holiday_presence: 0.17,
        },
        computers: ComputerShares { windows: 0.58, macos: 0.12, linux: 0.0 },
        iphones: 0.38,
    },
    BusinessUnit {
        name: "市场部",
        share: 0.07,
        teams: &["品牌部", "数字营销部"],
        habits: UnitHabits {
            im: 0.95,
            docs: 0.64,
            cal: 0.46,
            vc: 0.36,
            search: 0.4,
            docs_rollout: None,
            messages: 22.0,
            tasks: 0.18,
            mailboxes: 0.6,
            mails: 1.8,
            weekend_presence: 0.12,
            holiday_presence: 0.07,
        },
        computers: ComputerShares { windows: 0.4, macos: 0.58, linux: 0.0 },
        iphones: 0.64,
    },
    BusinessUnit {
        name: "财务部",
        share: 0.05,
        teams: &["会计部", "资金部"],
        habits: UnitHabits {
            im: 0.9,
            docs: 0.38,
            cal: 0.54,
            vc: 0.14,
            search: 0.2,
            docs_rollout: None,
            messages: 11.0,
            tasks: 0.06,
            mailboxes: 0.97,
            mails: 4.5,
            weekend_presence: 0.07,
            holiday_presence: 0.03,
        },
        computers: ComputerShares { windows: 0.92, macos: 0.08, linux: 0.0 },
        iphones: 0.5,
    },
    BusinessUnit {
        name: "人力资源部",
        share: 0.04,
        teams: &["招聘部", "薪酬福利部"],
        habits: UnitHabits {
            im: 0.95,
            docs: 0.48,
            cal: 0.72,
            vc: 0.32,
            search: 0.34,
            docs_rollout: None,
            messages: 18.0,
            tasks: 0.12,
            mailboxes: 0.95,
            mails: 4.0,
            weekend_presence: 0.07,
            holiday_presence: 0.04,
        },
        computers: ComputerShares { windows: 0.68, macos: 0.32, linux: 0.0 },
        iphones: 0.58,
    },
    BusinessUnit {
        name: "行政部",
        share: 0.02,
        teams: &["后勤部"],
        habits: UnitHabits {
            im: 0.93,
            docs: 0.26,
            cal: 0.36,
            vc: 0.08,
            search: 0.16,
            docs_rollout: None,
            messages: 13.0,
            tasks: 0.1,
            mailboxes: 0.7,
            mails: 2.0,
            weekend_presence: 0.1,
            holiday_presence: 0.08,
        },
        computers: ComputerShares { windows: 0.78, macos: 0.04, linux: 0.0 },
        iphones: 0.4,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_the_units_sum_up_to_one() {
        let sum: f64 = BUSINESS_UNITS.iter().map(|unit| unit.share).sum();

        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }
}
