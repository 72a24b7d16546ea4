//! Page tokens. A token is valid only for the query that it was issued for.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;

use super::stats_request::StatsRequest;
use crate::{
    PageTokenStyle,
    permutation::Permutation,
    seeded_rng::{hash_parts, hash_text},
};

/// Numbers that differ by a multiple of this denote the same page; see [`PageTokenCodec::issue_unique`].
const ALIAS_STEP: u64 = 1_000_000_000;

/// Encodes and decodes page tokens.
#[derive(Debug)]
pub(crate) struct PageTokenCodec {
    style: PageTokenStyle,
    key: u64,
    /// The issued numeric tokens as (query fingerprint, number). An opaque token contains a checksum of its query
    /// instead.
    issued: Mutex<HashSet<(u64, u64)>>,
    aliases: AtomicU64,
}

impl PageTokenCodec {
    pub(crate) fn new(style: PageTokenStyle, seed: u64) -> Self {
        let key = hash_parts(&[seed, hash_text("page_token")]);
        Self { style, key, issued: Mutex::default(), aliases: AtomicU64::new(0) }
    }

    /// The token of page `page` (from 0) of a query. The same page always has the same token.
    pub(crate) fn issue(&self, query: &StatsRequest, page: usize) -> String {
        self.encode(query, page as u64)
    }

    /// A token of the page that differs from all tokens issued before.
    pub(crate) fn issue_unique(&self, query: &StatsRequest, page: usize) -> String {
        let alias = self.aliases.fetch_add(1, Ordering::Relaxed) + 1;
        self.encode(query, page as u64 + alias * ALIAS_STEP)
    }

    /// The page (from 0) that a request names; `None` if its token was not issued for this query.
    pub(crate) fn page_of(&self, query: &StatsRequest) -> Option<usize> {
        let number = query.page_token.as_deref().map_or(Some(0), |token| self.decode(query.fingerprint(), token))?;
        usize::try_from(number % ALIAS_STEP).ok()
    }

    fn encode(&self, query: &StatsRequest, number: u64) -> String {
        let fingerprint = query.fingerprint();
        match self.style {
            PageTokenStyle::Numeric => {
                self.issued.lock().insert((fingerprint, number));
                (number + 1).to_string()
            }
            PageTokenStyle::PageNumber => (number + 1).to_string(),
            PageTokenStyle::Opaque => {
                let permuted = self.permutation(fingerprint).apply(number);
                let bytes = [permuted.to_be_bytes(), self.checksum(fingerprint, permuted).to_be_bytes()];
                URL_SAFE_NO_PAD.encode(bytes.concat())
            }
        }
    }

    fn decode(&self, fingerprint: u64, token: &str) -> Option<u64> {
        match self.style {
            PageTokenStyle::Numeric => {
                let number = token.parse::<u64>().ok()?.checked_sub(1)?;
                self.issued.lock().contains(&(fingerprint, number)).then_some(number)
            }
            PageTokenStyle::PageNumber => token.parse::<u64>().ok()?.checked_sub(1),
            PageTokenStyle::Opaque => {
                let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
                let (permuted, checksum) = bytes.split_first_chunk::<8>()?;
                let (permuted, checksum) =
                    (u64::from_be_bytes(*permuted), u64::from_be_bytes(checksum.try_into().ok()?));
                let is_valid = checksum == self.checksum(fingerprint, permuted);
                is_valid.then(|| self.permutation(fingerprint).invert(permuted))
            }
        }
    }

    fn permutation(&self, fingerprint: u64) -> Permutation {
        Permutation::new(hash_parts(&[self.key, fingerprint]), 32)
    }

    fn checksum(&self, fingerprint: u64, permuted: u64) -> u64 {
        hash_parts(&[self.key, fingerprint, permuted])
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn query(page_size: usize, token: Option<String>) -> StatsRequest {
        let uri = format!("/?start_date=2026-10-01&end_date=2026-10-02&page_size={page_size}");
        StatsRequest { page_token: token, ..StatsRequest::parse(&uri.parse().expect("a URI")).expect("a good query") }
    }

    #[rstest]
    fn a_token_is_valid_for_its_query_only(
        #[values(PageTokenStyle::Numeric, PageTokenStyle::Opaque)] style: PageTokenStyle,
    ) {
        let tokens = PageTokenCodec::new(style, 1);
        let plain = tokens.issue(&query(10, None), 4);
        let fresh = tokens.issue_unique(&query(10, None), 4);

        assert_eq!(tokens.page_of(&query(10, None)), Some(0));
        assert_eq!(tokens.page_of(&query(10, Some(plain.clone()))), Some(4));
        assert_eq!(tokens.page_of(&query(10, Some(fresh.clone()))), Some(4));
        assert_eq!(tokens.page_of(&query(20, Some(plain.clone()))), None);
        assert_eq!(tokens.page_of(&query(10, Some("9".to_owned()))), None);
        assert_eq!(tokens.page_of(&query(10, Some("none of ours".to_owned()))), None);
        assert_ne!(plain, fresh);
    }

    #[test]
    fn numeric_tokens_are_page_numbers_as_in_the_documentation() {
        let tokens = PageTokenCodec::new(PageTokenStyle::Numeric, 1);

        assert_eq!([1, 2].map(|page| tokens.issue(&query(10, None), page)), ["2", "3"]);
    }
}
