//! The language of problems: English, or Chinese for clients that prefer it.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::api::caching::content_encoding;

/// The language of a problem document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum ProblemLanguage {
    /// English, the default.
    English,
    /// Simplified Chinese.
    Chinese,
}

impl ProblemLanguage {
    /// The language that `Accept-Language` (RFC 9110, section 12.5.4) prefers. Of equally preferred languages, the first.
    pub(in crate::api) fn of(headers: &HeaderMap) -> Self {
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
    pub(in crate::api) const fn tag(self) -> HeaderValue {
        match self {
            Self::English => HeaderValue::from_static("en"),
            Self::Chinese => HeaderValue::from_static("zh-CN"),
        }
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
