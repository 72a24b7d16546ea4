//! The Chinese texts of problems: of each code, and a catalogue of messages.
//!
//! Messages come from many modules, in English and with values in them. The catalogue has them by their English text, with
//! `{}` for a value, as catalogues of gettext do. A message that it lacks stays English.

use super::ProblemCode;

/// The Chinese texts of a problem code.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct ChineseDoc {
    /// Title of the problem document.
    pub(in crate::api) title: &'static str,
    /// What causes the problem.
    pub(in crate::api) cause: &'static str,
    /// What to do about the problem.
    pub(in crate::api) cure: &'static str,
}

impl ProblemCode {
    /// The Chinese texts of the code.
    #[expect(clippy::too_many_lines, reason = "one table")]
    pub(in crate::api) const fn chinese(self) -> ChineseDoc {
        let (title, cause, cure) = match self {
            Self::InvalidParameters => (
                "参数无效",
                "有参数未知、缺失、格式错误、重复或不能同时使用。",
                "请按 errors 逐项修改。本次请求没有调用飞书。",
            ),
            Self::NotFound => (
                "未找到",
                "路径或其指向的对象不存在，或者所选日期的数据中没有该部门或人员。",
                "接口路径见 /docs，请同时检查 ID 及其类型。",
            ),
            Self::MethodNotAllowed => ("不支持该请求方法", "路径存在，但不支持该方法。", "可用的方法见响应头 Allow。"),
            Self::NotAcceptable => {
                ("没有可接受的格式", "本接口的格式均不在请求头 Accept 之列。", "请改用其中一种，或设置参数 format。")
            }
            Self::StaleCursor => ("游标已失效", "读取上一页之后，某一天的数据发生了变化。", "请去掉 cursor 从头读取。"),
            Self::Unauthenticated => (
                "需要身份认证",
                "请求头 Authorization 缺失，或其中的访问密钥、令牌无效。",
                "访问密钥由运维人员用 feishu-pulse key new 创建。",
            ),
            Self::InsufficientScope => {
                ("权限不足", "访问密钥或令牌缺少 required_scope 所示的权限。", "请向运维人员申请。")
            }
            Self::DepartmentNotAllowed => {
                ("无权访问该部门", "调用方只能查看指定部门。", "请选择这些部门或其下级部门。")
            }
            Self::InvalidHost => {
                ("主机名无效", "Host 请求头缺失、重复或无效。", "请求必须有且仅有一个有效的 Host 请求头。")
            }
            Self::HostNotServed => (
                "不对该主机名提供服务",
                "未启用访问控制时只响应本机主机名，以防 DNS 重绑定。",
                "请使用 localhost 或 127.0.0.1，或由运维人员启用访问控制。",
            ),
            Self::CrossSiteRequest => (
                "来自其他网站的请求",
                "请求由其他网站的网页发出。",
                "如需允许该网页，请由运维人员将其来源加入 PULSE_CORS_ORIGINS。",
            ),
            Self::TooManyRequests => {
                ("请求过于频繁", "超出了调用方的频率、任务数或认证失败次数上限。", "请在 retry_after 秒后重试。")
            }
            Self::IdentityProviderUnavailable => (
                "无法连接身份提供方",
                "暂时取不到验证令牌所需的公钥。",
                "请在 retry_after 秒后重试。访问密钥不受影响。",
            ),
            Self::UpstreamRejected => {
                ("飞书不接受该请求", "飞书不接受某个参数，例如其他应用的用户 ID。", "请检查 ID 及其类型。")
            }
            Self::UpstreamUnauthorized => (
                "飞书不接受应用凭证",
                "FEISHU_APP_ID 或 FEISHU_APP_SECRET 有误，或应用已停用。",
                "请由运维人员在开发者后台核对，网关每 30 秒重试一次。",
            ),
            Self::UpstreamForbidden => (
                "飞书拒绝应用访问",
                "应用缺少权限、数据权限范围不足、地域未开通，或本机 IP 不在白名单内。",
                "请由管理员在开发者后台处理，无需重启。",
            ),
            Self::UpstreamUnavailable => {
                ("飞书暂时不可用", "多次调用飞书均未成功。", "请稍后重试，已拉取的日期不会丢失。")
            }
            Self::UpstreamThrottled => {
                ("飞书频控额度已用尽", "同一应用的其他程序也会占用频控额度。", "请在 retry_after 秒后重试。")
            }
            Self::UpstreamQuotaExhausted => (
                "飞书本月调用量已用尽",
                "租户内所有应用共用每月的 API 调用量。",
                "已缓存和归档的日期仍可查询，其余日期请在 retry_after 秒后重试。",
            ),
            Self::NoLeader => (
                "当前没有副本在调用飞书",
                "多副本部署暂时没有主副本，已保存的日期照常提供。",
                "请在 retry_after 秒后重试；若持续出现，请运维人员检查 PULSE_FLEET 的存储。",
            ),
            Self::NotReadyInTime => (
                "数据未能及时就绪",
                "拉取这些日期所需的时间超出了请求的等待时间。",
                "请在 retry_after 秒后重试，或减少天数、设置 Prefer: respond-async 或 allow_partial=true。",
            ),
            Self::ArchiveUnavailable => {
                ("归档不可用", "PULSE_ARCHIVE 所指的目录或存储桶已满、只读或无法访问。", "原因见 /readyz 和日志。")
            }
            Self::RequestTimeout => {
                ("请求超时", "请求未能在时限内完整收到或处理完毕。", "请减少天数后重试，如仍超时请联系运维人员。")
            }
            Self::PreconditionFailed => (
                "前提条件不成立",
                "请求头 If-Match 或 If-Unmodified-Since 要求的不是当前内容：某一天的数据已变化，或者格式、内容编码不同。",
                "请去掉该请求头重新请求，并使用响应中的 ETag。",
            ),
            Self::RangeNotSatisfiable => {
                ("请求的范围超出内容", "请求头 Range 的起始位置不在内容之内。", "内容长度见响应头 Content-Range。")
            }
            Self::PayloadTooLarge => {
                ("请求体过大", "请求体超出任何有效请求的需要。", "参数应放在查询字符串中，请缩小或去掉请求体。")
            }
            Self::UriTooLong => {
                ("路径和查询字符串过长", "比任何有效请求的路径和查询字符串都长。", "每个参数最多传一次。")
            }
            Self::Overloaded => (
                "服务繁忙",
                "已达到并发请求数、导出数或尚未被读取的响应字节数的上限，具体见括号内的说明。",
                "请在 retry_after 秒后重试。",
            ),
            Self::Internal => ("内部错误", "这是本服务的缺陷。", "请附上 request_id 反馈。"),
        };
        ChineseDoc { title, cause, cure }
    }
}

/// The catalogue: English and Chinese texts, with `{}` for each value, in the same order. Of several texts that match, the
/// first counts.
const CATALOGUE: &[(&str, &str)] = &[
    // Faults of any parameter.
    ("faulty parameters: {}", "有误的参数：{}。请按 errors 逐项修改，本次请求没有调用飞书。"),
    ("is not a parameter of this endpoint; expected any of {}", "不是本接口的参数，可用的参数：{}"),
    ("is repeated", "重复"),
    ("is empty", "不能为空"),
    ("is not valid UTF-8 after percent-decoding", "百分号解码后不是有效的 UTF-8"),
    ("is longer than {} bytes", "超过 {} 字节"),
    ("contains a control character", "含有控制字符"),
    ("contains {} more than once", "多次包含 {}"),
    ("expected a whole number from {} to {}", "应为 {} 到 {} 之间的整数"),
    ("expected one of {}, optionally after a minus sign", "应为以下之一：{}，前面可加负号"),
    ("expected one of {}", "应为以下之一：{}"),
    ("expected a number of days such as 30d (1d to 3660d)", "应为天数，如 30d（1d 至 3660d）"),
    ("{} is not a field; expected any of {}", "{} 不是字段，可用的字段：{}"),
    ("{} is not a status; expected any of {}", "{} 不是账号状态，可用的状态：{}"),
    // The range and the geos.
    (
        "is missing; start_date and end_date, or period, are required",
        "缺失：须传入 start_date 和 end_date，或者 period",
    ),
    (
        "cannot be combined with period; use either the two dates or period",
        "不能与 period 同时使用：请使用起止日期，或者 period",
    ),
    ("is before start_date", "早于 start_date"),
    ("makes the range longer than {} days", "使日期范围超过 {} 天"),
    ("expected a calendar day written YYYY-MM-DD", "应为有效日期，格式为 YYYY-MM-DD"),
    ("expected a calendar month written YYYY-MM", "应为有效月份，格式为 YYYY-MM"),
    (
        "expected yesterday, a number of days such as 7d (1d to 3660d), or a month such as 2026-10",
        "应为 yesterday、天数（如 7d，1d 至 3660d）或月份（如 2026-10）",
    ),
    ("{} is not served by this instance; expected any of {}", "本实例不提供地域 {}，可用的地域：{}"),
    ("is more than the {} days of the longest bucket", "超过最长时间段的 {} 天"),
    // Selections of people.
    ("is only valid with department_id", "只能与 department_id 一起使用"),
    (
        "is not accepted by reports on groups of people; use /v1/users/{user_id}",
        "统计人群的报表不接受该参数，请使用 /v1/users/{user_id}",
    ),
    (
        "is not available to access keys that are restricted to departments: Feishu resolves the id, possibly to people of \
         other departments; use department_path",
        "仅限部分部门的访问密钥不能使用该参数：ID 由飞书解析，可能涉及其他部门的人员。请使用 department_path",
    ),
    (
        "is not accepted by this report: Feishu returns no rows of other departments, so that people who move between \
         departments cannot be told from those who join or leave; use department_path",
        "本报表不接受该参数：飞书不返回其他部门的数据，因而无法区分调动与入职、离职。请使用 department_path",
    ),
    ("is empty, longer than {} bytes, or contains a control character", "为空、超过 {} 字节或含有控制字符"),
    // Formats and pages.
    ("is only valid with CSV", "只能用于 CSV"),
    ("tree is only valid with JSON", "tree 只能用于 JSON"),
    ("is only valid with JSON; the other formats have no pages", "只能用于 JSON，其他格式不分页"),
    ("is only valid with JSON; the other formats stream the whole selection", "只能用于 JSON，其他格式返回全部数据"),
    (
        "the table has {} rows, but an XLSX sheet has at most {}; use CSV or Parquet, or a shorter range",
        "表格有 {} 行，而 XLSX 工作表最多 {} 行。请改用 CSV 或 Parquet，或缩短日期范围",
    ),
    ("cannot sort more than {} rows; select fewer days, or omit sort", "最多对 {} 行排序。请减少天数，或去掉 sort"),
    ("is not a cursor of this service", "不是本服务的游标"),
    ("was issued for a different query", "属于另一个查询"),
    // What is not found.
    ("the path does not exist; see /docs", "路径不存在，接口路径见 /docs。"),
    ("the path is not valid UTF-8 after percent-decoding", "路径经百分号解码后不是有效的 UTF-8。"),
    ("there is no such job", "没有这个任务。"),
    ("this problem code does not exist", "没有这个错误码。"),
    ("the person has no row in the range", "所选日期的数据中没有这个人员。请检查 ID 及其类型。"),
    (
        "no row of the selected days has this department_id",
        "所选日期的数据中没有 department_id 所指的部门。请检查 ID 及其类型。",
    ),
    (
        "no row of the selected days has this department_path",
        "所选日期的数据中没有 department_path 所指的部门。suggestions 中可能有相近的部门。",
    ),
    (
        "there is no export with this suffix; expected any of {}; JSON has no suffix",
        "没有这种后缀的导出，可用的后缀：{}。JSON 没有后缀。",
    ),
    ("this version of the dashboard has no such file; load the page again", "此版本的看板没有该文件，请重新加载页面。"),
    ("logging is disabled in this process", "本进程没有启用日志。"),
];

/// The Chinese text of an English message; `None` if the catalogue lacks it.
pub(super) fn translate(message: &str) -> Option<String> {
    CATALOGUE.iter().find_map(|(english, chinese)| {
        let values = values(english, message)?;
        let mut parts = chinese.split("{}");
        let first = parts.next().unwrap_or_default().to_owned();
        Some(values.into_iter().zip(parts).fold(first, |text, (value, part)| text + value + part))
    })
}

/// The values in a message with this text; `None` if it has another one.
fn values<'a>(text: &str, message: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = text.split("{}");
    let (mut rest, mut values) = (message.strip_prefix(parts.next()?)?, Vec::new());
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        let end = if parts.peek().is_none() { rest.strip_suffix(part)?.len() } else { rest.find(part)? };
        values.push(&rest[..end]);
        rest = &rest[end + part.len()..];
    }
    rest.is_empty().then_some(values)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("is repeated", Some("重复"))]
    #[case("expected one of a, b", Some("应为以下之一：a, b"))]
    #[case("expected one of a, b, optionally after a minus sign", Some("应为以下之一：a, b，前面可加负号"))]
    #[case("expected a whole number from 1 to 10", Some("应为 1 到 10 之间的整数"))]
    #[case("contains {} more than once", Some("多次包含 {}"))]
    #[case("is repeated twice", None)]
    #[case("", None)]
    fn a_message_is_translated_with_its_values(#[case] english: &str, #[case] chinese: Option<&str>) {
        assert_eq!(translate(english).as_deref(), chinese);
    }

    #[test]
    fn both_texts_have_the_same_number_of_values() {
        for (english, chinese) in CATALOGUE {
            assert_eq!(english.matches("{}").count(), chinese.matches("{}").count(), "{english}");
        }
    }
}
