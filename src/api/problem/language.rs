//! The language of problems: English, or Chinese for clients that prefer it.

use axum::http::{HeaderMap, HeaderValue, header};

use super::ProblemCode;
use crate::api::caching::content_encoding;

/// The language of a problem document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProblemLanguage {
    /// English, the default.
    English,
    /// Simplified Chinese.
    Chinese,
}

/// The Chinese texts of a problem code.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChineseDoc {
    /// Title of the problem document.
    pub(super) title: &'static str,
    /// What causes the problem, and what to do about it.
    pub(super) explanation: &'static str,
}

impl ProblemLanguage {
    /// The language that `Accept-Language` (RFC 9110, section 12.5.4) prefers. Of equally preferred languages, the first.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
        let ranges = values.flat_map(|value| value.split(',')).filter_map(|range| {
            let mut parts = range.split(';');
            let language = Self::of_range(parts.next()?.trim())?;
            let quality =
                parts.filter_map(content_encoding::quality).next_back().map_or(1.0, |q| q.parse().unwrap_or(0.0_f32));
            (quality > 0.0).then_some((language, quality))
        });
        let best = ranges.reduce(|best, range| if range.1 > best.1 { range } else { best });
        best.map_or(Self::English, |(language, _)| language)
    }

    /// The language of a range such as `zh-CN`; `None` if there is no text in it.
    fn of_range(range: &str) -> Option<Self> {
        match range.split('-').next()?.to_ascii_lowercase().as_str() {
            "zh" => Some(Self::Chinese),
            "en" | "*" => Some(Self::English),
            _ => None,
        }
    }

    /// The value of `Content-Language`.
    pub(super) const fn tag(self) -> HeaderValue {
        match self {
            Self::English => HeaderValue::from_static("en"),
            Self::Chinese => HeaderValue::from_static("zh-CN"),
        }
    }
}

impl ProblemCode {
    /// The Chinese texts of the code.
    pub(super) const fn chinese(self) -> ChineseDoc {
        let (title, explanation) = match self {
            Self::InvalidParameters => (
                "参数无效",
                "有参数未知、缺失、格式错误、重复或不能同时使用，请按 errors 逐项修改。本次请求没有调用飞书。",
            ),
            Self::NotFound => (
                "未找到",
                "路径或其指向的对象不存在，或者所选日期的数据中没有该部门或人员。接口路径见 /docs，请同时检查 ID 及其类型。",
            ),
            Self::MethodNotAllowed => ("不支持该请求方法", "路径存在，但不支持该方法，可用的方法见响应头 Allow。"),
            Self::NotAcceptable => {
                ("没有可接受的格式", "本接口的格式均不在请求头 Accept 之列，请改用其中一种，或设置参数 format。")
            }
            Self::StaleCursor => ("游标已失效", "读取上一页之后，某一天的数据发生了变化。请去掉 cursor 从头读取。"),
            Self::Unauthenticated => (
                "需要身份认证",
                "请求头 Authorization 缺失，或其中的访问密钥、令牌无效。访问密钥由运维人员用 feishu-pulse key new 创建。",
            ),
            Self::InsufficientScope => ("权限不足", "访问密钥或令牌缺少 required_scope 所示的权限，请向运维人员申请。"),
            Self::DepartmentNotAllowed => ("无权访问该部门", "调用方只能查看指定部门，请选择这些部门或其下级部门。"),
            Self::InvalidHost => ("主机名无效", "请求必须有且仅有一个有效的 Host 请求头。"),
            Self::HostNotServed => (
                "不对该主机名提供服务",
                "未启用访问控制时只响应本机主机名，以防 DNS 重绑定。请使用 localhost 或 127.0.0.1，或由运维人员启用访问控制。",
            ),
            Self::CrossSiteRequest => (
                "来自其他网站的请求",
                "请求由其他网站的网页发出。如需允许该网页，请由运维人员将其来源加入 PULSE_CORS_ORIGINS。",
            ),
            Self::TooManyRequests => {
                ("请求过于频繁", "超出了调用方的频率、任务数或认证失败次数上限。请在 retry_after 秒后重试。")
            }
            Self::IdentityProviderUnavailable => {
                ("无法连接身份提供方", "暂时取不到验证令牌所需的公钥，请在 retry_after 秒后重试。访问密钥不受影响。")
            }
            Self::UpstreamRejected => {
                ("飞书不接受该请求", "飞书不接受某个参数，例如其他应用的用户 ID。请检查 ID 及其类型。")
            }
            Self::UpstreamUnauthorized => (
                "飞书不接受应用凭证",
                "FEISHU_APP_ID 或 FEISHU_APP_SECRET 有误，或应用已停用。请由运维人员在开发者后台核对，网关每 30 秒重试一次。",
            ),
            Self::UpstreamForbidden => (
                "飞书拒绝应用访问",
                "应用缺少权限、数据权限范围不足、地域未开通，或本机 IP 不在白名单内。请由管理员在开发者后台处理，无需重启。",
            ),
            Self::UpstreamUnavailable => ("飞书暂时不可用", "多次调用飞书均未成功。请稍后重试，已拉取的日期不会丢失。"),
            Self::UpstreamThrottled => {
                ("飞书频控额度已用尽", "同一应用的其他程序也会占用频控额度。请在 retry_after 秒后重试。")
            }
            Self::UpstreamQuotaExhausted => (
                "飞书本月调用量已用尽",
                "租户内所有应用共用每月的 API 调用量。已缓存和归档的日期仍可查询，其余日期请在 retry_after 秒后重试。",
            ),
            Self::NoLeader => (
                "当前没有副本在调用飞书",
                "多副本部署暂时没有主副本。已保存的日期照常提供，其余请在 retry_after 秒后重试；若持续出现，请运维检查 PULSE_FLEET 的存储。",
            ),
            Self::NotReadyInTime => (
                "数据未能及时就绪",
                "拉取这些日期所需的时间超出了请求的等待时间。请在 retry_after 秒后重试，或减少天数、设置 Prefer: respond-async 或 allow_partial=true。",
            ),
            Self::ArchiveUnavailable => {
                ("归档不可用", "PULSE_ARCHIVE 所指的目录或存储桶已满、只读或无法访问。原因见 /readyz 和日志。")
            }
            Self::RequestTimeout => {
                ("请求超时", "请求未能在时限内完整收到或处理完毕。请减少天数后重试，如仍超时请联系运维人员。")
            }
            Self::RangeNotSatisfiable => {
                ("请求的范围超出内容", "请求头 Range 的起始位置不在内容之内，内容长度见响应头 Content-Range。")
            }
            Self::PayloadTooLarge => ("请求体过大", "参数应放在查询字符串中，请缩小或去掉请求体。"),
            Self::UriTooLong => ("路径和查询字符串过长", "比任何有效请求的路径和查询字符串都长。每个参数最多传一次。"),
            Self::Overloaded => (
                "服务繁忙",
                "已达到并发请求数、导出数或尚未被读取的响应字节数的上限，具体见括号内的说明。请在 retry_after 秒后重试。",
            ),
            Self::Internal => ("内部错误", "这是本服务的缺陷，请附上 request_id 反馈。"),
        };
        ChineseDoc { title, explanation }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("zh-CN,zh;q=0.9,en;q=0.8", ProblemLanguage::Chinese)]
    #[case("ZH", ProblemLanguage::Chinese)]
    #[case("en-GB, zh;q=0.5", ProblemLanguage::English)]
    #[case("fr, zh;q=0.5, en;q=0.4", ProblemLanguage::Chinese)]
    #[case("zh;q=0, *", ProblemLanguage::English)]
    #[case("fr", ProblemLanguage::English)]
    #[case("", ProblemLanguage::English)]
    fn the_preferred_language_is_used(#[case] accepted: &str, #[case] expected: ProblemLanguage) {
        let headers = [(header::ACCEPT_LANGUAGE, HeaderValue::from_str(accepted).unwrap())].into_iter().collect();
        assert_eq!(ProblemLanguage::of(&headers), expected);
    }
}
