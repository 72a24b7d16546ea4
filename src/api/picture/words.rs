//! The texts of pictures in both languages, and numbers in the form that readers expect.

use super::style::PictureLanguage;

/// The texts of pictures.
#[derive(Debug)]
pub(super) struct PictureWords {
    pub(super) active_people: &'static str,
    pub(super) everyone: &'static str,
    /// By day, by week, by month.
    pub(super) intervals: [&'static str; 3],
    /// Active on the day or in the bucket, in 7 days, in 30 days.
    pub(super) lines: [&'static str; 3],
    pub(super) weekend: &'static str,
    pub(super) provisional: &'static str,
    pub(super) left_out: &'static str,
    pub(super) withheld: &'static str,
    pub(super) unknown: &'static str,
    pub(super) no_figures: &'static str,
    pub(super) latest: &'static str,
    pub(super) summary: &'static str,
    pub(super) compared_with: &'static str,
    pub(super) features_per_day: &'static str,
    pub(super) range_before: &'static str,
    /// Percentage points, with a space before them if the language has one.
    pub(super) points: &'static str,
    /// The end of a sentence.
    pub(super) full_stop: &'static str,
    /// What is between two sentences.
    pub(super) between_sentences: &'static str,
    /// Before and after a remark.
    pub(super) parentheses: [&'static str; 2],
    /// The separator of a label and a text.
    pub(super) colon: &'static str,
    /// The separator of the items of a list.
    pub(super) comma: &'static str,
}

const ENGLISH: PictureWords = PictureWords {
    active_people: "Active people",
    everyone: "all departments",
    intervals: ["by day", "by week", "by month"],
    lines: ["active", "active in 7 days", "active in 30 days"],
    weekend: "weekend",
    provisional: "provisional",
    left_out: "does not count",
    withheld: "withheld",
    unknown: "unknown",
    no_figures: "no figures",
    latest: "Latest",
    summary: "Use of Feishu",
    compared_with: "compared with",
    features_per_day: "People per day who used a feature",
    range_before: "range before",
    points: " pts",
    full_stop: ".",
    between_sentences: " ",
    parentheses: [" (", ")"],
    colon: ": ",
    comma: ", ",
};

const CHINESE: PictureWords = PictureWords {
    active_people: "活跃人数",
    everyone: "全部部门",
    intervals: ["按日", "按周", "按月"],
    lines: ["活跃", "近 7 日活跃", "近 30 日活跃"],
    weekend: "周末",
    provisional: "暂定",
    left_out: "不计入",
    withheld: "不予显示",
    unknown: "未知",
    no_figures: "没有数据",
    latest: "最新",
    summary: "飞书使用概况",
    compared_with: "对比",
    features_per_day: "各功能日均使用人数",
    range_before: "前一个等长时段",
    points: " 个百分点",
    full_stop: "。",
    between_sentences: "",
    parentheses: ["（", "）"],
    colon: "：",
    comma: "，",
};

impl PictureLanguage {
    /// The texts.
    pub(super) const fn words(self) -> &'static PictureWords {
        match self {
            Self::En => &ENGLISH,
            Self::Zh => &CHINESE,
        }
    }

    /// The value of `xml:lang`.
    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-CN",
        }
    }

    /// The label of a figure of the summary.
    pub(super) fn figure(self, name: &str) -> &str {
        match (self, name) {
            (Self::En, "active_rate_per_day") => "active rate per day",
            (Self::Zh, "active_rate_per_day") => "日均活跃率",
            (Self::Zh, "people") => "人数",
            (Self::Zh, "activated") => "已激活",
            (Self::En, "active_per_day") => "active per day",
            (Self::Zh, "active_per_day") => "日均活跃人数",
            (Self::En, "regular") => "regular users",
            (Self::Zh, "regular") => "经常使用人数",
            (Self::En, "im") => "messages",
            (Self::Zh, "im") => "消息",
            (Self::Zh, "docs") => "云文档",
            (Self::En, "cal") => "calendar",
            (Self::Zh, "cal") => "日历",
            (Self::En, "vc") => "meetings",
            (Self::Zh, "vc") => "视频会议",
            (Self::Zh, "search") => "搜索",
            (Self::Zh, "email") => "邮箱",
            (Self::En, "task") => "tasks",
            (Self::Zh, "task") => "任务",
            (_, name) => name,
        }
    }
}

/// A number rounded to a whole one, with a comma after each three digits.
pub(super) fn whole(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if number < 0.0 && digits != "0" { format!("−{grouped}") } else { grouped }
}

/// A share as a percentage with one decimal.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A relative change as a percentage with its sign.
pub(super) fn change(share: f64) -> String {
    format!("{} %", signed(share))
}

/// The difference of two shares in percentage points with its sign.
pub(super) fn change_in_points(share: f64, words: &PictureWords) -> String {
    format!("{}{}", signed(share), words.points)
}

/// A share as a percentage with one decimal and its sign.
fn signed(share: f64) -> String {
    let rounded = (share * 1000.0).round() / 10.0;
    match rounded {
        0.0 => "±0.0".to_owned(),
        rise if rise > 0.0 => format!("+{rise:.1}"),
        fall => format!("−{:.1}", -fall),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0.0, "0")]
    #[case(-0.2, "0")]
    #[case(999.4, "999")]
    #[case(1000.0, "1,000")]
    #[case(1_234_567.0, "1,234,567")]
    #[case(-1234.0, "−1,234")]
    fn digits_are_grouped(#[case] number: f64, #[case] expected: &str) {
        assert_eq!(whole(number), expected);
    }

    #[rstest]
    #[case(0.0, "±0.0 %")]
    #[case(-0.0004, "±0.0 %")]
    #[case(0.027, "+2.7 %")]
    #[case(-0.125, "−12.5 %")]
    fn a_change_has_a_sign(#[case] share: f64, #[case] expected: &str) {
        assert_eq!(change(share), expected);
    }
}
