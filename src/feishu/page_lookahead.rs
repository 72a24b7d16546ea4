//! Look-ahead within one chain: where page tokens have been *seen* to be consecutive numbers, the next pages are asked
//! for before their predecessor has named them.
//!
//! A chain is otherwise bound by the latency of its calls: a day of 100,000 people is 1,667 pages one after the other.
//! Nothing is taken on trust: a page counts only if its predecessor's reply names exactly its token. Opaque tokens are
//! never guessed, the first guess is a single one, and one wrong guess ends all guessing for the life of the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tokens in a row that must have been consecutive before any is guessed.
const PROOF: usize = 3;

/// Pages asked ahead at most. The throttle bounds what is really in flight.
const FARTHEST: usize = 16;

/// The share of a chain's pages that may be asked for in vain, beyond its unknown end.
const WASTE: f64 = 0.02;

/// Whether this upstream's page tokens may be guessed at all. Shared by all chains.
#[derive(Clone, Debug, Default)]
pub struct LookAhead {
    trust: Arc<Mutex<Trust>>,
}

/// What has become of guesses so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trust {
    /// None was made.
    #[default]
    Untried,
    /// One chain has made a single one, and waits for what comes of it.
    Trying,
    /// One was right.
    Proven,
    /// One was wrong.
    Refuted,
}

/// What one chain has seen of its tokens.
#[derive(Debug)]
pub struct TokenRun {
    shared: LookAhead,
    /// Pages that the chain probably has, where chains like it have been seen.
    expected: Option<usize>,
    last: Option<u64>,
    consecutive: usize,
    pages: usize,
    /// Whether this is the chain that makes the first guess.
    tries: bool,
}

impl LookAhead {
    /// Begins a chain of probably `expected` pages.
    #[must_use]
    pub fn begin(&self, expected: Option<usize>) -> TokenRun {
        TokenRun { shared: self.clone(), expected, last: None, consecutive: 0, pages: 0, tries: false }
    }

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenRun {
    /// Takes note of the token that a counted page named for its successor.
    pub fn named(&mut self, token: &str) {
        let number = number(token);
        let follows = number.is_some() && number == self.last.map(|last| last + 1);
        self.consecutive = if follows { self.consecutive + 1 } else { usize::from(number.is_some()) };
        self.last = number;
        self.pages += 1;
    }

    /// The chain begins anew.
    pub fn restart(&mut self) {
        (self.last, self.consecutive, self.pages) = (None, 0, 0);
    }

    /// A guess was right.
    pub fn confirm(&mut self) {
        let mut trust = self.shared.trust();
        if *trust != Trust::Refuted {
            *trust = Trust::Proven;
        }
        self.tries = false;
    }

    /// A guess was wrong: no more guessing, in any chain.
    pub fn refute(&mut self) {
        self.tries = false;
        if std::mem::replace(&mut *self.shared.trust(), Trust::Refuted) != Trust::Refuted {
            tracing::info!("page tokens cannot be guessed after all; pages are asked for one by one from now on");
        }
    }

    /// The tokens to have asked for after the one that was named last, nearest first.
    pub fn guesses(&mut self) -> impl Iterator<Item = Arc<str>> + use<> {
        let last = self.last.unwrap_or_default();
        (1..=self.allowed() as u64).map(move |ahead| (last + ahead).to_string().into())
    }

    /// How far ahead this chain may ask now. The first guess of all is a single one.
    fn allowed(&mut self) -> usize {
        let reach = if self.consecutive < PROOF { 0 } else { self.reach() };
        let mut trust = self.shared.trust();
        match *trust {
            Trust::Proven => reach,
            Trust::Untried if reach > 0 => {
                *trust = Trust::Trying;
                self.tries = true;
                1
            }
            Trust::Trying if self.tries => reach.min(1),
            Trust::Untried | Trust::Trying | Trust::Refuted => 0,
        }
    }

    /// How many of the next pages are there, as far as can be told.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count of pages")]
    fn reach(&self) -> usize {
        let share = |pages: usize, share: f64| (pages as f64 * share) as usize;
        let surely_there =
            self.expected.map_or(0, |expected| share(expected, 1.0 - WASTE).saturating_sub(self.pages + 1));
        surely_there.max(share(self.pages, WASTE)).min(FARTHEST)
    }
}

/// A chain that ends before its guess was answered leaves the first guess to another.
impl Drop for TokenRun {
    fn drop(&mut self) {
        if self.tries {
            *self.shared.trust() = Trust::Untried;
        }
    }
}

/// A plain number without leading zeros or sign, as in the documentation's samples.
fn number(token: &str) -> Option<u64> {
    let plain = token.len() <= 9 && token.bytes().all(|byte| byte.is_ascii_digit()) && !token.starts_with('0');
    plain.then(|| token.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where guesses are known to be right.
    fn proven() -> LookAhead {
        LookAhead { trust: Arc::new(Mutex::new(Trust::Proven)) }
    }

    fn run(shared: &LookAhead, expected: Option<usize>, tokens: impl IntoIterator<Item = String>) -> TokenRun {
        let mut run = shared.begin(expected);
        tokens.into_iter().for_each(|token| run.named(&token));
        run
    }

    fn numbers(last: u32) -> impl Iterator<Item = String> {
        (2..=last).map(|number| number.to_string())
    }

    #[test]
    fn nothing_is_guessed_before_numbers_have_followed_one_another() {
        assert_eq!(run(&proven(), Some(1000), numbers(3)).guesses().count(), 0);
        let guesses: Vec<_> = run(&proven(), Some(1000), numbers(4)).guesses().take(2).collect();
        assert_eq!(guesses, ["5".into(), "6".into()] as [Arc<str>; 2]);
    }

    #[test]
    fn opaque_tokens_are_never_guessed() {
        for tokens in [["a", "b", "c", "d"], ["2", "3", "x", "4"], ["02", "03", "04", "05"], ["10", "20", "30", "40"]] {
            assert_eq!(run(&proven(), Some(1000), tokens.map(str::to_owned)).guesses().count(), 0, "{tokens:?}");
        }
    }

    #[test]
    fn no_page_is_asked_for_beyond_the_expected_end() {
        assert_eq!(run(&proven(), Some(100), numbers(90)).guesses().count(), 8);

        assert_eq!(run(&proven(), None, numbers(40)).guesses().count(), 0);
        assert_eq!(run(&proven(), None, numbers(500)).guesses().count(), 9);
    }

    #[test]
    fn the_first_guess_is_a_single_one_until_it_was_right() {
        let shared = LookAhead::default();
        let mut one = run(&shared, Some(1000), numbers(10));
        let mut other = run(&shared, Some(1000), numbers(10));
        assert_eq!((one.guesses().count(), other.guesses().count()), (1, 0));

        one.confirm();

        assert_eq!((one.guesses().count(), other.guesses().count()), (FARTHEST, FARTHEST));
    }

    #[test]
    fn one_wrong_guess_ends_the_guessing_in_every_chain() {
        let shared = proven();
        let mut one = run(&shared, Some(1000), numbers(10));
        assert_eq!(one.guesses().count(), FARTHEST);

        shared.begin(None).refute();

        assert_eq!(one.guesses().count(), 0);
    }

    #[test]
    fn a_chain_that_ends_leaves_the_first_guess_to_another() {
        let shared = LookAhead::default();
        let mut one = run(&shared, Some(1000), numbers(10));
        assert_eq!(one.guesses().count(), 1);

        drop(one);

        assert_eq!(run(&shared, Some(1000), numbers(10)).guesses().count(), 1);
    }
}
