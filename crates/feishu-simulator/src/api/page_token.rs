//! Page tokens: each belongs to the exact query it was issued for.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::query::StatsQuery;
use crate::sim::{
    PageTokenStyle,
    chance::{mix, mix_text},
    permutation::Permutation,
    shared::Shared,
};

/// Numbers from here on are the same page under another name, see [`PageTokens::issue_afresh`].
const ALIAS: u64 = 1_000_000_000;

/// Issues page tokens, and reads them back.
#[derive(Debug)]
pub(crate) struct PageTokens {
    style: PageTokenStyle,
    key: u64,
    /// The numeric tokens issued, with the query each belongs to: unlike opaque ones they cannot say it themselves.
    issued: Shared<HashSet<(u64, u64)>>,
    aliases: AtomicU64,
}

impl PageTokens {
    pub(crate) fn new(style: PageTokenStyle, seed: u64) -> Self {
        let key = mix(&[seed, mix_text("page_token")]);
        Self { style, key, issued: Shared::default(), aliases: AtomicU64::new(0) }
    }

    /// The token of page `page` (from 0) of a query; always the same one.
    pub(crate) fn issue(&self, query: &StatsQuery, page: usize) -> String {
        self.write(query, page as u64)
    }

    /// A token of the page that was never issued before.
    pub(crate) fn issue_afresh(&self, query: &StatsQuery, page: usize) -> String {
        let alias = self.aliases.fetch_add(1, Ordering::Relaxed) + 1;
        self.write(query, page as u64 + alias * ALIAS)
    }

    /// The page (from 0) that a query asks for; `None` for a token that was not issued for this query.
    pub(crate) fn page_of(&self, query: &StatsQuery) -> Option<usize> {
        let number = query.page_token.as_deref().map_or(Some(0), |token| self.read(query.fingerprint(), token))?;
        usize::try_from(number % ALIAS).ok()
    }

    fn write(&self, query: &StatsQuery, number: u64) -> String {
        let fingerprint = query.fingerprint();
        match self.style {
            PageTokenStyle::Numeric => {
                self.issued.lock().insert((fingerprint, number));
                (number + 1).to_string()
            }
            PageTokenStyle::PageNumber => (number + 1).to_string(),
            PageTokenStyle::Opaque => {
                let disguised = self.disguise(fingerprint).apply(number);
                let bytes = [disguised.to_be_bytes(), self.proof(fingerprint, disguised).to_be_bytes()];
                URL_SAFE_NO_PAD.encode(bytes.concat())
            }
        }
    }

    fn read(&self, fingerprint: u64, token: &str) -> Option<u64> {
        match self.style {
            PageTokenStyle::Numeric => {
                let number = token.parse::<u64>().ok()?.checked_sub(1)?;
                self.issued.lock().contains(&(fingerprint, number)).then_some(number)
            }
            PageTokenStyle::PageNumber => token.parse::<u64>().ok()?.checked_sub(1),
            PageTokenStyle::Opaque => {
                let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
                let (disguised, proof) = bytes.split_first_chunk::<8>()?;
                let (disguised, proof) = (u64::from_be_bytes(*disguised), u64::from_be_bytes(proof.try_into().ok()?));
                let genuine = proof == self.proof(fingerprint, disguised);
                genuine.then(|| self.disguise(fingerprint).undo(disguised))
            }
        }
    }

    fn disguise(&self, fingerprint: u64) -> Permutation {
        Permutation::new(mix(&[self.key, fingerprint]), 32)
    }

    fn proof(&self, fingerprint: u64, disguised: u64) -> u64 {
        mix(&[self.key, fingerprint, disguised])
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn query(page_size: usize, token: Option<String>) -> StatsQuery {
        let uri = format!("/?start_date=2026-10-01&end_date=2026-10-02&page_size={page_size}");
        StatsQuery { page_token: token, ..StatsQuery::read(&uri.parse().expect("a URI")).expect("a good query") }
    }

    #[rstest]
    fn a_token_belongs_to_its_query_alone(
        #[values(PageTokenStyle::Numeric, PageTokenStyle::Opaque)] style: PageTokenStyle,
    ) {
        let tokens = PageTokens::new(style, 1);
        let plain = tokens.issue(&query(10, None), 4);
        let fresh = tokens.issue_afresh(&query(10, None), 4);

        assert_eq!(tokens.page_of(&query(10, None)), Some(0));
        assert_eq!(tokens.page_of(&query(10, Some(plain.clone()))), Some(4));
        assert_eq!(tokens.page_of(&query(10, Some(fresh.clone()))), Some(4));
        assert_eq!(tokens.page_of(&query(20, Some(plain.clone()))), None);
        assert_eq!(tokens.page_of(&query(10, Some("9".to_owned()))), None);
        assert_eq!(tokens.page_of(&query(10, Some("none of ours".to_owned()))), None);
        assert_ne!(plain, fresh);
    }

    #[test]
    fn numeric_tokens_count_pages_as_in_upstreams_samples() {
        let tokens = PageTokens::new(PageTokenStyle::Numeric, 1);

        assert_eq!([1, 2].map(|page| tokens.issue(&query(10, None), page)), ["2", "3"]);
    }
}
