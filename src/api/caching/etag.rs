//! The strong `ETag` of one representation of one answer.

use axum::http::HeaderValue;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::Encoding;

/// Tells one representation of one answer from all others: another question, other data, another format, another
/// encoding or another release has another one. Answers with the same tag are equal to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag(String);

impl Tag {
    /// The tag of the answer to `question` that rests on data of that version, in that encoding. `form` is whatever else
    /// it depends on.
    #[must_use]
    pub fn new(version: &[u8], question: &str, form: &str, encoding: Encoding) -> Self {
        let mut hash = Sha256::new();
        // Each part is preceded by its length, so that no two lists of parts read alike.
        for part in [env!("CARGO_PKG_VERSION").as_bytes(), version, question.as_bytes(), form.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash = URL_SAFE_NO_PAD.encode(&hash.finalize()[..16]);
        Self(format!("\"{hash}-{}\"", encoding.name()))
    }

    /// As it stands in the header, with its quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of the header.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_answer_depends_on_makes_another_tag() {
        let tag = |version: &[u8], question, form, encoding| Tag::new(version, question, form, encoding).0;
        let tags = [
            tag(b"1", "/a?b", "json", Encoding::Identity),
            tag(b"2", "/a?b", "json", Encoding::Identity),
            tag(b"1", "/a?c", "json", Encoding::Identity),
            tag(b"1", "/a?b", "csv", Encoding::Identity),
            tag(b"1", "/a?b", "json", Encoding::Gzip),
            tag(b"1/", "a?b", "json", Encoding::Identity),
        ];
        let different: std::collections::HashSet<_> = tags.iter().collect();
        assert_eq!(different.len(), tags.len());
        assert_eq!(tags[0], tag(b"1", "/a?b", "json", Encoding::Identity));
    }
}
