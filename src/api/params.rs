//! Query parameters. All faults of a request are collected and reported together.

mod deserializer;
pub mod param_types;

use std::fmt::Display;

use axum::{
    extract::{FromRequestParts, Path},
    http::{Uri, request::Parts},
};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use self::deserializer::{DEPARTMENT_PATH, ParamError, ParamsDeserializer};
pub use self::param_types::{DayCount, WholeNumber, parsed};
use super::problem::{ParameterFault, Problem, ProblemCode};

/// Maximum length of a value in bytes.
const MAX_VALUE_BYTES: usize = 512;

/// Maximum length of a department path in bytes. Feishu's paths have no maximum.
const MAX_DEPARTMENT_PATH_BYTES: usize = 8192;

/// Maximum number of faults in one response, so that a query string of random data is not echoed at length.
const MAX_FAULTS: usize = 50;

/// Maximum length of a parameter name in a fault, in characters.
const MAX_ECHOED_NAME_CHARS: usize = 64;

/// The query parameters of one request, and their faults.
///
/// A parameter is declared once, as an optional field of a struct that derives `Deserialize` and `IntoParams`: the field
/// reads it, its type reports faults, and its comment documents it.
#[derive(Debug, Default)]
pub struct Params {
    /// All pairs of the query, decoded. A malformed value is the detail of its fault.
    pairs: Vec<(String, Result<String, String>)>,
    /// The names of the parameters that the endpoint accepts.
    accepted: Vec<&'static str>,
    /// The values that were accepted, until a type finds a fault in them.
    values: Vec<(&'static str, String)>,
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
        Params::parse(&parts.uri).finish().map(|()| Self)
    }
}

impl Params {
    /// The parameters in the query of `uri`. A parameter is accepted once a struct that declares it is [read](Self::read).
    #[must_use]
    pub fn parse(uri: &Uri) -> Self {
        Self::parse_query(uri.query().unwrap_or_default())
    }

    fn parse_query(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode_lossy(name);
            let value = decode(&name, value);
            (name, value)
        });
        Self { pairs: pairs.collect(), ..Self::default() }
    }

    /// Reads the parameters that the struct `P` declares. A faulty parameter is recorded and read as missing, so all fields
    /// must be optional.
    pub fn read<P: DeserializeOwned + Default>(&mut self) -> P {
        loop {
            match P::deserialize(ParamsDeserializer(|names| self.accept(names))) {
                Ok(read) => return read,
                Err(ParamError { parameter: Some(parameter), detail }) => {
                    self.add_fault(parameter, detail);
                    self.values.retain(|(name, _)| *name != parameter);
                }
                Err(ParamError { parameter: None, .. }) => return P::default(),
            }
        }
    }

    /// Accepts the parameters `names` and returns their values. Malformed and repeated values are recorded as faults.
    fn accept(&mut self, names: &'static [&'static str]) -> Vec<(&'static str, String)> {
        for name in names {
            if self.accepted.contains(name) {
                continue;
            }
            self.accepted.push(name);
            let values = self.pairs.iter().filter(|(other, _)| other == name).map(|(_, value)| value.clone());
            for (index, value) in values.collect::<Vec<_>>().into_iter().enumerate() {
                match value {
                    Ok(value) if index == 0 => self.values.push((name, value)),
                    Ok(_) => self.add_fault(name, "is repeated"),
                    Err(detail) => self.add_fault(name, detail),
                }
            }
        }
        names.iter().filter_map(|name| self.values.iter().find(|(other, _)| other == name).cloned()).collect()
    }

    /// Records a fault, unless `MAX_FAULTS` are recorded already. Long parameter names are truncated.
    pub fn add_fault(&mut self, parameter: &str, detail: impl Into<String>) {
        if self.faults.len() == MAX_FAULTS {
            return;
        }
        let parameter = parameter.chars().take(MAX_ECHOED_NAME_CHARS).collect();
        self.faults.push(ParameterFault { parameter, detail: detail.into() });
    }

    /// The valid value. An error is recorded as a fault of the parameter.
    pub fn check<T>(&mut self, parameter: &str, checked: Result<T, impl Display>) -> Option<T> {
        checked.map_err(|error| self.add_fault(parameter, error.to_string())).ok()
    }

    /// The items of `text`, which are separated by commas, each parsed by `parse_item`. Faulty and repeated items are faults.
    pub fn list<T: PartialEq>(
        &mut self,
        parameter: &str,
        text: &str,
        parse_item: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut items = Vec::new();
        for text in text.split(',') {
            match parse_item(text) {
                Ok(value) if items.contains(&value) => {
                    self.add_fault(parameter, format!("contains {text} more than once"));
                }
                Ok(value) => items.push(value),
                Err(detail) => self.add_fault(parameter, detail),
            }
        }
        items
    }

    /// Records that the request is rejected for a reason other than a faulty parameter. The first reason counts.
    pub fn reject(&mut self, problem: Problem) {
        self.rejection.get_or_insert(problem);
    }

    /// Whether the query has the parameter, valid or not.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(other, _)| other == name)
    }

    /// Whether a struct that declares the parameter has been read.
    #[must_use]
    pub fn accepts(&self, name: &str) -> bool {
        self.accepted.contains(&name)
    }

    /// Whether a fault of one of these parameters is recorded.
    #[must_use]
    pub fn is_any_faulty(&self, names: &[&str]) -> bool {
        self.faults.iter().any(|fault| names.contains(&&*fault.parameter))
    }

    /// Ends the parsing. Parameters that no struct declares are faults.
    ///
    /// # Errors
    /// A problem that names all faults; without faults, the recorded rejection, if any.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            if !self.accepted.contains(&&*name) {
                let accepted = self.accepted.join(", ");
                self.add_fault(&name, format!("is not a parameter of this endpoint; expected any of {accepted}"));
            }
        }
        if !self.faults.is_empty() {
            return Err(Problem::invalid_parameters(self.faults));
        }
        self.rejection.map_or(Ok(()), Err)
    }
}

/// Decodes the value of a parameter.
///
/// # Errors
/// The detail of the fault, if the value is malformed.
fn decode(name: &str, text: &str) -> Result<String, String> {
    let with_spaces = text.replace('+', " ");
    let is_path = name == DEPARTMENT_PATH;
    let max_bytes = if is_path { MAX_DEPARTMENT_PATH_BYTES } else { MAX_VALUE_BYTES };
    match percent_decode_str(&with_spaces).decode_utf8() {
        Err(_) => Err("is not valid UTF-8 after percent-decoding".into()),
        Ok(value) if value.len() > max_bytes => Err(format!("is longer than {max_bytes} bytes")),
        Ok(value) if !is_path && value.chars().any(char::is_control) => Err("contains a control character".into()),
        Ok(value) => Ok(value.into_owned()),
    }
}

/// Decodes a name. No known name contains the replacement character, so invalid UTF-8 is an unknown name.
fn decode_lossy(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct Known {
        name: Option<String>,
        size: Option<WholeNumber<1, 10>>,
        sort: Option<Sort>,
        exact: Option<bool>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Sort {
        ByName,
        BySize,
    }

    fn read(query: &str) -> (Known, Vec<(String, String)>) {
        let mut params = Params::parse_query(query);
        let known = params.read();
        let unknown = params.pairs.iter().filter(|(name, _)| !params.accepted.contains(&&**name));
        let unknown = unknown.map(|(name, _)| (name.clone(), "unknown".to_owned())).collect::<Vec<_>>();
        let faults = params.faults.iter().map(|fault| (fault.parameter.clone(), fault.detail.clone()));
        let all = faults.chain(unknown).collect::<Vec<_>>();
        assert_eq!(params.finish().is_err(), !all.is_empty());
        (known, all)
    }

    #[test]
    fn all_faults_are_reported_together() {
        let (known, faults) = read("size=x&colour=red&name=a&name=b&%FF=1&sort=colour&exact=1");
        let faults: Vec<_> = faults.iter().map(|(name, detail)| (name.as_str(), detail.as_str())).collect();
        let expected = [
            ("name", "is repeated"),
            ("size", "expected a whole number from 1 to 10"),
            ("sort", "expected one of by_name, by_size"),
            ("exact", "expected one of true, false"),
            ("colour", "unknown"),
            ("\u{fffd}", "unknown"),
        ];
        assert_eq!(faults, expected);
        assert_eq!(known, Known { name: Some("a".into()), ..Known::default() });
    }

    #[test]
    fn a_value_is_read_with_its_type() {
        let (known, faults) = read("name=%E6%80%BB%E9%83%A8%2F%E7%A0%94+%E5%8F%91&size=10&sort=by_size&exact=false");
        assert_eq!(faults, []);
        let name = Some("总部/研 发".to_owned());
        assert_eq!(known, Known { name, size: Some(WholeNumber(10)), sort: Some(Sort::BySize), exact: Some(false) });
    }

    proptest! {
        #[test]
        fn parsing_any_query_does_not_panic(query in "\\PC{0,60}|(name|size|sort|exact)=\\PC{0,20}") {
            read(&query);
        }
    }
}
