//! Query parameters. All faults of a request are collected and reported together.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use axum::{
    extract::{FromRequestParts, Path},
    http::{Uri, request::Parts},
};
use percent_encoding::percent_decode_str;
use utoipa::{IntoParams, openapi::path::ParameterIn};

use super::problem::{ParameterFault, Problem, ProblemCode};

/// Maximum length of a value in bytes.
const MAX_VALUE_BYTES: usize = 512;

/// Maximum number of faults in one response, so that a query string of random data is not echoed at length.
const MAX_FAULTS: usize = 50;

/// Maximum length of a parameter name in a fault, in characters.
const MAX_ECHOED_NAME_CHARS: usize = 64;

/// The query parameters of one request, and their faults.
#[derive(Debug, Default)]
pub struct Params {
    /// The names of all known parameters in the query, valid or not.
    present: Vec<String>,
    values: Vec<(String, String)>,
    faults: Vec<ParameterFault>,
    rejection: Option<Problem>,
}

/// Extractor for endpoints without query parameters. It rejects requests that have any.
#[derive(Clone, Copy, Debug)]
pub struct NoParams;

/// Extractor for the variable segment of a path, percent-decoded.
#[derive(Clone, Debug)]
pub struct PathSegment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathSegment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // axum's own rejection is plain text. No resource has a name that is not UTF-8.
        let not_utf8 = |_| Problem::new(ProblemCode::NotFound, "the path is not valid UTF-8 after percent-decoding");
        Path::from_request_parts(parts, state).await.map(|Path(text)| Self(text)).map_err(not_utf8)
    }
}

impl<S: Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Params::parse(&parts.uri, &[]).finish().map(|()| Self)
    }
}

impl Params {
    /// Parses the query of `uri`, in which the `known` parameters may occur. The names must come from [`parameter_names`], so
    /// that no undocumented parameter is accepted.
    #[must_use]
    pub fn parse(uri: &Uri, known: &[String]) -> Self {
        Self::parse_query(uri.query().unwrap_or_default(), known)
    }

    fn parse_query(query: &str, known: &[String]) -> Self {
        let mut params = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            params.parse_pair(pair, known);
        }
        params
    }

    fn parse_pair(&mut self, pair: &str, known: &[String]) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode_lossy(name), decode(value));
        if !known.contains(&name) {
            self.add_fault(&name, format!("is not a parameter of this endpoint; expected any of {}", known.join(", ")));
            return;
        }
        let is_repeated = self.has(&name);
        self.present.push(name.clone());
        let Ok(value) = value else { return self.add_fault(&name, "is not valid UTF-8 after percent-decoding") };
        if is_repeated {
            self.add_fault(&name, "is repeated");
        } else if value.len() > MAX_VALUE_BYTES {
            self.add_fault(&name, format!("is longer than {MAX_VALUE_BYTES} bytes"));
        } else if value.chars().any(char::is_control) {
            self.add_fault(&name, "contains a control character");
        } else {
            self.values.push((name, value));
        }
    }

    /// Records a fault, unless `MAX_FAULTS` are recorded already. Long parameter names are truncated.
    pub fn add_fault(&mut self, parameter: &str, detail: impl Into<String>) {
        if self.faults.len() == MAX_FAULTS {
            return;
        }
        let parameter = parameter.chars().take(MAX_ECHOED_NAME_CHARS).collect();
        self.faults.push(ParameterFault { parameter, detail: detail.into() });
    }

    /// Records that the request is rejected for a reason other than a faulty parameter. The first reason counts.
    pub fn reject(&mut self, problem: Problem) {
        self.rejection.get_or_insert(problem);
    }

    /// The value of a parameter, if the query has it. An empty value is a fault.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let value = self.values.iter().find(|(other, _)| other == name)?.1.clone();
        if value.is_empty() {
            self.add_fault(name, "is empty");
            return None;
        }
        Some(value)
    }

    /// The parsed value. The message of a parse error becomes the detail of the fault.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.text(name)?;
        value.parse().map_err(|error: T::Err| self.add_fault(name, error.to_string())).ok()
    }

    /// One of several choices. The fault lists them all.
    pub fn one_of<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.text(name)?;
        let chosen = choices.iter().find(|(choice_name, _)| *choice_name == value).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let choice_names: Vec<&str> = choices.iter().map(|(choice_name, _)| *choice_name).collect();
            self.add_fault(name, format!("expected one of {}", choice_names.join(", ")));
        }
        chosen
    }

    /// A boolean, `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.one_of(name, &[("true", true), ("false", false)])
    }

    /// A whole number within inclusive bounds.
    pub fn number(&mut self, name: &str, bounds: std::ops::RangeInclusive<usize>) -> Option<usize> {
        let value = self.text(name)?;
        let number = value.parse().ok().filter(|number| bounds.contains(number));
        if number.is_none() {
            self.add_fault(name, format!("expected a whole number from {} to {}", bounds.start(), bounds.end()));
        }
        number
    }

    /// A list separated by commas, each item parsed by `parse_item`. Repeated items are faults.
    pub fn list<T: PartialEq>(&mut self, name: &str, parse_item: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let value = self.text(name)?;
        let mut items = Vec::new();
        for text in value.split(',') {
            match parse_item(text) {
                Ok(value) if items.contains(&value) => self.add_fault(name, format!("contains {text} more than once")),
                Ok(value) => items.push(value),
                Err(detail) => self.add_fault(name, detail),
            }
        }
        Some(items)
    }

    /// Whether the query has the parameter, valid or not.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.present.iter().any(|other| other == name)
    }

    /// Ends the parsing.
    ///
    /// # Errors
    /// A problem that names all faults; without faults, the recorded rejection, if any.
    pub fn finish(self) -> Result<(), Problem> {
        if !self.faults.is_empty() {
            return Err(Problem::invalid_parameters(self.faults));
        }
        self.rejection.map_or(Ok(()), Err)
    }
}

/// The names of the query parameters that `P` declares.
#[must_use]
pub fn parameter_names<P: IntoParams>() -> Vec<String> {
    P::into_params(|| Some(ParameterIn::Query)).into_iter().map(|parameter| parameter.name).collect()
}

fn decode(text: &str) -> Result<String, std::str::Utf8Error> {
    let with_spaces = text.replace('+', " ");
    percent_decode_str(&with_spaces).decode_utf8().map(Cow::into_owned)
}

/// Decodes a name. No known name contains the replacement character, so invalid UTF-8 is an unknown name.
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
        Params::parse_query(query, &parameter_names::<Known>())
    }

    #[test]
    fn all_faults_are_reported_together() {
        let mut params = params("size=x&colour=red&name=a&name=b&%FF=1");
        params.number("size", 1..=10);
        let named: Vec<_> = params.faults.iter().map(|fault| fault.parameter.as_str()).collect();
        assert_eq!(named, ["colour", "name", "\u{fffd}", "size"]);
        assert!(params.finish().is_err());
    }

    #[test]
    fn a_value_is_percent_decoded() {
        assert_eq!(params("name=%E6%80%BB%E9%83%A8%2F%E7%A0%94+%E5%8F%91").text("name").as_deref(), Some("总部/研 发"));
    }

    proptest! {
        #[test]
        fn parsing_any_query_does_not_panic(query in "\\PC{0,60}") {
            let mut params = params(&query);
            let _ = (params.text("name"), params.number("size", 1..=5));
            let _ = params.finish();
        }
    }
}
