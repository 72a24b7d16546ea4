//! Page look-ahead: if the page tokens of a chain are consecutive numbers, it requests the next pages before their
//! tokens are received.
//!
//! Without look-ahead, the pages of a chain are fetched one after the other: a day of 100,000 people has 1,667 pages.
//! Feishu documents page tokens as opaque, so every guess is verified: a guessed page is used only if the page before it
//! returns exactly the guessed token. Tokens that are not numbers are never guessed. Until one guess was right, at most
//! one guess is in flight in the process. After one wrong guess, look-ahead stays off until the process restarts.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

/// Number of consecutive tokens that a chain must receive before it guesses.
const MIN_CONSECUTIVE_TOKENS: usize = 3;

/// Maximum number of guessed pages in flight per chain. The throttle limits the calls further.
const MAX_PAGES_AHEAD: usize = 16;

/// Share of a chain's pages that may be requested beyond its unknown end.
const MAX_WASTE_SHARE: f64 = 0.02;

/// Whether page tokens of this upstream can be guessed. Shared by all chains.
#[derive(Clone, Debug, Default)]
pub struct PageLookahead {
    trust: Arc<Mutex<GuessTrust>>,
}

/// Result of the guesses so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum GuessTrust {
    /// No guess was made.
    #[default]
    Untried,
    /// One chain waits for the reply to the first guess.
    Trying,
    /// A guess was right.
    Proven,
    /// A guess was wrong.
    Refuted,
}

/// The page tokens of one chain, and the guesses that follow from them.
#[derive(Debug)]
pub struct ConsecutiveTokens {
    shared: PageLookahead,
    /// Expected number of pages of the chain. `None` if the tenant size is unknown.
    expected_pages: Option<usize>,
    last_number: Option<u64>,
    consecutive: usize,
    pages: usize,
    /// Whether this chain has made the first guess of the process.
    owns_first_guess: bool,
}

impl PageLookahead {
    /// Starts the state of a chain of about `expected_pages` pages.
    #[must_use]
    pub fn start_chain(&self, expected_pages: Option<usize>) -> ConsecutiveTokens {
        ConsecutiveTokens {
            shared: self.clone(),
            expected_pages,
            last_number: None,
            consecutive: 0,
            pages: 0,
            owns_first_guess: false,
        }
    }

    /// Number of pages of a chain that are requested at the same time, as far as it is known.
    #[must_use]
    pub fn parallel_pages(&self) -> usize {
        if *self.lock_trust() == GuessTrust::Proven { MAX_PAGES_AHEAD } else { 1 }
    }

    fn lock_trust(&self) -> MutexGuard<'_, GuessTrust> {
        self.trust.lock()
    }
}

impl ConsecutiveTokens {
    /// Records the next-page token of an accepted page.
    pub fn record_token(&mut self, token: &str) {
        let number = parse_page_number(token);
        let follows = number.is_some() && number == self.last_number.map(|last| last + 1);
        self.consecutive = if follows { self.consecutive + 1 } else { usize::from(number.is_some()) };
        self.last_number = number;
        self.pages += 1;
    }

    /// Records that the chain continues after this number of pages.
    pub fn resume_after(&mut self, pages: usize) {
        self.pages = pages;
    }

    /// Resets the state, because the chain restarts from its first page.
    pub fn reset(&mut self) {
        (self.last_number, self.consecutive, self.pages) = (None, 0, 0);
    }

    /// Records that a guess was right.
    pub fn record_right_guess(&mut self) {
        let mut trust = self.shared.lock_trust();
        if *trust != GuessTrust::Refuted {
            *trust = GuessTrust::Proven;
        }
        self.owns_first_guess = false;
    }

    /// Records that a guess was wrong. This disables look-ahead in all chains.
    pub fn record_wrong_guess(&mut self) {
        self.owns_first_guess = false;
        if std::mem::replace(&mut *self.shared.lock_trust(), GuessTrust::Refuted) != GuessTrust::Refuted {
            tracing::info!("a guessed page token was wrong; from now on pages are requested one after the other");
        }
    }

    /// The tokens that should be in flight beyond the last received token, in ascending order.
    pub fn guesses(&mut self) -> impl Iterator<Item = Arc<str>> + use<> {
        let last = self.last_number.unwrap_or_default();
        (1..=self.allowed_guesses() as u64).map(move |ahead| (last + ahead).to_string().into())
    }

    /// Number of guesses that this chain may have in flight now. The first guess of the process is a single one.
    fn allowed_guesses(&mut self) -> usize {
        let max_guesses = if self.consecutive < MIN_CONSECUTIVE_TOKENS { 0 } else { self.max_guesses() };
        let mut trust = self.shared.lock_trust();
        match *trust {
            GuessTrust::Proven => max_guesses,
            GuessTrust::Untried if max_guesses > 0 => {
                *trust = GuessTrust::Trying;
                self.owns_first_guess = true;
                1
            }
            GuessTrust::Trying if self.owns_first_guess => max_guesses.min(1),
            GuessTrust::Untried | GuessTrust::Trying | GuessTrust::Refuted => 0,
        }
    }

    /// Number of next pages that probably exist, at most [`MAX_PAGES_AHEAD`].
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count of pages")]
    fn max_guesses(&self) -> usize {
        let share_of = |pages: usize, share: f64| (pages as f64 * share) as usize;
        let within_expected_end = self
            .expected_pages
            .map_or(0, |expected| share_of(expected, 1.0 - MAX_WASTE_SHARE).saturating_sub(self.pages + 1));
        within_expected_end.max(share_of(self.pages, MAX_WASTE_SHARE)).min(MAX_PAGES_AHEAD)
    }
}

/// If the chain ends before the reply to the first guess, another chain may make the first guess.
impl Drop for ConsecutiveTokens {
    fn drop(&mut self) {
        if self.owns_first_guess {
            *self.shared.lock_trust() = GuessTrust::Untried;
        }
    }
}

/// Parses a decimal number of at most 9 digits without leading zeros or sign, as in the samples of Feishu's documentation.
fn parse_page_number(token: &str) -> Option<u64> {
    let is_plain = token.len() <= 9 && token.bytes().all(|byte| byte.is_ascii_digit()) && !token.starts_with('0');
    is_plain.then(|| token.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// State in which a guess was right.
    fn proven() -> PageLookahead {
        PageLookahead { trust: Arc::new(Mutex::new(GuessTrust::Proven)) }
    }

    fn chain(
        shared: &PageLookahead,
        expected: Option<usize>,
        tokens: impl IntoIterator<Item = String>,
    ) -> ConsecutiveTokens {
        let mut chain = shared.start_chain(expected);
        tokens.into_iter().for_each(|token| chain.record_token(&token));
        chain
    }

    fn numbers(last: u32) -> impl Iterator<Item = String> {
        (2..=last).map(|number| number.to_string())
    }

    #[test]
    fn no_token_is_guessed_before_three_consecutive_tokens() {
        assert_eq!(chain(&proven(), Some(1000), numbers(3)).guesses().count(), 0);
        let guesses: Vec<_> = chain(&proven(), Some(1000), numbers(4)).guesses().take(2).collect();
        assert_eq!(guesses, ["5".into(), "6".into()] as [Arc<str>; 2]);
    }

    #[test]
    fn opaque_tokens_are_never_guessed() {
        for tokens in [["a", "b", "c", "d"], ["2", "3", "x", "4"], ["02", "03", "04", "05"], ["10", "20", "30", "40"]] {
            assert_eq!(chain(&proven(), Some(1000), tokens.map(str::to_owned)).guesses().count(), 0, "{tokens:?}");
        }
    }

    #[test]
    fn no_page_is_requested_beyond_the_expected_end() {
        assert_eq!(chain(&proven(), Some(100), numbers(90)).guesses().count(), 8);

        assert_eq!(chain(&proven(), None, numbers(40)).guesses().count(), 0);
        assert_eq!(chain(&proven(), None, numbers(500)).guesses().count(), 9);
    }

    #[test]
    fn only_one_guess_is_made_until_a_guess_was_right() {
        let shared = PageLookahead::default();
        let mut one = chain(&shared, Some(1000), numbers(10));
        let mut other = chain(&shared, Some(1000), numbers(10));
        assert_eq!((one.guesses().count(), other.guesses().count()), (1, 0));

        one.record_right_guess();

        assert_eq!((one.guesses().count(), other.guesses().count()), (MAX_PAGES_AHEAD, MAX_PAGES_AHEAD));
    }

    #[test]
    fn one_wrong_guess_disables_guessing_in_all_chains() {
        let shared = proven();
        let mut one = chain(&shared, Some(1000), numbers(10));
        assert_eq!(one.guesses().count(), MAX_PAGES_AHEAD);

        shared.start_chain(None).record_wrong_guess();

        assert_eq!(one.guesses().count(), 0);
    }

    #[test]
    fn after_a_chain_ends_another_chain_may_make_the_first_guess() {
        let shared = PageLookahead::default();
        let mut one = chain(&shared, Some(1000), numbers(10));
        assert_eq!(one.guesses().count(), 1);

        drop(one);

        assert_eq!(chain(&shared, Some(1000), numbers(10)).guesses().count(), 1);
    }
}
