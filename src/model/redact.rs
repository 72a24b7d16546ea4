//! Removal of credentials from texts with URLs, before the texts are logged or shown.

/// What a credential is replaced with.
const MASK: &str = "***";

/// The text without the credentials of its URLs: in `http://user:password@host`, the part before `@` is replaced.
#[must_use]
pub fn without_userinfo(text: &str) -> String {
    let mut parts = text.split("://");
    let mut redacted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        redacted.push_str("://");
        // A password can contain slashes, so the URL is searched up to its end.
        let is_end = |character: char| character.is_whitespace() || "\"'`<>()".contains(character);
        let end = part.find(is_end).unwrap_or(part.len());
        match part[..end].rfind('@') {
            Some(at) => redacted.extend([MASK, &part[at..]]),
            None => redacted.push_str(part),
        }
    }
    redacted
}

/// A setting that may be a URL, without credentials: everything between the scheme and the last `@`, and the query.
#[must_use]
pub fn redacted_setting(value: &str) -> String {
    let (value, query) = value.split_once('?').map_or((value, ""), |(value, _)| (value, "?***"));
    let (scheme, rest) =
        value.split_once("://").map_or(("", value), |(scheme, rest)| (&value[..scheme.len() + 3], rest));
    let rest = rest.rfind('@').map_or_else(|| rest.to_owned(), |at| format!("{MASK}{}", &rest[at..]));
    format!("{scheme}{rest}{query}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("no URL, a@b", "no URL, a@b")]
    #[case("GET http://127.0.0.1:9000/x failed", "GET http://127.0.0.1:9000/x failed")]
    #[case("GET http://me:hush@127.0.0.1:9000/x failed", "GET http://***@127.0.0.1:9000/x failed")]
    #[case("\"https://me:hu/sh@a@host/\", s3://k:s@b", "\"https://***@host/\", s3://***@b")]
    fn userinfo_is_removed_from_texts(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(without_userinfo(text), expected);
    }

    #[rstest]
    #[case("https://open.feishu.cn", "https://open.feishu.cn")]
    #[case("https://me:hu sh/@host/x?token=y@z", "https://***@host/x?***")]
    #[case("me:hush@host", "***@host")]
    #[case("soon", "soon")]
    fn credentials_are_removed_from_settings(#[case] value: &str, #[case] expected: &str) {
        assert_eq!(redacted_setting(value), expected);
    }

    proptest! {
        #[test]
        fn no_password_is_left(user in "[a-z]{0,8}", password in "[!-?A-~]{4,20}", host in "[a-z]{1,8}") {
            let url = format!("http://{user}:{password}§@{host}");
            prop_assert!(!redacted_setting(&url).contains('§'));
        }
    }
}
