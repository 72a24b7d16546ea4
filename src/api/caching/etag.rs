//! The strong `ETag` of one representation of a response.

use axum::http::HeaderValue;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::ContentEncoding;
use crate::report::DEFINITIONS_VERSION;

/// Identifies one representation: it changes with the request, the data, the format, the content coding, the definitions
/// of figures and the release. Responses with the same ETag are equal byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(String);

impl ETag {
    /// The ETag of the response to a request (`path_and_query`) from data of this version, in this coding. `form`
    /// contains everything else that the response depends on.
    #[must_use]
    pub fn new(version: &[u8], path_and_query: &str, form: &str, encoding: ContentEncoding) -> Self {
        let mut hash = Sha256::new();
        // The length before each part makes the hashed text unambiguous.
        let release: &[u8] = env!("CARGO_PKG_VERSION").as_bytes();
        for part in [release, &[DEFINITIONS_VERSION], version, path_and_query.as_bytes(), form.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash = URL_SAFE_NO_PAD.encode(&hash.finalize()[..16]);
        Self(format!("\"{hash}-{}\"", encoding.name()))
    }

    /// The header value, with its quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The header value.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_of_a_response_changes_its_etag() {
        let etag = |version: &[u8], request, form, encoding| ETag::new(version, request, form, encoding).0;
        let etags = [
            etag(b"1", "/a?b", "json", ContentEncoding::Identity),
            etag(b"2", "/a?b", "json", ContentEncoding::Identity),
            etag(b"1", "/a?c", "json", ContentEncoding::Identity),
            etag(b"1", "/a?b", "csv", ContentEncoding::Identity),
            etag(b"1", "/a?b", "json", ContentEncoding::Gzip),
            etag(b"1/", "a?b", "json", ContentEncoding::Identity),
        ];
        let different: std::collections::HashSet<_> = etags.iter().collect();
        assert_eq!(different.len(), etags.len());
        assert_eq!(etags[0], etag(b"1", "/a?b", "json", ContentEncoding::Identity));
    }
}
