//! Query strings, read so that every fault is found at once.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use axum::{
    extract::{FromRequestParts, Path},
    http::{Uri, request::Parts},
};
use percent_encoding::percent_decode_str;
use utoipa::{IntoParams, openapi::path::ParameterIn};

use super::problem::{Fault, Problem, ProblemCode};

/// The longest value that is accepted, in bytes.
const LONGEST: usize = 512;

/// Faults that one answer tells. Whoever has more has sent no request but noise, which is not to be echoed at length.
const MOST_FAULTS: usize = 50;

/// The parameters of one request, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Params {
    /// The names of all known parameters that are given, sound or not.
    given: Vec<String>,
    values: Vec<(String, String)>,
    faults: Vec<Fault>,
    refusal: Option<Problem>,
}

/// The parameters of a request that takes none: whoever sends one is told so.
#[derive(Clone, Copy, Debug)]
pub struct NoParams;

/// The segment of a path that names what is asked for, percent-decoded.
#[derive(Clone, Debug)]
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // What is not even text is the name of nothing; axum would say so in plain text.
        let not_text = |_| Problem::new(ProblemCode::NotFound, "the path is not valid UTF-8 once percent-decoded");
        Path::from_request_parts(parts, state).await.map(|Path(text)| Self(text)).map_err(not_text)
    }
}

impl<S: Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Params::of(&parts.uri, &[]).finish().map(|()| Self)
    }
}

impl Params {
    /// Reads the query of `uri`, in which the `known` parameters may occur. Take those from [`documented`], so that
    /// none can be accepted undocumented.
    #[must_use]
    pub fn of(uri: &Uri, known: &[String]) -> Self {
        Self::read(uri.query().unwrap_or_default(), known)
    }

    fn read(query: &str, known: &[String]) -> Self {
        let mut params = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            params.take(pair, known);
        }
        params
    }

    fn take(&mut self, pair: &str, known: &[String]) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode_lossy(name), decode(value));
        if !known.contains(&name) {
            self.fault(&name, format!("is unknown here; known are {}", known.join(", ")));
            return;
        }
        let again = self.has(&name);
        self.given.push(name.clone());
        let Ok(value) = value else { return self.fault(&name, "is not valid UTF-8 once percent-decoded") };
        if again {
            self.fault(&name, "is given more than once");
        } else if value.len() > LONGEST {
            self.fault(&name, format!("is longer than {LONGEST} bytes"));
        } else if value.chars().any(char::is_control) {
            self.fault(&name, "contains a control character");
        } else {
            self.values.push((name, value));
        }
    }

    /// Takes note of a fault, up to a number. Names that a caller made up are cut short.
    pub fn fault(&mut self, parameter: &str, detail: impl Into<String>) {
        if self.faults.len() == MOST_FAULTS {
            return;
        }
        let parameter = parameter.chars().take(64).collect();
        self.faults.push(Fault { parameter, detail: detail.into() });
    }

    /// Takes note that the request cannot be answered, for something other than its parameters.
    pub fn refuse(&mut self, problem: Problem) {
        self.refusal.get_or_insert(problem);
    }

    /// The value of a parameter, where it is given. An empty value is a fault.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let value = self.values.iter().find(|(other, _)| other == name)?.1.clone();
        if value.is_empty() {
            self.fault(name, "is empty");
            return None;
        }
        Some(value)
    }

    /// The value, made sense of; where that fails, the error tells the caller what was expected.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.text(name)?;
        value.parse().map_err(|error: T::Err| self.fault(name, error.to_string())).ok()
    }

    /// A value out of a list; the fault names them all.
    pub fn one_of<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.text(name)?;
        let chosen = choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.fault(name, format!("expected one of {}", words.join(", ")));
        }
        chosen
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.one_of(name, &[("true", true), ("false", false)])
    }

    /// A whole number within bounds, both included.
    pub fn number(&mut self, name: &str, bounds: std::ops::RangeInclusive<usize>) -> Option<usize> {
        let value = self.text(name)?;
        let number = value.parse().ok().filter(|number| bounds.contains(number));
        if number.is_none() {
            self.fault(name, format!("expected a whole number from {} to {}", bounds.start(), bounds.end()));
        }
        number
    }

    /// The items of a list with commas, each made sense of by `item`. Empty and repeated items are faults.
    pub fn list<T: PartialEq>(&mut self, name: &str, item: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let value = self.text(name)?;
        let mut items = Vec::new();
        for text in value.split(',') {
            match item(text) {
                Ok(item) if items.contains(&item) => self.fault(name, format!("names {text} more than once")),
                Ok(item) => items.push(item),
                Err(detail) => self.fault(name, detail),
            }
        }
        Some(items)
    }

    /// Whether the parameter is given, sound or not.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.given.iter().any(|other| other == name)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// The problem that names every fault, where there is any; else what else is in the way.
    pub fn finish(self) -> Result<(), Problem> {
        if !self.faults.is_empty() {
            return Err(Problem::faults(self.faults));
        }
        self.refusal.map_or(Ok(()), Err)
    }
}

/// The names of the query parameters that `P` documents.
#[must_use]
pub fn documented<P: IntoParams>() -> Vec<String> {
    P::into_params(|| Some(ParameterIn::Query)).into_iter().map(|parameter| parameter.name).collect()
}

fn decode(text: &str) -> Result<String, std::str::Utf8Error> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned)
}

/// No known name holds the character that stands in for what is not UTF-8.
fn decode_lossy(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(IntoParams)]
    #[expect(dead_code, reason = "only its documentation is used")]
    struct Known {
        name: String,
        size: usize,
    }

    fn params(query: &str) -> Params {
        Params::read(query, &documented::<Known>())
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let mut params = params("size=x&colour=red&name=a&name=b&%FF=1");
        params.number("size", 1..=10);
        let named: Vec<_> = params.faults.iter().map(|fault| fault.parameter.as_str()).collect();
        assert_eq!(named, ["colour", "name", "\u{fffd}", "size"]);
        assert!(params.finish().is_err());
    }

    #[test]
    fn a_value_is_decoded() {
        assert_eq!(params("name=%E6%80%BB%E9%83%A8%2F%E7%A0%94+%E5%8F%91").text("name").as_deref(), Some("总部/研 发"));
    }

    proptest! {
        #[test]
        fn no_query_makes_the_reader_panic(query in "\\PC{0,60}") {
            let mut params = params(&query);
            let _ = (params.text("name"), params.number("size", 1..=5));
            let _ = params.finish();
        }
    }
}
